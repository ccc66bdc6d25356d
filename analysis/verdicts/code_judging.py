"""The judgement on somebody's backward pass, step by step, in the process that runs it."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...derive.cell import Cell
from ...derive.errors import Error
from .code_adapter import Adapter, Array, Attributes, Calling, Path, is_single, shape
from .code_backward import Raised, gradients, infer_backward, left_behind, match_gradients
from .code_cells import Match, identify, in_their_layout
from .code_diagnosis import Comparison, Diagnosis, diagnose, differences
from .code_forward import infer_forward, values_for
from .code_lines import places
from .code_mending import Mended, mend
from .code_notes import explained
from .code_reference import Reference, draw_seeds, reference
from .code_subject import AROUND, Subject
from .code_words import conventions
from .verdict import Fault, Line, Verdict

Tell = Callable[[str], None]
SEEDS = (1, 2)


@dataclass(frozen=True)
class Trial:
    """One probe: what was given, what came back, and what is right."""

    values: Mapping[str, Array]
    seeds: Mapping[Path, Array]
    theirs: Mapping[str, Array]
    right: Reference


def judge(subject: Subject, cell: Cell | None, adapter: Adapter, tell: Tell, seconds: float = 12.0) -> Verdict:
    """Return the verdict on a subject.

    Args:
        subject: functions or a class.
        cell: that it is meant to be, None to find out.
        adapter: what is stated of the calling convention.
        tell: told which part of theirs is about to run.
        seconds: for the search for what is wrong.

    Raises:
        Error: where it can't be called.
    """
    tell("the forward pass")
    calling, form = infer_forward(subject, adapter)
    match = identify(subject, calling, cell)
    values = values_for(calling, SEEDS[0])
    tell("the backward pass")
    try:
        calling = infer_backward(subject, calling, values)
    except Raised as raised:
        how = conventions(raised.calling, form, match)
        return _raising(subject, raised, how, match.cell.name if match else "a cell of its own", seconds)
    notes: list[str] = []
    trials = []
    for seed in SEEDS:
        trial, calling, said = _trial(subject, calling, match, adapter, seed)
        trials.append(trial)
        notes += said
    notes += _behaviour(subject, calling, trials[0])
    faults = _not_given(subject, calling, trials[0])
    compared = max(trials, key=lambda trial: max(_errors(trial).values(), default=0.0))
    near = max(trial.right.tolerance for trial in trials)
    comparison = None
    if match is not None:
        comparison = Comparison(match, calling, compared.values, compared.seeds, compared.theirs)
    errors = _errors(compared)
    lines: tuple[Line, ...] = ()
    if max(errors.values(), default=0.0) > near:
        note = explained(compared.theirs, compared.right.gradients, calling, comparison, near)
        if note is not None:
            notes.append(note[0])
            errors = differences(compared.theirs, note[1])
        else:
            found = _faults(subject, calling, trials, compared, comparison, errors, near, seconds)
            faults += found
    judged = "a cell of its own" if match is None else match.cell.name
    if match is not None and match.edit is not None and not match.edit.convention:
        notes.insert(
            0, f"The forward pass is not {judged} but differs from it: {match.edit.says}. Judged as it stands."
        )
        judged = f"{judged} with an edit"
    elif match is None:
        notes.insert(
            0, "The forward pass is none of the known cells, nor one of them with a single edit. Judged as it stands."
        )
    notes.append(f"Agreement is asked for to {near:.1g} of each gradient's largest entry.")
    return Verdict(
        subject.name,
        judged,
        conventions(calling, form, match),
        lines,
        tuple(faults),
        tuple(dict.fromkeys(notes)),
        max(errors.values(), default=0.0),
        compared.right.how,
    )


def _raising(subject: Subject, raised: Raised, said: tuple[str, ...], cell: str, seconds: float) -> Verdict:
    """Return the verdict on a backward pass that raises, with the edit that makes it run and be right."""
    calling, checks = raised.calling, []
    for seed in SEEDS:
        values = values_for(calling, seed)
        seeds = draw_seeds(subject, calling, values, seed + 6)
        right = reference(subject, calling, values, seeds)
        checks.append((values, seeds, right.gradients))
    mended = mend(subject, calling, checks, right.tolerance, (), time.monotonic() + seconds, (raised.line,))
    says = f"line {raised.line} raises {raised.says}"
    fault = Fault(raised.line, "raises", says, subject.text.splitlines()[raised.line - 1].strip())
    if mended is not None:
        proof = f"with this line, all gradients agree with the reference to {mended.error:.0e}"
        fault = Fault(mended.line, "raises", says, mended.given, mended.text, proof)
    return Verdict(subject.name, cell, said, (), (fault,), (), float("inf"), right.how)


def _errors(trial: Trial) -> dict[str, float]:
    return differences(trial.theirs, trial.right.gradients)


def _trial(
    subject: Subject, calling: Calling, match: Match | None, adapter: Adapter, seed: int
) -> tuple[Trial, Calling, list[str]]:
    values = values_for(calling, seed)
    seeds = draw_seeds(subject, calling, values, seed + 6)
    if not seeds and not any(place.role == "loss" for place in calling.returned):
        raise Error(
            f"{subject.name}: the backward pass takes no gradient of anything that the forward pass returns. Give it "
            "one, such as backward(dh, cache) with dh in the layout of the states"
        )
    right = reference(subject, calling, values, seeds)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        left = left_behind(subject, calling, values, seeds)
    single = any(is_single(array) for array in left.values())
    if single:
        right = _in_single(subject, calling, match, values, seeds, right)
    notes = ["The code computes in float32 and is judged as float32."] * single
    if not calling.gradients:
        calling, said = match_gradients(subject, calling, left, right.gradients, adapter)
        notes += said
    return Trial(values, seeds, gradients(calling, left), right), calling, notes


def _in_single(
    subject: Subject,
    calling: Calling,
    match: Match | None,
    values: Mapping[str, Array],
    seeds: Mapping[Path, Array],
    rough: Reference,
) -> Reference:
    """Return the reference for code in float32: our engine's, and what rounding of the inputs alone does to it."""
    if match is None:
        return Reference(rough.gradients, rough.how, 1e-2)
    eps, rng = float(np.finfo(np.float32).eps), np.random.default_rng(13)

    def ours(given: Mapping[str, Array]) -> dict[str, Array]:
        comparison = Comparison(match, calling, given, seeds, {})
        found = comparison.engine.backward(comparison.probe, comparison.trace)
        return in_their_layout(match, calling, found)

    right = ours(values)
    moved = {
        name: value
        if np.issubdtype(np.asarray(value).dtype, np.integer)
        else value * (1 + eps * rng.standard_normal(np.shape(value)))
        for name, value in values.items()
    }
    moves = max(differences(ours(moved), right).values(), default=0.0)
    return Reference(right, "the derived backward pass of the cell, float64", 50 * max(moves, eps))


def _not_given(subject: Subject, calling: Calling, trial: Trial) -> list[Fault]:
    """Return a fault for each parameter whose gradient isn't among what is returned, or isn't finite."""
    faults = []
    for name, value in trial.theirs.items():
        if not np.isfinite(value).all():
            faults.append(Fault(0, "not finite", f"the gradient of {name} holds NaN or infinity", ""))
    moved = [name for name, value in trial.right.gradients.items() if np.abs(value).max(initial=0.0) > 0]
    missing = [p.name for p in calling.given if p.role == "param" and p.name not in trial.theirs and p.name in moved]
    for name in missing:
        wanted = shape(calling.place(name), calling.sizes)
        says = f"no gradient of shape {wanted} is returned for {name}"
        faults.append(Fault(0, "missing gradient", says, ""))
    return faults


def _behaviour(subject: Subject, calling: Calling, trial: Trial) -> list[str]:
    """Return notes on inputs that are written to, and on results that differ from run to run."""
    notes = []
    before = {name: np.array(value) for name, value in trial.values.items()}
    passed = {path: np.array(value) for path, value in trial.seeds.items()}
    result, owner, given = subject.run(calling, trial.values)
    fresh = subject.run(calling, trial.values)[2]
    if subject.backward is not None:
        seeds = dict(passed)
        wraps = {name: subject._passed(source, calling, result, given, seeds) for name, source in calling.passed}
        copies = copy.deepcopy({n: w for (n, s) in calling.passed for w in [wraps[n]] if s[0] == "gradient"})
        subject.backward(*(() if owner is None else (owner,)), **wraps)
        notes += [f"The backward pass writes to its argument {n}." for n in copies if not _same(copies[n], wraps[n])]
    notes += [
        f"The code writes to its argument {name}."
        for name in given
        if not isinstance(given[name], Attributes) and not _same(given[name], _given(calling, before, name))
    ]
    del fresh
    again = gradients(calling, left_behind(subject, calling, trial.values, trial.seeds))
    if any(not np.array_equal(again[name], trial.theirs[name], equal_nan=True) for name in again):
        notes.append("Two runs on the same numbers give different gradients.")
    return notes


def _given(calling: Calling, values: Mapping[str, Array], name: str) -> Any:
    from .code_adapter import arguments

    passed = tuple(place for place in calling.given if place.path[0] not in AROUND)
    return {**arguments(passed, values), **calling.constants}[name]


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(_same(a, b) for a, b in zip(one, two, strict=True))
    return bool(np.array_equal(one, two))


def _short(subject: Subject, calling: Calling, comparison: Comparison) -> Comparison:
    """Return the comparison on a short sequence, or the one given where the code can't take that."""
    brief = replace(calling, sizes={**calling.sizes, "T": 3, "B": 1})
    try:
        values = values_for(brief, 5)
        seeds = draw_seeds(subject, brief, values, 6)
        theirs = gradients(brief, left_behind(subject, brief, values, seeds))
        return Comparison(comparison.match, brief, values, seeds, theirs)
    except Exception:  # sizes may be fixed in the code
        return comparison


def _faults(
    subject: Subject,
    calling: Calling,
    trials: list[Trial],
    compared: Trial,
    comparison: Comparison | None,
    errors: Mapping[str, float],
    near: float,
    seconds: float,
) -> list[Fault]:
    """Say what is wrong: from mutants of the right backward pass, and from repairs of theirs."""
    until = time.monotonic() + seconds
    wrong = [name for name, error in errors.items() if error > near]
    diagnosis: Diagnosis | None = None
    if comparison is not None:
        small = _short(subject, calling, comparison)
        diagnosis = diagnose(comparison, small, errors, max(near, 1e-9), seconds / 2)
    checks = [(trial.values, trial.seeds, trial.right.gradients) for trial in trials]
    kinds = tuple(mutant.kind for mutant in diagnosis.found) if diagnosis else ()
    lines: tuple[int, ...] = ()
    ours: tuple[str, ...] = ()
    if diagnosis and comparison is not None:
        found = places(subject, calling, compared.values, compared.seeds, compared.theirs, comparison, diagnosis.found)
        lines, ours = found
    mended: Mended | None = mend(subject, calling, checks, near, kinds, until, lines, ours)
    what = f"the gradients of {', '.join(wrong)} are wrong"
    if diagnosis:
        cells = " and ".join(mutant.says for mutant in diagnosis.found)
        what = f"the gradients are, to {max(diagnosis.error, 1e-15):.0e}, those {cells}"
    if mended is not None:
        kind = diagnosis.found[0].kind if diagnosis else mended.kind
        proof = f"with this line, all {len(compared.theirs)} gradients agree with the reference to {mended.error:.0e}"
        return [Fault(mended.line, kind, what, mended.given, mended.text, proof)]
    if diagnosis:
        line = lines[-1] if lines else 0
        given = subject.text.splitlines()[line - 1].strip() if line else ""
        says = f"the gradients are, to {max(diagnosis.error, 1e-15):.0e}, those {{}}"
        return [Fault(line, mutant.kind, says.format(mutant.says), given) for mutant in diagnosis.found]
    worst = max(wrong, key=lambda name: errors[name])
    return [Fault(0, "unknown", f"{what}; largest relative error {errors[worst]:.1e}, of {worst}", "")]
