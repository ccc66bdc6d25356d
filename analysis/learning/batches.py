"""What a model learns from: a task gives batches by number, so that a run can be taken up anywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...derive.errors import Error
from ..data import random_stream

Array = NDArray[Any]
JUDGED_TOGETHER = 128  # examples that are run together


@dataclass(frozen=True)
class Batch:
    """Sequences that are run together.

    Attributes:
        inputs: input or index of the model -> (T, B, ...), or (B, ...) for what has no steps.
        counted: how many terms of the loss it has: the loss that is stated is the mean over these.
        weight: term of the loss -> (T, B), where not every step counts alike; None where each counts once.
        lengths: axis -> (B,), where sequences differ in length.
        continues: whether these sequences go on where those of the batch before ended.
    """

    inputs: Mapping[str, Array]
    counted: int
    weight: Mapping[str, Array] | None = None
    lengths: Mapping[str, Array] | None = None
    continues: bool = False


@dataclass(frozen=True)
class Task:
    """What is to be learned.

    Attributes:
        name: of the kind of task.
        sizes: dimensions of the model that the data fix, such as that of the vocabulary.
        batch: number of the step, from 0 -> what is learned from in it; always the same for one number.
        held_out: the batches on which a model is judged, in order.
        about: what is needed to use the model later, such as the vocabulary: strings and numbers only.
    """

    name: str
    sizes: Mapping[str, int]
    batch: Callable[[int], Batch] = field(repr=False)
    held_out: Callable[[], list[Batch]] = field(repr=False)
    about: Mapping[str, Any] = field(default_factory=dict)


def streams(indices: Array, batch: int, window: int) -> tuple[Array, int]:
    """Lay a sequence out as parallel streams, of which each window continues the one before.

    Args:
        indices: (length,).
        batch: number of streams B.
        window: steps T of a window.

    Returns:
        (window count · T + 1, B), and the number of windows; what doesn't fill a window is left out.

    >>> found, windows = streams(np.arange(11), batch=2, window=2)
    >>> found.T, windows
    (array([[0, 1, 2, 3, 4],
           [5, 6, 7, 8, 9]]), 2)
    """
    each = len(indices) // batch
    windows = max(0, (each - 1) // window)
    laid = indices[: batch * each].reshape(batch, each).T
    return np.ascontiguousarray(laid[: windows * window + 1]), windows


def examples(
    name: str,
    sizes: Mapping[str, int],
    take: Callable[[Array], Batch],
    learned: Array,
    held_out: Array,
    batch: int,
    seed: int = 0,
) -> Task:
    """Return the task of learning from examples in a new random order in each epoch.

    Args:
        name, sizes: of the task.
        take: numbers of examples -> the batch that they make.
        learned, held_out: numbers of the examples.
        batch: how many are learned from in a step; what doesn't fill a batch is left out of an epoch.
        seed: of the order.

    Raises:
        Error: where there are fewer examples than a batch needs.
    """
    each = len(learned) // batch
    if not each:
        raise Error(f"{name}: there are {len(learned)} examples to learn from, too few for a batch of {batch}")

    @lru_cache(1)
    def order(epoch: int) -> Array:
        return random_stream(seed, f"epoch {epoch}").permutation(learned)

    def chosen(number: int) -> Batch:
        epoch, place = divmod(number, each)
        return take(order(epoch)[place * batch : (place + 1) * batch])

    parts = [held_out[first : first + JUDGED_TOGETHER] for first in range(0, len(held_out), JUDGED_TOGETHER)]
    return Task(name, sizes, chosen, lambda: [take(part) for part in parts])


def digest(arrays: Mapping[str, Array], about: Mapping[str, str]) -> str:
    """Return a number of what named arrays hold and what is said of them: of others it is another."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        found.update(name.encode())
        found.update(arrays[name].tobytes())
    return found.hexdigest()
