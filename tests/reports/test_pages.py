"""Pages in a browser without a network: nothing fails, everybody can read them, and their controls work."""

import re
import runpy
from functools import cache
from pathlib import Path

import pytest

import bptt
from bptt.derive import derive
from bptt.reports import comparison_document, model_document, verdict_document
from bptt.reports.document import Coloured, Document, Heading
from bptt.reports.gallery import gallery_page
from bptt.reports.html import html_page, html_part
from bptt.reports.study import study_document

HERE = Path(__file__).parent


@cache
def helpers(name):
    return runpy.run_path(str(HERE / f"{name}.py"))


def lstm():
    return helpers("conftest")["document_of"]("lstm")


def model():
    return model_document(derive(bptt.load_model("attention")))


def verdict():
    return verdict_document(bptt.check("dh = dh_out + dh_next\nda_h = dh * (1 - h)", cell="rnn"))


def comparison():
    made = helpers("test_comparison")
    return comparison_document(made["DERIVATIONS"], made["study"]([0.5, 0.05, 0.2]))


def study():
    return study_document(helpers("test_study")["tree"](a=[0.1, 0.2, 0.3], b=[0.5, 0.6, 0.7]), "bptt study mine.toml")


def gallery():
    return gallery_page(helpers("test_gallery")["found"]())


def inspection():
    text = "A text to be coloured, " * 12
    values = [[((place * step) % 21 - 10) / 10 for place in range(len(text))] for step in (1, 3, 7)]
    names = ("h[0] follows quotes", "h[1]", "h[2]")
    return Document(
        "Units", "Inspection", (), (Heading("The text"), Coloured(tuple(text), values, names, (0, 2), ("By unit.",)))
    )


PAGES = {make.__name__: make for make in (lstm, model, verdict, comparison, study, gallery, inspection)}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")

    @cache
    def written(name):
        path = folder / f"{name}.html"
        path.write_text(html_page(PAGES[name]()), "utf-8")
        return path

    return written


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_troubles_a_reader(name, width, browser, pages):
    browser.open(pages(name), width)
    assert browser.audit() == []


@pytest.mark.parametrize("name", PAGES)
def test_nor_in_the_dark(name, browser, pages):
    browser.open(pages(name), 1200, dark=True)
    assert browser.audit() == []


def test_a_notebook_page_light_and_dark(browser, tmp_path):
    from bptt.reports.notebook import html

    parts = html(bptt.load("lstm")) + html_part("B", verdict().blocks)
    for ink, ground in (("#111", "#fff"), ("#ddd", "#111")):
        page = tmp_path / "part.html"
        page.write_text(
            f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>N</title><body style="color:{ink};'
            f'background:{ground}"><h1>N</h1>{parts}</body></html>',
            "utf-8",
        )
        for width in (400, 1200):
            browser.open(page, width)
            assert browser.audit() == []


@pytest.mark.parametrize("name", ["comparison", "study", "gallery"])
def test_a_curve_is_hidden_and_shown_by_its_button(name, browser, pages):
    browser.open(pages(name))
    pressed = "document.querySelector('.plot.live .legend button').getAttribute('aria-pressed')"
    drawn = "document.querySelectorAll('.plot.live .scatterlayer .trace').length"
    before = browser.run(drawn)
    assert browser.run(pressed) == "true" and before > 0
    browser.run("document.querySelector('.plot.live .legend button').focus()")
    browser.press("Enter")
    assert browser.run(pressed) == "false"
    assert browser.run(drawn) < before
    browser.press("Enter")
    assert browser.run(pressed) == "true" and browser.run(drawn) == before


def test_values_are_read_by_arrow_keys(browser, pages):
    browser.open(pages("comparison"))
    browser.run("document.querySelector('.canvas').focus()")
    said = "document.querySelector('.said').textContent"
    assert browser.run(said) == ""
    browser.press("ArrowRight")
    first = browser.run(said)
    browser.press("ArrowRight")
    assert re.search(r"slow.*: ", first) and browser.run(said) != first


def test_every_control_is_reached_by_tab(browser, pages):
    browser.open(pages("comparison"))
    buttons = browser.run("document.querySelectorAll('.legend button, .canvas').length")
    reached = set()
    for _ in range(buttons + 20):
        browser.press("Tab")
        reached.add(
            browser.run("[...document.querySelectorAll('.legend button, .canvas')].indexOf(document.activeElement)")
        )
    assert reached >= set(range(buttons))


def test_a_text_is_coloured_by_the_chosen_unit(browser, pages):
    browser.open(pages("inspection"))
    colours = "[...document.querySelectorAll('.coloured pre span')].map((s) => s.style.background).join()"
    first = browser.run(colours)
    browser.run("document.querySelectorAll('.coloured button')[1].focus()")
    browser.press("Enter")
    second = browser.run(colours)
    assert second != first
    assert browser.run("document.querySelector('.coloured select').selectedOptions[0].text") == "h[2]"


def test_a_page_that_troubles_is_found(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<!DOCTYPE html><html><body><h1>A</h1><h3>B</h3><img src="data:,"><p style="color:#999">faint</p>'
        '<div style="width:3000px">wide</div><script>console.error("no")</script>'
        '<script src="https://example.org/x.js"></script></body></html>',
        "utf-8",
    )
    browser.open(page, 400)
    found = "\n".join(browser.audit())
    for trouble in ("language", "title", "wider", "level 3", "without words", "contrast", "no", "asked for https"):
        assert trouble in found, trouble
