"""Text of a model -> passages: what runs once, and loops over time, with cells put in where they are called.

A model's text is Python, read with `ast` and never executed. Every line means what it would mean in NumPy.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from .cell import Cell
from .errors import NotationError, Source
from .functions import FUNCTIONS
from .inlining import Fold, is_number, put_in, size_in, sizes_of
from .syntax import (
    KINDS,
    RESERVED,
    TENSOR_FUNCTIONS,
    Assignment,
    Declaration,
    Place,
    Text,
    assignment,
    check_name,
    closest,
    declaration,
    is_reserved,
    read,
    tree_of,
)

LOSS = "loss"
ONCE, STEP, LAST, WHOLE, PARAM = "once", "step", "last", "whole", "param"
ENDINGS = {LAST: "_last", WHOLE: "_all"}
START = "_start"
LABEL = "__"  # what follows it in a name is a label: `W_xi__enc` belongs to `enc`


@dataclass(frozen=True)
class Wire:
    """Where a block reads a value that isn't its own.

    Attributes:
        source: an input of the model, a parameter, or a value of an earlier block.
        part: 'once' (it has no time), 'step' (its value at the same step), 'last' (its value after the loop),
            'whole' (its values at all steps, stacked), or 'param'.
    """

    source: str
    part: str


@dataclass
class Passage:
    """Lines that run once, or at each step of a loop.

    Attributes:
        variable, axis: of the loop, such as "t" and "T"; "" for lines that run once.
        reverse: whether the loop runs from the last step to the first.
        lines: equations, with names of other passages replaced by those of wires.
        losses: which targets are terms of the loss.
        wires: name in the lines -> where it comes from.
        states: of the loop, with where their first values come from; None for zero.
    """

    variable: str = ""
    axis: str = ""
    reverse: bool = False
    lines: list[Assignment] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    wires: dict[str, Wire] = field(default_factory=dict)
    states: dict[str, Wire | None] = field(default_factory=dict)

    @property
    def targets(self) -> set[str]:
        return {line.target for line in self.lines}


@dataclass
class ModelText:
    """A model's text taken apart.

    Attributes:
        text: with the declarations of everything, a time axis taken off.
        axes: input or index -> the axis that was taken off, "" for none.
        passages: in order.
        free: dimensions of called cells, to be found by unification.
    """

    text: Text
    axes: dict[str, str]
    passages: list[Passage]
    free: list[str]


def is_model(text: str) -> bool:
    """Return whether a text has what only models have: a loop, or a loss that is added to.

    >>> is_model("x: input[m]\\nh: state[n]\\nh = tanh(W @ x + U @ h)")
    False
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(statement, ast.For | ast.AugAssign) for statement in statements)


def read_model(source: Source, find_cell: Callable[[str], Cell | None]) -> ModelText:
    """Take the text of a model apart.

    Args:
        source: the text.
        find_cell: name -> the cell that it calls, None where there is none.

    Raises:
        NotationError: with line, column and a caret, for what the notation doesn't know.
    """
    return _Reader(source, find_cell).read()


class _Reader:
    def __init__(self, source: Source, find_cell: Callable[[str], Cell | None]) -> None:
        tree, doc = tree_of(source)
        self.statements = tree.body
        self.text = Text(source, doc, (), ())
        self.find_cell = find_cell
        self.declared: dict[str, Declaration] = {}
        self.axes: dict[str, str] = {}
        self.aliases: dict[str, Cell] = {}
        self.starts: dict[str, Wire | None] = {}
        self.homes: dict[str, Passage] = {}
        self.passages: list[Passage] = []
        self.calls: dict[str, int] = {}
        self.free: list[str] = []
        self.used: dict[str, ast.expr] = {}

    def read(self) -> ModelText:
        loops = {_axis_of(self.text, statement) for statement in self.statements if isinstance(statement, ast.For)}
        for statement in self.statements:
            if isinstance(statement, ast.AnnAssign):
                self._declare(statement, loops)
            elif isinstance(statement, ast.For):
                self._loop(statement)
            else:
                self._line(statement, self._once())
        self._check_whole()
        self.passages = [passage for passage in self.passages if passage.lines]
        return ModelText(
            replace(self.text, declarations=tuple(self.declared.values())), self.axes, self.passages, self.free
        )

    # declarations

    def _declare(self, statement: ast.AnnAssign, loops: set[str]) -> None:
        if isinstance(statement.annotation, ast.Name) and statement.annotation.id not in KINDS:
            self._alias(statement, statement.annotation.id)
            return
        start, statement.value = statement.value, None
        axis = self._take_axis(statement, loops)
        made = declaration(self.text, statement)
        self._check_new(made.name, statement)
        self.declared[made.name] = made
        if made.kind == "state":
            self.starts[made.name] = self._start(made.name, start) if start is not None else None
        elif start is not None:
            raise self.text.fail(start, "only a state is declared with a value: its first", "Write 'h: state[n] = h0'.")
        elif made.kind in ("input", "index"):
            self.axes[made.name] = axis

    def _take_axis(self, statement: ast.AnnAssign, loops: set[str]) -> str:
        """Take the axis of time off a declaration such as `x: input[T, m]`, where there is one."""
        annotation = statement.annotation
        if not (isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name)):
            return ""
        sizes = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        first = sizes[0]
        kind = annotation.value.id
        if kind not in ("input", "index") or not isinstance(first, ast.Name) or first.id not in loops:
            return ""
        if kind == "index" and len(sizes) == 1:
            return ""
        rest: ast.expr = annotation.value
        if len(sizes) > 1:
            inside = sizes[1] if len(sizes) == 2 else ast.copy_location(ast.Tuple(sizes[1:], ast.Load()), annotation)
            rest = ast.copy_location(ast.Subscript(annotation.value, inside, ast.Load()), annotation)
        statement.annotation = rest
        return first.id

    def _alias(self, statement: ast.AnnAssign, name: str) -> None:
        cell = self.find_cell(name)
        if cell is None:
            hint = f"Declare as in 'x: input[T, m]', or name a cell for a layer. {self._known_cells()}"
            raise self.text.fail(statement.annotation, f"'{name}' is neither a kind nor a cell", hint)
        if not isinstance(statement.target, ast.Name) or statement.value is not None:
            raise self.text.fail(statement, "a layer is declared as in 'layer1: lstm'")
        self._check_new(statement.target.id, statement)
        self.aliases[statement.target.id] = cell

    def _known_cells(self) -> str:
        return "Cells: the zoo's, and .cell files beside the model's file."

    def _start(self, name: str, value: ast.expr) -> Wire:
        aside = Passage()
        resolved = self._resolved(value, aside)
        if isinstance(resolved, ast.Name):
            return aside.wires.get(resolved.id, Wire(resolved.id, PARAM))
        passage = self._once()
        resolved = self._resolved(value, passage)
        self._add(passage, Assignment(name + START, resolved, value))
        return Wire(name + START, ONCE)

    # passages

    def _once(self) -> Passage:
        if not self.passages or self.passages[-1].axis:
            self.passages.append(Passage())
        return self.passages[-1]

    def _loop(self, statement: ast.For) -> None:
        axis = _axis_of(self.text, statement)
        assert isinstance(statement.target, ast.Name)
        variable = statement.target.id
        if variable in self.declared or variable in self.homes:
            raise self.text.fail(statement.target, f"'{variable}' names a quantity and can't count steps", "Write t.")
        passage = Passage(variable, axis, _is_reversed(statement.iter))
        passage.states = self._states_of(statement)
        self.passages.append(passage)
        for inner in statement.body:
            self._line(inner, passage)
        missing = [name for name in passage.states if name not in passage.targets]
        assert not missing

    def _states_of(self, loop: ast.For) -> dict[str, Wire | None]:
        """Return the states that a loop assigns: declared ones, and those that take a cell's states."""
        states: dict[str, Wire | None] = {}
        for statement in loop.body:
            if isinstance(statement, ast.Assign):
                is_call = self._called(statement.value) is not None
                for target in _targets(statement):
                    if target.id in self.starts or is_call:
                        states[target.id] = self.starts.get(target.id)
        return states

    def _line(self, statement: ast.stmt, passage: Passage) -> None:
        if isinstance(statement, ast.AugAssign):
            self._loss(statement, passage)
        elif isinstance(statement, ast.Assign) and (cell := self._called(statement.value)) is not None:
            self._call(statement, cell, passage)
        elif isinstance(statement, ast.Assign):
            self._equation(statement, passage)
        else:
            where = "a loop holds equations" if passage.axis else "a model holds declarations, loops, equations"
            hint = "Write as in 'for t in range(T):', 'h = lstm(x[t])', 'loss += cross_entropy(u, y[t])'."
            raise self.text.fail(statement, f"{where} and terms of the loss, and this is none", hint)

    def _equation(self, statement: ast.Assign, passage: Passage) -> None:
        resolved = copy.copy(statement)
        resolved.value = self._resolved(statement.value, passage)
        line = assignment(self._text_now(), resolved)
        if line.target == LOSS:
            raise self.text.fail(line.place, "the loss is a sum of terms", "Write 'loss += ...'.")
        self._add(passage, line)

    def _loss(self, statement: ast.AugAssign, passage: Passage) -> None:
        if not isinstance(statement.target, ast.Name) or statement.target.id != LOSS:
            raise self.text.fail(statement, "only the loss is added to", "Write 'loss += ...' or 'name = ...'.")
        if not isinstance(statement.op, ast.Add):
            raise self.text.fail(statement, "terms are added to the loss", "Write 'loss += ...'.")
        count = sum(len(p.losses) for p in self.passages) + 1
        name = LOSS if count == 1 else f"{LOSS}_{count}"
        equation = ast.Assign([ast.copy_location(ast.Name(LOSS, ast.Store()), statement.target)], statement.value)
        resolved = ast.copy_location(equation, statement)
        resolved.value = self._resolved(statement.value, passage)
        line = assignment(self._text_now(), resolved)
        self._add(passage, replace(line, target=name))
        passage.losses.append(name)

    def _text_now(self) -> Text:
        return replace(self.text, declarations=tuple(self.declared.values()))

    def _add(self, passage: Passage, line: Assignment) -> None:
        self._check_target(line.target, line.place, passage)
        passage.lines.append(line)
        self.homes[line.target] = passage

    # names

    def _check_new(self, name: str, place: Place) -> None:
        if name in self.declared or name in self.aliases:
            raise self.text.fail(place, f"'{name}' is declared twice", "Remove one of the two declarations.")
        if name in self.homes or name in self.used:
            raise self.text.fail(place, f"'{name}' is used before it is declared", "Move its declaration up.")
        if name == LOSS:
            raise self.text.fail(place, "'loss' is the model's loss and isn't declared", "Write 'loss += ...'.")

    def _check_target(self, name: str, place: Place, passage: Passage) -> None:
        if name in self.homes:
            raise self.text.fail(place, f"'{name}' is assigned twice", "Give the new value a name of its own.")
        kind = self.declared[name].kind if name in self.declared else ""
        if kind and not (kind == "state" and passage.axis):
            if kind == "state":
                hint = "Its value before the loop stands in its declaration: 'h: state[n] = ...'."
                raise self.text.fail(place, f"the state '{name}' is assigned outside of a loop", hint)
            hint = "Give the new value a name of its own."
            raise self.text.fail(place, f"'{name}' is declared as {kind} and can't be assigned", hint)
        if name in self.aliases:
            raise self.text.fail(place, f"'{name}' is a layer and can't be assigned", "Choose another name.")
        if name in self.used:
            hint = "Lines run from top to bottom: move its line up, or declare it as a state."
            raise self.text.fail(self.used[name], f"'{name}' is used before it is assigned", hint)
        for ending in (*ENDINGS.values(), START):
            base = name.removesuffix(ending)
            if base != name and (base in self.homes or base in self.declared) and ending != START:
                raise self.text.fail(place, f"'{name}' is kept for values of '{base}'", "Choose another name.")

    def _resolved(self, value: ast.expr, passage: Passage) -> ast.expr:
        """Return an expression in which everything from elsewhere is a name that `passage.wires` knows."""
        return _Resolver(self, passage).visit(copy.deepcopy(value))

    def name(self, node: ast.Name, passage: Passage) -> ast.Name:
        """Resolve a plain name."""
        name = node.id
        if name == passage.variable:
            hint = f"It picks a step, as in x[{name}]."
            raise self.text.fail(node, f"'{name}' counts steps and can't be computed with", hint)
        if name == LOSS:
            raise self.text.fail(node, "the loss can't be read", "It is a sum over all steps.")
        if (
            name in self.aliases
            or self.find_cell(name) is not None
            and name not in self.homes
            and name not in self.declared
        ):
            hint = f"Call it on a line of its own: 'h = {name}(x[t])'."
            raise self.text.fail(node, f"'{name}' is a cell and stands here without arguments", hint)
        if name in passage.targets or name in passage.states:
            return node
        if name in self.homes:
            home = self.homes[name]
            return self._wired(node, passage, name, LAST if home.axis else ONCE)
        if name in self.declared and self.declared[name].kind in ("input", "index"):
            if self.axes[name]:
                step = (
                    f"{name}[{passage.variable}] is its value at a step"
                    if passage.variable
                    else "a loop reads its steps"
                )
                raise self.text.fail(
                    node, f"'{name}' is a sequence", f"{step[0].upper()}{step[1:]}; stack({name}) is all of it."
                )
            return self._wired(node, passage, name, ONCE)
        if name in self.declared and self.declared[name].kind == "state":
            raise self.text.fail(
                node, f"the state '{name}' has no value here", "Its loop comes later, or never assigns it."
            )
        if is_reserved(name):
            raise self.text.fail(node, f"'{name}' is not defined", RESERVED)
        self.used.setdefault(name, node)
        return node

    def step(self, node: ast.Subscript, passage: Passage) -> ast.Name:
        """Resolve `x[t]`: a sequence at the loop's own step."""
        assert isinstance(node.slice, ast.Name)
        if not isinstance(node.value, ast.Name):
            raise self.text.fail(node, "only a name has steps", "Give the sequence a name, and write name[t].")
        name = node.value.id
        axis = self.axes.get(name, "") or (self.homes[name].axis if name in self.homes else "")
        if name in passage.targets or name in passage.states:
            raise self.text.fail(node, f"'{name}' belongs to this loop: its value at this step is just '{name}'")
        if not axis:
            hint = "An input with steps is declared as in 'x: input[T, m]'."
            raise self.text.fail(node, f"'{name}' has no steps", hint)
        if axis != passage.axis:
            raise self.text.fail(node, f"'{name}' has {axis} steps, this loop has {passage.axis}")
        return self._wired(node, passage, name, STEP)

    def whole(self, node: ast.Call, passage: Passage) -> ast.Name:
        """Resolve `stack(h)`: all steps of a sequence."""
        name = node.args[0].id if len(node.args) == 1 and isinstance(node.args[0], ast.Name) else ""
        home = self.homes.get(name)
        if not name or not (self.axes.get(name) or home and home.axis and home is not passage):
            hint = "Write stack(h) after the loop that gives h, or stack(x) for an input with steps."
            raise self.text.fail(node, "stack takes the name of a sequence", hint)
        if name in self.declared and self.declared[name].kind == "index":
            raise self.text.fail(node, "an index can't be stacked", "Look its rows up in a loop, and stack those.")
        return self._wired(node, passage, name, WHOLE)

    def _wired(self, node: ast.expr, passage: Passage, source: str, part: str) -> ast.Name:
        name = source + ENDINGS.get(part, "")
        wire = Wire(source, part)
        if passage.wires.setdefault(name, wire) != wire or name != source and name in self.homes:
            raise self.text.fail(node, f"'{name}' is kept for values of '{source}'", "Choose another name.")
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    # cells

    def _called(self, value: ast.expr) -> Cell | None:
        """Return the cell that an expression calls, None where it calls none."""
        if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Name)):
            return None
        name = value.func.id
        if name in self.aliases:
            return self.aliases[name]
        return None if name in FUNCTIONS or name in TENSOR_FUNCTIONS or name == "stack" else self._direct(value.func)

    def _direct(self, function: ast.Name) -> Cell:
        cell = self.find_cell(function.id)
        if cell is None:
            known = [*FUNCTIONS, *TENSOR_FUNCTIONS, "stack", *self.aliases]
            hint = f"{closest(function.id, known)} {self._known_cells()}"
            raise self.text.fail(function, f"unknown function or cell '{function.id}'", hint)
        return cell

    def _call(self, statement: ast.Assign, cell: Cell, passage: Passage) -> None:
        """Put a cell's lines in place of its call."""
        call = statement.value
        assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        alias = call.func.id
        targets = _targets(statement)
        inputs = (*cell.inputs, *cell.indices)
        signature = f"'{', '.join(cell.states)} = {alias}({', '.join(inputs)})'"
        if len(targets) != len(cell.states):
            raise self.text.fail(statement, f"{cell.name} has {len(cell.states)} states", f"Write {signature}.")
        if len(call.args) != len(inputs) or call.keywords:
            raise self.text.fail(
                call, f"{cell.name} takes {len(inputs)} inputs, here {len(call.args)}", f"Write {signature}."
            )
        self.calls[alias] = count = self.calls.get(alias, 0) + 1
        label = alias if alias in self.aliases else ""
        own = label if count == 1 else f"{label}_{count}"
        names = {name: f"{name}{LABEL}{label}" if label else name for name in cell.params}
        sizes = {size: f"{size}{LABEL}{label}" if label else f"{size}{LABEL}{cell.name}" for size in sizes_of(cell)}
        self.free += [size for size in sizes.values() if size not in self.free]
        self._declare_of(cell, names, sizes, call)
        zeros: dict[str, tuple[ast.expr, ...]] = {}
        for name, argument in zip(inputs, call.args, strict=True):
            given = self._resolved(argument, passage)
            if isinstance(given, ast.Name):
                names[name] = given.id
            elif is_number(given, 0):
                names[name] = f"{name}{LABEL}{own or cell.name}"
                zeros[names[name]] = tuple(size_in(part, sizes, call) for part in cell.inputs.get(name, ()))
            else:
                names[name] = f"{name}{LABEL}{own}" if own else name
                self._add(
                    passage, replace(assignment(self._text_now(), _assigned(names[name], given, call)), place=call)
                )
        self._put_in(cell, names, sizes, own, targets, zeros, passage, call)

    def _declare_of(self, cell: Cell, names: Mapping[str, str], sizes: Mapping[str, str], call: ast.Call) -> None:
        """Declare a cell's parameters, and where it is called in a loop its states, in its own dimensions."""
        for old, dimensions in cell.params.items():
            if names[old] in self.homes or names[old] in self.used:
                hint = f"Declare the layer under a name of its own: 'layer1: {cell.name}', and call layer1."
                raise self.text.fail(call, f"'{names[old]}' is a parameter of {cell.name} and of the model", hint)
            if names[old] not in self.declared:
                shape = tuple(size_in(part, sizes, call) for part in dimensions)
                self.declared[names[old]] = Declaration(names[old], "param", shape, call)

    def _put_in(
        self,
        cell: Cell,
        names: dict[str, str],
        sizes: Mapping[str, str],
        own: str,
        targets: list[ast.Name],
        zeros: dict[str, tuple[ast.expr, ...]],
        passage: Passage,
        call: ast.Call,
    ) -> None:
        taken = read(Source(cell.name, cell.text))
        states = dict(zip(cell.states, (target.id for target in targets), strict=True))
        for target, (name, dimensions) in zip(targets, cell.states.items(), strict=True):
            check_name(self.text, target)
            shape = tuple(size_in(part, sizes, call) for part in dimensions)
            names[name] = target.id
            if not passage.axis:
                names[name] += START
                zeros[names[name]] = shape
            elif target.id not in self.declared:
                self.declared[target.id] = Declaration(target.id, "state", shape, call)
        for line in taken.assignments:
            fold = Fold(zeros)
            value = fold.fold(put_in(line.value, names, sizes, call))
            made = states.get(line.target) or (f"{line.target}{LABEL}{own}" if own else line.target)
            names[line.target] = made
            if fold.is_zero(value) and line.target in states:
                raise self.text.fail(call, f"the state '{made}' is always 0 here", "Give the cell an input.")
            if fold.is_zero(value):
                zeros[made] = ()
            else:
                self._add(passage, Assignment(made, value, call))

    def _check_whole(self) -> None:
        if not any(passage.losses for passage in self.passages):
            hint = "Add a line such as 'loss += cross_entropy(u, y[t])'."
            raise NotationError(f"{self.text.source.name}: the model has no loss. {hint}")
        for name, made in self.declared.items():
            if made.kind == "state" and name not in self.homes:
                hint = f"Add an equation '{name} = ...' to a loop."
                raise self.text.fail(made.place, f"the state '{name}' is never assigned", hint)


class _Resolver(ast.NodeTransformer):
    """Replaces what comes from other passages by names of wires; leaves functions, sizes and indices alone."""

    def __init__(self, reader: _Reader, passage: Passage) -> None:
        self.reader = reader
        self.passage = passage

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.reader.name(node, self.passage)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if self.passage.variable and isinstance(node.slice, ast.Name) and node.slice.id == self.passage.variable:
            return self.reader.step(node, self.passage)
        if self._is_index(node.slice):
            node.slice = self.visit(node.slice)
            node.value = self.visit(node.value)
            function = ast.copy_location(ast.Name("lookup", ast.Load()), node)
            return ast.copy_location(ast.Call(function, [node.value, node.slice], []), node)
        node.value = self.visit(node.value)
        return node

    def _is_index(self, node: ast.expr) -> bool:
        named = node.value if isinstance(node, ast.Subscript) else node
        declared = self.reader.declared.get(named.id) if isinstance(named, ast.Name) else None
        return declared is not None and declared.kind == "index"

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name):
            if node.func.id == "stack":
                return self.reader.whole(node, self.passage)
            if node.func.id == "ones":
                return node
            if node.func.id not in FUNCTIONS and node.func.id not in TENSOR_FUNCTIONS:
                self.reader._called(node)
                hint = f"Give it a line of its own: 'h = {node.func.id}(...)'."
                raise self.reader.text.fail(node, f"'{node.func.id}' is a cell and stands in an expression", hint)
        node.args = [self.visit(argument) for argument in node.args]
        return node


def _targets(statement: ast.Assign) -> list[ast.Name]:
    first = statement.targets[0]
    found = list(first.elts) if isinstance(first, ast.Tuple) else [first]
    return [name for name in found if isinstance(name, ast.Name)]


def _assigned(name: str, value: ast.expr, place: ast.expr) -> ast.Assign:
    target = ast.copy_location(ast.Name(name, ast.Store()), place)
    return ast.copy_location(ast.Assign([target], value), place)


def _axis_of(text: Text, loop: ast.For) -> str:
    """Return the axis of `for t in range(T):` or `for t in reversed(range(T)):`."""
    match loop.iter:
        case (
            ast.Call(func=ast.Name(id="range"), args=[ast.Name(id=axis)], keywords=[])
            | ast.Call(
                func=ast.Name(id="reversed"),
                args=[ast.Call(func=ast.Name(id="range"), args=[ast.Name(id=axis)], keywords=[])],
                keywords=[],
            )
        ) if isinstance(loop.target, ast.Name) and not loop.orelse:
            return axis
    hint = "Write 'for t in range(T):' or 'for t in reversed(range(T)):'."
    raise text.fail(loop.iter, "a loop runs over the steps of a sequence", hint)


def _is_reversed(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reversed"
