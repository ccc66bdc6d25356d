import numpy as np

class CharRNN:
    def __init__(self, vocab, hidden, seed=0):
        rng = np.random.RandomState(seed)
        self.Wxh = rng.randn(hidden, vocab) * 0.1
        self.Whh = rng.randn(hidden, hidden) * 0.1
        self.Why = rng.randn(vocab, hidden) * 0.1
        self.bh = np.zeros((hidden, 1))
        self.by = np.zeros((vocab, 1))
        self.vocab, self.hidden = vocab, hidden

    def loss(self, tokens):
        xs, hs, ps = {}, {-1: np.zeros((self.hidden, 1))}, {}
        total = 0.0
        n = len(tokens) - 1
        for t in range(n):
            xs[t] = np.zeros((self.vocab, 1))
            xs[t][tokens[t]] = 1
            hs[t] = np.tanh(self.Wxh @ xs[t] + self.Whh @ hs[t - 1] + self.bh)
            y = self.Why @ hs[t] + self.by
            ps[t] = np.exp(y) / np.sum(np.exp(y))
            total += -np.log(ps[t][tokens[t + 1], 0])
        dWxh, dWhh, dWhy = np.zeros_like(self.Wxh), np.zeros_like(self.Whh), np.zeros_like(self.Why)
        dbh, dby = np.zeros_like(self.bh), np.zeros_like(self.by)
        dhnext = np.zeros_like(hs[0])
        for t in reversed(range(n)):
            dy = np.copy(ps[t])
            dy[tokens[t + 1]] -= 1
            dWhy += dy @ hs[t].T
            dby += dy
            dh = self.Why.T @ dy + dhnext
            da = (1 - hs[t] ** 2) * dh
            dbh += da
            dWxh += da @ xs[t].T
            dWhh += da @ hs[t - 1].T
            dhnext = self.Whh.T @ da
        return total, {"Wxh": dWxh, "Whh": dWhh, "Why": dWhy, "bh": dbh, "by": dby}
