"""Formulas -> verdict: conventions first, then line by line, each with the right values of all that it reads."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from ...derive.cell import Cell, parse
from ...derive.errors import Error
from .arithmetic import Misfit, Missing
from .concatenated import concatenated, concatenates
from .conventions import common_scale, conventions, stands_for
from .formulas import Formulas, Statement
from .forward import Forward, at_the_next, read_forward, running, with_declarations
from .gaps import bare_params, guess, missing, unjudged, unread_groups
from .groups import Group
from .meanings import Answers, adjoint_of
from .naming import UnknownName, read_meanings, reread
from .ours import Translator
from .outputs import without_rate, without_targets
from .printing import FormulaSpeller, speller_for
from .probes import STEPS, Probes, probes, subject
from .reading import OWN, TOLERANCE, Reading
from .readout import with_readout
from .reasons import reason
from .repair import Repair, pool_for, repair, repair_auxiliary, shown
from .tree import Name, Tree, matmul, names, places, rebuilt
from .verdict import Fault, Line, Verdict
from .windows import Windows


def judge(formulas: Formulas, cell: Cell | None = None) -> Verdict:
    """Judge a backward pass that is given as formulas.

    Args:
        formulas: with or without the cell's own equations before them.
        cell: whose backward pass it is; needed where the equations aren't there.

    Raises:
        Error: where there is no cell, nothing to judge, or a name that matches nothing.
    """
    try:
        return _judged(formulas, cell)
    except UnknownName as error:
        line = error.line
        if found := without_targets(formulas, line):
            return min((judge(one, cell) for one in found), key=lambda verdict: len(verdict.faults))
        if wider := with_readout(formulas, cell) if cell is not None else None:
            return judge(*wider)
        if plain := without_rate(formulas, error.name):
            return judge(plain, cell)
        rest = tuple(o for o in formulas.statements if (o.number, o.text) != (line.number, line.text))
        if line.aside:
            note = f"line {line.number} stands in a sentence and isn't judged: {line.text}"
            return judge(replace(formulas, statements=rest, notes=(*formulas.notes, note)), cell)
        if (step := _numbered_step(formulas, line)) is None:
            raise
        note = f"line {line.number} isn't judged: it speaks of step {step} alone; write it for any t: {line.text}"
        return judge(replace(formulas, statements=rest, unjudged=(*formulas.unjudged, note)), cell)


def _numbered_step(formulas: Formulas, line: Statement) -> str | None:
    """Return the number by which a line speaks of a step, as in s_3 of a text that has s_t elsewhere."""
    for found in (line.target, *names(line.value)):
        base, _, number = found.base.rpartition("_")
        if number.isdigit() and base.removeprefix("dL_d") in formulas.timed:
            return number
    return None


def _judged(formulas: Formulas, cell: Cell | None) -> Verdict:
    forward = read_forward(formulas, cell)
    backward, ahead = at_the_next(forward.backward, forward.cell)
    formulas, forward = replace(formulas, ahead=ahead), replace(forward, backward=backward)
    if not forward.backward and not formulas.derivatives:
        said = "".join(f"; {note}" for note in (*formulas.notes, *formulas.unjudged))
        what = f"only the forward pass of {forward.cell.name} stands here, and " if formulas.statements else ""
        raise Error(f"{formulas.source.name}: {what}no line of a backward pass, such as 'da = dh * (1 - h**2)'{said}")
    reading, forward = _from_step_to_step(formulas, forward)
    formulas = reading.formulas
    batch, of = reading.answers.probes, reading.answers.subject
    reread(reading)
    guess(reading)
    if not formulas.derivatives and all(reading.meanings[target] == OWN for target in reading.groups):
        said = "; ".join([*unjudged(reading), *formulas.unjudged, *formulas.notes])
        raise Error(
            f"{formulas.source.name}: nothing here can be judged as part of {of.cell.name}'s backward pass: {said}"
        )
    sentences = [*forward.sentences, *conventions(reading, of.seeds)]
    scale, sentence = common_scale(reading)
    sentences += [*sentence, *stands_for(reading)]
    lines, faults, mended = _lines(reading, scale)
    notes = [f"only one side of {function} in {line} was reached" for line, function in batch.missed]
    gaps, more = missing(reading, mended)
    windows = Windows(formulas, reading.answers, reading.rows, reading.own_value).judged()
    lines = sorted([*lines, *windows[0]], key=lambda line: line.number)
    faults += [*windows[1], *formulas.faults]
    faults = sorted([*faults, *gaps], key=lambda fault: (fault.line == 0, fault.line))
    errors = [_error(reading, group, scale) for group in reading.groups.values()]
    reference = (
        f"our derivation in float64 on {len(batch.records)} random sequences of {STEPS} steps; along a random "
        f"direction (condition number {batch.condition:.2g}) it differs by {batch.agreement:.0e} from a difference of "
        f"the equations at 50 digits; lines are compared to {TOLERANCE:.0e}"
    )
    return Verdict(
        formulas.source.name,
        of.cell.name,
        tuple(sentences),
        tuple(lines),
        tuple(faults),
        (*formulas.notes, *notes, *more),
        max(errors, default=0.0),
        reference,
        (*formulas.unjudged, *windows[2], *unjudged(reading)),
    )


def _from_step_to_step(formulas: Formulas, forward: Forward) -> tuple[Reading, Forward]:
    """Read a text with variables that go from step to step, where it is no more right without any."""
    backward, carried = running(formulas, forward.backward)
    if not carried:
        return _on_best_cell(formulas, forward)
    found = _on_best_cell(replace(formulas, running=carried), replace(forward, backward=backward))
    try:
        plain = _on_best_cell(formulas, forward)
    except Error:
        return found
    return plain if _score(plain[0]) > _score(found[0]) else found


def _on_best_cell(formulas: Formulas, forward: Forward) -> tuple[Reading, Forward]:
    """Read a text on the cell; where it puts vectors together, also on the cell with matrices for both."""
    forms = [forward, *_with_gradients_as_rows(forward)]
    if not forward.own and concatenates(forward.backward):
        for other in concatenated(forward.cell):
            forms.append(replace(forward, cell=other.cell, sentences=(*forward.sentences, other.sentence)))
    best: tuple[float, Reading, Forward] | None = None
    failure: Error | None = None
    for form in forms:
        try:
            reading = _best_reading(formulas, form, probes(subject(form.cell)))
        except Error as error:
            failure = failure or error
            continue
        if best is None or _score(reading) > best[0]:
            best = _score(reading), reading, form
    if best is None:
        assert failure is not None
        raise failure
    return _with_numbers(formulas, *best[1:])


def _with_gradients_as_rows(forward: Forward) -> list[Forward]:
    """Return a text in which gradients are rows beside columns of values as one of columns alone: gᵀ hᵀ is g hᵀ."""

    def changed(tree: Tree) -> Tree:
        tree = rebuilt(tree, [changed(part) for part in tree.args]) if tree.args else tree
        if tree.head == "matmul" and all(side.head == "T" and not _holds_weight(side) for side in tree.args):
            return matmul(tree.args[0].args[0], tree.args[1])
        return tree

    lines = tuple(replace(line, value=changed(line.value)) for line in forward.backward)
    if lines == forward.backward or not any(map(_is_turned, forward.backward)):
        return []
    return [replace(forward, backward=lines, sentences=(*forward.sentences, "Gradients are rows, values columns."))]


def _with_numbers(formulas: Formulas, reading: Reading, forward: Forward) -> tuple[Reading, Forward]:
    """Take parameters for numbers where nobody declared them and more lines are right so: lam of lam * h.

    These are the ones whose gradients are numbers; else, in LaTeX, those that never stand beside a sign for products of
    entries, one alone or all.
    """
    told = {declaration.split(":")[0].strip() for declaration in formulas.declarations}
    numbers = []
    for group in reading.groups.values():
        meaning, value = reading.meanings[group.target], reading.total(group)
        if meaning.kind in ("share", "sum") and meaning.base not in told and value is not None and value.ndim == 1:
            numbers += [meaning.base] * (reading.answers.array(meaning).ndim > 1)
    if not forward.own:
        return reading, forward
    several = [numbers] if numbers else []
    if not numbers and _score(reading) < sum(len(group.lines) for group in reading.groups.values()):
        read = {found.base for line in forward.backward for found in names(line.value)}
        plain = [param for param in bare_params(formulas, forward.cell) if param in read]
        several = [*([param] for param in plain), *([plain] if len(plain) > 1 else [])]
    best = reading, forward
    for chosen in several:
        text = forward.cell.text
        for param in chosen:
            text, declared = re.subn(rf"(?m)^{param}: param\[.*\]$", f"{param}: param", text)
            if not declared:
                text = with_declarations(text, [f"{param}: param"])
        shown = ", ".join(map(formulas.spelled, chosen))
        said = f"{shown} {'are numbers' if len(chosen) > 1 else 'is a number'}."
        try:
            cell = parse(text, forward.cell.name)
            other = replace(forward, cell=cell, sentences=(*forward.sentences, *([] if numbers else [said])))
            again = _best_reading(formulas, other, probes(subject(cell)))
        except Error:
            continue
        best = (again, other) if _score(again) > _score(best[0]) else best
    return best


def _best_reading(formulas: Formulas, forward: Forward, batch: Probes) -> Reading:
    """Choose layout, and what the loss depends on, so that most lines come out right."""
    seeds = batch.subject.seeds
    layouts = [(False, False), (False, True)]
    if not forward.own and any(_is_turned(line) for line in forward.backward):
        layouts.insert(1, (True, True))
    best: tuple[float, Reading] | None = None
    failure: Error | None = None
    for turned, rows in layouts:
        try:
            reading = read_meanings(formulas, list(forward.backward), Answers(batch, seeds, turned), rows)
        except Error as error:
            failure = failure or error
            continue
        score = _score(reading)
        if best is None or score > best[0]:
            best = score, reading
        if score == len(forward.backward):
            break
    if best is None:
        assert failure is not None
        raise failure
    score, reading = best
    silent = set(seeds) - set(batch.subject.last)
    named = any(m.kind in ("loss", "incoming") and m.base in silent for m in reading.meanings.values())
    if score < len(forward.backward) and silent and not named:
        answers = Answers(batch, batch.subject.last, reading.answers.turned)
        other = read_meanings(formulas, list(forward.backward), answers, reading.rows)
        if _score(other) >= score:
            return other
    return reading


def _is_turned(line: Statement) -> bool:
    """Return whether a line has a product as with rows: v W, xᵀ δ, or outer(x, δ)."""
    for _, part in places(line.value):
        if part.head == "matmul" or (part.head == "call" and part.leaf in ("outer", "dot")):
            left, right = ({adjoint_of(n.base) is not None for n in names(side)} for side in part.args)
            weight = any(re.match(r"[A-Z]", n.base) for n in names(part.args[1]))
            swapped = True not in left and True in right and (part.args[0].head == "T" or part.leaf == "outer")
            if (swapped and not _holds_weight(part.args[0])) or (True in left and weight):
                return True
    return False


def _holds_weight(tree: Tree) -> bool:
    return any(re.match(r"[A-Z]", name.base) is not None for name in names(tree))


def _score(reading: Reading) -> float:
    return float(sum(len(group.lines) for group in reading.groups.values() if reading.holds(group)))


def _scaled_holds(reading: Reading, group: Group, scale: float) -> bool:
    if scale != 1 and reading.meanings[group.target].kind in ("share", "sum"):
        return True
    return reading.holds(group)


def _error(reading: Reading, group: Group, scale: float) -> float:
    meaning, value = reading.meanings[group.target], reading.total(group)
    if meaning == OWN or not _scaled_holds(reading, group, scale) or value is None or scale != 1:
        return 0.0
    right = reading.answers.array(meaning)
    return float(np.abs(value - right).max(initial=0) / max(float(np.abs(right).max(initial=0)), 1e-300))


def _lines(reading: Reading, scale: float) -> tuple[list[Line], list[Fault], dict[Name, Tree]]:
    """Return what is to be said of each line, the faults, and the mended right sides."""
    translator = Translator(reading)
    failing = [group for group in reading.groups.values() if not _scaled_holds(reading, group, scale)]
    wrong: dict[Statement, Fault] = {}
    trees: dict[Name, Tree] = {}
    for group in [group for group in failing if reading.meanings[group.target] == OWN]:
        failing.remove(group)
        wrong |= _unfit(reading, group)
    waiting = list(failing)
    while found := repair_auxiliary(reading, waiting, translator) if waiting else None:
        mended, readers = found
        wrong[mended.line] = _fault(reading, readers, mended, translator)
        waiting = [group for group in waiting if group not in readers]
    for group in waiting:
        mended = _repair(reading, group, translator)
        wrong[mended.line] = _fault(reading, [group], mended, translator)
        trees[group.target] = mended.edit.tree
    wrong = _overwritten(reading) | wrong
    lines, silent = [], {group.target for group in unread_groups(reading)}
    for group in reading.groups.values():
        if group.target in silent and not any(line in wrong for line in group.lines):
            continue
        meaning = reading.meanings[group.target]
        for line in group.lines:
            holds = line not in wrong
            why = reason(reading, group, translator) if holds and group not in failing and len(group.lines) == 1 else ""
            quantity = str(meaning) if meaning != OWN else "a value of their own"
            lines.append(Line(line.number, line.text, quantity, holds, why))
    return sorted(lines, key=lambda line: line.number), list(wrong.values()), trees


def _repair(reading: Reading, group: Group, translator: Translator) -> Repair:
    """Return a repair; where no single edit is one, by another meaning that the name may have."""
    first = repair(reading, group, translator)
    meant = reading.meanings[group.target]
    if first.edit.mends != "other":
        return first
    for option in reading.options[group.target]:
        if option != meant and option.kind == meant.kind == "total" and option not in reading.meanings.values():
            readers = [g for g in reading.touching({group.target}) if g is not group and reading.holds(g)]
            reading.assign({group.target: option})
            other = repair(reading, group, translator)
            if other.edit.mends != "other" and all(map(reading.holds, readers)):
                return other
            reading.assign({group.target: meant})
    return first


def _unfit(reading: Reading, group: Group) -> dict[Statement, Fault]:
    """Say of a line with a name of its own why it has no value; nothing where that is another line's fault."""
    for line in group.lines:
        try:
            reading.evaluator(line.value, line).plain(line.value)
        except Misfit as error:
            return {line: Fault(line.number, "shapes", f"The shapes don't fit: {error}.", line.text)}
        except (Missing, ArithmeticError):
            return {}
    first = group.lines[0]
    return {first: Fault(first.number, "shapes", "The lines that add to it have different shapes.", first.text)}


def _fault(reading: Reading, groups: list[Group], mended: Repair, translator: Translator) -> Fault:
    speller = speller_for(reading.formulas)
    group = next(g for g in reading.groups.values() if mended.line in g.lines)
    pool = pool_for(reading, group, translator)
    repaired = mended.edit.tree.key != Tree("number", (), None).key and _is_repair(mended)
    proof = shown(reading, groups, mended, pool) if repaired else ""
    text = speller.line(replace(mended.line, value=mended.edit.tree)) if repaired else ""
    meaning = reading.meanings[group.target]
    quantity = f"{meaning}: " if meaning != OWN else ""
    return Fault(
        mended.line.number,
        mended.edit.mends,
        f"{quantity}{mended.edit.said(speller.show)}.",
        mended.line.text,
        text,
        proof,
    )


def _is_repair(mended: Repair) -> bool:
    return not (mended.edit.mends == "other" and mended.edit.tree.head == "number")


def _unsummed(reading: Reading, group: Group, line: Statement, speller: FormulaSpeller) -> Fault:
    """Name a gradient of a parameter that is one step's share where others are sums over t."""
    text = speller.line(replace(line, value=Tree("sum_t", (line.value,))))
    message = f"{reading.meanings[group.target]}: the sum over t is missing, which the other gradients have."
    proof = "the value given is step t's share, and the gradient is the sum of all shares"
    return Fault(line.number, "sum missing", message, line.text, text, proof)


def _overwritten(reading: Reading) -> dict[Statement, Fault]:
    """Name gradients of parameters that are assigned where others are added up."""
    shares = [
        (g, line)
        for g in reading.groups.values()
        if reading.meanings[g.target].kind == "share"
        and not reading.in_passing(g)
        and not g.target.base.endswith("_loss")
        for line in g.lines
    ]
    adding = [line for _, line in shares if line.adds]
    summed = [m for m in (reading.meanings[target] for target in reading.groups) if m.kind == "sum"]
    speller = speller_for(reading.formulas)
    if not adding and len(summed) > len(shares):
        return {line: _unsummed(reading, group, line, speller) for group, line in shares}
    if len(adding) < len(shares) / 2 or not adding:
        return {}
    found = {}
    for group, line in shares:
        if line.adds or any(part.head == "sum_t" for _, part in places(line.value)) or line is not group.lines[0]:
            continue
        text = speller.line(replace(line, adds=True))
        message = f"{reading.meanings[group.target]}: '=' overwrites what other steps gave; their shares are added up."
        proof = "the value assigned is step t's share, and the gradient is the sum of all shares"
        found[line] = Fault(line.number, "overwritten", message, line.text, text, proof)
    return found
