"""What a study computes: groups of points of one shape, and the tasks of each point."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sympy import Symbol

from ...derive.cell import Cell
from ...derive.errors import Error
from ...derive.interpret import size
from ...derive.sizes import size_from
from ...derive.syntax import closest
from ...kernels.given import check_sizes
from ...kernels.room import check_fits
from ..inputs import Feed, dimensions, plan_feed
from .file import Data, StudyFile

FLOAT = 8  # bytes


@dataclass(frozen=True)
class Group:
    """Points whose results have the same shape: one measure of one cell at one size and length.

    Attributes:
        feeds: how the cell is fed, for each data of the plan.
        sizes: of the cell's dimensions, without that of the vocabulary.
        length: steps T.
        measure: its name.
    """

    feeds: tuple[Feed, ...]
    sizes: Mapping[str, int]
    length: int
    measure: str

    @property
    def cell(self) -> Cell:
        """What is measured."""
        return self.feeds[0].cell

    @property
    def path(self) -> str:
        """Where it stands in the store, such as rnn/n=16,T=100/flow."""
        sizes = "".join(f"{name}={size}," for name, size in self.sizes.items())
        return f"{self.cell.name}/{sizes}T={self.length}/{self.measure}"


class Point(NamedTuple):
    """One initialisation and one kind of data in a group; each is a position in the plan."""

    group: int
    start: int
    data: int


class Task(NamedTuple):
    """One seed of a point."""

    point: Point
    seed: int


@dataclass(frozen=True)
class Plan:
    """All that a process must know to perform any task of a study."""

    groups: tuple[Group, ...]
    starts: tuple[Mapping[str, Any], ...]
    data: tuple[Data, ...]
    seeds: tuple[int, ...]
    batch: int
    settings: Mapping[str, Mapping[str, Any]]

    def points(self, group: int) -> Iterator[Point]:
        """Give the points of a group."""
        for start, data in itertools.product(range(len(self.starts)), range(len(self.data))):
            yield Point(group, start, data)

    def title(self, point: Point) -> str:
        """Return how messages call a point."""
        return f"{self.groups[point.group].path}, {self.labels[point.start]}, {self.data[point.data].label}"

    @property
    def labels(self) -> list[str]:
        """How each initialisation is called: by what differs between them, or by all where there is only one."""
        names = [name for name in self.starts[0] if len({str(start[name]) for start in self.starts}) > 1]
        given = [{name: start[name] for name in names or start} for start in self.starts]
        return [", ".join(f"{k}={v}" for k, v in start.items() if v is not None) for start in given]


def plan(file: StudyFile) -> tuple[Plan, list[str]]:
    """Lay out a study.

    Returns:
        The plan, and what can't be done: a line for each mistake, with its path in the file.
    """
    known = sorted({name for cell in file.cells for name in dimensions(cell)})
    mistakes = [
        f"sizes.{name}: no cell here has a dimension called '{name}'. {closest(name, known)}"
        for name in file.sizes
        if name not in known
    ]
    groups = []
    for place, cell in enumerate(file.cells):
        own = [name for name in file.sizes if name in dimensions(cell)]
        found: dict[str, tuple[dict[str, int], tuple[Feed, ...]]] = {}
        for hidden, *values in itertools.product(file.hidden, *(file.sizes[name] for name in own)):
            given = dict(zip(own, values, strict=True))
            if all(data.kind == "noise" for data in file.data):  # then no vocabulary sets the size of a state
                given = dict.fromkeys(_of_states(cell), hidden) | given
            feeds = tuple(plan_feed(cell, len(data.characters.vocabulary), given, hidden) for data in file.data)
            mistakes += [f"cells[{place}]: {reason}" for reason in _misfits(feeds, file.data)]
            read = {shape for feed in feeds if feed.reads for shape in _shape(feed)}
            sizes = {name: size for name, size in feeds[0].sizes.items() if name not in read}
            found[str(sizes)] = sizes, feeds
        groups += [
            Group(feeds, sizes, length, measure)
            for sizes, feeds in found.values()
            for length in file.lengths
            for measure in file.settings
        ]
    laid = Plan(tuple(groups), file.starts, file.data, file.seeds, file.batch, file.settings)
    return laid, list(dict.fromkeys(mistakes))


def _shape(feed: Feed) -> tuple[str, ...]:
    """Return the dimensions of what reads characters."""
    return feed.cell.inputs.get(feed.reads) or (feed.cell.indices[feed.reads],)


def _of_states(cell: Cell) -> list[str]:
    """Return the names of the dimensions of states."""
    shapes = cell.states.values()
    return sorted({symbol.name for shape in shapes for part in shape for symbol in size_from(part).free_symbols})


def _misfits(feeds: tuple[Feed, ...], data: tuple[Data, ...]) -> Iterator[str]:
    """Give reasons why a cell can't be fed."""
    for feed, one in zip(feeds, data, strict=True):
        if one.kind != "noise" and not feed.reads:
            count, named = len(one.characters.vocabulary), bool(feed.cell.inputs or feed.cell.indices)
            yield (
                f"no input of '{feed.cell.name}' can read the {count} characters of data '{one.label}'. "
                + ("Set no size for the dimension of such an input, or use" if named else "It has none: use")
                + " data = 'noise'."
            )
        try:
            sizes = check_sizes(feed.cell, feed.sizes)
            shapes = [feed.cell.shapes[Symbol(name)] for name in feed.cell.params]
            entries = sum(math.prod(size(part, sizes) for part in shape) for shape in shapes)
            check_fits(FLOAT * entries, "its parameters need", "give smaller sizes")
        except Error as error:
            yield f"'{feed.cell.name}' at {dict(feed.sizes)}: {error}"


def describe(plan: Plan) -> dict[str, Any]:
    """Return all that decides a study's numbers, as JSON gives it back."""
    decides = {
        "cells": {group.cell.name: group.cell.text.splitlines() for group in plan.groups},
        "groups": [group.path for group in plan.groups],
        "batch": plan.batch,
        "initialisation": [dict(start) for start in plan.starts],
        "data": {one.label: f"{one.kind} of {one.characters.source}, {_digest(one)}" for one in plan.data},
        "seeds": list(plan.seeds),
        "measures": {name: dict(settings) for name, settings in plan.settings.items()},
    }
    found: dict[str, Any] = json.loads(json.dumps(decides))
    return found


def _digest(data: Data) -> str:
    chars = data.characters
    return hashlib.sha256(chars.vocabulary.encode() + chars.indices.astype("<i8").tobytes()).hexdigest()[:16]
