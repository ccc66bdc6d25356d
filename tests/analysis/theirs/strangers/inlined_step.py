import numpy as np


def squash(v):
    return 1 / (1 + np.exp(-v))


def step_forward(xt, a_prev, c_prev, weights):
    both = np.vstack((a_prev, xt))
    ft, it, ot = (squash(weights[f"W{gate}"] @ both + weights[f"b{gate}"]) for gate in "fio")
    new = np.tanh(weights["Wc"] @ both + weights["bc"])
    c_now = ft * c_prev + it * new
    a_now = ot * np.tanh(c_now)
    return a_now, c_now, (both, c_now, c_prev, ft, it, ot, new, weights)


def step_backward(da, dc, memo):
    both, c_now, c_prev, ft, it, ot, new, weights = memo
    slope = {
        "o": da * np.tanh(c_now) * ot * (1 - ot),
        "c": (dc + da * ot * (1 - np.tanh(c_now) ** 2)) * it * (1 - new**2),
        "i": (dc + da * ot * (1 - np.tanh(c_now) ** 2)) * new * it * (1 - it),
        "f": (dc + da * ot * (1 - np.tanh(c_now) ** 2)) * c_prev * ft * (1 - ft),
    }
    found = {f"dW{gate}": slope[gate] @ both.T for gate in slope}
    found.update({f"db{gate}": slope[gate].sum(axis=1, keepdims=True) for gate in slope})
    back = sum(weights[f"W{gate}"].T @ slope[gate] for gate in slope)
    dc_prev = dc * ft + da * ot * (1 - np.tanh(c_now) ** 2) * ft
    return {"da_prev": back[: len(da)], "dxt": back[len(da) :], "dc_prev": dc_prev, **found}
