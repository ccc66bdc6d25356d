"""Expression -> mathematics: the one printer, which holds all of the structure and none of the spelling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sympy
from sympy import Expr, MatrixExpr, Rational, Symbol
from sympy.core.function import AppliedUndef
from sympy.matrices.expressions import Identity, MatAdd, MatMul, Transpose, ZeroMatrix

from ..derive.bounds import max_abs, sigma_max
from ..derive.functions import Elementwise
from ..derive.jacobian import Column, Diagonal, Rows
from ..derive.linear import Node, Shape, is_one_hot, shape_of
from ..derive.model_derivation import AtStep
from ..derive.notation import ATOM, POWER, PRODUCT, SUM, Piece, Printer, decimal_text
from ..derive.through_time import ORIGIN
from ..derive.written import multiplied, rebuilt
from .dialects import Dialect
from .formula import FACTOR_MARK, MARK, TALL
from .names import GREEK, Token, taken_apart

HALF = Rational(1, 2)
DELTA, LOSS, INCOMING, TANGENT, PAST = "delta_", "loss_", "incoming_", "tangent_", "_prev"
PIECE = "piece of "  # of a vector over all states; a cell has no name with a space in it


@dataclass(frozen=True)
class Clock:
    """How time is written.

    Attributes:
        now: the time of quantities that are written without one.
        past: from a step to the one before it: −1, or 1 where time runs backwards.
        aliases: name -> the name and the time as which it is shown.
    """

    now: Expr = field(default_factory=lambda: Symbol("t"))
    past: int = -1
    aliases: Mapping[str, tuple[str, Expr]] = field(default_factory=dict)


class Typesetter(Printer):
    """Holds all of the structure; the dialect holds all of the spelling."""

    def __init__(self, dialect: Dialect, shapes: Mapping[Symbol, Shape], fixed: tuple[Symbol, ...]) -> None:
        self.dialect = dialect
        self.sign = dialect.sign
        self.shapes = shapes
        self.names = frozenset(symbol.name for symbol in shapes)
        self.fixed = frozenset(fixed)
        self.upright: frozenset[str] = frozenset()
        self.clock = Clock()
        self.earlier = ORIGIN.name

    def shape(self, expr: Expr) -> Shape:
        """Return an expression's shape; quantities may be written as functions of time."""
        if isinstance(expr, sympy.Sum):
            return self.shape(expr.function)

        def bare(part: Expr) -> Expr | None:
            if isinstance(part, sympy.Sum):
                return bare(part.function) or rebuilt(part.function, bare)
            if isinstance(part, max_abs | sigma_max):
                return sympy.Integer(1)
            return self.untimed(part) if isinstance(part, AppliedUndef) else None

        return shape_of(rebuilt(expr, bare), self.shapes)

    def untimed(self, expr: AppliedUndef) -> Symbol:
        name = expr.func.__name__.removeprefix(PIECE)
        bare = Symbol(name.removeprefix(LOSS)) if name.startswith(LOSS) else Symbol(name)
        return bare if bare in self.shapes else Symbol(name)

    # names

    def token(self, token: Token) -> str:
        if (whole := "".join(piece for _, piece in token.pieces)) in GREEK and whole in self.names:
            token = Token((("greek", whole),), token.accents)  # a subscript that names a quantity: μ, not m u
        spell: dict[str, Callable[[str], str]] = {
            "greek": self.dialect.greek,
            "letter": self.dialect.letter,
            "word": self.dialect.word,
            "digits": str,
        }
        text = " ".join(spell[kind](piece) for kind, piece in token.pieces)
        text = text if self.dialect.name == "typst" else text.replace(" ", "") if self.dialect.name == "plain" else text
        for accent in token.accents:
            text = self.dialect.accent(accent, text)
        return text

    def name(self, name: str, time: Expr | None = None, above: str = "") -> str:
        """Typeset a name, with its time as the last subscript."""
        if name in self.clock.aliases:
            name, time = self.clock.aliases[name]
        if name in self.upright:
            return self.dialect.scripts(self.dialect.word(name), "" if time is None else self.time(time), above)
        apart = taken_apart(name)
        subscripts = [self.token(token) for token in apart.subscripts]
        if time is not None:
            subscripts.append(self.time(time))
        label = self.sign("tight").join(map(self.token, apart.label))
        above = self.sign("space").join(filter(None, (label, above)))
        return self.dialect.scripts(self.token(apart.base), self.sign("tight").join(subscripts), above)

    def time(self, time: Expr) -> str:
        """Typeset t, t−1, t+1, a number, or the larger of two of them."""
        if isinstance(time, sympy.Max):
            ends = sorted(time.args, key=lambda end: not end.is_Number)
            return self.dialect.call(self.dialect.operator("max"), self.sign("comma").join(map(self.time, ends)))
        terms = sympy.Add.make_args(sympy.sympify(time).xreplace({ORIGIN: Symbol(self.earlier, integer=True)}))
        text = ""
        for term in sorted(terms, key=lambda term: (term.is_Number, term.could_extract_minus_sign(), str(term))):
            negative, sign = term.could_extract_minus_sign(), "minus" if term.could_extract_minus_sign() else "plus"
            text += (self.sign(sign) if text or negative else "") + str(
                abs(term) if term.is_Number else -term if negative else term
            )
        return text

    def symbol(self, symbol: Symbol) -> Piece:
        if symbol.is_integer:
            return self.name(symbol.name), ATOM
        return self.quantity(symbol.name, self.clock.now)

    def quantity(self, name: str, time: Expr) -> Piece:
        """Typeset a forward value or an adjoint at a time; `_prev` means one step earlier."""
        if name.startswith(INCOMING):
            inner = name.removeprefix(INCOMING)
            if Symbol(inner) in self.fixed:
                return self.adjoint(inner, None)
            plus = f" {MARK}{self.sign('plus')} "
            return self.direct(inner, time) + plus + self.adjoint(inner, time, sent=True)[0], SUM
        if name.startswith(TANGENT):
            inner, past = name.removeprefix(TANGENT).removesuffix(PAST), name.endswith(PAST)
            return self.change(inner, time + self.clock.past if past else time), POWER
        if name.startswith(PIECE):
            return self.piece_of(name.removeprefix(PIECE)), ATOM
        if name.startswith(LOSS):
            return self.direct(name.removeprefix(LOSS), time), ATOM
        if name.startswith(DELTA):
            inner = name.removeprefix(DELTA)
            if inner.endswith(PAST):
                return self.adjoint(inner.removesuffix(PAST), time + self.clock.past, sent=True)
            return self.adjoint(inner, None if Symbol(inner) in self.fixed else time)
        if name.endswith(PAST):
            return self.named(name.removesuffix(PAST), time + self.clock.past)
        return self.named(name, None if Symbol(name) in self.fixed else time)

    def named(self, name: str, time: Expr | None) -> Piece:
        """Typeset a forward value; one with a label above takes no further superscript."""
        return self.name(name, time), POWER if taken_apart(name).label else ATOM

    def adjoint(self, name: str, time: Expr | None, sent: bool = False) -> Piece:
        """Typeset δname, or with an arrow the part of it that the next step sends back."""
        delta = self.sign("delta")
        delta = self.dialect.scripts(delta.strip(), "", self.sign("arrow")) if sent else delta
        space = " " if self.dialect.name != "plain" else ""
        return f"{delta}{space}{self.name(name, time)}", POWER

    def change(self, name: str, time: Expr) -> str:
        """Typeset the change of a value, to first order."""
        space = " " if self.dialect.name != "plain" else ""
        return f"{self.dialect.upright('d')}{space}{self.name(name, time)}"

    def piece_of(self, state: str) -> str:
        """Typeset the piece for a state of the vector v over all states, or v itself."""
        return self.dialect.scripts(self.dialect.bold("v"), self.name(state) if state else "")

    def derivative(self, above: str, below: str, sloped: bool = False) -> str:
        d = self.sign("partial")
        space = " " if self.dialect.name == "typst" else ""
        over, under = f"{d}{space}{above}", f"{d}{space}{below}"
        return f"{over}{self.sign('slash')}{under}" if sloped else self.dialect.fraction(over, under) + TALL

    def direct(self, name: str, time: Expr) -> str:
        """Typeset ∂L_t/∂name_t: the direct influence on the loss of the same step."""
        loss = self.dialect.scripts(self.sign("loss"), self.time(time))
        return self.derivative(loss, self.name(name, time))

    def other(self, expr: Expr) -> Piece:
        if isinstance(expr, AppliedUndef):
            return self.quantity(expr.func.__name__, expr.args[0])
        if isinstance(expr, sympy.Sum):
            variable, low, high = expr.limits[0]
            lower = f"{self.time(variable)}{self.sign('equals')}{self.time(low)}"
            return self.dialect.sum(lower, self.time(high), self.show(expr.function, PRODUCT)) + TALL, PRODUCT
        if isinstance(expr, AtStep):
            return self.at_step(*expr.args)
        if isinstance(expr, MatrixExpr):
            return self.matrix(expr)
        if isinstance(expr, max_abs):
            return self.max_abs(expr.args[0])
        if isinstance(expr, sigma_max):
            name = self.dialect.scripts(self.dialect.greek("sigma").strip(), self.dialect.operator("max"))
            return self.dialect.call(name, self.show(expr.args[0])), ATOM
        return super().other(expr)

    def constant(self, number: sympy.NumberSymbol) -> Piece:
        return (self.dialect.greek("pi"), ATOM) if number is sympy.pi else super().constant(number)

    def max_abs(self, vector: Expr) -> Piece:
        """Typeset the largest |entry|, of a number its absolute value."""
        bars = self.dialect.bars(self.show(vector))
        if not self.shape(vector):
            return bars, ATOM
        return f"{self.dialect.operator('max')}{self.sign('space')}{bars}", POWER

    # elementwise algebra

    def parenthesised(self, text: str) -> str:
        return self.dialect.parentheses(text)

    def negated(self, text: str) -> str:
        return f"{self.sign('minus')}{text}"

    def number(self, number: Rational) -> Piece:
        if number < 0:
            return self.negated(self.number(-number)[0]), PRODUCT
        decimal = decimal_text(number)
        if "e" in decimal:
            factor, exponent = decimal.split("e")
            power = self.dialect.scripts("10", "", exponent.replace("-", self.sign("minus")))
            return power if factor == "1" else f"{factor}{self.sign('times')}{power}", POWER
        if decimal and len(decimal) < 12:
            return decimal, ATOM
        return self.dialect.fraction(str(number.p), str(number.q)) + TALL, ATOM

    def piece(self, expr: Expr) -> Piece:
        negative, rest = unsigned(expr)
        if negative:
            return self.negated(self.show(rest, PRODUCT)), PRODUCT
        return self.matrix(rest) if isinstance(rest, MatrixExpr) else super().piece(rest)

    def sum(self, expr: Expr) -> Piece:
        text = ""
        for term in expr.args:
            negative, body = self.term(term)
            if not text:
                text = self.negated(body) if negative else body
            else:
                text += f" {MARK}{self.sign('minus' if negative else 'plus')} {body}"
        return text, SUM

    def term(self, term: Expr) -> tuple[bool, str]:
        """Return whether a term of a sum is negative, and its text without the sign."""
        if isinstance(term, Symbol) and term.name.startswith(INCOMING):
            return False, self.show(term)
        negative, rest = unsigned(term)
        body = self.show(rest, PRODUCT)
        minus = self.sign("minus")
        return negative != body.startswith(minus), body.removeprefix(minus)

    def factors(self, factors: tuple[Expr, ...]) -> Piece:
        """Typeset a product: ⊙ between tensors, a thin space beside numbers, a fraction for what is divided by."""
        below = tuple(1 / factor for factor in factors if _is_inverse(factor))
        above = tuple(factor for factor in factors if not _is_inverse(factor))
        if below:
            over = self.factors(above)[0] if above else "1"
            return self.dialect.fraction(over, self.factors(below)[0]) + TALL, POWER
        if len(above) == 1:
            return self.piece(above[0])
        text, tensor = "", False
        for place, factor in enumerate(above):
            is_tensor = bool(self.shape(factor))
            plain_end = place == len(above) - 1 and not tensor and type(factor).__name__ in ("product", "outer")
            body = self.show(factor, PRODUCT if plain_end else POWER)
            if text and tensor and is_tensor:
                text += FACTOR_MARK + self.sign("odot") + body
            elif text:
                text += self.sign("dot" if body[:1].isdigit() else "space") + body
            else:
                text = body
            tensor = tensor or is_tensor
        return text, PRODUCT

    def power(self, base: Expr, exponent: Expr) -> Piece:
        if exponent == HALF:
            return self.dialect.root(self.show(base)) + TALL, ATOM
        if isinstance(base, Elementwise) and base.rule.name not in SPECIAL and len(base.args) == 1:
            return self.applied(self.dialect.scripts(self.function_name(base), "", self.show(exponent)), base), POWER
        return self.dialect.scripts(self.show(base, ATOM), "", self.show(exponent)), POWER

    def function_name(self, expr: Elementwise) -> str:
        symbol = expr.rule.symbol or expr.rule.name
        token = taken_apart(symbol).base
        if token.pieces[0][0] == "greek":
            return self.dialect.greek(symbol).strip()
        return self.dialect.operator(symbol)

    def applied(self, name: str, expr: Expr) -> str:
        return self.dialect.call(name, self.sign("comma").join(map(self.show, expr.args)))

    def function(self, expr: Elementwise) -> Piece:
        special = SPECIAL.get(expr.rule.name)
        return special(self, *expr.args) if special else (self.applied(self.function_name(expr), expr), ATOM)

    # tensor maps

    def product(self, left: Expr, right: Expr) -> Piece:
        return f"{self.show(left, POWER)}{self.sign('space')}{self.show(right, POWER)}", PRODUCT

    def transpose(self, matrix: Expr) -> Piece:
        if isinstance(matrix, Symbol | AppliedUndef) and taken_apart(name := _name_of(matrix)).label:
            time = matrix.args[0] if matrix.args else self.clock.now
            if not name.startswith((DELTA, INCOMING, TANGENT)):
                past = name.endswith(PAST)
                time = None if Symbol(name) in self.fixed else time + self.clock.past if past else time
                return self.name(name.removesuffix(PAST), time, self.sign("top")), POWER
        return self.dialect.scripts(self.show(matrix, ATOM), "", self.sign("top")), POWER

    def outer(self, left: Expr, right: Expr) -> Piece:
        return f"{self.show(left, POWER)}{self.sign('space')}{self.transpose(right)[0]}", PRODUCT

    def total(self, argument: Expr) -> Piece:
        rank = len(self.shape(argument))
        factors: tuple[Expr, ...] = argument.args if isinstance(argument, sympy.Mul) else (argument,)
        if factors[0].is_Rational and len(factors) > 1:
            rest = self.total(multiplied(*factors[1:]))[0]
            return f"{self.number(factors[0])[0]}{self.sign('space')}{rest}", PRODUCT
        if isinstance(argument, sympy.Pow) and argument.exp == 2:
            return self.dialect.scripts(self.dialect.norm(self.show(argument.base)), "", "2"), POWER
        if len(factors) == 2 and all(len(self.shape(factor)) == rank for factor in factors):
            left, right = factors[0], factors[1]
            if rank == 1:
                return f"{self.transpose(left)[0]}{self.sign('space')}{self.show(right, POWER)}", PRODUCT
            return self.dialect.angles(f"{self.show(left)}{self.sign('comma')}{self.show(right)}"), ATOM
        one = self.sign("one")
        text = f"{self.dialect.scripts(one, '', self.sign('top'))} {self.show(argument, POWER)}"
        return (text if rank == 1 else f"{text} {one}"), PRODUCT

    def broadcast(self, number: Expr, *sizes: Expr) -> Piece:
        if sizes == (1,):
            return self.piece(number)
        return f"{self.show(number, POWER)}{self.sign('space')}{self.ones(*sizes)[0]}", PRODUCT

    def ones(self, *sizes: Expr) -> Piece:
        return self.dialect.scripts(self.sign("one"), self.sign("times").join(map(self.show, sizes))), ATOM

    def concat(self, *pieces: Expr) -> Piece:
        return self.dialect.stack([self.show(piece) for piece in pieces]) + TALL, ATOM

    def span(self, start: Expr, stop: Expr) -> str:
        return f"{self.size(start + 1)}{self.sign('colon')}{self.size(stop)}"

    def size(self, size: Expr) -> str:
        """Typeset a size or an index, with its number last: m + 1."""
        rest, number = sympy.expand(size).as_coeff_Add()[::-1]
        return self.show(rest if number == 0 else number if rest == 0 else sympy.Add(rest, number, evaluate=False))

    def part(self, vector: Expr, start: Expr, stop: Expr) -> Piece:
        return self.dialect.scripts(self.dialect.brackets(self.show(vector)), self.span(start, stop)), ATOM

    def pad(self, vector: Expr, start: Expr, size: Expr) -> Piece:
        zero, end = self.sign("zero"), start + self.shape(vector)[0]
        pieces = [zero] * (start != 0) + [self.show(vector)] + [zero] * (sympy.expand(size - end) != 0)
        return self.dialect.stack(pieces) + TALL, ATOM

    def entry(self, vector: Expr, index: Expr) -> Piece:
        return self.dialect.scripts(self.dialect.brackets(self.show(vector)), self.show(index + 1)), ATOM

    def softmax(self, vector: Expr) -> Piece:
        return self.applied_text("softmax", self.show(vector))

    def lookup(self, table: Expr, index: Expr) -> Piece:
        place = self.time(index) if index.is_integer else self.show(index)
        return self.dialect.scripts(self.dialect.brackets(self.show(table)), place), ATOM

    def scatter(self, row: Expr, index: Expr, size: Expr) -> Piece:
        """Typeset a row among zeros as an outer product with a one-hot vector."""
        one_hot = self.dialect.scripts(self.sign("one"), self.show(index))
        if row == 1:
            return one_hot, ATOM
        if not self.shape(row):
            return f"{self.show(row, POWER)}{self.sign('space')}{one_hot}", PRODUCT
        return f"{one_hot}{self.sign('space')}{self.transpose(row)[0]}", PRODUCT

    def cross_entropy(self, logits: Expr, target: Expr) -> Piece:
        log, distribution = self.dialect.operator("log"), self.softmax(logits)[0]
        if is_one_hot(target):
            inside = self.lookup_text(distribution, target.args[1])
            return self.negated(f"{log}{self.sign('space')}{inside}"), PRODUCT
        across = self.transpose(target)[0]
        return self.negated(f"{across}{self.sign('space')}{log}{self.sign('space')}{distribution}"), PRODUCT

    def lookup_text(self, table: str, index: Expr) -> str:
        return self.dialect.scripts(self.dialect.brackets(table), self.show(index))

    def at_step(self, expr: Expr, time: Expr, step: Expr) -> Piece:
        """Typeset a term that is there at one step only."""
        inside = f"{self.time(time)} {self.sign('equals')} {self.time(step)}"
        indicator = self.sign("one") + self.dialect.brackets(inside)
        return f"{indicator}{self.sign('space')}{self.show(expr, POWER)}", PRODUCT

    # matrices of the Jacobian

    def matrix(self, expr: MatrixExpr) -> Piece:
        if isinstance(expr, MatAdd):
            return self.sum(expr)
        if isinstance(expr, MatMul):
            return self.matrix_product(expr), PRODUCT
        if isinstance(expr, Diagonal):
            vector, size = expr.args
            if size == 1:
                return self.piece(vector)
            if vector.is_Rational:
                return f"{self.show(vector, POWER)}{self.sign('space')}{self.dialect.letter('I')}", PRODUCT
            return self.applied_text("diag", self.show(vector))
        if expr.has(ZeroMatrix):
            return self.sign("zero"), ATOM
        if isinstance(expr, Transpose):
            return self.transpose(expr.args[0])
        if isinstance(expr, Column):
            return (self.sign("one"), ATOM) if expr.args[0] == 1 else self.piece(expr.args[0])
        if isinstance(expr, Rows):
            return self.dialect.scripts(self.dialect.letter("E"), self.span(*expr.args[:2])), ATOM
        if isinstance(expr, Identity):
            return (self.dialect.letter("I") if expr.args[0] != 1 else "1"), ATOM
        if isinstance(expr, sympy.MatrixSymbol):
            return self.quantity(expr.name, Symbol("t"))
        raise TypeError(f"can't typeset the matrix {type(expr).__name__}: {expr}")

    def matrix_product(self, expr: MatMul) -> str:
        """Typeset a product of matrices, its numbers first."""
        numbers = [factor.args[0] for factor in expr.args if _is_number(factor)]
        factors = [*numbers, *(factor for factor in expr.args if not _is_number(factor))]
        return f"{FACTOR_MARK}{self.sign('space')}".join(self.show(factor, POWER) for factor in factors)

    def applied_text(self, name: str, body: str) -> Piece:
        return self.dialect.call(self.dialect.operator(name), body), ATOM


def _name_of(quantity: Symbol | AppliedUndef) -> str:
    return quantity.name if isinstance(quantity, Symbol) else quantity.func.__name__


def unsigned(expr: Expr) -> tuple[bool, Expr]:
    """Return whether an expression is negative, and the expression without signs in factors and in linear maps.

    >>> from ..derive.linear import outer
    >>> e, k = Symbol("e"), Symbol("k")
    >>> unsigned(outer(-e, k)), unsigned(e - k)[0]
    ((True, outer(e, k)), False)
    """
    if isinstance(expr, Rational):
        return bool(expr < 0), abs(expr)
    if not isinstance(expr, sympy.Mul | MatMul | Transpose | Diagonal | Column | Node):
        return False, expr
    if isinstance(expr, Node) and not expr.rule.is_linear:
        return False, expr
    signs, args = zip(*map(unsigned, expr.args), strict=True)
    if not any(signs):
        return False, expr
    if not isinstance(expr, sympy.Mul | MatMul):
        return sum(signs) % 2 == 1, expr.func(*args)
    factors = [factor for factor in args if factor != 1] or [sympy.Integer(1)]
    return sum(signs) % 2 == 1, expr.func(*factors, evaluate=False) if len(factors) > 1 else factors[0]


def _is_number(matrix: Expr) -> bool:
    return isinstance(matrix, Diagonal) and bool(matrix.args[0].is_Rational)


def _is_inverse(factor: Expr) -> bool:
    return isinstance(factor, sympy.Pow) and bool(factor.exp.is_negative)


def _indicator(printer: Typesetter, left: Expr, sign: str, right: str) -> Piece:
    inside = f"{printer.show(left)} {printer.sign(sign)} {right}"
    return printer.sign("one") + printer.dialect.brackets(inside), ATOM


SPECIAL: dict[str, Callable[..., Piece]] = {
    "sqrt": lambda printer, x: (
        (printer.dialect.norm(printer.show(x.args[0].base)), ATOM)
        if isinstance(x, Node)
        and isinstance(x.args[0], sympy.Pow)
        and x.args[0].exp == 2
        and type(x).__name__ == "total"
        else (printer.dialect.root(printer.show(x)) + TALL, ATOM)
    ),
    "abs": lambda printer, x: (printer.dialect.bars(printer.show(x)), ATOM),
    "step": lambda printer, x: _indicator(printer, x, "greater", "0"),
    "geq": lambda printer, a, b: _indicator(printer, a, "geq", printer.show(b)),
}
