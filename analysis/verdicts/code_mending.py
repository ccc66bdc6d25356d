"""The mended line: single edits of somebody's backward pass are run until one makes all gradients right."""

from __future__ import annotations

import ast
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType

import numpy as np

from .code_adapter import Adapter, Array, Calling, Path
from .code_backward import gradients, left_behind, match_gradients
from .code_diagnosis import differences
from .code_edit import Edit, added, in_its_line, spelled, where
from .code_edits import edits
from .code_reach import Reach
from .code_returned import read
from .code_subject import Hung, Subject
from .code_traced import Ran, compiled

Found = Mapping[str, Array]  # name -> gradient
Check = tuple[Mapping[str, Array], Mapping[Path, Array], Mapping[str, Array]]  # values, seeds, right gradients
Brief = tuple[Calling, Check]
MOST, EACH = 8000, 1000  # edits that are run, and after them of each function, so that a long one hides no short one


@dataclass(frozen=True)
class Mended:
    """A repair that works.

    Attributes:
        line: number of the line that was wrong, 0 for one that is missing.
        kind: of fault.
        given: the line as it stands.
        text: the line that is right.
        error: largest relative difference that is left.
    """

    line: int
    kind: str
    given: str
    text: str
    error: float


def mend(
    subject: Subject,
    calling: Calling,
    ran: list[Ran],
    checks: Sequence[Check],
    near: float,
    kinds: tuple[str, ...],
    until: float,
    lines: tuple[int, ...] = (),
    ours: tuple[str, ...] = (),
    right: frozenset[int] = frozenset(),
    made: Callable[[Ran, tuple[str, ...]], list[Edit]] = edits,
    brief: Brief | None = None,
) -> Mended | None:
    """Return the likeliest single edit after which all gradients are right on every probe, or None.

    Args:
        ran: the functions of the backward pass; the edit stays in force in their trees.
        checks: probes with their right gradients.
        near: relative difference below which gradients agree.
        kinds: of fault that the diagnosis names: edits for these are tried first among equals.
        until: when to give up, on the clock of this process's computing; edits are counted, so that is rare.
        lines: where the fault should be, the likeliest last: edits there are tried first among equals.
        right: lines that hold what they ought to: edits there are tried last among equals.
        ours: right sides that are right by the derivation, in the names of the code.
        made: gives the edits of a function.
        brief: a probe of few steps, which tells of most edits that they don't.
    """
    waiting = [(edit, at) for at in ran for edit in made(at, ours)]
    waiting.sort(key=lambda pair: _rank(pair[0], kinds, lines, right))
    reach = reach_of(subject, brief) if brief is not None else None
    likely: Iterable[tuple[Edit, Ran]] = waiting
    if reach is not None:
        likely = (pair for pair in reach.in_order(waiting) if reach.possible(*pair) == reach.base.keys())
    late: Counter[int] = Counter()
    for number, (edit, at) in enumerate(likely):
        late[id(at)] += number >= MOST
        if late[id(at)] > EACH:
            continue
        if time.process_time() > until:
            return None
        error = _error(subject, calling, checks, edit, at, near)
        if error is not None:
            mended = _told(subject, edit, error)
            edit.swap()
            return mended
    return None


def reach_of(subject: Subject, brief: Brief) -> Reach | None:
    """Return what tells which gradients may be right after an edit; None where the backward pass raises."""
    calling, (values, seeds, right) = brief
    try:
        return Reach(lambda: gradients(calling, left_behind(subject, calling, values, seeds)), right)
    except (Exception, Hung):
        return None


def _found(subject: Subject, calling: Calling, check: Check) -> Found:
    values, seeds, right = check
    left = left_behind(subject, calling, values, seeds)
    whole = calling if calling.gradients else match_gradients(subject, calling, left, right, Adapter())[0]
    return gradients(whole, left)


def _rank(edit: Edit, kinds: tuple[str, ...], lines: tuple[int, ...], right: frozenset[int]) -> tuple[float, bool, int]:
    here = edit.statement.lineno in lines
    likeliest = here and edit.statement.lineno == lines[-1]
    if edit.says == "inserted" and kinds == ("dropped carry",) and not lines:
        return edit.cost - 5, True, edit.cost
    good = 0.0 if edit.says else 3.0 * (edit.statement.lineno in right)
    return edit.cost - (edit.kind in kinds) - 1.5 * here - 3 * likeliest + good, not here, edit.cost


def _error(
    subject: Subject, calling: Calling, checks: Sequence[Check], edit: Edit, ran: Ran, near: float
) -> float | None:
    """Return how well gradients agree with an edit, None where they don't."""
    old = edit.swap()
    try:
        code = compiled(ran.tree, ran.function)
    except (SyntaxError, ValueError, TypeError):
        return None
    finally:
        edit.restore(old)
    before = ran.function.__code__
    worst = 0.0
    try:
        ran.function.__code__ = code
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for check in checks:
                found = _found(subject, calling, check)
                if not found.keys() >= _wanted(calling):
                    return None
                worst = max(worst, *differences(found, check[2]).values())
                if not worst <= near:
                    return None
    except (Exception, Hung):
        return None
    finally:
        ran.function.__code__ = before
    return worst if subject.backward is not None or _unmoved(subject, calling, checks[0], ran, code) else None


def _wanted(calling: Calling) -> set[str]:
    """Return whose gradients must be there: all that were, or where none were, those of all parameters."""
    if calling.gradients:
        return {name for _, name in calling.gradients}
    return {place.name for place in calling.given if place.role == "param"}


def _unmoved(subject: Subject, calling: Calling, check: Check, ran: Ran, code: CodeType) -> bool:
    """Return whether the loss stays what it was, where one function gives it and the gradients."""
    before = read(subject.run(calling, check[0])[0], calling)
    old = ran.function.__code__
    try:
        ran.function.__code__ = code
        after = read(subject.run(calling, check[0])[0], calling)
    finally:
        ran.function.__code__ = old
    return all(np.array_equal(before[path], after[path]) for path in before)


def _told(subject: Subject, edit: Edit, error: float) -> Mended:
    lines = subject.text.splitlines()
    statement = edit.statement
    given = lines[statement.lineno - 1].strip()
    if edit.says == "inserted":
        return Mended(0, edit.kind, "", f"{spelled(added(edit))}{where(edit)}", error)
    if edit.says in ("removed", "moved"):
        return Mended(statement.lineno, edit.kind, given, f"{given}{where(edit)}", error)
    if within := in_its_line(edit, lines):
        return Mended(edit.line, edit.kind, lines[edit.line - 1].strip(), within, error)
    if isinstance(edit.new, ast.stmt):
        text = spelled(edit.new)
    else:
        old = edit.swap()
        try:
            text = spelled(statement).splitlines()[0]
        finally:
            edit.restore(old)
    if "'" not in given and '"' in given and '"' not in text:
        text = text.replace("'", '"')  # the quotes that stand there
    return Mended(statement.lineno, edit.kind, given, text, error)
