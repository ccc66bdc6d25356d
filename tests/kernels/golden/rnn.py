"""Simple recurrent network with tanh.

Elman, J. L. (1990). Finding structure in time. Cognitive Science 14, 179-211.

Generated: edit the definition instead.

x: input[m]
h: state[n]
W_hh: param[n, n]
W_xh: param[n, m]
b_h: param[n]
h = tanh(W_hh @ h + W_xh @ x + b_h)
"""

import math

import numpy as np
from numba import njit


@njit(error_model="numpy")
def tanh(x):
    return math.tanh(x)


@njit(cache=True, error_model="numpy")
def prologue(T, B):
    """Compute what depends on parameters alone. Nothing here."""


@njit(cache=True, error_model="numpy")
def forward(T, B, size_n, size_m, W_xh, x, p2, W_hh, h_prev, p1, b_h, a_h, h):
    """Run all steps. States have a row per step; row t of a `_prev` array is the state before step t."""
    # p2 = W_xh @ x, for all steps at once
    np.dot(x.reshape(T * B, size_m), W_xh.T, p2.reshape(T * B, size_n))
    for t in range(T):
        # p1 = W_hh @ h_prev
        np.dot(h_prev[t], W_hh.T, p1)
        for s in range(B):
            for j0 in range(size_n):
                # a_h = p1 + p2 + b_h
                a_h[t, s, j0] = p1[s, j0] + p2[t, s, j0] + b_h[j0]
                # h = tanh(a_h)
                h[t, s, j0] = tanh(a_h[t, s, j0])


@njit(cache=True, error_model="numpy")
def backward(T, B, size_n, delta_h_prev, incoming_loss_h, incoming_h, delta_h, h, delta_a_h, W_hh):
    """Go back through all steps, from the gradients that reach each state from outside."""
    for t in range(T - 1, -1, -1):
        for s in range(B):
            for j0 in range(size_n):
                # incoming_h = delta_h_prev + incoming_loss_h
                incoming_h[t, s, j0] = delta_h_prev[s, j0] + incoming_loss_h[t, s, j0]
                # delta_h = incoming_h
                delta_h[s, j0] = incoming_h[t, s, j0]
                # delta_a_h = delta_h * (1 - h**2)
                delta_a_h[t, s, j0] = delta_h[s, j0] * (1.0 - h[t, s, j0] * h[t, s, j0])
        # delta_h_prev = W_hh.T @ delta_a_h
        np.dot(delta_a_h[t], W_hh, delta_h_prev)


@njit(cache=True, error_model="numpy")
def gradients(T, B, size_n, size_m, W_xh, delta_a_h, delta_x, h_prev, delta_W_hh, x, delta_W_xh, delta_b_h):
    """Sum the gradients of parameters over steps and samples, and take those of inputs."""
    # delta_x = W_xh.T @ delta_a_h, for all steps at once
    np.dot(delta_a_h.reshape(T * B, size_n), W_xh, delta_x.reshape(T * B, size_m))
    # delta_W_hh += outer(delta_a_h, h_prev), summed over steps and samples
    delta_W_hh += np.dot(delta_a_h.reshape(T * B, size_n).T, h_prev.reshape(T * B, size_n))
    # delta_W_xh += outer(delta_a_h, x), summed over steps and samples
    delta_W_xh += np.dot(delta_a_h.reshape(T * B, size_n).T, x.reshape(T * B, size_m))
    for t in range(T):
        for s in range(B):
            for j0 in range(size_n):
                # delta_b_h += delta_a_h
                delta_b_h[j0] += delta_a_h[t, s, j0]


@njit(cache=True, error_model="numpy")
def epilogue(T, B):
    """Carry summed gradients back through the prologue. Nothing here."""
