import torch
import torch.nn.functional as F

def forward(params, X, Y):
    C, Wx, Wh, b, Wo, bo = params["C"], params["Wx"], params["Wh"], params["b"], params["Wo"], params["bo"]
    T, B = X.shape
    h = torch.zeros(B, Wh.shape[0])
    hs, embs, probs, loss = [h], [], [], 0.0
    for t in range(T):
        e = C[X[t]]
        h = torch.tanh(e @ Wx + h @ Wh + b)
        logits = h @ Wo + bo
        p = F.softmax(logits, dim=1)
        loss = loss - torch.log(p[torch.arange(B), Y[t]]).sum()
        hs.append(h); embs.append(e); probs.append(p)
    return loss, (X, Y, hs, embs, probs)

def backward(params, cache):
    X, Y, hs, embs, probs = cache
    g = {k: torch.zeros_like(v) for k, v in params.items()}
    T, B = X.shape
    dh = torch.zeros_like(hs[0])
    for t in range(T - 1, -1, -1):
        dl = probs[t].clone()
        dl[torch.arange(B), Y[t]] -= 1
        g["Wo"] += hs[t + 1].T @ dl
        g["bo"] += dl.sum(0)
        dh = dh + dl @ params["Wo"].T
        da = dh * (1 - hs[t + 1] ** 2)
        g["Wx"] += embs[t].T @ da
        g["Wh"] += hs[t].T @ da
        g["b"] += da.sum(0)
        g["C"].index_add_(0, X[t], da @ params["Wx"].T)
        dh = da @ params["Wh"].T
    return g
