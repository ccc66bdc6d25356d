"""What commands print: files and JSON, how a run is made again, and bars that show how far it is."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import click


def command() -> str:
    return shlex.join(["bptt", *sys.argv[1:]])


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def progress(kernels: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function (stage, done, total) that draws a bar for each stage; "stage: what" says what it is at.

    Where standard error is no terminal, nothing is drawn.
    """
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
    console = _console()
    bars = Progress(*counted, *timed, console=console, disable=not console.is_terminal)
    with bars, watched(lambda what: compiling(what)):
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


def give(text: str, output: Path | None) -> None:
    """Write a text to a file, or print it where none is given."""
    if output is None:
        click.echo(text, nl=False)
        return
    from bptt.reports.files import write

    write(output, text.encode())
    wrote(output)


def wrote(path: Path, as_json: bool = False) -> None:
    """Say that a file was written: on standard error where standard output is for a machine."""
    click.echo(f"Wrote {path}", err=as_json)


def give_json(data: Any) -> None:
    """Print data as JSON: not a number as null, and the infinities, which JSON lacks, as "inf" and "-inf"."""
    click.echo(json.dumps(_plain(data), ensure_ascii=False, indent=2))


def _plain(data: Any) -> Any:
    """Return data in types that JSON has.

    >>> _plain({"half_life": (1.5, float("inf"), float("nan"))})
    {'half_life': [1.5, 'inf', None]}
    """
    if isinstance(data, Mapping):
        return {str(name): _plain(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None if math.isnan(data) else str(data)
    return data
