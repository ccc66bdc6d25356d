"""Document -> Typst source, and through the `typst` package PDF or PNG; no network, no fonts of the system."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources
from textwrap import shorten
from typing import Literal

from ..derive.errors import Error
from .colouring import colour
from .colouring import lines as coloured_lines
from .dialects import TYPST
from .document import (
    MAY_BREAK,
    Algorithm,
    Block,
    Code,
    Coloured,
    Diagram,
    Document,
    Emphasis,
    Equations,
    Figure,
    Frame,
    Heading,
    Inline,
    Line,
    Listing,
    Mark,
    Note,
    Paragraph,
    Row,
    Sheet,
    Sides,
    Strong,
    Table,
    Text,
    breakable,
    stands_below,
)
from .drawing import drawing
from .fonts import FAMILY, has_hangul, needed_fonts
from .formula import TALL, Formula, clean, lines
from .names import is_covered, spelled

STANDARD: Literal["a-2b"] = "a-2b"  # under it a character without a glyph is an error
GLYPH = re.compile(r"the text `(.+?)` could not be displayed")
PAGE_EMS = 43.5
REASON_SHARE = 0.36
SIDE_EMS = 21.0
SHEET_EMS = 34.0  # of a column of a sheet
UNBROKEN_EMS = 16.0
WHY_EMS = 17.0  # of the smaller letters beside an equation
COLUMN_EMS = 14.0  # of a column of a table that isn't wide
MOST_RUNNING = 90  # characters of the title at the foot of each page
MOST_UNBROKEN = 24  # lines of an algorithm that stay on one page
MARGIN_EMS = 3.0
SPECIAL = re.compile(r"([\\#$*_`<>@\[\]~;])")  # a semicolon would end the formula before it


def typst_source(document: Document) -> str:
    """Return the document as one self-contained Typst file.

    >>> "= Proof" in typst_source(Document("T", "K", (), (Heading("Proof"),)))
    True
    """
    page, diagram = (template(name) for name in ("page.typ", "diagram.typ"))
    body = flowing(document.blocks)
    subtitle = "".join(f"[{text(line)}], " for line in document.subtitle)
    head = [
        f"#set document(title: {quoted(document.title)}, date: auto)",
        f'#set text(lang: "{document.language}")',
        f"#let running = [{escaped(shorten(document.title, MOST_RUNNING, placeholder=' …'))}]",
        page,
        diagram,
    ]
    if not document.blocks or not isinstance(document.blocks[0], Sheet):  # which has its title at its own head
        head.append(f"#title-block([{escaped(document.kind)}], [{escaped(document.title)}], ({subtitle}))")
    source = "\n".join([*head, "", body])
    return (
        source.replace("#let extra-fonts = ()", f"#let extra-fonts = ({quoted(FAMILY)},)")
        if has_hangul(source)
        else source
    )


def template(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")


def pdf(document: Document) -> bytes:
    """Return the document as PDF/A-2b; the same document gives the same bytes.

    Raises:
        Error: when no font has a glyph for a character.
    """
    made = compiled(typst_source(document), "pdf", STANDARD)
    assert isinstance(made, bytes)  # one file, whatever the number of pages
    return made


def compiled(source: str, kind: Literal["pdf", "svg"], standard: Literal["a-2b"] | None = None) -> bytes | list[bytes]:
    """Compile Typst source to one PDF, or to one SVG per page.

    Raises:
        Error: when no font has a glyph for a character.
    """
    import typst

    fonts = typst.Fonts(include_system_fonts=False, font_paths=[str(folder) for folder in needed_fonts(source)])
    try:
        # The time is fixed, so that the same source gives the same bytes on any day.
        compiler = typst.Compiler(source.encode(), font_paths=fonts)
        made = compiler.compile(format=kind, timestamp=0, pdf_standards=standard)
    except typst.TypstError as error:
        if letters := list(dict.fromkeys(GLYPH.findall(str(error.diagnostic)))):
            raise Error(
                f"no font has a glyph for {', '.join(letters)}. Write it in other letters, "
                "or save as .html, which uses the reader's own fonts"
            ) from None
        raise
    return made or b""


def flowing(blocks: tuple[Block, ...], ems: float = PAGE_EMS) -> str:
    """Return blocks one after the other; a lead sentence, or a title in bold, stays with what it announces."""
    written = []
    for this, following in zip(blocks, (*blocks[1:], None), strict=False):  # of no blocks, nothing
        source = block(this, ems)
        announces = isinstance(this, Paragraph) and (
            isinstance(following, Equations | Table | Listing | Figure | Diagram | Algorithm)
            or following is not None
            and all(isinstance(part, Strong) for part in this.text)
        )
        written.append(f"#lead[{source}]\n" if announces else f"{source}\n")
    return "\n".join(written)


def block(block: Block, ems: float = PAGE_EMS) -> str:
    """Return a block in Typst; `ems` is the width that its lines may take."""
    return WRITERS[type(block)](block, ems)


def text(parts: Text, ems: float = PAGE_EMS) -> str:
    """Return running text in Typst's markup; no formula in it is wider than `ems`."""
    return "".join(inline(part, ems) for part in parts)


def inline(part: Inline, ems: float = PAGE_EMS) -> str:
    if isinstance(part, Formula):
        pieces = lines(part, min(UNBROKEN_EMS, ems))
        return " ".join(_within(f"${piece.typst.strip()}$", piece.width, ems) for piece in pieces)
    if isinstance(part, Strong):
        return f"#strong[{escaped(part.text)}]"
    if isinstance(part, Emphasis):
        return f"#emph[{escaped(part.text)}]"
    if isinstance(part, Code):
        shown = f"#raw({quoted(part.text)})"
        return shown if part.good is None else f"#changed({str(part.good).lower()})[{shown}]"
    if isinstance(part, Mark):
        return {True: "#tick", False: "#cross", None: "#open"}[part.good]
    return escaped(part)


def _within(shown: str, estimate: float, ems: float) -> str:
    """Return a formula that stays in one piece and, where it may be too wide, is measured."""
    return f"#within({ems:.1f}em, {shown})" if estimate > 0.6 * ems else f"#box({shown})"


def escaped(plain: str) -> str:
    r"""Return plain text as Typst markup.

    >>> escaped("a_b // #1")
    'a\\_b /\\/ \\#1'
    """
    shown = "".join(c if is_covered(c) or c == MAY_BREAK else spelled(c) for c in breakable(plain))
    shown = SPECIAL.sub(r"\\\1", shown).replace("//", "/\\/").replace("/*", "/\\*")
    return re.sub(r"^(\s*)([-+=/]|\d+\.)", r"\1#[]\2", shown, flags=re.MULTILINE)


def quoted(plain: str) -> str:
    """Return a string literal."""
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def row(row: Row, whole: float, beside: float) -> str:
    """Return (left, lines of the right side, reason, whether that stands below); widths are of the right side alone."""
    left = clean(row.left)
    is_below = stands_below(row, beside)
    pieces = lines(row.right, whole if is_below else beside)
    first = f"$display({TYPST.sign(row.relation)} {pieces[0].typst})$"
    rest = "".join(f"$display({continued(piece)})$, " for piece in pieces[1:])
    return f"($display({left.typst})$, ({first}, {rest}), [{text(row.why, WHY_EMS)}], {str(is_below).lower()})"


def continued(piece: Formula) -> str:
    """Return a line that goes on with a formula: a sign that it begins with stands between two operands.

    >>> continued(Formula("+ b", "+ b", "+ b")), continued(Formula("W", "W", "W"))
    ('quad "" + b', 'quad quad "" W')
    """
    return f'{"quad " * piece.depth}"" {piece.typst.strip()}'


def _equations(equations: Equations, ems: float) -> str:
    around = max(row.left.width for row in equations.rows) + MARGIN_EMS
    whole = max(ems / equations.columns - around, 8)
    beside = max(ems * (1 - REASON_SHARE) - around, 8) if equations.has_reasons else whole
    rows = "".join(f"  {row(r, whole, beside)},\n" for r in equations.rows)
    options = f"boxed: {str(equations.boxed).lower()}, reasons: {str(equations.has_reasons).lower()}"
    options += f", columns: {equations.columns}"
    return f"#equations((\n{rows}), {options})"


def _table(table: Table, ems: float) -> str:
    widths = [max(map(_width, column), default=0.0) for column in zip(*table.rows, strict=True)]
    kinds = [f"{COLUMN_EMS:g}em" if width > COLUMN_EMS else "auto" for width in widths]
    if table.wide >= 0:
        kinds[table.wide] = "1fr"
    sides = ", ".join({"l": "left", "r": "right", "c": "center"}[side] for side in table.align)
    header = "".join(f"[{text(cell)}], " for cell in table.header)
    rows = "".join(f"  ({''.join(f'[{text(c, COLUMN_EMS)}], ' for c in cells)}),\n" for cells in table.rows)
    caption = f"[{text(table.caption)}]" if table.caption else "none"
    return f"#datatable(({', '.join(kinds)},), ({sides},), ({header}), (\n{rows}), {caption})"


def _width(parts: Text) -> float:
    return sum(part.width if isinstance(part, Formula) else 0.5 * len(inline(part)) for part in parts)


def _figure(figure: Figure, ems: float) -> str:
    data = f"bytes({quoted(figure.svg.decode())})"
    return f"#picture({data}, {figure.width:.0%}, {quoted(figure.alt)}, [{text(figure.caption)}])"


def _diagram(diagram: Diagram, ems: float) -> str:
    return f"#diagram({drawing(diagram)}, {quoted(diagram.alt)}, [{text(diagram.caption)}])"


def _algorithm(algorithm: Algorithm, ems: float) -> str:
    rows, height = [], 0
    for line in algorithm.lines:
        shown, count = _code(line, ems - 1.6 * line.indent - MARGIN_EMS - 3)
        rows.append(f"  ({line.indent}, {str(line.numbered).lower()}, [{shown}]),\n")
        height += count
    return f"#algorithm((\n{''.join(rows)}), breakable: {str(height > MOST_UNBROKEN).lower()})"


def _code(line: Line, ems: float) -> tuple[str, int]:
    """Return a line of an algorithm, and how many lines of text it is high."""
    if line.formula is None:
        return text(line.text, ems), 1
    pieces = lines(line.formula, ems)
    sources = [f"$display({continued(piece) if n else piece.typst.strip()})$" for n, piece in enumerate(pieces)]
    shown = [_within(source, piece.width, ems) for source, piece in zip(sources, pieces, strict=True)]
    is_tall = TALL in line.formula.typst
    if is_tall:
        air = 0.6 if len(pieces) == 1 else 0.35
        shown = [f"#box(inset: (y: {air}em))[{one}]" for one in shown]
    return " \\\n".join(shown), len(pieces) * (1 + is_tall)


def _note(note: Note, ems: float) -> str:
    title = f"[{escaped(note.title)}]" if note.title else "none"
    return f"#note({title}, [{text(note.text)}], bad: {str(note.bad).lower()})"


def _frame(frame: Frame, ems: float) -> str:
    return f"#frame([{escaped(frame.title)}], [{flowing(frame.blocks, ems - MARGIN_EMS)}])"


def _sides(sides: Sides, ems: float) -> str:
    items = "".join(f"  side([{escaped(side.title)}], [{flowing(side.blocks, SIDE_EMS)}]),\n" for side in sides.sides)
    return f"#sides(\n{items})"


def _sheet(sheet: Sheet, ems: float) -> str:
    columns = "".join(f"[{flowing(blocks, SHEET_EMS)}], " for blocks in sheet.columns)
    level = max(sheet.level, 1)
    return f"#sheet({level}, [{escaped(sheet.title)}], [{flowing(sheet.lead)}], ({columns}))"


def _coloured(block: Coloured, ems: float) -> str:
    """Return a text once for each series that is shown, in runs of one colour."""
    written = [text(block.caption)]
    for series in block.shown:
        shown = []
        for line in coloured_lines(block, series):
            runs = (f'#box(fill: rgb("#{colour(of)}"), outset: (y: 0.25em), raw({_mono(run)}))' for run, of in line)
            shown.append("".join(runs) or " ")
        body = " \\\n".join(shown)
        title = f"#strong[{escaped(block.names[series])}]"
        written.append(f"#lead[{title}]\n\n#block[#set par(justify: false)\n#set text(size: 0.72em)\n{body}]")
    return "\n\n".join(written)


def _mono(plain: str) -> str:
    return quoted("".join(c if is_covered(c) else "?" for c in plain).replace(" ", "\N{NO-BREAK SPACE}"))


WRITERS: dict[type, Callable[..., str]] = {
    Coloured: _coloured,
    Heading: lambda heading, ems: f"{'=' * heading.level} {escaped(heading.text)}",
    Paragraph: lambda paragraph, ems: text(paragraph.text),
    Listing: lambda listing, ems: f"#raw(block: true, {quoted(chr(10).join(listing.lines))})",
    Equations: _equations,
    Table: _table,
    Figure: _figure,
    Diagram: _diagram,
    Algorithm: _algorithm,
    Note: _note,
    Sides: _sides,
    Frame: _frame,
    Sheet: _sheet,
}
