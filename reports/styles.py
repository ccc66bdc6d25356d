"""How a notation looks: adjoints as δh, ∂ℒ/∂h or h̄, vectors as rows, capital letters for a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import sympy
from sympy import Expr, MatrixExpr, Symbol
from sympy.matrices.expressions import Transpose

from ..derive.jacobian import Column
from ..derive.linear import Shape
from ..derive.notation import ATOM, POWER, PRODUCT, Piece
from .dialects import Dialect
from .formula import TALL
from .names import ACCENTS, GREEK, taken_apart
from .typesetter import DELTA, INCOMING, PAST, Typesetter


@dataclass(frozen=True)
class Style:
    """What of a notation changes how expressions look.

    Attributes:
        layout: 'column', 'row' or 'batch'.
        adjoint: 'delta', 'partial' or 'bar'.
        capitals: name -> the name that is shown for its batch.
    """

    layout: str = "column"
    adjoint: str = "delta"
    capitals: Mapping[str, str] = field(default_factory=dict)


def capitals(shapes: Mapping[Symbol, Shape], fixed: Iterable[Symbol]) -> dict[str, str]:
    """Return capital names for the batches of vectors, but for those that would look like another name.

    >>> n, B = sympy.symbols("n B", integer=True)
    >>> capitals({Symbol("h"): (B, n), Symbol("c"): (B, n), Symbol("C"): (B, n), Symbol("b"): (n,)}, [Symbol("b")])
    {'h': 'H'}
    """
    still = {symbol.name for symbol in fixed}
    own = [s for s in shapes if not s.name.startswith((DELTA, INCOMING)) and not s.name.endswith(PAST)]
    taken = {taken_apart(symbol.name) for symbol in own}
    found: dict[str, str] = {}
    for symbol in own:
        name = symbol.name
        capital = capitalised(name)
        if name not in still and len(shapes[symbol]) == 2 and taken_apart(capital) not in taken:
            found[name] = capital
            taken.add(taken_apart(capital))
    return found


def capitalised(name: str) -> str:
    """Return a name with a capital letter, if there is one.

    >>> capitalised("h_tilde"), capitalised("gamma_h"), capitalised("alpha")
    ('H_tilde', 'Gamma_h', 'alpha')
    """
    base, *rest = name.split("_")
    capital = base[:1].upper() + base[1:]
    return "_".join([base if base in GREEK and capital not in GREEK else capital, *rest])


def barred(name: str) -> str:
    """Return a name whose base wears a bar over its other accents.

    >>> barred("W_xi"), barred("h_tilde")
    ('W_bar_xi', 'h_tilde_bar')
    """
    words = name.split("_")
    place = next((place for place, word in enumerate(words[1:], 1) if word not in ACCENTS), len(words))
    return "_".join([*words[:place], "bar", *words[place:]])


class Styled(Typesetter):
    """Typesets in a style."""

    def __init__(
        self, dialect: Dialect, shapes: Mapping[Symbol, Shape], fixed: tuple[Symbol, ...], style: Style
    ) -> None:
        super().__init__(dialect, shapes, fixed)
        self.style = style

    def name(self, name: str, time: Expr | None = None, above: str = "") -> str:
        start = name.removesuffix("_0")
        shown = self.style.capitals.get(start, start) + name[len(start) :]
        return super().name(self.style.capitals.get(name, shown), time, above)

    def adjoint(self, name: str, time: Expr | None, sent: bool = False) -> Piece:
        if self.style.adjoint == "delta":
            return super().adjoint(name, time, sent)
        arrow = self.sign("arrow") if sent else ""
        if self.style.adjoint == "partial":
            above = self.dialect.scripts(self.sign("partial").strip(), "", arrow) if sent else self.sign("partial")
            space = " " if self.dialect.name == "typst" or sent and self.dialect.name == "latex" else ""
            below = f"{self.sign('partial')}{space}{self.name(name, time)}"
            return self.dialect.fraction(f"{above}{space}{self.sign('loss')}", below) + TALL, POWER
        if name in self.upright:
            word = self.dialect.accent("bar", self.dialect.word(name))
            return self.dialect.scripts(word, "" if time is None else self.time(time), arrow), POWER if sent else ATOM
        return super().name(barred(self.style.capitals.get(name, name)), time, arrow), POWER if sent else ATOM

    def listed(self, pieces: list[str]) -> Piece:
        """Typeset pieces beside each other: [h, x]."""
        return self.dialect.brackets(self.sign("comma").join(pieces)), ATOM

    def concat(self, *pieces: Expr) -> Piece:
        return super().concat(*pieces) if self.style.layout == "column" else self.listed(list(map(self.show, pieces)))

    def pad(self, vector: Expr, start: Expr, size: Expr) -> Piece:
        if self.style.layout == "column":
            return super().pad(vector, start, size)
        zero, end = self.sign("zero"), start + self.shape(vector)[-1]
        return self.listed([zero] * (start != 0) + [self.show(vector)] + [zero] * (sympy.expand(size - end) != 0))

    def _place(self, vector: Expr, place: str) -> Piece:
        """Typeset entries of a vector, or of every row of a batch."""
        every = f"{self.sign('colon')}{self.sign('tight')}" if len(self.shape(vector)) == 2 else ""
        return self.dialect.scripts(self.dialect.brackets(self.show(vector)), every + place), ATOM

    def part(self, vector: Expr, start: Expr, stop: Expr) -> Piece:
        return self._place(vector, self.span(start, stop))

    def entry(self, vector: Expr, index: Expr) -> Piece:
        return self._place(vector, self.show(index + 1))

    def outer(self, left: Expr, right: Expr) -> Piece:
        if self.style.layout != "row":
            return super().outer(left, right)
        return f"{self.transpose(left)[0]}{self.sign('space')}{self.show(right, POWER)}", PRODUCT

    def total(self, argument: Expr) -> Piece:
        factors: tuple[Expr, ...] = argument.args if isinstance(argument, sympy.Mul) else (argument,)
        rank = len(self.shape(argument))
        squared = isinstance(argument, sympy.Pow) and argument.exp == 2
        whole = len(factors) == 2 and all(len(self.shape(factor)) == rank for factor in factors)
        numbered = factors[0].is_Rational and len(factors) > 1
        if self.style.layout != "row" or squared or numbered or whole and rank != 1:
            return super().total(argument)
        if whole:
            return f"{self.show(factors[0], POWER)}{self.sign('space')}{self.transpose(factors[1])[0]}", PRODUCT
        one = self.sign("one")
        text = f"{self.show(argument, POWER)} {self.dialect.scripts(one, '', self.sign('top'))}"
        return (text if rank == 1 else f"{one} {text}"), PRODUCT

    def matrix(self, expr: MatrixExpr) -> Piece:
        """In a page of rows a vector is a row, and its transpose the column."""
        if self.style.layout == "row":
            if isinstance(expr, Column):
                return self.transposed_piece(super().matrix(expr))
            if isinstance(expr, Transpose) and isinstance(expr.args[0], Column):
                return super().matrix(expr.args[0])
        return super().matrix(expr)

    def transposed_piece(self, piece: Piece) -> Piece:
        text, level = piece
        body = text if level == ATOM else self.parenthesised(text)
        return self.dialect.scripts(body, "", self.sign("top")), POWER
