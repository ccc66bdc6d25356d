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
    """Return the box with every check of this run; one that fails is shown as failing, and what overflowed as such.

    >>> (box,) = certification([Check("transpose", "mine", 1.0, 1e-9)], (), Phrases())
    >>> box.blocks[0].bad, box.blocks[1].rows[0][-1]
    (True, (Mark(good=False),))
    """
    every = [*(Check("proof", p.cell, float(sum(not c.holds for c in p.checks)), 0.0) for p in proofs)]
    every += [Check("numerical", p.cell, p.error, PROVED) for p in proofs if p.error == p.error]
    every += checks
    failed, missing = (sum(check.holds is holds for check in every) for holds in (False, None))
    parts = {"failed": failed, "count": len(every) - missing}
    said = Strong(phrases.plain("certification.failed" if failed else "certification.passed", **parts))
    cells = list(dict.fromkeys(check.cell for check in every if check.holds is None))
    left = phrases.text("certification.missing", missing=str(missing), cells=phrases.join(cells)) if missing else ()
    header = tuple((phrases.plain(f"certification.{key}"),) for key in COLUMNS)
    rows: list[tuple[Text, ...]] = []
    for name in dict.fromkeys(check.name for check in every):
        alike = [check for check in every if check.name == name]
        known = [check for check in alike if check.holds is not None]
        worst = max(known or alike, key=lambda check: (not check.holds, check.error))
        error = number(worst.error, whole=True) if known else phrases.plain("overflow.short")
        told: tuple[Text, ...] = ((phrases.plain(f"certification.of.{name}"),), (error,), (worst.cell,))
        rows.append((*told, (number(worst.tolerance, whole=True),), (Mark(worst.holds),)))
    table = Table(header, tuple(rows), "lrlrc", phrases.text("certification.caption"), wide=0)
    note = Note("", (Mark(not failed), " ", said, *[" "] * bool(left), *left), bad=bool(failed))
    return [Frame(phrases.plain("certification.title"), (note, table))]
