"""The derived gradients in float64 beside differences of the author's equations in 50 digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np
from sympy import Symbol

from .arithmetic import apply_float, apply_mpmath
from .interpret import Array, evaluate, run, size
from .model_derivation import ModelDerivation
from .program import Program
from .rollout import Values, backward, forward
from .sizes import size_from

DIRECTIONS = 3
DIGITS = 50
Numbers = dict[str, Array]


def numerical_error(derivation: ModelDerivation, sizes: Mapping[str, int]) -> float:
    """Return the largest error of directional derivatives, relative to the sum of the absolute values of their terms.

    Numbers, and directions in which parameters and inputs change, are drawn at random. A derivative is a central
    difference of the loss, computed from the author's equations in 50 digits: it shares nothing with the derivation.
    The loss of a cell weights its states at each step. NaN where the equations are undefined at the numbers drawn.

    >>> from .cell import load
    >>> from .derivation import derive
    >>> from .model import over_time
    >>> rnn = ModelDerivation(over_time(load("rnn")), (derive(load("rnn")),))
    >>> numerical_error(rnn, {"time steps": 3, "n": 2, "m": 3}) < 1e-15
    True
    """
    random = np.random.default_rng(0)
    model = derivation.model
    names = (*model.params, *model.inputs)
    given: Numbers = {name: random.uniform(-1, 1, _shape(model.whole_shape(name), sizes)) for name in names}
    for name, (*_, entries) in model.indices.items():
        many = size(size_from(entries), sizes)
        given[name] = random.integers(many, size=_shape(model.whole_shape(name), sizes))
    weights = _weights(derivation, sizes, random)
    try:
        with np.errstate(all="ignore"):
            gradients = _gradients(derivation, given, weights, sizes)
            return max(_error(derivation, given, weights, gradients, sizes, random) for _ in range(DIRECTIONS))
    except (ArithmeticError, TypeError, ValueError):  # mpmath's, where a function is undefined or complex
        return float("nan")


def _shape(shape: Any, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(size(part, sizes) for part in shape)


def _weights(derivation: ModelDerivation, sizes: Mapping[str, int], random: np.random.Generator) -> dict[str, Array]:
    """Return the weight of each state at each step in the loss of a cell; a model has a loss of its own."""
    model = derivation.model
    if any(block.losses for block in model.blocks):
        return {}
    block = model.blocks[0]
    steps = size(block.axis, sizes) if block.axis is not None else 1
    shapes = {name: _shape(model.shapes[Symbol(name)], sizes) for name in block.cell.states}
    return {name: random.uniform(-1, 1, (steps, *shape)) for name, shape in shapes.items()}


def _gradients(
    derivation: ModelDerivation, given: Numbers, weights: Numbers, sizes: Mapping[str, int]
) -> dict[str, Array]:
    def execute(program: Program, values: Values) -> Values:
        return run(program, values, sizes, apply_float, 1.0)

    def run_forward(number: int, values: Values) -> Values:
        part = derivation.parts[number]
        return execute(part.forward, execute(part.prologue, values))

    traces = forward(derivation.model, given, sizes, run_forward, 0.0)
    outside = {name: list(array) for name, array in weights.items()}
    return backward(derivation, traces, sizes, execute, outside, 0.0)


def _loss(derivation: ModelDerivation, given: Numbers, weights: Numbers, sizes: Mapping[str, int]) -> Any:
    """Return the loss of the author's equations in mpmath's precision."""
    model, one = derivation.model, mpmath.mpf(1)

    def run_equations(number: int, values: Values) -> Values:
        known = dict(values)
        for equation in model.blocks[number].cell.equations:
            array = evaluate(equation.written, known, sizes, apply_mpmath, one)
            known[equation.target] = np.broadcast_to(array, _shape(model.shapes[equation.target], sizes))
        return known

    traces = forward(model, given, sizes, run_equations, mpmath.mpf(0))
    loss = mpmath.mpf(0)
    for block, trace in zip(model.blocks, traces, strict=True):
        for time, values in enumerate(trace):
            loss += sum(values[Symbol(name)][()] for name in block.losses)
            loss += sum(np.sum(weights[name][time] * values[Symbol(name)]) for name in weights)
    return loss


def _error(
    derivation: ModelDerivation,
    given: Numbers,
    weights: Numbers,
    gradients: Numbers,
    sizes: Mapping[str, int],
    random: np.random.Generator,
) -> float:
    directions = {name: random.uniform(-1, 1, gradient.shape) for name, gradient in gradients.items()}
    terms = [np.asarray(gradients[name] * directions[name], float).ravel() for name in gradients]
    derived = float(sum(array.sum() for array in terms))
    scale = float(sum(np.abs(array).sum() for array in terms)) or 1.0
    exact = np.frompyfunc(mpmath.mpf, 1, 1)
    with mpmath.workdps(DIGITS):
        step = mpmath.mpf(10) ** (-DIGITS // 3)
        ends = []
        for sign in (1, -1):
            moved = {name: exact(given[name]) + sign * step * exact(array) for name, array in directions.items()}
            ends.append(_loss(derivation, {**given, **moved}, weights, sizes))
        return float(abs(mpmath.mpf(derived) - (ends[0] - ends[1]) / (2 * step)) / scale)
