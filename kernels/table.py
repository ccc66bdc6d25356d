"""Tables of arguments: where arrays lie, as machine words, and calls of compiled functions that read them there.

Numba unpacks each array anew at each call, and a short pass calls five functions with twenty arrays each. Here an
array's address is written once for as long as it stays where it is, and a call is handed one address: the table's.
"""

from __future__ import annotations

from array import array as words_of
from collections.abc import Callable, Mapping, Sequence
from ctypes import CFUNCTYPE, POINTER, addressof, c_byte, c_char, c_int, c_int64, c_void_p, cast
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # it carries no types
from numba import from_dtype, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.np.arrayobj import populate_array

from .meeting import compiled
from .vector import WITHOUT_NUMBA

COUNTS = ("T", "B", "first", "last", "part", "parts", "split", "meeting")
SPREAD = 3  # words of an array: its address, rows and width; those of a number: one

Array = np.ndarray[Any, np.dtype[Any]]
if TYPE_CHECKING:
    Table = words_of[int]
else:
    Table = words_of  # of type "q"; Python 3.11 knows no array[int]
Argument = tuple[int, int]  # the place of its first word, and its axes: 0 of a number
Caller = Callable[[int], int]
WORD, STATUS = ir.IntType(64), ir.IntType(32)


def address_of(array: Array) -> int:
    """Return where a contiguous, writable array lies."""
    buffer: Any = array
    return addressof(c_char.from_buffer(buffer)) if array.size else 0  # nothing has no address


def called(call: Caller, table: Table) -> None:
    """Make a call with a table."""
    if status := call(table.buffer_info()[0]):
        raise RuntimeError(f"compiled code ended with status {status}")


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


def caller(functions: Sequence[tuple[Any, Sequence[Argument]]], dtype: np.dtype[Any]) -> Caller:
    """Return one call of several compiled functions in turn, with the address of a table; what it returns must be 0.

    Args:
        functions: each with its arguments, in order.
        dtype: of all arrays.
    """
    if WITHOUT_NUMBA:
        return lambda start: _called(functions, dtype, start)
    with global_compiler_lock:
        return _compiled(functions, dtype)


def _compiled(functions: Sequence[tuple[Any, Sequence[Argument]]], dtype: np.dtype[Any]) -> Caller:
    context = cpu_target.target_context
    library = context.codegen().create_library("bptt_caller")
    module = library.create_ir_module("bptt_caller")
    kind = ir.FunctionType(STATUS, [WORD.as_pointer()])
    builder = ir.IRBuilder(ir.Function(module, kind, f"bptt_caller_{len(_kept)}").append_basic_block("entry"))
    status = STATUS(0)
    for number, (function, arguments) in enumerate(functions):
        if number:
            _meet(builder)
        kinds = tuple(types.Array(from_dtype(dtype), axes, "C") if axes else types.int64 for _, axes in arguments)
        function.compile(kinds)
        made = function.overloads[kinds]
        address = made.library.get_pointer_to_function(made.fndesc.llvm_func_name)
        values = [_value(context, builder, kind, place) for kind, (place, _) in zip(kinds, arguments, strict=True)]
        status = builder.or_(status, _call(context, builder, address, kinds, values))
    builder.ret(status)
    library.add_ir_module(module)
    library.finalize()
    found = CFUNCTYPE(c_int, c_void_p)(library.get_pointer_to_function(builder.function.name))
    _kept.append((library, found))
    return found


_kept: list[Any] = []  # what machine code needs to stay where it is


def _meet(builder: Any) -> None:
    """Wait for the other threads of the pass, before a function that reads what the one before wrote."""
    meeting, parts = (_word(builder, COUNTS.index(name)) for name in ("meeting", "parts"))
    with builder.if_then(builder.icmp_signed(">", parts, WORD(1)), likely=False):
        callee = builder.inttoptr(WORD(compiled("meet").address), ir.FunctionType(WORD, [WORD, WORD]).as_pointer())
        builder.call(callee, [meeting, parts])


def _word(builder: Any, place: int) -> Any:
    return builder.load(builder.gep(builder.function.args[0], [WORD(place)]))


def _value(context: Any, builder: Any, kind: Any, place: int) -> Any:
    """Read an argument from the table."""
    words = [_word(builder, place + offset) for offset in range(SPREAD if isinstance(kind, types.Array) else 1)]
    if not isinstance(kind, types.Array):
        return words[0]
    made = context.make_array(kind)(context, builder)
    data = builder.inttoptr(words[0], context.get_data_type(kind.dtype).as_pointer())
    size = kind.dtype.bitwidth // 8
    shape = words[3 - kind.ndim :]
    strides = [WORD(size)] if kind.ndim == 1 else [builder.mul(words[2], WORD(size)), WORD(size)]
    populate_array(made, data, shape, strides, size, None)
    return made._getvalue()


def _call(context: Any, builder: Any, address: int, kinds: Any, values: Sequence[Any]) -> Any:
    """Call a function of Numba's where it lies, and return its status."""
    signature = context.call_conv.get_function_type(types.none, kinds)
    callee = builder.inttoptr(WORD(address), signature.as_pointer())
    status, _ = context.call_conv.call_function(builder, callee, types.none, kinds, values)
    return status.code


def _called(functions: Sequence[tuple[Any, Sequence[Argument]]], dtype: np.dtype[Any], start: int) -> int:
    """Call plain Python functions with NumPy's arrays where the table says that they lie."""
    table = cast(c_void_p(start), POINTER(c_int64))
    for function, arguments in functions:
        given: list[Any] = []
        for place, axes in arguments:
            shape = (table[place + 1], table[place + 2])[2 - axes :]
            if not axes:
                given.append(table[place])
            elif 0 in shape:
                given.append(np.empty(shape, dtype))
            else:
                many = int(np.prod(shape)) * dtype.itemsize
                memory: Any = (c_byte * many).from_address(table[place])
                given.append(np.frombuffer(memory, dtype).reshape(shape))
        function(*given)
    return 0
