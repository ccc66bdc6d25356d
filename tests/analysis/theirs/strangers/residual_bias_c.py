import numpy as np

def forward(x, h0, A, B, c, gamma):
    T = len(x)
    h = np.empty((T + 1,) + h0.shape); h[0] = h0
    u = np.empty((T,) + h0.shape)
    for t in range(T):
        u[t] = np.tanh(h[t] @ A.T + x[t] @ B.T + c)
        h[t + 1] = h[t] + gamma * u[t]
    return h, u

def backward(dh_out, x, h, u, A, B, c, gamma):
    T = len(x)
    dA, dB, dc, dgamma = np.zeros_like(A), np.zeros_like(B), np.zeros_like(c), np.zeros_like(gamma)
    dx = np.zeros_like(x)
    dh = np.zeros_like(h[0])
    for t in range(T - 1, -1, -1):
        dh += dh_out[t]
        dgamma += (dh * u[t]).sum(axis=0)
        dz = dh * gamma * (1 - u[t] ** 2)
        dA += dz.T @ h[t]
        dB += dz.T @ x[t]
        dc += dz.sum(axis=0)
        dx[t] = dz @ B
        dh = dh + dz @ A
    return dx, dh, dA, dB, dc, dgamma
