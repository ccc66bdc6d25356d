# fast weights (Ba et al. 2016), one inner step, no layer norm
import numpy as np

LAM, ETA = 0.9, 0.5

class FastWeights:
    def __init__(self, d_in, d_h):
        r = np.random.RandomState(1)
        self.W = r.randn(d_h, d_h) * 0.3
        self.C = r.randn(d_h, d_in) * 0.3
        self.b = r.randn(d_h) * 0.1

    def forward(self, X):
        T, d = X.shape
        n = self.b.size
        h, A = np.zeros(n), np.zeros((n, n))
        self.cache = []
        H = np.zeros((T, n))
        for t in range(T):
            pre = self.W @ h + self.C @ X[t] + self.b
            h0 = np.tanh(pre)
            A_new = LAM * A + ETA * np.outer(h, h)
            s = pre + A_new @ h0
            h_new = np.tanh(s)
            self.cache.append((X[t], h, A, h0, A_new, h_new))
            h, A = h_new, A_new
            H[t] = h
        return H

    def backward(self, dH):
        T, n = dH.shape
        self.dW, self.dC, self.db = np.zeros_like(self.W), np.zeros_like(self.C), np.zeros_like(self.b)
        dX = np.zeros((T, self.C.shape[1]))
        dh, dA = np.zeros(n), np.zeros((n, n))
        for t in range(T - 1, -1, -1):
            x, h, A, h0, A_new, h_new = self.cache[t]
            dh_new = dH[t] + dh
            ds = dh_new * (1 - h_new ** 2)
            dA_new = dA + np.outer(ds, h0)
            dh0 = A_new.T @ ds
            dpre = ds + dh0 * (1 - h0 ** 2)
            self.dW += np.outer(dpre, h)
            self.dC += np.outer(dpre, x)
            self.db += dpre
            dX[t] = self.C.T @ dpre
            dh = self.W.T @ dpre + ETA * (dA_new + dA_new.T) @ h
            dA = LAM * dA_new
        return dX
