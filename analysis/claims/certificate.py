"""Checks of the very run whose numbers are reported: each a number beside its tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ... import kernels
from ...derive.functions import FUNCTIONS
from ..data import random_stream
from ..gradient_flow import measure_flow
from ..inputs import draw_state
from ..lyapunov_exponents import measure_lyapunov
from ..precision import measure_precision
from ..running import Overflow, run_cell
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
    error: what was found: how far apart two numbers are that should agree; nan where runs overflow, so that there
        was nothing to compare.
    tolerance: the largest error that passes.
    """

    name: str
    cell: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool | None:
        """Whether the error is within its tolerance; None where nothing was measured."""
        return None if math.isnan(self.error) else self.error <= self.tolerance


def certify(bench: Bench, compiled: Sequence[kernels.Kernel]) -> list[Check]:
    """Check the kernels of a run on its own data; where that overflows, nothing is measured.

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
                    error = math.inf if error is not None and math.isnan(error) else error
            except Overflow:
                error = math.nan
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
    run = run_cell(kernel, params, inputs, start, steps)
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
    _refuse_overflow(lengths[1])
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
    measured = measure_lyapunov(kernel, params, inputs, state, steps=steps)
    _refuse_overflow(measured.exponent.where(measured.overflow > 0, 0).values)
    found = float(measured.volume_error[0])
    return None if math.isnan(found) else found


def trajectories(bench: Bench, kernel: kernels.Kernel) -> float | None:
    """A direction grows by the tangents as it does between two neighbouring trajectories, which know no derivative.

    Nothing for a cell with a kink in one of its functions: a trajectory on the other side of it grows otherwise.
    """
    if any(FUNCTIONS[name].rule.kink for name in functions_of(kernel.cell)):
        return None
    params, inputs, state, steps = _given(bench, kernel)
    found = two_trajectories(kernel, params, inputs, state, steps=steps)
    _refuse_overflow(found.trajectory.values)
    return float(found.difference.max())


def floor(bench: Bench, kernel: kernels.Kernel) -> float:
    """Float32 gives the gradients of float64, from the smallest number that it holds with all its digits on."""
    params, inputs, state, steps = _given(bench, kernel)
    found = measure_precision(kernel, params, inputs, state, steps=steps)
    exact, single = measure_flow(kernel, params, inputs, state, steps=steps).log_norm, np.finfo(np.float32)
    above = exact > found.attrs["floor_normal"] - math.log(single.eps)
    beyond = (exact > math.log(single.max) - 1) & (exact < math.inf)
    return float(found.relative_error.where(above & ~beyond, 0).max())


def _refuse_overflow(grown: np.ndarray) -> None:
    """Refuse what has left the range of floats on its way: there is nothing to compare then."""
    if not np.isfinite(grown).all():
        raise Overflow("what grows along the run leaves the range of floats")


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
