"""Single entries and blocks of a matrix in memory: read, written, copied and turned, a vector at a time."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # it carries no types
from numba import types
from numba.extending import intrinsic

from .vector import INDEX, Vector, load_left, load_whole, store_whole

ROWS = 4  # of a tile: so many entries of a row stay together where it is spread
WORD = ir.IntType(64)


def _at(typing: Any, pointer: Any, offset: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, INDEX), lower


def _read(typing: Any, pointer: Any, offset: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(builder.gep(args[0], [args[1]]))

    return pointer.dtype(pointer, INDEX), lower


def _write(typing: Any, pointer: Any, offset: Any, number: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(pointer, INDEX, pointer.dtype), lower


def _copy_vector(typing: Any, target: Any, to: Any, source: Any, start: Any) -> Any:
    kind = Vector(target.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target, to, source, start = args
        store_whole(builder, load_whole(builder, builder.gep(source, [start]), kind), builder.gep(target, [to]), kind)
        return context.get_dummy_value()

    return types.void(target, INDEX, source, INDEX), lower


def _copy_rest(typing: Any, target: Any, to: Any, source: Any, start: Any, left: Any) -> Any:
    """Copy the entries that are left of a row, and zeros behind them, as a vector."""
    kind = Vector(target.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target, to, source, start, left = args
        rest = load_left(builder, builder.gep(source, [start]), kind, left)
        store_whole(builder, rest, builder.gep(target, [to]), kind)
        return context.get_dummy_value()

    return types.void(target, INDEX, source, INDEX, INDEX), lower


def _spread_rows(typing: Any, target: Any, to: Any, gap: Any, source: Any, start: Any) -> Any:
    """Copy a vector's entries in pieces, each `gap` behind the one before."""
    kind = Vector(target.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target, to, gap, source, start = args
        value = load_whole(builder, builder.gep(source, [start]), kind)
        piece, number = ir.VectorType(kind.machine.element, ROWS), ir.IntType(32)
        for first in range(0, kind.lanes, ROWS):
            places = ir.Constant(ir.VectorType(number, ROWS), list(range(first, first + ROWS)))
            part = builder.shuffle_vector(value, ir.Constant(kind.machine, ir.Undefined), places)
            place = builder.gep(target, [builder.add(to, builder.mul(gap, WORD(first // ROWS)))])
            builder.store(part, builder.bitcast(place, piece.as_pointer())).align = kind.size
        return context.get_dummy_value()

    return types.void(target, INDEX, INDEX, source, INDEX), lower


def _turn_block(typing: Any, target: Any, to: Any, to_step: Any, source: Any, start: Any, step: Any) -> Any:
    """Transpose a square block as wide as a vector: target[k, j] = source[j, k]."""
    kind = Vector(target.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target, to, to_step, source, start, step = args
        count = kind.lanes
        ends = [builder.add(start, builder.mul(step, WORD(j))) for j in range(count)]
        rows = [load_whole(builder, builder.gep(source, [end]), kind) for end in ends]
        half = count // 2
        while half:
            rows = exchanged(builder, rows, half)
            half //= 2
        for k, row in enumerate(rows):
            store_whole(builder, row, builder.gep(target, [builder.add(to, builder.mul(to_step, WORD(k)))]), kind)
        return context.get_dummy_value()

    return types.void(target, INDEX, INDEX, source, INDEX, INDEX), lower


def exchanged(builder: Any, rows: list[Any], half: int) -> list[Any]:
    """Exchange the upper right and the lower left quarter of each block of 2 half rows and columns."""
    count, made = rows[0].type.count, list(rows)
    kind = ir.VectorType(ir.IntType(32), count)
    upper = ir.Constant(kind, [lane if not lane & half else count + lane - half for lane in range(count)])
    lower = ir.Constant(kind, [lane + half if not lane & half else count + lane for lane in range(count)])
    for row in (row for row in range(len(rows)) if not row & half):
        made[row] = builder.shuffle_vector(rows[row], rows[row + half], upper)
        made[row + half] = builder.shuffle_vector(rows[row], rows[row + half], lower)
    return made


compiled: Any = intrinsic
at, read, write = map(compiled, (_at, _read, _write))
copy_vector, copy_rest = map(compiled, (_copy_vector, _copy_rest))
spread_rows, turn_block = map(compiled, (_spread_rows, _turn_block))
