import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def cell_forward(x, h, c, W, b):
    z = np.concatenate([h, x], axis=1) @ W.T + b
    i, f, o, g = np.split(z, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    c2 = f * c + i * g
    h2 = o * np.tanh(c2)
    return h2, c2, (x, h, c, i, f, o, g, c2)


def cell_backward(dh, dc, cache, W):
    x, h, c, i, f, o, g, c2 = cache
    tc = np.tanh(c2)
    dc = dc + dh * o * (1 - tc ** 2)
    dz = np.concatenate([dc * g * i * (1 - i), dc * c * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g ** 2)], axis=1)
    dhx = dz @ W
    n = h.shape[1]
    return dhx[:, n:], dhx[:, :n], dc * f, dz.T @ np.concatenate([h, x], axis=1), dz.sum(axis=0)


def net_forward(x, Ws, bs):
    """x: (T, B, D)"""
    L = len(Ws)
    B = x.shape[1]
    h = [np.zeros((B, b.size // 4)) for b in bs]
    c = [np.zeros((B, b.size // 4)) for b in bs]
    caches, out = [], []
    for t in range(len(x)):
        inp = x[t]
        row = []
        for l in range(L):
            h[l], c[l], cache = cell_forward(inp, h[l], c[l], Ws[l], bs[l])
            row.append(cache)
            inp = h[l]
        caches.append(row)
        out.append(inp)
    return np.array(out), caches


def net_backward(dout, caches, Ws):
    L = len(Ws)
    dWs = [np.zeros_like(W) for W in Ws]
    dbs = [np.zeros(W.shape[0]) for W in Ws]
    B = dout.shape[1]
    dh = [np.zeros((B, W.shape[0] // 4)) for W in Ws]
    dc = [np.zeros((B, W.shape[0] // 4)) for W in Ws]
    dx = [None] * len(dout)
    for t in reversed(range(len(dout))):
        d = dout[t]
        for l in reversed(range(L)):
            d, dh[l], dc[l], gW, gb = cell_backward(dh[l] + d, dc[l], caches[t][l], Ws[l])
            dWs[l] += gW
            dbs[l] += gb
        dx[t] = d
    return np.array(dx), dWs, dbs
