import numpy as np


def gradients_of(U, W, V, tokens, answers, window=100):
    """Walk back from every step until the window ends. Tokens and answers are numbers."""
    states = np.zeros((len(tokens) + 1, U.shape[0]))  # before the first step stands the last row
    chances = np.empty((len(tokens), V.shape[0]))
    for t, token in enumerate(tokens):
        states[t] = np.tanh(U[:, token] + W.dot(states[t - 1]))
        raised = np.exp(V.dot(states[t]))
        chances[t] = raised / raised.sum()
    cost = -np.log(chances[np.arange(len(tokens)), answers]).sum()
    gU, gV, gW = np.zeros(U.shape), np.zeros(V.shape), np.zeros(W.shape)
    error = np.array(chances)
    error[np.arange(len(answers)), answers] -= 1.0
    for t in reversed(range(len(tokens))):
        gV += np.outer(error[t], states[t])
        back = V.T.dot(error[t]) * (1 - states[t] ** 2)
        for k in reversed(range(max(0, t - window), t + 1)):
            gW += np.outer(back, states[k - 1])
            gU[:, tokens[k]] += back
            back = W.T.dot(back) * (1 - states[k - 1] ** 2)
    return cost, gU, gV, gW
