"""Instructions in an order that needs few loops and lets products meet: as soon as possible, products first."""

from __future__ import annotations

from collections.abc import Iterable

from ..derive.linear import Node
from ..derive.program import quantities
from .instructions import Instruction, Loop, reads, targets


def arranged(instructions: Iterable[Instruction]) -> list[Instruction]:
    """Return the instructions with everything that is no loop as early as its operands allow, and loops together."""
    waiting = list(instructions)
    needs = _dependencies(waiting)
    done: set[int] = set()
    made: list[Instruction] = []

    def ready(loops: bool) -> list[int]:
        return [
            number
            for number, instruction in enumerate(waiting)
            if number not in done and needs[number] <= done and isinstance(instruction, Loop) == loops
        ]

    while len(done) < len(waiting):
        for loops in (False, True):
            while found := ready(loops):
                for number in found:
                    made.append(waiting[number])
                    done.add(number)
    return made


def _dependencies(instructions: list[Instruction]) -> list[set[int]]:
    """Return which earlier instructions each must follow: those that write what it reads or touch what it writes."""
    found: list[set[int]] = []
    for number, instruction in enumerate(instructions):
        read, written = reads(instruction), set(targets(instruction))
        found.append(
            {
                earlier
                for earlier, other in enumerate(instructions[:number])
                if set(targets(other)) & (read | written) or reads(other) & written
            }
        )
    return found


def fused(instructions: Iterable[Instruction]) -> tuple[Instruction, ...]:
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
    written = {statement.target for statement in first.statements}
    return not any(
        set(quantities(node)) & written for statement in second.statements for node in statement.expr.atoms(Node)
    )
