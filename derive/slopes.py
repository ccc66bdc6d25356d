"""Partial derivatives of elementwise expressions, stated in values that the program has already computed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import sympy
from sympy import Dummy, Expr, Symbol

from .functions import Elementwise, Rule
from .linear import Node
from .program import Program
from .written import arranged, canonical, order_of_appearance, renamed

Known = Mapping[Expr, Expr]


def known_values(program: Program) -> dict[Expr, Expr]:
    """Return the functions that the program has computed, each with the name of its value.

    >>> from .cell import load
    >>> from .program import forward_program
    >>> known_values(forward_program(load("rnn")))
    {tanh(a_h): h}
    """
    return {canonical(step.expr): step.target for step in program.steps if isinstance(step.expr, Elementwise | Node)}


def partials(expr: Expr, known: Known) -> list[tuple[Expr, Expr]]:
    """Return (atom, ∂expr/∂atom) for each symbol and tensor map in an elementwise expression, in reading order.

    >>> f, a = sympy.symbols("f a")
    >>> from .functions import sigmoid
    >>> partials(sigmoid(a), {sigmoid(a): f})
    [(a, f*(1 - f))]
    """
    rank = order_of_appearance(expr)
    found = []
    for atom, plain in _plain_partials(expr, frozenset(part.rule for part in expr.atoms(Elementwise))):
        slope = renamed(plain, known)
        found.append((atom, arranged(slope, {**order_of_appearance(slope), **rank})))
    return found


@lru_cache(maxsize=4096)
def _plain_partials(expr: Expr, rules: frozenset[Rule]) -> tuple[tuple[Expr, Expr], ...]:
    """Return what `partials` does, without names for known values: reverse mode, forward mode and Jacobians share it.

    Args:
        rules: of the functions in the expression, since these decide about the result too.
    """
    names = {atom: Dummy(f"atom{i}") for i, atom in enumerate(_atoms(expr))}
    hidden = canonical(renamed(expr, names))
    shown = {name: atom for atom, name in names.items()}
    slopes = ((atom, sympy.diff(hidden, name).xreplace(shown)) for atom, name in names.items())
    return tuple((atom, slope) for atom, slope in slopes if slope != 0)


def _atoms(expr: Expr) -> list[Expr]:
    if isinstance(expr, Node | Symbol):
        return [] if expr.is_integer else [expr]
    return list(dict.fromkeys(atom for operand in expr.args for atom in _atoms(operand)))
