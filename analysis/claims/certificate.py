"""Checks of the very run whose numbers are reported: each a number beside its tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ... import kernels
from ...derive.errors import Error
from ...derive.functions import FUNCTIONS
from ..data import random_stream
from ..inputs import draw_state
from ..lyapunov_exponents import measure_lyapunov
from ..precision import measure_precision
from ..trajectories import two_trajectories
from .bench import Arrays, Bench, functions_of

TRANSPOSE = 1e-9  # of sums over hundreds of steps in float64
VOLUME = 1e-6  # of Jacobians with condition numbers up to about 1e8
TRAJECTORIES = 1e-6  # of central differences in float64 over smooth steps
FLOOR = 0.01  # of gradients in float32 after hundreds of steps
MOST_STATES = 512  # entries of a full state whose volume is followed


@dataclass(frozen=True)
class Check:
    """Attributes:
    name: what was checked, such as "transpose".
    cell: of which cell.
    error: what was found: how far apart two numbers are that should agree.
    tolerance: the largest error that passes.
    """

    name: str
    cell: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the error is within its tolerance; an error that is no number isn't."""
        return not math.isnan(self.error) and self.error <= self.tolerance


def certify(bench: Bench, compiled: Sequence[kernels.Kernel]) -> list[Check]:
    """Check the kernels of a run on its own data; a run that overflows passes no check.

    >>> from ...derive.cell import load
    >>> checks = certify(Bench(hidden=4, steps=9, batch=2, seeds=1), [kernels.compile(load("rnn"))])
    >>> {check.name: check.holds for check in checks}
    {'transpose': True, 'volume': True, 'trajectories': True, 'floor': True}
    """
    found = []
    for kernel in compiled:
        for name, (measure, tolerance) in CHECKS.items():
            try:
                with np.errstate(all="ignore"):
                    error = measure(bench, kernel)
            except Error:
                error = math.inf
            if error is not None:
                found.append(Check(name, kernel.cell.name, error, tolerance))
    return found


def transpose(bench: Bench, kernel: kernels.Kernel) -> float:
    """Forward and backward pass are transposes: ⟨v, J u⟩ = ⟨Jᵀ v, u⟩ over all steps, for random u and v.

    J is the derivative of the last state by the first, u goes through the tangents and v through the gradients. The
    error is relative to ‖v‖ ‖J u‖, largest over the batch.
    """
    params, inputs, _, steps = _given(bench, kernel)
    start = draw_state(bench.feed(kernel), bench.batch, 0)
    given = (steps, bench.batch) if steps else (None, None)
    run = kernel.forward(params, inputs, start, steps=given[0], batch=given[1])
    ahead = {name: array[:, None] for name, array in _directions(start, "ahead").items()}
    moved = {name: array[-1, :, 0] for name, array in kernel.tangent(run, ahead).items()}
    back = _directions(start, "back")
    seeds = {name: np.zeros((bench.steps, *array.shape)) for name, array in back.items()}
    for name, array in back.items():
        seeds[name][-1] = array
    gradients = kernel.backward(run, seeds).state
    one = sum(_products(back[name], moved[name]) for name in back)
    other = sum(_products(gradients[name], ahead[name][:, 0]) for name in back)
    lengths = [np.sqrt(sum(_products(part[name], part[name]) for name in part)) for part in (back, moved)]
    error = np.abs(one - other) / np.maximum(lengths[0] * lengths[1], np.finfo(float).tiny)
    return float(error.max())


def volume(bench: Bench, kernel: kernels.Kernel) -> float | None:
    """Trace identity: at each step the log stretching of all directions sums to ln|det J|, which LU gives.

    Of the first sequence. Nothing where the Jacobian is singular at every step, so that there is no volume to compare,
    nor for a very large state.
    """
    params, inputs, state, steps = _given(bench, kernel)
    inputs = {name: values[:, :1] for name, values in inputs.items()}
    state = state and {name: values[:1] for name, values in state.items()}
    if sum(values[0].size for values in draw_state(bench.feed(kernel), 1, 0).values()) > MOST_STATES:
        return None
    found = float(measure_lyapunov(kernel, params, inputs, state, steps=steps).volume_error[0])
    return None if math.isnan(found) else found


def trajectories(bench: Bench, kernel: kernels.Kernel) -> float | None:
    """A direction grows by the tangents as it does between two neighbouring trajectories, which know no derivative.

    Nothing for a cell with a kink in one of its functions: a trajectory on the other side of it grows otherwise.
    """
    if any(FUNCTIONS[name].rule.kink for name in functions_of(kernel.cell)):
        return None
    params, inputs, state, steps = _given(bench, kernel)
    return float(two_trajectories(kernel, params, inputs, state, steps=steps).difference.max())


def floor(bench: Bench, kernel: kernels.Kernel) -> float:
    """Float32 gives the gradients of float64, down to the smallest number that float32 holds with all its digits."""
    params, inputs, state, steps = _given(bench, kernel)
    found = measure_precision(kernel, params, inputs, state, steps=steps)
    above = found.log_norm.sel(precision="float64") > found.attrs["floor_normal"] - math.log(np.finfo(np.float32).eps)
    return float(found.relative_error.where(above, 0).max())


def _given(bench: Bench, kernel: kernels.Kernel) -> tuple[Arrays, Arrays, Arrays | None, int]:
    """Return parameters, inputs, initial state and steps of the first seed, the latter two without inputs only."""
    inputs, state = bench.given(kernel, 0)
    return bench.params(kernel, 0), inputs, state, 0 if inputs else bench.steps


def _directions(like: dict[str, np.ndarray], purpose: str) -> dict[str, np.ndarray]:
    return {name: random_stream(0, f"{purpose} {name}").standard_normal(array.shape) for name, array in like.items()}


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the inner product of each sample, (B,)."""
    return np.asarray((left * right).reshape(len(left), -1).sum(axis=1))


CHECKS: dict[str, tuple[Callable[[Bench, kernels.Kernel], float | None], float]] = {
    "transpose": (transpose, TRANSPOSE),
    "volume": (volume, VOLUME),
    "trajectories": (trajectories, TRAJECTORIES),
    "floor": (floor, FLOOR),
}
