import torch
from torch import nn


class _Cell(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, h, w, u, b):
        y = torch.tanh(x @ w.T + h @ u.T + b)
        ctx.save_for_backward(x, h, w, u, y)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, h, w, u, y = ctx.saved_tensors
        da = dy * (1 - y**2)
        return da @ w, da @ u, da.T @ x, da.T @ h, da.sum(0)


class Layer(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.weight_ih = nn.Parameter(torch.randn(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.randn(hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, x, h0):
        h, out = h0, []
        for x_t in x:
            h = _Cell.apply(x_t, h, self.weight_ih, self.weight_hh, self.bias)
            out.append(h)
        return torch.stack(out)
