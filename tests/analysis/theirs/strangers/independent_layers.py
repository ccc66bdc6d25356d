import numpy as np

relu = lambda v: np.maximum(v, 0.0)


def layer_forward(x, W, u, b):
    # x: (B, T, D)
    B, T, _ = x.shape
    h = np.zeros((B, T, b.shape[0]))
    prev = np.zeros((B, b.shape[0]))
    for t in range(T):
        prev = relu(x[:, t, :] @ W + u * prev + b)
        h[:, t, :] = prev
    return h


def layer_backward(dh, x, h, W, u, b):
    dW, du, db, dx = np.zeros_like(W), np.zeros_like(u), np.zeros_like(b), np.zeros_like(x)
    carry = np.zeros_like(dh[:, 0, :])
    for t in range(x.shape[1] - 1, -1, -1):
        d = (dh[:, t, :] + carry) * (h[:, t, :] > 0)
        prev = h[:, t - 1, :] if t > 0 else np.zeros_like(carry)
        dW += np.einsum("bi,bj->ij", x[:, t, :], d)
        du += np.einsum("bj,bj->j", prev, d)
        db += d.sum(axis=0)
        dx[:, t, :] = d @ W.T
        carry = d * u
    return dx, dW, du, db


def net_forward(x, params):
    h1 = layer_forward(x, params["W1"], params["u1"], params["b1"])
    h2 = layer_forward(h1, params["W2"], params["u2"], params["b2"])
    return h2, (x, h1, h2)


def net_backward(dout, cache, params):
    x, h1, h2 = cache
    dh1, dW2, du2, db2 = layer_backward(dout, h1, h2, params["W2"], params["u2"], params["b2"])
    dx, dW1, du1, db1 = layer_backward(dh1, x, h1, params["W1"], params["u1"], params["b1"])
    return dx, {"W1": dW1, "u1": du1, "b1": db1, "W2": dW2, "u2": du2, "b2": db2}
