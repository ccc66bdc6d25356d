"""A cell -> the text of a model around it: layers, directions, a readout, a loss, and the shape of the sequences."""

from __future__ import annotations

import ast
import keyword
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sympy import Symbol

from .cell import Cell, dimensions_of, load
from .errors import Error, expect
from .inlining import size_in
from .model import Model, parse_model
from .scope import LABEL, LOSS
from .sizes import size_from

SHAPES = {
    "one-to-one": "one vector in, one output",
    "one-to-many": "one vector in; zeros after it",
    "one-to-many fed back": "one vector in; after it, each output is the next input",
    "many-to-one": "a sequence in, one output after its last step",
    "many-to-many": "an output at every step",
    "sequence-to-sequence": "an encoder's last states start a decoder, which is given the right outputs before",
}
LOSSES = {
    "cross_entropy": "of a softmax of the readout, with the number of the right class",
    "squared_error": "half of the summed squares",
    "logistic_loss": "of independent labels 0 or 1",
}
MOST_LAYERS = 50
OUTPUTS = {"cross_entropy": "softmax(u)", "squared_error": "u", "logistic_loss": "sigmoid(u)"}
OWN = {"x", "y", "z", "u", "p", "q", "e", "s", "t", "A", "E", "F", "U_a", "W_a", "v_a", "alpha", "b_y", LOSS}


def compose(
    cell: Cell | str | os.PathLike[str],
    *,
    shape: str = "many-to-many",
    layers: int = 1,
    bidirectional: bool = False,
    embedding: bool = False,
    attention: bool = False,
    loss: str = "cross_entropy",
) -> Model:
    """Return a sequence model around a cell. `model.text` is its text, to be read, changed and parsed again.

    The cell's output, which layers above and the readout read, is the vector that it computes last.

    Args:
        cell: a cell, a zoo name, or the path of a .cell file.
        shape: one of `SHAPES`.
        layers: how many cells are stacked, each with parameters of its own.
        bidirectional: whether each layer also runs from the last step to the first; both outputs are stacked.
        embedding: whether inputs are whole numbers that pick rows of a learned table.
        attention: whether a decoder looks at all steps of the encoder, by additive soft attention.
        loss: one of `LOSSES`.

    Raises:
        Error: for a shape or loss that isn't known, choices that don't go together, or a cell without a vector state.

    >>> print(compose("rnn", layers=2).text, end="")
    \"\"\"Many-to-many model of rnn in 2 layers.\"\"\"
    x: input[T, m]
    y: index[T, k]
    layer1: rnn
    layer2: rnn
    for t in range(T):
        h__layer1 = layer1(x[t])
        h__layer2 = layer2(h__layer1)
        u = W_hy @ h__layer2 + b_y
        loss += cross_entropy(u, y[t])
    """
    if not isinstance(cell, Cell):
        cell = load(cell)
    cell = replace(cell, name=identifier(cell.name))
    writer = _Writer(cell, shape, layers, bidirectional, embedding, attention, loss)
    return parse_model(writer.text(), f"{cell.name}_{identifier(shape)}", {cell.name: cell})


def identifier(name: str) -> str:
    """Return a name that a model's text can call.

    >>> identifier("my-lstm"), identifier("2rnn")
    ('my_lstm', 'cell_2rnn')
    """
    made = re.sub(r"\W", "_", name)
    return made if made.isidentifier() and not keyword.iskeyword(made) else f"cell_{made}"


@dataclass
class _Writer:
    """Writes the lines of a model.

    Where the cell's input must be as long as one of its states, or has a length of its own, the sequences have the
    cell's length; else each has a length that nothing else has.
    """

    cell: Cell
    shape: str
    layers: int
    bidirectional: bool
    embedding: bool
    attention: bool
    loss: str

    def __post_init__(self) -> None:
        self._check()
        cell = self.cell
        self.given, *self.further = (*cell.inputs, *cell.indices)
        self.output = output_state(cell)
        length = (
            size_from(cell.inputs[self.given][0]) if self.given in cell.inputs else Symbol(cell.indices[self.given])
        )
        states = {s.name for d in cell.states.values() for part in d for s in size_from(part).atoms(Symbol)}
        inside = {symbol.name for symbol in length.atoms(Symbol)}
        self.length = str(length) if inside & states or not inside else ""
        self.tied = inside if self.length else set()
        if self.attention and self.length:
            raise Error(f"{cell.name} takes vectors of {length} only, and attention widens what a decoder takes")

    def _check(self) -> None:
        for what, given in {"shape": self.shape, "loss": self.loss}.items():
            expect(f"the {what} of a model", given, str)
        for what, chosen in {
            "bidirectional": self.bidirectional,
            "embedding": self.embedding,
            "attention": self.attention,
        }.items():
            expect(f"{what}=", chosen, bool)
        if self.shape not in SHAPES:
            raise Error(f"unknown shape '{self.shape}'. Known: {', '.join(SHAPES)}")
        if self.loss not in LOSSES:
            raise Error(f"unknown loss '{self.loss}'. Known: {', '.join(LOSSES)}")
        if not isinstance(self.layers, int) or not 1 <= self.layers <= MOST_LAYERS:
            raise Error(f"layers must be a whole number from 1 to {MOST_LAYERS}, not {self.layers!r}")
        if self.bidirectional and self.shape not in ("many-to-one", "many-to-many"):
            raise Error(f"a {self.shape} model can't be bidirectional: its outputs would be known before they are made")
        if self.attention and self.shape != "sequence-to-sequence":
            raise Error("attention is that of a decoder: choose the shape sequence-to-sequence")
        if self.embedding and self.shape == "one-to-many fed back":
            raise Error("outputs that are fed back are vectors: leave the embedding out")
        inputs = (*self.cell.inputs, *self.cell.indices)
        if not inputs or len(self.cell.inputs.get(inputs[0], ("",))) != 1:
            raise Error(f"{self.cell.name} has no input that is a vector, which a sequence could go into")
        if self.embedding and inputs[0] in self.cell.indices:
            raise Error(f"{self.cell.name} takes whole numbers itself: leave the embedding out")
        by_step = [name for name in inputs[1:] if len(self.cell.inputs.get(name, ())) < 2]
        if by_step and self.shape in ("one-to-many", "one-to-many fed back"):
            raise Error(
                f"{self.cell.name} has a further input at each step, '{by_step[0]}', which a {self.shape} model hasn't"
            )

    def text(self) -> str:
        """Return the text of the model."""
        size = f" in {self.layers} layers" if self.layers > 1 else ""
        way = "bidirectional " if self.bidirectional else ""
        title = f"{self.shape.capitalize()} {way}model of {self.cell.name}{size}{' with attention' * self.attention}."
        lines = {
            "one-to-one": self._one_to_one,
            "one-to-many": self._one_to_many,
            "one-to-many fed back": self._fed_back,
            "many-to-one": self._many,
            "many-to-many": self._many,
            "sequence-to-sequence": self._sequence_to_sequence,
        }[self.shape]()
        return "\n".join([f'"""{title}"""', *lines])

    # parts

    def labels(self, *stems: str) -> list[str]:
        """Return the label of each layer: none where a single one can do without."""
        targets = [equation.target.name for equation in self.cell.equations]
        words = {*self.cell.params, *self.cell.inputs, *self.cell.indices, *targets} - {self.given}
        own = OWN | {f"W_{self.output}y", f"{self.output}_first", *map(self.further_name, self.further)}
        once = self.shape != "one-to-many"  # where the cell is called twice
        if self.layers == 1 and not stems and once and not words & (own - set(self.cell.states)):
            return [""]
        many = self.layers > 1 or not stems
        numbers = range(1, self.layers + 1)
        return [f"{stem}{number}" if many else stem for number in numbers for stem in stems or ("layer",)]

    def aliases(self, labels: Iterable[str]) -> list[str]:
        return [f"{label}: {self.cell.name}" for label in labels if label]

    def state(self, name: str, label: str, first: bool = False) -> str:
        """Return what the model calls a state of a layer."""
        name = f"{name}_first" if first else name
        if not label and name in OWN:
            return f"{name}{LABEL}{self.cell.name}"
        return f"{name}{LABEL}{label}" if label else name

    def steps(self, labels: Iterable[str], given: str, first: bool = False, time: str = "t") -> tuple[list[str], str]:
        """Return the lines on which layers take a step, each reading the one before, and what the last one gives."""
        lines = []
        for label in labels:
            targets = ", ".join(self.state(name, label, first) for name in self.cell.states)
            lines.append(f"{targets} = {label or self.cell.name}({', '.join([given, *self._others(time)])})")
            given = self.state(self.output, label, first)
        return lines, given

    def _others(self, time: str) -> list[str]:
        names = {name: self.further_name(name) for name in self.further}
        return [made if not time or self._is_given_once(name) else f"{made}[{time}]" for name, made in names.items()]

    def states(self, label: str, start: str, first: bool = False) -> list[str]:
        """Return declarations of a layer's states, which start from those of the layer `start`."""
        number = re.sub("[^0-9]", "", label)
        sizes = {size: size for size in dimensions_of(self.cell)}
        sizes |= {size: f"{size}_{number}" for size in sizes if number and size not in self.tied}
        lines = []
        for name, dimensions in self.cell.states.items():
            inside = _bracket([_sized(part, sizes) for part in dimensions])
            lines.append(f"{self.state(name, label)}: state{inside} = {self.state(name, start, first)}")
        return lines

    def sequence(self, axis: str, name: str = "x", table: str = "E", sizes: tuple[str, str] = ("V", "m")) -> list[str]:
        """Return the declaration of what goes in: over an axis, or once where it is ""."""
        lead, (entries, width) = [axis] * bool(axis), sizes
        width = self.length or width
        if self.embedding:
            return [f"{name}: index{_bracket([*lead, entries])}", f"{table}: param[{entries}, {width}]"]
        if self.given in self.cell.indices:
            return [f"{name}: index{_bracket([*lead, self.cell.indices[self.given]])}"]
        return [f"{name}: input{_bracket([*lead, width])}"]

    def further_inputs(self, axis: str) -> list[str]:
        """Return declarations of the cell's inputs beside its first."""
        lines = []
        for name in self.further:
            lead = [axis] * (bool(axis) and not self._is_given_once(name))
            if name in self.cell.indices:
                lines.append(f"{self.further_name(name)}: index{_bracket([*lead, self.cell.indices[name]])}")
            else:
                lines.append(f"{self.further_name(name)}: input{_bracket([*lead, *self.cell.inputs[name]])}")
        return lines

    def further_name(self, name: str) -> str:
        """Return what the model calls an input of the cell beside its first."""
        return f"{name}_in" if name in OWN else name

    def _is_given_once(self, name: str) -> bool:
        """Return whether an input is the same at every step: a matrix, such as a grid of features."""
        return len(self.cell.inputs.get(name, ())) > 1

    def taken(self, sequence: str, table: str = "E") -> str:
        return f"{table}[{sequence}]" if self.embedding else sequence

    def target(self, axis: str, size: str = "k") -> str:
        kind = "index" if self.loss == "cross_entropy" else "input"
        return f"y: {kind}{_bracket([axis] * bool(axis) + [size])}"

    def readout(self, read: str, target: str) -> list[str]:
        return [f"u = W_{self.output}y @ {read} + b_y", f"{LOSS} += {self.loss}(u, {target})"]

    # shapes

    def _one_to_one(self) -> list[str]:
        labels = self.labels()
        lines = [*self.sequence(""), *self.further_inputs(""), self.target(""), *self.aliases(labels)]
        steps, read = self.steps(labels, self.taken("x"), time="")
        return [*lines, *steps, *self.readout(read, "y")]

    def _one_to_many(self) -> list[str]:
        labels = self.labels()
        lines = [*self.sequence(""), *self.further_inputs("T"), self.target("T"), *self.aliases(labels)]
        first, _ = self.steps(labels, self.taken("x"), first=True)
        states = [line for label in labels for line in self.states(label, label, first=True)]
        steps, read = self.steps(labels, "0")
        return [*lines, *first, *states, *_loop("t", "T", [*steps, *self.readout(read, "y[t]")])]

    def _fed_back(self) -> list[str]:
        labels, size = self.labels(), self.length or "k"
        lines = [f"x: input[{size}]", *self.further_inputs("T"), self.target("T", size), *self.aliases(labels)]
        steps, read = self.steps(labels, "p")
        output, term = self.readout(read, "y[t]")
        return [*lines, f"p: state[{size}] = x", *_loop("t", "T", [*steps, output, f"p = {OUTPUTS[self.loss]}", term])]

    def _many(self) -> list[str]:
        """Many to one, or many to many."""
        axis = "T" if self.shape == "many-to-many" else ""
        lines = [*self.sequence("T"), *self.further_inputs("T"), self.target(axis)]
        labels = self.labels("fwd", "bwd") if self.bidirectional else self.labels()
        lines += self.aliases(labels)
        if self.bidirectional:
            loops, read = self._both_ways(labels, bool(axis))
            readout = self.readout(read, "y[t]" if axis else "y")
            return [*lines, *loops, *(_loop("t", "T", readout) if axis else readout)]
        steps, read = self.steps(labels, self.taken("x[t]"))
        if axis:
            return [*lines, *_loop("t", "T", [*steps, *self.readout(read, "y[t]")])]
        return [*lines, *_loop("t", "T", steps), *self.readout(read, "y")]

    def _both_ways(self, labels: list[str], by_step: bool) -> tuple[list[str], str]:
        """Return the loops of bidirectional layers, and what is read from the last one."""
        lines, given, read = [], self.taken("x[t]"), ""
        for forward, back in zip(labels[::2], labels[1::2], strict=True):
            one, first = self.steps([forward], given)
            other, second = self.steps([back], given)
            lines += [*_loop("t", "T", one), *_loop("t", "T", other, reverse=True)]
            given = f"concat({first}[t], {second}[t])"
            read = given if by_step else f"concat({first}, {second})"
        return lines, read

    def _sequence_to_sequence(self) -> list[str]:
        labels = self.labels("enc", "dec")
        encoders, decoders = labels[::2], labels[1::2]
        both = [name for name in self.further if not self._is_given_once(name)]
        if both:
            raise Error(f"{self.cell.name} has a further input at each step, '{both[0]}', which a decoder hasn't")
        lines = [*self.sequence("S"), *self.further_inputs("S"), *self.sequence("T", "z", "F", ("k", "p"))]
        lines += [self.target("T"), *["v_a: param[d]"] * self.attention, *self.aliases((*encoders, *decoders))]
        steps, seen = self.steps(encoders, self.taken("x[s]"), time="s")
        lines += [*_loop("s", "S", steps), *[f"A = stack({seen})"] * self.attention]
        for encoder, decoder in zip(encoders, decoders, strict=True):
            lines += self.states(decoder, encoder)
        inner, given = [], self.taken("z[t]", "F")
        if self.attention:
            state = self.state(self.output, decoders[-1])
            inner += [f"e = tanh(A @ U_a + outer(ones(S), W_a @ {state})) @ v_a", "alpha = softmax(e)"]
            inner += ["q = A.T @ alpha"]
            given = f"concat({given}, q)"
        steps, read = self.steps(decoders, given)
        return [*lines, *_loop("t", "T", [*inner, *steps, *self.readout(read, "y[t]")])]


def output_state(cell: Cell) -> str:
    """Return the vector state that a cell computes last, and doesn't just copy."""
    vectors = [name for name, dimensions in cell.states.items() if len(dimensions) == 1]
    if not vectors:
        raise Error(f"{cell.name} has no state that is a vector, which a readout could read")
    computed = [e.target.name for e in cell.equations if e.target.name in vectors and not e.written.is_Symbol]
    return (computed or vectors)[-1]


def _bracket(sizes: list[str]) -> str:
    return f"[{', '.join(sizes)}]" if sizes else ""


def _sized(dimension: str, sizes: Mapping[str, str]) -> str:
    return ast.unparse(size_in(dimension, sizes, ast.parse("0", mode="eval").body))


def _loop(variable: str, axis: str, lines: list[str], reverse: bool = False) -> list[str]:
    steps = f"reversed(range({axis}))" if reverse else f"range({axis})"
    return [f"for {variable} in {steps}:", *(f"    {line}" for line in lines)]
