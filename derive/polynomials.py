"""Identity of SymPy expressions as polynomials: by expansion in python-flint's rings, or in a large finite field.

Where an expansion would have too many terms, or rests on what a reciprocal or a root stands for, the identity is
tested by exact arithmetic at random points of a field of 2⁶¹ − 1 elements (Schwartz 1980, Zippel 1979): a false
identity of degree d passes one point with a probability of at most d / 2⁶¹.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import flint
import sympy
from sympy import Expr, Rational

PRIME = 2**61 - 1
POINTS = 3
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

    def __init__(self, atoms: Sequence[Expr], seed: int, opened: Opened = itself) -> None:
        self.atoms = atoms
        self.opened = opened
        self.random = random.Random(seed)
        self.draw()

    def draw(self) -> None:
        """Choose another point."""
        self.roots: dict[tuple[int, int], int] = {}
        self.values: dict[Expr, int] = {
            atom: self.random.randrange(1, PRIME) for atom in self.atoms if self.opened(atom) is atom
        }

    def equal(self, one: Expr, other: Expr) -> bool:
        """Return whether both have one value; the point is drawn again until every root and reciprocal exists.

        >>> x = sympy.Symbol("x")
        >>> field = FiniteField([x], seed=0)
        >>> field.equal((x + 1) ** 2, x**2 + 2 * x + 1), field.equal((x + 1) ** 2, x**2 + 1)
        (True, False)
        """
        while True:
            try:
                return self._value(one) == self._value(other)
            except ArithmeticError:
                self.draw()

    def _value(self, expr: Expr) -> int:
        if expr not in self.values:
            if self.opened(expr) is not expr:
                return self._value(self.opened(expr))
            if isinstance(expr, Rational):
                return int(expr.p) * pow(int(expr.q), -1, PRIME) % PRIME
            if isinstance(expr, sympy.Pow):
                result = self._power(self._value(expr.base), expr.exp)
            else:
                result = self._value(expr.args[0])
                for operand in expr.args[1:]:
                    other = self._value(operand)
                    result = (result + other if isinstance(expr, sympy.Add) else result * other) % PRIME
            self.values[expr] = result
        return self.values[expr]

    def _power(self, base: int, exponent: Rational) -> int:
        if exponent.q == 2:
            root = pow(base, (PRIME + 1) // 4, PRIME)
            if root * root % PRIME != base:
                raise ArithmeticError("not a square at this point")
            base = root
        elif exponent.q != 1:
            base = self.roots.setdefault((base, int(exponent.q)), self.random.randrange(1, PRIME))
        if base == 0 and exponent < 0:
            raise ZeroDivisionError
        return pow(base, int(exponent.p), PRIME)


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
