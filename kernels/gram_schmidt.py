# mypy: disable-error-code=no-untyped-def
# Numba finds the types.
"""Gram–Schmidt on the rows of a matrix, compiled once for each dtype; `orthogonal.py` says what it is for.

Four rows at a time are made orthonormal by the Cholesky factor of their products, where these are far enough from
dependent for that to be exact to rounding, and else one by one; later rows are then projected, four at a time within a
block and the others with two matrix products: the modified method (Björck 1994, Numerics of Gram–Schmidt
orthogonalization). What fits into the nearest cache is one block: that is faster, and exact to a digit more. A row of
which little is left is projected once more (Daniel, Gragg, Kaufman and Stewart 1976), so that rows are orthogonal to
rounding whatever was given.
"""

import math

import numpy as np
from numba import carray, njit

from bptt.kernels.products import multiply, pack
from bptt.kernels.vector import BYTES, lanes, load, store, total, within

DTYPE = "float64"  # `orthogonal.py` compiles this text for each dtype
LANES = lanes(DTYPE)
EPSILON = float(np.finfo(DTYPE).eps)
TINY = float(np.finfo(DTYPE).tiny) / EPSILON
BLOCK = 16  # rows
WHOLE = 2**15 * LANES // BYTES  # entries that stay in the nearest cache: such rows are one block
LEFT = 0.01  # share of a row's norm below which projecting once is not enough
APART = 0.1  # share of a square that must be left beside the rows before it, for four rows to be taken at once


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
def _scale(rows, i, factor, width):
    for k in range(0, width, LANES):
        store(rows, i, k, width - k, factor * load(rows, i, k, width - k))


@njit(error_model="numpy")
def _add_shares(sums, rows, i, j, k, left):
    """Add to four sums the products of entries k and on of row j with the four rows from i on."""
    a, b, c, d = sums
    row = load(rows, j, k, left)
    a, b = a + row * load(rows, i, k, left), b + row * load(rows, i + 1, k, left)
    return a, b, c + row * load(rows, i + 2, k, left), d + row * load(rows, i + 3, k, left)


@njit(error_model="numpy")
def _four(rows, i, k, left):
    """Load entries k and on of the four rows from i on."""
    a, b = load(rows, i, k, left), load(rows, i + 1, k, left)
    return a, b, load(rows, i + 2, k, left), load(rows, i + 3, k, left)


@njit(error_model="numpy")
def _take_out(rows, j, k, left, four, shares):
    """Subtract these shares of four rows, loaded before, from entries k and on of row j."""
    rest = load(rows, j, k, left) - shares[0] * four[0] - shares[1] * four[1]
    store(rows, j, k, left, rest - shares[2] * four[2] - shares[3] * four[3])


@njit(error_model="numpy")
def _totals(sums):
    return total(sums[0]), total(sums[1]), total(sums[2]), total(sums[3])


@njit(error_model="numpy")
def _clear_row(rows, i, end, j, width):
    """Take out of row j what lies along the orthonormal rows from i to end - 1."""
    whole = width // LANES * LANES
    zero = within(load(rows, j, 0, width), 0)
    while i + 4 <= end:
        sums = (zero, zero, zero, zero)
        for k in range(0, whole, LANES):
            sums = _add_shares(sums, rows, i, j, k, LANES)
        if whole < width:
            sums = _add_shares(sums, rows, i, j, whole, width - whole)
        shares = _totals(sums)
        for k in range(0, width, LANES):
            left = LANES if k < whole else width - k
            _take_out(rows, j, k, left, _four(rows, i, k, left), shares)
        i += 4
    while i < end:
        _subtract(rows, j, _dot(rows, i, j, width), i, width)
        i += 1


@njit(error_model="numpy")
def _project(rows, i, width):
    """Take out of a row what lies along the rows before it, and return the norm of the rest."""
    _clear_row(rows, 0, i, i, width)
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
def _settle_one_by_one(rows, norms, first, end, width):
    for i in range(first, end):
        norms[i] = _settle(rows, i, norms[i], width)
        for j in range(i + 1, end):
            _clear_row(rows, i, i + 1, j, width)


@njit(error_model="numpy")
def _add_products(sums, rows, i, k, left):
    """Add to ten sums the products of entries k and on of four rows with each other."""
    a, b, c, d = _four(rows, i, k, left)
    aa, ba, bb, ca, cb, cc, da, db, dc, dd = sums
    aa, ba, bb, ca, cb = aa + a * a, ba + b * a, bb + b * b, ca + c * a, cb + c * b
    return aa, ba, bb, ca, cb, cc + c * c, da + d * a, db + d * b, dc + d * c, dd + d * d


@njit(error_model="numpy")
def _combine(rows, i, k, left, m):
    """Replace entries k and on of four rows by their combinations: `m` holds a lower triangle, row by row."""
    a, b, c, d = _four(rows, i, k, left)
    store(rows, i + 3, k, left, m[6] * a + m[7] * b + m[8] * c + m[9] * d)
    store(rows, i + 2, k, left, m[3] * a + m[4] * b + m[5] * c)
    store(rows, i + 1, k, left, m[1] * a + m[2] * b)
    store(rows, i, k, left, m[0] * a)


@njit(error_model="numpy")
def _is_left(square, before, projected):
    """Return whether so much of a row is left beside those before it that projecting it once is enough."""
    return square > max(TINY, APART * projected, LEFT * LEFT * before * before)


@njit(error_model="numpy")
def _settle_four(rows, norms, i, width):
    """Make four rows orthonormal at once, unless that could cost digits: then return False, and leave them."""
    whole = width // LANES * LANES
    zero = within(load(rows, i, 0, width), 0)
    sums = (zero, zero, zero, zero, zero, zero, zero, zero, zero, zero)
    for k in range(0, whole, LANES):
        sums = _add_products(sums, rows, i, k, LANES)
    if whole < width:
        sums = _add_products(sums, rows, i, whole, width - whole)
    aa, bb, cc, dd = total(sums[0]), total(sums[2]), total(sums[5]), total(sums[9])
    # The rows' products are L Lᵀ; a to d are 1 over the diagonal of L, and what is left of each square its square.
    a = 1 / math.sqrt(aa)
    ba, ca, da = a * total(sums[1]), a * total(sums[3]), a * total(sums[6])
    left_b = bb - ba * ba
    b = 1 / math.sqrt(left_b)
    cb, db = b * (total(sums[4]) - ca * ba), b * (total(sums[7]) - da * ba)
    left_c = cc - ca * ca - cb * cb
    c = 1 / math.sqrt(left_c)
    dc = c * (total(sums[8]) - da * ca - db * cb)
    left_d = dd - da * da - db * db - dc * dc
    d = 1 / math.sqrt(left_d)
    if not (
        _is_left(aa, norms[i], 0.0)
        and _is_left(left_b, norms[i + 1], bb)
        and _is_left(left_c, norms[i + 2], cc)
        and _is_left(left_d, norms[i + 3], dd)
        and aa + bb + cc + dd < math.inf
    ):
        return False
    norms[i], norms[i + 1], norms[i + 2], norms[i + 3] = aa * a, left_b * b, left_c * c, left_d * d
    # The inverse of L, row by row.
    m_ba, m_cb, m_dc = -b * ba * a, -c * cb * b, -d * dc * c
    m_ca, m_db = -c * (ca * a + cb * m_ba), -d * (db * b + dc * m_cb)
    m = (a, m_ba, b, m_ca, m_cb, c, -d * (da * a + db * m_ba + dc * m_ca), m_db, m_dc, d)
    for k in range(0, whole, LANES):
        _combine(rows, i, k, LANES, m)
    if whole < width:
        _combine(rows, i, whole, width - whole, m)
    return True


@njit(error_model="numpy")
def _take_out_four(rows, i, j, k, left, shares):
    """Subtract from entries k and on of the four rows from j on their shares of the four from i on."""
    four = _four(rows, i, k, left)
    _take_out(rows, j, k, left, four, shares[0])
    _take_out(rows, j + 1, k, left, four, shares[1])
    _take_out(rows, j + 2, k, left, four, shares[2])
    _take_out(rows, j + 3, k, left, four, shares[3])


@njit(error_model="numpy")
def _clear_four(rows, i, j, width):
    """Take out of the four rows from j on what lies along the four from i on."""
    whole = width // LANES * LANES
    zero = within(load(rows, i, 0, width), 0)
    p = q = r = s = (zero, zero, zero, zero)
    for k in range(0, whole, LANES):
        p, q = _add_shares(p, rows, i, j, k, LANES), _add_shares(q, rows, i, j + 1, k, LANES)
        r, s = _add_shares(r, rows, i, j + 2, k, LANES), _add_shares(s, rows, i, j + 3, k, LANES)
    if whole < width:
        left = width - whole
        p, q = _add_shares(p, rows, i, j, whole, left), _add_shares(q, rows, i, j + 1, whole, left)
        r, s = _add_shares(r, rows, i, j + 2, whole, left), _add_shares(s, rows, i, j + 3, whole, left)
    shares = _totals(p), _totals(q), _totals(r), _totals(s)
    for k in range(0, whole, LANES):
        _take_out_four(rows, i, j, k, LANES, shares)
    if whole < width:
        _take_out_four(rows, i, j, whole, width - whole, shares)


@njit(error_model="numpy")
def _settle_block(rows, norms, first, end, width):
    """Make the rows of a block orthonormal."""
    for i in range(first, end, 4):
        after = min(i + 4, end)
        if after - i < 4 or not _settle_four(rows, norms, i, width):
            _settle_one_by_one(rows, norms, i, after, width)
        j = after
        while j + 4 <= end:
            _clear_four(rows, i, j, width)
            j += 4
        while j < end:
            _clear_row(rows, i, after, j, width)
            j += 1


@njit(error_model="numpy")
def _orthonormalise(rows, norms, across, along, products):
    count, width = rows.shape
    for i in range(count):
        norms[i] = math.sqrt(_dot(rows, i, i, width))
    size = count if count * width <= WHOLE else BLOCK
    for first in range(0, count, size):
        end = min(count, first + size)
        _settle_block(rows, norms, first, end, width)
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
