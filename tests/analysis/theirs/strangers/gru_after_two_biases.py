import numpy as np

def sigm(a): return 0.5 * (np.tanh(0.5 * a) + 1)

def gru_forward(x, h0, w_ih, w_hh, b_ih, b_hh):
    """(T, N, D), torch style weights r, z, n"""
    hidden = h0.shape[-1]
    h = h0
    outputs, cache = [], []
    for xt in x:
        gi = xt.dot(w_ih.T) + b_ih
        gh = h.dot(w_hh.T) + b_hh
        i_r, i_z, i_n = np.split(gi, 3, axis=1)
        h_r, h_z, h_n = np.split(gh, 3, axis=1)
        r = sigm(i_r + h_r)
        z = sigm(i_z + h_z)
        n = np.tanh(i_n + r * h_n)
        h_new = n + z * (h - n)
        cache.append((xt, h, r, z, n, h_n))
        h = h_new
        outputs.append(h)
    return np.stack(outputs), cache

def gru_backward(grad_out, cache, w_ih, w_hh):
    g_wih = np.zeros_like(w_ih); g_whh = np.zeros_like(w_hh)
    g_bih = np.zeros(w_ih.shape[0]); g_bhh = np.zeros(w_hh.shape[0])
    g_x = [None] * len(cache)
    g_h = np.zeros_like(grad_out[0])
    for t in range(len(cache) - 1, -1, -1):
        xt, h_prev, r, z, n, h_n = cache[t]
        g_h = g_h + grad_out[t]
        g_z = g_h * (h_prev - n) * z * (1 - z)
        g_n = g_h * (1 - z) * (1 - n ** 2)
        g_r = g_n * h_n * r * (1 - r)
        g_gi = np.hstack([g_r, g_z, g_n])
        g_gh = np.hstack([g_r, g_z, g_n * r])
        g_wih += g_gi.T.dot(xt)
        g_whh += g_gh.T.dot(h_prev)
        g_bih += g_gi.sum(0)
        g_bhh += g_gh.sum(0)
        g_x[t] = g_gi.dot(w_ih)
        g_h = g_h * z + g_gh.dot(w_hh)
    return np.stack(g_x), g_h, g_wih, g_whh, g_bih, g_bhh
