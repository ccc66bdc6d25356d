"""Identity of SymPy expressions as polynomials: by expansion in python-flint's rings, or in a large finite field.

Where an expansion would have too many terms, or rests on what a reciprocal or a root stands for, the identity is
tested by exact arithmetic at random points of a field of 2⁶¹ − 2373 elements (Schwartz 1980, Zippel 1979): a false
identity of degree d passes one point with a probability of about d / 2⁶¹. That prime less 1 is twice a prime, so that
every element has one root of each odd degree, and every square one root of each degree that is a square itself.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice

import flint
import sympy
from sympy import Expr, Rational

from .errors import Error

PRIME = 2**61 - 2373
SQUARES = (PRIME - 1) // 2  # how many elements but 0 are squares; itself prime
POINTS = 3
MOST_POINTS = 1000  # of which one has every root and reciprocal
DRAWN_AGAIN = 20  # times for one root: half of all elements are squares
MOST_TERMS = 300_000
MOST_EXPONENTS = 20_000_000  # a term stores one for each generator of its ring
MOST_KEPT = 10 * MOST_EXPONENTS  # of polynomials that may be met again

Opened = Callable[[Expr], Expr]


def itself(expr: Expr) -> Expr:
    """Return the expression: nothing in it is another name for something."""
    return expr


class PolynomialRing:
    """Converts expressions to polynomials over the rationals; equal parts are converted once, as far as memory goes."""

    def __init__(self, atoms: Sequence[Expr], powers: Sequence[Expr], opened: Opened = itself) -> None:
        names = [f"v{number}" for number in range(len(atoms) + len(powers))]
        self.context = flint.fmpq_mpoly_ctx.get(names or ["v0"], "lex")
        self.gens = gens = self.context.gens()
        self.atoms = atoms
        self.opened = opened
        self.spare = list(gens[len(atoms) :])
        self.extensions: list[tuple[flint.fmpq_mpoly, int, flint.fmpq_mpoly]] = []
        self._forget()

    def _forget(self) -> None:
        self.converted = dict(zip(self.atoms, self.gens, strict=False))
        self.kept = 0

    @property
    def most_terms(self) -> int:
        """How many terms a polynomial of this ring may have, so that it stays small in memory."""
        return min(MOST_TERMS, MOST_EXPONENTS // len(self.gens))

    def convert(self, expr: Expr) -> flint.fmpq_mpoly:
        """Return `expr` as a polynomial."""
        if expr in self.converted:
            return self.converted[expr]
        found = self._convert(expr)
        self.kept += len(found) * len(self.gens)
        if self.kept > MOST_KEPT:
            self._forget()
        self.converted[expr] = found
        return found

    def _convert(self, expr: Expr) -> flint.fmpq_mpoly:
        if self.opened(expr) is not expr:
            return self.convert(self.opened(expr))
        if isinstance(expr, Rational):
            return self.context.constant(flint.fmpq(int(expr.p), int(expr.q)))
        if isinstance(expr, sympy.Pow):
            return self._power(self.convert(expr.base), expr.exp)
        result = self.convert(expr.args[0])
        for operand in expr.args[1:]:
            other = self.convert(operand)
            result = result + other if isinstance(expr, sympy.Add) else result * other
        return result

    def _power(self, base: flint.fmpq_mpoly, exponent: Rational) -> flint.fmpq_mpoly:
        if exponent.q == 1 and exponent > 0:
            return base ** int(exponent)
        root = base if exponent.q == 1 else self._extension(base, int(exponent.q))
        return (root if exponent > 0 else self._extension(root, -1)) ** abs(int(exponent.p))

    def _extension(self, base: flint.fmpq_mpoly, degree: int) -> flint.fmpq_mpoly:
        """Return the generator that stands for 1/base (degree −1) or for the root Q with Q**degree = base."""
        for gen, known_degree, known in self.extensions:
            if known_degree == degree and known == base:
                return gen
        gen = self.spare.pop()
        self.extensions.append((gen, degree, base))
        return gen

    def shown(self, polynomial: flint.fmpq_mpoly, terms: int = 3) -> str:
        """Return the first terms of a polynomial in the names that it came from."""
        pieces = []
        for exponents, coefficient in islice(polynomial.terms(), terms):
            powers = [(str(self.atoms[p]) if p < len(self.atoms) else "…", e) for p, e in enumerate(exponents) if e]
            pieces.append("·".join([str(coefficient), *(name if e == 1 else f"{name}^{e}" for name, e in powers)]))
        return " + ".join(pieces) + (" + …" if len(polynomial) > terms else "")


class FiniteField:
    """Values of expressions at one random point of the field of `PRIME` elements; equal parts are computed once."""

    def __init__(self, seed: int, opened: Opened = itself) -> None:
        self.opened = opened
        self.random = random.Random(seed)
        self.values: dict[Expr, int] = {}

    def equal(self, one: Expr, other: Expr) -> bool:
        """Return whether both have one value; the point is drawn again until every root and reciprocal exists.

        Raises:
            Error: where they exist at none of many points.

        >>> x = sympy.Symbol("x")
        >>> field = FiniteField(seed=0)
        >>> field.equal((x + 1) ** 2, x**2 + 2 * x + 1), field.equal((x + 1) ** 2, x**2 + 1)
        (True, False)
        """
        for _ in range(MOST_POINTS):
            try:
                return self._value(one) == self._value(other)
            except ArithmeticError:
                self.values.clear()
        raise Error(f"no proof: a root or a reciprocal in it exists at none of {MOST_POINTS} points that were drawn")

    def _value(self, expr: Expr) -> int:
        if isinstance(expr, Rational):
            return int(expr.p) * pow(int(expr.q), -1, PRIME) % PRIME
        if expr not in self.values:
            if self.opened(expr) is not expr:
                return self._value(self.opened(expr))
            self.values[expr] = self._computed(expr)
        return self.values[expr]

    def _computed(self, expr: Expr) -> int:
        """Return the value of an operation, and an element drawn at random for anything else."""
        if isinstance(expr, sympy.Pow):
            return self._power(expr.base, expr.exp)
        if not isinstance(expr, sympy.Add | sympy.Mul):
            return self.random.randrange(1, PRIME)
        result = self._value(expr.args[0])
        for operand in expr.args[1:]:
            other = self._value(operand)
            result = (result + other if isinstance(expr, sympy.Add) else result * other) % PRIME
        return result

    def _power(self, base: Expr, exponent: Rational) -> int:
        """Return a power; where it doesn't exist, what only its base has asked for so far is drawn again."""
        known = len(self.values)
        for _ in range(DRAWN_AGAIN):
            with suppress(ArithmeticError):
                return power(self._value(base), exponent)
            if len(self.values) == known:
                break
            while len(self.values) > known:
                self.values.popitem()
        raise ArithmeticError("no such root or reciprocal at this point")


def power(base: int, exponent: Rational) -> int:
    """Return a power in the field; powers of squares follow the laws of powers of positive numbers.

    Raises:
        ArithmeticError: for an even root of what is no square, and a reciprocal of 0.

    >>> power(4, Rational(1, 2)) in (2, PRIME - 2), power(power(5, Rational(2, 3)), Rational(3, 2)) in (5, PRIME - 5)
    (True, True)
    """
    if base == 0 and exponent < 0:
        raise ZeroDivisionError("no reciprocal of 0")
    if exponent.q % 2:
        order = PRIME - 1
    else:
        order = SQUARES
        if pow(base, SQUARES, PRIME) > 1:
            raise ArithmeticError("not a square at this point")
    return pow(base, int(exponent.p) * pow(int(exponent.q), -1, order) % order, PRIME)


class Terms:
    """Upper bounds on how many terms expressions have when they are multiplied out."""

    def __init__(self, opened: Opened = itself) -> None:
        self.opened = opened
        self.known: dict[Expr, int] = {}

    def bound(self, expr: Expr) -> int:
        """Return a bound.

        >>> x, y = sympy.symbols("x y")
        >>> Terms().bound((x + y) ** 2 * x)
        4
        """
        if expr not in self.known:
            opened = self.opened(expr)
            bounds = [self.bound(operand) for operand in expr.args]
            if opened is not expr:
                self.known[expr] = self.bound(opened)
            elif isinstance(expr, sympy.Add):
                self.known[expr] = sum(bounds)
            elif isinstance(expr, sympy.Mul):
                self.known[expr] = math.prod(bounds)
            elif isinstance(expr, sympy.Pow) and expr.exp.is_Integer and expr.exp > 0:
                self.known[expr] = bounds[0] ** int(expr.exp)
            else:
                self.known[expr] = 1
        return self.known[expr]


def generators(expressions: Iterable[Expr]) -> tuple[list[Expr], list[Expr]]:
    """Return the symbols and opaque values in the expressions, and room for their powers that aren't polynomial."""
    atoms: dict[Expr, None] = {}
    powers: dict[Expr, None] = {}
    seen: set[Expr] = set()
    stack = list(expressions)
    while stack:
        expr = stack.pop()
        if expr in seen or isinstance(expr, Rational):
            continue
        seen.add(expr)
        if isinstance(expr, sympy.Add | sympy.Mul | sympy.Pow):
            stack += expr.args
            if isinstance(expr, sympy.Pow) and not (expr.exp.is_Integer and expr.exp > 0):
                powers[expr] = None
        else:
            atoms[expr] = None
    return sorted(atoms, key=str), [power for power in powers for _ in range(2)]
