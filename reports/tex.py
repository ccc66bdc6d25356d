"""Document -> LaTeX that compiles under plain pdflatex with amsmath and graphicx, which every LaTeX has."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from importlib import resources
from textwrap import wrap

from .colouring import colour
from .colouring import lines as coloured_lines
from .dialects import LATEX, math_letter
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
from .fonts import has_hangul
from .formula import TALL, Formula, clean, lines
from .names import is_cyrillic, spelled

LINE_EMS = 40.0
REASON_EMS = 14.5
WRAPPED_EMS = 10
TEXT_EMS = 14.0  # of a formula that stays whole within a sentence
MEASURED_EMS = 6.0  # of a formula that could be too wide for a column of a table
LEFT_EMS = 14.0  # at most, before a sign of equality
LINE_HEIGHT, TALL_HEIGHT, FRAME_EMS = 1.6, 3.2, 44.0  # in ems: of formulas, and of the highest frame in one piece
ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\ensuremath{<}", ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}", '"': "''", "–": "--", "—": "---", "’": "'", "‘": "`", "“": "``", "”": "''", "…": r"\dots{}",
    "·": r"\ensuremath{\cdot}", "×": r"\ensuremath{\times}", "±": r"\ensuremath{\pm}", "−": r"\ensuremath{-}",
    "∂": r"\ensuremath{\partial}", "⊙": r"\ensuremath{\odot}", "ᵀ": r"\ensuremath{^{\top}}", "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}", "≈": r"\ensuremath{\approx}", "∞": r"\ensuremath{\infty}", "→": r"\ensuremath{\to}",
    "←": r"\ensuremath{\gets}",
    "↦": r"\ensuremath{\mapsto}", "‖": r"\ensuremath{\|}", "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}",
    "Æ": r"\AE{}", "œ": r"\oe{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "§": r"\S{}", "©": r"\copyright{}",
    "°": r"\ensuremath{^{\circ}}", "\N{NO-BREAK SPACE}": "~", MAY_BREAK: r"\allowbreak{}",
}  # fmt: skip
TEXT_ACCENTS = {
    "̀": "`", "́": "'", "̂": "^", "̃": "~", "̄": "=", "̆": "u ", "̇": ".", "̈": '"', "̊": "r ", "̋": "H ", "̌": "v ", "̧": "c ",
}  # fmt: skip


# Only where a page holds such letters, so that all others need no more than `templates/page.tex` asks for.
HANGUL = "\\usepackage{kotex} % for Hangul"
CYRILLIC = r"""% Cyrillic letters; where their fonts are not installed, the codes of the letters are printed
\newcommand{\cyr}[2]{#2}
\newcommand{\cyrletter}[2]{{\fontencoding{T2A}\selectfont #1}}
\IfFileExists{t2aenc.def}{\usepackage[T2A,OT1]{fontenc}\let\cyr\cyrletter}{}"""
COLOURS = r"\usepackage{xcolor} % for text on coloured ground"


def tex_source(document: Document) -> str:
    r"""Return the document as one LaTeX file.

    >>> r"\section*{Proof}" in tex_source(Document("T", "K", (), (Heading("Proof"),)))
    True
    """
    template = (resources.files(__package__) / "templates" / "page.tex").read_text(encoding="utf-8")
    body = "\n".join(f"{block(b)}\n" for b in document.blocks)
    subtitle = "\n\n".join(text(line) for line in document.subtitle)
    written = "".join([body, subtitle, escaped(document.title), escaped(document.kind)])
    head = [
        template.rstrip(),
        *([HANGUL] if has_hangul(written) else []),
        *([CYRILLIC] if r"\cyr{" in written else []),
        *([COLOURS] if r"\colorbox" in written else []),
        r"\begin{document}",
        rf"{{\small {escaped(document.kind)}}}",
        "",
        rf"{{\LARGE\bfseries\raggedright {escaped(document.title)}\par}}",
        rf"{{\small\raggedright {subtitle}\par}}" if subtitle else "",
        r"\medskip\hrule\medskip",
    ]
    return "\n".join([*head, "", body, r"\end{document}", ""])


def block(block: Block, ems: float = LINE_EMS) -> str:
    """Return a block in LaTeX."""
    return WRITERS[type(block)](block, ems)


def text(parts: Text) -> str:
    """Return running text."""
    return "".join(map(inline, parts))


def inline(part: Inline) -> str:
    if isinstance(part, Formula):
        return " ".join(_within_text(piece) for piece in lines(part, TEXT_EMS))
    if isinstance(part, Strong):
        return rf"\textbf{{{escaped(part.text)}}}"
    if isinstance(part, Emphasis):
        return rf"\emph{{{escaped(part.text)}}}"
    if isinstance(part, Code):
        shown = rf"\texttt{{{escaped(part.text)}}}"
        return shown if part.good is None else rf"\underline{{{shown}}}"
    if isinstance(part, Mark):
        return {True: r"$\surd$", False: r"\textbf{$\times$ (fails)}", None: r"$\circ$"}[part.good]
    return escaped(part)


def _within_text(piece: Formula) -> str:
    """Return a formula, or a line of one, as it stands in a sentence; what may be wider than a column is measured."""
    latex = piece.latex.strip()
    return f"${latex}$" if piece.width <= MEASURED_EMS else rf"\fittext{{{latex}}}"


def escaped(plain: str) -> str:
    r"""Return plain text in LaTeX; a character that plain pdflatex has no glyph for becomes its code.

    >>> escaped("50% é ∂ 中")
    "50\\% \\'{e} \\ensuremath{\\partial} U+4E2D"
    """
    return "".join(map(_letter, breakable(plain)))


def _letter(letter: str) -> str:
    if letter in ESCAPES:
        return ESCAPES[letter]
    if letter.isascii():
        return letter
    if has_hangul(letter):
        return letter
    if is_cyrillic(letter):
        return rf"\cyr{{{letter}}}{{{spelled(letter)}}}"
    base, *marks = list(unicodedata.normalize("NFD", letter))
    if base.isascii() and len(marks) == 1 and marks[0] in TEXT_ACCENTS:
        return rf"\{TEXT_ACCENTS[marks[0]]}{{{base}}}"
    math = math_letter(letter)
    return rf"\ensuremath{{{math.strip()}}}" if math.startswith("\\") else spelled(letter)


def _equations(equations: Equations, ems: float) -> str:
    """Aligned rows, the reason flushed to the right margin; boxed groups stand in a frame."""
    left = min(max(row.left.width for row in equations.rows), LEFT_EMS)
    whole = max(ems - left - 3, 8)
    beside = max(whole - REASON_EMS, 8) if equations.has_reasons else whole
    rows = [line for row in equations.rows for line in _row(row, whole, beside)]
    body = " \\\\\n".join(rows)
    tall = any(TALL in row.right.latex for row in equations.rows)
    if equations.boxed and len(rows) * (TALL_HEIGHT if tall else LINE_HEIGHT) <= FRAME_EMS:
        return f"\\[\n\\boxed{{\n\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n}}\n\\]"
    name = "alignat*}{2" if equations.has_reasons else "align*"
    display = f"\\begin{{{name}}}\n{body}\n\\end{{{name.split('}')[0]}}}"
    return f"\\par\\medskip\\hrule\n{display}\n\\hrule\\medskip" if equations.boxed else display


def _row(row: Row, whole: float, beside: float) -> list[str]:
    """Return the lines of a row; a reason stands beside its formula, or below one that needs the whole width."""
    left = f"{_fitted(clean(row.left).latex, row.left.width, LEFT_EMS)} &{LATEX.sign(row.relation)} "
    is_below = stands_below(row, beside)
    width = whole if is_below else beside
    pieces = lines(row.right, width)
    bodies = [_fitted(("{}" if n else "") + piece.latex, piece.width, width) for n, piece in enumerate(pieces)]
    if is_below:
        bodies = [rf"\rlap{{$\displaystyle {body}$}}" for body in bodies]
    rest = ("&" + r"\quad " * piece.depth + body for piece, body in zip(pieces[1:], bodies[1:], strict=True))
    rows = [f"{left}{bodies[0]}", *rest]
    if is_below:
        rows.append(rf"&\quad \whybelow{{{text(row.why)}}}")
    elif row.why:
        rows[0] += rf" &\quad& \why{{{text(row.why)}}}"
    return rows


def _fitted(latex: str, estimate: float, ems: float) -> str:
    """Leave it to TeX to measure what may be too wide, and to set it smaller."""
    return rf"\fit{{{ems:.1f}em}}{{{latex}}}" if estimate > 0.6 * ems else latex


def _table(table: Table, ems: float) -> str:
    rows = [_line(table.header, _head), *(_line(cells, text) for cells in table.rows)]
    body = " \\\\\n".join(rows).replace("\\\\\n", "\\\\ \\hline\n", 1)
    caption = rf"\par\smallskip{{\small {text(table.caption)}}}" if table.caption else ""
    tabular = f"\\begin{{tabular}}{{{_columns(table)}}}\n\\hline\n{body} \\\\ \\hline\n\\end{{tabular}}"
    return f"\\par\\medskip{{\\small\n\\fitrow{{{tabular}}}}}{caption}\\par\\medskip"


def _line(cells: tuple[Text, ...], write: Callable[[Text], str]) -> str:
    return " & ".join(map(write, cells))


def _head(cell: Text) -> str:
    """Return a column's head in bold, on several lines where it is long."""
    lines_of = [rf"\textbf{{{line}}}" for line in wrap(text(cell), 14)]
    return r"\begin{tabular}[b]{@{}l@{}}" + r" \\ ".join(lines_of) + r"\end{tabular}" if lines_of else ""


def _columns(table: Table) -> str:
    """Return the columns' kinds: long lists wrap, and the wide column takes what is left of the line."""
    widths = [max(map(_width, column), default=0) for column in zip(*table.rows, strict=True)]
    wraps = [width > WRAPPED_EMS for width in widths]
    taken = sum(
        1.2 + (WRAPPED_EMS if wrapped else width)
        for place, (width, wrapped) in enumerate(zip(widths, wraps, strict=True))
        if place != table.wide
    )
    kinds = [f"p{{{WRAPPED_EMS}em}}" if wrapped else side for side, wrapped in zip(table.align, wraps, strict=True)]
    if table.wide >= 0:
        kinds[table.wide] = rf"p{{{max(LINE_EMS - taken - 1, 12):.1f}em}}"
    return "".join(kinds)


def _width(parts: Text) -> float:
    return sum(part.width if isinstance(part, Formula) else 0.5 * len(inline(part)) for part in parts)


def _figure(figure: Figure, ems: float) -> str:
    framed = rf"\fbox{{\parbox{{155mm}}{{\small {escaped(figure.alt)}}}}}"
    return rf"\par\medskip {framed}\par\smallskip{{\small {text(figure.caption)}}}\par\medskip"


def _diagram(diagram: Diagram, ems: float) -> str:
    return rf"\par\medskip\fbox{{\parbox{{155mm}}{{\small {escaped(diagram.alt)}}}}}\par\medskip"


def _code(line: Line, ems: float) -> str:
    if line.formula is None:
        return text(line.text) if line.numbered else rf"\textbf{{{text(line.text)}}}"
    shown = (_fitted(piece.latex.strip(), piece.width, ems - 4) for piece in lines(line.formula, ems - 4))
    return r"\\ ".join(rf"$\displaystyle {latex}$" for latex in shown)


def _algorithm(algorithm: Algorithm, ems: float) -> str:
    rows, number = [], 0
    for line in algorithm.lines:
        number += line.numbered
        label = str(number) if line.numbered else ""
        body = _code(line, ems - 1.6 * line.indent)
        rows.append(rf"\codeline{{{label}}}{{{1.6 * line.indent:g}em}}{{{body}}}")
    return "\\par\\medskip\\hrule\\smallskip\n" + "\n".join(rows) + "\n\\smallskip\\hrule\\medskip"


def _note(note: Note, ems: float) -> str:
    title = rf"\textbf{{{escaped(note.title)}.}} " if note.title else ""
    return rf"\remark{{{title}{text(note.text)}}}"


def _sides(sides: Sides, ems: float) -> str:
    parts = []
    for side in sides.sides:
        parts.append(rf"\paragraph*{{{escaped(side.title)}}}")
        parts += [block(b, ems) for b in side.blocks]
    return "\n\n".join(parts)


def _sheet(sheet: Sheet, ems: float) -> str:
    title = [block(Heading(sheet.title, sheet.level))] if sheet.level else []
    return "\n\n".join([*title, *(block(b, ems) for part in (sheet.lead, *sheet.columns) for b in part)])


def _frame(frame: Frame, ems: float) -> str:
    rule = r"\medskip\hrule\medskip"
    title = rf"\paragraph*{{{escaped(frame.title)}}}"
    return "\n\n".join([rule, title, *(block(b, ems) for b in frame.blocks), rule])


def _listing(listing: Listing, ems: float) -> str:
    body = r"\\ ".join(rf"\texttt{{{escaped(line)}}}" for line in listing.lines)
    return rf"\remark{{{body}}}"


def _coloured(block: Coloured, ems: float) -> str:
    written = [text(block.caption)]
    for series in block.shown:
        rows = []
        for line in coloured_lines(block, series):
            runs = "".join(
                rf"\colorbox[HTML]{{{colour(of).upper()}}}{{\strut{escaped(run).replace(' ', '~')}}}"
                for run, of in line
            )
            rows.append(rf"\mbox{{{runs}}}")
        body = r"\\ ".join(rows)
        written.append(rf"\textbf{{{escaped(block.names[series])}}}")
        written.append(rf"{{\fboxsep=0pt\scriptsize\ttfamily\raggedright {body}\par}}")
    return "\n\n".join(written) + "\n"


def _heading(heading: Heading, ems: float) -> str:
    return rf"\{'sub' * (heading.level - 1)}section*{{{escaped(heading.text)}}}"


WRITERS: dict[type, Callable[..., str]] = {
    Coloured: _coloured,
    Heading: _heading,
    Paragraph: lambda paragraph, ems: text(paragraph.text) + "\n",
    Listing: _listing,
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
