import torch


class GRUFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, h0, w_ih, w_hh, b_ih, b_hh):
        h, saved, out = h0, [], []
        for x_t in x:
            gi = x_t @ w_ih.t() + b_ih
            gh = h @ w_hh.t() + b_hh
            i_r, i_z, i_n = gi.chunk(3, 1)
            h_r, h_z, h_n = gh.chunk(3, 1)
            r, z = torch.sigmoid(i_r + h_r), torch.sigmoid(i_z + h_z)
            n = torch.tanh(i_n + r * h_n)
            saved += [h, r, z, n, h_n]
            h = (1 - z) * n + z * h
            out.append(h)
        ctx.save_for_backward(x, w_ih, w_hh, *saved)
        return torch.stack(out)

    @staticmethod
    def backward(ctx, grad_out):
        x, w_ih, w_hh, *saved = ctx.saved_tensors
        d_wih, d_whh = torch.zeros_like(w_ih), torch.zeros_like(w_hh)
        d_bih, d_bhh = 0, 0
        dx = torch.zeros_like(x)
        dh = torch.zeros_like(saved[0])
        for t in reversed(range(len(x))):
            h, r, z, n, h_n = saved[5 * t : 5 * t + 5]
            dh = dh + grad_out[t]
            dn = dh * (1 - z) * (1 - n**2)
            dz = dh * (h - n) * z * (1 - z)
            dr = dn * h_n * r * (1 - r)
            d_gi = torch.cat([dr, dz, dn], 1)
            d_gh = torch.cat([dr, dz, dn * r], 1)
            d_wih += d_gi.t() @ x[t]
            d_whh += d_gh.t() @ h
            d_bih = d_bih + d_gi.sum(0)
            d_bhh = d_bhh + d_gh.sum(0)
            dx[t] = d_gi @ w_ih
            dh = dh * z + d_gh @ w_hh
        return dx, dh, d_wih, d_whh, d_bih, d_bhh
