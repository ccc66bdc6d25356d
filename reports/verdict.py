"""Verdict on a hand-derived backward pass -> document: its lines, what is wrong, the mended lines, and why."""

from __future__ import annotations

from pathlib import Path

from ..analysis.verdicts.difference import Piece, difference
from ..analysis.verdicts.verdict import Fault, Line, Verdict
from .document import Block, Code, Document, Heading, Inline, Mark, Note, Paragraph, Strong, Table, Text
from .phrases import Phrases

# with which sentences of a verdict may start; names such as dh keep their small letter
WORDS = ("what", "step", "the", "proved", "from", "only", "no", "line", "equals", "gradients", "another", "agrees")


def verdict_document(verdict: Verdict, language: str = "en") -> Document:
    """Return the page of a verdict; what the verdict itself says is in English.

    >>> from ..analysis.verdicts.check import check
    >>> document = verdict_document(check("da_h = dh * (1 - h)", cell="rnn"))
    >>> document.title
    'formulas: 1 fault'
    """
    phrases = Phrases(language)
    count = len(verdict.faults)
    key = "one" if count == 1 else "several"
    if verdict.correct:
        key = "open" if verdict.unjudged else "correct"
    title = phrases.plain(f"verdict.title_{key}", name=Path(verdict.name).name, count=count)
    blocks: list[Block] = [_summary(verdict, phrases)]
    if verdict.faults:
        blocks.append(Heading(phrases.plain("verdict.faults")))
        for fault in verdict.faults:
            blocks += _fault(fault, phrases)
    if verdict.lines:
        blocks += [Heading(phrases.plain("verdict.lines")), _lines(verdict, phrases)]
    for key, said in (
        ("unjudged", verdict.unjudged),
        ("conventions", verdict.conventions),
        ("notes", verdict.notes),
    ):
        if said:
            blocks += [Heading(phrases.plain(f"verdict.{key}")), *(Paragraph(_sentence(text)) for text in said)]
    blocks += [
        Heading(phrases.plain("verdict.how")),
        Paragraph(
            phrases.text(
                "verdict.reference",
                reference=verdict.reference,
                error=f"{verdict.largest_error:.0e}" if verdict.largest_error else "0",
            )
        ),
    ]
    subtitle = (phrases.text("verdict.judged", cell=verdict.cell),)
    return Document(title, phrases.plain("kind.verdict"), subtitle, tuple(blocks), language)


def _summary(verdict: Verdict, phrases: Phrases) -> Note:
    held = sum(line.holds for line in verdict.lines)
    key = "fails"
    if verdict.correct:
        key = "open" if verdict.unjudged else "holds"
    count = {"held": held, "lines": len(verdict.lines), "count": len(verdict.faults)}
    said = phrases.plain(f"verdict.{key}", **count, unjudged=len(verdict.unjudged))
    return Note("", (Mark(verdict.correct), " ", Strong(said)), bad=not verdict.correct)


def _fault(fault: Fault, phrases: Phrases) -> list[Block]:
    where = phrases.plain("verdict.line", number=fault.line) if fault.line else phrases.plain("verdict.missing")
    blocks: list[Block] = [Note(f"{where}, {fault.kind}", _sentence(fault.message), bad=True)]
    given, mended = difference(fault.given, fault.mended)
    if fault.given:
        blocks.append(Paragraph(phrases.text("verdict.given", line=_marked(given, good=False))))
    if fault.mended:
        blocks.append(Paragraph(phrases.text("verdict.mended", line=_marked(mended, good=True))))
    if fault.proof:
        blocks.append(Paragraph(_sentence(fault.proof)))
    return blocks


def _marked(pieces: tuple[Piece, ...], good: bool) -> Text:
    return tuple(Code(text, good if changed else None) for text, changed in pieces)


def _lines(verdict: Verdict, phrases: Phrases) -> Table:
    header = tuple((phrases.plain(f"verdict.{name}"),) if name else () for name in ("", "number", "theirs", "gives"))
    wrong = {fault.line for fault in verdict.faults}
    rows = tuple(_row(line, line.holds and line.number not in wrong) for line in verdict.lines)
    return Table(header, rows, "crll", wide=2)


def _row(line: Line, holds: bool) -> tuple[Text, ...]:
    gives: list[Inline] = [line.quantity]
    if line.why:
        gives.append(f": {line.why}")
    return (Mark(holds),), (str(line.number),), (Code(" ".join(line.text.split())),), tuple(gives)


def _sentence(text: str) -> Text:
    """Return a text that starts with a capital letter, where it starts with a word, and ends with a full stop."""
    if text.split(" ")[0].rstrip(":,") in WORDS:
        text = text[:1].upper() + text[1:]
    return (text if text.endswith((".", "!", "?")) else f"{text}.",)
