import numpy as np


def forward(xs, wx, W, b, wy, by):
    h = np.zeros(len(b))
    hs, ys = [h], []
    for x in xs:
        h = np.tanh(wx * x + W @ h + b)
        hs.append(h)
        ys.append(wy @ h + by)
    return np.array(ys), hs


def backward(dys, hs, xs, wx, W, b, wy, by):
    dwx, dW, db, dwy, dby = np.zeros_like(wx), np.zeros_like(W), np.zeros_like(b), np.zeros_like(wy), 0.0
    dh = np.zeros_like(b)
    for t in range(len(xs) - 1, -1, -1):
        dwy += dys[t] * hs[t + 1]
        dby += dys[t]
        dh = dh + dys[t] * wy
        da = dh * (1 - hs[t + 1] ** 2)
        dwx += da * xs[t]
        dW += np.outer(da, hs[t])
        db += da
        dh = W.T @ da
    return dwx, dW, db, dwy, dby
