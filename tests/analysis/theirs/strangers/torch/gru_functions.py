import torch
def gru_forward(x, h, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn):
    hs, cache = [], []
    for xt in x:
        z = torch.sigmoid(xt @ Wz + h @ Uz + bz)
        r = torch.sigmoid(xt @ Wr + h @ Ur + br)
        n = torch.tanh(xt @ Wn + (r * h) @ Un + bn)
        hn = (1 - z) * n + z * h
        cache.append((xt, h, z, r, n)); h = hn; hs.append(h)
    return torch.stack(hs), cache
def gru_backward(dhs, cache, Wz, Uz, Wr, Ur, Wn, Un):
    gr = {k: 0 for k in "Wz Uz bz Wr Ur br Wn Un bn".split()}
    dh = torch.zeros_like(dhs[0])
    for t in range(len(cache) - 1, -1, -1):
        xt, h, z, r, n = cache[t]
        dh = dh + dhs[t]
        dn = dh * (1 - z) * (1 - n ** 2)
        dz = dh * (h - n) * z * (1 - z)
        drh = dn @ Un.T
        dr = drh * h * r * (1 - r)
        gr["Wn"] = gr["Wn"] + xt.T @ dn; gr["Un"] = gr["Un"] + (r * h).T @ dn; gr["bn"] = gr["bn"] + dn.sum(0)
        gr["Wz"] = gr["Wz"] + xt.T @ dz; gr["Uz"] = gr["Uz"] + h.T @ dz; gr["bz"] = gr["bz"] + dz.sum(0)
        gr["Wr"] = gr["Wr"] + xt.T @ dr; gr["Ur"] = gr["Ur"] + h.T @ dr; gr["br"] = gr["br"] + dr.sum(0)
        dh = dh * z + drh * r + dz @ Uz.T + dr @ Ur.T
    return gr, dh
