import numpy as np


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


class LSTMLayer:
    """One LSTM layer that keeps its own weights, gradients and cache."""

    def __init__(self, n_in, n_out, rng):
        self.n_out = n_out
        self.W = rng.normal(0, 1 / np.sqrt(n_in), (n_in, 4 * n_out))
        self.R = rng.normal(0, 1 / np.sqrt(n_out), (n_out, 4 * n_out))
        self.b = np.zeros(4 * n_out)

    def forward(self, xs):
        T, B, _ = xs.shape
        h = np.zeros((B, self.n_out))
        c = np.zeros((B, self.n_out))
        self.xs, self.steps = xs, []
        out = []
        for t in range(T):
            i, f, g, o = np.split(xs[t] @ self.W + h @ self.R + self.b, 4, axis=1)
            i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
            c_new = f * c + i * g
            self.steps.append((h, c, i, f, g, o, np.tanh(c_new)))
            h, c = o * np.tanh(c_new), c_new
            out.append(h)
        return np.stack(out)

    def backward(self, douts):
        self.dW = np.zeros_like(self.W)
        self.dR = np.zeros_like(self.R)
        self.db = np.zeros_like(self.b)
        dxs = np.zeros_like(self.xs)
        dh = np.zeros_like(douts[0])
        dc = np.zeros_like(douts[0])
        for t in reversed(range(len(douts))):
            h, c, i, f, g, o, tc = self.steps[t]
            dh = dh + douts[t]
            dc = dc + dh * o * (1 - tc**2)
            da = np.hstack([dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh * tc * o * (1 - o)])
            self.dW += xs_t(self.xs, t) @ da
            self.dR += h.T @ da
            self.db += da.sum(0)
            dxs[t] = da @ self.W.T
            dh = da @ self.R.T
            dc = dc * f
        return dxs


def xs_t(xs, t):
    return xs[t].T


class StackedLSTM:
    def __init__(self, input_size, hidden_size, num_layers=2, seed=0):
        rng = np.random.default_rng(seed)
        sizes = [input_size] + [hidden_size] * num_layers
        self.layers = [LSTMLayer(a, b, rng) for a, b in zip(sizes, sizes[1:])]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout):
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout
