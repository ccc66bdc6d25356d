"""A cell's programs as plain NumPy on real or complex numbers, with the loop over time open to changes.

Each step is compiled by itself, so that a backward pass in which one step differs costs no more than the pass itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import CodeType
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Symbol

from ...derive.adjoint import delta, incoming
from ...derive.cell import previous
from ...derive.derivation import Derivation
from ...derive.functions import FUNCTIONS, Elementwise
from ...derive.interpret import size
from ...derive.linear import Node
from ...derive.program import Program

Array = Any  # of floats or complex numbers
Arrays = Mapping[str, Array]
Sizes = Mapping[str, int]
NEXT, BEFORE = "__next", "__before"  # a value at the step after or before this one: c__next
KINKS = {
    "Heaviside": lambda x, at_zero=0.5: np.where(np.real(x) > 0, 1.0, np.where(np.real(x) == 0, at_zero, 0.0)),
    "sign": lambda x: np.sign(np.real(x)),
    "Max": lambda a, b: np.where(np.real(a) >= np.real(b), a, b),
    "Min": lambda a, b: np.where(np.real(a) <= np.real(b), a, b),
    "Abs": lambda a: np.where(np.real(a) < 0, -a, a),
}


@dataclass(frozen=True)
class Change:
    """What is different in a backward pass from the right one; by default nothing.

    Attributes:
        steps: adjoint -> another expression for it; values at t ± 1 are called `c__next`, `c__before`.
        uncarried: states of which step t doesn't hear what step t+1 sends back.
        start: state -> "wrapped" (the last state stands in for the initial one, as by index −1) or "zero".
        only: adjoint of a parameter -> "last" or "first": the step in time whose share is all that is kept.
        scaled: adjoint of a parameter -> factor.
        silent: states whose loss gradients are left out.
        window: how many steps an adjoint is carried back, None for all.
        kept: steps whose loss gradients arrive: None for all, "last" for the last alone.
    """

    steps: Mapping[Symbol, Expr] = field(default_factory=dict)
    uncarried: frozenset[str] = frozenset()
    start: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[Symbol, str] = field(default_factory=dict)
    scaled: Mapping[Symbol, float] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    window: int | None = None
    kept: str | None = None

    def __or__(self, other: Change) -> Change:
        """Return both changes at once."""
        return Change(
            {**self.steps, **other.steps},
            self.uncarried | other.uncarried,
            {**self.start, **other.start},
            {**self.only, **other.only},
            {**self.scaled, **other.scaled},
            self.silent | other.silent,
            self.window or other.window,
            self.kept or other.kept,
        )


RIGHT = Change()


@dataclass(frozen=True)
class Probe:
    """Numbers to run a cell on: parameters, inputs (T, B, ·), initial states (B, ·), loss gradients (T, B, ·)."""

    params: Arrays
    inputs: Arrays
    state: Arrays
    seeds: Arrays

    @property
    def first(self) -> Probe:
        """The first step of the first sample."""
        inputs, seeds = ({name: array[:1, :1] for name, array in part.items()} for part in (self.inputs, self.seeds))
        return Probe(self.params, inputs, {name: array[:1] for name, array in self.state.items()}, seeds)


class Engine:
    """Runs a derivation's programs on samples, one at a time."""

    def __init__(self, derivation: Derivation, sizes: Sizes) -> None:
        self.derivation = derivation
        self.sizes = dict(sizes)
        self._codes: dict[Expr, CodeType] = {}
        self._shapes: dict[Symbol, tuple[int, ...]] = {}
        self._before = {name: delta(previous(name)).name for name in derivation.cell.states}
        self._deltas = {symbol.name: delta(symbol) for symbol in derivation.fixed}

    def forward(self, probe: Probe) -> list[list[dict[str, Array]]]:
        """Return the values of every step, by time and then by sample."""
        cell = self.derivation.cell
        steps, batch = _lead(probe)
        known = self._run(self.derivation.prologue, dict(probe.params))
        now = [{name: probe.state[name][b] for name in cell.states} for b in range(batch)]
        trace = []
        for t in range(steps):
            row = []
            for b in range(batch):
                values = dict(known)
                values |= {name: probe.inputs[name][t][b] for name in (*cell.inputs, *cell.indices)}
                values |= {f"{name}_prev": now[b][name] for name in cell.states}
                row.append(self._run(self.derivation.forward, values))
                now[b] = {name: row[b][name] for name in cell.states}
            trace.append(row)
        return trace

    def states(self, probe: Probe) -> dict[str, Array]:
        """Return state -> (T, B, ·), the values after each step."""
        trace = self.forward(probe)
        return {name: np.array([[v[name] for v in row] for row in trace]) for name in self.derivation.cell.states}

    def backward(
        self,
        probe: Probe,
        trace: list[list[dict[str, Array]]],
        change: Change = RIGHT,
        first: list[dict[str, Array]] | None = None,
    ) -> dict[str, dict[str, Array]]:
        """Return {"params", "inputs", "state"} -> name -> gradient; `first` gets each sample's values of step t = 1."""
        cell, fixed = self.derivation.cell, self.derivation.fixed
        steps, batch = _lead(probe)
        sums: dict[str, Array] = {symbol.name: 0.0 for symbol in fixed}
        inputs: dict[str, Array] = {name: [[None] * batch for _ in range(steps)] for name in cell.inputs}
        state: dict[str, Array] = {name: [None] * batch for name in cell.states}
        program = self._changed(change)
        shifted = any(NEXT in s.name or BEFORE in s.name for e in change.steps.values() for s in e.atoms(Symbol))
        for b in range(batch):
            back: dict[str, Array] = dict.fromkeys(cell.states, 0.0)
            for t in reversed(range(steps)):
                values = dict(trace[t][b])
                if shifted:
                    values |= self._neighbours(trace, t, b)
                if t == 0:
                    for name, kind in change.start.items():
                        wrapped = trace[steps - 1][b][name]
                        values[f"{name}_prev"] = wrapped if kind == "wrapped" else 0 * wrapped
                silent = change.kept == "last" and t < steps - 1
                for name in cell.states:
                    arrived = 0.0 if name in change.silent or silent else probe.seeds[name][t][b]
                    carried = 0.0 if name in change.uncarried else back[name]
                    if change.window is not None and (steps - 1 - t) % change.window == 0:
                        carried = 0.0
                    values[f"incoming_{name}"] = arrived + carried
                values = self._run(program, values)
                back = {name: values[before] for name, before in self._before.items()}
                for name in inputs:
                    inputs[name][t][b] = values[f"delta_{name}"]
                for name, symbol in self._deltas.items():
                    only = change.only.get(symbol)
                    if only is None or t == (steps - 1 if only == "last" else 0):
                        sums[name] = sums[name] + values[f"delta_{name}"]
            for name in cell.states:
                state[name][b] = back[name]
            if first is not None:
                first.append(values)
        params = {name: sums[name] * change.scaled.get(delta(Symbol(name)), 1.0) for name in cell.params}
        if self.derivation.prologue.steps:
            known = self._run(self.derivation.prologue, dict(probe.params))
            known |= {incoming(value).name: sums[value.name] for value in self.derivation.prologue.outputs}
            last = self._run(self.derivation.epilogue, known)
            params = {name: params[name] + last.get(f"delta_{name}", 0.0) for name in params}
        return {
            "params": params,
            "inputs": {name: np.array(value) for name, value in inputs.items()},
            "state": {name: np.array(value) for name, value in state.items()},
        }

    def _neighbours(self, trace: list[list[dict[str, Array]]], t: int, b: int) -> dict[str, Array]:
        """Return the values of the steps after and before; past the ends Python's index wraps round or stays."""
        after, before = trace[min(t + 1, len(trace) - 1)][b], trace[t - 1][b]
        return {f"{k}{NEXT}": v for k, v in after.items()} | {f"{k}{BEFORE}": v for k, v in before.items()}

    def _changed(self, change: Change) -> list[tuple[str, CodeType, tuple[int, ...]]]:
        program = self.derivation.backward
        return [self._step(s.target, change.steps.get(s.target, s.expr), program) for s in program.steps]

    def _run(self, program: Program | list[tuple[str, CodeType, tuple[int, ...]]], values: Any) -> Any:
        steps = program if isinstance(program, list) else [self._step(s.target, s.expr, program) for s in program.steps]
        for target, code, shape in steps:
            value = eval(code, _scope(), values)  # of our own making: no text of a user's reaches it
            values[target] = value if np.shape(value) == shape else np.broadcast_to(value, shape)
        return values

    def _step(self, target: Symbol, expr: Expr, program: Program) -> tuple[str, CodeType, tuple[int, ...]]:
        if target not in self._shapes:
            self._shapes[target] = tuple(size(part, self.sizes) for part in program.shapes[target])
        if expr not in self._codes:
            self._codes[expr] = compile(written(expr, self.sizes), "<step>", "eval")
        return target.name, self._codes[expr], self._shapes[target]


def _lead(probe: Probe) -> tuple[int, int]:
    first = next(iter((*probe.seeds.values(), *probe.inputs.values())))
    return np.shape(first)[0], np.shape(first)[1]


def written(expr: Expr, sizes: Sizes) -> str:
    """Return an expression as Python on NumPy arrays of one sample.

    >>> written(1 - Symbol("h") ** 2, {})
    '(1.0 + (-1.0 * (h ** 2)))'
    """

    def inner(part: Expr) -> str:
        return written(part, sizes)

    if isinstance(expr, Symbol):
        return repr(float(size(expr, sizes))) if expr.is_integer else expr.name
    if isinstance(expr, sympy.Rational):
        return repr(float(expr))
    if isinstance(expr, Node):
        return _node(expr, inner, sizes)
    if isinstance(expr, Elementwise):
        return f"_f_{expr.func.__name__}({', '.join(map(inner, expr.args))})"
    if expr.is_NumberSymbol:
        return repr(float(expr))
    if isinstance(expr, sympy.Pow):
        exponent = int(expr.exp) if expr.exp.is_Integer else float(expr.exp)
        return f"({inner(expr.base)} ** {exponent})"
    sign = " + " if isinstance(expr, sympy.Add) else " * "
    return f"({sign.join(map(inner, expr.args))})"


NODES: dict[str, Callable[..., str]] = {
    "product": lambda a, b: f"({a} @ {b})",
    "transpose": lambda a: f"({a}).T",
    "outer": lambda a, b: f"np.multiply.outer({a}, {b})",
    "total": lambda a: f"np.sum({a})",
    "softmax": lambda a: f"_softmax({a})",
    "lookup": lambda a, w: f"({a})[int({w})]",
    "cross_entropy": lambda a, y: f"_cross_entropy({a}, {y})",
}


def _node(node: Node, inner: Callable[[Expr], str], sizes: Sizes) -> str:
    name, args = node.func.__name__, node.args
    if name in NODES:
        return NODES[name](*map(inner, args))
    if name == "concat":
        return f"np.concatenate([{', '.join(map(inner, args))}])"
    bounds = [size(part, sizes) for part in args[0 if name == "ones" else 2 if name == "scatter" else 1 :]]
    if name == "broadcast":
        return f"np.broadcast_to({inner(args[0])}, {tuple(bounds)})"
    if name == "ones":
        return f"np.ones({tuple(bounds)})"
    if name == "part":
        return f"({inner(args[0])})[..., {bounds[0]}:{bounds[1]}]"
    if name == "entry":
        return f"({inner(args[0])})[..., {bounds[0]}]"
    if name == "pad":
        return f"_pad({inner(args[0])}, {bounds[0]}, {bounds[1]})"
    if name == "scatter":
        return f"_scatter({inner(args[0])}, int({inner(args[1])}), {bounds[0]})"
    raise TypeError(f"no NumPy is known for {name}")


def _pad(inner: Array, start: int, length: int) -> Array:
    padded = np.zeros((*inner.shape[:-1], length), np.result_type(inner))
    padded[..., start : start + inner.shape[-1]] = inner
    return padded


def _scatter(row: Array, index: int, length: int) -> Array:
    spread = np.zeros((length, *np.shape(row)), np.result_type(row, float))
    spread[index] = row
    return spread


def _softmax(a: Array) -> Array:
    grown = np.exp(a - np.max(np.real(a)))
    return grown / grown.sum()


def _cross_entropy(a: Array, target: Array) -> Array:
    shift = np.max(np.real(a))
    return shift + np.log(np.sum(np.exp(a - shift))) - np.sum(target * a)


@cache
def _scope() -> dict[str, Any]:
    """Return what the compiled steps may call."""
    scope: dict[str, Any] = {"np": np, "_pad": _pad, "_scatter": _scatter}
    scope |= {"_softmax": _softmax, "_cross_entropy": _cross_entropy}
    for name, function in FUNCTIONS.items():
        names = sympy.symbols(f"a:{len(function.rule.slopes)}", real=True)
        scope[f"_f_{name}"] = sympy.lambdify(names, function.rule.definition(*names), [KINKS, "scipy"])
    return scope
