import numpy as np


def sg(a):
    return 1 / (1 + np.exp(-a))


def run(x, h0, A, B, C, D, p, q):
    """Own cell: k = sg(A x + B h + p); h' = k * h + (1 - k) * sin(C x + D (h * h) + q)."""
    h, log = h0, []
    out = np.zeros((x.shape[0], x.shape[1], h0.shape[1]))
    for t in range(x.shape[1]):
        k = sg(x[:, t] @ A.T + h @ B.T + p)
        u = x[:, t] @ C.T + (h * h) @ D.T + q
        log.append((h, k, u))
        h = k * h + (1 - k) * np.sin(u)
        out[:, t] = h
    return out, log


def back(dout, log, x, A, B, C, D, p, q):
    gA, gB, gC, gD, gp, gq = (np.zeros_like(w) for w in (A, B, C, D, p, q))
    gx = np.zeros_like(x)
    gh = np.zeros_like(dout[:, 0])
    for t in reversed(range(len(log))):
        h, k, u = log[t]
        gh = gh + dout[:, t]
        gu = gh * (1 - k) * np.cos(u)
        gk = gh * (h - np.sin(u)) * k * (1 - k)
        gA += gk.T @ x[:, t]
        gB += gk.T @ h
        gC += gu.T @ x[:, t]
        gD += gu.T @ (h * h)
        gp += gk.sum(0)
        gq += gu.sum(0)
        gx[:, t] = gk @ A + gu @ C
        gh = gh * k + gk @ B + 2 * h * (gu @ D)
    return gx, gh, gA, gB, gC, gD, gp, gq
