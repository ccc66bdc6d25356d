"""Forward program -> the computational graph of one step, as a diagram."""

from __future__ import annotations

from collections.abc import Mapping

import sympy
from sympy import Expr, Symbol

from ..derive.cell import previous
from ..derive.derivation import Derivation
from ..derive.functions import Elementwise
from ..derive.linear import softmax
from .document import Box, Diagram, Text, Wire
from .formula import Formula, clean
from .layout import Layout, laid_out
from .mathematics import Mathematics
from .phrases import Phrases

MOST = 25
PAGE = (43.0, 52.0)  # ems that a page has room for
SMALLEST = 0.62
LEVELS = 3


class Graph:
    """What a step reads and computes, without its parameters: an edge where a value is read.

    Args:
        derivation: of a cell.
        level: 0 shows every value of the forward program; 1 leaves out the parts that it named itself; 2 leaves out
            what only one other value reads, too.

    >>> import bptt
    >>> Graph(bptt.derive(bptt.load("rnn")), level=1).edges
    [('x', 'h'), ('h_prev', 'h')]
    """

    def __init__(self, derivation: Derivation, level: int = 0) -> None:
        cell, steps = derivation.cell, derivation.forward.steps
        inputs = (*cell.inputs, *cell.indices)
        sources = [*inputs, *(previous(name).name for name in cell.states)]
        targets = [step.target.name for step in steps]
        self.level = level
        self.expressions = {step.target.name: step.expr for step in steps}
        self.parts = {step.target.name for step in steps if step.reasons[0].rule == "named"}
        self.states = set(cell.states)
        order = {name: place for place, name in enumerate([*sources, *targets])}
        self.reads = {
            step.target.name: sorted((name for name in map(str, step.reads) if name in order), key=order.__getitem__)
            for step in steps
        }
        self.folded = 0
        for name in targets:
            readers = [other for other, read in self.reads.items() if name in read]
            if name in self.states or name in derivation.losses or not readers:
                continue
            if level >= 1 and name in self.parts or level >= 2 and len(readers) == 1:
                self._fold(name)
        read = {name for names in self.reads.values() for name in names}
        kept = read | self.states | set(inputs) | set(derivation.losses)
        self.nodes = [name for name in (*sources, *self.reads) if name in kept]
        self.edges = [(name, target) for target, names in self.reads.items() if target in self.nodes for name in names]

    def _fold(self, name: str) -> None:
        inside = self.reads.pop(name)
        self.folded += 1
        for target, names in self.reads.items():
            if name in names:
                place = names.index(name)
                self.reads[target] = list(dict.fromkeys([*names[:place], *inside, *names[place + 1 :]]))

    def kind(self, name: str) -> str:
        if name in self.states or name.removesuffix("_prev") in self.states:
            return "state"
        if name in self.parts:
            return "part"
        return "value" if name in self.reads else "input"


def diagram(
    derivation: Derivation, math: Mathematics, phrases: Phrases, names: Mapping[str, Formula] | None = None
) -> Diagram:
    """Return the computational graph of one step, with as little folded as lets it stay legible on a page.

    Args:
        derivation: of the cell.
        math: typesets its symbols.
        phrases: the language.
        names: values that are labelled otherwise than by their symbols.
    """
    for level in range(LEVELS):
        graph = Graph(derivation, level)
        labels = {name: math.formula(Symbol(name)) for name in graph.nodes} | dict(names or {})
        notes = {name: operation(graph.expressions[name], math) for name in graph.nodes if name in graph.expressions}
        sizes = {name: _size(labels[name], notes.get(name)) for name in graph.nodes}
        across, down = (laid_out(sizes, graph.edges, down) for down in (False, True))
        layout = down if _scale(down) > _scale(across) else across
        if len(graph.nodes) <= MOST and _scale(layout) >= SMALLEST:
            break
    boxes = tuple(
        Box(labels[name], notes.get(name), *layout.centres[name], *layout.sizes[name], graph.kind(name))
        for name in graph.nodes
    )
    wires = tuple(Wire(points) for points in layout.wires.values())
    alt, caption = _alt(graph, labels, phrases), _caption(graph, phrases)
    return Diagram(boxes, wires, layout.width, layout.height, layout.down, alt, caption)


def operation(expr: Expr, math: Mathematics) -> Formula | None:
    """Return the sign of the outermost operation, where it has one: σ, tanh, +, ⊙."""
    if isinstance(expr, Elementwise):
        return math.call("function_title", expr.rule.name)
    if isinstance(expr, softmax):
        return math.call("operator_title", "softmax")
    if isinstance(expr, sympy.Add):
        return math.sign("plus")
    if isinstance(expr, sympy.Mul) and math.is_tensor_product(expr):
        return math.sign("odot")
    return None


def _size(label: Formula, note: Formula | None) -> tuple[float, float]:
    return max(label.width, 0.75 * note.width if note else 0.0, 1.6) + 1.1, 2.35 if note else 1.75


def _scale(layout: Layout) -> float:
    return min(1.0, PAGE[0] / max(layout.width, 1), PAGE[1] / max(layout.height, 1))


def _alt(graph: Graph, labels: dict[str, Formula], phrases: Phrases) -> str:
    def said(names: list[str]) -> str:
        return "".join(map(str, phrases.join([clean(labels[name]).plain for name in names])))

    made = [
        phrases.plain("graph.made", value=said([name]), reads=said(graph.reads[name]))
        for name in graph.nodes
        if graph.reads.get(name)
    ]
    return phrases.plain("graph.alt", edges="; ".join(made))


def _caption(graph: Graph, phrases: Phrases) -> Text:
    caption = phrases.text("graph.caption")
    if graph.folded:
        caption += (" ", *phrases.text("graph.folded_parts" if graph.level == 1 else "graph.folded_values"))
    elif graph.parts:
        caption += (" ", *phrases.text("graph.parts"))
    return caption
