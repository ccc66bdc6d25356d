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

from numba import njit

from bptt.kernels.functions import tanh
from bptt.kernels.meeting import meet
from bptt.kernels.orthogonal import orthonormalise
from bptt.kernels.products import multiply_part, outer_sum, pack_part, share
from bptt.kernels.vector import lanes, load, store, within

LANES = lanes("float64")


@njit(cache=True, error_model="numpy", nogil=True)
def prologue(part, parts, size_n, size_m, W_xh, W_hh, packed1, packed2):
    """Compute what depends on parameters alone, and pack the matrices of the forward pass."""
    # packed1: W_xh for one product
    pack_part(packed1, size_n, size_m, 0, 0, W_xh, size_n, size_m, 1, part, parts)
    # packed2: W_hh for one product
    pack_part(packed2, size_n, size_n, 0, 0, W_hh, size_n, size_n, 1, part, parts)


@njit(cache=True, error_model="numpy", nogil=True)
def forward(
    T, B, first, last, part, parts, split, meeting, size_n, size_m, active, x, h, h_prev, b_h, packed1,
    packed2,
):
    """Run all steps. States have a row per step and sample; a row of a `_prev` array is the state before it."""
    masked = len(active) > 0
    above, below, piece, pieces = (0, B, part, parts) if split else (first, last, 0, 1)
    span = max(1, 128 // max(1, below - above))  # steps whose values stay in the cache until they are read
    for start in range(0, T, span):
        stop = min(start + span, T)
        rows, times = ((stop - start) * B, 1) if below - above == B else (below - above, stop - start)
        meet(meeting, pieces)
        # a_h = W_xh @ x, for `span` steps at once
        multiply_part(
            h, start * B + above, 0,
            x, start * B + above, 0,
            packed1,
            rows, times, B, size_n, size_m, 1.0, 0,
            0, piece, pieces,
        )
        meet(meeting, pieces)
        for t in range(start, stop):
            meet(meeting, pieces)
            # a_h += W_hh @ h_prev
            multiply_part(
                h, t * B + above, 0,
                h_prev, t * B + above, 0,
                packed2,
                below - above, 1, B, size_n, size_n, 1.0, 1,
                t % 2, piece, pieces,
            )
            meet(meeting, pieces)
            for s in range(first, last):
                row = t * B + s
                if masked and active[row, 0] == 0.0:
                    continue
                for j in range(0, size_n, LANES):
                    left = size_n - j
                    # a_h += b_h
                    b_h_j = load(b_h, 0, j, left)
                    a_h_j = load(h, row, j, left)
                    a_h_j = a_h_j + b_h_j
                    # h = tanh(a_h)
                    h_j = tanh(a_h_j)
                    store(h, row, j, left, h_j)
            if masked:
                for s in range(first, last):
                    row = t * B + s
                    if active[row, 0] == 0.0:
                        for j0 in range(size_n):
                            h[row, j0] = h_prev[row, j0]


@njit(cache=True, error_model="numpy", nogil=True)
def pack_backward(part, parts, size_n, size_m, W_xh, W_hh, packed3, packed4):
    """Pack the matrices of the backward pass."""
    # packed3: W_hh.T for one product
    pack_part(packed3, size_n, size_n, 0, 0, W_hh, size_n, size_n, 0, part, parts)
    # packed4: W_xh.T for one product
    pack_part(packed4, size_m, size_n, 0, 0, W_xh, size_m, size_n, 0, part, parts)


@njit(cache=True, error_model="numpy", nogil=True)
def backward(
    T, B, first, last, part, parts, split, meeting, size_n, size_m, active, delta_h_prev, incoming_loss_h,
    incoming_h, h, delta_a_h, delta_x, packed3, packed4,
):
    """Go back through all steps, from the gradients that reach each state from outside."""
    masked = len(active) > 0
    if masked:
        for t in range(T):
            for s in range(first, last):
                row = t * B + s
                if active[row, 0] == 0.0:
                    for j0 in range(size_n):
                        delta_a_h[row, j0] = 0.0
    above, below, piece, pieces = (0, B, part, parts) if split else (first, last, 0, 1)
    span = max(1, 128 // max(1, below - above))  # steps whose values stay in the cache until they are read
    for stop in range(T, 0, -span):
        start = max(0, stop - span)
        rows, times = ((stop - start) * B, 1) if below - above == B else (below - above, stop - start)
        for t in range(stop - 1, start - 1, -1):
            if masked:
                for s in range(first, last):
                    row = t * B + s
                    if active[row, 0] == 0.0:
                        for j0 in range(size_n):
                            incoming_h[row, j0] = incoming_loss_h[row, j0] + delta_h_prev[s, j0]
            for s in range(first, last):
                row = t * B + s
                if masked and active[row, 0] == 0.0:
                    continue
                for j in range(0, size_n, LANES):
                    left = size_n - j
                    # incoming_h = delta_h_prev + incoming_loss_h
                    delta_h_prev_j = load(delta_h_prev, s, j, left)
                    incoming_loss_h_j = load(incoming_loss_h, row, j, left)
                    incoming_h_j = delta_h_prev_j + incoming_loss_h_j
                    store(incoming_h, row, j, left, incoming_h_j)
                    # delta_h = incoming_h
                    delta_h_j = incoming_h_j
                    # delta_a_h = delta_h * (1 - h**2)
                    h_j = load(h, row, j, left)
                    delta_a_h_j = delta_h_j * (1.0 - h_j * h_j)
                    store(delta_a_h, row, j, left, delta_a_h_j)
            meet(meeting, pieces)
            # delta_h_prev = W_hh.T @ delta_a_h
            multiply_part(
                delta_h_prev, above, 0,
                delta_a_h, t * B + above, 0,
                packed3,
                below - above, 1, B, size_n, size_n, 1.0, 0,
                t % 2, piece, pieces,
            )
            meet(meeting, pieces)
            if masked:
                for s in range(first, last):
                    row = t * B + s
                    if active[row, 0] == 0.0:
                        for j0 in range(size_n):
                            delta_h_prev[s, j0] = incoming_h[row, j0]
        meet(meeting, pieces)
        # delta_x = W_xh.T @ delta_a_h, for `span` steps at once
        multiply_part(
            delta_x, start * B + above, 0,
            delta_a_h, start * B + above, 0,
            packed4,
            rows, times, B, size_m, size_n, 1.0, 0,
            0, piece, pieces,
        )
        meet(meeting, pieces)


@njit(cache=True, error_model="numpy", nogil=True)
def sums(
    T, B, part, parts, later, size_n, size_m, active, space, delta_a_h, h_prev, delta_W_hh, x, delta_W_xh,
    delta_b_h,
):
    """Sum the gradients of parameters over steps and samples."""
    masked = len(active) > 0
    # delta_W_hh += outer(delta_a_h, h_prev), summed over steps and samples
    low, high = share(size_n, part, parts)
    outer_sum(
        delta_W_hh, low, 0,
        delta_a_h, 0, low,
        h_prev, 0, 0,
        space[part], high - low, size_n, T * B, 1.0, later,
    )
    # delta_W_xh += outer(delta_a_h, x), summed over steps and samples
    low, high = share(size_n, part, parts)
    outer_sum(
        delta_W_xh, low, 0,
        delta_a_h, 0, low,
        x, 0, 0,
        space[part], high - low, size_m, T * B, 1.0, later,
    )
    for low in range(0, T * B, 128):
        high = min(low + 128, T * B)
        for j in range(part * LANES, size_n, parts * LANES):
            left = size_n - j
            delta_b_h_j = within(load(delta_b_h, 0, j, left), 0)
            for row in range(low, high):
                if masked and active[row, 0] == 0.0:
                    continue
                # delta_b_h += delta_a_h
                delta_a_h_j = load(delta_a_h, row, j, left)
                delta_b_h_j = delta_b_h_j + delta_a_h_j
            store(delta_b_h, 0, j, left, load(delta_b_h, 0, j, left) + delta_b_h_j)


@njit(cache=True, error_model="numpy", nogil=True)
def epilogue():
    """Carry summed gradients back through the prologue. Nothing here."""


@njit(cache=True, error_model="numpy", nogil=True)
def pack_tangent():
    """Pack the matrices that tangents need beside those of the forward pass. Nothing here."""


@njit(cache=True, error_model="numpy", nogil=True)
def tangent(T, B, K, first, last, size_n, active, tangent_h_prev, tangent_a_h, h, tangent_h, packed2):
    """Carry K directions per sample through all steps, from tangents of the states before them."""
    masked = len(active) > 0
    for t in range(T):
        # tangent_a_h = W_hh @ tangent_h_prev
        multiply_part(
            tangent_a_h, first * K, 0,
            tangent_h_prev, (t * B + first) * K, 0,
            packed2,
            (last - first) * K, 1, 0, size_n, size_n, 1.0, 0,
            t % 2, 0, 1,
        )
        for s in range(first, last):
            row = t * B + s
            if masked and active[row, 0] == 0.0:
                continue
            for q in range(K):
                moved, moved_row = s * K + q, row * K + q
                for j in range(0, size_n, LANES):
                    left = size_n - j
                    # tangent_h = (1 - h**2) * tangent_a_h
                    h_j = load(h, row, j, left)
                    tangent_a_h_j = load(tangent_a_h, moved, j, left)
                    tangent_h_j = (1.0 - h_j * h_j) * tangent_a_h_j
                    store(tangent_h, moved_row, j, left, tangent_h_j)
        if masked:
            for s in range(first, last):
                row = t * B + s
                if active[row, 0] == 0.0:
                    for q in range(K):
                        moved_row = row * K + q
                        for j0 in range(size_n):
                            tangent_h[moved_row, j0] = tangent_h_prev[moved_row, j0]


@njit(cache=True, error_model="numpy", nogil=True)
def stretching(T, B, K, together, size_n, vectors, carried, norms, space, active, tangent_a_h, h, packed2):
    """Carry K directions per sample, rows of `vectors`, and make them orthonormal after each step."""
    before, after = vectors, carried
    for t in range(T):
        for s in range(0, B, together):
            samples, row = min(together, B - s), t * B + s
            for q in range(0, K, 16):
                directions, moved = min(16, K - q), s * K + q
                stop = moved + samples * directions
                tangent(
                    1, samples, directions, 0, samples, size_n, active[row : row + samples],
                    before[moved:stop], tangent_a_h, h[row : row + samples], after[moved:stop], packed2,
                )
            for k in range(s, s + samples):
                orthonormalise(after, k * K, 0, K, norms, t, k * K, space)
        before, after = after, before
