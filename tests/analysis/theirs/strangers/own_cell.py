import numpy as np

def forward(x, h0, W, U, V, b):
    """leaky gated thing of my own: h = h + 0.3 * (tanh(Wx + Uh + b) * cos(Vh) - h)"""
    h = h0
    hs, cache = [], []
    for t in range(x.shape[0]):
        a = np.tanh(x[t] @ W + h @ U + b)
        q = h @ V
        k = np.cos(q)
        new = h + 0.3 * (a * k - h)
        cache.append((x[t], h, a, q, k))
        h = new
        hs.append(h)
    return np.array(hs), cache

def backward(dhs, cache, W, U, V):
    dW = np.zeros_like(W); dU = np.zeros_like(U); dV = np.zeros_like(V); db = np.zeros(U.shape[1])
    dx = np.zeros((len(cache),) + cache[0][0].shape)
    dh = np.zeros_like(cache[0][1])
    for t in reversed(range(len(cache))):
        xt, hp, a, q, k = cache[t]
        dh = dh + dhs[t]
        da = 0.3 * dh * k * (1 - a ** 2)
        dq = -0.3 * dh * a * np.sin(q)
        dW += xt.T @ da
        dU += hp.T @ da
        dV += hp.T @ dq
        db += da.sum(axis=0)
        dx[t] = da @ W.T
        dh = 0.7 * dh + da @ U.T + dq @ V.T
    return dx, dh, dW, dU, dV, db
