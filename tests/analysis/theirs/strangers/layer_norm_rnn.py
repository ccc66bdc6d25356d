import numpy as np

def norm_forward(a, g, b, eps=1e-5):
    mu = a.mean(axis=1, keepdims=True)
    var = ((a - mu) ** 2).mean(axis=1, keepdims=True)
    inv = 1.0 / np.sqrt(var + eps)
    xhat = (a - mu) * inv
    return g * xhat + b, (xhat, inv, g)

def norm_backward(dout, cache):
    xhat, inv, g = cache
    dg = (dout * xhat).sum(axis=0)
    db = dout.sum(axis=0)
    dxhat = dout * g
    da = inv * (dxhat - dxhat.mean(axis=1, keepdims=True) - xhat * (dxhat * xhat).mean(axis=1, keepdims=True))
    return da, dg, db

def forward(x, h0, Wx, Wh, g, b):
    """x: N x T x D"""
    N, T, D = x.shape
    H = h0.shape[1]
    out = np.zeros((N, T, H))
    caches = []
    h = h0
    for t in range(T):
        a = x[:, t].dot(Wx) + h.dot(Wh)
        n, nc = norm_forward(a, g, b)
        h_next = np.tanh(n)
        caches.append((x[:, t], h, h_next, nc))
        h = h_next
        out[:, t] = h
    return out, caches

def backward(dout, caches, Wx, Wh):
    N, T, H = dout.shape
    D = Wx.shape[0]
    dx = np.zeros((N, T, D))
    dWx, dWh = np.zeros_like(Wx), np.zeros_like(Wh)
    dg, db = np.zeros(H), np.zeros(H)
    dh = np.zeros((N, H))
    for t in reversed(range(T)):
        xt, h, h_next, nc = caches[t]
        dh = dh + dout[:, t]
        dn = dh * (1 - h_next ** 2)
        da, dg_t, db_t = norm_backward(dn, nc)
        dg += dg_t
        db += db_t
        dx[:, t] = da.dot(Wx.T)
        dWx += xt.T.dot(da)
        dWh += h.T.dot(da)
        dh = da.dot(Wh.T)
    return dx, dh, dWx, dWh, dg, db
