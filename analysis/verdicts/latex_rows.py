"""Where equations stand in a LaTeX text: environments, rows, chains such as a = b = c, and what is prose.

All that isn't read is replaced by blanks of the same length, so that places stay what they are in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

DISPLAY = (
    "equation|align|gather|multline|eqnarray|alignat|flalign|displaymath|math|dmath|IEEEeqnarray|aligned|split|gathered|"
    "alignedat|subequations|array"
)
NESTED = (
    r"\\(?:begin|end)\{(?:aligned|split|gathered|alignedat|array|align|gather|multlined)\*?\}(?:\[[a-z]\])?"
    r"(?:\{[rlc|\d@ ]*\})?"
)
REGIONS = (
    rf"\\begin\{{({DISPLAY})(\*?)\}}(?:\{{[^{{}}]*\}})?(.*?)\\end\{{\1\2\}}",
    r"\\\[(.*?)\\\]",
    r"(?<!\\)\$\$(.*?)\$\$",
)
COLUMNS = r"\\begin\{((?:x?x?align|flalign|alignat|aligned|alignedat|split)(\*?))\}(.*?)\\end\{\1\}"
INLINE = (r"(?<![\\$])\$(?!\$)([^$]*?)(?<!\\)\$(?!\$)", r"\\\((.*?)\\\)")
HELD = r"\\begin\{(d?cases|[bpvBV]?matrix)\}.*?\\end\{\1\}"
ADDS = (
    r"\\mathrel\s*\{\s*\+\s*\}\s*=|\\mathrel\s*\{\s*\+=\s*\}|\\mathbin\s*\{\s*\+\s*\}\s*=|\+\s*=|\\pluseq|\{\s*\+\s*\}="
)
EQUALS = (
    r"\\mathrel\s*\{\s*:?=\s*\}|:\s*=|\\(?:coloneqq|coloneq|equiv|triangleq|doteq|leftarrow|gets|eqqcolon)(?![A-Za-z])|"
    r"\\(?:stackrel|overset)\s*\{(?:[^{}]|\{[^{}]*\})*\}\s*\{\s*:?=\s*\}|=\s*:|=|←|≡"
)
WORDS = r"\\(?:text|textrm|mbox|textit|textbf|mathrm|intertext|shortintertext|textnormal)\s*\{"
DROPPED = (
    r"\\(?:label|tag|ref|eqref|cite|hspace|vspace|footnote|notag|nonumber|hfill|noindent|hline)\*?(?:\s*\{[^{}]*\})?"
)
CUTS = (
    r"\\q?quad(?![A-Za-z])|\\(?:Rightarrow|Longrightarrow|implies|iff|Leftrightarrow|hfill)(?![A-Za-z])|[,;]|"
    r"(?<![_^{])\x00+"
)
BREAKS = r"\\\\\*?(?:\[[^\]]*\])?|\\newline(?![A-Za-z])|\\cr(?![A-Za-z])"
RANGE = re.compile(
    r"\s*\(?\s*(?:(?:[tkjisnlT01]|\\tau)\s*(?:[-+]\s*\d\s*)?(?:(?:=|<|>|≤|≥|\\(?:leq?|geq?|lt|gt|in)(?![A-Za-z]))\s*"
    r"(?:\\[lcd]?dots[bc]?|\\tau|\\ldotp|[\d\sTNtkj,.…+{}()\[\]-]|\\[,;!{}])*)+"
    r"|\\[lcd]?dots[bc]?|T(?:\s*[-+]\s*1)?|\.\.\.|\d+|\\forall\s*\\?[a-z]+|…)\s*\)?\s*\Z"
)


@dataclass(frozen=True)
class Equation:
    """One equation, or a chain of them.

    Attributes:
        start, stop: where it stands in the text.
        sides: (start, stop) of what stands between the relations.
        adds: whether the first relation is +=.
        inline: whether it stands in a sentence.
    """

    start: int
    stop: int
    sides: tuple[tuple[int, int], ...]
    adds: bool
    inline: bool


def blanked(text: str, pattern: str, mark: str = " ", flags: int = 0) -> str:
    """Return the text with what a pattern finds replaced by marks; line ends stay."""
    return re.sub(pattern, lambda found: re.sub(r"[^\n]", mark, found[0]), text, flags=flags)


def displayed(text: str) -> bool:
    """Return whether a text has formulas in environments, displays or sentences; else each line is one."""
    return any(re.search(pattern, text, re.DOTALL) for pattern in (*REGIONS, *INLINE))


def prepared(text: str) -> str:
    """Return a text without comments, marks of layout and prose inside of formulas.

    >>> prepared("a % b") == "a    "
    True
    """
    text = blanked(text, r"(?<!\\)%[^\n]*")
    text = blanked(text, DROPPED)
    text = _without_words(text)
    apart = {place for found in re.finditer(COLUMNS, text, re.DOTALL) for place in _apart(found[3], found.start(3))}
    for pattern in REGIONS:
        for found in re.finditer(pattern, text, re.DOTALL):
            start, stop = found.span(found.lastindex or 0)
            text = text[:start] + blanked(text[start:stop], NESTED) + text[stop:]
    held = [found.span() for found in re.finditer(HELD, text, re.DOTALL)]
    made = list(text)
    for index, letter in enumerate(text):
        if letter == "&" and text[index - 1] != "\\":
            around = next((start for start, stop in held if start < index < stop), None)
            is_matrix = around is not None and "matrix" in text[around : around + 16]
            between = "\x00" if index in apart else " "
            made[index] = between if around is None else "," if is_matrix else "&"
    return "".join(made)


def _apart(body: str, start: int) -> Iterator[int]:
    """Yield the places of every second & of a row, which part equations: a &= b & c &= d."""
    hidden = blanked(body, HELD, "\x01", re.DOTALL)
    edges = [0, *(edge for found in re.finditer(BREAKS, hidden) for edge in found.span()), len(hidden)]
    for low, high in zip(edges[::2], edges[1::2], strict=True):
        marks = [found.start() for found in re.finditer(r"(?<!\\)&", hidden[low:high])]
        for before, mark in zip(marks[::2], marks[1::2], strict=False):
            between = hidden[low + before + 1 : low + mark]
            if not re.fullmatch(rf"\s*(?:{ADDS}|{EQUALS})?\s*", between):
                yield start + low + mark


def _without_words(text: str) -> str:
    """Put marks for words between formulas; names in scripts, functions and accents stay."""
    made = list(text)
    for found in re.finditer(WORDS, text):
        before = text[: found.start()].rstrip()
        depth, stop = 1, found.end()
        while stop < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[stop], 0)
            stop += 1
        inside = text[found.end() : stop - 1]
        prose = " " in inside.strip() or "," in inside or ":" in inside or inside.strip() in PROSE
        alone = re.search(r"(?:&|\\q?quad|\\hfill)\s*\Z", before) and re.match(r"\s*(?:\\\\|&|\\end|\Z)", text[stop:])
        apart = alone is not None or inside != inside.strip()  # Let and a blank
        prose = prose or "intertext" in found[0] or ("math" not in found[0] and apart)
        if prose and (not before or before[-1] not in "_^"):
            for index in range(found.start(), stop):
                if made[index] != "\n":
                    made[index] = "\x00"
    return "".join(made)


PROSE = {
    "for",
    "where",
    "and",
    "with",
    "if",
    "or",
    "so",
    "hence",
    "thus",
    "then",
    "otherwise",
    "all",
    "since",
    "s.t.",
    "",
}


def equations(text: str) -> Iterator[Equation]:
    """Yield the equations of a prepared text: of displays, of sentences, or of lines where there is neither."""
    regions: list[tuple[int, int, bool]] = []

    def free(span: tuple[int, int]) -> bool:
        return not any(a < span[1] and span[0] < b for a, b, _ in regions)

    for pattern in REGIONS:
        for found in re.finditer(pattern, text, re.DOTALL):
            span = found.span(found.lastindex or 0)
            if free(found.span()):
                regions.append((*span, False))
    for pattern in INLINE:
        for found in re.finditer(pattern, text, re.DOTALL):
            if free(found.span()) and re.search(f"{ADDS}|{EQUALS}", found[1]):
                regions.append((*found.span(1), bool(regions)))
    breaks = BREAKS
    if not regions:
        regions, breaks = [(0, len(text), False)], BREAKS + r"|\n"
    held: Equation | None = None
    for start, stop, inline in sorted(regions):
        for index, equation in enumerate(_of_region(text, start, stop, inline, breaks)):
            goes_on = not index and not text[slice(*equation.sides[0])].strip(" \n\t\x00&")  # = ...
            if held and goes_on and inline == held.inline:
                held = replace(held, stop=equation.stop, sides=(*held.sides, *equation.sides[1:]))
                continue
            if held:
                yield held
            held = equation
    if held:
        yield held


def unbroken(text: str) -> str:
    """Return a text without the ends of rows, but for those of cases and matrices."""
    hidden = blanked(text, HELD, "\x01", re.DOTALL)
    for found in re.finditer(BREAKS, hidden):
        text = text[: found.start()] + " " * len(found[0]) + text[found.end() :]
    return text


def _of_region(text: str, start: int, stop: int, inline: bool, breaks: str) -> Iterator[Equation]:
    shown = text[start:stop]
    rows: list[tuple[int, int]] = []
    edges = [0, *(edge for span in _outside(shown, breaks) for edge in span), len(shown)]
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        body = shown[first:last].replace("\x00", " ").strip()
        relation = re.search(f"{ADDS}|{EQUALS}", shown[first:last])
        if not body:
            continue
        opens = relation is not None and bool(shown[first : first + relation.start()].replace("\x00", " ").strip())
        if rows and not (opens and _outside(shown[first:last], f"{ADDS}|{EQUALS}")):
            rows[-1] = (rows[-1][0], last)
        else:
            rows.append((first, last))
    for first, last in rows:
        row = unbroken(shown[first:last])
        for low, high in _pieces(row):
            yield from _equation(row, low, high, start + first, inline)


def _outside(text: str, pattern: str) -> list[tuple[int, int]]:
    """Return where a pattern is found outside of braces, brackets, and environments that are kept."""
    hidden = blanked(text, HELD, "\x01", re.DOTALL)
    depth, depths = 0, []
    for index, letter in enumerate(hidden):
        command = index > 0 and hidden[index - 1] == "\\" and (index < 2 or hidden[index - 2] != "\\")
        if letter in "})]" and not (command and letter in ")]"):
            depth = max(0, depth - 1)
        depths.append(depth)
        if letter in "{([" and not (command and letter in "(["):
            depth += 1
    return [found.span() for found in re.finditer(pattern, hidden) if depths[found.start()] == 0]


def _pieces(row: str) -> Iterator[tuple[int, int]]:
    """Yield the parts of a row that are equations: between commas, wide blanks or words, with a relation.

    Ranges such as t = 1, ..., T aren't equations. A part without a relation goes on with the one before.
    """
    edges = [0, *(edge for span in _outside(row, CUTS) for edge in span), len(row)]
    found: list[tuple[int, int]] = []
    for low, high in zip(edges[::2], edges[1::2], strict=True):
        body = row[low:high].replace("\x00", " ").strip().rstrip(".").strip()
        if not body or RANGE.match(body):
            continue
        relation = _outside(row[low:high], f"{ADDS}|{EQUALS}")
        opens = bool(relation) and bool(row[low : low + relation[0][0]].strip())
        if opens or not found:
            found.append((low, high))
        else:
            found[-1] = (found[-1][0], high)
    yield from found


def _equation(row: str, low: int, high: int, offset: int, inline: bool) -> Iterator[Equation]:
    body = row[low:high]
    high = low + len(body.replace("\x00", " ").rstrip().rstrip(".,;").rstrip())
    body = row[low:high]
    relations = _outside(body, f"{ADDS}|{EQUALS}")
    edges = [0, *(edge for span in relations for edge in span), len(body)]
    sides = [(offset + low + a, offset + low + b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    start = offset + low + len(body) - len(body.lstrip(" \n\t\x00"))
    adds = bool(relations) and re.fullmatch(ADDS, body[slice(*relations[0])]) is not None
    yield Equation(start, offset + high, tuple(sides), adds, inline)
