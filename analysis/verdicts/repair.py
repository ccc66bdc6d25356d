"""Faults named by the edit that mends them, and shown to be mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .arithmetic import Array, Evaluator, Misfit, Missing
from .catalogue import Edit, Pool, edits, replaces_all
from .exact import Residue, apply_arrays, points
from .formulas import Statement, tree_from
from .groups import Group
from .meanings import Meaning, argument_of
from .ours import Translator, slopes
from .pairs import in_turn, pair
from .probes import probes
from .reading import OWN, Reading, agree
from .tree import Name, Tree, closure, names, number, places

FRESH = 1000
UNKNOWN = Edit("other", "other", ("the line doesn't give what its name says",), number(0))


@dataclass(frozen=True)
class Repair:
    """A line and the edit that mends it."""

    line: Statement
    edit: Edit


def pool_for(reading: Reading, group: Group, translator: Translator) -> Pool:
    """Collect what may stand in the lines of a group."""
    answers = reading.answers
    found: dict[Name, tuple[Meaning, int]] = {}

    def enter(name: Name, meaning: Meaning) -> None:
        if name not in found and meaning.kind != "own" and (meaning.kind not in ("share", "sum") or name in own):
            found[name] = (meaning, answers.array(meaning).ndim - 1)

    meaning = reading.meanings[group.target]
    ours = translator.line(meaning)
    own = [name for line in group.lines for name in names(line.value)]
    wanted = list(names(ours)) if ours is not None else []
    for name in (*wanted, *own, *reading.meanings):
        if name in reading.meanings and (name != group.target or name in own):
            enter(name, reading.meanings[name])
    first = answers.records[0]
    for name in wanted:
        if name.base in first.forward and not name.base.endswith("_prev"):
            enter(name, Meaning("value", *name))
    for offset in (0, -1, 1):
        for base in first.forward:
            if (
                base not in translator.inner
                and not base.endswith("_prev")
                and (offset == 0 or base not in answers.params)
            ):
                enter(translator.called(Meaning("value", base, offset)), Meaning("value", base, offset))
    unnamed = [Meaning("loss", base) for base in first.loss]
    unnamed += [Meaning("carry", base) for base in first.carry if translator.carried(base, 0, 0).head == "name"]
    totals = [Meaning("total", base) for base in first.adjoint if base not in answers.params]
    totals.sort(key=lambda total: total not in translator.named)  # a name that the text gives keeps its meaning
    unnamed += [total._replace(offset=offset) for total in totals for offset in (0, 1)]
    for name in wanted:
        for meant in unnamed:
            if translator.called(meant) == name and answers.has(meant):
                enter(name, meant)
    for name in wanted:
        now = reading.meanings.get(Name(name.base, 0), OWN)
        if now.kind == "total" and now.offset == 0:
            enter(name, now._replace(offset=name.offset))
    terms = () if ours is None else (ours.args if ours.head == "add" else (ours,))
    carried_names = {n for n, (m, _) in found.items() if m.kind in ("carry", "incoming") or m.offset > 0}
    marked = tuple((term, bool(carried_names & set(names(term)))) for term in terms)
    factors = tuple(dict.fromkeys(_factors(ours))) if ours is not None else ()
    inner = tuple(dict.fromkeys(_inner_terms(ours))) if ours is not None else ()
    held = [part for _, part in places(ours) if part.head == "number"] if ours is not None else []
    numbers = tuple(dict.fromkeys(part for part in held if part != number(1)))
    pairs = tuple((v, a) for v, args in argument_of(answers.subject).items() for a in args)
    every = tuple((translator.translated(slope, 0, 0), kink) for slope, kink in slopes(reading))
    written = tuple(_written(reading, translator))
    return Pool(found, every, factors, marked, inner, pairs, numbers, written)


def _written(reading: Reading, translator: Translator) -> Iterator[tuple[Tree, Meaning, int]]:
    """Yield the values of the forward pass that have no name in the text or in the cell, written out."""
    for base, expr in translator.inner.items():
        meaning = Meaning("value", base)
        yield translator.translated(tree_from(expr), 0, 0), meaning, reading.answers.array(meaning).ndim - 1


def _factors(tree: Tree) -> Iterator[Tree]:
    for _, part in places(tree):
        if part.head == "mul":
            yield from (factor for factor in part.args if factor.head not in ("name", "number"))
        elif part.head == "call":
            yield part


def _inner_terms(tree: Tree) -> Iterator[Tree]:
    for path, part in places(tree):
        if part.head == "add" and path:
            yield from (term.args[0] if term.head == "neg" else term for term in part.args)


def repair(reading: Reading, group: Group, translator: Translator) -> Repair:
    """Return the first edit with which a group comes out right, or the first two; `UNKNOWN` where there are none."""
    pool = pool_for(reading, group, translator)
    pairs: list[tuple[Statement, partial[Edit | None]]] = []
    right = reading.answers.array(reading.meanings[group.target])
    for line in group.lines:
        others = replace_line(group, line)
        rest = reading.total(others) if others.lines or others.start else None
        if others.lines and (rest is None or rest.shape[1:] != right.shape[1:]):
            continue
        wanted = right if rest is None else right - rest
        evaluator = reading.over(dict.fromkeys([*names(line.value), *pool.names]), line)
        evaluator.values = {**reading_values(reading, pool), **evaluator.values}
        single: list[tuple[Edit, Array]] = []
        for edit in edits(line.value, pool):
            found = None if replaces_all(edit, line.value, pool) else value_of(evaluator, edit.tree)
            if found is None:
                continue
            if _is(wanted, found):
                return Repair(line, edit)
            single.append((edit, found))
        evaluate, good = partial(value_of, evaluator), partial(_is, wanted)
        pairs.append((line, partial(pair, line.value, single, wanted, evaluate, good)))
        pairs.append((line, partial(in_turn, line.value, pool, evaluate, good)))
    for line, both in pairs:
        if (found_pair := both()) is not None:
            return Repair(line, found_pair)
    ours = translator.line(reading.meanings[group.target])
    edit = UNKNOWN._replace(tree=ours) if ours is not None and len(group.lines) == 1 else UNKNOWN
    return Repair(group.lines[0], edit)


def value_of(evaluator: Evaluator, tree: Tree) -> Array | None:
    """Return what a tree gives, None where it gives nothing."""
    try:
        return evaluator.plain(tree)
    except (Misfit, Missing, ArithmeticError):
        return None


def _is(wanted: Array, found: Array) -> bool:
    return bool(np.isfinite(found).all()) and agree(found, wanted)


def reading_values(reading: Reading, pool: Pool) -> dict[Name, Array]:
    """Return the right values of all that a pool offers."""
    return {name: reading.answers.array(meaning) for name, (meaning, _) in pool.names.items()}


def replace_line(group: Group, line: Statement) -> Group:
    """Return the group without one of its lines."""
    return Group(group.target, [other for other in group.lines if other is not line], group.start)


def repair_auxiliary(
    reading: Reading, failing: list[Group], translator: Translator
) -> tuple[Repair, list[Group]] | None:
    """Look for one edit of a line with a name of its own that mends lines which read it; and say which."""
    for target in [name for name in reading.groups if not reading.options[name]]:
        meant = reading.meanings[target]
        if meant != OWN and not reading.holds(reading.groups[target]):
            continue
        reading.assign({target: OWN})
        readers = [group for group in failing if target in upstream(reading, group)]
        if not readers or len(reading.groups[target].lines) != 1:
            reading.assign({target: meant})
            continue
        group = reading.groups[target]
        pool = pool_for(reading, group, translator)
        (line,) = group.lines
        try:
            evaluator = reading.over(dict.fromkeys([*names(line.value), *pool.names]), line)
        except (Misfit, Missing):
            reading.assign({target: meant})
            continue
        evaluator.values = {**reading_values(reading, pool), **evaluator.values}
        held = [g for g in reading.groups.values() if target in upstream(reading, g) and reading.holds(g)]
        for edit in edits(line.value, pool):
            found = value_of(evaluator, edit.tree)
            if found is None:
                continue
            reading.own = {target: found}
            if all(map(reading.holds, [*readers, *held])):
                reading.own = {}
                return Repair(line, edit), readers
        reading.assign({target: meant})
    return None


def upstream(reading: Reading, group: Group) -> set[Name]:
    """Return the names of their own that a group reads, directly or through others."""

    def own(group: Group) -> list[Name]:
        return [name for name in reading.read_by(group) if name in reading.groups and reading.meanings[name] == OWN]

    return closure(own(group), lambda name: own(reading.groups[name]))


def shown(reading: Reading, groups: list[Group], mended: Repair, pool: Pool | None = None) -> str:
    """Say how a repair was shown to be right: exactly, or at fresh probes; '' where it isn't."""
    changed = {mended.line: mended.edit.tree}
    if not _holds_on(reading, groups, changed, pool, fresh=True):
        return ""
    if _holds_on(reading, groups, changed, pool, fresh=False):
        return "proved: the mended line equals the derived one, in exact arithmetic at random points"
    return "the mended line agrees with the derived one at fresh random values, to 1e-9"


def _holds_on(
    reading: Reading, groups: list[Group], changed: dict[Statement, Tree], pool: Pool | None, fresh: bool
) -> bool:
    of, answers = reading.answers.subject, reading.answers
    every = (probes(of, FRESH),) if fresh else points(of.cell.text, of.cell.name)
    if not every:
        return False
    for batch in every:
        again = replace(
            reading,
            answers=answers.with_probes(batch),
            cache={},
            own={},
            apply=reading.apply if fresh else apply_arrays,
            one=reading.one if fresh else Residue(1),
        )
        if pool is not None:
            again.meanings = {**{n: m for n, (m, _) in pool.names.items()}, **again.meanings}
        again.groups = {
            target: replace(g, lines=[replace(line, value=changed.get(line, line.value)) for line in g.lines])
            for target, g in reading.groups.items()
        }
        try:
            if not all(again.holds(again.groups[group.target]) for group in groups):
                return False
        except (ArithmeticError, TypeError):
            return False
    return True
