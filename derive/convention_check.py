"""The proof of a notation: each of its equations, entry by entry and exactly, against the derivation as given.

All quantities that an equation reads are free symbols, for each time and each sample their own. What it gives in
column form, carried over into the layout, and what the rewritten equation gives are compared as polynomials.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import sympy
from sympy import Expr, Integer, MatrixExpr, MatrixSymbol, Symbol
from sympy.core.function import AppliedUndef

from .cell import Cell, previous
from .convention_layout import BatchLayout
from .derivation import Derivation
from .errors import Error
from .expansion import Leaves
from .interpret import Array, evaluate, matrix, size
from .linear import Shape
from .polynomials import MOST_TERMS, POINTS, FiniteField, PolynomialRing, Terms, generators
from .program import quantities
from .proof import Check, small_sizes
from .through_time import LENGTH, TIME
from .written import added, rebuilt

if TYPE_CHECKING:
    from .convention import Restated

STEPS = 3
NOW = 2  # the time at which a recursion is compared: there is a step before it and one after
Values = dict[Symbol, Array]


@dataclass(frozen=True)
class Agreement:
    """Whether a notation says the same as the derivation as given.

    Attributes:
        cell: name of the cell.
        layout: of the notation.
        sizes: dimension -> size used.
        samples: how many samples a batch had; 1 in other layouts.
        steps: over how many steps a sum over time was written out.
        equations: each equation of the programs, each recursion and gradient, and in rows each Jacobian block, against
            its column form.
        functions: each state's next value of the fused and renamed cell, against that of the cell as given.
        seconds: time spent.
    """

    cell: str
    layout: str
    sizes: Mapping[str, int]
    samples: int
    steps: int
    equations: tuple[Check, ...]
    functions: tuple[Check, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether everything agrees exactly."""
        return all(check.holds for check in (*self.equations, *self.functions))

    @property
    def entries(self) -> int:
        """How many scalar entries were compared."""
        return sum(check.entries for check in (*self.equations, *self.functions))

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} = {number}" for name, number in {**self.sizes, "T": self.steps}.items())
        head = f"{self.entries} entries of {len(self.equations)} equations in {self.layout} layout at {sizes}"
        wrong = [check.counterexample for check in (*self.equations, *self.functions) if not check.holds]
        if wrong:
            return "\n  ".join([f"Not the same: {head}", *wrong])
        return f"The same: {head} ({self.seconds:.1f} s)"


def agreement(restated: Restated) -> Agreement:
    """Compare every equation of a restated derivation with the derivation as given.

    In a batch of two samples, parameters' gradients are compared with the sum of those of each sample alone; gradients
    are compared as sums over three steps. The fused and renamed cell is compared with the cell as given by carrying out
    both sets of equations, with each stacked parameter made of its blocks.

    >>> from .cell import load
    >>> from .convention import Notation, restate
    >>> from .derivation import derive
    >>> restate(derive(load("lstm")), Notation(layout="row", fuse=True)).agreement.holds
    True
    """
    start = time.perf_counter()
    layout, cell = restated.layout, restated.derivation.cell
    sizes = small_sizes(cell)
    samples = sizes[layout.size.name] if isinstance(layout, BatchLayout) else 1
    values = _Values(restated, sizes, samples)
    equations = (*(values.check(side) for side in _sides(restated)), *values.jacobians(restated.column))
    functions = _same_functions(restated)
    seconds = time.perf_counter() - start
    return Agreement(cell.name, layout.name, sizes, samples, STEPS, equations, functions, seconds)


@dataclass(frozen=True)
class _Side:
    """`target = expr` in column form and in the layout.

    Attributes:
        name: of the equation.
        target: what is assigned; its shape is that of both sides.
        column, other: the right sides.
        summed: whether a parameter's value is the sum over the samples.
    """

    name: str
    target: Symbol
    column: Expr
    other: Expr
    summed: bool = False


def _sides(restated: Restated) -> Iterator[_Side]:
    column, other = restated.column, restated.derivation
    for one, same in zip(column.cell.equations, other.cell.equations, strict=True):
        yield _Side(str(one.target), one.target, one.written, same.written)
    for kind in ("prologue", "forward", "backward", "epilogue"):
        steps = zip(getattr(column, kind).steps, getattr(other, kind).steps, strict=True)
        for one, same in steps:
            yield _Side(str(one.target), one.target, one.expr, same.expr, kind == "backward")
    for name, expr in column.recursion.items():
        yield _Side(f"delta_{name}", Symbol(f"delta_{name}"), expr, other.recursion[name])
    for name, expr in column.gradients.items():
        yield _Side(f"gradient of {name}", Symbol(f"delta_{name}"), expr, other.gradients[name], True)


class _Values:
    """Symbols for the entries of everything that equations read, at each time and for each sample."""

    def __init__(self, restated: Restated, sizes: Mapping[str, int], samples: int) -> None:
        self.layout = restated.layout
        self.cell = restated.column.cell
        self.sizes = sizes
        self.samples = samples
        self.leaves = Leaves()

    def check(self, side: _Side) -> Check:
        """Compare both sides entry by entry."""
        column, other = _at_times(side.column), _at_times(side.other)
        shape = _numbers(self.layout.column_shape(side.target), self.sizes)
        drawn = [self._drawn(column, sample) for sample in range(self.samples)]
        given = [np.broadcast_to(self._evaluated(column, values), shape) for values in drawn]
        expected = self.layout.stored(side.target, given, side.summed)
        stored = {s: self.layout.stored(_untimed(s), [values[s] for values in drawn]) for s in drawn[0]}
        shape = _numbers(self.layout.shape(side.target), self.sizes)
        try:
            found = np.broadcast_to(self._evaluated(other, stored), shape)
        except (ValueError, KeyError) as error:
            return Check(side.name, expected.size, False, counterexample=f"{side.name}: {error}")
        return compared(side.name, found, expected)

    def jacobians(self, column: Derivation) -> Iterator[Check]:
        """Compare each Jacobian block that is a matrix with its form in the layout; a batch states them as columns."""
        for after, before in itertools.product(column.cell.states, repeat=2) if self.layout.name == "row" else ():
            try:
                block = column.jacobian(after, before)
            except Error:
                continue
            turned = self.layout.matrix(block)
            values = {Symbol(s.name): self._draw(s, 0) for s in self._atoms(block)}
            stored = {symbol: self.layout.stored(symbol, [array]) for symbol, array in values.items()}
            found, expected = (
                matrix(expr, known, self.sizes, self.leaves.apply, Integer(1))
                for expr, known in ((turned, stored), (block, values))
            )
            yield compared(f"d{after}/d{before}", found, expected.T)

    def _atoms(self, block: MatrixExpr) -> list[Symbol]:
        names = {symbol.name for symbol in quantities(block)} | {part.name for part in block.atoms(MatrixSymbol)}
        return [Symbol(name) for name in sorted(names)]

    def _evaluated(self, expr: Expr, values: Mapping[Symbol, Array]) -> Array:
        return evaluate(expr, values, self.sizes, self.leaves.apply, Integer(1))

    def _drawn(self, expr: Expr, sample: int) -> dict[Symbol, Array]:
        return {symbol: self._draw(symbol, sample) for symbol in quantities(expr)}

    def _draw(self, symbol: Symbol, sample: int) -> Array:
        base = self.layout.base(_untimed(symbol))
        if base in self.cell.indices:
            return np.asarray(sample % size(sympy.sympify(self.cell.indices[base]), self.sizes))
        name = symbol.name if base in self.layout.fixed else f"{symbol.name}'{sample}"
        return symbols_of(name, _numbers(self.layout.column_shape(Symbol(base)), self.sizes))


def _same_functions(restated: Restated) -> tuple[Check, ...]:
    """Carry out one step of the cell as given and of the fused and renamed one, on the same symbols."""
    cell, other, names = restated.given.cell, restated.column.cell, restated.notation.names
    if cell is other:
        return ()
    sizes, leaves = small_sizes(cell), Leaves()
    assigned = {line.target for line in cell.equations}
    states = {Symbol(name) for name in cell.states}
    given = {s: symbols_of(s.name, _numbers(shape, sizes)) for s, shape in cell.shapes.items() if s not in assigned}
    given |= {Symbol(name): np.asarray(0) for name in cell.indices}
    new = {Symbol(names.get(s.name, s.name)): array for s, array in given.items()}
    new |= {previous(names.get(state.name, state.name)): given[previous(state.name)] for state in states}
    for name, grid in restated.blocks.items():
        rows = [np.concatenate([given[block] for block in row], axis=-1) for row in grid]
        new[Symbol(name)] = np.concatenate(rows)
    before, after = _carried_out(cell, given, sizes, leaves), _carried_out(other, new, sizes, leaves)
    return tuple(
        compared(state, after[Symbol(names.get(state, state))], before[Symbol(state)]) for state in cell.states
    )


def _carried_out(cell: Cell, values: Mapping[Symbol, Array], sizes: Mapping[str, int], leaves: Leaves) -> Values:
    known = dict(values)
    for line in cell.equations:
        value = evaluate(line.written, known, sizes, leaves.apply, Integer(1))
        known[line.target] = np.broadcast_to(value, _numbers(cell.shapes[line.target], sizes))
    return known


def symbols_of(name: str, shape: tuple[int, ...]) -> Array:
    """Return an array with a symbol for each entry.

    >>> symbols_of("v", (2,)).tolist()
    [v[0], v[1]]
    """
    array = np.empty(shape, dtype=object)
    for index in np.ndindex(shape):
        array[index] = Symbol(f"{name}{list(index) if index else ''}")
    return array


def compared(name: str, found: Array, expected: Array) -> Check:
    """Compare two arrays of expressions as polynomials in their symbols and in the values of their functions.

    >>> x, y = sympy.symbols("x y")
    >>> compared("v", np.array([(x + y) ** 2]), np.array([x**2 + 2 * x * y + y**2])).holds
    True
    """
    if found.shape != expected.shape:
        return Check(name, expected.size, False, counterexample=f"{name}: {found.shape} instead of {expected.shape}")
    pairs = {i: (sympy.sympify(found[i]), sympy.sympify(expected[i])) for i in np.ndindex(expected.shape)}
    atoms, powers = generators([expr for pair in pairs.values() for expr in pair])
    ring, terms, methods = PolynomialRing(atoms, powers), Terms(), {"polynomial"}
    fields = [FiniteField(seed) for seed in range(POINTS)]
    for index, (one, other) in pairs.items():
        if max(terms.bound(one), terms.bound(other)) <= MOST_TERMS and ring.convert(one) == ring.convert(other):
            continue
        methods.add("field")
        if not all(field.equal(one, other) for field in fields):
            place = f"{name}{list(index) if index else ''}"
            return Check(name, len(pairs), False, counterexample=f"{place}: {one} instead of {other}")
    return Check(name, len(pairs), True, max(methods, key=["polynomial", "field"].index))


def _at_times(expr: Expr) -> Expr:
    """Write sums over time out, and give each quantity at a time a symbol of its own."""

    def change(part: Expr) -> Expr | None:
        if isinstance(part, sympy.Sum):
            variable, first, last = part.limits[0]
            times = range(int(first), int(last.xreplace({LENGTH: Integer(STEPS)})) + 1)
            return added(*(_at_times(_with_time(part.function, variable, time)) for time in times))
        if isinstance(part, AppliedUndef):
            return Symbol(f"{part.func.__name__}@{part.args[0].xreplace({TIME: Integer(NOW)})}")
        return None

    return rebuilt(expr, change)


def _with_time(expr: Expr, variable: Symbol, time: int) -> Expr:
    def change(part: Expr) -> Expr | None:
        return part.func(part.args[0].xreplace({variable: Integer(time)})) if isinstance(part, AppliedUndef) else None

    return rebuilt(expr, change)


def _untimed(symbol: Symbol) -> Symbol:
    return Symbol(symbol.name.partition("@")[0])


def _numbers(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(size(part, sizes) for part in shape)
