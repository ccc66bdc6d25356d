"""Pages in every notation: what they say, that nothing overflows, and what the command line makes of the choices."""

import io
import re
import shutil
import subprocess
from dataclasses import replace

import pypdf
import pytest
import sympy
from click.testing import CliRunner
from sympy import Symbol

import bptt
from bptt.cli import main
from bptt.derive import Check, Error, Notation, Proof, restate
from bptt.derive.convention_rules import RULES
from bptt.derive.linear import outer
from bptt.reports import derivation_document
from bptt.reports.derivation import mathematics
from bptt.reports.document import Equations, Paragraph, Table
from bptt.reports.formula import Formula, clean
from bptt.reports.html import html_page
from bptt.reports.markdown import markdown_text
from bptt.reports.mathematics import Mathematics
from bptt.reports.styles import Style
from bptt.reports.tex import tex_source
from bptt.reports.typst import pdf

GATES = ("f", "i", "o", "g")
PAGES = [
    ("rnn", Notation("row", names={"W_hh": "U"})),
    ("lstm", Notation("row", fuse=True, gates=GATES, adjoint="partial")),
    ("lstm", Notation("batch", fuse=True, adjoint="bar")),
    ("gru", Notation("batch", adjoint="partial")),
    ("lstm_peephole", Notation("column", fuse=True, adjoint="bar")),
    ("attention_decoder", Notation("row", fuse=True)),
    ("mlstm", Notation("row", adjoint="partial")),
]


def proof_of(found):
    cell = found.derivation.cell
    checks = tuple(Check(name, 6, True) for name in (*cell.params, *(f"{s}_0" for s in cell.states), *cell.inputs))
    return Proof(cell.name, {"n": 2, "m": 3}, 3, (), checks, 1.0)


def page(cell, notation, language="en", detail="full"):
    found = restate(bptt.derive(bptt.load(cell)), notation)
    return derivation_document(found, proof_of(found), language, detail)


def sentence(text):
    return "".join(clean(part).plain if isinstance(part, Formula) else str(part) for part in text)


def said(document):
    """The page as plain text: sentences, and both sides of equations."""
    lines = []
    for block in document.blocks:
        if isinstance(block, Paragraph):
            lines.append(sentence(block.text))
        elif isinstance(block, Equations):
            lines += [f"{clean(row.left).plain} = {clean(row.right).plain}" for row in block.rows]
        elif isinstance(block, Table):
            cells = [
                "".join(clean(p).plain if isinstance(p, Formula) else str(p) for p in c) for r in block.rows for c in r
            ]
            lines += cells
    return "\n".join(lines)


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize(("cell", "notation"), PAGES)
def test_pages_in_every_format(cell, notation, language):
    document = page(cell, notation, language)
    content = pdf(document)
    text = " ".join(p.extract_text() for p in pypdf.PdfReader(io.BytesIO(content)).pages)
    assert "�" not in text and "delta_" not in text and "_prev" not in text and "incoming" not in text
    assert ("The notation is proved" if language == "en" else "표기법 증명됨") in " ".join(text.split())
    if language == "en":
        assert not re.search("[\ue000-\uf8ff]", markdown_text(document))
        assert "<svg" in html_page(document)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize(("cell", "notation"), PAGES)
def test_tex_compiles_and_nothing_overflows(cell, notation, tmp_path):
    (tmp_path / "page.tex").write_text(tex_source(page(cell, notation)), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "page.log").read_text(errors="replace")
    assert "Missing character" not in log and "Overfull" not in log


def test_rows():
    text = said(page("rnn", Notation("row", names={"W_hh": "U"})))
    assert "h_t = tanh(h_{t−1} U + x_t W_{xh} + b_h)" in text
    assert "δ^←h_{t−1} = δa_{h,t} U^⊤" in text
    assert "∂ℒ/∂U = ∑_{t=1}^{T} h_{t−1}^⊤ δa_{h,t}" in text
    assert "J_t=∂h_t/∂h_{t−1} = U diag(1−h_t^2)" in text.replace(" − ", "−")
    assert "ℝ^{1×n}" in text and "Vectors are rows" in text and "ℝ^{m×n}" in text


def test_batches():
    text = said(page("gru", Notation("batch", fuse=True)))
    assert "A_{zr,t} = [H_{t−1}, X_t] W_{zr}^⊤ + b_{zr}" in text
    assert "∂ℒ/∂W_{zr} = ∑_{t=1}^{T} (δA_{zr,t})^⊤ U_{a,zr,t}" in text
    assert "∂ℒ/∂b_{zr} = ∑_{t=1}^{T} (δA_{zr,t})^⊤ 𝟏_B" in text
    assert "ℝ^{B×n}" in text and "This section speaks of one sample: h_t" in text
    assert "W_{zr} = [W_{hz}  W_{xz}; W_{hr}  W_{xr}]" in text
    assert "weights on R_t ⊙ H_{t−1} and X_t" in text


@pytest.mark.parametrize(
    ("adjoint", "shown"),
    [("delta", "δc_t ⊙ g_t"), ("partial", "∂ℒ/∂c_t ⊙ g_t"), ("bar", "c̄_t ⊙ g_t")],
)
def test_adjoints(adjoint, shown):
    text = said(page("lstm", Notation(adjoint=adjoint)))
    assert shown in text
    assert ("stands for" in text) == (adjoint != "partial")


def test_a_batch_whose_capital_is_taken_keeps_its_letter():
    cell = bptt.parse("x: input[m]\nh: state[n]\nH: state[n]\nH = W @ x + h\nh = tanh(H)\n")
    found = restate(bptt.derive(cell), Notation("batch"))
    math = mathematics(found.derivation, "batch")
    assert [clean(math.formula(Symbol(name))).plain for name in ("x", "h", "H")] == ["X_t", "h_t", "H_t"]
    assert clean(math.call("name", "x_0")).plain == "X_0"


def test_bars():
    n = Symbol("n", integer=True)
    names = ["h", "h_tilde", "a_i", "h_2", "h2"]
    math = Mathematics({Symbol(name): (n,) for name in names}, style=Style(adjoint="bar"))
    shown = [clean(math.formula(Symbol(f"delta_{name}"))).latex.strip() for name in names]
    assert shown[:3] == [r"\bar{h}_{t}", r"\bar{\tilde{h}}_{t}", r"\bar{a}_{i,t}"]
    assert len(set(shown)) == len(shown)
    assert clean(math.formula(Symbol("delta_h_prev"))).latex.strip() == r"\bar{h}_{t-1}^{\leftarrow}"
    square = clean(math.formula(sympy.Function("h")(Symbol("t")) ** 2)).plain
    assert square == "h_t^2"


def test_what_cannot_be_saved(tmp_path):
    derivation = bptt.derive(bptt.load("rnn"))
    notation = Notation("row", names={"W_hh": "U"})
    with pytest.raises(Error, match="the proof speaks of W_hh"):
        derivation_document(derivation, proof_of(restate(derivation, Notation())), notation=notation)
    with pytest.raises(Error, match="written in a notation already"):
        derivation_document(restate(derivation, notation), notation=notation)
    with pytest.raises(Error, match="only a derivation can be written in a notation, and this is a Document"):
        bptt.save(derivation_document(derivation), tmp_path / "page.html", notation=notation)
    path = bptt.save(derivation, tmp_path / "page.md", notation=notation)
    assert "The notation is proved" in path.read_text("utf-8")


def test_a_wrong_notation_is_shown(monkeypatch):
    broken = replace(RULES["outer"], row=lambda node, turn, at: outer(*node.args))
    monkeypatch.setitem(RULES, "outer", broken)
    cell = bptt.parse("x: input[n]\nh: state[n]\nW: param[n, n]\nh = W @ x + h\n")
    found = restate(bptt.derive(cell), Notation("row"))
    text = markdown_text(derivation_document(found, proof_of(found)))
    assert "The notation is refuted" in text and "delta_W" in text


def run(*arguments):
    return CliRunner().invoke(main, ["derive", *map(str, arguments)])


def test_command_line(tmp_path):
    shown = run("rnn", "--layout", "row", "--names", "W_hh=U, b_h=b", "--adjoint", "partial")
    assert shown.exit_code == 0, shown.output
    assert "a_h = h_prev @ U + x @ W_xh + b" in shown.output
    assert "Proved: 23 entries" in shown.output and "The same: " in shown.output
    file = tmp_path / "mine.toml"
    file.write_text('layout = "row"\nfuse = true\n[names]\nW = "V"\n')
    target = tmp_path / "page.md"
    written = run("rnn", "--notation", file, "--layout", "batch", "-o", target)
    assert written.exit_code == 0, written.output
    assert "V" in target.read_text("utf-8") and "in batch layout" in written.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layout", "rows"], "unknown layout 'rows'"),
        (["--names", "W_hh"], "names are given as old=new,old=new, here 'W_hh'"),
        (["--names", "W_hh=U=V"], "names are given as old=new"),
        (["--names", "W=U"], "has no name 'W'"),
        (["--gates", "f,i"], "set fuse too"),
        (["--fuse", "--gates", "f,i"], "isn't an order of the gates"),
        (["--notation", "none.toml"], "none.toml: can't be read"),
    ],
)
def test_mistakes_on_the_command_line(arguments, message):
    result = run("rnn", *arguments)
    assert result.exit_code == 2 and message in result.output
