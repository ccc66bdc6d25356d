import numpy as np


class DeepRNN:
    def __init__(self, n_x, n_h, depth=2):
        rng = np.random.default_rng(3)
        self.layers = []
        for l in range(depth):
            n_in = n_x if l == 0 else n_h
            self.layers.append(
                {"W": rng.normal(0, 0.3, (n_h, n_in)), "R": rng.normal(0, 0.3, (n_h, n_h)), "b": np.zeros(n_h)}
            )
        self.n_h = n_h

    def forward(self, x):
        self.x = x
        h = [np.zeros(self.n_h) for _ in self.layers]
        self.hs = [h]
        for x_t in x:
            new, inp = [], x_t
            for layer, h_prev in zip(self.layers, h):
                inp = np.tanh(layer["W"] @ inp + layer["R"] @ h_prev + layer["b"])
                new.append(inp)
            h = new
            self.hs.append(h)
        return np.array([h[-1] for h in self.hs[1:]])

    def backward(self, dout):
        grads = [{k: np.zeros_like(v) for k, v in layer.items()} for layer in self.layers]
        dh = [np.zeros(self.n_h) for _ in self.layers]
        for t in reversed(range(len(dout))):
            up = dout[t]
            for l in reversed(range(len(self.layers))):
                layer, g = self.layers[l], grads[l]
                da = (dh[l] + up) * (1 - self.hs[t + 1][l] ** 2)
                below = self.hs[t + 1][l - 1] if l > 0 else self.x[t]
                g["W"] += np.outer(da, below)
                g["R"] += np.outer(da, self.hs[t][l])
                g["b"] += da
                dh[l] = layer["R"].T @ da
                up = layer["W"].T @ da
        return grads
