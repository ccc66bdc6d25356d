"""Cells that differ from a cell in one place: what a forward pass may be that isn't quite a known cell.

Edits are made to the cell's text, equation by equation; none of them knows which cell it is.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...derive.cell import Cell, parse
from ...derive.errors import Error

ACTIVATIONS = ("tanh", "sigmoid", "relu")


@dataclass(frozen=True)
class Edited:
    """A cell with one edit.

    Attributes:
        cell: as it is now.
        says: what differs, in a sentence.
        convention: whether it is a matter of convention rather than another cell.
    """

    cell: Cell
    says: str
    convention: bool = False


def edited(cell: Cell) -> tuple[Edited, ...]:
    """Return the cells that one edit makes of a cell, conventions first.

    >>> from ...derive.cell import load
    >>> [found.says for found in edited(load("rnn"))][0]
    'no tanh: h = W_hh @ h + W_xh @ x + b_h'
    """
    lines = replace(cell, doc="").text.splitlines()
    found: list[Edited] = []
    seen = {tuple(lines)}
    for number, line in enumerate(lines):
        if " = " not in line:
            continue
        for text, says, convention in _of_line(lines, number):
            if tuple(text) in seen:
                continue
            seen.add(tuple(text))
            try:
                found.append(Edited(parse("\n".join(text), cell.name), says, convention))
            except Error:
                continue
    return tuple(sorted(found, key=lambda edit: not edit.convention))


def _of_line(lines: list[str], number: int) -> Iterator[tuple[list[str], str, bool]]:
    target, written = lines[number].split(" = ", 1)
    tree = ast.parse(written, mode="eval").body
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "sigmoid":
        after = [_complement(line, target) if " = " in line else line for line in lines[number + 1 :]]
        yield [*lines[: number + 1], *after], f"{target} and 1 − {target} have changed places", True
    for says, other in _variants(tree):
        line = f"{target} = {ast.unparse(other)}"
        yield [*lines[:number], line, *lines[number + 1 :]], f"{says}: {line}", False


def _complement(line: str, name: str) -> str:
    target, written = line.split(" = ", 1)

    class Swap(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return ast.parse(f"(1 - {name})", mode="eval").body if node.id == name else node

    return f"{target} = {ast.unparse(Swap().visit(ast.parse(written, mode='eval')))}"


def _variants(tree: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield (what differs, expression) for each single edit of an expression."""
    for place, node in enumerate(ast.walk(tree)):
        for says, other in _local(node):
            if place == 0:
                yield says, other
                continue
            whole = copy.deepcopy(tree)
            target = list(ast.walk(whole))[place]
            for parent in ast.walk(whole):
                for field, value in ast.iter_fields(parent):
                    if value is target:
                        setattr(parent, field, other)
                    elif isinstance(value, list) and any(part is target for part in value):
                        setattr(parent, field, [other if part is target else part for part in value])
            yield says, whole


def _local(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in ACTIVATIONS:
            yield f"no {name}", argument
            for other in ACTIVATIONS:
                if other != name:
                    yield f"{other} for {name}", ast.Call(ast.Name(other), [argument], [])
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield f"no {ast.unparse(right)}", left
            yield f"no {ast.unparse(left)}", right
            yield "− for +", ast.BinOp(left, ast.Sub(), right)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            yield f"no factor {ast.unparse(right)}", left
            yield f"no factor {ast.unparse(left)}", right
        case ast.BinOp(left=ast.Constant(), op=ast.Sub(), right=right):
            yield f"{ast.unparse(right)} for {ast.unparse(node)}", right
