import numpy as np

def make_rnn(Wx, Wh, b):
    store = {}

    def forward(x, h0):
        hs = [h0]
        for x_t in x:
            hs.append(np.tanh(x_t @ Wx + hs[-1] @ Wh + b))
        store["x"], store["hs"] = x, hs
        return np.array(hs[1:])

    def backward(dh_all):
        x, hs = store["x"], store["hs"]
        dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
        dx = np.zeros_like(x)
        dh = np.zeros_like(hs[0])
        for t in reversed(range(len(x))):
            dh = dh + dh_all[t]
            da = dh * (1 - hs[t + 1] ** 2)
            dWx += x[t].T @ da
            dWh += hs[t].T @ da
            db += da.sum(0)
            dx[t] = da @ Wx.T
            dh = da @ Wh.T
        return dx, dh, dWx, dWh, db

    return forward, backward
