"""Gradient flow of several cells side by side, at initialisation, on text and on matched noise."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral

import numpy as np
import xarray as xr

from .. import kernels
from ..derive.cell import Cell
from ..derive.errors import Error
from ..derive.syntax import closest
from .data import DATA, Indices, text
from .gradient_flow import LAG, LOG_NORM, METHOD, OVERFLOW, measure_flow
from .inputs import Feed, dimensions, draw_inputs, draw_state, plan_feed, size_of_text
from .overflow import over_batch

NOISE = "noise"


def flow_study(
    cells: Sequence[Cell],
    *,
    sizes: Mapping[str, int] | None = None,
    hidden: int = 64,
    steps: int = 100,
    batch: int = 32,
    seeds: int = 10,
    gain: float = 1.0,
    data: Sequence[str] = ("text", "shuffled"),
    text_path: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Measure gradient flow in cells at initialisation, on text and on noise of the same statistics.

    Each seed draws its own parameters, sequences and cotangents. For one seed, all cells read the same
    characters, and all kinds of data meet the same parameters, noise and cotangents. One input of each cell
    reads characters, as `plan_feed` chooses it; any other reads independent standard Gaussian noise. A cell
    with inputs starts at zero, a cell without at a standard Gaussian state.

    Args:
        cells: with different names.
        sizes: name of dimension -> value, beside the vocabulary's.
        hidden: value of any dimension not in `sizes`.
        steps: T.
        batch: sequences per seed B.
        seeds: number of seeds; they are 0, 1, 2, ...
        gain: of the initial weights, as `Kernel.init` takes it.
        data: kinds of data: 'text' (windows of consecutive characters), 'shuffled' (independent characters
            with the frequencies of the text). Where no cell reads characters there is one kind, 'noise'.
        text_path: a text file in UTF-8; by default the help topics that come with Python.
        progress: called as progress(done, total) after each measurement.

    Returns:
        `log_norm`, natural log, float64, over (cell, data, seed, lag): the mean of the log norm (logs are averaged,
        never norms) over the sequences of a batch that stay finite, or over all where none does; lag from 0 to T.
        `overflow` over (cell, data, seed, sample) as in `measure_flow`. Coordinate `reads` over (cell): the input that
        reads characters, or ''. All settings in `attrs`; `sizes` there is {cell: {dimension: value}},
        `notes` say where the text set the size of a state. The same call gives the same bits.

    Raises:
        Error: for settings that can't be met, a text that can't be read or is too short, and as `measure_flow` does.

    >>> from ..derive.cell import load
    >>> study = flow_study([load("rnn"), load("lstm")], hidden=8, steps=20, batch=4, seeds=3)
    >>> dict(study.sizes)
    {'cell': 2, 'data': 2, 'seed': 3, 'lag': 21, 'sample': 4}
    """
    given = dict(sizes or {})
    _check(cells, given, data, gain, {"hidden": hidden, "steps": steps, "batch": batch, "seeds": seeds})
    chars = text(text_path)
    feeds = [plan_feed(cell, len(chars.vocabulary), given, hidden) for cell in cells]
    of_text = {"text": chars.source, "text_length": len(chars), "vocabulary": len(chars.vocabulary)}
    if not any(feed.reads for feed in feeds):  # each kind of data would give the same numbers
        data, of_text = (NOISE,), {}
    draw_kind = {**DATA, NOISE: DATA["shuffled"]}  # of which no more is read than how many there are
    drawn = [[draw_kind[kind](chars, steps, batch, seed) for seed in range(seeds)] for kind in data]
    compiled = [kernels.compile(cell) for cell in cells]
    log_norm = np.empty((len(cells), len(data), seeds, steps + 1))
    overflow = np.zeros((*log_norm.shape[:-1], batch), int)
    tasks = list(np.ndindex(log_norm.shape[:-1]))
    for done, (cell, kind, seed) in enumerate(tasks, 1):
        flow = _flow(compiled[cell], feeds[cell], drawn[kind][seed], gain, seed)
        log_norm[cell, kind, seed], overflow[cell, kind, seed] = over_batch(flow).log_norm, flow.overflow
        if progress:
            progress(done, len(tasks))
    coordinates = {
        "cell": [cell.name for cell in cells],
        "data": list(data),
        "seed": np.arange(seeds),
        "lag": ("lag", np.arange(steps + 1), LAG),
        "reads": ("cell", [feed.reads for feed in feeds]),
    }
    settings = {
        "method": f"{METHOD}; mean over the batch, at initialisation",
        "sizes": {feed.cell.name: dict(feed.sizes) for feed in feeds},
        "notes": [note for note in map(size_of_text, feeds) if note],
        "steps": steps,
        "batch": batch,
        "gain": gain,
        **of_text,
    }
    over = "cell", "data", "seed"
    variables = {
        "log_norm": ((*over, "lag"), log_norm, LOG_NORM),
        "overflow": ((*over, "sample"), overflow, OVERFLOW),
    }
    return xr.Dataset(variables, coordinates, settings)


def _flow(kernel: kernels.Kernel, feed: Feed, indices: Indices, gain: float, seed: int) -> xr.Dataset:
    params = kernel.init(feed.sizes, seed=seed, gain=gain)
    steps, batch = indices.shape
    if inputs := draw_inputs(feed, indices, seed):
        return measure_flow(kernel, params, inputs, seed=seed)
    return measure_flow(kernel, params, {}, draw_state(feed, batch, seed), steps=steps, seed=seed)


def _check(
    cells: Sequence[Cell],
    sizes: Mapping[str, int],
    data: Sequence[str],
    gain: float,
    counts: Mapping[str, object],
) -> None:
    """Refuse settings that can't be met."""
    names = [cell.name for cell in cells]
    known = sorted({name for cell in cells for name in dimensions(cell)})
    for name in names:
        if names.count(name) > 1:
            raise Error(f"two cells are called '{name}': give each a name of its own")
    if not names or not data:
        raise Error(f"there is nothing to measure: give at least one {'kind of data' if names else 'cell'}")
    for kind in data:
        if kind not in DATA:
            raise Error(f"no kind of data is called '{kind}'. {closest(kind, DATA)}")
        if list(data).count(kind) > 1:
            raise Error(f"data names '{kind}' twice: once is enough")
    for name in sizes:
        if name not in known:
            raise Error(f"no cell here has a dimension called '{name}'. {closest(name, known)}")
    for name, count in {**counts, **sizes}.items():
        if not isinstance(count, Integral) or count < 1:
            raise Error(f"{name} is {count}: give a whole number from 1 on")
    if not math.isfinite(gain):
        raise Error(f"gain is {gain}: give a finite number")
