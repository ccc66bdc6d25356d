"""What a cell is fed in a study: characters where they fit, Gaussian noise elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..derive.cell import Cell
from ..derive.interpret import size
from ..derive.sizes import size_from
from .data import Indices, one_hot, random_stream

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Feed:
    """How a cell is fed.

    Attributes:
        cell: that is fed.
        reads: the input that takes characters, one-hot or as an index, or '' where no input can.
        sizes: value of each named dimension of the cell, sorted by name.
    """

    cell: Cell
    reads: str
    sizes: Mapping[str, int]


def plan_feed(cell: Cell, vocabulary: int, sizes: Mapping[str, int], hidden: int) -> Feed:
    """Choose the input that reads characters, and the size of every dimension.

    Characters go to the first vector whose dimension can be the size of the vocabulary, or index that picks from so
    many: a number equal to it, or a name to which `sizes` gives no other value. Dimensions that no state has go
    first, so that the vocabulary doesn't set the size of the state where there is another way.

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

    shapes = {**cell.inputs, **{name: (entries,) for name, entries in cell.indices.items()}}

    def can_read(shape: tuple[str, ...]) -> bool:
        if len(shape) != 1:
            return False
        given = {name: sizes.get(name, vocabulary) for name in shape if name.isidentifier()}
        return (shape[0].isdigit() or bool(given)) and size(size_from(shape[0]), given) == vocabulary

    readers = [name for name, shape in shapes.items() if can_read(shape)]
    of_states = {size for shape in cell.states.values() for size in shape}
    reads = min(readers, key=lambda name: shapes[name][0] in of_states, default="")
    fixed = {shapes[reads][0]: vocabulary} if reads else {}
    return Feed(cell, reads, {name: fixed.get(name, sizes.get(name, hidden)) for name in dimensions(cell)})


def size_of_text(feed: Feed) -> str:
    """Say where the number of characters sets the size of a state, as no one chose it; '' elsewhere.

    >>> from ..derive.cell import parse
    >>> cell = parse("x: input[n]\\nh: state[n]\\nh = tanh(W @ h + x)", name="mine")
    >>> size_of_text(plan_feed(cell, 103, {}, hidden=64))
    "'mine' has n = 103, as many as there are characters: its state h is as wide as its input x"
    """
    shape = feed.cell.inputs.get(feed.reads, ())
    states = [name for name, dims in feed.cell.states.items() if set(shape) & set(dims) & feed.sizes.keys()]
    if not states:
        return ""
    size = f"{shape[0]} = {feed.sizes[shape[0]]}, as many as there are characters"
    return f"'{feed.cell.name}' has {size}: its state {states[0]} is as wide as its input {feed.reads}"


def dimensions(cell: Cell) -> list[str]:
    """Return the names of a cell's dimensions, sorted.

    >>> from ..derive.cell import parse
    >>> dimensions(parse("x: input[m]\\nh: state[n]\\nh = tanh(W @ x + U @ h)"))
    ['m', 'n']
    """
    sizes = [size for shape in cell.shapes.values() for size in shape] + [*map(size_from, cell.indices.values())]
    return sorted({symbol.name for size in sizes for symbol in size.free_symbols})


def draw_inputs(feed: Feed, indices: Indices, seed: int) -> Arrays:
    """Return one array per input: characters where the feed says so, Gaussian noise elsewhere.

    Args:
        feed: of the cell.
        indices: the characters, (T, B).
        seed: of the noise: standard Gaussian, independent between inputs, steps, sequences and entries; for an index,
            each entry as likely as any other.

    Returns:
        Name -> (T, B, ...), float64; an index: (T, B), whole numbers.

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

    drawn: Arrays = {name: draw(name, _lengths(shape, feed.sizes)) for name, shape in feed.cell.inputs.items()}
    for name, entries in feed.cell.indices.items():
        [count] = _lengths((entries,), feed.sizes)
        noise = random_stream(seed, f"input {name}").integers(count, size=indices.shape)
        drawn[name] = indices if name == feed.reads else noise
    return drawn


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
    return tuple(size(size_from(text), sizes) for text in shape)
