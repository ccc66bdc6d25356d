import numpy as np

def gru_forward(*, inputs, state, kernel, recurrent, bias):
    """Keras style: kernel (D, 3H) in z, r, h; reset before."""
    H = state.shape[-1]
    outs, tape = [], []
    h = state
    for t in range(inputs.shape[1]):
        x = inputs[:, t, :]
        xz, xr, xh = np.split(x @ kernel + bias, 3, axis=-1)
        z = 1 / (1 + np.exp(-(xz + h @ recurrent[:, :H])))
        r = 1 / (1 + np.exp(-(xr + h @ recurrent[:, H:2 * H])))
        hh = np.tanh(xh + (r * h) @ recurrent[:, 2 * H:])
        new = z * h + (1 - z) * hh
        tape.append((x, h, z, r, hh))
        h = new
        outs.append(h)
    return np.stack(outs, axis=1), tape


def gru_backward(douts, tape, kernel, recurrent):
    H = recurrent.shape[0]
    dk, dr_, db = np.zeros_like(kernel), np.zeros_like(recurrent), np.zeros(3 * H)
    dx = np.zeros((douts.shape[0], douts.shape[1], kernel.shape[0]))
    dh = np.zeros_like(douts[:, 0])
    for t in reversed(range(len(tape))):
        x, h, z, r, hh = tape[t]
        dh = dh + douts[:, t]
        dhh = dh * (1 - z)
        dz = dh * (h - hh)
        dpre_h = dhh * (1 - hh ** 2)
        drh = dpre_h @ recurrent[:, 2 * H:].T
        dr = drh * h
        dpre_z = dz * z * (1 - z)
        dpre_r = dr * r * (1 - r)
        dpre = np.concatenate([dpre_z, dpre_r, dpre_h], axis=-1)
        dk += x.T @ dpre
        db += dpre.sum(0)
        dr_[:, :2 * H] += h.T @ dpre[:, :2 * H]
        dr_[:, 2 * H:] += (r * h).T @ dpre_h
        dx[:, t] = dpre @ kernel.T
        dh = dh * z + drh * r + dpre[:, :2 * H] @ recurrent[:, :2 * H].T
    return dx, dh, dk, dr_, db
