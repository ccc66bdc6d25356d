import numpy as np


class Summariser:
    # reads a list of column vectors, answers with one column vector
    def __init__(self, n_in, n_out, n_hidden=32):
        self.A = np.random.randn(n_hidden, n_hidden) * 0.1
        self.B = np.random.randn(n_hidden, n_in) * 0.1
        self.C = np.random.randn(n_out, n_hidden) * 0.1
        self.a = np.zeros((n_hidden, 1))
        self.c = np.zeros((n_out, 1))

    def forward(self, columns):
        self.seen = columns
        self.path = [np.zeros_like(self.a)]
        for v in columns:
            self.path.append(np.tanh(self.A @ self.path[-1] + self.B @ v + self.a))
        return self.C @ self.path[-1] + self.c

    def backward(self, d_answer):
        dA, dB, da = np.zeros_like(self.A), np.zeros_like(self.B), np.zeros_like(self.a)
        dC, dc = d_answer @ self.path[-1].T, d_answer
        s = self.C.T @ d_answer
        for k in range(len(self.seen) - 1, -1, -1):
            s = s * (1 - self.path[k + 1] ** 2)
            da = da + s
            dA = dA + s @ self.path[k].T
            dB = dB + s @ self.seen[k].T
            s = self.A.T @ s
        return dA, dB, dC, da, dc
