import numpy as np

sigm = lambda a: 1 / (1 + np.exp(-a))


def gru_forward(x, p):
    T, B, _ = x.shape
    h = np.zeros((B, p["U_z"].shape[0]))
    hs, tape = [], []
    for t in range(T):
        z = sigm(x[t] @ p["W_z"] + h @ p["U_z"] + p["b_z"])
        r = sigm(x[t] @ p["W_r"] + h @ p["U_r"] + p["b_r"])
        n = np.tanh(x[t] @ p["W_n"] + (r * h) @ p["U_n"] + p["b_n"])
        tape.append((x[t], h, z, r, n))
        h = (1 - z) * h + z * n
        hs.append(h)
    return np.array(hs), tape


def gru_backward(dhs, tape, p):
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh = np.zeros_like(dhs[0])
    dx = []
    for t in range(len(tape) - 1, -1, -1):
        x, h, z, r, n = tape[t]
        dh = dh + dhs[t]
        dan = dh * z * (1 - n**2)
        daz = dh * (n - h) * z * (1 - z)
        drh = dan @ p["U_n"].T
        dar = drh * h * r * (1 - r)
        for gate, da, rec in (("z", daz, h), ("r", dar, h), ("n", dan, r * h)):
            g["W_" + gate] += x.T @ da
            g["U_" + gate] += rec.T @ da
            g["b_" + gate] += da.sum(axis=0)
        dx.append(daz @ p["W_z"].T + dar @ p["W_r"].T + dan @ p["W_n"].T)
        dh = dh * (1 - z) + drh * r + daz @ p["U_z"].T + dar @ p["U_r"].T
    return np.array(dx[::-1]), g


def birnn_forward(x, params):
    """x: (T, B, D); returns (T, B, C)"""
    hf, tape_f = gru_forward(x, params["fwd"])
    hb, tape_b = gru_forward(x[::-1], params["bwd"])
    both = np.concatenate([hf, hb[::-1]], axis=2)
    y = both @ params["V"] + params["c"]
    return y, (both, tape_f, tape_b)


def birnn_backward(dy, cache, params):
    both, tape_f, tape_b = cache
    H = both.shape[2] // 2
    dboth = dy @ params["V"].T
    grads = {"V": np.einsum("tbh,tbc->hc", both, dy), "c": dy.sum(axis=(0, 1))}
    dxf, grads["fwd"] = gru_backward(dboth[:, :, :H], tape_f, params["fwd"])
    dxb, grads["bwd"] = gru_backward(dboth[::-1, :, H:], tape_b, params["bwd"])
    return dxf + dxb[::-1], grads
