"""The box in which a report checks itself: what was found beside what is allowed, and whether it passes."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.claims.certificate import Check
from ..derive.proof import Proof
from .document import Block, Frame, Mark, Note, Strong, Table, Text
from .phrases import Phrases
from .plots import number

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
    header = tuple(
        (phrases.plain(f"certification.{key}"),) for key in ("check", "cell", "error", "tolerance", "passes")
    )
    rows: list[tuple[Text, ...]] = [
        (
            (phrases.plain(f"certification.of.{check.name}"),),
            (check.cell,),
            (number(check.error, whole=True),),
            (number(check.tolerance, whole=True),),
            (Mark(check.holds),),
        )
        for check in every
    ]
    table = Table(header, tuple(rows), "llrrc", phrases.text("certification.caption"), wide=0)
    note = Note("", (Mark(not failed), " ", said), bad=bool(failed))
    return [Frame(phrases.plain("certification.title"), (note, table))]
