"""Derivation -> document: the page that a lecturer hands out."""

from __future__ import annotations

from types import NoneType

import sympy
from sympy import Expr, Symbol

from ..derive.cell import previous
from ..derive.convention import Notation, Restated, restate
from ..derive.convention_layout import BatchLayout, ColumnLayout, Layout
from ..derive.derivation import Derivation
from ..derive.errors import Error, expect
from ..derive.functions import Elementwise
from ..derive.program import Step
from ..derive.proof import Proof
from ..derive.tangent import tangent_program
from .algorithm import algorithm
from .certificate import certificate, certificate_of_notation, verdict, verdict_on_notation
from .document import Block, Document, Equations, Heading, Inline, Paragraph, Row, Text
from .edges import places_without_slope
from .formula import Formula, is_readable
from .graph import diagram
from .long_products import bounds_of_step, unrolled_gradient
from .mathematics import Mathematics, earlier_letter
from .phrases import Phrases
from .reasons import Reasons
from .styles import Style, capitals
from .symbols import meaning_of_maps, notation_table, sizes_of

TIME = Symbol("t", integer=True, positive=True)
LENGTH = Symbol("T", integer=True, positive=True)


BLOCK_LINE, BLOCK_LINES = 32.0, 12  # ems and lines of a block of the Jacobian that still says something to a reader
ABREAST = 14.0  # ems of a formula that leave room for another beside it
DETAILS = ("brief", "full")


def derivation_document(
    derivation: Derivation | Restated,
    proof: Proof | None = None,
    language: str = "en",
    detail: str = "full",
    notation: Notation | None = None,
) -> Document:
    """Return the derivation of a cell as a document.

    Args:
        derivation: from `bptt.derive`, or one that `bptt.restate` has written in a notation.
        proof: its proof in the notation of the page, printed as a certificate.
        language: of the sentences: one of `phrases.languages()`.
        detail: 'brief' (definition, one backward step, gradients, verdict) or 'full'.
        notation: in which the derivation is written first; see `bptt.restate`.

    Raises:
        Error: for a language or a detail that isn't known, a proof of a cell with other names, or as `bptt.restate`.

    >>> import bptt
    >>> derivation_document(bptt.derive(bptt.load("rnn"))).title
    'Simple recurrent network with tanh'
    """
    check_detail(detail)
    expect("what is typeset", derivation, Derivation, Restated)
    expect("its proof", proof, Proof, NoneType)
    expect("its notation", notation, Notation, NoneType)
    if not isinstance(derivation, Restated):
        derivation = restate(derivation, notation or Notation())
    elif notation is not None:
        raise Error("this derivation is written in a notation already: give the derivation itself, or no notation")
    if proof is not None and not derivation.notation.is_plain:
        _check_proof(proof, derivation)
    page = _Page(derivation, Phrases(language))
    blocks = page.brief(proof) if detail == "brief" else page.full(proof)
    cell = derivation.given.cell
    return Document(
        cell.title, page.phrases.plain("kind.derivation", name=cell.name), sources(cell.doc), tuple(blocks), language
    )


def _check_proof(proof: Proof, restated: Restated) -> None:
    cell = restated.derivation.cell
    known = {*cell.params, *cell.inputs, *(f"{name}_0" for name in cell.states)}
    if other := [check.name for check in proof.checks if check.name not in known]:
        raise Error(
            f"the proof speaks of {', '.join(other)}, which this notation doesn't have: "
            "give the proof of `bptt.restate(derivation, notation)`"
        )


def check_detail(detail: str) -> None:
    """Refuse a level of detail that isn't known.

    >>> check_detail("short")
    Traceback (most recent call last):
    bptt.derive.errors.Error: unknown detail 'short'. Known: brief, full
    """
    if detail not in DETAILS:
        raise Error(f"unknown detail '{detail}'. Known: {', '.join(DETAILS)}")


def sources(doc: str) -> tuple[Text, ...]:
    """Return what a cell says of itself after its first line, one text per paragraph."""
    rest = doc.strip().splitlines()[1:]
    paragraphs = "\n".join(line.strip() for line in rest).strip().split("\n\n")
    return tuple((" ".join(paragraph.split()),) for paragraph in paragraphs if paragraph.strip())


def mathematics(derivation: Derivation, layout: str = "column", adjoint: str = "delta") -> Mathematics:
    """Return the typesetter of a derivation's symbols, in the layout in which it is written."""
    programs = (derivation.forward, derivation.prologue, derivation.epilogue, derivation.backward)
    shapes = {symbol: shape for program in programs for symbol, shape in program.shapes.items()}
    fixed = fixed_symbols(derivation)
    names = {symbol.name for shape in shapes.values() for size in shape for symbol in size.free_symbols}
    earlier = earlier_letter(names | {symbol.name for symbol in shapes})
    style = Style(layout, adjoint, capitals(shapes, fixed) if layout == "batch" else {})
    return Mathematics(shapes, fixed, style, earlier=earlier)


def fixed_symbols(derivation: Derivation) -> tuple[Symbol, ...]:
    """Return the symbols that carry no time."""
    return (*map(Symbol, derivation.cell.params), *derivation.prologue.outputs)


def equations_of(derivation: Derivation, math: Mathematics) -> Equations:
    """Return a cell's equations as its author wrote them."""
    rows = (Row(math.formula(line.target), math.formula(line.written)) for line in derivation.cell.equations)
    return Equations(tuple(rows), boxed=True)


class _Page:
    """The sections of the document, one method each.

    What speaks of Jacobians is written by `one_math` in the layout `one_layout`: on a page of batches, for one sample.
    """

    def __init__(self, restated: Restated, phrases: Phrases) -> None:
        derivation, notation = restated.derivation, restated.notation
        self.restated = restated
        self.derivation = derivation
        self.phrases = phrases
        self.fixed = fixed_symbols(derivation)
        self.math = mathematics(derivation, notation.layout, notation.adjoint)
        self.one_math: Mathematics = self.math
        self.one_layout: Layout = restated.layout
        if notation.layout == "batch":
            self.one_math = mathematics(restated.column, adjoint=notation.adjoint)
            self.one_layout = ColumnLayout(self.one_math.shapes, self.fixed)
        self.reasons = Reasons(self.math, phrases, self.fixed)
        self.states = list(derivation.cell.states)

    def full(self, proof: Proof | None) -> list[Block]:
        blocks = [*self.notation(), *self.forward(), self.graph(), *self.parts(), *self.backward(), *self.recursion()]
        blocks += [*self.gradients(), *self.algorithm(), *self.jacobian()]
        blocks += places_without_slope([(self.derivation, self.math.formula)], self.math, self.phrases)
        if proof is not None:
            blocks += [self.heading("proof"), *certificate(proof, self.math, self.phrases)]
            blocks += certificate_of_notation(self.restated, self.math, self.phrases)
        return blocks

    def brief(self, proof: Proof | None) -> list[Block]:
        blocks = [*self.forward(), *self.parts(brief=True), *self.backward(brief=True), *self.gradients(brief=True)]
        if proof is not None:
            blocks.append(verdict(proof, self.phrases))
            blocks += verdict_on_notation(self.restated, self.phrases)
        return blocks

    def heading(self, name: str) -> Heading:
        return Heading(self.phrases.plain(f"section.{name}"))

    def paragraph(self, key: str, **parts: Inline | Text) -> Paragraph:
        return Paragraph(self.phrases.text(key, **parts))

    def row(self, step: Step, why: Text | None = None) -> Row:
        reason = self.reasons.of(step) if why is None else why
        return Row(self.math.formula(step.target), self.math.formula(step.expr), reason)

    def time(self, time: Expr) -> Formula:
        return self.math.call("time", time)

    def notation(self) -> list[Block]:
        table = notation_table(self.derivation, self.math, self.phrases)
        sizes = [self.math.formula(size) for size in sizes_of(self.derivation)]
        math, text = self.math, self.phrases.text
        key = "meaning.sizes" if len(sizes) > 1 else "meaning.size"
        conventions = text(key, sizes=self.phrases.join(sizes), T=self.time(LENGTH)) if sizes else ()
        conventions += (" ",) * bool(sizes) + self.conventions()
        conventions += meaning_of_maps([step.expr for step in self.derivation.steps], math, self.phrases)
        if any(isinstance(f, Elementwise) and f.rule.name in ("step", "geq") for f in self._functions()):
            conventions += (" ",) + text("meaning.indicator", indicator=math.call("indicator_of"))
        return [self.heading("notation"), table, Paragraph(conventions)]

    def conventions(self) -> Text:
        """What a vector is in the layout, and how operations act on it."""
        layout, example = self.restated.layout, self.states[0]
        samples: Text = ()
        if isinstance(layout, BatchLayout):
            rows, size = self.math.formula(Symbol(example)), self.math.formula(layout.size)
            samples = self.phrases.text("meaning.layout_batch", rows=rows, size=size, odot=self.math.sign("odot"))
        vectors = samples or self.phrases.text(f"meaning.layout_{layout.name}")
        return vectors + (" ",) + self.phrases.text("meaning.conventions", odot=self.math.sign("odot"))

    def _functions(self) -> list[Elementwise]:
        steps = self.derivation.steps
        return [f for step in steps for f in sympy.preorder_traversal(step.expr) if isinstance(f, Elementwise)]

    def forward(self) -> list[Block]:
        cell = self.derivation.cell
        join, formula = self.phrases.join, self.math.formula
        given = (*cell.inputs, *cell.indices, *(f"{name}_prev" for name in cell.states))
        before = join([formula(Symbol(name)) for name in given])
        after = join([formula(Symbol(name)) for name in cell.states])
        lead = self.paragraph("text.forward", before=before, after=after)
        blocks: list[Block] = [self.heading("forward"), lead, equations_of(self.derivation, self.math)]
        return blocks + self.stacked()

    def stacked(self) -> list[Block]:
        """Which blocks the parameters of a fused cell consist of."""
        if not self.restated.blocks:
            return []
        given = mathematics(self.restated.given)
        turned = self.restated.layout.name == "row"
        rows = []
        for name, grid in self.restated.blocks.items():
            flat = all(len(self.restated.given.cell.shapes[row[0]]) == 1 for row in grid)
            across = [list(row) for row in (zip(*grid, strict=True) if turned else grid)]
            kind = "listed" if turned and flat else ""
            entries = [[given.formula(symbol) for symbol in row] for row in across]
            rows.append(Row(self.math.name(name), self.math.list_of(entries[0]) if kind else self.math.grid(entries)))
        key = "text.stacked_row" if turned else "text.stacked"
        return [self.paragraph(key), Equations(tuple(rows))]

    def graph(self) -> Block:
        return diagram(self.derivation, self.math, self.phrases)

    def algorithm(self) -> list[Block]:
        lead = self.paragraph("text.algorithm")
        for name in list(self.derivation.cell.params)[:1] if self.math.style.adjoint != "partial" else []:
            delta, gradient = self.math.formula(Symbol(f"delta_{name}")), self.math.call("gradient", name)
            lead = Paragraph((*lead.text, " ", *self.phrases.text("text.sums", delta=delta, gradient=gradient)))
        return [self.heading("algorithm"), lead, algorithm(self.derivation, self.math, self.phrases)]

    def parts(self, brief: bool = False) -> list[Block]:
        """The forward program, or in brief its named parts; left out where it says no more than the author's lines."""
        blocks: list[Block] = []
        if self.derivation.prologue.steps:
            rows = tuple(self.row(step, ()) for step in self.derivation.prologue.steps)
            blocks += [self.heading("prologue"), self.paragraph("text.prologue"), Equations(rows)]
        steps = self.derivation.forward.steps
        named = tuple(step for step in steps if step.reasons[0].rule == "named")
        if brief and named:
            rows = tuple(self.row(step, ()) for step in named)
            blocks += [self.paragraph("text.parts_brief"), Equations(rows)]
        elif named:
            rows = tuple(self.row(step, ()) for step in steps)
            blocks += [self.heading("parts"), self.paragraph("text.parts"), Equations(rows)]
        return blocks

    def backward(self, brief: bool = False) -> list[Block]:
        shares = {Symbol(f"delta_{symbol}") for symbol in self.fixed}
        steps = [step for step in self.derivation.backward.steps if step.target not in shares]
        state = self.states[0]
        partial = self.math.style.adjoint == "partial"
        lead = self.paragraph(
            "text.backward_partial" if partial else "text.backward",
            whole=self.math.call("whole_loss"),
            delta=self.math.call("quantity_text", f"delta_{state}", TIME),
            definition=self.math.call("gradient", state, TIME),
        )
        if brief:
            loss = self.math.call("direct_sloped", state)
            conventions = (" ", *self.conventions())
            sent = self.paragraph(
                "text.backward_brief",
                sent=self.math.call("sent_back", state),
                next=self.time(TIME + 1),
                T=self.time(LENGTH),
                direct=loss,
                state=self.math.formula(Symbol(state)),
            )
            rows = tuple(self.row(step, ()) for step in steps)
            return [self.heading("backward"), lead, Paragraph((*sent.text, *conventions)), Equations(rows)]
        return [self.heading("backward"), lead, Equations(tuple(self.row(step) for step in steps))]

    def recursion(self) -> list[Block]:
        rows = tuple(
            Row(self.math.call("quantity_text", f"delta_{name}", TIME), self.math.formula(expr))
            for name, expr in self.derivation.recursion.items()
        )
        lead = self.paragraph("text.recursion", T=self.time(LENGTH), next=self.time(TIME + 1))
        return [self.heading("recursion"), lead, Equations(rows, boxed=True)]

    def gradients(self, brief: bool = False) -> list[Block]:
        if not self.derivation.cell.params:
            return []
        reasons = {step.target: self.reasons.of(step) for step in self.derivation.backward.steps}
        once = {step.target: step for step in self.derivation.epilogue.steps}
        rows = []
        for name, expr in self.derivation.gradients.items():
            target = Symbol(f"delta_{name}")
            later = target in once and once[target].expr != 0
            why = self.reasons.of(once[target]) if later else reasons[target]
            rows.append(Row(self.math.call("gradient", name), self.math.formula(expr), () if brief else why))
        columns = 2 if brief and len(rows) > 4 and all(row.right.width < ABREAST for row in rows) else 1
        lead = self.phrases.text("text.gradients")
        if self.derivation.epilogue.steps:
            lead += (" ", *self.phrases.text("text.epilogue"))
        return [self.heading("gradients"), Paragraph(lead), Equations(tuple(rows), brief, columns)]

    def jacobian(self) -> list[Block]:
        blocks: list[Block] = [self.heading("jacobian")]
        column, layout, math = self.restated.column, self.one_layout, self.one_math
        try:
            found = {(a, b): layout.matrix(column.jacobian(a, b)) for a in self.states for b in self.states}
        except Error:
            return [*blocks, self.paragraph("text.no_jacobians")]
        call = math.call
        if self.restated.notation.layout != layout.name:
            blocks.append(self.paragraph("text.one_sample", h=math.formula(Symbol(self.states[0]))))
        elif layout.name == "row":
            blocks.append(self.paragraph("text.rows"))
        many = len(self.states) > 1
        lead = "text.product_many" if many else "text.product_one"
        blocks.append(self.paragraph(lead, s=call("stacked")))
        if many:
            grid = [[call("block", *pair) for pair in row] for row in layout.blocks(self.states)]
            blocks.append(Equations((Row(call("step_matrix"), math.grid(grid)),)))
            rows = tuple(Row(call("block", a, b), math.formula(found[a, b])) for a, b in found)
        else:
            state = self.states[0]
            only = call("step_matrix") + math.sign("equals") + call("block", state, state)
            rows = (Row(only, math.formula(found[state, state])),)
        readable = tuple(row for row in rows if is_readable(row.right, BLOCK_LINE, BLOCK_LINES))
        if readable:
            blocks += [self.paragraph("text.blocks")] * many + [Equations(readable)]
        blocks += self.changes() if len(readable) < len(rows) else []
        blocks.append(self.paragraph("text.flow", k=call("lag")))
        name = "" if many else self.states[0]
        blocks.append(Equations((Row(call("lagged", name), call("gradient_product", name)),), boxed=True))
        blocks.append(self.paragraph("text.fate", k=call("lag")))
        blocks += bounds_of_step(column, math, self.phrases, layout)
        return blocks + unrolled_gradient(column, math, self.phrases, layout)

    def changes(self) -> list[Block]:
        """The steps that give what of the Jacobian is too long to be read as one expression."""
        program = self.one_layout.program(tangent_program(self.restated.column.forward, map(previous, self.states)))
        math = Mathematics({**self.one_math.shapes, **program.shapes}, self.fixed, self.one_math.style)
        state = self.states[0]
        lead = self.paragraph(
            "text.changes",
            change=math.call("change", state, TIME),
            value=math.formula(Symbol(state)),
            matrix=math.call("step_matrix"),
            line=self.phrases.plain("side.row" if self.one_layout.name == "row" else "side.column"),
        )
        rows = (Row(math.formula(step.target), math.formula(step.expr)) for step in program.steps)
        return [lead, Equations(tuple(rows))]
