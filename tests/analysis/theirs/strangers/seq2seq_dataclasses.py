from dataclasses import dataclass, field

import numpy as np


@dataclass
class Cell:
    Wx: np.ndarray
    Wh: np.ndarray
    b: np.ndarray

    @classmethod
    def random(cls, rng, d, h):
        return cls(rng.standard_normal((d, h)) * 0.3, rng.standard_normal((h, h)) * 0.3, np.zeros(h))


@dataclass
class Weights:
    encoder: Cell
    decoder: Cell
    Wo: np.ndarray
    bo: np.ndarray


def run(cell, xs, h):
    hs = [h]
    for x in xs:
        hs.append(np.tanh(x @ cell.Wx + hs[-1] @ cell.Wh + cell.b))
    return np.stack(hs)


def run_back(cell, xs, hs, dhs, dh):
    grad = Cell(np.zeros_like(cell.Wx), np.zeros_like(cell.Wh), np.zeros_like(cell.b))
    dxs = np.zeros_like(xs)
    for t in reversed(range(len(xs))):
        da = (dh + dhs[t]) * (1 - hs[t + 1] ** 2)
        grad.Wx += np.outer(xs[t], da)
        grad.Wh += np.outer(hs[t], da)
        grad.b += da
        dxs[t] = cell.Wx @ da
        dh = cell.Wh @ da
    return grad, dxs, dh


class Seq2Seq:
    def __init__(self, input_dim, hidden_dim, output_dim):
        rng = np.random.default_rng(0)
        self.w = Weights(
            Cell.random(rng, input_dim, hidden_dim),
            Cell.random(rng, input_dim, hidden_dim),
            rng.standard_normal((hidden_dim, output_dim)) * 0.3,
            np.zeros(output_dim),
        )

    def forward(self, source, target_in):
        self.xs, self.ys = source, target_in
        self.he = run(self.w.encoder, source, np.zeros(self.w.encoder.b.shape))
        self.hd = run(self.w.decoder, target_in, self.he[-1])
        return self.hd[1:] @ self.w.Wo + self.w.bo

    def backward(self, dlogits):
        dWo = self.hd[1:].T @ dlogits
        dbo = dlogits.sum(0)
        dhs = dlogits @ self.w.Wo.T
        ddec, _, dh = run_back(self.w.decoder, self.ys, self.hd, dhs, np.zeros_like(self.he[-1]))
        denc, _, _ = run_back(self.w.encoder, self.xs, self.he, np.zeros_like(self.he[1:]), dh)
        return Weights(denc, ddec, dWo, dbo)
