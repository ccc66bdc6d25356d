import numpy as np

def forward(x, h0, Wx, Wh, b):
    h = h0
    hs = []
    for xt in x:
        h = np.tanh(xt @ Wx + h @ Wh + b)
        hs.append(h)
    return hs

def backward(dhs, x, h0, hs, Wx, Wh):
    dWx = np.zeros(Wx.shape); dWh = np.zeros(Wh.shape); db = np.zeros(Wh.shape[1])
    dx = np.zeros(x.shape)
    dh = np.zeros(h0.shape)
    for t in reversed(range(len(hs))):
        prev = hs[t-1] if t > 0 else h0
        dh = dh + dhs[t]
        dz = dh * (1 - hs[t]**2)
        db += dz.sum(axis=0)
        dWx += x[t].T @ dz
        dWh += prev.T @ dz
        dx[t] = dz @ Wx.T
        dh = dz @ Wh.T
    return {"dx": dx, "dh0": dh, "dWx": dWx, "dWh": dWh, "db": db}
