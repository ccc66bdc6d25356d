import numpy as np

sigma = lambda z: 1 / (1 + np.exp(-z))

def mgu_step(x, h, p):
    f = sigma(p['Wf'].dot(np.vstack((h, x))) + p['bf'])
    k = np.tanh(p['Wk'].dot(np.vstack((f * h, x))) + p['bk'])
    return (1 - f) * h + f * k, (x, h, f, k)

def mgu_step_back(dh, cache, p, grad):
    x, h, f, k = cache
    n = h.shape[0]
    dk = dh * f * (1 - k**2)
    grad['Wk'] += dk.dot(np.vstack((f * h, x)).T)
    grad['bk'] += dk.sum(axis=1, keepdims=True)
    dfh = p['Wk'].T.dot(dk)
    df = (dh * (k - h) + dfh[:n] * h) * f * (1 - f)
    grad['Wf'] += df.dot(np.vstack((h, x)).T)
    grad['bf'] += df.sum(axis=1, keepdims=True)
    dhx = p['Wf'].T.dot(df)
    return dh * (1 - f) + dfh[:n] * f + dhx[:n], dfh[n:] + dhx[n:]

def forward(xs, h, p):
    hs, caches = [], []
    for x in xs:
        h, cache = mgu_step(x, h, p)
        hs.append(h); caches.append(cache)
    return hs, caches

def backward(dhs, caches, p):
    grad = {k: np.zeros_like(v) for k, v in p.items()}
    dh = np.zeros_like(dhs[0])
    dxs = []
    for d, cache in zip(dhs[::-1], caches[::-1]):
        dh, dx = mgu_step_back(dh + d, cache, p, grad)
        dxs.append(dx)
    return dxs[::-1], dh, grad
