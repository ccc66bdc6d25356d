"""Partial derivatives of elementwise expressions, stated in values that the program has already computed."""

from __future__ import annotations

from collections.abc import Mapping

import sympy
from sympy import Dummy, Expr, Symbol

from .functions import Elementwise
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
    names = {atom: Dummy(f"atom{i}") for i, atom in enumerate(_atoms(expr))}
    hidden = canonical(renamed(expr, names))
    shown = {name: atom for atom, name in names.items()}
    rank = order_of_appearance(expr)
    found = []
    for atom, name in names.items():
        slope = renamed(sympy.diff(hidden, name).xreplace(shown), known)
        if slope != 0:
            found.append((atom, arranged(slope, {**order_of_appearance(slope), **rank})))
    return found


def _atoms(expr: Expr) -> list[Expr]:
    if isinstance(expr, Node | Symbol):
        return [] if expr.is_integer else [expr]
    return list(dict.fromkeys(atom for operand in expr.args for atom in _atoms(operand)))
