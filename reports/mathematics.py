"""Expressions and names of one cell -> formulas in Typst, LaTeX and plain Unicode at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sympy
from sympy import Expr, MatrixExpr, Symbol

from ..derive.functions import FUNCTIONS
from ..derive.linear import Shape
from ..derive.notation import SUM
from ..derive.through_time import ORIGIN
from .dialects import LATEX, PLAIN, TYPST
from .formula import MARK, TALL, Formula
from .names import taken_apart
from .styles import Style, Styled
from .typesetter import DELTA, INCOMING, LOSS, PAST, TANGENT, Clock

T = Symbol("t", integer=True, positive=True)
Limits = tuple[Symbol, Expr, Expr]


class Mathematics:
    """Typesets the symbols and expressions of one cell in every dialect at once.

    Args:
        shapes: of every symbol, in named dimensions.
        fixed: symbols that carry no time: parameters and what is made of parameters alone.
        style: of the notation.
        clock: how time is written.
        earlier: the letter for an earlier step and for a number of steps; see `earlier_letter`.

    >>> from sympy import Mul, symbols
    >>> from .formula import clean
    >>> f, c, n = *symbols("f c"), Symbol("n", integer=True)
    >>> clean(Mathematics({f: (n,), c: (n,)}).formula(Mul(f, c, evaluate=False))).plain
    'f_t ⊙ c_t'
    """

    def __init__(
        self,
        shapes: Mapping[Symbol, Shape],
        fixed: Iterable[Symbol] = (),
        style: Style | None = None,
        clock: Clock | None = None,
        earlier: str = "k",
    ) -> None:
        fixed = tuple(fixed)
        self.shapes = shapes
        self.style = style or Style()
        self.printers = [Phrased(dialect, shapes, fixed, self.style) for dialect in (TYPST, LATEX, PLAIN)]
        upright = _alike(self.printers[-1], [symbol.name for symbol in shapes])
        for printer in self.printers:
            printer.upright = upright
            printer.clock = clock or Clock()
            printer.earlier = earlier

    def formula(self, expr: Expr | MatrixExpr, at_least: int = SUM) -> Formula:
        """Return an expression as a formula, with break marks."""
        return Formula(*(printer.show(expr, at_least) for printer in self.printers))

    def name(self, name: str, time: Expr | None = None) -> Formula:
        """Return a name as a formula, at a time or without one."""
        return Formula(*(printer.name(name, time) for printer in self.printers))

    def call(self, method: str, *arguments: object) -> Formula:
        """Return what a method of the printer gives, as a formula."""
        return Formula(*(getattr(printer, method)(*arguments) for printer in self.printers))

    def grid(self, rows: list[list[Formula]]) -> Formula:
        """Return a matrix of formulas in brackets."""
        texts = ([[getattr(entry, p.dialect.name) for entry in row] for row in rows] for p in self.printers)
        return Formula(*(p.dialect.blocks(t) + TALL for p, t in zip(self.printers, texts, strict=True)))

    def fraction_of(self, above: Formula, below: Formula) -> Formula:
        """Return ∂above/∂below, with a sloped line."""
        sides = ([getattr(side, p.dialect.name) for side in (above, below)] for p in self.printers)
        return Formula(*(p.derivative(s[0], s[1], sloped=True) for p, s in zip(self.printers, sides, strict=True)))

    def equal(self, left: Formula, right: Formula) -> Formula:
        """Return left = right."""
        sides = ([getattr(side, p.dialect.name) for side in (left, right)] for p in self.printers)
        return Formula(*(f" {p.sign('equals')} ".join(s) for p, s in zip(self.printers, sides, strict=True)))

    @property
    def now(self) -> Expr:
        """The time of quantities that are written without one."""
        return self.printers[0].clock.now

    def list_of(self, entries: list[Formula]) -> Formula:
        """Return formulas beside each other in brackets."""
        return Formula(*(p.listed([getattr(entry, p.dialect.name) for entry in entries])[0] for p in self.printers))

    def is_tensor_product(self, expr: Expr) -> bool:
        """Return whether at least two factors of a product are vectors or matrices."""
        return sum(bool(self.printers[0].shape(factor)) for factor in expr.args) > 1

    def sign(self, name: str) -> Formula:
        return Formula(*(printer.dialect.sign(name) for printer in self.printers))


def earlier_letter(names: Iterable[str]) -> str:
    """Return a letter for an earlier step, and for a number of steps, that isn't one of the names.

    >>> earlier_letter(["m", "n"]), earlier_letter(["m", "k", "l"])
    ('k', 'q')
    """
    return next((letter for letter in "kqril" if letter not in set(names)), "k")


def _alike(printer: Phrased, names: list[str]) -> frozenset[str]:
    """Return the names that would look like another one, at any time: `h2` beside `h_2`, or `h_0` beside a state `h`.

    They are printed upright and as written. The names that stay are those that carry a time, then those with more
    underscores, then shorter ones.
    """
    own = [name for name in names if not name.startswith((DELTA, INCOMING, LOSS, TANGENT)) and not name.endswith(PAST)]
    fixed = {symbol.name for symbol in printer.fixed}
    taken: set[str] = set()
    upright = set()
    for name in sorted(own, key=lambda name: (name in fixed, -name.count("_"), len(name), name)):
        times = [None] if name in fixed else [T, sympy.Integer(0), sympy.Integer(1), Symbol("T")]
        shown = [printer.name(name, time) for time in times]
        if shown[0] in taken:
            upright.add(name)
        taken.update(shown)
    return frozenset(upright)


class Phrased(Styled):
    """Formulas that documents speak of beside a cell's own expressions."""

    def letter(self, letter: str) -> str:
        return self.dialect.letter(letter)

    def lag(self) -> str:
        return self.dialect.letter(self.earlier)

    def bold(self, letter: str) -> str:
        return self.dialect.bold(letter)

    def digits(self, number: int) -> str:
        return str(number)

    def power_of_ten(self, number: float) -> str:
        """A positive number to two digits: 3.1 · 10^−16."""
        if number == 0:
            return "0"
        digits, exponent = f"{number:.1e}".split("e")
        raised = self.dialect.scripts("10", "", self.time(sympy.Integer(int(exponent))))
        return f"{digits}{self.sign('dot')}{raised}"

    def prime_field(self) -> str:
        return f"{self.dialect.scripts('2', '', '61')} {self.sign('minus')} 2373"

    def log_norm(self) -> str:
        """ln ‖∂ℒ_T/∂s_{T−k}‖."""
        return f"{self.dialect.operator('ln')}{self.sign('space')}{self.dialect.norm(self.lagged_sloped())}"

    def lagged_sloped(self, of_loss: bool = True) -> str:
        """∂ℒ_T/∂s_{T−k}, or ∂s_T/∂s_{T−k}, in a sentence."""
        last = Symbol("T")
        above = self.dialect.scripts(self.sign("loss"), "T") if of_loss else self.stacked(last)
        return self.derivative(above, self.stacked(last - ORIGIN), sloped=True)

    def quantity_text(self, name: str, time: Expr) -> str:
        return self.quantity(name, time)[0]

    def sent_back(self, state: str) -> str:
        return self.adjoint(state, T, sent=True)[0]

    def sent_back_at(self, state: str, time: Expr) -> str:
        return self.adjoint(state, time, sent=True)[0]

    def to_last(self, name: str) -> str:
        """What follows x_1 in x_1, …, x_T."""
        comma, dots = self.sign("comma"), self.sign("ellipsis")
        return f"{comma}{dots}{comma}{self.name(name, Symbol('T'))}"

    def counting(self, first: Expr, last: Expr) -> str:
        """t = 1, 2, …, T, or back."""
        second = first + 1 if first == 1 else first - 1
        comma = self.sign("comma")
        numbers = comma.join([self.time(first), self.time(second), self.sign("ellipsis"), self.time(last)])
        return f"{self.time(self.clock.now)} {self.sign('equals')} {numbers}"

    def next_in_list(self) -> str:
        return f"{self.sign('comma')}{MARK}"

    def and_more(self) -> str:
        return f" {MARK}{self.sign('plus')} "

    def grown_by(self, expr: Expr) -> str:
        """What follows a sum so far to which an expression is added."""
        text, minus = self.show(expr), self.sign("minus")
        return f" {MARK}{minus if text.startswith(minus) else self.sign('plus')} {text.removeprefix(minus)}"

    def loss_term(self, number: int, time: Expr | None) -> str:
        """ℒ_t, with its number where the loss has several terms."""
        above = self.dialect.parentheses(str(number)) if number else ""
        return self.dialect.scripts(self.sign("loss"), "" if time is None else self.time(time), above)

    def summed_loss(self, number: int, block: Limits) -> str:
        """Σ_t ℒ_t."""
        variable, low, high = block
        lower = f"{self.time(variable)}{self.sign('equals')}{self.time(low)}"
        return self.dialect.sum(lower, self.time(high), self.loss_term(number, variable)) + TALL

    def bare_loss(self) -> str:
        return self.sign("loss")

    def entropy_of_letters(self) -> str:
        """−yᵀ log softmax(u)."""
        log, u = self.dialect.operator("log"), self.dialect.letter("u")
        across = self.dialect.scripts(self.dialect.letter("y"), "", self.sign("top"))
        space = self.sign("space")
        return self.negated(f"{across}{space}{log}{space}{self.applied_text('softmax', u)[0]}")

    def exact_of_letters(self) -> str:
        """log(1ᵀ exp(u)) − yᵀ u."""
        log, u = self.dialect.operator("log"), self.dialect.letter("u")
        exp = self.dialect.call(self.dialect.operator("exp"), u)
        summed = f"{self.dialect.scripts(self.sign('one'), '', self.sign('top'))}{self.sign('space')}{exp}"
        across = self.dialect.scripts(self.dialect.letter("y"), "", self.sign("top"))
        return f"{self.dialect.call(log, summed)} {self.sign('minus')} {across}{self.sign('space')}{u}"

    def looked_up(self, table: str, index: str) -> str:
        return self.dialect.scripts(self.dialect.brackets(self.dialect.letter(table)), self.dialect.letter(index))

    def below_size(self, size: str) -> str:
        """0, …, V − 1."""
        comma, minus = self.sign("comma"), self.sign("minus")
        return f"0{comma}{self.sign('ellipsis')}{comma}{self.name(size)} {minus} 1"

    def one_hot(self, name: str) -> str:
        return self.dialect.scripts(self.sign("one"), self.dialect.letter(name))

    def row_of_zeros(self, index: str, row: str) -> str:
        across = self.dialect.scripts(self.dialect.letter(row), "", self.sign("top"))
        return f"{self.one_hot(index)}{self.sign('space')}{across}"

    def direct_sloped(self, state: str) -> str:
        return self.derivative(self.dialect.scripts(self.sign("loss"), "t"), self.name(state, T), sloped=True)

    def whole_loss(self) -> str:
        """ℒ = ℒ_1 + ... + ℒ_T."""
        loss, plus = self.sign("loss"), self.sign("plus")
        first, last = self.dialect.scripts(loss, "1"), self.dialect.scripts(loss, "T")
        return f"{loss} {self.sign('equals')} {first} {plus} {self.sign('dots')} {plus} {last}"

    def gradient(self, name: str, time: Expr | None = None) -> str:
        """∂ℒ/∂name, with a sloped line where it has a time and stands in a sentence."""
        return self.derivative(self.sign("loss"), self.name(name, time), sloped=True)

    def slope(self, value: str, argument: str) -> str:
        return self.derivative(
            self.quantity(value, self.clock.now)[0], self.quantity(argument, self.clock.now)[0], sloped=True
        )

    def block(self, value: str, state: str) -> str:
        return self.derivative(self.name(value, T), self.name(state, T - 1), sloped=True)

    def stacked(self, time: Expr = T) -> str:
        return self.dialect.scripts(self.dialect.bold("s"), self.time(time))

    def step_matrix(self, time: Expr = T) -> str:
        return self.dialect.scripts(self.dialect.bold("J"), self.time(time))

    def lagged(self, state: str) -> str:
        """∂ℒ_T/∂s_{T−k}: the loss of the last step by the state k steps before."""
        past = Symbol("T") - ORIGIN
        below = self.name(state, past) if state else self.stacked(past)
        return self.derivative(self.dialect.scripts(self.sign("loss"), "T"), below) + TALL

    def gradient_product(self, state: str) -> str:
        top, first = self.sign("top"), f"T{self.sign('minus')}{self.earlier}{self.sign('plus')}"
        last = self.name(state, Symbol("T")) if state else self.stacked(Symbol("T"))
        bold = self.dialect.bold("J")
        matrices = [self.dialect.scripts(bold, time, top) for time in (f"{first}1", f"{first}2", "T")]
        end = self.derivative(self.dialect.scripts(self.sign("loss"), "T"), last) + TALL
        factors = [matrices[0], matrices[1], self.sign("dots"), matrices[2], end]
        return " ".join(reversed(factors) if self.style.layout == "row" else factors)

    def norm_of_block(self, value: str, state: str) -> str:
        return self.dialect.norm(self.block(value, state))

    def norm_of_step(self) -> str:
        return self.dialect.norm(self.step_matrix())

    def norm_of_direct(self, state: str) -> str:
        """The norm of what no matrix mixes in a state's own block."""
        return self.dialect.norm(
            self.dialect.scripts(self.dialect.brackets(self.block(state, state)), self.dialect.word("direct"))
        )

    def largest_singular_value(self, name: str) -> str:
        sigma = self.dialect.scripts(self.dialect.greek("sigma").strip(), self.dialect.operator("max"))
        return self.dialect.call(sigma, self.dialect.bold(name)) if name else sigma

    def largest_entry(self, letter: str) -> str:
        return f"{self.dialect.operator('max')}{self.sign('space')}{self.dialect.bars(self.dialect.bold(letter))}"

    def below(self, left: Expr, right: Expr) -> str:
        return f"{self.show(left)} {self.sign('less')} {self.show(right)}"

    def summand(self) -> str:
        """G_{t,k}: what of a gradient goes from the loss of step t to the use of the parameter at step k."""
        return self.dialect.scripts(self.dialect.bold("G"), f"t{self.sign('tight')}{self.earlier}")

    def double_sum(self, outer: Limits, inner: Limits, body: str) -> str:
        """Σ_t Σ_k of a text."""
        for index, low, high in (inner, outer):
            lower = f"{self.time(index)}{self.sign('equals')}{self.time(low)}"
            body = self.dialect.sum(lower, self.time(high), body)
        return body + TALL

    def sum_of_summands(self, *parts: tuple[Limits, Limits]) -> str:
        return f" {MARK}{self.sign('plus')} ".join(self.double_sum(*part, self.summand()) for part in parts)

    def immediate(self, param: str, state: str) -> str:
        """(∂⁺s_k/∂W)^⊤, with the name of the only state where there is one."""
        return self.transposed(self.dialect.fraction(*self.sides_of_immediate(param, state)))

    def immediate_sloped(self, param: str, state: str) -> str:
        return self.sign("slash").join(self.sides_of_immediate(param, state))

    def sides_of_immediate(self, param: str, state: str) -> tuple[str, str]:
        plus = self.dialect.scripts(self.sign("partial").strip(), "", self.sign("plus"))
        space = " " if self.dialect.name != "plain" else ""
        above = f"{plus}{space}{self.name(state, ORIGIN) if state else self.stacked(ORIGIN)}"
        return above, f"{self.sign('partial')}{space}{self.name(param)}"

    def transposed(self, body: str) -> str:
        return self.dialect.scripts(self.dialect.parentheses(body + TALL), "", self.sign("top"))

    def path_of_summand(self, param: str, state: str, limits: Limits) -> str:
        """(∂⁺s_k/∂W)^⊤ (∏_{j=k+1}^{t} J_j)^⊤ ∂ℒ_t/∂s_t."""
        index, first, last = limits
        lower = f"{self.time(index)}{self.sign('equals')}{self.time(first)}"
        matrices = self.transposed(self.dialect.prod(lower, self.time(last), self.step_matrix(index)))
        loss = self.dialect.scripts(self.sign("loss"), self.time(last))
        end = self.derivative(loss, self.name(state, last) if state else self.stacked(last))
        return self.in_order(self.immediate(param, state), matrices, end)

    def action_of_immediate(self, param: str, state: str) -> str:
        """The transpose of the immediate partial, times a vector."""
        return self.in_order(self.immediate(param, state), self.piece_of(state))

    def in_order(self, *factors: str) -> str:
        """Write the factors of a product with a column, in a page of rows the other way round."""
        return self.sign("space").join(reversed(factors) if self.style.layout == "row" else factors) + TALL

    def softmax_jacobian(self, name: str) -> str:
        y = self.quantity(name, self.clock.now)[0]
        diagonal = self.dialect.call(self.dialect.operator("diag"), y)
        across = self.dialect.scripts(y, "", self.sign("top"))
        square = f"{across} {y}" if self.style.layout == "row" else f"{y} {across}"
        return f"{diagonal} {self.sign('minus')} {square}"

    def operator_title(self, name: str) -> str:
        return self.dialect.operator(name)

    def function_title(self, name: str) -> str:
        rule = FUNCTIONS[name].rule
        token = taken_apart(rule.symbol or name).base
        return self.token(token) if token.pieces[0][0] == "greek" else self.dialect.operator(rule.symbol or name)

    def space(self, symbol: Symbol) -> str:
        """The set in which a quantity lives: ℝ, ℝ^n, as a row ℝ^{1×n}, or ℝ^{n×m}."""
        shape = self.shape(symbol)
        if self.style.layout == "row" and len(shape) == 1:
            shape = (sympy.Integer(1), *shape)
        sizes = [self.parenthesised(self.size(s)) if s.is_Add and len(shape) > 1 else self.size(s) for s in shape]
        return self.dialect.scripts(self.sign("real"), "", self.sign("times").join(sizes))

    def total_of(self, letter: str) -> str:
        factors = [self.dialect.scripts(self.sign("one"), "", self.sign("top")), self.dialect.letter(letter)]
        return " ".join(reversed(factors) if self.style.layout == "row" else factors)

    def indicator_of(self) -> str:
        return self.sign("one") + self.dialect.brackets(f"{self.sign('dots')}")

    def rows_of(self, letter: str) -> str:
        span = f"a{self.sign('colon')}b"
        return self.dialect.scripts(self.dialect.letter(letter), span) if letter else span

    def piece_of_letter(self, letter: str) -> str:
        return self.dialect.scripts(self.dialect.brackets(self.dialect.letter(letter)), self.rows_of(""))
