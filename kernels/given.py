"""What a caller gives to a kernel: checked, and sizes learned from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Symbol

from ..derive.cell import Cell, dimensions_of, previous
from ..derive.errors import Error, ShapeError, expect
from ..derive.interpret import size
from ..derive.linear import Shape, entry, part, shape_of
from ..derive.notation import spell
from ..derive.sizes import size_from
from ..derive.syntax import closest
from ..derive.written import renamed
from .room import check_copied

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Mapping[str, Any]


def check_sizes(cell: Cell, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the sizes of the cell's dimensions, or say which is missing, unknown or not a positive whole number.

    Raises:
        ShapeError: also where an index or slice in the cell's equations reaches past the end at these sizes.
    """
    expect("sizes, dimension -> size,", sizes, Mapping)
    wanted = dimensions_of(cell)
    if missing := [name for name in wanted if name not in sizes]:
        raise ShapeError(f"no size is given for dimension {', '.join(missing)}; this cell has {', '.join(wanted)}")
    if unknown := sorted(set(sizes) - set(wanted)):
        raise ShapeError(f"this cell has no dimension {', '.join(unknown)}; it has {', '.join(wanted) or 'none'}")
    for name, number in sizes.items():
        if not isinstance(number, int | np.integer) or number < 1:
            raise ShapeError(f"the size of dimension {name} must be a positive whole number, not {number!r}")
    checked = {name: int(sizes[name]) for name in wanted}
    _check_indices(cell, checked)
    return checked


def _check_indices(cell: Cell, sizes: Mapping[str, int]) -> None:
    """Refuse indices and slices that reach past the end: compiled code would read foreign memory there."""
    states = {previous(name): Symbol(name) for name in cell.states}
    for node in (node for line in cell.equations for node in sympy.preorder_traversal(line.written)):
        if isinstance(node, entry | part):
            length = size(shape_of(node.args[0], cell.shapes)[0], sizes)
            first, *rest = (size(bound, sizes) for bound in node.args[1:])
            last = rest[0] if rest else first + 1
            if not first < last <= length:
                at = ", ".join(f"{name} = {number}" for name, number in sizes.items())
                what, vector = spell(renamed(node, states)), spell(renamed(node.args[0], states))
                problem = "is empty" if last <= first else f"is past the end: {vector} has entries 0 to {length - 1}"
                raise ShapeError(f"with {at}, {what} {problem}")


def shapes_of(arrays: Any, dtype: np.dtype[Any]) -> tuple[tuple[str, tuple[int, ...]], ...] | None:
    """Return names and shapes of arrays that can be used as they are, or None where one can't.

    >>> shapes_of({"b": np.zeros(3)}, np.dtype("float64")), shapes_of({"b": [0.0]}, np.dtype("float64"))
    ((('b', (3,)),), None)
    """
    if type(arrays) is not dict:
        return None
    found = []
    for name, array in arrays.items():
        if type(array) is not np.ndarray or array.dtype is not dtype or not array.flags.carray:
            return None
        found.append((name, array.shape))
    return tuple(found)


def check_finite(kind: str, arrays: Mapping[str, Array]) -> None:
    """Refuse NaN and infinity, and say where.

    Raises:
        Error: then.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise Error(f"{kind} {name} holds {array[place]} at index {place}; it must be finite")


class Given:
    """Checks what a caller gives, and learns sizes from it."""

    def __init__(
        self,
        cell: Cell,
        dtype: np.dtype[Any],
        sizes: dict[str, int] | None = None,
        checked: dict[tuple[tuple[str, int], ...], dict[str, int]] | None = None,
        named: Mapping[str, Shape] | None = None,
    ) -> None:
        self.cell = cell
        self.named = {symbol.name: shape for symbol, shape in cell.shapes.items()} if named is None else named
        self.checked = {} if checked is None else checked
        self.dtype = dtype
        self.sizes = {} if sizes is None else sizes
        self.source: dict[str, str] = {}
        self.compound: list[tuple[str, Expr, int]] = []
        self.lead: tuple[int, ...] = ()
        known = "{0}= says" if sizes is None else "the run has {1} ="
        self.lead_source = {"T": known.format("steps", "T"), "B": known.format("batch", "B"), "K": "another has K ="}

    def as_numbers(self, inputs: Any) -> Any:
        """Return the inputs with indices in the kernel's dtype, in which they are kept."""
        if not isinstance(inputs, Mapping):
            return inputs
        numbers = dict(inputs)
        for name in self.cell.indices:
            if name in numbers:
                array = np.asarray(numbers[name])
                if array.dtype.kind not in "iu":
                    raise ShapeError(f"index {name} must hold whole numbers, this is {array.dtype}")
                check_copied(f"index {name}", array)
                numbers[name] = array.astype(self.dtype)
        return numbers

    def check_picks(self, inputs: Mapping[str, Array]) -> None:
        """Refuse an index outside of what it picks from: compiled code would read foreign memory there."""
        for name, entries in self.cell.indices.items():
            many = size(size_from(entries), self.sizes)
            array = inputs[name]
            if many > 1 / np.finfo(self.dtype).eps:
                raise Error(f"index {name} picks from {many} entries, too many to be counted in {self.dtype}")
            if array.size and (array.min() < 0 or array.max() >= many):
                wrong = array.min() if array.min() < 0 else array.max()
                raise Error(f"index {name} holds {int(wrong)}; it picks from {entries} = {many} entries, from 0 on")

    def complete(self) -> dict[str, int]:
        """Return all sizes, checked against every array that was taken."""
        key = tuple(self.sizes.items())
        sizes = self.checked.get(key) or self.checked.setdefault(key, check_sizes(self.cell, self.sizes))
        for what, whole, number in self.compound:
            if size(whole, sizes) != number:
                raise ShapeError(f"{what} has size {number} where the cell says {whole} = {size(whole, sizes)}")
        return sizes

    def take(
        self,
        kind: str,
        arrays: Any,
        known: Mapping[str, tuple[str, ...]],
        lead: tuple[int | None, ...],
        *,
        optional: bool = False,
        axes: str = "TB",
    ) -> dict[str, Array]:
        """Return contiguous arrays of the kernel's dtype, or say what is wrong with which one.

        Their leading sizes are `lead`, for the last of `axes`.
        """
        self.axes = axes[-len(lead) :] if lead else ""
        if not isinstance(arrays, Mapping):
            example = f"{{'{next(iter(known), 'name')}': array}}"
            raise ShapeError(f"give each {kind} by its name, as in {example}; here {type(arrays).__name__}")
        if unknown := [name for name in arrays if name not in known]:
            hint = closest(str(unknown[0]), known) if known else "It has none."
            raise ShapeError(f"the cell has no {kind} called {', '.join(map(repr, unknown))}. {hint}")
        if missing := [name for name in known if name not in arrays and not optional]:
            raise ShapeError(f"missing {kind} {', '.join(missing)}; the cell has {', '.join(known)}")
        taken = {}
        for name in known:
            if name in arrays:
                array, lead = self._checked(kind, name, arrays[name], lead, known[name])
                taken[name] = array
        if None in lead:
            raise ShapeError("a cell without inputs needs steps= and batch=")
        self.lead = tuple(int(number) for number in lead if number is not None)
        return taken

    def _checked(
        self, kind: str, name: str, value: Any, lead: tuple[int | None, ...], dims: tuple[str, ...]
    ) -> tuple[Array, tuple[int | None, ...]]:
        array = np.asarray(value)
        if array.dtype != self.dtype:
            hint = f"convert it with .astype('{self.dtype}')"
            raise ShapeError(f"{kind} {name} is {array.dtype}, this kernel computes in {self.dtype}: {hint}")
        shape = self.named[name]
        expected = (*self.axes, *dims)
        if array.ndim != len(expected):
            found = f"({', '.join(map(str, array.shape))})"
            raise ShapeError(f"{kind} {name} must have shape ({', '.join(expected)}), here {found}")
        found_lead = array.shape[: len(lead)]
        for axis, (given, wanted) in enumerate(zip(found_lead, lead, strict=True)):
            if wanted is None:
                self.lead_source[expected[axis]] = f"{kind} {name} has {expected[axis]} ="
            elif given != wanted:
                source = self.lead_source[expected[axis]]
                raise ShapeError(f"{kind} {name} has {expected[axis]} = {given}, but {source} {wanted}")
        for dimension, number in zip(shape, array.shape[len(lead) :], strict=True):
            self._learn(f"{kind} {name}", dimension, number)
        if not array.flags.carray:  # contiguous, aligned and writable: the one layout that code is compiled for
            check_copied(f"{kind} {name}", array)
            array = np.require(array, requirements=["C", "W", "A"])
        return array if array.dtype is self.dtype else array.view(self.dtype), found_lead

    def _learn(self, what: str, dimension: Expr, number: int) -> None:
        if isinstance(dimension, Symbol):
            name = dimension.name
            known = self.sizes.setdefault(name, number)
            if known != number:
                raise ShapeError(f"{what} has {name} = {number}, but {self.source.get(name, 'the run')} has {known}")
            self.source.setdefault(name, what)
        elif isinstance(dimension, sympy.Integer):
            if number != dimension:
                raise ShapeError(f"{what} has size {number} where the cell says {dimension}")
        else:
            self.compound.append((what, dimension, number))
