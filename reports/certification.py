"""The box in which a report checks itself: what was found beside what is allowed, and whether it passes."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.claims.certificate import Check
from ..derive.proof import Proof
from .document import Block, Frame, Mark, Note, Strong, Table, Text
from .phrases import Phrases
from .plots import number

COLUMNS = ("check", "error", "cell", "tolerance", "passes")
PROVED = 1e-8  # of gradients in float64 beside differences in 50 digits


def certification(checks: Sequence[Check], proofs: Sequence[Proof], phrases: Phrases) -> list[Block]:
    """Return the box with every check of this run; one that fails is shown as failing.

    >>> (box,) = certification([Check("transpose", "mine", 1.0, 1e-9)], (), Phrases())
    >>> box.blocks[0].bad, box.blocks[1].rows[0][-1]
    (True, (Mark(good=False),))
    """
    every = [*(Check("proof", p.cell, float(sum(not c.holds for c in p.checks)), 0.0) for p in proofs)]
    every += [Check("numerical", p.cell, p.error, PROVED) for p in proofs if p.error == p.error]
    every += checks
    failed = sum(not check.holds for check in every)
    parts = {"failed": failed, "count": len(every)}
    said = Strong(phrases.plain("certification.failed" if failed else "certification.passed", **parts))
    header = tuple((phrases.plain(f"certification.{key}"),) for key in COLUMNS)
    rows: list[tuple[Text, ...]] = []
    for name in dict.fromkeys(check.name for check in every):
        alike = [check for check in every if check.name == name]
        worst = max(alike, key=lambda check: (not check.holds, check.error))
        cells: tuple[Text, ...] = ((phrases.plain(f"certification.of.{name}"),), (number(worst.error, whole=True),))
        rows.append((*cells, (worst.cell,), (number(worst.tolerance, whole=True),), (Mark(worst.holds),)))
    table = Table(header, tuple(rows), "lrlrc", phrases.text("certification.caption"), wide=0)
    note = Note("", (Mark(not failed), " ", said), bad=bool(failed))
    return [Frame(phrases.plain("certification.title"), (note, table))]
