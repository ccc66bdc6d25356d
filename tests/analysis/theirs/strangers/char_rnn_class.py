import numpy as np

class CharRNN:
    def __init__(self, vocab, hidden):
        r = np.random.RandomState(1)
        self.U = r.randn(hidden, vocab) * 0.3
        self.W = r.randn(hidden, hidden) * 0.3
        self.V = r.randn(vocab, hidden) * 0.3
        self.b = np.zeros(hidden)
        self.c = np.zeros(vocab)

    def loss_and_grads(self, X, Y):
        T = len(X)
        h = np.zeros((T + 1, len(self.b)))
        p = np.zeros((T, len(self.c)))
        loss = 0
        for t in range(T):
            h[t] = np.tanh(self.U[:, X[t]] + self.W @ h[t - 1] + self.b)
            z = self.V @ h[t] + self.c
            e = np.exp(z - z.max())
            p[t] = e / e.sum()
            loss -= np.log(p[t, Y[t]])
        gU, gW, gV = np.zeros_like(self.U), np.zeros_like(self.W), np.zeros_like(self.V)
        gb, gc = np.zeros_like(self.b), np.zeros_like(self.c)
        carry = np.zeros_like(self.b)
        for t in range(T - 1, -1, -1):
            dz = p[t].copy()
            dz[Y[t]] -= 1
            gV += np.outer(dz, h[t])
            gc += dz
            dh = self.V.T @ dz + carry
            da = dh * (1 - h[t] ** 2)
            gb += da
            gU[:, X[t]] += da
            gW += np.outer(da, h[t - 1])
            carry = self.W.T @ da
        return loss, {"U": gU, "W": gW, "V": gV, "b": gb, "c": gc}
