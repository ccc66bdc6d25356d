# mypy: disable-error-code=no-untyped-def
# Numba finds the types.
"""Whether arrays are like those of a request, and then where they lie: `table.py` says what for.

What Python would ask an array in a microsecond is read where it lies: a tuple's entries, and of each what NumPy's C
interface calls PyArrayObject_fields.
"""

from ctypes import c_int32, c_int64
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # it carries no types
from numba import types
from numba.extending import intrinsic

from bptt.kernels.vector import WITHOUT_NUMBA

HEAD = object.__basicsize__ // 8  # words of any object, of which the last is its type
LENGTH, ENTRIES = HEAD, tuple.__basicsize__ // 8  # of a tuple
DATA, AXES, SHAPE, DTYPE, FLAGS = HEAD, 2 * (HEAD + 1), HEAD + 2, HEAD + 5, 2 * (HEAD + 6)  # two of them in half words
USUAL = 0x0001 | 0x0100 | 0x0400  # flags: C-contiguous, aligned, writable

MANY, TYPE, NUMBERS, TABLE, FIRST = 0, 1, 2, 3, 4  # words of a request; then of each array: place, axes, shape


def _read(kind):
    """Return an intrinsic that reads a number of some kind where an address and an index say."""

    def typed(typing, address, index):
        def lower(context, builder, sig, args):
            place = builder.inttoptr(args[0], ir.IntType(kind.bitwidth).as_pointer())
            return context.cast(builder, builder.load(builder.gep(place, [args[1]])), kind, types.int64)

        return types.int64(address, index), lower

    return typed


def _entered(typing, address, index, number):
    """Write a word where an address and an index say."""

    def lower(context, builder, sig, args):
        place = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store(args[2], builder.gep(place, [args[1]]))
        return context.get_dummy_value()

    return types.void(address, index, number), lower


if WITHOUT_NUMBA:

    def word(address, index):
        return c_int64.from_address(address + 8 * index).value

    def half(address, index):
        return c_int32.from_address(address + 4 * index).value

    def enter(address, index, number):
        c_int64.from_address(address + 8 * index).value = number

else:
    compiled: Any = intrinsic
    word, half, enter = compiled(_read(types.int64)), compiled(_read(types.int32)), compiled(_entered)


def alike(request, given):
    if word(given, LENGTH) != word(request, MANY):
        return 0
    read = FIRST
    for number in range(word(request, MANY)):
        array = word(given, ENTRIES + number)
        if word(array, HEAD - 1) != word(request, TYPE) or word(array, DTYPE) != word(request, NUMBERS):
            return 0
        place, axes = word(request, read), word(request, read + 1)
        if half(array, AXES) != axes or half(array, FLAGS) & USUAL != USUAL:
            return 0
        for axis in range(axes):
            if word(word(array, SHAPE), axis) != word(request, read + 2 + axis):
                return 0
        enter(word(request, TABLE), place, word(array, DATA))
        read += 2 + axes
    return 1
