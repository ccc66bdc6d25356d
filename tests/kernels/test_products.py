"""Packed matrix products against NumPy, at sizes that fill a tile, a panel and a block, and at those that don't."""

import itertools

import numpy as np
import pytest
from numba import njit

from bptt.kernels.products import (
    multiply,
    multiply_part,
    outer_sum,
    pack,
    pack_part,
    packed_size,
    prepare,
    share,
    space_size,
)

SIZES = [(1, 1, 1), (3, 5, 7), (4, 64, 16), (5, 63, 17), (2, 129, 33), (7, 200, 50), (133, 40, 9)]
FEW = [2, 17, 18, 20, 50, 100, 130]  # columns, of which a few are past the last whole vector
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}  # relative to the largest entry


@njit(error_model="numpy")
def packed_product(c, a, w, packed, rows, columns, length, alpha, accumulate, turned):
    pack(packed, columns, length, 0, 0, w, columns, length, turned)
    multiply(c, 1, 2, a, 1, 3, packed, rows, columns, length, alpha, accumulate)


@njit(error_model="numpy")
def single_product(c, a, w, packed, columns, length, alpha, accumulate, back, parts):
    pack(packed, columns, length, 0, 0, w, columns, length, 0)
    for part in range(parts):
        multiply_part(c, 0, 0, a, 0, 0, packed, 1, 1, 1, columns, length, alpha, accumulate, back, part, parts)


@njit(error_model="numpy")
def product_in_shares(c, a, w, packed, rows, columns, length, alpha, accumulate, turned, parts):
    for part in range(parts):
        pack_part(packed, columns, length, 0, 0, w, columns, length, turned, part, parts)
    for part in range(parts):
        multiply_part(c, 1, 2, a, 1, 3, packed, rows, 1, 0, columns, length, alpha, accumulate, 1, part, parts)


@njit(error_model="numpy")
def summed_product(c, a, b, space, rows, columns, length, alpha, accumulate):
    outer_sum(c, 1, 2, a, 1, 3, b, 1, 1, space, rows, columns, length, alpha, accumulate)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    prepare(request.param)
    return request.param


def drawn(dtype, *shape):
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize(("rows", "columns", "length"), SIZES)
@pytest.mark.parametrize("turned", [0, 1])
def test_packed(dtype, rows, columns, length, turned):
    c, a, w = drawn(dtype, rows + 2, columns + 4), drawn(dtype, rows + 1, length + 5), drawn(dtype, columns, length)
    packed = np.full(packed_size(columns, length, dtype) + 1, np.nan, dtype)
    whole = a[1:, 3 : 3 + length] @ w.T
    for accumulate in (0, 1):
        found = c.copy()
        given = w if turned else np.ascontiguousarray(w.T)
        packed_product(found, a, given, packed, rows, columns, length, -0.5, accumulate, turned)
        expected = c.copy()
        block = expected[1 : 1 + rows, 2 : 2 + columns]
        block[...] = accumulate * block - 0.5 * whole
        assert np.abs(found - expected).max() <= TOLERANCE[dtype] * np.abs(expected).max()
        assert np.isnan(packed[-1])


@pytest.mark.parametrize("columns", FEW)
@pytest.mark.parametrize("length", [7, 8, 15, 16, 17, 50, 131])
@pytest.mark.parametrize("turned", [0, 1])
def test_few_columns_past_the_last_vector(dtype, columns, length, turned):
    w, packed = drawn(dtype, columns, length), np.full(packed_size(columns, length, dtype) + 1, np.nan, dtype)
    given = w if turned else np.ascontiguousarray(w.T)
    for rows in (1, 2, 3, 4, 9):
        c, a = drawn(dtype, rows + 2, columns + 4), np.full((rows + 2, length + 5), np.nan, dtype)
        a[1:-1, 3 : 3 + length] = drawn(dtype, rows, length)
        for parts, alpha, accumulate in ((1, 1.0, 0), (2, -0.5, 0), (1, -0.5, 1), (2, 1.0, 1), (3, 1.0, 1)):
            found, expected = c.copy(), c.copy()
            product_in_shares(found, a, given, packed, rows, columns, length, alpha, accumulate, turned, parts)
            block = expected[1 : 1 + rows, 2 : 2 + columns]
            block[...] = accumulate * block + alpha * (a[1:-1, 3 : 3 + length] @ w.T)
            assert np.abs(found - expected).max() <= TOLERANCE[dtype] * np.abs(expected).max()
    assert np.isnan(packed[-1])


@pytest.mark.parametrize("columns", [1, 8, 9, 16, 17, 24, 40, 63, 64, 96, 100, 131])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 13, 128, 131])
def test_a_sample_alone(dtype, columns, length):
    """Whatever panels are taken together, each entry is the same sum, to the last bit."""
    c, a, w = drawn(dtype, 1, columns + 5), drawn(dtype, 1, length), drawn(dtype, length, columns)
    packed = np.full(packed_size(columns, length, dtype), np.nan, dtype)
    for accumulate in (0, 1):
        expected = c.copy()
        expected[:, :columns] = accumulate * c[:, :columns] + 3 * (a @ w)
        whole = c.copy()
        single_product(whole, a, w, packed, columns, length, 3.0, accumulate, 0, 1)
        assert np.abs(whole - expected).max() <= TOLERANCE[dtype] * max(1, np.abs(expected).max())
        for back, parts in itertools.product((0, 1), (1, 2, 3)):
            found = c.copy()
            single_product(found, a, w, packed, columns, length, 3.0, accumulate, back, parts)
            np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize(
    ("rows", "columns", "length"),
    [*SIZES, (6, 20, 600), *((rows, columns, 130) for rows in (15, 16, 50, 300) for columns in FEW)],
)
def test_summed(dtype, rows, columns, length):
    c, a, b = (
        drawn(dtype, rows + 2, columns + 4),
        drawn(dtype, length + 1, rows + 5),
        drawn(dtype, length + 1, columns + 2),
    )
    space = np.full(space_size(columns, dtype) + 1, np.nan, dtype)
    whole = a[1:, 3 : 3 + rows].T @ b[1:, 1 : 1 + columns]
    for alpha, accumulate in ((2.0, 0), (1.0, 1), (2.0, 1), (1.0, 0)):
        found, expected = c.copy(), c.copy()
        summed_product(found, a, b, space, rows, columns, length, alpha, accumulate)
        block = expected[1 : 1 + rows, 2 : 2 + columns]
        block[...] = accumulate * block + alpha * whole
        assert np.abs(found - expected).max() <= TOLERANCE[dtype] * max(1, np.abs(expected).max())
    assert np.isnan(space[-1])


@pytest.mark.parametrize("rows", [0, 1, 4, 10, 64, 67])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_shares_follow_each_other(rows, parts):
    bounds = [share(rows, part, parts) for part in range(parts)]
    assert bounds[0][0] == 0 and bounds[-1][1] == rows
    assert all(first[1] == second[0] for first, second in zip(bounds, bounds[1:], strict=False))
