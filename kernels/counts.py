"""What a schedule costs: operations and bytes of each instruction, in named sizes, and the time they take at least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy
from sympy import Expr, Integer, Symbol

from ..derive.cell import previous
from ..derive.functions import Elementwise
from ..derive.interpret import size
from ..derive.linear import cross_entropy, transpose
from ..derive.notation import spell
from ..derive.program import quantities
from .instructions import (
    FIXED,
    ONCE,
    Contract,
    CrossEntropy,
    Dot,
    Instruction,
    Loop,
    OuterSum,
    RowSum,
    expressions,
    targets,
)
from .schedule import Schedule

SECTIONS = {
    "prologue": "Once, from parameters",
    "before": "Forward, all steps at once",
    "forward": "Forward, at each step",
    "backward": "Backward, at each step",
    "after": "Backward, all steps at once",
    "sums": "Gradients of parameters, over all steps",
    "epilogue": "Once, from summed gradients",
    "tangent": "Tangents, at each step and for each direction",
}


@dataclass(frozen=True)
class Cost:
    """What one instruction costs for one step and sample; in a section that runs once, altogether.

    Attributes:
        section: of the schedule.
        text: of the instruction.
        operations: additions and multiplications, in named sizes.
        calls: of elementwise functions.
        entries: of arrays that are read or written for each sample.
        shared: entries of parameters, read once at each step for the whole batch.
    """

    section: str
    text: str
    operations: Expr
    calls: Expr
    entries: Expr
    shared: Expr


def costs(schedule: Schedule) -> list[Cost]:
    """Return the cost of each instruction, in order.

    >>> from ..derive import derive, load
    >>> from .schedule import schedule
    >>> [(cost.text, cost.operations) for cost in costs(schedule(derive(load("rnn"))))][:2]
    [('a_h = W_xh @ x', 2*m*n), ('a_h += W_hh @ h_prev', 2*n**2)]
    """
    return [_cost(section, instruction, schedule) for section in SECTIONS for instruction in getattr(schedule, section)]


def linear_states(schedule: Schedule) -> list[str]:
    """Return the states whose next value is linear in their last, entry by entry: no product stands in their loop.

    >>> from ..derive import derive, load
    >>> from .schedule import schedule
    >>> linear_states(schedule(derive(load("min_gru")))), linear_states(schedule(derive(load("gru"))))
    (['h'], [])
    """
    if any(not isinstance(instruction, Loop) for instruction in schedule.forward):
        return []
    statements = [s for loop in schedule.forward if isinstance(loop, Loop) for s in loop.statements]
    last = {previous(name) for name in schedule.derivation.cell.states}
    bound: set[Symbol] = set()
    found = []
    for statement in statements:
        read = set(quantities(statement.expr))
        name = statement.target.name
        if name in schedule.derivation.cell.states and not read & bound and read & last <= {previous(name)}:
            found += [name] if _degree(statement.expr, {previous(name)}) == 1 else []
        if read & (bound | last):
            bound.add(statement.target)
    return found


def _degree(expr: Expr, moved: set[Symbol]) -> int | None:
    """Return the degree of an elementwise expression in some symbols, or None where it is no polynomial."""
    if not set(quantities(expr)) & moved:
        return 0
    if isinstance(expr, Elementwise):
        return None
    try:
        return int(sympy.Poly(expr, *moved).total_degree())
    except sympy.PolynomialError:
        return None


def seconds_at_least(
    schedule: Schedule, sizes: Mapping[str, int], steps: int, batch: int, rate: float, bandwidth: float, dtype: str
) -> float:
    """Return the time that a forward and a backward pass take at least: a roofline, instruction by instruction.

    Args:
        schedule: of the kernel.
        sizes: dimension -> size.
        steps, batch: T and B.
        rate: operations per second that the machine reaches in a large matrix product.
        bandwidth: bytes per second between the cores and the caches in which the arrays lie.
        dtype: "float32" or "float64".
    """
    width, total = np.dtype(dtype).itemsize, 0.0
    for cost in costs(schedule):
        if cost.section == "tangent":
            continue
        samples = 1 if cost.section in ("prologue", "epilogue") else steps * batch
        passes = 1 if cost.section in ("prologue", "epilogue", "before", "after", "sums") else steps
        moved = width * (size(cost.entries, sizes) * samples + size(cost.shared, sizes) * passes)
        total += max(size(cost.operations, sizes) * samples / rate, moved / bandwidth)
    return total


def described(schedule: Schedule) -> str:
    """Return a schedule as text: each instruction with its operations, calls and entries per step and sample."""
    lines = []
    for section, title in SECTIONS.items():
        found = [cost for cost in costs(schedule) if cost.section == section]
        if found:
            lines.append(title)
            for cost in found:
                counted = [f"{spell(cost.operations)} operations", f"{spell(cost.entries)} entries"]
                counted += [f"{spell(cost.calls)} function calls"] if cost.calls != 0 else []
                counted += [f"{spell(cost.shared)} entries of parameters"] if cost.shared != 0 else []
                lines += [f"    {line}" for line in cost.text.split("\n")]
                lines.append(f"        {', '.join(counted)}")
    if linear := linear_states(schedule):
        lines.append(f"Linear, entry by entry, with no product in the loop: {', '.join(linear)}")
    return "\n".join(lines)


def _cost(section: str, instruction: Instruction, schedule: Schedule) -> Cost:
    shapes = schedule.shapes

    def many(symbol: Symbol) -> Expr:
        return sympy.Mul(*shapes[symbol])

    touched = dict.fromkeys(s for e in (*expressions(instruction), *targets(instruction)) for s in quantities(e))
    fixed = [symbol for symbol in touched if schedule.kept[symbol] == FIXED and section != "sums"]
    entries = sum((many(s) for s in touched if s not in fixed), Integer(0))
    operations, calls = _operations(instruction, schedule)
    shared = sum(map(many, fixed), Integer(0))
    if getattr(instruction, "scope", "") == ONCE:
        entries, shared = entries + shared, Integer(0)
    return Cost(section, _text(instruction), *map(sympy.expand, (operations, calls, entries, shared)))


def _operations(instruction: Instruction, schedule: Schedule) -> tuple[Expr, Expr]:
    shapes = schedule.shapes
    if isinstance(instruction, Loop):
        many = sympy.Mul(*instruction.shape)
        exprs = [statement.expr for statement in instruction.statements]
        added = sum(statement.accumulate for statement in instruction.statements)
        return many * (added + sum(map(_arithmetic, exprs))), many * sum(map(_calls, exprs))
    if isinstance(instruction, Dot):
        columns = sum((shapes[target][0] for target in instruction.targets), Integer(0))
        return 2 * columns * sum((shapes[vector][0] for vector in instruction.vectors), Integer(0)), Integer(0)
    if isinstance(instruction, OuterSum):
        rows = sum((shapes[left][0] for left in instruction.lefts), Integer(0))
        return 2 * rows * shapes[instruction.right][0], Integer(0)
    if isinstance(instruction, Contract):
        [right] = quantities(instruction.right)
        length = shapes[right][-1 if isinstance(instruction.right, transpose) else 0]
        return 2 * length * sympy.Mul(*shapes[instruction.target]), Integer(0)
    if isinstance(instruction, CrossEntropy):
        return 3 * shapes[instruction.logits][0], shapes[instruction.logits][0]
    if isinstance(instruction, RowSum):
        many = sympy.Mul(*shapes[instruction.target][1:])
        return many * (1 + _arithmetic(instruction.row)), many * _calls(instruction.row)
    [expr] = expressions(instruction)
    many = sympy.Mul(*getattr(instruction, "shape", shapes[targets(instruction)[0]]))
    return many * (1 + _arithmetic(expr)), many * _calls(expr)


def _arithmetic(expr: Expr) -> int:
    """Return the additions and multiplications in an expression, entry by entry."""
    here = len(expr.args) - 1 if isinstance(expr, sympy.Add | sympy.Mul) else int(isinstance(expr, sympy.Pow))
    return here + sum(map(_arithmetic, expr.args))


def _calls(expr: Expr) -> int:
    return int(isinstance(expr, Elementwise)) + sum(map(_calls, expr.args))


def _text(instruction: Instruction) -> str:
    if isinstance(instruction, Loop):
        signs = [(s, "+=" if s.accumulate else "=") for s in instruction.statements]
        return "\n".join(f"{s.target} {sign} {spell(s.expr)}" for s, sign in signs)
    names = " | ".join(map(str, targets(instruction)))
    if isinstance(instruction, Dot):
        matrices, vectors = " | ".join(map(spell, instruction.matrices)), " | ".join(map(str, instruction.vectors))
        factor = "" if instruction.coefficient == 1 else f"{instruction.coefficient} * "
        return f"{names} {'+=' if instruction.accumulate else '='} {factor}{_grouped(matrices)} @ {_grouped(vectors)}"
    if isinstance(instruction, OuterSum):
        return f"{names} += outer({_grouped(' | '.join(map(str, instruction.lefts)))}, {instruction.right})"
    if isinstance(instruction, Contract):
        return f"{names} = {spell(instruction.left)} @ {spell(instruction.right)}"
    if isinstance(instruction, CrossEntropy):
        return f"{names} = {spell(cross_entropy(instruction.logits, instruction.distribution))}"
    if isinstance(instruction, RowSum):
        return f"{names}[{instruction.index}] += {spell(instruction.row)}"
    return f"{names} = {type(instruction).__name__.lower()}({spell(expressions(instruction)[0])})"


def _grouped(text: str) -> str:
    return f"[{text}]" if " | " in text else text
