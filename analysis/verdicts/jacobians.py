"""Right Jacobians such as ∂h_t/∂h_{t-1}, from the derivation, in the ways in which people mean them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import sympy
from sympy import Expr, MatrixExpr, MatrixSymbol, Symbol
from sympy.matrices.expressions import Identity, MatAdd, MatMul, Transpose

from ...derive.errors import Error
from ...derive.jacobian import Diagonal, edge, jacobian
from ...derive.program import Program, quantities
from ...derive.slopes import known_values
from .formulas import tree_from
from .probes import subject_of
from .tree import Jacobian, Name, Tree, add, call, mapped, matmul, mul, name, names, number, transposed

SIGN = "∂"
WAYS = {
    "held": "",
    "diagonal": ", as the vector on its diagonal",
    "through": ", also through the other states of step t-1",
    "direct": ", of the equation alone",
    "held transposed": ", transposed",
    "through transposed": ", also through the other states of step t-1, transposed",
}


def jacobian_name(of: Name, by: Name) -> Name:
    """Return the name of ∂of/∂by, where both have a time: that of the first is the name's.

    >>> jacobian_name(Name("h"), Name("c", -1))
    Name(base='∂h/∂c_prev', offset=0)
    """
    lag = of.offset - by.offset
    return Name(f"{SIGN}{of.base}/{SIGN}{by.base}" + {0: "", 1: "_prev"}.get(lag, f"[{-lag}]"), of.offset)


def parts(base: str) -> tuple[str, str, int] | None:
    """Return (of, by, lag) of a Jacobian's name; None for another name.

    >>> parts("∂h/∂c_prev"), parts("h")
    (('h', 'c', 1), None)
    """
    if not base.startswith(SIGN) or f"/{SIGN}" not in base:
        return None
    of, by = base[1:].split(f"/{SIGN}")
    return of, by.removesuffix("_prev"), int(by.endswith("_prev"))


@cache
def jacobian_tree(text: str, cell: str, base: str, way: str) -> Tree | None:
    """Return a Jacobian as a formula in the forward pass's values; None where it has none.

    Args:
        text, cell: the cell's text and name.
        base: the Jacobian's name.
        way: of `WAYS`.
    """
    found, subject = parts(base), subject_of(text, cell)
    if found is None:
        return None
    program, states = subject.forward, tuple(subject.cell.states)
    of, by, lag = found
    kind, _, turned = way.partition(" ")
    try:
        match kind:
            case "through":
                tree = _through(program, states, of, by) if lag else None
            case "direct":
                tree = _direct(program, of, f"{by}_prev" if lag else by)
            case "diagonal":
                expr = _block(program, of, f"{by}_prev" if lag else by)
                tree = tree_from(expr.args[0]) if isinstance(expr, Diagonal) and quantities(expr.args[0]) else None
            case _:
                expr = _block(program, of, f"{by}_prev" if lag else by)
                tree = matrix_tree(expr) if expr is not None else None
    except Error:
        return None
    return transposed(tree) if tree is not None and turned else tree


def _block(program: Program, of: str, by: str) -> MatrixExpr | None:
    symbols = Symbol(of), Symbol(by)
    if any(symbol not in program.shapes for symbol in symbols) or of == by:
        return None
    return jacobian(program, *symbols)


def _direct(program: Program, of: str, by: str) -> Tree | None:
    step = next((step for step in program.steps if step.target.name == of), None)
    if step is None or Symbol(by) not in step.reads:
        return None
    return matrix_tree(edge(program, step, Symbol(by), known_values(program)))


def _through(program: Program, states: tuple[str, ...], of: str, by: str) -> Tree | None:
    """Return Σ_s ∂of_t/∂s_{t-1} ∂s_{t-1}/∂by_{t-1}, over all states s."""
    terms = []
    for state in states:
        after = _block(program, of, f"{state}_prev")
        tree = matrix_tree(after) if after is not None else None
        if tree is None:
            continue
        if state == by:
            terms.append(tree)
        elif (before := _block(program, state, by)) is not None and (inner := matrix_tree(before)) is not None:
            terms.append(matmul(tree, mapped(inner, lambda found: _earlier(program, found))))
    early = any(found.offset < -1 for term in terms for found in names(term))
    return add(*terms) if len(terms) > 1 and not early else None


def _earlier(program: Program, found: Name) -> Tree | None:
    known = any(step.target.name == found.base for step in program.steps)
    return name(found.base, found.offset - 1) if known else None


def matrix_tree(expr: MatrixExpr) -> Tree | None:
    """Return a matrix expression as a formula; None for 0 and for what the notation of formulas lacks.

    >>> from ...derive.cell import load
    >>> from ...derive.program import forward_program
    >>> from .tree import spell
    >>> program = forward_program(load("rnn"))
    >>> spell(matrix_tree(jacobian(program, Symbol("h"), Symbol("h_prev"))))
    'diag(1 - h**2) @ W_hh'
    """
    match expr:
        case Diagonal():
            return call("diag", _vector(expr.args[0], expr.args[1]))
        case Identity():
            return call("diag", _vector(sympy.Integer(1), expr.args[0]))
        case MatrixSymbol():
            return name(expr.name)
        case Transpose():
            inner = matrix_tree(expr.args[0])
            return None if inner is None else transposed(inner)
        case MatMul():
            pieces = [number(str(p)) if not isinstance(p, MatrixExpr) else matrix_tree(p) for p in expr.args]
            return _all(pieces, matmul)
        case MatAdd():
            return _all([call("eye") if isinstance(p, Identity) else matrix_tree(p) for p in expr.args], add)
    return None


def _vector(expr: Expr, length: Expr) -> Tree:
    tree = tree_from(expr)
    return tree if quantities(expr) else mul(tree, call("ones", Tree("size", (), str(length))))


def _all(pieces: list[Tree | None], joined: Callable[..., Tree]) -> Tree | None:
    whole: Tree | None = None
    for piece in pieces:
        if piece is None:
            return None
        whole = piece if whole is None else joined(whole, piece)
    return whole


def leaves_named(tree: Tree) -> Tree:
    """Return a tree with its Jacobians as names, where their times are next to each other."""
    if isinstance(tree.leaf, Jacobian):
        of, by = tree.leaf
        near = "@" not in of.base and "@" not in by.base and of.offset - by.offset in (0, 1)
        return Tree("name", (), jacobian_name(of, by)) if near else tree
    return Tree(tree.head, tuple(map(leaves_named, tree.args)), tree.leaf) if tree.args else tree
