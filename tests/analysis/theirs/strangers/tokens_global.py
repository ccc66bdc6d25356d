"""weights live in the module; one function does it all"""
import numpy as np

text = "the quick brown fox jumps over"
symbols = sorted(set(text))
V, N = len(symbols), 9
gen = np.random.default_rng(0)
E = gen.normal(size=(N, V)) * 0.1
R = gen.normal(size=(N, N)) * 0.1
O = gen.normal(size=(V, N)) * 0.1
bias_h, bias_o = np.zeros((N, 1)), np.zeros((V, 1))


def loss_and_grads(inputs, targets, hprev):
    h = {-1: hprev}
    one_hot, p = {}, {}
    total = 0.0
    for t, k in enumerate(inputs):
        one_hot[t] = np.eye(V)[:, [k]]
        h[t] = np.tanh(E @ one_hot[t] + R @ h[t - 1] + bias_h)
        score = np.exp(O @ h[t] + bias_o)
        p[t] = score / score.sum()
        total -= np.log(p[t][targets[t], 0])
    dE, dR, dO = E * 0, R * 0, O * 0
    dbias_h, dbias_o = bias_h * 0, bias_o * 0
    carry = np.zeros((N, 1))
    for t in range(len(inputs) - 1, -1, -1):
        err = p[t] - np.eye(V)[:, [targets[t]]]
        dO += err @ h[t].T
        dbias_o += err
        da = (O.T @ err + carry) * (1 - h[t] ** 2)
        dE += da @ one_hot[t].T
        dR += da @ h[t - 1].T
        dbias_h += da
        carry = R.T @ da
    for g in (dE, dR, dO, dbias_h, dbias_o):
        np.clip(g, -5, 5, out=g)
    return total, dE, dR, dO, dbias_h, dbias_o
