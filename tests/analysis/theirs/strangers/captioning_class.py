import numpy as np

class CaptioningRNN:
    def __init__(self, vocab_size, input_dim=6, wordvec_dim=5, hidden_dim=4, null=0):
        rng = np.random.default_rng(0)
        self._null = null
        self.params = {
            "W_embed": rng.normal(size=(vocab_size, wordvec_dim)) / 10,
            "W_proj": rng.normal(size=(input_dim, hidden_dim)) / np.sqrt(input_dim),
            "b_proj": np.zeros(hidden_dim),
            "Wx": rng.normal(size=(wordvec_dim, hidden_dim)) / np.sqrt(wordvec_dim),
            "Wh": rng.normal(size=(hidden_dim, hidden_dim)) / np.sqrt(hidden_dim),
            "b": np.zeros(hidden_dim),
            "W_vocab": rng.normal(size=(hidden_dim, vocab_size)) / np.sqrt(hidden_dim),
            "b_vocab": np.zeros(vocab_size),
        }

    def loss(self, features, captions):
        captions_in, captions_out = captions[:, :-1], captions[:, 1:]
        mask = captions_out != self._null
        p = self.params
        N, T = captions_in.shape
        h0 = features @ p["W_proj"] + p["b_proj"]
        x = p["W_embed"][captions_in]
        hs = np.zeros((N, T, h0.shape[1]))
        prev = h0
        for t in range(T):
            prev = np.tanh(x[:, t] @ p["Wx"] + prev @ p["Wh"] + p["b"])
            hs[:, t] = prev
        scores = hs @ p["W_vocab"] + p["b_vocab"]
        scores -= scores.max(axis=2, keepdims=True)
        probs = np.exp(scores)
        probs /= probs.sum(axis=2, keepdims=True)
        picked = probs[np.arange(N)[:, None], np.arange(T), captions_out]
        loss = -np.sum(mask * np.log(picked)) / N

        dscores = probs.copy()
        dscores[np.arange(N)[:, None], np.arange(T), captions_out] -= 1
        dscores *= mask[:, :, None] / N
        grads = {"W_vocab": np.einsum("nth,ntv->hv", hs, dscores), "b_vocab": dscores.sum((0, 1))}
        dhs = dscores @ p["W_vocab"].T
        dx = np.zeros_like(x)
        dprev = np.zeros_like(h0)
        grads["Wx"], grads["Wh"], grads["b"] = (np.zeros_like(p[k]) for k in ("Wx", "Wh", "b"))
        for t in reversed(range(T)):
            before = hs[:, t - 1] if t > 0 else h0
            da = (dhs[:, t] + dprev) * (1 - hs[:, t] ** 2)
            dx[:, t] = da @ p["Wx"].T
            grads["Wx"] += x[:, t].T @ da
            grads["Wh"] += before.T @ da
            grads["b"] += da.sum(0)
            dprev = da @ p["Wh"].T
        grads["W_embed"] = np.zeros_like(p["W_embed"])
        np.add.at(grads["W_embed"], captions_in, dx)
        grads["W_proj"] = features.T @ dprev
        grads["b_proj"] = dprev.sum(0)
        return loss, grads
