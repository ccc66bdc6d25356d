"""What a caller gives to a kernel: checked, and sizes learned from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Symbol

from ..derive.cell import Cell
from ..derive.errors import Error, ShapeError
from ..derive.interpret import size

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Mapping[str, Any]


def check_sizes(cell: Cell, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the sizes of the cell's dimensions, or say which is missing, unknown or not a positive whole number."""
    wanted = sorted({s.name for shape in cell.shapes.values() for part in shape for s in part.atoms(Symbol)})
    if missing := [name for name in wanted if name not in sizes]:
        raise ShapeError(f"no size is given for dimension {', '.join(missing)}; this cell has {', '.join(wanted)}")
    if unknown := sorted(set(sizes) - set(wanted)):
        raise ShapeError(f"this cell has no dimension {', '.join(unknown)}; it has {', '.join(wanted) or 'none'}")
    for name, number in sizes.items():
        if not isinstance(number, int | np.integer) or number < 1:
            raise ShapeError(f"the size of dimension {name} must be a positive whole number, not {number!r}")
    return {name: int(sizes[name]) for name in wanted}


class Given:
    """Checks what a caller gives, and learns sizes from it."""

    def __init__(self, cell: Cell, dtype: np.dtype[Any], sizes: dict[str, int] | None = None) -> None:
        self.cell = cell
        self.dtype = dtype
        self.sizes = sizes or {}
        self.source: dict[str, str] = {}
        self.lead: tuple[int, ...] = ()

    def take(
        self,
        kind: str,
        arrays: Arrays,
        known: Mapping[str, tuple[str, ...]],
        lead: tuple[int | None, ...],
        *,
        finite: bool = False,
        optional: bool = False,
    ) -> dict[str, Array]:
        """Return contiguous arrays of the kernel's dtype, or say what is wrong with which one."""
        if unknown := sorted(set(arrays) - set(known)):
            raise ShapeError(f"the cell has no {kind} called {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
        if missing := [name for name in known if name not in arrays and not optional]:
            raise ShapeError(f"missing {kind} {', '.join(missing)}; the cell has {', '.join(known)}")
        taken = {}
        for name in known:
            if name in arrays:
                array, lead = self._checked(kind, name, arrays[name], lead)
                if finite and not np.isfinite(array).all():
                    place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
                    raise Error(f"{kind} {name} holds {array[place]} at index {place}; it must be finite")
                taken[name] = array
        if None in lead:
            raise ShapeError("a cell without inputs needs steps= and batch=")
        self.lead = tuple(int(number) for number in lead if number is not None)
        return taken

    def _checked(
        self, kind: str, name: str, value: Any, lead: tuple[int | None, ...]
    ) -> tuple[Array, tuple[int | None, ...]]:
        array = np.asarray(value)
        if array.dtype != self.dtype:
            hint = f"convert it with .astype('{self.dtype}')"
            raise ShapeError(f"{kind} {name} is {array.dtype}, this kernel computes in {self.dtype}: {hint}")
        shape = self.cell.shapes[Symbol(name)]
        expected = (*("TB"[-len(lead) :] if lead else ""), *map(str, shape))
        if array.ndim != len(expected):
            found = f"({', '.join(map(str, array.shape))})"
            raise ShapeError(f"{kind} {name} must have shape ({', '.join(expected)}), here {found}")
        found_lead = array.shape[: len(lead)]
        for axis, (given, wanted) in enumerate(zip(found_lead, lead, strict=True)):
            if wanted is not None and given != wanted:
                raise ShapeError(f"{kind} {name} has {expected[axis]} = {given}, elsewhere it is {wanted}")
        for part, number in zip(shape, array.shape[len(lead) :], strict=True):
            self._learn(f"{kind} {name}", part, number)
        return np.require(array, requirements=["C", "W"]), found_lead

    def _learn(self, what: str, part: Expr, number: int) -> None:
        if isinstance(part, Symbol):
            known = self.sizes.setdefault(part.name, number)
            if known != number:
                where = self.source.get(part.name, "the run")
                raise ShapeError(f"{what} has {part.name} = {number}, but {where} has {part.name} = {known}")
            self.source.setdefault(part.name, what)
        elif isinstance(part, sympy.Integer):
            if number != part:
                raise ShapeError(f"{what} has size {number} where the cell says {part}")
        elif all(s.name in self.sizes for s in part.atoms(Symbol)) and size(part, self.sizes) != number:
            raise ShapeError(f"{what} has size {number} where the cell says {part} = {size(part, self.sizes)}")
