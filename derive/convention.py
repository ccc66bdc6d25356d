"""`Notation`: the conventions in which a derivation is written, and `restate`, which writes it in them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sympy
from sympy import Expr, Integer

from . import display
from .cell import Cell, Equation
from .convention_cell import Grid, fused, renamed_cell
from .convention_layout import LAYOUTS, BatchLayout, ColumnLayout, Layout, RowLayout
from .derivation import Derivation, derive
from .errors import Error, expect_path, unreadable
from .linear import concat, pad, shape_of
from .program import Program, Step
from .syntax import closest
from .written import dimension_names, operands

if TYPE_CHECKING:
    from .convention_check import Agreement
    from .proof import Proof

ADJOINTS = ("delta", "partial", "bar")


@dataclass(frozen=True)
class Notation:
    """The conventions of a page.

    Attributes:
        layout: 'column' (W h), 'row' (h W) or 'batch' (H Wᵀ, where each row is a sample).
        fuse: whether the matrices of gates are stacked into one that multiplies [h; x].
        gates: the order of the stacked gates; by default as they appear.
        names: old name -> new name; of a fused cell, its own names such as W and b.
        adjoint: how ∂L/∂h is written: 'delta' (δh), 'partial' (∂L/∂h) or 'bar' (h̄).

    Raises:
        Error: for a layout or an adjoint that isn't known, an order of gates without `fuse`, or entries of the wrong
            kind.

    >>> Notation(layout="row", names={"W_hh": "U"}).layout
    'row'
    """

    layout: str = "column"
    fuse: bool = False
    gates: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    adjoint: str = "delta"

    def __post_init__(self) -> None:
        for what, given, known in (("layout", self.layout, LAYOUTS), ("adjoint", self.adjoint, ADJOINTS)):
            if given not in known:
                raise Error(f"unknown {what} '{given}'. Known: {', '.join(known)}")
        if not isinstance(self.fuse, bool):
            raise Error(f"fuse is true or false, here {self.fuse!r}")
        listed = isinstance(self.gates, Sequence) and not isinstance(self.gates, str)
        if not listed or not all(isinstance(gate, str) for gate in self.gates):
            raise Error(f"gates are a list of names, here {self.gates!r}")
        if not isinstance(self.names, Mapping) or not all(isinstance(new, str) for new in self.names.values()):
            raise Error(f"names are a table from old names to new ones, here {self.names!r}")
        object.__setattr__(self, "gates", tuple(self.gates))
        if self.gates and not self.fuse:
            raise Error("an order of gates is given, but they aren't stacked: set fuse too (--fuse)")

    @property
    def is_plain(self) -> bool:
        """Whether this is the notation of a derivation as `derive` gives it."""
        return self == Notation()


def read_notation(path: str | os.PathLike[str]) -> Notation:
    """Read a notation from a TOML file with the keys layout, fuse, gates, names and adjoint.

    Raises:
        Error: for a file that can't be read, that isn't TOML, or that has another key or value.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
    ...     _ = file.write('layout = "row"\\n[names]\\nW_hh = "U"\\n'), file.flush()
    ...     read_notation(file.name).names
    {'W_hh': 'U'}
    """
    expect_path("the path of a notation", path)
    source = Path(path)
    try:
        found: dict[str, Any] = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(source, error, "Give a TOML file that is there, or the choices as options.") from None
    except ValueError as error:
        raise Error(f"{source}: not a TOML file: {error}") from None
    known = list(Notation.__dataclass_fields__)
    for key in found:
        if key not in known:
            raise Error(f"{source}: unknown key '{key}'. {closest(key, known)}")
    try:
        return Notation(**found)
    except Error as error:
        raise Error(f"{source}: {error}") from None


@dataclass(frozen=True)
class Restated:
    """A derivation written in a notation.

    Attributes:
        notation: which one.
        given: the derivation of the cell as its author wrote it, in columns.
        column: the derivation of the fused and renamed cell, in columns.
        derivation: the same in the notation's layout: its programs, recursion and gradients are what is printed. Its
            Jacobians and products over time aren't made; `layout.matrix` gives them from those of `column`.
        layout: rewrites further expressions, and says what shape each symbol has.
        blocks: stacked parameter -> the blocks that it consists of, by their names in the cell as given.
    """

    notation: Notation
    given: Derivation
    column: Derivation
    derivation: Derivation
    layout: Layout = field(repr=False)
    blocks: Mapping[str, Grid]

    _repr_html_ = display.html
    _repr_latex_ = display.latex

    def prove(self, progress: Callable[[str], None] = lambda name: None) -> Proof:
        """Prove every gradient in this notation against `sympy.diff` on the loss that its own equations expand to.

        For a batch one sample's derivation is proved, in its columns. Samples don't act on each other, so that with
        `agreement`, which compares a batch with the sum over its samples, the batch is proved.
        """
        derivation = self.column if isinstance(self.layout, BatchLayout) else self.derivation
        return derivation.prove(progress)

    @cached_property
    def agreement(self) -> Agreement:
        """Whether every equation has the value that it has in the derivation as given; see `convention_check`."""
        from .convention_check import agreement

        return agreement(self)


def restate(derivation: Derivation, notation: Notation) -> Restated:
    """Write a derivation in a notation.

    Raises:
        Error: for a cell that can't be fused, an order that isn't one of its gates, names that aren't the cell's or
            clash, or what a layout can't express, such as a batch of matrix states.

    >>> from .cell import load
    >>> batch = restate(derive(load("rnn")), Notation(layout="batch", names={"W_hh": "U"}))
    >>> print(batch.derivation.forward)
    a_h = h_prev @ U.T + x @ W_xh.T + b_h
    h = tanh(a_h)
    >>> batch.derivation.shares["U"], batch.derivation.shares["b_h"]
    (product(transpose(delta_a_h), h_prev), product(transpose(delta_a_h), ones(B)))
    >>> batch.agreement.holds
    True
    """
    cell, blocks = derivation.cell, {}
    if notation.fuse:
        stacked = fused(cell, notation.gates)
        cell, blocks = stacked.cell, dict(stacked.blocks)
    if notation.names:
        cell = renamed_cell(cell, notation.names)
        blocks = {notation.names.get(name, name): grid for name, grid in blocks.items()}
    outputs, losses = ([notation.names.get(n, n) for n in names] for names in (derivation.outputs, derivation.losses))
    column = derivation if cell is derivation.cell else _gathered(derive(cell, outputs, losses))
    if notation.adjoint == "bar":
        _check_bars(cell)
    layout = layout_of(column, notation.layout)
    return Restated(notation, derivation, column, in_layout(column, layout), layout, blocks)


def layout_of(derivation: Derivation, name: str) -> Layout:
    """Return what rewrites the programs of a derivation into a layout."""
    programs = (derivation.prologue, derivation.forward, derivation.backward, derivation.epilogue)
    shapes = {symbol: shape for program in programs for symbol, shape in program.shapes.items()}
    if name == "row":
        return RowLayout(shapes, derivation.fixed, (derivation.prologue, derivation.forward))
    return (BatchLayout if name == "batch" else ColumnLayout)(shapes, derivation.fixed)


def in_layout(derivation: Derivation, layout: Layout) -> Derivation:
    """Return a derivation with its equations and programs rewritten; see `Restated` for what it is good for."""
    cell = derivation.cell
    shapes = {symbol: layout.shape(symbol) for symbol in cell.shapes}
    dims = {symbol.name: dimension_names(shape) for symbol, shape in shapes.items()}
    written = replace(
        cell,
        inputs={name: dims[name] for name in cell.inputs},
        states={name: dims[name] for name in cell.states},
        params={name: dims[name] for name in cell.params},
        equations=tuple(Equation(e.target, layout.assigned(e.target, e.written)) for e in cell.equations),
        shapes=shapes,
    )
    programs = (derivation.prologue, derivation.forward, derivation.backward, derivation.epilogue)
    prologue, forward, backward, epilogue = map(layout.program, programs)
    return replace(derivation, cell=written, prologue=prologue, forward=forward, backward=backward, epilogue=epilogue)


def _check_bars(cell: Cell) -> None:
    for symbol in cell.shapes:
        if "bar" in symbol.name.split("_")[1:]:
            raise Error(
                f"'{symbol}' is typeset with a bar, and adjoint = 'bar' keeps bars for adjoints. "
                "Rename it, or choose the adjoint delta or partial"
            )


def _gathered(derivation: Derivation) -> Derivation:
    """Write a sum of pieces that go back among zeros as one stack, where the pieces fill it."""
    return replace(derivation, backward=_with_stacks(derivation.backward))


def _with_stacks(program: Program) -> Program:
    return replace(program, steps=tuple(_with_stack(step, program) for step in program.steps)).check()


def _with_stack(step: Step, program: Program) -> Step:
    terms = operands(sympy.Add, step.expr)
    if len(terms) < 2 or len(terms) != len(step.reasons) or not all(isinstance(term, pad) for term in terms):
        return step
    ordered = _in_order([(term, reason) for term, reason in zip(terms, step.reasons, strict=True)], program)
    if not ordered:
        return step
    return Step(step.target, concat(*(term.args[0] for term, _ in ordered)), tuple(reason for _, reason in ordered))


def _in_order(terms: Iterable[tuple[Expr, Any]], program: Program) -> list[tuple[Expr, Any]]:
    """Return the terms in the order of their places, if together they fill the whole without overlap; else nothing."""
    left = {term.args[1]: (term, reason) for term, reason in terms}
    ordered: list[tuple[Expr, Any]] = []
    place: Expr = Integer(0)
    while place in left:
        ordered.append(left.pop(place))
        place = sympy.expand(place + shape_of(ordered[-1][0].args[0], program.shapes)[0])
    return ordered if not left and ordered and place == sympy.expand(ordered[0][0].args[2]) else []
