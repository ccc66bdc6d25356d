import numpy as np


def step(x, h, alpha, A, B):
    pre = A.dot(h) + B.dot(x)
    return (1 - alpha) * h + alpha * np.maximum(pre, 0), pre


def step_back(dh_new, x, h, pre, alpha, A, B):
    dpre = alpha * dh_new * (pre > 0)
    dA = np.outer(dpre, h)
    dB = np.outer(dpre, x)
    dalpha = np.sum(dh_new * (np.maximum(pre, 0) - h))
    dx = B.T.dot(dpre)
    dh = (1 - alpha) * dh_new + A.T.dot(dpre)
    return dx, dh, dalpha, dA, dB


def run(xs, h, alpha, A, B):
    trace, hs = [], []
    for x in xs:
        new, pre = step(x, h, alpha, A, B)
        trace.append((x, h, pre))
        h = new
        hs.append(h)
    return np.stack(hs), trace


def run_back(dhs, trace, alpha, A, B):
    dalpha, dA, dB = 0.0, np.zeros_like(A), np.zeros_like(B)
    dxs = np.zeros((len(trace), B.shape[1]))
    dh = np.zeros(A.shape[0])
    for t in range(len(trace) - 1, -1, -1):
        x, h, pre = trace[t]
        dxs[t], dh, da, dA_t, dB_t = step_back(dhs[t] + dh, x, h, pre, alpha, A, B)
        dalpha += da
        dA += dA_t
        dB += dB_t
    return dxs, dh, dalpha, dA, dB
