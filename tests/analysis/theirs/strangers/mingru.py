import numpy as np
def sigmoid(v): return 1/(1+np.exp(-v))
def fwd(x, h0, Wz, bz, Wh, bh):
    z = sigmoid(x @ Wz + bz)
    ht = x @ Wh + bh
    hs = np.empty(z.shape, dtype=z.dtype)
    h = h0
    for t in range(len(x)):
        h = (1 - z[t]) * h + z[t] * ht[t]
        hs[t] = h
    return hs, (x, h0, z, ht, hs, Wz, Wh)

def bwd(dhs, cache):
    x, h0, z, ht, hs, Wz, Wh = cache
    dz = np.zeros_like(z); dht = np.zeros_like(ht)
    dh = np.zeros_like(h0)
    for t in reversed(range(len(x))):
        dh += dhs[t]
        prev = h0 if t == 0 else hs[t-1]
        dz[t] = dh * (ht[t] - prev) * z[t] * (1 - z[t])
        dht[t] = dh * z[t]
        dh = dh * (1 - z[t])
    dWz = np.einsum('tbm,tbn->mn', x, dz)
    dWh = np.einsum('tbm,tbn->mn', x, dht)
    return dz @ Wz.T + dht @ Wh.T, dh, dWz, dz.sum((0, 1)), dWh, dht.sum((0, 1))
