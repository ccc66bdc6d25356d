import numpy as np


def forward(seqs, W, U, b):
    """seqs: list of arrays (T_i, D); returns last hidden state of each"""
    outs, tapes = [], []
    for x in seqs:
        h = np.zeros(len(b))
        hs = [h]
        for x_t in x:
            h = np.tanh(W @ x_t + U @ h + b)
            hs.append(h)
        outs.append(h)
        tapes.append(hs)
    return np.array(outs), tapes


def backward(dout, seqs, tapes, W, U, b):
    dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    for x, hs, d in zip(seqs, tapes, dout):
        dh = d
        for x_t, h_prev, h in zip(x[::-1], hs[-2::-1], hs[:0:-1]):
            dz = (1 - h ** 2) * dh
            dW += np.outer(dz, x_t)
            dU += np.outer(dz, h_prev)
            db += dz
            dh = U.T @ dz
    return dW, dU, db
