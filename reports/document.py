"""A document as data: what every renderer, Typst, LaTeX, HTML or Markdown, turns into a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .formula import Formula, lines

MOST_BESIDE = 2  # lines of a formula that leave its reason beside it


LONG_WORD = re.compile(r"\S{31,}")
PIECE_OF_WORD = re.compile(r"\S{1,12}")
MAY_BREAK = "\N{ZERO WIDTH SPACE}"


def breakable(plain: str) -> str:
    """Return a text in which words that could be wider than a line may be broken.

    >>> breakable("short " + "x" * 32).replace(MAY_BREAK, "|")
    'short xxxxxxxxxxxx|xxxxxxxxxxxx|xxxxxxxx'
    """
    return LONG_WORD.sub(lambda word: MAY_BREAK.join(PIECE_OF_WORD.findall(word[0])), plain)


@dataclass(frozen=True)
class Strong:
    text: str


@dataclass(frozen=True)
class Emphasis:
    text: str


@dataclass(frozen=True)
class Code:
    """What a reader types or reads on a screen: a command, a file name.

    Attributes:
        good: False for a part that is wrong, True for one that is mended.
    """

    text: str
    good: bool | None = None


@dataclass(frozen=True)
class Mark:
    """A tick, a cross where something failed, or a circle where nothing is decided."""

    good: bool | None


Inline = str | Formula | Strong | Emphasis | Code | Mark
Text = tuple[Inline, ...]


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 1


@dataclass(frozen=True)
class Paragraph:
    text: Text


@dataclass(frozen=True)
class Row:
    """`left = right`, or another relation between them, and why it holds.

    Attributes:
        left: None where the row continues the one before it.
        right: may be broken at its marks.
        why: the justification, beside the equation, or below a long one.
        relation: the name of the sign between the sides, as the dialects know it.
    """

    left: Formula
    right: Formula
    why: Text = ()
    relation: str = "equals"


def stands_below(row: Row, ems: float) -> bool:
    """Return whether a reason stands below its formula, since that would take many lines of `ems` beside it."""
    return bool(row.why) and len(lines(row.right, ems)) > MOST_BESIDE


@dataclass(frozen=True)
class Equations:
    """Rows aligned at their equals signs; a boxed group is a main result.

    Attributes:
        columns: 2 lets rows without reasons stand two abreast, where there is room.
    """

    rows: tuple[Row, ...]
    boxed: bool = False
    columns: int = 1

    @property
    def has_reasons(self) -> bool:
        return any(row.why for row in self.rows)


@dataclass(frozen=True)
class Table:
    """Attributes:
    header: one text per column.
    rows: cells, row by row.
    align: 'l', 'c' or 'r' per column.
    caption: under the table; may be empty.
    wide: index of the column that takes the width that is left, or -1.
    """

    header: tuple[Text, ...]
    rows: tuple[tuple[Text, ...], ...]
    align: str
    caption: Text = ()
    wide: int = -1


@dataclass(frozen=True)
class Figure:
    """Attributes:
    svg: the picture; text in it is paths.
    alt: what the picture shows, in words.
    caption: under the picture.
    width: of the text's width, 0 to 1.
    narrow: the same picture for a narrow screen, or nothing.
    interactive: the same picture as data for a page that answers to hands, or nothing.
    """

    svg: bytes = field(repr=False)
    alt: str
    caption: Text
    width: float = 1.0
    narrow: bytes = field(default=b"", repr=False)
    interactive: str = field(default="", repr=False)


@dataclass(frozen=True)
class Box:
    """A labelled box of a diagram.

    Attributes:
        label: its name.
        note: smaller, under the label; or nothing.
        x, y: of its centre, in ems from the top left.
        width, height: in ems.
        kind: 'input', 'state', 'value' or 'part'.
    """

    label: Formula
    note: Formula | None
    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True)
class Wire:
    """An arrow through points, in ems from the top left."""

    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Diagram:
    """A drawing of boxes and arrows.

    Attributes:
        boxes, wires: what is drawn.
        width, height: of the whole, in ems.
        down: whether arrows run from top to bottom, not from left to right.
        alt: what the drawing shows, in words.
        caption: under the drawing.
    """

    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    width: float
    height: float
    down: bool
    alt: str
    caption: Text


@dataclass(frozen=True)
class Line:
    """A line of an algorithm.

    Attributes:
        text: one formula, or words.
        indent: how many loops are around it.
        numbered: headings aren't.
    """

    text: Text
    indent: int = 0
    numbered: bool = True

    @property
    def formula(self) -> Formula | None:
        """The formula, where the line is nothing else."""
        return self.text[0] if len(self.text) == 1 and isinstance(self.text[0], Formula) else None


@dataclass(frozen=True)
class Algorithm:
    """Numbered lines in a frame."""

    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Note:
    """A short remark set apart; `bad` marks a failure."""

    title: str
    text: Text
    bad: bool = False


@dataclass(frozen=True)
class Listing:
    """Lines for a screen, such as commands."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """One of several things that stand side by side where there is room."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Sides:
    sides: tuple[Side, ...]


@dataclass(frozen=True)
class Frame:
    """Blocks in a frame of their own, under a title."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Sheet:
    """A page to be shown on a wall: wide, in columns, and in print never more than one page.

    Attributes:
        title: at its head.
        level: of the title as a heading; 0 where the document's own title says the same.
        lead: across all columns.
        columns: side by side where there is room.
    """

    title: str
    level: int
    lead: tuple[Block, ...]
    columns: tuple[tuple[Block, ...], ...]


@dataclass(frozen=True)
class Coloured:
    """A text coloured by numbers: blue for positive and orange for negative ones, the deeper the larger.

    Attributes:
        pieces: of the text, in order.
        values: for each series a number from -1 to 1 for each piece.
        names: of the series.
        shown: the series that are printed, one after another; a page that answers to hands begins with the first.
        caption: above the text.
    """

    pieces: tuple[str, ...]
    values: Sequence[Sequence[float]] = field(repr=False)
    names: tuple[str, ...]
    shown: tuple[int, ...]
    caption: Text


Block = (
    Coloured
    | Heading
    | Paragraph
    | Equations
    | Table
    | Figure
    | Diagram
    | Algorithm
    | Note
    | Listing
    | Sides
    | Frame
    | Sheet
)


@dataclass(frozen=True)
class Document:
    """Attributes:
    title: plain text.
    kind: what sort of page it is, above the title.
    subtitle: lines under the title, such as sources.
    blocks: the page.
    language: code of the language, such as "en".
    """

    title: str
    kind: str
    subtitle: tuple[Text, ...]
    blocks: tuple[Block, ...]
    language: str = "en"
