import numpy as np

def sg(x): return 1 / (1 + np.exp(-x))

def lstm_f(x, W):
    T, B, D = x.shape
    H = W.shape[1] // 4
    h = np.zeros((B, H)); c = np.zeros((B, H))
    hs = np.zeros((T, B, H)); st = []
    for t in range(T):
        v = np.concatenate((np.ones((B, 1)), x[t], h), 1)
        a = v.dot(W)
        f, i, o = sg(a[:, :H]), sg(a[:, H:2*H]), sg(a[:, 2*H:3*H])
        u = np.tanh(a[:, 3*H:])
        cp = c
        c = f * cp + i * u
        th = np.tanh(c)
        h = o * th
        st.append((v, f, i, o, u, cp, th)); hs[t] = h
    return hs, st

def lstm_b(dhs, st, W, D):
    dW = np.zeros_like(W)
    T, B, H = dhs.shape
    dx = np.zeros((T, B, D))
    dh = np.zeros((B, H)); dc = np.zeros((B, H))
    for t in range(T)[::-1]:
        v, f, i, o, u, cp, th = st[t]
        dh = dh + dhs[t]
        dc = dc + dh * o * (1 - th ** 2)
        da = np.zeros((B, 4 * H))
        da[:, :H] = dc * cp * f * (1 - f)
        da[:, H:2*H] = dc * u * i * (1 - i)
        da[:, 2*H:3*H] = dh * th * o * (1 - o)
        da[:, 3*H:] = dc * i * (1 - u ** 2)
        dW += v.T.dot(da)
        dv = da.dot(W.T)
        dx[t] = dv[:, 1:D+1]
        dh = dv[:, D+1:]
        dc = dc * f
    return dx, dW

def forward(x, Wf, Wb):
    hf, sf = lstm_f(x, Wf)
    hb, sb = lstm_f(x[::-1], Wb)
    return hf + hb[::-1], (sf, sb, x.shape[2])

def backward(dy, cache, Wf, Wb):
    sf, sb, D = cache
    dxf, dWf = lstm_b(dy, sf, Wf, D)
    dxb, dWb = lstm_b(dy[::-1], sb, Wb, D)
    return dxf + dxb[::-1], dWf, dWb
