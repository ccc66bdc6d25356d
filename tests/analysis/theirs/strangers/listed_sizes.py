import numpy as np


class IndRNN:
    """Two layers; h_t = relu(W x_t + u * h_{t-1} + b)."""

    def __init__(self, sizes, seed=0):
        rng = np.random.default_rng(seed)
        self.W = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in zip(sizes[:-1], sizes[1:])]
        self.u = [rng.uniform(0, 1, b) for b in sizes[1:]]
        self.b = [np.zeros(b) for b in sizes[1:]]

    def forward(self, x):
        self.cache = []
        for W, u, b in zip(self.W, self.u, self.b):
            B, T, _ = x.shape
            h = np.zeros((B, T + 1, len(b)))
            for t in range(T):
                h[:, t + 1] = np.maximum(0, x[:, t] @ W.T + u * h[:, t] + b)
            self.cache.append((x, h))
            x = h[:, 1:]
        return x

    def backward(self, d):
        self.dW, self.du, self.db = [], [], []
        for (x, h), W, u in zip(self.cache[::-1], self.W[::-1], self.u[::-1]):
            B, T, _ = x.shape
            dW, du, db = np.zeros_like(W), np.zeros_like(u), np.zeros_like(u)
            carry = np.zeros((B, len(u)))
            dx = np.zeros_like(x)
            for t in reversed(range(T)):
                da = (d[:, t] + carry) * (h[:, t + 1] > 0)
                dW += da.T @ x[:, t]
                du += (da * h[:, t]).sum(axis=0)
                db += da.sum(axis=0)
                dx[:, t] = da @ W
                carry = da * u
            self.dW.insert(0, dW)
            self.du.insert(0, du)
            self.db.insert(0, db)
            d = dx
        return d
