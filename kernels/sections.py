"""The functions of a generated module, and which instructions each carries out."""

from __future__ import annotations

from sympy import Symbol

from ..derive.adjoint import delta
from ..derive.cell import previous
from ..derive.linear import Node
from ..derive.program import quantities
from .instructions import BATCH, TANGENT_BATCH, Instruction, Loop, Statement, expressions, targets
from .printer import Shapes, goes_in_vectors, reads_neighbours
from .schedule import Schedule

ONWARD, BACK = "range(start, stop)", "range(stop - 1, start - 1, -1)"
PURPOSE = {
    "prologue": "Compute what depends on parameters alone, and pack the matrices of the forward pass.",
    "forward": "Run all steps. States have a row per step and sample; a row of a `_prev` array is the state before it.",
    "pack_backward": "Pack the matrices of the backward pass.",
    "backward": "Go back through all steps, from the gradients that reach each state from outside.",
    "sums": "Sum the gradients of parameters over steps and samples.",
    "epilogue": "Carry summed gradients back through the prologue.",
    "pack_tangent": "Pack the matrices that tangents need beside those of the forward pass.",
    "tangent": "Carry K directions per sample through all steps, from tangents of the states before them.",
}
SECTIONS = tuple(PURPOSE)
STRETCHING = "stretching"
PURPOSE[STRETCHING] = "Carry K directions per sample, rows of `vectors`, and make them orthonormal after each step."


def parts_of(schedule: Schedule, name: str) -> list[tuple[str, tuple[Instruction, ...]]]:
    """Return (the steps it loops over, instructions), in order; an empty text stands for no loop."""
    return {
        "prologue": [("", schedule.prologue)],
        "forward": [("", schedule.before), (ONWARD, schedule.forward)],
        "backward": [(BACK, schedule.backward), ("", schedule.after)],
        "sums": [("", schedule.sums)],
        "epilogue": [("", schedule.epilogue)],
        "tangent": [("range(T)", schedule.tangent)],
    }.get(name, [])


def locals_of(instructions: tuple[Instruction, ...], schedule: Schedule) -> set[Symbol]:
    """Return values that a vector loop uses up as soon as they are made: they aren't stored."""
    touched: dict[Symbol, list[int]] = {}
    for number, instruction in enumerate(instructions):
        for expr in (*expressions(instruction), *targets(instruction)):
            for symbol in quantities(expr):
                touched.setdefault(symbol, []).append(number)
    kept = {delta(previous(name)) for name in schedule.derivation.cell.states}
    found = set()
    for symbol, numbers in touched.items():
        loop = instructions[numbers[0]]
        inner = schedule.kept[symbol] in (BATCH, TANGENT_BATCH) and len(set(numbers)) == 1 and symbol not in kept
        if inner and isinstance(loop, Loop) and _in_vectors(loop, schedule) and _unmoved(symbol, loop):
            found |= {symbol} - _numbers(loop, schedule)
    return found | {symbol for loop in instructions if isinstance(loop, Loop) for symbol in _spent(loop, schedule)}


def is_number(statement: Statement, shapes: Shapes) -> bool:
    """Return whether all entries that a statement of a vector loop writes are one number, which isn't a vector yet."""
    return not statement.accumulate and not reads_neighbours(statement.expr, shapes)


def _numbers(loop: Loop, schedule: Schedule) -> set[Symbol]:
    return {statement.target for statement in loop.statements if is_number(statement, schedule.shapes)}


def _spent(loop: Loop, schedule: Schedule) -> set[Symbol]:
    """Return values that a vector loop makes, or adds to, and of which it makes all that is read later."""
    if not _in_vectors(loop, schedule):
        return set()
    made = set(targets(loop)) - _numbers(loop, schedule)
    return {symbol for symbol in made if schedule.spent.get(symbol) in made}


def _in_vectors(loop: Loop, schedule: Schedule) -> bool:
    return bool(loop.shape) and all(goes_in_vectors(s.expr, schedule.shapes) for s in loop.statements)


def _unmoved(symbol: Symbol, loop: Loop) -> bool:
    """Return whether no tensor map in a loop reads a value, and the loop makes it before reading it."""
    first = next(s for s in loop.statements if symbol in (s.target, *quantities(s.expr)))
    made = first.target == symbol and not first.accumulate and symbol not in quantities(first.expr)
    return made and not any(symbol in quantities(node) for s in loop.statements for node in s.expr.atoms(Node))
