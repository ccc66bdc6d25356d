import numpy as np

def loss_and_grads(x, y, h0, Wx, Wh, b, Wy, by):
    T, B, _ = x.shape
    hs = np.zeros((T + 1, B, Wh.shape[0]))
    hs[0] = h0
    loss = 0.0
    dys = []
    for t in range(T):
        hs[t + 1] = np.tanh(x[t] @ Wx + hs[t] @ Wh + b)
        out = hs[t + 1] @ Wy + by
        err = out - y[t]
        loss += 0.5 * np.sum(err ** 2)
        dys.append(err)
    grads = {n: np.zeros_like(v) for n, v in (("Wx", Wx), ("Wh", Wh), ("b", b), ("Wy", Wy), ("by", by))}
    dh = np.zeros((B, Wh.shape[0]))
    for t in reversed(range(T)):
        grads["Wy"] += hs[t + 1].T @ dys[t]
        grads["by"] += dys[t].sum(axis=0)
        dh = dh + dys[t] @ Wy.T
        da = dh * (1 - hs[t + 1] ** 2)
        grads["Wx"] += x[t].T @ da
        grads["Wh"] += hs[t].T @ da
        grads["b"] += da.sum(axis=0)
        dh = da @ Wh.T
    return loss, grads
