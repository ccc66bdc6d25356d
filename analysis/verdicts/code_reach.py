"""What an edit of an expression can do to the gradients: told from the value that it gives the expression, unrun.

A backward pass is linear in what it sends back. So how the gradients answer to an expression's value, at the first of
its executions, is found out by moving that value; then each edit of it is evaluated there alone.
"""

from __future__ import annotations

import ast
import copy
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .code_adapter import Array
from .code_diagnosis import differences
from .code_edit import Edit
from .code_subject import Hung
from .code_tables import Slot
from .code_traced import Ran, compiled

Gradients = Mapping[str, Array]
FAR, ROUNDING = 1e-6, 1e-8  # relative differences: above the one gradients are wrong, below the other they are equal
LARGEST = 128  # entries of a value that are moved one after another
SOON = 200  # edits that come before those that spare what is right


@dataclass(frozen=True)
class _Answer:
    """How gradients answer to an expression's value.

    Attributes:
        slot: where the expression stands, None for a variable at the end of a block.
        reached: the gradients that change with it.
        value: at its first execution.
        scope: of variables then.
        parts: gradient -> which entries of it the first execution alone reaches, linearly, and their slopes.
    """

    slot: Slot | None
    reached: frozenset[str]
    value: Array
    scope: dict[str, Any] = field(default_factory=dict)
    parts: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)


class Reach:
    """Tells which gradients may be right after an edit.

    Args:
        run: gives the gradients as the functions now stand.
        right: the gradients as they ought to be.
    """

    def __init__(self, run: Callable[[], Gradients], right: Gradients) -> None:
        self.run, self.base = run, run()
        self.wanted = {name: np.ravel(right[name]) for name in self.base}
        self.sizes = {name: float(np.abs(wanted).max(initial=0.0)) or 1.0 for name, wanted in self.wanted.items()}
        errors = differences(self.base, right)
        self.right = frozenset(name for name, error in errors.items() if error <= FAR)
        self.inside: dict[int, dict[int, Slot]] = {}
        self.answers: dict[tuple[Any, ...], _Answer | None] = {}

    def in_order(self, pairs: Sequence[tuple[Edit, Ran]]) -> Iterator[tuple[Edit, Ran]]:
        """Give edits as they come, after some those first whose value reaches no gradient that is right."""
        yield from pairs[:SOON]
        yield from sorted(pairs[SOON:], key=lambda pair: not self._spares(*pair)) if self.right else pairs[SOON:]

    def _spares(self, edit: Edit, at: Ran) -> bool:
        answer = self._answered(edit, at, False)
        return answer is not None and self.right.isdisjoint(answer.reached)

    def _answered(self, edit: Edit, at: Ran, whole: bool) -> _Answer | None:
        """Return how gradients answer to what an edit changes: `whole` with the slopes, else which do at all."""
        slot = self._slot(edit)
        inserted = _target(edit)
        key = (id(edit.owner), edit.name, inserted) if inserted else (id(slot.node),) if slot is not None else ()
        if not key:
            return None
        if not whole and (*key, True) in self.answers:
            return self.answers[*key, True]
        if (*key, whole) not in self.answers:
            moving = _moving_target(edit, inserted) if slot is None else _moving(slot)
            self.answers[*key, whole] = self._answer(slot, moving, at, whole)
        return self.answers[*key, whole]

    def possible(self, edit: Edit, at: Ran) -> frozenset[str]:
        """Return the gradients that aren't known to be wrong with an edit."""
        answer = self._answered(edit, at, True)
        if answer is None:
            return frozenset(self.base)
        kept = self.right | answer.reached
        moved = _moved_by(edit, answer) if answer.parts else None
        if moved is None:
            return kept
        return frozenset(name for name in kept if name not in answer.parts or self._meets(name, answer, moved))

    def _meets(self, name: str, answer: _Answer, moved: Array) -> bool:
        entries, slopes = answer.parts[name]
        there = np.ravel(self.base[name])[entries] + slopes @ np.ravel(moved)
        return bool(np.abs(there - self.wanted[name][entries]).max() <= FAR * self.sizes[name])

    def _slot(self, edit: Edit) -> Slot | None:
        """Return the expression that a statement assigns or returns and that an edit changes, or changes a part of."""
        statement = edit.statement
        if id(statement) not in self.inside:
            self.inside[id(statement)] = {id(n): slot for slot in _given(statement) for n in ast.walk(slot.node)}
        inside = self.inside[id(statement)]
        if edit.owner is statement and edit.name == "value":
            return inside.get(id(getattr(statement, "value", None)))
        return inside.get(id(edit.old)) or inside.get(id(edit.owner))

    def _answer(self, slot: Slot | None, moving: Edit, at: Ran, whole: bool) -> _Answer | None:
        """Return how gradients answer to an expression, or a variable; None where it isn't one of real numbers."""
        moved = _Moved()
        old, before = moving.swap(), at.function.__code__
        try:
            at.function.__code__ = compiled(at.tree, at.function)
            at.function.__globals__["__moved"] = moved
            return self._found(slot, at, moved, whole)
        except (Exception, Hung):
            return None
        finally:
            moving.restore(old)
            at.function.__code__ = before
            at.function.__globals__.pop("__moved", None)

    def _found(self, slot: Slot | None, at: Ran, moved: _Moved, whole: bool) -> _Answer | None:
        copied = moved.run(self.run, 0.0)
        kept_twice = any(entries.any() for entries in _changed(self.base, copied).values())  # and so told by no copy
        if not moved.is_real or moved.value is None or kept_twice:
            return None
        value, rng = moved.value, np.random.default_rng(17)
        step = float(np.abs(value).max(initial=0.0)) or 1.0
        by = step * rng.standard_normal(np.shape(value))
        first = moved.run(self.run, by)
        later = moved.run(self.run, step, first=False)
        now, then = _changed(self.base, first), _changed(self.base, later)
        alone = {name: np.flatnonzero(now[name] & ~then[name]) for name in self.base}
        alone = {name: entries for name, entries in alone.items() if entries.size}
        reached = frozenset(name for name in self.base if now[name].any() or then[name].any())
        answer = _Answer(slot, reached, value, {**at.function.__globals__, **moved.scope})
        if not whole or slot is None or not alone or np.size(value) > LARGEST or not _is_same(slot.node, answer):
            return answer

        def moves(found: Gradients, name: str) -> Array:
            return (np.ravel(found[name]) - np.ravel(self.base[name]))[alone[name]]

        units = [unit.reshape(np.shape(value)) for unit in np.eye(np.size(value))]
        runs = [moved.run(self.run, step * unit) for unit in units]
        parts = {name: (alone[name], np.stack([moves(found, name) for found in runs], 1) / step) for name in alone}
        rest = {name: np.abs(moves(first, name) - slopes @ np.ravel(by)).max() for name, (_, slopes) in parts.items()}
        if all(error <= ROUNDING * max(self.sizes[name], np.abs(first[name]).max()) for name, error in rest.items()):
            return replace(answer, parts=parts)
        return answer


class _Moved:
    """Stands around an expression, whose value it moves at the first execution, or at all others."""

    def __init__(self) -> None:
        self.is_real = True
        self.value: Array | None = None
        self.scope: dict[str, Any] = {}
        self.count, self.first, self.by = 0, True, np.zeros(())

    def run(self, run: Callable[[], Gradients], by: Any, first: bool = True) -> Gradients:
        """Return the gradients where the value is moved."""
        self.count, self.first, self.by = 0, first, by
        return run()

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, float | np.floating | np.ndarray) or np.asarray(value).dtype.kind != "f":
            self.is_real = False
            return value
        self.count += 1
        if self.value is None:
            self.value, self.scope = np.array(value), copy.deepcopy(dict(sys._getframe(1).f_locals))
        return value + (self.by if self.first == (self.count == 1) else 0.0)


def _given(statement: ast.stmt) -> Iterator[Slot]:
    """Yield the expressions whose values a statement assigns or returns."""
    value = getattr(statement, "value", None)
    if not isinstance(statement, ast.Assign | ast.AugAssign | ast.Return) or value is None:
        return
    if isinstance(value, ast.Tuple):
        for index, part in enumerate(value.elts):
            yield Slot(part, value, "elts", index)
    else:
        yield Slot(value, statement, "value", None)


def _moving(slot: Slot) -> Edit:
    """Return the edit that lets an expression's value be moved."""
    call = ast.copy_location(ast.Call(ast.Name("__moved", ast.Load()), [slot.node], []), slot.node)
    return Edit(0, "", slot.owner, slot.owner, slot.name, slot.index, ast.fix_missing_locations(call))


def _target(edit: Edit) -> str:
    """Return what a new statement at the end of a block assigns to, "" for any other edit."""
    return re.split(r" \+?= ", edit.fresh.said)[0] if edit.says == "inserted" else ""


def _moving_target(edit: Edit, target: str) -> Edit:
    """Return the edit that lets a variable be moved where a block ends."""
    row = [*getattr(edit.owner, edit.name), *ast.parse(f"{target} = __moved({target})").body]
    return Edit(0, "", edit.statement, edit.owner, edit.name, None, row, "inserted")


def _moved_by(edit: Edit, answer: _Answer) -> Array | None:
    """Return by how much an edit changes the value, NaN where it raises; None where it has another shape or kind."""
    old = edit.swap()
    slot = answer.slot
    assert slot is not None
    try:
        now = getattr(slot.owner, slot.name)
        value = _evaluated(now if slot.index is None else now[slot.index], answer.scope)
    except Exception:
        return np.full(np.shape(answer.value), np.nan)
    finally:
        edit.restore(old)
    if np.shape(value) != np.shape(answer.value) or np.asarray(value).dtype.kind != "f":
        return None
    return np.asarray(value - answer.value)


def _evaluated(node: ast.expr, scope: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "<edited>", "eval"), scope)  # in the process that runs their code


def _is_same(node: ast.expr, answer: _Answer) -> bool:
    """Return whether an expression gives its value anew, twice: what it calls keeps nothing in mind."""
    return all(np.array_equal(_evaluated(node, answer.scope), answer.value) for _ in range(2))


def _changed(base: Gradients, other: Gradients) -> dict[str, Array]:
    """Return gradient -> which of its entries, in a row, are others."""
    pairs = {name: (np.ravel(base[name]), np.ravel(other[name])) for name in base}
    return {name: ~((a == b) | (np.isnan(a) & np.isnan(b))) for name, (a, b) in pairs.items()}
