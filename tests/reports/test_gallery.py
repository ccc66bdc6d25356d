"""Pages of the gallery: drawn from what a system measured, whatever its numbers; and files that aren't such numbers."""

import json

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import bptt
from bptt.cli import main
from bptt.reports import gallery
from bptt.reports.document import Figure, Listing, Table
from bptt.reports.markdown import text


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


def test_a_page_shows_each_variable_as_what_it_is():
    page = gallery.gallery_page(found())
    [table] = [block for block in page.blocks if isinstance(block, Table)]
    assert [[text(cell) for cell in row] for row in table.rows] == [["error (m)", "0.500 (0.400 – 0.600)", ""]]
    figures = [block for block in page.blocks if isinstance(block, Figure)]
    assert len(figures) == 2 and "one goes from 1.00 to 3.00" in figures[0].alt
    assert "at the start (one, h) goes from 0 to −1.00" in figures[1].alt
    listings = [block.lines for block in page.blocks if isinstance(block, Listing)]
    assert listings == [("two", "lines"), ("bptt gallery",)]


def test_kept_numbers_are_the_same_and_pictures_lie_beside_the_page(tmp_path):
    gallery.keep(found(), tmp_path / "s.json")
    again = gallery.kept(tmp_path / "s.json")
    assert again.identical(found())
    gallery.write_docs(tmp_path, [again], "bptt gallery")
    page = (tmp_path / "s.md").read_text()
    assert "](s-1.svg)" in page and "](s-2.svg)" in page and "base64" not in page
    assert b"<svg" in (tmp_path / "s-2.svg").read_bytes()


def test_what_is_not_kept_is_said(tmp_path):
    with pytest.raises(bptt.Error, match="can't be read: .* Run its system first"):
        gallery.kept(tmp_path / "none.json")
    (tmp_path / "hello.json").write_text("{}")
    said = CliRunner().invoke(main, ["gallery", "hello", "--redraw", "-o", str(tmp_path)])
    assert said.exit_code == 2 and "not the numbers of a system. Run its system again" in said.output
    said = CliRunner().invoke(main, ["gallery", "helo"])
    assert said.exit_code == 2 and "Did you mean 'hello'" in said.output
