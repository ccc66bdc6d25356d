import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def forward(x, h0, c0, Wi, Ui, bi, Wf, Uf, bf, Wo, Uo, bo, Wg, Ug, bg):
    h, c, out, tape = h0, c0, [], []
    for x_t in x:
        i = sigmoid(x_t @ Wi + h @ Ui + bi)
        f = sigmoid(x_t @ Wf + h @ Uf + bf)
        o = sigmoid(x_t @ Wo + h @ Uo + bo)
        g = np.tanh(x_t @ Wg + h @ Ug + bg)
        tape.append((x_t, h, c, i, f, o, g))
        c = f * c + i * g
        h = o * np.tanh(c)
        tape[-1] += (c,)
        out.append(h)
    return np.array(out), tape


def backward(dout, tape, Wi, Ui, bi, Wf, Uf, bf, Wo, Uo, bo, Wg, Ug, bg):
    weights = [(Wi, Ui, bi), (Wf, Uf, bf), (Wo, Uo, bo), (Wg, Ug, bg)]
    of_gates = [np.zeros_like(p) for gate in weights for p in gate]
    dh, dc = np.zeros_like(dout[0]), np.zeros_like(dout[0])
    dx = np.zeros((len(tape), *tape[0][0].shape))
    for t in reversed(range(len(tape))):
        x_t, h_prev, c_prev, i, f, o, g, c = tape[t]
        dh = dh + dout[t]
        dc = dc + dh * o * (1 - np.tanh(c) ** 2)
        a = [dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dh * np.tanh(c) * o * (1 - o), dc * i * (1 - g ** 2)]
        dh = 0
        for k, (W, U, _) in enumerate(weights):
            of_gates[3 * k] += x_t.T @ a[k]
            of_gates[3 * k + 1] += h_prev.T @ a[k]
            of_gates[3 * k + 2] += a[k].sum(axis=0)
            dx[t] += a[k] @ W.T
            dh = dh + a[k] @ U.T
        dc = dc * f
    return dx, dh, dc, *of_gates
