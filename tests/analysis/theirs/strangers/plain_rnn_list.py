import numpy as np

def forward(x, h0, Wx, Wh, b):
    hs = [h0]
    for t in range(x.shape[0]):
        hs.append(np.tanh(x[t] @ Wx + hs[-1] @ Wh + b))
    return hs, (x, hs, Wx, Wh)

def backward(dhs, cache):
    x, hs, Wx, Wh = cache
    T = x.shape[0]
    dx = np.zeros_like(x)
    dWx, dWh = np.zeros_like(Wx), np.zeros_like(Wh)
    db = np.zeros(Wh.shape[0])
    dh_next = np.zeros_like(hs[0])
    for t in range(T - 1, -1, -1):
        dh = dhs[t + 1] + dh_next
        da = dh * (1 - hs[t + 1] ** 2)
        dx[t] = da @ Wx.T
        dWx += x[t].T @ da
        dWh += hs[t].T @ da
        db += da.sum(axis=0)
        dh_next = da @ Wh.T
    return dx, dh_next + dhs[0], dWx, dWh, db
