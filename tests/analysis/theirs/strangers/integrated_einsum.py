import numpy as np

def fwd(x, h0, W, U, alpha, beta1, beta2, b):
    h = h0
    out, saved = [], []
    for t in range(x.shape[1]):
        u = np.einsum('bi,ij->bj', x[:, t], W)
        v = np.einsum('bi,ij->bj', h, U)
        hn = np.tanh(alpha * u * v + beta1 * u + beta2 * v + b)
        saved.append((x[:, t], h, u, v, hn))
        out.append(hn)
        h = hn
    return np.stack(out, axis=1), saved

def bwd(dout, saved, W, U, alpha, beta1, beta2, b):
    g = {k: 0.0 for k in ('W', 'U', 'alpha', 'beta1', 'beta2', 'b')}
    dx = []
    dh = 0.0
    for t in reversed(range(len(saved))):
        xt, hp, u, v, hn = saved[t]
        e = (dout[:, t] + dh) * (1 - hn * hn)
        g['alpha'] = g['alpha'] + np.einsum('bj,bj,bj->j', e, u, v)
        g['beta1'] = g['beta1'] + np.einsum('bj,bj->j', e, u)
        g['beta2'] = g['beta2'] + np.einsum('bj,bj->j', e, v)
        g['b'] = g['b'] + e.sum(0)
        du = e * (alpha * v + beta1)
        dv = e * (alpha * u + beta2)
        g['W'] = g['W'] + np.einsum('bi,bj->ij', xt, du)
        g['U'] = g['U'] + np.einsum('bi,bj->ij', hp, dv)
        dx.insert(0, np.einsum('bj,ij->bi', du, W))
        dh = np.einsum('bj,ij->bi', dv, U)
    return np.stack(dx, axis=1), dh, g
