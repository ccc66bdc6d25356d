"""What a cell is fed in a study: characters where they fit, Gaussian noise elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..derive.cell import Cell
from .data import Indices, one_hot, random_stream

Arrays = dict[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Feed:
    """How a cell is fed.

    Attributes:
        cell: that is fed.
        reads: the input that takes one-hot characters, or '' where no input can.
        sizes: value of each named dimension of the cell, sorted by name.
    """

    cell: Cell
    reads: str
    sizes: Mapping[str, int]


def plan_feed(cell: Cell, vocabulary: int, sizes: Mapping[str, int], hidden: int) -> Feed:
    """Choose the input that reads characters, and the size of every dimension.

    Characters go to the first vector whose dimension can be the size of the vocabulary: a number equal to it,
    or a name to which `sizes` gives no other value. Dimensions that no state has go first, so that the
    vocabulary doesn't set the size of the state where there is another way.

    Args:
        cell: to feed.
        vocabulary: number of different characters.
        sizes: name of dimension -> value.
        hidden: value of any dimension that is neither the vocabulary's nor in `sizes`.

    >>> from ..derive.cell import parse
    >>> plan = plan_feed(parse("x: input[m]\\nh: state[n]\\nh = tanh(W @ x + U @ h)"), 103, {}, hidden=64)
    >>> plan.reads, plan.sizes
    ('x', {'m': 103, 'n': 64})
    """

    def can_read(shape: tuple[str, ...]) -> bool:
        size = (int(shape[0]) if shape[0].isdigit() else sizes.get(shape[0], vocabulary)) if len(shape) == 1 else 0
        return size == vocabulary

    readers = [name for name, shape in cell.inputs.items() if can_read(shape)]
    of_states = {size for shape in cell.states.values() for size in shape}
    reads = min(readers, key=lambda name: cell.inputs[name][0] in of_states, default="")
    fixed = {cell.inputs[reads][0]: vocabulary} if reads else {}
    return Feed(cell, reads, {name: fixed.get(name, sizes.get(name, hidden)) for name in dimensions(cell)})


def dimensions(cell: Cell) -> list[str]:
    """Return the names of a cell's dimensions, sorted.

    >>> from ..derive.cell import parse
    >>> dimensions(parse("x: input[m]\\nh: state[n]\\nh = tanh(W @ x + U @ h)"))
    ['m', 'n']
    """
    return sorted({symbol.name for shape in cell.shapes.values() for size in shape for symbol in size.free_symbols})


def draw_inputs(feed: Feed, indices: Indices, seed: int) -> Arrays:
    """Return one array per input: one-hot characters where the feed says so, Gaussian noise elsewhere.

    Args:
        feed: of the cell.
        indices: the characters, (T, B).
        seed: of the noise: standard Gaussian, independent between inputs, steps, sequences and entries.

    Returns:
        Name -> (T, B, ...), float64.

    >>> from ..derive.cell import parse
    >>> cell = parse("x: input[m]\\nu: input\\nh: state[n]\\nh = tanh(W @ x + u * h)")
    >>> plan = plan_feed(cell, 103, {}, hidden=64)
    >>> {name: array.shape for name, array in draw_inputs(plan, np.zeros((9, 2), int), seed=0).items()}
    {'x': (9, 2, 103), 'u': (9, 2)}
    """

    def draw(name: str, shape: tuple[int, ...]) -> NDArray[np.floating]:
        if name == feed.reads:
            return one_hot(indices, shape[0])
        return random_stream(seed, f"input {name}").standard_normal(indices.shape + shape)

    return {name: draw(name, _lengths(shape, feed.sizes)) for name, shape in feed.cell.inputs.items()}


def draw_state(feed: Feed, batch: int, seed: int) -> Arrays:
    """Return a standard Gaussian initial state for each of `batch` sequences, name -> (B, ...), float64.

    >>> from ..derive.cell import parse
    >>> plan = plan_feed(parse("h: state[n]\\nh = tanh(U @ h)"), 103, {}, hidden=64)
    >>> {name: array.shape for name, array in draw_state(plan, batch=2, seed=0).items()}
    {'h': (2, 64)}
    """
    shapes = {name: (batch, *_lengths(shape, feed.sizes)) for name, shape in feed.cell.states.items()}
    return {name: random_stream(seed, f"state {name}").standard_normal(shape) for name, shape in shapes.items()}


def _lengths(shape: tuple[str, ...], sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(int(size) if size.isdigit() else sizes[size] for size in shape)
