import numpy as np


class MultiplicativeRNN(object):
    """Sutskever et al 2011: W_hh depends on the input through factors."""

    def __init__(self, D, F, H):
        np.random.seed(1)
        self.params = [np.random.randn(F, D) * .4, np.random.randn(F, H) * .4, np.random.randn(H, F) * .4,
                       np.random.randn(H, D) * .4, np.zeros(H)]

    def step(self, x, h):
        Wfx, Wfh, Whf, Whx, bh = self.params
        f = Wfx.dot(x) * Wfh.dot(h)
        hn = np.tanh(Whf.dot(f) + Whx.dot(x) + bh)
        return hn, f

    def fprop(self, xs):
        h = np.zeros(len(self.params[-1]))
        self.xs = xs
        self.states = [h]
        self.fs = []
        for x in xs:
            h, f = self.step(x, h)
            self.states.append(h)
            self.fs.append(f)
        return np.array(self.states[1:])

    def bprop(self, douts):
        Wfx, Wfh, Whf, Whx, bh = self.params
        grads = [np.zeros_like(p) for p in self.params]
        dh = 0.
        for t in range(len(self.xs))[::-1]:
            x, h = self.xs[t], self.states[t]
            dh = dh + douts[t]
            da = dh * (1. - self.states[t + 1] ** 2)
            grads[2] += np.outer(da, self.fs[t])
            grads[3] += np.outer(da, x)
            grads[4] += da
            df = Whf.T.dot(da)
            dfx = df * Wfh.dot(h)
            dfh = df * Wfx.dot(x)
            grads[0] += np.outer(dfx, x)
            grads[1] += np.outer(dfh, h)
            dh = Wfh.T.dot(dfh)
        return grads
