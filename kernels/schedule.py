"""Derivation -> `Schedule`: which instruction runs when, and where each value lies.

What does not depend on the state leaves the time loop: products with inputs become one matrix product over T·B before
it, and the gradients of inputs and weights one over T·B after it. Products that share a vector, or a sum, become one.
What is left is fused into loops over entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import sympy
from sympy import Expr, Symbol

from ..derive import display
from ..derive.adjoint import adjoint_program, delta, incoming
from ..derive.cell import previous
from ..derive.derivation import Derivation
from ..derive.errors import Error, expect
from ..derive.functions import Elementwise
from ..derive.linear import Shape, outer, scatter, shape_of
from ..derive.program import Program, Step
from ..derive.tangent import tangent, tangent_program
from ..derive.written import multiplied, operands
from .arrange import arranged, fused
from .instructions import (
    ALL,
    BATCH,
    FIXED,
    ONCE,
    PASSING,
    STEP,
    TANGENT_BATCH,
    TANGENT_TIME,
    TIME,
    Dot,
    Instruction,
    Loop,
    OuterSum,
    RowSum,
    Statement,
    expressions,
    targets,
    used,
)
from .kept import spent, with_kept_functions
from .lower import Lowering, split_factor
from .stacks import Block, Place, merged_dots, outer_groups, stacked_targets, with_first_writes


@dataclass(frozen=True)
class Schedule:
    """What a kernel does, in order.

    Attributes:
        derivation: from which it was made.
        program: its forward program, with the function values that are kept.
        outputs: named values, beside the states, from which gradients may come.
        prologue, before, forward, backward, after, sums, epilogue: instructions run once on parameters; on all steps
            before the time loop; at each step; at each step back; on all steps after the loop; then, summed over steps
            and samples; once on summed gradients.
        tangent: instructions run at each step on tangents.
        kept: symbol -> FIXED, TIME, BATCH, PASSING, TANGENT_TIME or TANGENT_BATCH.
        shapes: symbol -> shape in named dimensions.
        blocks: array's name -> what it holds.
        places: symbol -> where it lies.
        spent: value -> the function's value that is all that is read of it, and that takes its place.
    """

    derivation: Derivation
    program: Program = field(repr=False)
    outputs: tuple[str, ...]
    prologue: tuple[Instruction, ...]
    before: tuple[Instruction, ...]
    forward: tuple[Instruction, ...]
    backward: tuple[Instruction, ...]
    after: tuple[Instruction, ...]
    sums: tuple[Instruction, ...]
    epilogue: tuple[Instruction, ...]
    tangent: tuple[Instruction, ...]
    kept: dict[Symbol, str] = field(repr=False)
    shapes: dict[Symbol, Shape] = field(repr=False)
    blocks: dict[str, Block] = field(repr=False)
    places: dict[Symbol, Place] = field(repr=False)
    spent: dict[Symbol, Symbol] = field(repr=False)

    _repr_html_ = display.html

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """All of them, in order."""
        parts = (self.prologue, self.before, self.forward, self.backward, self.after, self.sums, self.epilogue)
        return tuple(instruction for part in (*parts, self.tangent) for instruction in part)

    def __str__(self) -> str:
        from .counts import described

        return described(self)


def loss(state: str) -> Symbol:
    """Return the symbol of the gradient that a caller gives for a state after each step.

    It is not the plain symbol of this name, which a state called `loss_...` may have.
    """
    return Symbol(f"incoming_loss_{state}", real=True)


def schedule(derivation: Derivation, outputs: Iterable[str] = (), moving: Iterable[str] = ()) -> Schedule:
    """Arrange the programs of a derivation for fast kernels.

    Args:
        derivation: of the cell.
        outputs: named values, beside the states, from which gradients may come.
        moving: inputs that a tangent may move, beside the states.

    Raises:
        Error: for an output that isn't a value of each step.

    >>> from ..derive import load, derive
    >>> [type(instruction).__name__ for instruction in schedule(derive(load("lstm"))).forward]
    ['Dot', 'Loop']
    """
    expect("what is scheduled", derivation, Derivation)
    cell, outputs = derivation.cell, tuple(outputs)
    fixed = (*map(Symbol, cell.params), *derivation.prologue.outputs)
    inputs, states = tuple(map(Symbol, (*cell.inputs, *cell.indices))), tuple(map(Symbol, cell.states))
    forward_program, backward_program, tangents, _ = with_kept_functions(
        derivation.forward, _backward(derivation, outputs), _tangents(derivation, tuple(moving)), _aside(derivation)
    )
    plan = Lowering((derivation.prologue, forward_program, backward_program, derivation.epilogue, tangents))
    plan.shapes |= {loss(state.name): plan.shapes[state] for state in states}
    plan.keep(fixed, FIXED)
    plan.keep([*inputs, *map(previous, cell.states), *(loss(state.name) for state in states)], TIME)
    prologue = fused(plan.lower(derivation.prologue.steps, ONCE, FIXED))

    free, bound = _apart(forward_program, {*fixed, *inputs})
    early = plan.lower(free, ALL, TIME, rest_last=True)
    hoisted, stateful = plan.hoisted(plan.lower(bound, STEP, TIME, rest_last=True))

    steps = backward_program.steps
    shared = {delta(symbol) for symbol in fixed}
    carried = _needed(steps, {delta(previous(name)) for name in cell.states})
    looped = [step for step in steps if step.target in carried]
    rest = [step for step in steps if step.target not in carried and step.target not in shared]
    shares = [step for step in steps if step.target in shared]
    later = {symbol for step in (*rest, *shares) for symbol in step.reads}
    plan.keep([incoming(Symbol(name)) for name in (*cell.states, *outputs)], TIME)
    plan.keep([step.target for step in looped if step.target in later], TIME)
    receive = [Step(incoming(Symbol(n)), loss(n) + delta(previous(n)), ()) for n in cell.states]
    plan.keep([delta(previous(n)) for n in cell.states], BATCH)
    back = plan.lower([*receive, *looped], STEP, BATCH)
    plan.keep([delta(symbol) for symbol in fixed], FIXED)
    after = plan.lower(rest, ALL, TIME)
    first, summed = _sums(plan, shares)
    after += first
    plan.keep(map(incoming, derivation.returned), FIXED)
    epilogue = fused(plan.lower(derivation.epilogue.steps, ONCE, FIXED, apart=True))

    moved = (*map(previous, cell.states), *states, *map(Symbol, moving))
    plan.keep(map(tangent, moved), TANGENT_TIME)
    along = plan.lower(tangents.steps, STEP, TANGENT_BATCH)

    results = (*map(delta, inputs), *(incoming(Symbol(name)) for name in (*cell.states, *outputs)))
    given = (*inputs, *map(previous, cell.states), *map(loss, cell.states))
    lasting = {*given, *results, *used([*early, *hoisted, *stateful, *along])}
    plan.keep([symbol for symbol, kind in plan.kept.items() if kind == TIME and symbol not in lasting], PASSING)

    made = [dot for dot in (*early, *hoisted, *stateful) if isinstance(dot, Dot)]
    firsts = [dot for dot in made if dot.targets[0] not in states]  # a state lies in an array of its own
    stacks = stacked_targets(firsts)
    blocks = _blocks(plan, stacks, summed, [tuple(map(previous, cell.states)), states])
    used_up = spent(forward_program, (equation.target for equation in cell.equations))
    places = _places(plan, blocks, _shared_places(used_up, states, blocks))
    [before, forward], cleared = with_first_writes(
        [[*early, *hoisted], arranged(stateful)], places, plan.shapes, clears=True
    )
    [backward, after], _ = with_first_writes([arranged(back), arranged(after)], places, plan.shapes)
    [along], _ = with_first_writes([arranged(along)], places, plan.shapes)

    def finished(instructions: Iterable[Instruction]) -> tuple[Instruction, ...]:
        return fused(merged_dots(instructions, places))

    outers = [instruction for instruction in summed if isinstance(instruction, OuterSum)]
    counted = [target for instruction in summed for target in targets(instruction)]
    single = {target for target in counted if counted.count(target) == 1}
    others = fused(instruction for instruction in summed if not isinstance(instruction, OuterSum))
    return Schedule(
        derivation,
        forward_program,
        outputs,
        prologue,
        finished([*cleared, *arranged(before)]),
        finished(forward),
        finished(backward),
        finished(after),
        (*outer_groups(outers, places, single), *others),
        epilogue,
        finished(along),
        plan.kept,
        plan.shapes,
        blocks,
        places,
        used_up,
    )


def _backward(derivation: Derivation, outputs: tuple[str, ...]) -> Program:
    """Return the adjoint program whose gradients come from the states and from other named values."""
    cell = derivation.cell
    unknown = [n for n in outputs if Symbol(n) not in {step.target for step in derivation.forward.steps}]
    if unknown or len(set(outputs) | set(cell.states)) < len(outputs) + len(cell.states):
        known = ", ".join(step.target.name for step in derivation.forward.steps)
        raise Error(f"gradients can't come from {', '.join(unknown) or outputs}; values of each step are {known}")
    if not outputs:
        return derivation.backward
    wanted = (*map(previous, cell.states), *map(Symbol, cell.inputs), *derivation.fixed)
    return adjoint_program(derivation.forward, map(Symbol, (*cell.states, *outputs)), wanted)


def _aside(derivation: Derivation) -> Program:
    """Return the adjoint program of what reaches no state: a later pass may start there, and reads its functions."""
    steps = derivation.forward.steps
    reaching = _needed(steps, set(map(Symbol, derivation.cell.states)))
    read = [symbol for symbol in derivation.forward.inputs if symbol in derivation.forward.shapes]
    return adjoint_program(derivation.forward, [s.target for s in steps if s.target not in reaching], read)


def _tangents(derivation: Derivation, moving: tuple[str, ...]) -> Program:
    """Return the tangent program in which the states move, and some inputs."""
    sources = (*map(previous, derivation.cell.states), *map(Symbol, moving))
    return tangent_program(derivation.forward, sources)


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


def _sums(plan: Lowering, shares: Iterable[Step]) -> tuple[list[Instruction], list[Instruction]]:
    """Lower shares of gradients: what must be computed at all steps first, and the sums over steps and samples."""
    first: list[Instruction] = []
    summed: list[Instruction] = []
    for step in shares:
        for term in operands(sympy.Add, step.expr):
            factor, node = split_factor(term)
            if isinstance(node, outer) and all(len(shape_of(operand, plan.shapes)) == 1 for operand in node.args):
                left, right = (plan.at_all_steps(operand, first) for operand in node.args)
                summed.append(OuterSum((step.target,), (left,), right, factor, True))
            elif isinstance(node, scatter):
                row, index, _ = node.args
                row = plan.materialised(multiplied(factor, row), ALL, first)
                lost = Symbol(f"lost_{step.target}", real=True)
                plan.shapes[lost] = plan.shapes[step.target]
                plan.keep([lost], FIXED)
                summed.append(RowSum(ALL, step.target, index, row, lost))
            elif term != 0:
                statement = Statement(step.target, plan.materialised(term, ALL, first), accumulate=True)
                summed.append(Loop(ALL, plan.shapes[step.target], (statement,)))
    return first, summed


def _blocks(
    plan: Lowering, stacks: list[tuple[Symbol, ...]], sums: list[Instruction], states: list[tuple[Symbol, ...]]
) -> dict[str, Block]:
    """Lay out stacks, their adjoints and tangents in the same order, gradients that one product makes, directions."""
    found: dict[str, Block] = {}
    for stack in stacks:
        for version in (stack, tuple(map(delta, stack)), tuple(map(tangent, stack))):
            members = tuple(symbol for symbol in version if symbol in plan.kept)
            kinds = {plan.kept[symbol] for symbol in members}
            if len(members) > 1 and len(kinds) == 1:
                name = _free(f"stack{len(found) + 1}", plan)
                found[name] = Block(name, kinds.pop(), members)
    inner = {symbol for block in found.values() for symbol in block.members}
    order = {symbol: number for number, symbol in enumerate(s for block in found.values() for s in block.members)}
    outers = [instruction for instruction in sums if isinstance(instruction, OuterSum)]
    counted = [target for instruction in sums for target in targets(instruction)]
    by_right: dict[Symbol, list[OuterSum]] = {}
    for outer_sum in outers:
        if outer_sum.lefts[0] in inner and counted.count(outer_sum.targets[0]) == 1:
            by_right.setdefault(outer_sum.right, []).append(outer_sum)
    for group in by_right.values():
        if len(group) > 1:
            ordered = sorted(group, key=lambda one: order[one.lefts[0]])
            name = _free(f"stack{len(found) + 1}", plan)
            found[name] = Block(name, FIXED, tuple(one.targets[0] for one in ordered))
    for names in states:
        if len(names) > 1:
            name = _free(f"stack{len(found) + 1}", plan)
            found[name] = Block(name, TANGENT_TIME, tuple(map(tangent, names)))
    return found


def _free(name: str, plan: Lowering) -> str:
    """Return a name that no value has."""
    return _free(f"{name}_", plan) if Symbol(name) in plan.shapes else name


def _shared_places(
    used_up: Mapping[Symbol, Symbol], states: Iterable[Symbol], blocks: Mapping[str, Block]
) -> dict[Symbol, Symbol]:
    """Return value -> the one in whose place it lies, of those that are used up by a function and what it makes.

    The next step looks for a state in an array of its own: what a state is made of lies there before, unless a product
    makes that beside others.
    """
    made, stacked = set(states), {symbol for block in blocks.values() for symbol in block.members}
    given = {result: argument for argument, result in used_up.items() if result not in made}
    return given | {
        argument: result for argument, result in used_up.items() if result in made and argument not in stacked
    }


def _places(plan: Lowering, blocks: dict[str, Block], taken: Mapping[Symbol, Symbol]) -> dict[Symbol, Place]:
    """Return where each value lies: where the one lies whose place it shares, in a stack, or in a block of its own.

    `blocks` gains those.
    """
    places: dict[Symbol, Place] = {}
    for block in blocks.values():
        start: Expr = sympy.Integer(0)
        for symbol in block.members:
            places[symbol] = Place(block.name, start)
            start += plan.shapes[symbol][0] if block.kind == FIXED else sympy.Mul(*plan.shapes[symbol])
    for symbol in plan.kept:
        if symbol not in places and symbol not in taken:
            name = symbol.name
            while name in blocks:
                name += "_"
            blocks[name] = Block(name, plan.kept[symbol], (symbol,))
            places[symbol] = Place(name, sympy.Integer(0))
    return places | {symbol: places[other] for symbol, other in taken.items()}


def functions(schedule: Schedule) -> list[type[Elementwise]]:
    """Return the elementwise functions that a schedule uses, by name."""
    found = {
        function.func.rule.name: function.func
        for instruction in schedule.instructions
        for expr in expressions(instruction)
        for function in expr.atoms(Elementwise)
    }
    return [found[name] for name in sorted(found)]
