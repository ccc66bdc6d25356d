import numpy as np
# char-rnn with GRU, min-char-rnn style, loss inside, tied output
def sigmoid(x): return 1. / (1. + np.exp(-x))
def lossFun(inputs, targets, hprev, Wz, Wr, Wc, Uz, Ur, Uc, bz, br, bc, Why, by):
    xs, hs, zs, rs, cs, ps = {}, {}, {}, {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    V = Why.shape[0]
    for t in range(len(inputs)):
        xs[t] = np.zeros((V, 1)); xs[t][inputs[t]] = 1
        zs[t] = sigmoid(Wz @ xs[t] + Uz @ hs[t-1] + bz)
        rs[t] = sigmoid(Wr @ xs[t] + Ur @ hs[t-1] + br)
        cs[t] = np.tanh(Wc @ xs[t] + Uc @ (rs[t] * hs[t-1]) + bc)
        hs[t] = (1 - zs[t]) * hs[t-1] + zs[t] * cs[t]
        y = Why @ hs[t] + by
        ps[t] = np.exp(y - np.max(y)); ps[t] /= ps[t].sum()
        loss += -np.log(ps[t][targets[t], 0])
    dWz, dWr, dWc = np.zeros_like(Wz), np.zeros_like(Wr), np.zeros_like(Wc)
    dUz, dUr, dUc = np.zeros_like(Uz), np.zeros_like(Ur), np.zeros_like(Uc)
    dbz, dbr, dbc = np.zeros_like(bz), np.zeros_like(br), np.zeros_like(bc)
    dWhy, dby = np.zeros_like(Why), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t]); dy[targets[t]] -= 1
        dWhy += dy @ hs[t].T
        dby += dy
        dh = Why.T @ dy + dhnext
        dz = dh * (cs[t] - hs[t-1])
        dc = dh * zs[t]
        dcraw = dc * (1 - cs[t]**2)
        drh = Uc.T @ dcraw
        dr = drh * hs[t-1]
        dzraw = dz * zs[t] * (1 - zs[t])
        drraw = dr * rs[t] * (1 - rs[t])
        dWz += dzraw @ xs[t].T; dWr += drraw @ xs[t].T; dWc += dcraw @ xs[t].T
        dUz += dzraw @ hs[t-1].T; dUr += drraw @ hs[t-1].T; dUc += dcraw @ (rs[t]*hs[t-1]).T
        dbz += dzraw; dbr += drraw; dbc += dcraw
        dhnext = dh * (1 - zs[t]) + drh * rs[t] + Uz.T @ dzraw + Ur.T @ drraw
    return loss, dWz, dWr, dWc, dUz, dUr, dUc, dbz, dbr, dbc, dWhy, dby, hs[len(inputs)-1]
