"""Copy and adding problem: how far apart may what is read and what is asked for lie, until a cell fails to learn it?

Hochreiter, S. and Schmidhuber, J. (1997). Long short-term memory. Neural Computation 9(8): the adding problem.
Arjovsky, M., Shah, A. and Bengio, Y. (2016). Unitary evolution recurrent neural networks. ICML: both, in this form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from ...derive.compose import compose
from ...derive.model import Model
from ..data import random_stream
from ..learning.batches import Batch, Task
from ..learning.trainer import Training, advance, runs
from .examples import open_sizes
from .learn import Learned, gathered, learn, plan_of
from .system import Progress, Settings, system

BLANK, ASK = 0, 1  # in the copy problem; symbols follow them
SYMBOLS = 8
SOLVED = 0.95  # of symbols, or of sums to within TOLERANCE
TOLERANCE = 0.2  # of a sum; its mean distance from the best constant is 0.33
JUDGED = 256  # sequences


@dataclass(frozen=True)
class Problem:
    """A task of a lag that one may choose.

    Attributes:
        name: of it.
        options: of the model, as `compose` takes them.
        task: (lag, batch, seed) -> the task.
        right: a training -> share that it gets right of what is held out.
        chance: that share for a model that remembers nothing.
    """

    name: str
    options: Mapping[str, str | bool] = field(repr=False)
    task: Callable[[int, int, int], Task] = field(repr=False)
    right: Callable[[Training], float] = field(repr=False)
    chance: float


def copying(length: int) -> Problem:
    """Return the copy problem: symbols, then blanks, then a mark after which the symbols are to be written.

    Args:
        length: how many symbols; each is asked for `lag` steps after it was read.
    """

    def task(lag: int, batch: int, seed: int) -> Task:
        def drawn(name: str, many: int) -> Batch:
            symbols = random_stream(seed, name).integers(2, 2 + SYMBOLS, size=(length, many))
            steps = lag + length
            x, y = np.full((2, steps, many), BLANK, np.intp)
            x[:length], y[lag:] = symbols, symbols
            x[lag] = ASK
            weight = np.zeros((steps, many))
            weight[lag:] = 1
            return Batch({"x": x, "y": y}, length * many, weight={"loss": weight})

        sizes = {"V": 2 + SYMBOLS, "k": 2 + SYMBOLS}
        return Task("copying", sizes, lambda n: drawn(f"copy {lag} {n}", batch), lambda: [drawn("copy judged", JUDGED)])

    def right(training: Training) -> float:
        [(batch, run)] = runs(training, training.task.held_out())
        return float((run.value("u").argmax(axis=2) == batch.inputs["y"])[-length:].mean())

    options: dict[str, str | bool] = {"shape": "many-to-many", "embedding": True}
    return Problem("copying", options, task, right, 1 / SYMBOLS)


def adding() -> Problem:
    """Return the adding problem: of numbers between 0 and 1 two are marked, and their sum is to be told at the end.

    The first marked number stands in the first tenth of the sequence, the second before its middle: the sum is asked
    for at least half a sequence later, and the lag is the length of the sequence.
    """

    def task(lag: int, batch: int, seed: int) -> Task:
        def drawn(name: str, many: int) -> Batch:
            random = random_stream(seed, name)
            x = np.zeros((lag, many, 2), np.float32)
            x[:, :, 0] = random.random((lag, many))
            first = random.integers(max(1, lag // 10), size=many)
            second = random.integers(max(1, lag // 10), max(lag // 2, 2), size=many)
            columns = np.arange(many)
            x[first, columns, 1] = x[second, columns, 1] = 1
            return Batch({"x": x, "y": (x[..., 0] * x[..., 1]).sum(axis=0)[:, None]}, many)

        sizes = {"m": 2, "k": 1}
        return Task("adding", sizes, lambda n: drawn(f"add {lag} {n}", batch), lambda: [drawn("add judged", JUDGED)])

    def right(training: Training) -> float:
        [(batch, run)] = runs(training, training.task.held_out())
        return float((abs(run.value("u")[0] - batch.inputs["y"]) < TOLERANCE).mean())

    # the sum of two uniform numbers lies within d of 1 with probability 1 - (1 - d)^2
    return Problem("adding", {"shape": "many-to-one", "loss": "squared_error"}, task, right, 1 - (1 - TOLERANCE) ** 2)


def reach(
    problem: Problem, model: Model, settings: Settings, seed: int, progress: Progress, label: str
) -> tuple[list[float], Learned]:
    """Train a model from scratch at each lag, until one isn't learned within the steps allowed.

    Returns:
        The share of right answers at each lag that was tried, and the training at the first lag.
    """
    shares: list[float] = []
    first: Learned | None = None
    for lag in settings["lags"]:
        made = problem.task(lag, settings["batch"], seed)
        plan = plan_of(settings, seed, model)
        sizes = open_sizes(model, made, settings["hidden"], settings["sizes"])
        stage = f"{label}, lag {lag}"
        learned = learn(model, made, plan, sizes, settings["every"], label=stage, progress=progress)
        first = first or learned
        shares.append(problem.right(learned.training))
        while shares[-1] < SOLVED and learned.training.done < settings["steps"]:
            for _ in range(settings["every"]):
                advance(learned.training)
            shares[-1] = problem.right(learned.training)
            progress(f"Training {stage}", learned.training.done, settings["steps"])
        if shares[-1] < SOLVED:
            break
    assert first is not None
    return shares, first


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Find the longest lag that each cell learns in each problem."""
    problems = [copying(settings["length"]), adding()]
    learned: dict[str, Learned] = {}
    shares: dict[str, list[float]] = {}
    for problem in problems:
        for cell in settings["cells"]:
            model = compose(cell, **problem.options)  # type: ignore[arg-type]  # options of several types
            name = f"{problem.name}, {cell}"
            shares[name], learned[name] = reach(problem, model, settings, seed, progress, name)
    return _told(problems, learned, shares, settings)


def _told(
    problems: Sequence[Problem], learned: Mapping[str, Learned], shares: Mapping[str, list[float]], settings: Settings
) -> xr.Dataset:
    lags, (copy, add) = list(settings["lags"]), problems
    method = (
        f"Copying {settings['length']} symbols of {SYMBOLS} after the lag; adding two marked numbers, the first in the "
        "first tenth of the sequence, the second before its middle, asked for at its end (the lag is its length). "
        f"Each lag is learned from scratch until {SOLVED:.0%} are right (sums to within {TOLERANCE}), in at most "
        f"{settings['steps']} steps of {settings['batch']} sequences; longer lags than one that fails aren't tried. "
        f"A model that remembers nothing gets {copy.chance:.0%} of symbols and {add.chance:.0%} of sums. Gradient "
        f"flow: at lag {lags[0]}, before and after {settings['every']} steps"
    )
    found = gathered(learned, method)
    values = np.full((len(shares), len(lags)), np.nan)
    for row, told in zip(values, shares.values(), strict=True):
        row[: len(told)] = told
    reached = [max((lag for lag, share in zip(lags, row, strict=True) if share >= SOLVED), default=0) for row in values]
    found["reached"] = ("model", reached, {"long_name": f"longest lag learned (of {lags[-1]})", "units": "steps"})
    found["right"] = (("model", "apart"), values, {"long_name": "share of right answers by lag", "units": "1"})
    found["apart"] = ("apart", lags, {"long_name": "lag", "units": "steps"})
    said = [f"{name} {lag}" for name, lag in zip(shares, reached, strict=True)]
    return found.assign_attrs(learned=f"Longest lag learned of {lags[-1]} tried: {'; '.join(said)} steps.")


SYSTEM = system("long_range", measure)
