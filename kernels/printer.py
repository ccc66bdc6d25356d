"""Expression -> Python for one entry of an array, `f[row, j] * c_prev[row, j]`, or for a vector of entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sympy import Expr, NumberSymbol, Rational, Symbol

from ..derive.functions import Elementwise
from ..derive.linear import (
    Shapes,
    broadcast,
    concat,
    entry,
    lookup,
    ones,
    outer,
    pad,
    scatter,
    shape_of,
    total,
    transpose,
)
from ..derive.notation import ATOM, POWER, PRODUCT, SUM, Piece, Printer, spell
from .instructions import BATCH, FIXED, PASSING, TANGENT_BATCH, TANGENT_TIME, TIME
from .stacks import Place

ROW = {FIXED: "0", TIME: "row", PASSING: "row", BATCH: "s", TANGENT_TIME: "moved_row", TANGENT_BATCH: "moved"}
SHADOWED = {"abs": "absolute", "max": "maximum", "min": "minimum"}
NOT_IN_VECTORS = (transpose, concat, pad, total, scatter)


def function_name(name: str) -> str:
    """Return the name under which generated code calls a function of the table.

    >>> function_name("tanh"), function_name("max")
    ('tanh', 'maximum')
    """
    return SHADOWED.get(name, name)


def goes_in_vectors(expr: Expr, shapes: Shapes) -> bool:
    """Return whether neighbouring entries of an expression read neighbouring entries of what they are made of."""
    if isinstance(expr, NOT_IN_VECTORS):
        return False
    if isinstance(expr, lookup):
        return isinstance(expr.args[0], Symbol)
    if isinstance(expr, outer):
        return not expr.args[0].has(Elementwise, concat, pad, total) and goes_in_vectors(expr.args[1], shapes)
    if isinstance(expr, broadcast | entry):
        return not expr.has(Elementwise, concat, pad, total)
    if isinstance(expr, ones):
        return True
    if isinstance(expr, Elementwise) and not shape_of(expr, shapes):
        return False
    if expr.is_Pow and not shape_of(expr, shapes) and not expr.exp.is_integer:
        return False
    return all(goes_in_vectors(operand, shapes) for operand in expr.args if not isinstance(expr, Symbol))


def reads_neighbours(expr: Expr, shapes: Shapes) -> bool:
    """Return whether neighbouring entries differ: else an expression is one number where vectors are printed."""
    if isinstance(expr, broadcast | entry | ones):
        return False
    if isinstance(expr, outer):
        return reads_neighbours(expr.args[1], shapes)
    if isinstance(expr, Symbol | lookup):
        return bool(shape_of(expr, shapes))
    return any(reads_neighbours(operand, shapes) for operand in expr.args)


class EntryPrinter(Printer):
    """Prints the entry of an expression at given indices; transposes, slices and the like become other indices."""

    def __init__(
        self,
        arrays: Mapping[Symbol, str],
        sizes: Mapping[str, str],
        shapes: Shapes,
        kept: Mapping[Symbol, str],
        places: Mapping[Symbol, Place],
    ):
        self.arrays = arrays
        self.sizes = sizes
        self.shapes = shapes
        self.kept = kept
        self.places = places
        self.indices: tuple[str, ...] = ()
        self.scalar_functions: dict[str, type[Elementwise]] = {}

    def entry_of(self, expr: Expr, indices: tuple[str, ...], at_least: int = SUM) -> str:
        """Return Python for `expr` at `indices`."""
        before, self.indices = self.indices, indices
        text = self.show(expr, at_least)
        self.indices = before
        return text

    def where(self, symbol: Symbol, indices: tuple[str, ...]) -> tuple[str, str, str]:
        """Return the array, the row and the column of one entry."""
        shape = self.shapes[symbol]
        own = indices[len(indices) - len(shape) :]
        start = self.places[symbol].start
        if self.kept[symbol] == FIXED and len(shape) == 2:
            row = own[0] if start == 0 else f"{self.size(start)} + {own[0]}"
            return self.arrays[symbol], row, own[1]
        column = own[-1] if own else "0"
        if len(own) == 2 and own[0] != "0":
            column = f"{own[0]} * {self.size_as_factor(shape[1])} + {column}"
        column = column if start == 0 else f"{self.size(start)} + {column}"
        return self.arrays[symbol], ROW[self.kept[symbol]], column

    def place(self, symbol: Symbol, indices: tuple[str, ...]) -> str:
        """Return Python for one entry of a kept value."""
        array, row, column = self.where(symbol, indices)
        return f"{array}[{row}, {column}]"

    def size(self, size: Expr) -> str:
        """Return Python for a dimension."""
        return spell(size.xreplace({s: Symbol(self.sizes[s.name]) for s in size.atoms(Symbol)}))

    def size_as_factor(self, size: Expr) -> str:
        """Return Python for a dimension that is multiplied."""
        return self.size(size) if size.is_Atom else f"({self.size(size)})"

    def symbol(self, symbol: Symbol) -> Piece:
        return (self.sizes[symbol.name] if symbol.is_integer else self.place(symbol, self.indices)), ATOM

    def number(self, number: Rational) -> Piece:
        if number.q == 1:
            return (f"{number.p}.0", ATOM) if number >= 0 else (f"-{-number.p}.0", PRODUCT)
        return super().number(number)

    def power(self, base: Expr, exponent: Expr) -> Piece:
        if exponent == Rational(1, 2):
            return f"math.sqrt({self.show(base)})", ATOM
        if exponent == 2:
            text = self.show(base, POWER)
            return f"{text} * {text}", PRODUCT
        power = str(exponent.p) if exponent.q == 1 else f"({exponent.p} / {exponent.q})"
        return f"{self.show(base, ATOM)}**{power}", POWER

    def function(self, expr: Elementwise) -> Piece:
        self.scalar_functions[expr.rule.name] = expr.func
        return self.call(f"{function_name(expr.rule.name)}_of_number", *expr.args)

    def constant(self, number: NumberSymbol) -> Piece:
        return repr(float(number)), ATOM

    def transpose(self, matrix: Expr) -> Piece:
        return self.entry_of(matrix, self.indices[::-1], ATOM), ATOM

    def outer(self, left: Expr, right: Expr) -> Piece:
        row, column = self.indices[-2:]
        return f"{self.entry_of(left, (row,), POWER)} * {self.entry_of(right, (column,), POWER)}", PRODUCT

    def broadcast(self, number: Expr, *sizes: Expr) -> Piece:
        return self.entry_of(number, (), ATOM), ATOM

    def ones(self, *sizes: Expr) -> Piece:
        return "1.0", ATOM

    def concat(self, *pieces: Expr) -> Piece:
        index = self.indices[-1]
        text, start = "", Rational(0)
        for piece in pieces[:-1]:
            stop = start + shape_of(piece, self.shapes)[0]
            text += f"{self.entry_of(piece, (self.shifted(index, -start),))} if {index} < {self.size(stop)} else "
            start = stop
        return f"({text}{self.entry_of(pieces[-1], (self.shifted(index, -start),))})", ATOM

    def part(self, vector: Expr, start: Expr, stop: Expr) -> Piece:
        return self.entry_of(vector, (self.shifted(self.indices[-1], start),), ATOM), ATOM

    def pad(self, vector: Expr, start: Expr, size: Expr) -> Piece:
        index = self.indices[-1]
        stop = start + shape_of(vector, self.shapes)[0]
        inner = self.entry_of(vector, (self.shifted(index, -start),))
        return f"({inner} if {self.size(start)} <= {index} < {self.size(stop)} else 0.0)", ATOM

    def entry(self, vector: Expr, index: Expr) -> Piece:
        return self.entry_of(vector, (self.size(index),), ATOM), ATOM

    def lookup(self, table: Expr, index: Symbol) -> Piece:
        return self.entry_of(table, (self.picked(index), *self.indices[-1:][: self.rank(table) - 1]), ATOM), ATOM

    def scatter(self, row: Expr, index: Symbol, size: Expr) -> Piece:
        place, rest = self.indices[-1 - self.rank(row)], self.indices[len(self.indices) - self.rank(row) :]
        return f"({self.entry_of(row, rest)} if {place} == {self.picked(index)} else 0.0)", ATOM

    def picked(self, index: Symbol) -> str:
        """Return Python for an index input: it is kept as a number of the kernel's dtype."""
        return f"int({self.place(index, ())})"

    def rank(self, expr: Expr) -> int:
        return len(shape_of(expr, self.shapes))

    def shifted(self, index: str, by: Expr) -> str:
        """Return Python for an index moved by a size."""
        if by == 0:
            return index
        return f"{index} - ({self.size(-by)})" if by.could_extract_minus_sign() else f"{index} + {self.size(by)}"


class VectorPrinter(EntryPrinter):
    """Prints a vector of neighbouring entries of an expression, from the one at given indices on.

    `local` gives the name of a vector that is in a local variable, or None.
    """

    def __init__(self, scalar: EntryPrinter, local: Callable[[Symbol], str | None]):
        super().__init__(scalar.arrays, scalar.sizes, scalar.shapes, scalar.kept, scalar.places)
        self.scalar = scalar
        self.local = local
        self.functions: dict[str, type[Elementwise]] = {}
        self.powers: set[Rational] = set()

    def load(self, symbol: Symbol, indices: tuple[str, ...]) -> str:
        """Return Python that loads a vector."""
        return f"load({', '.join(self.where(symbol, indices))}, left)"

    def symbol(self, symbol: Symbol) -> Piece:
        if symbol.is_integer:
            return self.sizes[symbol.name], ATOM
        if not self.shapes[symbol]:
            return self.place(symbol, ()), ATOM
        plain = self.indices in (("j",), ("j0", "j")) and len(self.indices) == len(self.shapes[symbol])
        return (self.local(symbol) if plain else None) or self.load(symbol, self.indices), ATOM

    def power(self, base: Expr, exponent: Expr) -> Piece:
        if not shape_of(base, self.shapes):
            return self.scalar.entry_of(base**exponent, (), ATOM), ATOM
        if exponent == Rational(1, 2):
            return f"sqrt({self.show(base)})", ATOM
        if exponent == 2:
            text = self.show(base, POWER)
            return f"{text} * {text}", PRODUCT
        self.powers.add(exponent)
        return f"{power_name(exponent)}({self.show(base)})", ATOM

    def function(self, expr: Elementwise) -> Piece:
        self.functions[expr.rule.name] = expr.func
        return self.call(function_name(expr.rule.name), *expr.args)

    def broadcast(self, number: Expr, *sizes: Expr) -> Piece:
        return self.scalar.entry_of(number, (), ATOM), ATOM

    def entry(self, vector: Expr, index: Expr) -> Piece:
        return self.scalar.entry_of(vector, (self.size(index),), ATOM), ATOM

    def lookup(self, table: Expr, index: Symbol) -> Piece:
        if self.rank(table) == 1:
            return self.scalar.entry_of(table, (self.picked(index),), ATOM), ATOM
        return self.load(table, (self.picked(index), self.indices[-1])), ATOM

    def outer(self, left: Expr, right: Expr) -> Piece:
        row, column = self.indices[-2:]
        return f"{self.scalar.entry_of(left, (row,), POWER)} * {self.entry_of(right, (column,), POWER)}", PRODUCT


def power_name(exponent: Rational) -> str:
    """Return the name of the function that raises to a power.

    >>> power_name(Rational(3)), power_name(Rational(3, 2))
    ('power_3', 'power_3_2')
    """
    return f"power_{exponent.p}" if exponent.q == 1 else f"power_{exponent.p}_{exponent.q}"
