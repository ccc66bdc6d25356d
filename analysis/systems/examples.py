"""Models around any cell for separate examples, and how often they are right."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sympy
import xarray as xr
from sympy import Symbol

from ...derive.model import Model
from ..learning.batches import Array, Task
from ..learning.trainer import Training, runs
from ..statistics import wilson


def open_sizes(model: Model, task: Task, hidden: int, given: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return a size for each dimension of a model's parameters that its task leaves open: as given, else `hidden`."""
    parts = [part for name in model.params for part in model.shapes[Symbol(name)]]
    names = sorted({symbol.name for part in parts for symbol in sympy.sympify(part).atoms(Symbol)} - set(task.sizes))
    return {name: (given or {}).get(name, hidden) for name in names}


def guesses(training: Training, value: str = "u") -> tuple[Array, Array]:
    """Return what a classifier takes for likeliest over all that is held out, and what is right.

    Args:
        training: of a model whose index 'y' is the right class.
        value: whose softmax is the probability of each class.

    Returns:
        Two arrays (examples,), or (steps, examples).
    """
    found, right = [], []
    for batch, run in runs(training, training.task.held_out()):
        chosen = run.value(value).argmax(axis=-1)
        found.append(chosen if batch.inputs["y"].ndim == 2 else chosen[0])
        right.append(batch.inputs["y"])
    return np.concatenate(found, axis=-1), np.concatenate(right, axis=-1)


def proportion(name: str, long_name: str, right: Mapping[str, Array]) -> xr.Dataset:
    """Return how often each model was right, with Wilson's interval of 95 %, as columns over `model`.

    >>> found = proportion("accuracy", "accuracy", {"rnn": np.array([True, True, False, True])})
    >>> float(found.accuracy[0]), round(float(found.accuracy_low[0]), 2)
    (0.75, 0.3)
    """
    about = {"long_name": long_name, "units": "1"}
    rows = []
    for told in right.values():
        fraction = np.array(np.mean(told), float)
        low, high = wilson(fraction, np.size(told))
        rows.append((fraction, low, high))
    values = np.array(rows, float).T
    names = (name, f"{name}_low", f"{name}_high")
    columns = {key: ("model", column, about) for key, column in zip(names, values, strict=True)}
    return xr.Dataset(columns, {"model": list(right)})
