"""What all directions of a sample share in a step of tangents: the matrices of its gates become one for each state.

Four gates that scale products of one vector entry by entry, and of which two states are made, take four products for
each direction. With the rows of the matrices scaled and summed up before, there are two; of one state, one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy
from sympy import Expr, Symbol

from ..derive.cell import previous
from ..derive.linear import Node
from ..derive.notation import spell
from ..derive.program import quantities
from ..derive.tangent import tangent
from ..derive.written import added, multiplied
from .instructions import Dot, Loop
from .lines import free, indented
from .schedule import Schedule
from .writer import Writer

Form = Mapping[Symbol, Expr]  # what is summed up -> the vector by which it is multiplied, entry by entry


@dataclass(frozen=True)
class Fold:
    """A step of tangents as one product, and what is added to it entry by entry.

    Attributes:
        vector: the tangent that is multiplied.
        size: of it and of each state.
        rows: tangent of a state after the step -> matrices whose scaled rows carry the vector to it.
        direct: tangent of a state after the step -> tangents before it that are added, scaled.
    """

    vector: Symbol
    size: Expr
    rows: Mapping[Symbol, Form]
    direct: Mapping[Symbol, Form]

    @property
    def height(self) -> Expr:
        """Rows of the folded matrix."""
        return len(self.rows) * self.size


def fold(schedule: Schedule) -> Fold | None:
    """Return the tangents of a schedule as a fold, or None where they are none or nothing would be saved.

    >>> from ..derive import load, derive
    >>> from .schedule import schedule
    >>> found = fold(schedule(derive(load("lstm"))))
    >>> [len(matrices) for matrices in found.rows.values()], found.direct[Symbol("tangent_c")]
    ([4, 3], {tangent_c_prev: f})
    >>> print(fold(schedule(derive(load("rnn")))))
    None
    """
    names = list(schedule.derivation.cell.states)
    if len(schedule.tangent) != 2:
        return None
    dot, loop = schedule.tangent
    if not isinstance(dot, Dot) or not isinstance(loop, Loop) or len(names) >= len(dot.targets):
        return None
    if not all(isinstance(matrix, Symbol) for matrix in dot.matrices):
        return None
    before = [tangent(previous(name)) for name in names]
    forms: dict[Symbol, Form] = {symbol: {symbol: sympy.Integer(1)} for symbol in (*dot.targets, *before)}
    for statement in loop.statements:
        moved = [symbol for symbol in quantities(statement.expr) if symbol in forms]
        if any(symbol in quantities(node) for node in statement.expr.atoms(Node) for symbol in moved):
            return None
        terms = [(sympy.diff(statement.expr, symbol), forms[symbol]) for symbol in moved]
        terms += [(sympy.Integer(1), forms[statement.target])] if statement.accumulate else []
        forms[statement.target] = _combined(terms)
    products = {a: {matrix: dot.coefficient} for a, matrix in zip(dot.targets, dot.matrices, strict=True)}
    rows, direct = {}, {}
    for state in map(tangent, map(Symbol, names)):
        slopes = forms[state].items()
        rows[state] = _combined([(slope, products[a]) for a, slope in slopes if a in products])
        direct[state] = {a: slope for a, slope in slopes if a in before}
    return Fold(dot.vectors[0], loop.shape[0], rows, direct)


def _combined(terms: list[tuple[Expr, Form]]) -> Form:
    """Return the sum of forms, each times a factor."""
    found: dict[Symbol, Expr] = {}
    for factor, form in terms:
        for symbol, slope in form.items():
            term = multiplied(factor, slope)
            found[symbol] = added(found[symbol], term) if symbol in found else term
    return found


def write_fold(writer: Writer, folded: Fold) -> list[str]:
    """Write the folded matrix of one sample, and pack it."""
    size, height = writer.scalar.size(folded.size), writer.scalar.size(folded.height)
    slopes, blocks = [], []
    for state, form in folded.rows.items():
        start = "block = "
        for matrix, slope in form.items():
            name = _free_slope(writer)
            slopes.append(f"# {state} += {spell(slope)} * ({matrix} @ {folded.vector})")
            slopes.append(f"{name} = {writer.scalar.entry_of(slope, ('j',))}")
            blocks.append(f"{start}{name} * load({', '.join(writer.scalar.where(matrix, ('j', 'k')))}, left)")
            start = "block = block + "
        blocks.append(f"store(blocks, {_column(writer, state)}, k, left, {'block' if form else '0.0'})")
    across = [f"for k in range(0, {size}, LANES):", f"    left = {size} - k", *indented(blocks)]
    pack = f"pack_part(folded, {height}, {size}, 0, 0, blocks, {height}, {size}, 1, 0, 1)"
    return [f"for j in range({size}):", *indented([*slopes, *across]), pack]


def write_folded(writer: Writer, folded: Fold) -> list[str]:
    """Write the step of the directions from `moved` to `stop`."""
    size, height = writer.scalar.size(folded.size), writer.scalar.size(folded.height)
    start = writer.scalar.size(writer.schedule.places[folded.vector].start)
    lines = [
        "multiply_part(",
        f"    after, moved, 0, before, moved, {start}, folded,",
        f"    stop - moved, 1, 0, {height}, {size}, 1.0, 0, 0, 0, 1,",
        ")",
    ]
    slopes, adds = [], []
    for state, form in folded.direct.items():
        place = f"after, direction, {_column(writer, state)}, left"
        adds += [f"block = load({place})"] if form else []
        for before, slope in form.items():
            name = _free_slope(writer)
            slopes.append(f"# {state} += {spell(multiplied(slope, before))}")
            slopes.append(f"{name} = {writer.vector.entry_of(slope, ('j',))}")
            adds.append(f"block = block + {name} * load(before, direction, {_column(writer, before)}, left)")
        adds += [f"store({place}, block)"] if form else []
    if adds:
        adds = ["for direction in range(moved, stop):", *indented(adds)]
        lines += [f"for j in range(0, {size}, LANES):", f"    left = {size} - j", *indented([*slopes, *adds])]
    return lines


def _free_slope(writer: Writer) -> str:
    number = 1
    while f"slope{number}" in writer.taken:
        number += 1
    return free(f"slope{number}", writer.taken)


def _column(writer: Writer, symbol: Symbol) -> str:
    """Return the column of entry j of a tangent."""
    return writer.scalar.where(symbol, ("j",))[2]
