"""What the source of a function says of it: its arguments, what it takes out of them, what it returns."""

from __future__ import annotations

import ast
import contextlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

import numpy as np

from ...derive.errors import Error
from .code_adapter import Path
from .code_names import role


def optional_names(function: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments whose default is None."""
    try:
        return [n for n, p in inspect.signature(function).parameters.items() if p.default is None]
    except (TypeError, ValueError):
        return []


def sizes_with_defaults(make: Callable[..., Any]) -> list[str]:
    """Return the arguments of a class that are sizes with a default, where they directly follow those without one."""
    try:
        rest = [p for p in inspect.signature(make).parameters.values() if p.default is not inspect.Parameter.empty]
    except (TypeError, ValueError):
        return []
    whole = [role(p.name) == "size" and isinstance(p.default, int) for p in rest]
    return [p.name for p in rest[: whole.index(False) if False in whole else None]]


def parameters(function: Callable[..., Any], method: bool) -> list[str]:
    """Return the names of the arguments that have no default.

    Raises:
        Error: where the function doesn't say what it takes.
    """
    try:
        names = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise Error(
            f"{function} doesn't say what it takes: wrap it in a Python function with named arguments"
        ) from None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    plain = [n for n, p in names.items() if p.default is inspect.Parameter.empty and p.kind not in kinds]
    return plain[1:] if method else plain


def returned_names(function: Callable[..., Any] | None, alone: bool = False) -> dict[Path, str]:
    """Return place -> what stands there in the function's last `return`: names for tie-breaks.

    Args:
        function: as written.
        alone: leave out what is an expression, of which else the first name is taken.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))) if function is not None else None
    except (OSError, TypeError, SyntaxError, IndentationError):
        return {}
    ends = [node.value for node in _own(tree.body[0]) if isinstance(node, ast.Return) and node.value] if tree else []
    found: dict[Path, str] = {}

    def visit(node: ast.expr, path: Path) -> None:
        if isinstance(node, ast.Tuple | ast.List):
            for index, part in enumerate(node.elts):
                if isinstance(part, ast.Starred):  # how many that is, and so the places behind it, aren't known
                    return
                visit(part, (*path, index))
            return
        if isinstance(node, ast.Dict):
            for key in node.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    found[(*path, key.value)] = key.value
            return
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            found[path] = node.attr
            return
        if alone and not isinstance(node, ast.Name):
            return
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id not in ("np", "numpy", "self")]
        found[path] = names[0] if names else ast.unparse(node)

    if ends:
        visit(ends[-1], ())
    return found


def _own(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without those of functions inside it."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield node
            yield from _own(node)


def trees(function: Callable[..., Any], text: str) -> list[ast.AST]:
    """Return the syntax trees of a function and of the file that it is in, where there are any; only to be read."""
    found: list[ast.AST] = []
    with contextlib.suppress(OSError, TypeError, SyntaxError, IndentationError):
        found.append(_parsed(textwrap.dedent(inspect.getsource(function))))
    return [*found, _parsed(text)] if text else found


@lru_cache(maxsize=64)
def _parsed(text: str) -> ast.AST:
    return ast.parse(text)


def picks_entries(function: Callable[..., Any], argument: str) -> bool:
    """Return whether an argument, or an entry of it, stands among the indices of another array: p[range(T), labels]."""
    for tree in trees(function, "")[:1]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript):
                indices = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
                arrays = [index.value if isinstance(index, ast.Subscript) else index for index in indices]
                if any(isinstance(array, ast.Name) and array.id == argument for array in arrays):
                    return True
    return False


def keys_read(function: Callable[..., Any], argument: str, text: str) -> list[str]:
    """Return what is taken out of an argument, from the source: keys p["Wf"], attributes p.Wf as ".Wf"."""
    for tree in trees(function, text):
        found = []
        methods = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            match node:
                case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))) if name == argument:
                    found.append(key)
                case ast.Attribute(value=ast.Name(id=name), attr=key) if name == argument and id(node) not in methods:
                    if not any(hasattr(kind, key) for kind in array_kinds()):
                        found.append(f".{key}")
        if found:
            return list(dict.fromkeys(found))
    return []


def is_written_to(function: Callable[..., Any], argument: str, text: str) -> bool:
    """Return whether the source asks an argument for attributes, or puts entries into it, as into a context."""
    for tree in trees(function, text)[:1]:
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id=name), attr=key) if name == argument:
                    if key not in dir(np.ndarray):
                        return True
                case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store()) if name == argument:
                    return True
    return False


def array_kinds() -> tuple[type, ...]:
    """Return the classes of what an argument may be that isn't a group of parameters."""
    torch = sys.modules.get("torch")
    return (np.ndarray, dict, list) if torch is None else (np.ndarray, dict, list, torch.Tensor)


def parts_read(function: Callable[..., Any], argument: str, text: str) -> list[str]:
    """Return the names that a tuple is taken apart into, from the source: Wx, Wh, b = params."""
    for tree in trees(function, text):
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Tuple(elts=parts)], value=ast.Name(id=name)) if name == argument:
                    return [ast.unparse(part) for part in parts]
    return []


def names_read(code: CodeType) -> Iterator[str]:
    """Yield the names of globals and attributes that a function reads, with those of what is defined inside it."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from names_read(inner)


def is_float(value: Any) -> bool:
    """Return whether a value is an array of floating-point numbers."""
    return isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
