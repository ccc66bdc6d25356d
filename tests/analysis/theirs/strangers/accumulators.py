import numpy as np


def forward(x, h0, W, U, bx, bh):
    hs = [h0]
    for x_t in x:
        hs.append(np.tanh(x_t @ W + bx + hs[-1] @ U * (1 + bh)))
    return np.array(hs[1:]), hs


def backward(dhs, hs, x, W, U, bx, bh):
    dW, dU = np.zeros_like(W), np.zeros_like(U)
    dbx, dbh = np.zeros(len(bx)), np.zeros(len(bh))
    dx, carry = np.zeros_like(x), np.zeros_like(hs[0])
    for t in reversed(range(len(x))):
        da = (dhs[t] + carry) * (1 - hs[t + 1] ** 2)
        m = hs[t] @ U
        dm = da * (1 + bh)
        dbx += da.sum(0)
        dbh += (da * m).sum(0)
        dW += x[t].T @ da
        dU += hs[t].T @ dm
        dx[t] = da @ W.T
        carry = dm @ U.T
    return dx, carry, dW, dU, dbx, dbh
