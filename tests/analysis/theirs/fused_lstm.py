"""An LSTM with the weights of a framework: gates i, f, g, o stacked in rows, two biases, a tuple of states."""

import numpy as np


def sig(a):
    return 1 / (1 + np.exp(-a))


def forward(x, state, params):
    """x: (T, B, D); state: (h0, c0). Returns (T, B, H), the last states, and what the backward pass needs."""
    h, c = state
    out, tape = [], []
    for x_t in x:
        a = x_t @ params["weight_ih"].T + params["bias_ih"] + h @ params["weight_hh"].T + params["bias_hh"]
        i, f, g, o = np.split(a, 4, axis=1)
        i, f, g, o = sig(i), sig(f), np.tanh(g), sig(o)
        c_new = f * c + i * g
        h_new = o * np.tanh(c_new)
        tape.append((x_t, h, c, i, f, g, o, c_new))
        h, c = h_new, c_new
        out.append(h)
    return np.array(out), (h, c), tape


def backward(dout, dstate, tape, params):
    dh, dc = dstate
    grads = {name: np.zeros_like(value) for name, value in params.items()}
    dx: list = []
    for t in reversed(range(len(tape))):
        x_t, h_prev, c_prev, i, f, g, o, c = tape[t]
        dh = dh + dout[t]
        tc = np.tanh(c)
        dc = dc + dh * o * (1 - tc**2)
        dai = dc * g * i * (1 - i)
        daf = dc * c_prev * f * (1 - f)
        dag = dc * i * (1 - g**2)
        dao = dh * tc * o * (1 - o)
        da = np.concatenate([dai, daf, dag, dao], axis=1)
        grads["weight_ih"] += da.T @ x_t
        grads["weight_hh"] += da.T @ h_prev
        grads["bias_ih"] += da.sum(axis=0)
        grads["bias_hh"] += da.sum(axis=0)
        dx.insert(0, da @ params["weight_ih"])
        dh = da @ params["weight_hh"]
        dc = dc * f
    return np.array(dx), (dh, dc), grads
