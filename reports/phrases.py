"""Sentences of the reports, from one file per language, with formulas put in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from ..derive.errors import Error
from .document import Inline, Text

FOLDER = resources.files(__package__) / "language"
HOLE = re.compile(r"\{(\w+)\}")


def languages() -> list[str]:
    """Return the codes of the languages that have a catalogue.

    >>> languages()
    ['en', 'ko']
    """
    return sorted(entry.name.removesuffix(".toml") for entry in FOLDER.iterdir() if entry.name.endswith(".toml"))


def check_language(language: str) -> None:
    """Refuse a language without a catalogue.

    >>> check_language("xx")
    Traceback (most recent call last):
    bptt.derive.errors.Error: unknown language 'xx'. Known: en, ko
    """
    if language not in languages():
        raise Error(f"unknown language '{language}'. Known: {', '.join(languages())}")


@cache
def catalogue(language: str) -> dict[str, Any]:
    """Return all sentences of a language, as nested tables."""
    return tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))


class Phrases:
    """Gives sentences by their place in the catalogue, such as "why.incoming".

    Raises:
        Error: for a language without a catalogue.
    """

    def __init__(self, language: str = "en") -> None:
        check_language(language)
        self.language = language

    def __contains__(self, key: str) -> bool:
        return isinstance(self._find(key), str)

    def plain(self, key: str, **parts: object) -> str:
        """Return a sentence whose holes take plain text.

        >>> Phrases().plain("section.gradients")
        'Gradients of the parameters'
        """
        found = self._find(key)
        if not isinstance(found, str):
            raise KeyError(f"the catalogue '{self.language}' has no sentence '{key}'")
        return HOLE.sub(lambda hole: str(parts[hole[1]]), found)

    def text(self, key: str, **parts: Inline | Text) -> Text:
        """Return a sentence whose holes take formulas, or whole texts.

        >>> Phrases().text("why.chain_long", value="A")
        ('chain rule through ', 'A')
        """
        found = self._find(key)
        if not isinstance(found, str):
            raise KeyError(f"the catalogue '{self.language}' has no sentence '{key}'")
        pieces: list[Inline] = []
        for place, piece in enumerate(HOLE.split(found)):
            part = piece if place % 2 == 0 else parts[piece]
            pieces += part if isinstance(part, tuple) else [part] if part != "" else []
        return tuple(pieces)

    def join(self, items: Sequence[Inline]) -> Text:
        """Return items as an enumeration: a, b and c."""
        joined: list[Inline] = []
        for place, item in enumerate(items):
            if place:
                joined.append(self.plain("list.last") if place == len(items) - 1 else self.plain("list.between"))
            joined.append(item)
        return tuple(joined)

    def _find(self, key: str) -> object:
        found: Any = catalogue(self.language)
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found
