"""A backward pass with a meaning for every name, and the values that its lines give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .arithmetic import Apply, Array, Evaluator, Misfit, Missing, apply_floats
from .formulas import Formulas, Statement
from .groups import Group
from .meanings import Answers, Meaning, adjoint_of
from .probes import STEPS
from .tree import Name, Tree, names, without_version

TOLERANCE = 1e-9
OWN = Meaning("own", "")


def agree(found: Array, right: Array) -> bool:
    """Return whether two batches are equal up to rounding: 1e-9 of the largest entry. A 0 stands for any shape."""
    if found.ndim == 1 and not np.any(found != 0):
        found = np.broadcast_to(found.reshape(-1, *[1] * (right.ndim - 1)), right.shape)
    if found.ndim != right.ndim or found.shape[1:] != right.shape[1:]:
        return False
    if right.dtype == object:
        return bool(np.all(found == right))
    scale = float(np.abs(right).max(initial=0))
    with np.errstate(all="ignore"):
        return bool(np.abs(found - right).max(initial=0) <= TOLERANCE * scale + 1e-13)


@dataclass
class Reading:
    """A backward pass with a meaning for every name.

    Attributes:
        formulas: the text.
        groups: target -> lines.
        answers: the right values.
        meanings: name -> what it is.
        linked: name -> the same at t-1 and t+1, where these follow from it.
        soft: names that only resemble a quantity: their lines may show that they mean another one.
        weights: their own names of parameters -> where they stand, such as U and dU.
        rows: whether vectors are rows.
    """

    formulas: Formulas
    groups: dict[Name, Group]
    answers: Answers
    rows: bool
    apply: Apply = apply_floats
    one: Any = 1.0
    meanings: dict[Name, Meaning] = field(default_factory=dict)
    options: dict[Name, list[Meaning]] = field(default_factory=dict)
    cache: dict[object, Array | None] = field(default_factory=dict)
    own: dict[Name, Array | None] = field(default_factory=dict)
    linked: dict[Name, list[Name]] = field(default_factory=dict)
    soft: set[Name] = field(default_factory=set)
    weights: dict[str, list[Name]] = field(default_factory=dict)

    @property
    def sizes(self) -> Mapping[str, int]:
        return self.answers.subject.sizes

    def value(self, name: Name) -> Array | None:
        """Return the right value of a name; None where there is none."""
        meaning = self.meanings.get(name, OWN)
        if meaning.kind != "own":
            return self.answers.array(meaning)
        if name not in self.own:
            self.own[name] = None
            if name in self.groups:
                self.own[name] = self.total(self.groups[name])
            elif name.offset and self.meanings.get(now := Name(name.base), OWN) == OWN and now in self.groups:
                self.own[name] = self._moved(self.groups[now], name.offset)
        return self.own[name]

    def _moved(self, group: Group, steps: int) -> Array | None:
        """Return what a group of one line gives at another step: D_{t+1} of D_t = diag(1 - h_t^2)."""
        read = {name: self.meanings.get(name, OWN) for name in self.read_by(group)}
        if len(group.lines) > 1 or any(meaning.kind not in ("value", "total") for meaning in read.values()):
            return None
        fixed = self.answers.params
        moved = {n: m if m.base in fixed else m._replace(offset=m.offset + steps) for n, m in read.items()}
        if any(abs(meaning.offset) > 1 for meaning in moved.values()):
            return None
        values = {name: self.answers.array(meaning) for name, meaning in moved.items()}
        tree = group.lines[0].value
        try:
            return Evaluator(values, self.sizes, STEPS, self.rows, self.apply, self.one, self.formulas.loose).plain(
                tree
            )
        except (Misfit, Missing, ArithmeticError):
            return None

    def own_value(self, name: Name) -> Array | None:
        """Return the value of a name that the text assigns; None for another."""
        return self.value(name) if name in self.groups else None

    def evaluator(self, tree: Tree, line: Statement | None = None) -> Evaluator:
        """Return an evaluator that knows all that a tree may read where `line` stands."""
        return self.over(names(tree), line)

    def over(self, wanted: Iterable[Name], line: Statement | None = None) -> Evaluator:
        """Return an evaluator that knows the names."""
        values = {}
        for name in wanted:
            if (array := self.value(name)) is not None:
                later = self._later(name, line) if line is not None else 0.0
                values[name] = array if isinstance(later, float) else array - later
        return Evaluator(values, self.sizes, STEPS, self.rows, self.apply, self.one, self.formulas.loose)

    def _later(self, name: Name, line: Statement) -> Array | float:
        """Return what lines further down still add to a name."""
        group = self.groups.get(name)
        if group is None or len(group.lines) < 2 or line.number < group.lines[0].number or name == line.target:
            return 0.0
        later = [piece for piece in group.lines if piece.number > line.number and piece.adds]
        found = [self.piece(piece) for piece in later]
        return sum((array for array in found if array is not None), start=np.zeros(1, dtype=int)) if later else 0.0

    def piece(self, line: Statement, value: Tree | None = None) -> Array | None:
        """Return the value of a line's right side, None where it has none."""
        tree = line.value if value is None else value
        key = (line.number, line.target, tree, *((name, self.meanings.get(name, OWN)) for name in names(tree)))
        cacheable = not any(self.meanings.get(name, OWN).kind == "own" for name in names(tree))
        if cacheable and key in self.cache:
            return self.cache[key]
        try:
            found = self.evaluator(tree, line).plain(tree)
        except (Misfit, Missing, ArithmeticError):
            found = None
        if cacheable:
            self.cache[key] = found
        return found

    def total(self, group: Group, changed: Mapping[Statement, Tree] | None = None) -> Array | None:
        """Return the sum of a group's lines, with some right sides changed."""
        whole: Array | None = self.answers.array(group.start) if group.start else None
        for line in group.lines:
            found = self.piece(line, (changed or {}).get(line))
            if found is None or (whole is not None and whole.ndim != found.ndim):
                return None
            if whole is not None and whole.shape[1:] != found.shape[1:]:
                return None
            whole = found if whole is None else whole + found
        return whole

    def holds(self, group: Group, changed: Mapping[Statement, Tree] | None = None) -> bool:
        """Return whether a group gives what its name means."""
        meaning = self.meanings.get(group.target, OWN)
        found = self.total(group, changed)
        if meaning.kind == "own":
            return found is not None
        return found is not None and agree(found, self.answers.array(meaning))

    def fits(self, group: Group) -> bool:
        """Return whether a group gives an array of the right shape."""
        meaning, found = self.meanings.get(group.target, OWN), self.total(group)
        return found is not None and (meaning == OWN or found.shape[1:] == self.answers.array(meaning).shape[1:])

    def touching(self, wanted: set[Name]) -> list[Group]:
        """Return the groups that assign or read one of the names."""
        return [g for g in self.groups.values() if wanted & {g.target, *self.read_by(g)}]

    @staticmethod
    def read_by(group: Group) -> set[Name]:
        return {name for line in group.lines for name in names(line.value)}

    def in_passing(self, group: Group) -> bool:
        """Return whether a group only happens to give a parameter's share: its name says otherwise, others read it."""
        if self.meanings[group.target].kind not in ("share", "sum"):
            return False
        of = adjoint_of(without_version(group.target.base))
        spelled = of in self.answers.params or any(group.target in found for found in self.weights.values())
        return not spelled and any(g is not group for g in self.touching({group.target}))

    def assign(self, chosen: Mapping[Name, Meaning]) -> None:
        """Give names their meanings."""
        self.meanings |= chosen
        for name, meaning in chosen.items():
            for other in self.linked.get(name, ()):
                offset = {"total": other.offset, "carry": meaning.offset + 1}.get(meaning.kind)
                self.meanings[other] = OWN if offset is None else meaning._replace(offset=offset)
        self.own.clear()
