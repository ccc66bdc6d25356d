"""The pages of the documentation: they build without a warning, and name all that is public."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import bptt
from bptt import analysis, kernels, reports
from bptt.cli import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = "\n".join(path.read_text("utf-8") for path in sorted((DOCS / "api").glob("*.rst")))
NAMED = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)$", REFERENCE, re.MULTILINE))
LAYERS = {"bptt.derive", "bptt.kernels", "bptt.analysis", "bptt.reports"}
PUBLIC = {f"bptt.{name}" for name in dir(bptt) if not name.startswith("_")} - LAYERS
PUBLIC |= {
    f"bptt.analysis.{name}" for name in dir(analysis) if not name.startswith("_") and callable(getattr(analysis, name))
}
PUBLIC |= {f"bptt.kernels.{name}" for name in kernels.__all__} | {f"bptt.reports.{name}" for name in reports.__all__}


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The pages, built from nothing with warnings as errors."""
    folder = tmp_path_factory.mktemp("pages")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", DOCS, folder / "html"]
    done = subprocess.run([*command, "-d", folder / "cache"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_nothing_is_fetched(built):
    """No page loads a script, a style, a font or a picture from elsewhere."""
    loaded = re.compile(
        r"""<(?:script|link|img|source)[^>]*(?:src|href)="(https?:)?//|@import|url\(["']?(?:https?:)?//"""
    )
    pages = [path for kind in ("html", "css") for path in built.rglob(f"*.{kind}")]
    assert len(pages) > 40
    assert [path.name for path in pages if loaded.search(path.read_text("utf-8"))] == []


def test_a_new_line_of_a_table_is_on_its_page(built):
    from bptt.derive.functions import FUNCTIONS
    from bptt.derive.linear import NODES

    page = (built / "notation.html").read_text("utf-8")
    assert [name for name in (*FUNCTIONS, *NODES) if f'<span class="pre">{name}</span>' not in page] == []
    for names, kind in (
        (bptt.zoo(), "zoo"),
        (bptt.models(), "models"),
        (main.list_commands(click.Context(main)), "commands"),
    ):
        text = (built / f"{kind}.html").read_text("utf-8")
        assert [name for name in names if f">{name}<" not in text] == []


def test_every_picture_says_what_it_shows(built):
    for path in built.rglob("*.html"):
        pictures = re.findall(r"<img[^>]*>", path.read_text("utf-8"))
        assert [tag for tag in pictures if not re.search(r'alt="[^"]', tag)] == [], path.name


@pytest.mark.parametrize("name", ["index", "tutorial", "notation", "mathematics", "examples/checking", "systems/hello"])
def test_nothing_troubles_a_reader(name, built, browser):
    for width, dark in ((400, False), (1200, False), (1200, True)):
        browser.open(built / f"{name}.html", width, dark)
        assert browser.audit() == []


def test_formulas_are_drawn(built, browser):
    browser.open(built / "mathematics.html")
    browser.run("MathJax.startup.promise")
    assert browser.run("document.querySelectorAll('mjx-container svg').length") > 20
    assert browser.run("document.querySelectorAll('mjx-merror').length") == 0


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_in_the_reference(name):
    last = name.rpartition(".")[2]
    thing = eval(name, {"bptt": bptt})
    same = {other for other in NAMED if other.rpartition(".")[2] in (last, getattr(thing, "__name__", last))}
    assert same


@pytest.mark.parametrize("name", sorted(NAMED))
def test_what_is_in_the_reference_is_explained(name):
    package, _, last = name.rpartition(".")
    __import__(package)
    thing = getattr(sys.modules[package], last) if package in sys.modules else eval(name, {"bptt": bptt})
    assert thing.__doc__ and thing.__doc__.strip()
