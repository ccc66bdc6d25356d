"""The innermost loop of every matrix product: a tile of a few rows by a few vectors, held in registers.

A tile of 4 rows by 4 vectors needs 16 of AVX-512's 32 registers for its sums; with 16 registers, 4 by 3 fit. With too
few sums, each addition would wait for the one before: a narrow tile is twice as tall, and a single row has several sums
for each entry, which are added at the end.
"""

from __future__ import annotations

import itertools
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # it carries no types
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .values import FEATURES, FUSED
from .vector import BYTES, INDEX, Vector, _mask

ROWS = 4
VECTORS = 4 if BYTES == 64 else 3
NARROW = VECTORS // 2  # vectors of a tile that is twice as tall
SINGLE = 0  # rows of a tile of one row that has several sums for each entry
SUMS = {1: 8, 2: 4, 3: 2, 4: 2}  # how many, for so many vectors
WORD = ir.IntType(64)
NEAR, FAR = 3, 2  # into the first and the second level of the cache


def full_height(vectors: int) -> int:
    """Return the rows of a full tile of so many vectors."""
    return 2 * ROWS if vectors <= NARROW else ROWS


def _tile(
    typing: Any,
    rows: Any,
    vectors: Any,
    c: Any,
    c_row: Any,
    a: Any,
    a_row: Any,
    a_block: Any,
    a_step: Any,
    panel: Any,
    length: Any,
    alpha: Any,
    accumulate: Any,
    left: Any,
    ahead: Any,
) -> Any:
    """c[r, v] = alpha Σ_k a[r, k] panel[k, v], plus c[r, v] where `accumulate`, for some rows and vectors.

    Rows of c are `c_row` entries apart; a's entries `a_row` and `a_step`, its blocks of 4 rows `a_block`; the last
    vector of a row of c has `left` entries. In a full tile, a cache line for each k is fetched from `ahead`, which is
    read later. Of rows there may be `SINGLE`.
    """
    kind = Vector(c.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        after = builder.append_basic_block("after")
        choice = builder.add(builder.mul(args[0], WORD(VECTORS + 1)), args[1])
        switch = builder.switch(choice, after)
        for rows, vectors in itertools.product((SINGLE, *range(1, 2 * ROWS + 1)), range(1, VECTORS + 1)):
            if rows > full_height(vectors):
                continue
            block = builder.append_basic_block(f"tile_{rows}_{vectors}")
            switch.add_case(WORD(rows * (VECTORS + 1) + vectors), block)
            builder.position_at_end(block)
            _fill(builder, kind, rows, vectors, *args[2:])
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(*(INDEX,) * 2, c, INDEX, a, *(INDEX,) * 3, panel, INDEX, c.dtype, INDEX, INDEX, panel), lower


def _fill(
    builder: Any,
    kind: Vector,
    rows: int,
    vectors: int,
    c: Any,
    c_row: Any,
    a: Any,
    a_row: Any,
    a_block: Any,
    a_step: Any,
    panel: Any,
    length: Any,
    alpha: Any,
    accumulate: Any,
    left: Any,
    ahead: Any,
) -> None:
    """Write the code of a tile of one size."""
    tile = _Builder(builder, kind, left)
    together = SUMS[vectors] if rows == SINGLE else 1
    rows = max(rows, 1)
    sums = [[[tile.variable() for _ in range(vectors)] for _ in range(rows)] for _ in range(together)]
    steps = [(builder.mul(a_block, WORD(r // ROWS)), builder.mul(a_row, WORD(r % ROWS))) for r in range(rows)]
    lines = [builder.gep(a, [builder.add(*step)]) for step in steps]
    adds = builder.icmp_signed("!=", accumulate, WORD(0))
    with builder.if_then(adds):
        for r, v in itertools.product(range(rows), range(vectors)):
            tile.fetch(builder.gep(c, [builder.add(builder.mul(c_row, WORD(r)), WORD(v * kind.lanes))]), NEAR)

    def add(k: Any, part: list[list[Any]]) -> None:
        here = builder.gep(panel, [builder.mul(k, WORD(vectors * kind.lanes))])
        right = [tile.load(builder.gep(here, [WORD(v * kind.lanes)])) for v in range(vectors)]
        if rows == full_height(vectors):
            tile.fetch(builder.gep(ahead, [builder.mul(k, WORD(64 // tile.bytes))]), FAR)
        at = builder.mul(k, a_step)
        for r in range(rows):
            spread = tile.spread(builder.load(builder.gep(lines[r], [at])))
            for v in range(vectors):
                builder.store(tile.multiply_add(spread, right[v], builder.load(part[r][v])), part[r][v])

    turns = builder.udiv(length, WORD(together))
    first = builder.mul(turns, WORD(together))
    with cgutils.for_range(builder, turns) as loop:
        for number, part in enumerate(sums):
            add(builder.add(builder.mul(loop.index, WORD(together)), WORD(number)), part)
    if together > 1:
        with cgutils.for_range(builder, length, first) as loop:
            add(loop.index, sums[0])
    scale = tile.spread(alpha)
    for r in range(rows):
        for v in range(vectors):
            at = builder.add(builder.mul(c_row, WORD(r)), WORD(v * kind.lanes))
            total = tile.total([part[r][v] for part in sums])
            tile.put(builder.gep(c, [at]), total, scale, adds, last=v == vectors - 1)


class _Builder:
    """What a tile does with single vectors."""

    def __init__(self, builder: Any, kind: Vector, left: Any) -> None:
        self.builder = builder
        self.machine = kind.machine
        self.bytes = kind.dtype.bitwidth // 8
        self.suffix = f"v{kind.lanes}f{kind.dtype.bitwidth}"
        self.zeros = ir.Constant(self.machine, [0.0] * kind.lanes)
        self.mask = _mask(builder, left, kind.lanes)

    def variable(self) -> Any:
        place = cgutils.alloca_once(self.builder, self.machine)
        self.builder.store(self.zeros, place)
        return place

    def total(self, places: list[Any]) -> Any:
        """Add a power of two of variables, in pairs."""
        values = [self.builder.load(place) for place in places]
        while len(values) > 1:
            values = [self.builder.fadd(*pair) for pair in zip(values[::2], values[1::2], strict=True)]
        return values[0]

    def load(self, pointer: Any) -> Any:
        loaded = self.builder.load(self.builder.bitcast(pointer, self.machine.as_pointer()))
        loaded.align = self.bytes
        return loaded

    def spread(self, number: Any) -> Any:
        empty = ir.Constant(self.machine, ir.Undefined)
        single = self.builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.machine.count), [0] * self.machine.count)
        return self.builder.shuffle_vector(single, empty, zeros)

    def fetch(self, pointer: Any, near: int) -> None:
        """Begin to bring a cache line near."""
        number = ir.IntType(32)
        pointer = self.builder.bitcast(pointer, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        self.builder.call(function, [pointer, number(0), number(near), number(1)])

    def multiply_add(self, left: Any, right: Any, total: Any) -> Any:
        if not FEATURES.get("fma"):  # llvm.fma would call a library there
            return self.builder.fadd(self.builder.fmul(left, right, flags=FUSED), total, flags=FUSED)
        kind = ir.FunctionType(self.machine, [self.machine] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fma.{self.suffix}")
        return self.builder.call(function, [left, right, total])

    def put(self, pointer: Any, total: Any, scale: Any, adds: Any, last: bool) -> None:
        """Store scale · total, added to what is there if `adds`; masked in the last vector of a row."""
        pointer = self.builder.bitcast(pointer, self.machine.as_pointer())
        before = cgutils.alloca_once(self.builder, self.machine)
        self.builder.store(self.zeros, before)
        with self.builder.if_then(adds):
            self.builder.store(self.masked_load(pointer) if last else self.load(pointer), before)
        value = self.multiply_add(scale, total, self.builder.load(before))
        if last:
            self._masked_store(pointer, value)
        else:
            self.builder.store(value, pointer).align = self.bytes

    def masked_load(self, pointer: Any) -> Any:
        kind = ir.FunctionType(self.machine, [pointer.type, ir.IntType(32), self.mask.type, self.machine])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.masked.load.{self.suffix}.p0")
        return self.builder.call(function, [pointer, ir.Constant(ir.IntType(32), self.bytes), self.mask, self.zeros])

    def _masked_store(self, pointer: Any, value: Any) -> None:
        kind = ir.FunctionType(ir.VoidType(), [self.machine, pointer.type, ir.IntType(32), self.mask.type])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.masked.store.{self.suffix}.p0")
        self.builder.call(function, [value, pointer, ir.Constant(ir.IntType(32), self.bytes), self.mask])


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
        tile = _Builder(builder, kind, WORD(kind.lanes))
        value = tile.load(builder.gep(args[2], [args[3]]))
        place = builder.bitcast(builder.gep(args[0], [args[1]]), kind.machine.as_pointer())
        builder.store(value, place).align = tile.bytes
        return context.get_dummy_value()

    return types.void(target, INDEX, source, INDEX), lower


def _copy_rest(typing: Any, target: Any, to: Any, source: Any, start: Any, left: Any) -> Any:
    """Copy the entries that are left of a row, and zeros behind them, as a vector."""
    kind = Vector(target.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target, to, source, start, left = args
        tile = _Builder(builder, kind, left)
        pointer = kind.machine.as_pointer()
        value = tile.masked_load(builder.bitcast(builder.gep(source, [start]), pointer))
        builder.store(value, builder.bitcast(builder.gep(target, [to]), pointer)).align = tile.bytes
        return context.get_dummy_value()

    return types.void(target, INDEX, source, INDEX, INDEX), lower


def _spread_rows(typing: Any, target: Any, to: Any, gap: Any, source: Any, start: Any) -> Any:
    """Copy a vector's entries in pieces as long as a tile has rows, each `gap` behind the one before."""
    kind = Vector(target.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target, to, gap, source, start = args
        tile = _Builder(builder, kind, WORD(kind.lanes))
        value = tile.load(builder.gep(source, [start]))
        piece, number = ir.VectorType(kind.machine.element, ROWS), ir.IntType(32)
        for first in range(0, kind.lanes, ROWS):
            places = ir.Constant(ir.VectorType(number, ROWS), list(range(first, first + ROWS)))
            part = builder.shuffle_vector(value, ir.Constant(kind.machine, ir.Undefined), places)
            place = builder.gep(target, [builder.add(to, builder.mul(gap, WORD(first // ROWS)))])
            builder.store(part, builder.bitcast(place, piece.as_pointer())).align = tile.bytes
        return context.get_dummy_value()

    return types.void(target, INDEX, INDEX, source, INDEX), lower


def _turn_block(typing: Any, target: Any, to: Any, to_step: Any, source: Any, start: Any, step: Any) -> Any:
    """Transpose a square block as wide as a vector: target[k, j] = source[j, k]."""
    kind = Vector(target.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target, to, to_step, source, start, step = args
        tile, count = _Builder(builder, kind, WORD(kind.lanes)), kind.lanes
        ends = [builder.add(start, builder.mul(step, WORD(j))) for j in range(count)]
        rows = [tile.load(builder.gep(source, [end])) for end in ends]
        half = count // 2
        while half:
            rows = _exchanged(builder, rows, half)
            half //= 2
        for k, row in enumerate(rows):
            place = builder.gep(target, [builder.add(to, builder.mul(to_step, WORD(k)))])
            builder.store(row, builder.bitcast(place, kind.machine.as_pointer())).align = tile.bytes
        return context.get_dummy_value()

    return types.void(target, INDEX, INDEX, source, INDEX, INDEX), lower


def _exchanged(builder: Any, rows: list[Any], half: int) -> list[Any]:
    """Exchange the upper right and the lower left quarter of each block of 2 half rows and columns."""
    count, made = len(rows), list(rows)
    kind = ir.VectorType(ir.IntType(32), count)
    upper = ir.Constant(kind, [lane if not lane & half else count + lane - half for lane in range(count)])
    lower = ir.Constant(kind, [lane + half if not lane & half else count + lane for lane in range(count)])
    for row in (row for row in range(count) if not row & half):
        made[row] = builder.shuffle_vector(rows[row], rows[row + half], upper)
        made[row + half] = builder.shuffle_vector(rows[row], rows[row + half], lower)
    return made


compiled: Any = intrinsic
tile, at, read, write = map(compiled, (_tile, _at, _read, _write))
copy_vector, copy_rest = map(compiled, (_copy_vector, _copy_rest))
spread_rows, turn_block = map(compiled, (_spread_rows, _turn_block))
