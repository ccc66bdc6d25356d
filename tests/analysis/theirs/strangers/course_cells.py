import numpy as np

# exercise sheet 4: features first, then samples, then steps


def cell_ahead(x_now, a_old, weights):
    a_new = np.tanh(np.dot(weights["W_aa"], a_old) + np.dot(weights["W_ax"], x_now) + weights["b_a"])
    raised = np.exp(np.dot(weights["W_ya"], a_new) + weights["b_y"])
    return a_new, raised / raised.sum(axis=0), (a_new, a_old, x_now, weights)


def rnn_forward(x, a0, weights):
    features, samples, steps = x.shape
    classes, units = weights["W_ya"].shape
    a, predicted = np.empty((units, samples, steps)), np.empty((classes, samples, steps))
    kept, a_now = [], a0
    for t in range(steps):
        a_now, predicted[:, :, t], memo = cell_ahead(x[:, :, t], a_now, weights)
        a[:, :, t] = a_now
        kept.append(memo)
    return a, predicted, (kept, x)


def cell_back(da_new, memo):
    a_new, a_old, x_now, weights = memo
    dpre = (1 - a_new**2) * da_new
    return {
        "dx": np.dot(weights["W_ax"].T, dpre),
        "da_old": np.dot(weights["W_aa"].T, dpre),
        "dW_ax": np.dot(dpre, x_now.T),
        "dW_aa": np.dot(dpre, a_old.T),
        "db_a": np.sum(dpre, axis=1, keepdims=True),
    }


def rnn_backward(da, memory):
    kept, x = memory
    weights = kept[0][3]
    total = {f"d{name}": np.zeros_like(weights[name]) for name in ("W_ax", "W_aa", "b_a")}
    dx, carried = np.zeros_like(x), np.zeros(da.shape[:2])
    for t in reversed(range(da.shape[2])):
        found = cell_back(da[:, :, t] + carried, kept[t])
        dx[:, :, t], carried = found["dx"], found["da_old"]
        for name in total:
            total[name] += found[name]
    return {"dx": dx, "da0": carried, **total}
