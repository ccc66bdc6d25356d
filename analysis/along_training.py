"""A small training loop, next character by next character, and measurements along it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .. import kernels
from ..derive.compose import output_state
from ..derive.errors import Error
from ..derive.interpret import size as size_as_number
from ..derive.sizes import size_from
from ..derive.syntax import closest
from .data import DATA, Characters, Indices, random_stream, text
from .inputs import Feed, draw_inputs, plan_feed
from .lags import refuse_overflow
from .learning.optimisers import clip as scaled
from .learning.optimisers import optimiser as chosen
from .learning.optimisers import step, zeros
from .running import Arrays, Loss

Array = NDArray[np.floating]
WEIGHTS, OFFSETS = "readout weights", "readout offsets"  # beside the cell's parameters; no parameter has such a name
LOSS = {"long_name": "cross-entropy of the next character on fresh sequences", "units": "nats per character"}


@dataclass(frozen=True)
class Task:
    """Predicting the next character of a text, or of noise with its frequencies, by softmax of a linear readout.

    Attributes:
        kernel: of the cell.
        feed: which of its inputs reads the characters.
        chars: the text.
        data: a kind of data in `DATA`.
        steps, batch: T and B of one update.
    """

    kernel: kernels.Kernel
    feed: Feed
    chars: Characters
    data: str
    steps: int
    batch: int

    def draw(self, seed: int) -> tuple[dict[str, Array], Indices]:
        """Return inputs, and the characters that follow each of those read, (T, B)."""
        indices = DATA[self.data](self.chars, self.steps + 1, self.batch, seed)
        inputs = draw_inputs(self.feed, indices[:-1], seed)
        return {name: values.astype(self.kernel.dtype) for name, values in inputs.items()}, indices[1:]


@dataclass(frozen=True)
class Snapshot:
    """Where training stands after some updates.

    Attributes:
        update: how many.
        params: of the cell.
        readout: its weights (k, n) and offsets (k,), by name.
    """

    update: int
    params: Mapping[str, Array]
    readout: Mapping[str, Array]


def character_task(
    kernel: kernels.Kernel,
    chars: Characters,
    *,
    data: str = "text",
    sizes: Mapping[str, int] | None = None,
    hidden: int = 64,
    steps: int = 32,
    batch: int = 16,
) -> Task:
    """Return the task of predicting the next character.

    Args:
        kernel: of a cell with an input that can read characters and a state that is a vector.
        chars: the text.
        data: 'text' or 'shuffled'.
        sizes, hidden: of the cell's dimensions, as `flow_study` takes them.
        steps, batch: T and B of one update.

    Raises:
        Error: for a cell that can't read characters or has no vector to read out, or an unknown kind of data.

    >>> from ..derive.cell import load
    >>> from .data import characters
    >>> character_task(kernels.compile(load("rnn")), characters("abba" * 20), hidden=8).feed.sizes
    {'m': 2, 'n': 8}
    """
    if data not in DATA:
        raise Error(f"no kind of data is called '{data}'. {closest(data, DATA)}")
    feed = plan_feed(kernel.cell, len(chars.vocabulary), sizes or {}, hidden)
    if not feed.reads:
        raise Error(f"{kernel.cell.name} has no input that can read {len(chars.vocabulary)} different characters")
    output_state(kernel.cell)
    return Task(kernel, feed, chars, data, steps, batch)


def next_character(task: Task, readout: Mapping[str, Array], targets: Indices) -> Loss:
    """Return the loss of a task as a function that gives cotangents: the cross-entropy, a mean over T and B.

    Args:
        task: from `character_task`.
        readout: from a `Snapshot`.
        targets: from `Task.draw`.
    """
    name = output_state(task.kernel.cell)

    def loss(states: Arrays, seed: int) -> dict[str, Array]:
        _, slope = _cross_entropy(states[name], readout, targets)
        return {name: (slope @ readout[WEIGHTS]).reshape(states[name].shape).astype(states[name].dtype)}

    return loss


def train(
    task: Task,
    *,
    at: Sequence[int] = (0, 100, 1000),
    rate: float = 0.003,
    optimiser: str = "adam",
    clip: float = 1.0,
    seed: int = 0,
    params: Arrays | None = None,
) -> Iterator[Snapshot]:
    """Train a cell and its readout, and yield where they stand after some numbers of updates.

    Args:
        task: from `character_task`; each update draws new sequences, and states start from zero.
        at: numbers of updates, from 0 on.
        rate: the learning rate.
        optimiser: one of `learning.optimisers.OPTIMISERS`, with its usual settings; 'sgd' is plain gradient descent.
        clip: norm to which larger gradients are scaled down; inf for no clipping.
        seed: of initial parameters and of the sequences.
        params: of the cell to begin with; by default those of `Kernel.init`. The readout's are Gaussian, N(0, 1/n).

    Raises:
        Error: for settings that can't be met, or gradients that overflow.

    >>> from ..derive.cell import load
    >>> from .data import characters
    >>> task = character_task(kernels.compile(load("rnn")), characters("abba" * 20), hidden=8)
    >>> [snapshot.update for snapshot in train(task, at=[0, 5])]
    [0, 5]
    """
    if not 0 < rate < np.inf or not clip > 0:
        raise Error(f"rate is {rate} and clip is {clip}: give numbers above 0")
    if not at or min(at) < 0:
        raise Error(f"at is {list(at)}: give numbers of updates, from 0 on")
    kernel = task.kernel
    begun = kernel.init(task.feed.sizes, seed=seed) if params is None else params
    values = {name: np.array(array) for name, array in begun.items()}
    [width], letters = kernel.cell.states[output_state(kernel.cell)], len(task.chars.vocabulary)
    length = _length(width, task.feed.sizes)
    weights = random_stream(seed, WEIGHTS).standard_normal((letters, length)) / np.sqrt(length)
    values |= {WEIGHTS: weights.astype(kernel.dtype), OFFSETS: np.zeros(letters, kernel.dtype)}
    rule = chosen(optimiser)
    slots = zeros(rule, values)
    draws = random_stream(seed, "updates").integers(2**31, size=max(at))
    for update in range(max(at) + 1):
        if update in at:
            yield _snapshot(update, values)
        if update < max(at):
            gradient = _gradient(task, values, int(draws[update]))
            refuse_overflow(gradient)
            scaled(gradient, clip)
            step(rule, values, gradient, slots, update + 1, rate)


def along_training(
    kernel: kernels.Kernel,
    measure: Callable[..., xr.Dataset],
    *,
    data: Sequence[str] = ("text", "shuffled"),
    at: Sequence[int] = (0, 100, 1000),
    seeds: int = 3,
    batch: int = 16,
    steps: int = 32,
    hidden: int = 64,
    sizes: Mapping[str, int] | None = None,
    rate: float = 0.003,
    optimiser: str = "adam",
    clip: float = 1.0,
    text_path: str | os.PathLike[str] | None = None,
    begin: Callable[[Mapping[str, int], int], Arrays] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> xr.Dataset:
    """Measure a cell before, while and after it learns to predict a text, and noise with the text's frequencies.

    Args:
        kernel: of the cell.
        measure: called as measure(kernel, params, inputs, seed=seed, **settings), such as `measure_flow`, on sequences
            on which the cell wasn't trained.
        data: kinds of data: 'text' (windows of consecutive characters), 'shuffled' (independent ones).
        at: numbers of updates after which to measure.
        seeds: number of seeds; they are 0, 1, 2, ...
        batch, steps, hidden, sizes: as `character_task` takes them; batch and steps of the measurement too.
        rate, optimiser, clip: as `train` takes them.
        text_path: a text file in UTF-8; by default the help topics that come with Python.
        begin: (sizes, seed) -> initial parameters; by default those of `Kernel.init`.
        progress: called as progress(done, total) after each measurement.
        settings: for `measure`; loss="next" there stands for the loss that is trained.

    Returns:
        What `measure` gives, over (data, seed, update) too, and `loss` over these: nats per character on the sequences
        that were measured.

    Raises:
        Error: as `character_task`, `train` and `measure` do.

    >>> from ..derive.cell import load
    >>> from .gradient_flow import measure_flow
    >>> found = along_training(kernels.compile(load("rnn")), measure_flow, at=[0, 2], seeds=2, hidden=8, steps=5)
    >>> dict(found.log_norm.sizes)
    {'data': 2, 'seed': 2, 'update': 2, 'sample': 16, 'lag': 6}
    """
    chars = text(text_path)
    tasks = [
        character_task(kernel, chars, data=kind, sizes=sizes, hidden=hidden, steps=steps, batch=batch) for kind in data
    ]
    total, done = len(tasks) * seeds * len(set(at)), 0
    if not total:
        raise Error("there is nothing to measure: give at least one kind of data, seed and number of updates")
    found = []
    for task in tasks:
        for seed in range(seeds):
            start = None if begin is None else begin(task.feed.sizes, seed)
            for snapshot in train(task, at=at, rate=rate, optimiser=optimiser, clip=clip, seed=seed, params=start):
                found.append(_measured(task, snapshot, measure, seed, settings))
                done += 1
                if progress:
                    progress(done, total)
    updates = sorted(set(at))
    rows = [xr.concat(found[i : i + len(updates)], "update") for i in range(0, total, len(updates))]
    kinds = [xr.concat(rows[i : i + seeds], "seed") for i in range(0, len(rows), seeds)]
    whole = xr.concat(kinds, "data").assign_coords(data=list(data), seed=np.arange(seeds), update=updates)
    whole["update"].attrs = {"long_name": "updates", "units": "1"}
    trained = {"rate": rate, "optimiser": optimiser, "clip": clip, "batch": batch, "steps": steps}
    method = f"{whole.attrs.get('method', '')}; along training to predict the next character"
    return whole.assign_attrs(trained, method=method, text=chars.source, sizes=dict(tasks[0].feed.sizes))


def _measured(
    task: Task, snapshot: Snapshot, measure: Callable[..., xr.Dataset], seed: int, settings: Mapping[str, Any]
) -> xr.Dataset:
    inputs, targets = task.draw(seed)
    loss = next_character(task, snapshot.readout, targets)
    given = {name: loss if name == "loss" and value == "next" else value for name, value in settings.items()}
    states = task.kernel.forward(snapshot.params, inputs).states[output_state(task.kernel.cell)]
    nats, _ = _cross_entropy(states, snapshot.readout, targets)
    return measure(task.kernel, snapshot.params, inputs, seed=seed, **given).assign(loss=((), nats, LOSS))


def _snapshot(update: int, values: Mapping[str, Array]) -> Snapshot:
    copies = {name: array.copy() for name, array in values.items()}
    readout = {name: copies.pop(name) for name in (WEIGHTS, OFFSETS)}
    return Snapshot(update, copies, readout)


def _length(size: str, sizes: Mapping[str, int]) -> int:
    return size_as_number(size_from(size), sizes)


def _cross_entropy(states: Array, readout: Mapping[str, Array], targets: Indices) -> tuple[float, Array]:
    """Return the mean cross-entropy over T and B, in nats, and its derivative by the readout's values, (T·B, k)."""
    rows, right = states.reshape(targets.size, -1), targets.ravel()
    logits = rows @ readout[WEIGHTS].T + readout[OFFSETS]
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    at = np.arange(targets.size), right
    slope = np.exp(logits)
    slope[at] -= 1
    return -float(logits[at].mean()), slope / targets.size


def _gradient(task: Task, values: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """Return the gradient of one batch's loss by the parameters of the cell and of the readout."""
    kernel, name = task.kernel, output_state(task.kernel.cell)
    inputs, targets = task.draw(seed)
    params = {key: array for key, array in values.items() if key not in (WEIGHTS, OFFSETS)}
    run = kernel.forward(params, inputs)
    states = run.states[name]
    _, slope = _cross_entropy(states, values, targets)
    sent = (slope @ values[WEIGHTS]).reshape(states.shape).astype(kernel.dtype)
    found = {key: np.array(array) for key, array in kernel.backward(run, {name: sent}).params.items()}
    return found | {WEIGHTS: slope.T @ states.reshape(len(slope), -1), OFFSETS: slope.sum(axis=0)}
