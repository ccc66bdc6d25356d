# mypy: disable-error-code=no-untyped-def
# Numba finds the types.
"""Matrix products on packed panels, compiled once for each dtype; generated code calls them by address.

A panel is a few vectors wide: its rows lie one behind the other in the order in which a tile reads them. A matrix is
cut into panels of nearly equal width, for narrow tiles are slow; its last vector is filled up with zeros. A few columns
past the last whole vector would leave nearly all of one empty: they lie behind the panels, each as a row, and vectors
lie along the sum. Pointers point to entries; strides and offsets count entries. `products.py` says what each function
is for.
"""

from numba import njit

from bptt.kernels.blocks import at, copy_rest, copy_vector, read, spread_rows, turn_block, write
from bptt.kernels.tiles import PAIR, ROWS, SINGLE, VECTORS, dots, full_height, tile
from bptt.kernels.values import IN_HALVES
from bptt.kernels.vector import lanes

DTYPE = "float64"  # `products.py` compiles this text for each dtype
LANES = lanes(DTYPE)
_height = njit(error_model="numpy")(full_height)
LINE = 16 if DTYPE == "float32" else 8  # entries of a cache line
NEAR = 32 * LINE  # entries from one row to the next, up to which columns are read where they are
# Rows of a panel that are summed at once. They stay in the first level of the cache while all rows on the left pass;
# where vectors are computed with in two turns, the second is fast enough.
SUMMED_AT_ONCE = 256 if IN_HALVES else 128
PAIRED = 256  # cache lines of a panel: two fill the first level
STEPS_AT_ONCE = 128  # of a sum over time: rows of both matrices that are packed
ROWS_AT_ONCE = 128  # of the left matrix of a sum over time: they stay in the second while all panels pass
FEW = LANES // ROWS  # columns past the last whole vector: no more than these aren't worth a vector of their own
TURNED = FEW * ROWS_AT_ONCE  # entries of a block of such columns
# What calls `tile` is compiled as a part of its caller: all sizes of tile would be compiled again for each.


@njit(error_model="numpy")
def _cut(columns):
    """Return into how many panels columns are cut, the vectors of each, and how many panels have one more."""
    vectors = (columns + LANES - 1) // LANES
    panels = (vectors + VECTORS - 1) // VECTORS
    many = VECTORS
    while many * panels > vectors:  # a division takes as long as a small product
        many -= 1
    return panels, many, vectors - panels * many


@njit(error_model="numpy")
def _few(columns, length):
    """Return how many last columns are no part of a panel: vectors along the other side are at least once full."""
    left = columns % LANES
    return left if left <= FEW and length >= LANES else 0


@njit(error_model="numpy")
def _panel(number, columns, many, more):
    """Return the first column of a panel, its vectors and columns, and what its last vector holds of them."""
    first = (number * many + min(number, more)) * LANES
    vectors = many + (number < more)
    width = min(vectors * LANES, columns - first)
    return first, vectors, width, width - (vectors - 1) * LANES


@njit(error_model="numpy")
def _share(panels, part, parts):
    """Return the first panel of one of `parts` shares of a matrix, and that behind its last."""
    return (0, panels) if parts == 1 else (panels * part // parts, panels * (part + 1) // parts)


@njit(error_model="numpy", inline="always")
def _times_panel(c, c_row, a, a_row, panel, rows, vectors, length, alpha, accumulate, left):
    height, block, passed = _height(vectors), ROWS * a_row, 0
    for m in range(0, rows, height):
        many, c_here, a_here = min(height, rows - m), at(c, m * c_row), at(a, m * a_row)
        later = at(panel, (vectors * LANES + passed * LINE) * length)  # a part of the next block
        tile(many, vectors, c_here, c_row, a_here, a_row, block, 1, panel, length, alpha, accumulate, left, later)
        passed = min(passed + 1, vectors)


@njit(error_model="numpy", inline="always")
def _row_times_panels(c, a, panels, columns, low, high, length, alpha, accumulate, back):
    """Multiply a row with some panels: two small ones of equal width at once, for which its entries are read once."""
    _, wide, more = _cut(columns)
    place = low
    while place < high:
        number = low + high - 1 - place if back else place
        column, vectors, _, left = _panel(number, columns, wide, more)
        rows, beside = SINGLE, number - 1 if back else number + 1
        if low <= beside < high and vectors * length <= PAIRED:
            column_there, vectors_there, _, left_there = _panel(beside, columns, wide, more)
            if vectors_there == vectors:
                rows, column, left, place = PAIR, min(column, column_there), left if back else left_there, place + 1
        here, panel = at(c, column), at(panels, column * length)
        tile(rows, vectors, here, 0, a, 0, 0, 1, panel, length, alpha, accumulate, left, panel)
        place += 1


@njit(error_model="numpy")
def _times_few(c, c_row, a, a_row, columns, rows, times, apart, few, length, alpha, accumulate):
    for time in range(times):
        for m in range(0, rows, ROWS):
            many, row = min(ROWS, rows - m), time * apart + m
            dots(many, few, at(c, row * c_row), c_row, at(a, row * a_row), a_row, columns, length, alpha, accumulate)


def multiply_part(
    c, c_row, a, a_row, panels, rows, times, apart, columns, length, alpha, accumulate, back, part, parts
):
    single = rows == times == apart == 1  # no others: a row's bits don't depend on how rows are shared
    few = _few(columns, length)
    whole = columns - few
    if few == 0 and columns <= VECTORS * LANES and (single or length <= SUMMED_AT_ONCE) and parts == times == 1:
        # One panel: to share and to cut would take as long as a small product.
        vectors = (columns + LANES - 1) // LANES
        left = columns - (vectors - 1) * LANES
        if single:
            tile(SINGLE, vectors, c, 0, a, 0, 0, 1, panels, length, alpha, accumulate, left, panels)
        else:
            _times_panel(c, c_row, a, a_row, panels, rows, vectors, length, alpha, accumulate, left)
        return
    count, wide, more = _cut(whole)
    low, high = _share(count + (few > 0), part, parts)
    if high > count:
        high = count
        behind = at(panels, whole * length)
        _times_few(at(c, whole), c_row, a, a_row, behind, rows, times, apart, few, length, alpha, accumulate)
    if single:
        _row_times_panels(c, a, panels, whole, low, high, length, alpha, accumulate, back)
        return
    for place in range(low, high):
        number = low + high - 1 - place if back else place
        column, vectors, _, left = _panel(number, whole, wide, more)
        for k in range(0, length, SUMMED_AT_ONCE):
            deep, adds = min(SUMMED_AT_ONCE, length - k), 1 if accumulate or k > 0 else 0
            panel = at(panels, column * length + k * vectors * LANES)
            for time in range(times):
                row = time * apart
                c_here, a_here = at(c, row * c_row + column), at(a, row * a_row + k)
                _times_panel(c_here, c_row, a_here, a_row, panel, rows, vectors, deep, alpha, adds, left)


def outer_sum(c, c_row, a, a_row, b, b_row, space, rows, columns, length, alpha, accumulate):
    few = _few(columns, rows)
    whole = columns - few
    across_b, wide, more = _cut(whole)
    turned, space = space, at(space, TURNED)
    ready = columns == b_row and columns % LANES == 0 and across_b == 1
    near = a_row <= NEAR
    blocks = (length + STEPS_AT_ONCE - 1) // STEPS_AT_ONCE
    for block in range(blocks):
        first = length * block // blocks
        count = length * (block + 1) // blocks - first
        panels = at(b, first * b_row) if ready else at(space, ROWS_AT_ONCE * STEPS_AT_ONCE)
        if not ready:
            _pack_rows(panels, b, b_row, first, count, whole)
        adds = 1 if accumulate or first > 0 else 0
        for row in range(0, rows, ROWS_AT_ONCE):
            many = min(ROWS_AT_ONCE, rows - row)
            left, across, step = at(a, first * a_row + row), ROWS, a_row
            if not near:
                _pack_columns(space, left, a_row, many, count)
                left, across, step = space, ROWS * count, ROWS
            for number in range(across_b):
                column, vectors, _, last = _panel(number, whole, wide, more)
                c_here, panel, height = at(c, row * c_row + column), at(panels, column * count), _height(vectors)
                for m in range(0, many, height):
                    here, a_here = at(c_here, m * c_row), at(left, m // ROWS * across)
                    later = at(left, (m + height) // ROWS * across)
                    deep = min(height, many - m)
                    tile(deep, vectors, here, c_row, a_here, 1, across, step, panel, count, alpha, adds, last, later)
            if few:
                here, rows_here, few_here = at(c, row * c_row + whole), at(a, row), at(b, first * b_row + whole)
                _sum_few(
                    here, c_row, rows_here, a_row, few_here, b_row, space, turned, first, many, few, count, alpha, adds
                )


@njit(error_model="numpy", inline="always")
def _sum_few(c, c_row, a, a_row, b, b_row, space, turned, first, rows, few, length, alpha, accumulate):
    """Sum the last columns of a block with vectors along its rows, and turn what comes out."""
    _pack_rows(space, a, a_row, first, length, rows)
    count, wide, more = _cut(rows)
    for number in range(count):
        column, vectors, _, last = _panel(number, rows, wide, more)
        here, panel = at(turned, column), at(space, column * length)
        tile(few, vectors, here, ROWS_AT_ONCE, b, 1, 0, b_row, panel, length, alpha, 0, last, panel)
    for i in range(rows):
        for j in range(few):
            before = read(c, i * c_row + j) if accumulate else alpha * 0
            write(c, i * c_row + j, before + read(turned, j * ROWS_AT_ONCE + i))


@njit(error_model="numpy")
def _pack_columns(to, a, a_row, columns, rows):
    """Copy a block so that a tile finds the entries of its columns, row by row, one behind the other."""
    whole = columns // LANES * LANES if LANES >= ROWS else 0
    for j in range(0, whole, LANES):
        for k in range(rows):
            spread_rows(to, j * rows + k * ROWS, ROWS * rows, a, k * a_row + j)
    for j in range(whole, columns):
        for k in range(rows):
            write(to, j // ROWS * ROWS * rows + k * ROWS + j % ROWS, read(a, k * a_row + j))


@njit(error_model="numpy")
def _pack_rows(panels, b, b_row, first, count, columns):
    many, wide, more = _cut(columns)
    for number in range(many):
        column, vectors, width, _ = _panel(number, columns, wide, more)
        padded, whole = vectors * LANES, width // LANES * LANES
        for k in range(count):
            to, source = column * count + k * padded, (first + k) * b_row + column
            for j in range(0, whole, LANES):
                copy_vector(panels, to + j, b, source + j)
            if whole < padded:
                copy_rest(panels, to + whole, b, source + whole, width - whole)


def pack_part(panels, columns, length, column, k, matrix, matrix_row, count, depth, transposed, part, parts):
    column_step, k_step = (matrix_row, 1) if transposed else (1, matrix_row)
    zero = read(matrix, 0) * 0
    few = _few(columns, length)
    whole = columns - few
    many, wide, more = _cut(whole)
    first, behind = _share(many + (few > 0), part, parts)
    for number in range(first, behind):
        if number == many:
            for j in range(max(whole, column), min(columns, column + count)):
                for i in range(depth):
                    here, there = j * length + k + i, (j - column) * column_step + i * k_step
                    write(panels, here, read(matrix, there))
            continue
        start, vectors, width, _ = _panel(number, whole, wide, more)
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
