import numpy as np
from types import SimpleNamespace

H, D = 6, 4
rng = np.random.default_rng(1)
P = {
    "W": rng.normal(size=(3 * H, D)) * 0.3,
    "U": rng.normal(size=(3 * H, H)) * 0.3,
    "b": np.zeros(3 * H),
}

def sig(v):
    return 1 / (1 + np.exp(-v))

def forward(x, h0):
    """x: (T, D), h0: (H,)"""
    h, tape = h0, []
    for v in x:
        w = P["W"] @ v + P["b"]
        z = sig(w[:H] + P["U"][:H] @ h)
        r = sig(w[H:2*H] + P["U"][H:2*H] @ h)
        n = np.tanh(w[2*H:] + P["U"][2*H:] @ (r * h))
        new = (1 - z) * n + z * h
        tape.append((v, h, z, r, n))
        h = new
    return np.array([s[1] for s in tape[1:]] + [h]), tape

def backward(dh_seq, tape):
    dP = {k: np.zeros_like(v) for k, v in P.items()}
    dh = np.zeros(H)
    dx = np.zeros((len(tape), D))
    for t in range(len(tape) - 1, -1, -1):
        v, hp, z, r, n = tape[t]
        dh = dh + dh_seq[t]
        daz = dh * (hp - n) * z * (1 - z)
        dan = dh * (1 - z) * (1 - n * n)
        drh = P["U"][2*H:].T @ dan
        dar = drh * hp * r * (1 - r)
        da = np.concatenate([daz, dar, dan])
        dP["W"] += np.outer(da, v)
        dP["b"] += da
        dP["U"][:2*H] += np.outer(da[:2*H], hp)
        dP["U"][2*H:] += np.outer(dan, r * hp)
        dx[t] = P["W"].T @ da
        dh = dh * z + drh * r + P["U"][:2*H].T @ da[:2*H]
    return dx, dh, dP
