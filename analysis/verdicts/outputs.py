"""What a text reads and nothing gives: targets, in ∂L/∂o = ŷ - y or ŷ - y where it stands; the rate of learning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from .formulas import Formulas, Statement
from .meanings import adjoint_of
from .printing import speller_for
from .tree import Name, Tree, add, mul, name, names, neg, places, replaced
from .verdict import Fault

OF_ENTROPY = ("softmax", "sigmoid")  # ŷ - y is then the derivative at what they are applied to
RAISED = re.compile(r"(?i)maximi[sz]|(?<!negative )(?<!negative-)\blog[- ]likelihood|=[^-=−$]*\\log\b")
PROOF = "by differentiation: the derivative of -Σ y log ŷ by o is ŷ - y, for targets that sum to 1"


def without_targets(formulas: Formulas, line: Statement) -> list[Formulas]:
    """Return ways to read a text in which a line reads targets: with what the loss gives taken as given.

    Args:
        formulas: the text.
        line: which reads a name that means nothing.
    """
    if _is_of_loss(formulas, line):
        return [_taken(formulas, line)]
    for made, target in _differences(formulas, line):
        return [_at(formulas, made, target, output) for output in _outputs(formulas, made)]
    return []


def _is_of_loss(formulas: Formulas, line: Statement) -> bool:
    """Return whether a line gives the adjoint of an output from values of this step alone, and nothing else does."""
    assigned = [other.target.base for other in formulas.statements]
    read = names(line.value)
    outside = all(found.offset == 0 and adjoint_of(found.base) is None for found in read)
    made = {other.target.base: {n.base for n in (other.target, *names(other.value))} for other in formulas.statements}
    of = adjoint_of(line.target.base)
    given = of in made and any(of in made.get(found.base, ()) for found in read)
    return given and outside and assigned.count(line.target.base) == 1


def taken_as_given(line: Statement) -> str:
    """Say of a line that it isn't judged, since it follows from the loss."""
    return f"line {line.number} is the loss's own derivative, and taken as given: {line.text}"


def _taken(formulas: Formulas, line: Statement) -> Formulas:
    """Return a text without a line, and without the values that nothing but it reads: ŷ of ∂L/∂o = ŷ - y."""
    rest = tuple(other for other in formulas.statements if (other.number, other.text) != (line.number, line.text))
    note = taken_as_given(line)
    fault = _turned(formulas, line)
    unread = {found.base for found in names(line.value)} - _said(rest)
    return replace(
        formulas,
        statements=tuple(other for other in rest if other.target.base not in unread),
        notes=formulas.notes if fault else (*formulas.notes, note),
        faults=(*formulas.faults, fault) if fault else formulas.faults,
    )


def _turned(formulas: Formulas, line: Statement) -> Fault | None:
    """Return the fault of ∂L/∂o = y - ŷ where ŷ is the softmax or sigmoid of o, and L no likelihood to be raised."""
    pair, of = _difference(line.value), adjoint_of(line.target.base)
    given = next((other.value for other in formulas.statements if pair and other.target.base == pair[1]), None)
    if pair is None or given is None or given.leaf not in OF_ENTROPY or given.args[0].leaf != Name(str(of)):
        return None
    said = [formulas.source.text, *(note for note in formulas.notes if "what the loss is" in note)]
    if any(other.target.base == pair[0] for other in formulas.statements) or any(map(RAISED.search, said)):
        return None
    target, made = line.value.args[0], line.value.args[1].args[0]
    mended = speller_for(formulas).line(replace(line, value=add(made, neg(target))))
    message = f"∂L/∂{of}_t: the sign is wrong; of a cross-entropy, the derivative by what {given.leaf} takes is ŷ - y."
    return Fault(line.number, "sign", message, line.text, mended, PROOF)


def _said(statements: tuple[Statement, ...]) -> set[str]:
    """Return what statements read, or whose adjoint they speak of."""
    read = {found.base for line in statements for found in names(line.value)}
    return read | {str(adjoint_of(base)) for base in read | {line.target.base for line in statements}}


def _differences(formulas: Formulas, line: Statement) -> Iterator[tuple[str, str]]:
    """Give (ŷ, y) where a line reads ŷ - y, and no line gives y or reads it elsewhere."""
    made = {other.target.base for other in formulas.statements}
    for _, part in places(line.value):
        pair = _difference(part)
        if pair and pair[1] in made and pair[0] not in made:  # y - ŷ
            pair = pair[::-1]
        if pair and pair[0] in made and pair[1] not in made:
            every = (part for other in formulas.statements for _, part in places(other.value))
            inside = sum(_difference(part) in (pair, pair[::-1]) for part in every)
            reads = sum(found.base == pair[1] for other in formulas.statements for found in _every(other.value))
            if inside == reads:
                yield pair


def _difference(tree: Tree) -> tuple[str, str] | None:
    match tree:
        case Tree(head="add", args=(Tree(leaf=Name() as left), Tree(head="neg", args=(Tree(leaf=Name() as right),)))):
            same = left.offset == right.offset and adjoint_of(left.base) is adjoint_of(right.base) is None
            return (left.base, right.base) if same else None
    return None


def _every(tree: Tree) -> Iterator[Name]:
    yield from (part.leaf for _, part in places(tree) if isinstance(part.leaf, Name))


def _outputs(formulas: Formulas, made: str) -> list[str]:
    """Return at what ŷ - y may be the loss's derivative, likeliest first: "" stands for what ŷ's function is given."""
    value = next(line.value for line in formulas.statements if line.target.base == made)
    if value.head != "call" or value.leaf not in OF_ENTROPY:
        return [made]
    argument = value.args[0].leaf
    inner = argument.base if isinstance(argument, Name) else ""
    squared = any("what the loss is" in note and "log" not in note for note in formulas.notes)
    return [made, inner] if squared else [inner, made]


def _at(formulas: Formulas, made: str, target: str, output: str) -> Formulas:
    """Return a text in which ŷ - y is the name of a derivative that is given: at an output, or at ŷ's argument."""

    def changed(tree: Tree, base: str) -> Tree:
        for path, part in places(tree):
            if (pair := _difference(part)) in ((made, target), (target, made)):
                given = name(base, next(_every(part)).offset)
                return changed(replaced(tree, path, given if pair == (made, target) else neg(given)), base)
        return tree

    def all_changed(base: str) -> tuple[Statement, ...]:
        return tuple(replace(line, value=changed(line.value, base)) for line in formulas.statements)

    is_read = any(found.base == made for line in all_changed("") for found in names(line.value))
    inner = output or (f"u_{made}" if is_read else made)
    statements = all_changed(f"dL_d{inner}")
    if not output:
        statements = tuple(part for line in statements for part in _parts(line, made, inner))
    elif output != made and not is_read:
        statements = tuple(line for line in statements if line.target.base != made)
    called = {base: _plain(formulas.spelled(base)) for base in (made, target, output)}
    of = called[output] or f"what the function that gives {called[made]} takes"
    note = f"{called[made]} - {called[target]} is the loss's own derivative by {of}, and taken as given"
    return replace(
        formulas,
        statements=statements,
        notes=(*formulas.notes, note),
        spellings=(
            *formulas.spellings,
            (f"dL_d{inner}", f"({formulas.spelled(made)} - {formulas.spelled(target)})"),
        ),
        timed=(*formulas.timed, inner, f"dL_d{inner}"),
    )


def _parts(line: Statement, made: str, inner: str) -> list[Statement]:
    """Return a line, but instead of ŷ = softmax(V h) the line o = V h, and that ŷ is softmax(o) where o is another."""
    if line.target.base != made:
        return [line]
    argument = replace(line, target=Name(inner), value=line.value.args[0])
    function = replace(line, value=Tree("call", (name(inner),), line.value.leaf))
    return [argument] if inner == made else [argument, function]


def _plain(spelled: str) -> str:
    """Return a name without its time."""
    return re.sub(r"[_^]?\{?\(?<T>\)?\}?", "", spelled)


def without_rate(formulas: Formulas, rate: Name) -> Formulas | None:
    """Return a text without the rate of learning in its steps, ΔW = -η Σ_t δ_t h_{t-1}ᵀ; None where a name is none.

    The sign goes with it where all steps go downhill.
    """
    steps = [line for line in formulas.statements if rate in names(line.value)]
    downhill, shown = all(line.value.head == "neg" for line in steps), speller_for(formulas).name(rate)
    before = f"{'-' * downhill}{shown}" + (" " if formulas.kind == "latex" else " * ")
    made: dict[Statement, Statement] = {}
    for line in steps:
        negative = line.value.head == "neg"
        product = line.value.args[0] if negative else line.value
        factors = [factor for factor in product.args if factor.leaf != rate] if product.head == "mul" else []
        of, value = adjoint_of(line.target.base) or "", mul(*factors)
        if not factors or rate in names(value) or not re.match(r"[A-Z]|b(_|$)", of):
            return None
        made[line] = replace(line, value=neg(value) if negative and not downhill else value, before=before)
    note = f"{'-' * downhill}{shown} is taken as the rate of learning, and left out"
    statements = tuple(made.get(line, line) for line in formulas.statements)
    return replace(formulas, statements=statements, notes=(*formulas.notes, note))
