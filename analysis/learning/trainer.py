"""A model in training: steps down the gradient, states carried on, everything that a checkpoint keeps."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ...derive.errors import Error
from ...kernels import ModelKernel, ModelRun
from ...kernels.room import check_fits
from ..data import random_stream
from .batches import Array, Batch, Task
from .optimisers import Slots, add_noise, clip, optimiser, step, zeros

AVERAGE = "average"  # the slot of a parameter's moving average (Polyak, B. T. and Juditsky, A. B. 1992)


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        optimiser: a name of `optimisers.OPTIMISERS`.
        rate: the learning rate.
        settings: of the optimiser, where they differ from its defaults.
        clip: the largest global norm of a gradient; inf for no clipping.
        noise: variance of the noise added to gradients at the first step; 0 for none.
        halve_every: steps after which the rate is halved, again and again; 0 for never.
        fall: steps in which the rate falls to zero, as half a cosine; 0 for never.
        decay: weights shrink by rate · decay of themselves in each step, apart from what the optimiser does
            (Loshchilov, I. and Hutter, F. (2019). Decoupled weight decay regularization. ICLR); vectors, such as
            biases, don't. 0 for none.
        average: decay of a moving average of the parameters, with which the model is judged; 0 for none.
        gain: of the initial weights.
        start: parameter -> a number that all its entries start from, such as {"b_f": 1.0}.
        seed: of initial weights and noise.
    """

    optimiser: str = "adam"
    rate: float = 2e-3
    settings: Mapping[str, float] = field(default_factory=dict)
    clip: float = math.inf
    noise: float = 0.0
    halve_every: int = 0
    fall: int = 0
    decay: float = 0.0
    average: float = 0.0
    gain: float = 1.0
    start: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass
class Training:
    """A model while it learns; `advance` changes it.

    Attributes:
        kernel, task, plan: what learns what, and how.
        params: parameter -> array.
        slots: of the optimiser.
        done: steps taken.
        carried: state -> (B, *shape), where sequences go on.
    """

    kernel: ModelKernel
    task: Task
    plan: Plan
    params: dict[str, Array]
    slots: dict[str, Slots]
    done: int = 0
    carried: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Taken:
    """One step of training.

    Attributes:
        number: from 1.
        loss: mean over what counts in the batch, before the step.
        norm: of the gradient, before clipping.
        clipped: whether it was longer than the limit.
        counted: how many terms of the loss.
        seconds: that it took.
    """

    number: int
    loss: float
    norm: float
    clipped: bool
    counted: int
    seconds: float


def begin(kernel: ModelKernel, task: Task, plan: Plan, sizes: Mapping[str, int]) -> Training:
    """Draw parameters and return a model that has learned nothing yet.

    Args:
        kernel: of the model.
        task: what to learn; it fixes some sizes.
        plan: how.
        sizes: dimension -> size, of those that the task leaves open.

    Raises:
        Error: where sizes conflict or are missing, a start names no parameter, or the parameters don't fit in memory.
    """
    for name, number in sizes.items():
        if task.sizes.get(name, number) != number:
            raise Error(f"size {name} is {number}, and the data need {task.sizes[name]}: leave it out")
    rule = optimiser(plan.optimiser)
    _check_memory(kernel, {**task.sizes, **sizes}, len(rule.slots) + bool(plan.average))
    params = kernel.init({**task.sizes, **sizes}, plan.seed, plan.gain)
    for name, value in plan.start.items():
        if name not in params:
            raise Error(f"no parameter is called '{name}'; the model has {', '.join(params)}")
        params[name][...] = value
    slots = zeros(rule, params)
    if plan.average:
        for name, array in params.items():
            slots[name][AVERAGE] = array.copy()
    return Training(kernel, task, plan, params, slots)


def _check_memory(kernel: ModelKernel, sizes: Mapping[str, int], slots: int) -> None:
    """Refuse a model whose parameters, gradients and slots need more memory than is free."""
    shapes = kernel.shapes(sizes)
    entries = {name: math.prod(shape) for name, shape in shapes.items()}
    # besides the slots: parameters, their gradients, and the step that an optimiser works out
    needed = sum(entries.values()) * kernel.dtype.itemsize * (3 + slots)
    largest = max(entries, key=lambda name: entries[name])
    dimensions = ", ".join(kernel.model.params[largest])
    advice = (
        f"the largest is {largest}, ({dimensions}) = {shapes[largest]}. Take smaller sizes or fewer kinds of tokens"
    )
    check_fits(needed, "the parameters and what training keeps of each need", advice)


def judged_params(params: Mapping[str, Array], slots: Mapping[str, Slots]) -> dict[str, Array]:
    """Return the parameters with which a model is judged and used: their averages, where they were taken."""
    return {name: slots[name].get(AVERAGE, array) for name, array in params.items()}


def rate_at(plan: Plan, number: int) -> float:
    """Return the learning rate of a step.

    >>> [round(rate_at(Plan(rate=1.0, halve_every=2, fall=8), number), 3) for number in (0, 2, 4, 8)]
    [1.0, 0.427, 0.125, 0.0]
    """
    rate = plan.rate * 0.5 ** (number // plan.halve_every if plan.halve_every else 0)
    return rate * (0.5 + 0.5 * math.cos(math.pi * min(number / plan.fall, 1.0))) if plan.fall else rate


def advance(training: Training) -> Taken:
    """Take the next step.

    Raises:
        Error: where the loss or the gradient isn't finite; nothing is changed then.
    """
    plan, number = training.plan, training.done
    began = time.perf_counter()
    batch = training.task.batch(number)
    state = training.carried if batch.continues else {}
    try:
        run = training.kernel.forward(training.params, batch.inputs, state, lengths=batch.lengths)
    except Error as error:
        raise Error(f"step {number + 1}: {error}") from None
    loss = weighed(run.losses, batch)
    refuse_infinite(number + 1, "loss", loss)
    found = training.kernel.backward(run, _weight(batch)).params
    gradients = {name: np.array(found[name]) for name in training.params}
    if plan.noise:
        add_noise(gradients, plan.noise, number, random_stream(plan.seed, f"gradient noise {number}"))
    norm = clip(gradients, plan.clip)
    refuse_infinite(number + 1, "gradient's norm", norm)
    rule = optimiser(plan.optimiser)
    rate = rate_at(plan, number)
    if plan.decay:
        for array in training.params.values():
            if array.ndim > 1:
                array *= 1 - rate * plan.decay
    step(rule, training.params, gradients, training.slots, number + 1, rate, plan.settings)
    if plan.average:
        keep = min(plan.average, (1 + number) / (10 + number))  # the first steps are soon forgotten
        for name, array in training.params.items():
            average = training.slots[name][AVERAGE]
            average += (1 - keep) * (array - average)
    training.carried = run.last()
    training.done += 1
    seconds = time.perf_counter() - began
    return Taken(training.done, loss, norm, norm > plan.clip, batch.counted, seconds)


def refuse_infinite(step: int, what: str, number: float) -> None:
    """Raise an Error where a number that training goes by isn't finite."""
    if not math.isfinite(number):
        advice = "Train anew with a smaller rate, clipped gradients, or smaller initial weights."
        raise Error(f"step {step}: the {what} is {number}. {advice}")


def weighed(losses: Mapping[str, Array], batch: Batch) -> float:
    """Return the mean loss of a batch."""
    weight = batch.weight or {}
    return float(sum(np.sum(term * weight.get(name, 1), dtype=float) for name, term in losses.items()) / batch.counted)


def _weight(batch: Batch) -> float | dict[str, Array]:
    if batch.weight is None:
        return 1 / batch.counted
    return {name: array / batch.counted for name, array in batch.weight.items()}


def runs(training: Training, batches: list[Batch]) -> Iterator[tuple[Batch, ModelRun]]:
    """Yield (batch, run) for batches that follow each other, with the parameters on which a model is judged."""
    carried: dict[str, Array] = {}
    params = judged_params(training.params, training.slots)
    for batch in batches:
        state = carried if batch.continues else {}
        run = training.kernel.forward(params, batch.inputs, state, lengths=batch.lengths)
        carried = run.last()
        yield batch, run


def held_out_loss(training: Training) -> float:
    """Return the mean loss over all that is held out, in nats for a cross-entropy."""
    total, counted = 0.0, 0
    for batch, run in runs(training, training.task.held_out()):
        total += weighed(run.losses, batch) * batch.counted
        counted += batch.counted
    return total / max(counted, 1)
