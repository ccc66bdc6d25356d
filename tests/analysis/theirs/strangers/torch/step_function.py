import torch


class MGUStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, h, Wf, Uf, bf, Wk, Uk, bk):
        f = torch.sigmoid(x @ Wf + h @ Uf + bf)
        k = torch.tanh(x @ Wk + (f * h) @ Uk + bk)
        ctx.save_for_backward(x, h, f, k, Wf, Uf, Wk, Uk)
        return (1 - f) * h + f * k

    @staticmethod
    def backward(ctx, dh):
        x, h, f, k, Wf, Uf, Wk, Uk = ctx.saved_tensors
        dk = dh * f * (1 - k ** 2)
        dfh = dk @ Uk.t()
        df = (dh * (k - h) + dfh * h) * f * (1 - f)
        dx = df @ Wf.t() + dk @ Wk.t()
        dhp = dh * (1 - f) + dfh * f + df @ Uf.t()
        return dx, dhp, x.t() @ df, h.t() @ df, df.sum(0), x.t() @ dk, (f * h).t() @ dk, dk.sum(0)
