"""Long sequences in little memory: every k-th state is kept, and all else is computed again on the way back.

A segment of `keep` steps runs as a sequence of its own, from the state before it. Forward, its values are dropped when
the next begins; backward, the segments run once more from the last to the first, each followed by its own way back.
What is asked of such a run, or of its gradients, beside that is computed again when it is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .budget import bounds
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
        steps, batch: T and B.
        params, inputs: as given.
        before: state -> (segments + 1, B, *shape), the state before each segment, and at last that behind all.
        active: 1 for each step and sample that a sequence reaches; empty where all are.
        forward: (inputs, initial state, steps, active) -> the run of a segment.
    """

    keep: int
    steps: int
    batch: int
    params: Arrays
    inputs: Arrays
    before: Arrays
    active: Array
    forward: Forward

    def run(self, number: int) -> tuple[slice, Run]:
        """Run one segment: (its steps, its run)."""
        first, last = bounds(self.steps, self.keep)[number]
        inputs = {name: array[first:last] for name, array in self.inputs.items()}
        active = self.active[first * self.batch : last * self.batch] if len(self.active) else self.active
        start = {name: array[number] for name, array in self.before.items()}
        return slice(first, last), self.forward(inputs, start, last - first, active)

    def runs(self, back: bool = False) -> Iterator[tuple[slice, Run]]:
        """Run all segments, one at a time, from the first or from the last."""
        numbers = range(len(bounds(self.steps, self.keep)))
        return map(self.run, reversed(numbers) if back else numbers)


def run_in_segments(segments: Segments, sizes: Mapping[str, int], values: tuple[str, ...], reverse: bool) -> Run:
    """Run a sequence segment by segment, and keep the states between them.

    Args:
        segments: of the sequence; all states but the first of `before` are filled in.
        sizes: dimension -> size.
        values: names of what a run holds for each step.
        reverse: whether time runs backwards.
    """
    for steps, run in segments.runs():
        for name, array in segments.before.items():
            array[steps.start // segments.keep + 1] = run.states[name][-1]
        del run  # its memory serves the next segment

    def look_up(name: str) -> Array:
        found: list[Array] = []
        for steps, run in segments.runs():
            array = run.values[name]
            found = found or [np.empty((segments.steps, *array.shape[1:]), array.dtype)]
            found[0][steps] = array
            del array, run
        return found[0][::-1] if reverse else found[0]

    held = sum(array.nbytes for array in segments.before.values())
    states, all_values = Views(segments.before, look_up), Views(values, look_up)
    return Run(sizes, segments.steps, segments.batch, {}, states, all_values, reverse, held, segments)


def back_in_segments(run: Run, segments: Segments, seeds: Arrays, backward: Backward) -> Gradients:
    """Carry gradients back through a run that kept every k-th state; seeds are in the order of the run."""

    def back() -> Iterator[tuple[slice, Gradients]]:
        carried: dict[str, Array] = {}
        for steps, again in segments.runs(back=True):
            own = {name: array[steps] for name, array in seeds.items()}
            for name, array in carried.items():
                own[name] = own[name].copy() if name in own else np.zeros_like(again.states[name])
                own[name][-1] += array
            grads = backward(again, own)
            carried = {name: array.copy() for name, array in grads.state.items()}
            del again
            yield steps, grads
            del grads

    def look_up(name: str) -> Array:
        found = np.empty((segments.steps, *segments.before[name].shape[1:]), segments.before[name].dtype)
        for steps, grads in back():
            found[steps] = grads.states[name]
        return found[::-1] if run.reverse else found

    params = {name: np.zeros_like(array) for name, array in segments.params.items()}
    inputs: dict[str, Array] = {}
    state: Arrays = {}
    for steps, grads in back():
        for name in params:
            params[name] += grads.params[name]
        for name in grads.inputs:
            if name not in inputs:
                inputs[name] = np.empty_like(segments.inputs[name])
            inputs[name][steps] = grads.inputs[name]
        state = {name: array.copy() for name, array in grads.state.items()}
        del grads  # their memory serves the next segment
    if run.reverse:
        inputs = {name: array[::-1] for name, array in inputs.items()}
    return Gradients(params, inputs, state, Views(segments.before, look_up))
