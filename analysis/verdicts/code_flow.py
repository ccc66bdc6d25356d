"""Which of somebody's statements read what others of them give."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from .code_traced import Ran, blocks, rows_of
from .code_watch import Watched


class Flow:
    """Which statements read what others give, as the trees now stand."""

    def __init__(self, ran: list[Ran]) -> None:
        self.parts = {id(at): [(part, reads_of(part)) for part in _simple(at.tree)] for at in ran}
        self.rows: dict[int, list[list[ast.stmt]]] = {}
        for at in ran:
            for _, _, row in blocks(at.tree):
                for statement in row:
                    self.rows.setdefault(id(statement), []).append(row)
        self.reads = {id(part): reads for parts in self.parts.values() for part, reads in parts}

    def readers(self, at: Watched) -> list[int]:
        """Return the statements, by id, that read a target, up to where its block gives it another value."""
        root = _root(ast.parse(at.text, mode="eval").body)
        found: list[int] = []
        inside: set[int] = set()
        for row in self.rows.get(id(at.statement), ()):
            place = row.index(at.statement)
            for other in (*row[place + 1 :], *row[:place]):
                parts = [id(part) for part in _simple(other)]
                inside.update(parts)
                found += [part for part in parts if root in self.reads[part]]
                if isinstance(other, ast.Assign) and root in map(ast.unparse, other.targets):
                    return found
        inside.add(id(at.statement))
        where = [id(at.ran)] if root.isidentifier() else list(self.parts)
        outside = [id(part) for key in where for part, reads in self.parts[key] if root in reads]
        return found + [part for part in outside if part not in inside]


def statements_between(source: Watched, at: Watched) -> list[ast.stmt] | None:
    """Return the statements from behind one to another, in one block; None where they aren't in one."""
    if source.statement is at.statement:
        return []
    for _, _, row in blocks(source.ran.tree):
        if source.statement in row and at.statement in row:
            begin, end = row.index(source.statement), row.index(at.statement)
            return row[begin + 1 : end + 1] if begin < end else None
    return None


def is_begun(ran: list[Ran], statement: ast.stmt) -> bool:
    """Return whether a statement gives the first terms of a sum to which the next ones are added in its block."""
    mine = targets_of(statement)
    rows = [row for at in ran for _, _, row in blocks(at.tree) if statement in row]
    for row in rows:
        for other in row[row.index(statement) + 1 :]:
            if targets_of(other) == mine:
                return isinstance(other, ast.AugAssign) or bool(reads_of(other) & mine)
    return False


def feeds(source: Watched, at: Watched) -> bool:
    """Return whether a statement's target is read by another, straight or through statements between them."""
    between = statements_between(source, at)
    if not between:
        return False
    names = set(targets_of(source.statement))
    for statement in between:
        if reads_of(statement) & names:
            names |= targets_of(statement)
    return bool(reads_of(at.statement) & names)


def reads_any(statement: ast.stmt, source: ast.stmt) -> bool:
    """Return whether a statement reads a target of another."""
    return bool(reads_of(statement) & targets_of(source))


def _simple(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements in a node, and itself, that hold no others."""
    for part in ast.walk(node):
        if isinstance(part, ast.stmt) and not any(True for _ in rows_of(part)):
            yield part


def targets_of(statement: ast.AST) -> set[str]:
    """Return the variables that a statement assigns to, in whole or in part."""
    if not isinstance(statement, ast.Assign | ast.AugAssign):
        return set()
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    parts = itertools.chain(*(t.elts if isinstance(t, ast.Tuple | ast.List) else [t] for t in targets))
    return {_root(part) for part in parts}


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Subscript | ast.Starred):
        node = node.value
    return ast.unparse(node)


def reads_of(statement: ast.AST) -> set[str]:
    """Return the names and attributes that a statement reads, none for one that holds others."""
    if isinstance(statement, ast.For | ast.While | ast.If | ast.FunctionDef):
        return set()
    nodes = [n for n in ast.walk(statement) if isinstance(n, ast.Name | ast.Attribute)]
    return {ast.unparse(n) for n in nodes if isinstance(n.ctx, ast.Load)}
