"""A backward pass in LaTeX -> statements, by a declared grammar: what it doesn't know is refused, never left out."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

import lark
from lark import Token

from ...derive.errors import NotationError, Source
from .formulas import Derivative, Formulas, Statement
from .jacobians import leaves_named
from .latex_entries import Entries, index_letters
from .latex_labels import written_out
from .latex_macros import expanded
from .latex_parts import Differential, Function
from .latex_products import gathered, matrix_states, resolved
from .latex_rows import Equation, blanked, displayed, equations, prepared, unbroken
from .latex_signs import spelled
from .latex_symbols import MARK, Refused, Symbol, Unjudged, UnjudgedScript
from .latex_trees import CALLED, KNOWN, Builder, one_letter, shifted
from .meanings import adjoint_of
from .plain_text import without_prose
from .probes import LOSSES
from .tree import Jacobian, Name, Tree, call, mapped, names, places

__all__ = ["ACCEPTED", "MARK", "read_latex"]
ACCEPTED = (
    "The dialect knows h_{t-1}, \\odot, \\top, \\tanh, \\sigma, ' for derivatives, \\operatorname{diag}, \\tilde \\bar "
    "\\hat \\mathbf, \\partial L/\\partial h_t, \\delta, \\sum_t, \\prod, [h_{t-1}, x_t], \\langle t\\rangle, \\frac, "
    "numbers and align environments; docs/latex.md lists it all."
)
EDGE = re.compile(r"dL_d(\w+)_(?:T|N|\\tau)(?:plus1|minus1)?(?:_loss)?")  # ∂L/∂h_T, the last
SAID = r"[\s\x00]*(?:\\(?:text|textrm|mbox)\s*\{\s*(?:given|known|above|below)\s*\})?[\s\x00.,]*"
HINTS = (
    (r"\\[lcd]?dots|\.\.\.", "An ellipsis leaves terms out: write them all."),
    (r"\\begin\{", "Of environments inside of a formula the dialect knows cases, bmatrix and pmatrix."),
    (r"\\(?:approx|propto|sim|le|leq|ge|geq|lt|gt|in|neq?|to)(?![A-Za-z])|[<>]", "A formula is an equation, with =."),
    (
        r"_\{[ijk]{2}\}|_\{?[ijk]\}?\(t",
        "Of entries, sums over one letter are understood, as in \\sum_j w_{ij} h_j; else write vectors and matrices.",
    ),
    (r"\|", "Norms and bounds aren't judged: leave them out."),
)


def read_latex(source: Source) -> Formulas:
    """Read a backward pass in LaTeX.

    Raises:
        NotationError: with line, column and a caret, for what the dialect doesn't know.

    >>> from .tree import spell
    >>> line = read_latex(Source("a.tex", r"\\delta a_t = \\delta h_t \\odot (1 - h_t^2)")).statements[0]
    >>> line.target.base, spell(line.value)
    ('delta_a', 'delta_h * (1 - h**2)')
    """
    return _Reading(source).formulas()


class _Reading:
    """One text while it is read.

    Args:
        source: the text.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.worded = "\\" not in source.text
        text, prose = without_prose(source.text) if not displayed(source.text) else (source.text, ())
        signs = spelled(blanked(text, r"(?<!\\)%[^\n]*"))
        written = expanded(signs.text)
        self.places = tuple(signs.places[place] for place in written.places)
        written = written_out(prepared(written.text), written.text, self.places)
        self.places = written.places
        self.text = re.sub(r"\b(d[LJE])/(?=d[A-Za-z])", r"\1_", written.text)
        if self.worded:
            self.text = blanked(self.text, "#[^\\n]*")
            self.text = re.sub(r"\bd[LJE]_t/(d[A-Za-z]+_)", r"loss_\1", self.text)
        self.blank = re.sub(r"[^\n]", " ", self.text)
        losses = r"(?<![A-Za-z\\{])([LJECl]|\\ell)\s*[_^]\s*\{?\s*[(<]?\s*t\s*-"
        above = r"\\partial\s*\S+\s*[_^]\s*\{[^{}]*\}\s*(?:\}\s*\{|/)\s*\\partial"  # ∂L_{t-1} over ∂h_{t-1}
        above += r"|\\nabla\s*_\s*\{(?:[^{}]|\{[^{}]*\})*\}\s*\S+\s*[_^]\s*\{"  # ∇_{h_{t-1}} L_{t-1}
        states = {found[1].lstrip("\\") for found in re.finditer(losses, blanked(self.text, above))}
        self.builder = Builder(states, self.fragment)
        self.builder.indices = index_letters(self.text)
        self.builder.renamed = one_letter(self.text)
        self.statements: list[Statement] = []
        self.derivatives: list[Derivative] = []
        self.notes, self.unjudged = list(prose), list[str]()
        self.of_losses: set[str] = set()

    def formulas(self) -> Formulas:
        """Read every equation."""
        beyond: list[NotationError] = []
        for equation in [equation for equation in equations(self.text) if not self._defines(equation)]:
            try:
                self._read(equation)
            except NotationError:
                if not equation.inline:
                    raise
                self.notes.append(self._said(equation, "stands in a sentence and wasn't understood"))
            except Unjudged as why:
                beyond += [self.refused(why)] if isinstance(why, UnjudgedScript) else []
                self.unjudged.append(self._said(equation, f"isn't judged: {why}"))
        if not self.statements and not self.derivatives:
            if beyond:
                raise beyond[0]
            said = f" ({'; '.join([*self.notes, *self.unjudged])})" if self.notes or self.unjudged else ""
            raise NotationError(f"{self.source.name}: no equation was found{said}. {ACCEPTED}")
        builder = self.builder
        self._join_entries()
        clean: list[Statement] = []
        derivatives: list[Derivative] = []
        every: list[Statement | Derivative] = [*self.statements, *self.derivatives]
        lines = [line for line in self.statements if line.target.base not in self.of_losses]
        read = {name.base for line in lines for name in names(line.value)}
        own = {line.target.base for line in self.statements} | builder.timed
        vectors = builder.timed - matrix_states(self.statements, builder.timed)
        values = {name.base for line in every for name in names(line.value)}
        whole = {prefix + loss for prefix in ("d", "delta_") for loss in builder.losses - values}
        for line in every:
            if isinstance(line, Statement) and line.target.base in whole and not line.adds:
                self.unjudged.append(f"line {line.number} isn't judged: it is a differential of the loss: {line.text}")
                continue
            if isinstance(line, Statement) and line.target.base in self.of_losses - read:
                self.notes.append(f"line {line.number} says what the loss is, and isn't judged: {line.text}")
                continue
            value = gathered(line, leaves_named(resolved(line.value, vectors)), builder.timed)
            value = mapped(value, lambda found: call("eye") if found == Name("I") and "I" not in own else None)
            target = (
                leaves_named(Tree("jacobian", (), line.target)).leaf if isinstance(line, Derivative) else line.target
            )
            if isinstance(target, Name) and not any(part.head == "prod_t" for _, part in places(value)):
                adds, aside = (line.adds, line.aside) if isinstance(line, Statement) else (False, False)
                clean.append(Statement(line.number, line.text, target, adds, value, aside=aside))
            elif isinstance(line, Derivative) and isinstance(target, Jacobian):
                derivatives.append(replace(line, value=value))
            else:
                self.unjudged.append(
                    f"line {line.number} isn't judged: a product over time is judged as a Jacobian: {line.text}"
                )
        general = [line for line in clean if line.aside and _is_general(line, [*clean, *derivatives])]
        self.notes += [f"line {line.number} says how things are called, no more: {line.text}" for line in general]
        clean = sorted((line for line in clean if line not in general), key=lambda line: line.number)
        return Formulas(
            self.source,
            (),
            "",
            tuple(clean),
            "latex",
            tuple(sorted(builder.templates.items())),
            tuple(sorted(builder.timed)),
            tuple(derivatives),
            tuple(self.notes),
            tuple(self.unjudged),
        )

    def _join_entries(self) -> None:
        """Make equations of entries into ones of vectors and matrices."""
        builder = self.builder
        if not builder.indices:
            return
        entries = Entries(self.statements, builder.indices, builder.templates, builder.timed)
        made = []
        for line in self.statements:
            try:
                target, value = entries.whole(line.target, line.value)
                made.append(replace(line, target=target, value=value))
            except Unjudged as why:
                self.unjudged.append(f"line {line.number} isn't judged: {why}: {line.text}")
        self.statements = made
        self.notes.append(
            f"the indices {', '.join(sorted(builder.indices))} are of entries, and read as vectors and matrices"
        )

    def _defines(self, equation: Equation) -> bool:
        """Take a function's name, as in phi = tanh; return whether that is what an equation does."""
        sides = [re.sub(r"\\mathrm|\\text|\\operatorname|[\\{}\s\x00]", "", self.text[a:b]) for a, b in equation.sides]
        named = [
            re.fullmatch(r"([A-Za-z]+(?:_(?!t\b)[A-Za-z]+)?)(?:\((?:x|z|\\cdot|cdot|a|u)\))?", side)
            for side in sides[:-1]
        ]
        if len(sides) < 2 or not all(named):
            return False
        right = re.sub(r"\((?:x|z|cdot|a|u)\)$", "", sides[-1])
        if right in KNOWN and CALLED.get(right, right) in KNOWN | {"sigmoid"}:
            self.builder.functions |= {found[1]: right for found in named if found}
            return True
        return len(sides) == 2 and named[0] is not None and named[0][1] in KNOWN and "(" in sides[0]

    def _said(self, equation: Equation, what: str) -> str:
        return f"line {self._line(equation.start)} {what}: {self._written(equation)}"

    def _line(self, place: int) -> int:
        return self.source.text.count("\n", 0, self.places[place]) + 1

    def _written(self, equation: Equation) -> str:
        return " ".join(self.text[equation.start : equation.stop].replace("\x00", " ").split())

    def _read(self, equation: Equation) -> None:
        whole = self.text[equation.start : equation.stop]
        self.builder.clocks = {"t", *_clocks(whole)} - self.builder.indices
        if len(equation.sides) < 2:
            place = equation.start
            if re.search(r"\\(?:leq?|geq?|approx|propto|ll|gg|sim)(?![A-Za-z])|[<>≤≥]", whole):
                self.unjudged.append(self._said(equation, "isn't judged: it is no equation"))
                return
            raise self.error(place, max(1, len(whole.split()[0])) if whole.split() else 1, "there is no = here", whole)
        (start, stop), *others = equation.sides
        if others and all(re.fullmatch(SAID, self.text[low:high]) for low, high in others):
            self.notes.append(self._said(equation, "says what something is in words, and isn't judged"))
            return
        left = self._side(start, stop)
        of_loss = isinstance(left, Symbol) and left.letter.removeprefix("mathcal") in self.builder.losses
        try:
            sides, equation = self._sides(equation, left)
        except NotationError:
            if not of_loss:
                raise
            self.notes.append(self._said(equation, "says what the loss is, and wasn't read"))
            return
        if _is_at_edge(sides[0], self.builder.timed):
            self.unjudged.append(self._said(equation, "isn't judged: it speaks of the first or last step"))
            return
        try:
            trees = [None if isinstance(side, Function) else self.builder.tree(side) for side in sides]
        except Refused as error:
            raise self.refused(error) from None
        first = trees[0]
        if first is not None and first.head == "number" or isinstance(sides[0], Function):
            self.unjudged.append(self._said(equation, "isn't judged: its left side is no quantity"))
            return
        target = first
        for index, value in enumerate(trees[1:], 1):
            place = equation.sides[index][0]
            if value is None or target is None:
                raise self.error(place, 1, "a function stands here without its argument", whole)
            place += len(self.text[place:]) - len(self.text[place:].lstrip(" \n\x00"))
            self._enter(equation, self._line(equation.start if index == 1 else place), index, target, value, of_loss)
            if isinstance(value.leaf, Jacobian) or (
                value.head == "name" and _is_adjoint(value, self.builder.templates)
            ):
                target = value

    def _sides(self, equation: Equation, left: Any) -> tuple[list[Any], Equation]:
        """Return the sides of an equation, and the equation without those of a chain that can't be judged."""
        sides, kept, why = [left], [equation.sides[0]], None
        for low, high in equation.sides[1:]:
            timed, templates = set(self.builder.timed), dict(self.builder.templates)
            try:
                sides.append(self._side(low, high))
            except Unjudged as found:
                why, last = found, high
                self.builder.timed, self.builder.templates = timed, templates
                continue
            kept.append((low, high))
        if why is not None and len(kept) == 1:
            raise why
        if why is not None:
            held = replace(equation, stop=last)
            self.unjudged.append(self._said(held, f"isn't judged in one of its parts: {why}"))
        return sides, replace(equation, sides=tuple(kept))

    def _enter(self, equation: Equation, number: int, index: int, target: Tree, value: Tree, of_loss: bool) -> None:
        """Take the link of a chain of equations that ends in its side `index`."""
        place = equation.sides[0][0]
        width = len(self.text[place : equation.sides[0][1]].strip())
        place += len(self.text[place:]) - len(self.text[place:].lstrip(" \n\x00"))
        written = self._written(equation)
        if len(equation.sides) > 2:
            sides = [" ".join(self.text[low:high].replace("\x00", " ").split()) for low, high in equation.sides]
            written = f"{sides[0]} = {sides[index]}"
        if isinstance(target.leaf, Jacobian):
            self.derivatives.append(Derivative(number, written, target.leaf, value))
            return
        if not isinstance(target.leaf, Name):
            whole = self.text[equation.start : equation.stop]
            raise self.error(place, width, "the left side is one quantity, such as \\delta h_t", whole)
        if through := through_window(target.leaf, resolved(value, self.builder.timed)):
            self.derivatives.append(Derivative(number, written, *through))
            return
        clocks = {n.base.partition("@")[2] for n in (target.leaf, *names(value))} - {""}
        if len(clocks) == 1 and not {n.base for n in names(value) if "@" not in n.base} & self.builder.timed:
            (clock,) = clocks
            value, target = shifted(value, clock, 0), shifted(target, clock, 0)
        elif clocks:
            raise Unjudged(f"it speaks of steps {' and '.join(sorted(clocks))} beside t")
        assert isinstance(target.leaf, Name)
        adds = equation.adds and index == 1
        if of_loss and value.leaf not in LOSSES:
            self.of_losses.add(target.leaf.base)
        self.statements.append(Statement(number, written, target.leaf, adds, value, aside=equation.inline))

    def _side(self, start: int, stop: int) -> Any:
        text = self.blank[:start] + unbroken(self.text[start:stop]).replace("\x00", " ")
        if not text.strip():
            raise self.error(min(start, len(self.text) - 1), 1, "one side of the equation is empty", "")
        try:
            return self.builder.transform(_parser(self.worded).parse(text.rstrip()))
        except lark.exceptions.VisitError as error:
            inner = error.orig_exc
            if isinstance(inner, Unjudged):
                raise inner from None
            if isinstance(inner, Refused):
                raise self.refused(inner) from None
            raise
        except Refused as error:
            raise self.refused(error) from None
        except lark.exceptions.UnexpectedInput as error:
            raise self._unexpected(error, stop) from None

    def fragment(self, text: str, token: Token) -> Any:
        """Read what stands in a script, such as the h_t of ∇_{h_t}."""
        try:
            return self.builder.transform(_parser(self.worded).parse(text))
        except (lark.exceptions.UnexpectedInput, lark.exceptions.VisitError):
            raise UnjudgedScript(token, f"{text} isn't understood") from None

    def refused(self, error: Refused | UnjudgedScript) -> NotationError:
        """Return the error that points at a token."""
        token = error.token
        return self.error(self._place(token.line or 1, token.column or 1), len(token), error.message, "")

    def _place(self, line: int, column: int) -> int:
        """Return where a line and a column of the text that was parsed are in it."""
        return sum(len(row) + 1 for row in self.text.split("\n")[: line - 1]) + column - 1

    def error(self, place: int, width: int, message: str, about: str) -> NotationError:
        """Return the error that points at a place."""
        line, place = self._line(place), self.places[place]
        column = place - (self.source.text.rfind("\n", 0, place) + 1)
        hint = next((hint for pattern, hint in HINTS if re.search(pattern, about)), "")
        return NotationError(self.source.point(line, column, width, message, " ".join(filter(None, [hint, ACCEPTED]))))

    def _unexpected(self, error: lark.exceptions.UnexpectedInput, stop: int) -> NotationError:
        line, column = getattr(error, "line", -1), getattr(error, "column", -1)
        if isinstance(error, lark.exceptions.UnexpectedEOF) or line is None or line < 1 or self._ended(error):
            return self.error(max(0, min(stop, len(self.text)) - 1), 1, "the equation ends too early", "")
        place = self._place(line, column)
        rest = self.text[place : place + 40]
        found = re.match(r"\\[A-Za-z]+|\S", rest)
        what = found[0] if found else rest[:1]
        hinted = rest if any(re.match(pattern, rest) for pattern, _ in HINTS) else ""
        return self.error(place, len(what), f"'{what}' isn't understood here", hinted[:12])

    @staticmethod
    def _ended(error: lark.exceptions.UnexpectedInput) -> bool:
        return isinstance(error, lark.exceptions.UnexpectedToken) and error.token.type == "$END"


@cache
def _parser(worded: bool) -> Any:
    """Return the parser of one side of an equation.

    Args:
        worded: for a text without a backslash, where `dh_t` and `W_hh` are names of several letters.
    """
    grammar = (resources.files(__package__) / "latex.lark").read_text(encoding="utf-8")
    if worded:
        grammar = grammar.replace("LETTER: /[A-Za-z]/", "LETTER: /[A-Za-z]+/").replace("SUM.3: /", "SUM.6: /sum(?=_)|")
        grammar = grammar.replace("|[A-Za-z0-9])/\nSUP", "|[A-Za-z0-9]+)/\nSUP")
    return lark.Lark(grammar, parser="lalr")


def _clocks(text: str) -> set[str]:
    """Return the letters that an equation has for other steps: of its sums and products, and those of ∂h_t/∂h_k."""
    bounds = r"\\(?:sum|prod)(?:\\limits)?\s*_\s*\{?\s*\(?\s*(?:[tTk]\s*(?:\\[gl]eq?|[<>])\s*)?(\\?[a-zA-Z]+)"
    quotient = (
        r"\\partial\s*([^{}]*(?:\{[^{}]*\}[^{}]*)*?)\}\s*\{\s*\\partial\s*[^{}]*(?:\{[A-Za-z]\}[^{}]*)*?"
        r"[_^]\s*\{?\(?\s*([jkms])\b"
    )
    last = (
        r"\\partial\s*(?!\s*(?:[LJE]|\\ell|\\mathcal))[^{}]*(?:\{[A-Za-z]\}[^{}]*)*?"
        r"[_^]\s*\{?\(?\s*(T)\b[^{}]*\}?\s*\}\s*\{\s*\\partial"
    )
    edges = r"\\prod(?:\\limits)?\s*_\s*\{\s*[a-z]\s*=\s*([a-zA-Z])\s*(?:\+\s*1)?\s*\}\s*\^\s*\{?\s*([a-zA-Z])"
    found = {
        *re.findall(bounds, text),
        *re.findall(last, text),
        *(edge for ends in re.findall(edges, text) for edge in ends),
    }
    found |= {by for of, by in re.findall(quotient, text) if not re.match(r"[LJE]|\\ell|\\mathcal", of)}
    return {letter.lstrip("\\") for letter in found} - {"t"}


def through_window(target: Name, value: Tree) -> tuple[Jacobian, Tree, Name, str] | None:
    """Return the derivative that the product of ∂L_t/∂h_k = ∂L_t/∂h_t ∏ … is, the product, ∂L_t/∂h_t, and the form."""
    if value.head != "matmul":
        return None
    left, right = value.args
    if left.head == "prod_t" and isinstance(right.leaf, Name):
        product, gradient, form = left, right.leaf, "turned"
    elif left.head == "T" and left.args[0].head == "prod_t" and isinstance(right.leaf, Name):
        product, gradient, form = left.args[0], right.leaf, "column"
    elif right.head == "prod_t" and names(left) and left.head in ("name", "T"):
        product, gradient, form = right, names(left)[0], "row"
    else:
        return None
    of, by = (_at(found) for found in (gradient, target))
    return (Jacobian(of, by), product, gradient, form) if of is not None and by is not None else None


def _at(gradient: Name) -> Name | None:
    """Return the quantity of a gradient, at its time: h@k of ∂L/∂h_k."""
    base, mark, clock = gradient.base.partition("@")
    of = adjoint_of(base.removesuffix("_loss"))
    return None if of is None else Name(f"{of}{mark}{clock}", gradient.offset)


def _is_at_edge(side: Any, timed: set[str]) -> bool:
    """Return whether a side such as h_0, δ_{T+1} or ∂L/∂h_T is a first or last value of what has a time elsewhere."""
    of = side.of if isinstance(side, Differential) else side
    if isinstance(of, Symbol):
        return bool(of.edge) or (of.words[-1:] == ("0",) and of.letter in timed)
    found = EDGE.fullmatch(of.leaf.base) if isinstance(of, Tree) and isinstance(of.leaf, Name) else None
    return found is not None and found[1] in timed


def _is_adjoint(tree: Tree, templates: dict[str, str]) -> bool:
    return isinstance(tree.leaf, Name) and tree.leaf.base.startswith(("dL_d", "delta_", "d"))


def _is_general(line: Statement, lines: list[Statement | Derivative]) -> bool:
    """Return whether a sentence gives a value, or says δ^l = ∂L/∂a^l, of what is in no other line."""
    of = adjoint_of(line.value.leaf.base) if isinstance(line.value.leaf, Name) else None
    rest = [other for other in lines if other is not line]
    others = [name for other in rest for name in names(other.value)]
    others += [other.target for other in rest if isinstance(other, Statement)]
    known = {base for name in others for base in (name.base, adjoint_of(name.base))}
    plain = all(adjoint_of(name.base) is None for name in (line.target, *names(line.value)))
    return (of is not None or plain) and not {of, line.target.base} & known - {None}
