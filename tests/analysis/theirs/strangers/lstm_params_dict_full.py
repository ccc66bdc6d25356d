import numpy as np
def sigmoid(z): return 1/(1+np.exp(-z))

def lstm_forward(X, h0, c0, params):
    Wi, Wf, Wo, Wg = params['Wi'], params['Wf'], params['Wo'], params['Wg']
    Ui, Uf, Uo, Ug = params['Ui'], params['Uf'], params['Uo'], params['Ug']
    bi, bf, bo, bg = params['bi'], params['bf'], params['bo'], params['bg']
    h, c = h0, c0
    cache = []
    hs = []
    cs = []
    for t in range(X.shape[1]):
        x = X[:, t]
        i = sigmoid(x @ Wi + h @ Ui + bi)
        f = sigmoid(x @ Wf + h @ Uf + bf)
        o = sigmoid(x @ Wo + h @ Uo + bo)
        g = np.tanh(x @ Wg + h @ Ug + bg)
        c_new = f * c + i * g
        h_new = o * np.tanh(c_new)
        cache.append(dict(x=x, h_prev=h, c_prev=c, i=i, f=f, o=o, g=g, c=c_new))
        h, c = h_new, c_new
        hs.append(h); cs.append(c)
    return {"h": np.stack(hs, axis=1), "c": np.stack(cs, axis=1), "cache": cache}

def lstm_backward(dh_out, dc_out, out, params):
    cache = out["cache"]
    grads = {k: np.zeros_like(v) for k, v in params.items()}
    B, T, H = dh_out.shape
    dh_next = np.zeros((B, H)); dc_next = np.zeros((B, H))
    dX = np.zeros((B, T, params['Wi'].shape[0]))
    for t in reversed(range(T)):
        s = cache[t]
        dh = dh_out[:, t] + dh_next
        tc = np.tanh(s["c"])
        dc = dc_out[:, t] + dc_next + dh * s["o"] * (1 - tc ** 2)
        da = {
            "o": dh * tc * s["o"] * (1 - s["o"]),
            "i": dc * s["g"] * s["i"] * (1 - s["i"]),
            "f": dc * s["c_prev"] * s["f"] * (1 - s["f"]),
            "g": dc * s["i"] * (1 - s["g"] ** 2),
        }
        dh_next = 0
        for k in "ifog":
            grads["W" + k] += s["x"].T @ da[k]
            grads["U" + k] += s["h_prev"].T @ da[k]
            grads["b" + k] += da[k].sum(axis=0)
            dX[:, t] += da[k] @ params["W" + k].T
            dh_next = dh_next + da[k] @ params["U" + k].T
        dc_next = dc * s["f"]
    grads["X"], grads["h0"], grads["c0"] = dX, dh_next, dc_next
    return grads
