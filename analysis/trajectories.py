"""Growth of small differences by trajectories, which know no derivative: a check of the tangents."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .. import kernels
from .course import Course, course, full_state, onward
from .lyapunov_exponents import PER_STEP
from .running import Arrays, Overflow, directions

TRAJECTORIES = (
    "mean log growth of a random direction: by the tangent kernel, and by two trajectories that start each step at a "
    "small distance on either side of the reference, drawn back to it after every step"
)


def two_trajectories(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
) -> xr.Dataset:
    """Measure how a direction grows by tangents, and by differences of trajectories that know no derivative.

    Both carry the same direction through the same steps and scale it to norm 1 after each.

    Args:
        kernel: of the cell.
        params: name -> array, in the kernel's dtype.
        inputs: name -> (T, B, ...); empty for a cell without inputs.
        state: initial state, name -> (B, ...); zeros where omitted. A cell without inputs takes B from it.
        steps: T, for a cell without inputs only.
        seed: of the first direction.

    Returns:
        `tangent` and `trajectory`, the mean log growth in natural log per step, and the largest `difference` at any
        step, in natural log, over (sample,). Where smooth states are of order 1, the difference is about 1e-10 in
        float64 and 1e-4 in float32, over the growth in that step.

    Raises:
        Error: as `measure_flow` does, and when states overflow.

    >>> from ..derive.cell import load
    >>> kernel = kernels.compile(load("henon"))
    >>> found = two_trajectories(kernel, {}, {}, {"x": np.array([0.1]), "y": np.array([0.1])}, steps=200)
    >>> bool(found.difference < 1e-8)
    True
    """
    way = course(kernel, params, inputs, state, steps)
    tangents, trajectories = [], []
    vectors: NDArray[np.floating] = np.empty(0)
    moved = np.empty(0)
    before: Arrays = {}
    for piece in onward(way):
        states = piece.run.states
        _refuse_overflow(piece.overflow)
        if not before:
            drawn = full_state(directions(states, 1, seed)).swapaxes(0, 1)
            vectors, moved = drawn, drawn[:, 0].astype(float)
            before = {name: way.start.get(name, np.zeros_like(values[0])) for name, values in states.items()}
        growth, vectors = kernel.stretch(piece.run, vectors)
        tangents.append(growth[..., 0].astype(float))
        for t in range(len(growth)):
            given = {name: values[piece.first + t] for name, values in way.inputs.items()}
            found, moved = _difference(way, given, before, moved)
            trajectories.append(found)
            before = {name: values[t] for name, values in states.items()}
    with np.errstate(divide="ignore"):
        ours, theirs = np.log(np.concatenate(tangents)), np.log(np.stack(trajectories))
    made = {
        "tangent": ours.mean(axis=0),
        "trajectory": theirs.mean(axis=0),
        "difference": abs(ours - theirs).max(axis=0),
    }
    texts = {
        "tangent": "growth by tangents",
        "trajectory": "growth by trajectories",
        "difference": "largest difference",
    }
    variables = {name: ("sample", made[name], {"long_name": texts[name], **PER_STEP}) for name in texts}
    return xr.Dataset(variables, attrs={"method": TRAJECTORIES, "seed": seed})


def _refuse_overflow(overflow: NDArray[np.int_]) -> None:
    if overflow.any():
        raise Overflow(f"the states overflow at step {overflow[overflow > 0].min()}: there is nothing to compare")


def _difference(
    way: Course, inputs: Arrays, before: Arrays, direction: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far one step carries a direction, (B,), by a central difference, and the direction after it."""
    size = np.linalg.norm(full_state({name: values[None] for name, values in before.items()})[0], axis=1, keepdims=True)
    distance = float(np.finfo(way.dtype).eps) ** (1 / 3) * (1 + size)
    twice = {name: np.concatenate([values, values])[None] for name, values in inputs.items()}
    steps, batch = (None, None) if twice else (1, 2 * way.batch)
    run = way.kernel.forward(way.params, twice, _beside(before, distance * direction), steps=steps, batch=batch)
    above, below = np.split(full_state(run.states)[0].astype(float), 2)
    apart = (above - below) / (2 * distance)
    norm = np.linalg.norm(apart, axis=1, keepdims=True)
    return norm[:, 0], apart / np.where(norm > 0, norm, 1)


def _beside(state: Arrays, offset: NDArray[np.float64]) -> dict[str, NDArray[np.floating]]:
    """Return states on either side of some, name -> (2 B, ...)."""
    ends = np.cumsum([values[0].size for values in state.values()])
    parts = np.split(offset, ends[:-1], axis=1)
    return {
        name: np.concatenate([values + sign * part.reshape(values.shape) for sign in (1, -1)]).astype(values.dtype)
        for (name, values), part in zip(state.items(), parts, strict=True)
    }
