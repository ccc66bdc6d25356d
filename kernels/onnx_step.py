"""A cell's step as a function of ONNX: each line of the cell as nodes, for a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Symbol

from ..derive.arithmetic import apply_float
from ..derive.cell import Cell, previous
from ..derive.errors import Error
from ..derive.functions import Elementwise
from ..derive.interpret import evaluate
from ..derive.linear import Node, is_one_hot, transpose
from ..derive.notation import inverted, split_sign
from ..derive.sizes import size_from

OPSET = 17
DOMAIN = "bptt"
FUNCTIONS = {
    "tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin",
    "cos": "Cos", "arctan": "Atan", "erf": "Erf", "softplus": "Softplus", "abs": "Abs", "sign": "Sign", "max": "Max",
    "min": "Min",
}  # fmt: skip


@dataclass(frozen=True)
class Value:
    """A value of the graph.

    Attributes:
        name: in the graph.
        rank: how many axes it has, without that of the batch.
        batched: whether its first axis is the batch's.
    """

    name: str
    rank: int
    batched: bool


class Writer:
    """Writes nodes, each value under a name of its own.

    Args:
        onnx: the package.
        taken: names that are in use.
        kind: of all numbers that aren't whole: a NumPy dtype.
    """

    def __init__(self, onnx: Any, taken: Sequence[str], kind: Any) -> None:
        self.onnx, self.kind = onnx, np.dtype(kind)
        self.taken = set(taken)
        self.nodes: list[Any] = []
        self.target = "value"

    def name(self, wish: str) -> str:
        """Return a name that isn't taken, as wished for or with a number behind it, and take it."""
        found, number = wish, 1
        while found in self.taken:
            number += 1
            found = f"{wish}_{number}"
        self.taken.add(found)
        return found

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        output = output or self.name(f"{self.target}_{kind.lower()}")
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, value: Any, kind: Any = None) -> str:
        array = np.asarray(value, self.kind if kind is None else kind)
        return self.node("Constant", value=self.onnx.numpy_helper.from_array(array))

    def whole(self, *values: int) -> str:
        """Return a list of whole numbers."""
        return self.constant(values, np.int64)


class StepWriter(Writer):
    """Writes the lines of a cell.

    Args:
        cell: any.
        values: what parameters, inputs and states before the step are called.
        sizes: what dimensions are called that are given as lists of one number.

    Attributes:
        first: a value of each sample, None where there is none.
    """

    def __init__(
        self,
        onnx: Any,
        cell: Cell,
        values: Mapping[Symbol, Value],
        sizes: Mapping[str, str],
        taken: Sequence[str],
        kind: Any,
    ) -> None:
        super().__init__(onnx, taken, kind)
        self.cell, self.values, self.sizes = cell, dict(values), sizes
        self.first = next((value for value in values.values() if value.batched), None)

    def write(self) -> None:
        """Write each line; its value is then among `values`."""
        for line in self.cell.equations:
            self.target = line.target.name
            found = self.lower(line.written)
            shape = self.cell.shapes[line.target]
            if line.target.name in self.cell.states and (not found.batched or found.rank < len(shape)):
                like = self.values[previous(line.target.name)]
                found = self.spread(found, self.node("Shape", like.name), like.rank)
            self.values[line.target] = found

    def for_each_sample(self, value: Value) -> Value:
        """Return a value once for each sample, where there are samples."""
        if value.batched or self.first is None:
            return value
        batch = self.node("Shape", self.first.name, start=0, end=1)
        shape = self.node("Concat", batch, self.node("Shape", value.name), axis=0)
        return self.spread(value, shape, value.rank)

    def spread(self, value: Value, shape: str, rank: int) -> Value:
        """Repeat a value to a shape, that of the batch first."""
        return Value(self.node("Expand", self.aligned(value, rank), shape), rank, True)

    def aligned(self, value: Value, rank: int) -> str:
        """Return a value for use with others of a rank, entry by entry: the axes it lacks follow the batch's."""
        if not value.batched or value.rank >= rank:
            return value.name
        return self.node("Unsqueeze", value.name, self.whole(*range(1, 1 + rank - value.rank)))

    def entrywise(self, kind: str, *values: Value, **attributes: Any) -> Value:
        rank = max(value.rank for value in values)
        name = self.node(kind, *(self.aligned(value, rank) for value in values), **attributes)
        return Value(name, rank, any(value.batched for value in values))

    def number(self, value: float) -> Value:
        return Value(self.constant(value), 0, False)

    def lower(self, expr: Expr) -> Value:
        """Write an expression and return its value."""
        if isinstance(expr, Symbol):
            return self._size_as_number(expr) if expr.is_integer else self.values[expr]
        if isinstance(expr, Node):
            return self._map(expr)
        if not expr.atoms(Symbol):
            return self.number(float(evaluate(expr, {}, {}, apply_float)))
        if isinstance(expr, Elementwise):
            return self._function(expr.rule.name, [self.lower(argument) for argument in expr.args])
        if isinstance(expr, sympy.Add):
            return self._sum(expr)
        if isinstance(expr, sympy.Mul):
            return self._factors(expr)
        if isinstance(expr, sympy.Pow):
            return self._factors(expr) if expr.exp.is_negative else self._power(expr)
        raise Error(f"{expr} can't be written for ONNX: {type(expr).__name__} has no operator there")

    def _sum(self, expr: sympy.Add) -> Value:
        found = self.lower(expr.args[0])
        for term in expr.args[1:]:
            negative, factors = split_sign(term)
            kept = sympy.Mul(*factors, evaluate=False) if negative else term
            found = self.entrywise("Sub" if negative else "Add", found, self.lower(kept))
        return found

    def _factors(self, expr: Expr) -> Value:
        negative, factors = split_sign(expr)
        below = [isinstance(factor, sympy.Pow) and factor.exp.is_negative for factor in factors]
        above = [self.lower(factor) for factor, under in zip(factors, below, strict=True) if not under]
        found = reduce(lambda left, right: self.entrywise("Mul", left, right), above) if above else self.number(1)
        for factor, under in zip(factors, below, strict=True):
            if under:
                found = self.entrywise("Div", found, self.lower(inverted(factor)))
        return self.entrywise("Neg", found) if negative else found

    def _power(self, expr: sympy.Pow) -> Value:
        base = self.lower(expr.base)
        if expr.exp == 1:
            return base
        if expr.exp == 2:
            return self.entrywise("Mul", base, base)
        if expr.exp == sympy.Rational(1, 2):
            return self.entrywise("Sqrt", base)
        return self.entrywise("Pow", base, self.number(float(expr.exp)))

    def _function(self, name: str, args: list[Value]) -> Value:
        if name == "silu":
            return self.entrywise("Mul", args[0], self.entrywise("Sigmoid", args[0]))
        if name in ("step", "geq"):
            if name == "step":
                asked = self.entrywise("Greater", args[0], self.number(0))
            else:
                asked = self.entrywise("GreaterOrEqual", *args)
            return self.entrywise("Cast", asked, to=self.onnx.helper.np_dtype_to_tensor_dtype(self.kind))
        if name not in FUNCTIONS:
            raise Error(
                f"the function {name} can't be written for ONNX. Known: {', '.join([*FUNCTIONS, 'silu', 'step'])}."
            )
        return self.entrywise(FUNCTIONS[name], *args)

    def size(self, expr: Expr) -> str:
        """Return a size as a list of one whole number."""
        if isinstance(expr, Symbol):
            return self._length(expr)
        if not expr.atoms(Symbol):
            return self.whole(int(expr))
        kind = "Add" if isinstance(expr, sympy.Add) else "Mul"
        return reduce(lambda left, right: self.node(kind, left, right), map(self.size, expr.args))

    def _length(self, size: Symbol) -> str:
        """Read a size from a value that has it, where it isn't given."""
        if size.name in self.sizes:
            return self.sizes[size.name]
        for symbol, value in self.values.items():
            for place, length in enumerate(self._dimensions(symbol)):
                if length == size:
                    start = place + value.batched
                    return self.node("Shape", value.name, start=start, end=start + 1)
        raise Error(
            f"the size {size} can't be read from any parameter, input or state, so it can't be written for ONNX"
        )

    def _dimensions(self, symbol: Symbol) -> Sequence[Expr]:
        for state in self.cell.states:
            if symbol == previous(state):
                return tuple(map(size_from, self.cell.states[state]))
        return self.cell.shapes.get(symbol, ())

    def _size_as_number(self, size: Symbol) -> Value:
        whole = self.node("Squeeze", self._length(size), self.whole(0))
        return Value(self.node("Cast", whole, to=self.onnx.helper.np_dtype_to_tensor_dtype(self.kind)), 0, False)

    def _shape(self, sizes: Sequence[Expr]) -> str:
        if not sizes:
            return self.whole()
        return self.node("Concat", *map(self.size, sizes), axis=0)

    def _map(self, expr: Node) -> Value:
        name = expr.func.__name__
        if name not in MAPS:
            raise Error(f"{name} can't be written for ONNX: it belongs to derivatives alone. Known: {', '.join(MAPS)}.")
        return MAPS[name](self, *expr.args)


def _product(writer: StepWriter, left: Expr, right: Expr) -> Value:
    """Write a product; of a matrix and a batch of vectors as the batch times the transpose."""
    turned = isinstance(left, transpose)
    one, two = writer.lower(left.args[0] if turned else left), writer.lower(right)
    batched = one.batched or two.batched
    if one.rank == two.rank == 1:
        return _added_up(writer, writer.entrywise("Mul", one, two), 1)
    if one.rank == 2 and two.rank == 1 and two.batched and not one.batched:
        matrix = one.name if turned else writer.node("Transpose", one.name, perm=[1, 0])
        return Value(writer.node("MatMul", two.name, matrix), 1, True)
    if turned:
        one = _transpose(writer, one)
    if two.rank == 1:
        columns = writer.node("MatMul", one.name, writer.node("Unsqueeze", two.name, writer.whole(-1)))
        return Value(writer.node("Squeeze", columns, writer.whole(-1)), 1, batched)
    if one.rank == 1:
        rows = writer.node("MatMul", writer.node("Unsqueeze", one.name, writer.whole(-2)), two.name)
        return Value(writer.node("Squeeze", rows, writer.whole(-2)), 1, batched)
    return Value(writer.node("MatMul", one.name, two.name), 2, batched)


def _transpose(writer: StepWriter, matrix: Value) -> Value:
    order = [0, 2, 1] if matrix.batched else [1, 0]
    return Value(writer.node("Transpose", matrix.name, perm=order), 2, matrix.batched)


def _outer(writer: StepWriter, left: Expr, right: Expr) -> Value:
    one, two = writer.lower(left), writer.lower(right)
    column = writer.node("Unsqueeze", one.name, writer.whole(-1))
    row = writer.node("Unsqueeze", two.name, writer.whole(-2))
    return Value(writer.node("Mul", column, row), 2, one.batched or two.batched)


def _added_up(writer: StepWriter, value: Value, rank: int) -> Value:
    """Sum over all axes but the batch's."""
    if not rank:
        return value
    name = writer.node("ReduceSum", value.name, writer.whole(*range(-rank, 0)), keepdims=0)
    return Value(name, 0, value.batched)


def _total(writer: StepWriter, argument: Expr) -> Value:
    value = writer.lower(argument)
    return _added_up(writer, value, value.rank)


def _concat(writer: StepWriter, *pieces: Expr) -> Value:
    values = [writer.lower(piece) for piece in pieces]
    if any(value.batched for value in values):
        values = [writer.for_each_sample(value) for value in values]
    return Value(writer.node("Concat", *(value.name for value in values), axis=-1), 1, values[0].batched)


def _part(writer: StepWriter, vector: Expr, start: Expr, stop: Expr) -> Value:
    value = writer.lower(vector)
    name = writer.node("Slice", value.name, writer.size(start), writer.size(stop), writer.whole(-1))
    return Value(name, value.rank, value.batched)


def _entry(writer: StepWriter, vector: Expr, index: Expr) -> Value:
    value = writer.lower(vector)
    name = writer.node("Gather", value.name, writer.size(index), axis=-1)
    return Value(writer.node("Squeeze", name, writer.whole(-1)), value.rank - 1, value.batched)


def _lookup(writer: StepWriter, table: Expr, index: Symbol) -> Value:
    rows, place = writer.lower(table), writer.values[index]
    if not rows.batched:
        return Value(writer.node("Gather", rows.name, place.name, axis=0), rows.rank - 1, True)
    columns = writer.node("Unsqueeze", place.name, writer.whole(-1))
    return Value(writer.node("GatherND", rows.name, columns, batch_dims=1), rows.rank - 1, True)


def _broadcast(writer: StepWriter, number: Expr, *sizes: Expr) -> Value:
    value = writer.lower(number)
    shape = writer._shape(sizes)
    if value.batched:
        shape = writer.node("Concat", writer.node("Shape", value.name, start=0, end=1), shape, axis=0)
        return writer.spread(value, shape, len(sizes))
    return Value(writer.node("Expand", value.name, shape), len(sizes), False)


def _softmax(writer: StepWriter, vector: Expr) -> Value:
    return writer.entrywise("Softmax", writer.lower(vector), axis=-1)


def _cross_entropy(writer: StepWriter, logits: Expr, target: Expr) -> Value:
    """Write log Σ exp(u) less the target's entry of u, or yᵀ u."""
    value = writer.for_each_sample(writer.lower(logits))
    whole = Value(writer.node("ReduceLogSumExp", value.name, axes=[-1], keepdims=0), 0, value.batched)
    if not is_one_hot(target):
        product = writer.entrywise("Mul", writer.lower(target), value)
        return writer.entrywise("Sub", whole, _added_up(writer, product, 1))
    place = writer.node("Unsqueeze", writer.values[target.args[1]].name, writer.whole(-1))
    picked = writer.node("GatherND", value.name, place, batch_dims=1)
    return writer.entrywise("Sub", whole, Value(picked, 0, True))


MAPS: dict[str, Callable[..., Value]] = {
    "product": _product,
    "transpose": lambda writer, matrix: _transpose(writer, writer.lower(matrix)),
    "outer": _outer,
    "total": _total,
    "concat": _concat,
    "part": _part,
    "entry": _entry,
    "lookup": _lookup,
    "broadcast": _broadcast,
    "ones": lambda writer, *sizes: _broadcast(writer, sympy.Integer(1), *sizes),
    "softmax": _softmax,
    "cross_entropy": _cross_entropy,
}
