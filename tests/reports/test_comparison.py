"""The comparative report, from made-up numbers."""

import io
import json
import re

import numpy as np
import pypdf
import pytest
import xarray as xr

import bptt
from bptt.derive import Check, Error, Proof, derive
from bptt.reports import comparison_document, flow_figure
from bptt.reports.document import Figure, Note, Table
from bptt.reports.html import html_page
from bptt.reports.tex import tex_source
from bptt.reports.typst import pdf

TEXT = """x: input[m]
h: state[n]
h = {}(W_xh @ x + W_hh @ h + b_h)
"""
CELLS = [bptt.parse(TEXT.format(f), name) for f, name in (("tanh", "slow"), ("relu", "fast"), ("sin", "rising"))]
DERIVATIONS = [derive(cell) for cell in CELLS]


def study(rates, seeds=4, lags=40, data=("text", "shuffled")):
    random = np.random.default_rng(0)
    lag = np.arange(lags + 1)
    rate = np.array(rates)[:, None, None, None] * (1 + 0.01 * random.normal(size=(len(rates), len(data), seeds, 1)))
    coordinates = {
        "cell": [cell.name for cell in CELLS[: len(rates)]],
        "data": list(data),
        "seed": np.arange(seeds),
        "lag": lag,
        "reads": ("cell", ["x", "", "x"][: len(rates)]),
    }
    sizes = {cell.name: {"m": 5, "n": 4} for cell in CELLS}
    settings = {
        "method": "x",
        "sizes": sizes,
        "steps": lags,
        "batch": 8,
        "gain": 1.0,
        "text": "a text",
        "text_length": 900,
        "vocabulary": 5,
    }
    return xr.Dataset({"log_norm": (("cell", "data", "seed", "lag"), -rate * lag)}, coordinates, settings)


def text_of(document):
    return re.sub(
        r"\s+", " ", " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf(document))).pages)
    )


def test_sentences_follow_the_numbers():
    proof = Proof("slow", {"n": 2}, 3, (), (Check("W_hh", 4, True, "polynomial"),), 1.0)
    document = comparison_document(DERIVATIONS, study([0.05, 0.5, -0.1]), [proof])
    text = text_of(document)
    assert re.search(r"On text, the gradient of slow reaches farthest, with a half-life of 1[34]\.\d steps", text), text
    assert re.search(r"that of fast is the shortest, with 1\.[34]\d? steps", text), text
    assert "U+" not in text
    assert "The gradient of rising on shuffled text grows" in text
    assert f"Not reading the text: {CELLS[1].name}." in text
    assert "a text (900 characters" in text and "times the multiply-adds" not in text


@pytest.mark.parametrize("rates", [[0.1], [0.0, 0.0], [0.1, 0.1001, -3], [1e3, 1e-9]], ids=str)
def test_any_numbers_give_a_report(rates):
    for seeds in (1, 3):
        document = comparison_document(DERIVATIONS, study(rates, seeds))
        assert text_of(document) == text_of(document)
        assert html_page(document).count("<img ") == 1 and "\\documentclass" in tex_source(document)


def test_values_that_are_not_finite():
    data = study([0.1, 0.2])
    data.log_norm[0, :, :, 20:] = -np.inf
    data.log_norm[1, 0, 0, :] = np.inf
    with np.errstate(invalid="ignore"):
        assert "Gradient flow" in text_of(comparison_document(DERIVATIONS, data))


@pytest.mark.parametrize("language, said", [("en", "overflowed at steps 9 to 12 in 16 of 16 runs"), ("ko", "9–12단계")])
def test_a_cell_that_overflows_is_shown_as_such(language, said):
    data = study([0.1, 0.2, -0.3])
    overflow = np.zeros((3, 2, 4, 4), int)
    overflow[2, 0] = [9, 10, 11, 12]
    overflow[1, 1, 2, 3] = 30
    data["overflow"] = ("cell", "data", "seed", "sample"), overflow
    data.log_norm[2, 0, :, 9:] = np.inf
    document = comparison_document(DERIVATIONS, data, language=language)
    note = next(block for block in document.blocks if isinstance(block, Note))
    table = next(block for block in document.blocks if isinstance(block, Table))
    assert note.bad and [(row[0], row[3]) for row in table.rows] == [(("fast",), ("1/16",)), (("rising",), ("16/16",))]
    figure = next(block for block in document.blocks if isinstance(block, Figure))
    assert said in figure.alt and said in figure.interactive and '"symbol":"x-thin"' in figure.interactive
    traces = json.loads(figure.interactive)["traces"]
    [cross] = [trace for trace in traces if trace.get("marker", {}).get("symbol") == "x-thin"]
    assert cross["x"] == [8] and "NaN" not in figure.interactive
    numbers = [block for block in document.blocks if isinstance(block, Table)][1]
    assert numbers.rows[2][1] == (("overflow",) if language == "en" else ("넘침",)) and "nan" not in text_of(document)


def test_same_numbers_same_figure():
    from bptt.analysis import summarise

    summary = summarise(study([0.1, 0.2, 0.3], data=("text",)))
    assert flow_figure(summary) == flow_figure(summary)
    assert b"<text" not in flow_figure(summary) and b"dc:date" not in flow_figure(summary)


def test_sizes_that_differ_from_cell_to_cell_are_said():
    data = study([0.1, 0.2])
    data.attrs["sizes"]["fast"]["n"] = 7
    text = text_of(comparison_document(DERIVATIONS, data))
    assert "n = 4 (slow, rising) and n = 7 (fast)" in text


def test_a_cell_without_derivation():
    with pytest.raises(Error, match="the study measures fast"):
        comparison_document(DERIVATIONS[:1], study([0.1, 0.2]))


def test_korean():
    document = comparison_document(DERIVATIONS, study([0.05, 0.5, -0.1]), language="ko")
    text = text_of(document)
    assert "기울기의 흐름" in text and "뒤섞은 글" in text and "U+" not in text
    assert '<html lang="ko">' in html_page(document)
