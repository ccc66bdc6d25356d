"""Long sequences in little memory: the states are kept, and all else is computed again on the way back.

A segment of `keep` steps runs as a sequence of its own, from the state before it. Forward, its values are dropped when
the next begins; backward, the segments run once more from the last to the first, each followed by its own way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .given import Array
from .run import Gradients, Run, Views

Arrays = Mapping[str, Array]
Forward = Callable[[dict[str, Array], dict[str, Array], int, Array], Run]
Backward = Callable[[Run, dict[str, Array]], Gradients]


@dataclass(frozen=True)
class Segments:
    """What it takes to run a sequence again, in the order in which it ran.

    Attributes:
        keep: steps of a segment.
        params, inputs: as given.
        start: the initial state.
        active: 1 for each step and sample that a sequence reaches; empty where all are.
        forward: (parameters and inputs, initial state, steps, active) -> the run of a segment.
    """

    keep: int
    params: Arrays
    inputs: Arrays
    start: Arrays
    active: Array
    forward: Forward

    def bounds(self, steps: int) -> list[tuple[int, int]]:
        """Return the first step of each segment, and the step behind its last."""
        return [(first, min(first + self.keep, steps)) for first in range(0, steps, self.keep)]

    def run(self, first: int, last: int, start: dict[str, Array], batch: int) -> Run:
        """Run one segment."""
        inputs = {name: array[first:last] for name, array in self.inputs.items()}
        active = self.active[first * batch : last * batch] if len(self.active) else self.active
        return self.forward({**self.params, **inputs}, start, last - first, active)


def run_in_segments(segments: Segments, states: dict[str, Array], sizes: Mapping[str, int], reverse: bool) -> Run:
    """Run a sequence segment by segment, into arrays for the states.

    Args:
        segments: of the sequence.
        states: state -> (T, B, *shape), to be filled.
        sizes: dimension -> size.
        reverse: whether time runs backwards.
    """
    steps, batch = next(iter(states.values())).shape[:2]
    start = dict(segments.start)
    for first, last in segments.bounds(steps):
        run = segments.run(first, last, start, batch)
        for name, array in run.states.items():
            states[name][first:last] = array
        start = {name: array[last - 1] for name, array in states.items()}
    shown = {name: array[::-1] if reverse else array for name, array in states.items()}
    return Run(sizes, steps, batch, {}, shown, Views(shown, shown.__getitem__), reverse, segments)


def back_in_segments(run: Run, segments: Segments, seeds: Arrays, backward: Backward) -> Gradients:
    """Carry gradients back through a run of which only the states were kept; seeds are in the order of the run."""
    states = {name: array[::-1] if run.reverse else array for name, array in run.states.items()}
    carried = {name: np.zeros_like(array[0]) for name, array in states.items()}
    params: dict[str, Array] = {name: np.zeros_like(array) for name, array in segments.params.items()}
    inputs: dict[str, Array] = {}
    reached = {name: np.zeros_like(array) for name, array in states.items()}
    for first, last, again in _again(segments, states, run):
        own = {name: array[first:last] for name, array in seeds.items()}
        for name, array in carried.items():
            own[name] = own[name].copy() if name in own else np.zeros_like(states[name][first:last])
            own[name][-1] += array
        grads = backward(again, own)
        carried = {name: array.copy() for name, array in grads.state.items()}
        for name, array in grads.params.items():
            params[name] += array
        for name, array in grads.inputs.items():
            inputs.setdefault(name, np.zeros_like(segments.inputs[name]))[first:last] = array
        for name, array in grads.states.items():
            reached[name][first:last] = array
    if run.reverse:
        inputs = {name: array[::-1] for name, array in inputs.items()}
        reached = {name: array[::-1] for name, array in reached.items()}
    return Gradients(params, inputs, carried, reached)


def _again(segments: Segments, states: Arrays, run: Run) -> Iterator[tuple[int, int, Run]]:
    """Run the segments once more, the last one first."""
    for first, last in reversed(segments.bounds(run.steps)):
        start = {name: array[first - 1] for name, array in states.items()} if first else dict(segments.start)
        yield first, last, segments.run(first, last, start, run.batch)
