"""Errors that a user can cause: each says where, what was found, what was expected and what to do."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType


class Error(ValueError):
    """Base of every error that a user of bptt can cause."""


class NotationError(Error):
    """The text of a cell can't be read."""


class ShapeError(Error):
    """Shapes in a cell's equations, or of the arrays given to it, don't fit together."""


class ProgramError(Error):
    """A program reads a value before it is defined: a fault of the pass that made the program."""


WORDS: dict[type, str] = {str: "a string", os.PathLike: "a path", Mapping: "a dict", NoneType: "None"}


def expect(what: str, given: object, *kinds: type) -> None:
    """Refuse what is plainly of another kind than asked for.

    >>> expect("the text of a cell", None, str)
    Traceback (most recent call last):
    bptt.derive.errors.Error: the text of a cell must be a string, not None
    """
    if not isinstance(given, kinds):
        wanted = " or ".join(WORDS.get(kind, f"a {kind.__name__}") for kind in kinds)
        found = type(given).__name__
        raise Error(f"{what} must be {wanted}, not {'None' if given is None else f'of type {found}'}")


def expect_path(what: str, given: object) -> None:
    """Refuse what is neither a string nor a path."""
    expect(what, given, str, os.PathLike)


def unreadable(path: str | os.PathLike[str], error: OSError, hint: str = "") -> Error:
    """Return an Error that says why a file can't be read, and what to do: the nearest name beside it, or a hint."""
    why = f"{path}: can't be read: {(error.strerror or str(error)).lower()}"
    return Error(". ".join(filter(None, [why, nearest(path) or hint])))


def unwritable(path: str | os.PathLike[str], error: OSError) -> Error:
    """Return an Error that says why a file can't be written, and what to do."""
    folder = Path(path).parent
    advice = "Choose another place" if folder.is_dir() else f"Make the folder '{folder}' first, or choose another"
    return Error(f"{path}: can't be written: {(error.strerror or str(error)).lower()}. {advice}")


def nearest(path: str | os.PathLike[str]) -> str:
    """Return a question that names the file of the same kind in the same folder that may have been meant.

    It is empty where there is none, or nothing is missing.
    """
    wanted = Path(path)
    if wanted.exists() or not wanted.parent.is_dir():
        return ""
    beside = {entry.stem: entry for entry in sorted(wanted.parent.iterdir()) if entry.suffix == wanted.suffix}
    near = difflib.get_close_matches(wanted.stem, beside, 1)
    return f"Did you mean '{beside[near[0]]}'?" if near else ""


MARGIN = 60  # columns shown on either side of a place in a long line


@dataclass(frozen=True)
class Source:
    """A text with the name under which a reader knows it: a file's path or a cell's name."""

    name: str
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines as Python counts them: only line feeds and carriage returns end one."""
        return re.split(r"\r\n|\r|\n", self.text)

    def point(self, line: int, column: int, width: int, message: str, hint: str = "") -> str:
        """Return `message` with its place, the line it speaks of, a caret under the columns, and a hint.

        Args:
            line: 1-based line.
            column: 0-based column, counted in characters.
            width: characters to underline.

        >>> print(Source("my.cell", "h = tnh(x)").point(1, 4, 3, "unknown function 'tnh'", "Try tanh."))
        my.cell, line 1, column 5: unknown function 'tnh'
            h = tnh(x)
                ^^^
        Try tanh.
        """
        shown = self.lines[min(line, len(self.lines)) - 1]
        first = max(0, column - MARGIN) if len(shown) > 2 * MARGIN else 0
        before, under = shown[first:column], shown[column : column + min(width, MARGIN)]
        shown = "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in shown)
        shown = shown[first : first + 2 * MARGIN]
        place = f"{self.name}, line {line}, column {column + 1}: {message}"
        caret = _blank(before) + "^" * max(1, len(_blank(under)))
        return "\n".join([place, f"    {shown}", f"    {caret}"] + [hint] * bool(hint))


def _blank(text: str) -> str:
    """Return blanks as wide as the text is in a terminal."""
    return "".join(
        "\t"
        if c == "\t"
        else ""
        if unicodedata.combining(c)
        else "  "
        if unicodedata.east_asian_width(c) in "WF"
        else " "
        for c in text
    )
