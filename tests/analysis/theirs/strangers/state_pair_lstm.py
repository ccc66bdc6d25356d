import numpy as np


class LSTM:
    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        rng = np.random.default_rng(0)
        k = 1 / np.sqrt(hidden_size)
        self.weight_ih = rng.uniform(-k, k, (4 * hidden_size, input_size))
        self.weight_hh = rng.uniform(-k, k, (4 * hidden_size, hidden_size))
        self.bias_ih = rng.uniform(-k, k, 4 * hidden_size)
        self.bias_hh = rng.uniform(-k, k, 4 * hidden_size)

    @staticmethod
    def _sigmoid(x):
        return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))

    def forward(self, x, state):
        h, c = state
        H = self.hidden_size
        out, self.tape = [], []
        for x_t in x:
            gates = x_t @ self.weight_ih.T + self.bias_ih + h @ self.weight_hh.T + self.bias_hh
            i, f, g, o = gates[:, :H], gates[:, H:2 * H], gates[:, 2 * H:3 * H], gates[:, 3 * H:]
            i, f, o = map(self._sigmoid, (i, f, o))
            g = np.tanh(g)
            c_new = f * c + i * g
            tanh_c = np.tanh(c_new)
            h_new = o * tanh_c
            self.tape.append((x_t, h, c, i, f, g, o, tanh_c))
            h, c = h_new, c_new
            out.append(h)
        return np.stack(out), (h, c)

    def backward(self, d_out, d_state):
        dh, dc = d_state
        grads = {n: np.zeros_like(getattr(self, n)) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        dx = []
        for t in range(len(self.tape))[::-1]:
            x_t, h, c, i, f, g, o, tanh_c = self.tape[t]
            dh = dh + d_out[t]
            do = dh * tanh_c
            dc = dc + dh * o * (1 - tanh_c ** 2)
            di = dc * g
            dg = dc * i
            df = dc * c
            d_gates = np.hstack([di * i * (1 - i), df * f * (1 - f), dg * (1 - g ** 2), do * o * (1 - o)])
            grads["weight_ih"] += d_gates.T @ x_t
            grads["weight_hh"] += d_gates.T @ h
            grads["bias_ih"] += d_gates.sum(axis=0)
            grads["bias_hh"] += d_gates.sum(axis=0)
            dx.append(d_gates @ self.weight_ih)
            dh = d_gates @ self.weight_hh
            dc = dc * f
        return np.stack(dx[::-1]), (dh, dc), grads
