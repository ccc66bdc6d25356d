"""Levels of detail, and Korean: its pages, its fonts, and what is refused."""

import io

import pypdf
import pytest
from click.testing import CliRunner

import bptt
from bptt.cli import main
from bptt.derive import Check, Error, Proof
from bptt.reports import check_request, derivation_document, fonts
from bptt.reports.document import Algorithm, Diagram
from bptt.reports.html import html_page
from bptt.reports.markdown import markdown_text
from bptt.reports.tex import tex_source
from bptt.reports.typst import compiled, pdf, typst_source

PROOF = Proof("rnn", {"n": 2, "m": 3}, 3, (), (Check("W_hh", 4, True),), 1.0)
CELL = bptt.load("rnn")
KOREAN = bptt.parse('"""순환 신경망."""\nx: input[m]\nh: state[n]\n상태 = W @ h + U @ x\nh = tanh(상태)\n', "mine")


def text_of(content):
    return " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_brief_is_short_and_full_has_everything(derivation, language):
    brief, full = (derivation_document(derivation, PROOF, language, detail) for detail in ("brief", "full"))
    kinds = [type(block) for block in full.blocks]
    assert kinds.count(Diagram) == 1 and kinds.count(Algorithm) == 1
    content = pdf(brief)
    assert content == pdf(brief)
    pages = 2 if len(derivation.forward.steps) <= 14 else 3
    assert len(pypdf.PdfReader(io.BytesIO(content)).pages) <= pages


def test_the_algorithm_sweeps_forward_and_back(derivation):
    found = next(b for b in derivation_document(derivation).blocks if isinstance(b, Algorithm))
    headings = [place for place, line in enumerate(found.lines) if not line.numbered]
    loops = [place for place, line in enumerate(found.lines) if line.indent and not found.lines[place - 1].indent]
    assert len(headings) == len(loops) == 2
    inside = [line for line in found.lines if line.indent]
    shares = [share for share in derivation.shares.values() if share != 0]
    assert len(inside) == len(derivation.forward.steps) + len(derivation.adjoints) + len(shares)


def test_korean_in_every_format():
    document = derivation_document(bptt.derive(CELL), PROOF, "ko")
    content = pdf(document)
    assert content == pdf(document)
    assert "한 단계의 역전파" in text_of(content) and "�" not in text_of(content)
    page = html_page(document)
    assert '<html lang="ko">' in page and "기울기 소실" in page
    source = tex_source(document)
    assert "kotex" in source.split(r"\begin{document}")[0] and "U+" not in source
    assert "증명" in markdown_text(document) and '"NanumGothic"' in typst_source(document)


def test_hangul_in_a_cell():
    document = derivation_document(bptt.derive(KOREAN))
    assert "상태" in text_of(pdf(document)) and "순환 신경망" in html_page(document)
    assert "kotex" in tex_source(document)


def test_without_the_fonts(monkeypatch, tmp_path):
    monkeypatch.setattr(fonts, "hangul_folder", lambda: None)
    document = derivation_document(bptt.derive(CELL), PROOF, "ko")
    with pytest.raises(Error, match="pip install 'bptt\\[korean\\]'"):
        pdf(document)
    with pytest.raises(Error, match="extra 'korean'"):
        check_request(tmp_path / "page.pdf", "ko")
    check_request(tmp_path / "page.html", "ko")
    assert '<html lang="ko">' in html_page(document)
    assert pdf(derivation_document(bptt.derive(CELL), PROOF))


def test_a_missing_glyph_is_an_error():
    with pytest.raises(Error, match='no font has a glyph for "字"'):
        compiled("#set document(date: auto)\n字", "pdf", "a-2b")


def test_command_line(tmp_path):
    target = tmp_path / "page.html"
    run = CliRunner().invoke(main, ["derive", "rnn", "--language", "ko", "--detail", "brief", "-o", str(target)])
    assert run.exit_code == 0, run.output
    page = target.read_text("utf-8")
    assert '<html lang="ko">' in page and "증명됨" in page and "알고리즘" not in page
    for option, known in (("language", "en, ko"), ("detail", "brief, full")):
        run = CliRunner().invoke(main, ["derive", "rnn", f"--{option}", "other"])
        assert run.exit_code == 2 and f"unknown {option} 'other'. Known: {known}" in run.output


def test_unknown_detail_and_language():
    derivation = bptt.derive(CELL)
    with pytest.raises(Error, match="unknown detail 'long'. Known: brief, full"):
        derivation_document(derivation, detail="long")
    with pytest.raises(Error, match="unknown language '../en'. Known: en, ko"):
        derivation_document(derivation, language="../en")
