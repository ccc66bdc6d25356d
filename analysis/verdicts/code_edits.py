"""Single edits of somebody's backward pass that may mend it: the catalogue of faults, read backwards.

Everything is told from the syntax tree and from what the variables held in a run, nothing from the cell.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .code_tables import Slot, Tables
from .code_traced import Ran, held

SLOPES = ("{0}", "(1 - {0})", "(1 - {0} ** 2)", "{0} * (1 - {0})", "(1 - np.tanh({0}) ** 2)", "np.tanh({0})")


@dataclass(frozen=True)
class Edit:
    """Another node at a place of the tree.

    Attributes:
        cost: how far-fetched it is.
        kind: of fault that it mends.
        statement: in which it stands, or after which a new one comes.
        owner, name, index: where the node stands: `owner.name`, or `owner.name[index]`.
        new: node, operator or list of statements.
        says: the statement's place: "" for a changed one, "inserted", "moved", "removed".
        old: the expression that stands there now, where it is one.
    """

    cost: int
    kind: str
    statement: ast.stmt
    owner: Any
    name: str
    index: int | None
    new: Any
    says: str = ""
    old: ast.expr | None = None

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


def edits(ran: Ran, ours: tuple[str, ...] = ()) -> list[Edit]:
    """Return the edits of one function, likelier ones first; `ours` are right sides that are tried for each line."""
    tables = Tables(ran, ours)
    found: list[Edit] = []
    for statement in tables.statements:
        for rule in RULES:
            found += rule(tables, statement)
        if isinstance(statement, ast.Assign) and not isinstance(statement.targets[0], ast.Tuple):
            found += [Edit(4, "", statement, statement, "value", None, tables.parse(text)) for text in ours]
    for rule_of_blocks in BLOCKS:
        found += rule_of_blocks(tables)
    return sorted(found, key=lambda edit: edit.cost)


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
            for node in ast.walk(part):
                inside = statement.lineno < getattr(node, "lineno", 0) <= (statement.end_lineno or 0)
                if isinstance(node, ast.expr | ast.stmt | ast.keyword) and not inside:
                    ast.copy_location(node, statement)


def _is_product(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.MatMult)
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("dot", "matmul", "outer", "einsum")


def _at(slot: Slot, statement: ast.stmt, cost: int, kind: str, new: Any) -> Edit:
    return Edit(cost, kind, statement, slot.owner, slot.name, slot.index, new, "", slot.node)


def _is_target(slot: Slot) -> bool:
    return slot.name in ("targets", "target") or isinstance(getattr(slot.node, "ctx", None), ast.Store)


def _atoms(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """Another quantity of the same shape, the square of one, a function of one, its transpose."""
    inner: set[int] = set()
    for slot in tables.slots(statement):
        node = slot.node
        if not isinstance(node, ast.Name | ast.Subscript | ast.Attribute) or id(node) in inner or _is_target(slot):
            continue
        shape = tables.shape(node)
        if shape is None:
            continue
        text = ast.unparse(node)
        if isinstance(node, ast.Attribute) and node.attr == "T":
            inner.add(id(node.value))
            yield _at(slot, statement, 1, "transpose", node.value)
            for other in tables.like(shape[::-1]):
                if f"{other}.T" != text:
                    yield _at(slot, statement, 2, "mix-up", tables.parse(f"{other}.T"))
            continue
        inner |= {id(part) for part in ast.walk(node) if part is not node}
        if len(shape) == 2:
            yield _at(slot, statement, 1, "transpose", tables.parse(f"{text}.T"))
        for other in tables.like(shape):
            if other != text:
                near = other.split("[")[0] == text.split("[")[0]
                yield _at(slot, statement, 1 if near else 2, "time" if near else "mix-up", tables.parse(other))
        yield _at(slot, statement, 2, "activation", tables.parse(f"{text} ** 2"))
        yield _at(slot, statement, 2, "activation", tables.parse(f"np.tanh({text})"))
        yield _at(slot, statement, 3, "factor", tables.parse(f"(1 - {text})"))


def _parts(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """Leave out an operand, change an operator, unwrap or change a call, move a constant."""
    for slot in tables.slots(statement):
        match slot.node:
            case ast.BinOp(left=left, op=op, right=right) as node:
                if isinstance(op, ast.Add | ast.Sub) and isinstance(right, ast.Constant) and right.value == 1:
                    yield _at(slot, statement, 1, "time", left)
                yield _at(slot, statement, 2, "factor", left)
                yield _at(slot, statement, 2, "factor", right)
                for other in _operators(op):
                    yield Edit(1, "sign", statement, node, "op", None, other)
                if _is_product(node):
                    yield _at(slot, statement, 2, "transpose", ast.BinOp(right, op, left, lineno=1, col_offset=0))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                yield _at(slot, statement, 1, "sign", operand)
            case ast.Call(func=function, args=args, keywords=keywords) as node:
                last = ast.unparse(function).split(".")[-1]
                if len(args) == 1 and not keywords:
                    yield _at(slot, statement, 2, "activation", args[0])
                if isinstance(function, ast.Attribute) and args and last in ("clip", "dot", "reshape", "mean", "sum"):
                    yield _at(
                        slot,
                        statement,
                        2,
                        "factor",
                        args[0]
                        if held(tables.ran.scope, function.value) is None
                        or ast.unparse(function.value) in ("np", "numpy")
                        else function.value,
                    )
                if len(args) == 2 and _is_product(node):
                    yield Edit(2, "transpose", statement, node, "args", None, args[::-1])
                for one, proper in (("mean", "sum"), ("cosh", "tanh"), ("sinh", "tanh"), ("tanh", "sigmoid")):
                    if last == one and isinstance(function, ast.Attribute):
                        yield Edit(1, "scale", statement, function, "attr", None, proper)
            case ast.Constant(value=bool()):
                continue
            case ast.Constant(value=int() | float() as value):
                for near in (value - 1, value + 1, -value):
                    text = f"({near!r})" if near < 0 else repr(near)
                    yield _at(slot, statement, 1, "sign" if near == -value else "axis or index", tables.parse(text))
            case ast.Slice() as node:
                if node.lower is not None and node.upper is None:
                    yield _at(slot, statement, 2, "axis or index", ast.Slice(None, node.lower, None))
                if node.upper is not None and node.lower is None:
                    yield _at(slot, statement, 2, "axis or index", ast.Slice(node.upper, None, None))
            case ast.Name(id=name) if isinstance(held(tables.ran.scope, slot.node), int) and not _is_target(slot):
                yield _at(slot, statement, 2, "time", tables.parse(f"{name} - 1"))
                yield _at(slot, statement, 2, "time", tables.parse(f"{name} + 1"))


def _operators(op: ast.operator) -> list[ast.operator]:
    table = {
        ast.Add: (ast.Sub,),
        ast.Sub: (ast.Add,),
        ast.Mult: (ast.MatMult, ast.Div, ast.Add),
        ast.Div: (ast.Mult,),
        ast.MatMult: (ast.Mult,),
    }
    return [other() for kind, others in table.items() if isinstance(op, kind) for other in others]


def _roots(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """A factor or a term more, on the right side and on each of its terms; = for += and back."""
    if not isinstance(statement, ast.Assign | ast.AugAssign):
        return
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    if isinstance(target, ast.Tuple):
        if isinstance(statement.value, ast.Tuple):
            for index, (part, value) in enumerate(zip(target.elts, statement.value.elts, strict=False)):
                yield from _grown(tables, statement, Slot(value, statement.value, "elts", index), tables.shape(part))
        return
    if not isinstance(target, ast.Name | ast.Attribute | ast.Subscript):
        return
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        added = ast.AugAssign(target, ast.Add(), statement.value, lineno=statement.lineno, col_offset=0)
        yield from _replaced(tables, statement, added, 1, "accumulation")
    elif isinstance(statement, ast.AugAssign):
        plain = ast.Assign([target], statement.value, lineno=statement.lineno, col_offset=0)
        yield from _replaced(tables, statement, plain, 2, "accumulation")
        if isinstance(statement.op, ast.Sub | ast.Add):
            yield Edit(
                1,
                "sign",
                statement,
                statement,
                "op",
                None,
                ast.Add() if isinstance(statement.op, ast.Sub) else ast.Sub(),
            )
    yield from _renamed(tables, statement)
    for slot in tables.slots(statement):
        if _is_operand(slot) and (inner := tables.shape(slot.node)) is not None:
            for atom in tables.near(inner):
                yield _at(slot, statement, 3, "factor", tables.parse(f"{ast.unparse(slot.node)} * {atom}"))
    shape = tables.shape(target)
    for term in _terms(Slot(statement.value, statement, "value", None)):
        yield from _grown(tables, statement, term, shape)


def _is_operand(slot: Slot) -> bool:
    """Return whether something is a side of a product, or one of several parts that are put together."""
    return isinstance(slot.owner, ast.List | ast.BinOp | ast.Call) and (
        isinstance(slot.owner, ast.List) or _is_product(slot.owner) and slot.name in ("args", "left", "right")
    )


def _renamed(tables: Tables, statement: ast.Assign | ast.AugAssign) -> Iterator[Edit]:
    """Another name at every place where a name stands on the right side."""
    text = ast.unparse(statement.value)
    for atom, shape in tables.atoms.items():
        pattern = rf"(?<![\w.]){re.escape(atom)}(?![\w\[.])"
        if len(re.findall(pattern, text)) > 1:
            for other in tables.like(shape):
                if other != atom:
                    new = tables.parse(re.sub(pattern, other.replace("\\", ""), text))
                    near = other.split("[")[0] == atom.split("[")[0]
                    kind = "time" if near else "mix-up"
                    yield Edit(1 if near else 2, kind, statement, statement, "value", None, new)


def _terms(slot: Slot) -> Iterator[Slot]:
    yield slot
    if isinstance(slot.node, ast.BinOp) and isinstance(slot.node.op, ast.Add | ast.Sub):
        yield from _terms(Slot(slot.node.left, slot.node, "left", None))
        yield from _terms(Slot(slot.node.right, slot.node, "right", None))


def _grown(tables: Tables, statement: ast.stmt, slot: Slot, shape: tuple[int, ...] | None) -> Iterator[Edit]:
    text = ast.unparse(slot.node)
    root = isinstance(slot.owner, ast.stmt | ast.Tuple)
    for atom in tables.near(shape):
        for slope in SLOPES:
            kind = "factor" if slope == "{0}" else "activation"
            yield _at(slot, statement, 3, kind, tables.parse(f"({text}) * {slope.format(atom)}"))
    for atom in tables.like(shape):
        if root:
            yield _at(slot, statement, 3, "dropped carry", tables.parse(f"{text} + {atom}"))
    if not root:
        return
    for clone in tables.products(shape):
        yield _at(slot, statement, 4, "missing path", tables.parse(f"{text} + {clone}"))
    near = tables.near(shape)
    for number, one in enumerate(near):
        for other in near[number + 1 :]:
            yield _at(slot, statement, 5, "missing path", tables.parse(f"{text} + {one} * {other}"))


def _replaced(tables: Tables, statement: ast.stmt, new: ast.stmt, cost: int, kind: str) -> Iterator[Edit]:
    for owner, name, row in _blocks(tables):
        if statement in row:
            yield Edit(cost, kind, statement, owner, name, row.index(statement), new)


def _blocks(tables: Tables) -> Iterator[tuple[Any, str, list[ast.stmt]]]:
    for owner in ast.walk(tables.ran.tree):
        for name in ("body", "orelse"):
            row = getattr(owner, name, None)
            if isinstance(row, list) and row and isinstance(row[0], ast.stmt):
                yield owner, name, row


def _moves(tables: Tables) -> Iterator[Edit]:
    """Move a statement within its block, or leave one out."""
    for owner, name, row in _blocks(tables):
        for index, statement in enumerate(row):
            if statement not in tables.statements or isinstance(statement, ast.For | ast.While):
                continue
            rest = [*row[:index], *row[index + 1 :]]
            if rest:
                yield Edit(4, "factor", statement, owner, name, None, rest, "removed")
            for place in range(len(row)):
                if place != index:
                    moved = [*rest[:place], statement, *rest[place:]]
                    yield Edit(
                        3 if abs(place - index) == 1 else 4, "stale", statement, owner, name, None, moved, "moved"
                    )


def _inserted(tables: Tables) -> Iterator[Edit]:
    """Add a statement: what is carried to the step before, or one like another with other names."""
    for owner, name, row in _blocks(tables):
        if not isinstance(owner, ast.For):
            continue
        used = {node.id for node in ast.walk(owner) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        made = {node.id for node in ast.walk(owner) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        lines = []
        for target in sorted(used - made):
            near = tables.like(tables.shape(tables.parse(target)))
            lines += [(4, f"{target} = {text}") for text in tables.ours]
            lines += [(5, f"{target} = {one}") for one in near if one != target]
            lines += [(5, f"{target} = {clone}") for clone in tables.products(tables.shape(tables.parse(target)))]
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
            [new] = ast.parse(line).body
            yield Edit(cost, "dropped carry", row[-1], owner, name, None, [*row, new], "inserted")


def _siblings(tables: Tables, statement: ast.AugAssign) -> Iterator[str]:
    """Yield the statement with another target of the same shape, and other names on its right side."""
    shape, text = tables.shape(statement.target), ast.unparse(statement.value)
    names = [node for node in ast.walk(statement.value) if isinstance(node, ast.Name) and tables.shape(node)]
    for target in tables.like(shape):
        if target != ast.unparse(statement.target):
            for node in names:
                for other in tables.like(tables.shape(node)):
                    yield f"{target} += {text.replace(node.id, other, 1)}"


Rule = Callable[[Tables, ast.stmt], Iterator[Edit]]
RULES: tuple[Rule, ...] = (_atoms, _parts, _roots)
BLOCKS: tuple[Callable[[Tables], Iterator[Edit]], ...] = (_moves, _inserted)
