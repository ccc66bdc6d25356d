"""Numbers at the edges: saturated, zero, denormal, of size one, in single precision over many rows; twice the same."""

import numpy as np
import pytest
from sympy import Symbol

from bptt.derive import parse
from bptt.derive.linear import entry, part
from bptt.kernels import compile, oracle
from bptt.kernels.initial import is_bias

# Rounding of some hundred operations, relative to the largest gradient of a group, and to cotangents of order 1.
TOLERANCE = 1e-13
SINGLE = 1e-5


# Each step of a sample in 60 digits costs as much as thousands in compiled code; what is at the edge is at any size.
FEW = tuple({"n": 3, "m": 2, "k": 2, "d": 2, "L": 4, "D": 2, "ñ": 3}.items())


@pytest.fixture
def case(case, make_case):
    return make_case(case.name, 3, 2, FEW)


def compared(found, exact, tolerance):
    """Compare gradients with those of an oracle, relative to the largest of each group, or to 1."""
    for group in ("params", "inputs", "state"):
        arrays = {name: np.asarray(array, float) for name, array in getattr(exact, group).items()}
        scale = max([1.0, *(np.abs(array).max(initial=0) for array in arrays.values())])
        for name, array in arrays.items():
            error = np.abs(getattr(found, group)[name] - array).max(initial=0)
            assert error <= tolerance * scale, f"{group} {name}: off by {error:.3g}, with entries up to {scale:.3g}"


def against_digits(case, params, inputs, state, digits=60):
    run = case.forward(params=params, inputs=inputs, state=state)
    exact = oracle.answer(case.kernel.derivation, params, inputs, state, case.cotangents, digits=digits)
    for name, array in exact.states.items():
        np.testing.assert_allclose(run.states[name], np.asarray(array, float), rtol=TOLERANCE, atol=TOLERANCE)
    compared(case.kernel.backward(run, case.cotangents), exact, TOLERANCE)


def scaled(arrays, factor):
    return {name: factor * array for name, array in arrays.items()}


def test_saturated(case):
    """Biases of ±100: slopes underflow beside the cotangents of order 1, and nothing becomes NaN."""
    params = dict(case.params)
    for number, name in enumerate(name for name in params if is_bias(case.kernel.derivation, Symbol(name))):
        signs = np.where((np.indices(params[name].shape).sum(axis=0) + number) % 2, -1.0, 1.0)
        params[name] = np.asarray(100 * signs)
    against_digits(case, params, case.inputs, case.state)


@pytest.mark.parametrize("factor", [0.0, 1e-310], ids=["zero", "denormal"])
def test_small_inputs_and_states(case, factor):
    if "norm(" in case.text:
        pytest.skip("the norm of a vector has no slope at 0")
    against_digits(case, case.params, scaled(case.inputs, factor), scaled(case.state, factor))


def test_zero_parameters(case):
    if "norm(" in case.text:
        pytest.skip("the norm of a vector has no slope at 0")
    against_digits(case, scaled(case.params, 0.0), case.inputs, case.state)


def test_denormals_are_not_flushed(make_case):
    """A linear cell keeps a denormal as it is: 2⁻¹⁰⁷⁰ halved four times is 2⁻¹⁰⁷⁴, the smallest there is."""
    kernel = compile(parse("h: state[n]\nh = w * h"))
    run = kernel.forward({"w": np.full(5, 0.5)}, {}, {"h": np.full((1, 5), 2.0**-1070)}, steps=4, batch=1)
    assert (run.states["h"][-1] == 2.0**-1074).all()


def test_everything_of_size_one(case, make_case):
    if any(line.written.has(entry, part) for line in case.cell.equations):
        pytest.skip("an index or a slice needs room")
    one = make_case(case.name, 1, 1, tuple((name, 1) for name in case.size))
    against_digits(one, one.params, one.inputs, one.state)


@pytest.mark.parametrize("name", ["lstm", "attention", "memory", "two_inputs", "lru", "henon"])
def test_single_against_double(make_case, name):
    single, double = make_case(name, dtype="float32"), make_case(name)
    taken = {group: in_double(getattr(single, group)) for group in ("params", "inputs", "state")}
    grads = double.kernel.backward(double.forward(**taken), in_double(single.cotangents))
    compared(single.grads, grads, SINGLE)


SUMMED = """x: input[m]
h: state[n]
s: state
h = tanh(W @ x + U @ h + v * s + b)
s = 0.5 * s + 0.1 * dot(w, h) + p
"""


@pytest.mark.parametrize(("steps", "batch"), [(250, 400), (100_000, 1)])
def test_single_over_many_rows(steps, batch):
    """Sums of a hundred thousand terms, of matrices, vectors and numbers: in blocks, they keep their digits."""
    cell = parse(SUMMED, "summed")
    single, double = compile(cell, "float32"), compile(cell)
    params = single.init({"m": 3, "n": 8}, seed=2, gain=0.5)  # of these, no sum is small beside its terms
    random = np.random.default_rng(3)
    inputs = {"x": random.standard_normal((steps, batch, 3)).astype("float32")}
    seeds = {"h": 1 + random.standard_normal((steps, batch, 8)), "s": 1 + random.standard_normal((steps, batch))}
    seeds = {name: array.astype("float32") for name, array in seeds.items()}
    found = single.backward(single.forward(params, inputs), seeds)
    exact = double.backward(double.forward(in_double(params), in_double(inputs)), in_double(seeds))
    for name, array in exact.params.items():
        assert np.abs(found.params[name] - array).max() <= SINGLE / 8 * np.abs(array).max(), name


def in_double(arrays):
    return {name: array.astype("float64") for name, array in arrays.items()}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["lstm", "attention", "memory", "two_inputs"])
def test_twice_the_same_bit_for_bit(make_case, monkeypatch, name, threads):
    monkeypatch.setattr("bptt.kernels.shards.SMALL", 0)
    monkeypatch.setattr("bptt.kernels.shards.cores", lambda: threads)
    case = make_case(name, 40, 7, (("n", 19), ("m", 11), ("k", 5)))
    bits = []
    for _ in range(2):
        kernel = compile(case.kernel.derivation, threads=threads)
        kernel._modules = case.kernel._modules
        for _ in range(3):  # in memory that was used before, too
            run = kernel.forward(case.params, case.inputs, case.state)
            grads = kernel.backward(run, case.cotangents)
            arrays = [*run.states.values(), *(a for g in (grads.params, grads.inputs, grads.state) for a in g.values())]
            bits.append(b"".join(array.tobytes() for array in arrays))
    assert len(set(bits)) == 1
