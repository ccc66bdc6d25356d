"""Claims about direct paths and the gates on them; which these are is found in the equations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import xarray as xr

from ... import kernels
from ...derive.cell import Cell
from ...derive.derivation import derive
from ...derive.lanes import lanes
from ..gating import forget_biases
from ..paths import measure_direct
from ..running import Overflow
from .bench import Bench, slope
from .claim import Claim, Finding, Rule, over_seeds


def uninterrupted_path(bench: Bench, cells: Sequence[Cell], biases: Sequence[float]) -> Claim:
    """The direct path of a state through time is uninterrupted, and carries the gradient.

    Measured are the growth per step back of the part of the gradient that never leaves the direct path, uninterrupted
    where it falls by less than half over all T steps; and the share of the whole gradient that this part makes up T/2
    steps back. Cells without a gate on such a path are left out.

    >>> from ...derive.cell import load
    >>> bench = Bench(hidden=4, steps=16, batch=2, seeds=3)
    >>> claim = uninterrupted_path(bench, [load("lstm"), load("rnn")], [-4.0, 8.0])
    >>> claim.findings[0].verdicts.values.tolist()
    [['fails', 'holds']]
    """
    gated = [cell for cell in cells if _is_gated(cell)]
    rates, shares = np.full((2, len(gated), len(biases), bench.seeds), np.nan)
    middle = bench.steps // 2
    for row, cell in enumerate(gated):
        kernel = kernels.compile(cell)
        read = list(lanes(kernel.derivation))
        for column, bias in enumerate(biases):
            with suppress(Overflow), np.errstate(invalid="ignore"):
                found = bench.measured(kernel, partial(measure_direct, read=read), forget_bias=bias)
                path = found.lane_log_norm.sel(state=read).max("state").mean("sample", skipna=False)
                rates[row, column] = slope(path)
                shares[row, column] = found.share.isel(lag=middle).mean("sample")
    axes = {"cell": [cell.name for cell in gated], "forget_bias": list(biases)}
    coordinates = axes | {"seed": np.arange(bench.seeds)}
    samples = [xr.DataArray(array, coordinates, tuple(coordinates)) for array in (rates, shares)]
    overflowed = samples[0].isnull().all("seed")
    growth, share = (over_seeds(one, bench.level).assign(overflowed=overflowed) for one in samples)
    theory = xr.DataArray([_open(bias) for bias in biases], {"forget_bias": list(biases)})
    marks = {
        "quantity": "path_growth",
        "x": "forget_bias",
        "series": "cell",
        "line": 0.0,
        "band": math.log(2) / bench.steps,
    }
    curves = growth.rename(value="mean").assign(theory=theory).assign_attrs(marks)
    findings = (
        Finding("path_growth", growth, Rule(least=-math.log(2) / bench.steps)),
        Finding("path_share", share, Rule(least=0.5)),
    )
    return Claim("uninterrupted_path", findings, curves, bench.settings | {"cells": axes["cell"], "middle": middle})


def longer_memory(bench: Bench, cells: Sequence[Cell], biases: Sequence[float]) -> Claim:
    """A forget gate nearer to 1 lengthens memory.

    Measured is by how much slower the gradient falls per step back with a forget gate opened by a bias than with a
    bias of 0, in the same weights. Cells without a forget gate are left out.

    >>> from ...derive.cell import load
    >>> claim = longer_memory(Bench(hidden=8, steps=40, batch=2, seeds=3), [load("lstm")], [-4.0, 4.0])
    >>> claim.findings[0].verdicts.values.tolist()
    [['fails', 'holds']]
    """
    gated = [cell for cell in cells if _is_gated(cell)]
    every = sorted({0.0, *biases})
    rates = np.empty((len(gated), len(every), bench.seeds))
    for row, cell in enumerate(gated):
        kernel = kernels.compile(cell)
        for column, bias in enumerate(every):
            rates[row, column] = bench.growth(kernel, forget_bias=bias)
    axes = {"cell": [cell.name for cell in gated], "forget_bias": every, "seed": np.arange(bench.seeds)}
    growth = xr.DataArray(rates, axes, tuple(axes))
    shut = growth.sel(forget_bias=0.0, drop=True)
    overflowed = ((growth == np.inf) | (shut == np.inf)).any("seed").sel(forget_bias=list(biases))
    slower = (growth - shut).where(~overflowed).sel(forget_bias=list(biases))
    finding = Finding("slower", over_seeds(slower, bench.level).assign(overflowed=overflowed), Rule(least=0))
    marks = {"quantity": "growth", "x": "forget_bias", "series": "cell", "line": 0.0}
    found = over_seeds(growth, bench.level)
    theory = xr.DataArray([_open(bias) for bias in every], {"forget_bias": every})
    curves = found.rename(value="mean").assign(theory=theory).assign_attrs(marks)
    return Claim("longer_memory", (finding,), curves, bench.settings | {"cells": axes["cell"]})


def _is_gated(cell: Cell) -> bool:
    derivation = derive(cell)
    return bool(lanes(derivation)) and bool(forget_biases(derivation))


def _open(bias: float) -> float:
    """Return ln σ(b): the growth per step along a path on which a logistic gate sees nothing but its bias."""
    return -float(np.logaddexp(0, -bias))
