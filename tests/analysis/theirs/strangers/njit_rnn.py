import numpy as np
from numba import njit


@njit
def rnn_fwd(x, h0, W, U, b):
    T, m = x.shape
    n = h0.shape[0]
    h = np.zeros((T, n))
    prev = h0.copy()
    for t in range(T):
        for i in range(n):
            a = b[i]
            for j in range(m):
                a += W[i, j] * x[t, j]
            for j in range(n):
                a += U[i, j] * prev[j]
            h[t, i] = np.tanh(a)
        prev = h[t].copy()
    return h


@njit
def rnn_bwd(dh, h, x, h0, W, U, b):
    T, m = x.shape
    n = h0.shape[0]
    dW = np.zeros_like(W)
    dU = np.zeros_like(U)
    db = np.zeros_like(b)
    dx = np.zeros_like(x)
    carry = np.zeros(n)
    for t in range(T - 1, -1, -1):
        da = (dh[t] + carry) * (1 - h[t] ** 2)
        prev = h[t - 1] if t > 0 else h0
        for i in range(n):
            for j in range(m):
                dW[i, j] += da[i] * x[t, j]
                dx[t, j] += da[i] * W[i, j]
            for j in range(n):
                dU[i, j] += da[i] * prev[j]
            db[i] += da[i]
        carry = np.zeros(n)
        for i in range(n):
            for j in range(n):
                carry[j] += U[i, j] * da[i]
    return dx, carry, dW, dU, db
