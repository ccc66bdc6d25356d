"""What commands share: how a run is made again, and bars that show how far it is."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any


def command() -> str:
    return shlex.join(["bptt", *sys.argv[1:]])


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def progress(kernels: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function (stage, done, total) that draws a bar for each stage; "stage: what" says what it is at."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    watched = import_module("bptt.kernels.cache").watched if kernels else lambda watcher: nullcontext()
    counted = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    timed = (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("[dim]{task.fields[compiling]}"))
    with Progress(*counted, *timed, console=_console()) as bars, watched(lambda what: compiling(what)):
        tasks: dict[str, Any] = {}

        def compiling(what: str) -> None:
            for task in list(tasks.values())[-1:]:
                bars.update(task, compiling=f"compiling {what}" if what else "")

        def advance(stage: str, done: int, total: int) -> None:
            title = stage.partition(":")[0]
            if title not in tasks:
                tasks[title] = bars.add_task(stage, total=total, compiling="")
            bars.update(tasks[title], completed=done, total=total, description=stage)

        yield advance
