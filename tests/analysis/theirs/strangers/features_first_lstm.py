import numpy as np

GATES = ("f", "i", "g", "o")


def squash(name, a):
    return np.tanh(a) if name == "g" else 1 / (1 + np.exp(-a))


def one_step(v, h, c, par):
    s = np.vstack([h, v])
    y = {k: squash(k, par["W" + k] @ s + par["b" + k]) for k in GATES}
    c_new = y["f"] * c + y["i"] * y["g"]
    return y["o"] * np.tanh(c_new), c_new, (s, c, c_new, y)


def lstm_forward(x, h0, params):
    """x (features, examples, time)"""
    h, c, kept = h0, np.zeros(h0.shape), []
    H, C = np.zeros((*h0.shape, x.shape[2])), np.zeros((*h0.shape, x.shape[2]))
    par = {"Wf": params["Wf"], "Wi": params["Wi"], "Wg": params["Wg"], "Wo": params["Wo"],
           "bf": params["bf"], "bi": params["bi"], "bg": params["bg"], "bo": params["bo"]}
    for t in range(x.shape[2]):
        h, c, step = one_step(x[:, :, t], h, c, par)
        H[:, :, t], C[:, :, t] = h, c
        kept.append(step)
    return H, C, (kept, par)


def step_back(dh, dc, step, par):
    s, c_old, c_new, y = step
    n = dh.shape[0]
    th = np.tanh(c_new)
    dc = dc + dh * y["o"] * (1 - th ** 2)
    da = {
        "o": dh * th * y["o"] * (1 - y["o"]),
        "f": dc * c_old * y["f"] * (1 - y["f"]),
        "i": dc * y["g"] * y["i"] * (1 - y["i"]),
        "g": dc * y["i"] * (1 - y["g"] ** 2),
    }
    ds = sum(par["W" + k].T @ da[k] for k in GATES)
    grads = {"W" + k: da[k] @ s.T for k in GATES}
    grads.update({"b" + k: da[k].sum(axis=1, keepdims=True) for k in GATES})
    return ds[n:], ds[:n], dc * y["f"], grads


def lstm_backward(dH, cache):
    kept, par = cache
    total = {k: np.zeros_like(v) for k, v in par.items()}
    dh = dc = np.zeros(dH.shape[:2])
    dx = []
    for t in reversed(range(dH.shape[2])):
        dv, dh, dc, grads = step_back(dH[:, :, t] + dh, dc, kept[t], par)
        dx.insert(0, dv)
        for k in total:
            total[k] += grads[k]
    total["x"], total["h0"] = np.stack(dx, axis=2), dh
    return total
