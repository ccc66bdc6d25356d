"""The report of a study, from a store made by hand: what failed or exploded is said, and never drawn as a number."""

import io
import json
import re

import numpy as np
import pypdf
import pytest
import xarray as xr

from bptt.analysis.studies.store import OVERFLOW
from bptt.reports.document import Document, Figure, Note, Table
from bptt.reports.html import html_page
from bptt.reports.study import study_document
from bptt.reports.typst import pdf

GAINS = (0.5, 1.0, 2.0)
SIZE = "n=4,T=20"


def group(cell, rates):
    lag = np.arange(21)
    random = np.random.default_rng(0)
    noise = 1 + 0.01 * random.normal(size=(len(GAINS), 1, 5, 1))
    log_norm = -np.array(rates)[:, None, None, None] * noise * lag
    axes = ("initialisation", "data", "seed")
    shape = (len(GAINS), 1, 5)
    unit = {"long_name": "ln of the norm", "units": "natural log"}
    return xr.Dataset(
        {
            "log_norm": ((*axes, "lag"), log_norm, unit),
            "done": (axes[:2], np.ones(shape[:2], bool)),
            "status": (axes, np.zeros(shape, int)),
            **{name: (axes, np.zeros(shape, int)) for name in OVERFLOW},
            "message": (axes, np.full(shape, "", object)),
        },
        {"initialisation": [f"gain={g}" for g in GAINS], "data": ["noise"], "seed": np.arange(5), "lag": lag},
        {"cell": cell, "measure": "flow", "method": "as it is done"},
    )


def tree(**rates):
    groups = {f"{cell}/{SIZE}/flow": group(cell, found) for cell, found in rates.items()}
    attrs = {
        "title": "Gain and memory",
        "question": "How far?",
        "text": 'cells = ["a"]\n# as it was',
        "study": {
            "cells": {cell: [] for cell in rates},
            "groups": list(groups),
            "batch": 2,
            "initialisation": [{"gain": gain} for gain in GAINS],
            "data": {"noise": "noise"},
            "seeds": list(range(5)),
        },
    }
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), **groups})


def text_of(document: Document) -> str:
    pages = pypdf.PdfReader(io.BytesIO(pdf(document))).pages
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pages))


def test_question_numbers_and_file_are_there():
    document = study_document(tree(a=[0.1, 0.2, 0.3], b=[0.5, 0.6, 0.7]), "bptt study mine.toml")
    text = text_of(document)
    assert "Gain and memory" in text and "How far?" in text and "bptt study mine.toml" in text and "# as it was" in text
    assert "as it is done" in text and "5 seeds" in text and "95% t-intervals" in text.replace(" %", "%")
    assert not [block for block in document.blocks if isinstance(block, Note)]
    table = next(block for block in document.blocks if isinstance(block, Table))
    assert len(table.rows) == 6 and table.rows[0][:2] == (("a",), ("gain=0.5",))
    assert "aria-label" in html_page(document)


def test_a_cell_keeps_its_colour_from_panel_to_panel():
    figures = [b for b in study_document(tree(a=[0.1, 0.2, 0.3], b=[1, 2, 3])).blocks if isinstance(b, Figure)]
    assert len(figures) == 2  # numbers against the gain, and curves against the lag
    for figure in figures:
        assert '"name":"a","colour":"#0072B2"' in figure.interactive
        assert '"name":"b","colour":"#D55E00"' in figure.interactive


def test_cells_share_a_panel_though_one_has_dimensions_of_its_own():
    store = tree(a=[0.1, 0.2, 0.3], b=[1, 2, 3])
    store["b/k=2,n=4,T=20/flow"] = store[f"b/{SIZE}/flow"]
    store.attrs["study"]["groups"][1] = "b/k=2,n=4,T=20/flow"
    figures = [block for block in study_document(store).blocks if isinstance(block, Figure)]
    for figure in figures:
        panels = [set(re.findall(rf"\b{cell} \(([^)]*)\)", figure.alt)) for cell in "ab"]
        assert panels[0] == panels[1] and panels[0]
    assert len(figures) == 2


def test_a_cell_with_a_single_point_on_an_axis_stands_beside_others():
    store = tree(a=[0.1, 0.2, 0.3], b=[1, 2, 3])
    store[f"a/{SIZE}/flow"] = xr.DataTree(store[f"a/{SIZE}/flow"].to_dataset().isel(lag=[1]))
    assert len([block for block in study_document(store).blocks if isinstance(block, Figure)]) == 2


def test_symbols_of_a_method_are_typeset():
    store = tree(a=[0.1, 0.2, 0.3])
    store[f"a/{SIZE}/flow"].attrs["method"] = "back from s_T, as dL_T/ds_{T-k} is"
    assert "s_T," not in text_of(study_document(store)) and "ds_{T-k}" not in text_of(study_document(store))


@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_failed_or_exploded_is_said_with_its_regime(language):
    store = tree(a=[0.1, 0.2, -0.3])
    found = store[f"a/{SIZE}/flow"].to_dataset()
    found["status"][2] = 2
    found["log_norm"][2, :, :, 5:] = np.inf
    found["status"][0] = 1
    found["log_norm"][0] = np.nan
    found["message"][0] = "the state overflows"
    store[f"a/{SIZE}/flow"] = xr.DataTree(found)
    document = study_document(store, language=language)
    text = text_of(document)
    assert "gain=0.5" in text and "the state overflows" in text and "5/5" in text and "U+" not in text
    note = next(block for block in document.blocks if isinstance(block, Note))
    assert note.bad and ("2 of 3" in str(note.text) or "3개의 점 가운데 2개" in str(note.text))
    figures = [block for block in document.blocks if isinstance(block, Figure)]
    assert figures and all("NaN" not in figure.interactive for figure in figures)
    assert any("triangle-up" in figure.interactive for figure in figures)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_overflows_is_named_with_its_step_and_left_out(language):
    store = tree(a=[0.1, 0.2, -0.3])
    found = store[f"a/{SIZE}/flow"].to_dataset()
    found["status"][2] = 2
    found["overflow_first"][2], found["overflow_last"][2], found["overflowed"][2] = 7, 9, 2
    found["log_norm"][2, :, :, 7:] = np.inf
    found["status"][1, 0, 0], found["overflowed"][1, 0, 0] = 2, 2
    found["overflow_first"][1, 0, 0], found["overflow_last"][1, 0, 0] = 9, 9
    found["log_norm"][1, 0, 0, 1:] = np.inf
    found["status"][0, 0, 0], found["overflowed"][0, 0, 0] = 3, 1
    found["overflow_first"][0, 0, 0], found["overflow_last"][0, 0, 0] = 15, 15
    store[f"a/{SIZE}/flow"] = xr.DataTree(found)
    document = study_document(store, language=language)
    trouble, numbers = [block for block in document.blocks if isinstance(block, Table)]
    assert [row[2] for row in trouble.rows] == [("0/5",), ("1/5",), ("5/5",)]
    text = text_of(document)
    if language == "en":
        for said in ("at step 15 in 1 of 10 runs", "at step 9 in 2 of 10 runs", "at steps 7 to 9 in 10 of 10 runs"):
            assert f"overflowed {said}" in text
        assert "(4 of 5 seeds)" in str(numbers.rows[1][2]) and numbers.rows[2][1] == ("overflow",)
    curves = [block for block in document.blocks if isinstance(block, Figure)][-1]
    [cross] = [t for t in json.loads(curves.interactive)["traces"] if t.get("marker", {}).get("symbol") == "x-thin"]
    assert cross["x"] == [6] and "nan" not in text.lower().replace("tenant", "")
