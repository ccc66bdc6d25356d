"""Edits that move a statement, leave one out, or add one that is missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import partial

from .code_edit import Edit
from .code_flow import reads_of, targets_of
from .code_tables import Later, Tables, is_zeros
from .code_traced import blocks


def moves(tables: Tables) -> Iterator[Edit]:
    """Move a statement within its block past one that it depends on, or leave one out."""
    for owner, name, row in blocks(tables.ran.tree):
        uses = [(targets_of(statement), reads_of(statement)) for statement in row]
        for index, statement in enumerate(row):
            if statement not in tables.statements or isinstance(statement, ast.For | ast.While):
                continue
            rest = [*row[:index], *row[index + 1 :]]
            if rest:
                yield Edit(4, "factor", statement, owner, name, None, rest, "removed")
            if _gives_itself(statement):
                continue
            for places in (range(index - 1, -1, -1), range(index + 1, len(row))):
                opaque = _is_opaque(statement)
                first = next((n for n in places if opaque or _is_opaque(row[n]) or _depend(uses[index], uses[n])), None)
                for place in places[places.index(first) :] if first is not None else ():
                    moved = [*rest[:place], statement, *rest[place:]]
                    cost = 3 if abs(place - index) == 1 else 4
                    yield Edit(cost, "stale", statement, owner, name, None, moved, "moved")


Use = tuple[set[str], set[str]]  # what a statement assigns to, and what it reads


def _depend(one: Use, other: Use) -> bool:
    """Return whether it matters which of two statements comes first."""
    return bool(one[0] & (other[0] | other[1]) or other[0] & one[1])


def _is_opaque(statement: ast.stmt) -> bool:
    """Return whether a statement may do more than assign to its targets."""
    return not isinstance(statement, ast.Assign | ast.AugAssign)


def _gives_itself(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and ast.unparse(statement.value) in map(ast.unparse, statement.targets)


def overwriting(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """Leave a statement out that gives a variable another value before anything has read the one it had."""
    for owner, name, row in blocks(tables.ran.tree):
        if isinstance(statement, ast.Assign) and statement in row and _overwrites(row, row.index(statement)):
            kind = "missing path" if is_zeros(statement.value) else "mix-up"
            rest = [other for other in row if other is not statement]
            yield Edit(1, kind, statement, owner, name, None, rest, "removed")


def _overwrites(row: list[ast.stmt], index: int) -> bool:
    """Return whether the variables of a statement have a value already that nothing has read."""
    statement = row[index]
    if not isinstance(statement, ast.Assign) or not all(isinstance(t, ast.Name) for t in statement.targets):
        return False
    names = {ast.unparse(target) for target in statement.targets}
    for other in (statement, *reversed(row[:index])):
        loads = (n for n in ast.walk(other) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
        if any(node.id in names for node in loads):
            return False
        if other is not statement and names & targets_of(other):
            return True
    return False


def inserted(tables: Tables) -> Iterator[Edit]:
    """Add a statement: what is carried to the step before, or one like another with other names."""
    for owner, name, row in blocks(tables.ran.tree):
        if not isinstance(owner, ast.For):
            continue
        used = {node.id for node in ast.walk(owner) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        made = {node.id for node in ast.walk(owner) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        lines = []
        for target in (*sorted(used - made), *_entries(tables.ran.tree, owner)):
            shape = tables.shape(tables.parse(target))
            near = tables.like(shape)
            lines += [(4, f"{target} = {text}") for text in tables.ours]
            lines += [(5, f"{target} = {one}") for one in near if one != target]
            lines += [(5, f"{target} = {clone}") for clone in tables.products(shape)]
            lines += [(5, f"{target} = {clone}") for clone in tables.applied(shape, tables.atoms)]
            lines += [
                (6, f"{target} = {one} * {two}")
                for one in near
                for two in near
                if one < two and target not in (one, two)
            ]
        for statement in row:
            if isinstance(statement, ast.AugAssign):
                lines += [(5, line) for line in _siblings(tables, statement)]
        for cost, line in lines:
            yield Edit(cost, "dropped carry", row[-1], owner, name, None, Later(line, partial(_with, row)), "inserted")


def divided(tables: Tables, number: int) -> Iterator[Edit]:
    """Divide what a statement assigns to by a number, in a new statement behind it."""
    for owner, name, row in blocks(tables.ran.tree):
        for place, statement in enumerate(row):
            for target in sorted(targets_of(statement)) if statement in tables.statements else ():
                shape = tables.shape(tables.parse(target)) or ()
                itself = [f"len({target})"] if shape[:1] == (number,) else []
                for divisor in (*tables.holding(number), *itself) if shape else ():
                    new = Later(f"{target} /= {divisor}", partial(_behind, row, place))
                    yield Edit(3, "scale", statement, owner, name, None, new, "inserted")


def _behind(row: list[ast.stmt], place: int, line: str) -> list[ast.stmt]:
    return [*row[: place + 1], *ast.parse(line).body, *row[place + 1 :]]


def _entries(tree: ast.FunctionDef, loop: ast.For) -> list[str]:
    """Return the entries of what a function makes that a loop reads by its variables and never writes: dh[l]."""
    made = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    nodes = [node for node in ast.walk(loop) if isinstance(node, ast.Subscript)]
    written = {ast.unparse(node.value) for node in nodes if isinstance(node.ctx, ast.Store)}
    moving = {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}
    read = [n for n in nodes if isinstance(n.slice, ast.Name) and n.slice.id in moving]
    return list(dict.fromkeys(ast.unparse(n) for n in read if ast.unparse(n.value) in made - written))


def _with(row: list[ast.stmt], line: str) -> list[ast.stmt]:
    return [*row, *ast.parse(line).body]


def _siblings(tables: Tables, statement: ast.AugAssign) -> Iterator[str]:
    """Yield the statement with another target of the same shape, and other names on its right side."""
    shape = tables.shape(statement.target)
    names = [node for node in ast.walk(statement.value) if isinstance(node, ast.Name) and tables.shape(node)]
    for target in tables.like(shape):
        if target != ast.unparse(statement.target):
            for node in names:
                for other in tables.like(tables.shape(node)):
                    yield f"{target} += {ast.unparse(tables.renamed([node], other, statement.value))}"
