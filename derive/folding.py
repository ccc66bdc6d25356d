"""What zeros make vanish: a first step from zero states, written as a person writes it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from sympy import Integer

from .functions import FUNCTIONS

VANISHING = ("sum", "dot", "norm", "outer", "lookup")  # of a zero, they are zero


@dataclass(frozen=True)
class Fold:
    """Takes zeros out of expressions.

    Attributes:
        zeros: names that are zero -> their shapes.
    """

    zeros: Mapping[str, tuple[ast.expr, ...]]

    def is_zero(self, node: ast.expr) -> bool:
        """Return whether an expression, as it stands, is 0."""
        return isinstance(node, ast.Name) and node.id in self.zeros or is_number(node, 0)

    def fold(self, node: ast.expr) -> ast.expr:
        """Return an expression without what vanishes: 0 where all of it does."""
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
        return zeros(self.zeros[node.id], node) if isinstance(node, ast.Name) else zero(node)


def zero(place: ast.expr) -> ast.Constant:
    return ast.copy_location(ast.Constant(0), place)


def zeros(shape: tuple[ast.expr, ...], place: ast.expr) -> ast.expr:
    """Return zeros of a shape, `0 * ones(n)`, and 0 for a number."""
    if not shape:
        return zero(place)
    function = ast.copy_location(ast.Name("ones", ast.Load()), place)
    ones = ast.copy_location(ast.Call(function, list(shape), []), place)
    return ast.copy_location(ast.BinOp(zero(place), ast.Mult(), ones), place)


def is_number(node: ast.expr, number: int) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, bool) and node.value == number
