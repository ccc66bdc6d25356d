"""How often a fault in somebody's backward pass is found, named, placed and mended: `python benchmarks/check_code.py`.

Faults come from the catalogue in `tests/analysis/code_faults.py`. A fault that changes no gradient isn't counted.
"""

from __future__ import annotations

import random
import runpy
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bptt.analysis.verdicts.code_adapter import Adapter
from bptt.analysis.verdicts.code_judging import judge
from bptt.analysis.verdicts.code_subject import find
from bptt.analysis.verdicts.verdict import Verdict
from bptt.derive.errors import Error

TESTS = Path(__file__).parents[1] / "tests" / "analysis"


def judged(text: str, name: str) -> Verdict | str:
    """Return the verdict on a file's text, or what kept it from one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "theirs.py"
        path.write_text(text, encoding="utf-8")
        try:
            return judge(find(f"{path}:{name}" if name else str(path), Adapter()), None, Adapter(), lambda stage: None)
        except Error as error:
            return str(error)


def score(injected: Any, verdict: Verdict | str) -> dict[str, bool]:
    """Return what was got right of a fault."""
    if isinstance(verdict, str):
        return {"detected": True, "kind": False, "line": False, "mended": False}
    if verdict.correct:
        return {"detected": False, "kind": False, "line": False, "mended": False}
    fault = verdict.faults[0]
    return {
        "detected": True,
        "kind": fault.kind in (*injected.kind, "raises"),
        "line": fault.line == injected.line,
        "mended": bool(fault.mended),
    }


def main(most: int, seed: int, part: int, parts: int) -> None:
    """Judge a sample of at most `most` faults of each case, and the cases themselves."""
    catalogue = runpy.run_path(str(TESTS / "code_faults.py"))
    total: Counter[str] = Counter()
    for number, case in enumerate(catalogue["CASES"]):
        if number % parts != part:
            continue
        right = judged(case.text, case.name)
        assert isinstance(right, Verdict) and right.correct, right
        found = list(catalogue["faults"](case))
        random.Random(seed).shuffle(found)
        for injected in found[:most]:
            began = time.perf_counter()
            verdict = judged(injected.text, injected.case.name)
            marks = score(injected, verdict)
            total["faults"] += 1
            total.update(name for name, good in marks.items() if good)
            if not all(marks.values()):
                missed = ", ".join(name for name, good in marks.items() if not good)
                said = (
                    verdict
                    if isinstance(verdict, str)
                    else [f"{f.line} {f.kind}: {f.message} | {f.mended}" for f in verdict.faults]
                )
                print(f"{case.file}:{injected.line} {injected.kind[0]}: {injected.was}  ->  {injected.now}")
                print(f"    not {missed}; {time.perf_counter() - began:.1f} s; {str(said)[:300]}", flush=True)
    print(dict(total))


if __name__ == "__main__":
    main(*(int(argument) for argument in (sys.argv[1:] + ["1000", "0", "0", "1"][len(sys.argv) - 1 :])))
