"""A loss expanded to scalars over a few steps, its gradients by `sympy.diff`, and the derived ones beside them.

Repeated parts of the expanded loss are shared: an activation's value is one leaf, `Leaf(k)`, which knows the function
and the argument that it stands for, so that `sympy.diff` goes through it but does the work only once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import sympy
from sympy import Dummy, Expr, Symbol

from .functions import Elementwise
from .interpret import Array, evaluate, run, size
from .linear import Shape
from .model_derivation import ModelDerivation
from .polynomials import Terms
from .program import Program
from .rollout import Trace, Values, backward, forward
from .sizes import size_from

STEPS = 3
ZERO, ONE = sympy.Integer(0), sympy.Integer(1)
MOST_EXPANDED = 1000
Entries = dict[tuple[int, ...], tuple[Expr, Expr]]
_numbers = count()


class Leaf(sympy.Function):
    """A computed scalar; `leaves` knows what it stands for."""

    leaves: Leaves

    @classmethod
    def eval(cls, *args: Expr) -> None:
        """Never evaluate by itself."""

    @property
    def free_symbols(self) -> set[Symbol]:
        return self.leaves.symbols[self]

    def _eval_derivative(self, symbol: Symbol) -> Expr:
        return self.leaves.derivative(self, symbol)


class Leaves:
    """The leaves of one expansion: equal function and arguments give the same leaf."""

    def __init__(self) -> None:
        self.made: dict[tuple[type[Elementwise] | None, tuple[Expr, ...]], Leaf] = {}
        self.symbols: dict[Leaf, set[Symbol]] = {}
        self.stands_for: dict[Leaf, tuple[type[Elementwise] | None, tuple[Expr, ...]]] = {}
        self.derivatives: dict[tuple[Leaf, Symbol], Expr] = {}
        self.partials: dict[Leaf, list[tuple[Expr, Expr]]] = {}
        self.tangents: dict[Expr, Expr] = {}
        self.terms = Terms()
        self.kind: type[Leaf] = type("Leaf", (Leaf,), {"leaves": self})

    def apply(self, function: Any, *arguments: Expr) -> Expr:
        """Return the leaf that stands for `function(*arguments)`, or for `arguments[0]` where the function is None.

        Powers and numbers such as π, which the interpreter passes here too, stay what they are.
        """
        if isinstance(function, sympy.NumberSymbol):
            return function
        if function is sympy.Pow:
            return sympy.Pow(*arguments)
        key = function, tuple(map(self._expanded, arguments))
        if key not in self.made:
            leaf = self.kind(next(_numbers))
            self.made[key] = leaf
            self.stands_for[leaf] = key
            self.symbols[leaf] = set().union(*(argument.free_symbols for argument in key[1]))
        return self.made[key]

    def _expanded(self, argument: Expr) -> Expr:
        return sympy.expand(argument) if self.terms.bound(argument) <= MOST_EXPANDED else argument

    def opened(self, expr: Expr) -> Expr:
        """Return what a leaf or a derivative is another name for, or the expression itself."""
        function, arguments = self.stands_for.get(expr, (expr, ()))
        return arguments[0] if function is None else self.tangent(expr)

    def tangent(self, expr: Expr) -> Expr:
        """Return the expression of a leaf's derivative for its name, or the expression itself."""
        return self.tangents.get(expr, expr)

    def derivative(self, leaf: Leaf, symbol: Symbol) -> Expr:
        """Return ∂leaf/∂symbol under a name of its own, so that repeated parts stay shared."""
        if symbol not in self.symbols[leaf]:
            return sympy.Integer(0)
        if (leaf, symbol) not in self.derivatives:
            terms = []
            for atom, partial in self._partials(leaf):
                inner = self.derivative(atom, symbol) if isinstance(atom, Leaf) else sympy.Integer(atom == symbol)
                if inner != 0:
                    terms.append(sympy.Mul(partial, inner, evaluate=False))
            name = Dummy()
            self.tangents[name] = sympy.Add(*terms, evaluate=False)
            self.derivatives[leaf, symbol] = name if terms else sympy.Integer(0)
        return self.derivatives[leaf, symbol]

    def _partials(self, leaf: Leaf) -> list[tuple[Expr, Expr]]:
        """Return (atom, ∂leaf/∂atom) for each symbol and leaf in what a leaf stands for."""
        if leaf not in self.partials:
            function, arguments = self.stands_for[leaf]
            slopes = [sympy.Integer(1)] if function is None else self._slopes(function, arguments, leaf)
            self.partials[leaf] = []
            for slope, part in zip(slopes, arguments, strict=True):
                names = {atom: Dummy() for atom in sorted(part.atoms(Symbol, Leaf), key=str)}
                atoms = {name: atom for atom, name in names.items()}
                hidden = part.xreplace(names)
                for name, atom in atoms.items():
                    self.partials[leaf].append((atom, slope * sympy.diff(hidden, name).xreplace(atoms)))
        return self.partials[leaf]

    def _slopes(self, function: type[Elementwise], arguments: tuple[Expr, ...], value: Leaf) -> list[Expr]:
        stated = [sympy.sympify(slope(*arguments, value)) for slope in function.rule.slopes]
        return [s.replace(lambda e: isinstance(e, Elementwise), lambda e: self.apply(e.func, *e.args)) for s in stated]


class Expansion:
    """The expanded loss of a model, and its gradients from both sides.

    Args:
        derivation: of the model; that of a cell is `derivation_over_time`.
        sizes: dimension -> number, the axes of time among them.
    """

    def __init__(self, derivation: ModelDerivation, sizes: Mapping[str, int]) -> None:
        self.derivation = derivation
        self.model = derivation.model
        self.sizes = sizes
        self.leaves = Leaves()
        self.sources = {name: self._symbols(name) for name in (*self.model.params, *self.model.inputs)}
        self.given = {**self.sources, **self._indices()}
        self.named = {equation.target for block in self.model.blocks for equation in block.cell.equations}
        self.outside: dict[str, list[Array]] = {}
        self.loss = self._expand()

    def pairs(self) -> dict[str, Entries]:
        """Return, for each quantity, index -> (derived gradient, `sympy.diff` of the loss)."""
        derived = self._derived()
        return {
            name: {
                index: (sympy.sympify(derived[name][index]), sympy.diff(self.loss, array[index]))
                for index in np.ndindex(array.shape)
            }
            for name, array in self.sources.items()
        }

    def _symbols(self, name: str) -> Array:
        return symbols_of(name, self._shape(self.model.whole_shape(name)))

    def _shape(self, shape: Shape) -> tuple[int, ...]:
        return tuple(size(part, self.sizes) for part in shape)

    def _indices(self) -> dict[str, Array]:
        """Choose the indices so that some come twice: their rows are added to more than once."""
        chosen = {}
        for place, (name, (*_, entries)) in enumerate(self.model.indices.items()):
            shape = self._shape(self.model.whole_shape(name))
            steps = np.arange(int(np.prod(shape, dtype=int))).reshape(shape)
            chosen[name] = (place + steps % 2) % size(size_from(entries), self.sizes)
        return chosen

    def _expand(self) -> Expr:
        """Run the author's equations and return the loss."""

        def run_equations(number: int, values: Values) -> Values:
            known = dict(values)
            for equation in self.model.blocks[number].cell.equations:
                array = evaluate(equation.written, known, self.sizes, self.leaves.apply, ONE)
                shape = self._shape(self.model.shapes[equation.target])
                known[equation.target] = self._as_leaves(np.broadcast_to(array, shape))
            return known

        traces = forward(self.model, self.given, self.sizes, run_equations, ZERO)
        terms = []
        for block, trace in zip(self.model.blocks, traces, strict=True):
            terms += [step[Symbol(name)][()] for name in block.losses for step in trace]
        if not terms:
            self.outside = self._cotangents(traces[0])
            for name, arrays in self.outside.items():
                terms += [np.sum(g * values[Symbol(name)]) for g, values in zip(arrays, traces[0], strict=True)]
        return sympy.Add(*terms)

    def _cotangents(self, trace: Trace) -> dict[str, list[Array]]:
        """Return free symbols for the gradient of a loss, of which nothing is known, by each state of a cell."""
        return {
            name: [symbols_of(f"g_{name}_{time}", values[Symbol(name)].shape) for time, values in enumerate(trace, 1)]
            for name in self.model.blocks[0].cell.states
        }

    def _as_leaves(self, array: Array) -> Array:
        def leaf(entry: Expr) -> Expr:
            return entry if isinstance(entry, Leaf) or not entry.args else self.leaves.apply(None, entry)

        return np.asarray(np.frompyfunc(leaf, 1, 1)(array))

    def _derived(self) -> dict[str, Array]:
        """Run the derived programs on the same symbols."""
        parts = self.derivation.parts

        def run_forward(number: int, values: Values) -> Values:
            return self._execute(parts[number].forward, self._execute(parts[number].prologue, values))

        traces = forward(self.model, self.given, self.sizes, run_forward, ZERO)
        return backward(self.derivation, traces, self.sizes, self._execute, self.outside, ZERO)

    def _execute(self, program: Program, values: Values) -> Values:
        """Carry out a program; what the author gave a name becomes the leaf that it is in the expanded loss."""
        known = dict(values)
        for step in program.steps:
            known = run(replace(program, steps=(step,)), known, self.sizes, self.leaves.apply, ONE)
            if step.target in self.named:
                known[step.target] = self._as_leaves(known[step.target])
        return known


def symbols_of(name: str, shape: tuple[int, ...]) -> Array:
    """Return an array of symbols, such as W[0,1]."""
    array = np.empty(shape, dtype=object)
    for index in np.ndindex(shape):
        array[index] = Symbol(f"{name}[{','.join(map(str, index))}]")
    return array
