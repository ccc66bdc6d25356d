"""Layouts: programs of column vectors, rewritten for row vectors or for a batch whose rows are samples.

One table, `convention_rules.RULES`, says for each tensor map how it is written in each layout; elementwise algebra
stays as it is.

Row: a vector is a row, and a matrix stands in for its transpose where that leaves fewer transposes to be written
(`RowLayout.turned`), so that W h becomes h W. Batch: what changes from sample to sample is stacked, a sample a row, and
gains a dimension in front; parameters stay what they were, so that W h becomes H Wᵀ and a gradient, summed over
samples, Δᵀ H.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import sympy
from sympy import Expr, MatrixExpr, MatrixSymbol, Symbol
from sympy.core.function import AppliedUndef
from sympy.matrices.expressions import MatAdd, MatMul, Transpose

from .convention_rules import rule
from .errors import Error
from .interpret import Array
from .jacobian import Column, Diagonal
from .linear import (
    Node,
    Shape,
    Shapes,
    broadcast,
    ones,
    outer,
    product,
    shape_of,
    total,
    transpose,
    transposed,
)
from .program import Program, Step, quantities
from .sizes import dimension
from .written import added, multiplied, rebuilt

PREFIXES = ("delta_", "incoming_", "tangent_", "loss_")
LAYOUTS = ("column", "row", "batch")
BATCH_SIZES = ("B", "N", "S")  # the first that isn't a dimension of the cell already


class ColumnLayout:
    """Vectors are columns: every program stays as it is."""

    name = "column"

    def __init__(self, shapes: Shapes, fixed: Iterable[Symbol] = ()) -> None:
        self.columns = shapes  # in column form
        self.fixed = frozenset(symbol.name for symbol in fixed)

    def shape(self, symbol: Symbol) -> Shape:
        """Return the shape of a symbol's value in this layout."""
        return self.column_shape(symbol)

    def value(self, expr: Expr) -> Expr:
        """Return an expression in this layout."""
        return expr

    def assigned(self, target: Symbol, expr: Expr, share: bool = False) -> Expr:
        """Return the right side of `target = expr` in this layout; a `share` of a gradient adds up over samples."""
        return self.value(expr)

    def matrix(self, expr: MatrixExpr) -> MatrixExpr:
        """Return a Jacobian in this layout."""
        return expr

    def blocks(self, states: Sequence[str]) -> list[list[tuple[str, str]]]:
        """Return which (state at t, state at t−1) each block of a step's Jacobian speaks of, row by row."""
        return [[(after, before) for before in states] for after in states]

    def stored(self, symbol: Symbol, samples: Sequence[Array], summed: bool = False) -> Array:
        """Return an array of this layout from the arrays that the samples have in column form.

        Args:
            symbol: whose value it is.
            samples: one array for each sample; only a batch has several.
            summed: whether the value is a parameter's gradient, which adds up over the samples.
        """
        return samples[0]

    def program(self, program: Program) -> Program:
        """Return a program in this layout, with its reasons."""
        steps = tuple(self._step(step) for step in program.steps)
        return replace(program, steps=steps, shapes={s: self.shape(s) for s in program.shapes}).check()

    def _step(self, step: Step) -> Step:
        reasons = tuple(
            reason if reason.slope is None else replace(reason, slope=self.value(reason.slope))
            for reason in step.reasons
        )
        return Step(step.target, self.assigned(step.target, step.expr, True), reasons)

    def rank(self, expr: Expr) -> int:
        """Return how many dimensions a value has in column form."""
        return len(self.column_shape(expr))

    def column_shape(self, expr: Expr) -> Shape:
        """Return the shape of a value in column form; its quantities may be stamped with their time."""

        def bare(part: Expr) -> Expr | None:
            known = not isinstance(part, AppliedUndef | Symbol) or part.is_integer or part in self.columns
            return None if known else Symbol(self.base(part))

        return shape_of(rebuilt(expr, bare), self.columns)

    def base(self, quantity: Expr) -> str:
        """Return the name of the forward value that a symbol speaks of: h for delta_h, h_prev and h(t)."""
        name = quantity.name if isinstance(quantity, Symbol) else quantity.func.__name__
        for prefix in PREFIXES:
            if name.startswith(prefix) and (prefix != "loss_" or Symbol(name) not in self.columns):
                name = name.removeprefix(prefix)
        return name.removesuffix("_prev")


class RowLayout(ColumnLayout):
    """Vectors are rows.

    Args:
        shapes: of every symbol, in column form.
        fixed: symbols that are the same at every step.
        programs: in which few transposes should be written.
        kept: matrices that are never turned.

    Attributes:
        turned: names of matrices that stand for the transposes of those in column form.
    """

    name = "row"

    def __init__(
        self, shapes: Shapes, fixed: Iterable[Symbol], programs: Iterable[Program], kept: Iterable[str] = ()
    ) -> None:
        super().__init__(shapes, fixed)
        self.turned: frozenset[str] = frozenset()
        stays = set(kept)
        bases = dict.fromkeys(self.base(s) for s, shape in shapes.items() if len(shape) == 2)
        matrices = [name for name in bases if name not in stays]
        steps = [step for program in programs for step in program.steps]
        self.turned = frozenset(name for name in matrices if name in self.fixed)
        fewest = self._transposes(steps)
        for name in matrices * 2:
            before = self.turned
            self.turned = before ^ {name}
            if (count := self._transposes(steps)) < fewest:
                fewest = count
            else:
                self.turned = before

    def _transposes(self, steps: Iterable[Step]) -> int:
        return sum(_count(self.assigned(step.target, step.expr)) for step in steps)

    def shape(self, symbol: Symbol) -> Shape:
        shape = self.column_shape(symbol)
        return shape[::-1] if self.base(symbol) in self.turned else shape

    def value(self, expr: Expr) -> Expr:
        return self.oriented(expr, False)

    def assigned(self, target: Symbol, expr: Expr, share: bool = False) -> Expr:
        return self.oriented(expr, self.base(target) in self.turned)

    def blocks(self, states: Sequence[str]) -> list[list[tuple[str, str]]]:
        return [[(after, before) for after in states] for before in states]

    def stored(self, symbol: Symbol, samples: Sequence[Array], summed: bool = False) -> Array:
        return samples[0].T if self.base(symbol) in self.turned else samples[0]

    def oriented(self, expr: Expr, turn: bool) -> Expr:
        """Return an expression with its vectors as rows; a matrix as it is, or where `turn` its transpose."""
        if isinstance(expr, Symbol | AppliedUndef):
            return transpose(expr) if self.rank(expr) == 2 and (self.base(expr) in self.turned) != turn else expr
        if isinstance(expr, sympy.Sum):
            return sympy.Sum(self.oriented(expr.function, turn), *expr.limits)
        if isinstance(expr, Node):
            return rule(expr).row(expr, turn, self)
        return _rebuilt(expr, [self.oriented(operand, turn) for operand in expr.args])

    def either(self, expr: Expr) -> Expr:
        """Return an expression of which only the sum matters in the orientation with fewer transposes."""
        return min((self.oriented(expr, turn) for turn in (True, False)), key=_count)

    def matrix(self, expr: MatrixExpr) -> MatrixExpr:
        """Return the matrix that multiplies rows from the right: the transpose, in the matrices of this layout."""
        if isinstance(expr, sympy.BlockMatrix):
            rows, columns = expr.blockshape
            return sympy.BlockMatrix([[self.matrix(expr.blocks[r, c]) for r in range(rows)] for c in range(columns)])
        if isinstance(expr, MatAdd):
            return MatAdd(*map(self.matrix, expr.args), evaluate=False)
        if isinstance(expr, MatMul):
            number = [factor for factor in expr.args if not factor.is_Matrix]
            factors = [self.matrix(factor) for factor in reversed(expr.args) if factor.is_Matrix]
            return MatMul(*number, *factors, evaluate=False)
        if isinstance(expr, Diagonal):
            return Diagonal(self.value(expr.args[0]), expr.args[1])
        if isinstance(expr, Column):
            return Transpose(Column(self.value(expr.args[0]), expr.args[1]))
        if isinstance(expr, MatrixSymbol) and expr.name in self.turned:
            return MatrixSymbol(expr.name, *expr.shape[::-1])
        if isinstance(expr, Transpose):
            inner = expr.args[0]
            kept = isinstance(inner, MatrixSymbol) and inner.name in self.turned
            return Transpose(self.matrix(inner)) if kept else inner
        return expr if isinstance(expr, sympy.Identity) else Transpose(expr)


class BatchLayout(ColumnLayout):
    """A row for each of several samples.

    Attributes:
        size: how many samples.
    """

    name = "batch"

    def __init__(self, shapes: Shapes, fixed: Iterable[Symbol]) -> None:
        super().__init__(shapes, fixed)
        taken = {symbol.name for shape in shapes.values() for size in shape for symbol in size.atoms(Symbol)}
        self.size = dimension(next(name for name in BATCH_SIZES if name not in taken))

    def shape(self, symbol: Symbol) -> Shape:
        shape = self.column_shape(symbol)
        if self.base(symbol) in self.fixed:
            return shape
        if len(shape) == 2:
            raise self.refused(symbol)
        return (self.size, *shape)

    def stored(self, symbol: Symbol, samples: Sequence[Array], summed: bool = False) -> Array:
        if self.base(symbol) in self.fixed:
            return np.asarray(sum(samples[1:], samples[0])) if summed else samples[0]
        return np.stack(samples)

    def program(self, program: Program) -> Program:
        """Return a program in this layout; one that reads nothing of a sample, such as a prologue, stays as it is."""
        return super().program(program) if any(self.moves(symbol) for symbol in program.inputs) else program

    def assigned(self, target: Symbol, expr: Expr, share: bool = False) -> Expr:
        if self.base(target) in self.fixed:
            return self.summed(expr) if share else expr
        return self.spread(expr, self.column_shape(target))

    def refused(self, expr: Expr) -> Error:
        return Error(
            f"{expr} is a matrix that differs from sample to sample, and the batch layout uses its rows for samples: "
            "choose the layout column or row"
        )

    def moves(self, expr: Expr) -> bool:
        """Return whether an expression differs from sample to sample."""
        atoms = [*quantities(expr), *sorted(expr.atoms(AppliedUndef), key=str)]
        return any(self.base(atom) not in self.fixed for atom in atoms)

    def value(self, expr: Expr) -> Expr:
        """Return the values of all samples, stacked, or the one value of what doesn't differ between samples."""
        if not self.moves(expr):
            return expr
        if self.rank(expr) == 2:
            raise self.refused(expr)
        if isinstance(expr, Symbol | AppliedUndef):
            return expr
        if isinstance(expr, Node):
            return rule(expr).batch(expr, self)
        whole = self.column_shape(expr)
        operands = self._with_one_number(expr.args) if isinstance(expr, sympy.Mul) and whole else expr.args
        return _rebuilt(expr, [self.spread(o, whole) if self.moves(o) else o for o in operands])

    def _with_one_number(self, factors: tuple[Expr, ...]) -> tuple[Expr, ...]:
        """Join the factors that are a number for each sample, where the first of them stands."""
        numbers = [factor for factor in factors if self.moves(factor) and not self.rank(factor)]
        joined = multiplied(*numbers)
        return tuple(joined if f is numbers[0] else f for f in factors if f not in numbers[1:]) if numbers else factors

    def spread(self, expr: Expr, whole: Shape) -> Expr:
        """Return the stacked values of an expression, repeated until they have the shape of a whole."""
        if len(whole) == 2:
            raise self.refused(expr)
        shape = self.column_shape(expr)
        if not self.moves(expr):
            if shape:
                return outer(ones(self.size), expr)
            return broadcast(expr, self.size, *whole) if expr != 0 else expr
        stacked = self.value(expr)
        return outer(stacked, ones(*whole)) if whole and not shape else stacked

    def summed(self, expr: Expr) -> Expr:
        """Return the sum of an expression over all samples."""
        if expr == 0:
            return expr
        if not self.moves(expr):
            return multiplied(self.size, expr)
        if isinstance(expr, sympy.Add):
            return added(*map(self.summed, expr.args))
        if isinstance(expr, sympy.Mul):
            return self._summed_product(expr.args)
        if isinstance(expr, Node) and (found := rule(expr).summed(expr, self)) is not None:
            return found
        stacked = self.value(expr)
        return product(transposed(stacked), ones(self.size)) if self.rank(expr) else total(stacked)

    def _summed_product(self, factors: Sequence[Expr]) -> Expr:
        """Take what is the same for all samples out of the sum; let numbers multiply one factor of an outer product."""
        still = [factor for factor in factors if not self.moves(factor)]
        moving = [factor for factor in factors if self.moves(factor)]
        matrices = [factor for factor in moving if self.rank(factor) == 2]
        if len(matrices) > 1 or matrices and not isinstance(matrices[0], outer):
            raise self.refused(multiplied(*factors))
        if matrices:
            left, right = matrices[0].args
            numbers = [factor for factor in moving if factor is not matrices[0]]
            return multiplied(*still, self.summed(outer(multiplied(*numbers, left), right)))
        if len(moving) == 1:
            return multiplied(*still, self.summed(moving[0]))
        stacked = self.value(multiplied(*moving))
        shape = self.column_shape(multiplied(*moving))
        return multiplied(*still, product(transposed(stacked), ones(self.size)) if shape else total(stacked))


Layout = ColumnLayout | RowLayout | BatchLayout


def _count(expr: Expr) -> int:
    return sum(isinstance(part, transpose) for part in sympy.preorder_traversal(expr))


def _rebuilt(expr: Expr, operands: Iterable[Expr]) -> Expr:
    if not expr.args:
        return expr
    kept = isinstance(expr, sympy.Add | sympy.Mul | sympy.Pow)
    return expr.func(*operands, evaluate=False) if kept else expr.func(*operands)
