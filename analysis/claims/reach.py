"""Claims about what a gradient loses: in windows that cut it off, and on its way down a stack of layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import xarray as xr

from ... import kernels
from ...derive.cell import Cell
from ...derive.errors import Error
from ..depth import measure_depth, stacked
from ..running import Overflow
from ..truncation import measure_truncation
from .bench import Bench
from .claim import Claim, Finding, Rule, exact, over_seeds

LOST = 0.05  # relative bias of a gradient from which on something is lost


def truncation(bench: Bench, cell: Cell, gains: Sequence[float], windows: Sequence[int]) -> Claim:
    """Truncated backpropagation saves memory and loses the long range.

    Measured are the relative bias of the truncated gradient of all parameters, with a loss at every step, as geometric
    mean over seeds; it loses the long range where that is above 5 %. And the share of memory that a window needs, of
    the memory that the whole sequence needs, for the values that a backward pass reads.

    >>> from ...derive.cell import load
    >>> claim = truncation(Bench(hidden=8, steps=32, batch=2, seeds=3), load("rnn"), [0.3], [1, 16])
    >>> [finding.verdicts.values.ravel().tolist() for finding in claim.findings]
    [['holds', 'fails'], ['holds', 'holds']]
    """
    kernel = kernels.compile(cell)
    windows = [window for window in windows if window <= bench.steps]
    measure = partial(measure_truncation, windows=list(windows))
    logs = []
    for gain in gains:
        shape = {"seed": np.arange(bench.seeds), "window": list(windows)}
        logs.append(xr.DataArray(np.full((bench.seeds, len(windows)), np.nan), shape, tuple(shape)))
        with suppress(Overflow), np.errstate(divide="ignore"):
            found = bench.measured(kernel, measure, gain=gain)
            logs[-1][...] = np.log(found.relative_bias.sel(parameter="all", drop=True))
    bias = xr.concat(logs, xr.Variable("gain", list(gains)))
    lost = over_seeds(bias, bench.level).map(np.exp).transpose("window", "gain")
    lost["overflowed"] = bias.isnull().all("seed")
    need = [_memory(bench, kernel, window) / _memory(bench, kernel, bench.steps) for window in windows]
    share = xr.DataArray(need, {"window": list(windows)})
    marks = {"quantity": "bias", "x": "window", "series": "gain", "log_y": True, "line": LOST}
    findings = (Finding("bias", lost, Rule(least=LOST)), Finding("memory", exact(share), Rule(most=1.0)))
    curves = lost.rename(value="mean").assign_attrs(marks)
    return Claim("truncation", findings, curves, bench.settings | {"cell": cell.name})


def _memory(bench: Bench, kernel: kernels.Kernel, steps: int) -> int:
    """Return the bytes of what a forward pass keeps for the backward pass, parameters left out."""
    inputs, state = bench.given(kernel, 0, steps)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows takes as much memory
        run = kernel.forward(bench.params(kernel, 0), inputs, state, steps=steps, batch=bench.batch)
        return sum(array.nbytes for array in run.values.values()) + sum(a.nbytes for a in run.states.values())


def early_layers(bench: Bench, cells: Sequence[Cell], layers: Sequence[int]) -> Claim:
    """Deeper stacks starve the early layers.

    Measured is the gradient that reaches the first layer, over all lags together, beside that in the top layer, where
    the gradient starts; starved is a layer that gets less than half.

    >>> from ...derive.cell import load
    >>> claim = early_layers(Bench(hidden=8, steps=12, batch=2, seeds=3), [load("rnn")], [2])
    >>> claim.findings[0].measured.value.dims
    ('cell', 'layers')
    """
    rates = np.full((len(cells), len(layers), bench.seeds), np.nan)
    for row, cell in enumerate(cells):
        for column, count in enumerate(layers):
            kernel = kernels.compile(stacked(cell, count))
            with suppress(Overflow):
                whole = _together(bench.measured(kernel, partial(measure_depth, layers=count)).log_norm)
                rates[row, column] = (whole.sel(layer=1) - whole.sel(layer=count)).mean("sample")
    axes = {"cell": [cell.name for cell in cells], "layers": list(layers), "seed": np.arange(bench.seeds)}
    samples = xr.DataArray(rates, axes, tuple(axes))
    share = over_seeds(samples, bench.level).assign(overflowed=samples.isnull().all("seed"))
    finding = Finding("first_layer", share, Rule(most=-math.log(2)))
    marks = {"quantity": "first_layer", "x": "layers", "series": "cell", "line": -math.log(2)}
    settings = bench.settings | {"cells": axes["cell"]}
    return Claim("early_layers", (finding,), share.rename(value="mean").assign_attrs(marks), settings)


def _together(log_norm: xr.DataArray) -> xr.DataArray:
    """Return the log norm over all lags as one vector."""
    largest = log_norm.max("lag")
    if np.isneginf(largest).any():
        raise Error("the gradient of a layer is exactly zero: there is nothing to compare")
    if np.isposinf(largest).any():
        raise Overflow("the gradient of a layer is past the largest float: there is nothing to compare")
    squares = xr.apply_ufunc(np.exp, 2 * (log_norm - largest)).sum("lag")
    return largest + xr.apply_ufunc(np.log, squares) / 2
