"""Every model becomes a page in every format, with what holds for this very model."""

import io
import re
import shutil
import subprocess
from functools import cache
from typing import Any

import pypdf
import pytest

import bptt
from bptt.derive import Check, Proof
from bptt.derive.errors import Error
from bptt.reports import model_document, save
from bptt.reports.document import Equations, Note, Paragraph
from bptt.reports.formula import Formula, clean
from bptt.reports.html import html_page
from bptt.reports.markdown import markdown_text
from bptt.reports.tex import tex_source
from bptt.reports.typst import pdf, typst_source

COMPOSED: dict[str, dict[str, Any]] = {
    "stacked bidirectional": {"cell": "gru", "layers": 2, "bidirectional": True},
    "fed back": {"cell": "lstm_peephole", "shape": "one-to-many fed back"},
    "looking back": {"cell": "mgu", "shape": "sequence-to-sequence", "attention": True, "embedding": True},
    "once": {"cell": "lstm", "shape": "one-to-one", "loss": "logistic_loss"},
}


@cache
def derivation_of(name):
    return bptt.derive(bptt.compose(**COMPOSED[name]) if name in COMPOSED else bptt.load_model(name))


@cache
def document_of(name, layout="column", adjoint="delta", **choices):
    derivation = bptt.restate(derivation_of(name), bptt.Notation(layout=layout, adjoint=adjoint))
    checks = tuple(Check(n, 6, True, "polynomial") for n in (*derivation.model.params, *derivation.model.inputs))
    axis = next(iter(derivation.model.axes), "")
    proof = Proof(derivation.model.name, {"n": 2}, 3, (Check("tanh", 2, True),), checks, 1.0, axis)
    return model_document(derivation, proof, **choices)


@pytest.fixture(scope="module", params=[*bptt.models(), *COMPOSED])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def document(name):
    return document_of(name)


def test_pdf(name, document):
    content = pdf(document)
    assert content == pdf(document)
    text = " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)
    for word in ("Notation", "The model", "Back through the model", "Gradients", "Algorithm", "Proof", "Proved"):
        assert word in text
    assert "�" not in text and "\x00" not in text
    assert not re.search(r"delta_|_prev|_last|_all|_start|__|incoming", text.replace(name, ""))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_tex_compiles(document, tmp_path):
    (tmp_path / "page.tex").write_text(tex_source(document), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "page.log").read_text(errors="replace")
    assert "Missing character" not in log and "Overfull" not in log


def test_text_and_web_pages(document):
    assert html_page(document) == html_page(document)
    for text in (markdown_text(document), typst_source(document)):
        assert "Notation" in text and "Proof" in text and not re.search("[\ue000-\uf8ff]", text)


@pytest.mark.parametrize("adjoint", ["delta", "partial", "bar"])
@pytest.mark.parametrize(("detail", "language"), [("brief", "en"), ("full", "ko")])
def test_levels_languages_and_adjoints(detail, language, adjoint):
    text = markdown_text(document_of("attention", detail=detail, language=language, adjoint=adjoint))
    assert ("Notation" in text) == (detail == "full" and language == "en")
    assert (r"\delta" in text) == (adjoint == "delta")


def rows(document):
    """Every equation of a page as plain text."""
    return [
        f"{clean(row.left).plain} = {clean(row.right).plain}"
        for block in document.blocks
        if isinstance(block, Equations)
        for row in block.rows
    ]


def sentences(document):
    plain = []
    for block in document.blocks:
        if isinstance(block, Paragraph | Note):
            plain.append("".join(clean(p).plain if isinstance(p, Formula) else str(p) for p in block.text))
    return " ".join(plain)


def test_the_loss_gradient_is_softmax_minus_one_hot():
    assert "δu_t = softmax(u_t) − 𝟏_{y_t}" in rows(document_of("character_language_model"))


def test_an_embedding_gets_its_rows_by_scatter_add():
    document = document_of("character_language_model")
    assert "∂ℒ/∂E = ∑_{t=1}^{T} 𝟏_{w_t} (δx_t)^⊤" in rows(document)
    assert "scatter-add" in sentences(document)


def test_layers_are_told_apart_by_labels_above():
    found = rows(document_of("stacked"))
    across = next(row for row in found if row.startswith("δh_t^{(1)} ="))
    assert "W_{xi}^{(2) ⊤} δa_{i,t}^{(2)}" in across  # through the layer above, at the same step
    assert "W_{hi}^{(1) ⊤} δa_{i,t+1}^{(1)}" in across  # through the same layer, one step later


def test_a_loop_that_runs_backwards_sends_back_forwards():
    document = document_of("stacked bidirectional")
    assert any(row.startswith("δh_t^{bwd1} = ") and "δa_{z,t−1}^{bwd1}" in row for row in rows(document))
    assert "t = T, T−1, …, 1" in sentences(document) and "h_{T+1}^{bwd1} = 0" in sentences(document)


def test_a_last_state_is_reached_at_the_last_step_only():
    assert any("𝟏[t = T]" in row for row in rows(document_of("many_to_one")))


def test_rows():
    found = rows(document_of("character_language_model", layout="row"))
    assert "u_t = h_t W_y + b_y" in found and "∂ℒ/∂W_y = ∑_{t=1}^{T} h_t^⊤ δu_t" in found
    assert "Vectors are rows" in sentences(document_of("character_language_model", layout="row"))
    with pytest.raises(Error, match="of the notation of a model, the layout column or row and the adjoint"):
        bptt.restate(derivation_of("hello"), bptt.Notation(layout="batch"))


def test_parameters_that_the_loss_does_not_reach_are_named():
    assert "The loss does not reach W_{xf} and b_f: these gradients are zero." in sentences(document_of("once"))


def test_the_certificate_names_the_axis_that_was_expanded():
    assert "over S=3 steps" in sentences(document_of("attention"))
    assert " steps, every vector" not in sentences(document_of("one_to_one"))


def test_unknown_choices_are_refused(tmp_path):
    with pytest.raises(Error, match="unknown detail 'short'"):
        model_document(derivation_of("hello"), detail="short")
    with pytest.raises(Error, match="unknown language 'xx'"):
        model_document(derivation_of("hello"), language="xx")


def test_save_proves_a_model_first(tmp_path):
    text = save(derivation_of("hello"), tmp_path / "hello.md").read_text()
    assert "Proved" in text
