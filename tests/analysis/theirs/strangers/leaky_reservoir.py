import numpy as np


def run_reservoir(u, W_in, W, W_out, leak):
    """u: (T, K). returns outputs (T, L) and the states (T+1, N)"""
    T = u.shape[0]
    X = np.zeros((T + 1, W.shape[0]))
    A = np.zeros((T, W.shape[0]))
    for n in range(1, T + 1):
        A[n - 1] = np.tanh(W_in.dot(np.r_[1.0, u[n - 1]]) + W.dot(X[n - 1]))
        X[n] = (1.0 - leak) * X[n - 1] + leak * A[n - 1]
    return X[1:].dot(W_out.T), X, A


def grad_reservoir(dY, u, X, A, W_in, W, W_out, leak):
    T = u.shape[0]
    gW_in, gW = np.zeros_like(W_in), np.zeros_like(W)
    gW_out = dY.T.dot(X[1:])
    gleak = 0.0
    lam = np.zeros(W.shape[0])
    for n in range(T, 0, -1):
        lam = lam + W_out.T.dot(dY[n - 1])
        gleak += np.dot(lam, A[n - 1] - X[n - 1])
        mu = leak * lam * (1.0 - A[n - 1] ** 2)
        gW += np.outer(mu, X[n - 1])
        gW_in += np.outer(mu, np.r_[1.0, u[n - 1]])
        lam = (1.0 - leak) * lam + W.T.dot(mu)
    return gW_in, gW, gW_out, gleak
