"""The judgement on somebody's backward pass, step by step, in the process that runs it."""

from __future__ import annotations

import copy
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...derive.cell import Cell
from ...derive.errors import Error
from .code_adapter import Adapter, Array, Attributes, Calling, Path, is_single, shape
from .code_backward import Raised, gradients, left_behind, left_over, line_of, match_gradients, misshapen, readings
from .code_cells import Match, identify, in_their_layout
from .code_diagnosis import Comparison, differences
from .code_fault import Search
from .code_forms import Form
from .code_notes import explained
from .code_places import arguments
from .code_reference import EXACT, Reference, complex_slope, condition, draw_seeds, reference
from .code_returned import bounded
from .code_signatures import names_read
from .code_smooth import roughness
from .code_subject import AROUND, Hung, Subject
from .code_ways import called, reshaped, runs
from .code_words import conventions
from .verdict import Fault, Verdict

Tell = Callable[[str | Verdict], None]
SEEDS = (1, 2)
MORE = range(3, 19)  # of probes on which one direction is looked at
OWN = "a cell of its own"
WEAK = 1e-3  # of loss gradients, where larger ones are limited on the way back
LIMITED = "Gradients are limited where they are large. Judged with loss gradients of 1/1000, for which they aren't."
LIMITS = re.compile("clip|clamp|norm|minimum|maximum")
NEAR = "Agreement is asked for to {:.1g} of each gradient's largest entry."

UNSEEN = "{} isn't judged: nothing that the forward pass was seen to read has this gradient"


@dataclass(frozen=True)
class Trial:
    """One probe: what was given, what came back, and what is right."""

    values: Mapping[str, Array]
    seeds: Mapping[Path, Array]
    theirs: Mapping[str, Array]
    right: Reference


def judge(subject: Subject, cell: Cell | None, adapter: Adapter, tell: Tell, seconds: float = 60.0) -> Verdict:
    """Return the verdict on a subject.

    Args:
        subject: functions or a class.
        cell: that it is meant to be, None to find out.
        adapter: what is stated of the calling convention.
        tell: told which part of theirs is about to run, and the verdict as far as it is known before the search.
        seconds: of computing, after which the search for what is wrong ends; tries are counted, so that is rare.

    Raises:
        Error: where it can't be called.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _judged(subject, cell, adapter, tell, seconds)


def _judged(subject: Subject, cell: Cell | None, adapter: Adapter, tell: Tell, seconds: float) -> Verdict:
    try:
        calling, form, raised = called(subject, adapter, tell, SEEDS[0])
        match = identify(subject, calling, cell)
        if raised is not None:
            how = conventions(calling, form, match)
            return _raising(subject, raised, how, match.cell.name if match else OWN, seconds)
        best: Verdict | None = None
        for reading in (*readings(calling), *reshaped(subject, calling, SEEDS[0])):
            if reading is not calling and not runs(subject, reading, SEEDS[0]):
                continue
            meant = match if reading.given == calling.given else identify(subject, reading, cell)
            verdict = _read(subject, reading, form, meant, adapter, tell, seconds)
            if best is None or _open(verdict) < _open(best):
                best = verdict
            if not any(_open(best)):
                break
        assert best is not None
        return best
    except Hung as hung:
        return Verdict(subject.name, OWN, (), (), (_hanging(subject, hung),), (), float("inf"), "none")


def _open(verdict: Verdict) -> tuple[int, int]:
    """Return how many faults aren't mended, and how many are of shapes: what another way to call it may explain."""
    faults = verdict.faults
    shapes = sum(fault.kind in ("axis or index", "missing gradient") for fault in faults)
    return sum(not fault.mended for fault in faults), shapes


def _read(
    subject: Subject,
    calling: Calling,
    form: Form,
    match: Match | None,
    adapter: Adapter,
    tell: Tell,
    seconds: float,
) -> Verdict:
    """Return the verdict on a subject that is called in this way."""
    trials, notes = [], []
    for seed in SEEDS:
        trial, calling, said = _trial(subject, calling, match, adapter, seed)
        trials.append(trial)
        notes += said
    notes += _behaviour(subject, calling, trials[0])
    if all(error <= trial.right.tolerance for trial in trials for error in _errors(trial).values()):
        trials += [_trial(subject, calling, match, adapter, seed)[0] for seed in _biting(subject, calling, trials[0])]
    compared = max(trials, key=lambda trial: max(_errors(trial).values(), default=0.0))
    near = max(trial.right.tolerance for trial in trials)
    errors = _errors(compared)
    comparison = None
    if match is not None:
        comparison = Comparison(match, calling, compared.values, compared.seeds, compared.theirs)
    checks = [(trial.values, trial.seeds, trial.right.gradients) for trial in trials]
    search = Search(subject, calling, checks, compared.theirs, comparison, errors, near, time.process_time() + seconds)
    judged, different = _cell(match)
    left = left_behind(subject, calling, trials[0].values, trials[0].seeds)
    verdict = Verdict(
        subject.name,
        judged,
        conventions(calling, form, match),
        (),
        tuple(_not_given(subject, calling, trials[0], search)),
        tuple(dict.fromkeys([*different, *notes, NEAR.format(near)])),
        max(errors.values(), default=0.0),
        f"{compared.right.how}; condition number {condition(compared.right.gradients):.2g} along a random direction",
        tuple(UNSEEN.format(name) for name in left_over(subject, calling, left)),
        "gradient",
    )
    if max(errors.values(), default=0.0) <= near:
        return replace(verdict, lines=search.lines())
    others = [(trial.theirs, trial.right.gradients) for trial in trials if trial is not compared]
    note = explained(compared.theirs, compared.right.gradients, others, calling, comparison, near)
    if note is not None:
        error = max(differences(compared.theirs, note[1]).values())
        notes = [*different, note[0], *verdict.notes[len(different) :]]
        return replace(verdict, notes=tuple(notes), largest_error=error, lines=search.lines())
    if calling.strength == 1 and _is_limited(subject, calling, compared, search):
        weak = _read(subject, replace(calling, strength=WEAK), form, match, adapter, tell, seconds)
        return replace(weak, notes=(*weak.notes, LIMITED))
    rough = roughness(subject, calling, compared.values, compared.seeds) if near < 1e-6 else ""
    if rough:
        unjudged = Fault(0, "not differentiable", f"{rough}. The gradients of {', '.join(search.wrong)} differ", "")
        return replace(verdict, faults=(*verdict.faults, unjudged))
    tell(replace(verdict, faults=(*verdict.faults, *search.unexplained())))
    found, lines = search.result()
    return replace(verdict, faults=(*verdict.faults, *found), lines=lines)


def _is_limited(subject: Subject, calling: Calling, trial: Trial, search: Search) -> bool:
    """Return whether the backward pass keeps gradients below a limit, and so isn't linear in those of the loss."""
    if not any(LIMITS.search(name) for at in search.ran for name in names_read(at.function.__code__)):
        return False
    weak = {path: WEAK * seed for path, seed in trial.seeds.items()}
    found = gradients(calling, left_behind(subject, calling, trial.values, weak))
    strong = {name: gradient / WEAK for name, gradient in found.items()}
    return max(differences(strong, trial.theirs).values(), default=0.0) > 1e-6


def _cell(match: Match | None) -> tuple[str, tuple[str, ...]]:
    """Return what the forward pass is judged as, and a note where that is no cell that is known."""
    if match is None:
        return OWN, (
            "The forward pass is none of the known cells, nor one of them with a single edit. Judged as it stands.",
        )
    name = match.cell.name
    if match.edit is None or match.edit.convention:
        return name, ()
    says = f"The forward pass is not {name} but differs from it: {match.edit.says}. Judged as it stands."
    return f"{name} with an edit", (says,)


def _hanging(subject: Subject, hung: Hung) -> Fault:
    """Return the fault of a backward pass that goes on and on, with the line where it was."""
    line = line_of(hung, subject.file)
    where = f", in line {line}" if line else ""
    given = subject.text.splitlines()[line - 1].strip() if line else ""
    says = f"the backward pass was still running after {subject.patience:g} s of computing{where}"
    return Fault(line, "hangs", says, given)


def _raising(subject: Subject, raised: Raised, said: tuple[str, ...], cell: str, seconds: float) -> Verdict:
    """Return the verdict on a backward pass that raises, with the edit that makes it run and be right."""
    calling, checks = raised.calling, []
    for seed in SEEDS:
        values = bounded(subject, calling, seed)
        seeds = draw_seeds(subject, calling, values, seed + 6)
        right = reference(subject, calling, values, seeds)
        checks.append((values, seeds, right.gradients))
    until = time.process_time() + seconds
    fault = Search(subject, calling, checks, {}, None, {}, right.tolerance, until).raising(raised.line, raised.says)
    return Verdict(subject.name, cell, said, (), (fault,), (), float("inf"), right.how)


def _errors(trial: Trial) -> dict[str, float]:
    return differences(trial.theirs, trial.right.gradients)


def _biting(subject: Subject, calling: Calling, trial: Trial) -> list[int]:
    """Return the first of more seeds on whose probe their gradients are wrong along a random direction.

    What two probes leave on one side of a maximum or a comparison, others show.
    """
    if trial.right.how != EXACT or not trial.theirs:
        return []
    for seed in MORE:
        values = bounded(subject, calling, seed)
        seeds = draw_seeds(subject, calling, values, seed + 6)
        theirs = gradients(calling, left_behind(subject, calling, values, seeds))
        rng = np.random.default_rng(seed)
        directions = {name: rng.standard_normal(np.shape(gradient)) for name, gradient in theirs.items()}
        parts = [gradient * directions[name] for name, gradient in theirs.items()]
        slope = complex_slope(subject, calling, values, seeds, directions)
        if abs(slope - sum(map(np.sum, parts))) > 1e-7 * sum(np.sum(np.abs(part)) for part in parts):
            return [seed]
    return []


def _trial(
    subject: Subject, calling: Calling, match: Match | None, adapter: Adapter, seed: int
) -> tuple[Trial, Calling, list[str]]:
    values = bounded(subject, calling, seed)
    seeds = draw_seeds(subject, calling, values, seed + 6)
    if not seeds and not any(place.role == "loss" for place in calling.returned):
        raise Error(
            f"{subject.name}: the backward pass takes no gradient of anything that the forward pass returns. Give it "
            "one, such as backward(dh, cache) with dh in the layout of the states"
        )
    right = reference(subject, calling, values, seeds)
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


def _not_given(subject: Subject, calling: Calling, trial: Trial, search: Search) -> list[Fault]:
    """Return a fault for each parameter whose gradient isn't among what is returned, or isn't finite."""
    faults = []
    for name, value in trial.theirs.items():
        if not np.isfinite(value).all():
            faults.append(Fault(0, "not finite", f"the gradient of {name} holds NaN or infinity", ""))
    moved = [name for name, value in trial.right.gradients.items() if np.abs(value).max(initial=0.0) > 0]
    missing = [p.name for p in calling.given if p.role == "param" and p.name not in trial.theirs and p.name in moved]
    left = left_behind(subject, calling, trial.values, trial.seeds) if missing else {}
    shapes = misshapen(subject, calling, left)
    for name in missing:
        if name in shapes:
            faults.append(search.misshapen(name, shapes[name]))
            continue
        wanted = shape(calling.place(name), calling.sizes)
        says = f"no gradient of shape {wanted} is returned for {name}"
        faults.append(Fault(0, "missing gradient", says, ""))
    if not faults and not trial.theirs:
        says = (
            "nothing that it leaves is the gradient of what the forward pass was seen to read, so none is judged; keep "
            "weights as arrays in attributes of the object, or in a list or a dictionary there"
        )
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
    passed = tuple(place for place in calling.given if place.path[0] not in AROUND)
    return {**arguments(passed, values), **calling.constants}[name]


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(_same(a, b) for a, b in zip(one, two, strict=True))
    return bool(np.array_equal(one, two))
