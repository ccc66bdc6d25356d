"""A backward pass in LaTeX -> statements, by a declared grammar: what it doesn't know is refused, never left out."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any

import lark
from lark import Token, Transformer, v_args

from ...derive.errors import NotationError, Source
from .formulas import ALIASES, Formulas, Statement, applied
from .tree import Name, Tree, add, inv, matmul, mul, name, neg, number, power, transposed

ACCEPTED = (
    "The dialect knows h_{t-1}, \\odot, \\top, \\tanh, \\sigma, ' for derivatives, \\operatorname{diag}, \\tilde \\bar "
    "\\hat \\mathbf, \\partial L/\\partial h_t, \\delta, \\sum_t, \\prod, [h_{t-1}, x_t], \\langle t\\rangle, \\frac, "
    "numbers and align environments; docs/latex.md lists it all."
)
ENVIRONMENTS = "align|aligned|equation|gather|multline|eqnarray|alignat|split|flalign"
REGIONS = (
    rf"\\begin\{{({ENVIRONMENTS})(\*?)\}}(?:\{{\d+\}})?(.*?)\\end\{{\1\2\}}",
    r"\\\[(.*?)\\\]",
    r"\$\$(.*?)\$\$",
    r"\$([^$]*?=[^$]*?)\$",
)
TRANSPOSES = {
    "T",
    "\\top",
    "\\intercal",
    "\\mathsf{T}",
    "\\mathrm{T}",
    "\\mathsfT",
    "\\prime",
    "\\text{T}",
    "\\mathbf{T}",
}
TIME = re.compile(r"(?:t|\\langle\s*t\s*\\rangle)")
FUNCTIONS = {"sigma": "sigmoid", "sigm": "sigmoid", "ReLU": "relu", "ln": "log", "logistic": "sigmoid"}
MARK = "<T>"
JACOBIAN = "jacobian_of_"


def read_latex(source: Source) -> Formulas:
    """Read a backward pass in LaTeX.

    Raises:
        NotationError: with line, column and a caret, for what the dialect doesn't know.

    >>> from .tree import spell
    >>> line = read_latex(Source("a.tex", r"\\delta a_t = \\delta h_t \\odot (1 - h_t^2)")).statements[0]
    >>> line.target.base, spell(line.value)
    ('delta_a', 'delta_h * (1 - h**2)')
    """
    statements: list[Statement] = []
    reader = _Builder()
    read = re.sub(r"(?<!\\)%[^\n]*", lambda found: " " * len(found[0]), source.text)  # comments
    blank = re.sub(r"[^\n]", " ", read)
    for start, stop in _rows(read):
        text = blank[:start] + read[start:stop]
        try:
            tree = _parser().parse(text.rstrip())
            target, adds, value = reader.transform(tree)
        except lark.exceptions.VisitError as error:
            if isinstance(error.orig_exc, _Refused):
                raise _error(source, error.orig_exc.token, error.orig_exc.message) from None
            raise
        except lark.exceptions.UnexpectedInput as error:
            raise _unexpected(source, error, stop) from None
        line = source.text.count("\n", 0, start + len(text[start:]) - len(text[start:].lstrip())) + 1
        written = " ".join(read[start:stop].split())
        statements.append(Statement(line, written, target, adds, value))
    if not statements:
        raise NotationError(f"{source.name}: no equation was found. {ACCEPTED}")
    templates = tuple(sorted(reader.templates.items()))
    return Formulas(source, (), "", tuple(statements), "latex", templates, tuple(sorted(reader.timed)))


@cache
def _parser() -> Any:
    grammar = (resources.files(__package__) / "latex.lark").read_text(encoding="utf-8")
    return lark.Lark(grammar, parser="lalr")


def _rows(text: str) -> list[tuple[int, int]]:
    """Return (start, stop) of each equation: rows of environments, else lines; what has no '=' goes on."""
    regions: list[tuple[int, int]] = []
    for pattern in REGIONS:
        for found in re.finditer(pattern, text, re.DOTALL):
            span = found.span(found.lastindex or 0)
            if not any(a < span[1] and span[0] < b for a, b in regions):
                regions.append(span)
    breaks = r"\\\\(?:\[[^\]]*\])?"
    if not regions:
        regions, breaks = [(0, len(text))], r"\\\\(?:\[[^\]]*\])?|\n"
    rows: list[tuple[int, int]] = []
    for start, stop in sorted(regions):
        cuts = [found.span() for found in re.finditer(breaks, text[start:stop])]
        edges = [0, *(edge for cut in cuts for edge in cut), stop - start]
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            row = text[start + first : start + last]
            row = row.rstrip().rstrip(".,;").rstrip()
            if not row.strip():
                continue
            span = (start + first, start + first + len(row))
            if "=" not in row and rows:
                rows[-1] = (rows[-1][0], span[1])
            else:
                rows.append(span)
    return rows


class _Refused(Exception):
    def __init__(self, token: Token, message: str) -> None:
        self.token, self.message = token, message


def _error(source: Source, token: Token, message: str) -> NotationError:
    return NotationError(source.point(token.line or 1, (token.column or 1) - 1, len(token), message, ACCEPTED))


def _unexpected(source: Source, error: lark.exceptions.UnexpectedInput, stop: int) -> NotationError:
    line, column = getattr(error, "line", -1), getattr(error, "column", -1)
    if isinstance(error, lark.exceptions.UnexpectedEOF) or line is None or line < 1:
        line = source.text.count("\n", 0, stop) + 1
        column = stop - (source.text.rfind("\n", 0, stop) + 1) + 1
        return NotationError(source.point(line, column - 1, 1, "the equation ends too early", ACCEPTED))
    rest = source.lines[line - 1][column - 1 :]
    found = re.match(r"\\[A-Za-z]+|\S", rest)
    what = found[0] if found else rest[:1]
    return NotationError(source.point(line, column - 1, len(what), f"'{what}' isn't understood here", ACCEPTED))


@v_args(inline=True)
class _Builder(Transformer[Any, Any]):
    """Parse tree -> `Tree`; notes how names are written."""

    def __init__(self) -> None:
        super().__init__()
        self.templates: dict[str, str] = {}
        self.timed: set[str] = set()
        self.last = ""  # how the symbol read last is written

    def start(self, target: Tree, adds: bool, value: Tree) -> tuple[Name, bool, Tree]:
        assert isinstance(target.leaf, Name)
        return target.leaf, adds, value

    def equals(self) -> bool:
        return False

    def adds(self, *_: Token) -> bool:
        return True

    def plus(self) -> str:
        return "+"

    def minus(self) -> str:
        return "-"

    def times(self, *_: Token) -> str:
        return "*"

    def over(self) -> str:
        return "/"

    def sum(self, first: Tree, *rest: Any) -> Tree:
        terms = [first]
        for sign, term in zip(rest[::2], rest[1::2], strict=True):
            terms.append(neg(term) if sign == "-" else term)
        return add(*terms)

    def factors(self, *parts: Any) -> Tree:
        made: list[Tree] = []
        operator = "*"
        for part in parts:
            if isinstance(part, str):
                operator = part
            else:
                made.append(inv(part) if operator == "/" else part)
                operator = "*"
        return mul(*made)

    def negative(self, inner: Tree) -> Tree:
        return neg(inner)

    def positive(self, inner: Tree) -> Tree:
        return inner

    def chain(self, *items: Tree) -> Tree:
        made = items[0]
        for item in items[1:]:
            joined = _is_matrix(made) or _is_matrix(item) or "T" in (made.head, item.head)
            made = matmul(made, item) if joined else mul(made, item)
        return made

    def powered(self, base: Tree, *marks: Token) -> Tree:
        for mark in marks:
            base = self._raised(base, mark)
        return base

    def _raised(self, base: Tree, mark: Token) -> Tree:
        inside = _inside(mark)
        if inside.replace(" ", "") in TRANSPOSES:
            return transposed(base)
        if found := re.fullmatch(r"(?:\\odot|\\circ)?\s*(-?\s*\d+)", inside):
            return power(base, found[1].replace(" ", ""))
        raise _Refused(mark, f"the superscript {inside} isn't understood")

    def number(self, token: Token) -> Tree:
        return number(str(token))

    def group(self, inner: Tree) -> Tree:
        return inner

    def concatenation(self, *pieces: Tree) -> Tree:
        return applied("concat", list(pieces)) or pieces[0]

    def fraction(self, _: Token, above: Tree, below: Tree) -> Tree:
        return mul(above, inv(below))

    def argument(self, *pieces: Any) -> list[Tree]:
        return list(pieces)

    def applied(self, function: Token, *rest: Any) -> Tree:
        *marks, arguments = rest
        label = re.sub(r"\\(?:operatorname\*?|mathrm|text|mathsf|mathop)|[\\{}\s]", "", str(function))
        label = FUNCTIONS.get(label, ALIASES.get(label, label))
        exponent = 1
        for mark in marks:
            if mark.type == "PRIME" or _inside(mark) in ("\\prime", "'"):
                label += "'"
            elif _inside(mark).lstrip("-").isdigit():
                exponent = int(_inside(mark))
            else:
                raise _Refused(mark, f"the superscript {_inside(mark)} of a function isn't understood")
        made = applied(label, arguments)
        if made is None:
            raise _Refused(function, f"{label} takes another number of arguments, here {len(arguments)}")
        return made if exponent == 1 else power(made, exponent)

    def sum_over(self, _: Token, *rest: Any) -> Tree:
        return self._over_time("sum_t", rest)

    def product_over(self, _: Token, *rest: Any) -> Tree:
        return self._over_time("prod_t", rest)

    def _over_time(self, head: str, rest: tuple[Any, ...]) -> Tree:
        bounds = [part for part in rest if isinstance(part, Token) and part.type in ("SUB", "SUP")]
        factors = [part for part in rest if isinstance(part, Tree)]
        if head == "sum_t" and bounds and not re.match(r"t\b", _inside(bounds[0])):
            raise _Refused(bounds[0], "sums are over t, as in \\sum_t or \\sum_{t=1}^{T}")
        return Tree(head, (mul(*factors),))

    def loss(self, _: Token, *marks: Token) -> str:
        return "loss" if any(re.match(r"t\b", _inside(mark)) for mark in marks) else "total"

    def partial(self, *parts: Any) -> Tree:
        kind, of = (part for part in parts if not isinstance(part, Token))
        return self._adjoint(kind, of)

    def gradient(self, _: Token, of: Tree, kind: str) -> Tree:
        return self._adjoint(kind, of)

    def _adjoint(self, kind: str, of: Tree) -> Tree:
        assert isinstance(of.leaf, Name)
        base = f"dL_d{of.leaf.base}" + ("_loss" if kind == "loss" else "")
        over = "L_t" if kind == "loss" else "L"
        self.templates[base] = f"\\frac{{\\partial {over}}}{{\\partial {self.templates[of.leaf.base]}}}"
        return name(base, of.leaf.offset)

    def jacobian(self, *parts: Any) -> Tree:
        of, by = (part for part in parts if isinstance(part, Tree))
        assert isinstance(of.leaf, Name) and isinstance(by.leaf, Name)
        return name(f"{JACOBIAN}{of.leaf.base}_by_{by.leaf.base}", of.leaf.offset)

    def delta(self, mark: Token, of: Tree) -> Tree:
        assert isinstance(of.leaf, Name)
        base = f"delta_{of.leaf.base}" if mark.startswith("\\") else f"d{of.leaf.base}"
        self.templates[base] = f"{mark} {self.templates[of.leaf.base]}"
        return name(base, of.leaf.offset)

    def accented(self, accent: Token, inner: Any, *marks: Token) -> Tree:
        held = inner.leaf if isinstance(inner, Tree) else Name(str(inner))
        assert isinstance(held, Name)
        letter, offset = held
        kind = str(accent).lstrip("\\")
        kind = {"widetilde": "tilde", "widehat": "hat", "overline": "bar"}.get(kind, kind)
        shown = self.last if isinstance(inner, Tree) else letter
        base = f"{letter}_{kind}" if kind in ("tilde", "hat", "bar", "dot") else letter
        return self._symbol(base, f"{accent}{{{shown}}}", marks, offset)

    def ones(self, _: Token, value: Token) -> Tree:
        return number(str(value))

    def plain(self, letter: Token, *marks: Token) -> Tree:
        return self._symbol(str(letter).lstrip("\\"), str(letter), marks)

    def _symbol(self, base: str, shown: str, marks: tuple[Token, ...], offset: int = 0) -> Tree:
        words, timed = [], False
        for mark in marks:
            pieces = []
            for piece in re.split(r",", _inside(mark)):
                piece = piece.strip()
                step = re.fullmatch(r"[(<]?\s*(?:\\langle)?\s*t\s*(?:([-+])\s*(\d+))?\s*(?:\\rangle)?\s*[)>]?", piece)
                if step:
                    timed = True
                    offset = int(f"{step[1]}{step[2]}") if step[1] else 0
                    if abs(offset) > 1:
                        raise _Refused(mark, "times are t-1, t and t+1")
                    pieces.append(re.sub(r"t\s*(?:[-+]\s*\d+)?", lambda _: MARK, piece, count=1))
                else:
                    word = re.sub(r"\\(?:mathrm|text|mathbf|mathsf|mathit)|[\\{}()\s]", "", piece)
                    if not re.fullmatch(r"[A-Za-z0-9]+", word):
                        raise _Refused(mark, f"the index {piece} isn't understood")
                    words.append(word)
                    pieces.append(piece)
            shown += f"{mark[0]}{{{','.join(pieces)}}}"
        base = "_".join([base, *words])
        if base.endswith("_bar") is False and "_bar_" in base:
            base = base.replace("_bar_", "_") + "_bar"
        if MARK in shown or MARK not in self.templates.get(base, ""):
            self.templates[base] = shown
        self.last = shown
        if timed:
            self.timed.add(base)
        return name(base, offset)


def _inside(mark: Token) -> str:
    """Return what a sub- or superscript holds."""
    text = str(mark)[1:].strip()
    return text[1:-1].strip() if text.startswith("{") and text.endswith("}") else text


def _is_matrix(tree: Tree) -> bool:
    """Return whether a product with this is a product of matrices: names with a capital letter, diag(...)."""
    if isinstance(tree.leaf, Name):
        return tree.leaf.base[:1].isupper()
    if tree.head in ("T", "mul", "add", "neg"):
        return any(map(_is_matrix, tree.args))
    if tree.head == "matmul":
        return all(map(_is_matrix, tree.args))
    return tree.head == "call" and tree.leaf == "diag"
