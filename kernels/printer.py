"""Expression -> Python for one entry of an array: `f[t, s, j0] * c_prev[t, s, j0]`."""

from __future__ import annotations

from collections.abc import Mapping

from sympy import Expr, NumberSymbol, Rational, Symbol

from ..derive.functions import Elementwise
from ..derive.linear import Shapes, shape_of
from ..derive.notation import ATOM, POWER, PRODUCT, SUM, Piece, Printer, spell
from .schedule import BATCH, FIXED, TIME

LEADING = {FIXED: (), TIME: ("t", "s"), BATCH: ("s",)}
SHADOWED = {"abs": "absolute", "max": "maximum", "min": "minimum"}


def function_name(name: str) -> str:
    """Return the name under which generated code defines a function of the table.

    >>> function_name("tanh"), function_name("max")
    ('tanh', 'maximum')
    """
    return SHADOWED.get(name, name)


class EntryPrinter(Printer):
    """Prints the entry of an expression at given indices; transposes, slices and the like become other indices."""

    def __init__(
        self, names: Mapping[Symbol, str], sizes: Mapping[str, str], shapes: Shapes, kept: Mapping[Symbol, str]
    ):
        self.names = names
        self.sizes = sizes
        self.shapes = shapes
        self.kept = kept
        self.indices: tuple[str, ...] = ()

    def entry_of(self, expr: Expr, indices: tuple[str, ...], at_least: int = SUM) -> str:
        """Return Python for `expr` at `indices`."""
        before, self.indices = self.indices, indices
        text = self.show(expr, at_least)
        self.indices = before
        return text

    def place(self, symbol: Symbol, indices: tuple[str, ...]) -> str:
        """Return Python for one entry of a kept value."""
        rank = len(self.shapes[symbol])
        own = indices[len(indices) - rank :]
        where = ", ".join((*LEADING[self.kept[symbol]], *own))
        return f"{self.names[symbol]}[{where}]" if where else f"{self.names[symbol]}[()]"

    def size(self, size: Expr) -> str:
        """Return Python for a dimension."""
        return spell(size.xreplace({s: Symbol(self.sizes[s.name]) for s in size.atoms(Symbol)}))

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
        return self.call(function_name(expr.rule.name), *expr.args)

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

    def shifted(self, index: str, by: Expr) -> str:
        """Return Python for an index moved by a size."""
        if by == 0:
            return index
        return f"{index} - ({self.size(-by)})" if by.could_extract_minus_sign() else f"{index} + {self.size(by)}"
