"""`Edit`: another node at a place of somebody's syntax tree, and what is to be said of it."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .code_tables import Later, Slot, Tables
from .code_traced import blocks

LOCATED = (ast.expr, ast.stmt, ast.keyword)


@dataclass(frozen=True)
class Edit:
    """Another node at a place of the tree.

    Attributes:
        cost: how far-fetched it is.
        kind: of fault that it mends.
        statement: in which it stands, or after which a new one comes.
        owner, name, index: where the node stands: `owner.name`, or `owner.name[index]`.
        fresh: node, operator or list of statements that comes there, now or `Later`.
        says: the statement's place: "" for a changed one, "inserted", "moved", "removed".
        old: the expression that stands there now, where it is one.
    """

    cost: int
    kind: str
    statement: ast.stmt
    owner: Any
    name: str
    index: int | None
    fresh: Any
    says: str = ""
    old: ast.expr | None = None

    @cached_property
    def new(self) -> Any:
        """The node, operator or list of statements that comes there; most edits are never asked for it."""
        return self.fresh.make(self.fresh.said) if isinstance(self.fresh, Later) else self.fresh

    @property
    def what(self) -> tuple[Any, ...]:
        """What the edit does: that of another one is equal to it where the same comes to the same place."""
        new = self.fresh
        if isinstance(new, Later):
            said = new.said
        elif isinstance(new, list):  # of nodes that stand there, in another order
            said = tuple(map(id, new))
        else:
            said = ast.dump(new) if isinstance(new, ast.AST) else new
        return id(self.owner), self.name, self.index, said

    @property
    def line(self) -> int:
        """The number of the line that is changed: a statement may have several."""
        return self.statement.lineno if self.old is None else self.old.lineno

    def swap(self) -> Any:
        """Put the new node in place and return the old one."""
        _put(self.new, self.statement)
        if self.index is None:
            old = getattr(self.owner, self.name)
            setattr(self.owner, self.name, self.new)
            return old
        row = getattr(self.owner, self.name)
        old, row[self.index] = row[self.index], self.new
        return old

    def restore(self, old: Any) -> None:
        """Put the old node back."""
        if self.index is None:
            setattr(self.owner, self.name, old)
        else:
            getattr(self.owner, self.name)[self.index] = old

    def swap_back(self, old: Any) -> Any:
        """Put a node back and return the one that stood there."""
        now = getattr(self.owner, self.name)
        if self.index is not None:
            now = now[self.index]
        self.restore(old)
        return now


def in_its_line(edit: Edit, source: list[str]) -> str:
    """Return the changed line of a statement that has several, "" where the change isn't within one."""
    old, statement = edit.old, edit.statement
    if old is None or old.lineno != old.end_lineno or statement.lineno == statement.end_lineno:
        return ""
    number, line = old.lineno - statement.lineno, source[old.lineno - 1]
    before, after = line.encode()[: old.col_offset].decode(), line.encode()[old.end_col_offset :].decode()
    whole = source[statement.lineno - 1 : statement.end_lineno]
    was = edit.swap()
    wanted = ast.dump(statement)
    edit.restore(was)
    for form in ("{}", "({})"):
        changed = before + form.format(ast.unparse(edit.new)) + after
        try:
            [found] = ast.parse(textwrap.dedent("\n".join([*whole[:number], changed, *whole[number + 1 :]]))).body
        except SyntaxError:
            continue
        if ast.dump(found) == wanted:
            return changed.strip()
    return ""


def spelled(statement: ast.stmt) -> str:
    """Return a statement as people write it: without brackets round several values.

    >>> spelled(ast.parse("a, b = (c, d)").body[0])
    'a, b = c, d'
    """
    text = ast.unparse(statement)
    value = getattr(statement, "value", None)
    if isinstance(value, ast.Tuple) and len(value.elts) > 1 and text.endswith(")"):
        row = ast.unparse(value)
        return text.removesuffix(row) + row[1:-1]
    return text


def where(edit: Edit) -> str:
    """Return what is to be said of a line's place, for one that is new, moved or left out."""
    if edit.says == "inserted":
        return f"  (after line {edit.statement.end_lineno})"
    if edit.says == "removed":
        return "  (leave this line out)"
    if edit.says == "moved":
        place = edit.new.index(edit.statement)
        return f"  (after line {edit.new[place - 1].end_lineno})" if place else "  (first in its block)"
    return ""


def added(edit: Edit) -> ast.stmt:
    """Return the statement that an edit inserts: behind the one that it is told by."""
    new: ast.stmt = edit.new[edit.new.index(edit.statement) + 1]
    return new


def placed(slot: Slot, statement: ast.stmt, cost: int, kind: str, new: Any) -> Edit:
    """Return the edit that puts something in the place of an expression."""
    return Edit(cost, kind, statement, slot.owner, slot.name, slot.index, new, "", slot.node)


def is_target(slot: Slot) -> bool:
    """Return whether an expression is assigned to, rather than read."""
    return slot.name in ("targets", "target") or isinstance(getattr(slot.node, "ctx", None), ast.Store)


def replaced(tables: Tables, statement: ast.stmt, new: ast.stmt, cost: int, kind: str) -> Iterator[Edit]:
    """Yield the edit that puts another statement in the place of one."""
    for owner, name, row in blocks(tables.ran.tree):
        if statement in row:
            yield Edit(cost, kind, statement, owner, name, row.index(statement), new)


def _put(new: Any, statement: ast.stmt) -> None:
    """Give new nodes the place of their statement, so that errors and traces name its line."""
    for part in new if isinstance(new, list) else [new]:
        if (
            isinstance(part, ast.expr)
            or isinstance(part, ast.stmt)
            and not isinstance(part, ast.For | ast.While | ast.If)
        ):
            if isinstance(part, ast.stmt) and getattr(part, "lineno", 0) > 1 and part is not new:
                continue
            _locate(part, statement)


def _locate(node: ast.AST, statement: ast.stmt) -> None:
    """Give a node and all in it the place of a statement, unless they stand in a later line of it."""
    first, last = statement.lineno, statement.end_lineno or 0
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, LOCATED) and not first < getattr(node, "lineno", 0) <= last:
            ast.copy_location(node, statement)
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                waiting += [part for part in value if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST) and value._fields:
                waiting.append(value)
