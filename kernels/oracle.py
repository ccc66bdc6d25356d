"""The derivation's programs carried out one step at a time: slow, trusted, and sharing no code with generated kernels.

Numbers are float64, or mpmath's with as many digits as asked for. Elementwise functions come from their definitions in
the rule table, not from the code that kernels use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from sympy import Symbol

from ..derive.adjoint import delta, incoming
from ..derive.arithmetic import apply_float, apply_mpmath
from ..derive.cell import previous
from ..derive.derivation import Derivation
from ..derive.interpret import Array, run
from ..derive.program import Program
from .given import Arrays, Given

Table = Mapping[str, Array]
Values = dict[Symbol, Array]


@dataclass(frozen=True)
class Answer:
    """A forward and backward pass: arrays of mpmath numbers, or of floats where no digits were asked for.

    Attributes:
        states: state -> (T, B, *shape), the value after each step.
        params: parameter -> gradient, summed over steps and samples.
        inputs: input -> gradient, (T, B, *shape).
        state: state -> gradient of the initial state, (B, *shape).
    """

    states: Table
    params: Table
    inputs: Table
    state: Table


def answer(
    derivation: Derivation, params: Arrays, inputs: Arrays, state: Arrays, cotangents: Arrays, digits: int | None = 50
) -> Answer:
    """Run a cell over at least one sequence and carry gradients back, sample by sample and step by step.

    Args:
        derivation: of the cell.
        params, inputs, state, cotangents: as `Kernel.forward` and `backward` take them, in float64; none left out.
        digits: of the numbers used; None for float64.

    Raises:
        ShapeError: for a missing or unknown name, a wrong shape or dtype.

    >>> from ..derive import derive, parse
    >>> derivation = derive(parse("x: input\\nh: state\\nh = h * x"))
    >>> ones = np.ones((2, 1))
    >>> found = answer(derivation, {}, {"x": 3 * ones}, {"h": ones[0]}, {"h": ones})
    >>> print(found.states["h"].ravel(), found.state["h"])  # h_1 = 3, h_2 = 9; d(h_1 + h_2)/dh_0 = 3 + 9
    [mpf('3.0') mpf('9.0')] [mpf('12.0')]
    """
    cell = derivation.cell
    given = Given(cell, np.dtype("float64"))
    fixed = given.take("parameter", params, cell.params, ())
    seeds = given.take("cotangent", cotangents, cell.states, (None, None))
    T, B = given.lead
    known = {**cell.inputs, **dict.fromkeys(cell.indices, ())}
    moving = given.take("input", given.as_numbers(inputs), known, (T, B))
    start = given.take("state", state, cell.states, (B,))
    sizes = given.complete()
    one, apply = (1.0, apply_float) if digits is None else (mpmath.mpf(1), apply_mpmath)

    def carried_out(program: Program, values: Values) -> Values:
        return run(program, values, sizes, apply, one)

    def numbers(arrays: Table, *at: Any) -> dict[str, Array]:
        kind = np.frompyfunc(float if digits is None else mpmath.mpf, 1, 1)
        return {name: np.asarray(kind(array[at])) for name, array in arrays.items()}

    with mpmath.workdps(digits or 15):
        every = slice(None)
        one_by_one = [
            _through_time(
                derivation,
                carried_out,
                numbers(fixed, ...),
                numbers(moving, every, b),
                numbers(start, b),
                numbers(seeds, every, b),
            )
            for b in range(B)
        ]
        return Answer(
            {name: np.stack([sample.states[name] for sample in one_by_one], axis=1) for name in cell.states},
            {name: np.asarray(sum(sample.params[name] for sample in one_by_one)) for name in cell.params},
            {name: np.stack([sample.inputs[name] for sample in one_by_one], axis=1) for name in cell.inputs},
            {name: np.stack([sample.state[name] for sample in one_by_one]) for name in cell.states},
        )


def _through_time(
    derivation: Derivation,
    carried_out: Callable[[Program, Values], Values],
    params: Table,
    inputs: Table,
    start: Table,
    seeds: Table,
) -> Answer:
    """Run one sequence, whose arrays have no axis B."""
    cell, once = derivation.cell, derivation.prologue.outputs
    known = carried_out(derivation.prologue, {Symbol(name): value for name, value in params.items()})
    times = range(len(seeds[next(iter(cell.states))]))
    steps: list[Values] = []
    now = start
    for t in times:
        reads = {Symbol(n): np.asarray(array[t]) for n, array in inputs.items()} | {
            previous(n): now[n] for n in cell.states
        }
        steps.append(carried_out(derivation.forward, {**known, **reads}))
        now = {name: steps[t][Symbol(name)] for name in cell.states}
    back = {name: 0 * value for name, value in start.items()}
    sums = {symbol: 0 * known[symbol] for symbol in (*map(Symbol, params), *once)}
    gradients = {name: 0 * inputs[name] for name in cell.inputs}
    for t in reversed(times):
        arriving = {incoming(Symbol(name)): seeds[name][t] + back[name] for name in cell.states}
        values = carried_out(derivation.backward, {**steps[t], **arriving})
        back = {name: values[delta(previous(name))] for name in cell.states}
        sums = {symbol: total + values[delta(symbol)] for symbol, total in sums.items()}
        for name in cell.inputs:
            gradients[name][t, ...] = values[delta(Symbol(name))]
    last = carried_out(derivation.epilogue, {**known, **{incoming(value): sums[value] for value in once}})
    states = {name: 0 * seeds[name] for name in cell.states}
    for t, name in ((t, name) for t in times for name in cell.states):
        states[name][t, ...] = steps[t][Symbol(name)]
    total = {name: sums[Symbol(name)] + last.get(delta(Symbol(name)), 0) for name in params}
    return Answer(states, total, gradients, back)
