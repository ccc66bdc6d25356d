import numpy as np


class Tagger:
    """Many-to-many classifier with weight decay. x (B, T, D), labels (B, T)."""

    def __init__(self, d, h, c, decay=0.01):
        r = np.random.default_rng(0)
        self.p = {
            "Wx": r.normal(0, 0.3, (d, h)), "Wh": r.normal(0, 0.3, (h, h)), "b": np.zeros(h),
            "Wo": r.normal(0, 0.3, (h, c)), "bo": np.zeros(c),
        }
        self.decay = decay

    def loss_and_grads(self, x, labels):
        p = self.p
        B, T, _ = x.shape
        h = np.zeros((B, T + 1, p["Wh"].shape[0]))
        for t in range(T):
            h[:, t] = np.tanh(x[:, t] @ p["Wx"] + h[:, t - 1] @ p["Wh"] + p["b"])
        scores = h[:, :T] @ p["Wo"] + p["bo"]
        scores = scores - scores.max(axis=-1, keepdims=True)
        logp = scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))
        picked = np.take_along_axis(logp, labels[..., None], axis=-1)
        loss = -picked.sum() / (B * T)
        for name in ("Wx", "Wh", "Wo"):
            loss = loss + 0.5 * self.decay * np.sum(p[name] ** 2)
        g = {name: self.decay * p[name] if name[0] == "W" else np.zeros_like(p[name]) for name in p}
        ds = np.exp(logp)
        np.put_along_axis(ds, labels[..., None], np.take_along_axis(ds, labels[..., None], -1) - 1, axis=-1)
        ds = ds / (B * T)
        g["Wo"] = g["Wo"] + np.einsum("bth,btc->hc", h[:, :T], ds)
        g["bo"] = ds.sum(axis=(0, 1))
        carry = np.zeros_like(h[:, 0])
        for t in reversed(range(T)):
            da = (ds[:, t] @ p["Wo"].T + carry) * (1 - h[:, t] ** 2)
            g["Wx"] = g["Wx"] + x[:, t].T @ da
            g["Wh"] = g["Wh"] + h[:, t - 1].T @ da
            g["b"] = g["b"] + da.sum(axis=0)
            carry = da @ p["Wh"].T
        return loss, g
