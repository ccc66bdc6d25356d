import numpy as np

EPS = 1e-5


def ln(a, gain, shift):
    mu = a.mean(axis=-1, keepdims=True)
    sd = np.sqrt(((a - mu) ** 2).mean(axis=-1, keepdims=True) + EPS)
    ahat = (a - mu) / sd
    return gain * ahat + shift, (ahat, sd, gain)


def ln_grad(dy, saved):
    ahat, sd, gain = saved
    dgain, dshift = (dy * ahat).sum(axis=0), dy.sum(axis=0)
    dahat = dy * gain
    da = (dahat - dahat.mean(axis=-1, keepdims=True) - ahat * (dahat * ahat).mean(axis=-1, keepdims=True)) / sd
    return da, dgain, dshift


def forward(x, h0, Wf, Uf, Wc, Uc, gf, bf, gc, bc):
    h = h0
    out, caches = [], []
    for t in range(x.shape[0]):
        u, sf = ln(x[t] @ Wf + h @ Uf, gf, bf)
        f = 1 / (1 + np.exp(-u))
        v, sc = ln(x[t] @ Wc + (f * h) @ Uc, gc, bc)
        c = np.tanh(v)
        caches.append((x[t], h, f, c, sf, sc))
        h = h + f * (c - h)
        out.append(h)
    return np.stack(out), caches


def backward(dout, caches, Wf, Uf, Wc, Uc):
    dWf, dUf, dWc, dUc = (np.zeros_like(w) for w in (Wf, Uf, Wc, Uc))
    H = Uf.shape[0]
    dgf, dbf, dgc, dbc = (np.zeros(H) for _ in range(4))
    dx = [None] * len(caches)
    carry = np.zeros_like(dout[0])
    for t in reversed(range(len(caches))):
        x, h, f, c, sf, sc = caches[t]
        dh = dout[t] + carry
        df = dh * (c - h)
        dv = dh * f * (1 - c**2)
        da, dg, db = ln_grad(dv, sc)
        dgc += dg
        dbc += db
        dWc += x.T @ da
        dUc += (f * h).T @ da
        dfh = da @ Uc.T
        df = df + dfh * h
        dx_t = da @ Wc.T
        carry = dh * (1 - f) + dfh * f
        da, dg, db = ln_grad(df * f * (1 - f), sf)
        dgf += dg
        dbf += db
        dWf += x.T @ da
        dUf += h.T @ da
        dx[t] = dx_t + da @ Wf.T
        carry = carry + da @ Uf.T
    return np.stack(dx), carry, dWf, dUf, dWc, dUc, dgf, dbf, dgc, dbc
