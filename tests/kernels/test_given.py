"""What a caller may give wrongly, and what he is told."""

import re

import numpy as np
import pytest

import bptt
from bptt.derive import parse
from bptt.derive.errors import ShapeError
from bptt.kernels import compile

T, B, M, N = 3, 2, 4, 5
TWO = "x: input[m]\nu: input[k]\nh: state[n]\nh = tanh(W @ concat(h, x) + P @ u + b)"
PIECES = "x: input[n]\nh: state[n]\nh = h[1:3] @ V * h[k] + x\nV: param[2, n]\nq: input[k]"


@pytest.fixture(scope="module")
def rnn():
    return compile(bptt.load("rnn"))


@pytest.fixture(scope="module")
def params(rnn):
    return rnn.init({"m": M, "n": N})


@pytest.fixture(scope="module")
def x():
    return np.ones((T, B, M))


@pytest.fixture(scope="module")
def run(rnn, params, x):
    return rnn.forward(params, {"x": x})


def test_a_name_is_missing(rnn, params, x):
    with pytest.raises(ShapeError, match=r"^missing input x; the cell has x$"):
        rnn.forward(params, {})
    with pytest.raises(ShapeError, match=r"^missing parameter W_xh, b_h; the cell has W_hh, W_xh, b_h$"):
        rnn.forward({"W_hh": params["W_hh"]}, {"x": x})


def test_a_name_is_unknown(rnn, params, x, run):
    with pytest.raises(ShapeError, match=r"^the cell has no parameter called 'W_hx'. Did you mean 'W_xh'\?$"):
        rnn.forward({**params, "W_hx": params["W_xh"]}, {"x": x})
    with pytest.raises(ShapeError, match=r"^the cell has no input called 'y'. Known: x.$"):
        rnn.forward(params, {"x": x, "y": x})
    with pytest.raises(ShapeError, match=r"^the cell has no state called 'c'. Known: h.$"):
        rnn.forward(params, {"x": x}, {"c": np.zeros((B, N))})
    with pytest.raises(ShapeError, match=r"^the cell has no cotangent called 'c'. Known: a_h, h.$"):
        rnn.backward(run, {"c": np.zeros((T, B, N))})
    with pytest.raises(ShapeError, match=r"^the cell has no input called 'x'. It has none.$"):
        compile(parse("h: state\nh = h")).forward({}, {"x": x})


@pytest.mark.parametrize("wrong", [np.ones((T, B, M)), [1.0], 3])
def test_arrays_are_given_by_name(rnn, params, wrong):
    message = r"^give each input by its name, as in \{'x': array\}; here (ndarray|list|int)$"
    with pytest.raises(ShapeError, match=message):
        rnn.forward(params, wrong)


def test_a_shape_is_wrong(rnn, params, x, run):
    with pytest.raises(ShapeError, match=r"^parameter W_hh must have shape \(n, n\), here \(5\)$"):
        rnn.forward({**params, "W_hh": params["b_h"]}, {"x": x})
    with pytest.raises(ShapeError, match=r"^input x must have shape \(T, B, m\), here \(3, 4\)$"):
        rnn.forward(params, {"x": x[:, 0]})
    with pytest.raises(ShapeError, match=r"^state h must have shape \(B, n\), here \(5\)$"):
        rnn.forward(params, {"x": x}, {"h": np.zeros(N)})
    with pytest.raises(ShapeError, match=r"^cotangent h must have shape \(T, B, n\), here \(2, 5\)$"):
        rnn.backward(run, {"h": np.zeros((B, N))})


def test_sizes_disagree(rnn, params, x, run):
    with pytest.raises(ShapeError, match=r"^input x has m = 3, but parameter W_xh has 4$"):
        rnn.forward(params, {"x": x[:, :, :3]})
    with pytest.raises(ShapeError, match=r"^parameter W_hh has n = 4, but parameter W_hh has 5$"):
        rnn.forward({**params, "W_hh": params["W_hh"][:, :4]}, {"x": x})
    with pytest.raises(ShapeError, match=r"^state h has B = 3, but input x has B = 2$"):
        rnn.forward(params, {"x": x}, {"h": np.zeros((3, N))})
    with pytest.raises(ShapeError, match=r"^input x has T = 3, but steps= says 7$"):
        rnn.forward(params, {"x": x}, steps=7)
    with pytest.raises(ShapeError, match=r"^cotangent h has T = 2, but the run has T = 3$"):
        rnn.backward(run, {"h": np.zeros((2, B, N))})
    with pytest.raises(ShapeError, match=r"^cotangent h has n = 6, but the run has 5$"):
        rnn.backward(run, {"h": np.zeros((T, B, 6))})


def test_two_inputs_of_different_length():
    kernel = compile(parse(TWO))
    params = kernel.init({"n": 2, "m": 3, "k": 4})
    with pytest.raises(ShapeError, match=r"^input u has T = 6, but input x has T = 5$"):
        kernel.forward(params, {"x": np.ones((5, 1, 3)), "u": np.ones((6, 1, 4))})


def test_a_sum_of_sizes_is_checked_even_when_it_comes_first():
    """W is n×(n+m), and is read before x says what m is."""
    kernel = compile(parse(TWO))
    params = kernel.init({"n": 2, "m": 3, "k": 4})
    params["W"] = np.ones((2, 9))
    with pytest.raises(ShapeError, match=r"^parameter W has size 9 where the cell says m \+ n = 5$"):
        kernel.forward(params, {"x": np.ones((5, 1, 3)), "u": np.ones((5, 1, 4))})


def test_a_fixed_size():
    kernel = compile(parse("x: input[2]\nh: state[n]\nh = tanh(W @ x + U @ h)"))
    with pytest.raises(ShapeError, match=r"^input x has size 3 where the cell says 2$"):
        kernel.forward(kernel.init({"n": 4}), {"x": np.ones((1, 1, 3))})


def test_a_dtype_is_wrong(rnn, params, x):
    message = r"^input x is float32, this kernel computes in float64: convert it with .astype\('float64'\)$"
    with pytest.raises(ShapeError, match=message):
        rnn.forward(params, {"x": x.astype("float32")})
    with pytest.raises(ShapeError, match=r"^input x is int64, this kernel computes in float64"):
        rnn.forward(params, {"x": x.astype("int64")})
    with pytest.raises(ShapeError, match=r"^input x is object, this kernel"):
        rnn.forward(params, {"x": None})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_must_be_finite(rnn, params, x, bad):
    spoilt, start = x.copy(), np.zeros((B, N))
    spoilt[1, 0, 2], start[1, 3] = bad, bad
    with pytest.raises(bptt.Error, match=rf"^input x holds {bad} at index \(1, 0, 2\); it must be finite$"):
        rnn.forward(params, {"x": spoilt})
    with pytest.raises(bptt.Error, match=rf"^state h holds {bad} at index \(1, 3\); it must be finite$"):
        rnn.forward(params, {"x": x}, {"h": start})


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"keep": 2}])
@pytest.mark.parametrize("threads", [1, 2])
def test_each_number_must_be_finite(rnn, params, x, threads, options, monkeypatch):
    """Whichever thread looks at it."""
    monkeypatch.setattr("bptt.kernels.shards.SMALL", 0)
    kernel = compile(rnn.derivation, threads=threads)
    for place in np.ndindex(x.shape):
        spoilt = x.copy()
        spoilt[place] = np.nan
        with pytest.raises(
            bptt.Error, match=rf"^input x holds nan at index {re.escape(str(place))}; it must be finite$"
        ):
            kernel.forward(params, {"x": spoilt}, **options)
    assert np.isfinite(kernel.forward(params, {"x": x}, **options).states["h"]).all()


@pytest.mark.parametrize("given", [{}, {"steps": 3}, {"batch": 3}])
def test_a_cell_without_inputs_needs_steps_and_batch(make_case, given):
    kernel = make_case("henon").kernel
    with pytest.raises(ShapeError, match="^a cell without inputs needs steps= and batch=$"):
        kernel.forward(kernel.init({}), {}, **given)


@pytest.mark.parametrize(("name", "number"), [("steps", -1), ("batch", 2.5), ("steps", "3")])
def test_steps_and_batch_are_whole_numbers(rnn, params, x, name, number):
    with pytest.raises(bptt.Error, match=f"^{name}= must be a whole number from 0, not {number!r}$"):
        rnn.forward(params, {"x": x}, **{name: number})


def test_sizes_of_init(rnn):
    with pytest.raises(ShapeError, match=r"^no size is given for dimension m; this cell has m, n$"):
        rnn.init({"n": 3})
    with pytest.raises(ShapeError, match=r"^this cell has no dimension k; it has m, n$"):
        rnn.init({"n": 3, "m": 2, "k": 1})
    for bad in (0, -2, 2.5, "2", None):
        with pytest.raises(ShapeError, match=f"^the size of dimension n must be a positive whole number, not {bad!r}$"):
            rnn.init({"n": bad, "m": 2})
    with pytest.raises(ShapeError, match=r"^this cell has no dimension n; it has none$"):
        compile(parse("h: state\nh = h")).init({"n": 1})


def test_an_empty_input_has_no_size(rnn, params):
    with pytest.raises(ShapeError, match="^the size of dimension m must be a positive whole number, not 0$"):
        rnn.forward({**params, "W_xh": np.ones((N, 0))}, {"x": np.ones((T, B, 0))})


def test_an_index_past_the_end(rnn):
    """Compiled code checks no bounds: it would read whatever lies behind the array."""
    kernel = compile(parse(PIECES))
    kernel.init({"n": 3, "k": 2})
    with pytest.raises(ShapeError, match=r"^with k = 1, n = 2, h\[1:3\] is past the end: h has entries 0 to 1$"):
        kernel.init({"n": 2, "k": 1})
    with pytest.raises(ShapeError, match=r"^with k = 3, n = 3, h\[k\] is past the end: h has entries 0 to 2$"):
        kernel.init({"n": 3, "k": 3})
    given = {"x": np.ones((T, B, 3)), "q": np.ones((T, B, 9))}
    with pytest.raises(ShapeError, match=r"^with k = 9, n = 3, h\[k\] is past the end"):
        kernel.forward({"V": np.ones((2, 3))}, given)
    tail = compile(parse("x: input[k]\nh: state[n]\nh = concat(h[k:n], x)"))
    with pytest.raises(ShapeError, match=r"^with k = 3, n = 3, h\[k:n\] is empty$"):
        tail.init({"n": 3, "k": 3})


def test_the_layout_needs_sizes():
    message = r"^the layout of the state depends on sizes: call kernel.init\(sizes\) or kernel.forward first$"
    with pytest.raises(bptt.Error, match=message):
        compile(bptt.load("rnn")).state_layout  # noqa: B018 - a property


@pytest.mark.parametrize("dtype", ["float16", "int64", "complex128", "double precision", 7])
def test_a_kernel_computes_in_two_dtypes(dtype):
    with pytest.raises(bptt.Error, match=f"^a kernel computes in float32 or float64, not in {dtype}$"):
        compile(bptt.load("rnn"), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "f4", "single"])
def test_dtypes_may_be_spelled_as_numpy_does(dtype):
    assert repr(compile(bptt.load("rnn"), dtype)) == "Kernel('rnn', dtype='float32')"
