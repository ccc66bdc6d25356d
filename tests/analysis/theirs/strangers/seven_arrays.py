import numpy as np


class Decoder:
    """A cell with two inputs, made of its weights."""

    def __init__(self, W, C, U, b, V, c, p):
        self.W, self.C, self.U, self.b = W, C, U, b
        self.V, self.c, self.p = V, c, p

    def forward(self, x, ctx):
        h = np.zeros((x.shape[1], self.U.shape[0]))
        self.tape, ys = [], []
        for xt, ct in zip(x, ctx):
            new = np.tanh(xt @ self.W + ct @ self.C + self.p * h + h @ self.U + self.b)
            self.tape.append((xt, ct, h, new))
            h = new
            ys.append(h @ self.V + self.c)
        return np.array(ys)

    def backward(self, dys):
        dW, dC, dU, db = (np.zeros_like(a) for a in (self.W, self.C, self.U, self.b))
        dV, dc, dp = (np.zeros_like(a) for a in (self.V, self.c, self.p))
        dh = 0
        dx, dctx = [], []
        for dy, (xt, ct, prev, h) in zip(dys[::-1], self.tape[::-1]):
            dV += h.T @ dy
            dc += dy.sum(0)
            da = (dh + dy @ self.V.T) * (1 - h**2)
            dW += xt.T @ da
            dC += ct.T @ da
            dU += prev.T @ da
            db += da.sum(0)
            dp += (da * prev).sum(0)
            dx.insert(0, da @ self.W.T)
            dctx.insert(0, da @ self.C.T)
            dh = da @ self.U.T + da * self.p
        return np.array(dx), np.array(dctx), dW, dC, dU, db, dV, dc, dp
