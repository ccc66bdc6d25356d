import numpy as np


def sigm(v):
    return 1.0 / (1.0 + np.exp(-v))


def lstm_fwd(X, W, h0, c0):
    """W is (1 + D + H, 4H), its first row the bias."""
    T, B, D = X.shape
    H = W.shape[1] // 4
    Hin = np.zeros((T, B, 1 + D + H))
    Hout = np.zeros((T, B, H))
    G = np.zeros((T, B, 4 * H))
    C = np.zeros((T, B, H))
    Ct = np.zeros((T, B, H))
    for t in range(T):
        prevh = Hout[t - 1] if t > 0 else h0
        prevc = C[t - 1] if t > 0 else c0
        Hin[t, :, 0] = 1
        Hin[t, :, 1:1 + D] = X[t]
        Hin[t, :, 1 + D:] = prevh
        a = Hin[t] @ W
        G[t, :, :3 * H] = sigm(a[:, :3 * H])
        G[t, :, 3 * H:] = np.tanh(a[:, 3 * H:])
        C[t] = G[t, :, :H] * G[t, :, 3 * H:] + G[t, :, H:2 * H] * prevc
        Ct[t] = np.tanh(C[t])
        Hout[t] = G[t, :, 2 * H:3 * H] * Ct[t]
    return Hout, C[-1], (W, Hin, Hout, G, C, Ct, c0)


def lstm_bwd(dHout, dcn, cache):
    W, Hin, Hout, G, C, Ct, c0 = cache
    T, B, H = Hout.shape
    D = W.shape[0] - 1 - H
    dW = np.zeros_like(W)
    dX = np.zeros((T, B, D))
    dHout = dHout.copy()
    dC = np.zeros_like(C)
    dC[-1] += dcn
    dh0 = np.zeros((B, H))
    dc0 = np.zeros((B, H))
    for t in reversed(range(T)):
        dG = np.zeros((B, 4 * H))
        dG[:, 2 * H:3 * H] = Ct[t] * dHout[t]
        dC[t] += (1 - Ct[t] ** 2) * (G[t, :, 2 * H:3 * H] * dHout[t])
        if t > 0:
            dG[:, H:2 * H] = C[t - 1] * dC[t]
            dC[t - 1] += G[t, :, H:2 * H] * dC[t]
        else:
            dG[:, H:2 * H] = c0 * dC[t]
            dc0 = G[t, :, H:2 * H] * dC[t]
        dG[:, :H] = G[t, :, 3 * H:] * dC[t]
        dG[:, 3 * H:] = G[t, :, :H] * dC[t]
        da = np.zeros_like(dG)
        da[:, 3 * H:] = (1 - G[t, :, 3 * H:] ** 2) * dG[:, 3 * H:]
        y = G[t, :, :3 * H]
        da[:, :3 * H] = y * (1 - y) * dG[:, :3 * H]
        dW += Hin[t].T @ da
        dHin = da @ W.T
        dX[t] = dHin[:, 1:1 + D]
        if t > 0:
            dHout[t - 1] += dHin[:, 1 + D:]
        else:
            dh0 += dHin[:, 1 + D:]
    return dX, dW, dh0, dc0
