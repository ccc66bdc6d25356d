import numpy as np


class ClockworkRNN:
    def __init__(self, n_in, n_hid, periods=(1, 2), seed=0):
        rng = np.random.default_rng(seed)
        self.W_in = rng.standard_normal((n_hid, n_in)) * 0.4
        self.W_h = rng.standard_normal((n_hid, n_hid)) * 0.4
        self.b = rng.standard_normal(n_hid) * 0.1
        self.periods = np.repeat(periods, n_hid // len(periods))

    def forward(self, X):
        T = X.shape[0]
        self.X = X
        self.H = np.zeros((T + 1, self.b.size))
        for t in range(1, T + 1):
            on = (t - 1) % self.periods == 0
            new = np.tanh(self.W_in @ X[t - 1] + self.W_h @ self.H[t - 1] + self.b)
            self.H[t] = np.where(on, new, self.H[t - 1])
        return self.H[1:]

    def backward(self, dH):
        T = self.X.shape[0]
        grad = {"W_in": np.zeros_like(self.W_in), "W_h": np.zeros_like(self.W_h), "b": np.zeros_like(self.b)}
        dX = np.zeros_like(self.X)
        carry = np.zeros_like(self.b)
        for t in range(T, 0, -1):
            on = (t - 1) % self.periods == 0
            d = dH[t - 1] + carry
            dz = np.where(on, d * (1 - self.H[t] ** 2), 0.0)
            grad["W_in"] += np.outer(dz, self.X[t - 1])
            grad["W_h"] += np.outer(dz, self.H[t - 1])
            grad["b"] += dz
            dX[t - 1] = self.W_in.T @ dz
            carry = self.W_h.T @ dz + np.where(on, 0.0, d)
        return dX, grad
