"""The claims section and the certification box, from made-up verdicts."""

import io
import re
from typing import Any, cast

import numpy as np
import pypdf
import pytest
import xarray as xr

from bptt.analysis.claims.certificate import Check
from bptt.analysis.claims.claim import Claim, Finding, Rule
from bptt.derive import Check as Proved
from bptt.derive import Proof
from bptt.reports.certification import certification
from bptt.reports.claims import claims_section
from bptt.reports.document import Document, Figure, Frame, Mark, Note, Table
from bptt.reports.html import html_page
from bptt.reports.markdown import markdown_text
from bptt.reports.phrases import Phrases
from bptt.reports.tex import tex_source
from bptt.reports.typst import pdf

SETTINGS = {"N": 8, "T": 40, "B": 2, "seeds": 5, "level": 0.95, "data": "text", "cells": ["mine"]}
ABOVE = Rule(least=0)
GAINS = [0.5, 1.0, 2.0, 4.0]


def measured(values, half=0.1, **coords):
    value = xr.DataArray(np.array(values, float), coords, tuple(coords))
    with np.errstate(invalid="ignore"):
        return xr.Dataset({"value": value, "low": value - half, "high": value + half})


def claim(values, half=0.1):
    found = measured([values], half, cell=["mine"], gain=GAINS)
    curves = found.rename(value="mean").assign_attrs(quantity="growth", x="gain", series="cell", band=0.1)
    return Claim("repeated_product", (Finding("growth", found, ABOVE),), curves, SETTINGS)


def section(*claims, language="en") -> list[Any]:
    return claims_section(claims, Phrases(language), {"mine": "#0072B2"})


def text_of(blocks):
    document = Document("T", "K", (), tuple(blocks))
    pages = pypdf.PdfReader(io.BytesIO(pdf(document))).pages
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pages))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, 2, 3, 4], "Holds."),
        ([-1, -2, -3, -4], "Fails."),
        ([-1, -2, 0, 4], "It holds for gain 4; it fails for gain 0.5 to 1; it is undecided for gain 2."),
        ([1, -2, 3, -4], "It holds for gain 0.5 and 2; it fails for gain 1 and 4."),
        ([0, 0, 0, 0], "Undecided."),
    ],
)
def test_sentences_follow_the_verdicts(values, said):
    text = text_of(section(claim(values)))
    assert said in text
    assert "U+" not in text and "N = 8, T = 40, 2 sequences for each of 5 seeds" in text and "95% t-intervals" in text


def test_the_overview_counts_points():
    blocks = section(claim([1, 2, -3, 0]), claim([1, 2, 3, 4]))
    (overview, *_) = (block for block in blocks if isinstance(block, Table))
    assert [row[-1] for row in overview.rows] == [("2/4",), ("4/4",)]
    assert [row[1][0] for row in overview.rows] == [Mark(None), Mark(True)]


def test_a_claim_that_fails_is_marked_bad():
    notes = [block for block in section(claim([-1, -2, -3, -4]), claim([1, 1, 1, 1])) if isinstance(block, Note)]
    assert [note.bad for note in notes] == [True, False]


def test_infinite_values_are_shown_as_such():
    blocks = section(claim([-np.inf, -1, 1, np.inf]))
    figure = next(block for block in blocks if isinstance(block, Figure))
    assert "NaN" not in figure.interactive and '"triangle-up"' in figure.interactive
    assert "−∞" in figure.interactive and "−∞" in text_of(blocks)
    for writer in (html_page, markdown_text, tex_source):
        assert "nan" not in re.sub("(?i)nanum", "", writer(Document("T", "K", (), tuple(blocks[:-1]))))


def test_grids_have_their_longest_side_down():
    found = measured(np.arange(8).reshape(2, 4), bias=[0.0, 1.0], gain=GAINS)
    grid = Claim("blows_up", (Finding("growth", found, Rule()),), None, SETTINGS | {"functions": []})
    *_, table = section(grid)
    assert [len(row) for row in table.rows] == [3, 3, 3, 3]
    assert [head[0] for head in table.header] == ["gain", "bias 0", "bias 1"]
    assert table.rows[1][2] == (Mark(True), " ", "5.00 ± 0.10")


def test_cells_keep_their_colours_and_others_get_new_ones():
    one = claim([1, 2, 3, 4])
    both = one.curves.reindex(cell=["other", "mine"], fill_value=0.0).assign_attrs(one.curves.attrs)
    blocks = claims_section([one, Claim(one.name, one.findings, both, SETTINGS)], Phrases(), {"mine": "#0072B2"})
    first, second = (block.interactive for block in blocks if isinstance(block, Figure))
    assert '{"name":"mine","colour":"#0072B2"' in first and '{"name":"mine","colour":"#0072B2"' in second
    assert '{"name":"other","colour":"#D55E00"' in second


@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_was_not_measured_is_said(language):
    found = measured([[1, np.nan, np.nan, 2]], cell=["mine"], gain=GAINS)
    found["overflowed"] = found.value.isnull()
    curves = found.rename(value="mean").assign_attrs(quantity="growth", x="gain", series="cell")
    part = Claim("repeated_product", (Finding("growth", found, ABOVE),), curves, SETTINGS)
    whole = Claim("repeated_product", (), settings=SETTINGS, missing="the state 'h' overflows")
    blocks = section(part, whole, language=language)
    text = text_of(blocks)
    assert "The state" in text and "overflows" in text and "nan" not in text.lower() and "unknown" not in text
    if language == "en":
        assert (
            "Holds in part. It holds for gain 0.5 and 4; it was not measured for gain 1 to 2, as runs overflow" in text
        )
        assert "not measured: overflow" in text
    nothing = Claim(part.name, part.findings, curves.where(curves.overflowed).assign_attrs(curves.attrs), SETTINGS)
    assert sum(isinstance(b, Figure) for b in blocks) == 1
    assert not any(isinstance(b, Figure) for b in section(nothing, language=language))
    assert blocks[2].rows[0][2] == ("2/4",) and blocks[2].rows[1][2] == ("0/0",)


def test_korean():
    text = text_of(section(claim([-1, -2, 0, 4]), language="ko"))
    assert "성립하는 곳은 이득 4" in text and "U+" not in text


def test_the_box_lists_every_check_and_shows_what_fails():
    proof = Proof("mine", {"n": 2}, 3, (), (Proved("W", 4, True), Proved("b", 4, False)), 1.0, error=1e-15)
    checks = [Check("transpose", "mine", 1e-15, 1e-9), Check("transpose", "other", 2e-9, 1e-9)]
    (box,) = certification(checks, [proof], Phrases())
    assert isinstance(box, Frame)
    note, table = (cast(Any, block) for block in box.blocks)
    assert note.bad and "2 of 4 checks fail" in text_of([box])
    assert [row[-1] for row in table.rows] == [(Mark(False),), (Mark(True),), (Mark(False),)]
    assert [row[2] for row in table.rows] == [("mine",), ("mine",), ("other",)]
    (box,) = certification([*checks[:1], Check("transpose", "wild", np.nan, 1e-9)], [], Phrases())
    assert "All 1 checks pass. 1 more couldn" in text_of([box]) and "wild" in text_of([box])
    (box,) = certification(checks[:1], [], Phrases())
    assert isinstance(box, Frame) and "✗" not in markdown_text(Document("T", "K", (), (box,)))
    assert "All 1 checks pass" in text_of([box])
