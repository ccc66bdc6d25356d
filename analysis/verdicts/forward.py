"""The forward pass that a backward pass belongs to: their own equations, or those of a cell that was named."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

from ...derive.cell import Cell, load, parse, zoo
from ...derive.errors import Error
from ...derive.program import forward_program
from .arithmetic import Evaluator, Misfit, Missing
from .catalogue import Pool, edits
from .formulas import Formulas, Statement, tree_from
from .meanings import Answers, Meaning, adjoint_of, is_adjoint
from .printing import speller_for
from .probes import LOSSES, STEPS, probes, subject
from .reading import agree
from .tree import Name, Tree, call, closure, mapped, mul, name, names, number, places, rebuilt, spell

NO_CELL = (
    "Which cell is this the backward pass of? Put its equations before it, as in 'h = tanh(W @ x + U @ h_prev + b)', "
    "or name it with --cell."
)
MOST_UNTOLD = 12
KEPT = "_before"  # of a state that is read at t-1 after its value at t was assigned


@dataclass(frozen=True)
class Forward:
    """What is known of the forward pass.

    Attributes:
        cell: on which the backward pass is judged.
        backward: the statements that are left.
        own: whether the cell was read from the text.
        sentences: what is to be said of it.
    """

    cell: Cell
    backward: tuple[Statement, ...]
    own: bool
    sentences: tuple[str, ...] = ()


def read_forward(formulas: Formulas, cell: Cell | None) -> Forward:
    """Split off the forward pass.

    Raises:
        Error: where there is none, and no cell was named.
    """
    states, theirs = _states(formulas, cell), _states(formulas, None)
    spoken_of = {adjoint_of(n.base) for line in formulas.statements for n in (line.target, *names(line.value))}
    if formulas.kind == "latex" or _is_explained_below(formulas, theirs):
        formulas = replace(formulas, statements=_ordered(formulas.statements, theirs, spoken_of))
    named = cell
    if cell is not None and not formulas.declarations and not theirs <= {Name(state) for state in cell.states}:
        states, named = theirs, None  # the text has a cell of its own, with other states
    last = max((i for i, line in enumerate(formulas.statements) if line.target in states and not line.adds), default=-1)
    if last < 0:
        if cell is None:
            raise Error(f"{formulas.source.name}: {NO_CELL}")
        plain = [line for line in formulas.statements if not _is_forward(line, cell)]
        return Forward(cell, tuple(plain), False)
    spoken = {n.base for line in formulas.statements[: last + 1] for n in (line.target, *names(line.value))}
    while last + 1 < len(formulas.statements) and (
        _is_readout(line := formulas.statements[last + 1], spoken_of) or _has_weight(line, spoken)
    ):
        last += 1
    ahead, backward = formulas.statements[: last + 1], formulas.statements[last + 1 :]
    if formulas.kind == "latex":
        ahead = tuple(replace(line, value=_plain_products(line.value, formulas)) for line in ahead)
    if named is not None and not formulas.declarations:
        text = _text(
            [f"{n}: {k}[{', '.join(d)}]" if d else f"{n}: {k}" for k, t in _kinds(named) for n, d in t.items()],
            ahead,
            formulas,
        )
        own = _parsed(text, formulas.source.name)
    else:
        own = _sized(list(formulas.declarations) or _declared(formulas, ahead, states), ahead, formulas)
    known, sentences = _compared(own, cell)
    given = [speller_for(formulas).name(Name(base)) for base in own.inputs]
    if len(given) > 1 and not formulas.declarations:
        sentences = (*sentences, f"{', '.join(given[:-1])} and {given[-1]} have no equation: they are taken as inputs.")
    return Forward(known, backward, True, sentences)


def at_the_next(backward: Sequence[Statement], cell: Cell) -> tuple[tuple[Statement, ...], tuple[str, ...]]:
    """Read `c_next` as what holds after this step, where a text has only states before and after: `dc_prev`, `dc_next`.

    Returns:
        The statements, and the names that are meant so.
    """
    every = [name for line in backward for name in (line.target, *names(line.value))]
    of_states = [found for found in every if {found.base, adjoint_of(found.base)} & set(cell.states)]
    values = {found for found in of_states if found.base in cell.states}
    ahead = {found.base for found in of_states if found.offset == 1}
    others = any(found.offset == 1 for found in every if found.base not in ahead)
    if others or not any(found.offset == 1 for found in values) or any(found.offset == 0 for found in of_states):
        return tuple(backward), ()

    def now(found: Name) -> Name:
        return found._replace(offset=0) if found.offset == 1 else found

    made = (
        replace(line, target=now(line.target), value=mapped(line.value, lambda found: Tree("name", (), now(found))))
        for line in backward
    )
    return tuple(made), tuple(sorted(ahead))


def running(formulas: Formulas, backward: Sequence[Statement]) -> tuple[tuple[Statement, ...], tuple[str, ...]]:
    """Read variables that go from step to step as what holds after this step and before it.

    Such a one has no time, is read, and assigned further down, of what was made of it: `dh = dh_out + carry`,
    `carry = W.T @ da`.

    Returns:
        The statements, in which it is read at t+1 and assigned at t-1, and the variables' names.
    """
    lines = [line for line in backward if line.adds or line.value != number(0) or _read_by(line.target, backward) == []]
    found = []
    for place, line in enumerate(lines):
        others = [other for other in lines if other.target == line.target and other is not line]
        readers = _read_by(line.target, lines)
        timed = line.target.base in formulas.timed or re.search(rf"\b{line.target.base}(?:\[t\]|_t\b)", line.text)
        if timed or line.target.offset or line.adds or others or not readers or lines.index(readers[-1]) >= place:
            continue
        if not _made_of(line, lines[:place]).isdisjoint(readers):
            found.append(line.target)

    def later(name: Name) -> Tree | None:
        return Tree("name", (), name._replace(offset=1)) if name in found else None

    made = (replace(line, value=mapped(line.value, later)) for line in (lines if found else backward))
    earlier = (replace(line, target=line.target._replace(offset=-1)) if line.target in found else line for line in made)
    return tuple(earlier), tuple(name.base for name in found)


def _made_of(line: Statement, above: Sequence[Statement]) -> set[Statement]:
    """Return the lines above that a line reads, directly or through others, and itself."""
    return closure([line], lambda one: [other for other in above if other.target in names(one.value)])


def _read_by(name: Name, lines: Sequence[Statement]) -> list[Statement]:
    return [line for line in lines if name in names(line.value)]


def _is_readout(line: Statement, spoken: set[str | None]) -> bool:
    """Return whether a line after the states is part of the forward pass: a loss, or what has an adjoint."""
    if any(found.offset == -1 for found in names(line.value)):
        return False
    return line.target.base in spoken or (line.value.head == "call" and line.value.leaf in LOSSES)


def _has_weight(line: Statement, known: set[str]) -> bool:
    """Return whether a line multiplies values, no adjoints, by a matrix that isn't known yet, as a readout does."""
    every = (line.target, *names(line.value))
    if line.adds or any(found.offset or adjoint_of(found.base) is not None for found in every):
        return False
    sides = [side.leaf for _, part in places(line.value) if part.head == "matmul" for side in part.args]
    new = [side for side in sides if isinstance(side, Name) and side.base not in known and side.base[:1].isupper()]
    return len(new) == 1 and bool({found.base for found in names(line.value)} & known)


def _is_explained_below(formulas: Formulas, states: set[Name]) -> bool:
    """Return whether a state is made of what a later line gives, of no adjoint: h = tanh(z), z = W @ h_prev."""
    places = {line.target: place for place, line in reversed([*enumerate(formulas.statements)])}
    for state in states & places.keys():
        line = formulas.statements[places[state]]
        below = [name for name in names(line.value) if places.get(name, -1) > places[state] and not is_adjoint(name)]
        if any(not any(map(is_adjoint, names(formulas.statements[places[name]].value))) for name in below):
            return True
    return False


def _ordered(
    lines: tuple[Statement, ...], states: Collection[Name], spoken_of: set[str | None]
) -> tuple[Statement, ...]:
    """Return lines of mathematics so that values come before what reads them, and what the states are made of first.

    They stay as they are where that can't be.
    """
    times = Counter(line.target for line in lines)
    alone = {line.target: line for line in lines if times[line.target] == 1}
    readouts = [one for one, line in alone.items() if not is_adjoint(one) and _is_readout(line, spoken_of)]
    needed = closure(
        [*states, *readouts],
        lambda one: [name for name in names(alone[one].value) if name in alone] if one in alone else [],
    )
    values = {target: line for target, line in alone.items() if target in needed or not is_adjoint(target)}
    made: list[Statement] = []
    left = list(lines)
    while left:
        waiting = {target for target, line in values.items() if line in left}
        ready = [line for line in left if not {*names(line.value)} & waiting - {line.target}]
        if not ready:
            return lines
        chosen = min(ready, key=lambda line: line.target not in needed)
        made.append(chosen)
        left.remove(chosen)
    return tuple(made)


def _sized(declarations: list[str], ahead: Sequence[Statement], formulas: Formulas) -> Cell:
    """Read a cell; where the sizes of its inputs don't fit and nobody declared them, with inputs as long as a state."""
    failure: Error | None = None
    inputs = [] if formulas.declarations else [d for d in declarations if ": input" in d]
    for count in range(len(inputs) + 1):
        for chosen in itertools.combinations(reversed(inputs), count):
            made = [f"{d.partition(':')[0]}: input[n]" if d in chosen else d for d in declarations]
            try:
                return _parsed(_text(made, ahead, formulas), formulas.source.name)
            except Error as error:
                failure = failure or error
    assert failure is not None
    raise failure


def with_declarations(text: str, lines: Sequence[str]) -> str:
    """Return a cell's text with declarations before its own."""
    return re.sub(r"(?m)^(?=\w+: (?:input|state|param)\b)", "\n".join([*lines, ""]), text, count=1)


def _parsed(text: str, name: str) -> Cell:
    """Read a cell; a parameter whose shape nothing tells is a matrix, a vector or a number, in that order."""
    again = text
    for count in range(MOST_UNTOLD):
        try:
            return parse(again, name)
        except Error as error:
            found = re.search(r"the shape of '(\w+)' is ambiguous", str(error))
            if found is None or count == MOST_UNTOLD - 1:
                raise Error(f"{name}: its forward pass can't be read as a cell. {error}") from None
            kinds = [
                f"param[{one}]" for one in (f"k{count or ''}, n", f"n, k{count or ''}", f"k{count or ''}", "n")
            ] + ["param"]
            fitting = (f"{found[1]}: {kind}\n{again}" for kind in kinds)
            again = next((one for one in fitting if _fits(one, name, found[1])), f"{found[1]}: param\n{again}")
    raise AssertionError


def _fits(text: str, name: str, param: str) -> bool:
    try:
        parse(text, name)
    except Error as error:
        return "ambiguous" in str(error) and f"'{param}'" not in str(error)
    return True


def _kinds(cell: Cell) -> list[tuple[str, dict[str, tuple[str, ...]]]]:
    return [("input", dict(cell.inputs)), ("state", dict(cell.states)), ("param", dict(cell.params))]


def _is_forward(line: Statement, cell: Cell) -> bool:
    """Return whether a line repeats a value of the cell."""
    return line.target.offset == 0 and any(line.target.base == str(e.target) for e in cell.equations)


def _states(formulas: Formulas, cell: Cell | None) -> set[Name]:
    declared = {d.split(":")[0].strip() for d in formulas.declarations if d.split(":")[1].strip().startswith("state")}
    if declared:
        return {Name(state) for state in declared}
    if cell is not None:
        return {Name(state) for state in cell.states}
    targets = {line.target for line in formulas.statements if not line.adds}
    before = {n.base for line in formulas.statements for n in names(line.value) if n.offset == -1}
    back = {line.target.base for line in formulas.statements if Name(line.target.base, 1) in names(line.value)}
    return {t for t in targets if t.offset == 0 and t.base in before - back and adjoint_of(t.base) is None}


def _declared(formulas: Formulas, ahead: Sequence[Statement], states: set[Name]) -> list[str]:
    """Return declarations for a text without any: states as found, inputs by their time or by an x."""
    assigned = {line.target.base for line in ahead}
    read = list(dict.fromkeys(n.base for line in ahead for n in names(line.value)))
    timed = set(formulas.timed) or {base for base in read if base.startswith("x")}
    inputs = [base for base in read if base not in assigned and base in timed]
    lines = [f"{base}: input[{'m' if i == 0 else f'm_{i}'}]" for i, base in enumerate(inputs)]
    ordered = {line.target.base: line for line in ahead if line.target in states}
    square = {base for base, line in ordered.items() if any(part.leaf == "outer" for _, part in places(line.value))}
    return lines + [f"{base}: state[{'n, n' if base in square else 'n'}]" for base in ordered]


def _text(declarations: list[str], ahead: Sequence[Statement], formulas: Formulas) -> str:
    """Return the text of a cell: `h_prev` is `h` before the line that assigns it, and kept where it is read after."""
    states = {d.split(":")[0] for d in declarations if ": state" in d}
    assigned = [line.target.base for line in ahead]
    kept: dict[str, str] = {}
    lines = []
    for place, line in enumerate(ahead):
        before = [n for n in names(line.value) if n.offset == -1 and n.base in states]
        late = {n.base for n in before if n.base in assigned[:place]}
        kept |= {base: f"{base}{KEPT}" for base in sorted(late)}
        plain = {n: kept[n.base] if n.base in late else n.base for n in before}
        lines.append(f"{line.target.base} = {spell(_renamed(line, plain))}")
    return "\n".join([*declarations, *(f"{copy} = {base}" for base, copy in kept.items()), *lines])


def _renamed(line: Statement, plain: dict[Name, str]) -> Tree:
    return mapped(line.value, lambda n: name(plain[n]) if n in plain else None)


def _plain_products(value: Tree, formulas: Formulas) -> Tree:
    """Return a value with products in the notation of cells: h h^T is outer(h, h), and λ A is λ * A.

    Vectors have a time and a small letter, numbers are Greek, with no mark of a time.
    """
    args = [_plain_products(part, formulas) for part in value.args]
    if value.head != "matmul":
        return rebuilt(value, args) if args else value
    left, right = args
    if isinstance(left.leaf, Name) and re.fullmatch(r"\\[a-z]+", formulas.spelled(left.leaf.base)):
        return mul(left, right)
    if right.head == "T" and all(_is_vector(side, formulas.timed) for side in (left, *right.args)):
        return call("outer", left, *right.args)
    return rebuilt(value, args)


def _is_vector(tree: Tree, timed: Collection[str]) -> bool:
    if isinstance(tree.leaf, Name):
        return tree.leaf.base in timed and tree.leaf.base[:1].islower()
    return tree.head in ("mul", "add", "neg") and any(_is_vector(part, timed) for part in tree.args)


@cache
def _zoo() -> tuple[Cell, ...]:
    return tuple(load(name) for name in zoo())


def _compared(own: Cell, cell: Cell | None) -> tuple[Cell, tuple[str, ...]]:
    """Return the cell to judge on, and how it differs from the one that was named or is nearest."""
    if cell is not None and set(cell.states) != set(own.states):
        return own, (f"The forward pass isn't that of {cell.name}: its states are {', '.join(own.states)}.",)
    near = (
        [cell]
        if cell is not None
        else [z for z in _zoo() if dict(z.states) == dict(own.states) and set(z.params) == set(own.params)]
    )
    compared = [(other, differences(own, other)) for other in near]
    if same := next((other for other, different in compared if not different), None):
        return _called(own, same.name), (f"The forward pass is that of {same.name}.",)
    for other, different in compared:
        if cell is not None or len(different) < len(own.equations):
            said = "; ".join(different)
            return own, (f"The forward pass isn't that of {other.name}: {said}. It is judged on its own.",)
    return own, ("The forward pass is taken as it stands in the file.",)


def _called(own: Cell, name: str) -> Cell:
    return replace(own, name=name)


def differences(own: Cell, other: Cell) -> list[str]:
    """Return in which equations a cell differs from another one that has the same names."""
    if set(own.params) != set(other.params) or dict(own.inputs).keys() != dict(other.inputs).keys():
        left = sorted(set(own.params) ^ set(other.params))
        return [f"it has other parameters ({', '.join(left)})"]
    of = subject(other)
    answers = Answers(probes(of), of.seeds, False)
    first = answers.records[0].forward
    values = {
        Name(b, o): answers.array(Meaning("value", b, o)) for b in first if not b.endswith("_prev") for o in (0, -1)
    }
    known = {Name(b): v for (b, o), v in values.items() if o == 0} | values
    pool = Pool({n: (Meaning("value", *n), v.ndim - 1) for n, v in known.items()}, (), (), ())
    found = []
    for step in forward_program(own).steps:
        tree = tree_from(step.expr)
        right = known.get(Name(step.target.name))
        evaluator = Evaluator(known, of.sizes, STEPS)
        if right is None:
            with suppress(Misfit, Missing):
                known[Name(step.target.name)] = evaluator.plain(tree)
            continue
        with suppress(Misfit, Missing):
            if agree(evaluator.plain(tree), right):
                continue
        reason = f"{step.target} = {spell(tree)}"
        for edit in edits(tree, pool):
            try:
                if agree(evaluator.plain(edit.tree), right):
                    reason += f", there {spell(edit.tree)}"
                    break
            except (Misfit, Missing):
                continue
        found.append(reason)
    return found
