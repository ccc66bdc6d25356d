"""Fonts that a page needs beyond those that come with Typst: Hangul, from the package of the extra `korean`."""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ..derive.errors import Error

PACKAGE, FAMILY = "koreanize_matplotlib", "NanumGothic"


def has_hangul(text: str) -> bool:
    """Return whether a text needs a Hangul font.

    >>> has_hangul("역전파"), has_hangul("∂h")
    (True, False)
    """
    return not text.isascii() and any(unicodedata.name(letter, "").startswith("HANGUL") for letter in text)


@cache
def hangul_folder() -> Path | None:
    """Return the folder with the Hangul fonts, or nothing where their package isn't installed.

    The package is found but not imported: importing it would change matplotlib's settings.
    """
    spec = find_spec(PACKAGE)
    folders = [Path(place) / "fonts" for place in (spec.submodule_search_locations or [])] if spec else []
    return next((folder for folder in folders if (folder / f"{FAMILY}.ttf").is_file()), None)


def needed_fonts(text: str) -> list[Path]:
    """Return the folders of fonts that a text needs.

    Raises:
        Error: when it needs Hangul and no font has it.
    """
    if not has_hangul(text):
        return []
    folder = hangul_folder()
    if folder is None:
        raise Error(
            "this page holds Hangul, and no font for it is installed. Install the extra 'korean' "
            "(python -m pip install 'bptt[korean]'), or write .html, which uses the reader's own fonts"
        )
    return [folder]
