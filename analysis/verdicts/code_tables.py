"""What is known of one of somebody's functions: its statements and expressions, and what may stand for what."""

from __future__ import annotations

import ast
import copy
import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from .code_names import is_gradients
from .code_traced import Ran, array_shape, held, is_number, may_hold

LITERALS, SCALARS = 7, 8  # numbers that are tried, as they stand in the file or by name
OTHERS = 3  # moments


class Later(NamedTuple):
    """A node, or a list of statements, that is made when it is wanted; most never are.

    Attributes:
        said: of what it is made, which tells it from others for the same place.
        make: makes it.
    """

    said: Any
    make: Callable[[Any], Any]


@dataclass(frozen=True)
class Slot:
    """An expression and where it stands."""

    node: ast.expr
    owner: Any
    name: str
    index: int | None


class Tables:
    """What is known of a function: statements that ran, slots, and what may stand for what."""

    def __init__(self, ran: Ran, ours: tuple[str, ...]) -> None:
        self.ran, self.ours = ran, ours
        every = [node for node in ast.walk(ran.tree) if isinstance(node, ast.stmt) and node is not ran.tree]
        self.statements = [n for n in every if n.lineno in ran.lines and not isinstance(n, ast.Return)]
        self.returns = [n for n in every if n.lineno in ran.lines and isinstance(n, ast.Return)]
        self._parsed: dict[str, ast.expr] = {}
        self._shapes: dict[str, tuple[int, ...] | None] = {}

    @cached_property
    def library(self) -> str:
        """The name under which the code knows its array library: "np"."""
        scope = self.ran.function.__globals__
        return next((name for name in ("np", "numpy", "torch") if name in scope), "np")

    def parse(self, text: str) -> ast.expr:
        """Return the tree of an expression, of NumPy's functions in the code's own library."""
        text = self._in_library(text)
        if text not in self._parsed:
            self._parsed[text] = ast.parse(text, mode="eval").body
        return self._parsed[text]

    def later(self, text: str) -> Later:
        """Return what gives the tree of an expression when it is wanted."""
        return Later(self._in_library(text), self.parse)

    def _in_library(self, text: str) -> str:
        return text if self.library == "np" else re.sub(r"\bnp\.", f"{self.library}.", text)

    def renamed(self, places: Collection[ast.expr], other: str, whole: ast.expr) -> ast.expr:
        """Return a copy of an expression with another one at some places in it."""
        return copy.deepcopy(whole, {id(place): self.parse(other) for place in places})

    def slots(self, statement: ast.stmt) -> Iterator[Slot]:
        """Yield the expressions of a statement, without those of statements inside it."""
        waiting: list[Any] = [statement]
        while waiting:
            owner = waiting.pop(0)
            for name, value in ast.iter_fields(owner):
                several = isinstance(value, list)
                for index, node in enumerate(value if several else [value]):
                    if isinstance(node, ast.expr):
                        yield Slot(node, owner, name, index if several else None)
                        waiting.append(node)
                    elif isinstance(node, ast.keyword):
                        waiting.append(node)

    def shape(self, node: ast.expr) -> tuple[int, ...] | None:
        """Return the shape of what a name, entry or attribute holds."""
        return self._shape(ast.unparse(node)) if may_hold(node) else None

    def _shape(self, text: str) -> tuple[int, ...] | None:
        if text not in self._shapes:
            self._shapes[text] = array_shape(held(self.ran.scope, text))
        return self._shapes[text]

    @cached_property
    def constants(self) -> list[str]:
        """What a factor may be: numbers that a derivative brings in, those of the file, and learned ones."""
        return list(dict.fromkeys(["2", "0.5", "3", *self.literals, *self.scalars, *self.complements]))

    @cached_property
    def _file(self) -> list[ast.AST]:
        """The nodes of all functions of the file."""
        functions = [node for node in ast.walk(self.ran.file) if isinstance(node, ast.FunctionDef)]
        return [node for function in functions for node in ast.walk(function)]

    @cached_property
    def scalars(self) -> list[str]:
        """Names, entries and attributes anywhere in the file that hold one number of floating point here."""
        nodes = [n for n in self._file if isinstance(n, ast.Name | ast.Attribute | ast.Subscript)]
        texts = dict.fromkeys(ast.unparse(node) for node in nodes if isinstance(node.ctx, ast.Load))
        return [text for text in texts if is_number(held(self.ran.scope, text))][:SCALARS]

    @cached_property
    def numbers(self) -> list[str]:
        """Names of this function that hold one number of floating point."""
        return [name for name in self.ran.function.__code__.co_varnames if is_number(self.ran.scope.get(name))]

    @cached_property
    def counts(self) -> list[str]:
        """Names of this function that hold a whole number above 1, such as that of samples."""
        held_here = {name: self.ran.scope.get(name) for name in self.ran.function.__code__.co_varnames}
        return [name for name, value in held_here.items() if type(value) is int and value > 1]

    def holding(self, number: int) -> list[str]:
        """Return what holds a whole number: names of this function, and products of two."""
        pairs = itertools.combinations(self.counts, 2)
        products = [f"({one} * {two})" for one, two in pairs]
        return [text for text in (*self.counts, *products) if held(self.ran.scope, text) == number]

    @cached_property
    def complements(self) -> list[str]:
        """What is left of each learned number to 1."""
        return [f"(1 - {one})" for one in self.scalars]

    @cached_property
    def coefficients(self) -> list[str]:
        """What a term may be multiplied by: a number, a product of two, what is left of one to 1."""
        pairs = [f"{one} * {two}" for one, two in itertools.combinations(self.scalars, 2)]
        return [*self.scalars, *self.complements, *self.literals, *pairs]

    @cached_property
    def subscripts(self) -> list[str]:
        """The subscripts of the file's sums over products of two, and with both the other way round."""
        calls = [n for n in self._file if isinstance(n, ast.Call) and ast.unparse(n.func).split(".")[-1] == "einsum"]
        said = [n.args[0].value for n in calls if n.args and isinstance(n.args[0], ast.Constant)]
        turned = [re.sub(r"^(\w+),(\w+)->", r"\2,\1->", text) for text in said if isinstance(text, str)]
        return list(dict.fromkeys([*(text for text in said if isinstance(text, str)), *turned]))

    @cached_property
    def has_softmax(self) -> bool:
        """Whether the file takes exponentials, or calls a softmax."""
        called = (ast.unparse(node.func).split(".")[-1] for node in self._file if isinstance(node, ast.Call))
        return any(name == "exp" or "softmax" in name for name in called)

    @cached_property
    def turns(self) -> bool:
        """Whether the file takes something in the reverse order, as in x[::-1]."""
        return any(isinstance(node, ast.Slice) and isinstance(node.step, ast.UnaryOp) for node in self._file)

    @cached_property
    def literals(self) -> list[str]:
        """The numbers that stand in the file."""
        values = [node.value for node in self._file if isinstance(node, ast.Constant)]
        plain = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        numbers = [repr(v) for v in plain if abs(v) not in (0, 1)]
        parts = [n for n in self._file if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div)]
        fractions = [
            ast.unparse(n) for n in parts if isinstance(n.left, ast.Constant) and isinstance(n.right, ast.Constant)
        ]
        return list(dict.fromkeys([*fractions, *numbers]))[:LITERALS]

    @cached_property
    def atoms(self) -> dict[str, tuple[int, ...]]:
        """Names, entries and attributes that hold arrays -> shape; entries beside those that are read, too."""
        texts = dict(self.written)
        entries = [n for n in ast.walk(self.ran.tree) if isinstance(n, ast.Subscript) and _moves_over(n.slice)]
        marks = dict.fromkeys(ast.unparse(entry)[len(ast.unparse(entry.value)) :] for entry in entries)
        for node in ast.walk(self.ran.tree):
            if not isinstance(node, ast.Name | ast.Subscript | ast.Attribute):
                continue
            for text in _beside(node, self.ran.scope, marks):
                found = self._shape(text)
                if found is not None and not text.endswith(".T"):
                    texts.setdefault(text, found)
        for name in self.ran.function.__code__.co_varnames:
            for text in (name, *(f"{name}{mark}" for mark in marks)):
                found = self._shape(text)
                if found is not None:
                    texts.setdefault(text, found)
        return texts

    @cached_property
    def written(self) -> dict[str, tuple[int, ...]]:
        """Names, entries and attributes that hold arrays and stand in the source -> shape."""
        nodes = [n for n in ast.walk(self.ran.tree) if isinstance(n, ast.Name | ast.Subscript | ast.Attribute)]
        texts = dict.fromkeys([*(ast.unparse(node) for node in nodes), *self.ran.function.__code__.co_varnames])
        shapes = {text: self._shape(text) for text in texts if not text.endswith(".T")}
        return {text: shape for text, shape in shapes.items() if shape is not None}

    def near(self, shape: tuple[int, ...] | None) -> list[str]:
        """Return what has a shape and stands in the source; of no array, numbers."""
        return self.numbers if shape is None else [text for text, other in self.written.items() if other == shape]

    def repeated(self, shape: tuple[int, ...] | None) -> list[str]:
        """Return what is repeated along an axis to have a shape: in the source, or a parameter beside what is there."""
        if shape is None or len(shape) < 2:
            return []
        known = {text: other for text, other in self.atoms.items() if text in self.written or not is_gradients(text)}
        along = (shape[1:], (shape[0], 1), (1, shape[1])) if len(shape) == 2 else ()
        flat = [text for text, other in known.items() if other in along]
        one_less = [text for text, other in known.items() if other == shape[:-1] and text in self.written]
        return [*flat, *(f"{text}[{':, ' * (len(shape) - 1)}None]" for text in one_less)]

    def like(self, shape: tuple[int, ...] | None) -> list[str]:
        """Return the atoms of a shape; of no array, numbers."""
        return self.numbers if shape is None else [text for text, other in self.atoms.items() if other == shape]

    def products(self, shape: tuple[int, ...] | None) -> list[str]:
        """Return the matrix products of two arrays, transposed or not, that have a shape."""
        return self._products.get(shape, []) if shape is not None else []

    def applied(
        self, shape: tuple[int, ...] | None, matrices: Mapping[str, tuple[int, ...]] | None = None
    ) -> list[str]:
        """Return the products of a matrix, transposed or not, and a vector of the source that have a shape.

        Args:
            shape: of the product.
            matrices: among which to look; by default those of the source.
        """
        if shape is None or len(shape) != 1:
            return []
        flat = [(text, dims) for text, dims in (matrices or self.written).items() if len(dims) == 2]
        turned = [(f"{text}.T", dims[::-1]) for text, dims in flat]
        pairs = [(text, dims[1:]) for text, dims in (*flat, *turned) if dims[:1] == shape]
        return [f"{text} @ {vector}" for text, dims in pairs for vector in self.near(dims)]

    @cached_property
    def _reducing(self) -> list[str]:
        """How the file sums or averages along an axis that it keeps: "{}.mean(axis=-1, keepdims=True)"."""
        found = []
        for node in self._file:
            match node:
                case ast.Call(func=ast.Attribute(value=of, attr="sum" | "mean"), args=args, keywords=keywords) if any(
                    keyword.arg == "keepdims" for keyword in keywords
                ):
                    inner = args[0] if ast.unparse(of) == self.library else of
                    found.append(ast.unparse(node).replace(_bracketed(inner, of), "{}", 1))
        return list(dict.fromkeys(found))

    def reductions(self, shape: tuple[int, ...] | None) -> list[str]:
        """Return sums and means, as the file makes them, of what has a shape, of its products, and times a factor."""
        near = self.near(shape) if shape else []
        flat = [form.format(one) for form in self._reducing for one in near]
        pairs = [(one, form.format(f"({one} * {two})")) for form in self._reducing for one in near for two in near]
        return [*flat, *(of for _, of in pairs), *(f"{one} * {of}" for one, of in pairs)]

    @cached_property
    def contractions(self) -> list[str]:
        """Numbers that are sums over the products of two arrays of the source."""
        pairs = itertools.combinations(self.written.items(), 2)
        return [f"np.sum({one} * {other})" for (one, dims), (other, same) in pairs if dims == same]

    @cached_property
    def _products(self) -> dict[tuple[int, ...], list[str]]:
        found: dict[tuple[int, ...], list[str]] = {}
        flat = {text: shape for text, shape in self.atoms.items() if len(shape) == 2}
        turned = {f"{text}.T": shape[::-1] for text, shape in flat.items()}
        for one, left in {**flat, **turned}.items():
            for two, right in {**flat, **turned}.items():
                if left[1] == right[0] and not (one in turned and two in turned):
                    found.setdefault((left[0], right[1]), []).append(f"{one} @ {two}")
        return found


def tables_of(ran: Ran, ours: tuple[str, ...]) -> list[Tables]:
    """Return the tables of a function; further ones of moments when what stands in it had other shapes.

    In a loop over layers the first layer may have other sizes than the rest.
    """
    several = [Tables(ran, ours)]
    known = {text: {shape} for text, shape in several[0].written.items()}
    for moment in ran.moments:
        at = ran.at(moment)
        shapes = {text: array_shape(held(at.scope, text)) for text in known}
        fresh = {text: shape for text, shape in shapes.items() if shape is not None and shape not in known[text]}
        if fresh:
            several.append(Tables(at, ours))
            for text, shape in fresh.items():
                known[text].add(shape)
        if len(several) > OTHERS:
            break
    return several


def _bracketed(inner: ast.expr, of: ast.expr) -> str:
    """Return an expression as it stands before a method, or as an argument."""
    text = ast.unparse(inner)
    return f"({text})" if inner is of and isinstance(inner, ast.BinOp | ast.UnaryOp) else text


def _moves_over(index: ast.expr) -> bool:
    """Return whether an index names a step in time or a piece, rather than a key."""
    return not any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in ast.walk(index))


def _beside(node: ast.expr, scope: dict[str, Any], marks: Collection[str]) -> list[str]:
    """Return entries of the same dictionary or of the steps before and after, attributes of the same object.

    Args:
        node: beside which to look.
        scope: of variables.
        marks: that stand behind names in the source: what a list of arrays is indexed with.
    """
    if isinstance(node, ast.Attribute) and node.attr != "T":
        owner = held(scope, ast.unparse(node.value))
        others = vars(owner).items() if hasattr(owner, "__dict__") else ()
        names = [name for name, value in others if array_shape(value)][:40]
        lists = [name for name, value in others if isinstance(value, list) and any(map(array_shape, value))]
        base = ast.unparse(node.value)
        return [f"{base}.{name}" for name in names] + [f"{base}.{name}{mark}" for name in lists for mark in marks]
    if not isinstance(node, ast.Subscript):
        return []
    base = ast.unparse(node.value)
    if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        owner = held(scope, base)
        if not isinstance(owner, dict):
            return []
        lists = [key for key, value in owner.items() if isinstance(value, list)]
        return [f"{base}[{key!r}]" for key in owner] + [f"{base}[{key!r}]{mark}" for key in lists for mark in marks]
    return [f"{base}[{index}]" for index in _shifted(node.slice)]


def _shifted(index: ast.expr) -> list[str]:
    match index:
        case ast.Name(id=name):
            return [f"{name} - 1", f"{name} + 1"]
        case ast.BinOp(left=ast.Name(id=name), right=ast.Constant(value=1)):
            return [name, f"{name} - 1", f"{name} + 1"]
    return []


def is_product(node: ast.expr) -> bool:
    """Return whether an expression is a matrix product."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.MatMult)
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("dot", "matmul", "outer", "einsum")


def is_zeros(node: ast.expr) -> bool:
    """Return whether an expression is 0 or makes an array of zeros."""
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float) and node.value == 0
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("zeros", "zeros_like")


def read_alone(whole: ast.expr) -> dict[str, list[ast.expr]]:
    """Return names, entries and attributes that an expression reads, not as the beginning of others -> where.

    >>> {text: len(nodes) for text, nodes in read_alone(ast.parse("f(h, g=h) + g.T @ p[h]", mode="eval").body).items()}
    {'f': 1, 'h': 3, 'g.T': 1, 'p[h]': 1}
    """
    kinds = ast.Name | ast.Attribute | ast.Subscript
    nodes = [node for node in ast.walk(whole) if isinstance(node, kinds) and isinstance(node.ctx, ast.Load)]
    begun = [node.value for node in nodes if not isinstance(node, ast.Name)]
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if not any(node is other for other in begun):
            found.setdefault(ast.unparse(node), []).append(node)
    return found
