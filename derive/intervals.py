"""Intervals that hold every value of a program's quantities, whatever its inputs and parameters are."""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import Expr, Integer, Symbol, oo

from .functions import Elementwise
from .linear import Node, is_one_hot, tensor_arguments
from .program import Program

Interval = tuple[Expr, Expr]
Special = Callable[[Expr], Interval | None]
ANY: Interval = (-oo, oo)
UNIT: Interval = (Integer(0), Integer(1))
# tensor maps whose entries are entries of their arguments, or zeros
REARRANGING = ("transpose", "broadcast", "concat", "part", "pad", "entry", "lookup")


class Intervals:
    """The intervals of a program's values.

    >>> from .cell import load
    >>> from .program import forward_program
    >>> intervals = Intervals(forward_program(load("gru")))
    >>> intervals.of(Symbol("z")), intervals.of(1 - Symbol("h_tilde")), intervals.of(Symbol("h_prev"))
    ((0, 1), (0, 2), (-oo, oo))
    """

    def __init__(self, program: Program, special: Special = lambda expr: None) -> None:
        self.special = special
        self.known: dict[Symbol, Interval] = {}
        for step in program.steps:
            self.known[step.target] = self.of(step.expr)

    def of(self, expr: Expr) -> Interval:
        """Return an interval that holds every entry of an expression."""
        if (interval := self.special(expr)) is not None:
            return interval
        if isinstance(expr, Symbol):
            return self.known.get(expr, ANY)
        if not expr.args:
            return (expr, expr)
        if isinstance(expr, Elementwise):
            value = expr.rule.definition(*expr.args)
            return (value, value) if value.is_number and not value.has(Elementwise) else expr.rule.image
        if isinstance(expr, Node):
            return self._of_node(expr)
        if isinstance(expr, sympy.Pow):
            return power(self.of(expr.base), expr.exp)
        first, *rest = map(self.of, expr.args)
        for interval in rest:
            first = plus(first, interval) if isinstance(expr, sympy.Add) else times(first, interval)
        return first

    def _of_node(self, node: Node) -> Interval:
        name = node.func.__name__
        if name in ("softmax", "ones") or is_one_hot(node):
            return UNIT
        if name in REARRANGING:
            parts = [self.of(argument) for argument in tensor_arguments(node)]
            parts += [(Integer(0), Integer(0))] * (name == "pad")
            return min(low for low, _ in parts), max(high for _, high in parts)
        if name == "total" and self.of(node.args[0])[0] >= 0:
            return Integer(0), oo
        return ANY


def plus(one: Interval, other: Interval) -> Interval:
    """Return the interval of a sum."""
    return one[0] + other[0], one[1] + other[1]


def times(one: Interval, other: Interval) -> Interval:
    """Return the interval of a product.

    >>> times((Integer(-1), Integer(2)), (Integer(0), oo))
    (-oo, oo)
    """
    ends = [_product(a, b) for a in one for b in other]
    return min(ends), max(ends)


def power(base: Interval, exponent: Expr) -> Interval:
    """Return the interval of a power with a rational exponent.

    >>> power((Integer(-1), Integer(2)), Integer(2)), power((Integer(2), oo), Integer(-1))
    ((0, 4), (0, 1/2))
    """
    low, high = base
    if exponent < 0:
        low, high = power(base, -exponent)
        if low < 0 < high or low == high == 0:
            return ANY
        return (_inverse(high, -oo), _inverse(low, -oo)) if high <= 0 else (_inverse(high, oo), _inverse(low, oo))
    if exponent.is_Integer and exponent % 2:
        return low**exponent, high**exponent
    nearest = Integer(0) if low < 0 < high else min(abs(low), abs(high))
    farthest = max(abs(low), abs(high)) if exponent.is_Integer else max(high, Integer(0))
    return nearest**exponent if exponent.is_Integer or low >= 0 else Integer(0), farthest**exponent


def _product(one: Expr, other: Expr) -> Expr:
    """Multiply ends of intervals: 0 · ∞ is 0, since ∞ is never reached."""
    if 0 in (one, other):
        return Integer(0)
    return oo * sympy.sign(one) * sympy.sign(other) if oo in (abs(one), abs(other)) else one * other


def _inverse(end: Expr, at_zero: Expr) -> Expr:
    return at_zero if end == 0 else 1 / end
