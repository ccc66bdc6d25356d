"""`Model`: cells wired together over time, with a loss, read from a few lines of text."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path

from sympy import Expr, Symbol

from . import display
from .cell import Builder, Cell, load, near_name, previous, text_of, zoo
from .errors import Error, ShapeError, Source, expect, expect_path
from .linear import Shape, Shapes
from .model_text import LAST, ONCE, PARAM, STEP, WHOLE, ModelText, Passage, Wire, read_model
from .shapes import infer
from .sizes import OF, dimension, size_of, spelled
from .syntax import Assignment, Declaration, Text, value_names, with_lookups
from .written import dimension_names

ZOO = resources.files(__package__) / "models"


@dataclass(frozen=True)
class Block:
    """A cell at work in a model: run over time, or once.

    Attributes:
        cell: its equations; its inputs and indices are what it reads from elsewhere.
        variable, axis: of its loop, such as t and T; None for what runs once.
        reverse: whether the loop runs from the last step to the first.
        wires: input or index of the cell -> where it comes from.
        starts: state -> where its first value comes from; None for zero.
        outputs: values that later blocks read.
        losses: values that are terms of the loss, summed over the steps.
    """

    cell: Cell
    variable: Symbol | None
    axis: Expr | None
    reverse: bool
    wires: Mapping[str, Wire]
    starts: Mapping[str, Wire | None]
    outputs: tuple[str, ...]
    losses: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A sequence model: blocks in the order in which they run.

    Attributes:
        name: under which reports speak of it.
        doc: what it says of itself, with its source.
        text: as it was written.
        inputs: name -> dimensions, the axis of time first: {"x": ("T", "m")}.
        indices: inputs that are whole numbers -> the axis of time, if any, and how many entries they pick from.
        params: name -> dimensions.
        blocks: in order.
        shapes: symbol -> shape at one step.
        cells: name -> text of each cell that it calls and that isn't the zoo's; with `text` it says all of the model.
    """

    name: str
    doc: str
    text: str
    inputs: Mapping[str, tuple[str, ...]]
    indices: Mapping[str, tuple[str, ...]]
    params: Mapping[str, tuple[str, ...]]
    blocks: tuple[Block, ...]
    shapes: Shapes = field(repr=False)
    cells: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The first sentence of what the model says of itself, or its name."""
        return self.doc.strip().splitlines()[0].rstrip(".") if self.doc.strip() else self.name

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of time, in order of appearance."""
        return tuple(dict.fromkeys(str(block.axis) for block in self.blocks if block.axis is not None))

    def home(self, value: str) -> int:
        """Return the number of the block that computes a value."""
        return next(k for k, block in enumerate(self.blocks) if Symbol(value) in _targets(block.cell))

    def whole_shape(self, name: str) -> Shape:
        """Return the shape of a parameter, input or index with all its steps."""
        step = self.shapes[Symbol(name)]
        stated = (*self.inputs.get(name, ()), *self.indices.get(name, ())[:-1])
        return (dimension(stated[0]), *step) if len(stated) > len(step) else step

    def __str__(self) -> str:
        return self.text

    _repr_html_ = display.html
    _repr_latex_ = display.latex


def _targets(cell: Cell) -> set[Symbol]:
    return {equation.target for equation in cell.equations}


def parse_model(text: str, name: str = "model", cells: Mapping[str, Cell] | None = None) -> Model:
    """Read a sequence model from its text; nothing in the text is executed.

    Args:
        text: declarations (`x: input[T, m]`, `layer1: rnn`), loops over time (`for t in range(T):`), equations, and
            terms of the loss (`loss += cross_entropy(u, y[t])`).
        name: how reports and error messages call it.
        cells: further cells that it may call, beside the zoo's.

    Raises:
        NotationError: with line, column and a caret, where the text isn't a model.
        ShapeError: where shapes conflict, between layers too, or stay ambiguous.

    >>> model = parse_model('''
    ... x: input[T, m]
    ... y: index[T, k]
    ... for t in range(T):
    ...     h = rnn(x[t])
    ...     u = V @ h + c
    ...     loss += cross_entropy(u, y[t])
    ... ''')
    >>> model.params["V"], model.blocks[0].losses
    (('k', 'n'), ('loss',))
    """
    expect("the text of a model", text, str)
    expect("the name of a model", name, str)
    given = cells or {}
    return _parsed(text, name, lambda called: given.get(called))


def _parsed(text: str, name: str, find: Callable[[str], Cell | None]) -> Model:
    """Read a model from its text; a cell that `find` doesn't know is the zoo's."""
    own: dict[str, str] = {}

    def own_cell(called: str) -> Cell | None:
        cell = find(called)
        if cell is not None and not (called in zoo() and load(called).text == cell.text):
            own[called] = cell.text
        return cell

    taken = read_model(Source(name, text), _with_zoo(own_cell))
    whole = _for_inference(taken)
    losses = [name for passage in taken.passages for name in passage.losses]
    shapes, sizes = infer(whole, taken.free, taken.expected, losses)
    names = _size_names(sizes, shapes)
    shapes = {n: tuple(size.xreplace(names) for size in shape) for n, shape in shapes.items()}
    sizes = {size: found.xreplace(names) for size, found in sizes.items()}
    _check_losses(taken, shapes)
    blocks = [_block(passage, whole, shapes, sizes) for passage in taken.passages]
    blocks = [replace(block, outputs=_read_later(block, blocks)) for block in blocks]
    params = {n: dimensions for block in blocks for n, dimensions in block.cell.params.items()}
    starts = [wire.source for block in blocks for wire in block.starts.values() if wire and wire.part == PARAM]
    params |= {n: dimension_names(shapes[n]) for n in (*starts, *taken.params) if n not in params}
    declared = {d.name: d for d in taken.text.declarations}

    def dimensions(kind: str) -> dict[str, tuple[str, ...]]:
        return {
            n: (axis,) * bool(axis) + (dimension_names(shapes[n]) if kind == "input" else (_range(declared[n]),))
            for n, axis in taken.axes.items()
            if declared[n].kind == kind
        }

    symbols = {symbol: shape for block in blocks for symbol, shape in block.cell.shapes.items()}
    symbols |= {Symbol(n): shapes[n] for n in (*params, *taken.axes)}
    doc, text = taken.text.doc, text.strip() + "\n"
    inputs, indices = dimensions("input"), dimensions("index")
    return Model(Path(name).stem, doc, text, inputs, indices, params, tuple(blocks), symbols, own)


def _with_zoo(find: Callable[[str], Cell | None]) -> Callable[[str], Cell | None]:
    shipped = set(zoo())

    @cache
    def found(name: str) -> Cell | None:
        return find(name) or (load(name) if name in shipped else None)

    return found


def _check_losses(taken: ModelText, shapes: Mapping[str, Shape]) -> None:
    """Refuse a term of the loss that isn't a number."""
    for passage in taken.passages:
        for line in passage.lines:
            if line.target in passage.losses and shapes[line.target]:
                message = f"a term of the loss is a number, this is {spelled(shapes[line.target])}"
                raise taken.text.fail(
                    line.value, message, "Write sum(...), or a loss such as squared_error.", ShapeError
                )


def over_time(cell: Cell) -> Model:
    """Return a cell run over T steps as a model without a loss: inputs at each step, and initial states `<state>_0`.

    >>> over_time(load("rnn")).inputs
    {'h_0': ('n',), 'x': ('time steps', 'm')}
    """
    axis = dimension("time steps")  # no text can have a dimension of this name
    inputs = {f"{name}_0": dimensions for name, dimensions in cell.states.items()}
    inputs |= {name: (axis.name, *dimensions) for name, dimensions in cell.inputs.items()}
    indices = {name: (axis.name, entries) for name, entries in cell.indices.items()}
    wires = {name: Wire(name, STEP) for name in (*cell.inputs, *cell.indices)}
    starts = {name: Wire(f"{name}_0", ONCE) for name in cell.states}
    block = Block(cell, dimension("t"), axis, False, wires, starts, (), ())
    shapes = {**cell.shapes, **{Symbol(f"{name}_0"): cell.shapes[Symbol(name)] for name in cell.states}}
    return Model(cell.name, cell.doc, "", inputs, indices, cell.params, (block,), shapes)


def load_model(name: str | os.PathLike[str]) -> Model:
    """Read a model by its zoo name, or from the path of a .model file; .cell files beside it can be called.

    Raises:
        Error: when there is no such model or file, or the file isn't text.
    """
    expect_path("the name of a model, or the path of its file,", name)
    wanted = os.fspath(name)
    if wanted in models():
        return parse_model((ZOO / f"{wanted}.model").read_text(encoding="utf-8"), wanted)
    path = Path(wanted)
    if path.suffix == ".cell" or wanted in zoo():
        made = f"Make a model around it: bptt compose {wanted} -o {path.stem}.model"
        raise Error(f"{wanted}: a cell, where a sequence model is wanted. {made}")
    if path.suffix != ".model" and not path.exists():
        raise Error(f"no model is called '{wanted}'. {near_name(wanted, models(), '.model')}")
    text = text_of(path, "Give the path of a .model file that is there, or a name of `bptt models`.")

    def beside(called: str) -> Cell | None:
        file = path.parent / f"{called}.cell"
        return load(file) if os.path.isfile(file) else None

    return _parsed(text, wanted, beside)


def models() -> list[str]:
    """Return the names of the models that ship with bptt, sorted.

    >>> "character_language_model" in models()
    True
    """
    return sorted(entry.name.removesuffix(".model") for entry in ZOO.iterdir() if entry.name.endswith(".model"))


def _for_inference(taken: ModelText) -> Text:
    """Return all equations as one text, with an equation for each wire that has a name of its own."""
    lines = [line for passage in taken.passages for line in passage.lines]
    places = {d.name: d.place for d in taken.text.declarations} | {line.target: line.place for line in lines}
    axes = taken.axes | {line.target: passage.axis for passage in taken.passages for line in passage.lines}
    for passage in taken.passages:
        for state, start in passage.states.items():
            if start is not None:
                place = taken.start_places[state]
                lines.append(Assignment(state, _name(start.source, place), place))
        for name, wire in passage.wires.items():
            value = _name(wire.source, places[wire.source])
            if wire.part == WHOLE:
                function, axis = (_name(part, value) for part in ("stack", axes[wire.source]))
                value = ast.copy_location(ast.Call(function, [value, axis], []), value)
            if wire.part in (LAST, WHOLE):
                lines.append(Assignment(name, value, value))
    return with_lookups(replace(taken.text, assignments=tuple(lines)))


def _name(name: str, place: ast.AST) -> ast.expr:
    return ast.copy_location(ast.Name(name, ast.Load()), place)


def _range(index: Declaration) -> str:
    return str(size_of(index.dimensions[0]))


def _size_names(sizes: Mapping[Expr, Expr], shapes: Mapping[str, Shape]) -> dict[Expr, Expr]:
    """Return short names for the dimensions of called cells that stayed free: n, or n_1 and n_2 where there are two."""
    first: dict[Expr, Expr] = {}
    for size, found in sizes.items():
        if found in sizes:
            first.setdefault(found, size)
    bases = [size.name.split(OF)[0] for size in first.values()]
    taken = {symbol.name for shape in shapes.values() for size in shape for symbol in size.atoms(Symbol)}
    names: dict[Expr, Expr] = {}
    for (found, size), base in zip(first.items(), bases, strict=True):
        short = re.sub(r"^layer(?=\d)", "", size.name.split(OF)[1])
        name = base if bases.count(base) == 1 else f"{base}_{short}"
        while name in taken:
            name = f"{name}_{short}"
        taken.add(name)
        names[found] = dimension(name)
    return names


def _block(passage: Passage, whole: Text, shapes: Mapping[str, Shape], sizes: Mapping[Expr, Expr]) -> Block:
    states = [d for d in whole.declarations if d.name in passage.states]
    indices = {d.name: d for d in whole.declarations if d.kind == "index" and d.name in passage.wires}
    text = with_lookups(replace(whole, declarations=(*states, *indices.values()), assignments=tuple(passage.lines)))
    builder = Builder(text, shapes, sizes)
    equations = tuple(builder.equation(line.target, line.value) for line in passage.lines)
    used = dict.fromkeys(name.id for line in passage.lines for name in value_names(line.value))
    wires = {name: wire for name, wire in passage.wires.items() if name in used}
    params = [n for n in used if n not in passage.wires and n not in passage.states and n not in passage.targets]

    def table(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        return {n: dimension_names(shapes[n]) for n in names}

    symbols = {Symbol(n): shapes[n] for n in (*used, *passage.targets, *passage.states)}
    symbols |= {previous(n): shapes[n] for n in passage.states}
    inputs = table(n for n in wires if n not in indices)
    ranges = {n: _range(d) for n, d in indices.items() if n in wires}
    cell = Cell(whole.source.name, "", inputs, table(passage.states), table(params), equations, symbols, ranges)
    variable = Symbol(passage.variable, integer=True, positive=True) if passage.axis else None
    axis = dimension(passage.axis) if passage.axis else None
    return Block(cell, variable, axis, passage.reverse, wires, passage.states, (), tuple(passage.losses))


def _read_later(block: Block, blocks: Iterable[Block]) -> tuple[str, ...]:
    """Return the values of a block that other blocks read."""
    wires = [wire for other in blocks for wire in (*other.wires.values(), *other.starts.values()) if wire is not None]
    sources = dict.fromkeys(wire.source for wire in wires)
    return tuple(name for name in sources if Symbol(name) in _targets(block.cell))
