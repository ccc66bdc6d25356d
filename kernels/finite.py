# mypy: disable-error-code=no-untyped-def
# Numba finds the types.
"""Whether all numbers are finite, compiled once for each dtype. `table.py` calls it."""

from numba import carray

from bptt.kernels.vector import lanes, load, total

DTYPE = "float64"  # `products.py` compiles this text for each dtype
LANES = lanes(DTYPE)


def all_finite(values, count):
    """Return 1 or 0: a number less itself is 0, but for NaN and infinity it is NaN."""
    row = carray(values, (1, count))
    one = load(row, 0, 0, min(count, LANES))
    odd, even = one - one, one - one
    for j in range(LANES, count, 2 * LANES):
        left = min(count - j, 2 * LANES)
        one, other = load(row, 0, j, left), load(row, 0, j + LANES, left - LANES)
        odd, even = odd + (one - one), even + (other - other)
    return 1 if total(odd + even) == 0.0 else 0
