"""What a function takes out of an argument that holds arrays in dictionaries, lists and objects, by its source."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .code_adapter import Path
from .code_signatures import array_kinds, trees

EACH = -1  # in a path: every entry of a list
LAYERS = 2  # of which a list is made whose length nothing says
DEEPEST = 4  # calls within calls that are followed
SAME = ("list", "tuple", "reversed")  # functions that give what they are given, in some order


def parts_inside(function: Callable[..., Any], argument: str, text: str) -> list[Path]:
    """Return the ways to the arrays in an argument, where some lie deeper than a key, or in a list; else nothing.

    A list is what is walked through, or asked for its length. What functions that are called read comes before what
    the function itself does.

    >>> text = "def forward(x, p): return [[layer['W'] @ x + p['b'][l] for l, layer in enumerate(p['layers'])]]"
    >>> parts_inside(lambda x, p: None, "p", text)  # the function's own source, of one line, comes first
    []
    >>> scope = {}; exec(text, scope); parts_inside(scope["forward"], "p", text)
    [('b', 0), ('b', 1), ('layers', 0, 'W'), ('layers', 1, 'W')]
    """
    whole = list(reversed(trees(function, text)))
    helpers = {node.name: node for tree in whole for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    if function.__name__ not in helpers:
        return []
    reader = _Reader(helpers)
    reader.read(helpers[function.__name__], {argument: {()}})
    found = _whole(reader.found)
    is_list = found == [(EACH,)] and () in reader.walked
    return list(dict.fromkeys(_expanded(found))) if is_list or any(len(path) > 1 for path in found) else []


def _whole(found: Collection[Path]) -> list[Path]:
    """Return the longest paths; where keys are read by name, what reads them by a variable says nothing more."""
    keyed = {path[:-1] for path in found if path and isinstance(path[-1], str)}
    kept = [p for p in found if not any(p[end] == EACH and p[:end] in keyed for end in range(len(p)))]
    return [path for path in kept if path and not any(other[: len(path)] == path != other for other in kept)]


def _expanded(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if EACH not in path:
            yield path
            continue
        place = path.index(EACH)
        yield from _expanded([(*path[:place], number, *path[place + 1 :]) for number in range(LAYERS)])


def walked(target: ast.expr, over: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Give what a loop calls the entries of what it walks through: W and Ws of `for l, W in enumerate(Ws)`."""
    match over:
        case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *_]) if isinstance(target, ast.Tuple):
            yield from walked(target.elts[-1], inner)
        case ast.Call(func=ast.Name(id="zip"), args=rows) if isinstance(target, ast.Tuple):
            for part, row in zip(target.elts, rows, strict=False):
                yield from walked(part, row)
        case ast.Call(func=ast.Name(id=name), args=[inner]) if name in SAME:
            yield from walked(target, inner)
        case ast.Name() | ast.Subscript() | ast.Attribute() if isinstance(target, ast.Name):
            yield target.id, over


@dataclass
class _Reader:
    """Reads functions and those that they call, with paths for the values of names.

    Attributes:
        helpers: name -> function of the file.
        found: the paths that were read, in order.
        walked: those whose entries a loop takes, or whose length is asked for.
        deep: how many calls it is inside.
    """

    helpers: Mapping[str, ast.FunctionDef]
    found: dict[Path, None] = field(default_factory=dict)
    walked: set[Path] = field(default_factory=set)
    deep: int = 0

    def read(self, tree: ast.FunctionDef, names: dict[str, set[Path]]) -> None:
        """Note what a function reads of what its names hold; twice, since loops bring values back."""
        for _ in range(2):
            for node in ast.walk(tree):
                match node:
                    case ast.Assign(targets=[target], value=value):
                        self._bind(target, value, names)
                    case ast.For(target=target, iter=over) | ast.comprehension(target=target, iter=over):
                        self._loop(target, over, names)
                    case ast.Call(func=ast.Name(id="len"), args=[inner]):
                        self.walked |= self._paths(inner, names)
                    case ast.Call(func=ast.Name(id=name)) if name in self.helpers and self.deep < DEEPEST:
                        self._call(self.helpers[name], node, names)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name | ast.Subscript | ast.Attribute):
                self.found |= dict.fromkeys(self._paths(node, names))

    def _bind(self, target: ast.expr, value: ast.expr, names: dict[str, set[Path]]) -> None:
        if isinstance(target, ast.Name):
            names[target.id] = names.get(target.id, set()) | self._paths(value, names)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, other in zip(target.elts, value.elts, strict=True):
                self._bind(one, other, names)

    def _loop(self, target: ast.expr, over: ast.expr, names: dict[str, set[Path]]) -> None:
        for name, row in walked(target, over):
            paths = self._paths(row, names)
            self.walked |= paths
            names[name] = names.get(name, set()) | {(*path, EACH) for path in paths}

    def _call(self, helper: ast.FunctionDef, call: ast.Call, names: dict[str, set[Path]]) -> None:
        inner = {a.arg: self._paths(given, names) for a, given in zip(helper.args.args, call.args, strict=False)}
        inner |= {keyword.arg: self._paths(keyword.value, names) for keyword in call.keywords if keyword.arg}
        if any(inner.values()):
            _Reader(self.helpers, self.found, self.walked, self.deep + 1).read(helper, inner)

    def _paths(self, node: ast.expr, names: Mapping[str, set[Path]]) -> set[Path]:
        """Return what an expression may be, as paths from the argument; nothing where it is something else."""
        match node:
            case ast.Name(id=name):
                return names.get(name, set())
            case ast.Subscript(value=of, slice=ast.Constant(value=str() | int() as key)):
                return {(*path, key) for path in self._paths(of, names)}
            case ast.Subscript(value=of, slice=ast.Name() | ast.BinOp()):
                return {(*path, EACH) for path in self._paths(of, names)}
            case ast.Attribute(value=of, attr=attr) if not any(hasattr(kind, attr) for kind in array_kinds()):
                return {(*path, f".{attr}") for path in self._paths(of, names)}
        return set()
