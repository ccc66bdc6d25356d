"""Claims that only training can tell: what a cell learns for what it costs, and what clipping does for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np
import xarray as xr

from ... import kernels
from ...derive.cell import Cell
from ...derive.compose import output_state
from ...derive.errors import Error
from ...derive.model import parse_model
from ...kernels import ModelKernel
from ..data import DATA
from ..gradient_flow import measure_flow
from ..initialisation import initialise
from ..learning.batches import Task
from ..learning.language import next_token, of_characters
from ..learning.trainer import Plan, Training, advance, begin, held_out_loss
from .bench import Bench, slope
from .claim import Claim, Finding, Rule, exact, over_seeds

HELD_OUT = 0.02  # of a long text
READOUT = ("E", "W_out", "b_out")  # what the models here have beside the cell


def matches(
    bench: Bench, first: Cell, second: Cell, updates: Sequence[int], margin: float, rate: float, limit: float
) -> Claim:
    """One cell matches another with fewer parameters and less time.

    Both learn to predict the next character of the text, with states of the same size and the same batches, in turn
    update by update. Measured are the difference of their losses on text that is held out, in nats per character, which
    match within the margin; the ratio of their parameters; and the ratio of the times of an update.
    """
    rivals = [_learner(bench, cell) for cell in (first, second)]
    names = (first.name, second.name)
    plan = Plan("adam", rate, clip=limit)
    losses = np.empty((2, len(updates), bench.seeds))
    times, counts = np.empty(bench.seeds), [0, 0]
    for seed in range(bench.seeds):
        pair = [_begin(bench, rival, replace(plan, seed=seed)) for rival in rivals]
        ratios = []
        for number in range(1, max(updates) + 1):
            one, other = (advance(training).seconds for training in pair)
            ratios.append(one / other)
            if number in updates:
                losses[:, list(updates).index(number), seed] = [held_out_loss(training) for training in pair]
        times[seed] = median(ratios)
        counts = [_parameters(training) for training in pair]
    coordinates = {"cell": list(names), "updates": list(updates), "seed": np.arange(bench.seeds)}
    reached = xr.DataArray(losses, coordinates, tuple(coordinates))
    behind = over_seeds(reached.sel(cell=names[0], drop=True) - reached.sel(cell=names[1], drop=True), bench.level)
    faster = over_seeds(xr.DataArray(np.log(times), {"seed": np.arange(bench.seeds)}), bench.level).map(np.exp)
    findings = (
        Finding("loss_behind", behind, Rule(most=margin)),
        Finding("parameters", exact(xr.DataArray(counts[0] / counts[1])), Rule(most=1.0)),
        Finding("time", faster, Rule(most=1.0)),
    )
    marks = {"quantity": "loss", "x": "updates", "series": "cell"}
    curves = over_seeds(reached, bench.level).rename(value="mean").assign_attrs(marks)
    said = {"first": names[0], "second": names[1], "margin": margin, "rate": rate, "limit": limit}
    return Claim("matches", findings, curves, bench.settings | said)


def clipping(
    bench: Bench, cell: Cell, gains: Sequence[float], rates: Sequence[float], limit: float, updates: int
) -> Claim:
    """Clipping cures explosion and leaves vanishing.

    The cell learns to predict the next character by plain gradient descent, from weights of each gain and at each rate,
    with and without clipping. Measured are how much higher the loss ends without clipping, inf where training breaks
    off: a cure leaves it lower. And how fast the gradient still falls per step back after training with clipping:
    vanishing is left where it falls by more than half over all T steps. Where training breaks off with clipping too,
    neither is measured.
    """
    learner, kernel = _learner(bench, cell), kernels.compile(cell)
    saved, growth, limited = np.empty((3, len(rates), len(gains), bench.seeds))
    for row, column, seed in np.ndindex(saved.shape):
        drawn = Plan("sgd", rates[row], seed=seed)
        with_limit, without = (_begin(bench, learner, replace(drawn, clip=most)) for most in (limit, math.inf))
        for training in (with_limit, without):
            _restart(training, kernel, gains[column], seed)
        at = row, column, seed
        limited[at] = _loss_after(with_limit, updates)
        saved[at] = _loss_after(without, updates) - limited[at] if limited[at] < math.inf else math.nan
        growth[at] = _growth(bench, with_limit, kernel, seed)
    axes = {"rate": list(rates), "gain": list(gains), "seed": np.arange(bench.seeds)}
    broken = xr.DataArray(limited == math.inf, axes, tuple(axes)).any("seed")
    found, falls = (
        over_seeds(xr.DataArray(a, axes, tuple(axes)), bench.level).assign(overflowed=broken) for a in (saved, growth)
    )
    findings = (
        Finding("saved", found, Rule(least=0)),
        Finding("growth_trained", falls, Rule(most=-math.log(2) / bench.steps)),
    )
    said = {"cell": cell.name, "limit": limit, "updates": updates}
    marks = {
        "quantity": "growth_trained",
        "x": "gain",
        "series": "rate",
        "line": 0.0,
        "band": math.log(2) / bench.steps,
    }
    return Claim("clipping", findings, falls.rename(value="mean").assign_attrs(marks), bench.settings | said)


def _learner(bench: Bench, cell: Cell) -> tuple[ModelKernel, Task]:
    """Return the kernel of a language model, whose cell reads vectors of characters, and what it learns."""
    [reads] = cell.inputs
    states = ", ".join(cell.states)
    text = f"""w: index[T, V]
y: index[T, V]
E: param[V, {cell.inputs[reads][0]}]
for t in range(T):
    {states} = unit(E[w[t]])
    logits = W_out @ {output_state(cell)} + b_out
    loss += cross_entropy(logits, y[t])
"""
    model = parse_model(text, f"{cell.name}_language_model", {"unit": cell})
    needed = bench.batch * (bench.steps + 2) / len(bench.chars)  # for a window of each stream
    held_out = min(max(HELD_OUT, needed), 0.5)
    task = next_token(model, of_characters(bench.chars), window=bench.steps, batch=bench.batch, held_out=held_out)
    return kernels.compile(model), task


def _begin(bench: Bench, learner: tuple[ModelKernel, Task], plan: Plan) -> Training:
    kernel, task = learner
    names = {name for dimensions in kernel.model.params.values() for name in dimensions} - set(task.sizes)
    return begin(kernel, task, plan, dict.fromkeys(sorted(names), bench.hidden))


def _restart(training: Training, kernel: kernels.Kernel, gain: float, seed: int) -> None:
    """Draw the parameters of the cell in a model with a gain; embedding and readout stay."""
    sizes = {
        name: number
        for parameter, dimensions in kernel.cell.params.items()
        for name, number in zip(dimensions, training.params[parameter].shape, strict=True)
    }
    for name, drawn in initialise(kernel.derivation, sizes, gain=gain, seed=seed).items():
        training.params[name][...] = drawn


def _loss_after(training: Training, updates: int) -> float:
    """Return the loss on what is held out after so many updates; inf where training breaks off."""
    try:
        for _ in range(updates):
            advance(training)
        loss = held_out_loss(training)
    except Error:
        return math.inf
    return loss if math.isfinite(loss) else math.inf


def _growth(bench: Bench, training: Training, kernel: kernels.Kernel, seed: int) -> float:
    """Return the growth of the gradient per step back in a trained model's cell, on text."""
    [reads] = kernel.cell.inputs
    params = {name: training.params[name] for name in kernel.cell.params}
    letters = training.params["E"][DATA[bench.data](bench.chars, bench.steps, bench.batch, seed)]
    flow = measure_flow(kernel, params, {reads: np.ascontiguousarray(letters)}, seed=seed)
    return float(slope(flow.log_norm.mean("sample")))


def _parameters(training: Training) -> int:
    """Return the number of parameters of a model's cell."""
    return sum(array.size for name, array in training.params.items() if name not in READOUT)
