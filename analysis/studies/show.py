"""A study in a terminal: its template, its progress, and its table of results."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..strict import write_new
from .study import Progress as Tell
from .table import Row

EVERY = 5.0  # seconds between lines of progress where there is no terminal
LONGEST = 60  # rows that a terminal is given


def write_template(path: Path) -> None:
    """Write a study to start from, with a comment on each line, as `strict.write_new` does."""
    text = (resources.files(__package__) / "template.toml").read_text(encoding="utf-8")
    write_new(path, text.replace("FILE", path.name))


@contextmanager
def progress() -> Iterator[Tell]:
    """Give a function that shows how far a study is, on standard error: a bar, or lines where there is no terminal."""
    console = Console(stderr=True)
    with (_bar if console.is_terminal else _lines)(console) as tell:
        yield tell


@contextmanager
def _bar(console: Console) -> Iterator[Tell]:
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=console, speed_estimate_period=600) as bars:
        bar = bars.add_task("Measuring", total=None, rate="")

        def tell(done: int, total: int, news: str) -> None:
            if bars.tasks[0].total is None:
                bars.reset(bar, total=total, completed=done)  # what was in the store says nothing about the rate
            speed = bars.tasks[0].speed
            bars.update(bar, completed=done, rate=f"{speed:.1f}/s" if speed else "")
            if news:
                console.print(news, style="yellow", markup=False, highlight=False)

        yield tell


@contextmanager
def _lines(console: Console) -> Iterator[Tell]:
    begun: tuple[float, int] | None = None
    said = 0.0

    def tell(done: int, total: int, news: str) -> None:
        nonlocal begun, said
        now = time.monotonic()
        if begun is None:
            begun, said = (now, done), now
        if news:
            _say(console, news)
        if now - said >= EVERY or done == total:
            rate = (done - begun[1]) / max(now - begun[0], 1e-9)
            left = f", {rate:.3g}/s, {_duration((total - done) / rate)} left" if rate else ""
            _say(console, f"{done} of {total} runs{left}")
            said = now

    yield tell


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _duration(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    >>> _duration(3725.4)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def show(found: Sequence[Row], store: str) -> None:
    """Print what a study found."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("cell", "size", "initialisation", "data", "measure"):
        table.add_column(heading, overflow="fold")
    table.add_column("number", justify="right")
    table.add_column("95 % interval")
    table.add_column("")
    for row in found[:LONGEST]:
        table.add_row(row.cell, row.size, row.initialisation, row.data, *_numbers(row))
    console.print(table, highlight=False, markup=False)
    known = (row for row in found if row.quantity)
    for quantity in dict.fromkeys(_explained(row) for row in known):
        _say(console, quantity)
    if len(found) > LONGEST:
        _say(console, f"{len(found) - LONGEST} more rows are in the store.")
    points = "1 point is" if len(found) == 1 else f"{len(found)} points are"
    _say(console, f"{points} in {store}: xarray.open_datatree({store!r}, engine='zarr')")
    wrong = [row for row in found if row.trouble]
    if not wrong:
        return
    many = "1 of them is" if len(wrong) == 1 else f"{len(wrong)} of them are"
    failed, exploded, over = (sum(getattr(row, name) for row in wrong) for name in ("failed", "exploded", "overflowed"))
    counts = {f"{failed} seeds failed": failed, f"{exploded} exploded": exploded, f"{over} runs overflowed": over}
    what = ", ".join(text for text, count in counts.items() if count)
    _say(console, f"{many} not whole: {what}. The first: {wrong[0].message}")


def _explained(row: Row) -> str:
    """Say what a measure's number is, with its unit where it has one."""
    return f"{row.measure}: {row.quantity}{f', in {row.unit}' if row.unit not in ('', '1') else ''}"


def status(found: Sequence[Row]) -> int:
    """Return the exit status of the command: 0, 1 with trouble, 2 without numbers."""
    if not any(row.trouble for row in found):
        return 0
    return 2 if all(row.failed == row.seeds for row in found) else 1


def _numbers(row: Row) -> tuple[str, str, str, str]:
    number = "" if math.isnan(row.number) else f"{row.number:.4g}"
    interval = f"{row.low:.4g} to {row.high:.4g}" if row.has_interval else ""
    return row.measure, number, interval, row.trouble
