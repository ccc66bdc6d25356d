"""What the names of a text turned out to mean, each in a sentence; and how its gradients are scaled."""

from __future__ import annotations

import numpy as np

from .formulas import tree_from
from .gaps import unread_groups
from .meanings import adjoint_of
from .ours import Translator
from .printing import speller_for
from .reading import Reading, agree
from .tree import Name, without_version


def conventions(reading: Reading, seeds: tuple[str, ...]) -> list[str]:
    """Say what the names turned out to mean."""
    said = []
    show = speller_for(reading.formulas).name
    if reading.formulas.ahead:
        after = " and ".join(show(Name(base)) for base in reading.formulas.ahead)
        said.append(f"{after} are taken after this step, at t.")
    if reading.answers.turned or reading.rows:
        said.append("Vectors are rows: h W + x U.")
    if reading.answers.seeds != seeds:
        read = ", ".join(reading.answers.seeds)
        summed = set(reading.answers.seeds) <= set(reading.answers.subject.losses)
        alone = f"The loss is the sum of {read} over t." if summed else f"The loss depends on {read} alone."
        said.append(alone)
    weights = {base: reading.meanings[found[0]].base for base, found in reading.weights.items()}
    if matched := [f"{base} is {param}" for base, param in weights.items() if param]:
        said.append(f"Of their own names, {', '.join(matched)}.")
    silent = {group.target for group in unread_groups(reading)}
    every = (group for target, group in reading.groups.items() if target not in silent)
    spoken = {name for group in every for name in (group.target, *reading.read_by(group))}
    for name, meaning in reading.meanings.items():
        options = reading.options.get(name, [])
        if any(name in found for found in reading.weights.values()) or name not in spoken:
            continue
        if name.base in reading.formulas.running and name.offset == 1:
            if meaning.kind == "total" and meaning.offset == 0:
                said.append(f"{show(name)} is {meaning} where it is read: the loss reads the last step alone.")
            continue
        if meaning.kind == "own" or meaning.kind == "value" and options:
            continue
        obvious = meaning.kind == "total" and adjoint_of(name.base) == meaning.base and name.offset == meaning.offset
        if (len(options) != 1 or meaning.kind in ("loss", "carry")) and not obvious:
            said.append(f"{show(name)} is {meaning}.")
    kinds = {target: reading.meanings[target].kind for target in reading.groups}
    shares = [g for target, g in reading.groups.items() if kinds[target] == "share" and not reading.in_passing(g)]
    if shares and not any(line.adds for group in shares for line in group.lines):
        said.append("Gradients of parameters are one step's share, to be added up over t.")
    return list(dict.fromkeys(said))


def stands_for(reading: Reading) -> list[str]:
    """Say what values are that neither the text nor the cell names and whose adjoints it gives under other names."""
    translator, speller = Translator(reading), speller_for(reading.formulas)
    spelled = {adjoint_of(without_version(name.base)) for name in reading.groups}
    meant = dict.fromkeys(reading.meanings[target].base for target in reading.groups)
    found = [base for base in meant if base in translator.inner and base not in spelled]
    trees = {base: translator.translated(tree_from(translator.inner[base]), 0, 0) for base in found}
    said = "; ".join(f"{base} = {speller.show(tree)}" for base, tree in trees.items())
    return [f"Here {said}."] if said else []


def common_scale(reading: Reading) -> tuple[float, list[str]]:
    """Return the factor that all gradients of parameters share."""
    found = set()
    for group in reading.groups.values():
        meaning = reading.meanings[group.target]
        if meaning.kind not in ("share", "sum"):
            continue
        value, right = reading.total(group), reading.answers.array(meaning)
        if value is None or value.shape[1:] != right.shape[1:]:
            return 1.0, []
        factor = float(np.sum(value * right) / max(float(np.sum(right * right)), 1e-300))
        if abs(factor) < 1e-9 or not agree(value, factor * right):
            return 1.0, []
        found.add(round(factor, 9))
    if len(found) != 1 or found == {1.0} or sum(m.kind in ("share", "sum") for m in reading.meanings.values()) < 2:
        return 1.0, []
    factor = found.pop()
    what = "the step of descent, -∂L/∂W" if factor == -1 else f"{factor:g} ∂L/∂W"
    return factor, [f"All gradients of parameters are scaled alike: they are {what}."]
