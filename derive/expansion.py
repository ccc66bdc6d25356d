"""A cell's loss expanded to scalars over a few steps, its gradients by `sympy.diff`, and the derived ones beside them.

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

from .adjoint import delta, incoming
from .cell import previous
from .derivation import Derivation
from .functions import Elementwise
from .interpret import Array, evaluate, run, size
from .polynomials import Terms
from .program import Program

STEPS = 3
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
                    terms.append(partial * inner)
            name = Dummy(f"d({leaf})/d({symbol})")
            self.tangents[name] = sympy.Add(*terms)
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
    """The expanded loss of a cell, and its gradients from both sides."""

    def __init__(self, derivation: Derivation, sizes: Mapping[str, int]) -> None:
        self.derivation = derivation
        self.sizes = sizes
        self.leaves = Leaves()
        cell = derivation.cell
        self.params = {Symbol(n): self._symbols(n, Symbol(n)) for n in cell.params}
        self.start = {n: self._symbols(f"{n}_0", Symbol(n)) for n in cell.states}
        steps = range(1, STEPS + 1)
        self.inputs = [{Symbol(n): self._symbols(f"{n}_{t}", Symbol(n)) for n in cell.inputs} for t in steps]
        self.weights = [{n: self._symbols(f"g_{n}_{t}", Symbol(n)) for n in cell.states} for t in steps]
        self.loss, self.before = self._expand()

    def pairs(self) -> dict[str, Entries]:
        """Return, for each quantity, index -> (derived gradient, `sympy.diff` of the loss)."""
        derived = self._derived()
        sources = {symbol.name: array for symbol, array in self.params.items()}
        sources |= {f"{name}_0": array for name, array in self.start.items()}
        for name in self.derivation.cell.inputs:
            sources[name] = np.stack([given[Symbol(name)] for given in self.inputs])
        return {
            name: {
                index: (sympy.sympify(derived[name][index]), sympy.diff(self.loss, array[index]))
                for index in np.ndindex(array.shape)
            }
            for name, array in sources.items()
        }

    def _symbols(self, name: str, like: Symbol) -> Array:
        shape = tuple(size(dimension, self.sizes) for dimension in self.derivation.cell.shapes[like])
        array = np.empty(shape, dtype=object)
        for index in np.ndindex(shape):
            array[index] = Symbol(f"{name}[{','.join(map(str, index))}]")
        return array

    def _expand(self) -> tuple[Expr, list[dict[Symbol, Array]]]:
        """Run the author's equations; return the loss and the states with which each step began."""
        loss = sympy.Integer(0)
        states = {previous(name): array for name, array in self.start.items()}
        before = []
        for given, weights in zip(self.inputs, self.weights, strict=True):
            before.append(states)
            values = {**self.params, **given, **states}
            for equation in self.derivation.cell.equations:
                array = evaluate(equation.written, values, self.sizes, self.leaves.apply, sympy.Integer(1))
                values[equation.target] = self._as_leaves(array)
            for name, weight in weights.items():
                loss += np.sum(weight * values[Symbol(name)])
            states = {previous(name): values[Symbol(name)] for name in weights}
        return loss, before

    def _as_leaves(self, array: Array) -> Array:
        def leaf(entry: Expr) -> Expr:
            return entry if isinstance(entry, Leaf) or not entry.args else self.leaves.apply(None, entry)

        return np.asarray(np.frompyfunc(leaf, 1, 1)(array))

    def _derived(self) -> dict[str, Array]:
        """Run the derived programs on the same symbols."""
        derivation, cell = self.derivation, self.derivation.cell
        once = self._run(derivation.prologue, self.params)
        fixed = (*self.params, *derivation.prologue.outputs)
        sums: dict[Symbol, Array] = {symbol: np.asarray(sympy.Integer(0)) for symbol in fixed}
        carried = {name: np.asarray(sympy.Integer(0)) for name in cell.states}
        given: dict[str, list[Array]] = {name: [] for name in cell.inputs}
        for time in reversed(range(STEPS)):
            values = self._run(derivation.forward, {**once, **self.inputs[time], **self.before[time]})
            values |= {incoming(Symbol(n)): self.weights[time][n] + carried[n] for n in cell.states}
            values = self._run(derivation.backward, values)
            carried = {name: values[delta(previous(name))] for name in cell.states}
            sums = {symbol: sums[symbol] + values[delta(symbol)] for symbol in fixed}
            for name in cell.inputs:
                given[name].insert(0, values[delta(Symbol(name))])
        last = self._run(derivation.epilogue, {**once, **{incoming(v): sums[v] for v in derivation.prologue.outputs}})
        gradients = {symbol.name: np.asarray(sums[symbol] + last.get(delta(symbol), 0)) for symbol in self.params}
        gradients |= {f"{name}_0": np.asarray(array) for name, array in carried.items()}
        return gradients | {name: np.stack(arrays) for name, arrays in given.items()}

    def _run(self, program: Program, values: Mapping[Symbol, Array]) -> dict[Symbol, Array]:
        named = {equation.target for equation in self.derivation.cell.equations}
        known = dict(values)
        for step in program.steps:
            known = run(replace(program, steps=(step,)), known, self.sizes, self.leaves.apply, sympy.Integer(1))
            if step.target in named:
                known[step.target] = self._as_leaves(known[step.target])
        return known
