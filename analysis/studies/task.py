"""One task of a study, performed: from a point of the plan and a seed to numbers, or to the reason for none."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ... import kernels
from ...derive.cell import parse
from ...derive.errors import Error
from ..data import DATA
from ..inputs import draw_inputs, draw_state
from ..overflow import over_batch, said
from ..running import Overflow
from .measures import MEASURES, draw_params
from .plan import Plan, Task

Variable = tuple[tuple[str, ...], NDArray[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        task: that was performed.
        message: why there are no numbers, or what exploded; '' where all went well.
        variables, coordinates: name -> dimensions, values and attributes; empty where there are no numbers.
        attrs: what the measure says of itself.
        overflow: the earliest and the latest step at which states of a sequence overflow, and in how many sequences.
        exploded: no sequence stays finite, or a number is past the largest float.
        lost: the process ended on the way, so that another attempt may succeed.
    """

    task: Task
    message: str = ""
    variables: Mapping[str, Variable] = field(default_factory=dict)
    coordinates: Mapping[str, Variable] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    overflow: tuple[int, int, int] = (0, 0, 0)
    exploded: bool = False
    lost: bool = False

    @property
    def status(self) -> int:
        """0 where nothing went wrong, 1 where it failed, 2 where it exploded, 3 where some of its sequences did."""
        if self.exploded:
            return 2
        return 0 if not self.message else 3 if self.variables else 1


def versions() -> dict[str, str]:
    """Return the versions of what decides the last digits of numbers."""
    return {name: version(name) for name in ("bptt", "numpy", "numba", "scipy")}


def perform(plan: Plan, task: Task) -> Outcome:
    """Perform a task; whatever goes wrong becomes its message."""
    try:
        with np.errstate(all="ignore"):
            found, steps = _measured(plan, task)
    except Overflow as error:
        ends = _ends(error.steps)
        return Outcome(task, said(*ends, plan.batch) if ends[2] else str(error), overflow=ends, exploded=True)
    except Error as error:
        return Outcome(task, str(error))
    except MemoryError as error:
        return Outcome(task, f"out of memory: {error}")
    except Exception as error:  # a fault of one measure must not end a study
        return Outcome(task, f"{type(error).__name__}: {error}")
    variables, coordinates = _plain(found.data_vars), _plain(found.coords)
    watched = MEASURES[plan.groups[task.point.group].measure].finite
    message = "; ".join(filter(None, (_explosion(name, found[name]) for name in watched)))
    attrs = {name: value for name, value in found.attrs.items() if name != "seed"}
    ends = _ends(steps)
    exploded = bool(message)
    message = said(*ends, plan.batch) if ends[2] else message
    return Outcome(task, message, variables, coordinates, attrs, ends, exploded)


def _ends(steps: Sequence[int]) -> tuple[int, int, int]:
    """Return the first and the last step at which sequences overflow, and how many do.

    >>> _ends([0, 41, 12])
    (12, 41, 2)
    """
    over = [int(step) for step in steps if step]
    return (min(over), max(over), len(over)) if over else (0, 0, 0)


def _measured(plan: Plan, task: Task) -> tuple[xr.Dataset, Sequence[int]]:
    """Return the mean over the sequences that stay finite, and the step after which each overflows.

    Raises:
        Overflow: where none stays finite, and the measure gives no numbers then.
    """
    group, data = plan.groups[task.point.group], plan.data[task.point.data]
    seed, feed = plan.seeds[task.seed], group.feeds[task.point.data]
    kernel = _kernel(group.cell.text, group.cell.name)
    params = draw_params(kernel, feed.sizes, seed, **plan.starts[task.point.start])
    if data.kind == "noise":
        feed, indices = replace(feed, reads=""), np.zeros((group.length, plan.batch), np.intp)
    else:
        indices = DATA[data.kind](data.characters, group.length, plan.batch, seed)
    inputs = draw_inputs(feed, indices, seed)
    state, steps = (None, 0) if inputs else (draw_state(feed, plan.batch, seed), group.length)
    settings = {"steps": steps, "seed": seed, **plan.settings[group.measure]}
    measure = MEASURES[group.measure].function
    try:
        found = measure(kernel, params, inputs, state, **settings)
    except Overflow as error:
        finite = np.flatnonzero(np.array(error.steps) == 0)
        if not finite.size:
            raise
        inputs = {name: np.ascontiguousarray(values[:, finite]) for name, values in inputs.items()}
        state = state and {name: values[finite] for name, values in state.items()}
        try:
            return over_batch(measure(kernel, params, inputs, state, **settings)), error.steps
        except Error:  # such as too few sequences
            raise error from None
    return over_batch(found), found.overflow.values.tolist() if "overflow" in found else ()


@functools.lru_cache(maxsize=256)
def _kernel(text: str, name: str) -> kernels.Kernel:
    return kernels.compile(parse(text, name))


def _plain(found: Any) -> dict[str, Variable]:
    return {str(name): (tuple(map(str, one.dims)), one.values, dict(one.attrs)) for name, one in found.items()}


def _explosion(name: str, values: xr.DataArray) -> str:
    """Say where values are infinite or undefined; −inf is no explosion, but the log of 0."""
    bad = np.argwhere(np.isnan(values.values) | (values.values == np.inf))
    if not len(bad):
        return ""
    at = ", ".join(f"{dim} {place}" for dim, place in zip(values.dims, bad[0], strict=True))
    return f"{name} is {values.values[tuple(bad[0])]} from {at}: past the largest float"
