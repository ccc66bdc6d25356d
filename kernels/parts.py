"""`Part`: lines of a cell or model that stand in one function where it is written for another framework.

A cell is a model of one block whose states are given from outside. Each block has a part for what it computes at a
step, and one for its terms of the loss, which need the targets: so a model predicts without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sympy import Symbol

from ..derive.cell import Cell, Equation, previous
from ..derive.errors import expect
from ..derive.linear import Shapes
from ..derive.model import Block, Model, over_time
from ..derive.model_text import ONCE, STEP, Wire
from ..derive.program import quantities
from ..derive.sizes import dimension, size_from


@dataclass(frozen=True)
class Part:
    """Lines of one function.

    Attributes:
        name: of the function.
        block: to which the lines belong.
        cell: the lines, with what they read.
        gives: which values the function returns.
        wires: input or index of the cell -> where it comes from.
        sizes: dimensions that the lines name, and that nothing which they read has, nor any parameter.
    """

    name: str
    block: Block
    cell: Cell
    gives: tuple[Symbol, ...]
    wires: Mapping[str, Wire]
    sizes: tuple[str, ...]

    @property
    def is_loss(self) -> bool:
        """Whether these are terms of the loss."""
        return {symbol.name for symbol in self.gives} <= set(self.block.losses)

    @property
    def axis(self) -> str:
        """The axis of the loop, "" for what runs once."""
        return "" if self.block.axis is None else str(self.block.axis)

    @property
    def is_still(self) -> bool:
        """Whether each sample, and each step, gives the same."""
        return not self.wires and not self.cell.states


def as_model(source: Cell | Model) -> Model:
    """Return a cell as a model of one block, whose states start from what is given; a model as it is."""
    expect("what is exported", source, Cell, Model)
    if isinstance(source, Model):
        return source
    model = over_time(source)
    block = replace(model.blocks[0], starts=dict.fromkeys(source.states))
    inputs = {name: shape for name, shape in model.inputs.items() if name in source.inputs}
    return replace(model, inputs=inputs, blocks=(block,))


def parts(model: Model) -> tuple[Part, ...]:
    """Return the functions of a model, in the order in which they run, those of the loss behind those they read.

    >>> from ..derive.model import load_model
    >>> [(part.name, part.gives) for part in parts(load_model("hello"))]
    [('step', (h, u)), ('terms', (loss,))]
    """
    found = []
    for number, block in enumerate(model.blocks, 1):
        suffix = f"_{number}" if len(model.blocks) > 1 else ""
        terms = [line for line in block.cell.equations if line.target.name in block.losses]
        steps = [line for line in block.cell.equations if line.target.name not in block.losses]
        targets = [line.target for line in steps]
        asked, read = _read(terms), _read(steps)
        states = {Symbol(name): previous(name) for name in block.cell.states}
        wanted = {*asked, *states, *map(Symbol, block.outputs)}
        gives = [*states, *(t for t in targets if t not in states and (t in wanted or t not in read))]
        gives += [before for before in states.values() if before in asked]
        if steps:
            found.append(_part(model, f"step{suffix}", block, steps, gives, block.cell.states))
        if terms:
            found.append(_part(model, f"terms{suffix}", block, terms, [line.target for line in terms], {}))
    return tuple(found)


def _read(lines: Iterable[Equation]) -> dict[Symbol, None]:
    return dict.fromkeys(symbol for line in lines for symbol in quantities(line.written))


def _part(
    model: Model,
    name: str,
    block: Block,
    lines: list[Equation],
    gives: list[Symbol],
    states: Mapping[str, tuple[str, ...]],
) -> Part:
    whole, targets = block.cell, {line.target for line in lines}
    names = [symbol.name for symbol in _read(lines) if symbol not in targets]
    known = {*whole.params, *map(str, map(previous, states))}
    beside = ONCE if block.axis is None else STEP  # how the values of the block's other part are read
    wires = {n: block.wires.get(n, Wire(n, beside)) for n in names if n not in known}
    shapes = {n: tuple(map(str, whole.shapes[Symbol(n)])) for n in names}
    params = {n: shapes[n] for n in whole.params if n in names}
    params |= _for_sizes(model, lines, whole.shapes, {*names, *states})
    shown = {size for n in (*names, *states) for size in whole.shapes[Symbol(n)]}
    shown |= {size for dimensions in params.values() for size in map(size_from, dimensions)}
    lacking = tuple(sorted(size.name for size in _named_sizes(lines) - shown))
    cell = replace(
        whole,
        inputs={n: shapes[n] for n in wires if n not in whole.indices},
        indices={n: entries for n, entries in whole.indices.items() if n in wires},
        states=states,
        params=params,
        equations=tuple(lines),
        shapes={**whole.shapes, **{Symbol(n): model.shapes[Symbol(n)] for n in params}},
    )
    return Part(name, block, cell, tuple(gives), wires, lacking)


def _named_sizes(lines: Iterable[Equation]) -> set[Symbol]:
    return {symbol for line in lines for symbol in line.written.atoms(Symbol) if symbol.is_integer}


def _for_sizes(
    model: Model, lines: Iterable[Equation], shapes: Shapes, names: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Return parameters that the lines don't read themselves, but from which a size that they name is known."""
    there = {size for name in names for size in shapes[Symbol(name)]}
    found = {}
    for size in sorted(_named_sizes(lines) - there, key=str):
        for name, dimensions in model.params.items():
            if size in map(dimension, dimensions):
                found[name] = dimensions
                break
    return found


def carried(model: Model, some: Iterable[Part]) -> dict[str, str]:
    """Return the inputs and indices of a model that parts read -> the axis of time that each has, "" for none."""
    wires = {wire.source for part in some for wire in part.wires.values()}
    wires |= {wire.source for part in some for wire in part.block.starts.values() if wire is not None}
    stepped = {n: dims[0] if has_steps(model, n) else "" for n, dims in {**model.inputs, **model.indices}.items()}
    return {name: axis for name, axis in stepped.items() if name in wires}


def has_steps(model: Model, name: str) -> bool:
    """Return whether an input or index has an axis of time."""
    if name in model.indices:
        return len(model.indices[name]) > 1
    return len(model.inputs[name]) > len(model.shapes[Symbol(name)])
