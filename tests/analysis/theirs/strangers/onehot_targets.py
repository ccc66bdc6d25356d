import numpy as np

# exercise 3: everything in one function; Y holds the one-hot rows of what comes next


def step_net(X, Y, h, U, W, V, b, c):
    H, P, L = [h], [], 0.0
    for k in range(len(X)):
        H.append(np.tanh(U @ X[k] + W @ H[-1] + b))
        e = np.exp(V @ H[-1] + c)
        P.append(e / e.sum())
        L -= np.sum(Y[k] * np.log(P[k]))
    gU, gW, gV, gb, gc = (np.zeros_like(p) for p in (U, W, V, b, c))
    back = np.zeros_like(h)
    for k in range(len(X) - 1, -1, -1):
        err = P[k] - Y[k]
        gV += np.outer(err, H[k + 1])
        gc += err
        g = V.T @ err + back
        slope = 1 - H[k + 1] ** 2
        a = g * slope
        gU += np.outer(a, X[k])
        gW += np.outer(a, H[k])
        gb += a
        back = W.T @ a
    return L, {"U": gU, "W": gW, "V": gV, "b": gb, "c": gc}
