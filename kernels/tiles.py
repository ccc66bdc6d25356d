"""The innermost loop of every matrix product: a tile of a few rows by a few vectors, held in registers.

A tile of 4 rows by 4 vectors needs 16 of AVX-512's 32 registers for its sums; with 16 registers, 4 by 3 fit. With too
few sums, each addition would wait for the one before: a narrow tile is twice as tall, and a single row has several sums
for each entry, which are added at the end. `dots` is for a few columns, with vectors along the sum.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # it carries no types
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .blocks import ROWS, exchanged
from .values import FEATURES, FUSED
from .vector import BYTES, INDEX, Vector, load_left, load_whole, store_left, store_whole

VECTORS = 4 if BYTES == 64 else 3
NARROW = VECTORS // 2  # vectors of a tile that is twice as tall
SINGLE, PAIR = 0, -1  # rows of a tile of one row that has several sums for each entry, over one panel or two
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
    read later. Of rows there may be `SINGLE`, or `PAIR`: the row is then read once for two panels of so many vectors.
    """
    kind = Vector(c.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        sizes = itertools.product((PAIR, SINGLE, *range(1, 2 * ROWS + 1)), range(1, VECTORS + 1))
        fitting = [(rows, vectors) for rows, vectors in sizes if rows <= full_height(vectors)]
        _choose(builder, f"tile_{c.dtype}", fitting, args, partial(_fill_tile, kind))
        return context.get_dummy_value()

    return types.void(*(INDEX,) * 2, c, INDEX, a, *(INDEX,) * 3, panel, INDEX, c.dtype, INDEX, INDEX, panel), lower


def _choose(builder: Any, name: str, sizes: list[tuple[int, int]], args: Any, fill: Any) -> None:
    """Call the function for the size that the first two arguments say, with the others.

    Each size has a function of its own: joined, what one of them needs is worked out before each of them.
    """
    after = builder.append_basic_block("after")
    many = 1 + max((size[1] for size in sizes), default=0)
    switch = builder.switch(builder.add(builder.mul(args[0], WORD(many)), args[1]), after)
    kind = ir.FunctionType(ir.VoidType(), [one.type for one in args[2:]])
    for size in sizes:
        block = builder.append_basic_block()
        switch.add_case(WORD(size[0] * many + size[1]), block)
        builder.position_at_end(block)
        function = cgutils.get_or_insert_function(builder.module, kind, f"{name}_{size[0]}_{size[1]}")
        if function.is_declaration:
            function.linkage = "internal"
            function.attributes.add("noinline")
            inner = ir.IRBuilder(function.append_basic_block("entry"))
            fill(inner, *size, *function.args)
            inner.ret_void()
        builder.call(function, args[2:])
        builder.branch(after)
    builder.position_at_end(after)


def _fill_tile(
    kind: Vector,
    builder: Any,
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
    together = SUMS[vectors] if rows <= SINGLE else 1
    panels = 2 if rows == PAIR else 1
    rows = max(rows, 1)
    width = panels * vectors
    sums = [[[tile.variable() for _ in range(width)] for _ in range(rows)] for _ in range(together)]
    steps = [(builder.mul(a_block, WORD(r // ROWS)), builder.mul(a_row, WORD(r % ROWS))) for r in range(rows)]
    lines = [builder.gep(a, [builder.add(*step)]) for step in steps]
    adds = builder.icmp_signed("!=", accumulate, WORD(0))
    starts = [builder.gep(c, [builder.mul(c_row, WORD(r))]) for r in range(rows)]
    cells = itertools.product(range(rows), range(width))
    places = {(r, v): builder.gep(starts[r], [WORD(v * kind.lanes)]) for r, v in cells}
    for place in places.values():
        tile.fetch(place, NEAR)

    def add(k: Any, part: list[list[Any]]) -> None:
        line = WORD(vectors * kind.lanes)
        starts = [builder.mul(builder.add(k, builder.mul(length, WORD(number))), line) for number in range(panels)]
        places = [builder.add(start, WORD(v * kind.lanes)) for start in starts for v in range(vectors)]
        right = [tile.load(builder.gep(panel, [place])) for place in places]
        if rows == full_height(vectors):
            tile.fetch(builder.gep(ahead, [builder.mul(k, WORD(64 // tile.bytes))]), FAR)
        at = builder.mul(k, a_step)
        for r in range(rows):
            spread = tile.spread(builder.load(builder.gep(lines[r], [at])))
            for v in range(width):
                builder.store(tile.multiply_add(spread, right[v], builder.load(part[r][v])), part[r][v])

    turns = builder.udiv(length, WORD(together))
    first = builder.mul(turns, WORD(together))
    with cgutils.for_range(builder, turns) as loop:
        for number, part in enumerate(sums):
            add(builder.add(builder.mul(loop.index, WORD(together)), WORD(number)), part)
    if together > 1:
        with cgutils.for_range(builder, length, first) as loop:
            add(loop.index, sums[0])
    for r, v in places:
        builder.store(tile.total([part[r][v] for part in sums]), sums[0][r][v])
    with builder.if_then(builder.fcmp_unordered("!=", alpha, alpha.type(1.0)), likely=False):
        scale = tile.spread(alpha)
        for r, v in places:
            builder.store(builder.fmul(scale, builder.load(sums[0][r][v])), sums[0][r][v])
    for (r, v), place in places.items():
        last = v == width - 1
        tile.put(place, builder.fadd(builder.load(sums[0][r][v]), tile.get_if(adds, place, last)), last)


def _dots(
    typing: Any,
    rows: Any,
    columns: Any,
    c: Any,
    c_row: Any,
    a: Any,
    a_row: Any,
    b: Any,
    length: Any,
    alpha: Any,
    accumulate: Any,
) -> Any:
    """c[r, j] = alpha Σ_k a[r, k] b[j, k], plus c[r, j] where `accumulate`, for up to 4 rows and few columns.

    Vectors lie along the sum; a quarter of a vector's lanes is the most columns. Rows of b are `length` entries long.
    """
    kind = Vector(c.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        sizes = list(itertools.product(range(1, ROWS + 1), range(1, kind.lanes // ROWS + 1)))
        _choose(builder, f"dots_{c.dtype}", sizes, args, partial(_fill_dots, kind))
        return context.get_dummy_value()

    return types.void(*(INDEX,) * 2, c, INDEX, a, INDEX, b, INDEX, c.dtype, INDEX), lower


def _fill_dots(
    kind: Vector,
    builder: Any,
    rows: int,
    columns: int,
    c: Any,
    c_row: Any,
    a: Any,
    a_row: Any,
    b: Any,
    length: Any,
    alpha: Any,
    accumulate: Any,
) -> None:
    """Write the code of products of so many rows and columns."""
    lanes = WORD(kind.lanes)
    rest = builder.urem(length, lanes)
    tile = _Builder(builder, kind, rest)
    sums = [[tile.variable() for _ in range(columns)] for _ in range(rows)]
    left = [builder.gep(a, [builder.mul(a_row, WORD(r))]) for r in range(rows)]
    right = [builder.gep(b, [builder.mul(length, WORD(j))]) for j in range(columns)]

    def add(k: Any, last: bool) -> None:
        factors = [tile.get(builder.gep(row, [k]), last) for row in right]
        for row, parts in zip(left, sums, strict=True):
            here = tile.get(builder.gep(row, [k]), last)
            for factor, part in zip(factors, parts, strict=True):
                builder.store(tile.multiply_add(here, factor, builder.load(part)), part)

    with cgutils.for_range(builder, builder.udiv(length, lanes)) as loop:
        add(builder.mul(loop.index, lanes), last=False)
    with builder.if_then(builder.icmp_signed(">", rest, WORD(0))):
        add(builder.sub(length, rest), last=True)
    width = kind.lanes // ROWS
    values = [tile.zeros] * kind.lanes
    for r, j in itertools.product(range(rows), range(columns)):
        values[r * width + j] = builder.load(sums[r][j])
    totals = tile.totals(values)
    adds = builder.icmp_signed("!=", accumulate, WORD(0))
    for r, j in itertools.product(range(rows), range(columns)):
        place = builder.gep(c, [builder.add(builder.mul(c_row, WORD(r)), WORD(j))])
        before = builder.select(adds, builder.load(place), kind.machine.element(0.0))
        number = builder.extract_element(totals, ir.IntType(32)(r * width + j))
        builder.store(builder.fadd(builder.fmul(alpha, number), before), place)


class _Builder:
    """What a tile does with single vectors."""

    def __init__(self, builder: Any, kind: Vector, left: Any) -> None:
        self.builder = builder
        self.kind = kind
        self.machine = kind.machine
        self.bytes = kind.size
        self.suffix = f"v{kind.lanes}f{kind.dtype.bitwidth}"
        self.zeros = ir.Constant(self.machine, [0.0] * kind.lanes)
        self.left = left

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

    def totals(self, values: list[Any]) -> Any:
        """Return a vector whose lanes hold the sums of all lanes of as many vectors."""
        while len(values) > 1:
            half = len(values) // 2
            turned = exchanged(self.builder, values, half)
            values = [self.builder.fadd(*pair) for pair in zip(turned[:half], turned[half:], strict=True)]
        return values[0]

    def load(self, pointer: Any) -> Any:
        return load_whole(self.builder, pointer, self.kind)

    def store(self, value: Any, pointer: Any) -> None:
        store_whole(self.builder, value, pointer, self.kind)

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

    def get(self, place: Any, last: bool) -> Any:
        """Load a vector of a row: what is left, if it is the last."""
        return load_left(self.builder, place, self.kind, self.left) if last else self.load(place)

    def get_if(self, wanted: Any, place: Any, last: bool) -> Any:
        """Load a vector of a row where that is wanted; else it is 0."""
        found = self.variable()
        with self.builder.if_then(wanted):
            self.builder.store(self.get(place, last), found)
        return self.builder.load(found)

    def put(self, place: Any, value: Any, last: bool) -> None:
        """Store a vector of a row: what is left, if it is the last."""
        if last:
            store_left(self.builder, value, place, self.kind, self.left)
        else:
            self.store(value, place)


compiled: Any = intrinsic
tile, dots = map(compiled, (_tile, _dots))
