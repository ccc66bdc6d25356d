import numpy as np
from numpy import einsum, tanh, zeros, zeros_like


def sigma(a):
    return 1 / (1 + np.exp(-a))


def forward(X, Wk, Wq, Wv, lam):
    """Linear attention with a decaying matrix state: X is (T, B, d), from a state of zeros."""
    S, Y, saved = zeros((X.shape[1], Wk.shape[1], Wv.shape[1])), [], []
    decay = sigma(lam)
    for x in X:
        k, q, v = tanh(einsum("bd,dn->bn", x, Wk)), einsum("bd,dn->bn", x, Wq), einsum("bd,dn->bn", x, Wv)
        S_prev = S
        S = einsum("i,bij->bij", decay, S_prev) + einsum("bi,bj->bij", k, v)
        Y.append(einsum("bi,bij->bj", q, S))
        saved.append((x, k, q, v, S_prev, S))
    return np.stack(Y), saved


def backward(dY, saved, Wk, Wq, Wv, lam):
    decay = sigma(lam)
    dWk, dWq, dWv, dlam = zeros_like(Wk), zeros_like(Wq), zeros_like(Wv), zeros_like(lam)
    dX = zeros((len(saved),) + saved[0][0].shape)
    dS = zeros_like(saved[0][4])
    for t in reversed(range(len(saved))):
        x, k, q, v, S_prev, S = saved[t]
        dq = einsum("bij,bj->bi", S, dY[t])
        dS = dS + einsum("bi,bj->bij", q, dY[t])
        dk = einsum("bij,bj->bi", dS, v) * (1 - k**2)
        dv = einsum("bij,bi->bj", dS, k)
        dlam += einsum("bij,bij->i", dS, S_prev) * decay * (1 - decay)
        dWk += einsum("bd,bn->dn", x, dk)
        dWq += einsum("bd,bn->dn", x, dq)
        dWv += einsum("bd,bn->dn", x, dv)
        dX[t] = einsum("bn,dn->bd", dk, Wk) + einsum("bn,dn->bd", dq, Wq) + einsum("bn,dn->bd", dv, Wv)
        dS = einsum("i,bij->bij", decay, dS)
    return dX, dWk, dWq, dWv, dlam
