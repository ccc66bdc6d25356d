"""A backward pass with nine independent faults, each marked."""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm_forward(x, h0, c0, W_xi, W_hi, b_i, W_xf, W_hf, b_f, W_xo, W_ho, b_o, W_xg, W_hg, b_g):
    h, c, hs, cs, tape = h0, c0, [], [], []
    for x_t in x:
        i = sigmoid(x_t @ W_xi + h @ W_hi + b_i)
        f = sigmoid(x_t @ W_xf + h @ W_hf + b_f)
        o = sigmoid(x_t @ W_xo + h @ W_ho + b_o)
        g = np.tanh(x_t @ W_xg + h @ W_hg + b_g)
        h_prev, c_prev = h, c
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        tape.append((x_t, h_prev, c_prev, i, f, o, g, c, h))
        hs.append(h)
        cs.append(c)
    return np.array(hs), np.array(cs), tape


def lstm_backward(dhs, dcs, tape, W_xi, W_hi, W_xf, W_hf, W_xo, W_ho, W_xg, W_hg):
    dW_xi, dW_hi, db_i = np.zeros_like(W_xi), np.zeros_like(W_hi), np.zeros(W_hi.shape[1])
    dW_xf, dW_hf, db_f = np.zeros_like(W_xf), np.zeros_like(W_hf), np.zeros(W_hf.shape[1])
    dW_xo, dW_ho, db_o = np.zeros_like(W_xo), np.zeros_like(W_ho), np.zeros(W_ho.shape[1])
    dW_xg, dW_hg, db_g = np.zeros_like(W_xg), np.zeros_like(W_hg), np.zeros(W_hg.shape[1])
    dx: list[np.ndarray] = []
    dh_next, dc_next = np.zeros_like(dhs[0]), np.zeros_like(dcs[0])
    for t in reversed(range(len(tape))):
        x_t, h_prev, c_prev, i, f, o, g, c, h = tape[t]
        dh = dhs[t] + dh_next
        dc = dcs[t] + dh * o * (1 - np.tanh(c) ** 2)  # fault
        da_i = dc * g * (1 - i)  # fault
        da_f = dc * c * f * (1 - f)  # fault
        da_o = dh * c * o * (1 - o)  # fault
        da_g = dc * i * (1 - g)  # fault
        dW_xi = x_t.T @ da_i  # fault
        dW_hi += h_prev.T @ da_i
        db_i += da_i.sum(axis=0)
        dW_xf += x_t.T @ da_f
        dW_hf += h.T @ da_f  # fault
        db_f += da_f.sum(axis=0)
        dW_xo += x_t.T @ da_o
        dW_ho += h_prev.T @ da_o
        db_o -= da_o.sum(axis=0)  # fault
        dW_xg += x_t.T @ da_g
        dW_hg += h_prev.T @ da_g
        db_g += da_g.sum(axis=0)
        dx.insert(0, da_i @ W_xi.T + da_f @ W_xf.T + da_o @ W_xo.T + da_g @ W_xg.T)
        dh_next = da_i @ W_hi.T + da_f @ W_hf.T + da_o @ W_ho.T + da_g @ W_hg.T
        dc_next = dc * i  # fault
    return (
        np.array(dx), dh_next, dc_next,
        dW_xi, dW_hi, db_i, dW_xf, dW_hf, db_f, dW_xo, dW_ho, db_o, dW_xg, dW_hg, db_g,
    )  # fmt: skip
