import numpy as np


def loss_and_grad(theta, X, y, reg=0.1):
    """Binary classification with hinge loss on the last state; X (N,T,D), y in {-1, 1}"""
    W, U, b, w, c = theta["W"], theta["U"], theta["b"], theta["w"], theta["c"]
    N, T, D = X.shape
    H = [np.zeros((N, b.size))]
    for t in range(T):
        H.append(np.tanh(X[:, t] @ W + H[t] @ U + b))
    score = H[T] @ w + c
    margin = 1 - y * score
    loss = np.maximum(0, margin).mean() + 0.5 * reg * (W ** 2).sum()
    ds = -(margin > 0).astype(float) * y / N
    grad = {"w": H[T].T @ ds, "c": ds.sum(), "W": reg * W, "U": np.zeros_like(U), "b": np.zeros_like(b)}
    dH = np.outer(ds, w)
    for t in range(T, 0, -1):
        dZ = dH * (1 - H[t] ** 2)
        grad["W"] = grad["W"] + X[:, t - 1].T @ dZ
        grad["U"] += H[t - 1].T @ dZ
        grad["b"] += dZ.sum(0)
        dH = dZ @ U.T
    return loss, grad
