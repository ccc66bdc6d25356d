"""Shapes of all names, found by unifying dimensions through the equations."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import NamedTuple

import sympy
from sympy import Dummy, Expr, Symbol

from .errors import ShapeError
from .functions import FUNCTIONS
from .linear import Shape
from .sizes import OF, bounds, dimension, has_difference, size_of, spelled
from .syntax import Declaration, Place, Text, value_names


class Expected(NamedTuple):
    """A shape that something must have: of what a cell is given where it is called."""

    name: str
    shape: Shape
    place: Place
    because: str


def infer(
    text: Text, free: Iterable[str] = (), expected: Iterable[Expected] = (), numbers: Iterable[str] = ()
) -> tuple[dict[str, Shape], dict[Expr, Expr]]:
    """Return the shape of every input, state, parameter and assigned name of a text, and what `free` sizes turned out.

    Args:
        text: declarations and equations.
        free: dimensions that stand for whatever fits, where all others stand for themselves.
        expected: shapes that names must have, apart from the equations.
        numbers: assigned names that can be nothing but numbers, such as terms of a loss.

    Raises:
        ShapeError: where two shapes conflict, or where one stays ambiguous (it says which name to annotate).
    """
    inference = _Inference(text, [dimension(name) for name in free], list(expected), list(numbers))
    inference.run()
    return inference.resolved(), {size: inference.find(size) for size in inference.free}


def shapes_in(text: Text) -> Callable[[ast.expr], Shape]:
    """Return the function that gives the shape of any expression of a text's equations.

    Raises:
        ShapeError: where two shapes conflict, or stay ambiguous.
    """
    inference = _Inference(text, [], [], [])
    inference.run()

    def shape(node: ast.expr) -> Shape:
        found = inference.up(node)
        assert found is not None
        return tuple(map(inference.find, found))

    return shape


def declared_shape(declaration: Declaration) -> Shape:
    """Return the shape that a declaration states; an index is a number, whatever it picks from."""
    return () if declaration.kind == "index" else tuple(map(size_of, declaration.dimensions))


class _Inference:
    """Names' shapes, None while unknown; unknown dimensions are SymPy dummies or `free`, solved one by one."""

    def __init__(self, text: Text, free: list[Symbol], expected: list[Expected], numbers: list[str]) -> None:
        self.text = text
        self.free = free
        self.expected = expected
        self.numbers = numbers
        self.sizes: dict[Symbol, Expr] = {}
        self.shapes: dict[str, Shape | None] = {d.name: declared_shape(d) for d in text.declarations}
        self.ranges = {d.name: size_of(d.dimensions[0]) for d in text.declarations if d.kind == "index"}
        self.holes: dict[ast.expr, Dummy] = {}
        self.values = {line.target: line.value for line in text.assignments if line.target not in self.shapes}
        self.beside: dict[str, Shape] = {}
        self.is_choosing = False
        self.changed = True

    def run(self) -> None:
        self.settle()
        self.is_choosing = self.changed = True
        self.settle()
        self.take_the_only_rank()
        self.settle()

    def take_the_only_rank(self) -> None:
        """Make numbers and vectors of what is still unknown and can be nothing else."""
        for line in self.text.assignments:
            if line.target in self.numbers and self.shapes.get(line.target) is None:
                self.set(line.target, ())
            for node in ast.walk(line.value):
                match node:
                    case ast.Call(func=ast.Name(id="softmax"), args=[argument]) if self.up(argument) is None:
                        self.need(argument, (self.hole(argument),), "softmax takes")

    def settle(self) -> None:
        while self.changed:
            self.changed = False
            for name, wanted, place, because in self.expected:
                if (found := self.shapes.get(name)) is None:
                    self.set(name, wanted)
                else:
                    self.unify(place, wanted, found, because)
            for line in self.text.assignments:
                shape = self.up(line.value)
                known = self.shapes.get(line.target)
                if known is not None:
                    self.down(line.value, known)
                    if shape is not None:
                        self.unify(line.value, known, shape, f"'{line.target}' is")
                elif shape is not None:
                    self.set(line.target, shape)

    def resolved(self) -> dict[str, Shape]:
        places = {name.id: name for line in self.text.assignments for name in value_names(line.value)}
        assigned = {line.target for line in self.text.assignments}
        names = sorted(places, key=lambda name: name in assigned)
        for name in names:
            shape = self.shapes.get(name)
            if shape is None or any(self.find(size).atoms(Dummy) for size in shape):
                shape = self._multiplied(name) if shape is None else shape
                known = None if shape is None else tuple(map(self.find, shape))
                number = f" (or '{name}: param' for a number)" if shape is None else ""
                hint = f"Annotate it, for example '{name}: param[{self.suggested(known)}]'{number}."
                if known is None and name in self.beside:
                    vector = self.suggested(tuple(map(self.find, self.beside[name])))
                    hint = "It stands beside a number, and what comes of it beside what has more entries. "
                    hint += f"Annotate it: '{name}: param' for a number, or '{name}: param[{vector}]'."
                states = {d.name for d in self.text.declarations}
                for other in sorted(assigned - places.keys() - states - set(self.numbers)):
                    hint += f"\nNothing reads '{other}': it may be misspelt where it should be read."
                raise self.text.fail(places[name], f"the shape of '{name}' is ambiguous", hint, ShapeError)
        return {name: tuple(map(self.find, shape)) for name, shape in self.shapes.items() if shape is not None}

    def _multiplied(self, name: str) -> Shape | None:
        """Return the shape of a matrix of this name, where a line multiplies it with what is known."""
        for node in (node for line in self.text.assignments for node in ast.walk(line.value)):
            match node:
                case ast.BinOp(left=left, op=ast.MatMult(), right=ast.Name(id=right)) if right == name:
                    if known := self.up(left):
                        return known[-1], self.hole(node.right)
                case ast.BinOp(left=ast.Name(id=left), op=ast.MatMult(), right=right) if left == name:
                    if known := self.up(right):
                        return self.hole(node.left), known[0]
        return None

    def suggested(self, shape: Shape | None) -> str:
        """Return sizes that a shape may have: those that are known, and new letters for the others."""
        if shape is None:
            return "n"
        found = {symbol.name for one in self.shapes.values() for size in one or () for symbol in size.free_symbols}
        letters = iter(sorted(set("kpqrs") - found - self.shapes.keys()))
        holes = {hole for size in shape for hole in size.atoms(Dummy)}
        new = {hole: dimension(next(letters)) for hole in sorted(holes, key=lambda hole: hole.dummy_index)}
        for symbol in (symbol for size in shape for symbol in size.atoms(Symbol) if OF in symbol.name):
            base, layer = symbol.name.split(OF)
            new[symbol] = dimension(f"{base}_{layer}" if base in found else base)
        return ", ".join(str(size.xreplace(new)) for size in shape)

    def set(self, name: str, shape: Shape) -> None:
        self.shapes[name] = shape
        self.changed = True

    def find(self, size: Expr) -> Expr:
        while self.sizes and not self.sizes.keys().isdisjoint(size.free_symbols):
            size = size.xreplace(self.sizes)
        return size

    def unify(self, place: Place, expected: Shape, found: Shape, because: str) -> None:
        """Make two shapes equal by solving for an unknown dimension, or say that they conflict."""
        expected, found = tuple(map(self.find, expected)), tuple(map(self.find, found))
        if len(expected) == len(found):
            for one, other in zip(expected, found, strict=True):
                one, other = self.find(one), self.find(other)
                if one == other:
                    continue
                difference = one - other
                holes = sorted(difference.atoms(Dummy), key=lambda hole: hole.dummy_index)
                holes += [size for size in self.free if difference.has(size)]
                solvable = [hole for hole in holes if abs(difference.coeff(hole)) == 1]
                if not solvable:
                    break
                solutions = {hole: sympy.expand(hole - difference * difference.coeff(hole)) for hole in solvable}
                whole = [hole for hole, solution in solutions.items() if not has_difference(solution)]
                solved = (whole or solvable)[0]
                self.sizes[solved] = solutions[solved]
                self.changed = True
            else:
                return
        hint = "Check the declarations above, or annotate the parameter whose shape was inferred otherwise."
        message = f"shapes conflict: {because} {spelled(expected)}, this is {spelled(found)}"
        raise self.text.fail(place, message, hint, ShapeError)

    def hole(self, node: ast.expr) -> Dummy:
        """Return the unknown dimension of an expression: the same one each time, so that inference ends."""
        return self.holes.setdefault(node, Dummy("k", integer=True, positive=True))

    def need(self, node: ast.expr, shape: Shape, because: str) -> Shape:
        """Push a shape down into `node` and return the one it has then."""
        self.down(node, shape)
        found = self.up(node)
        if found is not None:
            self.unify(node, shape, found, because)
        return shape

    def up(self, node: ast.expr) -> Shape | None:
        """Return the shape of an expression from its parts, None while unknown."""
        match node:
            case ast.Name(id=name):
                return self.shapes.get(name)
            case ast.Constant():
                return ()
            case ast.UnaryOp(operand=operand):
                return self.up(operand)
            case ast.Attribute(value=value):
                return self._up_transpose(node, self.up(value))
            case ast.Subscript(value=value, slice=index):
                return self._up_subscript(node, self.up(value), index)
            case ast.BinOp(op=ast.MatMult(), left=left, right=right):
                return self._up_product(node, left, right)
            case ast.BinOp(op=ast.Pow(), left=left):
                return self.up(left)
            case ast.BinOp(op=op, left=left, right=right):
                return self._up_elementwise([left, right], isinstance(op, ast.Add | ast.Sub))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._up_call(node, name, arguments)
        raise AssertionError(f"syntax let {ast.dump(node)} through")

    def down(self, node: ast.expr, shape: Shape) -> None:
        """Tell an expression the shape it must have."""
        match node:
            case ast.Name(id=name) if self.shapes.get(name) is None:
                self.set(name, shape)
            case ast.UnaryOp(operand=operand) | ast.BinOp(op=ast.Pow(), left=operand):
                self.down(operand, shape)
            case ast.Attribute(value=value) if len(shape) == 2:
                self.down(value, shape[::-1])
            case ast.BinOp(op=ast.MatMult(), left=left, right=right):
                self._down_product(left, right, shape)
            case ast.BinOp(op=op, left=left, right=right):
                self._down_elementwise([left, right], shape, isinstance(op, ast.Add | ast.Sub))
            case ast.Call(func=ast.Name(id=name), args=arguments) if name in FUNCTIONS:
                self._down_elementwise(arguments, shape)
            case ast.Call(func=ast.Name(id="softmax"), args=[argument]):
                self.down(argument, shape)
            case ast.Call(func=ast.Name(id="lookup"), args=[table, ast.Name(id=index)]):
                self.down(table, (self.ranges[index], *shape))
            case ast.Call(func=ast.Name(id="outer"), args=[left, right]) if len(shape) == 2:
                self.down(left, shape[:1])
                self.down(right, shape[1:])
            case ast.Call(func=ast.Name(id="concat"), args=arguments) if len(shape) == 1:
                self._down_concat(arguments, shape[0])

    def _up_elementwise(self, operands: list[ast.expr], is_sum: bool = False) -> Shape | None:
        shapes = [self.up(operand) for operand in operands]
        whole = max((s for s in shapes if s), key=len, default=None)
        if whole is None:
            return None if None in shapes else ()
        for operand, shape in zip(operands, shapes, strict=True):
            if shape is None and (self._waits(operand) or self._wavers(operand, is_sum)):
                self._leave(operand, whole)
            elif shape is None:
                self.need(operand, whole, "the other side is")
            elif shape:
                self.unify(operand, whole, shape, "the other side is")
        return whole

    def _down_elementwise(self, operands: list[ast.expr], shape: Shape, is_sum: bool = False) -> None:
        unknown = [operand for operand in operands if self.up(operand) is None]
        left = [operand for operand in unknown if self._waits(operand) or self._wavers(operand, is_sum)]
        if len(left) == len(unknown) and not any(map(self.up, operands)):  # else nothing has this shape
            left = []
        for operand in unknown:
            if operand in left:
                self._leave(operand, shape)
            else:
                self.down(operand, shape)

    def _waits(self, node: ast.expr) -> bool:
        """Return whether an equation, which may stand further down, is to say first what shape this has."""
        unknown = (name.id for name in value_names(node) if self.shapes.get(name.id) is None)
        return not self.is_choosing and any(name in self.values for name in unknown)

    def _wavers(self, node: ast.expr, is_added: bool = False, inside: frozenset[str] = frozenset()) -> bool:
        """Return whether an expression of unknown shape may well be a number, though it stands beside a vector.

        So it may where what isn't known in it stands beside a number that is computed, as b in sigmoid(dot(q, h) + b).
        A term of a sum that has a vector among its terms is a vector, as v in W @ x + v * dot(q, h).
        """
        match node:
            case ast.Name(id=name) if name in self.values and name not in inside:
                return self._wavers(self.values[name], False, inside | {name})
            case ast.UnaryOp(operand=operand) | ast.BinOp(op=ast.Pow(), left=operand):
                return self._wavers(operand, is_added, inside)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), left=left, right=right):
                parts, is_beside = [left, right], not is_added
            case ast.Call(func=ast.Name(id=function), args=parts) if function in FUNCTIONS:
                is_added, is_beside = False, True
            case _:
                return False
        unknown = [part for part in parts if self.up(part) is None]
        computed = is_beside and unknown and any(map(self._is_computed_number, parts))
        return bool(computed) or any(self._wavers(part, is_added, inside) for part in unknown)

    def _is_computed_number(self, node: ast.expr) -> bool:
        """Return whether this is a number that vectors or equations give, not one that is written or declared."""
        names = [name.id for name in value_names(node)]
        return self.up(node) == () and any(name in self.values or self.shapes.get(name) for name in names)

    def _leave(self, node: ast.expr, shape: Shape) -> None:
        """Note beside what shape an expression stands, for a message where nothing else decides."""
        if not self.is_choosing:
            return
        for name in value_names(node):
            if self.shapes.get(name.id) is None and name.id not in self.beside:
                self.beside[name.id] = shape
                if name.id in self.values:
                    self._leave(self.values[name.id], shape)

    def _up_transpose(self, node: ast.expr, shape: Shape | None) -> Shape | None:
        if shape is not None and len(shape) != 2:
            hint = "A vector goes without .T."
            raise self.text.fail(node, f".T needs a matrix, this is {spelled(shape)}", hint, ShapeError)
        return None if shape is None else shape[::-1]

    def _up_subscript(self, node: ast.expr, shape: Shape | None, index: ast.expr) -> Shape | None:
        if shape is None:
            return None
        if len(shape) != 1:
            raise self.text.fail(node, f"only a vector can be sliced, this is {spelled(shape)}", "", ShapeError)
        length = self.find(shape[0])
        if not isinstance(index, ast.Slice):
            if (size_of(index) - length).is_nonnegative:
                message = f"this index is past the end: the vector has {length} entries, counted from 0"
                raise self.text.fail(node, message, f"The last one is [{length - 1}].", ShapeError)
            return ()
        start, stop = bounds(index, length)
        if (stop - start).is_nonpositive or (stop - length).is_positive or start.is_negative:
            message = f"this slice is empty or reaches past the end: the vector has {length} entries"
            raise self.text.fail(node, message, f"The whole of it is [0:{length}].", ShapeError)
        return (stop - start,)

    def _up_product(self, node: ast.expr, left: ast.expr, right: ast.expr) -> Shape | None:
        first, second = self.up(left), self.up(right)
        if first is None and second is not None and len(second) == 1:
            rows = () if self._starts_with_vector(left) else (self.hole(left),)
            first = self.need(left, (*rows, second[0]), "the right side is")
        if first is None or second is None:
            return None
        if not first or not second:
            hint = "Use * with a number."
            raise self.text.fail(node, "@ multiplies vectors and matrices, one side is a number", hint, ShapeError)
        self.unify(
            right,
            first[-1:],
            second[:1],
            f"the left side is {spelled(tuple(map(self.find, first)))}, so the right side must start with",
        )
        return first[:-1] + second[1:]

    def _starts_with_vector(self, node: ast.expr) -> bool:
        """Return whether this is a product of a vector and something else: a vector at most."""
        if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)):
            return False
        first = self.up(node.left)
        return first is not None and len(first) == 1 or self._starts_with_vector(node.left)

    def _down_product(self, left: ast.expr, right: ast.expr, shape: Shape) -> None:
        first, second = self.up(left), self.up(right)
        if first and second is None and len(rest := shape[len(first) - 1 :]) < 2:
            self.down(right, first[-1:] + rest)
        elif first is None and second is not None and len(second) == 2 and shape:
            self.down(left, shape[:-1] + second[:1])

    def _up_call(self, node: ast.expr, name: str, arguments: list[ast.expr]) -> Shape | None:
        if name in FUNCTIONS:
            return self._up_elementwise(arguments)
        if name == "ones":
            return tuple(map(size_of, arguments))
        if name == "stack":
            step = self.up(arguments[0])
            return None if step is None else (size_of(arguments[1]), *step)
        if name == "lookup":
            return self._up_lookup(node, *arguments)
        if name == "cross_entropy" and (length := self._range(arguments[1])) is not None:
            self.need(arguments[0], (length,), "the index picks from")
            return ()
        if name in ("dot", "cross_entropy", "squared_error", "logistic_loss"):
            shape = self._up_elementwise(arguments)
            if name == "cross_entropy" and shape is not None and len(shape) != 1:
                raise self.text.fail(node, f"cross_entropy takes vectors, this is {spelled(shape)}", "", ShapeError)
            return ()
        shapes = [self.up(argument) for argument in arguments]
        if name in ("sum", "norm"):
            return ()
        if None in shapes:
            return None
        for argument, shape in zip(arguments, shapes, strict=True):
            if shape is not None and len(shape) != 1:
                raise self.text.fail(argument, f"{name} takes vectors, this is {spelled(shape)}", "", ShapeError)
        sizes = [shape[0] for shape in shapes if shape]
        return {"softmax": (sizes[0],), "outer": tuple(sizes), "concat": (sympy.Add(*sizes),)}[name]

    def _range(self, node: ast.expr) -> Expr | None:
        """Return how many entries an index picks from, None for what is no index."""
        return self.ranges.get(node.id) if isinstance(node, ast.Name) else None

    def _up_lookup(self, node: ast.expr, table: ast.expr, index: ast.expr) -> Shape | None:
        shape = self.up(table)
        if shape is None:
            return None
        if not shape:
            raise self.text.fail(node, "a number has no entries to pick from", "", ShapeError)
        length = self._range(index)
        assert length is not None, "syntax let a lookup without an index through"
        self.unify(table, (length, *shape[1:]), shape, f"the index picks from {length} entries, so this must be")
        return shape[1:]

    def _down_concat(self, arguments: list[ast.expr], size: Expr) -> None:
        shapes = [self.up(argument) for argument in arguments]
        if shapes.count(None) == 1:
            known = sympy.Add(*(shape[0] for shape in shapes if shape))
            self.down(arguments[shapes.index(None)], (self.find(size - known),))
