import numpy as np

def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))

class LSTM:
    """LSTM layer, concatenated input [h, x]. Gate order f, i, g, o."""

    def __init__(self, input_dim, hidden_dim):
        self.D, self.H = input_dim, hidden_dim
        scale = 1.0 / np.sqrt(hidden_dim)
        self.W = np.random.uniform(-scale, scale, (input_dim + hidden_dim, 4 * hidden_dim))
        self.b = np.zeros(4 * hidden_dim)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def forward(self, X):
        # X: (batch, time, dim)
        N, T, D = X.shape
        H = self.H
        self.X = X
        self.h = np.zeros((N, T + 1, H))
        self.c = np.zeros((N, T + 1, H))
        self.gates = np.zeros((N, T, 4 * H))
        for t in range(T):
            z = np.concatenate([self.h[:, t - 1], X[:, t]], axis=1)
            a = z @ self.W + self.b
            f = sigmoid(a[:, :H])
            i = sigmoid(a[:, H:2*H])
            g = np.tanh(a[:, 2*H:3*H])
            o = sigmoid(a[:, 3*H:])
            self.c[:, t] = f * self.c[:, t - 1] + i * g
            self.h[:, t] = o * np.tanh(self.c[:, t])
            self.gates[:, t] = np.concatenate([f, i, g, o], axis=1)
        return self.h[:, :T]

    def backward(self, dH):
        N, T, D = self.X.shape
        H = self.H
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)
        dX = np.zeros_like(self.X)
        dh_next = np.zeros((N, H))
        dc_next = np.zeros((N, H))
        for t in reversed(range(T)):
            f, i, g, o = np.split(self.gates[:, t], 4, axis=1)
            c = self.c[:, t]
            dh = dH[:, t] + dh_next
            tc = np.tanh(c)
            do = dh * tc
            dc = dh * o * (1 - tc * tc) + dc_next
            df = dc * self.c[:, t - 1]
            di = dc * g
            dg = dc * i
            da = np.concatenate([df * f * (1 - f), di * i * (1 - i), dg * (1 - g * g), do * o * (1 - o)], axis=1)
            z = np.concatenate([self.h[:, t - 1], self.X[:, t]], axis=1)
            self.dW += z.T @ da
            self.db += da.sum(axis=0)
            dz = da @ self.W.T
            dh_next = dz[:, :H]
            dX[:, t] = dz[:, H:]
            dc_next = dc * f
        return dX
