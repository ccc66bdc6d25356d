"""Running a cell for a measurement: forward with what isn't finite refused, and gradients that start somewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..derive.errors import Error, expect
from ..kernels.room import check_copied
from .data import random_stream

Arrays = Mapping[str, NDArray[np.floating]]
Cotangents = dict[str, NDArray[np.floating]]
Loss = Callable[[Arrays, int], Cotangents]


class Overflow(Error):
    """A run leaves the range of floats, so that nothing can be measured.

    Attributes:
        steps: of each sequence, the step after which a state isn't finite, 0 where all are; empty where it isn't a
            state that overflows.
    """

    steps: tuple[int, ...] = ()


def run_cell(
    kernel: kernels.Kernel, params: Arrays, inputs: Arrays, state: Arrays | None = None, steps: int = 0
) -> kernels.Run:
    """Run a cell forward over a batch of sequences.

    Args:
        kernel: of the cell.
        params: name -> array, in the kernel's dtype.
        inputs: name -> (T, B, ...); empty for a cell without inputs.
        state: initial state, name -> (B, ...); zeros where omitted. A cell without inputs takes B from it.
        steps: T, for a cell without inputs only.

    Raises:
        Error: when a parameter, an input or the initial state isn't finite, when the states overflow on the
            way (`Overflow`), or when a cell without inputs is given no steps or no initial state.

    >>> from ..derive.cell import parse
    >>> kernel = kernels.compile(parse("h: state\\nh = a * h"))
    >>> run = run_cell(kernel, {"a": np.array(0.5)}, {}, {"h": np.ones(1)}, steps=3)
    >>> run.states["h"][:, 0].tolist()
    [0.5, 0.25, 0.125]
    """
    refuse_not_finite(params, inputs, state or {})
    if inputs:
        run = kernel.forward(params, inputs, state)
    elif steps > 0 and state:
        run = kernel.forward(params, inputs, state, steps=steps, batch=len(next(iter(state.values()))))
    else:
        raise Error("without inputs nothing says how long to run: give steps and an initial state")
    for name, values in run.states.items():
        if not np.isfinite(values).all():
            first = 1 + int(np.argwhere(~np.isfinite(values))[0, 0])
            advice = "Try a smaller gain, fewer steps or smaller inputs."
            error = Overflow(f"the state '{name}' overflows at step {first} of {len(values)}. {advice}")
            error.steps = tuple(overflow_steps(run.states).tolist())
            raise error
    return run


def overflow_steps(states: Arrays) -> NDArray[np.int_]:
    """Return for each sequence the step, counted from 1, after which a state isn't finite; 0 where all are.

    >>> overflow_steps({"h": np.array([[1.0, 1.0], [2.0, np.inf], [3.0, np.nan]])})
    array([0, 2])
    """
    return first_step(not_finite(states))


def not_finite(states: Arrays) -> NDArray[np.bool_]:
    """Return where a state isn't finite, (T, B)."""
    return ~np.logical_and.reduce([np.isfinite(flat(values)).all(axis=2) for values in states.values()])


def first_step(holds: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Return for each sequence the first step, counted from 1, at which something holds, (T, B); 0 where it never does.

    >>> first_step(np.array([[False, False], [True, False], [False, False]]))
    array([2, 0])
    """
    return np.where(holds.any(axis=0), 1 + holds.argmax(axis=0), 0) if len(holds) else np.zeros(holds.shape[1], int)


def refuse_not_finite(params: Arrays, inputs: Arrays, state: Arrays) -> None:
    """Refuse values that no gradient can be measured with.

    Raises:
        Error: for the first array that holds NaN or infinity.
    """
    for kind, arrays in {"parameter": params, "input": inputs, "initial state": state}.items():
        expect(f"each {kind} is given by its name: they", arrays, Mapping)
        for name, array in arrays.items():
            check_copied(f"{kind} {name}", np.asarray(array))
            finite = np.isfinite(array)
            if not finite.all():
                bad = np.argwhere(~finite).tolist()
                where = f" at {bad[0]}" if bad[0] else ""
                count = f"{len(bad)} values that aren't" if len(bad) > 1 else "a value that isn't"
                found = f"the {kind} '{name}' holds {count} finite ({np.asarray(array)[tuple(bad[0])]}{where})"
                raise Error(f"{found}. Gradients need finite numbers: mend or drop these.")


def flat(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """(T, B, ...) -> (T, B, number of entries)."""
    return values.reshape(*values.shape[:2], -1)


def at_last_step(states: Arrays, seed: int) -> Cotangents:
    """Return zeros shaped as the states, with a random direction of norm 1 per sequence at the last step.

    The direction is isotropic over the entries of all states.

    >>> found = at_last_step({"h": np.zeros((5, 1, 3))}, seed=0)
    >>> np.linalg.norm(found["h"][:, 0], axis=1).round(12).tolist()
    [0.0, 0.0, 0.0, 0.0, 1.0]
    """
    found = directions(states, 1, seed)
    cotangents = {name: np.zeros_like(values) for name, values in states.items()}
    for name, cotangent in cotangents.items():
        cotangent[-1:] = found[name]
    return cotangents


def at_every_step(states: Arrays, seed: int) -> Cotangents:
    """Return a random direction of norm 1 for each sequence and step, as `at_last_step` draws one.

    >>> found = at_every_step({"h": np.zeros((5, 1, 3))}, seed=0)
    >>> np.linalg.norm(found["h"][:, 0], axis=1).round(12).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    steps = len(next(iter(states.values())))
    found = directions(states, steps, seed)
    return {name: found[name].astype(values.dtype) for name, values in states.items()}


LOSSES: Mapping[str, Loss] = {"last": at_last_step, "every": at_every_step}


def directions(states: Arrays, steps: int, seed: int) -> Cotangents:
    """Return random directions of norm 1 over all states together, name -> (steps, B, ...), float64.

    >>> found = directions({"h": np.zeros((5, 1, 3))}, 1, seed=0)
    >>> found["h"].shape, round(float(np.linalg.norm(found["h"])), 12)
    ((1, 1, 3), 1.0)
    """
    ends = np.cumsum([flat(values).shape[-1] for values in states.values()])
    batch = next(iter(states.values())).shape[1]
    direction = random_stream(seed, "cotangent").standard_normal((steps, batch, ends[-1]))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    parts = zip(np.split(direction, ends[:-1], axis=-1), states.items(), strict=True)
    return {name: part.reshape(steps, *values.shape[1:]) for part, (name, values) in parts}


def log_norm(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ln ‖v‖ over the last axis; scaled, so that squares neither underflow nor overflow.

    >>> round(float(log_norm(np.array([3e-300, 4e-300])) / np.log(5e-300)), 12)
    1.0
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        squares = np.einsum("...i,...i->...", vectors, vectors, dtype=np.float64)
        found = np.asarray(np.log(squares) / 2)
    odd = ~((squares > 1e-200) & (squares < 1e200))
    found[odd] = _log_norm_scaled(vectors[odd])
    return found


def _log_norm_scaled(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ln ‖v‖ of rows (M, N) whose squares would leave the range of floats."""
    largest = np.abs(vectors).max(axis=-1, keepdims=True).astype(np.float64)
    regular = np.isfinite(largest) & (largest > 0)
    squares = (np.where(regular, vectors, 1) / np.where(regular, largest, 1)) ** 2
    found = np.log(np.where(regular, largest, 1))[..., 0] + np.log(squares.sum(axis=-1)) / 2
    return np.where(regular[..., 0], found, np.where(largest[..., 0] == 0, -np.inf, np.inf))
