import numpy as np


def forward(x, h0, W, U, b):
    h = h0.copy()
    tape, out = [], np.zeros((len(x), *h0.shape))
    for t in range(len(x)):
        tape.append(h.copy())
        h[:] = np.tanh(x[t] @ W + h @ U + b)
        out[t] = h
    return out, tape


def backward(dout, tape, out, x, W, U, b):
    dW, dU, db, dx = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b), np.zeros_like(x)
    dh = np.zeros_like(dout[0])
    for t in reversed(range(len(x))):
        dh += dout[t]
        da = dh * (1 - out[t] ** 2)
        dW += x[t].T @ da
        dU += tape[t].T @ da
        db += da.sum(0)
        dx[t] = da @ W.T
        dh = da @ U.T
    return dx, dh, dW, dU, db
