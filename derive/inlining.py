"""Putting a cell's lines in the place of its call, with the names and sizes of the layer that is called."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from .cell import Cell, dimensions_of
from .errors import Error, Source
from .folding import Fold, filled, is_number
from .linear import Shape
from .resolving import is_function, resolved, unknown
from .scope import LABEL, START, Passage, Scope, targets_of
from .shapes import Expected, shapes_in
from .sizes import OF, size_of
from .syntax import Assignment, Declaration, assignment, check_name, read
from .written import dimension_names

Names = Mapping[str, str]


def called(scope: Scope, value: ast.expr) -> Cell | None:
    """Return the cell that an expression calls, None where it calls none."""
    if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Name)) or is_function(value.func.id):
        return None
    name = value.func.id
    scope.check_order(name, value)
    cell = scope.layers[name].cell if name in scope.layers else scope.find_cell(name)
    if cell is None:
        raise unknown(scope, value.func)
    return cell


def put_call(scope: Scope, statement: ast.Assign, cell: Cell, passage: Passage) -> None:
    """Put a cell's lines in place of its call."""
    call = statement.value
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    targets = _targets(scope, statement, cell, call)
    made = _Call(scope, cell, call, call.func.id, passage)
    made.check()
    made.declare()
    made.take_inputs()
    made.take_states([target.id for target in targets])
    made.put_lines()


def _targets(scope: Scope, statement: ast.Assign, cell: Cell, call: ast.Call) -> list[ast.Name]:
    """Return the names that get the cell's states, and refuse a call that doesn't fit the cell."""
    inputs = (*cell.inputs, *cell.indices)
    name = ast.unparse(call.func)
    hint = f"Write '{', '.join(cell.states)} = {name}({', '.join(inputs)})'."
    found = list(targets_of(statement))
    targets = [target for target in found if isinstance(target, ast.Name)]
    if len(targets) != len(found) or len(statement.targets) > 1:
        raise scope.fail(statement, "a call gives its states to names, once", hint)
    if len(targets) != len(cell.states):
        raise scope.fail(statement, f"{cell.name} has {_count(len(cell.states), 'state')}, not {len(targets)}", hint)
    if len(call.args) != len(inputs) or call.keywords:
        raise scope.fail(call, f"{cell.name} takes {_count(len(inputs), 'input')}, in their order", hint)
    for target in targets:
        check_name(scope.text, target)
    return targets


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'s' * (number != 1)}"


@dataclass
class _Call:
    """A cell, called by its own name or by a layer's.

    A layer's names carry its label, `W_xi__layer1`. A cell that is called by its own name brings its names as they
    are; none of them may be among the words of the text.
    """

    scope: Scope
    cell: Cell
    call: ast.Call
    name: str
    passage: Passage

    def __post_init__(self) -> None:
        self.count = self.scope.calls.get(self.name, 0) + 1
        self.label = self.name if self.name in self.scope.layers else ""
        self.suffix = f"{LABEL}{self.label}" if self.label else ""
        self.own_suffix = self.suffix
        if self.count > 1:
            number = self.count
            while f"{self.label}_{number}" in self.scope.layers:
                number += 1
            self.own_suffix = f"{self.suffix}_{number}"
        self.names = {name: f"{name}{self.suffix}" for name in self.cell.params}
        self.sizes = {size: f"{size}{OF}{self.name}" for size in dimensions_of(self.cell)}
        self.zeros: set[str] = set()

    def check(self) -> None:
        """Refuse a second call by the cell's own name, and names that the model has too."""
        self.scope.calls[self.name] = self.count
        if self.label:
            return
        hint = f"Declare a layer, as in 'layer1: {self.name}', and call layer1: its names get a label, name__layer1."
        if self.count > 1:
            message = f"{self.name} is called a second time by its own name"
            hint = f"{hint} Calls of one layer share their parameters, two layers have parameters of their own."
            raise self.scope.fail(self.call.func, message, hint)
        values = [e.target.name for e in self.cell.equations if e.target.name not in self.cell.states]
        for name in (*self.cell.params, *values):
            if name in self.scope.owners:
                message = f"'{name}' is a name inside of {self.name} and of {self.scope.owners[name]}"
                raise self.scope.fail(self.call.func, message, hint)
            if name in self.scope.words or name in self.scope.declared:
                place = self.scope.words.get(name) or self.scope.declared[name].place
                raise self.scope.fail(place, f"'{name}' is also a name inside of {self.name}, which is called", hint)

    def declare(self) -> None:
        """Declare the cell's parameters in its own dimensions."""
        self.scope.free += [size for size in self.sizes.values() if size not in self.scope.free]
        for old, dimensions in self.cell.params.items():
            name = self.names[old]
            if name in self.scope.homes or name in self.scope.used:
                place = self.scope.used.get(name, self.call)
                hint = f"Write what reads it below the call of {self.name}."
                raise self.scope.fail(place, f"'{name}' is a parameter of {self.name}, which is called below", hint)
            self.scope.owners[name] = self.name
            if name not in self.scope.declared:
                self.scope.declared[name] = Declaration(name, "param", self._shape(dimensions), self.call)

    def take_inputs(self) -> None:
        """Name what the cell is given: values keep their names, expressions get the input's."""
        for name, argument in zip((*self.cell.inputs, *self.cell.indices), self.call.args, strict=True):
            given = resolved(self.scope, argument, self.passage)
            dimensions = self.cell.inputs.get(name, ())
            free = self.suffix or (name not in self.scope.words and name not in self.scope.declared)
            own = f"{name}{self.own_suffix}" if free else f"{name}{LABEL}{self.name}"
            if is_number(given, 0):
                self.names[name] = own
                self.zeros.add(own)
                continue
            if isinstance(given, ast.Name):
                self.names[name] = given.id
            else:
                self.names[name] = own
                target = ast.copy_location(ast.Name(own, ast.Store()), argument)
                line = assignment(self.scope.whole_text(), ast.copy_location(ast.Assign([target], given), self.call))
                self.scope.add(self.passage, replace(line, place=self.call))
                self.scope.owners[own] = self.name
            self._check_index(name, argument)
            if name in self.cell.inputs:
                shape = tuple(map(size_of, self._shape(dimensions)))
                self.scope.expected.append(Expected(self.names[name], shape, argument, f"{self.name} takes {name} as"))

    def _check_index(self, name: str, argument: ast.expr) -> None:
        is_index = self.scope.kind(self.names[name]) == "index"
        if is_index and name in self.cell.inputs:
            hint = f"Give it a row of a table: {self.name}(E[{ast.unparse(argument)}])."
            raise self.scope.fail(argument, f"{self.name} takes {name} as numbers, this is an index", hint)
        if not is_index and name in self.cell.indices:
            hint = f"Declare one as in 'w: index[T, {self.cell.indices[name]}]'."
            raise self.scope.fail(argument, f"{self.name} takes {name} as an index", hint)

    def take_states(self, targets: list[str]) -> None:
        """Give the cell's states the names that the text assigns them to: in a loop, declared as states."""
        self.states = dict(zip(self.cell.states, targets, strict=True))
        for target, (name, dimensions) in zip(targets, self.cell.states.items(), strict=True):
            self.names[name] = target
            if not self.passage.axis:
                self.names[name] += START
                self.zeros.add(self.names[name])
            elif target not in self.scope.declared:
                self.scope.check_order(target, self.call)
                self.scope.declared[target] = Declaration(target, "state", self._shape(dimensions), self.call)

    def put_lines(self) -> None:
        """Put the cell's lines into the passage; values that are zero vanish."""
        text = read(Source(self.cell.name, self.cell.text))
        shape = shapes_in(text)
        for line in text.assignments:
            value = put_in(line.value, self.names, self.sizes, self.call)
            written = dict(zip(ast.walk(value), ast.walk(line.value), strict=True))
            whole = self._shape(dimension_names(shape(line.value)))
            fold = Fold(self.zeros, partial(self._shape_of, shape, written), self._fail)
            value = fold.fold(value)
            is_zero, is_state = fold.is_zero(value), line.target in self.states
            made = self.states.get(line.target) or f"{line.target}{self.own_suffix}"
            self.names[line.target] = made
            if is_zero:
                self.zeros.add(made)
                if not is_state:
                    continue
            value = filled(0, whole, self.call) if is_zero else value
            self.scope.add(self.passage, Assignment(made, value, self.call))
            if not is_state:
                self.scope.owners[made] = self.name

    def _fail(self, what: str) -> Error:
        hint = "Call it in a loop, where its states are declared with other first values."
        return self.scope.fail(self.call, f"what is 0 here makes {what} in {self.cell.name}", hint)

    def _shape_of(
        self, shape: Callable[[ast.expr], Shape], written: Mapping[ast.AST, ast.AST], node: ast.expr
    ) -> tuple[ast.expr, ...]:
        """Return the shape, in the model's dimensions, of what was put in for an expression of the cell's text."""
        original = written[node]
        assert isinstance(original, ast.expr)
        return self._shape(dimension_names(shape(original)))

    def _shape(self, dimensions: Iterable[str]) -> tuple[ast.expr, ...]:
        return tuple(map(self._size, dimensions))

    def _size(self, text: str) -> ast.expr:
        return size_in(text, self.sizes, self.call)


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


def size_in(text: str, sizes: Names, place: ast.expr) -> ast.expr:
    """Return a dimension such as "n + m" as a syntax tree, with its names replaced."""
    return put_in(ast.parse(text, mode="eval").body, sizes, sizes, place)
