import numpy as np


class Deep:
    def __init__(self, nx, nh, layers=2, seed=1):
        rng = np.random.default_rng(seed)
        self.p = {}
        self.p["W"] = [rng.normal(0, 0.3, (nh, nx if l == 0 else nh)) for l in range(layers)]
        self.p["R"] = [rng.normal(0, 0.3, (nh, nh)) for l in range(layers)]
        self.p["b"] = [np.zeros(nh) for l in range(layers)]
        self.layers = layers
        self.nh = nh

    def forward(self, x):
        T = len(x)
        self.x = x
        self.h = np.zeros((self.layers, T + 1, self.nh))
        for t in range(T):
            inp = x[t]
            for l in range(self.layers):
                self.h[l, t + 1] = np.tanh(self.p["W"][l] @ inp + self.p["R"][l] @ self.h[l, t] + self.p["b"][l])
                inp = self.h[l, t + 1]
        return self.h[-1, 1:]

    def backward(self, dout):
        T = len(self.x)
        dW = [np.zeros_like(w) for w in self.p["W"]]
        dR = [np.zeros_like(r) for r in self.p["R"]]
        db = [np.zeros_like(b) for b in self.p["b"]]
        dh = np.zeros((self.layers, self.nh))
        for t in reversed(range(T)):
            up = dout[t]
            for l in reversed(range(self.layers)):
                da = (up + dh[l]) * (1 - self.h[l, t + 1] ** 2)
                below = self.x[t] if l == 0 else self.h[l - 1, t + 1]
                dW[l] += np.outer(da, below)
                dR[l] += np.outer(da, self.h[l, t])
                db[l] += da
                dh[l] = self.p["R"][l].T @ da
                up = self.p["W"][l].T @ da
        return {"W": dW, "R": dR, "b": db}
