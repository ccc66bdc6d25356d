"""What a notebook shows: typeset, without anything imported by hand, and one output beside another."""

import re
from html.parser import HTMLParser

import pytest
from IPython.core.formatters import DisplayFormatter

import bptt
from bptt.derive import display
from bptt.reports.notebook import SHOWN, html

RNN = bptt.load("rnn")
INDEXED = bptt.parse("w: index[k]\nh: state[n]\nh = tanh(E[w] + U @ h)")
VERDICT = bptt.check("da_h = dh * (1 - h)", cell="rnn")


@pytest.fixture(scope="module")
def things():
    derivation, model = bptt.derive(RNN), bptt.compose("rnn")
    return {
        "Cell": RNN,
        "Model": model,
        "Derivation": derivation,
        "ModelDerivation": bptt.derive(model),
        "Restated": bptt.restate(derivation, bptt.Notation(layout="row")),
        "Proof": derivation.prove(),
        "Verdict": VERDICT,
        "Kernel": bptt.compile(RNN),
        "ModelKernel": bptt.compile(model),
        "Schedule": bptt.compile(RNN).schedule,
    }


class Tags(HTMLParser):
    """Whether every tag is closed in its order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        self.open += [tag] * (tag not in ("img", "br", "source", "use", "path", "rect", "line"))

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


@pytest.mark.parametrize("kind", [kind.__name__ for kind in SHOWN])
def test_each_kind_is_drawn(kind, things):
    shown, _ = DisplayFormatter().format(things[kind])
    page = shown["text/html"]
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert page.startswith('<div class="bptt">')
    assert not re.search(r"<h\d", page)
    equations = kind in ("Cell", "Model", "Derivation", "ModelDerivation", "Restated")
    assert ("text/latex" in shown) == equations
    if equations:
        assert shown["text/latex"].startswith(r"$$\begin{aligned}")


def test_glyphs_of_two_outputs_do_not_meet():
    found = [set(re.findall(r'id="(b[\w-]+)"', html(thing))) for thing in (RNN, INDEXED)]
    assert all(found) and not found[0] & found[1]
    used = set(re.findall(r'href="#([\w-]+)"', html(RNN)))
    assert used == found[0]


def test_styles_reach_nothing_outside():
    [style] = re.findall(r"<style>(.*?)</style>", html(RNN), re.DOTALL)
    outside = re.sub(r"\{[^{}]*\}", "", style)
    while "{" in outside:
        outside = re.sub(r"\{[^{}]*\}", "", outside)
    assert all(line.startswith(".bptt") for line in outside.splitlines() if line.strip())


def test_what_a_cell_is_given():
    page = html(INDEXED)
    for kind in ("index", "state", "parameter"):
        assert f"<em>{kind}</em>" in page
    assert "<em>input</em>" not in page


def test_pi_is_a_letter():
    derivation = bptt.derive(bptt.parse("h: state[n]\nh = erf(U @ h)"))
    assert r"\sqrt{\pi }" in str(derivation._repr_latex_()) and "√(π)" in str(derivation._repr_html_())


def test_text_of_others_stays_text():
    cell = bptt.parse('"""<script>alert(1)</script>"""\nh: state[n]\nh = tanh(U @ h)')
    assert "<script" not in html(cell)


def test_the_verdict_names_the_line():
    assert "line 1" in html(VERDICT).lower()


def test_nobody_to_draw(monkeypatch):
    monkeypatch.setattr(display, "painter", lambda kind: None)
    assert RNN._repr_html_() is None and RNN._repr_latex_() is None


def test_there_is_no_picture_of_a_number():
    with pytest.raises(bptt.Error, match="no picture of a int"):
        html(1)
