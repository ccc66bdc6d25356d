"""Every cell becomes a page in every format."""

import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pypdf
import pytest

from bptt.derive import Check, Notation, Proof, derive, parse, restate
from bptt.reports import derivation_document
from bptt.reports.derivation import mathematics
from bptt.reports.document import Document, Equations, Listing, Paragraph, Row, Strong
from bptt.reports.formula import MARK, MARKS, Formula, clean, parts
from bptt.reports.html import html_page
from bptt.reports.markdown import markdown_text
from bptt.reports.tex import tex_source
from bptt.reports.typst import pdf, typst_source


def test_pdf(document):
    content = pdf(document)
    assert content == pdf(document)
    reader = pypdf.PdfReader(io.BytesIO(content))
    text = " ".join(page.extract_text() for page in reader.pages)
    assert len(reader.pages) >= 2 and b"pdfaid:part>2<" in content
    for word in ("Notation", "The cell", "One step back in time", "The recursion over time", "Proof", "Proved"):
        assert word in text
    assert "�" not in text and "\x00" not in text and "delta_" not in text and "_prev" not in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_tex_compiles(document, tmp_path):
    (tmp_path / "page.tex").write_text(tex_source(document), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "page.log").read_text(errors="replace")
    assert "Missing character" not in log and "Overfull" not in log


def test_tex_uses_what_every_latex_has(document):
    source = tex_source(document)
    extra = ["fontenc"] if r"\cyr{" in source else []
    assert re.findall(r"\\usepackage.*?\{(.*?)\}", source) == ["amsmath,graphicx", *extra]


class Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.used, self.outside, self.pictures, self.labelled, self.open = [], [], [], 0, 0, []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "use":
            self.used.append(found["href"][1:])
        elif tag in ("img", "link", "script", "source"):
            self.outside += [
                value for key in ("src", "href", "srcset") if not (value := found.get(key, "data:")).startswith("data:")
            ]
        if tag == "svg" and found.get("class") in ("m", "d"):
            self.pictures += 1
            self.labelled += bool(found.get("aria-label"))
        if tag not in ("meta", "img", "source", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "img", "source", "br"):
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html(document):
    page = html_page(document)
    assert page == html_page(document)
    seen = Seen()
    seen.feed(page)
    assert not seen.open and not seen.outside
    assert len(seen.ids) == len(set(seen.ids)) and set(seen.used) <= set(seen.ids) and seen.used
    assert seen.pictures == seen.labelled > 20
    assert "#000000" not in page and "\x00" not in page


def test_markdown_and_typst(document):
    for text in (markdown_text(document), typst_source(document)):
        assert "Notation" in text and "Proof" in text and not re.search("[\ue000-\uf8ff]", text)


def test_a_title_stays_with_what_follows():
    page = (Paragraph((Strong("Above"),)), Paragraph(("Once:",)), Listing(("bptt",)), Paragraph((Strong("Last"),)))
    source = typst_source(Document("T", "K", (), page))
    kept = [re.sub(r"[^A-Za-z:]", "", found.removeprefix("strong")) for found in re.findall(r"#lead\[#?(.*)\]", source)]
    assert kept == ["Above", "Once:"]


@pytest.mark.parametrize("above", range(33, 38))
def test_a_formula_stays_on_one_page_with_the_reason_below_it(above):
    terms = Formula(*[MARK.join(["+ x"] * 80)] * 3)
    rows = (Row(Formula('"lefthand"', "l", "l"), terms, ("because",)),)
    document = Document("T", "K", (), (*[Paragraph(("line",))] * above, Equations(rows)))
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf(document))).pages]
    assert ["lefthand" in text for text in pages] == ["because" in text for text in pages]


def test_each_dialect_breaks_at_the_same_places(derivation):
    math = mathematics(derivation)
    for step in derivation.steps:
        formula = math.formula(step.expr)
        broken = parts(formula, 6)
        assert "".join(clean(part).plain for part in broken) == clean(formula).plain
        for dialect in ("typst", "latex", "plain"):
            joined = "".join(getattr(part, dialect) for part in broken)
            assert MARKS.sub("", joined) == MARKS.sub("", getattr(formula, dialect))


@pytest.mark.parametrize("name", ["rnn", "everything"], indirect=True)
def test_a_failed_check_is_shown_with_its_counterexample(derivation):
    bad = Check("W", 6, False, "polynomial", "W[0, 1]: derived − sympy.diff = a*b")
    proof = Proof(derivation.cell.name, {"n": 2}, 3, (), (bad,), 1.0)
    document = derivation_document(derivation, proof)
    assert "Refuted: 1 of 1 checks fail" in typst_source(document)
    text = " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf(document))).pages)
    assert "a*b" in text and "✗" in text


SIGNS = """
x: input[n]
h: state[n]
c: state
d = h - sum(h) / sum(ones(n))
k = log(dot(d, d) + 1) - outer(W @ x, h) @ (U @ h)
c = 0.5 * c + cross_entropy(k, x) - x[0]
h = tanh(k - V @ d) * sigmoid(c) / c
"""


@pytest.mark.parametrize("layout", ["column", "row"])
def test_signs_of_what_linear_maps_hold_stand_before_them(layout):
    written = restate(derive(parse(SIGNS, name="signs")), Notation(layout=layout)).derivation
    math = mathematics(written, layout)
    shown = [clean(math.formula(step.expr)).plain for step in written.steps]
    assert any("−" in text for text in shown)
    assert not [text for text in shown if re.search("[+−(] ?−|−1 ", text)]


def test_signs_of_rows_and_zeros_in_a_jacobian():
    cell = parse("k: state\nh: state[n]\nk = k + 1\nh = tanh(h / k)", name="rows")
    page = markdown_text(derivation_document(derive(cell), notation=Notation(layout="row")))
    assert r"h_{t-1} &= 0 \\" in page and r"&= -\frac{h_{t-1}" in page


def test_a_page_without_sizes_and_one_with_long_names():
    numbers = derive(parse("x: input\nh: state\nh = a * h + x", name="numbers"))
    page = markdown_text(derivation_document(numbers, numbers.prove()))
    assert "All values are numbers" in page and "With ," not in page
    names = " + ".join(f"weights_of_the_{part}_memory @ x" for part in ("first", "second", "third", "fourth"))
    names += " + " + " + ".join(f"bias_of_the_{part}_memory" for part in ("first", "second", "third", "fourth"))
    long = derive(parse(f"x: input[n]\nh: state[n]\nh = tanh({names} + h)", name="long"))
    page = markdown_text(derivation_document(long, long.prove()))
    assert "| Gradient | Entries | Agrees |\n" in page and "$n$ stands for the size" in page
