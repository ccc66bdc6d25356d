import numpy as np

def mgu(X, h0, Wf, Uf, bf, Wh, Uh, bh):
    """Minimal gated unit (Zhou et al. 2016)."""
    N, T, D = X.shape
    H = h0.shape[1]
    hs = np.empty((N, T, H)); fs = np.empty((N, T, H)); cs = np.empty((N, T, H))
    h = h0
    for t in range(T):
        f = 1. / (1. + np.exp(-(X[:, t].dot(Wf) + h.dot(Uf) + bf)))
        c = np.tanh(X[:, t].dot(Wh) + (f * h).dot(Uh) + bh)
        h = (1 - f) * h + f * c
        hs[:, t], fs[:, t], cs[:, t] = h, f, c
    cache = dict(X=X, h0=h0, hs=hs, fs=fs, cs=cs, Wf=Wf, Uf=Uf, Wh=Wh, Uh=Uh)
    return hs, cache

def mgu_backward(dhs, cache):
    X, h0, hs, fs, cs = (cache[k] for k in ("X", "h0", "hs", "fs", "cs"))
    Wf, Uf, Wh, Uh = cache["Wf"], cache["Uf"], cache["Wh"], cache["Uh"]
    N, T, D = X.shape
    H = h0.shape[1]
    dX = np.zeros_like(X)
    dWf, dUf, dbf = np.zeros_like(Wf), np.zeros_like(Uf), np.zeros(H)
    dWh, dUh, dbh = np.zeros_like(Wh), np.zeros_like(Uh), np.zeros(H)
    dh_carry = np.zeros((N, H))
    for t in range(T - 1, -1, -1):
        hp = h0 if t == 0 else hs[:, t - 1]
        f, c = fs[:, t], cs[:, t]
        dh = dhs[:, t] + dh_carry
        dc_raw = dh * f * (1 - c * c)
        dfh = dc_raw.dot(Uh.T)
        df = dh * (c - hp) + dfh * hp
        df_raw = df * f * (1 - f)
        dWf += X[:, t].T.dot(df_raw)
        dUf += hp.T.dot(df_raw)
        dbf += df_raw.sum(0)
        dWh += X[:, t].T.dot(dc_raw)
        dUh += (f * hp).T.dot(dc_raw)
        dbh += dc_raw.sum(0)
        dX[:, t] = df_raw.dot(Wf.T) + dc_raw.dot(Wh.T)
        dh_carry = dh * (1 - f) + dfh * f + df_raw.dot(Uf.T)
    return dX, dh_carry, dWf, dUf, dbf, dWh, dUh, dbh
