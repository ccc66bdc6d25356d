"""What expressions mean, entry by entry: a slow, plain interpreter over NumPy arrays of any kind of number.

The entries may be floats, complex numbers, mpmath numbers or SymPy expressions; only the meaning of an elementwise
function is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy
from sympy import Expr, MatrixExpr, Symbol
from sympy.matrices.expressions import BlockMatrix, Identity, MatAdd, MatMul, MatrixSymbol, Transpose, ZeroMatrix

from .errors import Error
from .functions import Elementwise, exp, log
from .jacobian import Column, Diagonal, Rows
from .linear import Node
from .program import Program

Array = np.ndarray[Any, Any]
Apply = Callable[..., Any]


def size(expr: Expr, sizes: Mapping[str, int]) -> int:
    """Return a dimension as a number.

    >>> n = Symbol("n", integer=True, positive=True)
    >>> size(n + 1, {"n": 4})
    5
    """
    dimensions = [expr] if isinstance(expr, Symbol) else sorted(expr.atoms(Symbol), key=str)
    unknown = [symbol.name for symbol in dimensions if symbol.name not in sizes]
    if unknown:
        raise Error(f"the size of dimension {', '.join(unknown)} is not given; given: {dict(sizes)}")
    return int(expr.xreplace({symbol: sympy.Integer(sizes[symbol.name]) for symbol in dimensions}))


def evaluate(expr: Expr, values: Mapping[Symbol, Array], sizes: Mapping[str, int], apply: Apply, one: Any = 1) -> Array:
    """Return the value of an expression.

    Args:
        expr: an expression of a program.
        values: symbol -> array of the symbol's shape.
        sizes: dimension -> number.
        apply: (function class, *scalars) -> scalar: what an elementwise function does to one entry.
        one: the number 1 in the kind of number used; rational constants are made from it.
    """

    def value(part: Expr) -> Array:
        return evaluate(part, values, sizes, apply, one)

    if isinstance(expr, Symbol):
        return np.asarray(size(expr, sizes) * one) if expr.is_integer else values[expr]
    if isinstance(expr, sympy.Rational):
        return np.asarray(expr.p * one / expr.q if expr.q != 1 else expr.p * one)
    if isinstance(expr, Node):
        return _node(expr, value, sizes, apply, one)
    if isinstance(expr, Elementwise):
        return np.asarray(
            np.frompyfunc(lambda *entries: apply(expr.func, *entries), len(expr.args), 1)(*map(value, expr.args))
        )
    if expr.is_NumberSymbol:
        return np.asarray(apply(expr))
    operands = list(map(value, expr.args))
    if isinstance(expr, sympy.Pow):
        return _power(operands[0], expr.exp, apply)
    result = operands[0]
    for operand in operands[1:]:
        result = result + operand if isinstance(expr, sympy.Add) else result * operand
    return np.asarray(result)


def run(
    program: Program, values: Mapping[Symbol, Array], sizes: Mapping[str, int], apply: Apply, one: Any = 1
) -> dict[Symbol, Array]:
    """Carry out a program and return the values of all its symbols, each in its full shape."""
    known = dict(values)
    for step in program.steps:
        shape = tuple(size(dimension, sizes) for dimension in program.shapes[step.target])
        known[step.target] = np.broadcast_to(evaluate(step.expr, known, sizes, apply, one), shape)
    return known


def matrix(
    expr: MatrixExpr, values: Mapping[Symbol, Array], sizes: Mapping[str, int], apply: Apply, one: Any = 1
) -> Array:
    """Return the value of a matrix expression such as a Jacobian block; arguments as for `evaluate`."""

    def inner(part: MatrixExpr) -> Array:
        return matrix(part, values, sizes, apply, one)

    def vector(entries: Expr, length: Expr) -> Array:
        return np.broadcast_to(evaluate(entries, values, sizes, apply, one), size(length, sizes))

    match expr:
        case Diagonal():
            entries = vector(*expr.args)
            return np.where(np.eye(len(entries), dtype=bool), entries, 0 * one)
        case Column():
            return vector(*expr.args)[:, None]
        case Rows():
            start, stop, length = (size(part, sizes) for part in expr.args)
            return np.eye(length, dtype=int)[start:stop] * one
        case Identity():
            return np.eye(size(expr.args[0], sizes), dtype=int) * one
        case ZeroMatrix():
            return np.full([size(part, sizes) for part in expr.shape], 0 * one)
        case Transpose():
            return inner(expr.args[0]).T
        case MatrixSymbol():
            return values[Symbol(expr.name)]
        case BlockMatrix():
            rows, columns = expr.blockshape
            return np.block([[inner(expr.blocks[row, column]) for column in range(columns)] for row in range(rows)])
        case MatAdd():
            return np.asarray(sum(map(inner, expr.args[1:]), inner(expr.args[0])))
        case MatMul():
            coefficient, factors = expr.as_coeff_matrices()
            product = inner(factors[0])
            for factor in factors[1:]:
                product = np.dot(product, inner(factor))
            return product if coefficient == 1 else evaluate(coefficient, values, sizes, apply, one) * product
    raise TypeError(f"the interpreter has no meaning for the matrix {type(expr).__name__}")


def _power(base: Array, exponent: sympy.Rational, apply: Apply) -> Array:
    if exponent.q == 1:
        return np.asarray(base ** int(exponent) if exponent > 0 else 1 / base ** int(-exponent))
    return np.asarray(np.frompyfunc(lambda entry: apply(sympy.Pow, entry, exponent), 1, 1)(base))


def _node(node: Node, value: Callable[[Expr], Array], sizes: Mapping[str, int], apply: Apply, one: Any) -> Array:
    match node.func.__name__:
        case "product":
            return np.asarray(np.dot(value(node.args[0]), value(node.args[1])))
        case "transpose":
            return value(node.args[0]).T
        case "outer":
            return np.multiply.outer(value(node.args[0]), value(node.args[1]))
        case "total":
            return np.asarray(value(node.args[0]).sum())
        case "broadcast":
            number = value(node.args[0])
            return np.broadcast_to(number, tuple(size(s, sizes) for s in node.args[1:]))
        case "ones":
            return np.full(tuple(size(s, sizes) for s in node.args), one)
        case "concat":
            return np.concatenate([value(piece) for piece in node.args], axis=-1)
        case "part":
            return value(node.args[0])[..., size(node.args[1], sizes) : size(node.args[2], sizes)]
        case "pad":
            inner, start, length = value(node.args[0]), size(node.args[1], sizes), size(node.args[2], sizes)
            padded = np.full((*inner.shape[:-1], length), 0 * one, dtype=inner.dtype)
            padded[..., start : start + inner.shape[-1]] = inner
            return padded
        case "entry":
            return np.asarray(value(node.args[0])[..., size(node.args[1], sizes)])
        case "softmax":
            rows = value(node.args[0])
            return np.stack([_softmax(row, apply) for row in np.atleast_2d(rows)]).reshape(rows.shape)
        case "lookup":
            return np.asarray(value(node.args[0])[value(node.args[1]).astype(int)])
        case "scatter":
            return _scatter(value(node.args[0]), value(node.args[1]).astype(int), size(node.args[2], sizes), one)
        case "cross_entropy":
            pairs = zip(*(np.atleast_2d(value(argument)) for argument in node.args), strict=True)
            losses = [_cross_entropy(logits, target, apply) for logits, target in pairs]
            return np.asarray(losses).reshape(value(node.args[0]).shape[:-1])
    raise TypeError(f"the interpreter has no meaning for {node.func.__name__}")


def _scatter(rows: Array, index: Array, length: int, one: Any) -> Array:
    if index.ndim and rows.ndim < 2:
        spread = np.full((len(index), length), 0 * one, dtype=rows.dtype)
        spread[np.arange(len(index)), index] = rows
        return spread
    spread = np.full((length, *rows.shape[index.ndim :]), 0 * one, dtype=rows.dtype)
    np.add.at(spread, index, rows)
    return spread


def _softmax(vector: Array, apply: Apply) -> Array:
    _, grown = _exponentials(vector, apply)
    return np.asarray(grown / grown.sum())


def _cross_entropy(logits: Array, target: Array, apply: Apply) -> Any:
    """Return log Σ exp(u) − yᵀ u, which is −Σ y log softmax(u) where the entries of y sum to 1."""
    shift, grown = _exponentials(logits, apply)
    return shift + apply(log, grown.sum()) - (target * logits).sum()


def _exponentials(vector: Array, apply: Apply) -> tuple[Any, Array]:
    """Return (shift, exp(vector − shift)): the shift keeps numbers in range, symbols have none."""
    shift = max(vector, key=lambda entry: entry.real) if vector.dtype != object else 0
    return shift, np.frompyfunc(lambda entry: apply(exp, entry), 1, 1)(vector - shift)
