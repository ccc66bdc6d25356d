# mypy: disable-error-code=no-untyped-def
# Numba finds the types.
"""Matrix products on packed panels, compiled once for each dtype; generated code calls them by address.

A panel is a few vectors wide: its rows lie one behind the other in the order in which a tile reads them. A matrix is
cut into panels of nearly equal width, for narrow tiles are slow; its last vector is filled up with zeros. Pointers
point to entries; strides and offsets count entries. `products.py` says what each function is for.
"""

from numba import njit

from bptt.kernels.tiles import ROWS, VECTORS, at, copy_vector, read, tile, turn_block, write
from bptt.kernels.vector import lanes

DTYPE = "float64"  # `products.py` compiles this text for each dtype
LANES = lanes(DTYPE)
ROWS_AT_ONCE = 128  # of the left matrix: they stay in the L2 cache while all panels pass
SUMMED_AT_ONCE = 256  # rows of a sum over time: a block of the right matrix is packed for them


@njit(error_model="numpy")
def _width(columns):
    """Return the vectors and the columns of the first panel of a matrix, and what the last vector holds of them."""
    vectors = (columns + LANES - 1) // LANES
    panels = (vectors + VECTORS - 1) // VECTORS
    vectors = (vectors + panels - 1) // panels
    width = min(vectors * LANES, columns)
    return vectors, width, width - (vectors - 1) * LANES


@njit(error_model="numpy")
def _times_panel(c, c_row, a, a_row, a_step, panel, rows, vectors, length, alpha, accumulate, left):
    for m in range(0, rows, ROWS):
        c_here, a_here = at(c, m * c_row), at(a, m * a_row)
        many = min(ROWS, rows - m)
        tile(many, vectors, c_here, c_row, a_here, a_row, a_step, panel, length, alpha, accumulate, left)


def multiply(c, c_row, a, a_row, panels, rows, columns, length, alpha, accumulate):
    for first in range(0, rows, ROWS_AT_ONCE):
        count, column = min(ROWS_AT_ONCE, rows - first), 0
        while column < columns:
            vectors, width, left = _width(columns - column)
            c_here, a_here, panel = at(c, first * c_row + column), at(a, first * a_row), at(panels, column * length)
            _times_panel(c_here, c_row, a_here, a_row, 1, panel, count, vectors, length, alpha, accumulate, left)
            column += width


def outer_sum(c, c_row, a, a_row, b, b_row, panels, rows, columns, length, alpha, accumulate):
    for first in range(0, length, SUMMED_AT_ONCE):
        count = min(SUMMED_AT_ONCE, length - first)
        _pack_rows(panels, b, b_row, first, count, columns)
        adds = 1 if accumulate or first > 0 else 0
        for row in range(0, rows, ROWS_AT_ONCE):
            many, column = min(ROWS_AT_ONCE, rows - row), 0
            while column < columns:
                vectors, width, left = _width(columns - column)
                c_here, a_here = at(c, row * c_row + column), at(a, first * a_row + row)
                panel = at(panels, column * count)
                _times_panel(c_here, c_row, a_here, 1, a_row, panel, many, vectors, count, alpha, adds, left)
                column += width


@njit(error_model="numpy")
def _pack_rows(panels, b, b_row, first, count, columns):
    zero = read(panels, 0) * 0
    column = 0
    while column < columns:
        vectors, width, _ = _width(columns - column)
        padded, whole = vectors * LANES, width // LANES * LANES
        for k in range(count):
            to, source = column * count + k * padded, (first + k) * b_row + column
            for j in range(0, whole, LANES):
                copy_vector(panels, to + j, b, source + j)
            for j in range(whole, width):
                write(panels, to + j, read(b, source + j))
            for j in range(width, padded):
                write(panels, to + j, zero)
        column += width


def pack(panels, columns, length, column, k, matrix, matrix_row, count, depth, transposed):
    column_step, k_step = (matrix_row, 1) if transposed else (1, matrix_row)
    zero = read(matrix, 0) * 0
    start = 0
    while start < columns:
        vectors, width, _ = _width(columns - start)
        padded = vectors * LANES
        low, high = max(start, column), min(start + width, column + count)
        base = start * length + k * padded - start
        if high > low and column_step == 1:
            _copy(panels, base, padded, matrix, low, high, low - column, depth, k_step)
        elif high > low:
            _turn(panels, base, padded, matrix, low, high, (low - column) * column_step, depth, column_step, k_step)
        if high == columns:
            for i in range(depth):
                for j in range(start + width, start + padded):
                    write(panels, base + i * padded + j, zero)
        start += width


@njit(error_model="numpy")
def _copy(panels, base, padded, matrix, low, high, source, depth, step):
    """Copy columns low to high of rows whose columns are neighbours."""
    whole = low + (high - low) // LANES * LANES
    for i in range(depth):
        for j in range(low, whole, LANES):
            copy_vector(panels, base + i * padded + j, matrix, source + i * step + j - low)
        for j in range(whole, high):
            write(panels, base + i * padded + j, read(matrix, source + i * step + j - low))


@njit(error_model="numpy")
def _turn(panels, base, padded, matrix, low, high, source, depth, column_step, k_step):
    """Copy columns low to high of a matrix that stores them as rows."""
    whole = low + (high - low) // LANES * LANES if k_step == 1 else low
    deep = depth // LANES * LANES
    for j in range(low, whole, LANES):
        at_row = source + (j - low) * column_step
        for i in range(0, deep, LANES):
            turn_block(panels, base + i * padded + j, padded, matrix, at_row + i, column_step)
    for j in range(low, high):
        for i in range(deep if j < whole else 0, depth):
            write(panels, base + i * padded + j, read(matrix, source + (j - low) * column_step + i * k_step))
