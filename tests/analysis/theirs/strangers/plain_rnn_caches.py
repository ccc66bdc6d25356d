import numpy as np

def forward(x, h0, Wx, Wh, b):
    """x (T, B, m); returns list of states and list of caches"""
    h = h0
    hs, caches = [], []
    for t in range(len(x)):
        h_prev = h
        a = x[t] @ Wx + h_prev @ Wh + b
        h = np.tanh(a)
        hs.append(h)
        caches.append((x[t], h_prev, h, Wx, Wh))
    return hs, caches

def backward(dhs, caches):
    grads = {"dWx": 0, "dWh": 0, "db": 0}
    dxs = []
    dh_next = 0
    for dh_t, (x_t, h_prev, h, Wx, Wh) in zip(reversed(dhs), reversed(caches)):
        da = (dh_t + dh_next) * (1 - h * h)
        grads["dWx"] += x_t.T @ da
        grads["dWh"] += h_prev.T @ da
        grads["db"] += da.sum(0)
        dxs.append(da @ Wx.T)
        dh_next = da @ Wh.T
    grads["dx"] = np.array(dxs[::-1])
    grads["dh0"] = dh_next
    return grads
