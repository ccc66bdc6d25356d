import numpy as np


class AttnPool:
    """GRU without reset gate, then a softmax over time of v . h_t weighs the states; returns the mean (B, H)."""

    def __init__(self, Wz, Uz, Wn, Un, v):
        self.Wz, self.Uz, self.Wn, self.Un, self.v = Wz, Uz, Wn, Un, v

    def forward(self, x):
        T, B, _ = x.shape
        H = self.v.size
        h = np.zeros((B, H))
        self.x, self.steps = x, []
        hs = np.zeros((T, B, H))
        for t in range(T):
            z = 1 / (1 + np.exp(-(x[t] @ self.Wz + h @ self.Uz)))
            n = np.tanh(x[t] @ self.Wn + h @ self.Un)
            self.steps.append((h, z, n))
            h = z * h + (1 - z) * n
            hs[t] = h
        e = hs @ self.v
        e = np.exp(e - e.max(axis=0))
        self.a = e / e.sum(axis=0)
        self.hs = hs
        return (self.a[..., None] * hs).sum(axis=0)

    def backward(self, dctx):
        T, B, H = self.hs.shape
        g = {k: np.zeros_like(getattr(self, k)) for k in ("Wz", "Uz", "Wn", "Un", "v")}
        da = (self.hs * dctx).sum(axis=-1)
        de = self.a * (da - (self.a * da).sum(axis=0))
        g["v"] = np.einsum("tb,tbh->h", de, self.hs)
        dhs = self.a[..., None] * dctx + de[..., None] * self.v
        dh = np.zeros((B, H))
        dx = np.zeros_like(self.x)
        for t in reversed(range(T)):
            h, z, n = self.steps[t]
            dh = dh + dhs[t]
            dz = dh * (h - n) * z * (1 - z)
            dn = dh * (1 - z) * (1 - n * n)
            g["Wz"] += self.x[t].T @ dz
            g["Uz"] += h.T @ dz
            g["Wn"] += self.x[t].T @ dn
            g["Un"] += h.T @ dn
            dx[t] = dz @ self.Wz.T + dn @ self.Wn.T
            dh = dh * z + dz @ self.Uz.T + dn @ self.Un.T
        return dx, g
