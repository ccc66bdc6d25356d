"""All claims, by name, measured as a plan says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ...derive.cell import Cell
from ...derive.errors import Error
from ...derive.syntax import closest
from .bench import Bench
from .claim import Claim
from .gates import longer_memory, uninterrupted_path
from .reach import early_layers, truncation
from .recurrence import blows_up, holds_longer, repeated_product
from .training import clipping, matches

TESTS: Mapping[str, Callable[..., Claim]] = {
    "repeated_product": repeated_product,
    "holds_longer": holds_longer,
    "blows_up": blows_up,
    "uninterrupted_path": uninterrupted_path,
    "longer_memory": longer_memory,
    "matches": matches,
    "clipping": clipping,
    "truncation": truncation,
    "early_layers": early_layers,
}
ONE, MANY = ("cell", "first", "second"), ("cells", "beside")  # settings that name cells


def measure_claims(
    bench: Bench,
    plan: Mapping[str, Mapping[str, Any]],
    find: Callable[[str], Cell],
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> list[Claim]:
    """Measure claims.

    Args:
        bench: sizes, data and seeds.
        plan: claim -> settings of its function in `TESTS`; cells stand there by name.
        find: name -> cell.
        progress: called as progress(claim, done, total), before each and after the last.

    Raises:
        Error: for an unknown claim, a setting that it doesn't have or lacks, and as the claims do.

    >>> from ...derive.cell import load
    >>> measure_claims(Bench(), {"blow_up": {}}, load)
    Traceback (most recent call last):
    bptt.derive.errors.Error: no claim is called 'blow_up'. Did you mean 'blows_up'?
    """
    for name, settings in plan.items():
        if name not in TESTS:
            raise Error(f"no claim is called '{name}'. {closest(name, TESTS)}")
        known = list(inspect.signature(TESTS[name]).parameters)[1:]
        for setting in settings:
            if setting not in known:
                raise Error(f"the claim '{name}' has no setting '{setting}'. {closest(setting, known)}")
        if missing := [setting for setting in known if setting not in settings]:
            raise Error(f"the claim '{name}' lacks its setting '{missing[0]}'")
    found = []
    for done, (name, settings) in enumerate(plan.items()):
        progress(name, done, len(plan))
        cells = {key: find(settings[key]) for key in ONE if key in settings}
        lists = {key: [find(cell) for cell in settings[key]] for key in MANY if key in settings}
        found.append(TESTS[name](bench, **{**settings, **cells, **lists}))
    progress("", len(plan), len(plan))
    return found
