import numpy as np
# fast state h (n), slow state s (k), scalar rate
def forward(x, h0, s0, W, U, V, Q, b, alpha):
    h, s = h0, s0
    hs, ss = [h], [s]
    for xt in x:
        h = np.tanh(xt @ W + h @ U + s @ V + b)
        s = (1 - alpha) * s + alpha * np.tanh(h @ Q)
        hs.append(h); ss.append(s)
    return np.array(hs), np.array(ss)
def backward(x, W, U, V, Q, b, alpha, hs, ss, gh, gs):
    dW, dU, dV, dQ, db = map(np.zeros_like, (W, U, V, Q, b))
    dalpha = 0.0
    dx = np.zeros_like(x)
    dh = np.zeros_like(hs[0]); ds = np.zeros_like(ss[0])
    for t in range(len(x) - 1, -1, -1):
        ds = ds + gs[t + 1]
        dh = dh + gh[t + 1]
        q = np.tanh(hs[t + 1] @ Q)
        dalpha += np.sum(ds * (q - ss[t]))
        dq = alpha * ds * (1 - q * q)
        dQ += hs[t + 1].T @ dq
        dh = dh + dq @ Q.T
        da = dh * (1 - hs[t + 1] ** 2)
        dW += x[t].T @ da; dU += hs[t].T @ da; dV += ss[t].T @ da; db += da.sum(axis=0)
        dx[t] = da @ W.T
        ds = (1 - alpha) * ds + da @ V.T
        dh = da @ U.T
    return dx, dh, ds, dW, dU, dV, dQ, db, dalpha
