"""`Study`: a sweep that runs on many processes, can be stopped at any moment, and goes on where it stopped."""

from __future__ import annotations

import json
import os
import platform
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from ...derive.errors import Error, expect_path
from ..inputs import size_of_text
from ..strict import refuse
from .file import StudyFile, read
from .plan import Plan, Point, Task, describe, plan
from .pool import LocalWorkers, Workers, cores
from .store import Store
from .task import Outcome, versions

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Study:
    """A study: what its file says, and where its numbers are kept.

    Attributes:
        path: of the file.
        text: of the file.
        file: what it says.
        plan: what is computed.
        store: path or address of the Zarr store.
    """

    path: Path
    text: str = field(repr=False)
    file: StudyFile = field(repr=False)
    plan: Plan = field(repr=False)
    store: str

    @staticmethod
    def load(path: str | os.PathLike[str], store: str | os.PathLike[str] | None = None) -> Study:
        """Read a study.

        Args:
            path: of its TOML file.
            store: a path or an fsspec address such as s3://bucket/study.zarr; by default the file's name with the
                suffix .zarr, beside it.

        Raises:
            Error: with a line for every mistake in the file.
        """
        expect_path("the path of a study", path)
        file, text = read(path)
        laid, mistakes = plan(file)
        refuse(path, mistakes)
        return Study(Path(path), text, file, laid, os.fspath(store or Path(path).with_suffix(".zarr")))

    @property
    def notes(self) -> list[str]:
        """Where the number of characters of a text sets the size of a state."""
        data = self.plan.data
        feeds = [
            feed
            for group in self.plan.groups
            for feed, one in zip(group.feeds, data, strict=True)
            if one.kind != "noise"
        ]
        return list(dict.fromkeys(note for note in map(size_of_text, feeds) if note))

    def run(
        self,
        *,
        resume: bool = False,
        scheduler: str | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> xr.DataTree:
        """Compute what isn't in the store.

        The numbers don't depend on how many processes compute them, nor on their order.

        Args:
            resume: go on with a store that is there.
            scheduler: address of a Dask scheduler, such as ``tcp://host:8786``; by default processes of this machine.
            workers: number of processes; by default the number of cores.
            progress: called as progress(done, total, news) after each task: one seed of a point.

        Returns:
            The store, as `open` does.

        Raises:
            Error: where the store can't be written, is there although `resume` is false, or is of another study; where
                the scheduler doesn't answer; where processes can't be started.
        """
        if scheduler is not None and workers is not None:
            raise Error("a scheduler has workers of its own: leave out workers=")
        if workers is not None and workers < 1:
            raise Error(f"workers is {workers}: give a whole number from 1 on")
        store = Store(self.store)
        done = self._done(store, resume)
        todo = [point for number in range(len(self.plan.groups)) for point in self.plan.points(number)]
        todo = [point for point in todo if point not in done]
        tell = progress or (lambda done, total, news: None)
        if todo:
            team = self._workers(scheduler, min(workers or cores(), len(todo) * len(self.plan.seeds)))
            try:
                store.start(self._about)
                self._perform(team, store, todo, len(done), tell)
            finally:
                team.close()
        store.finish()
        return store.open()

    def open(self) -> xr.DataTree:
        """Return what is in the store: a group for each cell, size, length and measure.

        Raises:
            Error: where there is no store of a study.
        """
        return Store(self.store).open()

    @property
    def _about(self) -> dict[str, Any]:
        """What the store says of itself."""
        about = {"title": self.file.title, "question": self.file.question, "text": self.text}
        return about | {"study": self._decides, "python": platform.python_version()}

    @property
    def _decides(self) -> dict[str, Any]:
        """All that decides the study's numbers."""
        return {**describe(self.plan), "versions": versions()}

    def _done(self, store: Store, resume: bool) -> set[Point]:
        """Return the points that are in the store, after a check that it is this study's."""
        found = store.attrs()
        if found is None:
            return set()
        if not resume:
            raise Error(
                f"{self.store}: a study is there already. Go on with it by --resume (in Python, resume=True), "
                "or choose another store."
            )
        if changes := _changes(found["study"], self._decides):
            listed = "\n".join(f"  {line}" for line in changes)
            raise Error(
                f"{self.store}: holds another study than {self.path}, and one store holds one study. What changed:\n"
                f"{listed}\nChange it back, or choose another store."
            )
        return {point for number in range(len(self.plan.groups)) for point in store.done(self.plan, number)}

    def _workers(self, scheduler: str | None, count: int) -> Workers:
        if scheduler is None:
            return LocalWorkers(self.plan, count)
        from .cluster import ClusterWorkers

        return ClusterWorkers(self.plan, scheduler)

    def _perform(self, team: Workers, store: Store, todo: list[Point], before: int, tell: Progress) -> None:
        """Perform the tasks of points, and write each point when its last seed is there.

        The first task of a cell and measure goes ahead of the others, so that the kernel is compiled once, and found
        on disk by all other processes.
        """
        seeds = len(self.plan.seeds)
        behind: dict[tuple[str, str], deque[Task]] = {}
        for point in todo:
            group = self.plan.groups[point.group]
            tasks = behind.setdefault((group.cell.name, group.measure), deque())
            tasks.extend(Task(point, seed) for seed in range(seeds))
        ahead: dict[str, deque[tuple[str, str]]] = {}
        for kind in behind:
            ahead.setdefault(kind[0], deque()).append(kind)
        for kinds in ahead.values():
            team.submit(behind[kinds.popleft()].popleft())
        found: dict[Point, list[Outcome]] = {}
        lost: dict[Point, str] = {}
        total = (before + len(todo)) * seeds
        tell(before * seeds, total, "")
        for done in range(before * seeds + 1, total + 1):
            outcome = team.take()
            point = outcome.task.point
            group = self.plan.groups[point.group]
            kind = group.cell.name, group.measure
            if kind in behind:
                if ahead[group.cell.name]:
                    team.submit(behind[ahead[group.cell.name].popleft()].popleft())
                for task in behind.pop(kind):
                    team.submit(task)
            if outcome.lost:
                lost[point] = outcome.message
            found.setdefault(point, []).append(outcome)
            news = ""
            if len(found[point]) == seeds:
                outcomes = sorted(found.pop(point), key=lambda one: one.task.seed)
                if point not in lost:
                    outcomes = store.write(self.plan, point, outcomes)
                news = self._news(point, outcomes)
            tell(done, total, news)
        if lost:
            many = "1 point was" if len(lost) == 1 else f"{len(lost)} points were"
            first = next(iter(lost))
            raise Error(
                f"{many} not finished: at {self.plan.title(first)}, {lost[first]}. "
                f"All others are in {self.store}. Try these again with --resume."
            )

    def _news(self, point: Point, outcomes: list[Outcome]) -> str:
        """Return what went wrong at a point, or ''."""
        wrong = [outcome for outcome in outcomes if outcome.message]
        if not wrong:
            return ""
        many = "" if len(outcomes) == 1 else f" ({len(wrong)} of {len(outcomes)} seeds)"
        return f"{self.plan.title(point)}{many}: {wrong[0].message}"


def _changes(old: Any, new: Any, path: str = "") -> list[str]:
    """Return a line for each place where two settings differ: its path, old -> new.

    >>> _changes({"batch": 8, "seeds": [0, 1]}, {"batch": 4, "seeds": [0, 1, 2]})
    ['batch: 8 -> 4', 'seeds: [0, 1] -> [0, 1, 2]']
    >>> _changes({"cells": {"mine": ["h: state[n]", "h = W @ h"]}}, {"cells": {"mine": ["h: state[n]", "h = U @ h"]}})
    ['cells.mine[1]: h = W @ h -> h = U @ h']
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = dict.fromkeys([*old, *new])
        return [
            line
            for name in names
            for line in _changes(old.get(name, "nothing"), new.get(name, "nothing"), f"{path}.{name}".lstrip("."))
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new) > 1:
        pairs = enumerate(zip(old, new, strict=True))
        return [line for number, pair in pairs for line in _changes(*pair, f"{path}[{number}]")]
    return [] if old == new else [f"{path}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
