"""A model at work on values of any kind: its blocks run over time, and their adjoints back. Slow and plain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from sympy import Symbol

from .adjoint import delta, incoming
from .cell import previous
from .interpret import Array, size
from .model import Block, Model
from .model_derivation import ModelDerivation
from .model_text import STEP, WHOLE, Wire
from .program import Program

Values = dict[Symbol, Array]
Trace = list[Values]  # the values of a block at each of its steps, in the order of time
Execute = Callable[[Program, Values], Values]
Run = Callable[[int, Values], Values]  # (number of a block, what it reads) -> all values after one step


def forward(model: Model, given: Mapping[str, Array], sizes: Mapping[str, int], run: Run, zero: Any = 0) -> list[Trace]:
    """Run all blocks.

    Args:
        model: whose blocks are run.
        given: name -> array of each parameter, input (time first) and index.
        sizes: dimension -> number, the axes of time among them.
        run: carries out one step of a block.
        zero: the number 0, with which states begin that start from nothing.

    Returns:
        The trace of each block.
    """
    traces: list[Trace] = []

    def read(wire: Wire, time: int) -> Array:
        if wire.source in given:
            return given[wire.source][time] if wire.part == STEP else given[wire.source]
        home = model.home(wire.source)
        values = [step[Symbol(wire.source)] for step in traces[home]]
        if wire.part == WHOLE:
            return np.stack(values)
        return values[time] if wire.part == STEP else values[_last(model.blocks[home], len(values))]

    for number, block in enumerate(model.blocks):
        order = list(times(block, sizes))
        trace: Trace = [{} for _ in order]
        states = {
            name: np.full([size(part, sizes) for part in block.cell.shapes[Symbol(name)]], zero)
            if wire is None
            else read(wire, 0)
            for name, wire in block.starts.items()
        }
        for time in order:
            values: Values = {Symbol(name): np.asarray(given[name]) for name in block.cell.params}
            values |= {Symbol(name): np.asarray(read(wire, time)) for name, wire in block.wires.items()}
            values |= {previous(name): np.asarray(state) for name, state in states.items()}
            trace[time] = run(number, values)
            states = {name: trace[time][Symbol(name)] for name in states}
        traces.append(trace)
    return traces


def times(block: Block, sizes: Mapping[str, int]) -> Iterator[int]:
    """Yield the steps of a block, counted from 0, in the order in which they run."""
    steps = range(1 if block.axis is None else size(block.axis, sizes))
    return reversed(steps) if block.reverse else iter(steps)


def _last(block: Block, steps: int) -> int:
    return 0 if block.reverse else steps - 1


def backward(
    derivation: ModelDerivation,
    traces: list[Trace],
    sizes: Mapping[str, int],
    execute: Execute,
    outside: Mapping[str, list[Array]] | None = None,
    zero: Any = 0,
) -> dict[str, Array]:
    """Run all adjoints back.

    Args:
        derivation: of the model.
        traces: from `forward`, with the values of the prologues.
        sizes: dimension -> number.
        execute: carries out a program.
        outside: value -> its gradient at each step from a loss outside the model.
        zero: the number 0.

    Returns:
        The gradient of each parameter and input, time first.
    """
    back = _Back(derivation, traces, sizes, zero)
    for name, arrays in (outside or {}).items():
        back.arriving[name] = list(arrays)
    for number in reversed(range(len(traces))):
        back.through(number, execute)
    return back.found


class _Back:
    def __init__(self, derivation: ModelDerivation, traces: list[Trace], sizes: Mapping[str, int], zero: Any) -> None:
        self.derivation = derivation
        self.model = derivation.model
        self.traces = traces
        self.sizes = sizes
        self.zero = zero
        self.arriving: dict[str, list[Any]] = {}
        self.found: dict[str, Array] = {}
        for name in (*self.model.params, *self.model.inputs):
            self.found[name] = np.full([size(part, sizes) for part in self.model.whole_shape(name)], zero)

    def through(self, number: int, execute: Execute) -> None:
        """Carry a block's adjoints back through all its steps, and send on what its inputs get."""
        block, part, trace = self.model.blocks[number], self.derivation.parts[number], self.traces[number]
        carried: dict[str, Any] = dict.fromkeys(block.starts, self.zero)
        sums: dict[Symbol, Any] = dict.fromkeys(part.fixed, self.zero)
        for time in reversed(list(times(block, self.sizes))):
            values = dict(trace[time])
            for name in (*block.starts, *part.outputs):
                arrived = self.arriving.get(name, [self.zero] * len(trace))[time] + carried.get(name, self.zero)
                values[incoming(Symbol(name))] = np.broadcast_to(arrived, values[Symbol(name)].shape)
            values = execute(part.backward, values)
            carried = {name: values[delta(previous(name))] for name in block.starts}
            sums = {symbol: sums[symbol] + values[delta(symbol)] for symbol in sums}
            for name in block.cell.inputs:
                self.send(block.wires[name], time, values[delta(Symbol(name))])
        for name, wire in block.starts.items():
            if wire is not None:
                self.send(wire, 0, carried[name])
        seeds = {incoming(value): sums[value] for value in part.prologue.outputs}
        last = execute(part.epilogue, {**trace[0], **seeds})
        for name in block.cell.params:
            self.add(name, sums[Symbol(name)] + last.get(delta(Symbol(name)), self.zero))

    def add(self, name: str, bar: Array) -> None:
        """Add to the gradient of a parameter or input."""
        self.found[name] = np.asarray(self.found[name] + bar)

    def send(self, wire: Wire, time: int, bar: Array) -> None:
        """Add an adjoint to what it belongs to: a parameter, an input, or a value of an earlier block."""
        if wire.source in self.found:
            target = self.found[wire.source]
            if wire.part == STEP:
                target[time] = target[time] + bar
            else:
                self.add(wire.source, bar)
            return
        home = self.model.home(wire.source)
        steps = len(self.traces[home])
        arriving = self.arriving.setdefault(wire.source, [self.zero] * steps)
        if wire.part == WHOLE:
            for step in range(steps):
                arriving[step] = arriving[step] + bar[step]
            return
        place = time if wire.part == STEP else _last(self.model.blocks[home], steps)
        arriving[place] = arriving[place] + bar
