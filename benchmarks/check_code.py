"""How often a fault in somebody's backward pass is found, named, placed and mended: `python benchmarks/check_code.py`.

Right programs: those in `tests/analysis/theirs/`, written as strangers write them, and every cell of the zoo in several
styles. Faults: edits of the former, from `tests/analysis/code_faults.py`, and the catalogue's mutants of the latter.
A fault that changes no gradient isn't counted.
"""

from __future__ import annotations

import argparse
import itertools
import random
import runpy
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from written_code import STYLES, Unwritten, faulty, program

import bptt
from bptt.analysis.verdicts.code_adapter import Adapter
from bptt.analysis.verdicts.code_finding import find
from bptt.analysis.verdicts.code_judging import judge
from bptt.analysis.verdicts.verdict import Fault, Verdict
from bptt.derive.errors import Error

TESTS = Path(__file__).parents[1] / "tests" / "analysis"
EVERY = 20  # programs, after which the totals are printed
MARKS = ("detected", "kind", "line", "mended")


@dataclass(frozen=True)
class Program:
    """A program to be judged.

    Attributes:
        title: to speak of it.
        name: the part of the file that is meant.
        text: of the file.
        adapter: what is stated of it.
        kinds, lines: of the fault, none for a program that is right.
        says: what the fault is.
    """

    title: str
    name: str
    text: str
    adapter: Adapter = Adapter()
    kinds: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    says: str = ""


def judged(each: Program) -> Verdict | str:
    """Return the verdict on a program, or what kept it from one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "theirs.py"
        path.write_text(each.text, encoding="utf-8")
        subject = find(f"{path}:{each.name}" if each.name else str(path), each.adapter)
        try:
            return judge(subject, None, each.adapter, lambda stage: None)
        except Error as error:
            return str(error)


def score(injected: Program, verdict: Verdict | str) -> dict[str, bool]:
    """Return what was got right of a fault."""
    if isinstance(verdict, str):
        return dict.fromkeys(MARKS, False)
    if verdict.correct:
        return dict.fromkeys(MARKS, False)
    fault = verdict.faults[0]
    return {
        "detected": True,
        "kind": fault.kind in (*injected.kinds, "raises"),
        "line": bool({*injected.lines} & {f.line for f in verdict.faults}),
        "mended": all(f.mended for f in verdict.faults),
    }


def right() -> Iterator[Program]:
    """Yield the programs that are right."""
    for case in runpy.run_path(str(TESTS / "code_faults.py"))["CASES"]:
        yield Program(f"{case.file}:{case.name}", case.name, case.text)
    for path in sorted((TESTS / "theirs" / "strangers").glob("*.py")):
        yield Program(path.name, "", path.read_text(encoding="utf-8"))
    for cell in bptt.zoo():
        derivation = bptt.derive(bptt.load(cell))
        for style in STYLES:
            try:
                written = program(derivation, style)
            except Unwritten:
                continue
            yield Program(f"{cell}, {style.name}", "", written.text, written.adapter)


def wrong(most: int, seed: int) -> Iterator[Program]:
    """Yield programs with one fault, at most so many of each program or cell."""
    catalogue = runpy.run_path(str(TESTS / "code_faults.py"))
    for case in catalogue["CASES"]:
        found = list(catalogue["faults"](case))
        random.Random(seed).shuffle(found)
        for fault in found[:most]:
            says = f"{fault.was}  ->  {fault.now}"
            yield Program(
                f"{case.file}:{fault.line}", case.name, fault.text, Adapter(), fault.kind, (fault.line,), says
            )
    for cell in bptt.zoo():
        derivation = bptt.derive(bptt.load(cell))
        for style, fault in itertools.islice(faulty(derivation, random.Random(seed)), most):
            title = f"{cell}, {style.name}, line {fault.lines[0]}"
            yield Program(title, "", fault.written.text, fault.written.adapter, fault.kinds, fault.lines, fault.says)


def _short(fault: Fault) -> str:
    return f"{fault.line} {fault.kind}: {fault.message} | {fault.mended}"


def main() -> None:
    """Judge what is right and what is wrong, and print what was missed and the totals."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--most", type=int, default=12, help="faults of each program and each cell")
    asked.add_argument("--only", choices=("right", "wrong"), help="judge these alone")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--part", type=int, default=0, help="which part of --parts to judge")
    asked.add_argument("--parts", type=int, default=1)
    options = asked.parse_args()
    total: Counter[str] = Counter()
    slowest, began = 0.0, time.process_time()
    programs = [] if options.only == "wrong" else list(right())
    programs += [] if options.only == "right" else wrong(options.most, options.seed)
    for number, each in enumerate(programs):
        if number % options.parts != options.part:
            continue
        start = time.process_time()
        verdict = judged(each)
        spent = time.process_time() - start
        slowest = max(slowest, spent)
        if total.total() and sum(total[name] for name in ("right", "faults")) % EVERY == 0:
            print(dict(total), f"slowest {slowest:.1f} s", flush=True)
        said = (
            verdict
            if isinstance(verdict, str)
            else [f"{f.line} {f.kind}: {f.message} | {f.mended}" for f in verdict.faults]
        )
        if not each.kinds:
            total["right"] += 1
            good = isinstance(verdict, Verdict) and verdict.correct
            total["called right"] += good
            if not good:
                print(f"{each.title}: called wrong; {spent:.1f} s; {str(said)[:300]}", flush=True)
            continue
        marks = score(each, verdict)
        total["faults"] += 1
        total.update(name for name, good in marks.items() if good)
        if not all(marks.values()):
            missed = ", ".join(name for name, good in marks.items() if not good)
            print(f"{each.title} {each.kinds[0]}: {each.says}", flush=True)
            print(f"    not {missed}; {spent:.1f} s; {str(said)[:300]}", flush=True)
    print(dict(total), f"slowest {slowest:.1f} s, {time.process_time() - began:.0f} s of computing in all")


if __name__ == "__main__":
    main()
