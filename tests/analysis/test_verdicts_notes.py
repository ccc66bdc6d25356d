"""Backward passes as people write them. The first line of each file says whose they are, and which lines are wrong."""

import re
from pathlib import Path

import pytest

import bptt

FILES = sorted((Path(__file__).parent / "notes").iterdir())


def said(path):
    """Return (cell, whether it is refused, numbers of wrong lines) from a file's first line."""
    first = path.read_text("utf-8").split("\n")[0]
    found = re.fullmatch(r"[%#] (?:(\w+): )?(correct|refused|wrong)((?: \d+)*)", first)
    assert found is not None, first
    return found[1], found[2] == "refused", [int(number) for number in found[3].split()]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_notes_are_judged_as_they_should_be(path):
    cell, refused, wrong = said(path)
    if refused:
        with pytest.raises(bptt.Error, match=path.name):
            bptt.check(path, cell=cell)
        return
    verdict = bptt.check(path, cell=cell)
    assert [fault.line for fault in verdict.faults if fault.line] == wrong, str(verdict)
    assert all(fault.mended and fault.proof for fault in verdict.faults if fault.line), str(verdict)


def test_a_fault_put_into_right_notes_is_found():
    """What raises no alarm is judged all the same: another time, sign or transpose in it is seen."""
    missed = []
    for path in FILES:
        cell, refused, wrong = said(path)
        text = path.read_text("utf-8")
        broken = re.sub(r"(\\odot|\\circ|\*) (\(?1 ?-)", r"\1 2 \1 \2", text, count=1)
        if refused or wrong or broken == text:
            continue
        verdict = bptt.check(broken, cell=cell)
        unjudged = any("isn't judged" in note for note in verdict.notes)
        missed += [path.name] * (verdict.correct and not unjudged)
    assert not missed
