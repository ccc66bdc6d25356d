"""Text of a model -> passages: what runs once, and loops over time, with cells put in where they are called.

A model's text is Python, read with `ast` and never executed. Every line means what it would mean in NumPy.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .cell import Cell
from .errors import NotationError, Source
from .folding import is_number
from .inlining import called, put_call
from .resolving import KNOWN_CELLS, resolved
from .scope import ENDINGS, LABEL, LAST, LOSS, ONCE, PARAM, START, STEP, WHOLE, Layer, Passage, Scope, Wire, targets_of
from .shapes import Expected
from .syntax import KINDS, Text, assignment, check_name, closest, declaration, tree_of, with_lookups

__all__ = [
    "ENDINGS",
    "LABEL",
    "LAST",
    "ONCE",
    "PARAM",
    "START",
    "STEP",
    "WHOLE",
    "ModelText",
    "Passage",
    "Wire",
    "is_model",
    "read_model",
]


@dataclass(frozen=True)
class ModelText:
    """A model's text taken apart.

    Attributes:
        text: with the declarations of everything, a time axis taken off.
        axes: input or index -> the axis that was taken off, "" for none.
        passages: in order.
        params: the parameters that the text declares itself.
        start_places: state -> where its first value is written.
        free: dimensions of called cells, to be found by unification.
        expected: the shapes that called cells expect of what they are given.
    """

    text: Text
    axes: dict[str, str]
    passages: list[Passage]
    params: list[str]
    start_places: Mapping[str, ast.expr]
    free: list[str]
    expected: list[Expected]


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
    tree, doc = tree_of(source)
    text = Text(source, doc, (), ())
    for statement in tree.body:
        _check_statement(text, statement)
    return _Reader(_scope(text, tree.body, find_cell), tree.body).read()


def _check_statement(text: Text, statement: ast.stmt, in_loop: bool = False) -> None:
    """Refuse what is no declaration, loop, equation or term of the loss."""
    hint = "Write as in 'x: input[T, m]', 'for t in range(T):', 'h = rnn(x[t])', 'loss += cross_entropy(u, y[t])'."
    match statement:
        case ast.For() if in_loop:
            raise text.fail(statement, "loops don't stand in loops", "Write one loop after the other.")
        case ast.For(orelse=[first, *_]):
            raise text.fail(first, "a loop has no 'else'", "Write its lines below the loop.")
        case ast.For():
            _axis_of(text, statement)
            for inner in statement.body:
                _check_statement(text, inner, in_loop=True)
        case ast.AnnAssign() if in_loop:
            raise text.fail(statement, "a declaration stands in a loop", "Move it up, before the loops.")
        case ast.AnnAssign() | ast.Assign() | ast.AugAssign():
            return
        case _ if in_loop:
            raise text.fail(statement, "a loop holds equations and terms of the loss, and this is none", hint)
        case _:
            message = "a model holds declarations, loops, equations and terms of the loss, and this is none"
            raise text.fail(statement, message, hint)


def _scope(text: Text, statements: list[ast.stmt], find_cell: Callable[[str], Cell | None]) -> Scope:
    """Return what is known before the first line: the words of the text, and its dimensions."""
    words: dict[str, ast.expr] = {}
    sizes = set()
    later = set()
    for statement in statements:
        lines = statement.body if isinstance(statement, ast.For) else [statement]
        for line in lines:
            parts = [line.target, line.value] if isinstance(line, ast.AnnAssign) else [line]
            names = [n for part in parts if part is not None for n in ast.walk(part) if isinstance(n, ast.Name)]
            for name in names:
                words.setdefault(name.id, name)
        if isinstance(statement, ast.For):
            sizes.add(_axis_of(text, statement))
        elif isinstance(statement, ast.AnnAssign):
            later |= {n.id for n in ast.walk(statement.target) if isinstance(n, ast.Name)}
            if isinstance(statement.annotation, ast.Subscript):
                sizes |= {n.id for n in ast.walk(statement.annotation.slice) if isinstance(n, ast.Name)}
    return Scope(text, find_cell, words, frozenset(sizes), later)


class _Reader:
    def __init__(self, scope: Scope, statements: list[ast.stmt]) -> None:
        self.scope = scope
        self.statements = statements
        self.loops = {_axis_of(scope.text, loop) for loop in statements if isinstance(loop, ast.For)}

    def read(self) -> ModelText:
        for statement in self.statements:
            if isinstance(statement, ast.AnnAssign):
                self._declare(statement)
            elif isinstance(statement, ast.For):
                self._loop(statement)
            else:
                self._line(statement, self.scope.once())
        self._check_whole()
        scope = self.scope
        passages = [passage for passage in scope.passages if passage.lines]
        params = [d.name for d in scope.declared.values() if d.kind == "param" and d.name not in scope.owners]
        return ModelText(
            scope.whole_text(), scope.axes, passages, params, scope.start_places, scope.free, scope.expected
        )

    # declarations

    def _declare(self, statement: ast.AnnAssign) -> None:
        scope = self.scope
        start, statement.value = statement.value, None
        if isinstance(statement.target, ast.Name):
            scope.later.discard(statement.target.id)
        if isinstance(statement.annotation, ast.Name) and statement.annotation.id not in KINDS:
            self._declare_layer(statement, statement.annotation, start)
            return
        axis = self._take_axis(statement)
        made = declaration(scope.text, statement)
        scope.check_new(made.name, statement)
        scope.declared[made.name] = made
        if made.kind == "state":
            scope.starts[made.name] = self._start(made.name, start) if start is not None else None
        elif start is not None:
            raise scope.fail(start, "only a state is declared with a value: its first", "Write 'h: state[n] = h0'.")
        elif made.kind in ("input", "index"):
            scope.axes[made.name] = axis

    def _take_axis(self, statement: ast.AnnAssign) -> str:
        """Take the axis of time off a declaration such as `x: input[T, m]`, where there is one."""
        annotation = statement.annotation
        if not (isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name)):
            return ""
        kind = annotation.value.id
        sizes = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        first = sizes[0] if sizes else None
        if kind not in ("input", "index") or kind == "index" and len(sizes) == 1:
            return ""
        if not isinstance(first, ast.Name) or first.id not in self.loops:
            if kind == "index":
                message = "an index has at most two dimensions: steps of a loop, and how many entries it picks from"
                hint = "Write 'w: index[T, k]' with a loop 'for t in range(T):', or 'w: index[k]'."
                raise self.scope.fail(annotation, message, hint)
            return ""
        rest: ast.expr = annotation.value
        if len(sizes) > 1:
            inside = sizes[1] if len(sizes) == 2 else ast.copy_location(ast.Tuple(sizes[1:], ast.Load()), annotation)
            rest = ast.copy_location(ast.Subscript(annotation.value, inside, ast.Load()), annotation)
        statement.annotation = rest
        return first.id

    def _declare_layer(self, statement: ast.AnnAssign, cell_name: ast.Name, start: ast.expr | None) -> None:
        scope = self.scope
        cell = scope.find_cell(cell_name.id)
        if cell is None:
            hint = f"{closest(cell_name.id, KINDS)} Or name a cell for a layer: {KNOWN_CELLS}"
            raise scope.fail(cell_name, f"'{cell_name.id}' is neither a kind nor a cell", hint)
        if not isinstance(statement.target, ast.Name) or start is not None:
            raise scope.fail(statement, "a layer is a name for a cell, without a value", "Write 'layer1: rnn'.")
        check_name(scope.text, statement.target)
        name = statement.target.id
        if LABEL in name:
            raise scope.fail(statement.target, f"a layer's name has no '{LABEL}'", "Its label stands after it.")
        scope.check_new(name, statement)
        scope.layers[name] = Layer(cell, statement)

    def _start(self, name: str, value: ast.expr) -> Wire | None:
        """Return where a state's first value comes from; what is more than a name is a line of its own."""
        scope = self.scope
        scope.start_places[name] = value
        if is_number(value, 0):
            return None
        aside = Passage()
        first = resolved(scope, value, aside)
        if isinstance(first, ast.Name):
            return aside.wires.get(first.id, Wire(first.id, PARAM))
        passage = scope.once()
        place = ast.copy_location(ast.Name(scope.generated(name + START, name), ast.Store()), value)
        line = ast.copy_location(ast.Assign([place], resolved(scope, value, passage)), value)
        scope.add(passage, assignment(scope.whole_text(), line))
        return Wire(place.id, ONCE)

    # passages

    def _loop(self, loop: ast.For) -> None:
        assert isinstance(loop.target, ast.Name)
        self._check_counter(loop.target)
        passage = Passage(loop.target.id, _axis_of(self.scope.text, loop), _is_reversed(loop.iter))
        passage.states = self._states_of(loop)
        self.scope.passages.append(passage)
        for inner in loop.body:
            self._line(inner, passage)
        self.scope.counters.add(passage.variable)

    def _check_counter(self, counter: ast.Name) -> None:
        """Refuse a counter that is the name of something else."""
        scope, name = self.scope, counter.id
        check_name(scope.text, counter)
        known = {*scope.declared, *scope.homes, *scope.used, *scope.layers, *scope.sizes, *scope.later, LOSS}
        if name in known:
            hint = "Take a name for the counter that nothing else has, such as t."
            raise scope.fail(counter, f"'{name}' names something else and can't count steps", hint)

    def _states_of(self, loop: ast.For) -> dict[str, Wire | None]:
        """Return the states that a loop assigns: declared ones, and those that take a cell's states."""
        states: dict[str, Wire | None] = {}
        for statement in loop.body:
            if isinstance(statement, ast.Assign):
                is_call = called(self.scope, statement.value) is not None
                for target in targets_of(statement):
                    if isinstance(target, ast.Name) and (target.id in self.scope.starts or is_call):
                        states[target.id] = self.scope.starts.get(target.id)
        return states

    def _line(self, statement: ast.stmt, passage: Passage) -> None:
        if isinstance(statement, ast.AugAssign):
            self._loss(statement, passage)
        elif isinstance(statement, ast.Assign) and (cell := called(self.scope, statement.value)) is not None:
            put_call(self.scope, statement, cell, passage)
        elif isinstance(statement, ast.Assign):
            self._equation(statement, passage)

    def _equation(self, statement: ast.Assign, passage: Passage) -> None:
        if any(isinstance(target, ast.Name) and target.id == LOSS for target in targets_of(statement)):
            raise self.scope.fail(statement, "the loss is a sum of terms", "Write 'loss += ...'.")
        line = copy.copy(statement)
        line.value = resolved(self.scope, statement.value, passage)
        self.scope.add(passage, assignment(self.scope.whole_text(), line))

    def _loss(self, statement: ast.AugAssign, passage: Passage) -> None:
        scope = self.scope
        if not isinstance(statement.target, ast.Name) or statement.target.id != LOSS:
            raise scope.fail(statement, "only the loss is added to", "Write 'loss += ...' or 'name = ...'.")
        if not isinstance(statement.op, ast.Add):
            raise scope.fail(statement, "terms are added to the loss", "Write 'loss += ...', and a sign in the term.")
        equation = ast.Assign([statement.target], resolved(scope, statement.value, passage))
        line = assignment(scope.whole_text(), ast.copy_location(equation, statement))
        count, name = 1, LOSS
        while name in scope.homes or name != LOSS and name in scope.words:
            count += 1
            name = f"{LOSS}_{count}"
        scope.add(passage, replace(line, target=name))
        passage.losses.append(name)

    def _check_whole(self) -> None:
        scope = self.scope
        if not any(passage.losses for passage in scope.passages):
            hint = "Add a line such as 'loss += cross_entropy(u, y[t])'."
            raise NotationError(f"{scope.text.source.name}: the model has no loss. {hint}")
        for name, made in scope.declared.items():
            if made.kind == "state" and name not in scope.homes:
                raise scope.fail(
                    made.place, f"the state '{name}' is never assigned", f"Add an equation '{name} = ...' to a loop."
                )
        for name, layer in scope.layers.items():
            if name not in scope.calls:
                hint = f"Call it, as in 'h = {name}(x[t])', or remove its line."
                raise scope.fail(layer.place, f"the layer '{name}' is never called", hint)
        with_lookups(replace(scope.whole_text(), assignments=tuple(line for p in scope.passages for line in p.lines)))


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
        ) if isinstance(loop.target, ast.Name):
            return axis
    hint = "Write 'for t in range(T):' or 'for t in reversed(range(T)):', with a name for the number of steps."
    raise text.fail(loop.iter, "a loop counts the steps of a sequence", hint)


def _is_reversed(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reversed"
