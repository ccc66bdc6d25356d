"""What a backward pass leaves out: gradients never given, states never carried back, lines that nothing reads."""

from __future__ import annotations

import re

import numpy as np

from ...derive.cell import Cell, previous
from .code_names import kind
from .formulas import Formulas, Statement
from .groups import Group
from .meanings import Meaning, adjoint_of
from .ours import Translator
from .printing import speller_for
from .reading import OWN, Reading
from .repair import repair, upstream
from .tree import Name, Tree, closure, names, number, without_version
from .verdict import Fault

CONSTANT = ("alpha", "tau", "eta", "kappa", "rho", "lamda", "epsilon", "zeta")  # of an author who trains none of them
ORDER = ("carry", "total", "incoming")


def unread_groups(reading: Reading) -> list[Group]:
    """Return the groups that give a value of their own which no judged line reads."""
    judged = [group for group in reading.groups.values() if reading.meanings[group.target] != OWN]
    read = {name for group in judged for name in (*reading.read_by(group), *upstream(reading, group))}
    return [g for t, g in reading.groups.items() if reading.meanings[t] == OWN and t not in read]


def guess(reading: Reading) -> None:
    """Let `d_forget` be the adjoint of f where one edit makes it that, and nothing else says what it is."""
    translator, given = Translator(reading), set(reading.meanings.values())
    for group in unread_groups(reading):
        words = (adjoint_of(without_version(group.target.base)) or "").split("_")
        for word in words:
            meaning = Meaning("total", word[:1])
            if len(word) < 4 or not reading.answers.has(meaning) or meaning in given or len(group.lines) > 1:
                continue
            reading.assign({group.target: meaning})
            if repair(reading, group, translator).edit.mends == "other":
                reading.assign({group.target: OWN})


def unjudged(reading: Reading) -> list[str]:
    """Name the lines that give a value of their own which no judged line reads."""
    show = speller_for(reading.formulas).name
    return [
        f"line {line.number} isn't judged: nothing tells what {show(group.target)} is meant to be, and no other line "
        "reads it"
        for group in unread_groups(reading)
        for line in group.lines
    ]


def missing(reading: Reading, mended: dict[Name, Tree]) -> tuple[list[Fault], list[str]]:
    """Name gradients that are never given, and states whose adjoint is never carried back."""
    translator, answers = Translator(reading), reading.answers
    passed = {reading.meanings[t]: t for t, group in reading.groups.items() if reading.in_passing(group)}
    given = {reading.meanings[t] for t, group in reading.groups.items() if not reading.in_passing(group)}
    shares = [meaning for meaning in given if meaning.kind in ("share", "sum")]
    carries = [m for m in given if _is_recursion(reading, m, mended)]
    faults, notes = [], []
    wanted: list[Meaning] = []
    few = len({meaning.base for meaning in shares}) < len(answers.subject.cell.params) / 2
    if shares and few:
        adds = False
        notes.append("gradients of few parameters are given; the others follow the same pattern and aren't asked for")
    elif shares:
        adds = any(line.adds for g in reading.groups.values() for line in g.lines)
        kind = shares[0].kind
        have = {meaning.base for meaning in shares}
        numbers = {base for base, shape in answers.subject.cell.params.items() if not shape or base in CONSTANT}
        bare = set(bare_params(reading.formulas, answers.subject.cell))
        apart = numbers, bare, set(reading.formulas.held)
        held = {base for several in apart if not several & have for base in several}
        if held:
            said = " and ".join(speller_for(reading.formulas).name(Name(base)) for base in sorted(held))
            notes.append(f"no gradient of {said} is given: taken as constant")
        wanted += [Meaning(kind, base) for base in answers.subject.cell.params if base not in have | held]
    elif given:
        notes.append("no gradient of a parameter is given")
        adds = False
    have = {meaning.base for meaning in carries} | _carried_by_arguments(reading)
    named = {target for target, group in reading.groups.items() if _says_its_name(reading, group)}
    given -= {reading.meanings[target] for target in named}
    whole = {meaning.base for meaning in given if meaning.kind in ORDER or meaning.kind == "loss"}
    for state in answers.subject.cell.states:
        carry = Meaning("carry", state, -1)
        if state in have or np.abs(answers.array(carry)).max(initial=0) == 0:
            continue
        if state in whole and (shares or carries):
            wanted.append(carry)
        elif shares or carries or state in whole:
            notes.append(f"∂L/∂{state}_t is taken as given: no line says what comes back to it from step t+1")
    speller = speller_for(reading.formulas)
    for meaning in wanted:
        if np.abs(answers.array(meaning)).max(initial=0) == 0:
            continue
        tree, target = translator.line(meaning), translator.called(meaning)
        if meaning in passed:
            tree, target = Tree("name", (), passed[meaning]), Name(translator.style.format(meaning.base))
        back = meaning.kind == "carry"
        text = speller.line(Statement(0, "", target, adds and not back, tree)) if tree is not None else ""
        message = (
            f"{meaning} is never given."
            if not back
            else f"{meaning} is never given, so its gradient doesn't flow back."
        )
        proof = "from the derivation" if text else ""
        faults.append(Fault(0, "dropped carry" if back else "missing gradient", message, "", text, proof))
    return faults, notes


def _carried_by_arguments(reading: Reading) -> set[str]:
    """Return the states whose adjoint lines carry back as those of their arguments: δ_t of δ_{t+1}, at h = tanh(a)."""
    of, found = reading.answers.subject, set[str]()
    reads = {step.target.name: {symbol.name for symbol in step.reads} for step in of.forward.steps}
    made_of = {state: closure(reads.get(state, ()), lambda name: reads.get(name, ())) for state in of.cell.states}
    for target, group in reading.groups.items():
        meant = [reading.meanings.get(name, OWN) for name in reading.read_by(group) if name.offset == 1]
        ahead = [meaning.base for meaning in meant if meaning.kind == "total"]
        here = reading.meanings[target].base
        for state, within in made_of.items():
            if here in within and any(previous(state).name in reads.get(base, ()) for base in ahead):
                found.add(state)
    return found


def _says_its_name(reading: Reading, group: Group) -> bool:
    """Return whether lines only say what something is called: in a sentence, or ε_t = ∂L/∂h_t of the whole adjoint."""
    if any(line.value.head != "name" for line in group.lines):
        return False
    meant = reading.meanings[group.target]
    return all(
        line.aside or {reading.meanings.get(name) for name in names(line.value)} == {meant} for line in group.lines
    )


def bare_params(formulas: Formulas, cell: Cell) -> list[str]:
    """Return the small letters of a text in LaTeX that its lines put beside what they multiply, as one does numbers."""
    if formulas.kind != "latex" or formulas.declarations:
        return []
    entries, found = r"(?:\\odot|\\circ|\\ast)", []
    read = {name.base for line in formulas.statements for name in names(line.value)}
    small = [param for param, dims in cell.params.items() if dims and param[:1].islower() and kind(param) != "bias"]
    for param in [param for param in small if param in read]:
        spelled = re.escape(formulas.spelled(param))
        if not re.search(rf"{entries}\s*{spelled}(?![A-Za-z])|{spelled}\s*{entries}", formulas.source.text):
            found.append(param)
    return found


def _is_recursion(reading: Reading, meaning: Meaning, mended: dict[Name, Tree]) -> bool:
    """Return whether a line gives a state's adjoint from one step to the one before."""
    if meaning.kind not in ORDER or meaning.base not in reading.answers.subject.cell.states:
        return False
    if meaning.offset == -1:
        return True
    targets = [target for target, found in reading.meanings.items() if found == meaning and target in reading.groups]
    for target in targets:
        read = {*reading.read_by(reading.groups[target]), *names(mended.get(target, number(0)))}
        ahead = [
            reading.meanings.get(name, reading.meanings.get(Name(name.base), OWN)) for name in read if name.offset == 1
        ]
        if any(found.kind in ("total", "incoming") for found in ahead):
            return True
    return False
