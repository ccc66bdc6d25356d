"""Exponential gates, kept from overflow by a running maximum; a normaliser that counts for 1 at least."""

import numpy as np


def forward(xs, c0, n0, m0, Wz, bz, wi, wf):
    c, n, m = c0, n0, m0
    ys, saved = [], []
    for x in xs:
        z = np.tanh(Wz @ x + bz)
        a = np.dot(wi, x)
        b = np.dot(wf, x)
        keep = m - np.logaddexp(0.0, -b)
        top = np.maximum(a, keep)
        i = np.exp(a - top)
        f = np.exp(keep - top)
        cn = f * c + i * z
        nn = f * n + i
        y = cn / np.maximum(np.abs(nn), 1.0)
        saved.append((x, z, a, b, keep, i, f, c, n, cn, nn))
        ys.append(y)
        c, n, m = cn, nn, top
    return np.stack(ys), saved


def backward(dys, saved, Wz, wi, wf):
    dWz, dbz = np.zeros_like(Wz), np.zeros(len(Wz))
    dwi, dwf = np.zeros_like(wi), np.zeros_like(wf)
    dxs = np.zeros((len(saved), len(wi)))
    dcn, dnn, dtop = np.zeros(len(Wz)), 0.0, 0.0
    for t in reversed(range(len(saved))):
        x, z, a, b, keep, i, f, c, n, cn, nn = saved[t]
        size = np.maximum(np.abs(nn), 1.0)
        dcn = dcn + dys[t] / size
        dnn = dnn - np.sum(dys[t] * cn) / size**2 * np.sign(nn) * (np.abs(nn) > 1.0)
        df = np.sum(dcn * c) + dnn * n
        di = np.sum(dcn * z) + dnn
        dz = dcn * i
        dtop = dtop - di * i - df * f
        da = di * i + dtop * (a >= keep)
        dkeep = df * f + dtop * (a < keep)
        db = dkeep / (1 + np.exp(b))
        dpre = dz * (1 - z**2)
        dWz += np.outer(dpre, x)
        dbz += dpre
        dwi += da * x
        dwf += db * x
        dxs[t] = Wz.T @ dpre + da * wi + db * wf
        dcn = dcn * f
        dnn = dnn * f
        dtop = dkeep
    return dxs, dcn, dnn, dtop, dWz, dbz, dwi, dwf
