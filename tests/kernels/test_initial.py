"""Initial parameters: shapes, kinds, seeds, scales."""

import numpy as np
import pytest
from sympy import Symbol

import bptt
from bptt.derive import derive, parse
from bptt.kernels import compile
from bptt.kernels.initial import is_bias

LARGE = {"n": 120, "m": 80, "k": 90, "L": 70, "D": 60, "ñ": 50}


def biases(text):
    derivation = derive(parse(text))
    return [name for name in derivation.cell.params if is_bias(derivation, Symbol(name))]


def test_shapes_and_kinds(case):
    drawn = case.kernel.init(case.size, seed=3)
    assert list(drawn) == list(case.cell.params)
    for name, array in drawn.items():
        assert isinstance(array, np.ndarray) and array.dtype == np.float64, name
        assert array.shape == np.shape(case.params[name])
    again, other = case.kernel.init(case.size, seed=3), case.kernel.init(case.size, seed=4)
    assert all((again[name] == array).all() for name, array in drawn.items())
    assert all((other[name] != array).any() for name, array in drawn.items() if array.any())


def test_float32(make_case):
    single, double = make_case("lstm", dtype="float32").kernel, make_case("lstm").kernel
    sizes = {"n": 3, "m": 2}
    exact = double.init(sizes)
    for name, array in single.init(sizes).items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, exact[name].astype("float32"))


@pytest.mark.parametrize("name", ["lstm", "gru_reset_after", "peephole"])
def test_biases_are_zero_and_weights_are_not(make_case, name):
    case = make_case(name)
    for param, array in case.kernel.init(case.size).items():
        assert array.any() != param.startswith("b_"), param


@pytest.mark.parametrize("gain", [1.0, 0.25, 3.0])
def test_gain_scales_the_spread(make_case, gain):
    case = make_case("peephole")
    drawn = case.kernel.init({name: LARGE[name] for name in case.size}, gain=gain)
    for array in drawn.values():
        if array.any():
            # the spread of N numbers is known to 1/√(2N): 4 of these
            assert np.std(array) == pytest.approx(gain / np.sqrt(array.shape[-1]), rel=4 / np.sqrt(2 * array.size))


def test_each_parameter_has_a_stream_of_its_own(make_case):
    drawn = make_case("lstm").kernel.init({"n": 5, "m": 5})
    weights = [array for name, array in drawn.items() if name.startswith("W")]
    assert len({array.tobytes() for array in weights}) == len(weights)


def test_a_bias_is_a_bias_also_inside_a_function():
    assert biases("x: input[n]\nh: state[n]\nh = tanh(u * h + x + b)") == ["b"]
    assert biases("h: state\nh = exp(a + h) * g + (h + c)**2 + b") == ["a", "c", "b"]


def test_what_multiplies_is_no_bias():
    assert biases("x: input[n]\nh: state[n]\nh = tanh(W @ h + b * x + b)") == []
    assert biases("x: input[n]\nh: state[n]\nh = h * sigmoid(b) + x") == []


def test_a_sum_of_weights_holds_no_biases():
    """W + V is a matrix like any other: were both taken for biases, the state would start unconnected."""
    assert biases("x: input[n]\nh: state[n]\nA = W + V\nh = tanh(A @ h + x)") == []


def test_scalar_parameters_are_arrays(make_case):
    drawn = make_case("henon").kernel.init({})
    assert {name: (type(a), a.shape) for name, a in drawn.items()} == {"a": (np.ndarray, ()), "b": (np.ndarray, ())}


@pytest.mark.parametrize("seed", [-1, 1.5, None, "one"])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(bptt.Error, match=f"a seed is a whole number from 0, not {seed!r}"):
        compile(bptt.load("rnn")).init({"n": 2, "m": 2}, seed=seed)


def test_parameters_that_cannot_be_made_are_refused():
    text = "x: input[m]\nu: input[k]\nW: param[n, z]\nh: state[n]\nh = tanh(W @ concat(E @ u, x) + h)"
    cell = bptt.parse(text, "longer")
    model = bptt.parse_model(
        "x: input[T, m]\nu: input[T, k]\nfor t in range(T):\n    h = longer(x[t], u[t])\nloss += sum(h)",
        "my",
        {"longer": cell},
    )
    for kernel in (bptt.compile(cell), bptt.compile(model)):
        assert kernel.init({"m": 2, "k": 4, "n": 3, "z": 5})["E"].shape == (3, 4)
        for z, rows in ((5, 0), (2, -3)):
            with pytest.raises(bptt.Error, match=rf"E has the shape \({rows}, 4\); each of its sizes must be positive"):
                kernel.init({"m": 5, "k": 4, "n": 3, "z": z})
        with pytest.raises(bptt.Error, match="parameters of these sizes need .* take smaller ones"):
            kernel.init({"m": 2, "k": 4, "n": 10**12, "z": 5})
