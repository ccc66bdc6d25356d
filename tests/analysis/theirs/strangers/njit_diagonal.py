import numpy as np
from numba import njit
@njit
def fwd(x, h0, lam, B, C, D):
    T, m = x.shape
    n = h0.shape[0]
    h = h0.copy()
    hs = np.zeros((T, n))
    ys = np.zeros((T, C.shape[0]))
    for t in range(T):
        a = np.exp(-np.exp(lam))
        h = a * h + np.sqrt(1 - a * a) * (B @ x[t])
        hs[t] = h
        ys[t] = C @ h + D @ x[t]
    return ys, hs
@njit
def bwd(dys, x, h0, lam, B, C, D, hs):
    T, m = x.shape
    dx = np.zeros_like(x)
    dlam = np.zeros_like(lam)
    dB = np.zeros_like(B); dC = np.zeros_like(C); dD = np.zeros_like(D)
    dh = np.zeros_like(h0)
    a = np.exp(-np.exp(lam))
    s = np.sqrt(1 - a * a)
    for t in range(T - 1, -1, -1):
        dh = dh + C.T @ dys[t]
        dC += np.outer(dys[t], hs[t])
        dD += np.outer(dys[t], x[t])
        hp = hs[t - 1] if t > 0 else h0
        u = B @ x[t]
        da = dh * hp - dh * u * a / s
        dlam += da * a * (-np.exp(lam))
        du = dh * s
        dB += np.outer(du, x[t])
        dx[t] = B.T @ du + D.T @ dys[t]
        dh = a * dh
    return dx, dh, dlam, dB, dC, dD
