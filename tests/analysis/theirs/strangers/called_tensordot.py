import numpy as np


class MinimalRNN:
    def __init__(self, rng, d, h):
        self.Wx = rng.standard_normal((d, h)); self.bz = np.zeros(h)
        self.Uh = rng.standard_normal((h, h)); self.Uz = rng.standard_normal((h, h)); self.bu = np.ones(h)

    def __call__(self, x, h0):
        """x: [batch, time, d]"""
        z = np.tanh(np.tensordot(x, self.Wx, axes=1) + self.bz)
        h = [h0]
        u = []
        for t in range(x.shape[1]):
            u.append(1 / (1 + np.exp(-(h[-1] @ self.Uh + z[:, t] @ self.Uz + self.bu))))
            h.append(u[-1] * h[-1] + (1 - u[-1]) * z[:, t])
        self.saved = x, z, h, u
        return np.stack(h[1:], axis=1)

    def grad(self, gout):
        x, z, h, u = self.saved
        gz = np.zeros_like(z)
        ga = np.zeros_like(z)
        gh = np.zeros_like(h[0])
        for t in reversed(range(x.shape[1])):
            gh = gh + gout[:, t]
            ga[:, t] = gh * (h[t] - z[:, t]) * u[t] * (1 - u[t])
            gz[:, t] = gh * (1 - u[t]) + ga[:, t] @ self.Uz.T
            gh = gh * u[t] + ga[:, t] @ self.Uh.T
        gp = gz * (1 - z ** 2)
        hprev = np.stack(h[:-1], axis=1)
        return {"Wx": np.tensordot(x, gp, axes=([0, 1], [0, 1])), "bz": gp.sum(axis=(0, 1)),
                "Uh": np.tensordot(hprev, ga, axes=([0, 1], [0, 1])),
                "Uz": np.tensordot(z, ga, axes=([0, 1], [0, 1])), "bu": ga.sum(axis=(0, 1)),
                "x": gp @ self.Wx.T, "h0": gh}
