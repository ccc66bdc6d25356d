"""Gram–Schmidt and singular values on rows, and the stretching of tangents, against LAPACK and mpmath."""

import math
import os
import subprocess
import sys

import mpmath
import numpy as np
import pytest

import bptt
from bptt.derive import Error
from bptt.kernels.folded import fold
from bptt.kernels.orthogonal import singular_logs, stretch

ROUNDING = {"float32": 2e-4, "float64": 1e-12}  # a row may lose two digits before it is projected again
SHAPES = [(1, 1), (2, 3), (8, 8), (31, 32), (33, 33), (64, 70), (100, 131)]


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def is_orthonormal(rows, tolerance):
    return abs(rows @ rows.swapaxes(-1, -2) - np.eye(rows.shape[-2])).max() < tolerance


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("shape", SHAPES)
def test_against_lapack(dtype, shape):
    given = drawn(3, *shape).astype(dtype)
    rows = given.copy()
    norms = stretch(rows)
    r = np.abs(np.diagonal(np.linalg.qr(given.astype(float).swapaxes(1, 2))[1], axis1=1, axis2=2))
    assert norms.dtype == rows.dtype == dtype and norms == pytest.approx(r, rel=ROUNDING[dtype])
    assert is_orthonormal(rows, ROUNDING[dtype])
    triangle = given @ rows.swapaxes(1, 2)  # given = R^T Q^T: what stands above the diagonal is 0
    assert abs(np.triu(triangle, 1)).max() < ROUNDING[dtype] * abs(given).max() * shape[1]


@pytest.mark.parametrize("digits", [4, 8, 12, 16, 40])
@pytest.mark.parametrize("size", [20, 50])
def test_rows_are_orthonormal_however_close_to_dependent(digits, size):
    u, v = np.linalg.qr(drawn(2, size, size))[0]
    rows = (u * np.logspace(0, -digits, size)) @ v
    norms = stretch(rows)
    assert is_orthonormal(rows, 1e-12) and np.isfinite(norms).all()
    assert (norms > 0).all() == (digits <= 12)


def test_a_size_that_is_small_is_kept_where_nothing_cancels():
    sizes = np.logspace(0, -120, 12)
    rows = np.linalg.qr(drawn(12, 12))[0] * sizes[:, None]
    assert stretch(rows) == pytest.approx(sizes, rel=1e-13)


def test_dependent_rows_have_no_size_and_others_stay_as_they_are():
    rows = drawn(40, 60)
    rows[10], rows[20], rows[35] = 0, rows[3], rows[34] - 2 * rows[1]
    independent = np.delete(rows, [10, 20, 35], axis=0)
    norms, alone = stretch(rows), stretch(independent)
    assert np.flatnonzero(norms == 0).tolist() == [10, 20, 35] and is_orthonormal(rows, 1e-12)
    assert np.delete(norms, [10, 20, 35])[:10] == pytest.approx(alone[:10], rel=1e-13)


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan, 1e200])
def test_rows_past_the_largest_float(odd):
    rows = drawn(5, 6)
    rows[2, 3] = odd
    norms = stretch(rows)
    assert norms[2] == np.inf and np.isfinite(np.delete(norms, 2)).all() and is_orthonormal(rows, 1e-12)


def test_what_has_no_orthonormal_rows():
    with pytest.raises(Error, match="3 vectors of 2 entries can't be orthogonal: give at most 2"):
        stretch(np.ones((3, 2)))
    with pytest.raises(Error, match="contiguous array of float32 or float64, not of int64"):
        stretch(np.ones((2, 2), int))
    with pytest.raises(Error, match="contiguous array of float32 or float64"):
        stretch(np.ones((4, 2)).T)


# ---- singular values


@pytest.mark.parametrize("spread", [0, 5, 400, 3000])
def test_each_singular_value_has_its_digits(spread):
    """Rows from e^spread to e^-spread; mpmath has them all beside each other."""
    rows, logs = drawn(8, 8), np.linspace(spread, -spread, 8)
    with mpmath.workdps(60 + int(spread * 2)):
        whole = mpmath.matrix(rows.tolist())
        for i, log in enumerate(logs):
            for j in range(8):
                whole[i, j] *= mpmath.exp(float(log))
        squares = mpmath.eigsy(whole * whole.T, eigvals_only=True)
        expected = sorted((float(mpmath.log(square) / 2) for square in squares), reverse=True)
    order = np.random.default_rng(1).permutation(8)
    found = singular_logs(rows[order], logs[order])
    assert found == pytest.approx(expected, abs=1e-12 * (1 + spread))


def test_rows_of_zeros_and_dependent_rows():
    rows = drawn(4, 4)
    rows[2] = 0
    found = singular_logs(rows, np.array([0.0, 1, 0, -np.inf]))
    assert np.isneginf(found).tolist() == [False, False, True, True]
    assert found[:2] == pytest.approx(np.log(np.linalg.svd(rows[:2] * [[1], [np.e]], compute_uv=False)), abs=1e-13)


# ---- the stretching of tangents


CASES = ["lstm", "henon", "peephole", "attention", "two_inputs", "skew", "memory", "pieces"]


def by_lapack(jacobians, vectors):
    """Return the diagonals of R, (T, B, K), by QR of each Jacobian times the matrix before."""
    found = np.empty((*jacobians.shape[:2], vectors.shape[1]))
    for b in range(jacobians.shape[1]):
        q = vectors[b].T
        for t, jacobian in enumerate(jacobians[:, b]):
            q, r = np.linalg.qr(jacobian @ q)
            found[t, b] = abs(np.diagonal(r))
    return found


def directions(case, count=None, seed=0):
    width = sum(math.prod(array.shape[2:]) for array in case.run.states.values())
    vectors = drawn(case.batch, count or width, width, seed=seed)
    stretch(vectors)
    return vectors


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("count", [None, 1])
def test_stretching(make_case, name, count):
    case = make_case(name)
    jacobians = case.kernel.jacobians(case.run)
    vectors = directions(case, count)
    expected = by_lapack(jacobians, vectors)
    found, after = case.kernel.stretch(case.run, vectors)
    largest = expected.max(axis=2, keepdims=True)
    assert abs(found - expected).max(where=expected > 1e-9 * largest, initial=0) < 1e-10 * largest.max()
    assert is_orthonormal(after, 1e-12)


FOLDED = {
    "lstm": "",
    "gru_reset_after": "",
    # a gate reads a state after the step, through a vector of weights
    "peephole": "",
    # one matrix for two gates, a state that reads the other after the step, an input's entry
    "mixed": """
x: input[m]
h: state[n]
s: state[n]
i = sigmoid(U @ h + W @ x + p * s)
f = sigmoid(U @ h - V @ x)
g = tanh(R @ h / 2 + x[0] * q)
h = (1 - i) * h + i * g / (1 + s**2)
s = -0.3 * f * s + relu(h)
""",
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FOLDED)
@pytest.mark.parametrize("n", [16, 19])
def test_many_directions_share_their_products(make_case, name, n, dtype):
    cell = bptt.parse(FOLDED[name]) if FOLDED[name] else make_case(name).cell
    kernel = bptt.compile(cell, dtype)
    folded = fold(kernel.schedule)
    assert folded and sum(map(len, folded.rows.values())) >= len(cell.states)
    params = kernel.init({"m": 3, "n": n}, gain=0.7)
    inputs = {"x": drawn(4, 3, 3).astype(dtype)}
    run = kernel.forward(params, inputs, lengths=[4, 2, 0])
    width = n * len(cell.states)
    vectors = drawn(3, width, width, seed=1).astype(dtype)
    stretch(vectors)
    expected = by_lapack(kernel.jacobians(run).astype(float), vectors)
    found, after = kernel.stretch(run, vectors)
    largest = expected.max(axis=2, keepdims=True)
    tolerance = {"float64": 1e-12, "float32": 1e-4}[dtype]
    assert abs(found - expected).max(where=expected > 1e-2 * largest, initial=0) < tolerance * largest.max()
    assert found[2:, 1] == pytest.approx(1) and found[:, 2] == pytest.approx(1)
    assert is_orthonormal(after, ROUNDING[dtype])


@pytest.mark.parametrize("name", ["rnn", "gru", "memory", "two_inputs", "attention"])
def test_where_nothing_is_shared(make_case, name):
    assert fold(make_case(name).kernel.schedule) is None


@pytest.mark.parametrize("cut", [2, 3])
@pytest.mark.parametrize("name", ["lstm", "memory"])
def test_stretching_goes_on_from_piece_to_piece(make_case, name, cut):
    case = make_case(name)
    vectors = directions(case)
    whole, end = case.kernel.stretch(case.run, vectors)
    first, between = case.kernel.stretch(case.kernel.part(case.run, 0, cut), vectors)
    second, after = case.kernel.stretch(case.kernel.part(case.run, cut, 5), between)
    assert (np.concatenate([first, second]) == whole).all() and (after == end).all()


def test_a_part_of_a_run(make_case):
    case = make_case("peephole")
    part = case.kernel.part(case.run, 1, 4)
    assert (part.steps, part.batch) == (3, case.batch)
    for name, states in case.run.states.items():
        assert (part.states[name] == states[1:4]).all()
    assert (case.kernel.jacobians(part) == case.kernel.jacobians(case.run)[1:4]).all()
    cotangents = {name: np.zeros_like(states) for name, states in case.run.states.items()}
    cotangents["c"][3] = 1
    whole = case.kernel.backward(case.run, cotangents)
    short = case.kernel.backward(part, {name: array[1:4] for name, array in cotangents.items()}, params=False)
    assert short.params == {} and whole.params
    assert (short.states["h"] == whole.states["h"][1:4]).all()
    assert (short.state["h"] == whole.states["h"][0]).all()


def test_a_part_of_a_run_backwards_in_time(make_case):
    case = make_case("peephole")
    run = case.forward(reverse=True)
    part = case.kernel.part(run, 1, 4)
    assert all((part.states[name] == run.states[name][1:4]).all() for name in run.states)
    with pytest.raises(Error, match="went backwards in time: stretching is measured onward"):
        case.kernel.stretch(run, directions(case))


@pytest.mark.parametrize("shape", [(8, 8), (2, 9, 8), (2, 8, 7), (3, 2, 8)])
def test_vectors_of_another_shape(make_case, shape):
    case = make_case("peephole")
    with pytest.raises(Error, match=r"vectors must be \(B, K, N\) with B = 2 and K up to N = 8, not "):
        case.kernel.stretch(case.run, np.ones(shape))


PLAIN = """
import numba, numpy as np, bptt
from bptt.kernels.orthogonal import singular_logs, stretch
assert numba.config.DISABLE_JIT
rows = np.random.default_rng(0).standard_normal((40, 45))
rows[7] = rows[3]
print(repr(stretch(rows).tolist()))
print(repr(singular_logs(np.random.default_rng(0).standard_normal((5, 5)), np.arange(5.0)).tolist()))
kernel = bptt.compile(bptt.load("lstm"))
run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
print(repr(kernel.stretch(run, np.eye(6)[None])[0].tolist()))
"""


def test_the_same_as_plain_python():
    made = []
    for switched_off in ("1", "0"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": switched_off}
        source = PLAIN.replace("assert numba.config.DISABLE_JIT", "") if switched_off == "0" else PLAIN
        done = subprocess.run(
            [sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True
        )
        made.append([np.array(eval(line)) for line in done.stdout.splitlines()])
    for plain, compiled in zip(*made, strict=True):
        assert plain == pytest.approx(compiled, rel=1e-10, abs=1e-13)
