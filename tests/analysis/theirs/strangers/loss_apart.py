import numpy as np

def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)

def forward(X, params):
    W, U, V, b, c = params
    h = np.zeros((X.shape[0], U.shape[0]))
    hs = [h]
    for t in range(X.shape[1]):
        h = np.tanh(X[:, t].dot(W) + h.dot(U) + b)
        hs.append(h)
    probs = softmax(h.dot(V) + c)
    return probs, hs

def cross_entropy_loss(probs, y):
    return -np.log(probs[range(len(y)), y]).mean()

def backward(X, y, probs, hs, params):
    W, U, V, b, c = params
    dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    dscores = probs.copy()
    dscores[range(len(y)), y] -= 1
    dscores /= len(y)
    dV = hs[-1].T.dot(dscores)
    dc = dscores.sum(axis=0)
    dh = dscores.dot(V.T)
    for t in range(X.shape[1] - 1, -1, -1):
        da = dh * (1 - hs[t + 1] ** 2)
        dW += X[:, t].T.dot(da)
        dU += hs[t].T.dot(da)
        db += da.sum(axis=0)
        dh = da.dot(U.T)
    return dW, dU, dV, db, dc
