"""`Formula`: one piece of mathematics in every dialect, with the places where its line may be broken."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A break mark stands before an operator. Its code point tells how deep: even between the terms of a sum, odd between
# the factors of a product, and two more for each pair of parentheses around it. In a numerator it is so deep that the
# line is rather set smaller.
FIRST_MARK = 0xE000
DEEPEST = 31
NUMERATOR = 16
SHRINK = 1.4  # how much wider than its line a formula may be whose fractions would have to be broken
MARK, FACTOR_MARK = chr(FIRST_MARK), chr(FIRST_MARK + 1)
TALL = chr(FIRST_MARK + 0xFF)  # stands beside what is taller than a line, so that parentheses around it grow
MARKS = re.compile(f"[{MARK}-{chr(FIRST_MARK + DEEPEST)}]")
SILENT = re.compile(f"[{MARK}-{TALL}]")
# A delimiter that grows is spelled twice: for where its partner stands in the same line, and for where it doesn't.
OPENING, CLOSING, ALONE, END = (chr(FIRST_MARK + 0x100 + place) for place in range(4))
GROWING = re.compile(f"([{OPENING}{CLOSING}])(.*?){ALONE}(.*?){END}")

WIDTHS = {
    "⊙": 1.25, "+": 1.2, "−": 1.2, "=": 1.25, "⊤": 0.55, " ": 0.12, "(": 0.4, ")": 0.4, "{": 0, "}": 0, ",": 0.35
}  # fmt: skip


@dataclass(frozen=True)
class Formula:
    """Mathematics as text in each dialect; the three texts carry the same break marks.

    Attributes:
        typst: inside Typst's `$...$`.
        latex: inside LaTeX's `$...$`; amsmath is enough.
        plain: readable Unicode, for screen readers and for estimating widths.
    """

    typst: str
    latex: str
    plain: str

    def __add__(self, other: Formula) -> Formula:
        return Formula(self.typst + other.typst, self.latex + other.latex, self.plain + other.plain)

    @property
    def width(self) -> float:
        """A cautious estimate of the width in ems of the text's font."""
        return plain_width(self.plain)

    @property
    def depth(self) -> int:
        """How far a line that begins with it stands in: 1 for a term with its sign, 2 for what continues one."""
        return 1 if unmarked(self.plain).lstrip().startswith(("+", "−")) else 2


def grown(text: str, opening: tuple[str, str], closing: tuple[str, str], by: int = 2) -> str:
    """Put a text between delimiters that grow; its break marks become less attractive.

    Args:
        opening, closing: how each is spelled where both stand in one line, and where they don't.
        by: how much deeper the marks become.

    >>> unmarked(grown("a", ("left (", "big ("), (" right)", " big)")))
    'left (a right)'
    """
    start, end = (kind + one + ALONE + other + END for kind, (one, other) in ((OPENING, opening), (CLOSING, closing)))
    return f"{start}{deeper(text, by)}{end}"


def unmarked(text: str) -> str:
    """Return a text without marks, with each delimiter that grows spelled by whether its partner is there too."""
    return SILENT.sub("", _spelled(text) if OPENING in text or CLOSING in text else text)


def _spelled(text: str) -> str:
    open_ones: list[int] = []
    paired: set[int] = set()
    for delimiter in GROWING.finditer(text):
        if delimiter[1] == OPENING:
            open_ones.append(delimiter.start())
        elif open_ones:
            paired |= {open_ones.pop(), delimiter.start()}
    return GROWING.sub(lambda delimiter: delimiter[2 if delimiter.start() in paired else 3], text)


def deeper(text: str, by: int = 2) -> str:
    """Return a text that is put in parentheses: its break marks become less attractive.

    >>> deeper(MARK) == chr(FIRST_MARK + 2)
    True
    """
    return MARKS.sub(lambda mark: chr(min(ord(mark[0]) + by, FIRST_MARK + DEEPEST)), text)


def plain_width(text: str) -> float:
    """Estimate the width in ems of a formula from its plain text: a fraction is as wide as the wider of its two sides.

    >>> plain_width("h") < plain_width("h_t") < plain_width("h+t")
    True
    >>> plain_width(grown("a+b", ("(", "("), (")/cd", ")/cd"))) == plain_width("(a+b")
    True
    """
    first, *pieces = GROWING.split(text)
    width, starts = _width_of_line(first), list[float]()
    for kind, shown, _, following in zip(*[iter(pieces)] * 4, strict=True):
        if kind == OPENING:
            starts.append(width)
            width += _width_of_line(shown)
        elif starts:
            start = starts.pop()
            width = start + max(width - start, _width_of_line(shown.partition("/")[2]))
        else:
            width += _width_of_line(shown)
        width += _width_of_line(following)
    return width


def _width_of_line(text: str) -> float:
    """Estimate the width in ems of what stands in one line: what is in a script counts less."""
    width, script = 0.0, 0
    for letter in SILENT.sub("", text):
        if letter in "_^":
            script = max(script, 1)
        elif letter == "{" and script:
            script += 1
        elif letter == "}" and script > 1:
            script -= 1
            script = 0 if script == 1 else script
        else:
            wide = WIDTHS.get(letter, 0.72 if letter.isupper() or ord(letter) > 0x1000 else 0.56)
            width += wide * (0.72 if script else 1)
            script = 0 if script == 1 else script
    return width


def lines(formula: Formula, width: float) -> tuple[Formula, ...]:
    """Break a formula into lines of at most `width` ems where its marks allow it, outermost marks first.

    A line that can't be broken may be wider, and one that only fractions make wider may be so by `SHRINK`.

    Returns:
        The lines without marks; each but the first opens with its operator.

    >>> long = Formula(*[f"a{MARK}+ b{MARK}+ c"] * 3)
    >>> [line.plain for line in lines(long, 3)]
    ['a+ b', '+ c']
    """
    return tuple(map(clean, parts(formula, width)))


def parts(formula: Formula, width: float, depth: int = 0) -> list[Formula]:
    """Break a formula as `lines` does, and leave its marks where they are."""
    if formula.width <= width * (SHRINK if depth >= NUMERATOR else 1) or depth > DEEPEST:
        return [formula]
    found: list[Formula] = []
    is_open = False
    for part in _split(formula, depth):
        fits = part.width <= width
        if is_open and fits and (found[-1] + part).width <= width:
            found[-1] += part
        else:
            found += [part] if fits else parts(part, width, depth + 1)
        is_open = fits or depth % 2 == 1  # a factor may follow on the last line of a long one
    return found


def is_readable(formula: Formula, ems: float, most: int) -> bool:
    """Return whether a formula takes at most so many lines of so many ems, or of a little more."""
    broken = parts(formula, ems)
    return len(broken) <= most and all(line.width <= SHRINK * ems for line in broken)


def clean(formula: Formula) -> Formula:
    """Return a formula without marks."""
    return Formula(unmarked(formula.typst), unmarked(formula.latex), unmarked(formula.plain))


def _split(formula: Formula, depth: int) -> list[Formula]:
    mark = chr(FIRST_MARK + depth)
    texts = [text.split(mark) for text in (formula.typst, formula.latex, formula.plain)]
    return [Formula(*parts) for parts in zip(*texts, strict=True)]
