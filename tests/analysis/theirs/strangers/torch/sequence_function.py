import torch


class RecurrentFn(torch.autograd.Function):
    """A whole sequence, (batch, time, features)."""

    @staticmethod
    def forward(ctx, x, h0, weight_ih, weight_hh, bias):
        h, hs = h0, []
        for t in range(x.size(1)):
            h = torch.tanh(torch.nn.functional.linear(x[:, t], weight_ih) + torch.nn.functional.linear(h, weight_hh, bias))
            hs.append(h)
        out = torch.stack(hs, dim=1)
        ctx.save_for_backward(x, h0, weight_ih, weight_hh, out)
        return out

    @staticmethod
    def backward(ctx, grad_out):
        x, h0, weight_ih, weight_hh, out = ctx.saved_tensors
        grad_x = torch.zeros_like(x)
        grad_ih = torch.zeros_like(weight_ih)
        grad_hh = torch.zeros_like(weight_hh)
        grad_b = torch.zeros(weight_hh.size(0), dtype=x.dtype)
        grad_h = torch.zeros_like(h0)
        for t in range(x.size(1) - 1, -1, -1):
            total = grad_out[:, t] + grad_h
            grad_a = total * (1 - out[:, t] ** 2)
            prev = out[:, t - 1] if t > 0 else h0
            grad_ih += grad_a.t() @ x[:, t]
            grad_hh += grad_a.t() @ prev
            grad_b += grad_a.sum(dim=0)
            grad_x[:, t] = grad_a @ weight_ih
            grad_h = grad_a @ weight_hh
        return grad_x, grad_h, grad_ih, grad_hh, grad_b
