"""Derivation of a model -> document."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import NoneType

from sympy import Expr, Integer, Symbol

from ..derive.adjoint import delta
from ..derive.cell import Equation
from ..derive.convention import Notation
from ..derive.convention_model import restate
from ..derive.errors import expect
from ..derive.model_derivation import ModelDerivation
from ..derive.model_text import ENDINGS, LAST, PARAM, START
from ..derive.program import Reason, Step
from ..derive.proof import Proof
from .certificate import certificate, verdict
from .derivation import check_detail, sources
from .document import Algorithm, Block, Document, Equations, Heading, Inline, Line, Note, Paragraph, Row, Table, Text
from .edges import places_without_slope
from .formula import Formula
from .graph import diagram
from .mathematics import Mathematics
from .names import Token, taken_apart
from .phrases import Phrases
from .reasons import Reasons
from .styles import Style
from .symbols import meaning_of_maps
from .typesetter import Clock

TIME = Symbol("t", integer=True, positive=True)
DRAWN = 3  # equations of a step that are worth a drawing


def model_document(
    derivation: ModelDerivation,
    proof: Proof | None = None,
    language: str = "en",
    detail: str = "full",
    notation: Notation | None = None,
) -> Document:
    """Return the derivation of a model as a document.

    Args:
        derivation: from `bptt.derive`, or one that `bptt.restate` has written in a notation.
        proof: its proof in the notation of the page, printed as a certificate.
        language: of the sentences: one of `phrases.languages()`.
        detail: 'brief' (the model, its backward pass, gradients, verdict) or 'full'.
        notation: in which the derivation is written first; see `bptt.restate`.

    Raises:
        Error: for a language or a detail that isn't known, or as `bptt.restate`.

    >>> import bptt
    >>> model_document(bptt.derive(bptt.compose("rnn", layers=2))).title
    'Many-to-many model of rnn in 2 layers'
    """
    check_detail(detail)
    expect("what is typeset", derivation, ModelDerivation)
    expect("its proof", proof, Proof, NoneType)
    if notation is not None:
        derivation = restate(derivation, notation)
    page = _Page(derivation, Phrases(language))
    blocks = page.brief(proof) if detail == "brief" else page.full(proof)
    model = derivation.model
    kind = page.phrases.plain("kind.model", name=model.name)
    return Document(model.title, kind, sources(model.doc), tuple(blocks), language)


def model_equations(derivation: ModelDerivation, language: str = "en") -> list[Block]:
    """Return the equations of a model as blocks of a page, without the sum of its losses."""
    return _Page(derivation, Phrases(language)).loops()


class _Page:
    """The sections of the document, one method each; each block of the model has a typesetter that knows its time."""

    def __init__(self, derivation: ModelDerivation, phrases: Phrases) -> None:
        self.derivation = derivation
        self.model = derivation.model
        self.phrases = phrases
        self.numbers = range(len(self.model.blocks))
        shapes = dict(self.model.shapes)
        for part in derivation.parts:
            for program in (part.prologue, part.forward, part.backward, part.epilogue):
                shapes |= program.shapes
        fixed = [Symbol(name) for name in self.model.params]
        aliases: dict[str, tuple[str, Expr]] = {}
        for number, block in enumerate(self.model.blocks):
            fixed += derivation.clock(number).fixed
            if block.axis is None:
                fixed += [step.target for step in derivation.parts[number].forward.steps]
            for name, wire in block.wires.items():
                if wire.part in ENDINGS:
                    aliases[name] = self._alias(wire.source, wire.part)
            for state in block.starts:
                aliases[f"{state}{START}"] = (state, derivation.clock(number).before)
        fixed += [Symbol(name) for name in (*self.model.inputs, *self.model.indices) if not self._has_steps(name)]
        self.fixed = tuple(dict.fromkeys(fixed))
        style = Style(derivation.layout, derivation.adjoint)
        self.maths = [
            Mathematics(shapes, self.fixed, style, Clock(block.variable or TIME, 1 if block.reverse else -1, aliases))
            for block in self.model.blocks
        ]
        self.math = self.maths[0]
        self.losses = [(number, name) for number in self.numbers for name in self.model.blocks[number].losses]

    def _has_steps(self, name: str) -> bool:
        return len(self.model.whole_shape(name)) > len(self.model.shapes[Symbol(name)])

    def _alias(self, source: str, part: str) -> tuple[str, Expr]:
        if source in self.model.inputs:
            axis: Expr = Symbol(self.model.inputs[source][0])
            last = axis
        else:
            clock = self.derivation.clock(self.model.home(source))
            axis, last = clock.block.axis, clock.last
        return source, last if part == LAST else Symbol(f"1:{axis}", integer=True)

    def full(self, proof: Proof | None) -> list[Block]:
        blocks = [*self.notation(), *self.forward(), *self.graphs(), *self.backward(), *self.gradients()]
        blocks += [*self.algorithm(), *self.kinks()]
        if proof is not None:
            blocks += [self.heading("proof"), *certificate(proof, self.math, self.phrases)]
        return blocks

    def brief(self, proof: Proof | None) -> list[Block]:
        blocks = [*self.forward(), *self.backward(brief=True), *self.gradients(brief=True)]
        if proof is not None:
            blocks.append(verdict(proof, self.phrases))
        return blocks

    def heading(self, name: str) -> Heading:
        return Heading(self.phrases.plain(f"section.{name}"))

    def paragraph(self, key: str, **parts: Inline | Text) -> Paragraph:
        return Paragraph(self.phrases.text(key, **parts))

    # notation

    def notation(self) -> list[Block]:
        rows: dict[tuple[str, str, Text], list[Formula]] = {}
        spaces: dict[tuple[str, str, Text], Formula] = {}
        for name, role, meaning, math in self._entries():
            symbol = Symbol(name)
            space = (
                math.call("below_size", self.model.indices[name][-1]) if role == "index" else math.call("space", symbol)
            )
            key = (role, space.plain, meaning)
            rows.setdefault(key, []).append(math.formula(symbol))
            spaces[key] = space
        header = tuple((self.phrases.plain(f"column.{name}"),) for name in ("symbol", "role", "dimensions", "meaning"))
        cells: list[tuple[Text, ...]] = []
        for key, symbols in rows.items():
            listed: list[Inline] = []
            for symbol in symbols:
                listed += [", "] * bool(listed) + [symbol]
            cells.append((tuple(listed), (self.phrases.plain(f"role.{key[0]}"),), (spaces[key],), key[2]))
        return [self.heading("notation"), Table(header, tuple(cells), "llll", wide=3), Paragraph(self._conventions())]

    def _entries(self) -> Iterable[tuple[str, str, Text, Mathematics]]:
        text = self.phrases.text
        for name in (*self.model.inputs, *self.model.indices):
            role = "index" if name in self.model.indices else "input"
            math = self._math_of_reader(name)
            at_step = text(f"meaning.{role}", t=math.call("time", math.now))
            yield name, role, at_step if self._has_steps(name) else text(f"meaning.{role}_once"), math
        for name in self.model.params:
            yield name, "parameter", text("meaning.shared"), self.math
        for number in self.numbers:
            block, math = self.model.blocks[number], self.maths[number]
            time = math.call("time", math.now)
            for name in block.starts:
                yield name, "state", text("meaning.state_at", t=time), math
            for step in self.derivation.parts[number].forward.steps:
                if step.target.name not in (*block.starts, *block.losses):
                    named = step.reasons[0].rule == "named"
                    meaning = (
                        "meaning.part" if named else "meaning.value" if block.axis is not None else "meaning.value_once"
                    )
                    yield step.target.name, "part" if named else "value", text(meaning, t=time), math

    def _math_of_reader(self, name: str) -> Mathematics:
        for number, block in enumerate(self.model.blocks):
            if name in block.wires:
                return self.maths[number]
        return self.math

    def _conventions(self) -> Text:
        text, math = self.phrases.text, self.math
        sizes = [math.formula(Symbol(name, integer=True)) for name in self._sizes()]
        key = "meaning.sizes_of_model" if len(sizes) > 1 else "meaning.size_of_model"
        conventions = text(key, sizes=self.phrases.join(sizes)) if sizes else ()
        if self.model.axes:
            axes = self.phrases.join([math.formula(Symbol(name, integer=True)) for name in self.model.axes])
            key = "meaning.axes" if len(self.model.axes) > 1 else "meaning.axis"
            conventions += (" ",) * bool(conventions) + text(key, axes=axes)
        conventions += (" ",) * bool(conventions) + text(f"meaning.layout_{self.derivation.layout}")
        conventions += (" ",) + text("meaning.conventions", odot=math.sign("odot"))
        steps = [step.expr for part in self.derivation.parts for step in part.steps]
        return conventions + meaning_of_maps(steps, math, self.phrases)

    def _sizes(self) -> list[str]:
        given = (*self.model.inputs, *self.model.params)
        shapes = [self.model.shapes[Symbol(name)] for name in given]
        symbols = [s.name for shape in shapes for size in shape for s in sorted(size.atoms(Symbol), key=str)]
        entries = [dimensions[-1] for dimensions in self.model.indices.values()]
        return [
            name for name in dict.fromkeys([*symbols, *entries]) if name not in self.model.axes and name.isidentifier()
        ]

    # forward

    def loops(self) -> list[Block]:
        blocks: list[Block] = []
        for number in self.numbers:
            block, math, clock = self.model.blocks[number], self.maths[number], self.derivation.clock(number)
            blocks += self._lead(number)
            for lines in _by_layer(block.cell.equations):
                rows = []
                for line in lines:
                    left = self.loss_name(line.target.name, number) or math.formula(line.target)
                    rows.append(Row(left, math.formula(clock.at(line.written))))
                blocks.append(Equations(tuple(rows), boxed=True))
        return blocks

    def forward(self) -> list[Block]:
        blocks = [self.heading("model"), *self.loops()]
        if len(self.losses) == 1 and self.model.blocks[self.losses[0][0]].axis is None:
            return blocks
        whole = Equations((Row(self.math.call("bare_loss"), self._whole_loss()),))
        return [*blocks, self.paragraph("text.model_loss"), whole]

    def _lead(self, number: int) -> list[Block]:
        block, math, clock = self.model.blocks[number], self.maths[number], self.derivation.clock(number)
        if block.axis is None:
            return [self.paragraph("text.model_once")] if len(self.model.blocks) > 1 else []
        counting = math.call("counting", clock.first, clock.last)
        starts = []
        for state in block.starts:
            first, given = math.name(state, clock.before), self._start(number, state)
            starts.append(first if first == given else math.equal(first, given))
        if not starts:
            return [self.paragraph("text.model_loop", counting=counting)]
        return [self.paragraph("text.model_loop_from", counting=counting, starts=self.phrases.join(starts))]

    def _start(self, number: int, state: str) -> Formula:
        wire = self.model.blocks[number].starts[state]
        if wire is None:
            return self.maths[number].sign("zero")
        if wire.part == LAST:
            return self.maths[number].name(*self._alias(wire.source, LAST))
        return self.maths[number].name(wire.source)

    def loss_name(self, name: str, number: int) -> Formula | None:
        if (number, name) not in self.losses:
            return None
        place = self.losses.index((number, name)) + 1 if len(self.losses) > 1 else 0
        block = self.model.blocks[number]
        return self.maths[number].call("loss_term", place, block.variable)

    def _whole_loss(self) -> Formula:
        terms = []
        for place, (number, _) in enumerate(self.losses, 1):
            block, math = self.model.blocks[number], self.maths[number]
            shown = place if len(self.losses) > 1 else 0
            limits = (block.variable, Integer(1), block.axis)
            terms.append(
                math.call("loss_term", shown, None) if block.axis is None else math.call("summed_loss", shown, limits)
            )
        whole = terms[0]
        for term in terms[1:]:
            whole += self.math.call("and_more") + term
        return whole

    def graphs(self) -> list[Block]:
        drawn: list[Block] = []
        for number, part in enumerate(self.derivation.parts):
            if len(part.cell.equations) >= DRAWN:
                losses = {name: self.loss_name(name, number) for name in part.losses}
                names = {name: formula for name, formula in losses.items() if formula is not None}
                drawn.append(diagram(part, self.maths[number], self.phrases, names))
        return drawn

    # backward

    def backward(self, brief: bool = False) -> list[Block]:
        blocks: list[Block] = [self.heading("model_backward"), self.paragraph("text.model_backward")]
        for number in reversed(self.numbers):
            steps = self.derivation.adjoints[number]
            if not steps:
                continue
            reasons = _ModelReasons(self, number)
            if len(self.model.blocks) > 1:
                blocks.append(self._back_lead(number))
            math = self.maths[number]
            rows = [
                Row(math.formula(step.target), math.formula(step.expr), () if brief else reasons.of(step))
                for step in steps
            ]
            blocks.append(Equations(tuple(rows)))
        return blocks

    def _back_lead(self, number: int) -> Paragraph:
        block, math, clock = self.model.blocks[number], self.maths[number], self.derivation.clock(number)
        if block.axis is None:
            return self.paragraph("text.model_back_once")
        return self.paragraph("text.model_back_loop", counting=math.call("counting", clock.last, clock.first))

    def gradients(self, brief: bool = False) -> list[Block]:
        if not self.model.params:
            return []
        rows = []
        for name, expr in self.derivation.gradients.items():
            if name not in self.derivation.unreached:
                why = () if brief else self._why_of_share(name)
                rows.append(Row(self.math.call("gradient", name), self.math.formula(expr), why))
        blocks: list[Block] = [
            self.heading("gradients"),
            self.paragraph("text.model_gradients"),
            Equations(tuple(rows)),
        ]
        if self.derivation.unreached:
            names = self.phrases.join([self.math.formula(Symbol(name)) for name in self.derivation.unreached])
            blocks.append(Note("", self.phrases.text("text.model_unreached", names=names)))
        return blocks

    def _why_of_share(self, name: str) -> Text:
        texts: list[Text] = []
        for number, part in enumerate(self.derivation.parts):
            for step in part.backward.steps:
                if step.target == delta(Symbol(name)) and step.expr != 0:
                    texts.append(_ModelReasons(self, number).of(step))
            for state, wire in self.model.blocks[number].starts.items():
                if wire is not None and wire.source == name and wire.part == PARAM:
                    texts.append(self.phrases.text("why.start", state=self.maths[number].name(state, Integer(0))))
        joined: list[Inline] = []
        for text in dict.fromkeys(texts):
            joined += ["; "] * bool(joined) + list(text)
        return tuple(joined)

    # algorithm

    def algorithm(self) -> list[Block]:
        lines = [Line((self.phrases.plain("algorithm.model_forward"),), numbered=False)]
        for number in self.numbers:
            block, math, clock = self.model.blocks[number], self.maths[number], self.derivation.clock(number)
            part = self.derivation.parts[number]
            for state in block.starts:
                lines.append(Line((math.name(state, clock.before) + self.gets() + self._start(number, state),)))
            for step in part.prologue.steps:
                lines.append(Line((math.formula(step.target) + self.gets() + math.formula(step.expr),)))
            indent = self._loop(number, lines, clock.first, clock.last)
            for step in part.forward.steps:
                left = self.loss_name(step.target.name, number) or math.formula(step.target)
                lines.append(Line((left + self.gets() + math.formula(clock.at(step.expr)),), indent))
        lines.append(Line((self.phrases.plain("algorithm.model_backward"),), numbered=False))
        for number in reversed(self.numbers):
            math, clock, part = self.maths[number], self.derivation.clock(number), self.derivation.parts[number]
            indent = self._loop(number, lines, clock.last, clock.first)
            for step in self.derivation.adjoints[number]:
                lines.append(Line((math.formula(step.target) + self.gets() + math.formula(step.expr),), indent))
            for step in part.backward.steps:
                if step.target in map(delta, part.fixed) and step.expr != 0:
                    lines.append(self._added(math, step.target, clock.at(step.expr), indent))
            for step in part.epilogue.steps:
                if step.target in map(delta, map(Symbol, self.model.params)) and step.expr != 0:
                    lines.append(self._added(math, step.target, step.expr, 0))
            for state, wire in clock.block.starts.items():
                if wire is not None and wire.part == PARAM:
                    back = self.derivation.sent_to_start(number, state)
                    lines.append(self._added(math, delta(Symbol(wire.source)), back, 0))
        return [self.heading("algorithm"), self.paragraph("text.model_algorithm"), Algorithm(tuple(lines))]

    def kinks(self) -> list[Block]:
        parts = [(part, partial(self._timed, number)) for number, part in enumerate(self.derivation.parts)]
        return places_without_slope(parts, self.math, self.phrases)

    def _timed(self, number: int, expr: Expr) -> Formula:
        return self.maths[number].formula(self.derivation.clock(number).at(expr))

    def _loop(self, number: int, lines: list[Line], first: Expr, last: Expr) -> int:
        if self.model.blocks[number].axis is None:
            return 0
        lines.append(Line(self.phrases.text("algorithm.up", counting=self.maths[number].call("counting", first, last))))
        return 1

    def _added(self, math: Mathematics, target: Symbol, expr: Expr, indent: int) -> Line:
        total = math.formula(target)
        return Line((total + self.gets() + total + math.call("grown_by", expr),), indent)

    def gets(self) -> Formula:
        return self.math.sign("gets")


def _by_layer(equations: Iterable[Equation]) -> list[list[Equation]]:
    """Return equations in groups: a new one begins with each label that the group before doesn't have."""
    groups: list[list[Equation]] = [[]]
    current: tuple[Token, ...] = ()
    for equation in equations:
        label = taken_apart(equation.target.name).label
        if label and label != current and groups[-1]:
            groups.append([])
        current = label or current
        groups[-1].append(equation)
    return groups


class _ModelReasons(Reasons):
    """Justifications of the steps of one block."""

    def __init__(self, page: _Page, number: int) -> None:
        super().__init__(page.maths[number], page.phrases, page.fixed)
        self.page = page
        self.number = number

    def clauses(self, step: Step, rule: str, is_one: bool, reasons: list[Reason]) -> list[Text]:
        if rule != "incoming":
            return super().clauses(step, rule, is_one, reasons)
        value = step.target.name.removeprefix("delta_")
        clock = self.page.derivation.clock(self.number)
        found = []
        if value in clock.block.starts:
            found.append(self.phrases.text("why.next_step", next=self.math.call("time", clock.next())))
        if self.page.derivation.is_read_elsewhere(value):
            found.append(self.phrases.text("why.read_elsewhere"))
        return found or [self.phrases.text("why.incoming_fixed")]

    def value(self, reason: Reason) -> Formula:
        return self.page.loss_name(str(reason.through), self.number) or super().value(reason)

    def slope(self, target: Symbol, reason: Reason) -> Formula:
        loss = self.page.loss_name(str(reason.through), self.number)
        if loss is None:
            return super().slope(target, reason)
        value = self.math.name(target.name.removeprefix("delta_"), self.math.now)
        sloped = self.math.fraction_of(loss, value)
        return sloped + self.math.sign("equals") + self.math.formula(reason.slope)
