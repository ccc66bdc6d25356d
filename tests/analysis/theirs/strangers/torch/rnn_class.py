import torch
class RNN:
    def __init__(self, n_in, n_hid, n_out):
        g = torch.Generator().manual_seed(0)
        self.Wxh = torch.randn(n_in, n_hid, generator=g) / n_in**0.5
        self.Whh = torch.randn(n_hid, n_hid, generator=g) / n_hid**0.5
        self.Why = torch.randn(n_hid, n_out, generator=g) / n_hid**0.5
        self.bh = torch.zeros(n_hid)
        self.by = torch.zeros(n_out)
    def forward(self, x):
        B = x.shape[0]
        h = torch.zeros(B, self.Whh.shape[0])
        self.hs = [h]; self.x = x
        for t in range(x.shape[1]):
            h = torch.tanh(x[:, t] @ self.Wxh + h @ self.Whh + self.bh)
            self.hs.append(h)
        return h @ self.Why + self.by
    def backward(self, dy):
        T = self.x.shape[1]
        self.dWhy = self.hs[-1].t() @ dy
        self.dby = dy.sum(0)
        dh = dy @ self.Why.t()
        self.dWxh = torch.zeros_like(self.Wxh); self.dWhh = torch.zeros_like(self.Whh); self.dbh = torch.zeros_like(self.bh)
        for t in reversed(range(T)):
            da = dh * (1 - self.hs[t + 1] ** 2)
            self.dWxh += self.x[:, t].t() @ da
            self.dWhh += self.hs[t].t() @ da
            self.dbh += da.sum(0)
            dh = da @ self.Whh.t()
