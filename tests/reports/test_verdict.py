"""The page of a verdict: names are typeset, missing lines counted, and a reason that many lines share is given once."""

import pytest

from bptt.analysis.verdicts.code_judging import OWN
from bptt.analysis.verdicts.verdict import Fault, Line, Verdict
from bptt.reports import verdict_document
from bptt.reports.markdown import markdown_text


def page(faults=(), lines=(), cell="rnn", reference="complex steps", language="en"):
    return markdown_text(verdict_document(Verdict("a.py", cell, (), lines, faults, (), 1.0, reference), language))


LINES = tuple(Line(number, f"line_{number}", "∂L/∂W_hr", True, "by complex steps") for number in (1, 2, 3))


def test_lines_that_are_missing_are_no_lines_to_mend():
    dropped = Fault(0, "dropped carry", "what step t sends back to h_{t-1} is never given", "", "dh_prev = 0")
    said = page((Fault(2, "time", "∂L/∂a_t: wrong", "line_2"), dropped), LINES)
    assert "2 of 3 lines give what they say. Lines that are missing: 1." in said
    assert "A line is missing, dropped carry" in said and "Largest relative error" not in said


@pytest.mark.parametrize(("kind", "where"), [("hangs", "The code, hangs"), ("unknown", "Elsewhere, unknown")])
def test_a_fault_of_all_the_code_is_no_missing_line(kind, where):
    said = page((Fault(0, kind, "the backward pass was still running", ""),), reference="none")
    assert where in said and "missing" not in said and "0 of 0" not in said and "Reference" not in said
    assert "No line could be judged by itself." in said


def test_a_reason_that_many_lines_share_is_given_once():
    assert page((), LINES).count("by complex steps") == 1
    assert page((), LINES[:2]).count("by complex steps") == 2
    assert "| : " not in page((), (*LINES, Line(4, "line_4", "", True, "it doesn't reach a gradient")))


def test_names_are_typeset_where_they_are_those_of_a_cell():
    assert "W_{h r}" in page((), LINES) and "∂L" not in page((), LINES)
    assert "∂L/∂W" in page((), LINES, cell=OWN)


def test_without_lines_all_gradients_are_spoken_of():
    assert "Correct: every gradient agrees." in page() and "Largest relative error: 1e+00." in page()
