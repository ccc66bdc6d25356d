"""Matrix products in generated code: packed once, then multiplied at every step.

Matrices are two-dimensional and contiguous; a (row, column) says where in one a block starts. A packed matrix is made
by `pack` for `multiply`, of `packed_size` entries. With Numba switched off the same names work with NumPy.

`multiply_part` and `pack_part` do one of `parts` shares of a packed matrix's columns. The first takes `rows` rows
`times` times, `apart` rows from each other: as many as there are samples. With `back` it goes through the columns from
the last on: taken in turns, each product then begins with those that the one before left in the cache.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import binding  # type: ignore[import-untyped]  # it carries no types
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

from .cache import load_module, survive_damage
from .vector import INDEX, WITHOUT_NUMBA, _address, lanes

# What a product is given, and what the machine code of `panels.py` gets for it.
BLOCK = "block"  # an array, a row and a column: the address of that entry, and the array's width
WHOLE = "whole"  # an array: its address and width
PACKED = "packed"  # an array: its address
COUNT, NUMBER = "count", "number"
ARGUMENTS = {
    "multiply_part": (BLOCK, BLOCK, PACKED, *(COUNT,) * 5, NUMBER, *(COUNT,) * 4),
    "outer_sum": (BLOCK, BLOCK, BLOCK, PACKED, COUNT, COUNT, COUNT, NUMBER, COUNT),
    "pack_part": (PACKED, COUNT, COUNT, COUNT, COUNT, WHOLE, COUNT, COUNT, COUNT, COUNT, COUNT),
}
SUMMED_AT_ONCE = 128  # rows of a sum, and of its left matrix: a block of both is packed


def packed_size(columns: int, length: int, dtype: Any) -> int:
    """Return how many entries a packed matrix takes: its columns are filled up to whole vectors."""
    many = 1 if WITHOUT_NUMBA else lanes(dtype)
    return -(-columns // many) * many * length


def space_size(columns: int, dtype: Any) -> int:
    """Return how many entries of workspace a sum of outer products takes, of vectors up to so many columns."""
    few = packed_size(1, 1, dtype) // 4  # columns past the last whole vector
    return SUMMED_AT_ONCE * (SUMMED_AT_ONCE + packed_size(columns, 1, dtype) + few)


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
    return export("panels", ARGUMENTS, dtype, "matrix products")


def export(
    stem: str, functions: Mapping[str, tuple[str, ...]], dtype: str, what: str, result: Any = types.void
) -> list[CFunc]:
    """Compile functions of a file beside this one for a dtype, or find them on disk, and name them to the linker.

    Args:
        stem: of the file; its DTYPE is replaced.
        functions: name -> what it is given.
        dtype: "float32" or "float64".
        what: they are, for people.
        result: Numba's type of what they return.
    """
    if WITHOUT_NUMBA:
        return []
    text = (Path(__file__).parent / f"{stem}.py").read_text("utf-8")
    module = load_module(text.replace('DTYPE = "float64"', f"DTYPE = {dtype!r}"), f"{stem}_{dtype}")
    number = {"float32": types.float32, "float64": types.float64}[dtype]
    exported = []
    for name, arguments in functions.items():
        signature = result(*_machine_types(arguments, number))
        function: Any = CFunc(
            getattr(module, name), (signature.args, signature.return_type), {}, {"error_model": "numpy"}
        )
        function.enable_caching()
        survive_damage(function._cache, f"{what}, {dtype}: {name}")
        function.compile()
        binding.add_symbol(f"bptt_{name}_{dtype}", _inner_address(function))
        exported.append(function)
    return exported


def _machine_types(arguments: tuple[str, ...], number: Any) -> list[Any]:
    """Return Numba's types of what machine code gets for arguments."""
    kinds: dict[str, tuple[Any, ...]] = {
        **dict.fromkeys((BLOCK, WHOLE), (types.CPointer(number), INDEX)),
        PACKED: (types.CPointer(number),),
        COUNT: (INDEX,),
        NUMBER: (number,),
    }
    return [kind for argument in arguments for kind in kinds[argument]]


def _inner_address(function: Any) -> int:
    """Return where the code of a function lies, behind the wrapper that passes all its arguments on once more."""
    return int(function._library.get_pointer_to_function(function.native_name.removeprefix("cfunc.")))


def exported(name: str, arguments: tuple[str, ...]) -> Any:
    """Return an exported function as generated code calls it."""

    def typed(typing: Any, *given: Any) -> Any:
        number = given[0].dtype
        kinds: list[Any] = []
        for argument in arguments:
            array = given[len(kinds)]
            kinds += {BLOCK: [array, INDEX, INDEX], COUNT: [INDEX], NUMBER: [number]}.get(argument, [array])

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            passed: list[Any] = []
            at = 0
            for argument in arguments:
                kind, value = sig.args[at], args[at]
                if argument == BLOCK:
                    passed.append(_address(context, builder, kind, *args[at : at + 3]))
                elif argument in (WHOLE, PACKED):
                    passed.append(context.make_array(kind)(context, builder, value).data)
                else:
                    passed.append(value)
                if argument in (BLOCK, WHOLE):
                    passed.append(_width(context, builder, kind, value))
                at += 3 if argument == BLOCK else 1
            inner, convention = _machine_types(arguments, number), context.call_conv
            signature = convention.get_function_type(types.void, inner)
            callee = cgutils.get_or_insert_function(builder.module, signature, f"bptt_{name}_{number}")
            convention.call_function(builder, callee, types.void, inner, passed)
            return context.get_dummy_value()

        return types.void(*kinds), lower

    many = sum(3 if argument == BLOCK else 1 for argument in arguments)
    names = ["typing", *(f"argument_{number}" for number in range(many))]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    # Numba asks for the signature, and would pass starred arguments as one tuple.
    function: Any = typed
    function.__signature__ = inspect.Signature([inspect.Parameter(one, kind) for one in names])
    return intrinsic(function)


def _width(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    made = context.make_array(kind)(context, builder, array)
    return cgutils.unpack_tuple(builder, made.shape, 2)[1]


if WITHOUT_NUMBA:

    def multiply_part(
        target: Any,
        row: int,
        column: int,
        left: Any,
        left_row: int,
        left_column: int,
        packed: Any,
        rows: int,
        times: int,
        apart: int,
        columns: int,
        length: int,
        alpha: float,
        accumulate: int,
        *_: int,
    ) -> None:
        right = packed[: length * columns].reshape(length, columns)
        for first in range(0, times * apart if apart else 1, apart or 1):
            start = left_row + first
            found = alpha * (left[start : start + rows, left_column : left_column + length] @ right)
            block = target[row + first : row + first + rows, column : column + columns]
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

    def pack_part(
        packed: Any,
        columns: int,
        length: int,
        column: int,
        k: int,
        matrix: Any,
        count: int,
        depth: int,
        transposed: int,
        *_: int,
    ) -> None:
        block = packed[: length * columns].reshape(length, columns)[k : k + depth, column : column + count]
        block[...] = np.reshape(matrix, (count, depth)).T if transposed else np.reshape(matrix, (depth, count))

else:
    multiply_part, outer_sum, pack_part = (exported(*one) for one in ARGUMENTS.items())


@numba.njit(error_model="numpy")
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
    """Multiply rows with a packed matrix: target = alpha · left · matrix, plus what is there where `accumulate`."""
    multiply_part(
        target,
        row,
        column,
        left,
        left_row,
        left_column,
        packed,
        rows,
        1,
        0,
        columns,
        length,
        alpha,
        accumulate,
        0,
        0,
        1,
    )


@numba.njit(error_model="numpy")
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
    """Pack a matrix into some columns and rows of a packed one of `columns` columns and `length` rows."""
    pack_part(packed, columns, length, column, k, matrix, count, depth, transposed, 0, 1)
