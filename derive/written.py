"""Expressions as written: unevaluated SymPy trees whose factors and terms stay in reading order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import sympy
from sympy import Expr, Integer, Symbol
from sympy.printing.str import StrPrinter

Rank = Mapping[Symbol, int]


def operands(kind: type[Expr], expr: Expr) -> tuple[Expr, ...]:
    """Return the operands of a sum or product, or the expression alone."""
    return expr.args if isinstance(expr, kind) else (expr,)


def added(*terms: Expr) -> Expr:
    """Return the sum of terms in the given order.

    >>> z, h = sympy.symbols("z h")
    >>> added(z, h).args
    (z, h)
    """
    flat = [part for term in terms for part in operands(sympy.Add, term) if part != 0]
    return sympy.Add(*flat, evaluate=False) if len(flat) > 1 else (flat or [Integer(0)])[0]


def multiplied(*factors: Expr) -> Expr:
    """Return the product of factors in the given order, with one number first, without factors of 1.

    >>> multiplied(sympy.Rational(1, 2), Symbol("z"), Integer(4)).args
    (2, z)
    """
    parts = [part for factor in factors for part in operands(sympy.Mul, factor)]
    number = sympy.Mul(*(part for part in parts if part.is_Rational))
    flat = [part for part in (number, *(part for part in parts if not part.is_Rational)) if part != 1]
    return sympy.Mul(*flat, evaluate=False) if len(flat) > 1 else (flat or [Integer(1)])[0]


def negated(expr: Expr) -> Expr:
    """Return −expr in the form in which a reader writes it.

    >>> negated(Symbol("z")), negated(Integer(2))
    (-z, -2)
    """
    if expr.is_Rational:
        return -expr
    first, *rest = operands(sympy.Mul, expr)
    return multiplied(-first, *rest) if first.is_Rational else sympy.Mul(-1, first, *rest, evaluate=False)


def dimension_names(shape: Iterable[Expr]) -> tuple[str, ...]:
    """Return each size of a shape as a declaration has it: what is taken away stands last.

    >>> m, z = sympy.symbols("m z", integer=True, positive=True)
    >>> dimension_names((z - m, 2 * m))
    ('z - m', '2*m')
    """
    return tuple(map(_dimension, shape))


def _dimension(size: Expr) -> str:
    terms = sorted(size.as_ordered_terms(), key=_is_negative)
    return str(StrPrinter({"order": "none"}).doprint(sympy.Add(*terms, evaluate=False) if len(terms) > 1 else size))


def rebuilt(expr: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """Replace the outermost parts for which `change` returns something, keeping the order of all the rest."""
    changed = change(expr)
    if changed is not None:
        return changed
    if not expr.args:
        return expr
    args = [rebuilt(operand, change) for operand in expr.args]
    if all(new is old for new, old in zip(args, expr.args, strict=True)):
        return expr
    return expr.func(*args, evaluate=False) if isinstance(expr, sympy.Add | sympy.Mul | sympy.Pow) else expr.func(*args)


def renamed(expr: Expr, names: Mapping[Expr, Expr]) -> Expr:
    """Replace symbols, or whole parts, keeping the order of all the rest.

    >>> h, z, g = sympy.symbols("h z g")
    >>> renamed(sympy.Mul(z, h, evaluate=False), {z: g}).args
    (g, h)
    """
    return rebuilt(expr, names.get)


def canonical(expr: Expr) -> Expr:
    """Return the expression in SymPy's own order, evaluated: for comparing and differentiating.

    >>> h, z = sympy.symbols("h z")
    >>> canonical(sympy.Mul(z, h, evaluate=False)) == z * h
    True
    """
    return expr.func(*map(canonical, expr.args)) if expr.args else expr


def order_of_appearance(*exprs: Expr) -> dict[Symbol, int]:
    """Return each symbol's place in reading order."""
    found: dict[Symbol, int] = {}
    for expr in exprs:
        for node in sympy.preorder_traversal(expr):
            if isinstance(node, Symbol):
                found.setdefault(node, len(found))
    return found


def arranged(expr: Expr, rank: Rank) -> Expr:
    """Return `expr` with factors and terms in the order in which a person would write them.

    Numbers come first, then what holds symbols of low rank; in a sum, negative terms follow positive ones, and a common
    number stands before the sum unless its terms would only get larger numbers: h/2 − z/2 but not h + 1/1000.

    >>> h, z, g = sympy.symbols("h z g")
    >>> arranged(g - h, {z: 0, h: 1, g: 2}).args
    (g, -h)
    >>> print(arranged(h / 2 - z / 2, {}), arranged(h + sympy.Rational(1, 1000), {}))
    (h - z)/2 h + 1/1000
    """
    if not expr.args:
        return expr
    args = [arranged(operand, rank) for operand in expr.args]
    if isinstance(expr, sympy.Mul):
        return multiplied(*sorted(args, key=lambda factor: _place(factor, rank)))
    if isinstance(expr, sympy.Add):
        content, rest = expr.primitive()
        if content != 1 and (content.is_Integer or all(_is_unit(term) for term in rest.args)):
            return multiplied(content, arranged(rest, rank))
        return added(*sorted(args, key=lambda term: (_is_negative(term), _place(term, rank))))
    return expr.func(*args, evaluate=False) if isinstance(expr, sympy.Pow) else expr.func(*args)


def _place(expr: Expr, rank: Rank) -> tuple[object, ...]:
    inner = [rank.get(node, len(rank)) for node in sympy.preorder_traversal(expr) if isinstance(node, Symbol)]
    return (not expr.is_number, min(inner, default=-1), bool(expr.args), len(inner), sorted(inner), str(expr))


def _is_unit(term: Expr) -> bool:
    """Return whether a term has no number before it but a sign."""
    return abs(term.as_coeff_Mul()[0]) == 1


def _is_negative(term: Expr) -> bool:
    first = operands(sympy.Mul, term)[0]
    return bool(first.is_Rational and first < 0) and not term.is_number
