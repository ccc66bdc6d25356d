import numpy as np

sig = lambda a: 1 / (1 + np.exp(-a))


def fwd(xs, h, c, p):
    cache, hs = [], []
    for x in xs:
        v = np.vstack([h, x])
        i = sig(p["Wi"] @ v + p["pi"] * c + p["bi"])
        f = sig(p["Wf"] @ v + p["pf"] * c + p["bf"])
        z = np.tanh(p["Wz"] @ v + p["bz"])
        cn = i * z + f * c
        o = sig(p["Wo"] @ v + p["po"] * cn + p["bo"])
        th = np.tanh(cn)
        cache.append((v, c, i, f, z, cn, o, th))
        h, c = o * th, cn
        hs.append(h)
    return hs, cache


def bwd(dhs, cache, p):
    g = {k: np.zeros_like(w) for k, w in p.items()}
    n = dhs[0].shape[0]
    dh_next = np.zeros_like(dhs[0])
    dc_next = np.zeros_like(dhs[0])
    dxs = []
    for t in range(len(dhs) - 1, -1, -1):
        v, c, i, f, z, cn, o, th = cache[t]
        dh = dhs[t] + dh_next
        ao = dh * th * o * (1 - o)
        dc = dc_next + dh * o * (1 - th ** 2) + ao * p["po"]
        ai = dc * z * i * (1 - i)
        af = dc * c * f * (1 - f)
        az = dc * i * (1 - z ** 2)
        for k, a in (("i", ai), ("f", af), ("z", az), ("o", ao)):
            g["W" + k] += a @ v.T
            g["b" + k] += a
        g["pi"] += ai * c
        g["pf"] += af * c
        g["po"] += ao * cn
        dv = p["Wi"].T @ ai + p["Wf"].T @ af + p["Wz"].T @ az + p["Wo"].T @ ao
        dh_next, dx = dv[:n], dv[n:]
        dc_next = dc * f + ai * p["pi"] + af * p["pf"]
        dxs.insert(0, dx)
    return dxs, dh_next, dc_next, g
