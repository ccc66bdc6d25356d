import numpy as np


def bptt(self_U, self_W, self_V, x, y, bptt_truncate=100):
    """WildML style: for each t go back until truncation. x, y token ids"""
    T = len(x)
    hid = self_U.shape[0]
    s = np.zeros((T + 1, hid))
    o = np.zeros((T, self_V.shape[0]))
    for t in np.arange(T):
        s[t] = np.tanh(self_U[:, x[t]] + self_W.dot(s[t - 1]))
        q = np.exp(self_V.dot(s[t]))
        o[t] = q / q.sum()
    loss = -np.sum(np.log(o[np.arange(T), y]))
    dLdU = np.zeros(self_U.shape)
    dLdV = np.zeros(self_V.shape)
    dLdW = np.zeros(self_W.shape)
    delta_o = o.copy()
    delta_o[np.arange(len(y)), y] -= 1.
    for t in np.arange(T)[::-1]:
        dLdV += np.outer(delta_o[t], s[t].T)
        delta_t = self_V.T.dot(delta_o[t]) * (1 - (s[t] ** 2))
        for bptt_step in np.arange(max(0, t - bptt_truncate), t + 1)[::-1]:
            dLdW += np.outer(delta_t, s[bptt_step - 1])
            dLdU[:, x[bptt_step]] += delta_t
            delta_t = self_W.T.dot(delta_t) * (1 - s[bptt_step - 1] ** 2)
    return loss, dLdU, dLdV, dLdW
