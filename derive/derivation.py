"""`Derivation`: everything that follows from a cell's equations, as lists of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING

import sympy
from sympy import Expr, Function, MatrixExpr, Symbol

from . import display
from .adjoint import adjoint_program, delta, incoming
from .cell import Cell, previous
from .errors import Error, expect
from .jacobian import jacobians
from .linear import without_zeros
from .paths import Path, paths, unmixed
from .program import Program, Step, depending, forward_program, split
from .syntax import closest
from .tangent import tangent_program
from .through_time import LENGTH as LENGTH
from .through_time import (
    TIME,
    GradientSum,
    TimeProduct,
    Truncation,
    at_time,
    state_product,
    sum_over_time,
    truncated,
    unrolled,
)
from .written import added, operands, renamed

if TYPE_CHECKING:
    from .proof import Proof


@dataclass(frozen=True)
class Derivation:
    """The derivation of a cell.

    Attributes:
        cell: what was derived.
        prologue: forward steps that depend on parameters alone: run once.
        forward: one step in time; reads x_t, s_{t−1} and the parameters.
        backward: one step back in time. Reads the forward values and, for every state s, `incoming_s`: ∂L_t/∂s_t
            plus what step t+1 sent back. Gives `delta_<state>_prev`, `delta_<input>`, and this step's share of the
            gradient of each parameter, `delta_<param>`.
        epilogue: turns the gradients of the prologue's values, `incoming_<value>`, into gradients of parameters.
        outputs: further values that something outside the cell reads: `backward` takes `incoming_<output>` for them.
        losses: numbers of the cell that are terms of the loss themselves.
    """

    cell: Cell
    prologue: Program
    forward: Program
    backward: Program
    epilogue: Program
    outputs: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    _repr_html_ = display.html
    _repr_latex_ = display.latex

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in the order in which they are carried out."""
        programs = (self.prologue, self.forward, self.backward, self.epilogue)
        return tuple(step for program in programs for step in program.steps)

    @property
    def adjoints(self) -> list[tuple[Symbol, Expr]]:
        """Ordered (symbol, expression) pairs of one backward step, without the parameters' shares.

        >>> from .cell import load
        >>> for symbol, expr in derive(load("rnn")).adjoints: print(symbol, "=", expr)
        delta_h = incoming_h
        delta_a_h = delta_h*(1 - h**2)
        delta_h_prev = product(transpose(W_hh), delta_a_h)
        delta_x = product(transpose(W_xh), delta_a_h)
        """
        shares = {delta(symbol) for symbol in self.fixed}
        return [(step.target, step.expr) for step in self.backward.steps if step.target not in shares]

    @cached_property
    def tangent(self) -> Program:
        """One step forward in time of a change of the states and inputs, `tangent_<name>`; parameters stay."""
        return tangent_program(self.forward, (*map(previous, self.cell.states), *map(Symbol, self.cell.inputs)))

    @property
    def tangents(self) -> list[tuple[Symbol, Expr]]:
        """Ordered (symbol, expression) pairs of one step of the tangents.

        >>> from .cell import load
        >>> for symbol, expr in derive(load("rnn")).tangents: print(symbol, "=", expr)
        tangent_a_h = product(W_hh, tangent_h_prev) + product(W_xh, tangent_x)
        tangent_h = tangent_a_h*(1 - h**2)
        """
        return [(step.target, step.expr) for step in self.tangent.steps]

    @property
    def fixed(self) -> tuple[Symbol, ...]:
        """What is the same at every time: the parameters and the prologue's values."""
        return (*map(Symbol, self.cell.params), *self.prologue.outputs)

    @property
    def returned(self) -> tuple[Symbol, ...]:
        """The prologue's values that parameters decide: the epilogue reads `incoming_<value>` of each."""
        return depending(self.prologue, map(Symbol, self.cell.params))

    @property
    def idle(self) -> tuple[Symbol, ...]:
        """The prologue's values that no parameter decides: nobody needs their adjoints."""
        return tuple(value for value in self.prologue.outputs if value not in self.returned)

    @cached_property
    def shares(self) -> dict[str, Expr]:
        """One step's share of the gradient of each parameter, and of each value of the prologue."""
        at = {step.target: step.expr for step in self.backward.steps}
        return {symbol.name: at[delta(symbol)] for symbol in self.fixed}

    def prove(self, progress: Callable[[str], None] = lambda name: None) -> Proof:
        """Prove every gradient against `sympy.diff` on the expanded loss; see `proof.prove`."""
        from .proof import prove

        return prove(self, progress)

    def jacobian(self, value: str, state: str) -> MatrixExpr:
        """Return ∂value_t/∂state_{t−1} as a SymPy matrix expression in one step's values.

        Raises:
            Error: for a name that isn't one of the cell's, or where a matrix-valued quantity is on the way.

        >>> from .cell import load
        >>> derive(load("lstm")).jacobian("c", "c")
        Diagonal(f, n)
        """
        symbol, source = self._between(value, state)
        return self._carried(source)(symbol)

    @cached_property
    def _carried(self) -> Callable[[Symbol], Callable[[Symbol], MatrixExpr]]:
        """For each state before, what gives the Jacobian blocks of all values by it."""
        return cache(lambda source: jacobians(self.forward, source))

    def paths(self, value: str, state: str) -> list[Path]:
        """Return ∂value_t/∂state_{t−1} split into paths: the names passed by each, and its part of the block.

        Raises:
            Error: as `jacobian`, or where there are more than 1000 paths.

        >>> from .cell import load
        >>> derive(load("lstm")).paths("h", "c")
        [(('c_prev', 'c', 'h'), Diagonal(f*o*(1 - tanh(c)**2), n))]
        """
        return paths(self.forward, *self._between(value, state))

    def direct(self, state: str) -> MatrixExpr:
        """Return the part of ∂state_t/∂state_{t−1} that no matrix mixes: what remains along the state alone.

        Raises:
            Error: as `jacobian`.

        >>> from .cell import load
        >>> derive(load("lstm")).direct("c"), derive(load("rnn")).direct("h")
        (Diagonal(f, n), 0)
        """
        return unmixed(self.jacobian(state, state))

    def _between(self, value: str, state: str) -> tuple[Symbol, Symbol]:
        for name in (value, state):
            expect("the name of a value", name, str)
        if state not in self.cell.states:
            raise Error(f"'{state}' is not a state. States: {', '.join(self.cell.states)}.")
        if Symbol(value) not in self.forward.shapes:
            raise Error(f"the cell has no value called '{value}'. {closest(value, map(str, self.cell.shapes))}")
        return Symbol(value), previous(state)

    @cached_property
    def product(self) -> TimeProduct:
        """∂s_t/∂s_k over the full state s, as a product over time; see `through_time.state_product`.

        >>> from .cell import load
        >>> derive(load("rnn")).product
        TimeProduct(Diagonal(1 - h(j)**2, n)*W_hh, j, k + 1, t)
        """
        return state_product(self)

    def unrolled(self, param: str) -> GradientSum:
        """Return the gradient of a parameter as a sum over all pairs of times; see `through_time.unrolled`."""
        return self._unrolled(param)

    @cached_property
    def _unrolled(self) -> Callable[[str], GradientSum]:
        return cache(lambda param: unrolled(self, param))

    def truncated(self, param: str, k1: int | Expr, k2: int | Expr) -> Truncation:
        """Return what truncated backpropagation keeps of a gradient, and drops; see `through_time.truncated`."""
        return truncated(self, param, k1, k2)

    @property
    def recursion(self) -> dict[str, Expr]:
        """The total adjoint of each state at t, with what step t+1 sends back written out.

        `loss_h(t)` stands for ∂L_t/∂h_t, the direct influence of the state on the loss of its own step.

        >>> from .cell import load
        >>> derive(load("rnn")).recursion["h"]
        loss_h(t) + product(transpose(W_hh), delta_a_h(t + 1))
        """
        at = {step.target: step.expr for step in self.backward.steps}
        found = {}
        for name in self.cell.states:
            back = at_time(at[delta(previous(name))], self.fixed, TIME + 1)
            outside = added(Function(f"loss_{name}")(TIME), back)
            total = renamed(at_time(at[delta(Symbol(name))], self.fixed), {Function(f"incoming_{name}")(TIME): outside})
            found[name] = added(*operands(sympy.Add, total))
        return found

    @cached_property
    def gradients(self) -> dict[str, Expr]:
        """The gradient of each parameter, summed over time: quantities are functions of t, parameters are not.

        >>> from .cell import load
        >>> derive(load("rnn")).gradients["W_hh"]
        Sum(outer(delta_a_h(t), h(t - 1)), (t, 1, T))
        """
        return self.collected({name: sum_over_time(share, self.fixed) for name, share in self.shares.items()})

    def collected(self, sums: Mapping[str, Expr]) -> dict[str, Expr]:
        """Return the gradient of each parameter from sums of the shares: the epilogue carries back the prologue's."""
        last = {step.target: step.expr for step in self.epilogue.steps}
        names: dict[Expr, Expr] = {incoming(value): sums[value.name] for value in self.prologue.outputs}
        for step in self.epilogue.steps:
            names[step.target] = without_zeros(renamed(step.expr, names))
        once = {name: names[delta(Symbol(name))] for name in self.cell.params if delta(Symbol(name)) in last}
        return {name: added(sums[name], once.get(name, sympy.Integer(0))) for name in self.cell.params}


def derive(cell: Cell, outputs: Iterable[str] = (), losses: Iterable[str] = ()) -> Derivation:
    """Derive the backward pass of a cell through time.

    Args:
        cell: the equations.
        outputs: values beside the states that something outside reads, and so has a gradient for.
        losses: values that are terms of the loss themselves.

    Raises:
        Error: for an output or a loss that the cell doesn't compute.

    >>> from .cell import load
    >>> len(derive(load("lstm")).backward.steps)
    25
    """
    params = tuple(map(Symbol, cell.params))
    outputs, losses = tuple(name for name in dict.fromkeys(outputs) if name not in cell.states), tuple(losses)
    program = forward_program(cell)
    computed = [step.target.name for step in program.steps]
    for name in (*outputs, *losses):
        if name not in computed:
            raise Error(f"'{name}' is not a value that the cell computes. {closest(name, computed)}")
    read = (*program.outputs, *map(Symbol, (*outputs, *losses)))
    prologue, forward = split(replace(program, outputs=read), params)
    wanted = (*map(previous, cell.states), *map(Symbol, cell.inputs), *params, *prologue.outputs)
    backward = adjoint_program(forward, map(Symbol, (*cell.states, *outputs)), wanted, map(Symbol, losses))
    once = {symbol for step in prologue.steps for symbol in step.reads}
    decided = depending(prologue, params)
    epilogue = adjoint_program(prologue, decided, [symbol for symbol in params if symbol in once])
    return Derivation(cell, prologue, forward, backward, epilogue, outputs, losses)
