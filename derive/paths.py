"""A Jacobian block ∂value_t/∂state_{t−1} taken apart: along which values of the step each part of it runs."""

from __future__ import annotations

from sympy import MatrixExpr, Symbol
from sympy.matrices.expressions import Identity, MatAdd, ZeroMatrix

from .errors import Error
from .jacobian import Diagonal, edge, is_softmax_jacobian, jacobian, times, total_of
from .program import Program, Step, quantities
from .slopes import known_values

MOST_PATHS = 1000
Path = tuple[tuple[str, ...], MatrixExpr]


def paths(program: Program, value: Symbol, source: Symbol) -> list[Path]:
    """Return every path from `source` to `value`, with the part of the Jacobian block that runs along it.

    A path names the values that it passes, from `source` to `value`; no two paths name the same ones. What the path
    doesn't pass is held fixed, so that the parts add up to the block: the chain rule as a sum over paths (Bauer, F. L.
    (1974). Computational graphs and rounding error. SIAM Journal on Numerical Analysis 11, 87-96).

    Raises:
        Error: where a matrix is on the way, as for `jacobian`, or where there are more than 1000 paths.

    >>> from .cell import load
    >>> from .program import forward_program
    >>> for names, part in paths(forward_program(load("lstm")), Symbol("c"), Symbol("c_prev")): print(names, part)
    ('c_prev', 'c') Diagonal(f, n)
    """
    rows, columns = jacobian(program, value, source).shape
    edges = _edges(program, _steps_between(program, value, source), source)
    _check_count(edges, value, source)
    found: dict[Symbol, list[tuple[tuple[str, ...], list[MatrixExpr]]]]
    found = {source: [((source.name,), [Identity(columns)])]}
    for target, arriving in edges.items():
        found[target] = [
            ((*names, target.name), [times(last, word) for last in words(block) for word in before])
            for start, block in arriving
            for names, before in found[start]
        ]
    return [(names, total_of(parts, rows, columns)) for names, parts in found.get(value, [])]


def unmixed(block: MatrixExpr) -> MatrixExpr:
    """Return the part of a Jacobian block in which every step on the way is elementwise: what no matrix mixes.

    >>> from .cell import load
    >>> from .program import forward_program
    >>> unmixed(jacobian(forward_program(load("gru")), Symbol("h"), Symbol("h_prev")))
    Diagonal(1 - z, n)
    """
    return total_of([word for word in words(block) if isinstance(word, Diagonal | Identity)], *block.shape)


def words(block: MatrixExpr) -> list[MatrixExpr]:
    """Return the terms of a sum of matrices, none for zero; a softmax's Jacobian, diag(y) − y yᵀ, is one term.

    >>> n = Symbol("n", integer=True, positive=True)
    >>> words(ZeroMatrix(n, n)), words(Identity(n))
    ([], [I])
    """
    if isinstance(block, ZeroMatrix):
        return []
    return list(block.args) if isinstance(block, MatAdd) and not is_softmax_jacobian(block) else [block]


def _steps_between(program: Program, value: Symbol, source: Symbol) -> list[Step]:
    """Return the steps whose values depend on `source` and on which `value` depends."""
    reached = {source}
    forward = []
    for step in program.steps:
        if step.reads & reached:
            reached.add(step.target)
            forward.append(step)
    needed = {value}
    between = []
    for step in reversed(forward):
        if step.target in needed:
            needed |= step.reads
            between.append(step)
    return between[::-1]


def _edges(program: Program, steps: list[Step], source: Symbol) -> dict[Symbol, list[tuple[Symbol, MatrixExpr]]]:
    """Return, for each value, what it reads of those that depend on `source`, and its derivative by that."""
    known = known_values(program)
    edges: dict[Symbol, list[tuple[Symbol, MatrixExpr]]] = {}
    for step in steps:
        starts = [symbol for symbol in quantities(step.expr) if symbol == source or symbol in edges]
        found = [(start, edge(program, step, start, known)) for start in starts]
        edges[step.target] = [(start, block) for start, block in found if words(block)]
    return edges


def _check_count(edges: dict[Symbol, list[tuple[Symbol, MatrixExpr]]], value: Symbol, source: Symbol) -> None:
    counts = {source: 1}
    for target, arriving in edges.items():
        counts[target] = sum(counts[start] for start, _ in arriving)
    if (count := counts.get(value, 0)) > MOST_PATHS:
        raise Error(
            f"{count} paths lead from {source} to {value}, more than the {MOST_PATHS} that can be written one by one; "
            "their sum is the block that jacobian() gives"
        )
