import numpy as np
def sig(z): return 1/(1+np.exp(-z))
def forward(params, xs, h0, p0):
    T = len(xs)
    h, p = h0, p0
    cache = []
    hs = []
    for t in range(T):
        d = np.tanh(params["W_pd"] @ p + params["b_d"])
        a = params["W_hh"] @ h + params["W_xh"] @ xs[t] + d
        hn = np.tanh(a + params["b_h"])
        g = sig(params["W_hg"] @ hn + params["b_g"])
        pn = (1 - g) * p + g * np.tanh(params["W_hp"] @ hn)
        cache.append((h, p, d, hn, g, np.tanh(params["W_hp"] @ hn)))
        h, p = hn, pn
        hs.append(h)
    return np.stack(hs), (h, p, cache)
def backward(params, xs, h0, p0, dhs):
    hs, (h, p, cache) = forward(params, xs, h0, p0)
    grads = {k: np.zeros_like(v) for k, v in params.items()}
    dh, dp = np.zeros_like(h0), np.zeros_like(p0)
    dxs = np.zeros_like(xs)
    for t in reversed(range(len(xs))):
        h, p, d, hn, g, q = cache[t]
        dh = dh + dhs[t]
        dg = dp * (q - p)
        dq = dp * g
        dpprev = dp * (1 - g)
        dzq = dq * (1 - q**2)
        grads["W_hp"] += np.outer(dzq, hn)
        dh = dh + params["W_hp"].T @ dzq
        dzg = dg * g * (1 - g)
        grads["W_hg"] += np.outer(dzg, hn)
        grads["b_g"] += dzg
        dh = dh + params["W_hg"].T @ dzg
        da = dh * (1 - hn**2)
        grads["b_h"] += da
        grads["W_hh"] += np.outer(da, h)
        grads["W_xh"] += np.outer(da, xs[t])
        dxs[t] = params["W_xh"].T @ da
        dd = da * (1 - d**2)
        grads["W_pd"] += np.outer(dd, p)
        grads["b_d"] += dd
        dp = dpprev + params["W_pd"].T @ dd
        dh = params["W_hh"].T @ da
    return grads, dxs, dh, dp
