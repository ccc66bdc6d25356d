"""Assignment 4: LSTM with peepholes, batch first."""
import numpy as np


def sig(x):
    return 1. / (1. + np.exp(-x))


def init(d, h, seed=0):
    rng = np.random.RandomState(seed)
    p = {}
    for g in 'ifzo':
        p['W' + g] = rng.randn(d, h) / np.sqrt(d)
        p['R' + g] = rng.randn(h, h) / np.sqrt(h)
        p['b' + g] = np.zeros(h)
    for g in 'ifo':
        p['p' + g] = rng.randn(h)
    return p


def forward(X, p, y0, c0):
    N, T, D = X.shape
    H = y0.shape[1]
    cache = []
    Y = np.zeros((N, T, H))
    y, c = y0, c0
    for t in range(T):
        x = X[:, t]
        i = sig(x @ p['Wi'] + y @ p['Ri'] + c * p['pi'] + p['bi'])
        f = sig(x @ p['Wf'] + y @ p['Rf'] + c * p['pf'] + p['bf'])
        z = np.tanh(x @ p['Wz'] + y @ p['Rz'] + p['bz'])
        cn = z * i + c * f
        o = sig(x @ p['Wo'] + y @ p['Ro'] + cn * p['po'] + p['bo'])
        cache.append((x, y, c, i, f, z, o, cn))
        y = np.tanh(cn) * o
        c = cn
        Y[:, t] = y
    return Y, cache


def backward(dY, cache, p):
    T = len(cache)
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dX = np.zeros((dY.shape[0], T, p['Wi'].shape[0]))
    dy_next = np.zeros_like(dY[:, 0])
    dc_next = np.zeros_like(dY[:, 0])
    t = T - 1
    while t >= 0:
        x, y_prev, c_prev, i, f, z, o, c = cache[t]
        dy = dY[:, t] + dy_next
        tc = np.tanh(c)
        dobar = dy * tc * o * (1 - o)
        dc = dc_next + dy * o * (1 - tc ** 2) + p['po'] * dobar
        dfbar = dc * c_prev * f * (1 - f)
        dibar = dc * z * i * (1 - i)
        dzbar = dc * i * (1 - z ** 2)
        dc_next = dc * f + p['pi'] * dibar + p['pf'] * dfbar
        dy_next = 0
        for g, d in zip('ifzo', (dibar, dfbar, dzbar, dobar)):
            grads['W' + g] += x.T @ d
            grads['R' + g] += y_prev.T @ d
            grads['b' + g] += d.sum(axis=0)
            dy_next = dy_next + d @ p['R' + g].T
            dX[:, t] += d @ p['W' + g].T
        grads['pi'] += np.sum(dibar * c_prev, axis=0)
        grads['pf'] += np.sum(dfbar * c_prev, axis=0)
        grads['po'] += np.sum(dobar * c, axis=0)
        t -= 1
    return dX, grads, dy_next, dc_next
