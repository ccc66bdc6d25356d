import numpy as np

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def forward(xs, h0, params):
    Wz, Uz, bz, Wr, Ur, br, Wh, Uh, bh = params
    h = h0
    cache = []
    H = []
    for x in xs:
        z = sigmoid(Wz @ x + Uz @ h + bz)
        r = sigmoid(Wr @ x + Ur @ h + br)
        hh = np.tanh(Wh @ x + Uh @ (r * h) + bh)
        cache.append((x, h, z, r, hh))
        h = (1 - z) * h + z * hh
        H.append(h)
    return H, cache

def backward(dH, cache, params):
    Wz, Uz, bz, Wr, Ur, br, Wh, Uh, bh = params
    grads = [np.zeros_like(p) for p in params]
    dh = np.zeros_like(dH[0])
    dxs = []
    for t in reversed(range(len(dH))):
        x, hp, z, r, hh = cache[t]
        dh = dh + dH[t]
        dhh = dh * z * (1 - hh ** 2)
        dz = dh * (hh - hp) * z * (1 - z)
        drh = Uh.T @ dhh
        dr = drh * hp * r * (1 - r)
        for k, (d, inp) in enumerate([(dz, hp), (dr, hp), (dhh, r * hp)]):
            grads[3 * k] += np.outer(d, x)
            grads[3 * k + 1] += np.outer(d, inp)
            grads[3 * k + 2] += d
        dxs.append(Wz.T @ dz + Wr.T @ dr + Wh.T @ dhh)
        dh = dh * (1 - z) + drh * r + Uz.T @ dz + Ur.T @ dr
    return dxs[::-1], dh, grads
