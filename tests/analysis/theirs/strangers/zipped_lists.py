import numpy as np


def forward(x, weights, recurrent, biases):
    """A stack; x (T, D) and one array per layer in each list."""
    tape = []
    seq = x
    for W, R, b in zip(weights, recurrent, biases):
        h = np.zeros((len(seq) + 1, b.size))
        for t in range(len(seq)):
            h[t + 1] = np.tanh(W @ seq[t] + R @ h[t] + b)
        tape.append((seq, h))
        seq = h[1:]
    return seq, tape


def backward(dseq, tape, weights, recurrent):
    dWs, dRs, dbs = [], [], []
    for (seq, h), W, R in reversed(list(zip(tape, weights, recurrent))):
        dW, dR, db = np.zeros_like(W), np.zeros_like(R), np.zeros(len(R))
        below = np.zeros_like(seq)
        carry = np.zeros(len(R))
        for t in range(len(seq) - 1, -1, -1):
            da = (dseq[t] + carry) * (1 - h[t + 1] ** 2)
            dW += np.outer(da, seq[t])
            dR += np.outer(da, h[t])
            db += da
            below[t] = W.T @ da
            carry = R.T @ da
        dseq = below
        dWs.insert(0, dW)
        dRs.insert(0, dR)
        dbs.insert(0, db)
    return dseq, dWs, dRs, dbs
