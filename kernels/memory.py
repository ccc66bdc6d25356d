"""Where the arrays of a run lie: shapes at given sizes, in one piece of memory that is used again."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sympy import Expr

from ..derive.interpret import size
from .emit import Emitted
from .given import Array
from .instructions import BATCH, FIXED, PASSING, TANGENT_BATCH, TANGENT_TIME, TIME, OuterSum
from .products import SUMMED_AT_ONCE, packed_size, space_size
from .schedule import Schedule
from .table import Table

LINE = 64  # bytes: arrays begin at a cache line
KEPT_PIECES = 6
IN_CACHE = 2**15  # entries of a block of rows that stay there from the steps back to the sums over them

Groups = dict[str, dict[str, Array]]
MakeViews = Callable[[dict[str, Array]], Groups]
MakeTables = Callable[[dict[str, Array]], tuple[Table, Table]]


@dataclass(frozen=True)
class Layout:
    """Shapes of a kernel's arrays at given sizes.

    Attributes:
        sizes: dimension -> size.
        kinds: array's name -> FIXED, TIME, ...
        shapes: array's name -> (rows, width); what moves in time has as many rows for each step and sample.
        packed: name of a packed matrix -> entries.
        space: entries of the workspace that sums over time need.
        block: rows of a block of steps: a backward pass sums its gradients of parameters before it goes further back.
    """

    sizes: Mapping[str, int]
    kinds: Mapping[str, str]
    shapes: Mapping[str, tuple[int, int]]
    packed: Mapping[str, int]
    space: int
    block: int

    @cached_property
    def work(self) -> int:
        """Entries that one step of one sample touches, roughly."""
        return sum(self.packed.values()) + sum(width for _, width in self.shapes.values())

    def steps(self, T: int, B: int) -> int:
        """Return the steps of a block, of which a backward pass goes through one after the other."""
        most = max(1, self.block // max(1, B))
        return max(1, -(-T // max(1, -(-T // most))))  # all nearly as long

    def shape(self, name: str, T: int, B: int, K: int = 0) -> tuple[int, ...]:
        """Return the shape of an array for T steps, B samples and K directions."""
        if name in self.packed:
            return (self.packed[name],)
        rows, width = self.shapes[name]
        many = {FIXED: rows, TIME: T * B, BATCH: B, TANGENT_TIME: T * B * K, TANGENT_BATCH: B * K}
        many[PASSING] = self.steps(T, B) * B
        return many[self.kinds[name]], width


def layout_at(schedule: Schedule, emitted: Emitted, sizes: Mapping[str, int], dtype: np.dtype) -> Layout:
    """Work out the shapes of all arrays at given sizes."""

    def number(expr: Expr) -> int:
        return size(expr, sizes)

    lanes = LINE // dtype.itemsize
    shapes, kinds = {}, {}
    for block in schedule.blocks.values():
        name, members = emitted.arrays[block.name], [schedule.shapes[symbol] for symbol in block.members]
        kinds[name] = block.kind
        dims = [tuple(map(number, shape)) for shape in members]
        if block.kind == FIXED:
            single = dims[0]
            rows = sum(dim[0] for dim in dims) if len(single) == 2 else 1
            shapes[name] = rows, single[-1] if single else 1
        else:
            width = sum(int(np.prod(dim, dtype=int)) for dim in dims)
            # A row a power of two long would fall on the same lines of the cache again and again.
            apart = len(dims) > 1 and width % (8 * lanes) == 0 and block.kind != TANGENT_TIME  # these are directions
            shapes[name] = 1, width + (lanes if apart else 0)
    packed = {name: packed_size(number(a), number(b), dtype) for name, (a, b) in emitted.packed.items()}
    widest = max([1, *(width for name, (_, width) in shapes.items() if kinds[name] in (TIME, PASSING))])
    outers = [instruction for instruction in schedule.sums if isinstance(instruction, OuterSum)]
    read = {schedule.places[symbol].block for outer in outers for symbol in (*outer.lefts, outer.right)}
    near = {emitted.arrays[name] for name in read} | {name for name, kind in kinds.items() if kind == PASSING}
    rows = max(SUMMED_AT_ONCE, IN_CACHE // sum([1, *(shapes[name][1] for name in near)]))
    return Layout(dict(sizes), kinds, shapes, packed, space_size(widest, dtype), rows)


@dataclass(frozen=True)
class Plan:
    """Where arrays lie side by side in one buffer.

    Attributes:
        places: (name, first entry, entry behind the last, shape) of each.
        total: entries of the buffer.
        cleared: entries of those that begin at 0: they come first.
    """

    places: tuple[tuple[str, int, int, tuple[int, ...]], ...]
    total: int
    cleared: int


def planned(shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype, begin_at_zero: Collection[str] = ()) -> Plan:
    """Lay out arrays of these shapes, name -> shape, each from a cache line on."""
    step = LINE // dtype.itemsize
    places, end, cleared = [], 0, 0
    for name in sorted(shapes, key=lambda name: name not in begin_at_zero):
        count = math.prod(shapes[name])
        places.append((name, end, end + count, shapes[name]))
        end += -(-count // step) * step
        cleared = end if name in begin_at_zero else cleared
    return Plan(tuple(places), end, cleared)


class Piece:
    """The arrays of a plan in one buffer, and what else is made of them once; handed out while nobody holds any.

    Attributes:
        buffer: who holds it, or a view of it, holds the piece.
        arrays: by name; to be handed on as views of them.
        views: group -> name -> array; these are handed on as they are.
        table: where the arrays lie, for calls of compiled functions.
        request: what arrays from outside must be like, so that their addresses may be written into the table.
        address, asked: of the table and of the request.
        begins_at_zero: whether the states before the first step are known to be 0.
        used: when the piece was last handed out: later ones have greater numbers.
        cleared, entries: what begins at 0, and all.
    """

    def __init__(self, plan: Plan, views: MakeViews, tables: MakeTables, buffer: list[Array]) -> None:
        self.plan = plan
        self.buffer = buffer.pop()
        first = -self.buffer.ctypes.data % LINE // self.buffer.itemsize
        self.entries = self.buffer[first : first + plan.total]
        self.cleared = self.entries[: plan.cleared]
        self.arrays = {name: self.entries[start:stop].reshape(shape) for name, start, stop, shape in plan.places}
        self.views = views(self.arrays)
        self.table, self.request = tables(self.arrays)
        (self.address, _), (self.asked, _) = self.table.buffer_info(), self.request.buffer_info()
        self.begins_at_zero = False
        self.used = math.inf
        self._objects = self.buffer, *(a for group in self.views.values() for a in group.values())
        self._alone = self._references()

    def is_free(self) -> bool:
        """Return whether nobody holds an array of this piece: a view of one would be a reference to the buffer."""
        return self._references() <= self._alone

    def release(self) -> Array:
        """Give up the arrays and return their buffer."""
        buffer = self.buffer
        del self.buffer, self.entries, self.cleared, self.arrays, self.views, self._objects
        return buffer

    def _references(self) -> int:
        return sum(map(sys.getrefcount, self._objects))


class Pool:
    """Pieces of memory that are used again once nobody looks at them any more."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.pieces: list[Piece] = []
        self.lock = threading.Lock()
        self._count = 0

    def take(
        self,
        plan: Plan,
        views: MakeViews = lambda arrays: {},
        tables: MakeTables = lambda arrays: (Table("q"), Table("q")),
    ) -> tuple[Piece, Array]:
        """Return a piece with the arrays of a plan, whose entries are anything, and its buffer, to be held.

        `views` may give names of their own to parts of the arrays. Names are to be copied where they are handed on.
        """
        with self.lock:
            for piece in self.pieces:
                if piece.plan is plan and piece.is_free():
                    break
            else:
                piece = Piece(plan, views, tables, [self._buffer(plan.total + LINE)])
                self.pieces.append(piece)
                if len(self.pieces) > KEPT_PIECES:
                    self.pieces.remove(min(self.pieces, key=lambda piece: piece.used))
            self._count += 1
            piece.used = self._count
            return piece, piece.buffer

    def _buffer(self, count: int) -> Array:
        """Return the smallest buffer of a free piece that is large enough, but not much too large, or a new one."""
        fitting = [p for p in self.pieces if count <= p.buffer.size <= 4 * count + 4096 and p.is_free()]
        smallest = min(fitting, key=lambda piece: piece.buffer.size, default=None)
        if smallest is None:
            return np.empty(count, self.dtype)
        self.pieces.remove(smallest)
        return smallest.release()
