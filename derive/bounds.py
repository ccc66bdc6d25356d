"""Upper bounds on how much one step can stretch a gradient: ‖∂s_t/∂s_{t−1}‖₂ of any cell, in its weights' norms.

A block of the Jacobian is a sum of products of matrices (see `jacobian`). Its norm is at most the sum of the products
of their norms: σ_max(W) for a weight, the largest |entry| for a diagonal matrix. An entry is bounded by the functions'
Lipschitz constants and images, and by the triangle inequality; what isn't bounded stays, as `max_abs`. (Pascanu, R.,
Mikolov, T., Bengio, Y. (2013). On the difficulty of training recurrent neural networks. ICML 2013, section 2.1.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import sympy
from sympy import Expr, ImmutableMatrix, Integer, MatrixExpr, MatrixSymbol, Rational, Symbol, oo
from sympy.logic.boolalg import Boolean
from sympy.matrices.expressions import Identity, MatAdd, MatMul, Transpose

from .cell import previous
from .functions import Elementwise
from .intervals import Interval, Intervals
from .jacobian import Column, Diagonal, Rows, is_softmax_jacobian, jacobians
from .paths import words
from .program import Program
from .slopes import known_values
from .written import canonical, rebuilt, renamed

if TYPE_CHECKING:
    from .derivation import Derivation

ROUNDING = 1e-12  # of a norm near 1
SOFTMAX = Rational(1, 2)  # the norm of diag(y) − y yᵀ is at most 2 max y (1 − y), by Gershgorin's circles


class sigma_max(sympy.Function):
    """The largest singular value: of a matrix given by its name, or of a matrix of bounds."""

    is_commutative = True
    is_nonnegative = True


class max_abs(sympy.Function):
    """The largest absolute value of the entries of an elementwise expression."""

    is_nonnegative = True


class Slope(sympy.Function):
    """The slope of a function by its argument number `args[1]`, where its value is `args[0]`: kept as it is."""


@dataclass(frozen=True)
class Bounds:
    """Upper bounds on one step's Jacobian in the spectral norm.

    They hold for all inputs, states and parameters. They are expressions in `sigma_max(W)`, in `max_abs(v)`, the
    largest |entry| at that time of what has no known range, and in dimensions.

    Attributes:
        blocks: (value, state) -> bound on ‖∂value_t/∂state_{t−1}‖.
        state: bound on ‖∂s_t/∂s_{t−1}‖ of the full state: the norm of the matrix of the blocks' bounds.
        direct: state -> the norm, exactly, of what no matrix mixes in the state's own block (`Derivation.direct`).
        vanishing: the condition under which `state` is below 1, so that gradients vanish at least geometrically:
            the norm of the product over t − k steps is at most `state`**(t − k). False where no weights meet it.
    """

    blocks: Mapping[tuple[str, str], Expr]
    state: Expr
    direct: Mapping[str, Expr]
    vanishing: Boolean


def bounds(derivation: Derivation) -> Bounds:
    """Bound the Jacobian of one step.

    Raises:
        Error: where a matrix is on the way, as for `jacobian`.

    >>> from .cell import load
    >>> from .derivation import derive
    >>> found = bounds(derive(load("rnn")))
    >>> found.state, found.vanishing
    (sigma_max(W_hh), sigma_max(W_hh) < 1)
    >>> bounds(derive(load("lstm"))).direct["c"]
    max_abs(f)
    """
    states = tuple(derivation.cell.states)
    limits = _Limits(derivation.forward)
    columns = {b: jacobians(limits.program, previous(b)) for b in states}
    blocks = {(a, b): limits.block(columns[b](Symbol(a))) for a in states for b in states}
    whole = ImmutableMatrix([[blocks[a, b] for b in states] for a in states])
    state = whole[0, 0] if len(states) == 1 else sigma_max(whole)
    direct = {name: sympy.Add(*map(_largest, words(derivation.direct(name)))) for name in states}
    return Bounds(blocks, state, direct, _vanishing(state, whole))


def _vanishing(state: Expr, whole: ImmutableMatrix) -> Boolean:
    """Return the condition `state` < 1, with a numeric factor moved to the other side; false where nothing meets it."""
    if np.linalg.norm(np.array(whole.applyfunc(_least), dtype=float), 2) > 1 - ROUNDING:
        return sympy.false
    coefficient, rest = state.as_coeff_Mul()
    return sympy.Lt(state, 1) if state.is_number else sympy.Lt(rest, 1 / coefficient)


def _least(bound: Expr) -> Expr:
    """Return a bound where every weight and every value is zero and every size is 1: it grows with each of them."""

    def least(part: Expr) -> Expr | None:
        return Integer(0) if isinstance(part, sigma_max | max_abs) else Integer(1) if isinstance(part, Symbol) else None

    return canonical(rebuilt(bound, least))


def _largest(diagonal: MatrixExpr) -> Expr:
    slope = canonical(diagonal.args[0]) if isinstance(diagonal, Diagonal) else Integer(1)
    return abs(slope) if slope.is_number else max_abs(slope)


class _Limits:
    """Bounds the entries and matrices of one program, in which slopes of functions are kept as `Slope`."""

    def __init__(self, program: Program) -> None:
        self.held: dict[type[Elementwise], type[Elementwise]] = {}
        self.originals: dict[type[Elementwise], type[Elementwise]] = {}
        steps = tuple(replace(step, expr=self._hold(step.expr)) for step in program.steps)
        self.program = replace(program, steps=steps)
        self.values = {step.target: step.expr for step in steps}
        self.names = known_values(program)
        self.magnitudes: dict[Expr, Expr] = {}
        self.slopes: dict[Slope, Interval] = {}
        self.intervals = Intervals(self.program, self._slope_interval)

    def block(self, jacobian: MatrixExpr) -> Expr:
        """Return a bound on the norm of a Jacobian block."""
        return sympy.Add(*map(self.norm, words(jacobian)))

    def norm(self, matrix: MatrixExpr) -> Expr:
        """Return a bound on the spectral norm of a matrix."""
        match matrix:
            case Diagonal():
                return self.magnitude(matrix.args[0])
            case Column():
                return sympy.sqrt(matrix.args[1]) * self.magnitude(matrix.args[0])
            case Identity() | Rows():
                return Integer(1)
            case MatrixSymbol():
                return sigma_max(Symbol(matrix.name))
            case Transpose():
                return self.norm(matrix.args[0])
            case MatAdd():
                return SOFTMAX if is_softmax_jacobian(matrix) else sympy.Add(*map(self.norm, matrix.args))
            case MatMul():
                return sympy.Mul(*map(self.norm, matrix.args))
        return abs(matrix)

    def magnitude(self, expr: Expr) -> Expr:
        """Return a bound on |entry| of an elementwise expression."""
        if expr not in self.magnitudes:
            self.magnitudes[expr] = self._magnitude(expr)
        return self.magnitudes[expr]

    def _magnitude(self, expr: Expr) -> Expr:
        low, high = self.intervals.of(expr)
        if low > -oo and high < oo:
            return max(abs(low), abs(high))
        if isinstance(expr, sympy.Add):
            return sympy.Add(*map(self.magnitude, expr.args))
        if isinstance(expr, sympy.Mul):
            return sympy.Mul(*map(self.magnitude, expr.args))
        if isinstance(expr, sympy.Pow) and expr.exp > 0:
            return self.magnitude(expr.base) ** expr.exp
        if isinstance(expr, Slope):
            return self.magnitude(self._stated(expr)[0])
        return max_abs(self._shown(expr))

    def _slope_interval(self, expr: Expr) -> Interval | None:
        if not isinstance(expr, Slope):
            return None
        if expr not in self.slopes:
            slope, lipschitz = self._stated(expr)
            low, high = self.intervals.of(slope)
            self.slopes[expr] = (low, high) if lipschitz is None else (max(low, -lipschitz), min(high, lipschitz))
        return self.slopes[expr]

    def _stated(self, slope: Slope) -> tuple[Expr, Expr | None]:
        """Return what the table says of a slope: its expression, and its bound where there is one."""
        value, index = slope.args
        function = self.values.get(value, value)
        rule = self.originals[function.func].rule
        return sympy.sympify(rule.slopes[int(index)](*function.args, value)), rule.lipschitz

    def _hold(self, expr: Expr) -> Expr:
        """Return the expression with functions whose slopes stay `Slope` when they are differentiated."""

        def change(part: Expr) -> Expr | None:
            return self._held(part.func)(*map(self._hold, part.args)) if isinstance(part, Elementwise) else None

        return rebuilt(expr, change)

    def _held(self, function: type[Elementwise]) -> type[Elementwise]:
        if function not in self.held:
            slopes = tuple(_kept(slope, index) for index, slope in enumerate(function.rule.slopes))
            rule = replace(function.rule, slopes=slopes)
            held = type(function.__name__, (Elementwise,), {"rule": rule, "nargs": len(slopes)})
            self.held[function], self.originals[held] = held, function
        return self.held[function]

    def _shown(self, expr: Expr) -> Expr:
        """Return the expression in the cell's own functions and names."""

        def change(part: Expr) -> Expr | None:
            original = self.originals.get(part.func)
            return None if original is None else original(*map(self._shown, part.args))

        return canonical(renamed(rebuilt(expr, change), self.names))


def _kept(slope: Callable[..., Expr | int], index: int) -> Callable[..., Expr]:
    """Return a slope that stays `Slope` where it isn't a number."""

    def held(*args: Expr) -> Expr:
        stated = sympy.sympify(slope(*args))
        return stated if stated.is_number else Slope(args[-1], index)

    return held
