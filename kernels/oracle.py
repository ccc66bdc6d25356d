"""The derivation's programs carried out one step at a time: slow, trusted, and sharing no code with generated kernels.

Numbers are float64, or mpmath's with as many digits as asked for. Elementwise functions come from their definitions in
the rule table, not from the code that kernels use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Symbol

from ..derive.adjoint import delta, incoming
from ..derive.cell import previous
from ..derive.derivation import Derivation
from ..derive.functions import Elementwise
from ..derive.interpret import Array, run
from ..derive.program import Program
from .given import Arrays, Given, check_sizes

Values = dict[Symbol, Array]
KINKS = {
    "Heaviside": lambda x, at_zero: at_zero if x == 0 else int(x > 0),
    "sign": lambda x: int(x > 0) - int(x < 0),
    "Max": max,
    "Min": min,
}


@dataclass(frozen=True)
class Answer:
    """A forward and backward pass: arrays of mpmath numbers, or of floats where no digits were asked for.

    Attributes:
        states: state -> (T, B, *shape), the value after each step.
        params: parameter -> gradient, summed over steps and samples.
        inputs: input -> gradient, (T, B, *shape).
        state: state -> gradient of the initial state, (B, *shape).
    """

    states: Mapping[str, Array]
    params: Mapping[str, Array]
    inputs: Mapping[str, Array]
    state: Mapping[str, Array]


def answer(
    derivation: Derivation,
    params: Arrays,
    inputs: Arrays,
    state: Arrays,
    cotangents: Arrays,
    digits: int | None = 50,
) -> Answer:
    """Run a cell over a batch of sequences and carry gradients back, sample by sample and step by step.

    Args:
        derivation: of the cell.
        params, inputs, state: as `Kernel.forward` takes them, in float64; every state must be given.
        cotangents: state -> (T, B, *shape), as `Kernel.backward` takes them; every state must be given.
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
    moving = given.take("input", inputs, cell.inputs, np.shape(cotangents[next(iter(cell.states))])[:2])
    T, B = given.lead
    start = given.take("state", state, cell.states, (B,))
    seeds = given.take("state", cotangents, cell.states, (T, B))
    sizes = check_sizes(cell, given.sizes)
    with mpmath.workdps(digits or 15):
        samples = [
            _Sample(derivation, sizes, digits).through_time(
                _numbers(fixed, digits),
                _numbers({name: array[:, b] for name, array in moving.items()}, digits),
                _numbers({name: array[b] for name, array in start.items()}, digits),
                _numbers({name: array[:, b] for name, array in seeds.items()}, digits),
            )
            for b in range(B)
        ]
        return Answer(
            {name: np.stack([sample.states[name] for sample in samples], axis=1) for name in cell.states},
            {name: sum(sample.params[name] for sample in samples) + 0 * array for name, array in fixed.items()},
            {name: np.stack([sample.inputs[name] for sample in samples], axis=1) for name in cell.inputs},
            {name: np.stack([sample.state[name] for sample in samples]) for name in cell.states},
        )


def _numbers(arrays: Mapping[str, Array], digits: int | None) -> dict[str, Array]:
    if digits is None:
        return dict(arrays)
    return {name: np.asarray(np.frompyfunc(mpmath.mpf, 1, 1)(array)) for name, array in arrays.items()}


class _Sample:
    """One sequence, B = 1 and without the axis B."""

    def __init__(self, derivation: Derivation, sizes: Mapping[str, int], digits: int | None) -> None:
        self.derivation = derivation
        self.sizes = sizes
        self.one = 1.0 if digits is None else mpmath.mpf(1)
        self.apply = _apply_float if digits is None else _apply_mpmath

    def through_time(
        self,
        params: Mapping[str, Array],
        inputs: Mapping[str, Array],
        start: Mapping[str, Array],
        seeds: Mapping[str, Array],
    ) -> Answer:
        derivation, cell = self.derivation, self.derivation.cell
        known = self._run(derivation.prologue, {Symbol(name): value for name, value in params.items()})
        steps: list[Values] = []
        now = dict(start)
        for t in range(len(next(iter(seeds.values())))):
            reads = {Symbol(name): value[t] for name, value in inputs.items()}
            reads |= {previous(name): value for name, value in now.items()}
            steps.append(self._run(derivation.forward, {**known, **reads}))
            now = {name: steps[-1][Symbol(name)] for name in cell.states}
        back = {name: 0 * value for name, value in now.items()}
        fixed = (*map(Symbol, params), *derivation.prologue.outputs)
        sums: Values = {symbol: 0 * known[symbol] for symbol in fixed}
        gradients: list[Values] = []
        for t, values in reversed(list(enumerate(steps))):
            arriving = {incoming(Symbol(name)): seeds[name][t] + back[name] for name in cell.states}
            gradients.insert(0, self._run(derivation.backward, {**values, **arriving}))
            back = {name: gradients[0][delta(previous(name))] for name in cell.states}
            sums = {symbol: total + gradients[0][delta(symbol)] for symbol, total in sums.items()}
        arriving = {incoming(value): sums[value] for value in derivation.prologue.outputs}
        last = self._run(derivation.epilogue, {**known, **arriving})
        return Answer(
            {n: _stacked([values[Symbol(n)] for values in steps], seeds[n]) for n in cell.states},
            {n: sums[Symbol(n)] + last.get(delta(Symbol(n)), 0) for n in params},
            {n: _stacked([values[delta(Symbol(n))] for values in gradients], inputs[n]) for n in inputs},
            back,
        )

    def _run(self, program: Program, values: Values) -> Values:
        return run(program, values, self.sizes, self.apply, self.one)


def _stacked(arrays: list[Array], like: Array) -> Array:
    return np.stack(arrays) if arrays else like


@cache
def _function(function: type[Elementwise], module: str) -> Callable[..., Any]:
    """Return an elementwise function on numbers, from its definition."""
    names = sympy.symbols(f"a:{len(function.rule.slopes)}", real=True)
    return sympy.lambdify(names, function.rule.definition(*names), [KINKS, module])


def _apply_mpmath(function: Any, *entries: Any) -> Any:
    if isinstance(function, sympy.NumberSymbol):
        return mpmath.mpf(function.evalf(mpmath.mp.dps + 5))
    if function is sympy.Pow:
        return mpmath.power(entries[0], mpmath.mpf(entries[1].p) / entries[1].q)
    return _function(function, "mpmath")(*entries)


def _apply_float(function: Any, *entries: Any) -> Any:
    if isinstance(function, sympy.NumberSymbol):
        return float(function)
    with np.errstate(all="ignore"):
        if function is sympy.Pow:
            return np.power(entries[0], float(entries[1]))
        return _function(function, "scipy")(*entries)

