import numpy as np
class CharGRU:
    """tokens (B, T) -> mean cross-entropy"""
    def __init__(self, vocab, emb, hid, seed=1):
        g = np.random.default_rng(seed)
        self.E = g.normal(0, .3, (vocab, emb))
        self.W = g.normal(0, .3, (emb, 3 * hid))
        self.U = g.normal(0, .3, (hid, 3 * hid))
        self.b = g.normal(0, .1, 3 * hid)
        self.V = g.normal(0, .3, (hid, vocab))
        self.c = np.zeros(vocab)
        self.hid = hid
    def loss(self, tok, tgt):
        B, T = tok.shape
        n = self.hid
        h = np.zeros((B, n))
        self.mem = []
        total = 0.0
        for t in range(T):
            e = self.E[tok[:, t]]
            a = e @ self.W[:, :2*n] + h @ self.U[:, :2*n] + self.b[:2*n]
            zr = 1 / (1 + np.exp(-a))
            z, r = zr[:, :n], zr[:, n:]
            k = np.tanh(e @ self.W[:, 2*n:] + (r * h) @ self.U[:, 2*n:] + self.b[2*n:])
            hn = z * h + (1 - z) * k
            s = hn @ self.V + self.c
            s = s - s.max(1, keepdims=True)
            p = np.exp(s); p /= p.sum(1, keepdims=True)
            total -= np.log(p[np.arange(B), tgt[:, t]]).sum()
            self.mem.append((e, h, z, r, k, hn, p))
            h = hn
        return total / (B * T)
    def grads(self, tok, tgt):
        B, T = tok.shape
        n = self.hid
        dE, dW, dU, db, dV, dc = [np.zeros_like(q) for q in (self.E, self.W, self.U, self.b, self.V, self.c)]
        dh = np.zeros((B, n))
        for t in range(T - 1, -1, -1):
            e, h, z, r, k, hn, p = self.mem[t]
            ds = p.copy()
            ds[np.arange(B), tgt[:, t]] -= 1
            ds /= B * T
            dV += hn.T @ ds; dc += ds.sum(0)
            dh = dh + ds @ self.V.T
            dz = dh * (h - k) * z * (1 - z)
            dk = dh * (1 - z) * (1 - k ** 2)
            drh = dk @ self.U[:, 2*n:].T
            dr = drh * h * r * (1 - r)
            dzr = np.hstack([dz, dr])
            dW[:, :2*n] += e.T @ dzr; dW[:, 2*n:] += e.T @ dk
            dU[:, :2*n] += h.T @ dzr; dU[:, 2*n:] += (r * h).T @ dk
            db += np.hstack([dzr, dk]).sum(0)
            de = dzr @ self.W[:, :2*n].T + dk @ self.W[:, 2*n:].T
            np.add.at(dE, tok[:, t], de)
            dh = dh * z + drh * r + dzr @ self.U[:, :2*n].T
        return {"E": dE, "W": dW, "U": dU, "b": db, "V": dV, "c": dc}
