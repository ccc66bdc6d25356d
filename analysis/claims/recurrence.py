"""Claims about the recurrent product: what it does to gradients, and what the activation does to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from ... import kernels
from ...derive.cell import Cell
from .bench import Bench, biased, functions_of
from .claim import Claim, Finding, Rule, over_seeds


def repeated_product(bench: Bench, cells: Sequence[Cell], gains: Sequence[float]) -> Claim:
    """Repeated multiplication by the recurrent matrix makes gradients vanish or explode.

    Measured is the growth of the gradient per step back, for each cell and gain of its initial weights. It neither
    vanishes nor explodes where it changes by less than a factor of 2 over all T steps.

    >>> from ...derive.cell import parse
    >>> cell = parse("x: input[m]\\nh: state[n]\\nh = W @ h + U @ x", "linear")
    >>> claim = repeated_product(Bench(hidden=8, steps=40, batch=2, seeds=3), [cell], [0.5, 2.0])
    >>> claim.verdict, (claim.findings[0].measured.value > 0).values.tolist()
    ('holds', [[False, True]])
    """
    growth = _growths(bench, cells, gains)
    found = over_seeds(growth, bench.level)
    neither = math.log(2) / bench.steps
    rule = Rule(-neither, neither, outside=True)
    curves = _curves(found, quantity="growth", x="gain", series="cell", band=neither)
    settings = bench.settings | {"cells": [cell.name for cell in cells]}
    return Claim("repeated_product", (Finding("growth", found, rule),), curves, settings)


def holds_longer(bench: Bench, first: Cell, second: Cell, gains: Sequence[float], biases: Sequence[float]) -> Claim:
    """One activation holds gradients longer than another.

    Measured is by how much more the norm of the gradient changes per step, up or down, in the second cell than in the
    first; both have the same weights in each seed, and all biases at the same value.

    >>> from ...derive.cell import load
    >>> bench = Bench(hidden=16, steps=20, batch=2, seeds=5)
    >>> claim = holds_longer(bench, load("rnn"), load("rnn_logistic"), [1.0], [0.0, 4.0])
    >>> claim.findings[0].verdicts.values.tolist()
    [['holds', 'fails']]
    """
    compiled = [kernels.compile(cell) for cell in (first, second)]
    rates = xr.concat(
        [
            xr.concat(
                [
                    xr.concat([bench.growth(kernel, gain=gain, change=biased(bias)) for bias in biases], "bias")
                    for gain in gains
                ],
                "gain",
            )
            for kernel in compiled
        ],
        "cell",
    ).assign_coords(cell=[first.name, second.name], gain=list(gains), bias=list(biases))
    with np.errstate(invalid="ignore"):  # inf − inf, where both vanish altogether
        longer = abs(rates.sel(cell=second.name)) - abs(rates.sel(cell=first.name))
    found = over_seeds(longer, bench.level)
    curves = _curves(over_seeds(rates, bench.level), quantity="growth", x="gain", series="cell", panel="bias")
    settings = bench.settings | {"first": first.name, "second": second.name}
    settings |= {"first_functions": functions_of(first), "second_functions": functions_of(second)}
    return Claim("holds_longer", (Finding("margin", found, Rule(least=0)),), curves, settings)


def blows_up(bench: Bench, cell: Cell, beside: Sequence[Cell], gains: Sequence[float]) -> Claim:
    """Gradients of a cell with an unbounded activation blow up.

    Measured is the growth of the gradient per step back. Other cells stand beside it for comparison.

    >>> from ...derive.cell import load
    >>> claim = blows_up(Bench(hidden=16, steps=20, batch=4, seeds=5), load("rnn_relu"), [], [0.5, 4.0])
    >>> claim.findings[0].verdicts.values.tolist()
    ['fails', 'holds']
    """
    growth = over_seeds(_growths(bench, [cell, *beside], gains), bench.level)
    curves = _curves(growth, quantity="growth", x="gain", series="cell")
    settings = bench.settings | {"cell": cell.name, "functions": functions_of(cell)}
    found = growth.sel(cell=cell.name).drop_vars("cell")
    return Claim("blows_up", (Finding("growth", found, Rule(least=0)),), curves, settings)


def _growths(bench: Bench, cells: Sequence[Cell], gains: Sequence[float]) -> xr.DataArray:
    """Return growth per step, (cell, gain, seed)."""
    rows = []
    for cell in cells:
        kernel = kernels.compile(cell)
        rows.append(xr.concat([bench.growth(kernel, gain=gain) for gain in gains], "gain"))
    return xr.concat(rows, "cell").assign_coords(cell=[cell.name for cell in cells], gain=list(gains))


def _curves(found: xr.Dataset, **marks: object) -> xr.Dataset:
    """Return measured values as curves for a figure."""
    return found.rename(value="mean").assign_attrs(marks)
