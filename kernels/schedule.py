"""Derivation -> `Schedule`: which instruction runs when, and where each value is kept.

What does not depend on the state leaves the time loop: products with inputs become one matrix product over T·B before
it, and the gradients of inputs and weights one over T·B after it. What is left is fused into loops over entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import sympy
from sympy import Expr, Symbol

from ..derive.adjoint import delta, incoming
from ..derive.cell import previous
from ..derive.derivation import Derivation
from ..derive.functions import Elementwise
from ..derive.linear import Node, Shape, outer, product, shape_of, softmax, total, transpose
from ..derive.program import Program, Step, quantities
from ..derive.written import operands, rebuilt

ONCE, ALL, STEP = "once", "all", "step"  # no sample axis; all steps at once; one step
FIXED, TIME, BATCH = "fixed", "time", "batch"  # kept as (*shape), (T, B, *shape), (B, *shape)


@dataclass(frozen=True)
class Statement:
    """`target = expr` (or `+=`) for one entry."""

    target: Symbol
    expr: Expr
    accumulate: bool = False


@dataclass(frozen=True)
class Loop:
    """Statements over all entries of one shape."""

    scope: str
    shape: Shape
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Dot:
    """target = right @ matrixᵀ over the batch: a fixed matrix times each sample's vector."""

    scope: str
    target: Symbol
    matrix: Expr
    vector: Symbol


@dataclass(frozen=True)
class Contract:
    """target = left @ right, sample by sample."""

    scope: str
    target: Symbol
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Total:
    """target = the sum of an expression's entries."""

    scope: str
    target: Symbol
    shape: Shape
    expr: Expr


@dataclass(frozen=True)
class Softmax:
    """target = softmax of a vector."""

    scope: str
    target: Symbol
    vector: Symbol


@dataclass(frozen=True)
class OuterSum:
    """target += Σ over steps and samples of left rightᵀ: one matrix product over T·B."""

    scope: str
    target: Symbol
    left: Symbol
    right: Symbol


Instruction = Loop | Dot | Contract | Total | Softmax | OuterSum


@dataclass(frozen=True)
class Schedule:
    """What a kernel does, in order.

    Attributes:
        derivation: from which it was made.
        prologue, before, forward, backward, after, epilogue: instructions run once on parameters; on all steps before
            the time loop; at each step; at each step back; on all steps after the loop; once on summed gradients.
        kept: symbol -> FIXED, TIME or BATCH.
        shapes: symbol -> shape in named dimensions.
    """

    derivation: Derivation
    prologue: tuple[Instruction, ...]
    before: tuple[Instruction, ...]
    forward: tuple[Instruction, ...]
    backward: tuple[Instruction, ...]
    after: tuple[Instruction, ...]
    epilogue: tuple[Instruction, ...]
    kept: dict[Symbol, str] = field(repr=False)
    shapes: dict[Symbol, Shape] = field(repr=False)


def loss(state: str) -> Symbol:
    """Return the symbol of the gradient that a caller gives for a state after each step.

    It is not the plain symbol of this name, which a state called `loss_...` may have.
    """
    return Symbol(f"incoming_loss_{state}", real=True)


def schedule(derivation: Derivation) -> Schedule:
    """Arrange the programs of a derivation for fast kernels.

    >>> from ..derive import load, derive
    >>> [type(instruction).__name__ for instruction in schedule(derive(load("rnn"))).forward]
    ['Dot', 'Loop']
    """
    cell = derivation.cell
    plan = _Plan(derivation)
    fixed = (*map(Symbol, cell.params), *derivation.prologue.outputs)
    plan.keep(fixed, FIXED)
    plan.keep([*map(Symbol, cell.inputs), *map(previous, cell.states), *map(loss, cell.states)], TIME)
    prologue = plan.lower(derivation.prologue.steps, ONCE, FIXED)

    inputs_only, stateful = _apart(derivation.forward, {*fixed, *map(Symbol, cell.inputs)})
    before = plan.lower(inputs_only, ALL, TIME)
    hoisted, forward = plan.hoisted(plan.lower(stateful, STEP, TIME))

    steps = derivation.backward.steps
    carried = _needed(steps, {delta(previous(name)) for name in cell.states})
    looped = [step for step in steps if step.target in carried]
    shared = {delta(symbol) for symbol in fixed}
    rest = [step for step in steps if step.target not in carried and step.target not in shared]
    shares = [step for step in steps if step.target in shared]
    later = {symbol for step in (*rest, *shares) for symbol in step.reads}
    plan.keep(map(incoming, map(Symbol, cell.states)), TIME)
    plan.keep([step.target for step in looped if step.target in later], TIME)
    receive = [Step(incoming(Symbol(n)), loss(n) + delta(previous(n)), ()) for n in cell.states]
    plan.keep([delta(previous(n)) for n in cell.states], BATCH)
    backward = plan.lower([*receive, *looped], STEP, BATCH)
    plan.keep([delta(symbol) for symbol in fixed], FIXED)
    after = (*plan.lower(rest, ALL, TIME), *plan.sum_up(shares))
    plan.keep(map(incoming, derivation.prologue.outputs), FIXED)
    epilogue = plan.lower(derivation.epilogue.steps, ONCE, FIXED, apart=True)
    return Schedule(
        derivation, prologue, (*before, *hoisted), forward, backward, after, epilogue, plan.kept, plan.shapes
    )


def once(symbol: Symbol) -> Symbol:
    """Return the epilogue's own symbol for an adjoint, so that it doesn't clash with the sum over time.

    It is not the plain symbol of this name, which a parameter called `..._once` may have.
    """
    return Symbol(f"{symbol}_once", real=True)


def _apart(program: Program, known: set[Symbol]) -> tuple[list[Step], list[Step]]:
    """Split steps into those that read nothing but `known` and each other, and the rest."""
    free, bound = [], []
    for step in program.steps:
        if step.reads <= known and step.target not in program.outputs:
            known = known | {step.target}
            free.append(step)
        else:
            bound.append(step)
    return free, bound


def _needed(steps: Iterable[Step], wanted: set[Symbol]) -> set[Symbol]:
    """Return the targets on which `wanted` depend, with `wanted`."""
    needed = set(wanted)
    for step in reversed(list(steps)):
        if step.target in needed:
            needed |= step.reads
    return needed


class _Plan:
    """Lowers steps to instructions, and remembers where values are kept."""

    def __init__(self, derivation: Derivation) -> None:
        programs = (derivation.prologue, derivation.forward, derivation.backward, derivation.epilogue)
        self.shapes: dict[Symbol, Shape] = {}
        for program in programs:
            self.shapes |= program.shapes
        for name in derivation.cell.states:
            self.shapes[loss(name)] = self.shapes[Symbol(name)]
        self.kept: dict[Symbol, str] = {}
        self.count = 0

    def keep(self, symbols: Iterable[Symbol], where: str) -> None:
        for symbol in symbols:
            self.kept[symbol] = where

    def lower(self, steps: Iterable[Step], scope: str, where: str, apart: bool = False) -> tuple[Instruction, ...]:
        """Lower steps to instructions; targets that have no place yet are kept at `where`.

        With `apart`, targets have the symbols that `once` gives.
        """
        made: list[Instruction] = []
        for step in steps:
            target = once(step.target) if apart else step.target
            self.shapes[target] = self.shapes[step.target]
            self.kept.setdefault(target, where)
            expr = rebuilt(step.expr, lambda e: once(e) if once(e) in self.kept else None) if apart else step.expr
            self._assign(target, expr, scope, made)
        return _fused(made)

    def hoisted(self, instructions: tuple[Instruction, ...]) -> tuple[tuple[Instruction, ...], tuple[Instruction, ...]]:
        """Move products whose vector is there before the loop out of it."""
        out, stay = [], []
        written = {target for instruction in instructions for target in targets(instruction)}
        for instruction in instructions:
            if isinstance(instruction, Dot) and instruction.vector not in written and not _is_past(instruction.vector):
                self.kept[instruction.target] = TIME
                out.append(Dot(ALL, instruction.target, instruction.matrix, instruction.vector))
            else:
                stay.append(instruction)
        return tuple(out), _fused(stay)

    def sum_up(self, steps: Iterable[Step]) -> tuple[Instruction, ...]:
        """Lower shares of gradients: each is summed over steps and samples."""
        made: list[Instruction] = []
        for step in steps:
            for term in operands(sympy.Add, step.expr):
                if isinstance(term, outer):
                    left, right = (self._as_symbol(operand, ALL, made) for operand in term.args)
                    made.append(OuterSum(ALL, step.target, left, right))
                elif term != 0:
                    statement = Statement(step.target, self._materialised(term, ALL, made), accumulate=True)
                    made.append(Loop(ALL, self.shapes[step.target], (statement,)))
        return _fused(made)

    def _assign(self, target: Symbol, expr: Expr, scope: str, made: list[Instruction]) -> None:
        if isinstance(expr, product | total | softmax):
            self._node(target, expr, scope, made)
            return
        statement = Statement(target, self._materialised(expr, scope, made))
        made.append(Loop(scope, self.shapes[target], (statement,)))

    def _materialised(self, expr: Expr, scope: str, made: list[Instruction]) -> Expr:
        """Give each product, sum and softmax inside an expression a place of its own."""

        def change(part_of: Expr) -> Expr | None:
            return self._as_symbol(part_of, scope, made) if isinstance(part_of, product | total | softmax) else None

        return rebuilt(expr, change)

    def _node(self, target: Symbol, node: Node, scope: str, made: list[Instruction]) -> None:
        if isinstance(node, total):
            argument = self._materialised(node.args[0], scope, made)
            made.append(Total(scope, target, shape_of(node.args[0], self.shapes), argument))
        elif isinstance(node, softmax):
            made.append(Softmax(scope, target, self._as_symbol(node.args[0], scope, made)))
        else:
            left, right = (self._as_operand(operand, scope, made) for operand in node.args)
            fixed = all(self.kept[symbol] == FIXED for symbol in quantities(left))
            moving = isinstance(right, Symbol) and self.kept[right] != FIXED and len(self.shapes[right]) == 1
            kind = Dot if fixed and moving and scope != ONCE else Contract
            made.append(kind(scope, target, left, right))

    def _as_operand(self, expr: Expr, scope: str, made: list[Instruction]) -> Expr:
        if isinstance(expr, transpose):
            return transpose(self._as_symbol(expr.args[0], scope, made))
        return self._as_symbol(expr, scope, made)

    def _as_symbol(self, expr: Expr, scope: str, made: list[Instruction]) -> Symbol:
        """Return a symbol that holds `expr`, computed by an instruction of its own where it isn't one already."""
        if isinstance(expr, Symbol):
            return expr
        temporary = self._fresh()
        self.shapes[temporary] = shape_of(expr, self.shapes)
        self.kept[temporary] = {ONCE: FIXED, STEP: BATCH, ALL: TIME}[scope]
        self._assign(temporary, expr, scope, made)
        return temporary

    def _fresh(self) -> Symbol:
        self.count += 1
        name = Symbol(f"p{self.count}")
        return name if name not in self.shapes else self._fresh()


def _is_past(symbol: Symbol) -> bool:
    return symbol.name.endswith("_prev")


def targets(instruction: Instruction) -> list[Symbol]:
    """Return what an instruction writes."""
    if isinstance(instruction, Loop):
        return [statement.target for statement in instruction.statements]
    return [instruction.target]


def _fused(instructions: Iterable[Instruction]) -> tuple[Instruction, ...]:
    """Join neighbouring loops over one shape, unless one reads another's entries at other places."""
    made: list[Instruction] = []
    for instruction in instructions:
        last = made[-1] if made else None
        if isinstance(instruction, Loop) and isinstance(last, Loop) and _can_join(last, instruction):
            made[-1] = Loop(last.scope, last.shape, (*last.statements, *instruction.statements))
        else:
            made.append(instruction)
    return tuple(made)


def _can_join(first: Loop, second: Loop) -> bool:
    if (first.scope, first.shape) != (second.scope, second.shape):
        return False
    written = {statement.target for statement in first.statements if statement.accumulate is False}
    summed = {statement.target for statement in first.statements if statement.accumulate}
    for statement in second.statements:
        moved = {s for node in statement.expr.atoms(Node) for s in quantities(node)}
        if moved & written or summed & set(quantities(statement.expr)):
            return False
    return True


def functions(schedule: Schedule) -> list[type[Elementwise]]:
    """Return the elementwise functions that a schedule uses, by name."""
    parts = (schedule.prologue, schedule.before, schedule.forward, schedule.backward, schedule.after, schedule.epilogue)
    found = {
        function.func.rule.name: function.func
        for instructions in parts
        for instruction in instructions
        for expr in expressions(instruction)
        for function in expr.atoms(Elementwise)
    }
    return [found[name] for name in sorted(found)]


def expressions(instruction: Instruction) -> list[Expr]:
    """Return what an instruction reads, and what its statements write, in order of appearance."""
    match instruction:
        case Loop(statements=statements):
            return [expr for statement in statements for expr in (statement.expr, statement.target)]
        case Dot(matrix=matrix, vector=vector):
            return [matrix, vector]
        case Contract(left=left, right=right) | OuterSum(left=left, right=right):
            return [left, right]
        case Total(expr=expr):
            return [expr]
    return [instruction.vector]
