"""Minimal gated unit over time, with a dictionary of gradients that is made from keywords."""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def forward(xs, h0, Wf, Uf, bf, Wh, Uh, bh):
    h = h0
    hs, fs, cs = [], [], []
    for x in xs:
        f = sigmoid(x @ Wf + h @ Uf + bf)
        c = np.tanh(x @ Wh + (f * h) @ Uh + bh)
        hs.append(h)
        h = (1 - f) * h + f * c
        fs.append(f)
        cs.append(c)
    return h, (np.stack(hs), np.stack(fs), np.stack(cs))


def backward(dh_last, cache, xs, Wf, Uf, Wh, Uh):
    hs, fs, cs = cache
    dh = dh_last.copy()
    grads = {key: np.zeros_like(value) for key, value in dict(Wf=Wf, Uf=Uf, Wh=Wh, Uh=Uh).items()}
    dbf = np.zeros(Uf.shape[0])
    dbh = np.zeros_like(dbf)
    dxs = np.zeros_like(xs)
    for t in range(len(xs) - 1, -1, -1):
        f, c, h, x = fs[t], cs[t], hs[t], xs[t]
        dac = dh * f * (1 - c * c)
        dfh = dac @ Uh.T
        daf = (dh * (c - h) + dfh * h) * f * (1 - f)
        grads["Wf"] += x.T @ daf
        grads["Uf"] += h.T @ daf
        grads["Wh"] += x.T @ dac
        grads["Uh"] += (f * h).T @ dac
        dbf += daf.sum(0)
        dbh += dac.sum(0)
        dxs[t] = daf @ Wf.T + dac @ Wh.T
        dh = dh * (1 - f) + dfh * f + daf @ Uf.T
    return dxs, dh, grads["Wf"], grads["Uf"], dbf, grads["Wh"], grads["Uh"], dbh
