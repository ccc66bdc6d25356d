"""The table of layouts: for each tensor map how it is written with rows for vectors, and for a batch of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sympy import Expr

from .errors import Error
from .linear import (
    Node,
    broadcast,
    lookup,
    ones,
    outer,
    product,
    scatter,
    tensor_arguments,
    total,
    transpose,
    transposed,
)

if TYPE_CHECKING:
    from .convention_layout import BatchLayout, RowLayout


@dataclass(frozen=True)
class Rule:
    """How a tensor map is written in the other layouts.

    Attributes:
        row: (node, turn, layout) -> the value with rows for vectors; a matrix is transposed where `turn`.
        batch: (node, layout) -> the stacked values; only asked where the value is a vector or a number of a sample.
        summed: (node, layout) -> the sum over samples, or None where it is the sum of the stacked values.
    """

    row: Callable[[Node, bool, RowLayout], Expr]
    batch: Callable[[Node, BatchLayout], Expr]
    summed: Callable[[Node, BatchLayout], Expr | None] = lambda node, at: None


def rule(node: Node) -> Rule:
    """Return the rule of a node.

    Raises:
        Error: for a tensor map that the table doesn't have.
    """
    name = node.func.__name__
    if name not in RULES:
        raise Error(f"{name} is written in the column layout only: choose the layout column")
    return RULES[name]


def _row_product(node: Node, turn: bool, at: RowLayout) -> Expr:
    left, right = node.args
    if at.rank(right) == 1:
        return product(at.value(right), at.oriented(left, True))
    if turn:
        left, right = right, left
    return product(at.oriented(left, turn), at.oriented(right, turn))


def _batch_product(node: Node, at: BatchLayout) -> Expr:
    left, right = node.args
    if at.moves(left):
        raise at.refused(left)
    return product(at.value(right), transposed(left))


def _summed_product(node: Node, at: BatchLayout) -> Expr | None:
    left, right = node.args
    if not at.moves(left):
        return product(left, at.summed(right))
    return None if at.moves(right) else product(at.summed(left), right)


def _row_outer(node: Node, turn: bool, at: RowLayout) -> Expr:
    left, right = map(at.value, node.args)
    return outer(right, left) if turn else outer(left, right)


def _batch_matrix(node: Node, at: BatchLayout) -> Expr:
    raise at.refused(node)


def _summed_outer(node: Node, at: BatchLayout) -> Expr:
    left, right = node.args
    if at.moves(left) and at.moves(right):
        return product(transposed(at.value(left)), at.value(right))
    return outer(at.summed(left), right) if at.moves(left) else outer(left, at.summed(right))


def _batch_total(node: Node, at: BatchLayout) -> Expr:
    shape = at.column_shape(node.args[0])
    stacked = at.value(node.args[0])
    return product(stacked, ones(*shape)) if shape else stacked


def _batch_broadcast(node: Node, at: BatchLayout) -> Expr:
    number, *sizes = node.args
    return at.spread(number, tuple(sizes))


def _summed_broadcast(node: Node, at: BatchLayout) -> Expr:
    number, *sizes = node.args
    return broadcast(at.summed(number), *sizes)


def _turned(node: Node, turn: bool, at: RowLayout) -> Expr:
    """Turn the sizes of what has the same entry everywhere."""
    tensors = [at.value(argument) for argument in tensor_arguments(node)]
    sizes = node.args[len(tensors) :]
    return node.func(*tensors, *(sizes[::-1] if turn else sizes))


def _row_of_vectors(node: Node, turn: bool, at: RowLayout) -> Expr:
    tensors = [at.value(argument) for argument in tensor_arguments(node)]
    return node.func(*tensors, *node.args[len(tensors) :])


def _batch_of_vectors(node: Node, at: BatchLayout) -> Expr:
    """Let a map of vectors act on each row."""
    tensors = [at.spread(argument, at.column_shape(argument)) for argument in tensor_arguments(node)]
    return node.func(*tensors, *node.args[len(tensors) :])


def _row_scatter(node: Node, turn: bool, at: RowLayout) -> Expr:
    value, *place = node.args
    spread = scatter(at.value(value), *place)
    return transpose(spread) if turn and at.rank(node) == 2 else spread


def _batch_lookup(node: Node, at: BatchLayout) -> Expr:
    if at.moves(node.args[0]):
        raise at.refused(node.args[0])
    return node


def _batch_scatter(node: Node, at: BatchLayout) -> Expr:
    number, *place = node.args
    return scatter(at.value(number), *place)


def _summed_scatter(node: Node, at: BatchLayout) -> Expr | None:
    row, *place = node.args
    return scatter(at.spread(row, at.column_shape(row)), *place) if at.rank(row) else None


ON_VECTORS = Rule(_row_of_vectors, _batch_of_vectors)

RULES: dict[str, Rule] = {
    "product": Rule(_row_product, _batch_product, _summed_product),
    "transpose": Rule(
        lambda node, turn, at: at.oriented(node.args[0], not turn),
        _batch_matrix,
        lambda node, at: transposed(at.summed(node.args[0])),
    ),
    "outer": Rule(_row_outer, _batch_matrix, _summed_outer),
    "total": Rule(lambda node, turn, at: total(at.either(node.args[0])), _batch_total),
    "broadcast": Rule(_turned, _batch_broadcast, _summed_broadcast),
    "ones": Rule(_turned, _batch_matrix),
    "concat": ON_VECTORS,
    "part": ON_VECTORS,
    "pad": ON_VECTORS,
    "entry": ON_VECTORS,
    "softmax": ON_VECTORS,
    "lookup": Rule(lambda node, turn, at: lookup(at.oriented(node.args[0], False), node.args[1]), _batch_lookup),
    "scatter": Rule(_row_scatter, _batch_scatter, _summed_scatter),
    "cross_entropy": ON_VECTORS,
}
