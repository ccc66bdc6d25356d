"""Line by line: the first statement that doesn't hold what it ought to is mended, then the next, until all hold.

Each statement is judged with everything before it right, so that one fault doesn't hide another.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import itertools
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType, FrameType
from typing import Any

import numpy as np

from .code_adapter import Array
from .code_diagnosis import differences
from .code_edit import Edit, added, in_its_line, spelled, where
from .code_edits import edits, of_blocks, of_statement
from .code_flow import Flow, feeds, is_begun, reads_of, statements_between, targets_of
from .code_names import alike
from .code_reach import Reach
from .code_subject import Hung
from .code_tables import Later, tables_of
from .code_traced import Ran, compiled
from .code_watch import NEAR, Adjoint, Known, Watched, watch

TRIED = 6  # edits that give one adjoint at one step, and are run whole
LARGEST = 4000  # edits that are run for the gradients alone
FAR = 60  # edits of a block that are run whole
MOST = 30  # faults
HOLE = "__hole"


@dataclass(frozen=True)
class Repair:
    """An edit after which a statement holds what it ought to.

    Attributes:
        edit: in force.
        old: what stood there, to take it back.
        ran: the function.
        given, text: the statement before and after, or that line of it which is changed.
        within: whether it is such a line.
    """

    edit: Edit
    old: Any
    ran: Ran
    given: str
    text: str
    within: bool = False

    @property
    def line(self) -> int:
        """The number of the changed line."""
        return self.edit.line if self.within else self.edit.statement.lineno

    @property
    def where(self) -> str:
        """What is to be said of the line's place, for one that is new, moved or left out."""
        return where(self.edit)


class Bench:
    """Somebody's backward pass on one probe, its statements beside the right adjoints.

    Args:
        ran: the functions of the backward pass.
        run: gives the gradients, of the loss or, if so asked, of another one of the same values.
        known: the right adjoints.
        right: the right gradients.
        text: of the file.
        reach: makes what tells which gradients may be right after an edit.
    """

    def __init__(
        self,
        ran: list[Ran],
        run: Callable[[bool], Mapping[str, Array]],
        known: Known,
        right: Any,
        text: str,
        reach: Callable[[], Reach | None],
    ) -> None:
        self.source, self.reach = text.splitlines(), reach
        self.ran, self.run, self.known, self.right_gradients = ran, run, known, right
        self.fixed: set[tuple[int, str]] | None = None
        self.texts = {id(s): spelled(s) for at in ran for s in ast.walk(at.tree) if isinstance(s, ast.stmt)}

    def watched(self, whole: bool = False) -> list[Watched]:
        """Return what every target holds, in the order of the run, without what doesn't come from the loss."""
        with self.in_force():
            found = watch(self.ran, lambda: self.run(False), whole)
            elsewhere = watch(self.ran, lambda: self.run(True)) if self.fixed is None else []
        if self.fixed is None:
            other = {(id(at.statement), at.text): at.values for at in elsewhere}
            self.fixed = {
                (id(at.statement), at.text)
                for at in found
                if not self.known.is_named(at.text)
                and (at.place in self.known.ahead or _is_fixed(at, other.get((id(at.statement), at.text), [])))
            }
        return [at for at in found if (id(at.statement), at.text) not in self.fixed]

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Let the functions be as their trees now stand."""
        before = [(at.function, at.function.__code__) for at in self.ran]
        for at in self.ran:
            at.function.__code__ = compiled(at.tree, at.function)
        try:
            yield
        finally:
            for function, code in before:
                function.__code__ = code

    def agreeing(self) -> frozenset[str]:
        """Return whose gradients are right as the trees now stand."""
        try:
            with self.in_force(), np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = self.run(False)
        except (Exception, Hung):
            return frozenset()
        errors = differences(found, {name: self.right_gradients[name] for name in found})
        return frozenset(name for name, error in errors.items() if error < NEAR)

    def agrees(self) -> bool:
        """Return whether all gradients are right as the trees now stand."""
        return len(self.agreeing()) == len(self.right_gradients)

    def right(self, found: Sequence[Watched]) -> list[tuple[Watched, int, bool]]:
        """Return (target, execution, whether it holds a right adjoint) in the order of the run, without due zeros."""
        rows, taken = [], self.claimed(found)
        for at in found:
            for execution, matches in enumerate(self.known.by_execution(at)):
                if matches is None and self.known.is_missing(at, execution):
                    rows.append((at, execution, False))
                elif matches is not None and len(at.values) in (1, self.known.steps):
                    rows.append((at, execution, bool(matches) and not self.doubtful(at, execution, matches, taken)))
        return rows

    def lines_right(self) -> frozenset[int]:
        """Return the lines of the statements whose targets hold right adjoints until the first that doesn't is run."""
        found = self.watched()
        rows = self.right(found)
        last = min(
            (execution for at, execution in self.suspects(found) if len(at.values) > 1), default=self.known.steps
        )
        wrong = {at.statement.lineno for at, execution, good in rows if execution <= last and not good}
        return frozenset(at.statement.lineno for at, _, _ in rows) - wrong

    def score(self, found: Sequence[Watched]) -> int:
        """Return how many values are right."""
        return sum(good for _, _, good in self.right(found))

    def claimed(self, found: Sequence[Watched]) -> dict[tuple[int, int], list[Watched]]:
        """Return (adjoint, execution) -> the targets that hold it."""
        taken: dict[tuple[int, int], list[Watched]] = {}
        for at in found:
            for execution, matches in enumerate(self.known.by_execution(at)):
                for adjoint in matches or ():
                    taken.setdefault((id(adjoint), execution), []).append(at)
        return taken

    def doubtful(self, at: Watched, execution: int, matches: Sequence[Adjoint], taken: Any) -> bool:
        """Return whether another target holds the same and has the name for it, or this one that of something else."""
        mine = max(alike(at.text, adjoint.of) for adjoint in matches)
        if mine < 2 and self.known.best(at.text, at.values[execution].size) > 1:
            return True
        if self.known.is_partial(at, execution, matches) and not is_begun(self.ran, at.statement):
            return True
        others = [o for a in matches for o in taken[id(a), execution] if o.statement is not at.statement]
        return any(alike(o.text, a.of) > mine for o in others for a in matches)

    def suspects(self, found: Sequence[Watched]) -> list[tuple[Watched, int]]:
        """Return the targets that don't hold a right adjoint, with the execution, unless what reads them is right.

        So the first terms of a sum that is added up line by line aren't suspects where the whole sum is right.
        """
        held: dict[tuple[int, int], bool] = {}  # of all targets of a statement, by execution
        wrong: dict[tuple[int, int], Watched] = {}  # targets, by execution
        for at, execution, good in self.right(found):
            when = id(at.statement), execution
            held[when] = held.get(when, True) and good
            if not good:
                wrong[id(at), execution] = at
        first = {id(at.statement): at for at in reversed(found)}
        flow = Flow(self.ran)
        readers = {id(at): flow.readers(at) for at in {id(at): at for at in wrong.values()}.values()}

        def is_read_rightly(at: Watched, execution: int) -> bool:
            for reader in readers[id(at)]:
                if reader in first and len(first[reader].values) == len(at.values):
                    if held.get((reader, execution + (first[reader].order <= at.order)), False):
                        return True
                elif all(those := [good for key, good in held.items() if key[0] == reader]) and those:
                    return True
            return False

        changed = True
        while changed:
            excused = {key for key, at in wrong.items() if is_read_rightly(at, key[1])}
            wrong = {key: at for key, at in wrong.items() if key not in excused}
            left = {(id(at.statement), execution) for (_, execution), at in wrong.items()}
            held = {when: good or when not in left for when, good in held.items()}
            changed = bool(excused)
        suspects: dict[int, tuple[Watched, int]] = {}
        for (_, execution), at in sorted(wrong.items(), key=lambda pair: pair[0][1]):
            suspects.setdefault(id(at.statement), (at, execution))
        return sorted(suspects.values(), key=lambda pair: (pair[1] if len(pair[0].values) > 1 else 99, pair[0].order))


def repairs(bench: Bench, blindly: bool) -> list[Repair]:
    """Mend statements one after another, as far as an edit of each makes more values right; the edits stay in force.

    Args:
        bench: the backward pass.
        blindly: whether to begin with an edit that is told by the gradients alone, where no statement tells of any.
    """
    done: list[Repair] = []
    won: frozenset[str] = frozenset()  # gradients that were made right for their own sake
    found = bench.watched()
    while len(done) < MOST:
        score = bench.score(found)
        repair = next(_proposed(bench, found, score), None)
        if repair is not None and not won <= bench.agreeing():
            repair.edit.restore(repair.old)
            repair = None
        if repair is None and (done or blindly):
            repair = _agreed(bench)
            won = bench.agreeing()
        if repair is None:
            break
        done.append(repair)
        if bench.agrees():
            break
        found = bench.watched()
    return done


def _agreed(bench: Bench) -> Repair | None:
    """Make the edit after which more gradients are right, and none of those that are is lost."""
    with bench.in_force():
        before, reach = bench.agreeing(), bench.reach()
        if len(before) == len(bench.right_gradients):
            return None
        tried = sorted(((edit, ran) for ran in bench.ran for edit in edits(ran)), key=lambda pair: pair[0].cost)
        for edit, ran in itertools.islice(tried if reach is None else reach.in_order(tried), LARGEST):
            if reach is not None and not before < reach.possible(edit, ran):
                continue
            old = edit.swap()
            after = bench.agreeing()
            edit.restore(old)
            if before < after:
                return _made(bench, edit, ran)
    return None


def _proposed(bench: Bench, found: list[Watched], score: int) -> Iterator[Repair]:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from _best(bench, found, score)


def _best(bench: Bench, found: list[Watched], score: int) -> Iterator[Repair]:
    suspects = bench.suspects(found)
    tables = {id(ran): tables_of(ran, ()) for ran in bench.ran}
    known: dict[int, list[Edit]] = {}  # the edits of a statement
    codes: dict[int, CodeType | None] = {}  # of edits
    texts: dict[tuple[int, str, int | None], str] = {}  # of their statements, with a hole
    taken = bench.claimed(found)
    for at, execution in [pair for pair in suspects if not is_begun(bench.ran, pair[0].statement)][:6]:
        before = [other for other, first in suspects if other.order < at.order and _wrong(other, first, at, execution)]
        feeders = [other for other in before if feeds(other, at)]
        best: tuple[tuple[float, ...], Edit, Ran] | None = None
        right = [other for other in found if other.order < at.order and other not in before and feeds(other, at)]
        for source in (*feeders, at, *right):  # one that lacks what step t+1 sends back may be right on the last step
            tried: Counter[int] = Counter()
            scope = _scope_before(bench, source, execution)
            if scope is None:
                continue
            here = _Here(bench, source, at, scope, execution)
            if here.fits and id(source.statement) not in known:
                known[id(source.statement)] = of_statement(tables[id(source.ran)], source.statement)
            for edit in known[id(source.statement)] if here.fits else ():
                if source in right and edit.kind != "dropped carry" and edit.says != "removed":
                    continue
                if id(edit) not in codes:
                    codes[id(edit)] = _code(edit, texts)
                code = codes[id(edit)]
                held = here.held(edit, code) if code is not None else []
                held = [
                    a for a in held if alike(at.text, a.of) == 3 or not _is_taken(at, taken.get((id(a), execution), ()))
                ]
                if not held:
                    continue
                if all(tried[id(adjoint)] >= TRIED for adjoint in held):
                    continue
                tried.update(id(adjoint) for adjoint in held)
                gain = _gain(bench, edit, score)
                rank = (gain, max(alike(at.text, adjoint.of) for adjoint in held), -edit.cost, -len(tried))
                if gain > 0 and (best is None or rank > best[0]):
                    best = rank, edit, source.ran
        if best is not None:
            yield _made(bench, best[1], best[2])
            return
    of_rest = [(edit, ran) for ran in bench.ran for edit in of_blocks(tables[id(ran)])] if suspects else []
    for edit, ran in sorted(of_rest, key=lambda pair: pair[0].cost)[:FAR]:
        if _gain(bench, edit, score) > 0:
            yield _made(bench, edit, ran)
            return


def _is_taken(at: Watched, others: Sequence[Watched]) -> bool:
    """Return whether a value is that of another statement's target already, and not of one that this one adds up."""
    reads = reads_of(at.statement)
    return any(other.statement is not at.statement and other.text not in reads for other in others)


def _made(bench: Bench, edit: Edit, ran: Ran) -> Repair:
    given = bench.texts[id(edit.statement)]
    within = in_its_line(edit, bench.source)
    if within:
        return Repair(edit, edit.swap(), ran, bench.source[edit.line - 1].strip(), within, True)
    old = edit.swap()
    new = edit.new if isinstance(edit.new, ast.stmt) else added(edit) if edit.says == "inserted" else edit.statement
    if isinstance(new, ast.stmt):
        bench.texts.setdefault(id(new), spelled(new))
    return Repair(edit, old, ran, given, spelled(new))


def _gain(bench: Bench, edit: Edit, score: int) -> int:
    old = edit.swap()
    try:
        return bench.score(bench.watched(whole=True)) - score
    except (SyntaxError, ValueError, TypeError):
        return 0
    finally:
        edit.restore(old)


def _scope_before(bench: Bench, at: Watched, execution: int) -> dict[str, Any] | None:
    """Return the variables just before a statement is run for the given time."""
    scopes: list[dict[str, Any]] = []
    count = 0

    def at_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if event == "line" and frame.f_lineno == at.statement.lineno:
            if count == execution:
                scopes.append(copy.deepcopy(dict(frame.f_locals)))
            count += 1
        return at_line

    before = sys.gettrace()
    with bench.in_force(), contextlib.suppress(Exception, Hung), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = at.ran.function.__code__
        sys.settrace(lambda frame, event, argument: at_line if frame.f_code is code else None)
        try:
            bench.run(False)
        finally:
            sys.settrace(before)
    return scopes[0] if scopes else None


class _Here:
    """Statements from one to another, run again with other edits of the first, at one step in time."""

    def __init__(self, bench: Bench, source: Watched, at: Watched, scope: dict[str, Any], execution: int) -> None:
        self.bench, self.source, self.at, self.execution = bench, source, at, execution
        self.scope = {**source.ran.function.__globals__, **scope}
        between = statements_between(source, at)
        self.fits = between is not None
        self.rest = compile("\n".join(map(ast.unparse, between or ())), "<between>", "exec")
        self.value = compile(at.text, "<target>", "eval")
        self.written = [n for n in (targets_of(source.statement) | targets_of(at.statement)) if n in self.scope]
        self.reads = reads_of(source.statement)
        self.zeros = {n for n, v in self.scope.items() if isinstance(v, np.ndarray) and not v.any()}

    def held(self, edit: Edit, code: CodeType) -> list[Adjoint]:
        """Return the adjoints that the last target holds with an edit, compiled, of the first statement."""
        scope = dict(self.scope)
        for name in self.written:
            scope[name] = copy.deepcopy(scope[name])
        try:
            exec(code, scope)  # statements of theirs, in the process that runs their code
            exec(self.rest, scope)
            value = np.asarray(eval(self.value, scope))
        except Exception:
            return []
        if value.dtype.kind != "f":
            return []
        known = self.bench.known
        if len(self.at.values) == known.steps:
            found = known.at(value, known.steps - 1 - self.execution)
        else:
            found = [*known.at(value, -1), *known.at(value, 0)]
        if not found:
            return []
        new = edit.new if isinstance(edit.new, ast.stmt) else self.source.statement
        return [] if self.zeros & (reads_of(new) - self.reads) else found


def _code(edit: Edit, texts: dict[tuple[int, str, int | None], str]) -> CodeType | None:
    """Return the statement alone as an edit makes it; None where it can't be compiled.

    Where the edit is a text, that is put into the text of the statement, which is faster than to make a tree.
    """
    said = edit.fresh.said if isinstance(edit.fresh, Later) else None
    if isinstance(said, str) and edit.old is not None:
        place = id(edit.owner), edit.name, edit.index
        if place not in texts:
            texts[place] = _with_hole(edit)
        try:
            return compile(texts[place].replace(HOLE, f"({said})"), "<edited>", "exec")
        except SyntaxError:
            return None
    old = edit.swap()
    try:
        new = edit.new if isinstance(edit.new, ast.stmt) else edit.statement
        return compile(ast.Module([] if edit.says == "removed" else [new], []), "<edited>", "exec")
    except (TypeError, ValueError, SyntaxError):
        return None
    finally:
        edit.restore(old)


def _with_hole(edit: Edit) -> str:
    """Return the text of an edit's statement with a name that nothing else has where the edit comes."""
    hole = replace(edit, fresh=ast.Name(HOLE, ast.Load()))
    old = hole.swap()
    try:
        return ast.unparse(edit.statement)
    finally:
        hole.restore(old)


def _wrong(source: Watched, first: int, at: Watched, execution: int) -> bool:
    """Return whether a statement, wrong from an execution on, is so when another is run for the given time."""
    return len(source.values) != len(at.values) or first <= execution


def _is_fixed(at: Watched, other: Sequence[Array]) -> bool:
    """Return whether a target holds the same with another loss; zeros say nothing."""
    same = len(at.values) == len(other) and all(map(np.array_equal, at.values, other))
    return same and any(value.any() for value in at.values)
