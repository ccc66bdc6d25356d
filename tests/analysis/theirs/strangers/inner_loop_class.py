import numpy as np


class TinyNet:
    """predicts the next token; goes back to the start from every step (slow but simple)"""

    def __init__(self, vocab, hidden):
        r = np.random.RandomState(0)
        self.emb = r.randn(hidden, vocab)
        self.rec = r.randn(hidden, hidden)
        self.out = r.randn(vocab, hidden)

    def forward(self, tokens):
        states = [np.zeros(self.rec.shape[0])]
        probs = []
        for k in tokens:
            states.append(np.tanh(self.emb[:, k] + self.rec @ states[-1]))
            u = np.exp(self.out @ states[-1])
            probs.append(u / u.sum())
        return np.array(probs), states

    def loss(self, tokens, labels):
        probs, _ = self.forward(tokens)
        return -sum(np.log(p[y]) for p, y in zip(probs, labels))

    def bptt(self, tokens, labels):
        probs, states = self.forward(tokens)
        g_emb, g_rec, g_out = (0 * w for w in (self.emb, self.rec, self.out))
        for last in range(len(labels)):
            err = probs[last].copy()
            err[labels[last]] -= 1
            g_out += np.outer(err, states[last + 1])
            back = self.out.T @ err
            for k in range(last, -1, -1):
                back = back * (1 - states[k + 1] ** 2)
                g_rec += np.outer(back, states[k])
                g_emb[:, tokens[k]] += back
                back = self.rec.T @ back
        return g_emb, g_rec, g_out
