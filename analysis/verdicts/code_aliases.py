"""Edits where two names or entries hold one array, so that what is written to one is written to both."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .code_edit import Edit, is_target, placed, replaced
from .code_tables import Tables
from .code_traced import Ran


def aliases(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """A copy, or a sum that isn't made in place, or an array for each of several names or entries."""
    match statement:
        case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
            whole = ast.BinOp(ast.Name(name, ast.Load()), op, value)
            plain = ast.Assign([target], whole, lineno=statement.lineno, col_offset=0)
            yield from replaced(tables, statement, plain, 2, "aliasing")
        case ast.Assign(targets=[_, _, *_] as targets, value=value):
            several = ast.Tuple(list(targets), ast.Store()), ast.Tuple([value] * len(targets), ast.Load())
            plain = ast.Assign([several[0]], several[1], lineno=statement.lineno, col_offset=0)
            yield from replaced(tables, statement, plain, 2, "aliasing")
    yield from copies(tables, statement)
    for slot in tables.slots(statement):
        match slot.node:
            case ast.BinOp(left=ast.List(elts=[one]), op=ast.Mult(), right=count):
                text = f"[{ast.unparse(one)} for _ in range({ast.unparse(count)})]"
                yield placed(slot, statement, 2, "aliasing", tables.later(text))


def copies(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """A copy of an array that is kept under another name, or in a list or a tuple."""
    for slot in tables.slots(statement):
        kept = isinstance(slot.owner, ast.Tuple | ast.List | ast.Assign)
        kept |= isinstance(slot.owner, ast.Call) and ast.unparse(slot.owner.func).endswith((".append", ".insert"))
        held = isinstance(slot.node, ast.Name | ast.Subscript | ast.Attribute) and not is_target(slot)
        if kept and held and tables.shape(slot.node) is not None:
            yield placed(slot, statement, 2, "aliasing", tables.later(f"{ast.unparse(slot.node)}.copy()"))


def copies_in(ran: Ran, ours: tuple[str, ...] = ()) -> list[Edit]:
    """Return the copies in one function: what the forward pass keeps may be written to before it is read again."""
    tables = Tables(ran, ours)
    return [edit for statement in tables.statements for edit in copies(tables, statement)]
