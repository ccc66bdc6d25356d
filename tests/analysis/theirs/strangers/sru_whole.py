import numpy as np


def sru_forward(x, c0, W, Wf, bf, Wr, br):
    T = len(x)
    u = x @ W.T
    f = 1 / (1 + np.exp(-(x @ Wf.T + bf)))
    r = 1 / (1 + np.exp(-(x @ Wr.T + br)))
    c = np.zeros_like(u)
    prev = c0
    for t in range(T):
        c[t] = f[t] * prev + (1 - f[t]) * u[t]
        prev = c[t]
    h = r * np.tanh(c)
    return h, (x, c0, u, f, r, c)


def sru_backward(dh, cache, W, Wf, Wr):
    x, c0, u, f, r, c = cache
    T = len(x)
    g = np.tanh(c)
    dr = dh * g
    dc_all = dh * r * (1 - g ** 2)
    du, df = np.zeros_like(u), np.zeros_like(f)
    carry = np.zeros_like(c0)
    for t in range(T - 1, -1, -1):
        d = dc_all[t] + carry
        before = c[t - 1] if t else c0
        df[t] = d * (before - u[t])
        du[t] = d * (1 - f[t])
        carry = d * f[t]
    daf = df * f * (1 - f)
    dar = dr * r * (1 - r)
    dx = du @ W + daf @ Wf + dar @ Wr
    dW = np.einsum("tbi,tbj->ij", du, x)
    dWf = np.einsum("tbi,tbj->ij", daf, x)
    dWr = np.einsum("tbi,tbj->ij", dar, x)
    return dx, carry, dW, dWf, daf.sum((0, 1)), dWr, dar.sum((0, 1))
