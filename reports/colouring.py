"""A coloured text in lines of runs, and the colours of its levels: what every renderer shares."""

from __future__ import annotations

from itertools import groupby

from .document import Coloured

LEVELS = 8  # of each sign
WIDEST = 96  # letters of a line
POSITIVE, NEGATIVE = (0, 114, 178), (213, 94, 0)  # Okabe and Ito (2008)
DEEPEST = 0.8  # share of the colour, at most, so that black letters stay readable
BARS = "▁▂▃▄▅▆▇█"

Run = tuple[str, int]


def level(value: float) -> int:
    """Return the level of a value from -1 to 1.

    >>> level(-1.0), level(0.03), level(0.5)
    (-8, 0, 4)
    """
    return round(max(-1.0, min(1.0, value)) * LEVELS)


def colour(of: int) -> str:
    """Return the colour of a level, as six hexadecimal digits.

    >>> colour(0), colour(8)
    ('ffffff', '338ec1')
    """
    share = DEEPEST * abs(of) / LEVELS
    return "".join(f"{round(255 + share * (part - 255)):02x}" for part in (POSITIVE if of > 0 else NEGATIVE))


def lines(block: Coloured, series: int) -> list[list[Run]]:
    """Return a text in lines, each in runs of one level; lines that are too long are cut.

    >>> lines(Coloured(("a", "b", "\\n", "c"), ((0.0, 0.0, 0.0, 1.0),), ("h",), (0,), ()), 0)
    [[('ab', 0)], [('c', 8)]]
    """
    found: list[list[Run]] = [[]]
    width = 0
    for piece, value in zip(block.pieces, block.values[series], strict=True):
        for letter in piece:
            if letter == "\n" or width == WIDEST:
                found.append([])
                width = 0
            if letter != "\n":
                found[-1].append((letter if letter.isprintable() else "�", level(value)))
                width += 1
    return [
        [("".join(letter for letter, _ in run), key) for key, run in groupby(line, key=lambda one: one[1])]
        for line in found
    ]


def barred(block: Coloured, series: int) -> list[str]:
    """Return a text for pages without colours: under each line a bar for each letter, from -1 to 1."""
    found = []
    for line in lines(block, series):
        found.append("".join(text for text, _ in line))
        if found[-1].strip():
            found.append(
                "".join(BARS[(of + LEVELS) * (len(BARS) - 1) // (2 * LEVELS)] * len(text) for text, of in line)
            )
    return found
