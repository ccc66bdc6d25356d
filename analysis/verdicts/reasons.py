"""Why a right line that looks different from ours is right: by which equations the two are equal."""

from __future__ import annotations

import itertools

import numpy as np

from ...derive.interpret import size
from .arithmetic import Array, Evaluator, Misfit, Missing
from .formulas import tree_from
from .groups import Group
from .jacobians import WAYS
from .ours import Translator
from .printing import speller_for
from .probes import STEPS
from .reading import OWN, Reading, agree
from .tree import Name, Tree, add, mul, names, spell

MOST_TOGETHER = 3
MOST_TRIES = 400


def ordered(tree: Tree) -> Tree:
    """Return the tree with terms and factors in one order, for comparing."""
    args = [ordered(operand) for operand in tree.args]
    if tree.head in ("add", "mul"):
        args.sort(key=spell)
        return (add if tree.head == "add" else mul)(*args)
    return Tree(tree.head, tuple(args), tree.leaf)


def reason(reading: Reading, group: Group, translator: Translator) -> str:
    """Return why a right line is right, '' where it is ours in another order."""
    meaning = reading.meanings[group.target]
    if meaning == OWN:
        return ""
    theirs = add(*(line.value for line in group.lines))
    ours = translator.line(meaning)
    if ours is None or group.start or ordered(theirs) == ordered(ours):
        return ""
    if isinstance(theirs.leaf, Name) and reading.meanings.get(theirs.leaf) == meaning:
        return "another name of the same"
    equations = _equations(reading, theirs, ours)
    show = speller_for(reading.formulas).show
    every = (chosen for count in range(MOST_TOGETHER + 1) for chosen in itertools.combinations(equations, count))
    for chosen in itertools.islice(every, MOST_TRIES):
        if _equal(reading, theirs, ours, {name: equations[name] for name in chosen}):
            if not chosen:
                return "the same as ours when multiplied out"
            shown = (f"{show(Tree('name', (), name))} = {show(equations[name])}" for name in chosen)
            return "equals ours by " + " and ".join(shown)
    return f"another form of {show(ours)}, with the same values at all probes"


def _equations(reading: Reading, *sides: Tree) -> dict[Name, Tree]:
    """Return the equations of the cell and of the derivation for the names that the sides read, and what these read."""
    subject, params = reading.answers.subject, reading.answers.params
    written = {step.target.name: step.expr for step in subject.forward.steps}
    found: dict[Name, Tree] = {}
    waiting = [name for side in sides for name in names(side)]
    translator = Translator(reading)
    depth = dict.fromkeys(waiting, 0)
    while waiting:
        name = waiting.pop(0)
        if name in found or depth[name] > 1:
            continue
        meaning = reading.meanings.get(name)
        tree = None
        if meaning is not None and (meaning.kind in ("total", "incoming", "carry") or meaning.kind in WAYS):
            tree = translator.line(meaning)
        elif meaning == OWN and name in reading.groups:
            tree = add(*(line.value for line in reading.groups[name].lines))
        elif meaning is not None and meaning.kind == "value" and meaning.offset == 0 and meaning.base in written:
            tree = translator.translated(tree_from(written[meaning.base]), 0, 0)
        elif meaning is None and name.base in written and name.base not in params and name.offset == 0:
            tree = tree_from(written[name.base])
        if tree is not None and name not in set(names(tree)):
            found[name] = tree
            for inner in names(tree):
                depth.setdefault(inner, depth[name] + 1)
                waiting.append(inner)
    return found


def _equal(reading: Reading, theirs: Tree, ours: Tree, equations: dict[Name, Tree]) -> bool:
    """Return whether both sides agree where all names are free except those with an equation."""
    random = np.random.default_rng(7)
    values: dict[Name, Array] = {}
    every = sorted({n for side in (theirs, ours, *equations.values()) for n in names(side)} | set(equations))
    for name in every:
        shape = _shape(reading, name)
        if shape is None:
            return False
        fixed = name.base in reading.answers.params
        draw = random.uniform(0.2, 1.0, (1 if fixed else STEPS, *shape))
        values[name] = np.broadcast_to(draw, (STEPS, *shape))
    for _ in range(len(equations)):
        evaluator = Evaluator(values, reading.sizes, STEPS, reading.rows, loose=reading.formulas.loose)
        try:
            for name, tree in equations.items():
                values[name] = np.broadcast_to(evaluator.plain(tree), values[name].shape)
        except (Misfit, Missing, ValueError):
            return False
    evaluator = Evaluator(values, reading.sizes, STEPS, reading.rows, loose=reading.formulas.loose)
    try:
        return agree(evaluator.plain(theirs), evaluator.plain(ours))
    except (Misfit, Missing):
        return False


def _shape(reading: Reading, name: Name) -> tuple[int, ...] | None:
    value = reading.value(name)
    if value is not None:
        return value.shape[1:]
    of = reading.answers.subject
    for symbol, shape in of.forward.shapes.items():
        if symbol.name == name.base:
            return tuple(size(part, of.sizes) for part in shape)
    base = name.base
    for symbol, shape in of.backward.shapes.items():
        if symbol.name.removeprefix("delta_") == base.removeprefix("delta_").removeprefix("d"):
            return tuple(size(part, of.sizes) for part in shape)
    return None
