import numpy as np

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def step_forward(x, h_prev, c_prev, W, b):
    n = h_prev.shape[1]
    z = np.hstack([h_prev, x]) @ W + b
    i, f, o, g = sigmoid(z[:, :n]), sigmoid(z[:, n:2*n]), sigmoid(z[:, 2*n:3*n]), np.tanh(z[:, 3*n:])
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    return h, c, (x, h_prev, c_prev, W, i, f, o, g, c)

def step_backward(dh, dc, cache):
    x, h_prev, c_prev, W, i, f, o, g, c = cache
    n = h_prev.shape[1]
    t = np.tanh(c)
    dc = dc + dh * o * (1 - t ** 2)
    dz = np.hstack([dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dh * t * o * (1 - o), dc * i * (1 - g ** 2)])
    dhx = dz @ W.T
    return dhx[:, n:], dhx[:, :n], dc * f, np.hstack([h_prev, x]).T @ dz, dz.sum(axis=0)
