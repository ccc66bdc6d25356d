"""Which of somebody's functions a backward pass runs, which lines, and what their variables hold."""

from __future__ import annotations

import ast
import builtins
import inspect
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np

from .code_subject import Subject

MOMENTS = 120  # lines, of several steps of a loop over layers within one over time


@dataclass
class Ran:
    """One function at work.

    Attributes:
        function: the object whose code may be replaced.
        tree: its definition.
        file: that it stands in.
        lines: that ran.
        scope: its variables when it last returned, over its globals.
        moments: its variables before each of the last lines that ran, the last one first.
    """

    function: FunctionType
    tree: ast.FunctionDef
    file: ast.Module
    lines: set[int] = field(default_factory=set)
    scope: dict[str, Any] = field(default_factory=dict)
    moments: list[dict[str, Any]] = field(default_factory=list)

    def at(self, moment: dict[str, Any]) -> Ran:
        """Return the same with the variables of another moment."""
        return replace(self, scope={**self.function.__globals__, **moment}, moments=[])


def compiled(tree: ast.FunctionDef, function: FunctionType) -> CodeType:
    """Return the code of a function as its tree now stands, with the variables of a closure left free.

    Raises:
        SyntaxError, ValueError, TypeError: where the tree can't be compiled.
    """
    decorators, tree.decorator_list = tree.decorator_list, []
    outer: list[ast.stmt] = [tree]
    free = function.__code__.co_freevars
    if free:
        names = ast.arguments([], [ast.arg(name) for name in free], None, [], [], None, [])
        outer = [ast.FunctionDef("around", names, [tree], [], lineno=1, col_offset=0)]
    module = ast.Module(outer, [])
    try:
        whole = compile(module, function.__code__.co_filename, "exec")
    except TypeError:  # a node without its place, which is rare, and looking for it slow
        whole = compile(ast.fix_missing_locations(module), function.__code__.co_filename, "exec")
    finally:
        tree.decorator_list = decorators
    code = next(part for part in whole.co_consts if isinstance(part, CodeType))
    return next(part for part in code.co_consts if isinstance(part, CodeType)) if free else code


def traced(subject: Subject, ahead: Callable[[], Any], back: Callable[[], Any]) -> list[Ran]:
    """Return the functions of the file that only the backward pass runs, or all where one function does both."""
    if not subject.text:
        return []
    shared = _codes(subject, ahead) if subject.backward is not None else {}
    found = _codes(subject, back)
    tree = ast.parse(subject.text)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    functions = _functions(subject)
    ran = []
    for code, seen in found.items():
        function = functions.get(code)
        starts = [n for n in nodes if code.co_firstlineno in (n.lineno, *(d.lineno for d in n.decorator_list))]
        if code in shared or function is None or not starts:
            continue
        scope = {**function.__globals__, **seen.scope}
        ran.append(Ran(function, starts[-1], tree, seen.lines, scope, [*reversed(seen.moments)]))
    return ran


def traced_ahead(subject: Subject, ahead: Callable[[], Any]) -> list[Ran]:
    """Return the functions of the file that the forward pass runs."""
    if not subject.text:
        return []
    tree = ast.parse(subject.text)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    functions, ran = _functions(subject), []
    for code, seen in _codes(subject, ahead).items():
        starts = [n for n in nodes if code.co_firstlineno in (n.lineno, *(d.lineno for d in n.decorator_list))]
        if code in functions and starts:
            ran.append(Ran(functions[code], starts[-1], tree, seen.lines, seen.scope))
    return ran


@dataclass
class _Code:
    """What was seen of a code: lines that ran, its variables at its last return and before the last lines."""

    lines: set[int] = field(default_factory=set)
    scope: dict[str, Any] = field(default_factory=dict)
    moments: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MOMENTS))


def _codes(subject: Subject, run: Callable[[], Any]) -> dict[CodeType, _Code]:
    found: dict[CodeType, _Code] = {}
    file = os.path.abspath(subject.file)

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        if os.path.abspath(frame.f_code.co_filename) != file:
            return None
        seen = found.setdefault(frame.f_code, _Code())
        if event == "line":
            seen.lines.add(frame.f_lineno)
            seen.moments.append(dict(frame.f_locals))
        elif event == "return":
            seen.scope.update(frame.f_locals)
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        run()
    except Exception:  # what ran until then is known
        pass
    finally:
        sys.settrace(before)
    return found


def _functions(subject: Subject) -> dict[CodeType, FunctionType]:
    found: dict[CodeType, FunctionType] = {}
    scope = vars(subject.module) if subject.module is not None else getattr(subject.forward, "__globals__", {})
    spaces = [scope, {"forward": subject.forward, "backward": subject.backward}]
    spaces += [vars(value) for value in list(spaces[0].values()) if isinstance(value, type)]
    for space in spaces:
        for value in space.values():
            bare = getattr(value, "__func__", value)
            function = inspect.unwrap(bare) if callable(bare) else None
            if isinstance(function, FunctionType):
                found.setdefault(function.__code__, function)
    return found


KINDS = (ast.Name, ast.Subscript, ast.Attribute, ast.Constant, ast.Slice, ast.Tuple, ast.BinOp, ast.UnaryOp)
MARKS = (ast.expr_context, ast.operator, ast.unaryop)


def may_hold(node: ast.AST) -> bool:
    """Return whether an expression is made of names, entries and attributes alone, so that it calls nothing."""
    return all(isinstance(part, (*KINDS, *MARKS)) for part in ast.walk(node))


def held(scope: dict[str, Any], text: str) -> Any:
    """Return what a name, an entry or an attribute holds at the end of a run, or None."""
    code = _expression(text)
    if code is None:
        return None
    try:
        value = eval(code, {"__builtins__": builtins}, scope)  # names, entries and attributes of theirs alone
        return value.detach().numpy() if hasattr(value, "detach") else value
    except Exception:
        return None


@cache
def _expression(text: str) -> CodeType | None:
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:  # a slice
        return None
    return compile(tree, "<held>", "eval") if may_hold(tree.body) else None


def rows_of(owner: ast.AST) -> Iterator[tuple[str, list[ast.stmt]]]:
    """Yield (name, row) for each block of statements of a node."""
    for name in ("body", "orelse"):
        row = getattr(owner, name, None)
        if isinstance(row, list) and row and isinstance(row[0], ast.stmt):
            yield name, row


def blocks(tree: ast.AST) -> Iterator[tuple[ast.AST, str, list[ast.stmt]]]:
    """Yield (owner, name, row) for each block of statements of a tree."""
    for owner in ast.walk(tree):
        for name, row in rows_of(owner):
            yield owner, name, row


def is_number(value: Any) -> bool:
    """Return whether a value is one number of floating point."""
    return isinstance(value, float | np.floating) or (
        isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind == "f"
    )


def array_shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of an array of at least one axis, else None."""
    return value.shape if isinstance(value, np.ndarray) and value.ndim else None
