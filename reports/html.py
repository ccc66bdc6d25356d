"""Document -> one self-contained HTML file: text as text, mathematics as inline SVG from the Typst compiler."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from html import escape

from .colouring import LEVELS, colour, level
from .dialects import PLAIN, TYPST
from .document import (
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
    stands_below,
)
from .drawing import drawing
from .formula import Formula, clean, lines
from .interactive import scripts
from .typst import compiled, continued, template

EMS = 32.0
EMS_WITH_REASON = 26.0
POINTS = 10.0  # size of the font in which the mathematics is set: 1 em
DEPTH = 0.4  # ems below the baseline that each inline formula takes
MARKS = {
    True: '<span class="good" role="img" aria-label="yes">✓</span>',
    False: '<span class="bad" role="img" aria-label="no">✗</span>',
    None: '<span class="open" role="img" aria-label="undecided">○</span>',
}
HOLE = re.compile("\x00(\\d+)\x00")
SYMBOLS = re.compile(r'(<symbol\b[^>]*? id="(\w+)".*?</symbol>)', re.DOTALL)
USES = re.compile(r'<use xlink:href="#(\w+)"')
DEFINITIONS = re.compile(r"<defs\b.*?</defs>", re.DOTALL)
SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
PREAMBLE = f"""
#set page(width: auto, height: auto, margin: 0pt, fill: none)
#set text(font: ("New Computer Modern", "Libertinus Serif"), size: {POINTS}pt)
#set par(leading: 0pt)
#show math.equation: set text(font: ("New Computer Modern Math", "Libertinus Serif", "DejaVu Sans Mono"))
#let ink = black
#let within(body) = [#box(height: 1.35em, width: 0pt, baseline: {DEPTH}em)#body]
#let aligned(lefts, left, ..pieces) = context {{
  let width = calc.max(..lefts.map(it => measure(it).width))
  stack(dir: ttb, spacing: 0.7em, ..pieces.pos().enumerate().map(((place, body)) =>
    box[#box(width: width, align(right, if place == 0 {{ left }} else {{ [] }}))#h(0.28em)#box(body)]))
}}
"""


def html_page(document: Document) -> str:
    """Return the document as one HTML file that needs nothing from outside.

    >>> "<h2>Proof</h2>" in html_page(Document("T", "K", (), (Heading("Proof"),)))
    True
    """
    page = _Page()
    style = template("page.css") + template("blocks.css")
    subtitle = "".join(f'<p class="source">{page.text(line)}</p>\n' for line in document.subtitle)
    body = "\n".join(page.block(block) for block in document.blocks)
    head = (
        f'<header><p class="kind">{escape(document.kind)}</p>\n<h1>{escape(document.title)}</h1>\n{subtitle}</header>'
    )
    content, symbols = page.filled(f"<main>\n{head}\n{body}\n</main>")
    used = [*scripts()] if page.is_interactive else []
    used += [template("units.js")] if page.is_coloured else []
    code = "".join(f"<script>{script}</script>\n" for script in used)
    return (
        f'<!DOCTYPE html>\n<html lang="{document.language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(document.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<svg class="defs" aria-hidden="true"><defs>{symbols}</defs></svg>\n{content}\n{code}</body>\n</html>\n'
    )


def html_part(title: str, blocks: Iterable[Block]) -> str:
    """Return blocks under a title as a piece of HTML for a page of somebody else's, such as a notebook.

    Its styles reach nothing outside it, its colours follow those of the text around it, and it has no headings, which
    would stand in the contents of that page.

    >>> '<p class="title">T</p>' in html_part("T", [Heading("Proof")])
    True
    """
    page = _Page(is_part=True)
    body = "\n".join(page.block(block) for block in blocks)
    content, symbols = page.filled(f'<p class="title">{escape(title)}</p>\n{body}' if title else body)
    style = f".bptt.bptt {{\n{template('blocks.css')}}}\n{template('notebook.css')}"
    drawn = f'<svg class="defs" aria-hidden="true"><defs>{symbols}</defs></svg>' if symbols else ""
    return f'<div class="bptt">\n<style>\n{style}\n</style>\n{drawn}{content}\n</div>'


class _Page:
    """Writes blocks, and collects the mathematics that Typst will draw, one page each.

    Args:
        is_part: whether this is a part of a page on which there may be others: what is named there is named apart.
    """

    def __init__(self, is_part: bool = False) -> None:
        self.is_part = is_part
        self.pictures: dict[tuple[str, str, str], int] = {}
        self.is_interactive = False
        self.is_coloured = False

    def picture(self, source: str, kind: str, label: str) -> str:
        """Return a placeholder for a picture: 'm' inline or 'd' display."""
        return f"\x00{self.pictures.setdefault((source, kind, label), len(self.pictures))}\x00"

    def filled(self, content: str) -> tuple[str, str]:
        """Return the content with all pictures drawn, and the glyphs that they share."""
        if not self.pictures:
            return content, ""
        source = (
            PREAMBLE
            + template("diagram.typ")
            + "\n#pagebreak()\n".join(f"#{picture}" for picture, _, _ in self.pictures)
        )
        made = compiled(source, "svg")
        pages = [made] if isinstance(made, bytes) else made
        mine = f"b{hashlib.sha256(source.encode()).hexdigest()[:8]}-" if self.is_part else "g"
        names: dict[str, str] = {}
        symbols = []
        drawn = []
        for page, (_, kind, label) in zip(pages, self.pictures, strict=True):
            svg = page.decode()
            for symbol, name in SYMBOLS.findall(svg):
                if name not in names:
                    names[name] = f"{mine}{len(names)}"
                    symbols.append(symbol.replace(name, names[name]))
            drawn.append(_embedded(svg, kind, label, names))
        return HOLE.sub(lambda hole: drawn[int(hole[1])], content), "".join(symbols)

    def text(self, parts: Text) -> str:
        """Return running text; a comma is never parted from the formula before it."""
        joined = "".join(map(self.inline, parts))
        return re.sub("(\x00\\d+\x00[,.;:)]+)", r'<span class="k">\1</span>', joined)

    def inline(self, part: Inline) -> str:
        if isinstance(part, Formula):
            shown = clean(part)
            return self.picture(f"within(${shown.typst.strip()}$)", "m", spoken(shown))
        if isinstance(part, Strong):
            return f"<strong>{escape(part.text)}</strong>"
        if isinstance(part, Emphasis):
            return f"<em>{escape(part.text)}</em>"
        if isinstance(part, Code):
            kind = {None: "", False: ' class="bad"', True: ' class="good"'}[part.good]
            return f"<code{kind}>{escape(part.text)}</code>"
        if isinstance(part, Mark):
            return MARKS[part.good]
        return escape(part, quote=False)

    def block(self, block: Block) -> str:
        match block:
            case Heading(text=title, level=level):
                opening, closing = ('p class="heading"', "p") if self.is_part else (f"h{level + 1}",) * 2
                return f"<{opening}>{escape(title)}</{closing}>"
            case Paragraph(text=parts):
                return f"<p>{self.text(parts)}</p>"
            case Equations():
                return self.equations(block)
            case Table():
                return self.table(block)
            case Figure():
                return self.figure(block)
            case Diagram():
                drawn = self.picture(drawing(block), "d", block.alt)
                caption = f'<figcaption class="caption">{self.text(block.caption)}</figcaption>'
                return f'<figure class="diagram"><div tabindex="0">{drawn}</div>{caption}</figure>'
            case Algorithm():
                return self.algorithm(block)
            case Note():
                title = f"<strong>{escape(block.title)}.</strong> " if block.title else ""
                return f'<div class="note{" bad" * block.bad}">{title}{self.text(block.text)}</div>'
            case Coloured():
                return self.coloured(block)
            case Listing():
                return f'<pre tabindex="0"><code>{escape(chr(10).join(block.lines))}</code></pre>'
            case Frame():
                inside = "".join(map(self.block, block.blocks))
                return f'<section class="boxed frame"><h3>{escape(block.title)}</h3>{inside}</section>'
            case Sheet():
                title = self.block(Heading(block.title, block.level)) if block.level else ""
                lead = "".join(map(self.block, block.lead))
                columns = [f"<div>{''.join(map(self.block, blocks))}</div>" for blocks in block.columns]
                if len(columns) == 1:  # as wide as any text
                    return f"<section>{title}{lead}{columns[0]}</section>"
                return f'<section class="sheet">{title}{lead}<div class="columns">{"".join(columns)}</div></section>'
            case Sides():
                inner = (
                    f"<section><h3>{escape(s.title)}</h3>{''.join(map(self.block, s.blocks))}</section>"
                    for s in block.sides
                )
                return f'<div class="sides">{"".join(inner)}</div>'

    def figure(self, figure: Figure) -> str:
        """Return a picture, and where it is interactive the data for it: print, and no script, show the picture."""
        image = f'<img alt="{escape(figure.alt)}" src="{_data(figure.svg)}">'
        if figure.narrow:
            image = f'<picture><source media="(max-width: 640px)" srcset="{_data(figure.narrow)}">{image}</picture>'
        caption = f'<figcaption class="caption">{self.text(figure.caption)}</figcaption>'
        if not figure.interactive:
            return f"<figure>{image}{caption}</figure>"
        self.is_interactive = True
        label = f'role="application" aria-roledescription="plot" aria-label="{escape(figure.alt)}"'
        data = figure.interactive.replace("</", "<\\/")
        return (
            f'<figure class="plot">{image}<div class="legend"></div><div class="canvas" tabindex="0" {label}></div>'
            f'<p class="said" aria-live="polite"></p>{caption}<script type="application/json">{data}</script></figure>'
        )

    def coloured(self, block: Coloured) -> str:
        """Return a text with a choice of the series that colours it; print, and no script, show the first."""
        self.is_coloured = True
        levels = [[level(value) for value in row] for row in block.values]
        order = [*block.shown, *(k for k in range(len(levels)) if k not in block.shown)]
        rows = [base64.b64encode(bytes(of % 256 for of in levels[k])).decode() for k in order]
        names = [block.names[k] for k in order]
        colours = [f"#{colour(of)}" for of in range(-LEVELS, LEVELS + 1)]
        data = json.dumps({"names": names, "rows": rows, "levels": LEVELS, "colours": colours}).replace("</", "<\\/")
        options = "".join(f"<option>{escape(name)}</option>" for name in names)
        buttons = "".join(
            f'<button type="button" value="{place}">{escape(names[place])}</button>'
            for place in range(len(block.shown))
        )
        first = levels[order[0]]
        letters = "".join(
            f'<span style="background:#{colour(of)}">{escape(piece)}</span>'
            for piece, of in zip(block.pieces, first, strict=True)
        )
        return (
            f'<figure class="coloured"><figcaption class="caption">{self.text(block.caption)}</figcaption>'
            f'<div class="choice"><div class="legend">{buttons}</div><select aria-label="unit">{options}</select></div>'
            f'<pre>{letters}</pre><script type="application/json">{data}</script></figure>'
        )

    def equations(self, equations: Equations) -> str:
        lefts = "".join(f"$display({clean(row.left).typst})$, " for row in equations.rows)
        around = max(row.left.width for row in equations.rows) + 1.5
        whole = max(EMS / equations.columns - around, 8)
        beside = max(EMS_WITH_REASON - around, 8) if equations.has_reasons else whole
        rows = "\n".join(self.row(row, f"({lefts})", whole, beside) for row in equations.rows)
        kinds = "equations" + " boxed" * equations.boxed + " reasons" * equations.has_reasons
        kinds += " two" * (equations.columns > 1)
        return f'<div class="{kinds}">\n{rows}\n</div>'

    def row(self, row: Row, lefts: str, whole: float, beside: float) -> str:
        is_below = stands_below(row, beside)
        left, pieces = clean(row.left), lines(row.right, whole if is_below else beside)
        shown = [f"{TYPST.sign(row.relation)} {pieces[0].typst}", *map(continued, pieces[1:])]
        right = "".join(f", $display({piece})$" for piece in shown)
        label = f"{spoken(left)} {PLAIN.sign(row.relation)} {spoken(clean(row.right))}"
        drawn = self.picture(f"aligned({lefts}, $display({left.typst})${right})", "d", label)
        why = f'<div class="why">{self.text(row.why)}</div>' if row.why else ""
        return f'<div class="row{" below" * is_below}"><div>{drawn}</div>{why}</div>'

    def algorithm(self, algorithm: Algorithm) -> str:
        """One list per heading, numbered through."""
        parts: list[str] = []
        number = 1
        for line in algorithm.lines:
            if not line.numbered:
                heading = f"<p><strong>{self.text(line.text)}</strong></p>"
                ended = "</ol></div>" if parts else ""
                parts.append(f'{ended}{heading}<div class="scroll" tabindex="0"><ol start="{number}">')
                continue
            number += 1
            loops = f' style="padding-left:{1.6 * line.indent:.1f}em"' if line.indent else ""
            parts.append(f"<li><div{loops}>{self.line(line)}</div></li>")
        return f'<div class="algorithm boxed">\n{chr(10).join(parts)}</ol></div>\n</div>'

    def line(self, line: Line) -> str:
        """Words as text; a formula on as many lines as it needs."""
        if line.formula is None:
            return self.text(line.text)
        pieces = lines(line.formula, EMS - 1.6 * line.indent)
        shown = (continued(piece) if n else piece.typst.strip() for n, piece in enumerate(pieces))
        drawn = ", ".join(f"[$display({piece})$]" for piece in shown)
        return self.picture(f"stack(spacing: 0.6em, {drawn})", "d", spoken(clean(line.formula)))

    def table(self, table: Table) -> str:
        def line(cells: tuple[Text, ...], tag: str) -> str:
            kinds = [side + " wide" * (place == table.wide) for place, side in enumerate(table.align)]
            inner = (f'<{tag} class="{kind}">{self.text(c)}</{tag}>' for c, kind in zip(cells, kinds, strict=True))
            return f"<tr>{''.join(inner)}</tr>"

        body = "\n".join(line(cells, "td") for cells in table.rows)
        caption = f'<p class="caption">{self.text(table.caption)}</p>' if table.caption else ""
        head = line(table.header, "th")
        inside = f"<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>"
        return f'<div class="scroll" tabindex="0"><table>\n{inside}</table></div>{caption}'


def _data(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def spoken(formula: Formula) -> str:
    """Return a formula as text for a screen reader."""
    return formula.plain.replace("{", "(").replace("}", ")").replace("𝟏", "1")


def _embedded(svg: str, kind: str, label: str, names: dict[str, str]) -> str:
    """Return a drawn page for use within a line: sized in ems, in the colour of the text, without its own glyphs."""
    size = SIZE.search(svg)
    if size is None:
        raise ValueError("Typst drew a page without a size")
    width, height = (float(number) for number in size.groups())
    body = DEFINITIONS.sub("", svg[svg.index(">") + 1 : svg.rindex("</svg>")])
    body = USES.sub(lambda use: f'<use href="#{names[use[1]]}"', body)
    for verbose in (' y="0"', ' fill="#000000"', ' fill-rule="nonzero"', "<g/>"):
        body = body.replace(verbose, "")
    body = body.replace("#000000", "currentColor")
    style = f"width:{width / POINTS:.3f}em" + (f";height:{height / POINTS:.3f}em" if kind == "m" else "")
    attributes = (
        f'class="{kind}" role="img" aria-label="{escape(label)}" viewBox="0 0 {width:g} {height:g}" style="{style}"'
    )
    return f"<svg {attributes}>{body.strip()}</svg>"
