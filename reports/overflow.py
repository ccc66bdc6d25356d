"""Runs that overflow, as pages say it: from which step on how many of them are lost, and what is shown instead."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .document import Block, Note, Table
from .phrases import Phrases

if TYPE_CHECKING:
    from xarray import Dataset


@dataclass(frozen=True)
class Overflow:
    """Attributes:
    cell, data: whose runs overflow.
    first, last: the earliest and the latest step at which they do.
    many, runs: how many do, and how many there are.
    """

    cell: str
    data: str
    first: int
    last: int
    many: int
    runs: int

    @property
    def is_whole(self) -> bool:
        """Whether no run stays finite."""
        return self.many == self.runs


def overflows(summary: Dataset) -> list[Overflow]:
    """Return where a summary over (cell, data) has runs that overflow."""
    if "overflowed" not in summary:
        return []
    found = []
    for cell, data in itertools.product(summary.cell.values, summary.data.values):
        at = summary.sel(cell=cell, data=data)
        counts = [int(at[name]) for name in ("overflow_first", "overflow_last", "overflowed", "runs")]
        if counts[2]:
            found.append(Overflow(str(cell), str(data), *counts))
    return found


def overflowed(one: Overflow, phrases: Phrases) -> str:
    """Return at which steps how many runs overflow.

    >>> overflowed(Overflow("mine", "text", 4, 7, 3, 8), Phrases())
    'overflowed at steps 4 to 7 in 3 of 8 runs'
    """
    return phrases.plain("overflow.runs", steps=_steps(one, phrases), many=one.many, runs=one.runs)


def overflow_table(
    found: Sequence[Overflow], summary: Dataset, phrases: Phrases, kind: Callable[[str], str]
) -> list[Block]:
    """Return a note and a table of all that overflowed; nothing where nothing did."""
    if not found:
        return []
    title = phrases.plain("overflow.title", count=len(found), all=summary.sizes["cell"] * summary.sizes["data"])
    heads = ("comparison.cell", "study.data", "overflow.where", "overflow.many", "overflow.shown")
    rows = []
    for one in found:
        shown = "overflow.end" if one.is_whole else "overflow.others"
        rows.append(
            (
                (one.cell,),
                (kind(one.data),),
                (_steps(one, phrases),),
                (f"{one.many}/{one.runs}",),
                (phrases.plain(shown, count=one.runs - one.many),),
            )
        )
    header = tuple((phrases.plain(head),) for head in heads)
    return [Note("", (title,), bad=True), Table(header, tuple(rows), "lllrl", wide=4)]


def _steps(one: Overflow, phrases: Phrases) -> str:
    return phrases.plain("overflow.step" if one.first == one.last else "overflow.steps", first=one.first, last=one.last)
