"""What zeros make vanish: a first step from zero states, written as a person writes it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from sympy import Integer

from .errors import Error
from .functions import FUNCTIONS
from .syntax import exponent

VANISHING = ("sum", "dot", "norm", "outer", "lookup")  # of a zero, they are zero
Sizes = tuple[ast.expr, ...]


@dataclass(frozen=True)
class Fold:
    """Takes zeros out of expressions.

    Attributes:
        zeros: names that are zero.
        shape: the shape of an expression, as it was written.
        fail: (message) -> the error that says so.
    """

    zeros: set[str]
    shape: Callable[[ast.expr], Sizes]
    fail: Callable[[str], Error]

    def is_zero(self, node: ast.expr) -> bool:
        """Return whether an expression, as it stands, is 0."""
        return isinstance(node, ast.Name) and node.id in self.zeros or is_number(node, 0)

    def fold(self, node: ast.expr) -> ast.expr:
        """Return an expression without what vanishes: 0, whatever its shape, where all of it does."""
        match node:
            case ast.BinOp(op=ast.Pow(), left=left, right=right):
                return self._power(node, self.fold(left), right)
            case ast.BinOp():
                return self._operation(node, self.fold(node.left), self.fold(node.right))
            case ast.UnaryOp(operand=operand) | ast.Attribute(value=operand) | ast.Subscript(value=operand):
                inner = self.fold(operand)
                if self.is_zero(inner):
                    return zero(node)
                if isinstance(node, ast.UnaryOp):
                    node.operand = inner
                else:
                    node.value = inner
            case ast.Call(func=ast.Name(id=name)) if name != "ones":
                return self._call(node, name, [self.fold(argument) for argument in node.args])
        return node

    def _power(self, node: ast.BinOp, base: ast.expr, by: ast.expr) -> ast.expr:
        node.left = base
        if not self.is_zero(base):
            return node
        number = exponent(by) or 0
        if number < 0:
            raise self.fail("a power of 0 with a negative exponent")
        return zero(node) if number else self._filled(1, node)

    def _operation(self, node: ast.BinOp, left: ast.expr, right: ast.expr) -> ast.expr:
        first, second = self.is_zero(left), self.is_zero(right)
        match node.op:
            case ast.Div() if second:
                raise self.fail("a division by 0")
            case ast.Mult() | ast.MatMult() if first or second:
                return zero(node)
            case ast.Div() if first:
                return zero(node)
            case ast.Add() | ast.Sub() if first and second:
                return zero(node)
            case ast.Add() | ast.Sub() if second and self._same_shape(node, node.left):
                return left
            case ast.Add() if first and self._same_shape(node, node.right):
                return right
            case ast.Sub() if first and self._same_shape(node, node.right):
                return ast.copy_location(ast.UnaryOp(ast.USub(), right), node)
        node.left, node.right = self._kept(node.left, left), self._kept(node.right, right)
        return node

    def _call(self, node: ast.Call, name: str, arguments: list[ast.expr]) -> ast.expr:
        empty = [self.is_zero(argument) for argument in arguments]
        if name in FUNCTIONS and all(empty):
            value = FUNCTIONS[name].rule.definition(*(Integer(0) for _ in arguments))
            if value == 0:
                return zero(node)
            if value.is_Rational:
                return self._filled(float(value) if value.q != 1 else int(value), node)
        if name in VANISHING and any(empty) or all(empty) and name == "concat":
            return zero(node)
        node.args = [self._kept(written, folded) for written, folded in zip(node.args, arguments, strict=True)]
        return node

    def _same_shape(self, whole: ast.expr, side: ast.expr) -> bool:
        return len(self.shape(whole)) == len(self.shape(side))

    def _kept(self, written: ast.expr, folded: ast.expr) -> ast.expr:
        """Return what an expression became, zeros in their full shape."""
        return self._filled(0, written) if self.is_zero(folded) else folded

    def _filled(self, value: float, node: ast.expr) -> ast.expr:
        """Return a number in the place of an expression, in its shape."""
        return filled(value, self.shape(node), node)


def filled(value: float, shape: Sizes, place: ast.expr) -> ast.expr:
    """Return `value * ones(n)` for a shape, the value alone for a number."""
    number = ast.copy_location(ast.Constant(value), place)
    if not shape:
        return number
    ones = ast.copy_location(ast.Call(ast.copy_location(ast.Name("ones", ast.Load()), place), list(shape), []), place)
    return ones if value == 1 else ast.copy_location(ast.BinOp(number, ast.Mult(), ones), place)


def zero(place: ast.expr) -> ast.Constant:
    """Return 0."""
    return ast.copy_location(ast.Constant(0), place)


def is_number(node: ast.expr, number: int) -> bool:
    """Return whether an expression is this number, written out."""
    return isinstance(node, ast.Constant) and not isinstance(node.value, bool | str) and node.value == number
