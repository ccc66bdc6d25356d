import numpy as np


def lmu_forward(x, h0, m0, A, B, ex, eh, em, Wx, Wh, Wm):
    """Linear memory: u = ex.x + eh.h + em.m ; m = A m + B u ; h = tanh(Wx x + Wh h + Wm m)"""
    h, m = h0, m0
    hs, cache = [], []
    for xt in x:
        u = xt @ ex + h @ eh + m @ em
        m_new = m @ A.T + np.outer(u, B)
        h_new = np.tanh(xt @ Wx.T + h @ Wh.T + m_new @ Wm.T)
        cache.append((xt, h, m, u, m_new, h_new))
        h, m = h_new, m_new
        hs.append(h)
    return np.stack(hs), cache


def lmu_backward(dhs, cache, A, B, ex, eh, em, Wx, Wh, Wm):
    dA, dB, dex, deh, dem, dWx, dWh, dWm = [np.zeros_like(p) for p in (A, B, ex, eh, em, Wx, Wh, Wm)]
    dh = np.zeros_like(dhs[0])
    dm = np.zeros_like(cache[0][2])
    dxs = []
    for k in reversed(range(len(cache))):
        xt, h, m, u, m_new, h_new = cache[k]
        dz = (dhs[k] + dh) * (1 - h_new * h_new)
        dWx += dz.T @ xt
        dWh += dz.T @ h
        dWm += dz.T @ m_new
        dm_new = dm + dz @ Wm
        dA += dm_new.T @ m
        dB += dm_new.T @ u
        du = dm_new @ B
        dex += xt.T @ du
        deh += h.T @ du
        dem += m.T @ du
        dxs.append(dz @ Wx + np.outer(du, ex))
        dh = dz @ Wh + np.outer(du, eh)
        dm = dm_new @ A + np.outer(du, em)
    return np.stack(dxs[::-1]), dh, dm, dA, dB, dex, deh, dem, dWx, dWh, dWm
