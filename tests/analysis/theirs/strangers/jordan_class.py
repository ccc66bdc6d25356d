import numpy as np


class JordanNet:
    """Output fed back into hidden layer. One sequence at a time, lists of column vectors."""

    def __init__(self, nin, nhid, nout):
        rng = np.random.default_rng(3)
        self.Wih = rng.normal(0, 0.5, (nhid, nin))
        self.Woh = rng.normal(0, 0.5, (nhid, nout))
        self.Who = rng.normal(0, 0.5, (nout, nhid))
        self.bh = np.zeros((nhid, 1))
        self.bo = np.zeros((nout, 1))

    def forward(self, xs):
        self.xs = xs
        self.hs, self.ys = [], [np.zeros_like(self.bo)]
        for x in xs:
            h = np.tanh(np.dot(self.Wih, x) + np.dot(self.Woh, self.ys[-1]) + self.bh)
            y = np.tanh(np.dot(self.Who, h) + self.bo)
            self.hs.append(h)
            self.ys.append(y)
        return self.ys[1:]

    def loss(self, targets):
        return sum(0.5 * np.sum((y - t) ** 2) for y, t in zip(self.ys[1:], targets))

    def backward(self, targets):
        dWih = np.zeros_like(self.Wih)
        dWoh = np.zeros_like(self.Woh)
        dWho = np.zeros_like(self.Who)
        dbh = np.zeros_like(self.bh)
        dbo = np.zeros_like(self.bo)
        dy_next = np.zeros_like(self.bo)
        for k in range(len(self.xs) - 1, -1, -1):
            dy = self.ys[k + 1] - targets[k] + dy_next
            delta_o = dy * (1 - self.ys[k + 1] ** 2)
            dWho += np.dot(delta_o, self.hs[k].T)
            dbo += delta_o
            delta_h = np.dot(self.Who.T, delta_o) * (1 - self.hs[k] ** 2)
            dWih += np.dot(delta_h, self.xs[k].T)
            dWoh += np.dot(delta_h, self.ys[k].T)
            dbh += delta_h
            dy_next = np.dot(self.Woh.T, delta_h)
        return dWih, dWoh, dWho, dbh, dbo
