"""Elementwise functions on vectors, against 40 digits, over the whole range of each dtype."""

from typing import Any

import mpmath
import numpy as np
import pytest
from numba import njit

from bptt.kernels import functions
from bptt.kernels.vector import lanes, load, store

EXACT = {
    "tanh": mpmath.tanh,
    "exp": mpmath.exp,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "log": mpmath.log,
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "sqrt": mpmath.sqrt,
}
ULPS = 2.5
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, 1.0]


def on_vectors(name, *arrays):
    """The function over rows of entries, a vector at a time, with what is behind the last entry untouched."""
    function, count = getattr(functions, name), lanes(arrays[0].dtype)

    run: Any
    if len(arrays) == 1:

        @njit(error_model="numpy")
        def run(x, result, size):
            for j in range(0, size, count):
                store(result, 0, j, size - j, function(load(x, 0, j, size - j)))
    else:

        @njit(error_model="numpy")
        def run(x, y, result, size):
            for j in range(0, size, count):
                store(result, 0, j, size - j, function(load(x, 0, j, size - j), load(y, 0, j, size - j)))

    size = arrays[0].size
    result = np.full((1, size + 5), 7, arrays[0].dtype)
    run(*(array.reshape(1, -1) for array in arrays), result, size)
    assert (result[0, size:] == 7).all()
    return result[0, :size]


def samples(name, dtype):
    rng, info = np.random.default_rng(0), np.finfo(dtype)
    largest = np.log(float(info.max))
    wide = rng.uniform(-1.2 * largest, 1.2 * largest, 300)
    near = np.concatenate([rng.uniform(-1, 1, 300), rng.uniform(-10, 10, 300)])
    tiny = 10.0 ** rng.uniform(np.log10(float(info.smallest_subnormal)) + 1, 3, 300) * rng.choice([-1, 1], 300)
    x = np.concatenate([wide, near, tiny, 1 + rng.uniform(-1, 1, 300) * 10.0 ** rng.uniform(-7, 0, 300)]).astype(dtype)
    x = np.abs(x) if name in ("log", "sqrt") else x
    return x[x != 0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EXACT)
def test_error_in_units_of_the_last_place(name, dtype):
    x, info = samples(name, dtype), np.finfo(dtype)
    found = on_vectors(name, x)
    with mpmath.workdps(40):
        for given, value in zip(x.tolist(), found.tolist(), strict=True):
            exact = EXACT[name](mpmath.mpf(given))
            if abs(exact) < float(info.max):
                size = max(abs(float(exact)), float(info.tiny))
                unit = 2.0 ** (np.floor(np.log2(size)) - info.nmant)
                assert abs(mpmath.mpf(value) - exact) <= ULPS * unit, given
            else:
                assert value == np.inf, given


WIDER: Any = {
    "tanh": np.tanh,
    "exp": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "log": np.log,
    "softplus": lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="NumPy has no wider floats here")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", WIDER)
def test_error_at_many_places(name, dtype):
    """Errors of a few formulas come close to the bound at one place in a hundred thousand."""
    rng, info = np.random.default_rng(1), np.finfo(dtype)
    many, largest = 1_000_000, np.log(float(info.max)) - 1
    x = np.concatenate([rng.uniform(-bound, bound, many) for bound in (0.3, 1, 10, largest)]).astype(dtype)
    x = np.abs(x) + info.tiny if name == "log" else x
    exact = WIDER[name](x.astype(np.longdouble))
    unit = np.spacing(np.maximum(np.abs(exact).astype(dtype), info.tiny)).astype(np.longdouble)
    errors = np.abs(on_vectors(name, x) - exact) / unit
    assert errors.max() <= ULPS, x[errors.argmax()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in functions.PLAIN if name not in ("geq", "max", "min")])
def test_edges(name, dtype):
    x = np.array(SPECIAL, dtype)
    found = on_vectors(functions_name(name), x)
    with np.errstate(all="ignore"):
        expected = functions.PLAIN[name](x)
    expected[3] = -0.0 if name == "silu" else expected[3]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.isnan(found[4])


@pytest.mark.parametrize("name", ["geq", "max", "min"])
def test_edges_of_functions_of_two(name):
    x, y = (array.ravel() for array in np.meshgrid(SPECIAL, SPECIAL))
    found = on_vectors(functions_name(name), x, y)
    with np.errstate(all="ignore"):
        expected = functions.PLAIN[name](x, y)
    if name == "geq":
        expected = np.where(np.isnan(x) | np.isnan(y), np.nan, x >= y)
    np.testing.assert_array_equal(found, expected)


def functions_name(name):
    return {"abs": "absolute", "max": "maximum", "min": "minimum"}.get(name, name)
