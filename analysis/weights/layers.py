"""Recurrent layers with trained weights: what every file of weights becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sympy import Symbol

from ...derive.cell import Cell
from ...derive.interpret import size
from ...kernels import Kernel, Run, compile
from ..running import first_step, not_finite

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Layer:
    """One recurrent layer in one direction of time.

    Attributes:
        name: as the file calls it.
        cell: its equations.
        params: parameter of the cell -> array, float64.
        reverse: whether it runs from the last step to the first.
    """

    name: str
    cell: Cell
    params: dict[str, Array]
    reverse: bool = False

    @property
    def output(self) -> str:
        """The state that layers above read."""
        return next(iter(self.cell.states))

    @property
    def width(self) -> int:
        """The number of entries of the input."""
        [name] = self.cell.inputs
        return self.entries(name)

    @property
    def sizes(self) -> dict[str, int]:
        """The size of each dimension of the cell."""
        return sizes_in(self.cell, self.params)

    def entries(self, name: str) -> int:
        """Return the length of an input or a state, a vector."""
        [length] = self.cell.shapes[Symbol(name)]
        return size(length, self.sizes)


@dataclass(frozen=True)
class Stack:
    """Layers of which each reads the one below; at each depth one, or two in both directions of time.

    Attributes:
        name: as the file calls it; may be empty.
        depths: from the input on: layers that read the same.
        merge: how the outputs at one depth become one: "concat", "sum", "mul" or "ave".
    """

    name: str
    depths: tuple[tuple[Layer, ...], ...]
    merge: str = "concat"


@dataclass(frozen=True)
class Trained:
    """What a file of weights holds.

    Attributes:
        source: of the weights: a path, or "state dict".
        framework: whose conventions were read.
        stacks: recurrent layers; one stack isn't known to read another.
        embedding: learned table of input vectors, (entries, m), where there is one that fits the first layer.
        notes: what was taken for granted, in sentences.
    """

    source: str
    framework: str
    stacks: tuple[Stack, ...]
    embedding: Array | None = None
    notes: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, from the first stack's input on."""
        return tuple(layer for stack in self.stacks for depth in stack.depths for layer in depth)

    @property
    def cells(self) -> list[Cell]:
        """The cell of each layer, called as the layer is."""
        return [replace(layer.cell, name=layer.name) for layer in self.layers]

    def __str__(self) -> str:
        lines = [
            f"{self.source}: {len(self.layers)} recurrent layer{'s' * (len(self.layers) != 1)} of {self.framework}"
        ]
        for layer in self.layers:
            states = ", ".join(f"{name} {layer.entries(name)}" for name in layer.cell.states)
            way = ", from the last step to the first" if layer.reverse else ""
            lines.append(f"  {layer.name}: {layer.cell.title or 'cell'}, input {layer.width}, {states}{way}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def sizes_in(cell: Cell, params: Mapping[str, Array]) -> dict[str, int]:
    """Return the size of each dimension, as the first parameter that has it says.

    >>> import bptt
    >>> sizes_in(bptt.load("rnn"), {"W_hh": np.eye(4), "W_xh": np.ones((4, 3))})
    {'n': 4, 'm': 3}
    """
    sizes: dict[str, int] = {}
    for name, shape in cell.params.items():
        if name in params:
            for dimension, number in zip(shape, params[name].shape, strict=False):
                sizes.setdefault(dimension, number)
    return sizes


MERGES: dict[str, Callable[[list[Array]], Array]] = {
    "concat": lambda outputs: np.concatenate(outputs, axis=-1),
    "sum": lambda outputs: np.sum(outputs, axis=0),
    "mul": lambda outputs: np.prod(outputs, axis=0),
    "ave": lambda outputs: np.mean(outputs, axis=0),
}


def run_stack(stack: Stack, x: Array) -> Iterator[tuple[Layer, Kernel, Array, NDArray[np.int_], Run]]:
    """Run a stack from its input to its top, and give each layer with its kernel, its input and its run.

    Args:
        stack: of layers.
        x: (T, B, m), float64.

    Yields:
        With them, the step of the layer, counted from 1 in its own direction of time, from which on what a sequence
        reads has overflowed below, and is 0 instead; 0 where it hasn't, (B,).

    >>> import bptt
    >>> rng = np.random.default_rng(0)
    >>> arrays = {f"weight_{at}h_l0": rng.standard_normal((8, n)) for at, n in (("i", 3), ("h", 2))}
    >>> [stack] = bptt.from_torch(arrays).stacks
    >>> for layer, kernel, x, lost, run in run_stack(stack, rng.standard_normal((5, 4, 3))):
    ...     print(layer.name, x.shape, run.states[layer.output].shape)
    l0 (5, 4, 3) (5, 4, 2)
    """
    lost = np.zeros(x.shape[:2], bool)
    for depth in stack.depths:
        outputs, gone = [], np.zeros_like(lost)
        for layer in depth:
            kernel = compile(layer.cell)
            [name] = layer.cell.inputs
            onward = slice(None, None, -1 if layer.reverse else 1)
            with np.errstate(over="ignore", invalid="ignore"):
                run = kernel.forward(layer.params, {name: x}, reverse=layer.reverse)
            outputs.append(run.states[layer.output])
            gone |= np.logical_or.accumulate((lost | not_finite(run.states))[onward])[onward]
            yield layer, kernel, x, first_step(lost[onward]), run
        with np.errstate(over="ignore", invalid="ignore"):
            merged = outputs[0] if len(outputs) == 1 else MERGES[stack.merge](outputs)
        lost = gone | not_finite({"x": merged})
        x = np.ascontiguousarray(np.where(lost[..., None], 0, merged))
