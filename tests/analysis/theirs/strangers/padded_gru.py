"""A GRU with stacked gates over padded sequences, with a mask of the steps that count."""

import numpy as np


def sigm(z):
    return 1.0 / (1.0 + np.exp(-z))


class GRU:
    def __init__(self, n_in, n_hid, rng):
        self.params = {
            "Wx": rng.normal(0, 0.3, (n_in, 3 * n_hid)),
            "Wh": rng.normal(0, 0.3, (n_hid, 3 * n_hid)),
            "b": rng.normal(0, 0.1, 3 * n_hid),
        }
        self.H = n_hid

    def forward(self, X, mask, h0):
        p, H = self.params, self.H
        B, T, _ = X.shape
        h = h0
        out = np.zeros((B, T, H), dtype=h0.dtype)
        self.tape = []
        for t in range(T):
            gx = X[:, t] @ p["Wx"] + p["b"]
            gh = h @ p["Wh"]
            zr = sigm(gx[:, :2 * H] + gh[:, :2 * H])
            z, r = np.split(zr, 2, axis=1)
            hc = np.tanh(gx[:, 2 * H:] + r * gh[:, 2 * H:])
            m = mask[:, t][:, None]
            new = (1 - z) * h + z * hc
            self.tape.append((h, z, r, hc, gh[:, 2 * H:], m))
            h = m * new + (1 - m) * h
            out[:, t] = h
        self.X = X
        return out

    def backward(self, dout):
        p, H = self.params, self.H
        X = self.X
        B, T, _ = X.shape
        grads = {k: np.zeros_like(v) for k, v in p.items()}
        dX = np.zeros_like(X)
        dh = np.zeros((B, H))
        for t in reversed(range(T)):
            h, z, r, hc, gn, m = self.tape[t]
            dh = dh + dout[:, t]
            dnew = dh * m
            dz = dnew * (hc - h) * z * (1 - z)
            dn = dnew * z * (1 - hc ** 2)
            dr = dn * gn * r * (1 - r)
            dgx = np.concatenate([dz, dr, dn], axis=1)
            dgh = np.concatenate([dz, dr, dn * r], axis=1)
            grads["Wx"] += X[:, t].T @ dgx
            grads["Wh"] += h.T @ dgh
            grads["b"] += dgx.sum(axis=0)
            dX[:, t] = dgx @ p["Wx"].T
            dh = dh * (1 - m) + dnew * (1 - z) + dgh @ p["Wh"].T
        return grads, dX, dh
