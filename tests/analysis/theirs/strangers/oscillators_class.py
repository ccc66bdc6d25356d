import numpy as np


class CoRNN:
    """Coupled oscillators (Rusch and Mishra 2021)."""

    dt, gamma, eps = 0.1, 1.3, 0.7

    def __init__(self, d_in, d_h, seed=0):
        g = np.random.default_rng(seed)
        self.params = dict(
            W=g.normal(size=(d_h, d_h)) / 2, Wz=g.normal(size=(d_h, d_h)) / 2,
            V=g.normal(size=(d_h, d_in)) / 2, b=g.normal(size=d_h))

    def __call__(self, x, y0, z0):
        p = self.params
        self.mem = []
        y, z, ys = y0, z0, []
        for t in range(x.shape[1]):
            a = np.tanh(y @ p["W"].T + z @ p["Wz"].T + x[:, t] @ p["V"].T + p["b"])
            self.mem.append((y, z, a, x[:, t]))
            z = z + self.dt * (a - self.gamma * y - self.eps * z)
            y = y + self.dt * z
            ys.append(y)
        return np.stack(ys, 1)

    def backward(self, dys):
        p = self.params
        grads = {k: np.zeros_like(v) for k, v in p.items()}
        dy = np.zeros_like(dys[:, 0])
        dz = np.zeros_like(dy)
        dx = np.zeros(dys.shape[:2] + (p["V"].shape[1],))
        for t in reversed(range(dys.shape[1])):
            y, z, a, xt = self.mem[t]
            dy = dy + dys[:, t]
            dz = dz + self.dt * dy
            da = self.dt * dz * (1 - a * a)
            grads["W"] += da.T @ y
            grads["Wz"] += da.T @ z
            grads["V"] += da.T @ xt
            grads["b"] += da.sum(axis=0)
            dx[:, t] = da @ p["V"]
            dy = dy - self.dt * self.gamma * dz + da @ p["W"]
            dz = dz * (1 - self.dt * self.eps) + da @ p["Wz"]
        return dx, dy, dz, grads
