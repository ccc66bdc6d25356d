import numpy as np

def forward(x, mask, Wx, Wh, b):
    """x: (B, T, m); mask: (B, T) of 0 and 1."""
    B, T, _ = x.shape
    h = np.zeros((B, T + 1, Wh.shape[0]))
    for t in range(T):
        new = np.tanh(x[:, t] @ Wx + h[:, t] @ Wh + b)
        keep = mask[:, t][:, None]
        h[:, t + 1] = keep * new + (1 - keep) * h[:, t]
    return h

def backward(dh, x, mask, h, Wx, Wh, b):
    B, T, _ = x.shape
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dx = np.zeros_like(x)
    carry = np.zeros((B, Wh.shape[0]))
    for t in reversed(range(T)):
        keep = mask[:, t][:, None]
        total = dh[:, t] + carry
        new = np.tanh(x[:, t] @ Wx + h[:, t] @ Wh + b)
        da = total * keep * (1 - new ** 2)
        dWx += x[:, t].T @ da
        dWh += h[:, t].T @ da
        db += da.sum(axis=0)
        dx[:, t] = da @ Wx.T
        carry = da @ Wh.T + total * (1 - keep)
    return dWx, dWh, db, dx, carry
