"""The comparative report: cells side by side, how their gradients flow, what they cost, what is proved of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import sympy
from sympy import Expr, Symbol

from ..derive.derivation import Derivation
from ..derive.errors import Error
from ..derive.program import step_counts
from ..derive.proof import Proof
from .certification import certification
from .claims import claims_section
from .derivation import equations_of, mathematics
from .document import Block, Document, Heading, Inline, Listing, Mark, Paragraph, Side, Sides, Table, Text
from .figures import flow_plot, picture
from .findings import Findings, signed
from .formula import Formula
from .mathematics import Mathematics, earlier_letter
from .overflow import overflow_table, overflowed, overflows
from .phrases import Phrases
from .plots import colours

if TYPE_CHECKING:
    from xarray import Dataset

    from ..analysis.claims.certificate import Check
    from ..analysis.claims.claim import Claim


def comparison_document(
    derivations: Sequence[Derivation],
    study: Dataset,
    proofs: Sequence[Proof] = (),
    command: str = "bptt report",
    language: str = "en",
    claims: Sequence[Claim] = (),
    checks: Sequence[Check] = (),
) -> Document:
    """Return the comparative report of several cells.

    Args:
        derivations: of the cells in the study.
        study: `log_norm` over (cell, data, seed, lag), natural log, from `analysis.flow_study`, with its settings in
            `attrs`.
        proofs: of any of the derivations.
        command: how a reader makes this report again.
        language: which file of sentences to use.
        claims: as tested, from `measure_claims`.
        checks: of this run, from `certify`.

    Raises:
        Error: when the study speaks of a cell that has no derivation here.
    """
    by_name = {derivation.cell.name: derivation for derivation in derivations}
    names = [str(name) for name in study.cell.values]
    if missing := [name for name in names if name not in by_name]:
        raise Error(f"the study measures {', '.join(missing)}, and no derivation of that name was given")
    report = _Report([by_name[name] for name in names], study, Phrases(language))
    blocks = [
        *report.setup(),
        *report.flow(),
        *report.table(),
        *report.findings_section(),
        *(claims_section(claims, report.phrases, report.paints) if claims else []),
        *(certification(checks, proofs, report.phrases) if checks else []),
        *report.equations(),
        *report.proofs({proof.cell: proof for proof in proofs}),
        Heading(report.phrases.plain("comparison.reproduce")),
        Paragraph(report.phrases.text("comparison.reproduce_text")),
        Listing((command,)),
    ]
    phrases = report.phrases
    return Document(phrases.plain("comparison.title"), phrases.plain("kind.comparison"), (), tuple(blocks), language)


def parameter_count(derivation: Derivation) -> Expr:
    """Return the number of a cell's parameters in its named sizes.

    >>> import bptt
    >>> parameter_count(bptt.derive(bptt.load("rnn")))
    m*n + n**2 + n
    """
    shapes = [derivation.cell.shapes[Symbol(name)] for name in derivation.cell.params]
    return sympy.expand(sympy.Add(*(sympy.Mul(*shape) for shape in shapes)))


class _Report:
    def __init__(self, derivations: list[Derivation], study: Dataset, phrases: Phrases) -> None:
        from ..analysis.gradient_flow import summarise

        self.derivations = derivations
        self.study = study
        self.summary = summarise(study)
        self.phrases = phrases
        self.kinds = [str(kind) for kind in study.data.values]
        self.math = Mathematics({}, earlier=earlier_letter(_shared(study.attrs.get("sizes", {}))))
        self.paints = colours([d.cell.name for d in derivations])
        self.overflows = overflows(self.summary)
        self.lags = int(study.lag.values.max())

    def kind(self, kind: str) -> str:
        key = f"comparison.{kind}"
        return self.phrases.plain(key) if key in self.phrases else kind

    def setup(self) -> list[Block]:
        phrases, settings = self.phrases, self.study.attrs
        kept = "weights" in settings
        question = phrases.text(
            "comparison.question_trained" if kept else "comparison.question",
            k=self.math.call("lag"),
        )
        kinds = phrases.join([self.kind(kind) for kind in self.kinds])
        sentences: list[Text] = []
        if "text" in settings:
            length, vocabulary = f"{settings.get('text_length', 0):,}", str(settings.get("vocabulary", ""))
            parts: dict[str, Inline | Text] = {
                "kinds": kinds,
                "text": str(settings["text"]),
                "length": length,
                "vocabulary": vocabulary,
            }
            sentences.append(phrases.text("comparison.data", **parts))
            if unread := [str(name) for name in self.study.cell.values[self.study.reads.values == ""]]:
                sentences.append(phrases.text("comparison.unread", cells=phrases.join(unread)))
        elif not kept:
            sentences.append(phrases.text("comparison.no_text"))
        if kept:
            read = "comparison.embedding" if settings["reads_embedding"] else "comparison.noise_read"
            sentences += [phrases.text("comparison.weights", file=str(settings["weights"])), phrases.text(read)]
            sentences += [(str(note),) for note in settings["notes"]]
        sizes: list[Inline] = []
        for name, size in _shared(settings.get("sizes", {})).items():
            sizes.append(self.math.formula(Symbol(name, integer=True)) + self.math.sign("equals") + self.number(size))
        sizes += _apart(settings.get("sizes", {}))
        if sizes:
            sentences.append(phrases.text("comparison.sizes", sizes=phrases.join(sizes)))
        sentences.append(
            phrases.text(
                "comparison.settings_trained" if kept else "comparison.settings",
                T=self.math.call("time", Symbol("T"))
                + self.math.sign("equals")
                + self.number(settings.get("steps", self.lags)),
                B=str(settings.get("batch", "")),
                S=str(self.study.sizes["seed"]),
                gain=f"{settings.get('gain', 1):g}",
                level=f"{self.summary.attrs.get('level', 0.95):.0%}",
            )
        )
        if "method" in settings:
            sentences.append(
                phrases.text("comparison.measured", norm=self.math.call("log_norm"), s=self.math.call("stacked"))
            )
        text: list[Inline] = []
        for sentence in sentences:
            text += [" "] * bool(text) + list(sentence)
        return [Paragraph(question), Heading(phrases.plain("comparison.setup")), Paragraph(tuple(text))]

    def number(self, number: int) -> Formula:
        return self.math.call("digits", number)

    def flow(self) -> list[Block]:
        letter = self.math.call("lag").plain
        words = {word: self.phrases.plain(f"comparison.{word}", k=letter) for word in ("lag", "norm", "times")}
        titles = {kind: self.kind(kind) for kind in self.kinds}
        broken = {(o.cell, o.data): overflowed(o, self.phrases) for o in self.overflows if o.is_whole}
        plot = flow_plot(self.summary, titles, words, self.paints, broken)
        curves = []
        for kind in self.kinds:
            for name in self.summary.cell.values:
                end = float(self.summary["mean"].sel(cell=name, data=kind)[-1])
                parts = {"cell": name, "data": self.kind(kind), "value": signed(end), "lag": self.lags}
                said = self.phrases.plain("comparison.alt_curve", **parts)
                curves.append(f"{name}: {broken[name, kind]}" if (name, kind) in broken else said)
        alt = self.phrases.plain("comparison.alt", curves="; ".join(curves))
        settings = self.study.attrs
        sizes = {**_shared(settings.get("sizes", {})), "T": settings.get("steps", self.lags)}
        caption = self.phrases.text(
            "comparison.caption",
            norm=self.math.call("log_norm"),
            k=self.math.call("lag"),
            conditions=", ".join(f"{name} = {size}" for name, size in sizes.items()),
            B=str(settings.get("batch", "")),
            S=str(self.study.sizes["seed"]),
            level=f"{self.summary.attrs.get('level', 0.95):.0%}",
        )
        if broken:
            caption = (*caption, " " + self.phrases.plain("overflow.marked"))
        trouble = overflow_table(self.overflows, self.summary, self.phrases, self.kind)
        return [Heading(self.phrases.plain("comparison.flow")), *trouble, picture(plot, alt, caption)]

    def table(self) -> list[Block]:
        plain = self.phrases.plain
        header: list[Text] = [(plain("comparison.cell"),)]
        header += [(plain("comparison.half_life", data=self.kind(kind)),) for kind in self.kinds]
        header += [(plain("comparison.parameters"),), (), (plain("comparison.multiply_adds"),), ()]
        rows = []
        for derivation in self.derivations:
            name = derivation.cell.name
            cells: list[Text] = [(name,)]
            cells += [(self.half_life(name, kind),) for kind in self.kinds]
            for formula in (parameter_count(derivation), step_counts(derivation.forward)):
                cells += [(self.polynomial(formula),), (f"{self.value(formula, name):,}",)]
            rows.append(tuple(cells))
        align = "l" + "r" * len(self.kinds) + "lrlr"
        table = Table(tuple(header), tuple(rows), align, self.phrases.text("comparison.table_caption"))
        return [Heading(plain("comparison.table")), table]

    def half_life(self, name: str, kind: str) -> str:
        if any((o.cell, o.data) == (name, kind) and o.is_whole for o in self.overflows):
            return self.phrases.plain("overflow.short")
        at = {"cell": name, "data": kind}
        value, low, high = (float(self.summary[v].sel(at)) for v in ("half_life", "half_life_low", "half_life_high"))
        bounds = "" if math.isnan(low) or math.isnan(high) else f"\N{NO-BREAK SPACE}({shown(low)}–{shown(high)})"
        return "∞" if math.isinf(value) and math.isinf(low) else f"{shown(value)}{bounds}"

    def polynomial(self, count: Expr) -> Formula:
        """Return a count with its terms in falling degree."""
        terms = [sympy.Mul(*term.as_ordered_factors(), evaluate=False) for term in count.as_ordered_terms()]
        return self.math.formula(sympy.Add(*terms, evaluate=False) if len(terms) > 1 else terms[0])

    def value(self, count: Expr, name: str) -> int:
        sizes = self.study.attrs.get("sizes", {}).get(name, {})
        known = {symbol: sizes.get(symbol.name, symbol) for symbol in sorted(count.free_symbols, key=str)}
        return int(count.xreplace({symbol: sympy.sympify(size) for symbol, size in known.items()}))

    def findings_section(self) -> list[Block]:
        costs = {d.cell.name: self.value(step_counts(d.forward), d.cell.name) for d in self.derivations}
        found = Findings(self.summary, self.phrases, self.kind).sentences(costs)
        return [Heading(self.phrases.plain("comparison.findings")), Paragraph((" ".join(found),))]

    def equations(self) -> list[Block]:
        sides = []
        for derivation in self.derivations:
            math_of = mathematics(derivation)
            title = f"{derivation.cell.name}: {derivation.cell.title}" if derivation.cell.doc else derivation.cell.name
            sides.append(Side(title, (equations_of(derivation, math_of),)))
        return [Heading(self.phrases.plain("comparison.equations")), Sides(tuple(sides))]

    def proofs(self, proofs: dict[str, Proof]) -> list[Block]:
        known = [proofs[d.cell.name] for d in self.derivations if d.cell.name in proofs]
        if not known:
            return []
        plain = self.phrases.plain
        header = tuple((plain(f"comparison.{name}"),) for name in ("cell", "proved", "entries"))
        rows: tuple[tuple[Text, ...], ...] = tuple(((p.cell,), (Mark(p.holds),), (f"{p.entries:,}",)) for p in known)
        caption = self.phrases.text("comparison.proof_caption")
        return [Heading(plain("comparison.proofs")), Table(header, rows, "lcr", caption)]


def _sizes(sizes: dict[str, dict[str, int]]) -> dict[str, dict[int, list[str]]]:
    """Return dimension -> size -> the cells in which it has that size."""
    found: dict[str, dict[int, list[str]]] = {}
    for cell, of_cell in sizes.items():
        for name, size in of_cell.items():
            found.setdefault(name, {}).setdefault(int(size), []).append(cell)
    return found


def _shared(sizes: dict[str, dict[str, int]]) -> dict[str, int]:
    """Return the sizes that are the same in every cell that has them."""
    return {name: min(values) for name, values in _sizes(sizes).items() if len(values) == 1}


def _apart(sizes: dict[str, dict[str, int]]) -> list[str]:
    """Return what else is to be said of sizes: those that differ from cell to cell.

    >>> _apart({"one": {"n": 5, "m": 2}, "other": {"n": 9, "m": 2}, "third": {"n": 5}})
    ['n = 5 (one, third)', 'n = 9 (other)']
    """
    differing = {name: values for name, values in _sizes(sizes).items() if len(values) > 1}
    return [
        f"{name} = {size} ({', '.join(cells)})" for name, values in differing.items() for size, cells in values.items()
    ]


def shown(steps: float) -> str:
    """Return a number of steps as a reader wants it.

    >>> shown(3.14159), shown(123.4), shown(math.inf)
    ('3.1', '123', '∞')
    """
    if math.isinf(steps):
        return "∞"
    return f"{steps:.1f}" if steps < 100 else f"{steps:.0f}"
