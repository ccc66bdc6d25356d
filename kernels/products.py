"""Matrix products in generated code: packed once, then multiplied at every step.

Matrices are two-dimensional and contiguous; a (row, column) says where in one a block starts. A packed matrix is made
by `pack` for `multiply`, of `packed_size` entries. With Numba switched off the same names work with NumPy.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]  # it carries no types
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

from .cache import load_module, survive_damage
from .vector import INDEX, WITHOUT_NUMBA, _address, lanes

P, I, F = "pointer", "index", "float"
ARGUMENTS = {
    "multiply": (P, I, P, I, P, I, I, I, F, I),
    "outer_sum": (P, I, P, I, P, I, P, I, I, I, F, I),
    "pack": (P, I, I, I, I, P, I, I, I, I),
}
SUMMED_AT_ONCE = 256


def packed_size(columns: int, length: int, dtype: Any) -> int:
    """Return how many entries a packed matrix takes: its columns are filled up to whole vectors."""
    many = 1 if WITHOUT_NUMBA else lanes(dtype)
    return -(-columns // many) * many * length


@numba.njit(error_model="numpy")
def share(rows: int, part: int, parts: int) -> tuple[int, int]:
    """Return the first and last row of one of `parts` shares, each a multiple of 4 rows long but the last.

    >>> share(10, 0, 2), share(10, 1, 2)
    ((0, 4), (4, 10))
    """
    low = rows * part // parts // 4 * 4
    return low, rows if part + 1 == parts else rows * (part + 1) // parts // 4 * 4


@cache
def prepare(dtype: str) -> list[CFunc]:
    """Compile the products for a dtype, or find them on disk, so that generated code can call them."""
    if WITHOUT_NUMBA:
        return []
    text = (Path(__file__).parent / "panels.py").read_text("utf-8")
    module = load_module(text.replace('DTYPE = "float64"', f"DTYPE = {dtype!r}"), f"panels_{dtype}")
    number = {"float32": types.float32, "float64": types.float64}[dtype]
    kinds = {P: types.CPointer(number), I: INDEX, F: number}
    exported = []
    for name, arguments in ARGUMENTS.items():
        signature = types.void(*(kinds[kind] for kind in arguments))
        function: Any = CFunc(
            getattr(module, name), (signature.args, signature.return_type), {}, {"error_model": "numpy"}
        )
        function.enable_caching()
        survive_damage(function._cache, f"matrix products, {dtype}: {name}")
        function.compile()
        binding.add_symbol(f"bptt_{name}_{dtype}", function.address)
        exported.append(function)
    return exported


def _call(context: Any, builder: Any, name: str, dtype: Any, args: list[Any]) -> Any:
    """Call an exported function of `panels.py`."""
    kind = ir.FunctionType(ir.VoidType(), [arg.type for arg in args])
    function = cgutils.get_or_insert_function(builder.module, kind, f"bptt_{name}_{dtype}")
    builder.call(function, args)
    return context.get_dummy_value()


def _width(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    made = context.make_array(kind)(context, builder, array)
    return cgutils.unpack_tuple(builder, made.shape, 2)[1]


def _multiply(
    typing: Any,
    target: Any,
    row: Any,
    column: Any,
    left: Any,
    left_row: Any,
    left_column: Any,
    packed: Any,
    rows: Any,
    columns: Any,
    length: Any,
    alpha: Any,
    accumulate: Any,
) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        c = _address(context, builder, sig.args[0], *args[0:3])
        a = _address(context, builder, sig.args[3], *args[3:6])
        panels = context.make_array(sig.args[6])(context, builder, args[6]).data
        c_row = _width(context, builder, sig.args[0], args[0])
        a_row = _width(context, builder, sig.args[3], args[3])
        return _call(context, builder, "multiply", target.dtype, [c, c_row, a, a_row, panels, *args[7:]])

    whole = (INDEX,) * 3
    return types.void(target, INDEX, INDEX, left, INDEX, INDEX, packed, *whole, target.dtype, INDEX), lower


def _outer_sum(
    typing: Any,
    target: Any,
    row: Any,
    column: Any,
    left: Any,
    left_row: Any,
    left_column: Any,
    right: Any,
    right_row: Any,
    right_column: Any,
    space: Any,
    rows: Any,
    columns: Any,
    length: Any,
    alpha: Any,
    accumulate: Any,
) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        blocks = []
        for start in (0, 3, 6):
            kind, array = sig.args[start], args[start]
            blocks.append(_address(context, builder, kind, *args[start : start + 3]))
            blocks.append(_width(context, builder, kind, array))
        panels = context.make_array(sig.args[9])(context, builder, args[9]).data
        return _call(context, builder, "outer_sum", target.dtype, [*blocks, panels, *args[10:]])

    at = (INDEX, INDEX)
    sizes = (INDEX,) * 3
    return types.void(target, *at, left, *at, right, *at, space, *sizes, target.dtype, INDEX), lower


def _pack(
    typing: Any,
    packed: Any,
    columns: Any,
    length: Any,
    column: Any,
    k: Any,
    matrix: Any,
    count: Any,
    depth: Any,
    transposed: Any,
) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        panels = context.make_array(sig.args[0])(context, builder, args[0]).data
        source = context.make_array(sig.args[5])(context, builder, args[5]).data
        width = _width(context, builder, sig.args[5], args[5])
        turned = builder.icmp_signed("!=", args[8], ir.Constant(args[8].type, 0))
        one = ir.Constant(width.type, 1)
        steps = [builder.select(turned, width, one), builder.select(turned, one, width)]
        return _call(context, builder, "pack", packed.dtype, [panels, *args[1:5], source, args[6], args[7], *steps])

    return types.void(packed, *(INDEX,) * 4, matrix, *(INDEX,) * 3), lower


if WITHOUT_NUMBA:

    def multiply(
        target: Any,
        row: int,
        column: int,
        left: Any,
        left_row: int,
        left_column: int,
        packed: Any,
        rows: int,
        columns: int,
        length: int,
        alpha: float,
        accumulate: int,
    ) -> None:
        found = left[left_row : left_row + rows, left_column : left_column + length]
        found = alpha * (found @ packed[: length * columns].reshape(length, columns))
        block = target[row : row + rows, column : column + columns]
        block[...] = block + found if accumulate else found

    def outer_sum(
        target: Any,
        row: int,
        column: int,
        left: Any,
        left_row: int,
        left_column: int,
        right: Any,
        right_row: int,
        right_column: int,
        space: Any,
        rows: int,
        columns: int,
        length: int,
        alpha: float,
        accumulate: int,
    ) -> None:
        block = target[row : row + rows, column : column + columns]
        one = left[left_row : left_row + length, left_column : left_column + rows]
        found = alpha * (one.T @ right[right_row : right_row + length, right_column : right_column + columns])
        block[...] = block + found if accumulate else found

    def pack(
        packed: Any,
        columns: int,
        length: int,
        column: int,
        k: int,
        matrix: Any,
        count: int,
        depth: int,
        transposed: int,
    ) -> None:
        block = packed[: length * columns].reshape(length, columns)[k : k + depth, column : column + count]
        block[...] = np.reshape(matrix, (count, depth)).T if transposed else np.reshape(matrix, (depth, count))

else:
    compiled: Any = intrinsic
    multiply, outer_sum, pack = map(compiled, (_multiply, _outer_sum, _pack))
