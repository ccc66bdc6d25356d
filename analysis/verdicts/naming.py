"""Which of somebody's names is which quantity: found from how many of their lines come out right."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from ...derive.errors import NotationError
from ...derive.syntax import closest
from .formulas import Formulas, Statement
from .groups import Group, grouped
from .meanings import OUTSIDE, Answers, Meaning, adjoint_of, candidates, carried
from .reading import OWN, Reading, agree
from .tree import Name, names, places, time_name, without_version

MOST_JOINT = 512
GIVEN = re.compile(r"(?:e|g|err|error|epsilon|gamma|G)_?(\w*)")  # names of a gradient that comes from outside


class UnknownName(NotationError):
    """A name that matches nothing; `line` reads it."""

    def __init__(self, line: Statement, name: Name, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.name = name


def read_meanings(formulas: Formulas, statements: list[Statement], answers: Answers, rows: bool) -> Reading:
    """Find what every name means.

    Raises:
        NotationError: for a name that is read, never assigned, and like nothing that the cell has.
    """
    defined = _defined(statements)
    groups = grouped([line for line in statements if line not in defined.values()])
    statements = [line for group in groups.values() for line in group.lines]
    assigned = {t: any(p.head == "sum_t" for g in groups[t].lines for _, p in places(g.value)) for t in groups}
    called = {base: names(line.value)[0].base for base, line in defined.items()}
    assigned |= {Name(called[name.base], name.offset): assigned[name] for name in groups if name.base in called}
    reading = Reading(formulas, groups, answers, rows)
    every = list(dict.fromkeys(itertools.chain(groups, *(names(line.value) for line in statements))))
    timed = {*formulas.timed, *(name.base for name in every if name.offset)}
    reading.weights = own_weights([name for name in every if name.base not in timed], answers, groups)
    named = {name for found in reading.weights.values() for name in found}
    for name in every:
        if name in named:
            kind = "value" if adjoint_of(name.base) is None else "sum" if assigned.get(name) else "share"
            reading.options[name] = [Meaning(kind, param) for param in answers.subject.cell.params]
            reading.meanings[name] = OWN
            continue
        base = without_version(name.base)
        plain = Name(called.get(base, base), name.offset)
        if name.base in formulas.running:
            found = carried(name, answers)
            if name not in groups:
                reading.linked.setdefault(Name(name.base, -1), []).append(name)
                found = found[:1]
        else:
            found = candidates(plain, answers, assigned, name in groups)
        if not found and name not in groups:
            found = _outside(reading, name, statements)
        now = Name(name.base, 0)
        exact = bool(found) and adjoint_of(plain.base) == found[0].base
        if name not in groups and now in groups and found and not (exact and found[0].base in answers.subject.seeds):
            reading.linked.setdefault(now, []).append(name)
            found = found[:1]
        elif name not in groups and now in groups and found:  # δ^h may be the gradient at h's argument, at t+1 too
            at_now = candidates(Name(plain.base), answers, assigned, True)
            inner = [meaning for meaning in at_now if meaning.kind == "total" and meaning.base != found[0].base]
            found = [*found, *(meaning._replace(offset=name.offset) for meaning in inner)]
        unlike = found and all(m.kind != "value" and adjoint_of(plain.base) != m.base for m in found)
        if name in groups and unlike and name.base not in formulas.running:
            reading.soft.add(name)
        reading.options[name] = found
        reading.meanings[name] = found[0] if found else OWN
    _allow_carries(reading, every)
    _prefer_whole(reading)
    reading.assign(dict(reading.meanings))
    _resolve(reading)
    _follow(reading)
    _at_the_end(reading)
    return reading


def _follow(reading: Reading) -> None:
    """Let a name at t+1 be of the quantity that it is of at t, where no line is the worse for it."""
    for name in [name for name in reading.meanings if name.offset and name not in reading.groups]:
        before, now = reading.meanings[name], reading.meanings.get(Name(name.base), OWN)
        same = now._replace(offset=name.offset)
        if now.base != before.base and now.kind == "total" and same in reading.options[name]:
            _try(reading, name, same, 0)


def _at_the_end(reading: Reading) -> None:
    """Let what goes from step to step be the whole adjoint where it is read: the loss's own comes at the end alone."""
    if any(meaning.kind == "loss" for meaning in reading.meanings.values()):
        return
    for name in [name for name in reading.meanings if name.base in reading.formulas.running and name.offset == 1]:
        if reading.meanings[name].kind == "carry":
            _try(reading, name, reading.meanings[name]._replace(kind="total"), 1)


def _try(reading: Reading, name: Name, meaning: Meaning, more: int) -> None:
    """Give a name another meaning, where at least so many lines more are right with it."""
    before, touched = reading.meanings[name], reading.touching({name})
    held = sum(map(reading.holds, touched))
    reading.assign({name: meaning})
    if sum(map(reading.holds, touched)) < held + more:
        reading.assign({name: before})


def _defined(statements: list[Statement]) -> dict[str, Statement]:
    """Return letters that a line says are an adjoint, as in "let δ_t = ∂L/∂h_t", and that another line gives."""
    return {line.target.base: line for line in statements if _says_adjoint(line, statements)}


def _says_adjoint(line: Statement, statements: list[Statement]) -> bool:
    if line.value.head != "name" or line.target.offset:
        return False
    (value,) = names(line.value)
    others = [other for other in statements if other.target == line.target and other is not line]
    if not others or value.offset or adjoint_of(value.base) is None:
        return False
    outside = value.base.startswith("dL_d") and all(other.target != value for other in statements)
    starts = any(other.adds or line.target in names(other.value) for other in others)
    return line.aside or (outside and not starts)


def _allow_carries(reading: Reading, every: list[Name]) -> None:
    """Let dh_next be what comes back from step t+1 where nothing else in the text is taken at t+1."""
    ahead = [name for name in every if name.offset == 1]
    seeds = reading.answers.subject.seeds
    if all(reading.options[name] and reading.options[name][0].base in seeds for name in ahead):
        for name in ahead:
            first = reading.options[name][0]
            carry = Meaning("carry", first.base)
            if first.kind != "value" and carry not in reading.options[name] and reading.answers.has(carry):
                reading.options[name].append(carry)


def _prefer_whole(reading: Reading) -> None:
    """Let a line that adds the loss's own gradient of step t-1 give the whole adjoint at t-1, right or wrong."""
    for name, group in reading.groups.items():
        read = {found[0] for other in reading.read_by(group) if (found := reading.options.get(other))}
        options = reading.options[name]
        if options and Meaning("loss", options[0].base, -1) in read:
            options.sort(key=lambda meaning: meaning.kind != "total")
            reading.meanings[name] = options[0]


def _outside(reading: Reading, name: Name, statements: list[Statement]) -> list[Meaning]:
    """Return the meanings of an adjoint that is given from outside, or refuse the name."""
    base = Name(name.base, 0)
    if base in reading.groups:
        return []
    base_of, seeds = adjoint_of(name.base) or "", reading.answers.seeds
    short = GIVEN.fullmatch(name.base)
    if short and (not short[1] or short[1] in seeds):
        return [Meaning("loss", seed, name.offset) for seed in ([short[1]] if short[1] else seeds)]
    outside = base_of or name.base.startswith(("delta", "Delta", "grad", "loss", "err"))
    line = next(line for line in statements if name in names(line.value))
    if outside and base_of not in reading.answers.params:
        beside = sorted(seeds, key=lambda seed: seed != adjoint_of(without_version(line.target.base)))
        return [Meaning("loss", seed, name.offset) for seed in beside]
    known = {*reading.answers.records[0].forward, *(g.base for g in reading.groups)} - {name.base}
    raise UnknownName(line, name, _pointed(reading.formulas, line, name, closest(name.base, known)))


def _pointed(formulas: Formulas, line: Statement, name: Name, hint: str) -> str:
    """Return the message that a name means nothing here, with its place."""
    source = formulas.source
    shown = formulas.spelled(name.base)
    written = re.split(r"<T>|[_^]\{<T>", shown)[0].rstrip("_^{,( ") or name.base
    number, column = line.number, -1
    for number in range(line.number, min(line.number + 12, len(source.lines)) + 1):
        row = source.lines[number - 1]
        start = row.find("=") + 1 if number == line.number else 0
        found = re.search(rf"(?<![A-Za-z\\]){re.escape(written)}(?![A-Za-z])", row[start:])
        if found:
            column = start + found.start()
            break
    else:
        number, column = line.number, 0
    called = (
        shown.replace("<T>", {-1: "t-1", 0: "t", 1: "t+1"}.get(name.offset, "t"))
        if shown != name.base
        else time_name(*name)
    )
    message = f"'{called}' is neither a value of the cell, nor an adjoint, nor assigned here"
    return source.point(number, column, len(written), message, hint)


def _clusters(reading: Reading) -> dict[str, list[Name]]:
    """Return the names with several possible meanings, by what these are of."""
    named = {name for found in reading.weights.values() for name in found}
    clusters: dict[str, list[Name]] = {}
    for name, found in reading.options.items():
        if len(found) > 1 and name not in named:
            clusters.setdefault(found[0].base, []).append(name)
    return clusters


def _resolve(reading: Reading) -> None:
    clusters = _clusters(reading)
    for _ in range(3 + 2 * bool(reading.weights)):
        before = dict(reading.meanings)
        match_weights(reading, False)
        for cluster in clusters.values():
            _choose(reading, cluster)
        _choose_starts(reading)
        _name_unknown(reading)
        _shift(reading)
        if reading.meanings == before and not _choose_together(reading, clusters):
            break
    match_weights(reading, True)
    for found in reading.weights.values():
        for name in found:
            if reading.meanings[name] == OWN and name not in reading.groups:
                line = next(line for g in reading.groups.values() for line in g.lines if name in names(line.value))
                hint = closest(name.base, list(reading.answers.params))
                raise UnknownName(line, name, _pointed(reading.formulas, line, name, hint))


def reread(reading: Reading) -> None:
    """Let a name mean what its line gives, where lines that read it bear that out: delta_h of the candidate's sum."""
    every = [meaning for meaning in reading.answers.quantities if meaning.kind == "total"]
    for name, options in reading.options.items():
        readers = [group for group in reading.touching({name}) if not reading.holds(group)]
        of = adjoint_of(name.base) or ""
        known = not of or set(of.split("_")) & set(OUTSIDE) or any(adjoint_of(name.base) == m.base for m in options)
        if name in reading.groups or not readers or not options or options[0].kind != "loss" or known:
            continue
        for meaning in (meaning._replace(offset=name.offset) for meaning in every):
            before = reading.meanings[name]
            reading.assign({name: meaning})
            if any(map(reading.holds, readers)):
                break
            reading.assign({name: before})
    for group in list(reading.groups.values()):
        name, found = group.target, reading.total(group)
        if reading.holds(group) or found is None or reading.meanings[name].kind == "value":
            continue
        saved, held = dict(reading.meanings), {t for t, g in reading.groups.items() if reading.holds(g)}
        for meaning in every:
            if meaning in saved.values() or not agree(found, reading.answers.array(meaning)):
                continue
            options = reading.options[name]
            reading.options[name] = [meaning]
            reading.assign({name: meaning})
            for cluster in _clusters(reading).values():
                _choose(reading, [other for other in cluster if other != name])
            _choose_starts(reading)
            now = {t for t, g in reading.groups.items() if reading.holds(g)}
            if now > held and len(now) > len(held) + 1:
                break
            reading.options[name] = options
            reading.meanings = dict(saved)
            reading.own.clear()
            _choose_starts(reading)


def own_weights(every: Iterable[Name], answers: Answers, groups: Mapping[Name, Group]) -> dict[str, list[Name]]:
    """Return the names that a text has of its own for parameters, where it uses none of the cell's."""
    params, found = answers.params, dict[str, list[Name]]()
    every = list(every)
    named = [Meaning("value", param) for n in every for param in (n.base, adjoint_of(n.base)) if param in params]
    taken = {answers.array(meaning).ndim == 3 for meaning in named}  # whether matrices and vectors are the cell's
    for name in every:
        base = without_version(name.base)
        of = adjoint_of(base) if name in groups else None
        held = of or base
        is_weight = re.fullmatch(r"(?:[A-Z](?!elta)|b(?:ias)?(?:_|[a-z]{0,2}$)|w_)\w*", held) is not None
        known = answers.has(Meaning("total", held)) or held[:1].isupper() in taken
        known = known or held.removesuffix("_loss") in params
        if is_weight and not known and (of is not None or name not in groups):
            found.setdefault(held, []).append(name)
    return found


def match_weights(reading: Reading, last: bool) -> None:
    """Say which parameter each of their own names is: by the lines that come out right with it, then by its shape.

    Args:
        reading: of the text.
        last: whether to match by shape and by letters what lines don't tell.
    """
    taken = {reading.meanings[found[0]].base for found in reading.weights.values()} - {""}
    scored: list[tuple[float, str, str]] = []
    for base, found in reading.weights.items():
        if reading.meanings[found[0]] != OWN:
            continue
        touched = reading.touching(set(found))
        reading.assign(dict.fromkeys(found, OWN))
        without = sum(reading.meanings[group.target] != OWN and reading.holds(group) for group in touched)
        for place, param in enumerate(reading.answers.subject.cell.params):
            matrix = reading.answers.array(Meaning("value", param)).ndim == 3
            if param in taken or matrix != base[0].isupper():
                continue
            reading.assign({name: reading.options[name][place] for name in found})
            gained = sum(reading.meanings[group.target] != OWN and reading.holds(group) for group in touched) - without
            if gained > 0 or (last and all(map(reading.fits, touched))):
                scored.append((gained + _alike(base, param), base, param))
        reading.assign(dict.fromkeys(found, OWN))
    done: set[str] = set()
    best = Counter((base, score) for score, base, _ in scored)
    for score, base, param in sorted(scored, reverse=True):
        if base not in done and param not in taken and (score >= 1 or best[base, score] == 1):
            place = list(reading.answers.subject.cell.params).index(param)
            reading.assign({name: reading.options[name][place] for name in reading.weights[base]})
            done.add(base)
            taken.add(param)


def _alike(base: str, param: str) -> float:
    """Return how alike two names are, below 1: letters of the gate come last."""
    return 0.5 * (base[-1:].lower() == param[-1:].lower()) + 0.3 * (base[0] == param[0])


def _choices(reading: Reading, cluster: list[Name]) -> Iterator[dict[Name, Meaning]]:
    options = [reading.options[name] for name in cluster]
    if _count(reading, cluster) <= MOST_JOINT:
        for chosen in itertools.product(*options):
            yield dict(zip(cluster, chosen, strict=True))
    else:
        for name in cluster:
            for meaning in reading.options[name]:
                yield {name: meaning}


def _choose(reading: Reading, cluster: list[Name]) -> None:
    """Give a cluster of names the meanings with which most lines come out right."""
    linked = {other for name in cluster for other in reading.linked.get(name, ())}
    touched = reading.touching(set(cluster) | linked | _own_readers(reading, set(cluster)))
    best, best_score = {name: reading.meanings[name] for name in cluster}, -1.0
    for chosen in _choices(reading, cluster):
        reading.assign(chosen)
        rank = sum(reading.options[name].index(meaning) for name, meaning in chosen.items())
        score = sum(reading.holds(group) * len(group.lines) for group in touched) - 0.01 * rank
        score += 0.5 * sum(reading.meanings[g.target] == OWN and _recognised(reading, g.target) for g in touched)
        if score > best_score:
            best, best_score = chosen, score
    reading.assign(best)


def _choose_together(reading: Reading, clusters: dict[str, list[Name]]) -> bool:
    """Choose the meanings of clusters together where a line fails that reads names of several; return a change."""
    before = dict(reading.meanings)
    for group in [group for group in reading.groups.values() if not reading.holds(group)]:
        spoken = {group.target, *reading.read_by(group)}
        joint = [name for cluster in clusters.values() if spoken & set(cluster) for name in cluster]
        if (
            sum(bool(spoken & set(cluster)) for cluster in clusters.values()) > 1
            and _count(reading, joint) <= MOST_JOINT
        ):
            _choose(reading, joint)
    return reading.meanings != before


def _count(reading: Reading, cluster: list[Name]) -> int:
    """Return in how many ways the names of a cluster may be meant."""
    return int(np.prod([len(reading.options[name]) for name in cluster]))


def _recognised(reading: Reading, name: Name) -> bool:
    """Return whether a value of their own is a known adjoint."""
    found = reading.value(name)
    known = (meaning for meaning in reading.answers.quantities if meaning.kind == "total")
    return found is not None and any(agree(found, reading.answers.array(meaning)) for meaning in known)


def _own_readers(reading: Reading, wanted: set[Name]) -> set[Name]:
    """Return the names of their own that read one of the names, directly or through others."""
    found: set[Name] = set()
    while more := {g.target for g in reading.touching(wanted | found) if reading.meanings[g.target] == OWN} - found:
        found |= more
    return found


def _choose_starts(reading: Reading) -> None:
    """Say what a state's adjoint holds before its first line, where that only adds."""
    for group in reading.groups.values():
        meaning = reading.meanings[group.target]
        if not group.lines[0].adds or meaning.kind not in ("total", "incoming") or meaning.offset == -1:
            continue
        for kind in (None, "loss", "incoming", "carry"):
            start = Meaning(kind, meaning.base, meaning.offset) if kind else None
            if start is None or reading.answers.has(start):
                group.start = start
                if reading.holds(group):
                    break
        else:
            seed = meaning.base in reading.answers.subject.seeds
            group.start = Meaning("loss", meaning.base, meaning.offset) if seed else None


def _name_unknown(reading: Reading) -> None:
    """Find what auxiliary names mean: from their values, or from the lines that read them."""
    unknown = [name for name in reading.groups if not reading.options[name]]
    soft = [name for name in reading.soft if not reading.holds(reading.groups[name])]
    before = dict(reading.meanings)
    unknown += sorted(soft)
    for name in unknown:
        reading.meanings[name] = OWN
    reading.own.clear()
    every = reading.answers.quantities
    for _ in range(2):
        _shift(reading)
        for name in unknown:
            if reading.meanings[name].kind == "own" and (found := reading.value(name)) is not None:
                same = [m for m in every if agree(found, reading.answers.array(m))]
                if same:
                    reading.assign({name: same[0]})
        for name in reversed(unknown):
            if reading.meanings[name].kind == "own":
                _name_by_use(reading, name, every)
    for name in soft:
        touched, valued = reading.touching({name}), reading.meanings[name]
        if valued == OWN:
            touched = [group for group in touched if group.target != name]
        as_valued = sum(map(reading.holds, touched))
        reading.assign({name: before[name]})
        if sum(map(reading.holds, touched)) < as_valued + (valued != OWN):
            reading.assign({name: valued})


def _shift(reading: Reading) -> None:
    """Give names at t-1 and t+1 that nothing else is known of what they mean at t."""
    for name, options in reading.options.items():
        now = reading.meanings.get(Name(name.base, 0), OWN)
        if not options and name in reading.groups and name.offset == -1 and _of_state(reading, now):
            reading.options[name] = [Meaning(kind, now.base, -1) for kind in ("total", "carry")]
            _choose(reading, [name])
        if not options and name not in reading.groups and now.kind == "total" and now.offset == 0:
            reading.assign({name: now._replace(offset=name.offset)})


def _of_state(reading: Reading, meaning: Meaning) -> bool:
    """Return whether it is the whole adjoint of a state at t."""
    return meaning.kind == "total" and meaning.offset == 0 and meaning.base in reading.answers.subject.cell.states


def _name_by_use(reading: Reading, name: Name, every: list[Meaning]) -> None:
    """Take the meaning with which lines come out right that don't without it: its own, where it reads itself at t+1."""
    readers = [group for group in reading.touching({name}) if group.target != name]
    readers = [group for group in readers if reading.meanings[group.target].kind != "own"]
    before = sum(map(reading.holds, readers))
    if before == len(readers):
        return
    best, most = OWN, before
    for meaning in every:
        reading.assign({name: meaning})
        if (score := sum(map(reading.holds, readers))) > most:
            best, most = meaning, score
    reading.assign({name: best})
    ahead = Name(name.base, 1)
    if best != OWN or ahead not in reading.read_by(reading.groups[name]):
        return
    for meaning in (meaning for meaning in every if meaning.kind == "total" and meaning.offset == 0):
        reading.assign({name: meaning, ahead: meaning._replace(offset=1)})
        if np.any(reading.answers.array(meaning)) and reading.holds(reading.groups[name]):
            return
    reading.assign({name: OWN, ahead: OWN})
