"""`restate` for cells and for models: a derivation in the notation of its reader."""

from __future__ import annotations

from dataclasses import replace
from typing import overload

from sympy import Symbol

from .convention import Notation, Restated, in_layout
from .convention import restate as restate_cell
from .convention_layout import RowLayout
from .derivation import Derivation
from .errors import Error, expect
from .linear import Shape
from .model_derivation import ModelDerivation
from .model_text import WHOLE


@overload
def restate(derivation: Derivation, notation: Notation) -> Restated: ...
@overload
def restate(derivation: ModelDerivation, notation: Notation) -> ModelDerivation: ...
def restate(derivation: Derivation | ModelDerivation, notation: Notation) -> Restated | ModelDerivation:
    """Write a derivation in a notation.

    A model is written in columns or rows, and with any adjoint: its text says what else its quantities are called, and
    a cell that is stacked before it is called stays stacked.

    Raises:
        Error: as `convention.restate`, or for what the notation of a model can't choose.

    >>> from .model import load_model
    >>> from .model_derivation import derive
    >>> restate(derive(load_model("many_to_many")), Notation(layout="row")).gradients["W_hy"]
    Sum(outer(h(t), delta_u(t)), (t, 1, T))
    """
    expect("what is restated", derivation, Derivation, ModelDerivation)
    expect("the notation", notation, Notation)
    if isinstance(derivation, Derivation):
        return restate_cell(derivation, notation)
    if notation.layout == "batch" or notation.fuse or notation.names:
        raise Error(
            "of the notation of a model, the layout column or row and the adjoint can be chosen. "
            "Its text says what its quantities are called, and can call a cell whose gates are stacked"
        )
    written = in_rows(derivation) if notation.layout == "row" else derivation
    return replace(written, adjoint=notation.adjoint)


def in_rows(derivation: ModelDerivation) -> ModelDerivation:
    """Return the derivation of a model whose vectors are rows: W h becomes h W.

    Its equations are rewritten too, so that `prove` proves the rewritten programs from the rewritten equations.
    Sequences that are read whole keep one step a row.
    """
    model = derivation.model
    shapes: dict[Symbol, Shape] = dict(model.shapes)
    fixed = {symbol for part in derivation.parts for symbol in part.fixed}
    for part in derivation.parts:
        for program in (part.prologue, part.forward, part.backward, part.epilogue):
            shapes |= program.shapes
    whole = {name for block in model.blocks for name, wire in block.wires.items() if wire.part == WHOLE}
    programs = [program for part in derivation.parts for program in (part.prologue, part.forward)]
    layout = RowLayout(shapes, fixed, programs, whole | set(model.inputs))
    parts = tuple(in_layout(part, layout) for part in derivation.parts)
    blocks = tuple(replace(block, cell=part.cell) for block, part in zip(model.blocks, parts, strict=True))
    turned = {symbol: layout.shape(symbol) for symbol in model.shapes}
    params = {name: dimensions for part in parts for name, dimensions in part.cell.params.items()}
    params = {name: params.get(name, dimensions) for name, dimensions in model.params.items()}
    rows = replace(model, blocks=blocks, shapes=turned, params=params)
    return ModelDerivation(rows, parts, "row", turned=layout.turned)
