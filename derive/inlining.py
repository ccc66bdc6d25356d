"""Putting a cell's lines in the place of its call: names and sizes changed, and what zeros make vanish taken out."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Integer, Symbol

from .cell import Cell
from .functions import FUNCTIONS

VANISHING = ("sum", "dot", "norm", "outer", "lookup")  # of a zero, they are zero


Names = Mapping[str, str]


def put_in(expr: ast.expr, names: Names, sizes: Names, place: ast.expr) -> ast.expr:
    """Return a copy of an expression with its quantities and sizes renamed, all of it standing at `place`."""
    made = copy.deepcopy(expr)
    are_sizes = {part for outer in ast.walk(made) for inner in _sizes_within(outer) for part in ast.walk(inner)}
    functions = {part.func for part in ast.walk(made) if isinstance(part, ast.Call)}
    for part in ast.walk(made):
        if isinstance(part, ast.Name) and part not in functions:
            part.id = (sizes if part in are_sizes else names).get(part.id, part.id)
        if isinstance(part, ast.expr):
            ast.copy_location(part, place)
    return made


def _sizes_within(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ones":
        return node.args
    return [node.slice] if isinstance(node, ast.Subscript) else []


@dataclass(frozen=True)
class Fold:
    """Takes out what zeros make vanish, so that a first step from zero states reads as a person writes it.

    Attributes:
        zeros: names that are zero -> their shapes.
    """

    zeros: Mapping[str, tuple[ast.expr, ...]]

    def is_zero(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self.zeros or is_number(node, 0)

    def fold(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.BinOp(op=op, left=left, right=right):
                left, right = self.fold(left), self.fold(right) if not isinstance(op, ast.Pow) else right
                return self._operation(node, op, left, right)
            case ast.UnaryOp(operand=operand) | ast.Attribute(value=operand) | ast.Subscript(value=operand):
                inner = self.fold(operand)
                if self.is_zero(inner):
                    return zero(node)
                if isinstance(node, ast.UnaryOp):
                    node.operand = inner
                else:
                    node.value = inner
            case ast.Call(func=ast.Name(id=name), args=arguments) if name != "ones":
                return self._call(node, name, [self.fold(argument) for argument in arguments])
        return node

    def _operation(self, node: ast.BinOp, op: ast.operator, left: ast.expr, right: ast.expr) -> ast.expr:
        first, second = self.is_zero(left), self.is_zero(right)
        match op:
            case ast.Add() | ast.Sub() if first and second:
                return zero(node)
            case ast.Add() | ast.Sub() if second:
                return left
            case ast.Add() if first:
                return right
            case ast.Sub() if first:
                return ast.copy_location(ast.UnaryOp(ast.USub(), right), node)
            case ast.Mult() | ast.MatMult() if first or second:
                return zero(node)
            case ast.Div() | ast.Pow() if first:
                return zero(node)
        node.left, node.right = left, right
        return node

    def _call(self, node: ast.Call, name: str, arguments: list[ast.expr]) -> ast.expr:
        empty = [self.is_zero(argument) for argument in arguments]
        if name in FUNCTIONS and all(empty):
            value = FUNCTIONS[name].rule.definition(*(Integer(0) for _ in arguments))
            if value.is_Rational:
                return ast.copy_location(ast.Constant(float(value) if value.q != 1 else int(value)), node)
        if name in VANISHING and any(empty) or all(empty) and name == "concat":
            return zero(node)
        node.args = [
            self._kept(argument) if is_empty else argument for argument, is_empty in zip(arguments, empty, strict=True)
        ]
        return node

    def _kept(self, node: ast.expr) -> ast.expr:
        """Return a zero that has to keep its shape."""
        if isinstance(node, ast.Name) and self.zeros[node.id]:
            function = ast.copy_location(ast.Name("ones", ast.Load()), node)
            ones = ast.copy_location(ast.Call(function, list(self.zeros[node.id]), []), node)
            return ast.copy_location(ast.BinOp(zero(node), ast.Mult(), ones), node)
        return zero(node)


def zero(place: ast.expr) -> ast.Constant:
    return ast.copy_location(ast.Constant(0), place)


def is_number(node: ast.expr, number: int) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, bool) and node.value == number


def size_in(text: str, sizes: Names, place: ast.expr) -> ast.expr:
    """Return a dimension such as "n + m" as a syntax tree, with its names replaced."""
    return put_in(ast.parse(text, mode="eval").body, sizes, sizes, place)


def sizes_of(cell: Cell) -> list[str]:
    """Return the names of a cell's dimensions, sorted."""
    symbols = {size for shape in cell.shapes.values() for part in shape for size in part.atoms(Symbol)}
    return sorted({symbol.name for symbol in symbols} | set(cell.indices.values()))
