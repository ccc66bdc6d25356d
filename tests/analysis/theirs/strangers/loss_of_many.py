"""A class whose loss is that of a list of sequences, and whose backward pass takes one."""

import numpy as np


def normalised(scores):
    raised = np.exp(scores - scores.max())
    return raised / raised.sum()


class TokenModel:
    def __init__(self, tokens, units=100, window=1000):
        self.units, self.window = units, window
        self.U = 0.1 * np.random.randn(units, tokens)
        self.W = 0.1 * np.random.randn(units, units)
        self.V = 0.1 * np.random.randn(tokens, units)

    def forward_propagation(self, x):
        states = np.zeros((len(x) + 1, self.units))  # the last row is the state before the first step
        chances = []
        for t, token in enumerate(x):
            states[t] = np.tanh(self.U[:, token] + self.W.dot(states[t - 1]))
            chances.append(normalised(self.V.dot(states[t])))
        return [np.array(chances), states]

    def calculate_total_loss(self, x, y):
        total = 0
        for i in range(len(x)):
            chances, _ = self.forward_propagation(x[i])
            total -= np.log(chances[np.arange(len(y[i])), y[i]]).sum()
        return total

    def bptt(self, x, y):
        slopes, states = self.forward_propagation(x)
        slopes[np.arange(len(y)), y] -= 1
        gU, gV, gW = np.zeros_like(self.U), np.zeros_like(self.V), np.zeros_like(self.W)
        for t in reversed(range(len(y))):
            gV += np.outer(slopes[t], states[t])
            back = self.V.T.dot(slopes[t]) * (1 - states[t] ** 2)
            for k in range(t, max(-1, t - self.window - 1), -1):
                gW += np.outer(back, states[k - 1])
                gU[:, x[k]] += back
                back = self.W.T.dot(back) * (1 - states[k - 1] ** 2)
        return [gU, gV, gW]
