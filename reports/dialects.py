"""The dialects of mathematics: Typst, LaTeX and plain Unicode. Each knows its own spelling and nothing else."""

from __future__ import annotations

import re
import unicodedata

from .fonts import has_hangul
from .formula import NUMERATOR, TALL, deeper, grown, unmarked
from .names import LETTERS, SIGNS, is_covered, is_cyrillic, spelled


class Dialect:
    """Plain Unicode, and what the dialects have in common. Arguments and results are texts of this dialect."""

    name = "plain"
    signs = {
        "odot": " ⊙ ", "times": "×", "dot": "·", "minus": "−", "plus": "+", "equals": "=", "space": " ", "top": "⊤",
        "partial": "∂", "delta": "δ", "loss": "ℒ", "arrow": "←", "greater": ">", "geq": "≥", "one": "𝟏", "zero": "0",
        "comma": ", ", "colon": ":", "slash": "/", "quad": "  ", "real": "ℝ", "dots": "⋯", "leq": "≤", "in": "∈",
        "approx": "≈", "product": "∏", "tick": "✓", "maps": "↦", "tight": ",",
        "gets": " ← ", "less": "<", "ellipsis": "…",
    }  # fmt: skip

    def sign(self, name: str) -> str:
        return self.signs[name]

    def letter(self, letter: str) -> str:
        return letter

    def word(self, text: str) -> str:
        return text

    def bold(self, letter: str) -> str:
        return letter

    def upright(self, letter: str) -> str:
        return letter

    def greek(self, name: str) -> str:
        return SIGNS[name]

    def operator(self, name: str) -> str:
        return name

    def call(self, function: str, arguments: str) -> str:
        return function + self.parentheses(arguments)

    def accent(self, name: str, body: str) -> str:
        return body + {"tilde": "̃", "hat": "̂", "bar": "̄", "dot": "̇", "check": "̌", "breve": "̆"}[name]

    def scripts(self, base: str, sub: str, sup: str = "") -> str:
        return base + self.script("_", sub) + self.script("^", sup)

    def script(self, sign: str, body: str) -> str:
        body = unmarked(body)
        return "" if not body else sign + (body if len(body) == 1 else f"{{{body}}}")

    def parentheses(self, body: str) -> str:
        return f"({deeper(body)})"

    def brackets(self, body: str) -> str:
        return f"[{unmarked(body)}]"

    def angles(self, body: str) -> str:
        return f"⟨{unmarked(body)}⟩"

    def bars(self, body: str) -> str:
        return f"|{unmarked(body)}|"

    def norm(self, body: str) -> str:
        return f"‖{unmarked(body)}‖"

    def fraction(self, above: str, below: str) -> str:
        """Spelled in one line; `plain_width` knows that it stands in two."""
        opening, closing = ("(", ")") if " " in unmarked(above) else ("", "")
        under = f"({unmarked(below)})" if " " in unmarked(below) else unmarked(below)
        return grown(above, (opening,) * 2, (f"{closing}/{under}",) * 2, NUMERATOR)

    def root(self, body: str) -> str:
        return f"√({unmarked(body)})"

    def stack(self, pieces: list[str]) -> str:
        return f"[{'; '.join(map(unmarked, pieces))}]"

    def blocks(self, rows: list[list[str]]) -> str:
        return f"[{'; '.join('  '.join(map(unmarked, row)) for row in rows)}]"

    def big(self, sign: str, low: str, high: str, body: str) -> str:
        return f"{sign}_{{{low}}}^{{{high}}} {body}"

    def sum(self, low: str, high: str, body: str) -> str:
        return self.big("∑", low, high, body)

    def prod(self, low: str, high: str, body: str) -> str:
        return self.big("∏", low, high, body)


class Typst(Dialect):
    """Typst's math mode. Tokens are kept apart by spaces, so that no two letters are read as a symbol's name."""

    name = "typst"
    signs = {
        "odot": " dot.o ", "times": " times ", "dot": " dot.op ", "minus": "-", "plus": "+", "equals": "=",
        "space": " thin ", "top": "top", "partial": "partial", "delta": "delta", "loss": "cal(L)", "arrow": "arrow.l",
        "greater": ">", "geq": ">=", "one": "bold(1)", "zero": "0", "comma": "\\, ", "colon": ":", "slash": "\\/",
        "quad": " quad ", "real": "RR", "dots": "dots.c", "leq": "<=", "in": "in", "approx": "approx",
        "product": "product", "tick": "checkmark", "maps": "|->", "tight": "\\,", "gets": " arrow.l ",
        "ellipsis": "dots.h", "less": "<",
    }  # fmt: skip

    def letter(self, letter: str) -> str:
        return letter if letter.isascii() and letter.isalpha() else self.word(letter)

    def word(self, text: str) -> str:
        shown = "".join(c if is_covered(c) else spelled(c) for c in text)
        return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def bold(self, letter: str) -> str:
        return f"bold({letter})"

    def upright(self, letter: str) -> str:
        return f"upright({letter})"

    def greek(self, name: str) -> str:
        return name

    def operator(self, name: str) -> str:
        return f"op({self.word(name)})"

    def call(self, function: str, arguments: str) -> str:
        return f"{function} {self.parentheses(arguments)}"

    def accent(self, name: str, body: str) -> str:
        accents = {"bar": "macron", "check": "caron"}
        return f"{accents.get(name, name)}({body})"

    def script(self, sign: str, body: str) -> str:
        return f"{sign}({unmarked(body)})" if body else ""

    def parentheses(self, body: str) -> str:
        if TALL in body:
            return grown(body, ("lr((", r"lr(size: #2em, \() "), ("))", r" lr(size: #2em, \))"))
        return f"\\({deeper(body)} \\)"

    def brackets(self, body: str) -> str:
        return f"lr([{unmarked(body)}])"

    def angles(self, body: str) -> str:
        return f"lr(chevron.l {unmarked(body)} chevron.r)"

    def bars(self, body: str) -> str:
        return f"abs({unmarked(body)})"

    def norm(self, body: str) -> str:
        return f"norm({unmarked(body)})"

    def fraction(self, above: str, below: str) -> str:
        """A fraction; where its numerator has to be broken, a quotient in one line."""
        below = unmarked(below)
        under = below if SIMPLE.fullmatch(below) else f"lr(({below}))"
        return grown(
            above, ("frac(", r"lr(size: #2em, \() "), (f", {below})", rf" lr(size: #2em, \)) \/ {under}"), NUMERATOR
        )

    def root(self, body: str) -> str:
        return f"sqrt({unmarked(body)})"

    def stack(self, pieces: list[str]) -> str:
        return f'vec(delim: "[", {", ".join(map(unmarked, pieces))})'

    def blocks(self, rows: list[list[str]]) -> str:
        return f'mat(delim: "[", {"; ".join(", ".join(map(unmarked, row)) for row in rows)})'

    def big(self, sign: str, low: str, high: str, body: str) -> str:
        return f"{sign}_({low})^({high}) {body}"

    def sum(self, low: str, high: str, body: str) -> str:
        return self.big("sum", low, high, body)

    def prod(self, low: str, high: str, body: str) -> str:
        return self.big("product", low, high, body)


class Latex(Dialect):
    """LaTeX's math mode; compiles under plain pdflatex with amsmath alone."""

    name = "latex"
    signs = {
        "odot": r" \odot ", "times": r" \times ", "dot": r" \cdot ", "minus": "-", "plus": "+", "equals": "=",
        "space": r"\,", "top": r"\top", "partial": r"\partial ", "delta": r"\delta ", "loss": r"\mathcal{L}",
        "arrow": r"\leftarrow ", "greater": ">", "geq": r"\geq ", "one": r"\mathbf{1}", "zero": "0", "comma": ", ",
        "colon": "{:}", "slash": "/", "quad": r"\quad ", "real": r"\mathbf{R}", "dots": r"\cdots ", "leq": r"\leq ",
        "in": r"\in ", "approx": r"\approx ", "product": r"\prod", "tick": r"\surd", "maps": r"\mapsto ", "tight": ",",
        "gets": r" \gets ", "ellipsis": r"\dots ", "less": "<",
    }  # fmt: skip

    def letter(self, letter: str) -> str:
        return letter if letter.isascii() and letter.isalpha() else self.word(letter)

    def word(self, text: str) -> str:
        return rf"\mathrm{{{''.join(map(math_letter, text))}}}"

    def bold(self, letter: str) -> str:
        return rf"\mathbf{{{letter}}}"

    def upright(self, letter: str) -> str:
        return rf"\mathrm{{{letter}}}"

    def greek(self, name: str) -> str:
        return rf"\{VARIANTS.get(name, name)} "

    def operator(self, name: str) -> str:
        known = {"ln", "tanh", "exp", "log", "sin", "cos", "arctan", "max", "min"}
        return rf"\{name}" if name in known else rf"\operatorname{{{''.join(map(math_letter, name))}}}"

    def accent(self, name: str, body: str) -> str:
        return rf"\{name}{{{body}}}"

    def script(self, sign: str, body: str) -> str:
        return f"{sign}{{{unmarked(body).strip()}}}" if body else ""

    def parentheses(self, body: str) -> str:
        if TALL in body:
            return grown(body, (r"\left(", r"\Bigl("), (r"\right)", r"\Bigr)"))
        return f"({deeper(body)})"

    def brackets(self, body: str) -> str:
        return rf"\left[{unmarked(body)}\right]"

    def angles(self, body: str) -> str:
        return rf"\left\langle {unmarked(body)}\right\rangle "

    def bars(self, body: str) -> str:
        return rf"\left|{unmarked(body)}\right|"

    def norm(self, body: str) -> str:
        return rf"\left\|{unmarked(body)}\right\|"

    def fraction(self, above: str, below: str) -> str:
        """A fraction; where its numerator has to be broken, a quotient in one line."""
        below = unmarked(below)
        under = below if SIMPLE.fullmatch(below) else rf"\left({below}\right)"
        return grown(above, (r"\frac{", r"\Bigl("), (f"}}{{{below}}}", rf"\Bigr)\Big/ {under}"), NUMERATOR)

    def root(self, body: str) -> str:
        return rf"\sqrt{{{unmarked(body)}}}"

    def stack(self, pieces: list[str]) -> str:
        return self.blocks([[piece] for piece in pieces])

    def blocks(self, rows: list[list[str]]) -> str:
        lines = r" \\ ".join(" & ".join(map(unmarked, row)) for row in rows)
        return rf"\begin{{bmatrix}}{lines}\end{{bmatrix}}"

    def sum(self, low: str, high: str, body: str) -> str:
        return self.big(r"\sum", low, high, body)

    def prod(self, low: str, high: str, body: str) -> str:
        return self.big(r"\prod", low, high, body)


SIMPLE = re.compile(r"\\?\w+ ?(_[({][^(){}]*[)}])?\s*")  # needs no parentheses as a divisor
VARIANTS = {"epsilon": "varepsilon", "phi": "varphi"}
MATH_ACCENTS = {
    "̀": "grave", "́": "acute", "̂": "hat", "̃": "tilde", "̄": "bar", "̆": "breve", "̇": "dot", "̈": "ddot", "̌": "check",
}  # fmt: skip


def math_letter(letter: str) -> str:
    r"""Return a letter as LaTeX's math mode takes it without further packages.

    >>> math_letter("é"), math_letter("ж"), math_letter("λ")
    ('\\acute{e}', '\\text{\\cyr{ж}{U+0436}}', '\\lambda ')
    """
    if letter in LETTERS:
        return rf"\{LETTERS[letter]} "
    if letter.isascii() and letter.isalnum():
        return letter
    base, *marks = list(unicodedata.normalize("NFD", letter))
    if base.isascii() and base.isalpha() and len(marks) == 1 and marks[0] in MATH_ACCENTS:
        return rf"\{MATH_ACCENTS[marks[0]]}{{{base}}}"
    if is_cyrillic(letter):
        return rf"\text{{\cyr{{{letter}}}{{{spelled(letter)}}}}}"
    if has_hangul(letter):
        return rf"\text{{{letter}}}"
    return r"\_" if letter == "_" else spelled(letter).replace("+", "{+}")


PLAIN, TYPST, LATEX = Dialect(), Typst(), Latex()
