"""Statements that belong together: all lines of a name; a name that is assigned again has versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .formulas import Statement
from .jacobians import parts as jacobian_parts
from .meanings import Meaning
from .tree import Name, Tree, add, mapped, names, number, time_name


@dataclass
class Group:
    """All lines that assign one name.

    Attributes:
        target: the name.
        lines: in order; their sum is the target's value.
        start: what the name holds before its first line, where that is `+=`.
    """

    target: Name
    lines: list[Statement]
    start: Meaning | None = None


def versioned(statements: Sequence[Statement]) -> list[Statement]:
    """Return statements in which no name is assigned twice: what `do` holds before it is assigned again is `do#1`.

    `x = x + y` counts as `x += y`. A target `dh_next` is what this step hands to the one before. What sets a name to 0
    before it is added to, or before the loop, says nothing.
    """
    every = [_added(line) for line in statements]
    used = Counter(line.target for line in every) + Counter(n for line in every for n in set(names(line.value)))
    once = {(line.target, line.value): line for line in reversed(every) if not line.adds}
    every = [line for line in every if line.adds or once[line.target, line.value] is line]
    lines = [line for line in every if line.adds or line.value != number(0) or used[line.target] < 2]
    targets = {line.target for line in lines}
    for index, line in enumerate(lines):
        back = Name(line.target.base, -1)
        ahead = any(found.offset == 1 for found in names(line.value))
        if line.target.offset == 1 and back not in targets and not ahead and jacobian_parts(back.base) is None:
            lines[index] = replace(line, target=back, left=line.left or time_name(*line.target))
    assigned = Counter(line.target for line in lines if not line.adds)
    first = {line.target: line.adds for line in reversed(lines)}
    total = {target: count + (first[target] and count > 0) for target, count in assigned.items()}
    seen: Counter[Name] = Counter()

    def called(found: Name) -> Name:
        if total.get(found, 0) < 2 or not 0 < seen[found] < total[found]:
            return found
        return Name(f"{found.base}#{seen[found]}", found.offset)

    made = []
    for line in lines:
        value = mapped(line.value, lambda found: Tree("name", (), called(found)))
        if total.get(line.target, 0) > 1 and (not line.adds or not seen[line.target]):
            seen[line.target] += 1
        made.append(replace(line, target=called(line.target), value=value))
    return made


def _added(line: Statement) -> Statement:
    own = Tree("name", (), line.target)
    if line.adds or line.value.head != "add" or own not in line.value.args:
        return line
    rest = [term for term in line.value.args if term != own]
    return replace(line, adds=True, value=add(*rest))


def grouped(statements: Sequence[Statement]) -> dict[Name, Group]:
    """Collect the lines of each target."""
    groups: dict[Name, Group] = {}
    for line in versioned(statements):
        groups.setdefault(line.target, Group(line.target, [])).lines.append(line)
    return groups
