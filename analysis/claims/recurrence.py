"""Claims about the recurrent product: what it does to gradients, and what the activation does to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from ... import kernels
from ...derive.cell import Cell
from .bench import Bench, functions_of
from .claim import Claim, Finding, Rule, over_seeds


def repeated_product(bench: Bench, cells: Sequence[Cell], gains: Sequence[float], rules: Sequence[str]) -> Claim:
    """Repeated multiplication by the recurrent matrix makes gradients vanish or explode.

    Measured is the growth of the gradient per step back, for each cell, rule of initialisation and gain. It neither
    vanishes nor explodes where it changes by less than a factor of 2 over all T steps.

    >>> from ...derive.cell import parse
    >>> cell = parse("x: input[m]\\nh: state[n]\\nh = W @ h + U @ x", "linear")
    >>> bench = Bench(hidden=8, steps=40, batch=2, seeds=3)
    >>> claim = repeated_product(bench, [cell], [0.5, 1.0, 2.0], ["orthogonal"])
    >>> claim.findings[0].verdicts.values.ravel().tolist()
    ['holds', 'fails', 'holds']
    """
    growth = _grid(bench, cells, rule=rules, gain=gains)
    found = over_seeds(growth, bench.level)
    neither = math.log(2) / bench.steps
    finding = Finding("growth", found, Rule(-neither, neither, outside=True))
    marks = {"quantity": "growth", "x": "gain", "series": "cell", "line": 0.0, "panel": "rule", "band": neither}
    settings = bench.settings | {"cells": [cell.name for cell in cells]}
    return Claim("repeated_product", (finding,), found.rename(value="mean").assign_attrs(marks), settings)


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
    rates = _grid(bench, [first, second], gain=gains, all_biases=biases).rename(all_biases="bias")
    one, other = (rates.sel(cell=cell.name, drop=True) for cell in (first, second))
    overflowed = ((one == np.inf) | (other == np.inf)).any("seed")
    with np.errstate(invalid="ignore"):  # inf − inf, where both vanish altogether
        found = over_seeds((abs(other) - abs(one)).where(~overflowed), bench.level).assign(overflowed=overflowed)
    marks = {"quantity": "growth", "x": "gain", "series": "cell", "line": 0.0, "panel": "bias"}
    curves = over_seeds(rates, bench.level).rename(value="mean").assign_attrs(marks)
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
    growth = over_seeds(_grid(bench, [cell, *beside], gain=gains), bench.level)
    marks = {"quantity": "growth", "x": "gain", "series": "cell", "line": 0.0}
    settings = bench.settings | {"cell": cell.name, "functions": functions_of(cell)}
    finding = Finding("growth", growth.sel(cell=cell.name, drop=True), Rule(least=0))
    return Claim("blows_up", (finding,), growth.rename(value="mean").assign_attrs(marks), settings)


def _grid(bench: Bench, cells: Sequence[Cell], **axes: Sequence[object]) -> xr.DataArray:
    """Return growth per step over (cell, *axes, seed); each axis is a way to draw parameters."""
    found = []
    for cell in cells:
        kernel = kernels.compile(cell)
        sizes = [len(values) for values in axes.values()]
        rates = np.empty((*sizes, bench.seeds))
        for places in np.ndindex(*sizes):
            start = {name: values[place] for (name, values), place in zip(axes.items(), places, strict=True)}
            rates[places] = bench.growth(kernel, **start)
        found.append(rates)
    coordinates = {"cell": [cell.name for cell in cells], **{name: list(values) for name, values in axes.items()}}
    return xr.DataArray(np.stack(found), coordinates | {"seed": np.arange(bench.seeds)}, (*coordinates, "seed"))
