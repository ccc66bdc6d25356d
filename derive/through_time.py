"""Closed forms over time: quantities stamped with their time, products of Jacobians, gradients as sums, truncation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import sympy
from sympy import BlockMatrix, Expr, Function, Integer, MatrixExpr, MatrixSymbol, Symbol
from sympy.matrices.expressions import Identity

from .adjoint import adjoint_program, delta, incoming
from .errors import Error
from .jacobian import times
from .program import Program, forward_program, quantities
from .syntax import closest
from .tangent import tangent, tangent_program
from .written import added, multiplied, renamed

if TYPE_CHECKING:
    from .derivation import Derivation

TIME = Symbol("t", integer=True, positive=True)
LENGTH = Symbol("T", integer=True, positive=True)
# Unlike dimensions, which may have these names too, these aren't known to be positive.
BETWEEN = Symbol("j", integer=True)
ORIGIN = Symbol("k", integer=True)
LARGEST = 20_000

Limits = tuple[Symbol, Expr, Expr]


class At(MatrixExpr):
    """A matrix that isn't a parameter, such as an input, at a time."""

    def __new__(cls, matrix: MatrixExpr, time: Expr) -> At:
        return super().__new__(cls, matrix, time)

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.args[0].shape


class TimeProduct(MatrixExpr):
    """The product of a square matrix over time, the latest on the left; the identity where `first` > `last`.

    SymPy's own `Product` puts the earliest on the left, as for factors that commute.

    >>> h, n = Function("h"), Symbol("n", integer=True, positive=True)
    >>> product = TimeProduct(At(MatrixSymbol("J", n, n), BETWEEN), BETWEEN, Integer(2), Integer(4))
    >>> product.doit()
    At(J, 4)*At(J, 3)*At(J, 2)
    """

    def __new__(cls, factor: MatrixExpr, index: Symbol, first: Expr, last: Expr) -> TimeProduct:
        return super().__new__(cls, factor, index, first, last)

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.args[0].shape

    def doit(self, **hints: bool) -> MatrixExpr:
        """Write the factors out where both ends are numbers."""
        factor, index, first, last = self.args
        if not (first.is_Integer and last.is_Integer):
            return self
        factors = [factor.xreplace({index: Integer(time)}) for time in range(int(last), int(first) - 1, -1)]
        return reduce(times, factors, Identity(self.shape[0]))


@dataclass(frozen=True)
class GradientSum:
    """∂L/∂W = Σ_t Σ_k (∂L_t/∂s_t) (∏_{j=k+1}^{t} ∂s_j/∂s_{j−1}) (∂⁺s_k/∂W), or a part of that sum.

    ∂⁺s_k/∂W is the immediate partial: s_{k−1} and the inputs are held fixed, so that only step k's own use of W counts.
    It is a linear map, stated by what it does to a change `tangent_<W>` of the parameter, and by what its transpose
    does to a row vector over the states, whose pieces are called `incoming_<state>`. (Pascanu, R., Mikolov, T., Bengio,
    Y. (2013). On the difficulty of training recurrent neural networks. ICML 2013, equations 3 to 5.)

    Attributes:
        param: the parameter's name.
        states: which pieces, in order, the state s consists of.
        outer: (t, first, last).
        inner: (k, first, last).
        loss: ∂L_t/∂s_t, a row vector, by its piece for each state: `loss_<state>(t)`.
        product: ∏_{j=k+1}^{t} ∂s_j/∂s_{j−1}, a matrix with a block for each pair of states.
        immediate: (∂⁺s_k/∂W) `tangent_<W>`, for each state.
        transposed: the gradient that `incoming_<state>` gives through ∂⁺s_k/∂W.
    """

    param: str
    states: tuple[str, ...]
    outer: Limits
    inner: Limits
    loss: tuple[Expr, ...]
    product: TimeProduct
    immediate: tuple[Expr, ...]
    transposed: Expr

    def __str__(self) -> str:
        factor, index, first, last = self.product.args
        (t, start, end), (k, inner_start, inner_end) = self.outer, self.inner
        sums = f"Sum[{t} = {start}..{end}] Sum[{k} = {inner_start}..{inner_end}]"
        loss, immediate = ", ".join(map(str, self.loss)), ", ".join(map(str, self.immediate))
        return f"{sums} ({loss}) Product[{index} = {last}..{first}]({factor}) ({immediate})"


@dataclass(frozen=True)
class Truncation:
    """Truncated backpropagation through time: every `k1` steps an update that reaches `k2` steps back.

    The update at time τ, a multiple of `k1` or T, takes the losses of the steps t since the update before, each once,
    and of each loss the part that arises at the steps k ≥ τ − k2 + 1: `k2` steps of the cell are differentiated, the
    last of them being τ. So `k1` = 1 cuts the sum over k at t − k2 + 1, and `k1` = `k2` cuts the sequence into pieces.
    (BPTT(h; h′) with h = k2 and h′ = k1 in Williams, R. J., Peng, J. (1990). An efficient gradient-based algorithm for
    on-line training of recurrent network trajectories. Neural Computation 2, 490-501; k1 and k2 in Sutskever, I.
    (2013). Training recurrent neural networks. PhD thesis, University of Toronto.) Parameters are the same throughout.

    Attributes:
        k1, k2: numbers, or symbols.
        kept: what truncated backpropagation computes.
        dropped: what it leaves out: the full gradient is `kept` + `dropped`, and the bias is −`dropped`.
    """

    k1: Expr
    k2: Expr
    kept: GradientSum
    dropped: GradientSum


def at_time(expr: Expr, fixed: Iterable[Symbol], time: Expr = TIME, past: int = -1) -> Expr:
    """Write the time of each quantity: `h` becomes h(t) and `h_prev` becomes h(t + past); `fixed` ones stay.

    >>> at_time(Symbol("f") * Symbol("c_prev"), ())
    c(t - 1)*f(t)
    """

    def timed(symbol: Symbol) -> Expr:
        name, is_past = symbol.name.removesuffix("_prev"), symbol.name.endswith("_prev")
        return Function(name)(time + past if is_past else time)

    still = set(fixed)
    moving: dict[Expr, Expr] = {symbol: timed(symbol) for symbol in quantities(expr) if symbol not in still}
    matrices = sorted(expr.atoms(MatrixSymbol), key=str)
    moving |= {matrix: At(matrix, time) for matrix in matrices if Symbol(matrix.name) not in still}
    return renamed(expr, moving)


def sum_over_time(share: Expr, fixed: Iterable[Symbol]) -> Expr:
    """Return Σ_{t=1}^{T} of a step's share; symbols not in `fixed` become functions of t."""
    if share == 0:
        return share
    return sympy.Sum(at_time(share, fixed), (TIME, 1, LENGTH))


def state_product(derivation: Derivation, first: Expr = ORIGIN + 1, last: Expr = TIME) -> TimeProduct:
    """Return ∏_{j=first}^{last} ∂s_j/∂s_{j−1} over the full state s, each factor in the values of its own time.

    Raises:
        Error: where a matrix is on the way, as for `jacobian`.

    >>> from .cell import load
    >>> from .derivation import derive
    >>> state_product(derive(load("rnn")), Integer(1), Integer(2)).doit()
    Diagonal(1 - h(2)**2, n)*W_hh*Diagonal(1 - h(1)**2, n)*W_hh
    """
    states = tuple(derivation.cell.states)
    blocks = [[at_time(derivation.jacobian(a, b), derivation.fixed, BETWEEN) for b in states] for a in states]
    return TimeProduct(blocks[0][0] if len(states) == 1 else BlockMatrix(blocks), BETWEEN, first, last)


def unrolled(derivation: Derivation, param: str) -> GradientSum:
    """Return the gradient of a parameter as a sum over all pairs of times k ≤ t.

    Raises:
        Error: for a name that isn't a parameter's, or where a matrix is on the way, as for `jacobian`.

    >>> from .cell import load
    >>> from .derivation import derive
    >>> print(unrolled(derive(load("rnn")), "W_hh"))  # doctest: +NORMALIZE_WHITESPACE
    Sum[t = 1..T] Sum[k = 1..t] (loss_h(t)) Product[j = t..k + 1](Diagonal(1 - h(j)**2, n)*W_hh)
    ((1 - h(k)**2)*product(tangent_W_hh, h(k - 1)))
    """
    if param not in derivation.cell.params:
        raise Error(f"'{param}' is not a parameter. {closest(param, derivation.cell.params)}")
    states = tuple(derivation.cell.states)
    loss = tuple(Function(f"loss_{state}")(TIME) for state in states)
    outer, inner = (TIME, Integer(1), LENGTH), (ORIGIN, Integer(1), TIME)
    return GradientSum(param, states, outer, inner, loss, derivation.product, *_immediate(derivation, param))


def truncated(derivation: Derivation, param: str, k1: int | Expr, k2: int | Expr) -> Truncation:
    """Return what truncated backpropagation through time computes of a parameter's gradient, and what it drops.

    Args:
        k1: steps from one update to the next.
        k2: steps that an update reaches back, at least `k1`.

    Raises:
        Error: as `unrolled`, and for numbers that aren't whole with 1 ≤ k1 ≤ k2.

    >>> from .cell import load
    >>> from .derivation import derive
    >>> truncation = truncated(derive(load("rnn")), "W_hh", 1, 5)
    >>> truncation.kept.inner, truncation.dropped.inner
    ((k, Max(1, t - 4), t), (k, 1, t - 5))
    """
    every, back = sympy.sympify(k1), sympy.sympify(k2)
    whole = all(number.is_Integer for number in (every, back) if number.is_number)
    if not whole or sympy.Lt(every, 1) is sympy.true or sympy.Gt(every, back) is sympy.true:
        raise Error(f"truncation takes whole numbers with 1 <= k1 <= k2, here k1 = {k1} and k2 = {k2}")
    full = derivation.unrolled(param)
    end = TIME if every == 1 else sympy.Min(LENGTH, every * sympy.ceiling(TIME / every))
    kept = replace(full, inner=(ORIGIN, sympy.Max(1, end - back + 1), TIME))
    return Truncation(every, back, kept, replace(full, inner=(ORIGIN, Integer(1), end - back)))


def _immediate(derivation: Derivation, param: str) -> tuple[tuple[Expr, ...], Expr]:
    """Return ∂⁺s_k/∂W as what it does to a change of W, and its transpose as what it does to a row vector."""
    source, states = Symbol(param), tuple(map(Symbol, derivation.cell.states))
    program = forward_program(derivation.cell)
    forwards = _inlined(tangent_program(program, [source]))
    backwards = _inlined(adjoint_program(program, states, [source]))
    still = (*derivation.fixed, tangent(source), *map(incoming, states))
    changes = tuple(at_time(forwards[tangent(state)], still, ORIGIN) for state in states)
    return changes, at_time(backwards[delta(source)], still, ORIGIN)


def _inlined(program: Program) -> dict[Symbol, Expr]:
    """Return each value of a program in terms of the program's inputs alone."""
    found: dict[Symbol, Expr] = {}
    lengths: dict[Symbol, int] = {}
    for step in program.steps:
        lengths[step.target] = sum(lengths.get(part, 1) for part in sympy.preorder_traversal(step.expr))
        if lengths[step.target] > LARGEST:
            raise Error(
                f"{step.target} is too long to be written out in one expression; the derivation's steps give it"
            )
        found[step.target] = _substituted(step.expr, found)
    return found


def _substituted(expr: Expr, values: Mapping[Symbol, Expr]) -> Expr:
    if expr in values or not expr.args:
        return values.get(expr, expr)
    args = [_substituted(operand, values) for operand in expr.args]
    if isinstance(expr, sympy.Add | sympy.Mul):
        return added(*args) if isinstance(expr, sympy.Add) else multiplied(*args)
    return expr.func(*args, evaluate=False) if isinstance(expr, sympy.Pow) else expr.func(*args)
