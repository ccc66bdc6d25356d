"""A cell -> the text of a model around it: layers, directions, a readout, a loss, and the shape of the sequences."""

from __future__ import annotations

import ast
import keyword
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from .cell import Cell, load
from .errors import Error
from .inlining import size_in, sizes_of
from .model import Model, parse_model
from .model_text import LABEL

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

    The first state that is a vector is the cell's output: layers above and the readout read it.

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

    >>> print(compose("rnn", layers=2).text)
    \"\"\"Many-to-many model of rnn in 2 layers.\"\"\"
    x: input[T, m]
    y: index[T, k]
    layer1: rnn
    layer2: rnn
    for t in range(T):
        h__layer1 = layer1(x[t])
        h__layer2 = layer2(h__layer1)
        u = W_y @ h__layer2 + b_y
        loss += cross_entropy(u, y[t])
    """
    if not isinstance(cell, Cell):
        cell = load(cell)
    _check(shape, layers, bidirectional, embedding, attention, loss)
    cell = replace(cell, name=_identifier(cell.name))
    text = _Text(cell, layers, bidirectional, embedding, attention, loss)
    return parse_model(text.of(shape), f"{cell.name}_{_identifier(shape)}", {cell.name: cell})


def _check(shape: str, layers: int, bidirectional: bool, embedding: bool, attention: bool, loss: str) -> None:
    if shape not in SHAPES:
        raise Error(f"unknown shape '{shape}'. Known: {', '.join(SHAPES)}")
    if loss not in LOSSES:
        raise Error(f"unknown loss '{loss}'. Known: {', '.join(LOSSES)}")
    if not isinstance(layers, int) or layers < 1:
        raise Error(f"layers must be a whole number from 1, not {layers!r}")
    if bidirectional and shape not in ("many-to-one", "many-to-many"):
        raise Error(f"a {shape} model can't be bidirectional: its outputs would be known before they are made")
    if attention and shape != "sequence-to-sequence":
        raise Error("attention is that of a decoder: choose the shape sequence-to-sequence")
    if embedding and shape == "one-to-many fed back":
        raise Error("outputs that are fed back are vectors: leave the embedding out")


def _identifier(name: str) -> str:
    """Return a name that a model's text can call."""
    made = re.sub(r"\W", "_", name)
    return made if made.isidentifier() and not keyword.iskeyword(made) else f"cell_{made}"


class _Text:
    """Writes the lines of a model."""

    def __init__(
        self, cell: Cell, layers: int, bidirectional: bool, embedding: bool, attention: bool, loss: str
    ) -> None:
        self.cell = cell
        self.layers = layers
        self.bidirectional = bidirectional
        self.embedding = embedding
        self.attention = attention
        self.loss = loss
        self.given = [*cell.inputs, *cell.indices]
        vectors = [name for name, dimensions in cell.states.items() if len(dimensions) == 1]
        if not vectors:
            raise Error(f"{cell.name} has no state that is a vector, which a readout could read")
        if not self.given or len(cell.inputs.get(self.given[0], ("",))) != 1:
            raise Error(f"{cell.name} has no input that is a vector, which a sequence could go into")
        self.output = vectors[0]

    def of(self, shape: str) -> str:
        """Return the text of a model of this shape."""
        size = f" in {self.layers} layers" if self.layers > 1 else ""
        way = "bidirectional " if self.bidirectional else ""
        title = f"{shape.capitalize()} {way}model of {self.cell.name}{size}{' with attention' * self.attention}."
        lines = {
            "one-to-one": self._one_to_one,
            "one-to-many": self._one_to_many,
            "one-to-many fed back": self._fed_back,
            "many-to-one": lambda: self._many("one"),
            "many-to-many": lambda: self._many("many"),
            "sequence-to-sequence": self._sequence_to_sequence,
        }[shape]()
        return "\n".join([f'"""{title}"""', *lines])

    # parts

    def labels(self, *names: str) -> list[str]:
        """Return the label of each layer: none where a single one can do without."""
        words = {*self.cell.params, *self.given, *map(str, (e.target for e in self.cell.equations))}
        if self.layers == 1 and not names and not words & OWN:
            return [""]
        stems = names or ("layer",)
        many = self.layers > 1 or not names
        return [f"{stem}{number}" if many else stem for number in range(1, self.layers + 1) for stem in stems]

    def aliases(self, labels: Iterable[str]) -> list[str]:
        return [f"{label}: {self.cell.name}" for label in labels if label]

    def step(self, label: str, given: str, first: bool = False, time: str = "t") -> str:
        """Return the line on which a layer takes a step."""
        targets = ", ".join(self.state(name, label, first) for name in self.cell.states)
        others = [name if self._is_given_once(name) else f"{name}[{time}]" for name in self.given[1:]]
        return f"{targets} = {label or self.cell.name}({', '.join([given, *others])})"

    def state(self, name: str, label: str, first: bool = False) -> str:
        name = f"{name}0" if first else name
        return f"{name}{LABEL}{label}" if label else name

    def states(self, label: str, start: str, first: bool = False) -> list[str]:
        """Return declarations of a layer's states, which start from those of the layer `start`."""
        number = re.sub("[^0-9]", "", label)
        sizes = {size: f"{size}_{number}" if number else size for size in sizes_of(self.cell)}
        lines = []
        for name, dimensions in self.cell.states.items():
            inside = ", ".join(_sized(part, sizes) for part in dimensions)
            lines.append(f"{self.state(name, label)}: state[{inside}] = {self.state(name, start, first)}")
        return lines

    def inputs(
        self, axis: str = "T", name: str = "x", table: str = "E", sizes: tuple[str, str] = ("V", "m")
    ) -> list[str]:
        """Return the declaration of the sequence that goes in."""
        lead = f"{axis}, " if axis else ""
        entries, width = sizes
        if self.embedding:
            return [f"{name}: index[{lead}{entries}]", f"{table}: param[{entries}, {width}]"]
        if self.given[0] in self.cell.indices:
            return [f"{name}: index[{lead}{entries}]"]
        return [f"{name}: input[{lead}{width}]"]

    def further_inputs(self, axis: str) -> list[str]:
        lines = []
        for name in self.given[1:]:
            kind = "index" if name in self.cell.indices else "input"
            dimensions = [self.cell.indices[name]] if name in self.cell.indices else list(self.cell.inputs[name])
            inside = ", ".join([axis] * (not self._is_given_once(name)) + dimensions)
            lines.append(f"{name}: {kind}[{inside}]")
        return lines

    def _is_given_once(self, name: str) -> bool:
        """Return whether an input is the same at every step: a matrix, such as a grid of features."""
        return len(self.cell.inputs.get(name, ())) > 1

    def taken(self, sequence: str = "x[t]", table: str = "E") -> str:
        return f"{table}[{sequence}]" if self.embedding else sequence

    def target(self, axis: str) -> str:
        lead = f"{axis}, " if axis else ""
        return f"y: index[{lead}k]" if self.loss == "cross_entropy" else f"y: input[{lead}k]"

    def readout(self, read: str, target: str) -> list[str]:
        return [f"u = W_{self.output}y @ {read} + b_y", f"loss += {self.loss}(u, {target})"]

    # shapes

    def _one_to_one(self) -> list[str]:
        labels = self.labels()
        lines = [*self.inputs(""), *self.further_inputs(""), self.target(""), *self.aliases(labels)]
        given = self.taken("x")
        for label in labels:
            lines.append(self.step(label, given))
            given = self.state(self.output, label)
        return [*lines, *self.readout(given, "y")]

    def _one_to_many(self) -> list[str]:
        labels = self.labels()
        lines = [*self.inputs(""), *self.further_inputs("T"), self.target("T"), *self.aliases(labels)]
        if any(not self._is_given_once(name) for name in self.given[1:]):
            raise Error(f"{self.cell.name} has further inputs at each step, which a one-to-many model has not")
        given = self.taken("x")
        for label in labels:
            lines.append(self.step(label, given, first=True))
            given = self.state(self.output, label, first=True)
        for label in labels:
            lines += self.states(label, label, first=True)
        given = "0"
        inner = []
        for label in labels:
            inner.append(self.step(label, given))
            given = self.state(self.output, label)
        return [*lines, *_loop("t", "T", [*inner, *self.readout(given, "y[t]")])]

    def _fed_back(self) -> list[str]:
        labels = self.labels()
        lines = ["x: input[k]", *self.further_inputs("T"), self.target("T"), *self.aliases(labels), "p: state[k] = x"]
        inner, given = [], "p"
        for label in labels:
            inner.append(self.step(label, given))
            given = self.state(self.output, label)
        output, term = self.readout(given, "y[t]")
        made = {"cross_entropy": "softmax(u)", "logistic_loss": "sigmoid(u)", "squared_error": "u"}[self.loss]
        return [*lines, *_loop("t", "T", [*inner, output, f"p = {made}", term])]

    def _many(self, outputs: str) -> list[str]:
        axis = "T" if outputs == "many" else ""
        lines = [*self.inputs(), *self.further_inputs("T"), self.target(axis)]
        if self.bidirectional:
            return self._both_ways(lines, outputs)
        labels = self.labels()
        lines += self.aliases(labels)
        inner, given = [], self.taken()
        for label in labels:
            inner.append(self.step(label, given))
            given = self.state(self.output, label)
        if outputs == "many":
            return [*lines, *_loop("t", "T", [*inner, *self.readout(given, "y[t]")])]
        return [*lines, *_loop("t", "T", inner), *self.readout(given, "y")]

    def _both_ways(self, lines: list[str], outputs: str) -> list[str]:
        labels = self.labels("fwd", "bwd")
        lines += self.aliases(labels)
        given = self.taken()
        read = ""
        for forward, back in zip(labels[::2], labels[1::2], strict=True):
            lines += _loop("t", "T", [self.step(forward, given)])
            lines += _loop("t", "T", [self.step(back, given)], reverse=True)
            one, other = self.state(self.output, forward), self.state(self.output, back)
            given = f"concat({one}[t], {other}[t])"
            read = f"concat({one}, {other})"
        if outputs == "many":
            return [*lines, *_loop("t", "T", self.readout(given, "y[t]"))]
        return [*lines, *self.readout(read, "y")]

    def _sequence_to_sequence(self) -> list[str]:
        labels = self.labels("enc", "dec")
        encoders, decoders = labels[::2], labels[1::2]
        lines = [
            *self.inputs("S"),
            *self.further_inputs("S"),
            *self.inputs("T", "z", "F", ("k", "p")),
            self.target("T"),
        ]
        if self.attention:
            lines.append("v_a: param[d]")
        lines += self.aliases((*encoders, *decoders))
        inner, given = [], self.taken("x[s]")
        for label in encoders:
            inner.append(self.step(label, given, time="s"))
            given = self.state(self.output, label)
        lines += _loop("s", "S", inner)
        if self.attention:
            lines.append(f"A = stack({given})")
        for encoder, decoder in zip(encoders, decoders, strict=True):
            lines += self.states(decoder, encoder)
        inner, given = [], self.taken("z[t]", "F")
        if self.attention:
            state = self.state(self.output, decoders[-1])
            inner += [
                f"e = tanh(A @ U_a + outer(ones(S), W_a @ {state})) @ v_a",
                "alpha = softmax(e)",
                "q = A.T @ alpha",
            ]
            given = f"concat({given}, q)"
        for label in decoders:
            inner.append(self.step(label, given))
            given = self.state(self.output, label)
        return [*lines, *_loop("t", "T", [*inner, *self.readout(given, "y[t]")])]


# Names of the text's own, which an unlabelled cell must not have.
OWN = {"y", "u", "p", "s", "t", "E", "b_y", "loss"}


def _sized(dimension: str, sizes: Mapping[str, str]) -> str:
    return ast.unparse(size_in(dimension, sizes, ast.parse("0", mode="eval").body))


def _loop(variable: str, axis: str, lines: list[str], reverse: bool = False) -> list[str]:
    steps = f"reversed(range({axis}))" if reverse else f"range({axis})"
    return [f"for {variable} in {steps}:", *(f"    {line}" for line in lines)]
