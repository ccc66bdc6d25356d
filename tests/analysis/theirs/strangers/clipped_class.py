import numpy as np


class Rnn:
    def __init__(self, input_size, hidden_size, output_size):
        s = np.random.RandomState(0)
        self.h0 = np.zeros((hidden_size, 1))
        self.W_xh = s.randn(hidden_size, input_size) * 0.1
        self.W_hh = s.randn(hidden_size, hidden_size) * 0.1
        self.W_hy = s.randn(output_size, hidden_size) * 0.1
        self.b_h = np.zeros((hidden_size, 1))
        self.b_y = np.zeros((output_size, 1))

    def forward(self, inputs):
        h = self.h0
        self.inputs, self.hs, ys = inputs, {-1: h}, []
        for t, x in enumerate(inputs):
            h = np.tanh(self.W_xh @ x + self.W_hh @ h + self.b_h)
            self.hs[t] = h
            ys.append(self.W_hy @ h + self.b_y)
        return ys

    def backward(self, dys, clip=5.0):
        g = {n: np.zeros_like(getattr(self, n)) for n in ("W_xh", "W_hh", "W_hy", "b_h", "b_y")}
        dh = np.zeros_like(self.h0)
        for t in reversed(range(len(self.inputs))):
            g["W_hy"] += dys[t] @ self.hs[t].T
            g["b_y"] += dys[t]
            da = (self.W_hy.T @ dys[t] + dh) * (1 - self.hs[t] ** 2)
            g["b_h"] += da
            g["W_xh"] += da @ self.inputs[t].T
            g["W_hh"] += da @ self.hs[t - 1].T
            dh = self.W_hh.T @ da
        g["h0"] = dh
        for k in g:
            np.clip(g[k], -clip, clip, out=g[k])
        return g
