"""A run over any number of steps, a piece at a time, so that memory stays small; overflow is noted, never spread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..derive.errors import Error, expect
from .running import Arrays, flat, overflow_steps, refuse_not_finite

ENTRIES = 2**23  # of the states in one piece; a piece holds about ten values for each


@dataclass(frozen=True)
class Course:
    """What a measurement runs through, checked.

    Attributes:
        kernel: of the cell.
        params: name -> array.
        inputs: name -> (T, B, ...).
        start: state -> (B, ...), or nothing where it is zero.
        steps, batch: T and B.
    """

    kernel: kernels.Kernel
    params: Arrays
    inputs: Arrays
    start: Arrays
    steps: int
    batch: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """In which the kernel computes."""
        return self.kernel.dtype


@dataclass(frozen=True)
class Piece:
    """Neighbouring steps of a course.

    Attributes:
        first: number of steps before it.
        run: of these steps.
        overflow: (B,), the step, counted from 1 over the whole course, after which a state isn't finite any more; 0
            where all are. From then on the run of that sample means nothing.
    """

    first: int
    run: Any
    overflow: NDArray[np.int_]


def course(kernel: kernels.Kernel, params: Arrays, inputs: Arrays, state: Arrays | None, steps: int) -> Course:
    """Check what is given to a measurement.

    Raises:
        Error: where a value isn't finite, or nothing says how long to run.
    """
    if not hasattr(kernel, "forward"):
        expect("what is measured", kernel, kernels.Kernel)
    state = {} if state is None else state
    refuse_not_finite(params, inputs, state)
    if inputs:
        lead = np.shape(next(iter(inputs.values())))[:2]
        if len(lead) == 2:
            return Course(kernel, params, inputs, state or {}, *lead)
        kernel.forward(params, inputs, state)  # it says what is wrong
    if not state or steps <= 0:
        raise Error("without inputs nothing says how long to run: give steps and an initial state")
    return Course(kernel, params, {}, state, steps, len(next(iter(state.values()))))


def shortened(course: Course, steps: int, samples: NDArray[np.int_]) -> Course:
    """Return the first steps of some samples of a course."""
    inputs = {name: np.ascontiguousarray(values[:steps, samples]) for name, values in course.inputs.items()}
    start = {name: values[samples] for name, values in course.start.items()}
    return replace(course, inputs=inputs, start=start, steps=steps, batch=len(samples))


def onward(course: Course) -> Iterator[Piece]:
    """Run through a course, from its first step to its last.

    >>> from ..derive.cell import load
    >>> kernel = kernels.compile(load("rnn"))
    >>> params = kernel.init({"m": 5, "n": 7})
    >>> long = course(kernel, params, {"x": np.zeros((30_000, 50, 5))}, None, 0)
    >>> [(piece.first, piece.run.steps) for piece in onward(long)]
    [(0, 23967), (23967, 6033)]
    """
    start, overflow = course.start, np.zeros(course.batch, int)
    together = _together(course)
    for first in range(0, max(1, course.steps), together):
        run = _run(course, first, min(first + together, course.steps), start)
        here = overflow_steps(run.states)
        overflow = np.where((overflow == 0) & (here > 0), first + here, overflow)
        yield Piece(first, run, overflow)
        start = {name: _kept(values[-1], overflow) for name, values in run.states.items()}


def back(course: Course) -> Iterator[Piece]:
    """Run through a course, and give its last piece first; where there are several, all run twice.

    The overflow of each piece is that of the whole course.
    """
    starts: list[tuple[int, int, Arrays]] = []
    start: Arrays = course.start
    for piece in onward(course):
        starts.append((piece.first, piece.first + len(next(iter(piece.run.states.values()))), start))
        start = {name: _kept(values[-1], piece.overflow) for name, values in piece.run.states.items()}
    if len(starts) == 1:
        yield piece
        return
    overflow = piece.overflow
    for first, last, start in reversed(starts):
        yield Piece(first, _run(course, first, last, start), overflow)


def _together(course: Course) -> int:
    """Return how many steps a piece has."""
    if course.steps <= 64:
        return 64
    sizes = _run(course, 0, 1, course.start).states.values()
    return max(64, ENTRIES // max(1, sum(np.size(values) for values in sizes)))


def _run(course: Course, first: int, last: int, start: Arrays) -> Any:
    inputs = {name: values[first:last] for name, values in course.inputs.items()}
    with np.errstate(over="ignore", invalid="ignore"):
        if inputs:
            return course.kernel.forward(course.params, inputs, start or None)
        return course.kernel.forward(course.params, {}, start, steps=last - first, batch=course.batch)


def _kept(values: NDArray[np.floating], overflow: NDArray[np.int_]) -> NDArray[np.floating]:
    """Return states from which to go on: zero for samples that have overflowed."""
    kept = values.copy()
    kept[overflow > 0] = 0
    return kept


def full_state(states: Arrays) -> NDArray[np.floating]:
    """Return the entries of all states side by side, (T, B, N), of name -> (T, B, ...).

    >>> full_state({"h": np.zeros((4, 2, 3)), "c": np.ones((4, 2))}).shape
    (4, 2, 4)
    """
    parts = [flat(values) for values in states.values()]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
