r"""Commands that a LaTeX text defines for itself: \newcommand{\pd}[2]{\frac{\partial #1}{\partial #2}}."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFINITION = re.compile(
    r"\\(?:re)?newcommand\*?\s*\{?\s*\\([A-Za-z]+)\s*\}?\s*(?:\[(\d)\])?\s*(?=\{)|\\def\s*\\([A-Za-z]+)\s*((?:#\d)*)\s*(?=\{)"
    r"|\\DeclareMathOperator\*?\s*\{?\s*\\([A-Za-z]+)\s*\}?\s*(?=\{)"
)
MOST_EXPANSIONS = 2000


@dataclass(frozen=True)
class Expanded:
    """A text with its own commands written out.

    Attributes:
        text: the result.
        places: where each of its characters stands in the original; one more for the end.
    """

    text: str
    places: tuple[int, ...]


def expanded(text: str) -> Expanded:
    r"""Write a text's own commands out; their definitions are blanked.

    >>> expanded(r"\newcommand{\dt}[1]{\delta #1_t} \dt{h}").text.strip()
    '\\delta h_t'
    """
    places = list(range(len(text) + 1))
    macros: dict[str, tuple[int, str]] = {}
    while found := DEFINITION.search(text):
        stop = _closed(text, found.end())
        body = text[found.end() + 1 : stop - 1]
        name = found[1] or found[3] or found[5]
        count = int(found[2] or 0) or len(found[4] or "") // 2
        macros[name] = (count, rf"\operatorname{{{body}}}" if found[5] else body)
        text = text[: found.start()] + re.sub(r"[^\n]", " ", text[found.start() : stop]) + text[stop:]
    if not macros:
        return Expanded(text, tuple(places))
    use = re.compile(r"\\(" + "|".join(sorted(macros, key=len, reverse=True)) + r")(?![A-Za-z])")
    for _ in range(MOST_EXPANSIONS):
        found = use.search(text)
        if found is None:
            break
        count, body = macros[found[1]]
        stop, given = found.end(), []
        for _ in range(count):
            start = stop + len(text[stop:]) - len(text[stop:].lstrip())
            end = _closed(text, start) if text[start : start + 1] == "{" else _one(text, start)
            given.append(text[start + 1 : end - 1] if text[start : start + 1] == "{" else text[start:end])
            stop = end
        new = re.sub(r"#(\d)", lambda hole: given[int(hole[1]) - 1] if int(hole[1]) <= len(given) else "", body)  # noqa: B023
        new = new if count or not text[stop : stop + 1].isalpha() else f"{new} "
        text = text[: found.start()] + new + text[stop:]
        places[found.start() : stop] = [places[found.start()]] * len(new)
    return Expanded(text, tuple(places))


def _closed(text: str, start: int) -> int:
    """Return the place after the brace that closes the one at `start`."""
    depth = 0
    for index in range(start, len(text)):
        if text[index] in "{}" and text[index - 1 : index] != "\\":
            depth += 1 if text[index] == "{" else -1
            if depth == 0:
                return index + 1
    return len(text)


def _one(text: str, start: int) -> int:
    found = re.compile(r"\\[A-Za-z]+|\S").match(text, start)
    return found.end() if found else start
