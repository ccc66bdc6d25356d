"""Cells whose inputs pick rows and targets: kernels against 50 digits, and every wrong index refused."""

import numpy as np
import pytest

import bptt
from bptt.derive.errors import Error, ShapeError
from bptt.kernels import compile, oracle

SCORED = """w: index[V]
y: index[k]
t: input[k]
h: state[n]
l: state
E: param[V, m]
s: param[V]
h = tanh(W @ E[w] + U @ h + b * s[w])
u = Q @ h
p = softmax(u)
l = cross_entropy(u, y) + cross_entropy(u, t) - log(p[y]) + squared_error(u, t) + logistic_loss(u, t)
"""
SIZES = {"V": 7, "k": 5, "m": 3, "n": 6}
T, B = 5, 4


def drawn(kernel):
    random = np.random.default_rng(0)
    number = kernel.dtype.type
    inputs = {
        "w": random.integers(SIZES["V"], size=(T, B)),
        "y": random.integers(SIZES["k"], size=(T, B)),
        "t": random.standard_normal((T, B, SIZES["k"])).astype(number),
    }
    start = {"h": random.standard_normal((B, SIZES["n"])).astype(number), "l": np.zeros(B, number)}
    cotangents = {"h": random.standard_normal((T, B, SIZES["n"])).astype(number), "l": np.ones((T, B), number)}
    return kernel.init(SIZES, seed=1), inputs, start, cotangents


@pytest.fixture(scope="module")
def kernel():
    return compile(bptt.parse(SCORED, "scored"))


def compared(found, expected, tolerance):
    for part in ("params", "inputs", "state"):
        for name, array in getattr(expected, part).items():
            exact = np.asarray(array, float)
            scale = max(1.0, abs(exact).max())
            assert abs(getattr(found, part)[name] - exact).max() <= tolerance * scale, (part, name)


def test_against_50_digits(kernel):
    params, inputs, start, cotangents = drawn(kernel)
    run = kernel.forward(params, inputs, start)
    exact = oracle.answer(kernel.derivation, params, inputs, start, cotangents)
    assert abs(run.states["l"] - np.asarray(exact.states["l"], float)).max() < 1e-13
    grads = kernel.backward(run, cotangents)
    compared(grads, exact, 1e-13)
    assert set(grads.inputs) == {"t"}
    untouched = np.setdiff1d(np.arange(SIZES["V"]), inputs["w"])
    assert not grads.params["E"][untouched].any() and grads.params["E"].any()


def test_float32():
    kernel = compile(bptt.parse(SCORED, "scored"), "float32")
    params, inputs, start, cotangents = drawn(kernel)
    double = {name: array.astype(float) for name, array in params.items()}
    x, state, seeds = (
        {n: a if n in "wy" else a.astype(float) for n, a in table.items()} for table in (inputs, start, cotangents)
    )
    exact = oracle.answer(kernel.derivation, double, x, state, seeds, digits=None)
    compared(kernel.backward(kernel.forward(params, inputs, start), cotangents), exact, 1e-5)


def test_float32_over_many_rows():
    """Forty thousand terms of one sign, all into one row and one number."""
    kernel = compile(
        bptt.parse("w: index[V]\nE: param[V, n]\ns: param[V]\nh: state[n]\nh = E[w] + s[w] * 0.25"), "float32"
    )
    params, inputs = kernel.init({"V": 3, "n": 2}), {"w": np.full((10_000, 4), 1)}
    seeds = {"h": (1 + np.random.default_rng(0).random((10_000, 4, 2))).astype("float32")}
    found = kernel.backward(kernel.forward(params, inputs), seeds).params
    exact = seeds["h"].astype("float64").sum(axis=(0, 1))
    assert abs(found["E"][1] / exact - 1).max() < 1e-6
    assert abs(found["s"][1] / (0.25 * exact.sum()) - 1) < 1e-6
    assert not found["E"][[0, 2]].any()


def test_a_row_that_is_read_twice_gets_both_shares(kernel):
    params, inputs, start, cotangents = drawn(kernel)
    same = {**inputs, "w": np.full((T, B), 3)}
    total = kernel.backward(kernel.forward(params, same, start), cotangents).params["E"]
    assert not np.delete(total, 3, axis=0).any()
    apart = np.zeros_like(total[3])
    for b in range(B):
        one = [{n: a[:, b : b + 1] for n, a in table.items()} for table in (same, cotangents)]
        first = {n: a[b : b + 1] for n, a in start.items()}
        apart += kernel.backward(kernel.forward(params, one[0], first), one[1]).params["E"][3]
    np.testing.assert_allclose(total[3], apart, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("options", [{"reverse": True}, {"keep": 2}, {"lengths": [5, 0, 3, 1]}])
def test_ways_to_run(kernel, options):
    params, inputs, start, cotangents = drawn(kernel)
    found = kernel.backward(kernel.forward(params, inputs, start, **options), cotangents)
    if "reverse" in options:
        inputs, cotangents = ({n: a[::-1] for n, a in table.items()} for table in (inputs, cotangents))
    exact = oracle.answer(kernel.derivation, params, inputs, start, cotangents)
    if "lengths" in options:
        assert abs(found.params["E"] - np.asarray(exact.params["E"], float)).max() > 1e-3
        assert not found.inputs["t"][1:, 3].any() and found.inputs["t"][0, 3].any()
    else:
        np.testing.assert_allclose(found.params["E"], np.asarray(exact.params["E"], float), rtol=1e-12, atol=1e-13)


def test_jacobians_see_through_a_cross_entropy(kernel):
    params, inputs, start, cotangents = drawn(kernel)
    run = kernel.forward(params, inputs, start)
    jacobians = kernel.jacobians(run)
    back = kernel.backward(run, {name: array * (np.arange(T)[:, None] == T - 1).reshape(T, 1, *(1,) * (array.ndim - 2))
                                 for name, array in cotangents.items()})  # fmt: skip
    last = np.concatenate([cotangents["h"][-1], cotangents["l"][-1][:, None]], axis=1)
    for step in reversed(range(T)):
        last = np.einsum("bi,bij->bj", last, jacobians[step])
    np.testing.assert_allclose(back.state["h"], last[:, :-1], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("w", np.full((T, B), 7), "index w holds 7; it picks from V = 7 entries, from 0 on"),
        ("w", np.full((T, B), -1), "index w holds -1; it picks from V = 7 entries"),
        ("y", np.zeros((T, B)), "index y must hold whole numbers, this is float64"),
        ("y", np.zeros((T, B + 1), int), "input y has B = 5, but input t has B = 4|input y has B = 5"),
        ("y", np.zeros((T, B, 2), int), r"input y must have shape \(T, B\), here \(5, 4, 2\)"),
    ],
)
def test_wrong_indices_are_refused(kernel, name, array, message):
    params, inputs, start, _ = drawn(kernel)
    with pytest.raises((Error, ShapeError), match=message):
        kernel.forward(params, {**inputs, name: array}, start)


def test_the_schedule_says_where_rows_are_added(kernel):
    assert "delta_E[w] += delta_u_h" in str(kernel.schedule) and "cross_entropy(u, y)" in str(kernel.schedule)
    assert "delta_E[int(w[row, 0]), j0] += " in kernel.source
