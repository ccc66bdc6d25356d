"""What each statement of somebody's backward pass ought to hold, from their forward pass alone, and what it does hold.

Every expression of the forward pass is moved a little, at one step in time after another, by complex steps: what the
loss answers is the adjoint of that expression. No cell is needed for that, nor names. Adjoints are told apart by their
products with two random directions, so that a run of the forward pass gives one of them whole.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import itertools
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import CodeType, FrameType
from typing import Any

import numpy as np

from .code_adapter import Array, Calling, Path
from .code_names import alike, is_gradients
from .code_reference import TINY, loss, wide_numpy
from .code_subject import Hung, Subject
from .code_traced import Ran, compiled, traced_ahead

Prints = tuple[complex, complex]  # products with two directions
Key = tuple[str, int]  # function and number of the node in it
StatementPlace = tuple[str, int, int]  # function, line and column
NEAR = 1e-8
LARGEST = 4000  # runs of the forward pass


@dataclass(frozen=True)
class Adjoint:
    """The right gradient of the loss by an expression of the forward pass.

    Attributes:
        of: the expression, as it is written there, or the variable that it is assigned to.
        text: the expression.
        shape: of its value.
        prints: time -> products with the directions; at each time the sum from there to the end for a `total`.
        total: whether it is such a sum: what a parameter's gradient has gathered so far.
        version: the function, and how often each name in the expression had been assigned to before it in the text.
        place: of the statement in which the expression stands, if any.
    """

    of: str
    text: str
    shape: tuple[int, ...]
    prints: Mapping[int, Prints]
    total: bool = False
    version: tuple[str | int, ...] = ()
    place: StatementPlace | None = None


@dataclass(eq=False)
class Watched:
    """A target of an assignment, as it is run.

    Attributes:
        ran: the function.
        statement: of which it is a part.
        text: of the target.
        values: at each execution.
        order: when it was first run, among all.
    """

    ran: Ran
    statement: ast.stmt
    text: str
    values: list[Array] = field(default_factory=list)
    order: int = 0

    @property
    def place(self) -> StatementPlace:
        """Where the statement stands."""
        return self.ran.function.__qualname__, self.statement.lineno, self.statement.col_offset


@cache
def directions(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the two random directions for arrays of a shape."""
    rng = np.random.default_rng([7, *shape])
    return rng.standard_normal(shape), rng.standard_normal(shape)


def prints(array: Array) -> Prints:
    """Return an array's products with the directions of its shape."""
    one, other = directions(np.shape(array))
    return complex(np.sum(one * array)), complex(np.sum(other * array))


def adjoints(
    subject: Subject, calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array]
) -> list[Adjoint]:
    """Return the adjoint of every expression of the forward pass that is run once, or once for each step."""
    steps = calling.sizes["T"]
    ran = traced_ahead(subject, lambda: subject.run(calling, values))
    bumped = _Bumped()
    with _instrumented(ran, bumped), wide_numpy(subject):
        loss(subject, calling, values, seeds)
        shapes, texts = dict(bumped.shapes), dict(bumped.texts)
        wanted = {key: found for key, found in shapes.items() if len(found) in (1, steps) and len(set(found)) == 1}
        found: list[Adjoint] = []
        runs = 0
        for key, all_shapes in wanted.items():
            shape, by_time = all_shapes[0], {}
            axis = shape.index(steps) if len(all_shapes) == 1 and steps in shape and steps > 1 else None
            times = range(steps) if axis is not None else range(len(all_shapes))
            part = shape if axis is None else shape[:axis] + shape[axis + 1 :]
            for t in times:
                told = []
                for direction in directions(part):
                    bumped.move(key, t if axis is None else 0, direction, axis, t)
                    told.append(complex(np.imag(loss(subject, calling, values, seeds)) / TINY))
                    runs += 1
                by_time[t] = (told[0], told[1])
            bumped.rest()
            if len(by_time) in (1, steps) and any(abs(p) > 0 for both in by_time.values() for p in both):
                title = bumped.titles.get(key, texts[key])
                version, place = bumped.versions[key], bumped.places.get(key)
                found.append(Adjoint(title, texts[key], part, by_time, version=version, place=place))
            if runs > LARGEST:
                break
    whole = {bumped.made[key] for key, shapes in wanted.items() if key in bumped.made and len(shapes) == steps}
    return _summed(found, steps, whole)


def _summed(found: list[Adjoint], steps: int, whole: set[tuple[str, str, int]]) -> list[Adjoint]:
    """Return adjoints with those of one value at one step added up, and with sums over time.

    Where the value of a name is assigned at the step, its adjoint is known whole, and the sum over its uses at that
    step, which lacks what comes back from the next one, would pass for it.
    """
    groups: dict[tuple[str, tuple[int, ...], tuple[str | int, ...]], list[Adjoint]] = {}
    for adjoint in found:
        if len(adjoint.prints) == steps and (adjoint.text, *adjoint.version) not in whole:
            groups.setdefault((adjoint.text, adjoint.shape, adjoint.version), []).append(adjoint)
    more = []
    for (of, shape, _), parts in groups.items():
        added = {t: _plus(part.prints[t] for part in parts) for t in range(steps)}
        more += [Adjoint(of, of, shape, added)] * (len(parts) > 1)
        gathered = {t: _plus(added[later] for later in range(t, steps)) for t in range(steps)}
        more.append(Adjoint(of, of, shape, gathered, True))
    return [*found, *more]


def _plus(parts: Iterable[Prints]) -> Prints:
    one, other = zip(*parts, strict=True)
    return sum(one), sum(other)


class _Bumped:
    """Moves one expression of the forward pass at one of its executions."""

    def __init__(self) -> None:
        self.shapes: dict[Key, list[tuple[int, ...]]] = {}
        self.texts: dict[Key, str] = {}
        self.titles: dict[Key, str] = {}
        self.versions: dict[Key, tuple[str | int, ...]] = {}
        self.made: dict[Key, tuple[str, str, int]] = {}  # name, function and version that an expression is assigned to
        self.places: dict[Key, StatementPlace] = {}
        self.counts: dict[Key, int] = {}
        self.target: tuple[Key, int, Array, int | None, int] | None = None

    def move(self, key: Key, execution: int, direction: Array, axis: int | None, place: int) -> None:
        self.target, self.counts = (key, execution, direction, axis, place), {}

    def rest(self) -> None:
        self.target, self.counts = None, {}

    def __call__(self, key: Key, value: Any) -> Any:
        if not isinstance(value, np.ndarray | np.inexact) or value.dtype.kind not in "fc":
            return value
        count = self.counts[key] = self.counts.get(key, 0) + 1
        if self.target is None:
            if count > len(self.shapes.setdefault(key, [])):
                self.shapes[key].append(value.shape)
            return value
        wanted, execution, direction, axis, place = self.target
        if key != wanted or count - 1 != execution:
            return value
        moved = np.array(value, complex)
        where = (slice(None),) * (axis or 0) + (place,) if axis is not None else ...
        moved[where] += TINY * 1j * direction
        return moved


@contextlib.contextmanager
def _instrumented(ran: list[Ran], bumped: _Bumped) -> Iterator[None]:
    """Let every expression of these functions go through `bumped`."""
    before = [(at.function, at.function.__code__) for at in ran]
    for at in ran:
        tree = copy.deepcopy(at.tree)
        _Wrap(at.function.__qualname__, bumped).visit(tree)
        at.function.__globals__["__bumped"] = bumped
        at.function.__code__ = compiled(tree, at.function)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for function, code in before:
            function.__code__ = code
            function.__globals__.pop("__bumped", None)


class _Wrap(ast.NodeTransformer):
    """Puts __bumped(key, …) around expressions that are read."""

    def __init__(self, name: str, bumped: _Bumped) -> None:
        self.name, self.bumped, self.number = name, bumped, 0
        self.assigned: Counter[str] = Counter()
        self.place: StatementPlace | None = None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.args = [self.visit(argument) for argument in node.args]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        if isinstance(node.func, ast.Attribute):
            plain = isinstance(node.func.value, ast.Name) and node.func.attr not in ("dot", "copy")
            node.func.value = node.func.value if plain else self.visit(node.func.value)
        return self._around(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Call | ast.BinOp):
            node.value = self.visit(node.value)
        return self._around(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._around(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr == "T" and isinstance(node.ctx, ast.Load):
            node.value = self.visit(node.value)
            return node
        return self._around(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        node.left, node.right = self.visit(node.left), self.visit(node.right)
        return self._around(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self._visit_value(node)
        target = node.targets[-1]
        if not isinstance(target, ast.Tuple | ast.List) and not isinstance(node.value, ast.Tuple):
            self._entitle(target, self.number)
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            self._title(target, node.value)
        self._assign(*node.targets)
        return node

    def _assign(self, *targets: ast.expr) -> None:
        """Count what is assigned to, so that a name's later value is told from its earlier one."""
        parts = [part for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
        self.assigned.update(part.id for part in parts if isinstance(part.ctx, ast.Store))

    def _title(self, target: ast.Tuple, value: ast.Tuple) -> None:
        for part, given in zip(target.elts, value.elts, strict=False):
            match given:
                case ast.Call(func=ast.Name(id="__bumped"), args=[ast.Tuple(elts=[_, ast.Constant(value=number)]), _]):
                    self._entitle(part, int(str(number)))

    def _entitle(self, target: ast.expr, number: int) -> None:
        text = ast.unparse(target)
        self.bumped.titles[self.name, number] = text
        self.bumped.made[self.name, number] = text, self.name, self.assigned[text] + 1

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self._visit_value(node)
        self._assign(node.target)
        return node

    def _visit_value(self, node: ast.Assign | ast.AugAssign) -> None:
        self.place = self.name, node.lineno, node.col_offset
        node.value = self.visit(node.value)
        self.place = None

    def _around(self, node: ast.expr) -> ast.AST:
        if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
            return node
        self.number += 1
        key = (self.name, self.number)
        self.bumped.texts[key] = _plain(node)
        names = [part.id for part in ast.walk(ast.parse(self.bumped.texts[key])) if isinstance(part, ast.Name)]
        if self.place is not None:
            self.bumped.places[key] = self.place
        self.bumped.versions[key] = (self.name, *(self.assigned[name] for name in names))
        mark = ast.Tuple([ast.Constant(self.name), ast.Constant(self.number)], ast.Load())
        return ast.copy_location(ast.Call(ast.Name("__bumped", ast.Load()), [mark, node], []), node)


def _plain(node: ast.AST) -> str:
    """Return an expression without the marks around its parts."""

    class Bare(ast.NodeTransformer):
        def visit_Call(self, call: ast.Call) -> ast.AST:
            self.generic_visit(call)
            marked = isinstance(call.func, ast.Name) and call.func.id == "__bumped"
            return call.args[1] if marked else call

    return ast.unparse(Bare().visit(copy.deepcopy(node)))


def watch(ran: list[Ran], run: Callable[[], Any], whole: bool = False) -> list[Watched]:
    """Return what the targets of assignments hold each time that they have been run, in the order of the run.

    Of a run that raises, that is what was seen until then; where it is to be whole, nothing.
    """
    found = [at for each in ran for at in _assigned(each)]
    by_line: dict[tuple[CodeType, int], list[tuple[Watched, CodeType]]] = {}
    for at in found:
        for line in range(at.statement.lineno, (at.statement.end_lineno or at.statement.lineno) + 1):
            by_line.setdefault((at.ran.function.__code__, line), []).append((at, _reader(at.text)))
    clock = itertools.count(1)

    def follow(code: CodeType) -> Callable[[FrameType, str, Any], Any]:
        waiting: list[tuple[Watched, CodeType]] = []

        def at_line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal waiting
            now = by_line.get((code, frame.f_lineno), []) if event == "line" else []
            if waiting and (not now or now[0][0].statement is not waiting[0][0].statement):
                for at, reader in waiting:
                    _note(at, reader, frame, clock)
                waiting = []
            waiting = now or waiting
            return at_line

        return at_line

    codes = {each.function.__code__ for each in ran}

    def called(frame: FrameType, event: str, argument: Any) -> Any:
        return follow(frame.f_code) if frame.f_code in codes else None

    before = sys.gettrace()
    sys.settrace(called)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()
    except (Exception, Hung):
        found = [] if whole else found
    finally:
        sys.settrace(before)
    return sorted((at for at in found if at.values), key=lambda at: at.order)


def _note(at: Watched, reader: CodeType, frame: FrameType, clock: Iterator[int]) -> None:
    try:
        value = eval(
            reader, frame.f_globals, dict(frame.f_locals)
        )  # a target of theirs: a name, an entry, an attribute
    except Exception:
        return
    if isinstance(value, float | np.floating) or isinstance(value, np.ndarray) and value.dtype.kind == "f":
        at.values.append(np.array(value))
        at.order = at.order or next(clock)


@cache
def _reader(text: str) -> CodeType:
    return compile(text, "<target>", "eval")


def _assigned(ran: Ran) -> Iterator[Watched]:
    for statement in ast.walk(ran.tree):
        if isinstance(statement, ast.Assign | ast.AugAssign) and statement.lineno in ran.lines:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for part in (p for t in targets for p in (t.elts if isinstance(t, ast.Tuple | ast.List) else [t])):
                if isinstance(part, ast.Name | ast.Subscript | ast.Attribute):
                    yield Watched(ran, statement, ast.unparse(part))


class Known:
    """The right adjoints, to look values up in."""

    def __init__(self, found: list[Adjoint], steps: int) -> None:
        self.steps = steps
        self.by_shape: dict[tuple[tuple[int, ...], int], list[tuple[Adjoint, Prints]]] = {}
        self.shapes: dict[int, dict[tuple[int, ...], None]] = {}
        self.names: dict[int, set[str]] = {}
        self.ahead = {adjoint.place for adjoint in found}  # statements on which the loss depends
        for adjoint in found:
            self.shapes.setdefault(int(np.prod(adjoint.shape)), {})[adjoint.shape] = None
            self.names.setdefault(int(np.prod(adjoint.shape)), set()).add(adjoint.of)
            for t, both in adjoint.prints.items():
                place = adjoint.shape, t if len(adjoint.prints) > 1 else -1
                self.by_shape.setdefault(place, []).append((adjoint, both))

    def at(self, value: Array, t: int) -> list[Adjoint]:
        """Return the adjoints at a step in time, of -1 for what isn't in the loop, that a value equals."""
        largest = float(np.abs(value).max(initial=0.0))
        if not np.isfinite(largest) or not largest:
            return []
        found = []
        for shape in self.shapes.get(value.size, ()):
            known = self.by_shape.get((shape, t))
            if not known:
                continue
            forms = [value] if shape == value.shape else []
            forms += [value.T] if value.ndim == 2 and shape == value.T.shape else []
            forms += [value.reshape(shape)] if not forms and (1 in shape or 1 in value.shape) else []
            for form in forms:
                mine = prints(form)
                near = NEAR * largest * np.sqrt(form.size)
                found += [a for a, both in known if abs(mine[0] - both[0]) <= near and abs(mine[1] - both[1]) <= near]
        return found

    def best(self, text: str, size: int) -> int:
        """Return how well the name of a target goes with that of any adjoint of its size."""
        return max((alike(text, name) for name in self.names.get(size, ())), default=0)

    def is_named(self, text: str) -> bool:
        """Return whether a target has the name of a gradient, of whatever size, as one that lost a factor has."""
        return is_gradients(text) and any(alike(text, name) == 3 for names in self.names.values() for name in names)

    def is_missing(self, watched: Watched, execution: int) -> bool:
        """Return whether a target of the loop is 0 where the adjoint of its name isn't."""
        t, value = self.steps - 1 - execution, watched.values[execution]
        if value.any() or len(watched.values) != self.steps:
            return False
        known = self.by_shape.get((value.shape, t), ())
        return any(not a.total and abs(both[0]) > 0 and alike(watched.text, a.of) == 3 for a, both in known)

    def is_partial(self, watched: Watched, execution: int, matches: Sequence[Adjoint]) -> bool:
        """Return whether a target of the loop has the name of a value and holds what one use of it sends back alone."""
        if len(watched.values) != self.steps or not all(a.of == a.text and not a.total for a in matches):
            return False
        known = self.by_shape.get((matches[0].shape, self.steps - 1 - execution), ())
        return any(a.of != a.text and alike(watched.text, a.of) == 3 for a, _ in known)

    def of(self, watched: Watched) -> list[Adjoint]:
        """Return the adjoints that a target equals at every execution; [] where there is none."""
        matches = self.by_execution(watched)
        alive = [found for found in matches if found is not None]
        if not alive:
            return []
        return [a for a in alive[0] if all(any(a is b for b in found) for found in alive[1:])]

    def by_execution(self, watched: Watched) -> list[list[Adjoint] | None]:
        """Return for each execution the adjoints that the value equals, None where it is 0."""
        count = len(watched.values)
        found: list[list[Adjoint] | None] = []
        for execution, value in enumerate(watched.values):
            if not value.any():
                found.append(None)
                continue
            here = self.at(value, self.steps - 1 - execution) if count == self.steps else []
            if count == 1:
                here = [*self.at(value, -1), *self.at(value, 0)]
            found.append(here)
        return found
