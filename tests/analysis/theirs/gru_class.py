"""A GRU as a class that keeps its weights, caches and gradients as attributes; time first."""

import numpy as np


class GRU:
    """h = z * h_prev + (1 - z) * n, with the reset gate before the product."""

    def __init__(self, input_size, hidden_size, seed=0):
        rng = np.random.default_rng(seed)
        D, H = input_size, hidden_size
        self.W_z, self.U_z, self.b_z = rng.normal(size=(H, D)), rng.normal(size=(H, H)), np.zeros(H)
        self.W_r, self.U_r, self.b_r = rng.normal(size=(H, D)), rng.normal(size=(H, H)), np.zeros(H)
        self.W_n, self.U_n, self.b_n = rng.normal(size=(H, D)), rng.normal(size=(H, H)), np.zeros(H)
        self.grads = {}

    @staticmethod
    def sigmoid(a):
        return 1.0 / (1.0 + np.exp(-a))

    def forward(self, x, h0):
        self.x, self.steps = x, []
        h, out = h0, []
        for x_t in x:
            z = self.sigmoid(x_t @ self.W_z.T + h @ self.U_z.T + self.b_z)
            r = self.sigmoid(x_t @ self.W_r.T + h @ self.U_r.T + self.b_r)
            n = np.tanh(x_t @ self.W_n.T + (r * h) @ self.U_n.T + self.b_n)
            self.steps.append((h, z, r, n))
            h = z * h + (1 - z) * n
            out.append(h)
        return np.stack(out)

    def backward(self, dout):
        grads = {name: np.zeros_like(value) for name, value in vars(self).items() if name[0] in "WUb"}
        dx = np.zeros_like(self.x)
        dh = np.zeros_like(dout[0])
        for t in range(len(dout) - 1, -1, -1):
            h_prev, z, r, n = self.steps[t]
            dh = dh + dout[t]
            dz = dh * (h_prev - n)
            dn = dh * (1 - z)
            dan = dn * (1 - n**2)
            daz = dz * z * (1 - z)
            drh = dan @ self.U_n
            dr = drh * h_prev
            dar = dr * r * (1 - r)
            grads["W_n"] += dan.T @ self.x[t]
            grads["U_n"] += dan.T @ (r * h_prev)
            grads["b_n"] += dan.sum(axis=0)
            grads["W_r"] += dar.T @ self.x[t]
            grads["U_r"] += dar.T @ h_prev
            grads["b_r"] += dar.sum(axis=0)
            grads["W_z"] += daz.T @ self.x[t]
            grads["U_z"] += daz.T @ h_prev
            grads["b_z"] += daz.sum(axis=0)
            dx[t] = dan @ self.W_n + dar @ self.W_r + daz @ self.W_z
            dh = dh * z + drh * r + dar @ self.U_r + daz @ self.U_z
        self.grads = grads
        return dx, dh
