"""The bench on which claims are tested: sizes, data and seeds, and growth rates of gradients on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy
import xarray as xr
from numpy.typing import NDArray
from sympy import Symbol

from ... import kernels
from ...derive.cell import Cell
from ...derive.functions import Elementwise
from ...kernels.initial import is_bias
from ..data import DATA, Characters, text
from ..gradient_flow import measure_flow
from ..initialisation import initialise
from ..inputs import Feed, draw_inputs, draw_state, plan_feed
from ..overflow import over_batch

Arrays = dict[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Bench:
    """Attributes:
    hidden, steps, batch, seeds: N of each state, T, sequences per seed, and their number.
    level: coverage of intervals.
    data: kind of data, as `flow_study` has it.
    chars: the text.
    """

    hidden: int = 64
    steps: int = 100
    batch: int = 8
    seeds: int = 10
    level: float = 0.95
    data: str = "text"
    chars: Characters = field(default_factory=text, repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "N": self.hidden,
            "T": self.steps,
            "B": self.batch,
            "seeds": self.seeds,
            "level": self.level,
            "data": self.data,
        }

    def feed(self, kernel: kernels.Kernel) -> Feed:
        """Return how a cell is fed."""
        return plan_feed(kernel.cell, len(self.chars.vocabulary), {}, self.hidden)

    def given(self, kernel: kernels.Kernel, seed: int, steps: int = 0) -> tuple[Arrays, Arrays | None]:
        """Return inputs and initial state of a seed, the latter for a cell without inputs; T steps or `steps`."""
        feed = self.feed(kernel)
        if not (kernel.cell.inputs or kernel.cell.indices):
            return {}, draw_state(feed, self.batch, seed)
        return draw_inputs(feed, DATA[self.data](self.chars, steps or self.steps, self.batch, seed), seed), None

    def params(self, kernel: kernels.Kernel, seed: int, **start: Any) -> Arrays:
        """Return initial parameters of a seed, drawn as `initialise` does; "all_biases" is a value for each bias."""
        start = dict(start)
        if "all_biases" in start:
            value = start.pop("all_biases")
            names = [name for name in kernel.cell.params if is_bias(kernel.derivation, Symbol(name))]
            start["biases"] = dict.fromkeys(names, value)
        return initialise(kernel.derivation, self.feed(kernel).sizes, seed=seed, **start)

    def measured(self, kernel: kernels.Kernel, measure: Callable[..., xr.Dataset], **start: Any) -> xr.Dataset:
        """Return a measure for each seed, over (seed, ...) with its own dimensions.

        Args:
            kernel: of the cell.
            measure: of (kernel, params, inputs, state, steps=, seed=), such as `measure_flow`.
            start: how parameters are drawn.
        """
        found = []
        for seed in range(self.seeds):
            inputs, state = self.given(kernel, seed)
            params = self.params(kernel, seed, **start)
            steps = 0 if inputs else self.steps
            found.append(measure(kernel, params, inputs, state, steps=steps, seed=seed))
        return xr.concat(found, "seed", combine_attrs="drop").assign_coords(seed=np.arange(self.seeds))

    def flow(self, kernel: kernels.Kernel, **start: Any) -> xr.DataArray:
        """Return the mean log norm over the batch against lag, natural log, (seed, lag).

        inf where a state overflows on the way: the run has exploded.

        Args:
            kernel: of the cell.
            start: how parameters are drawn.
        """
        return self.measured(kernel, _mean_flow, **start).log_norm

    def growth(self, kernel: kernels.Kernel, **start: Any) -> xr.DataArray:
        """Return how fast the gradient grows per step back, natural log per step, over (seed,): see `slope`."""
        return slope(self.flow(kernel, **start))


def _mean_flow(
    kernel: kernels.Kernel, params: Arrays, inputs: Arrays, state: Arrays | None, *, steps: int, seed: int
) -> xr.Dataset:
    flow = measure_flow(kernel, params, inputs, state, steps=steps, seed=seed)
    return over_batch(flow[["log_norm"]])


def slope(flow: xr.DataArray) -> xr.DataArray:
    """Return the mean growth per step over the second half of the lags, where the first directions are forgotten.

    −inf where the gradient is exactly zero by then, inf where it is past the largest float.

    >>> lag = np.arange(9)
    >>> float(slope(xr.DataArray(-0.5 * lag, {"lag": lag})))
    -0.5
    """
    last = flow.sizes["lag"] - 1
    middle = last // 2
    late, early = flow.isel(lag=last), flow.isel(lag=middle)
    steady = (late - early.where(np.isfinite(early), 0)) / (last - middle)
    return steady.where(np.isfinite(late), late).drop_vars("lag", errors="ignore")


def functions_of(cell: Cell) -> list[str]:
    """Return the names of the elementwise functions in a cell's equations, in the order in which they occur.

    >>> from ...derive.cell import load
    >>> functions_of(load("lstm"))
    ['sigmoid', 'tanh']
    """
    nodes = (node for line in cell.equations for node in sympy.preorder_traversal(line.written))
    return list(dict.fromkeys(node.rule.name for node in nodes if isinstance(node, Elementwise)))
