"""`Row`: our time beside a peer's at one size; rows as text, tables, JSON and plots."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..derive.errors import Error
from .vector import BYTES

LARGE = 2048  # hidden units times batch
SUFFIXES = (".json", ".md", ".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Row:
    """One comparison, of a forward and a backward pass with all gradients.

    Attributes:
        cell, dtype, threads: what ran.
        hidden, batch, steps: at which sizes; inputs are as wide as the hidden state.
        peer: against what.
        seconds: median time of ours.
        ratio, low, high: the peer's time over ours: median and quartiles.
        rate: operations per second of ours, of those in matrix products.
        of_dot: the rate over that of `np.dot` on a large product in the same run, with as many threads.
        roofline: time at least, by the schedule's counts, over the time of ours.
    """

    cell: str
    dtype: str
    threads: int
    hidden: int
    batch: int
    steps: int
    peer: str
    seconds: float
    ratio: float
    low: float
    high: float
    rate: float
    of_dot: float
    roofline: float


def row_text(row: Row) -> str:
    """Return a row as a line of text."""
    at = f"H={row.hidden:<4} B={row.batch:<3} T={row.steps:<4}"
    ours = f"{row.seconds * 1e3:9.3f} ms {row.rate / 1e9:6.1f} GFLOP/s ({row.of_dot:4.0%} of np.dot)"
    return f"{row.cell:<16} {row.dtype} {row.threads} thread(s) {at} {ours}  {row.peer:<13} {_ratio(row)}"


def _ratio(row: Row) -> str:
    return f"{row.ratio:6.2f} ({row.low:.2f} to {row.high:.2f})"


def _alike(rows: Iterable[Row]) -> dict[tuple[str, str, int, str], list[Row]]:
    """Return (cell, dtype, threads, peer) -> its rows."""
    groups: dict[tuple[str, str, int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.cell, row.dtype, row.threads, row.peer), []).append(row)
    return groups


def _means(group: Sequence[Row]) -> tuple[float, float | None, float]:
    """Return the geometric mean of ratios, that at large sizes, and the worst ratio."""
    ratios, large = ([row.ratio for row in group if row.hidden * row.batch >= least] for least in (0, LARGE))
    return _mean(ratios), _mean(large) if large else None, min(ratios)


def summary(rows: Sequence[Row]) -> list[str]:
    """Return a line for each cell, dtype, number of threads and peer, and how our time grows."""
    lines = []
    for (cell, dtype, threads, peer), group in _alike(rows).items():
        mean, large, worst = _means(group)
        parts = [f"geometric mean {mean:.2f}", f"worst {worst:.2f}"]
        parts[1:1] = [] if large is None else [f"for H·B ≥ {LARGE} {large:.2f}"]
        lines.append(f"{cell} {dtype} {threads} thread(s) against {peer}: {', '.join(parts)}, of {len(group)} sizes")
        rates = [row.of_dot for row in group if row.hidden >= 256 and row.batch >= 16]
        if rates:
            lines.append(f"    at H ≥ 256, B ≥ 16: {min(rates):.0%} to {max(rates):.0%} of the rate of np.dot")
    return lines + growth(rows)


def markdown(rows: Sequence[Row]) -> str:
    """Return a table of means, and one of all ratios, as Markdown."""
    heads = [
        f"Cell | dtype | threads | against | sizes | mean | mean, H·B ≥ {LARGE} | worst | of np.dot, H ≥ 256, B ≥ 16",
        "H | B | T | Cell | dtype | threads | against | ratio (quartiles) | of np.dot",
    ]
    means, single = [], []
    for (cell, dtype, threads, peer), group in _alike(rows).items():
        mean, large, worst = _means(group)
        rates = [row.of_dot for row in group if row.hidden >= 256 and row.batch >= 16]
        means.append(
            f"{cell} | {dtype} | {threads} | {peer} | {len(group)} | {mean:.2f} | "
            f"{'' if large is None else f'{large:.2f}'} | {worst:.2f} | "
            f"{f'{min(rates):.0%} to {max(rates):.0%}' if rates else ''}"
        )
    for row in rows:
        what = f"{row.cell} | {row.dtype} | {row.threads} | {row.peer} | {_ratio(row).strip()} | {row.of_dot:.0%}"
        single.append(f"{row.hidden} | {row.batch} | {row.steps} | {what}")
    return "\n\n".join(_table(head, lines) for head, lines in zip(heads, (means, single), strict=True)) + "\n"


def _table(head: str, lines: Sequence[str]) -> str:
    rule = " | ".join("---" for _ in head.split(" | "))
    return "\n".join(f"| {line} |" for line in (head, rule, *lines))


def growth(rows: Iterable[Row]) -> list[str]:
    """Return how our time grows with steps and with batch, where three or more sizes differ in one of these alone."""
    alike: dict[tuple[Any, ...], dict[int, float]] = {}
    for row in rows:
        same = row.cell, row.dtype, row.threads, row.hidden
        alike.setdefault((*same, "T", f"B = {row.batch}"), {})[row.steps] = row.seconds
        alike.setdefault((*same, "B", f"T = {row.steps}"), {})[row.batch] = row.seconds
    lines = []
    for (cell, dtype, threads, hidden, name, other), times in alike.items():
        if len(times) > 2:
            numbers = np.array(sorted(times))
            power = np.polyfit(np.log(numbers), np.log([times[n] for n in numbers]), 1)[0]
            at = f"{name} from {numbers[0]} to {numbers[-1]}, H = {hidden}, {other}"
            lines.append(f"{cell} {dtype} {threads} thread(s): our time grows as {name}^{power:.2f}, {at}")
    return lines


def _mean(ratios: list[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def check_target(path: Path) -> None:
    """Refuse a file that `write` can't make.

    Raises:
        Error: for an unknown suffix or a folder that isn't there.
    """
    if path.suffix not in SUFFIXES:
        raise Error(f"the bench writes {', '.join(SUFFIXES)}; here {path.name!r}")
    if not path.parent.is_dir():
        raise Error(f"the folder {path.parent} isn't there")


def as_data(rows: Sequence[Row]) -> dict[str, Any]:
    """Return rows, and what the machine is, as JSON takes them."""
    return {"machine": {"cores": os.cpu_count(), "vector_bytes": BYTES}, "rows": [asdict(row) for row in rows]}


def write(rows: list[Row], path: Path) -> None:
    """Write rows as JSON, with what the machine is, as tables in Markdown or as a plot, by the file's suffix."""
    check_target(path)
    if path.suffix == ".json":
        path.write_text(json.dumps(as_data(rows), indent=1), "utf-8")
    elif path.suffix == ".md":
        path.write_text(markdown(rows), "utf-8")
    else:
        _plot(rows, path)


def _plot(rows: list[Row], path: Path) -> None:
    """Draw ratios against hidden size, a line for each batch and length; or times against T·B, for one hidden size."""
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys((row.cell, row.dtype, row.threads, row.peer) for row in rows))
    figure = Figure(figsize=(4 * len(groups), 3.2), layout="constrained")
    for axes, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True):
        mine = [row for row in rows if (row.cell, row.dtype, row.threads, row.peer) == group]
        axes.set(title=f"{group[0]} {group[1]}, {group[2]} thread(s)")
        if len({row.hidden for row in mine}) > 1:
            _draw_ratios(axes, mine)
        else:
            _draw_times(axes, mine)
        axes.legend(fontsize="x-small")
    figure.savefig(path)


def _draw_ratios(axes: Any, rows: list[Row]) -> None:
    for batch, steps in dict.fromkeys((row.batch, row.steps) for row in rows):
        line = sorted((r.hidden, r.ratio, r.low, r.high) for r in rows if (r.batch, r.steps) == (batch, steps))
        hidden, ratio, low, high = np.array(line).T
        axes.errorbar(hidden, ratio, (ratio - low, high - ratio), marker="o", capsize=2, label=f"B={batch}, T={steps}")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="hidden units", ylabel=f"time of {rows[0].peer} / ours")
    axes.set_xticks(sorted({row.hidden for row in rows}), labels=map(str, sorted({row.hidden for row in rows})))
    axes.minorticks_off()


def _draw_times(axes: Any, rows: list[Row]) -> None:
    many = np.array(sorted({row.steps * row.batch for row in rows}))
    ours = [(row.steps * row.batch, row.seconds) for row in rows]
    axes.loglog(*zip(*sorted(ours), strict=True), "o", label="ours")
    axes.loglog(*zip(*sorted((n, t * r.ratio) for (n, t), r in zip(ours, rows, strict=True)), strict=True), "s",
                label=rows[0].peer)  # fmt: skip
    axes.loglog(many, min(t / n for n, t in ours) * many, color="black", linewidth=0.8, label="linear in T·B")
    axes.set(xlabel="steps times batch", ylabel="seconds")
