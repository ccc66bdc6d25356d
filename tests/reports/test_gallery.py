"""Pages of the gallery: drawn from what a system measured, whatever its numbers; and files that aren't such numbers."""

import io
import json

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from pypdf import PdfReader

import bptt
from bptt.analysis.systems import load
from bptt.cli import main
from bptt.reports import gallery
from bptt.reports.document import Coloured, Equations, Figure, Listing, Sheet, Table
from bptt.reports.markdown import markdown_text, text
from bptt.reports.system_page import NO_BREAK
from bptt.reports.typst import pdf


def found():
    about: dict[str, object] = {
        "system": "s",
        "title": "A title",
        "question": "Why?",
        "learned": "That.",
        "method": "so",
    }
    about |= {"scale": "small", "seed": 0, "seconds": 1.0}
    about["texts"] = json.dumps({"one": bptt.load_model("hello").text})
    flow = np.array([np.nan, 0.0, -1.0, np.nan])
    return xr.Dataset(
        {
            "error": ("model", [0.5, np.nan], {"long_name": "error", "units": "m"}),
            "error_low": ("model", [0.4, np.nan], {"long_name": "low", "units": "m"}),
            "error_high": ("model", [0.6, np.nan], {"long_name": "high", "units": "m"}),
            "curve": (("model", "x"), [[1.0, 2.0, 3.0], [np.nan] * 3], {"long_name": "curve", "units": "1"}),
            "said": ("model", ["two\nlines", ""], {"long_name": "It says"}),
            "flow": (("model", "moment", "state", "lag"), np.broadcast_to(flow, (2, 2, 1, 4)).copy()),
        },
        {
            "model": ["one", "count"],
            "x": [0, 1, 2],
            "moment": ["at the start", "after"],
            "state": ["h"],
            "lag": range(4),
        },
        about,
    )


def blocks_of(page, kind):
    [sheet] = [block for block in page.blocks if isinstance(block, Sheet)]
    on_it = [block for column in sheet.columns for block in column]
    return [[block for block in blocks if isinstance(block, kind)] for blocks in (on_it, page.blocks)]


def test_a_page_shows_each_variable_as_what_it_is():
    page = gallery.gallery_page(found())
    [[table], more] = blocks_of(page, Table)
    assert [[text(cell) for cell in row] for row in table.rows] == [
        ["error (m)", rf"0.500 \[0.400,{NO_BREAK}0.600\]", "–"]
    ]
    assert more == []  # what the sheet shows isn't shown again
    [[curve, flow], [by_state]] = blocks_of(page, Figure)
    assert "one goes from 1.00 to 3.00" in curve.alt
    assert "one (at the start) goes from 0 to −1.00" in flow.alt and "one (after training)" in flow.alt
    assert "at the start (one, h) goes from 0 to −1.00" in by_state.alt
    listings = [block.lines for blocks in blocks_of(page, Listing) for block in blocks]
    assert listings == [("two", "lines"), ("two", "lines"), ("bptt gallery",)]
    [shown, rest] = blocks_of(page, Equations)
    assert shown and not rest
    twice = found()
    twice.attrs["texts"] = json.dumps(dict.fromkeys(["one", "again"], bptt.load_model("hello").text))
    [once, rest] = blocks_of(gallery.gallery_page(twice), Equations)
    assert once == shown and not rest


def test_short_names_of_cells_stand_in_capitals_everywhere():
    """In the table, legends, sentences, and above the equations."""
    one = found().assign_coords(model=["gru, once", "count"]).assign_attrs(learned="gru 3, leaky 4")
    one.attrs["texts"] = json.dumps({"gru, once": bptt.load_model("hello").text})
    one.attrs["proofs"] = json.dumps({"gru, once": "3 entries of 2 gradients"})
    page = markdown_text(gallery.gallery_page(one))
    assert "GRU, once: 3 entries of 2 gradients" in page
    assert "gru," not in page and "GRU 3, leaky 4" in page and "| GRU, once |" in page and "**GRU, once**" in page
    whole = markdown_text(gallery.gallery_document([one]))
    assert "gru," not in whole and "GRU, once" in whole


def test_each_system_takes_one_page_of_the_gallery():
    """Also one with more than fits: it is drawn smaller."""
    full = found().assign(
        {
            f"more_{k}": (("model", "x"), [[1.0, k, 3.0], [np.nan] * 3], {"long_name": f"m{k}", "units": "1"})
            for k in range(4)
        }
    )
    lstms = {f"lstm {k}": bptt.compose("lstm", layers=2).text for k in range(3)}
    full.attrs |= {"texts": json.dumps(lstms), "learned": "Much was learned. " * 9, "title": "A full page"}
    reader = PdfReader(io.BytesIO(pdf(gallery.gallery_document([found(), full]))))
    pages = [page.extract_text() for page in reader.pages]
    assert [title in page for title, page in zip(("A gallery", "A title", "A full page"), pages, strict=True)] == [
        True
    ] * 3
    assert "lag k" in pages[2] or "at its least" in pages[2] or "gradient" in pages[2]
    assert [page.mediabox.width > page.mediabox.height for page in reader.pages] == [True] * 3
    own = PdfReader(io.BytesIO(pdf(gallery.gallery_page(full))))
    assert own.pages[0].mediabox.width > own.pages[1].mediabox.width


def test_a_text_is_coloured_by_its_numbers():
    about = {"show": "coloured", "pieces": "letters", "long_name": "A text", "units": "1"}
    letters = [*"one\n" * 40]
    coloured = found().assign(seen=(("series", "letter"), np.full((2, len(letters)), 0.5), about))
    coloured = coloured.assign_coords(series=["h[1]: lines", "h[2]: more"], letters=("letter", letters))
    [[brief], [whole]] = blocks_of(gallery.gallery_page(coloured), Coloured)
    assert "".join(whole.pieces) == "".join(letters) and whole.shown == (0, 1)
    assert len(brief.pieces) < len(letters) and brief.shown == (0,) and brief.names == ("h[1]: lines", "h[2]: more")


def test_kept_numbers_are_the_same_and_pictures_lie_beside_the_page(tmp_path):
    gallery.keep(found(), tmp_path / "s.json")
    again = gallery.kept(tmp_path / "s.json")
    assert again.identical(found())
    gallery.write_docs(tmp_path, [again], "bptt gallery")
    page = (tmp_path / "s.md").read_text()
    assert "](s-1.svg)" in page and "](s-2.svg)" in page and "base64" not in page
    assert b"<svg" in (tmp_path / "s-2.svg").read_bytes()
    assert gallery.kept(tmp_path / "s.json").identical(found())


def test_the_contents_name_what_has_a_page(tmp_path):
    (tmp_path / "hello.md").write_text("")
    page = gallery.write_contents(tmp_path, [load("hello"), load("dates")], "bptt gallery").read_text()
    assert "| [Hello: four characters, every number](hello.md) | How does" in page and "dates" not in page


def test_what_is_not_kept_is_said(tmp_path):
    with pytest.raises(bptt.Error, match="can't be read: .* Run its system first"):
        gallery.kept(tmp_path / "none.json")
    (tmp_path / "hello.json").write_text("{}")
    said = CliRunner().invoke(main, ["gallery", "hello", "--redraw", "-o", str(tmp_path)])
    assert said.exit_code == 2 and "not the numbers of a system. Run its system again" in said.output
    said = CliRunner().invoke(main, ["gallery", "hello", "--redraw", "-o", str(tmp_path / "new")])
    assert said.exit_code == 2 and "Run its system first" in said.output and not (tmp_path / "new").exists()
    said = CliRunner().invoke(main, ["gallery", "helo"])
    assert said.exit_code == 2 and "Did you mean 'hello'" in said.output
