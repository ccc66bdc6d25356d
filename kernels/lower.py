"""Steps -> instructions: each tensor map gets an instruction of its own, the rest loops over entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sympy
from sympy import Expr, Integer, Rational, Symbol

from ..derive.linear import Node, Shape, cross_entropy, is_one_hot, product, shape_of, softmax, total, transpose
from ..derive.program import Program, Step, quantities
from ..derive.written import added, operands, rebuilt
from .instructions import (
    ALL,
    BATCH,
    FIXED,
    ONCE,
    STEP,
    TANGENT_BATCH,
    TANGENT_TIME,
    TIME,
    Contract,
    CrossEntropy,
    Dot,
    Instruction,
    Loop,
    Softmax,
    Statement,
    Total,
    targets,
)

APART = product, total, softmax, cross_entropy  # maps that have an instruction of their own


def once(symbol: Symbol) -> Symbol:
    """Return the epilogue's own symbol for an adjoint, so that it doesn't clash with the sum over time.

    It is not the plain symbol of this name, which a parameter called `..._once` may have.
    """
    return Symbol(f"{symbol}_once", real=True)


def split_factor(term: Expr) -> tuple[Rational, Expr]:
    """Return a term's number and the rest, where the rest is one factor; else (1, term).

    >>> split_factor(3 * Symbol("x")), split_factor(Symbol("y"))
    ((3, x), (1, y))
    """
    if isinstance(term, sympy.Mul):
        numbers = [factor for factor in term.args if factor.is_Rational]
        others = [factor for factor in term.args if not factor.is_Rational]
        if len(others) == 1:
            return sympy.Mul(*numbers), others[0]
    return Integer(1), term


class Lowering:
    """Lowers steps to instructions, and remembers where values are kept."""

    def __init__(self, programs: Iterable[Program]) -> None:
        self.shapes: dict[Symbol, Shape] = {}
        for program in programs:
            self.shapes |= program.shapes
        self.kept: dict[Symbol, str] = {}
        self.count = 0

    def keep(self, symbols: Iterable[Symbol], where: str) -> None:
        """Keep values at `where`."""
        for symbol in symbols:
            self.kept[symbol] = where

    def lower(
        self, steps: Iterable[Step], scope: str, where: str, apart: bool = False, rest_last: bool = False
    ) -> list[Instruction]:
        """Lower steps to instructions; targets that have no place yet are kept at `where`.

        With `apart`, targets have the symbols that `once` gives. In a sum, products come before the other terms if it
        is read later, or with `rest_last`: the others then stand in the loop that reads it.
        """
        made: list[Instruction] = []
        steps = list(steps)
        for number, step in enumerate(steps):
            target = once(step.target) if apart else step.target
            self.shapes[target] = self.shapes[step.target]
            self.kept.setdefault(target, where)
            expr = rebuilt(step.expr, lambda e: once(e) if once(e) in self.kept else None) if apart else step.expr
            read_later = rest_last or any(step.target in other.reads for other in steps[number + 1 :])
            self._assign(target, expr, scope, made, read_later)
        return made

    def hoisted(self, instructions: list[Instruction]) -> tuple[list[Instruction], list[Instruction]]:
        """Move products whose vector is there before the loop out of it."""
        out: list[Instruction] = []
        stay: list[Instruction] = []
        written = {target for instruction in instructions for target in targets(instruction)}
        for instruction in instructions:
            if isinstance(instruction, Dot) and not written & set(instruction.vectors) and not _past(instruction):
                [target] = instruction.targets
                self.kept[target] = TIME
                out.append(replace(instruction, scope=ALL))
            else:
                stay.append(instruction)
        return out, stay

    def as_symbol(self, expr: Expr, scope: str, made: list[Instruction]) -> Symbol:
        """Return a symbol that holds `expr`, computed by an instruction of its own where it isn't one already."""
        if isinstance(expr, Symbol):
            return expr
        temporary = self._fresh()
        self.shapes[temporary] = shape_of(expr, self.shapes)
        moves = any(self.kept[symbol] in (TANGENT_TIME, TANGENT_BATCH) for symbol in quantities(expr))
        self.kept[temporary] = self._temporary(scope, moves)
        self._assign(temporary, expr, scope, made, read_later=True)
        return temporary

    def at_all_steps(self, expr: Expr, made: list[Instruction]) -> Symbol:
        """Return a symbol that holds `expr` at each step, copied there where it is one value for all of them."""
        symbol = self.as_symbol(expr, ALL, made)
        if self.kept[symbol] != FIXED:
            return symbol
        copy = self._fresh()
        self.shapes[copy], self.kept[copy] = self.shapes[symbol], TIME
        made.append(Loop(ALL, self.shapes[copy], (Statement(copy, symbol),)))
        return copy

    def _temporary(self, scope: str, moves: bool) -> str:
        return TANGENT_BATCH if moves else {ONCE: FIXED, STEP: BATCH, ALL: TIME}[scope]

    def materialised(self, expr: Expr, scope: str, made: list[Instruction]) -> Expr:
        """Give each product, sum, softmax and cross-entropy inside an expression a place of its own."""

        def change(part_of: Expr) -> Expr | None:
            return self.as_symbol(part_of, scope, made) if isinstance(part_of, APART) else None

        return rebuilt(expr, change)

    def _assign(self, target: Symbol, expr: Expr, scope: str, made: list[Instruction], read_later: bool) -> None:
        dots, rest = self._dots(target, expr, scope, made)
        if not dots and isinstance(expr, APART):
            self._node(target, expr, scope, made)
            return
        loop = []
        if rest or not dots:
            late = read_later and bool(dots)
            statement = Statement(target, self.materialised(added(*rest), scope, made), accumulate=late)
            loop.append(Loop(scope, self.shapes[target], (statement,)))
        made += [*dots, *loop] if read_later else [*loop, *dots]

    def _dots(
        self, target: Symbol, expr: Expr, scope: str, made: list[Instruction]
    ) -> tuple[list[Instruction], list[Expr]]:
        """Split a sum into products of fixed matrices with moving vectors, and the other terms."""
        dots: list[Instruction] = []
        rest: list[Expr] = []
        for term in operands(sympy.Add, expr):
            factor, node = split_factor(term)
            operand = self._fixed_matrix(node) if scope != ONCE else None
            if operand is None or len(self.shapes[target]) != 1 or len(shape_of(node.args[1], self.shapes)) != 1:
                rest.append(term)
                continue
            if all(self.kept[symbol] == FIXED for symbol in quantities(node.args[1])):
                rest.append(term)
                continue
            vector = self.as_symbol(node.args[1], scope, made)
            dots.append(Dot(scope, (target,), (operand,), (vector,), factor, False))
        return dots, rest

    def _fixed_matrix(self, node: Expr) -> Expr | None:
        if not isinstance(node, product):
            return None
        matrix = node.args[0]
        inner = matrix.args[0] if isinstance(matrix, transpose) else matrix
        fixed = isinstance(inner, Symbol) and self.kept[inner] == FIXED and len(self.shapes[inner]) == 2
        return matrix if fixed else None

    def _node(self, target: Symbol, node: Node, scope: str, made: list[Instruction]) -> None:
        if isinstance(node, total):
            argument = self.materialised(node.args[0], scope, made)
            made.append(Total(scope, target, shape_of(node.args[0], self.shapes), argument))
        elif isinstance(node, softmax):
            made.append(Softmax(scope, target, self.as_symbol(node.args[0], scope, made)))
        elif isinstance(node, cross_entropy):
            logits, given = node.args
            distribution = given if is_one_hot(given) else self.as_symbol(given, scope, made)
            made.append(CrossEntropy(scope, target, self.as_symbol(logits, scope, made), distribution))
        else:
            left, right = (self._as_operand(operand, scope, made) for operand in node.args)
            made.append(Contract(scope, target, left, right))

    def _as_operand(self, expr: Expr, scope: str, made: list[Instruction]) -> Expr:
        if isinstance(expr, transpose):
            return transpose(self.as_symbol(expr.args[0], scope, made))
        return self.as_symbol(expr, scope, made)

    def _fresh(self) -> Symbol:
        self.count += 1
        name = Symbol(f"p{self.count}")
        return name if name not in self.shapes else self._fresh()


def _past(dot: Dot) -> bool:
    return any(vector.name.endswith("_prev") for vector in dot.vectors)
