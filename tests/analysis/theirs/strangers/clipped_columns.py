import numpy as np

units, letters = 7, 9
W_in = 0.3 * np.random.randn(units, letters)
W_rec = 0.3 * np.random.randn(units, units)
W_out = 0.3 * np.random.randn(letters, units)
b_rec, b_out = np.zeros((units, 1)), np.zeros((letters, 1))


def learn(inputs, targets, hprev):
    x, h, chance, cost = {}, {-1: hprev.copy()}, {}, 0.0
    for t, letter in enumerate(inputs):
        x[t] = np.zeros((letters, 1))
        x[t][letter] = 1.0
        h[t] = np.tanh(W_in.dot(x[t]) + W_rec.dot(h[t - 1]) + b_rec)
        score = W_out.dot(h[t]) + b_out
        chance[t] = np.exp(score) / np.exp(score).sum()
        cost -= np.log(chance[t][targets[t], 0])
    gW_in, gW_rec, gW_out = map(np.zeros_like, (W_in, W_rec, W_out))
    gb_rec, gb_out = np.zeros_like(b_rec), np.zeros_like(b_out)
    from_later = np.zeros_like(hprev)
    for t in range(len(inputs) - 1, -1, -1):
        gscore = chance[t].copy()
        gscore[targets[t]] -= 1
        gW_out += gscore.dot(h[t].T)
        gb_out += gscore
        gh = W_out.T.dot(gscore) + from_later
        inside = gh * (1 - h[t] ** 2)
        gb_rec += inside
        gW_in += inside.dot(x[t].T)
        gW_rec += inside.dot(h[t - 1].T)
        from_later = W_rec.T.dot(inside)
    for gradient in (gW_in, gW_rec, gW_out, gb_rec, gb_out):
        np.clip(gradient, -5, 5, out=gradient)
    return cost, gW_in, gW_rec, gW_out, gb_rec, gb_out, h[len(inputs) - 1]
