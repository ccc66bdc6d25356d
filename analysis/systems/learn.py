"""Training a model for a system, and how the gradient flows through it before and after."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from ...derive.model import Block, Model
from ...kernels import ModelKernel, compile
from ..learning.batches import Array, Batch, Task
from ..learning.trainer import Plan, Training, advance, begin, held_out_loss, judged_params
from .system import Progress, silent

MOST_POINTS = 100  # of a curve of the training loss
MOMENTS = ("at the start", "after training")


@dataclass(frozen=True)
class Learned:
    """A model that was trained.

    Attributes:
        training: as it stands after the last step: its kernel, task and parameters.
        initial: the parameters that it started from.
        measured: `loss` (training loss, mean over the steps since the point before) and `held_out` over `step`; `flow`
            over (moment, state, lag), from `gradient_flow`; `parameters`, how many; `rate`, targets a second of the
            processor's time.
    """

    training: Training
    initial: dict[str, Array]
    measured: xr.Dataset


def learn(
    model: Model,
    task: Task,
    plan: Plan,
    sizes: Mapping[str, int],
    steps: int,
    *,
    probe: Batch | None = None,
    at: int | None = None,
    judge_every: int | None = None,
    complete: Callable[[Training, int | None, Batch], Batch] | None = None,
    dtype: str = "float32",
    label: str = "",
    progress: Progress = silent,
) -> Learned:
    """Train a model, and measure the gradient's flow through it before and after.

    Args:
        model, task, plan, sizes: as in `trainer.begin`.
        steps: of training.
        probe: the batch on which the flow is measured, the same before and after; the first one held out by default.
        at: the step whose loss it is; see `gradient_flow`.
        judge_every: steps after which the held-out loss is taken, beside both ends; by default a quarter of them.
        complete: (training, number of the step, batch) -> the batch with what the model itself adds to it as it stands,
            such as draws of its own; without a number for a batch that is held out.
        dtype: of the kernels.
        label: what `progress` calls the training; the model's name by default.
        progress: called as progress(stage, done, total).
    """
    training = begin(compile(model, dtype), task, plan, sizes)
    if complete is not None:
        training.task = replace(
            task,
            batch=lambda number: complete(training, number, task.batch(number)),
            held_out=lambda: [complete(training, None, batch) for batch in task.held_out()],
        )
    initial = {name: array.copy() for name, array in training.params.items()}
    probe = training.task.held_out()[0] if probe is None else probe
    flows = [gradient_flow(training.kernel, training.params, probe, at)]
    taken, judged = [], {0: held_out_loss(training)}
    seconds = 0.0
    judge_every = max(1, steps // 4) if judge_every is None else judge_every
    for number in range(1, steps + 1):
        began = time.process_time()
        taken.append(advance(training))
        seconds += time.process_time() - began
        if number == steps or number % judge_every == 0:
            judged[number] = held_out_loss(training)
        progress(f"Training {label or model.name}", number, steps)
    flows.append(gradient_flow(training.kernel, used(training), probe, at))
    size = -(-steps // MOST_POINTS)
    ends = [min(first + size, steps) for first in range(0, steps, size)]
    losses = [float(np.mean([one.loss for one in taken[max(end - size, 0) : end]])) for end in ends]
    step = np.unique([*ends, *judged])
    found = xr.Dataset(
        {
            "loss": (
                "step",
                _placed(step, dict(zip(ends, losses, strict=True))),
                {"long_name": "training loss", "figure": "mean loss"},
            ),
            "held_out": ("step", _placed(step, judged), {"long_name": "held-out loss", "figure": "mean loss"}),
            "flow": xr.concat(flows, xr.Variable("moment", list(MOMENTS)), combine_attrs="override"),
            "parameters": ((), sum(array.size for array in initial.values()), {"long_name": "parameters"}),
            "clipped": ((), float(np.mean([one.clipped for one in taken])), {"long_name": "steps clipped"}),
            "rate": (
                (),
                sum(one.counted for one in taken) / seconds,
                {"long_name": "speed of training, by time of the processor"},
            ),
        },
        {"step": ("step", step, {"long_name": "step of training"})},
    )
    for name, units in {
        "loss": "nats",
        "held_out": "nats",
        "parameters": "1",
        "clipped": "1",
        "rate": "targets/s",
    }.items():
        found[name].attrs["units"] = units
    for name in ("clipped", "rate"):
        found[name].attrs["only"] = "details"
    return Learned(training, initial, found)


def used(training: Training) -> dict[str, Array]:
    """Return the parameters with which a trained model is used."""
    return judged_params(training.params, training.slots)


def _placed(step: Array, known: Mapping[int, float]) -> Array:
    return np.array([known.get(int(number), np.nan) for number in step])


def gradient_flow(
    kernel: ModelKernel, params: Mapping[str, Array], batch: Batch, at: int | None = None
) -> xr.DataArray:
    """Measure how the gradient of one step's loss reaches the states before it.

    Args:
        kernel, params: of a model.
        batch: sequences that are run from the model's own start.
        at: number, from 0, of the step whose loss it is; by default each sequence's last. A loss that has no steps is
            taken whole.

    Returns:
        (state, lag): mean over samples of ln ‖dL/ds‖, where lag counts steps back from the step of the loss; in a loop
        without a loss of its own, such as an encoder's, from its last step. It is the gradient of the state as later
        steps and other loops read it; so a loop with a loss of its own has nan at lag 0. nan past the longest sequence.

    >>> from ...derive.model import load_model
    >>> kernel = compile(load_model("hello"))
    >>> inputs = {"x": np.eye(4)[[0, 1, 2, 2], None], "y": np.array([[1], [2], [2], [3]])}
    >>> gradient_flow(kernel, kernel.init({"n": 3}), Batch(inputs, 4)).sizes
    Frozen({'state': 1, 'lag': 4})
    """
    run = kernel.forward(params, batch.inputs, lengths=batch.lengths)
    blocks = kernel.model.blocks
    ends = {}
    for block, one in zip(blocks, run.runs, strict=True):
        whole = np.full(run.batch, one.steps)
        ends[str(block.axis)] = (whole if batch.lengths is None else batch.lengths.get(str(block.axis), whole)) - 1
    of_loss = {str(block.axis) for block in blocks if block.losses and block.axis is not None}
    if at is not None:
        ends |= {axis: np.minimum(ends[axis], at) for axis in of_loss}
    weights: dict[str, Array] = {}
    for block, one in zip(blocks, run.runs, strict=True):
        weight = np.zeros((one.steps, run.batch))
        weight[ends[str(block.axis)], np.arange(run.batch)] = 1
        weights |= dict.fromkeys(block.losses, weight)
    grads = kernel.backward(run, weights)
    found = {}
    for block, one in zip(blocks, run.runs, strict=True):
        last = np.zeros_like(ends[str(block.axis)]) if _ends_first(block, of_loss) else ends[str(block.axis)]
        for name in block.cell.states:
            gradient = np.asarray(grads.states[name], float)
            norms = np.linalg.norm(gradient.reshape(one.steps, run.batch, -1), axis=2)
            found[name] = _against_lag(norms, last, -1 if block.reverse else 1)
            if block.losses:
                found[name][0] = np.nan
    longest = max((len(curve) for curve in found.values()), default=0)
    values = [np.pad(curve, (0, longest - len(curve)), constant_values=np.nan) for curve in found.values()]
    about = {"long_name": "mean ln of the norm of the loss's gradient", "units": "nats"}
    return xr.DataArray(
        np.reshape(values, (len(found), longest)),
        {"state": list(found), "lag": ("lag", np.arange(longest), {"long_name": "steps back", "units": "steps"})},
        ("state", "lag"),
        attrs=about,
    )


def _ends_first(block: Block, of_loss: Iterable[str]) -> bool:
    """Return whether a loop without a loss of its own ends at step 0."""
    return block.reverse and str(block.axis) not in of_loss


def _against_lag(norms: Array, last: Array, sign: int) -> Array:
    """Return the mean ln norm against lag, of (T, B) norms, from each sample's last step backwards."""
    steps, batch = norms.shape
    places = last[None, :] - sign * np.arange(steps)[:, None]
    inside = (places >= 0) & (places < steps)
    with np.errstate(divide="ignore"):
        logs = np.log(norms[np.clip(places, 0, steps - 1), np.arange(batch)])
    counts = inside.sum(axis=1)
    sums = np.where(inside, logs, 0).sum(axis=1)
    return np.divide(sums, counts, out=np.full(steps, np.nan), where=counts > 0)


def first_step(flow: xr.DataArray) -> xr.DataArray:
    """Return how much of the gradient reaches the first step: ‖dL/ds‖ there over that at the least lag, geometric mean.

    Args:
        flow: from `gradient_flow`, with any other axes.
    """
    known = flow.notnull()
    begins = (flow > -np.inf).argmax("lag")  # a state that nothing reads after its loop has no gradient at lag 0
    ends = (known * np.arange(flow.sizes["lag"])).argmax("lag")
    first, last = flow.isel(lag=begins), flow.isel(lag=ends)
    share: xr.DataArray = np.exp(last.drop_vars("lag") - first.drop_vars("lag"))  # type: ignore[assignment]  # NumPy's types don't know xarray
    return share.assign_attrs(long_name="gradient that reaches the first step", units="1")


def gathered(learned: Mapping[str, Learned], method: str, texts: Mapping[str, str] | None = None) -> xr.Dataset:
    """Return what was measured of several models as one Dataset over `model`, with the gradient to the first step.

    Args:
        learned: label -> a model that was trained.
        method: a sentence or two on how.
        texts: label -> text of a model, where not all are to be shown.
    """
    parts = [one.measured for one in learned.values()]
    found = xr.concat(parts, xr.Variable("model", list(learned)), join="outer", combine_attrs="override")
    share = first_step(found.flow)
    for moment, name in zip(MOMENTS, ("first_step_before", "first_step_after"), strict=True):
        best = share.sel(moment=moment).max("state", keep_attrs=True).drop_vars("moment")
        found[name] = best.assign_attrs(share.attrs | {"long_name": f"gradient to the first step, {moment}"})
    shown = texts if texts is not None else {label: one.training.kernel.model.text for label, one in learned.items()}
    return found.assign_attrs(method=method, texts=json.dumps(dict(shown)))


def plan_of(settings: Mapping[str, Any], seed: int, model: Model) -> Plan:
    """Return the plan of `settings["plan"]`, with each start at the parameters of that name, whatever their label.

    Starts of parameters that the model doesn't have are left out.

    >>> from ...derive.compose import compose
    >>> plan_of({"plan": {"start": {"b_z": -1.0, "b_f": 1.0}}}, 0, compose("gru", layers=2)).start
    {'b_z__layer1': -1.0, 'b_z__layer2': -1.0}
    """
    told = dict(settings["plan"])
    given = told.pop("start", {})
    start = {name: given[stem] for name in model.params if (stem := name.partition("__")[0]) in given}
    return Plan(**told, start=start, seed=seed)
