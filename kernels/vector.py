"""Vectors of floats for Numba: values of one SIMD register that generated code loads, computes with and stores.

LLVM's own vectoriser leaves loops over many arrays scalar. With a type for a register's worth of entries, code is
vectorised by construction. `left` says how many entries are left in a row: no lane past them is read or written.

With Numba switched off, the same names work on NumPy arrays: a vector is then as long as the row.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # it carries no types
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from .values import FEATURES, Value, as_value

BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx2") else 16
WITHOUT_NUMBA = bool(getattr(numba.config, "DISABLE_JIT", False))
PLAIN_LANES = 2**40  # with Numba switched off, one vector holds any row
INDEX = types.intp


def lanes(dtype: Any) -> int:
    """Return how many entries a vector holds on this processor.

    >>> lanes("float32") == 2 * lanes("float64") or WITHOUT_NUMBA
    True
    """
    return PLAIN_LANES if WITHOUT_NUMBA else BYTES // np.dtype(dtype).itemsize


class Vector(types.Type):
    """Numba's type of a vector."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        self.size = dtype.bitwidth // 8  # bytes of a lane
        self.lanes = BYTES // self.size
        super().__init__(name=f"Vector({dtype}, {self.lanes})")

    @property
    def machine(self) -> ir.VectorType:
        """LLVM's type of it."""
        return ir.VectorType(ir.FloatType() if self.dtype.bitwidth == 32 else ir.DoubleType(), self.lanes)


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, vector.machine)


NUMBERS = (types.Float, types.Integer, types.IntegerLiteral)


def _arithmetic(operation: Callable[..., Any]) -> None:
    """Let vectors be combined with vectors and with numbers."""

    @infer_global(operation)
    class _Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            vectors = [arg for arg in args if isinstance(arg, Vector)]
            if vectors and all(isinstance(arg, (Vector, *NUMBERS)) for arg in args):
                return signature(vectors[0], *args)
            return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        machine = sig.return_type.machine
        return operation(*(as_value(builder, arg, machine) for arg in args)).value

    lower_builtin(operation, Vector, Vector)(lower)
    for number in NUMBERS:
        lower_builtin(operation, Vector, number)(lower)
        lower_builtin(operation, number, Vector)(lower)


for _operation in (operator.add, operator.sub, operator.mul, operator.truediv):
    _arithmetic(_operation)


@infer_global(operator.neg)
class _Negation(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(args[0], args[0]) if isinstance(args[0], Vector) else None


@lower_builtin(operator.neg, Vector)
def _negate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.fneg(args[0])


def on_vectors(count: int, plain: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of `Value`s a function of vectors in compiled code; `plain` is what it is without Numba."""

    def made(build: Callable[..., Value]) -> Any:
        if WITHOUT_NUMBA:
            return plain

        def typed(*given: Any) -> Any:
            vectors = [arg for arg in given if isinstance(arg, Vector)]
            if not vectors or not all(isinstance(arg, (Vector, *NUMBERS)) for arg in given):
                return None

            def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
                machine = sig.return_type.machine
                return build(*(as_value(builder, arg, machine) for arg in args)).value

            return vectors[0](*given), lower

        if count == 1:
            return intrinsic(lambda typing, x: typed(x))
        return intrinsic(lambda typing, x, y: typed(x, y))

    return made


def _address(context: Any, builder: Any, kind: Any, array: Any, row: Any, column: Any) -> Any:
    """Return the address of an entry of a contiguous matrix."""
    made = context.make_array(kind)(context, builder, array)
    [_, width] = cgutils.unpack_tuple(builder, made.shape, 2)
    return builder.gep(made.data, [builder.add(builder.mul(row, width), column)])


def _mask(builder: Any, left: Any, count: int) -> Any:
    """Return which lanes hold entries that are left."""
    number = ir.IntType(32)
    many = ir.VectorType(number, count)
    within = builder.trunc(left, number)
    spread = builder.insert_element(ir.Constant(many, ir.Undefined), within, ir.Constant(number, 0))
    spread = builder.shuffle_vector(spread, ir.Constant(many, ir.Undefined), ir.Constant(many, [0] * count))
    return builder.icmp_signed("<", ir.Constant(many, list(range(count))), spread)


def load_whole(builder: Any, pointer: Any, kind: Vector) -> Any:
    """Load a vector."""
    loaded = builder.load(builder.bitcast(pointer, kind.machine.as_pointer()))
    loaded.align = kind.size
    return loaded


def store_whole(builder: Any, value: Any, pointer: Any, kind: Vector) -> None:
    """Store a vector."""
    builder.store(value, builder.bitcast(pointer, kind.machine.as_pointer())).align = kind.size


def load_left(builder: Any, pointer: Any, kind: Vector, left: Any) -> Any:
    """Load a vector of which so many entries are left; other lanes are 0.

    Where all are left it does without a mask: what was just written is then passed on before it is in the cache.
    """
    found = cgutils.alloca_once(builder, kind.machine)
    with builder.if_else(_is_whole(builder, kind, left), likely=True) as (whole, part):
        with whole:
            builder.store(load_whole(builder, pointer, kind), found)
        with part:
            at = builder.bitcast(pointer, kind.machine.as_pointer())
            rest = [_mask(builder, left, kind.lanes), ir.Constant(kind.machine, [0.0] * kind.lanes)]
            builder.store(_call_masked(builder, "load", kind, kind.machine, [at], rest), found)
    return builder.load(found)


def store_left(builder: Any, value: Any, pointer: Any, kind: Vector, left: Any) -> None:
    """Store those lanes of a vector that hold entries which are left."""
    with builder.if_else(_is_whole(builder, kind, left), likely=True) as (whole, part):
        with whole:
            store_whole(builder, value, pointer, kind)
        with part:
            at = builder.bitcast(pointer, kind.machine.as_pointer())
            _call_masked(builder, "store", kind, ir.VoidType(), [value, at], [_mask(builder, left, kind.lanes)])


def _is_whole(builder: Any, kind: Vector, left: Any) -> Any:
    return builder.icmp_signed(">=", left, ir.IntType(64)(kind.lanes))


def _call_masked(builder: Any, what: str, kind: Vector, result: Any, first: list[Any], rest: list[Any]) -> Any:
    given = [*first, ir.IntType(32)(kind.size), *rest]
    name = f"llvm.masked.{what}.v{kind.lanes}f{8 * kind.size}.p0"
    signature = ir.FunctionType(result, [one.type for one in given])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), given)


def _load(typing: Any, array: Any, row: Any, column: Any, left: Any) -> Any:
    kind = Vector(array.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return load_left(builder, _address(context, builder, sig.args[0], *args[:3]), kind, args[3])

    return kind(array, INDEX, INDEX, INDEX), lower


def _store(typing: Any, array: Any, row: Any, column: Any, left: Any, value: Any) -> Any:
    kind = Vector(array.dtype)
    given = value if isinstance(value, (Vector, *NUMBERS)) else kind

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        stored = as_value(builder, args[4], kind.machine).value
        store_left(builder, stored, _address(context, builder, sig.args[0], *args[:3]), kind, args[3])
        return context.get_dummy_value()

    return types.void(array, INDEX, INDEX, INDEX, given), lower


def _within(typing: Any, value: Any, left: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zeros = ir.Constant(value.machine, [0.0] * value.lanes)
        return builder.select(_mask(builder, args[1], value.lanes), args[0], zeros)

    return value(value, INDEX), lower


def _total(typing: Any, value: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        machine = value.machine
        kind = ir.FunctionType(machine.element, [machine.element, machine])
        name = f"llvm.vector.reduce.fadd.v{value.lanes}f{value.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [ir.Constant(machine.element, -0.0), args[0]], fastmath=("reassoc",))

    return value.dtype(value), lower


def _get(typing: Any, value: Any, lane: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.extract_element(args[0], args[1])

    return value.dtype(value, INDEX), lower


def _put(typing: Any, value: Any, lane: Any, number: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.insert_element(args[0], args[2], args[1])

    return value(value, INDEX, value.dtype), lower


def _lanes_of(typing: Any, value: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(ir.IntType(64), value.lanes)

    return INDEX(value), lower


def _entry_of(typing: Any, value: Any, number: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.cast(builder, args[1], number, value.dtype)

    return value.dtype(value, number), lower


if WITHOUT_NUMBA:

    def load(array: Any, row: int, column: int, left: int) -> Any:
        start = row * array.shape[1] + column
        return array.reshape(-1)[start : start + left]

    def store(array: Any, row: int, column: int, left: int, value: Any) -> None:
        start = row * array.shape[1] + column
        array.reshape(-1)[start : start + left] = value

    def within(value: Any, left: int) -> Any:
        return np.where(np.arange(len(value)) < left, value, 0)

    def total(value: Any) -> Any:
        return np.sum(value)

    def get(value: Any, lane: int) -> Any:
        return value[lane]

else:
    compiled: Any = intrinsic
    load, store, within, total = map(compiled, (_load, _store, _within, _total))
    get, put, lane_count, as_entry = map(compiled, (_get, _put, _lanes_of, _entry_of))


def by_lane(function: Any) -> Any:
    """Return a function of numbers as one of vectors: called lane by lane."""
    if WITHOUT_NUMBA:
        return np.vectorize(function)

    @numba.njit(error_model="numpy")
    def on_each(x: Any) -> Any:
        result = x
        for lane in range(lane_count(x)):
            result = put(result, lane, as_entry(x, function(get(x, lane))))
        return result

    return on_each
