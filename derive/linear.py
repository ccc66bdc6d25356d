"""Maps between tensors that aren't elementwise, each an opaque node with one rule for its transpose.

This table and `sympy.diff` on what lies between the nodes are the whole of reverse mode, and of forward mode too. A
node is linear in each of its arguments: its tangent is a sum over the arguments, with one replaced by its tangent in
each term. `concat` is linear in all of them together; `softmax` and `cross_entropy` aren't linear: their rules are
written in the softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy
from sympy import Expr, Integer, Symbol

from .written import added, multiplied, negated

Shape = tuple[Expr, ...]
Shapes = Mapping[Symbol, Shape]


class Node(sympy.Function):
    """Base of the tensor maps; `node(...)` below makes the concrete ones."""

    rule: Map

    @classmethod
    def eval(cls, *args: Expr) -> None:
        """Never evaluate by itself."""

    def _eval_evalf(self, prec: int) -> None:
        """Have no value: mpmath has functions of the same names, such as `ones`."""

    def fdiff(self, argindex: int = 1) -> Expr:
        raise TypeError(f"{self.func.__name__} is differentiated by its transpose, not entry by entry")


Transpose = Callable[[Expr, "Node", int, Shapes], Expr]
Tangent = Callable[[tuple[Expr | None, ...], "Node", Shapes], list[Expr]]


def _one_by_one(tangents: tuple[Expr | None, ...], at: Node, shapes: Shapes) -> list[Expr]:
    """Return the tangent of a map that is linear in each argument: a term for each argument that moves."""
    moving = [(index, tangent) for index, tangent in enumerate(tangents) if tangent is not None]
    return [at.func(*at.args[:index], tangent, *at.args[index + 1 :]) for index, tangent in moving]


@dataclass(frozen=True)
class Map:
    """What is known of a tensor map.

    Attributes:
        name: the node's name.
        shape: (node, shapes) -> shape of the value.
        transpose: (adjoint of the value, node, index, shapes) -> adjoint of the argument at that index.
        tensors: how many leading arguments are tensors (the rest are sizes); None for all of them.
        why: the rule in words, for the derivation's justification column.
        tangent: (tangents of the tensor arguments, None for one that stays; node, shapes) -> the terms of the value's
            tangent; by default that of a map which is linear in each argument.
    """

    name: str
    shape: Callable[[Node, Shapes], Shape]
    transpose: Transpose
    tensors: int | None
    why: str
    tangent: Tangent = _one_by_one

    @property
    def is_linear(self) -> bool:
        """Whether the map is linear in each argument by itself."""
        return self.tangent is _one_by_one


NODES: dict[str, type[Node]] = {}


def node(
    name: str,
    shape: Callable[[Node, Shapes], Shape],
    transpose: Transpose,
    *,
    tensors: int | None = 1,
    why: str,
    tangent: Tangent = _one_by_one,
) -> type[Node]:
    """Enter a tensor map into the table; a second rule for a name is an error."""
    if name in NODES:
        raise KeyError(f"the table of tensor maps already has a rule for {name!r}")
    NODES[name] = type(name, (Node,), {"rule": Map(name, shape, transpose, tensors, why, tangent)})
    return NODES[name]


def shape_of(expr: Expr, shapes: Shapes) -> Shape:
    """Return the shape of an expression: its own rule's for a node, else that of its tensor operands."""
    if isinstance(expr, Symbol):
        return shapes.get(expr, ())
    if isinstance(expr, Node):
        return expr.rule.shape(expr, shapes)
    return max((shape_of(operand, shapes) for operand in expr.args), key=len, default=())


def tensor_arguments(at: Node) -> tuple[Expr, ...]:
    """Return the arguments that are tensors, without sizes and bounds."""
    return at.args[: at.rule.tensors]


def transposed(expr: Expr) -> Expr:
    """Return the transpose of a matrix expression, pushed inwards as far as it goes."""
    if isinstance(expr, transpose):
        return expr.args[0]
    if isinstance(expr, outer):
        return outer(expr.args[1], expr.args[0])
    if isinstance(expr, sympy.Mul) and expr.args[0].is_Rational:
        return multiplied(expr.args[0], transposed(multiplied(*expr.args[1:])))
    return transpose(expr)


def _product_transpose(bar: Expr, at: Node, index: int, shapes: Shapes) -> Expr:
    left, right = at.args
    if index == 1:
        return product(transposed(left), bar)
    return outer(bar, right) if len(shape_of(right, shapes)) == 1 else product(bar, transposed(right))


def _concat_transpose(bar: Expr, at: Node, index: int, shapes: Shapes) -> Expr:
    sizes = [shape_of(piece, shapes)[0] for piece in at.args]
    start = sympy.Add(*sizes[:index])
    return part(bar, start, start + sizes[index])


def _concat_tangent(tangents: tuple[Expr | None, ...], at: Node, shapes: Shapes) -> list[Expr]:
    """Stack the tangents; where some pieces stay, put those of the others among zeros."""
    if all(tangent is not None for tangent in tangents):
        return [concat(*tangents)]
    start, terms = Integer(0), []
    for piece, tangent in zip(at.args, tangents, strict=True):
        if tangent is not None:
            terms.append(pad(tangent, start, shape_of(at, shapes)[0]))
        start += shape_of(piece, shapes)[0]
    return terms


def _rows(at: Node, shapes: Shapes) -> Shape:
    """Return the sizes before the last, along which a map of vectors acts on each row of a batch alike."""
    return shape_of(at.args[0], shapes)[:-1]


def _scatter_shape(at: Node, shapes: Shapes) -> Shape:
    """With an index for each sample, numbers are put into a row each, and rows are added up into one matrix."""
    row, index, size = shape_of(at.args[0], shapes), shape_of(at.args[1], shapes), at.args[2]
    return (*index, size) if index and len(row) < 2 else (size, *row[len(index) :])


def _cross_entropy_transpose(bar: Expr, at: Node, index: int, shapes: Shapes) -> Expr:
    logits, target = at.args
    return multiplied(bar, (added(softmax(logits), negated(target)), negated(logits))[index])


def _cross_entropy_tangent(tangents: tuple[Expr | None, ...], at: Node, shapes: Shapes) -> list[Expr]:
    slopes = [_cross_entropy_transpose(Integer(1), at, index, shapes) for index in range(2)]
    return [total(multiplied(slope, moved)) for slope, moved in zip(slopes, tangents, strict=True) if moved is not None]


def _softmax_transpose(bar: Expr, at: Node, index: int, shapes: Shapes) -> Expr:
    return multiplied(at, added(bar, negated(total(multiplied(at, bar)))))


product = node(
    "product",
    lambda at, shapes: shape_of(at.args[0], shapes)[:-1] + shape_of(at.args[1], shapes)[1:],
    _product_transpose,
    tensors=2,
    why="the transpose of u ↦ A u is v ↦ Aᵀ v; that of A ↦ A u is v ↦ v uᵀ",
)
transpose = node(
    "transpose",
    lambda at, shapes: shape_of(at.args[0], shapes)[::-1],
    lambda bar, at, index, shapes: transposed(bar),
    why="transposing is its own transpose",
)
outer = node(
    "outer",
    lambda at, shapes: shape_of(at.args[0], shapes) + shape_of(at.args[1], shapes),
    lambda bar, at, index, shapes: product((bar, transposed(bar))[index], at.args[1 - index]),
    tensors=2,
    why="the transpose of u ↦ u vᵀ is A ↦ A v; that of v ↦ u vᵀ is A ↦ Aᵀ u",
)
total = node(
    "total",
    lambda at, shapes: (),
    lambda bar, at, index, shapes: broadcast(bar, *shape_of(at.args[0], shapes)),
    why="the transpose of a sum spreads the adjoint over every entry",
)
broadcast: type[Node] = node(
    "broadcast",
    lambda at, shapes: at.args[1:],
    lambda bar, at, index, shapes: total(bar),
    why="the transpose of spreading a number over entries is their sum",
)
ones = node("ones", lambda at, shapes: at.args, lambda bar, at, index, shapes: bar, tensors=0, why="a constant")
concat = node(
    "concat",
    lambda at, shapes: (*_rows(at, shapes), sympy.Add(*(shape_of(piece, shapes)[-1] for piece in at.args))),
    _concat_transpose,
    tensors=None,
    why="the transpose of stacking takes the piece back out",
    tangent=_concat_tangent,
)
part = node(
    "part",
    lambda at, shapes: (*_rows(at, shapes), at.args[2] - at.args[1]),
    lambda bar, at, index, shapes: pad(bar, at.args[1], shape_of(at.args[0], shapes)[0]),
    why="the transpose of taking a piece puts it back among zeros",
)
pad: type[Node] = node(
    "pad",
    lambda at, shapes: (*_rows(at, shapes), at.args[2]),
    lambda bar, at, index, shapes: part(bar, at.args[1], at.args[1] + shape_of(at.args[0], shapes)[0]),
    why="the transpose of padding with zeros takes the piece back out",
)
entry = node(
    "entry",
    _rows,
    lambda bar, at, index, shapes: pad(broadcast(bar, Integer(1)), at.args[1], shape_of(at.args[0], shapes)[0]),
    why="the transpose of reading one entry puts it back among zeros",
)
softmax = node(
    "softmax",
    lambda at, shapes: shape_of(at.args[0], shapes),
    _softmax_transpose,
    why="for y = softmax(u) the Jacobian is diag(y) − y yᵀ, which is symmetric",
    tangent=lambda tangents, at, shapes: [_softmax_transpose(tangents[0], at, 0, shapes)],
)
lookup = node(
    "lookup",
    lambda at, shapes: shape_of(at.args[1], shapes) + shape_of(at.args[0], shapes)[1:],
    lambda bar, at, index, shapes: scatter(bar, at.args[1], shape_of(at.args[0], shapes)[0]),
    why="the transpose of reading a row adds the adjoint to that row alone",
)
scatter: type[Node] = node(
    "scatter",
    _scatter_shape,
    lambda bar, at, index, shapes: lookup(bar, at.args[1]),
    why="the transpose of putting a row among zeros reads it out",
)
cross_entropy = node(
    "cross_entropy",
    _rows,
    _cross_entropy_transpose,
    tensors=2,
    why="for L = log Σ exp(u) − yᵀ u the slopes are ∂L/∂u = softmax(u) − y and ∂L/∂y = −u",
    tangent=_cross_entropy_tangent,
)


def without_zeros(expr: Expr) -> Expr:
    """Return an expression without terms that are 0, and maps and products of what is 0.

    >>> x, y = sympy.symbols("x y")
    >>> without_zeros(y * total(sympy.Add(0, x, evaluate=False))), without_zeros(total(Integer(0)) + y)
    (y*total(x), y)
    """
    if not expr.args:
        return expr
    args = [without_zeros(operand) for operand in expr.args]
    if isinstance(expr, sympy.Add):
        return added(*args)
    vanishing = args if isinstance(expr, sympy.Mul) else []
    if isinstance(expr, Node) and expr.rule.is_linear:
        vanishing = args[: expr.rule.tensors]
    if 0 in vanishing:
        return Integer(0)
    return expr.func(*args, evaluate=False) if isinstance(expr, sympy.Mul | sympy.Pow) else expr.func(*args)


def one_hot(index: Symbol, size: Expr) -> Node:
    """Return the vector with 1 at `index` and 0 elsewhere.

    >>> one_hot(Symbol("w"), Integer(3))
    scatter(1, w, 3)
    """
    return scatter(Integer(1), index, size)


def is_one_hot(expr: Expr) -> bool:
    """Return whether an expression is what `one_hot` gives."""
    return isinstance(expr, scatter) and expr.args[0] == 1
