import numpy as np


def dense_tanh_step(W, U, b):
    def step(x, h):
        y = np.tanh(x @ W + h @ U + b)

        def pullback(dy):
            da = dy * (1 - y ** 2)
            return da @ W.T, da @ U.T, x.T @ da, h.T @ da, da.sum(axis=0)

        return y, pullback

    return step


def forward(xs, h0, W, U, b):
    step = dense_tanh_step(W, U, b)
    h, ys, pulls = h0, [], []
    for x in xs:
        h, pull = step(x, h)
        ys.append(h)
        pulls.append(pull)
    return np.stack(ys), pulls


def backward(dys, pulls):
    dxs, dW, dU, db = [], 0.0, 0.0, 0.0
    dh = np.zeros_like(dys[0])
    for dy, pull in zip(reversed(dys), reversed(pulls)):
        dx, dh, gW, gU, gb = pull(dy + dh)
        dxs.append(dx)
        dW, dU, db = dW + gW, dU + gU, db + gb
    return np.stack(dxs[::-1]), dh, dW, dU, db
