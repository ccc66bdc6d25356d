"""Values that lie side by side, so that one matrix product makes or reads them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import sympy
from sympy import Expr, Symbol

from ..derive.linear import Shape
from .instructions import ALL, Dot, Instruction, Loop, OuterSum, Statement, targets

Shapes = Mapping[Symbol, Shape]


@dataclass(frozen=True)
class Place:
    """Where a value lies: in the array of a block, from a column on (for a gradient of a matrix: from a row on)."""

    block: str
    start: Expr


@dataclass(frozen=True)
class Block:
    """An array that holds one value, or several side by side.

    Attributes:
        name: of the array.
        kind: FIXED, TIME, BATCH, ...
        members: in order.
    """

    name: str
    kind: str
    members: tuple[Symbol, ...]


def stacked_targets(dots: Iterable[Dot]) -> list[tuple[Symbol, ...]]:
    """Group vectors that products with the same vectors add to, ordered so that each product's are neighbours.

    >>> from sympy import symbols
    >>> x, h, r, z, g, u, W = symbols("x h r z g u W")
    >>> def dot(target, vector): return Dot("step", (target,), (W,), (vector,), sympy.Integer(1), True)
    >>> stacked_targets([dot(r, x), dot(z, x), dot(g, x), dot(r, h), dot(z, h), dot(u, h)])
    [(g, r, z, u)]
    """
    read: dict[Symbol, list[Symbol]] = {}
    for dot in dots:
        for target in dot.targets:
            read.setdefault(target, []).extend(dot.vectors)
    groups: list[list[Symbol]] = []
    for target in read:
        near = [group for group in groups if any(set(read[target]) & set(read[other]) for other in group)]
        joined = [member for group in near for member in group]
        groups = [group for group in groups if group not in near] + [[*joined, target]]
    return [_as_neighbours(group, read) for group in groups if len(group) > 1]


def _as_neighbours(group: list[Symbol], read: Mapping[Symbol, list[Symbol]]) -> tuple[Symbol, ...]:
    """Order targets: first one that fewest vectors feed, then always the one most like the last."""
    rest = sorted(group, key=lambda target: (len(set(read[target])), group.index(target)))
    ordered = [rest.pop(0)]
    while rest:
        last = set(read[ordered[-1]])
        rest.sort(key=lambda target: (len(last ^ set(read[target])), group.index(target)))
        ordered.append(rest.pop(0))
    return tuple(ordered)


def merged_dots(instructions: Iterable[Instruction], places: Mapping[Symbol, Place]) -> list[Instruction]:
    """Join neighbouring products that one product can do: into neighbours from one vector, or from neighbours.

    Products among which one reads what another writes stay in their order.
    """
    made: list[Instruction] = []
    waiting: list[Dot] = []
    for instruction in instructions:
        if not isinstance(instruction, Dot) or any(_depends(instruction, other) for other in waiting):
            made += _joined(waiting, places)
            waiting = []
        if isinstance(instruction, Dot):
            waiting.append(instruction)
        else:
            made.append(instruction)
    return [*made, *_joined(waiting, places)]


def _depends(dot: Dot, earlier: Dot) -> bool:
    """Return whether a product reads what an earlier one writes, or writes what that one reads."""
    return bool({*dot.vectors} & {*earlier.targets} or {*dot.targets} & {*earlier.vectors})


def _joined(dots: list[Dot], places: Mapping[Symbol, Place]) -> list[Dot]:
    order = {place: number for number, place in enumerate(places)}

    def key(dot: Dot, by: str) -> tuple[int, int]:
        return order[getattr(dot, by)[0]], order[dot.targets[0] if by == "vectors" else dot.vectors[0]]

    by_vector = _runs(sorted(dots, key=lambda dot: key(dot, "vectors")), "vectors", "targets", places)
    alone = [dot for dot in by_vector if len(dot.targets) == 1]
    by_target = _runs(sorted(alone, key=lambda dot: key(dot, "targets")), "targets", "vectors", places)
    return sorted([*(dot for dot in by_vector if len(dot.targets) > 1), *by_target], key=lambda dot: dot.accumulate)


def _runs(dots: list[Dot], same: str, side: str, places: Mapping[Symbol, Place]) -> list[Dot]:
    made: list[Dot] = []
    for dot in dots:
        last = made[-1] if made else None
        fits = (
            last is not None
            and getattr(last, same) == getattr(dot, same)
            and (last.coefficient, last.scope) == (dot.coefficient, dot.scope)
            and (last.accumulate == dot.accumulate or same == "targets")
            and _follows(getattr(last, side)[-1], getattr(dot, side)[0], places)
        )
        if last is not None and fits:
            begun = last.accumulate and dot.accumulate
            joined = replace(last, matrices=(*last.matrices, *dot.matrices), accumulate=begun)
            if side == "targets":
                made[-1] = replace(joined, targets=(*last.targets, *dot.targets))
            else:
                made[-1] = replace(joined, vectors=(*last.vectors, *dot.vectors))
        else:
            made.append(dot)
    return made


def _follows(first: Symbol, second: Symbol, places: Mapping[Symbol, Place]) -> bool:
    """Return whether `second` begins where `first` ends."""
    starts = list(dict.fromkeys(place.start for place in places.values() if place.block == places[first].block))
    near = places[second].block == places[first].block
    return near and starts.index(places[second].start) == starts.index(places[first].start) + 1


def outer_groups(sums: list[OuterSum], places: Mapping[Symbol, Place], single: set[Symbol]) -> list[OuterSum]:
    """Join sums with the same right side whose left sides are neighbours; `single` are targets of one sum alone."""
    made: list[OuterSum] = []
    order = {place: number for number, place in enumerate(places)}
    for outer in sorted(sums, key=lambda o: (str(o.right), o.coefficient, order[o.lefts[0]])):
        last = made[-1] if made else None
        if (
            last is not None
            and (last.right, last.coefficient) == (outer.right, outer.coefficient)
            and {*last.targets, *outer.targets} <= single
            and _follows(last.lefts[-1], outer.lefts[0], places)
        ):
            made[-1] = replace(last, targets=last.targets + outer.targets, lefts=last.lefts + outer.lefts)
        else:
            made.append(outer)
    return made


def with_first_writes(
    groups: list[list[Instruction]], places: Mapping[Symbol, Place], shapes: Shapes, clears: bool = False
) -> tuple[list[list[Instruction]], list[Instruction]]:
    """Say of each product whether its target was written before, in the order in which the groups run.

    Returns the groups and, where `clears`, loops over all steps that set to 0 what shares a product at every step with
    targets that were begun before the time loop, so that one product serves them all.
    """
    begun, cleared = _begun(groups), set[Symbol]()
    dots = [dot for group in groups for dot in group if isinstance(dot, Dot)]
    for dot in dots if clears else []:
        mates = {d.targets[0] for d in dots if d.vectors == dot.vectors and d.scope == dot.scope != ALL}
        mates = {mate for mate in mates if places[mate].block == places[dot.targets[0]].block}
        late = {mate for mate in mates if begun[mate] != ALL}
        if 0 < len(late) < len(mates):
            cleared |= late
    written, made = set(cleared), []
    for group in groups:
        changed: list[Instruction] = []
        for instruction in group:
            if isinstance(instruction, Dot):
                instruction = replace(instruction, accumulate=instruction.targets[0] in written)
            written |= set(targets(instruction))
            changed.append(instruction)
        made.append(changed)
    zero = sympy.Integer(0)
    ordered = [symbol for symbol in places if symbol in cleared]
    return made, [Loop(ALL, shapes[symbol], (Statement(symbol, zero),)) for symbol in ordered]


def _begun(groups: list[list[Instruction]]) -> dict[Symbol, str]:
    """Return the scope in which each target is first written."""
    found: dict[Symbol, str] = {}
    for instruction in (instruction for group in groups for instruction in group):
        for target in targets(instruction):
            found.setdefault(target, getattr(instruction, "scope", ALL))
    return found
