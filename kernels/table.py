"""Tables of arguments: where arrays lie, as machine words, and calls of compiled functions that read them there.

Numba unpacks each array anew at each call, and a short pass calls five functions with twenty arrays each. Here an
array's address is written once for as long as it stays where it is, and a call is handed one address: the table's.
"""

from __future__ import annotations

from array import array as words_of
from collections.abc import Callable, Mapping, Sequence
from ctypes import CFUNCTYPE, POINTER, PYFUNCTYPE, addressof, c_byte, c_char, c_int, c_int64, c_void_p, cast, py_object
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # it carries no types
from numba import from_dtype, types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.np.arrayobj import populate_array

from .meeting import compiled, uncompiled
from .products import COUNT, PACKED, export
from .vector import INDEX, WITHOUT_NUMBA

COUNTS = ("T", "B", "first", "last", "part", "parts", "split", "meeting", "block", "earlier", "later")
SPREAD = 3  # words of an array: its address, rows and width; those of a number: one
NOT_FINITE = 1 << 20  # a status

Array = np.ndarray[Any, np.dtype[Any]]
if TYPE_CHECKING:
    Table = words_of[int]
else:
    Table = words_of  # of type "q"; Python 3.11 knows no array[int]
Caller = Callable[[int], int]
WORD, STATUS = ir.IntType(64), ir.IntType(32)


class Argument(NamedTuple):
    """An argument of a compiled function.

    Attributes:
        place: of its first word in a table.
        axes: 0 of a number.
        moves: whether it may have rows for all steps, of which a block of steps reads its own.
    """

    place: int
    axes: int
    moves: bool


Function = tuple[Any, Sequence[Argument]]


def address_of(array: Array) -> int:
    """Return where a contiguous, writable array lies."""
    buffer: Any = array
    return addressof(c_char.from_buffer(buffer)) if array.size else 0  # nothing has no address


def changed(table: Table, counts: Mapping[str, int]) -> Table:
    """Return a copy of a table with other counts."""
    made = table[:]
    for name, number in counts.items():
        made[COUNTS.index(name)] = number
    return made


def numbered(counts: Mapping[str, int], places: Mapping[str, int], size: int) -> Table:
    """Return a table of so many words with numbers in their places."""
    table = words_of("q", bytes(8 * size))
    for name, number in counts.items():
        table[places[name]] = number
    return table


def enter(table: Table, place: int, array: Array) -> None:
    """Write an array of one or two axes into a table."""
    table[place] = address_of(array)
    table[place + 1] = len(array)
    table[place + 2] = array.shape[-1]


def request(table: Table, dtype: np.dtype[Any], expected: Sequence[tuple[int, tuple[int, ...]]]) -> Table:
    """Return what `looks_alike` is asked: whether arrays are like these, each (its place in the table, its shape)."""
    start, _ = table.buffer_info()
    words = [len(expected), id(np.ndarray), id(dtype), start]
    for place, shape in expected:
        words += [place, len(shape), *shape]
    return words_of("q", words)


@cache
def looks_alike() -> Callable[[int, tuple[Any, ...]], int]:
    """Return a function of a request's address and a tuple of anything.

    It returns 1 where the tuple holds the arrays that were expected, contiguous, aligned and writable, and has written
    their addresses into the table; else 0, and some addresses may be written. The request's table must still be there.
    """
    if WITHOUT_NUMBA:
        alike = uncompiled("alike")
        return lambda request, given: alike(request, id(given))
    address: Any = compiled("alike").address
    return PYFUNCTYPE(c_int64, c_int64, py_object)(address)  # it holds Python's lock: no object changes meanwhile


def caller(finite: Sequence[int], once: Sequence[Function], again: Sequence[Function], dtype: np.dtype[Any]) -> Caller:
    """Return one call of several compiled functions in turn, with the address of a table.

    It returns 0 where all went well, and NOT_FINITE where an array that must be finite isn't.

    Args:
        finite: places of arrays that must be finite. Each thread looks at its part, and goes on: others wait for it.
        once: functions with their arguments, called first.
        again: those called for one block of steps after the other, the last first: as long as `block` says, but what
            is left for the first. They find out how many steps are `earlier` and `later`.
        dtype: of all arrays.
    """
    if WITHOUT_NUMBA:
        return lambda start: _called(finite, once, again, dtype, start)
    with global_compiler_lock:
        return _compiled(finite, once, again, dtype)


def _compiled(
    finite: Sequence[int], once: Sequence[Function], again: Sequence[Function], dtype: np.dtype[Any]
) -> Caller:
    context = cpu_target.target_context
    library = context.codegen().create_library("bptt_caller")
    module = library.create_ir_module("bptt_caller")
    kind = ir.FunctionType(STATUS, [WORD.as_pointer()])
    builder = ir.IRBuilder(ir.Function(module, kind, f"bptt_caller_{len(_kept)}").append_basic_block("entry"))
    status = cgutils.alloca_once_value(builder, STATUS(0))
    for place in finite:
        builder.store(builder.or_(builder.load(status), _finite(builder, place, dtype)), status)

    def call(functions: Sequence[Function], window: Mapping[str, Any]) -> None:
        for number, (function, arguments) in enumerate(functions):
            if number or window:
                _meet(builder)
            code = _call(context, builder, function, arguments, from_dtype(dtype), window)
            builder.store(builder.or_(builder.load(status), code), status)

    call(once, {})
    if again:
        steps, block = (_word(builder, COUNTS.index(name)) for name in ("T", "block"))
        blocks = builder.sdiv(builder.add(steps, builder.sub(block, WORD(1))), block)
        with cgutils.for_range(builder, blocks) as loop:
            later = builder.mul(loop.index, block)
            stop = builder.sub(steps, later)
            short = builder.icmp_signed("<", stop, block)
            many = builder.select(short, stop, block)
            call(again, {"T": many, "earlier": builder.sub(stop, many), "later": later})
    builder.ret(builder.load(status))
    library.add_ir_module(module)
    library.finalize()
    found = CFUNCTYPE(c_int, c_void_p)(library.get_pointer_to_function(builder.function.name))
    _kept.append((library, found))
    return found


_kept: list[Any] = []  # what machine code needs to stay where it is


def _meet(builder: Any) -> None:
    """Wait for the other threads of the pass, before a function that reads, or changes, what another wrote or read."""
    meeting, parts = (_word(builder, COUNTS.index(name)) for name in ("meeting", "parts"))
    with builder.if_then(builder.icmp_signed(">", parts, WORD(1)), likely=False):
        callee = builder.inttoptr(WORD(compiled("meet").address), ir.FunctionType(WORD, [WORD, WORD]).as_pointer())
        builder.call(callee, [meeting, parts])


def _word(builder: Any, place: int) -> Any:
    return builder.load(builder.gep(builder.function.args[0], [WORD(place)]))


@cache
def _all_finite(dtype: str) -> CFunc:
    [function] = export("finite", {"all_finite": (PACKED, COUNT)}, dtype, "checks", INDEX)
    return function


def _finite(builder: Any, place: int, dtype: np.dtype[Any]) -> Any:
    """Return 0 where this thread's part of an array is finite, else NOT_FINITE."""
    address, rows, width = (_word(builder, place + offset) for offset in range(SPREAD))
    part, parts = (_word(builder, COUNTS.index(name)) for name in ("part", "parts"))
    count = builder.mul(rows, width)
    first, last = (builder.sdiv(builder.mul(count, at), parts) for at in (part, builder.add(part, WORD(1))))
    start = builder.add(address, builder.mul(first, WORD(dtype.itemsize)))
    callee = builder.inttoptr(WORD(_all_finite(dtype.name).address), ir.FunctionType(WORD, [WORD, WORD]).as_pointer())
    found = builder.call(callee, [start, builder.sub(last, first)])
    return builder.select(builder.icmp_signed("==", found, WORD(0)), STATUS(NOT_FINITE), STATUS(0))


def _call(
    context: Any, builder: Any, function: Any, arguments: Sequence[Argument], number: Any, window: Mapping[str, Any]
) -> Any:
    """Call a function of Numba's where it lies, for a window of steps, and return its status."""
    kinds = tuple(types.Array(number, one.axes, "C") if one.axes else types.int64 for one in arguments)
    function.compile(kinds)
    made = function.overloads[kinds]
    values = [_value(context, builder, *pair, window) for pair in zip(kinds, arguments, strict=True)]
    signature = context.call_conv.get_function_type(types.none, kinds)
    address = made.library.get_pointer_to_function(made.fndesc.llvm_func_name)
    callee = builder.inttoptr(WORD(address), signature.as_pointer())
    status, _ = context.call_conv.call_function(builder, callee, types.none, kinds, values)
    return status.code


def _value(context: Any, builder: Any, kind: Any, argument: Argument, window: Mapping[str, Any]) -> Any:
    """Read an argument from the table."""
    place = argument.place
    if not argument.axes:
        known = window.get(COUNTS[place]) if place < len(COUNTS) else None
        return _word(builder, place) if known is None else known
    address, rows, width = (_word(builder, place + offset) for offset in range(SPREAD))
    size = kind.dtype.bitwidth // 8
    if argument.moves and window:
        steps, samples = (_word(builder, COUNTS.index(name)) for name in ("T", "B"))
        whole = builder.icmp_signed("==", rows, builder.mul(steps, samples))
        first = builder.mul(window["earlier"], samples)
        before = builder.mul(builder.mul(first, width), WORD(size))
        address = builder.add(address, builder.select(whole, before, WORD(0)))
        rows = builder.select(whole, builder.mul(window["T"], samples), rows)
    made = context.make_array(kind)(context, builder)
    data = builder.inttoptr(address, context.get_data_type(kind.dtype).as_pointer())
    shape = [rows, width][2 - kind.ndim :]
    strides = [WORD(size)] if kind.ndim == 1 else [builder.mul(width, WORD(size)), WORD(size)]
    populate_array(made, data, shape, strides, size, None)
    return made._getvalue()


def _called(
    finite: Sequence[int], once: Sequence[Function], again: Sequence[Function], dtype: np.dtype[Any], start: int
) -> int:
    """Call plain Python functions with NumPy's arrays where the table says that they lie."""
    table = cast(c_void_p(start), POINTER(c_int64))
    steps, samples, block = (table[COUNTS.index(name)] for name in ("T", "B", "block"))

    def given(argument: Argument, window: Mapping[str, int]) -> Any:
        place, axes, moves = argument
        if not axes:
            return window.get(COUNTS[place], table[place]) if place < len(COUNTS) else table[place]
        shape = (table[place + 1], table[place + 2])[2 - axes :]
        if 0 in shape:
            return np.empty(shape, dtype)
        memory: Any = (c_byte * (int(np.prod(shape)) * dtype.itemsize)).from_address(table[place])
        array = np.frombuffer(memory, dtype).reshape(shape)
        if moves and window and len(array) == steps * samples:
            first = window["earlier"] * samples
            return array[first : first + window["T"] * samples]
        return array

    for function, arguments in once:
        function(*(given(argument, {}) for argument in arguments))
    for stop in range(steps, 0, -block) if again else ():
        many = min(stop, block)
        window = {"T": many, "earlier": stop - many, "later": steps - stop}
        for function, arguments in again:
            function(*(given(argument, window) for argument in arguments))
    read = (given(Argument(place, 2, False), {}) for place in finite)
    return 0 if all(np.isfinite(array).all() for array in read) else NOT_FINITE
