import numpy as np
def sig(z): return 1/(1+np.exp(-z))
class PeepholeLSTM:
    def __init__(self, m, n, rng):
        self.W = rng.normal(size=(4*n, m+n)) * 0.3
        self.b = np.zeros(4*n)
        self.p = rng.normal(size=(3, n)) * 0.3
        self.n = n
    def forward(self, X):
        n = self.n
        T, B, m = X.shape
        h = np.zeros((B, n)); c = np.zeros((B, n))
        self.cache = []
        H = np.zeros((T, B, n))
        for t in range(T):
            z = np.hstack([X[t], h])
            a = z @ self.W.T + self.b
            i = sig(a[:, :n] + self.p[0]*c)
            f = sig(a[:, n:2*n] + self.p[1]*c)
            g = np.tanh(a[:, 3*n:])
            c_new = f*c + i*g
            o = sig(a[:, 2*n:3*n] + self.p[2]*c_new)
            h = o*np.tanh(c_new)
            self.cache.append((z, i, f, o, g, c, c_new))
            c = c_new
            H[t] = h
        return H
    def backward(self, dH):
        n = self.n
        dW = np.zeros_like(self.W); db = np.zeros_like(self.b); dp = np.zeros_like(self.p)
        T, B, _ = dH.shape
        dh = np.zeros((B, n)); dc = np.zeros((B, n))
        for t in range(T-1, -1, -1):
            z, i, f, o, g, c_prev, c = self.cache[t]
            dh = dh + dH[t]
            th = np.tanh(c)
            do = dh*th*o*(1-o)
            dc = dc + dh*o*(1-th**2) + do*self.p[2]
            di = dc*g*i*(1-i)
            df = dc*c_prev*f*(1-f)
            dg = dc*i*(1-g**2)
            dp[0] += (di*c_prev).sum(0); dp[1] += (df*c_prev).sum(0); dp[2] += (do*c).sum(0)
            da = np.hstack([di, df, do, dg])
            dW += da.T @ z; db += da.sum(0)
            dz = da @ self.W
            dh = dz[:, -n:]
            dc = dc*f + di*self.p[0] + df*self.p[1]
        return dW, db, dp
