import numpy as np


def softmax(s):
    e = np.exp(s - s.max())
    return e / e.sum()


def forward(xs, Wx, Wh, Wa, Wc, b):
    """An RNN that attends over all of its past states. xs: (T, d)."""
    T, n = len(xs), len(b)
    H = np.zeros((T + 1, n))
    alphas, ctxs = [], []
    for t in range(T):
        scores = H[:t + 1] @ (Wa @ H[t])
        alpha = softmax(scores)
        ctx = alpha @ H[:t + 1]
        H[t + 1] = np.tanh(Wx @ xs[t] + Wh @ H[t] + Wc @ ctx + b)
        alphas.append(alpha)
        ctxs.append(ctx)
    return H[1:], (xs, H, alphas, ctxs)


def backward(dout, cache, Wx, Wh, Wa, Wc, b):
    xs, H, alphas, ctxs = cache
    T = len(xs)
    gWx, gWh, gWa, gWc, gb = (np.zeros_like(w) for w in (Wx, Wh, Wa, Wc, b))
    gxs = np.zeros_like(xs)
    gH = np.zeros_like(H)
    gH[1:] += dout
    for t in range(T - 1, -1, -1):
        ga = gH[t + 1] * (1 - H[t + 1] ** 2)
        gWx += np.outer(ga, xs[t])
        gWh += np.outer(ga, H[t])
        gWc += np.outer(ga, ctxs[t])
        gb += ga
        gxs[t] = Wx.T @ ga
        gH[t] += Wh.T @ ga
        gctx = Wc.T @ ga
        galpha = H[:t + 1] @ gctx
        gH[:t + 1] += np.outer(alphas[t], gctx)
        gs = alphas[t] * (galpha - alphas[t] @ galpha)
        q = Wa @ H[t]
        gH[:t + 1] += np.outer(gs, q)
        gq = gs @ H[:t + 1]
        gWa += np.outer(gq, H[t])
        gH[t] += Wa.T @ gq
    return gxs, gWx, gWh, gWa, gWc, gb
