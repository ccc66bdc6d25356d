"""Sizes: the dimensions of vectors and matrices, as symbols, as they are written and as they are spelled."""

from __future__ import annotations

import ast

from sympy import Add, Dummy, Expr, Integer, Symbol

from .linear import Shape

OF = " of "  # in the name of a called cell's dimension, which no text can have: "n of layer1"


def dimension(name: str) -> Expr:
    """Return the symbol of a named dimension.

    >>> dimension("n") + dimension("m")
    m + n
    """
    return Symbol(name, integer=True, positive=True)


def size_of(node: ast.expr) -> Expr:
    """Return a dimension or an index as written: a name, a whole number, or a sum, difference or product of these."""
    match node:
        case ast.Name(id=name):
            return dimension(name)
        case ast.Constant(value=int(value)):
            return Integer(value)
        case ast.BinOp(op=op, left=left, right=right):
            first, second = size_of(left), size_of(right)
            return first * second if isinstance(op, ast.Mult) else first + (second, -second)[isinstance(op, ast.Sub)]
    raise AssertionError(f"syntax let {ast.dump(node)} through")


def size_from(text: str) -> Expr:
    """Read a dimension as it is spelled in a table.

    >>> size_from("n + 2") - dimension("n")
    2
    """
    return size_of(ast.parse(text, mode="eval").body)


def bounds(index: ast.Slice, size: Expr) -> tuple[Expr, Expr]:
    """Return the first index and the one past the last that a slice names."""
    start = Integer(0) if index.lower is None else size_of(index.lower)
    return start, size if index.upper is None else size_of(index.upper)


def spelled(shape: Shape) -> str:
    """Spell a shape for a reader; a dimension that isn't known yet is '?'.

    >>> spelled((dimension("n"), dimension("m"))), spelled(())
    ('n×m', 'a number')
    """
    names = ["?" if size.atoms(Dummy) else _spelled_size(size) for size in shape]
    return {0: "a number", 1: f"a vector of {names[0] if names else ''}"}.get(len(shape), "×".join(names))


def _spelled_size(size: Expr) -> str:
    whole = {symbol: dimension(f"({symbol})") for symbol in size.atoms(Symbol) if OF in symbol.name}
    return str(size if size in whole else size.xreplace(whole))


def has_difference(size: Expr) -> bool:
    """Return whether a term of a size is subtracted."""
    return any(term.could_extract_minus_sign() for term in Add.make_args(size))
