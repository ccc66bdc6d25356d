"""Which parts of a line are changed in its mended form."""

from __future__ import annotations

import difflib
import re

SIGN = re.compile(r"(?:np|numpy|jnp|torch)\.|[A-Za-z_]\w*|\d+(?:\.\d+)?|\s+|\*\*|.", re.DOTALL)
SILENT = re.compile(r"\s+|(?:np|numpy|jnp|torch)\.")
LATEX_SIGN = re.compile(r"\\[A-Za-z]+|\\.|\d+|\s+|.", re.DOTALL)
LATEX_SILENT = re.compile(
    r"\s+|[&{}*]|\\(?:left|right|odot|circ|cdot|times|displaystyle|nonumber|notag|mathrm|operatorname)|\\[,;:!> ]|"
    r"\\(?:mathbf|boldsymbol|bm|mathsf|mathcal)"
)
ALIKE = 0.3  # below it, the lines have so little in common that marks would confuse

Piece = tuple[str, bool]  # a part of a line, and whether it is changed


def difference(given: str, mended: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Return both lines in pieces, each with whether it is changed.

    >>> difference("da = dh * c", "da = dh * c_prev")
    ((('da = dh * ', False), ('c', True)), (('da = dh * ', False), ('c_prev', True)))
    """
    sign, silent = (LATEX_SIGN, LATEX_SILENT) if "\\" in given + mended else (SIGN, SILENT)
    sides = sign.findall(given), sign.findall(mended)
    spoken = [[index for index, part in enumerate(signs) if not silent.fullmatch(part)] for signs in sides]
    words = [[signs[index] for index in places] for signs, places in zip(sides, spoken, strict=True)]
    matcher = difflib.SequenceMatcher(None, words[0], words[1], autojunk=False)
    if not mended or matcher.ratio() < ALIKE:
        return ((given, False),), ((mended, False),)
    changed: tuple[set[int], set[int]] = (set(), set())
    for tag, first, stop, start, end in matcher.get_opcodes():
        if tag != "equal":
            for side, (low, high) in enumerate(((first, stop), (start, end))):
                if low < high:
                    changed[side].update(range(spoken[side][low], spoken[side][high - 1] + 1))
            if tag == "insert" and first and not sides[1][spoken[1][start] - 1].isspace():
                changed[0].add(spoken[0][first - 1])  # what grows, as t in t+1, is marked before it grows
    return _pieces(sides[0], changed[0]), _pieces(sides[1], changed[1])


def _pieces(signs: list[str], changed: set[int]) -> tuple[Piece, ...]:
    made: list[Piece] = []
    for index, sign in enumerate(signs):
        if made and made[-1][1] == (index in changed):
            made[-1] = (made[-1][0] + sign, made[-1][1])
        else:
            made.append((sign, index in changed))
    return tuple(made)
