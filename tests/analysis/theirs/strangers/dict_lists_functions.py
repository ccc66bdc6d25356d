import numpy as np


def forward(x, p):
    L = len(p['W'])
    nh = p['R'][0].shape[0]
    h = np.zeros((L, len(x) + 1, nh))
    for t in range(len(x)):
        inp = x[t]
        for l in range(L):
            h[l, t + 1] = np.tanh(p['W'][l] @ inp + p['R'][l] @ h[l, t] + p['b'][l])
            inp = h[l, t + 1]
    return h[-1, 1:], (x, h)


def backward(dout, cache, p):
    x, h = cache
    g = {k: [np.zeros_like(a) for a in v] for k, v in p.items()}
    dh = [0 * b for b in p['b']]
    for t in reversed(range(len(x))):
        up = dout[t]
        for l in reversed(range(len(p['W']))):
            da = (up + dh[l]) * (1 - h[l, t + 1] ** 2)
            g['W'][l] += np.outer(da, x[t] if l == 0 else h[l - 1, t + 1])
            g['R'][l] += np.outer(da, h[l, t])
            g['b'][l] += da
            dh[l] = p['R'][l].T @ da
            up = p['W'][l].T @ da
    return g
