"""Proof -> certificate: what was expanded, how many entries were compared, and what came out."""

from __future__ import annotations

from collections.abc import Mapping

from sympy import Symbol

from ..derive.convention import Restated
from ..derive.functions import FUNCTIONS
from ..derive.polynomials import POINTS
from ..derive.proof import Check, Proof
from .document import Block, Code, Inline, Mark, Note, Paragraph, Strong, Table, Text
from .formula import Formula
from .mathematics import Mathematics
from .phrases import Phrases

ABREAST = {3: 7.5, 2: 14.5}  # columns of the table of checks -> the widest name in ems that leaves room for them
MOST_NAMED = 6  # gradients that a sentence lists


def certificate(proof: Proof, math: Mathematics, phrases: Phrases) -> tuple[Block, ...]:
    """Return the verdict, what was done, and a table of every check."""
    blocks: list[Block] = [verdict(proof, phrases), Paragraph(_how(proof, math, phrases))]
    fields = [_quantity(check, math) for check in proof.checks if check.method == "field"]
    if fields:
        prime = math.call("prime_field")
        names = (
            phrases.join(fields) if len(fields) <= MOST_NAMED else phrases.text("proof.some", count=str(len(fields)))
        )
        blocks.append(Paragraph(phrases.text("proof.field", names=names, points=str(POINTS), prime=prime)))
    if proof.functions:
        names = phrases.join([math.call("function_title", check.name) for check in proof.functions])
        blocks.append(Paragraph(phrases.text("proof.functions", functions=names)))
    if proof.error == proof.error:
        error = math.call("power_of_ten", proof.error)
        blocks.append(Paragraph(phrases.text("proof.numerical", error=error)))
    blocks.append(_table(proof.checks, math, phrases))
    for check in (*proof.functions, *proof.checks):
        if not check.holds:
            text = phrases.text(
                "proof.counterexample", quantity=_quantity(check, math), counterexample=Code(check.counterexample)
            )
            blocks.append(Note(phrases.plain("proof.counter"), text, bad=True))
    return tuple(blocks)


def verdict(proof: Proof, phrases: Phrases) -> Note:
    """Return the one-line verdict."""
    checks = (*proof.functions, *proof.checks)
    if proof.holds:
        return Note("", (Mark(True), " ", Strong(phrases.plain("proof.holds", entries=f"{proof.entries:,}"))))
    failed = sum(not check.holds for check in checks)
    return Note(
        "", (Mark(False), " ", Strong(phrases.plain("proof.fails", failed=failed, checks=len(checks)))), bad=True
    )


def certificate_of_notation(restated: Restated, math: Mathematics, phrases: Phrases) -> list[Block]:
    """Return what was proved of the notation itself; nothing where the page is in that of the derivation."""
    if restated.notation.is_plain:
        return []
    found = restated.agreement
    sizes = phrases.join(_sizes(found.sizes, math)) or phrases.text("proof.numbers")
    compared = phrases.text(f"proof.notation_{found.layout}", equations=str(len(found.equations)), sizes=sizes)
    blocks = verdict_on_notation(restated, phrases)
    blocks.append(Paragraph(compared))
    if found.functions:
        kind = "fused" if restated.blocks else "renamed"
        blocks.append(Paragraph(phrases.text(f"proof.{kind}")))
    for check in (*found.equations, *found.functions):
        if not check.holds:
            bad = phrases.text("proof.counterexample", quantity=check.name, counterexample=Code(check.counterexample))
            blocks.append(Note(phrases.plain("proof.counter"), bad, bad=True))
    return blocks


def verdict_on_notation(restated: Restated, phrases: Phrases) -> list[Block]:
    """Return the one-line verdict on a notation."""
    if restated.notation.is_plain:
        return []
    found = restated.agreement
    key = "proof.same" if found.holds else "proof.different"
    said = Strong(phrases.plain(key, entries=f"{found.entries:,}"))
    return [Note("", (Mark(found.holds), " ", said), bad=not found.holds)]


def _sizes(sizes: Mapping[str, int], math: Mathematics) -> list[Inline]:
    return [
        math.formula(Symbol(name, integer=True)) + math.sign("equals") + math.call("digits", size)
        for name, size in sizes.items()
    ]


def _how(proof: Proof, math: Mathematics, phrases: Phrases) -> Text:
    sizes = _sizes(proof.sizes, math)
    parts = {"sizes": phrases.join(sizes)}
    if proof.axis:
        steps = math.call("time", Symbol(proof.axis)) + math.sign("equals") + math.call("digits", proof.steps)
        parts["steps"] = (steps,)
    numbers = "" if sizes else "_numbers"
    return phrases.text(f"proof.how{numbers}" if proof.axis else f"proof.how_once{numbers}", **parts)


def _quantity(check: Check, math: Mathematics) -> Formula | str:
    return check.name if check.name in FUNCTIONS else math.call("gradient", check.name)


def _table(checks: tuple[Check, ...], math: Mathematics, phrases: Phrases) -> Table:
    """Return the checks; where there are many, in as many columns of rows as their names leave room for."""
    head = tuple((phrases.plain(f"column.{name}"),) for name in ("quantity", "entries", "agrees"))
    cells: list[tuple[Text, ...]] = [((_quantity(c, math),), (f"{c.entries:,}",), (Mark(c.holds),)) for c in checks]
    widest = max((math.call("gradient", check.name).width for check in checks), default=0.0)
    abreast = next((columns for columns, ems in ABREAST.items() if widest <= ems), 1) if len(cells) > 8 else 1
    height = -(-len(cells) // abreast)
    padded = [*cells, *[((), (), ())] * (abreast * height - len(cells))]
    rows = zip(*(padded[start : start + height] for start in range(0, len(padded), height)), strict=True)
    return Table(head * abreast, tuple(sum(row, ()) for row in rows), "lrc" * abreast)
