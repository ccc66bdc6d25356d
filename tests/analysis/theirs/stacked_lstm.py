"""An LSTM on one sequence of column vectors, each gate with one matrix for [h; x]."""

import numpy as np


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def lstm_forward(xs, h0, c0, p):
    h, c = h0, c0
    hs, caches = [], []
    for x in xs:
        hx = np.vstack((h, x))
        f = sigmoid(p["Wf"] @ hx + p["bf"])
        i = sigmoid(p["Wi"] @ hx + p["bi"])
        cc = np.tanh(p["Wc"] @ hx + p["bc"])
        o = sigmoid(p["Wo"] @ hx + p["bo"])
        c_old, c = c, f * c + i * cc
        h = o * np.tanh(c)
        hs.append(h)
        caches.append((hx, f, i, cc, o, c_old, c))
    return hs, caches


def lstm_backward(dhs, caches, p):
    n = dhs[0].shape[0]
    d = {key: np.zeros_like(value) for key, value in p.items()}
    dxs = [None] * len(dhs)
    dh_next = np.zeros((n, 1))
    dc_next = np.zeros((n, 1))
    for t in reversed(range(len(dhs))):
        hx, f, i, cc, o, c_old, c = caches[t]
        dh = dhs[t] + dh_next
        do = dh * np.tanh(c) * o * (1 - o)
        dc = dh * o * (1 - np.tanh(c) ** 2) + dc_next
        df = dc * c_old * f * (1 - f)
        di = dc * cc * i * (1 - i)
        dcc = dc * i * (1 - cc * cc)
        d["Wf"] += df @ hx.T
        d["Wi"] += di @ hx.T
        d["Wc"] += dcc @ hx.T
        d["Wo"] += do @ hx.T
        d["bf"] += df
        d["bi"] += di
        d["bc"] += dcc
        d["bo"] += do
        dhx = p["Wf"].T @ df + p["Wi"].T @ di + p["Wc"].T @ dcc + p["Wo"].T @ do
        dh_next = dhx[:n]
        dxs[t] = dhx[n:]
        dc_next = dc * f
    return dxs, dh_next, dc_next, d
