"""`ModelDerivation`: backpropagation through a whole model: through its layers, its blocks and over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, overload

import sympy
from sympy import Expr, Integer, Symbol
from sympy.core.function import AppliedUndef

from . import display
from .adjoint import delta, incoming
from .cell import Cell, previous
from .derivation import Derivation
from .derivation import derive as derive_cell
from .errors import Error
from .linear import lookup
from .model import Block, Model
from .model_text import LAST, ONCE, PARAM, STEP, Wire
from .notation import ATOM, Printer
from .program import Step
from .through_time import at_time
from .written import added, operands, renamed

if TYPE_CHECKING:
    from .proof import Proof


class _Timed(Printer):
    """Prints expressions with times: `h[t + 1]`."""

    def other(self, expr: Expr) -> tuple[str, int]:
        if isinstance(expr, AppliedUndef):
            return f"{expr.func.__name__}[{expr.args[0]}]", ATOM
        if isinstance(expr, AtStep):
            term, time, step = expr.args
            return f"({self.show(term)} where {time} == {step})", ATOM
        if isinstance(expr, sympy.Sum):
            variable, low, high = expr.limits[0]
            return f"sum({self.show(expr.function)} for {variable} = {low}..{high})", ATOM
        return super().other(expr)


class AtStep(sympy.Function):
    """`AtStep(expr, time, step)`: the expression where time = step, 0 at all other times."""


@dataclass(frozen=True)
class Clock:
    """How a block's quantities carry their time.

    Attributes:
        block: the block.
        fixed: what is the same at every step.
    """

    block: Block
    fixed: tuple[Symbol, ...]

    @property
    def first(self) -> Expr:
        """The step that runs first."""
        return self.block.axis if self.block.reverse else Integer(1)

    @property
    def last(self) -> Expr:
        """The step that runs last."""
        return Integer(1) if self.block.reverse else self.block.axis

    @property
    def before(self) -> Expr:
        """The step before the first, of which states have their first values."""
        return self.first + (1 if self.block.reverse else -1)

    def at(self, expr: Expr, time: Expr | None = None) -> Expr:
        """Write the time of each quantity: the block's own variable, or another time."""
        if self.block.variable is None:
            return expr
        past = 1 if self.block.reverse else -1
        return at_time(expr, self.fixed, self.block.variable if time is None else time, past)

    def next(self) -> Expr:
        """Return the step that runs after the block's own."""
        assert self.block.variable is not None
        return self.block.variable + (-1 if self.block.reverse else 1)

    def summed(self, expr: Expr) -> Expr:
        """Return the sum of a step's expression over all steps."""
        if expr == 0 or self.block.variable is None:
            return expr
        return sympy.Sum(self.at(expr), (self.block.variable, 1, self.block.axis))


@dataclass(frozen=True)
class ModelDerivation:
    """The derivation of a model.

    Attributes:
        model: what was derived.
        parts: the derivation of each block: its `backward` takes `incoming_<value>` for what its states and the values
            that other blocks read get from elsewhere, and gives `delta_<input>` for what it reads from elsewhere.
        layout: 'column' or 'row': how vectors stand in the programs.
        adjoint: 'delta', 'partial' or 'bar': how adjoints are printed.
        turned: matrices that stand for the transposes of those in columns.
    """

    model: Model
    parts: tuple[Derivation, ...]
    layout: str = "column"
    adjoint: str = "delta"
    turned: frozenset[str] = frozenset()

    _repr_html_ = display.html
    _repr_latex_ = display.latex

    def clock(self, number: int) -> Clock:
        """Return how the quantities of a block carry their time."""
        block, part = self.model.blocks[number], self.parts[number]
        still = [Symbol(name) for name, wire in block.wires.items() if wire.part != STEP]
        return Clock(block, (*part.fixed, *still))

    def arriving(self, value: str) -> Expr:
        """Return what a value's adjoint gets from elsewhere: from the next step, and from the blocks that read it.

        A term that is there at one step only is an `AtStep`.
        """
        number = self.model.home(value)
        clock = self.clock(number)
        terms = [self._through_wire(number, reader, name, wire) for reader, name, wire in self._readers(value)]
        if value in clock.block.cell.states:
            terms.append(clock.at(self._backward(number)[delta(previous(value))], clock.next()))
        for reader, state in self._started(value):
            term = self.sent_to_start(reader, state)
            terms.append(AtStep(term, clock.block.variable, clock.last) if clock.block.axis is not None else term)
        return added(*(part for term in terms for part in operands(sympy.Add, term)))

    @cached_property
    def adjoints(self) -> tuple[tuple[Step, ...], ...]:
        """The backward steps of each block, with the time of each quantity, and with every cross-layer and
        cross-time term written out; without the parameters' shares.
        """
        found = []
        for number, part in enumerate(self.parts):
            clock = self.clock(number)
            cell = part.cell
            left_out = {
                *map(delta, part.fixed),
                *map(delta, map(previous, cell.states)),
                *map(delta, map(Symbol, cell.inputs)),
            }
            seeds = {clock.at(incoming(Symbol(n))): self.arriving(n) for n in (*cell.states, *part.outputs)}
            steps = []
            for step in part.backward.steps:
                if step.target not in left_out:
                    expr = added(*operands(sympy.Add, renamed(clock.at(step.expr), seeds)))
                    steps.append(Step(step.target, expr, step.reasons))
            found.append(tuple(steps))
        return tuple(found)

    @cached_property
    def gradients(self) -> dict[str, Expr]:
        """The gradient of each parameter: a sum over blocks and steps.

        >>> from .model import load_model
        >>> derive(load_model("character_language_model")).gradients["W_y"]
        Sum(outer(delta_u(t), h(t)), (t, 1, T))
        """
        terms: dict[str, list[Expr]] = {name: [] for name in self.model.params}
        for number, part in enumerate(self.parts):
            clock = self.clock(number)
            sums = {name: clock.summed(share) for name, share in part.shares.items()}
            for name, gradient in part.collected(sums).items():
                terms[name].append(gradient)
            for state, wire in clock.block.starts.items():
                if wire is not None and wire.part == PARAM:
                    terms[wire.source].append(self.sent_to_start(number, state))
        return {name: added(*found) for name, found in terms.items()}

    @cached_property
    def inputs(self) -> dict[str, Expr]:
        """The gradient of each input: at a step, for an input with steps."""
        found: dict[str, Expr] = {}
        for name in self.model.inputs:
            terms = []
            for reader, wired, wire in self._readers(name):
                back = self._backward(reader)[delta(Symbol(wired))]
                clock = self.clock(reader)
                terms.append(clock.at(back) if wire.part == STEP else clock.summed(back))
            for reader, state in self._started(name):
                terms.append(self.sent_to_start(reader, state))
            found[name] = added(*terms)
        return found

    def is_read_elsewhere(self, value: str) -> bool:
        """Return whether another block reads a value, or starts from it."""
        return bool(self._readers(value) or self._started(value))

    def sent_to_start(self, number: int, state: str) -> Expr:
        """Return the adjoint of a state's first value."""
        clock = self.clock(number)
        return clock.at(self._backward(number)[delta(previous(state))], clock.first)

    @property
    def unreached(self) -> tuple[str, ...]:
        """The parameters on which the loss doesn't depend: their gradient is zero."""
        return tuple(name for name, gradient in self.gradients.items() if gradient == 0)

    def __str__(self) -> str:
        """The backward pass as text, and the gradients."""
        show, lines = _Timed().show, []
        for number in reversed(range(len(self.parts))):
            clock = self.clock(number)
            if clock.block.variable is not None:
                lines.append(f"for {clock.block.variable} from {clock.last} to {clock.first}:")
            indent = "    " * (clock.block.variable is not None)
            lines += [f"{indent}{show(clock.at(step.target))} = {show(step.expr)}" for step in self.adjoints[number]]
        return "\n".join([*lines, *(f"gradient of {name} = {show(e)}" for name, e in self.gradients.items())])

    def prove(self, progress: Callable[[str], None] = lambda name: None) -> Proof:
        """Prove every gradient against `sympy.diff` on the expanded loss; see `proof.prove`."""
        from .proof import prove

        return prove(self, progress)

    def _backward(self, number: int) -> dict[Symbol, Expr]:
        return {step.target: step.expr for step in self.parts[number].backward.steps}

    def _readers(self, value: str) -> list[tuple[int, str, Wire]]:
        """Return (number of a block, name there, wire) for each input of a block that is this value."""
        return [
            (number, name, wire)
            for number, block in enumerate(self.model.blocks)
            for name, wire in block.wires.items()
            if wire.source == value and wire.part != PARAM and name not in block.cell.indices
        ]

    def _started(self, value: str) -> list[tuple[int, str]]:
        """Return (number of a block, state) for each state that starts from this value."""
        return [
            (number, state)
            for number, block in enumerate(self.model.blocks)
            for state, wire in block.starts.items()
            if wire is not None and wire.source == value and wire.part != PARAM
        ]

    def _through_wire(self, number: int, reader: int, name: str, wire: Wire) -> Expr:
        """Return what comes back to a value of block `number` from the block that reads it as `name`."""
        back = self._backward(reader)[delta(Symbol(name))]
        clock, other = self.clock(number), self.clock(reader)
        if back == 0 or wire.part == ONCE:
            return other.summed(back)
        if wire.part == STEP:
            assert other.block.variable is not None and clock.block.variable is not None
            return other.at(back, clock.block.variable)
        total = other.summed(back)
        if wire.part == LAST:
            return AtStep(total, clock.block.variable, clock.last)
        return lookup(total, clock.block.variable)


@overload
def derive(source: Cell) -> Derivation: ...
@overload
def derive(source: Model) -> ModelDerivation: ...
def derive(source: Cell | Model) -> Derivation | ModelDerivation:
    """Derive backpropagation through time of a cell, or through a whole model.

    >>> from .model import load_model
    >>> derivation = derive(load_model("character_language_model"))
    >>> derivation.adjoints[0][0].target, derivation.adjoints[0][0].expr
    (delta_u, -scatter(1, y(t), V) + softmax(u(t)))
    """
    if isinstance(source, Cell):
        return derive_cell(source)
    if not isinstance(source, Model):
        raise Error(f"give a cell or a model, as bptt.load and bptt.load_model do, not {source!r:.80}")
    parts = tuple(derive_cell(block.cell, block.outputs, block.losses) for block in source.blocks)
    return ModelDerivation(source, parts)
