"""Nothing is wider than its page or higher, whatever the cell: measured on pages as they are printed."""

import io
import re
import shutil
import subprocess

import numpy as np
import pytest
import typst
from PIL import Image

import bptt
from bptt.reports import derivation_document
from bptt.reports.document import MAY_BREAK, Algorithm, Document, Heading, Line, Paragraph, breakable
from bptt.reports.fonts import needed_fonts
from bptt.reports.formula import clean, lines
from bptt.reports.html import html_page
from bptt.reports.markdown import markdown_text
from bptt.reports.mathematics import Mathematics
from bptt.reports.tex import tex_source
from bptt.reports.typst import typst_source

STATE = "a_very_long_name_of_a_state_that_nobody_would_ever_write"
SUM = " + ".join(f"p_{k} * h" for k in range(1, 7))
RING = range(1, 10)
WIDE = {
    "long names": f"""x: input[inputs_of_the_first_layer]
{STATE}: state[hidden_units_of_the_only_layer]
{STATE} = tanh(recurrent_weights_of_the_whole_layer @ {STATE} + input_weights_of_the_whole_layer_without_gates @ x)
""",
    "long sums": f"""x: input[n]
h: state[n]
h = sigmoid({SUM} + x) * exp(-({SUM})**2) / (1 + ({SUM})**2) + sin({SUM}) * sqrt(1 + ({SUM})**2)
""",
    "fractions": """x: input[n]
h: state[n]
a = (W @ h + x) / (1 + norm(h)) / (2 + h * h / (1 + x * x / (3 + abs(h))))
u = max(a / (1 + abs(x)), h / (2 + norm(a))) ** 2 * (1 - a / (1 + x * x))
h = u * (1 - h / (1 + x**4)) * softmax(a / (1 + h * h))
""",
    "many states": "x: input[m]\n"
    + "".join(f"s{k}: state[n]\n" for k in RING)
    + "".join(f"s{k} = tanh(W_{k} @ s{k} + V_{k} @ s{k % len(RING) + 1} + U_{k} @ x)\n" for k in RING),
    "long words": f'"""{"Unbreakable" * 20}\n\n{"x" * 150}\n"""\nx: input[m]\nh: state[n]\nh = tanh(W @ h + U @ x)\n',
}
DPI = 36
PDFLATEX = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")


def has_tex_file(name):
    if shutil.which("kpsewhich") is None:
        return False
    return bool(subprocess.run(["kpsewhich", name], capture_output=True, text=True).stdout.strip())


def margins(source):
    """The darkest spot of every page's margins: left, right, top and bottom of the text and its footer."""
    fonts = typst.Fonts(include_system_fonts=False, font_paths=[str(folder) for folder in needed_fonts(source)])
    made = typst.Compiler(source.encode(), font_paths=fonts).compile(format="png", ppi=DPI)
    for page in made if isinstance(made, list) else [made or b""]:
        dark = 255 - np.asarray(Image.open(io.BytesIO(page)).convert("L")).astype(int)
        side, end = (int(millimetres / 25.4 * DPI) - 1 for millimetres in (24, 8))
        yield max(part.max() for part in (dark[:, :side], dark[:, -side:], dark[: 2 * end], dark[-end:]))


def log_of(source, folder):
    """The log of a compilation, which has to go through."""
    (folder / "page.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    return (folder / "page.log").read_text(errors="replace")


@pytest.fixture(scope="module", params=WIDE)
def wide(request):
    return bptt.derive(bptt.parse(WIDE[request.param], request.param.replace(" ", "_")))


@pytest.mark.parametrize("detail", ["brief", "full"])
def test_wide_cells_in_pdf(wide, detail):
    assert max(margins(typst_source(derivation_document(wide, detail=detail)))) < 8  # grey levels, of 255


@PDFLATEX
@pytest.mark.parametrize("detail", ["brief", "full"])
def test_wide_cells_in_tex(wide, detail, tmp_path):
    assert "Overfull" not in log_of(tex_source(derivation_document(wide, detail=detail)), tmp_path)


def test_wide_cells_in_html_and_markdown(wide):
    document = derivation_document(wide)
    assert "max-width: 100%" in html_page(document)
    assert not re.search("[\ue000-\uf8ff]", markdown_text(document))


def test_pages_of_the_other_cells(document):
    assert max(margins(typst_source(document))) < 8


def test_what_is_too_wide_is_seen():
    page = typst_source(Document("T", "K", (), (Heading("H"),)))
    assert max(margins(page)) == 0
    assert max(margins(f"{page}\n#box(width: 175mm, height: 1em, fill: black)")) > 100


def test_tex_marks_what_is_too_wide(document):
    assert r"\setlength{\overfullrule}{5pt}" in tex_source(document)


@PDFLATEX
@pytest.mark.skipif(not has_tex_file("kotex.sty"), reason="kotex is not installed")
@pytest.mark.parametrize("name", ["lstm"], indirect=True)
def test_tex_in_korean(derivation, tmp_path):
    log = log_of(tex_source(derivation_document(derivation, language="ko")), tmp_path)
    assert "kotex.sty" in log and "Missing character" not in log and "Overfull" not in log


@PDFLATEX
@pytest.mark.skipif(not has_tex_file("t2aenc.def"), reason="the T2A encoding is not installed")
@pytest.mark.parametrize("name", ["unicode"], indirect=True)
def test_tex_in_cyrillic(derivation, tmp_path):
    log = log_of(tex_source(derivation_document(derivation)), tmp_path)
    assert "t2aenc.def" in log and "Missing character" not in log and "Overfull" not in log


def test_words_are_broken_only_where_they_are_long():
    assert breakable("a word, x" + "y" * 20) == "a word, x" + "y" * 20
    assert breakable("x" * 40).split(MAY_BREAK) == ["x" * 12] * 3 + ["xxxx"]
    assert r"\allowbreak" in tex_source(Document("x" * 40, "K", (), (Paragraph(("y",)),)))


def test_delimiters_grow_only_with_what_is_in_their_line():
    cell = bptt.parse(WIDE["fractions"])
    math = Mathematics(cell.shapes, [])
    formula = math.formula(cell.equations[1].written)
    assert r"\left(" in clean(formula).latex and r"\Bigl(" not in clean(formula).latex
    broken = lines(formula, 8)
    for line in broken:
        assert line.latex.count(r"\left") == line.latex.count(r"\right")
        assert line.latex.count("{") == line.latex.count("}") and line.latex.count(r"\begin") == line.latex.count(
            r"\end"
        )
    whole = "".join(line.latex for line in broken)
    assert whole.count(r"\Bigl(") == whole.count(r"\Bigr)") > 0


def test_each_line_of_a_tall_formula_has_air_in_an_algorithm():
    cell = bptt.parse("h: state[n]\nh = " + " + ".join(f"p_{k} * h / (1 + q_{k} * h**2)" for k in range(1, 9)))
    formula = Mathematics(cell.shapes, []).formula(cell.equations[0].written)
    source = typst_source(Document("T", "K", (), (Algorithm((Line((formula,)),)),)))
    [body] = re.findall(r"\(0, true, \[(.*?)\]\),\n", source, re.DOTALL)
    first, *rest = body.split(" \\\n")
    assert rest and first.startswith("#box(inset: (y: ")
    assert all(re.match(r'#box\(inset: \(y: .*\$display\(quad "" \+ ', piece) for piece in rest)


def test_a_fraction_is_as_wide_as_the_wider_of_its_sides():
    cell = bptt.parse("x: input[n]\nh: state[n]\nu = 1 + x * h + h\nv = (x + h) / (1 + x * h + h)\nh = v")
    math = Mathematics(cell.shapes, [])
    below, fraction = (math.formula(equation.written) for equation in cell.equations[:2])
    assert below.width <= fraction.width < below.width + 1
    assert len(lines(fraction + fraction, 2 * below.width + 2)) == 1
    cramped = lines(fraction, 3)  # its numerator is broken: a quotient in one line
    assert len(cramped) == 2 and "/(1 + " in cramped[1].plain and cramped[1].width > below.width
