"""The oracle against the proof's scalar expansion, and its two kinds of numbers against each other."""

import mpmath
import numpy as np
import pytest
import sympy

import bptt
from bptt.derive import derive, parse
from bptt.derive.arithmetic import apply_mpmath
from bptt.derive.expansion import STEPS, Expansion
from bptt.derive.model import over_time
from bptt.derive.model_derivation import ModelDerivation
from bptt.kernels import compile, oracle

SIZES = {"n": 2, "m": 3}


class Evaluator:
    """The number that an expanded expression stands for: plain recursion over SymPy's tree."""

    def __init__(self, leaves, numbers):
        self.leaves = leaves
        self.values = dict(numbers)

    def __call__(self, expr):
        if expr not in self.values:
            self.values[expr] = self.work_out(expr)
        return self.values[expr]

    def work_out(self, expr):
        if expr in self.leaves.stands_for:
            function, arguments = self.leaves.stands_for[expr]
            numbers = list(map(self, arguments))
            return numbers[0] if function is None else apply_mpmath(function, *numbers)
        if expr in self.leaves.tangents:
            return self(self.leaves.tangents[expr])
        if expr.is_Rational:
            return mpmath.mpf(int(expr.p)) / int(expr.q)
        numbers = list(map(self, expr.args))
        if isinstance(expr, sympy.Pow):
            return numbers[0] ** numbers[1]
        return mpmath.fsum(numbers) if isinstance(expr, sympy.Add) else mpmath.fprod(numbers)


@pytest.mark.parametrize("name", ["rnn", "gru"])
def test_kernel_and_oracle_against_the_expanded_loss(name):
    """`sympy.diff` of the loss written out in scalars, at random numbers of 50 digits."""
    derivation = derive(bptt.load(name))
    model = over_time(derivation.cell)
    expansion = Expansion(ModelDerivation(model, (derivation,)), {**SIZES, **dict.fromkeys(model.axes, STEPS)})
    rng = np.random.default_rng(0)
    numbers = {}

    def drawn(symbols):
        array = rng.standard_normal(symbols.shape)
        numbers.update({symbols[i]: mpmath.mpf(array[i]) for i in np.ndindex(symbols.shape)})
        return array

    sources = {key: drawn(symbols) for key, symbols in expansion.sources.items()}
    params = {key: sources[key] for key in derivation.cell.params}
    state = {key: sources[f"{key}_0"][None] for key in derivation.cell.states}
    inputs = {key: sources[key][:, None] for key in derivation.cell.inputs}
    cotangents = {key: np.stack([drawn(g) for g in arrays])[:, None] for key, arrays in expansion.outside.items()}
    exact = oracle.answer(derivation, params, inputs, state, cotangents)
    kernel = compile(derivation)
    grads = kernel.backward(kernel.forward(params, inputs, state), cotangents)
    with mpmath.workdps(50):
        value = Evaluator(expansion.leaves, numbers)
        for key, entries in expansion.pairs().items():
            start = key.removesuffix("_0")
            table, found = (exact.params, grads.params) if key in params else (exact.inputs, grads.inputs)
            if start in state and key != start:
                table, found, key = {key: exact.state[start][0]}, {key: grads.state[start][0]}, key
            shape = np.shape(table[key])
            for index, (_, expected) in entries.items():
                at = (index[0], 0, *index[1:]) if len(shape) > len(index) else index
                number = value(expected)
                assert abs(table[key][at] - number) <= mpmath.mpf(10) ** -45 * (1 + abs(number))
                assert abs(found[key][at] - float(number)) <= 1e-12 * (1 + abs(float(number)))
    assert cotangents["h"].shape[0] == STEPS


def test_float64_and_digits_agree(case, assert_close):
    given = case.params, case.inputs, case.state, case.cotangents
    short = oracle.answer(case.kernel.derivation, *given, digits=None)
    long = oracle.answer(case.kernel.derivation, *given, digits=30)
    for group in ("states", "params", "inputs", "state"):
        exact = {name: np.asarray(array, float) for name, array in getattr(long, group).items()}
        assert_close({n: np.asarray(a, float) for n, a in getattr(short, group).items()}, exact, 1e-12)


def test_digits_are_kept():
    derivation = derive(parse("x: input\nh: state\nh = exp(x) + 0 * h"))
    found = oracle.answer(derivation, {}, {"x": np.ones((1, 1))}, {"h": np.zeros(1)}, {"h": np.ones((1, 1))}, digits=50)
    with mpmath.workdps(50):
        assert abs(found.states["h"][0, 0] - mpmath.e) < mpmath.mpf(10) ** -49
        assert abs(found.inputs["x"][0, 0] - mpmath.e) < mpmath.mpf(10) ** -49


def test_no_steps():
    derivation = derive(bptt.load("rnn"))
    params = compile(derivation).init(SIZES)
    found = oracle.answer(
        derivation, params, {"x": np.ones((0, 2, 3))}, {"h": np.ones((2, 2))}, {"h": np.ones((0, 2, 2))}
    )
    assert found.states["h"].shape == (0, 2, 2)
    assert not found.state["h"].any()


def test_a_missing_array_is_named():
    derivation = derive(bptt.load("rnn"))
    with pytest.raises(bptt.Error, match="missing parameter W_hh, W_xh, b_h; the cell has W_hh, W_xh, b_h"):
        oracle.answer(derivation, {}, {"x": np.ones((1, 1, 3))}, {"h": np.ones((1, 2))}, {"h": np.ones((1, 1, 2))})
