"""A readout that a text has and the named cell hasn't: o = V h, told by how V and the gradient at o are used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...derive.cell import Cell, dimensions_of, parse
from ...derive.errors import Error
from .formulas import Formulas
from .forward import with_declarations
from .meanings import adjoint_of, is_adjoint
from .outputs import taken_as_given
from .printing import speller_for
from .tree import Name, names, places


def with_readout(formulas: Formulas, cell: Cell) -> tuple[Formulas, Cell] | None:
    """Return a text and a cell that has its readout as well; None where the text shows none.

    It is an unknown matrix beside the gradient by an unknown quantity, in a line of a state's gradient:
    dh = V.T @ do + dh_next. What gives `do` of targets is the loss's own, and taken as given.
    """
    for state, matrix, gradient in _products(formulas, cell):
        output, size = str(adjoint_of(gradient)), "k"
        while size in dimensions_of(cell) or size in cell.params:
            size += "k"
        bias = _bias(formulas, cell, gradient)
        # Where a text has names of its own for the cell's parameters, this one is found among them as they are.
        weight = matrix if _uses(formulas, cell, 2) else f"W_{output}"
        offset = bias if not bias or _uses(formulas, cell, 1) else f"b_{output}"
        declared = [f"{weight}: param[{size}, {cell.states[state][0]}]", *([f"{offset}: param[{size}]"] * bool(bias))]
        line = f"{output} = {weight} @ {state}" + f" + {offset}" * bool(bias)
        try:
            wider = parse(f"{with_declarations(cell.text, declared).rstrip()}\n{line}\n", cell.name)
        except Error:
            continue
        shown = speller_for(formulas).name
        product = f"{shown(Name(matrix))} {shown(Name(state))}" + f" + {shown(Name(bias))}" * bool(bias)
        note = f"{shown(Name(gradient))} is taken as the gradient at a readout, {product}, which {cell.name} hasn't"
        given = [one for one in formulas.statements if one.target.base == gradient]
        rest = tuple(one for one in formulas.statements if one not in given)
        held = tuple(filter(None, (weight, offset)))
        return replace(
            formulas, statements=rest, notes=(*formulas.notes, note, *map(taken_as_given, given)), held=held
        ), wider
    return None


def _products(formulas: Formulas, cell: Cell) -> Iterator[tuple[str, str, str]]:
    """Give (state, unknown matrix, gradient by an unknown quantity) of products in lines of states' gradients."""
    assigned = {line.target.base for line in formulas.statements}
    derived = {line.target.base for line in formulas.statements if any(map(is_adjoint, names(line.value)))}
    known = {str(symbol) for symbol in cell.shapes} | {str(equation.target) for equation in cell.equations}
    for line in formulas.statements:
        state = adjoint_of(line.target.base) or ""
        if len(cell.states.get(state, ())) != 1 or line.target.offset:
            continue
        for _, part in places(line.value):
            sides = part.args if part.head == "matmul" or formulas.loose and part.head == "mul" else ()
            leaves = [side.args[0].leaf if side.head == "T" else side.leaf for side in sides]
            bare = [leaf.base for leaf in leaves if isinstance(leaf, Name) and not leaf.offset]
            for matrix, gradient in (bare, bare[::-1]) if len(bare) == len(leaves) == 2 else ():
                of = adjoint_of(gradient) or ""
                fresh = not {matrix, of} & known and matrix not in assigned and gradient not in derived
                if fresh and matrix[:1].isupper() and adjoint_of(matrix) is None and of.isidentifier():
                    yield state, matrix, gradient


def _bias(formulas: Formulas, cell: Cell, gradient: str) -> str:
    """Return the parameter whose gradient is made of that at the readout alone; "" for none."""
    for line in formulas.statements:
        of = adjoint_of(line.target.base) or ""
        if set(names(line.value)) == {Name(gradient)} and of.isidentifier() and of not in {*cell.params, *cell.states}:
            return of
    return ""


def _uses(formulas: Formulas, cell: Cell, axes: int) -> bool:
    """Return whether a text has the cell's own names for parameters of so many axes."""
    spoken = {found.base for line in formulas.statements for found in (line.target, *names(line.value))}
    spoken |= {adjoint_of(base) or "" for base in spoken}
    return any(len(dims) == axes and param in spoken for param, dims in cell.params.items())
