"""How the source of a forward pass uses its parameters: which multiply, on which side, and what; which never do."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .code_adapter import Path
from .code_groups import walked
from .code_signatures import trees

PRODUCTS = ("dot", "matmul")
ASKED = ("shape", "size", "ndim", "dtype", "zeros_like", "ones_like", "empty_like")
TURNS = ("T", "transpose")
DEEPEST = 4  # calls within calls that are followed


@dataclass(frozen=True)
class Use:
    """How a parameter is used.

    Attributes:
        sides: of products on which it stands: "left" (W @ h), "right" (h @ W), "outer" of an outer one.
        reads: whether a product is with an input.
        hidden: whether it is also used in ways that the source doesn't tell.
    """

    sides: frozenset[str] = frozenset()
    reads: bool = False
    hidden: bool = False

    @property
    def is_flat(self) -> bool:
        """Whether it is only ever added to products, as a bias is, or multiplied entry by entry, or outwards."""
        return not self.hidden and self.sides <= {"outer"}


UNKNOWN = Use(hidden=True)


def uses(function: Callable[..., Any], text: str, paths: Mapping[Path, str], inputs: Iterable[str]) -> dict[Path, Use]:
    """Return parameter -> how it is used.

    Args:
        function: the forward pass.
        text: of the file that it is in.
        paths: of parameters -> the name that a part of a tuple is given; entries of a list have none.
        inputs: names of the arguments that are inputs.

    >>> def forward(x, W, U, b): return W @ x + x.dot(U.T) + b
    >>> found = uses(forward, "def forward(x, W, U, b): return W @ x + x.dot(U.T) + b", {("W",): "", ("b",): ""}, "x")
    >>> found[("W",)], found[("b",)].is_flat
    (Use(sides=frozenset({'left'}), reads=True, hidden=False), True)
    """
    whole = reversed(trees(function, text))  # the function's own source comes first, and so counts
    helpers = {node.name: node for tree in whole for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    if function.__name__ not in helpers:
        return {}
    tree = helpers[function.__name__]
    listed = {p: (p[0], 0) for p, label in paths.items() if len(p) == 2 and isinstance(p[1], int) and not label}
    spelled = {_spelled(path, label): path for path, label in paths.items() if path not in listed}
    spelled |= {text: first for first in listed.values() for text in _entries(tree, str(first[0]))}
    found = _Reader(helpers).uses(tree, spelled, set(inputs))
    return found | {path: found[first] for path, first in listed.items() if first in found}


@dataclass(frozen=True)
class _Reader:
    """Reads functions, and those that they call.

    Attributes:
        helpers: name -> function of the file.
        deep: how many calls it has followed.
    """

    helpers: Mapping[str, ast.FunctionDef]
    deep: int = 0

    def uses(self, tree: ast.FunctionDef, spelled: Mapping[str, Path], inputs: set[str]) -> dict[Path, Use]:
        """Return parameter -> how a function uses it.

        Args:
            tree: of the function.
            spelled: how a parameter is written -> the parameter.
            inputs: names of the arguments that are inputs.
        """
        aliases = _aliases(tree, spelled)
        above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        read = _reading(tree, inputs)
        found: dict[Path, list[Use]] = {path: [] for path in spelled.values()}
        for node in ast.walk(tree):
            if isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
                path = aliases.get(node.id) if isinstance(node, ast.Name) else spelled.get(ast.unparse(node))
                if path is not None:
                    found[path] += self._use(node, above, read)
        return {path: _joined(seen) for path, seen in found.items()}

    def _use(self, node: ast.expr, above: Mapping[ast.AST, ast.AST], inputs: set[str]) -> list[Use]:
        """Return how an expression that is a parameter is used where it stands; nothing where it is only named anew."""
        node, turned = _turned(node, above)
        parent = above[node]
        match parent:
            case ast.BinOp(left=left, op=ast.MatMult(), right=right):
                return [_side(left is node, turned, right if left is node else left, inputs)]
            case ast.Call(func=ast.Attribute(attr=attr), args=[left, right]) if attr in PRODUCTS:
                return [_side(left is node, turned, right if left is node else left, inputs)]
            case ast.Call(func=ast.Attribute(value=left, attr="dot"), args=[right]) if right is node:
                return [_side(False, turned, left, inputs)]
            case ast.Attribute(attr="dot"):
                return [_side(True, turned, above[parent], inputs)]
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right) if not turned:
                return [Use() if _has_product(right if left is node else left) else UNKNOWN]
            case ast.AugAssign(op=ast.Add() | ast.Sub()) | ast.BinOp(op=ast.Mult() | ast.Div()) if not turned:
                return [Use()]
            case ast.Call(func=ast.Attribute(attr="outer")):
                return [Use(frozenset({"outer"}))]
            case ast.Call(func=ast.Name(id=name), args=args) if name in self.helpers and self.deep < DEEPEST:
                return [self._in_helper(self.helpers[name], args, node, inputs)]
            case ast.Attribute(attr=name) | ast.Call(func=ast.Attribute(attr=name)) if name in ASKED:
                return []
            case ast.Assign() | ast.Tuple() | ast.List() | ast.Dict() | ast.Return():
                return []
        return [UNKNOWN]

    def _in_helper(self, helper: ast.FunctionDef, args: list[ast.expr], node: ast.expr, inputs: set[str]) -> Use:
        """Return how a function uses what it is given at a place among its arguments."""
        names = [argument.arg for argument in helper.args.args]
        if node not in args or len(args) > len(names):
            return UNKNOWN
        name = names[args.index(node)]
        read = {inner for inner, given in zip(names, args, strict=False) if _names(given) & inputs}
        return _Reader(self.helpers, self.deep + 1).uses(helper, {name: (name,)}, read)[name,]


def _joined(seen: list[Use]) -> Use:
    return Use(
        frozenset().union(*(use.sides for use in seen)),
        any(use.reads for use in seen),
        not seen or any(use.hidden for use in seen),
    )


def _spelled(path: Path, label: str) -> str:
    """Return how a parameter is written in the source."""
    last = str(path[-1])
    if label or len(path) == 1 or path[0] == "make":
        return label or last
    return f"{path[0]}{last}" if last.startswith(".") else f"{path[0]}[{last!r}]"


def _entries(tree: ast.AST, name: str) -> set[str]:
    """Return how entries of a list are written: what it is indexed as, and what loops over it call them."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Name(id=of)) if of == name and not _is_slice(node):
                found.add(ast.unparse(node))
            case ast.For(target=target, iter=over) | ast.comprehension(target=target, iter=over):
                found |= {entry for entry, row in walked(target, over) if isinstance(row, ast.Name) and row.id == name}
    return found


def _aliases(tree: ast.AST, spelled: Mapping[str, Path]) -> dict[str, Path]:
    """Return name -> parameter, for what is no more than another name."""
    found = {text: path for text, path in spelled.items() if text.isidentifier()}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name() as target], value=value):
                pairs = [(target, value)]
            case ast.Assign(targets=[ast.Tuple(elts=left)], value=ast.Tuple(elts=right)) if len(left) == len(right):
                pairs = [(one, other) for one, other in zip(left, right, strict=True) if isinstance(one, ast.Name)]
            case _:
                continue
        for one, other in pairs:
            if (path := spelled.get(ast.unparse(other))) is not None:
                found[one.id] = path
    return found


def _reading(tree: ast.AST, inputs: set[str]) -> set[str]:
    """Return the names of inputs, of what is taken out of them (`for x_t in x`), and of rows with a 1 at an input."""
    for node in ast.walk(tree):
        match node:
            case ast.For(target=target, iter=over) if _names(over) & inputs and not _is_range(over):
                inputs |= _names(target.elts[-1] if isinstance(target, ast.Tuple) else target)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript(value=ast.Name(id=of))) if of in inputs:
                inputs.add(name)
            case ast.Assign(targets=[ast.Subscript(value=of, slice=at)], value=value) if (
                _names(at) & inputs or isinstance(value, ast.Subscript) and _names(value.value) & inputs
            ):
                inputs |= {_base(of)}
    return inputs


def _base(node: ast.expr) -> str:
    """Return the name of what is indexed: "xs" of xs[t][0]."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return ast.unparse(node)


def _is_range(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) and part.id == "range" for part in ast.walk(node))


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _has_product(node: ast.expr) -> bool:
    return any(
        isinstance(part, ast.MatMult) or isinstance(part, ast.Attribute) and part.attr in (*PRODUCTS, "einsum")
        for part in ast.walk(node)
    )


def _turned(node: ast.expr, above: Mapping[ast.AST, ast.AST]) -> tuple[ast.expr, bool]:
    """Return what of a parameter is used, such as W[:, :n].T for W, and whether it is transposed."""
    turned = False
    while True:
        match above[node]:
            case ast.Attribute(attr=attr) as parent if attr in TURNS:
                turned = not turned
            case ast.Call(func=func, args=[]) as parent if func is node and isinstance(func, ast.Attribute):
                pass
            case ast.Subscript(value=value) as parent if value is node and _is_slice(parent):
                pass
            case _:
                return node, turned
        node = parent


def _is_slice(node: ast.Subscript) -> bool:
    return any(isinstance(part, ast.Slice) for part in ast.walk(node.slice))


def _side(left: bool, turned: bool, partner: ast.AST, inputs: set[str]) -> Use:
    return Use(frozenset({"left" if left != turned else "right"}), bool(_names(partner) & inputs))
