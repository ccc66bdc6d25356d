"""What is known at a line of a model's text: what was declared and assigned so far, and where values come from."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from .cell import Cell
from .errors import Error
from .shapes import Expected
from .syntax import Assignment, Declaration, Place, Text

LOSS = "loss"
ONCE, STEP, LAST, WHOLE, PARAM = "once", "step", "last", "whole", "param"
ENDINGS = {LAST: "_last", WHOLE: "_all"}
START = "_start"
LABEL = "__"  # what follows it in a name is a label: `W_xi__enc` belongs to `enc`


@dataclass(frozen=True)
class Wire:
    """Where a block reads a value that isn't its own.

    Attributes:
        source: an input of the model, a parameter, or a value of an earlier block.
        part: 'once' (it has no time), 'step' (its value at the same step), 'last' (its value after the loop),
            'whole' (its values at all steps, stacked), or 'param'.
    """

    source: str
    part: str


@dataclass
class Passage:
    """Lines that run once, or at each step of a loop.

    Attributes:
        variable, axis: of the loop, such as "t" and "T"; "" for lines that run once.
        reverse: whether the loop runs from the last step to the first.
        lines: equations, with names of other passages replaced by those of wires.
        losses: which targets are terms of the loss.
        wires: name in the lines -> where it comes from.
        states: of the loop, with where their first values come from; None for zero.
    """

    variable: str = ""
    axis: str = ""
    reverse: bool = False
    lines: list[Assignment] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    wires: dict[str, Wire] = field(default_factory=dict)
    states: dict[str, Wire | None] = field(default_factory=dict)

    @property
    def targets(self) -> set[str]:
        return {line.target for line in self.lines}


@dataclass(frozen=True)
class Layer:
    """`layer1: rnn`: a cell under a name of the model's."""

    cell: Cell
    place: Place


@dataclass
class Scope:
    """What is known at a line of a model's text.

    Attributes:
        text: the model's.
        find_cell: name -> the cell that it calls, None where there is none.
        words: name -> its first place among the equations of the whole text.
        sizes: the names of dimensions that the text's own declarations and loops have.
        later: what is declared further down.
        declared: name -> its declaration, a time axis taken off.
        axes: input or index -> the axis that was taken off, "" for none.
        layers: name -> layer.
        starts: declared state -> where its first value comes from; None for zero.
        start_places: state -> where its first value is written.
        homes: value -> the passage that computes it.
        used: parameter that isn't declared -> its first place.
        owners: parameter or value of a called cell -> the layer, or the cell, that it belongs to.
        counters: variables of the loops so far.
        calls: layer or cell -> how often it was called.
        free: dimensions of called cells, to be found by unification.
        expected: the shapes that called cells expect of what they are given.
        passages: in order.
    """

    text: Text
    find_cell: Callable[[str], Cell | None]
    words: Mapping[str, ast.expr]
    sizes: frozenset[str]
    later: set[str]
    declared: dict[str, Declaration] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)
    starts: dict[str, Wire | None] = field(default_factory=dict)
    start_places: dict[str, ast.expr] = field(default_factory=dict)
    homes: dict[str, Passage] = field(default_factory=dict)
    used: dict[str, ast.expr] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    counters: set[str] = field(default_factory=set)
    calls: dict[str, int] = field(default_factory=dict)
    free: list[str] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)

    def fail(self, place: Place, message: str, hint: str = "") -> Error:
        """Return an error that points at `place` in the text."""
        return self.text.fail(place, message, hint)

    def once(self) -> Passage:
        """Return the passage of lines that run once to which the next such line belongs."""
        if not self.passages or self.passages[-1].axis:
            self.passages.append(Passage())
        return self.passages[-1]

    def whole_text(self) -> Text:
        """Return the text with everything that was declared so far."""
        return replace(self.text, declarations=tuple(self.declared.values()))

    def kind(self, name: str) -> str:
        """Return as what a name is declared, "" where it isn't."""
        return self.declared[name].kind if name in self.declared else ""

    def axis(self, name: str) -> str:
        """Return the axis of time of an input, index or value, "" where it has none."""
        return self.axes.get(name, "") or (self.homes[name].axis if name in self.homes else "")

    def add(self, passage: Passage, line: Assignment) -> None:
        """Add a line to a passage."""
        self.check_target(line.target, line.place, passage)
        passage.lines.append(line)
        self.homes[line.target] = passage

    def generated(self, name: str, base: str) -> str:
        """Return a name that stands for values of `base`; no word of the text may be that name."""
        if name in self.words:
            message = f"'{name}' is kept for values of '{base}', which is in this model too"
            raise self.fail(self.words[name], message, "Choose another name.")
        return name

    def check_new(self, name: str, place: Place) -> None:
        """Refuse to declare what is known already."""
        if name in self.declared or name in self.layers:
            raise self.fail(place, f"'{name}' is declared twice", "Remove one of the two declarations.")
        if name == LOSS:
            raise self.fail(place, "'loss' is the model's loss and isn't declared", "Write 'loss += ...'.")

    def check_order(self, name: str, place: Place) -> None:
        """Refuse a name above its declaration."""
        if name in self.later:
            raise self.fail(place, f"'{name}' stands here above its declaration", "Move its declaration up.")

    def check_target(self, name: str, place: Place, passage: Passage) -> None:
        """Refuse to assign a name that means something else."""
        self.check_order(name, place)
        if name in self.homes and name in self.owners:
            owner = self.owners[name]
            raise self.fail(place, f"'{name}' is a value of '{owner}' already", "Choose another name.")
        if name in self.homes:
            raise self.fail(place, f"'{name}' is assigned twice", "Give the new value a name of its own.")
        kind = self.kind(name)
        if kind == "state" and not passage.axis:
            hint = "Its value before the loop stands in its declaration: 'h: state[n] = ...'."
            raise self.fail(place, f"the state '{name}' is assigned outside of a loop", hint)
        if kind and kind != "state":
            hint = "Give the new value a name of its own."
            raise self.fail(place, f"'{name}' is declared as {kind} and can't be assigned", hint)
        if name in self.layers:
            raise self.fail(place, f"'{name}' is a layer and can't be assigned", "Choose another name.")
        if name in self.counters or name == passage.variable:
            raise self.fail(place, f"'{name}' counts the steps of a loop and can't be assigned", "Choose another name.")
        if name in self.used:
            hint = "Lines run from top to bottom: move its line up, or declare it as a state."
            raise self.fail(self.used[name], f"'{name}' is used before it is assigned", hint)


def targets_of(statement: ast.Assign) -> Iterator[ast.expr]:
    """Yield what a line assigns to: `h` and `c` in `h, c = ...`."""
    for target in statement.targets:
        yield from target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
