import numpy as np

def sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))

def softmax(v):
    v = v - np.max(v, axis=-1, keepdims=True)
    ev = np.exp(v)
    return ev / np.sum(ev, axis=-1, keepdims=True)

class GRUClassifier:
    """GRU over a sequence of tokens, class from the last state."""
    def __init__(self, vocab, emb, hid, classes):
        rs = np.random.RandomState(0)
        self.E = rs.normal(0, .3, (vocab, emb))
        self.Wx = rs.normal(0, .3, (emb, 3 * hid))
        self.Wh = rs.normal(0, .3, (hid, 3 * hid))
        self.b = rs.normal(0, .1, 3 * hid)
        self.V = rs.normal(0, .3, (hid, classes))
        self.c = np.zeros(classes)
        self.hid = hid

    def forward(self, tokens, labels):
        H = self.hid
        B, T = tokens.shape
        h = np.zeros((B, H))
        self.tape = []
        for t in range(T):
            x = self.E[tokens[:, t]]
            gx = x @ self.Wx + self.b
            gh = h @ self.Wh[:, :2 * H]
            z = sigmoid(gx[:, :H] + gh[:, :H])
            r = sigmoid(gx[:, H:2 * H] + gh[:, H:])
            n = np.tanh(gx[:, 2 * H:] + (r * h) @ self.Wh[:, 2 * H:])
            self.tape.append((x, h, z, r, n))
            h = z * h + (1 - z) * n
        self.h = h
        self.p = softmax(h @ self.V + self.c)
        self.tokens, self.labels = tokens, labels
        return -np.mean(np.log(self.p[np.arange(B), labels]))

    def backward(self):
        H = self.hid
        B, T = self.tokens.shape
        g = {k: np.zeros_like(getattr(self, k)) for k in ('E', 'Wx', 'Wh', 'b', 'V', 'c')}
        dlogits = self.p.copy()
        dlogits[np.arange(B), self.labels] -= 1
        dlogits /= B
        g['V'] = self.h.T @ dlogits
        g['c'] = dlogits.sum(0)
        dh = dlogits @ self.V.T
        for t in reversed(range(T)):
            x, h, z, r, n = self.tape[t]
            dn = dh * (1 - z) * (1 - n ** 2)
            dz = dh * (h - n) * z * (1 - z)
            drh = dn @ self.Wh[:, 2 * H:].T
            dr = drh * h * r * (1 - r)
            da = np.concatenate([dz, dr, dn], axis=1)
            g['b'] += da.sum(0)
            g['Wx'] += x.T @ da
            g['Wh'][:, :2 * H] += h.T @ da[:, :2 * H]
            g['Wh'][:, 2 * H:] += (r * h).T @ dn
            np.add.at(g['E'], self.tokens[:, t], da @ self.Wx.T)
            dh = dh * z + drh * r + da[:, :2 * H] @ self.Wh[:, :2 * H].T
        return g
