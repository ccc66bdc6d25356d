import numpy as np

def forward(x, h0, Wx, Wh, b):
    cache = {"x": x, "h0": h0, "Wx": Wx, "Wh": Wh, "b": b}
    T = x.shape[0]
    hs = {}
    hs[-1] = h0
    for t in range(T):
        hs[t] = np.tanh(np.dot(x[t], Wx) + np.dot(hs[t-1], Wh) + b)
    cache["hs"] = hs
    return np.stack([hs[t] for t in range(T)]), cache

def backward(dhs, cache):
    x, Wx, Wh, hs = cache["x"], cache["Wx"], cache["Wh"], cache["hs"]
    grads = {k: np.zeros_like(cache[k]) for k in ("x", "Wx", "Wh", "b")}
    carry = np.zeros_like(cache["h0"])
    for t in reversed(range(x.shape[0])):
        dpre = (dhs[t] + carry) * (1.0 - np.square(hs[t]))
        grads["Wx"] += np.dot(x[t].T, dpre)
        grads["Wh"] += np.dot(hs[t-1].T, dpre)
        grads["b"] += np.sum(dpre, axis=0)
        grads["x"][t] = np.dot(dpre, Wx.T)
        carry = np.dot(dpre, Wh.T)
    grads["h0"] = carry
    return grads
