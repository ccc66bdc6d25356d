"""`Writer`: what the writers of lines share: names, printers of expressions, and the function that is being written."""

from __future__ import annotations

import builtins
from collections.abc import Iterable

from sympy import Expr, Rational, Symbol

from ..derive.cell import dimensions_of
from ..derive.functions import FUNCTIONS
from ..derive.notation import spell
from .instructions import ALL, ONCE, Statement
from .lines import free, indented
from .printer import EntryPrinter, VectorPrinter, function_name, power_name
from .schedule import Schedule
from .sections import SECTIONS, STRETCHING

INDICES = {"T", "B", "K", "t", "s", "q", "j", "j0", "j1", "k", "row", "moved", "moved_row", "left", "first", "last"}
VARIABLES = {"sums", "largest", "active", "masked", "together", "span", "start", "stop", "space", "part", "parts"}
VARIABLES |= {"vectors", "carried", "norms", "above", "below", "piece", "pieces", "rows", "times", "split", "meeting"}
VARIABLES |= {"block", "samples", "directions", "term", "before", "after", "added", "earlier", "later"}
VARIABLES |= {"blocks", "folded", "folds", "direction"}
MODULES = {"np", "math", "njit", "sqrt"}
IMPORTED = {"LANES", "by_lane", "lanes", "load", "meet", "multiply_part", "orthonormalise", "outer_sum", "pack_part"}
IMPORTED |= {"share", "store", "total", "within"}
RESERVED = INDICES | VARIABLES | MODULES | IMPORTED | {"low", "high"} | set(dir(builtins))
SKIPPED = ["if masked and active[row, 0] == 0.0:", "    continue"]


class Writer:
    """Names and printers for the lines of a module, and where it stands.

    Attributes:
        schedule, dtype: that are written.
        arrays: block's name -> its array's name.
        sizes: dimension -> the argument that holds its size.
        locals: value -> the variable that holds a vector of it.
        packed: (matrices, whether side by side) -> the name of the packed matrix.
        packed_sizes: name of a packed matrix -> its columns and length.
        scalar, vector: printers of single entries and of vectors.
        section: the function that is written.
        unstored: values that it doesn't store.
        known: values that are in their variables.
    """

    def __init__(self, schedule: Schedule, dtype: str) -> None:
        self.schedule = schedule
        self.dtype = dtype
        calls = {function_name(name) for name in FUNCTIONS}
        self.taken = RESERVED | {STRETCHING} | calls | {f"{name}_of_number" for name in calls} | set(SECTIONS)
        self.taken |= {power_name(Rational(p, q)) for p in range(100) for q in range(1, 10)}
        self.arrays = {name: free(name, self.taken) for name in schedule.blocks}
        self.sizes = {name: free(f"size_{name}", self.taken) for name in dimensions_of(schedule.derivation.cell)}
        self.locals = {symbol: free(f"{symbol}_j", self.taken) for symbol in schedule.places}
        self.packed: dict[tuple[tuple[Expr, ...], bool], str] = {}
        self.packed_sizes: dict[str, tuple[Expr, Expr]] = {}
        arrays = {symbol: self.arrays[place.block] for symbol, place in schedule.places.items()}
        self.scalar = EntryPrinter(arrays, self.sizes, schedule.shapes, schedule.kept, schedule.places)
        self.vector = VectorPrinter(self.scalar, lambda symbol: self.locals[symbol] if symbol in self.known else None)
        self.section = ""
        self.unstored: set[Symbol] = set()
        self.known: set[Symbol] = set()

    def nest(self, axes: Iterable[tuple[str, Expr]], inner: list[str]) -> list[str]:
        """Put lines into loops over (index, size)."""
        for index, size in reversed(list(axes)):
            inner = [f"for {index} in range({self.scalar.size(size)}):", *indented(inner)]
        return inner

    def over(self, scope: str, lines: list[str]) -> list[str]:
        """Put lines into the loops over samples, and over steps where all are done at once."""
        if scope == ONCE:
            return lines
        head = ["row = t * B + s", *SKIPPED]
        if self.section == "tangent":
            lines = ["moved, moved_row = s * K + q, row * K + q", *lines]
            lines = [*head, "for q in range(K):", *indented(lines)]
            return ["for s in range(first, last):", *indented(lines)]
        samples, steps = ("B", "T") if self.section == "sums" else ("first, last", "start, stop")
        lines = [f"for s in range({samples}):", *indented([*head, *lines])]
        return [f"for t in range({steps}):", *indented(lines)] if scope == ALL else lines


def equation(statement: Statement) -> str:
    """Return the comment that says what a statement does."""
    return f"# {statement.target} {'+=' if statement.accumulate else '='} {spell(statement.expr)}"
