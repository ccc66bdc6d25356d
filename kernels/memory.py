"""Where the arrays of a run lie: shapes at given sizes, in one piece of memory that is used again."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sympy import Expr

from ..derive.interpret import size
from .emit import Emitted
from .given import Array
from .instructions import BATCH, FIXED, TANGENT_BATCH, TANGENT_TIME, TIME
from .products import SUMMED_AT_ONCE, packed_size
from .schedule import Schedule

LINE = 64  # bytes: arrays begin at a cache line
KEPT_BUFFERS = 6


@dataclass(frozen=True)
class Layout:
    """Shapes of a kernel's arrays at given sizes.

    Attributes:
        sizes: dimension -> size.
        kinds: array's name -> FIXED, TIME, ...
        shapes: array's name -> (rows, width); what moves in time has as many rows for each step and sample.
        packed: name of a packed matrix -> entries.
        space: entries of the workspace that sums over time need.
    """

    sizes: Mapping[str, int]
    kinds: Mapping[str, str]
    shapes: Mapping[str, tuple[int, int]]
    packed: Mapping[str, int]
    space: int

    @cached_property
    def work(self) -> int:
        """Entries that one step of one sample touches, roughly."""
        return sum(self.packed.values()) + sum(width for _, width in self.shapes.values())

    def shape(self, name: str, T: int, B: int, K: int = 0) -> tuple[int, ...]:
        """Return the shape of an array for T steps, B samples and K directions."""
        if name in self.packed:
            return (self.packed[name],)
        rows, width = self.shapes[name]
        many = {FIXED: rows, TIME: T * B, BATCH: B, TANGENT_TIME: T * B * K, TANGENT_BATCH: B * K}
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
            shapes[name] = 1, width + (lanes if len(dims) > 1 and width % (8 * lanes) == 0 else 0)
    packed = {name: packed_size(number(a), number(b), dtype) for name, (a, b) in emitted.packed.items()}
    widest = max([1, *(width for name, (_, width) in shapes.items() if kinds[name] == TIME)])
    return Layout(dict(sizes), kinds, shapes, packed, SUMMED_AT_ONCE * (widest + lanes))


@dataclass(frozen=True)
class Plan:
    """Where arrays lie side by side in one buffer.

    Attributes:
        places: (name, first entry, entry behind the last, shape) of each.
        total: entries of the buffer.
    """

    places: tuple[tuple[str, int, int, tuple[int, ...]], ...]
    total: int


def planned(shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> Plan:
    """Lay out arrays of these shapes, name -> shape, each from a cache line on."""
    step = LINE // dtype.itemsize
    places, end = [], 0
    for name, shape in shapes.items():
        count = math.prod(shape)
        places.append((name, end, end + count, shape))
        end += -(-count // step) * step
    return Plan(tuple(places), end)


class Pool:
    """Buffers that are used again once nobody looks at them any more."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.buffers: list[Array] = []
        self.lock = threading.Lock()

    def arrays(self, plan: Plan) -> dict[str, Array]:
        """Return the arrays of a plan in one buffer; their entries are anything."""
        buffer = self._buffer(plan.total + LINE)
        at = -buffer.ctypes.data % LINE // self.dtype.itemsize
        aligned = buffer[at : at + plan.total]
        return {name: aligned[start:stop].reshape(shape) for name, start, stop, shape in plan.places}

    def _buffer(self, count: int) -> Array:
        with self.lock:
            # A view of a buffer would be a reference more than those of the pool's list.
            unseen = [n for n in range(len(self.buffers)) if sys.getrefcount(self.buffers[n]) <= _alone()]
            fitting = [n for n in unseen if count <= self.buffers[n].size <= 4 * count + 4096]
            smallest = min(fitting, key=lambda n: self.buffers[n].size, default=None)
            found = np.empty(count, self.dtype) if smallest is None else self.buffers.pop(smallest)
            self.buffers.append(found)
            del self.buffers[:-KEPT_BUFFERS]
            return found


def _alone() -> int:
    """Return how many references a buffer has that only a pool's list holds."""
    held = [np.empty(0)]
    return sys.getrefcount(held[0])


def free_bytes() -> int | None:
    """Return the memory that is free on this machine, or None where it can't be told."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":") for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
