import numpy as np


class Elman:
    def __init__(self, Wx, Wh, b):
        self.Wx, self.Wh, self.b = Wx, Wh, b
        self.dWx = np.zeros_like(Wx)
        self.dWh = np.zeros_like(Wh)
        self.db = np.zeros_like(b)

    def step(self, x, h_prev):
        h_next = np.tanh(np.dot(h_prev, self.Wh) + np.dot(x, self.Wx) + self.b)
        self.cache = (x, h_prev, h_next)
        return h_next

    def step_back(self, dh_next):
        x, h_prev, h_next = self.cache
        dt = dh_next * (1 - h_next ** 2)
        self.db += np.sum(dt, axis=0)
        self.dWh += np.dot(h_prev.T, dt)
        dh_prev = np.dot(dt, self.Wh.T)
        self.dWx += np.dot(x.T, dt)
        dx = np.dot(dt, self.Wx.T)
        return dx, dh_prev


class TimeElman:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.layers = None
        self.h, self.dh = None, None

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, D = xs.shape
        H = Wh.shape[0]
        self.layers = []
        hs = np.empty((N, T, H))
        self.h = np.zeros((N, H))
        for t in range(T):
            layer = Elman(*self.params)
            self.h = layer.step(xs[:, t, :], self.h)
            hs[:, t, :] = self.h
            self.layers.append(layer)
        return hs

    def backward(self, dhs):
        Wx, Wh, b = self.params
        N, T, H = dhs.shape
        D = Wx.shape[0]
        dxs = np.empty((N, T, D))
        dh = 0
        grads = [0, 0, 0]
        for t in reversed(range(T)):
            layer = self.layers[t]
            dx, dh = layer.step_back(dhs[:, t, :] + dh)
            dxs[:, t, :] = dx
            for i, grad in enumerate((layer.dWx, layer.dWh, layer.db)):
                grads[i] += grad
        for i, grad in enumerate(grads):
            self.grads[i][...] = grad
        self.dh = dh
        return dxs
