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
from ...derive.errors import Error
from ...derive.functions import Elementwise
from ...kernels.initial import is_bias
from ..data import DATA, Characters, text
from ..gradient_flow import measure_flow
from ..inputs import draw_inputs, draw_state, plan_feed

Params = dict[str, NDArray[np.floating]]
Change = Callable[[kernels.Kernel, Params, int], Params]  # (kernel, parameters as drawn, seed) -> parameters


@dataclass(frozen=True)
class Bench:
    """Attributes:
    hidden, steps, batch, seeds: N of each state, T, sequences per seed, and their number.
    level: coverage of intervals.
    data: kind of data, as `flow_study` has it.
    chars: the text.
    tick: called after each measurement.
    """

    hidden: int = 64
    steps: int = 100
    batch: int = 8
    seeds: int = 10
    level: float = 0.95
    data: str = "text"
    chars: Characters = field(default_factory=text, repr=False)
    tick: Callable[[], None] = field(default=lambda: None, repr=False)

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

    def flow(self, kernel: kernels.Kernel, *, gain: float = 1.0, change: Change | None = None) -> xr.DataArray:
        """Return the mean log norm over the batch against lag, natural log, (seed, lag).

        inf where a state overflows on the way: the run has exploded.

        Args:
            kernel: of the cell.
            gain: of the initial weights.
            change: what to do to the parameters of a seed before they are used.
        """
        curves = np.empty((self.seeds, self.steps + 1))
        feed = plan_feed(kernel.cell, len(self.chars.vocabulary), {}, self.hidden)
        for seed in range(self.seeds):
            params = kernel.init(feed.sizes, seed=seed, gain=gain)
            if change:
                params = change(kernel, params, seed)
            indices = DATA[self.data](self.chars, self.steps, self.batch, seed)
            inputs = draw_inputs(feed, indices, seed) if kernel.cell.inputs else {}
            state = None if inputs else draw_state(feed, self.batch, seed)
            curves[seed] = _mean_flow(kernel, params, inputs, state, self.steps, seed)
            self.tick()
        return xr.DataArray(curves, {"seed": np.arange(self.seeds), "lag": np.arange(self.steps + 1)})

    def growth(self, kernel: kernels.Kernel, *, gain: float = 1.0, change: Change | None = None) -> xr.DataArray:
        """Return how fast the gradient grows per step back, natural log per step, over (seed,): see `slope`."""
        return slope(self.flow(kernel, gain=gain, change=change))


def _mean_flow(
    kernel: kernels.Kernel, params: Params, inputs: Any, state: Any, steps: int, seed: int
) -> NDArray[np.float64]:
    try:
        flow = measure_flow(kernel, params, inputs, state, steps=0 if inputs else steps, seed=seed)
    except Error as error:
        if "overflows" not in str(error):
            raise
        return np.concatenate([[0.0], np.full(steps, np.inf)])
    with np.errstate(invalid="ignore"):  # −inf + inf, where one sequence vanishes and another explodes
        return np.asarray(flow.log_norm.values.mean(axis=0))


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


def biased(value: float) -> Change:
    """Return a change that sets every bias of a cell: each parameter that only ever stands as a term in sums."""

    def change(kernel: kernels.Kernel, params: Params, seed: int) -> Params:
        return {
            name: np.full_like(array, value) if is_bias(kernel.derivation, Symbol(name)) else array
            for name, array in params.items()
        }

    return change


def functions_of(cell: Cell) -> list[str]:
    """Return the names of the elementwise functions in a cell's equations, in the order in which they occur.

    >>> from ...derive.cell import load
    >>> functions_of(load("lstm"))
    ['sigmoid', 'tanh']
    """
    nodes = (node for line in cell.equations for node in sympy.preorder_traversal(line.written))
    return list(dict.fromkeys(node.rule.name for node in nodes if isinstance(node, Elementwise)))
