import torch

def lstm_fwd(x, h0, c0, W_ih, W_hh, b_ih, b_hh):
    """x: (T, B, m); gates i, f, g, o as in torch"""
    h, c = h0, c0
    tape, out = [], []
    for t in range(x.size(0)):
        gates = torch.addmm(b_ih, x[t], W_ih.t()) + torch.addmm(b_hh, h, W_hh.t())
        i, f, g, o = gates.chunk(4, 1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c_new = f.mul(c).add(i.mul(g))
        tc = c_new.tanh()
        tape.append((x[t], h, c, i, f, g, o, tc))
        h, c = o * tc, c_new
        out.append(h)
    return torch.stack(out), (h, c), tape

def lstm_bwd(dout, tape, W_ih, W_hh):
    dW_ih, dW_hh = torch.zeros_like(W_ih), torch.zeros_like(W_hh)
    db_ih, db_hh = torch.zeros(W_ih.size(0)), torch.zeros(W_hh.size(0))
    dx = []
    dh_next = torch.zeros_like(dout[0]); dc_next = torch.zeros_like(dout[0])
    for t in range(len(tape) - 1, -1, -1):
        x, h, c, i, f, g, o, tc = tape[t]
        dh = dout[t] + dh_next
        dc = dc_next + dh * o * (1 - tc.pow(2))
        dgates = torch.cat([dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g.pow(2)), dh * tc * o * (1 - o)], dim=1)
        dW_ih.addmm_(dgates.t(), x)
        dW_hh.addmm_(dgates.t(), h)
        db_ih.add_(dgates.sum(0))
        db_hh.add_(dgates.sum(0))
        dx.insert(0, dgates.mm(W_ih))
        dh_next = dgates.mm(W_hh)
        dc_next = dc * f
    return torch.stack(dx), dh_next, dc_next, dW_ih, dW_hh, db_ih, db_hh
