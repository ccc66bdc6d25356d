# mypy: disable-error-code=no-untyped-def
# Numba finds the types.
"""Gram–Schmidt on the rows of a matrix, compiled once for each dtype; `orthogonal.py` says what it is for.

Rows are made orthonormal a block at a time, and all later rows are then projected with two matrix products: the
modified method (Björck 1994, Numerics of Gram–Schmidt orthogonalization). A row of which little is left is projected
once more (Daniel, Gragg, Kaufman and Stewart 1976), so that rows are orthogonal to rounding whatever was given.
"""

import math

import numpy as np
from numba import carray, njit

from bptt.kernels.products import multiply, pack
from bptt.kernels.vector import lanes, load, store, total

DTYPE = "float64"  # `orthogonal.py` compiles this text for each dtype
LANES = lanes(DTYPE)
EPSILON = float(np.finfo(DTYPE).eps)
BLOCK = 32  # rows
LEFT = 0.01  # share of a row's norm below which projecting once is not enough


@njit(error_model="numpy")
def _dot(rows, i, j, width):
    sums = load(rows, i, 0, width) * load(rows, j, 0, width)
    for k in range(LANES, width, LANES):
        sums = sums + load(rows, i, k, width - k) * load(rows, j, k, width - k)
    return total(sums)


@njit(error_model="numpy")
def _subtract(rows, j, factor, i, width):
    for k in range(0, width, LANES):
        store(rows, j, k, width - k, load(rows, j, k, width - k) - factor * load(rows, i, k, width - k))


@njit(error_model="numpy")
def _clear(rows, i, first, end, width):
    """Take out of rows from `first` to `end` what lies along row i; four at a time, so that their sums overlap."""
    j = first
    while j + 4 <= end:
        unit = load(rows, i, 0, width)
        sums0, sums1 = unit * load(rows, j, 0, width), unit * load(rows, j + 1, 0, width)
        sums2, sums3 = unit * load(rows, j + 2, 0, width), unit * load(rows, j + 3, 0, width)
        for k in range(LANES, width, LANES):
            left = width - k
            unit = load(rows, i, k, left)
            sums0 = sums0 + unit * load(rows, j, k, left)
            sums1 = sums1 + unit * load(rows, j + 1, k, left)
            sums2 = sums2 + unit * load(rows, j + 2, k, left)
            sums3 = sums3 + unit * load(rows, j + 3, k, left)
        share0, share1, share2, share3 = total(sums0), total(sums1), total(sums2), total(sums3)
        for k in range(0, width, LANES):
            left = width - k
            unit = load(rows, i, k, left)
            store(rows, j, k, left, load(rows, j, k, left) - share0 * unit)
            store(rows, j + 1, k, left, load(rows, j + 1, k, left) - share1 * unit)
            store(rows, j + 2, k, left, load(rows, j + 2, k, left) - share2 * unit)
            store(rows, j + 3, k, left, load(rows, j + 3, k, left) - share3 * unit)
        j += 4
    while j < end:
        _subtract(rows, j, _dot(rows, i, j, width), i, width)
        j += 1


@njit(error_model="numpy")
def _scale(rows, i, factor, width):
    for k in range(0, width, LANES):
        store(rows, i, k, width - k, factor * load(rows, i, k, width - k))


@njit(error_model="numpy")
def _project(rows, i, width):
    """Take out of a row what lies along the rows before it, and return the norm of the rest."""
    for j in range(i):
        _subtract(rows, i, _dot(rows, i, j, width), j, width)
    return math.sqrt(_dot(rows, i, i, width))


@njit(error_model="numpy")
def _fill(rows, i, width):
    """Put any unit vector that is orthogonal to the rows before into a row."""
    number, norm = i + 1, 0.0
    while norm * norm * width < 0.01:  # of a random unit vector, the share 1 / width or more is left on average
        for k in range(width):
            number = (1103515245 * number + 12345) % 2147483648
            rows[i, k] = number / 1073741824 - 1
        _scale(rows, i, 1 / math.sqrt(_dot(rows, i, i, width)), width)
        norm = _project(rows, i, width)
    _scale(rows, i, 1 / norm, width)
    _scale(rows, i, 1 / _project(rows, i, width), width)


@njit(error_model="numpy")
def _settle(rows, i, before, width):
    """Normalise a row that was projected once; return its norm, 0 where all that is left of it is rounding."""
    norm = math.sqrt(_dot(rows, i, i, width))
    if not norm < math.inf:
        _fill(rows, i, width)
        return math.inf
    last = before
    while norm < LEFT * last and norm > width * EPSILON * before:
        last = norm
        norm = _project(rows, i, width)
    if norm <= width * EPSILON * before:
        _fill(rows, i, width)
        return 0.0
    _scale(rows, i, 1 / norm, width)
    return norm


@njit(error_model="numpy")
def _orthonormalise(rows, norms, across, along, products):
    count, width = rows.shape
    for i in range(count):
        norms[i] = math.sqrt(_dot(rows, i, i, width))
    for first in range(0, count, BLOCK):
        end = min(count, first + BLOCK)
        for i in range(first, end):
            norms[i] = _settle(rows, i, norms[i], width)
            _clear(rows, i, i + 1, end, width)
        many, rest = end - first, count - end
        if rest:
            block = rows[first:end]
            pack(across, many, width, 0, 0, block, many, width, 1)
            pack(along, width, many, 0, 0, block, width, many, 0)
            multiply(products, 0, 0, rows, end, 0, across, rest, many, width, 1.0, 0)
            multiply(rows, end, 0, products, 0, 0, along, rest, width, many, -1.0, 1)


def orthonormalise(rows, width, count, norms, norms_width, space):
    padded = BLOCK * LANES * ((width + LANES - 1) // LANES)
    space = carray(space, (2 * padded + count * BLOCK,))
    products = space[2 * padded :].reshape(count, BLOCK)
    matrix, found = carray(rows, (count, width)), carray(norms, (count,))
    _orthonormalise(matrix, found, space[:padded], space[padded : 2 * padded], products)
