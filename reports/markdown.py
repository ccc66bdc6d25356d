"""Document -> Markdown with LaTeX mathematics, as GitHub and most viewers show it."""

from __future__ import annotations

import base64
import re

from .colouring import barred
from .dialects import LATEX
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
    Listing,
    Mark,
    Note,
    Paragraph,
    Sheet,
    Sides,
    Strong,
    Table,
    Text,
)
from .formula import Formula, clean, lines

LINE_EMS = 44.0


def markdown_text(document: Document) -> str:
    """Return the document as Markdown.

    >>> markdown_text(Document("T", "K", (), (Heading("Proof"),)))
    '# T\\n\\nK\\n\\n## Proof\\n'
    """
    parts = [f"# {escaped(document.title)}", escaped(document.kind), *map(text, document.subtitle)]
    return "\n\n".join([*parts, *map(block, document.blocks)]) + "\n"


def text(parts: Text) -> str:
    return "".join(map(inline, parts))


def inline(part: Inline) -> str:
    if isinstance(part, Formula):
        return f"${clean(part).latex.strip()}$"
    if isinstance(part, Strong):
        return f"**{escaped(part.text)}**"
    if isinstance(part, Emphasis):
        return f"*{escaped(part.text)}*"
    if isinstance(part, Code):
        return f"`{part.text}`" if part.good is None else f"**`{part.text.strip()}`**"
    if isinstance(part, Mark):
        return {True: "✓", False: "✗", None: "○"}[part.good]
    return escaped(part)


def escaped(plain: str) -> str:
    r"""Return plain text with Markdown's signs escaped.

    >>> escaped("a_b *c*")
    'a\\_b \\*c\\*'
    """
    return re.sub(r"([\\`*_\[\]<>|$#])", r"\\\1", plain)


def block(block: Block) -> str:
    """Return a block in Markdown."""
    match block:
        case Heading(text=title, level=level):
            return f"{'#' * (level + 1)} {escaped(title)}"
        case Paragraph(text=parts):
            return text(parts)
        case Equations():
            return _equations(block)
        case Table():
            rows = [block.header, *block.rows]
            written = ["| " + " | ".join(text(cell) for cell in row) + " |" for row in rows]
            rule = "|" + "|".join({"l": ":--", "c": ":-:", "r": "--:"}[side] for side in block.align) + "|"
            caption = f"\n\n{text(block.caption)}" if block.caption else ""
            return "\n".join([written[0], rule, *written[1:]]) + caption
        case Figure():
            return f"![{escaped(block.alt)}]({inlined(block)})\n\n{text(block.caption)}"
        case Diagram():
            return f"*{escaped(block.alt)}*"
        case Algorithm():
            return _algorithm(block)
        case Note():
            return f"> {f'**{escaped(block.title)}.** ' if block.title else ''}{text(block.text)}"
        case Coloured():
            titled = [["```", block.names[series], "", *barred(block, series), "```"] for series in block.shown]
            return "\n\n".join([text(block.caption), *("\n".join(part) for part in titled)])
        case Listing():
            return "\n".join(["```", *block.lines, "```"])
        case Frame():
            return "\n\n".join([f"### {escaped(block.title)}", *map(_block, block.blocks)])
        case Sheet():
            heading = [_block(Heading(block.title, block.level))] if block.level else []
            return "\n\n".join([*heading, *(_block(b) for part in (block.lead, *block.columns) for b in part)])
        case Sides():
            titled = [[f"### {escaped(side.title)}", *map(_block, side.blocks)] for side in block.sides]
            return "\n\n".join(part for side in titled for part in side)


_block = block


def inlined(figure: Figure) -> str:
    """Return a picture as an address that holds it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(figure.svg).decode()}"


def _algorithm(algorithm: Algorithm) -> str:
    written, number = [], 0
    for line in algorithm.lines:
        number += line.numbered
        indent = "\N{EM SPACE}" * (2 * line.indent)
        written.append(f"{number}. {indent}{text(line.text)}" if line.numbered else f"\n**{text(line.text)}**\n")
    return "\n".join(written).strip()


def aligned(equations: Equations) -> str:
    """Return the rows, aligned, as they stand in a display of LaTeX."""
    left = max(row.left.width for row in equations.rows)
    rows = []
    for row in equations.rows:
        pieces = lines(row.right, max(LINE_EMS - left, 8))
        rows.append(rf"{clean(row.left).latex} &{LATEX.sign(row.relation)} {pieces[0].latex}")
        rows += ["&" + r"\quad " * piece.depth + "{}" + piece.latex for piece in pieces[1:]]
    body = " \\\\\n".join(rows)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def _equations(equations: Equations) -> str:
    """One display; reasons stand in a list below, since math and text don't mix well here."""
    display = f"```math\n{aligned(equations)}\n```"
    reasons = [f"- ${clean(row.left).latex.strip()}$: {text(row.why)}" for row in equations.rows if row.why]
    return "\n\n".join([display, "\n".join(reasons)]) if reasons else display
