"""The search for what is wrong with a backward pass: by mutants of the right one, and by repairs of theirs."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from .code_adapter import Adapter, Array, Calling, Path, shape
from .code_aliases import copies_in
from .code_backward import gradients, left_behind, match_gradients
from .code_diagnosis import Comparison, Diagnosis, diagnose, differences
from .code_edit import Edit
from .code_edits import dividing, divisions, edits, of_raising
from .code_flow import is_begun
from .code_lines import judged_lines, places
from .code_mending import Brief, Check, Mended, mend, reach_of
from .code_names import alike
from .code_reach import FAR, Reach
from .code_reference import draw_seeds, reference
from .code_repairs import Bench, Repair, repairs
from .code_returned import bounded, other_loss
from .code_subject import Subject
from .code_traced import Ran, traced, traced_ahead
from .code_watch import Known, adjoints
from .verdict import Fault, Line


class Search:
    """What is known of a backward pass that is wrong, and what is found out about it.

    Args:
        checks: probes with their right gradients.
        theirs: gradients on the probe where they differ most.
        comparison: with the cell, on that probe; None for a cell of its own.
        errors: name -> relative difference there.
        near: below which gradients agree.
        until: when to give up, on the clock of this process's computing.
    """

    def __init__(
        self,
        subject: Subject,
        calling: Calling,
        checks: Sequence[Check],
        theirs: Mapping[str, Array],
        comparison: Comparison | None,
        errors: Mapping[str, float],
        near: float,
        until: float,
    ) -> None:
        self.subject, self.calling, self.checks, self.theirs = subject, calling, checks, theirs
        self.comparison, self.errors, self.near, self.until = comparison, errors, near, until
        self.wrong = [name for name, error in errors.items() if error > near]
        self.partly: list[Fault] = []

    @cached_property
    def ran(self) -> list[Ran]:
        """The functions of the backward pass; repairs are made in their trees."""
        return self._traced()

    def _traced(self) -> list[Ran]:
        values, seeds, _ = self.checks[0]
        subject, calling = self.subject, self.calling
        return traced(
            subject, lambda: subject.run(calling, values), lambda: left_behind(subject, calling, values, seeds)
        )

    @cached_property
    def bench(self) -> Bench | None:
        """Their statements beside the right adjoints on a short probe; None without a text to speak of."""
        subject = self.subject
        try:
            calling, values, seeds = short(subject, self.calling, 2)
            right = reference(subject, calling, values, seeds)
            known = Known(adjoints(subject, calling, values, seeds), calling.sizes["T"])
        except Exception:  # complex numbers may not pass, and sizes may be fixed
            return None
        if not self.ran or not known.by_shape:
            return None

        def run(is_other: bool) -> dict[str, Array]:
            of_loss = other_loss(calling, values, seeds) if is_other else (values, seeds)
            left = left_behind(subject, calling, *of_loss)
            whole = (
                calling if calling.gradients else match_gradients(subject, calling, left, right.gradients, Adapter())[0]
            )
            return gradients(whole, left)

        wanted = [name for _, name in calling.gradients] or [p.name for p in calling.given if p.role == "param"]
        gradients_wanted = {name: right.gradients[name] for name in wanted}
        return Bench(self.ran, run, known, gradients_wanted, subject.text, self._reach)

    @cached_property
    def brief(self) -> Brief | None:
        """A probe of as few steps as the code can take, on which what is right elsewhere is right.

        What is wrong elsewhere is wrong there too, where two or three steps show it.
        """
        hiding: Brief | None = None
        for steps in (1, 2, 3):
            try:
                calling, values, seeds = short(self.subject, self.calling, 2, steps)
                right = reference(self.subject, calling, values, seeds).gradients
                found = gradients(calling, left_behind(self.subject, calling, values, seeds))
                errors = differences(found, right)
            except Exception:  # complex numbers may not pass, and sizes may be fixed
                continue
            if all(errors.get(name, 1.0) <= FAR for name, error in self.errors.items() if error <= self.near):
                brief = calling, (values, seeds, right)
                if all(errors.get(name, 1.0) > FAR for name in self.wrong):
                    return brief
                hiding = hiding or brief
        return hiding

    def _reach(self) -> Reach | None:
        """Return what tells which gradients may be right after an edit, as the functions now stand."""
        return reach_of(self.subject, self.brief) if self.brief is not None else None

    def lines(self) -> tuple[Line, ...]:
        """Return the lines of a backward pass that is right."""
        return judged_lines(self.bench, {}) if self.bench is not None else ()

    def result(self) -> tuple[list[Fault], tuple[Line, ...]]:
        """Return the faults, and every line with its judgement."""
        divided = self._divided()
        if divided is not None:
            return [divided], ()
        diagnosis = self._diagnosed(False)
        if diagnosis is not None:
            mended = self._mended(diagnosis)
            if mended is not None:
                return self._of_one(mended, diagnosis)
        several = self._repaired(False)
        if several is not None:
            return several
        diagnosis = diagnosis or self._diagnosed(True)
        mended = self._mended(diagnosis)
        if mended is not None:
            return self._of_one(mended, diagnosis)
        several = None if self.partly else self._repaired(True)
        if several is not None:
            return several
        aliased = self._aliased()
        return ([aliased] if aliased is not None else self._without_repair(diagnosis)), ()

    def _divided(self) -> Fault | None:
        """Return the fault of a division that is missing as a line of its own, where in no other line it would do."""
        if not self._scaled:
            return None
        [(says, factor)] = self._scaled

        def mended(made: Callable[[Ran, int], list[Edit]]) -> Mended | None:
            ran, subject, calling = self._traced(), self.subject, self.calling  # apart from the trees of the search
            return mend(
                subject, calling, ran, self.checks, self.near, (), self.until, made=lambda at, ours: made(at, factor)
            )

        behind = mended(divisions) if mended(dividing) is None else None
        if behind is None:
            return None
        proof = f"with this line, all {len(self.theirs)} gradients agree with the reference to {behind.error:.0e}"
        return Fault(behind.line, behind.kind, says, behind.given, behind.text, proof)

    def _aliased(self) -> Fault | None:
        """Return the fault of a forward pass that keeps an array for the way back and then writes to it."""
        values, _, _ = self.checks[0]
        ahead = traced_ahead(self.subject, lambda: self.subject.run(self.calling, values))
        mended = mend(self.subject, self.calling, ahead, self.checks, self.near, (), self.until, made=copies_in)
        if mended is None:
            return None
        says = f"what is kept here is written to before it is read; {self._says(None)}"
        proof = f"with this line, all {len(self.theirs)} gradients agree with the reference to {mended.error:.0e}"
        return Fault(mended.line, mended.kind, says, mended.given, mended.text, proof)

    def misshapen(self, name: str, found: tuple[int, ...]) -> Fault:
        """Return the fault of a gradient of another shape than what it belongs to, as after a sum over a wrong axis."""
        wanted = shape(self.calling.place(name), self.calling.sizes)
        says = f"the gradient of {name} has the shape {found}, not the shape {wanted}"
        lines = {
            statement.lineno
            for at in self.ran
            for statement in ast.walk(at.tree)
            if isinstance(statement, ast.Assign | ast.AugAssign)
            for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
            if alike(_last(target), name) == 3
        }
        free = replace(self.calling, gradients=())
        mended = mend(self.subject, free, self.ran, self.checks, self.near, (), self.until, made=_only(lines))
        if mended is None:
            return Fault(0, "missing gradient", says, "")
        proof = f"with this line, all gradients agree with the reference to {mended.error:.0e}"
        return Fault(mended.line, "axis or index", says, mended.given, mended.text, proof)

    def raising(self, line: int, says: str) -> Fault:
        """Return the fault of a backward pass that raises, with the edit that makes it run and be right."""
        mended = mend(
            self.subject, self.calling, self.ran, self.checks, self.near, (), self.until, (line,), made=of_raising
        )
        message = f"raises {says}"
        if mended is None:
            return Fault(line, "raises", message, self.subject.text.splitlines()[line - 1].strip())
        proof = f"with this line, all gradients agree with the reference to {mended.error:.0e}"
        return Fault(mended.line, "raises", message, mended.given, mended.text, proof)

    def _diagnosed(self, pairs: bool) -> Diagnosis | None:
        if self.comparison is None:
            return None
        return diagnose(self.comparison, self._small(self.comparison), self.errors, max(self.near, 1e-9), pairs)

    def _small(self, comparison: Comparison) -> Comparison:
        """Return the comparison on a short sequence, or the one given where the code can't take that."""
        try:
            calling, values, seeds = short(self.subject, self.calling, 1)
            theirs = gradients(calling, left_behind(self.subject, calling, values, seeds))
            return Comparison(comparison.match, calling, values, seeds, theirs)
        except Exception:  # sizes may be fixed in the code
            return comparison

    def _mended(self, diagnosis: Diagnosis | None) -> Mended | None:
        lines: tuple[int, ...] = ()
        ours: tuple[str, ...] = ()
        at = self.comparison
        kinds = tuple(mutant.kind for mutant in diagnosis.found) if diagnosis else ()
        right: frozenset[int] = frozenset()
        if self.bench is not None and "dropped carry" not in kinds:  # what lacks a carry holds what the loss sends
            right = self.bench.lines_right()
        if diagnosis is not None and at is not None:
            lines, ours = places(self.subject, self.calling, at.values, at.seeds, self.theirs, at, diagnosis.found)
            lines = tuple(line for line in lines if line not in right)
        subject, calling, checks = self.subject, self.calling, self.checks
        return mend(
            subject, calling, self.ran, checks, self.near, kinds, self.until, lines, ours, right, brief=self.brief
        )

    def _of_one(self, mended: Mended, diagnosis: Diagnosis | None) -> tuple[list[Fault], tuple[Line, ...]]:
        kind = diagnosis.found[0].kind if diagnosis else mended.kind
        what = self._says(diagnosis)
        if diagnosis is None and kind == "aliasing":
            what = f"one array is held twice here, so that what is written to it is seen in both places; {what}"
        proof = f"with this line, all {len(self.theirs)} gradients agree with the reference to {mended.error:.0e}"
        fault = Fault(mended.line, kind, what, mended.given, mended.text, proof)
        lines = judged_lines(self.bench, {mended.line: mended.given}) if self.bench is not None else ()
        return [fault], lines

    def _says(self, diagnosis: Diagnosis | None) -> str:
        if diagnosis is None:
            return f"the gradients of {', '.join(self.wrong)} are wrong"
        cells = " and ".join(mutant.says for mutant in diagnosis.found)
        return f"the gradients are, to {max(diagnosis.error, 1e-15):.0e}, those {cells}"

    def _repaired(self, blindly: bool) -> tuple[list[Fault], tuple[Line, ...]] | None:
        """Return one fault for each repair, where all of them together make every gradient right.

        Where they don't, they are taken back, and kept as what is known of the faults. `blindly` they may begin with
        an edit that is told by the gradients alone.
        """
        if self.bench is None:
            return None
        done = self._needed(repairs(self.bench, blindly))
        if not done:
            return None
        once = self._mended_once(done)
        if once is not None:
            return self._of_one(once, None)
        errors = self._left()
        left = self._amiss(errors)
        agree = f"with the mended lines, all {len(self.theirs)} gradients agree with the reference to"
        proof = "" if left else f"{agree} {max(errors.values()):.0e}"
        lines = judged_lines(self.bench, {r.line: r.given for r in done})
        quantities = {line.number: line.quantity for line in lines}
        faults = []
        for repair in [repair for repair in done if not left or self._helps(repair, left)]:
            what = quantities.get(repair.line) or "what it gives"
            wrong = "the value that stood there is lost" if repair.edit.says == "removed" else f"{what} is wrong here"
            kind, says = self._named(repair, len(done)) or (
                repair.edit.kind or "other",
                f"{wrong}, with everything before it right",
            )
            text = repair.text + repair.where
            faults.append(
                Fault(0 if repair.edit.says == "inserted" else repair.line, kind, says, repair.given, text, proof)
            )
        faults = _joined(faults)
        if not left:
            return faults, lines
        for repair in reversed(done):
            repair.edit.restore(repair.old)
        says = f"with the lines above mended, the gradients of {', '.join(left)} are still wrong, by no single edit"
        self.partly = [*faults, Fault(0, "unknown", says, "")] if faults else []
        return None

    def _mended_once(self, done: list[Repair]) -> Mended | None:
        """Return the single edit that does what several do to one statement."""
        lines = {repair.edit.statement.lineno for repair in done}
        if len(done) == 1 or len(lines) > 1:
            return None
        now = [repair.edit.swap_back(repair.old) for repair in reversed(done)]
        mended = mend(self.subject, self.calling, self.ran, self.checks, self.near, (), self.until, made=_only(lines))
        for repair, node in zip(done, reversed(now), strict=True) if mended is None else ():
            repair.edit.restore(node)
        return mended

    def _needed(self, done: list[Repair]) -> list[Repair]:
        """Return the repairs without those that nothing is lost without, which are taken back.

        What was done to one statement is taken back as a whole first: one repair may undo another.
        """
        if self._amiss(self._left()):
            return done
        of_statements: dict[int, list[Repair]] = {}
        for repair in done:
            of_statements.setdefault(id(repair.edit.statement), []).append(repair)
        whole = [repair for group in of_statements.values() if self._is_needed(group) for repair in group]
        return [repair for repair in whole if self._is_needed([repair])]

    def _is_needed(self, group: Sequence[Repair]) -> bool:
        """Return whether gradients are wrong without these repairs; else they are taken back."""
        now = [repair.edit.swap_back(repair.old) for repair in reversed(group)]
        if not self._amiss(self._left()):
            return False
        for repair, node in zip(group, reversed(now), strict=True):
            repair.edit.restore(node)
        return True

    def _helps(self, repair: Repair, left: list[str]) -> bool:
        """Return whether a gradient is wrong without a repair that is right with it, all others being in force."""
        new = repair.edit.swap_back(repair.old)
        try:
            return any(name not in left for name in self._amiss(self._left()))
        finally:
            repair.edit.swap_back(new)

    def _amiss(self, errors: Mapping[str, float]) -> list[str]:
        """Return whose gradients don't agree; one that isn't finite doesn't either."""
        return [name for name, error in errors.items() if not error <= self.near]

    def _left(self) -> dict[str, float]:
        """Return each gradient's largest error on all probes, with the repairs in force."""
        assert self.bench is not None
        worst = dict.fromkeys(self.errors, 0.0)
        try:
            with self.bench.in_force():
                for values, seeds, right in self.checks:
                    left = left_behind(self.subject, self.calling, values, seeds)
                    for name, error in differences(gradients(self.calling, left), right).items():
                        worst[name] = max(worst[name], error)
        except Exception:
            return dict.fromkeys(self.errors, float("inf"))
        return worst

    def _named(self, repair: Repair, count: int) -> tuple[str, str] | None:
        """Return kind and message of one fault alone, with all others mended, where a mutant explains it."""
        if self.comparison is None or self.bench is None:
            return None
        new = repair.edit.swap_back(repair.old)
        try:
            with self.bench.in_force():
                at = self.comparison
                theirs = gradients(self.calling, left_behind(self.subject, self.calling, at.values, at.seeds))
                alone = Comparison(at.match, at.calling, at.values, at.seeds, theirs)
                small = self._small(alone)
            right = next(right for values, _, right in self.checks if values is at.values)
            errors = differences(theirs, right)
            found = diagnose(alone, small, errors, max(self.near, 1e-9), False)
        except Exception:
            return None
        finally:
            repair.edit.swap_back(new)
        if found is None:
            return None
        [mutant] = found.found
        alike = "" if count == 1 else "with the other lines mended, "
        return mutant.kind, f"{alike}the gradients are, to {max(found.error, 1e-15):.0e}, those {mutant.says}"

    def _without_repair(self, diagnosis: Diagnosis | None) -> list[Fault]:
        if diagnosis is not None and self.comparison is not None:
            at = self.comparison
            lines, _ = places(self.subject, self.calling, at.values, at.seeds, self.theirs, at, diagnosis.found)
            line = lines[-1] if lines else 0
            given = self.subject.text.splitlines()[line - 1].strip() if line else ""
            says = f"the gradients are, to {max(diagnosis.error, 1e-15):.0e}, those {{}}"
            return [Fault(line, mutant.kind, says.format(mutant.says), given) for mutant in diagnosis.found]
        return self._of_scale() or self.partly or self._first_wrong() or self.unexplained()

    @cached_property
    def _scaled(self) -> list[tuple[str, int]]:
        """What is to be said where gradients are all too large by the number of samples or steps, and the number."""
        sizes = self.calling.sizes
        for name, factor in (("B", sizes["B"]), ("T", sizes["T"]), ("T B", sizes["T"] * sizes["B"])):
            for values, seeds, right in self.checks:
                theirs = gradients(self.calling, left_behind(self.subject, self.calling, values, seeds))
                wanted = {of: factor * gradient for of, gradient in right.items()}
                if max(differences(theirs, wanted).values(), default=1.0) > self.near:
                    break
            else:
                says = f"all gradients are {name} = {factor} times those of the loss, which is a mean: divide by {name}"
                return [(says, factor)]
        return []

    def _of_scale(self) -> list[Fault]:
        return [Fault(0, "scale", says, "") for says, _ in self._scaled]

    def _first_wrong(self) -> list[Fault]:
        """Return the fault of the first line that has a gradient's name and doesn't hold what it ought to."""
        bench = self.bench
        for at, _ in bench.suspects(bench.watched()) if bench is not None else ():
            if bench is not None and bench.known.is_named(at.text) and not is_begun(bench.ran, at.statement):
                line = at.statement.lineno
                says = f"{at.text} is the first gradient that is seen to be wrong; no single edit of a line mends it"
                return [Fault(line, "unknown", says, self.subject.text.splitlines()[line - 1].strip())]
        return []

    def unexplained(self) -> list[Fault]:
        """Return the fault that says no more than which gradients are wrong, or by what number all are too large."""
        if self._scaled:
            return self._of_scale()
        worst = max(self.wrong, key=lambda name: self.errors[name])
        what = self._says(None)
        return [Fault(0, "unknown", f"{what}; largest relative error {self.errors[worst]:.1e}, of {worst}", "")]


def _only(lines: Collection[int]) -> Callable[[Ran, tuple[str, ...]], list[Edit]]:
    """Return what gives the edits of the statements at some lines."""
    return lambda ran, ours: [edit for edit in edits(ran, ours) if edit.statement.lineno in lines]


def _joined(faults: list[Fault]) -> list[Fault]:
    """Return faults in the order of their lines; where one line was mended twice, it is one fault, or none."""
    found: dict[object, Fault] = {}
    for fault in faults:
        key = fault.line or fault.mended
        before = found.get(key)
        found[key] = fault if before is None else replace(fault, given=before.given)
    return sorted((f for f in found.values() if f.given != f.mended), key=lambda fault: fault.line)


def _last(target: ast.expr) -> str:
    """Return the last name of what is assigned to: a key, an attribute, a variable."""
    match target:
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            return key
        case ast.Subscript(value=value):
            return _last(value)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def short(
    subject: Subject, calling: Calling, batch: int, least: int = 3
) -> tuple[Calling, dict[str, Array], dict[Path, Array]]:
    """Return a calling convention on a few steps of a few samples, with values and loss gradients for it.

    Args:
        subject, calling: as they are.
        batch: more than 1 for several samples.
        least: steps; as many more as keep them apart from other sizes.

    Raises:
        Exception: of any kind, where the code can't take that.
    """
    taken = {calling.sizes[name] for name in "mnk"}
    steps = next(d for d in range(least, 8) if d not in taken and d + 1 not in taken)
    few = next(d for d in range(batch, 9) if d not in (*taken, steps, steps + 1))
    brief = replace(calling, sizes={**calling.sizes, "T": steps, "B": few if batch > 1 else 1})
    values = bounded(subject, brief, 5)
    return brief, values, draw_seeds(subject, brief, values, 6)
