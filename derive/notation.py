"""Expression -> text. `Printer` is the base of every printer: cell notation, Python, Typst, LaTeX."""

from __future__ import annotations

import sympy
from sympy import Expr, Rational, Symbol

from .functions import Elementwise
from .linear import Node, is_one_hot, ones

SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4
LEAST, MOST = Rational("1e-4"), Rational("1e16")  # between which Python writes a number without a power of ten
Piece = tuple[str, int]


class Printer:
    """Prints an expression as it stands, in its own order, with no more parentheses than needed.

    A subclass overrides what differs. Every method returns the text and how tightly it binds: SUM, PRODUCT, POWER
    or ATOM. As it stands, this class prints the cell notation.
    """

    def show(self, expr: Expr, at_least: int = SUM) -> str:
        """Return the text of `expr`, in parentheses if it binds less tightly than `at_least`."""
        text, level = self.piece(expr)
        return text if level >= at_least else self.parenthesised(text)

    def piece(self, expr: Expr) -> Piece:
        if isinstance(expr, Symbol):
            return self.symbol(expr)
        if isinstance(expr, Rational):
            return self.number(expr)
        if isinstance(expr, sympy.NumberSymbol):
            return self.constant(expr)
        if isinstance(expr, sympy.Add):
            return self.sum(expr)
        if isinstance(expr, sympy.Mul):
            negative, factors = split_sign(expr)
            text, level = self.factors(factors) if len(factors) > 1 else self.piece(factors[0])
            if not negative:
                return text, level
            return self.negated(text if level >= PRODUCT else self.parenthesised(text)), PRODUCT
        if isinstance(expr, sympy.Pow):
            return self.factors((expr,)) if expr.exp.is_negative else self.power(expr.base, expr.exp)
        if isinstance(expr, Node):
            return getattr(self, expr.func.__name__)(*expr.args)
        if isinstance(expr, Elementwise):
            return self.function(expr)
        return self.other(expr)

    def other(self, expr: Expr) -> Piece:
        """Print what only one kind of document knows."""
        raise TypeError(f"{type(self).__name__} can't print {type(expr).__name__}: {expr}")

    def parenthesised(self, text: str) -> str:
        return f"({text})"

    def negated(self, text: str) -> str:
        return f"-{text}"

    def symbol(self, symbol: Symbol) -> Piece:
        return symbol.name, ATOM

    def number(self, number: Rational) -> Piece:
        """Print a number exactly: as a decimal where it has one, else as a fraction."""
        if number < 0:
            return self.negated(self.number(-number)[0]), PRODUCT
        decimal = decimal_text(number)
        return (decimal, ATOM) if decimal else (f"{number.p} / {number.q}", PRODUCT)

    def constant(self, number: sympy.NumberSymbol) -> Piece:
        """Print a number such as π, which slopes may hold."""
        return str(number), ATOM

    def sum(self, expr: sympy.Add) -> Piece:
        text = ""
        is_size = bool(expr.is_integer and expr.atoms(Symbol))
        for term in expr.as_ordered_terms() if is_size else expr.args:
            negative, factors = split_sign(term)
            body = self.show(sympy.Mul(*factors, evaluate=False) if negative else term, PRODUCT)
            if not text:
                text = self.negated(body) if negative else body
            else:
                text += f" {'-' if negative else '+'} {body}"
        return text, SUM

    def factors(self, factors: tuple[Expr, ...]) -> Piece:
        """Print a product in its order, with `/` before what is in the denominator."""
        text = ""
        for factor in factors:
            inverse = isinstance(factor, sympy.Pow) and factor.exp.is_negative
            body = self.show(inverted(factor) if inverse else factor, POWER)
            if not text:
                text = f"1 / {body}" if inverse else body
            else:
                text += f" / {body}" if inverse else f" * {body}"
        return text, PRODUCT

    def power(self, base: Expr, exponent: Expr) -> Piece:
        return f"{self.show(base, ATOM)}**{self.show(exponent, ATOM)}", POWER

    def function(self, expr: Elementwise) -> Piece:
        return self.call(expr.rule.name, *expr.args)

    def call(self, name: str, *args: Expr) -> Piece:
        return f"{name}({', '.join(map(self.show, args))})", ATOM

    def product(self, left: Expr, right: Expr) -> Piece:
        return f"{self.show(left, POWER)} @ {self.show(right, POWER)}", PRODUCT

    def transpose(self, matrix: Expr) -> Piece:
        return f"{self.show(matrix, ATOM)}.T", ATOM

    def outer(self, left: Expr, right: Expr) -> Piece:
        return self.call("outer", left, right)

    def total(self, argument: Expr) -> Piece:
        return self.call("sum", argument)

    def broadcast(self, number: Expr, *sizes: Expr) -> Piece:
        return self.factors((number, ones(*sizes)))

    def ones(self, *sizes: Expr) -> Piece:
        return self.call("ones", *sizes)

    def concat(self, *pieces: Expr) -> Piece:
        return self.call("concat", *pieces)

    def part(self, vector: Expr, start: Expr, stop: Expr) -> Piece:
        return f"{self.show(vector, ATOM)}[{self.show(start)}:{self.show(stop)}]", ATOM

    def pad(self, vector: Expr, start: Expr, size: Expr) -> Piece:
        return self.call("pad", vector, start, size)

    def entry(self, vector: Expr, index: Expr) -> Piece:
        return f"{self.show(vector, ATOM)}[{self.show(index)}]", ATOM

    def softmax(self, vector: Expr) -> Piece:
        return self.call("softmax", vector)

    def lookup(self, table: Expr, index: Symbol) -> Piece:
        return f"{self.show(table, ATOM)}[{self.show(index)}]", ATOM

    def scatter(self, row: Expr, index: Symbol, size: Expr) -> Piece:
        return self.call("scatter", row, index, size)

    def cross_entropy(self, logits: Expr, target: Expr) -> Piece:
        return self.call("cross_entropy", logits, target.args[1] if is_one_hot(target) else target)


def split_sign(term: Expr) -> tuple[bool, tuple[Expr, ...]]:
    """Return whether a term is negative, and its factors in order without the sign.

    >>> z, h = sympy.symbols("z h")
    >>> split_sign(-z * h)[0], split_sign(z)
    (True, (False, (z,)))
    """
    factors = term.args if isinstance(term, sympy.Mul) else (term,)
    negative = False
    kept = []
    for factor in factors:
        if factor.is_Rational and factor < 0:
            negative, factor = not negative, -factor
        if factor != 1:
            kept.append(factor)
    return negative, tuple(kept) or (sympy.Integer(1),)


def inverted(power: sympy.Pow) -> Expr:
    """Return what stands in the denominator for a power with a negative exponent.

    >>> inverted(Symbol("x") ** -2)
    x**2
    """
    return power.base if power.exp == -1 else sympy.Pow(power.base, -power.exp, evaluate=False)


def decimal_text(number: Rational) -> str:
    """Return a non-negative number's exact decimal form, '' where it has none; with powers of ten as in Python.

    >>> decimal_text(Rational(1, 4)), decimal_text(Rational(1, 3)), decimal_text(Rational("1.5e-300"))
    ('0.25', '', '1.5e-300')
    """
    twos_and_fives = number.q
    for prime in (2, 5):
        while twos_and_fives % prime == 0:
            twos_and_fives //= prime
    if twos_and_fives != 1:
        return ""
    digits = 0
    while (number * 10**digits).q != 1:
        digits += 1
    whole = str((number * 10**digits).p)
    if number and not LEAST <= number < MOST:
        first, rest = whole[0], whole[1:].rstrip("0")
        return f"{first}{'.' * bool(rest)}{rest}e{len(whole) - 1 - digits}"
    whole = whole.rjust(digits + 1, "0")
    return f"{whole[:-digits]}.{whole[-digits:]}" if digits else whole


def spell(expr: Expr) -> str:
    """Return an expression in the cell notation.

    >>> f, c = sympy.symbols("f c")
    >>> spell(sympy.Mul(f, sympy.Add(1, -f, evaluate=False), c, evaluate=False))
    'f * (1 - f) * c'
    """
    return Printer().show(expr)
