"""What a schedule costs: operations and bytes of each instruction, in named sizes, and the time they take at least."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
from .products import SUMMED_AT_ONCE
from .schedule import Schedule
from .sections import locals_of

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
        entries: of arrays that are read or written for each sample; not of values that stay in registers.
        shared: entries of parameters, read once at each step for the whole batch, or of their gradients.
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
    found = []
    for section in SECTIONS:
        instructions = getattr(schedule, section)
        unstored = locals_of(instructions, schedule)
        for instruction in instructions:
            inside = unstored if isinstance(instruction, Loop) else set()
            found.append(_cost(section, instruction, schedule, inside))
    return found


def linear_states(schedule: Schedule) -> list[str]:
    """Return the states whose next values are linear in the last ones, entry by entry: no product is in their loop.

    >>> from ..derive import derive, load
    >>> from .schedule import schedule
    >>> [linear_states(schedule(derive(load(name)))) for name in ("min_gru", "lru", "gru")]
    [['h'], ['a', 'b'], []]
    """
    if not is_elementwise(schedule.forward):
        return []
    states = schedule.derivation.cell.states
    degrees: dict[Symbol, int | None] = {previous(name): 1 for name in states}
    reads = {previous(name): {name} for name in states}
    for statement in (s for loop in schedule.forward if isinstance(loop, Loop) for s in loop.statements):
        target = statement.target
        expr = statement.expr + target if statement.accumulate else statement.expr
        degrees[target], read = _degree(expr, degrees), set(quantities(expr))
        reads[target] = {name for symbol in read for name in reads.get(symbol, ())}
    found = {name for name in states if degrees.get(Symbol(name)) == 1}
    known = found | {name for name in states if degrees.get(Symbol(name), 0) == 0}
    while others := {name for name in found if not reads[Symbol(name)] <= known}:
        found, known = found - others, known - others
    return [name for name in states if name in found]


def is_elementwise(instructions: Iterable[Instruction]) -> bool:
    """Return whether all instructions are loops over entries: no product, and no sum over a vector."""
    return all(isinstance(instruction, Loop) for instruction in instructions)


def _degree(expr: Expr, degrees: Mapping[Symbol, int | None]) -> int | None:
    """Return the degree of an elementwise expression in the last states, or None where it is no polynomial in them."""
    if not expr.args:
        return degrees.get(expr, 0)
    inner = [_degree(arg, degrees) for arg in expr.args]
    known = [degree for degree in inner if degree is not None]
    if len(known) < len(inner) or not any(known):
        return 0 if len(known) == len(inner) else None
    if isinstance(expr, sympy.Add):
        return max(known)
    if isinstance(expr, sympy.Mul):
        return sum(known)
    whole = isinstance(expr, sympy.Pow) and isinstance(expr.exp, Integer) and expr.exp > 0
    return known[0] * int(expr.exp) if whole else None


def seconds_at_least(
    schedule: Schedule, sizes: Mapping[str, int], steps: int, batch: int, rate: float, bandwidth: float, dtype: str
) -> float:
    """Return the time that a forward and a backward pass take at least, by `roofs`."""
    found = roofs(schedule, sizes, steps, batch, rate, bandwidth, dtype)
    return sum(roof.computing + roof.moving for roof in found)


COLUMNS = ("operations", "functions", "entries", "weights")
TEXT_WIDTH = 58


def described(schedule: Schedule) -> str:
    """Return a schedule as a table: each instruction, and what it costs for one step and sample, in named sizes.

    >>> from ..derive import derive, load
    >>> from .schedule import schedule
    >>> print(described(schedule(derive(load("min_gru")))).split("\\n\\n")[3])
    Forward, at each step
      h = (1 - z) * h_prev + z * h_tilde                                5n           -          4n           -
    """
    counted = costs(schedule)
    head = f"{'':{TEXT_WIDTH}}{''.join(f'{name:>12}' for name in COLUMNS)}"
    explained = [
        "For each step and sample: additions and multiplications; values of functions; entries of arrays, read or",
        "written. Weights, or their gradients, are touched once for the whole batch, or for a block of rows.",
    ]
    parts = ["\n".join([*explained, "", head])]
    for section, title in SECTIONS.items():
        found = [cost for cost in counted if cost.section == section]
        if found:
            parts.append("\n".join([title, *(line for cost in found for line in _lines(cost))]))
    linear = linear_states(schedule)
    if linear:
        parts.append(f"Linear in the last states, entry by entry, with no product in the loop: {', '.join(linear)}")
    elif is_elementwise(schedule.forward):
        parts.append("At each step entries are computed one by one, with no product in the loop.")
    return "\n\n".join(parts)


def _lines(cost: Cost) -> list[str]:
    """Return the lines of an instruction, the last with its costs in columns."""
    texts = [f"  {line}" for line in cost.text.split("\n")]
    cells = [_compact(each) for each in (cost.operations, cost.calls, cost.entries, cost.shared)]
    numbers = "".join(f" {cell:>11}" for cell in cells)
    if len(texts[-1]) > TEXT_WIDTH:
        texts.append("")
    return [*texts[:-1], f"{texts[-1]:<{TEXT_WIDTH}}{numbers}".rstrip()]


def _compact(count: Expr) -> str:
    """Return a count as people write it.

    >>> m, n = sympy.symbols("m n")
    >>> _compact(8 * n**2), _compact(2 * m * n), _compact(Integer(0))
    ('8n²', '2mn', '-')
    """
    if count == 0:
        return "-"
    text = spell(count).replace("**2", "²").replace("**3", "³").replace(" ", "")
    return re.sub(r"(?<=\d)\*|(?<=\b\w)\*(?=\w\b)|(?<=[²³])\*", "", text)


@dataclass(frozen=True)
class Roof:
    """What a section of a schedule does altogether, and the time that it takes at least.

    Attributes:
        section: of the schedule.
        operations: additions and multiplications.
        moved: bytes.
        computing, moving: seconds that these take at least.
    """

    section: str
    operations: int
    moved: int
    computing: float
    moving: float


def roofs(
    schedule: Schedule, sizes: Mapping[str, int], steps: int, batch: int, rate: float, bandwidth: float, dtype: str
) -> list[Roof]:
    """Return the roofline of each section of a forward and a backward pass.

    Args:
        schedule: of the kernel.
        sizes: dimension -> size.
        steps, batch: T and B.
        rate: operations per second that the machine reaches in a large matrix product.
        bandwidth: bytes per second between the cores and the caches in which the arrays lie.
        dtype: "float32" or "float64".
    """
    width, found = np.dtype(dtype).itemsize, []
    for section in SECTIONS:
        if section == "tangent":
            continue
        mine = [cost for cost in costs(schedule) if cost.section == section]
        samples = 1 if section in ("prologue", "epilogue") else steps * batch
        passes = {"forward": steps, "backward": steps, "sums": -(-samples // SUMMED_AT_ONCE)}.get(section, 1)
        operations = [size(cost.operations, sizes) * samples for cost in mine]
        moved = [width * (size(cost.entries, sizes) * samples + size(cost.shared, sizes) * passes) for cost in mine]
        times = [(o / rate, b / bandwidth) for o, b in zip(operations, moved, strict=True)]
        computing = sum(compute for compute, move in times if compute >= move)
        moving = sum(move for compute, move in times if compute < move)
        if mine:
            found.append(Roof(section, sum(operations), sum(moved), computing, moving))
    return found


def roofline(
    schedule: Schedule, sizes: Mapping[str, int], steps: int, batch: int, rate: float, bandwidth: float, dtype: str
) -> str:
    """Return the roofline of a forward and a backward pass as a table; arguments as for `roofs`."""
    found = roofs(schedule, sizes, steps, batch, rate, bandwidth, dtype)
    at = ", ".join(f"{name} = {number}" for name, number in sizes.items())
    total = sum(roof.computing + roof.moving for roof in found)
    lines = [
        f"Roofline for T = {steps}, B = {batch}, {at}, {dtype}:"
        f" {rate / 1e9:.0f} GFLOP/s in a large product, {bandwidth / 1e9:.0f} GB/s",
        f"  {'':42}{'MFLOP':>10}{'MB':>10}{'FLOP/byte':>11}{'at least':>12}  bound by",
    ]
    for roof in found:
        bound = "computing" if roof.computing >= roof.moving else "moving data"
        seconds, intensity = roof.computing + roof.moving, roof.operations / max(1, roof.moved)
        lines.append(
            f"  {SECTIONS[roof.section]:42}{roof.operations / 1e6:10.3g}{roof.moved / 1e6:10.3g}{intensity:11.1f}"
            f"{seconds * 1e3:9.3f} ms  {bound}"
        )
    done, moved = sum(roof.operations for roof in found), sum(roof.moved for roof in found)
    lines.append(
        f"  {'Together':42}{done / 1e6:10.3g}{moved / 1e6:10.3g}{done / max(1, moved):11.1f}{total * 1e3:9.3f} ms"
    )
    return "\n".join(lines)


def _cost(section: str, instruction: Instruction, schedule: Schedule, unstored: set[Symbol]) -> Cost:
    shapes = schedule.shapes

    def many(symbol: Symbol) -> Expr:
        return sympy.Mul(*shapes[symbol])

    touched = dict.fromkeys(s for e in (*expressions(instruction), *targets(instruction)) for s in quantities(e))
    if isinstance(instruction, RowSum):
        del touched[instruction.lost]
    fixed = [symbol for symbol in touched if schedule.kept[symbol] == FIXED]
    entries = sum((many(s) for s in touched if s not in fixed and s not in unstored), Integer(0))
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
