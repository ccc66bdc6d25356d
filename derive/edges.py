"""Where an expression reaches the edge of where it is defined: there it has no slope, and no convention gives one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy
from sympy import Dummy, Expr, Integer, Symbol

from .derivation import Derivation
from .functions import Elementwise
from .intervals import REARRANGING, Intervals
from .linear import Node, tensor_arguments


@dataclass(frozen=True)
class Edge:
    """A power or a function whose slope is infinite where its argument is 0.

    Attributes:
        expr: as its author wrote it.
        argument: of the power or the function.
        has_value: whether the expression itself has a value there, as a root does, and a logarithm doesn't.
    """

    expr: Expr
    argument: Expr
    has_value: bool


def edges(derivation: Derivation) -> list[Edge]:
    """Return what of a cell's equations has no slope where its argument is 0, unless that is never so.

    >>> from .cell import parse
    >>> from .derivation import derive
    >>> cell = parse("h: state[n]\\nh = h / norm(h) + sqrt(1 + h**2)")
    >>> [(str(edge.expr), edge.has_value) for edge in edges(derive(cell))]
    [('1/sqrt(total(h_prev**2))', False), ('sqrt(total(h_prev**2))', True)]
    """
    signs = _Signs(derivation)
    found: dict[Expr, Edge] = {}
    for equation in derivation.cell.equations:
        for expr in sympy.preorder_traversal(equation.written):
            if isinstance(expr, sympy.Pow | Elementwise) and expr not in found:
                value, slope = _at_zero(expr)
                if slope.is_infinite and signs.of(expr.args[0]).is_zero is not False:
                    found[expr] = Edge(expr, expr.args[0], value.is_finite)
    return list(found.values())


def _at_zero(expr: Expr) -> tuple[Expr, Expr]:
    """Return the value and the slope of a power or a function where its argument is 0; 0 for one of two arguments."""
    zero = Integer(0)
    if isinstance(expr, sympy.Pow):
        return zero**expr.exp, expr.exp * zero ** (expr.exp - 1)
    if len(expr.args) > 1:
        return zero, zero
    value = expr.rule.definition(zero)
    return value, sympy.sympify(expr.rule.slopes[0](zero, value))


class _Signs:
    """Numbers that stand for the entries of expressions and carry what is known of their signs."""

    def __init__(self, derivation: Derivation) -> None:
        steps = derivation.prologue.steps + derivation.forward.steps
        self.intervals = Intervals(replace(derivation.forward, steps=steps))
        self.values = {step.target: step.expr for step in steps}
        self.known: dict[Expr, Expr] = {}

    def of(self, expr: Expr) -> Expr:
        """Return a number with the sign of every entry of an expression, as far as it is known."""
        if expr not in self.known:
            plain = self._plain(expr)
            self.known[expr] = plain if plain.is_number else self._signed(plain, *self.intervals.of(expr))
        return self.known[expr]

    def _signed(self, plain: Expr, low: Expr, high: Expr) -> Dummy:
        facts = {
            "nonnegative": (True, plain.is_nonnegative or low >= 0),
            "nonpositive": (True, plain.is_nonpositive or high <= 0),
            "zero": (False, plain.is_zero is False or low > 0 or high < 0),
        }
        return Dummy(real=True, **{name: fact for name, (fact, holds) in facts.items() if holds})

    def _plain(self, expr: Expr) -> Expr:
        if expr in self.values:
            return self.of(self.values[expr])
        if isinstance(expr, Symbol):
            return expr if expr.is_positive else Dummy(real=True)
        if isinstance(expr, Node):
            return self._of_node(expr)
        parts = map(self.of, expr.args)
        if isinstance(expr, Elementwise):
            return expr.rule.definition(*parts)
        return expr.func(*parts) if expr.args else expr

    def _of_node(self, node: Node) -> Expr:
        name = node.func.__name__
        if name in ("softmax", "ones"):
            return Dummy(positive=True)
        parts = [self.of(argument) for argument in tensor_arguments(node)]
        if name in ("total", "product", "outer"):
            term = sympy.Mul(*parts)
            return term if term.is_nonnegative or term.is_nonpositive else Dummy(real=True)
        return parts[0] if name in REARRANGING and name != "pad" and len(parts) == 1 else Dummy(real=True)
