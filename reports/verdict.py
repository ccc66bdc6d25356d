"""Verdict on a hand-derived backward pass -> document: its lines, what is wrong, the mended lines, and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ..analysis.verdicts.code_judging import OWN
from ..analysis.verdicts.difference import Piece, difference
from ..analysis.verdicts.verdict import WHOLE, Fault, Verdict
from ..derive.errors import expect
from .document import Block, Code, Document, Heading, Inline, Mark, Note, Paragraph, Strong, Table, Text
from .mathematics import Mathematics, T
from .phrases import Phrases

# with which sentences of a verdict may start; names such as dh keep their small letter
WORDS = {"what", "with", "step", "the", "proved", "from", "only", "no", "line", "equals", "gradients"}
WORDS |= {"another", "agrees"}
SPOKEN = re.compile(  # names of a cell's quantities, as the verdict spells them
    r"∂L/∂(?P<gradient>[A-Za-z]\w*?)(?P<now>_t)?(?![\w\[{])|(?P<before>[A-Za-z]\w*?)_\{t-1\}"
)


def verdict_document(verdict: Verdict, language: str = "en") -> Document:
    """Return the page of a verdict; what the verdict itself says is in English.

    >>> from ..analysis.verdicts.check import check
    >>> document = verdict_document(check("da_h = dh * (1 - h)", cell="rnn"))
    >>> document.title
    'formulas: 1 fault'
    """
    expect("what is typeset", verdict, Verdict)
    phrases = Phrases(language)
    count = len(verdict.faults)
    key = "one" if count == 1 else "several"
    if verdict.correct:
        key = "open" if verdict.unjudged else "correct"
    title = phrases.plain(f"verdict.title_{key}", name=Path(verdict.name).name, count=count)
    blocks: list[Block] = [_summary(verdict, phrases)]
    spoken = _as_it_stands if verdict.cell == OWN else _typeset
    if verdict.faults:
        blocks.append(Heading(phrases.plain("verdict.faults")))
        for fault in verdict.faults:
            blocks += _fault(fault, phrases, spoken)
    if verdict.lines:
        blocks += [Heading(phrases.plain("verdict.lines")), _lines(verdict, phrases, spoken)]
    for key, said in (
        ("unjudged", verdict.unjudged),
        ("conventions", verdict.conventions),
        ("notes", verdict.notes),
    ):
        if said:
            blocks += [Heading(phrases.plain(f"verdict.{key}")), *(Paragraph(spoken(_sentence(text))) for text in said)]
    how = [phrases.plain("verdict.compared")] if verdict.lines else []
    if verdict.reference != "none":
        how.append(phrases.plain("verdict.reference", reference=verdict.reference))
    if verdict.correct:
        error = f"{verdict.largest_error:.0e}" if verdict.largest_error else "0"
        how.append(phrases.plain("verdict.error", error=error))
    if how:
        blocks += [Heading(phrases.plain("verdict.how")), Paragraph((" ".join(how),))]
    subtitle = (phrases.text("verdict.judged", cell=verdict.cell),)
    return Document(title, phrases.plain("kind.verdict"), subtitle, tuple(blocks), language)


def _summary(verdict: Verdict, phrases: Phrases) -> Note:
    held = sum(map(verdict.is_right, verdict.lines))
    missing = sum(_place(fault) == "missing" for fault in verdict.faults)
    if verdict.correct:
        agrees = f"open_{verdict.speaks_of}s" if verdict.unjudged else ""
        key = agrees or ("holds" if verdict.lines else "agrees")
    else:
        key = "fails" if verdict.lines else "stopped"
    said = phrases.plain(f"verdict.{key}", held=held, lines=len(verdict.lines), unjudged=len(verdict.unjudged))
    said += phrases.plain("verdict.lacks", missing=missing) if missing else ""
    return Note("", (Mark(verdict.correct), " ", Strong(said)), bad=not verdict.correct)


def _place(fault: Fault) -> str:
    """Return the key of the words for where a fault is."""
    if fault.line:
        return "line"
    return "whole" if fault.kind in WHOLE else "elsewhere" if fault.kind == "unknown" else "missing"


def _fault(fault: Fault, phrases: Phrases, spoken: Callable[[str], Text]) -> list[Block]:
    where = phrases.plain(f"verdict.{_place(fault)}", number=fault.line)
    blocks: list[Block] = [Note(f"{where}, {fault.kind}", spoken(_sentence(fault.message)), bad=True)]
    given, mended = difference(fault.given, fault.mended)
    if fault.given:
        blocks.append(Paragraph(phrases.text("verdict.given", line=_marked(given, good=False))))
    if fault.mended:
        blocks.append(Paragraph(phrases.text("verdict.mended", line=_marked(mended, good=True))))
    if fault.proof:
        blocks.append(Paragraph(spoken(_sentence(fault.proof))))
    return blocks


def _marked(pieces: tuple[Piece, ...], good: bool) -> Text:
    return tuple(Code(text, good if changed else None) for text, changed in pieces)


def _lines(verdict: Verdict, phrases: Phrases, spoken: Callable[[str], Text]) -> Table:
    header = tuple((phrases.plain(f"verdict.{name}"),) if name else () for name in ("", "number", "theirs", "gives"))
    shared = verdict.shared
    rows = []
    for line in verdict.lines:
        gives = ": ".join(filter(None, (line.quantity, line.why if line.why != shared else "")))
        text, holds = " ".join(line.text.split()), verdict.is_right(line)
        rows.append(((Mark(holds),), (str(line.number),), (Code(text),), spoken(gives)))
    caption = phrases.text("verdict.shared", reason=shared) if shared else ()
    return Table(header, tuple(rows), "crll", caption, wide=2)


def _sentence(text: str) -> str:
    """Return a text that starts with a capital letter, where it starts with a word, and ends with a full stop."""
    if text.split(" ")[0].rstrip(":,") in WORDS:
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _as_it_stands(text: str) -> Text:
    return (text,)


def _typeset(text: str) -> Text:
    """Return a text in which the names of a cell's quantities are typeset.

    >>> from .formula import clean
    >>> [part if isinstance(part, str) else clean(part).plain for part in _typeset("∂L/∂W_hr: see h_{t-1}")]
    ['∂ℒ/∂W_{hr}', ': see ', 'h_{t−1}']
    """
    math, found, end = Mathematics({}), list[Inline](), 0
    for match in SPOKEN.finditer(text):
        if match["gradient"]:
            formula = math.call("gradient", match["gradient"], T if match["now"] else None)
        else:
            formula = math.name(match["before"], T - 1)
        found += [text[end : match.start()], formula]
        end = match.end()
    return tuple(part for part in (*found, text[end:]) if part != "")
