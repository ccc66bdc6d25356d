"""Which fault explains all gradients: theirs are compared with those of each mutant of the right backward pass."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Symbol

from ...derive.adjoint import delta
from .code_adapter import Array, Calling, Path
from .code_cells import Match, in_their_layout, probe_of
from .code_engine import Change, Engine
from .code_mutants import Mutant, mutants, reached

PAIRS = 2000  # of faults that are tried


@dataclass(frozen=True)
class Diagnosis:
    """Faults that together explain every gradient.

    Attributes:
        found: the mutants, one or two.
        error: largest relative difference from theirs.
    """

    found: tuple[Mutant, ...]
    error: float


def differences(theirs: Mapping[str, Array], right: Mapping[str, Array]) -> dict[str, float]:
    """Return name -> largest difference, relative to the largest entry.

    >>> differences({"W": np.array([1.0, 2.5])}, {"W": np.array([1.0, 2.0])})
    {'W': 0.25}
    """
    found = {}
    for name, gradient in theirs.items():
        scale = float(np.abs(right[name]).max(initial=0.0)) or 1.0
        with np.errstate(all="ignore"):
            error = float(np.abs(gradient - right[name]).max(initial=0.0)) / scale
        found[name] = error if np.isfinite(error) else np.inf
    return found


class Comparison:
    """Their gradients beside those of changed backward passes, on one probe."""

    def __init__(
        self, match: Match, calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array], theirs: Any
    ) -> None:
        self.match, self.calling, self.values, self.seeds, self.theirs = match, calling, values, seeds, theirs
        self.engine = Engine(match.derivation, calling.sizes)
        self.probe = probe_of(match, calling, values, seeds)
        self.trace = self.engine.forward(self.probe)

    def errors(self, change: Change) -> dict[str, float]:
        """Return name -> difference of theirs from the gradients with a change."""
        found = self.engine.backward(self.probe, self.trace, change)
        return differences(self.theirs, in_their_layout(self.match, self.calling, found))

    def blocks(self, wrong: list[str]) -> set[str]:
        """Return the adjoints that wrong arrays hold."""
        names = {f"delta_{b.param}" for b in self.match.blocks if b.place in wrong}
        roles = {place.name: place.role for place in self.calling.given}
        names |= {f"delta_{name}" for name in self.match.cell.inputs if any(roles[w] == "input" for w in wrong)}
        return names | {f"delta_{self.match.starts[w]}_prev" for w in wrong if roles[w] == "state"}


def diagnose(
    comparison: Comparison, small: Comparison, right: Mapping[str, float], tolerance: float, pairs: bool
) -> Diagnosis | None:
    """Return the fault, or the two faults, whose backward pass gives exactly their gradients.

    Args:
        comparison: of their gradients.
        small: the same on a short sequence, on which mutants are tried first.
        right: name -> their difference from the right gradients.
        tolerance: below which gradients agree.
        pairs: whether two faults at once are looked for.
    """
    wrong = [name for name, error in right.items() if error > tolerance]
    reaches = reached(comparison.match.derivation)
    held = comparison.blocks(wrong)
    single: list[tuple[int, float, Mutant]] = []
    for mutant in itertools.chain(_of_arrays(comparison), mutants(comparison.match.derivation)):
        touched = reaches.get(mutant.target) if mutant.target is not None else None
        if touched is not None and not touched & held:
            continue
        errors = _tried(small, mutant.change)
        if max(errors.values()) <= tolerance:
            errors = _tried(comparison, mutant.change)
        matched = sum(error <= tolerance for error in errors.values())
        if matched == len(errors):
            return Diagnosis((mutant,), max(errors.values()))
        single.append((matched, -max(errors.values()), mutant))
    if not pairs:
        return None
    ranked = sorted(single, key=lambda entry: (-entry[0], -entry[1]))
    least = len(right) - len(wrong)
    tried = 0
    for matched, _, first in ranked[:6]:
        if matched <= least:
            break
        for _, _, second in ranked:
            tried += 1
            if tried > PAIRS:
                return None
            if second.target == first.target and second.target is not None:
                continue
            errors = _tried(small, first.change | second.change)
            if max(errors.values()) <= tolerance:
                errors = _tried(comparison, first.change | second.change)
            if max(errors.values()) <= tolerance:
                return Diagnosis((first, second), max(errors.values()))
    return None


def _of_arrays(comparison: Comparison) -> Iterator[Mutant]:
    """Yield faults of a whole array of theirs that holds several parameters."""
    for place in dict.fromkeys(block.place for block in comparison.match.blocks):
        params = [delta(Symbol(block.param)) for block in comparison.match.blocks if block.place == place]
        if len(params) > 1:
            for which, says in (("first", "the first step"), ("last", "the last step")):
                change = Change(only=dict.fromkeys(params, which))
                yield Mutant("accumulation", f"of {says} alone for {place}: = for +=", change)


def _tried(comparison: Comparison, change: Change) -> dict[str, float]:
    with np.errstate(all="ignore"):
        return comparison.errors(change)
