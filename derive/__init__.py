"""Derivation: cell notation, algebra, reverse mode, Jacobians, proof. `bptt.derive(cell)` calls `derive`."""

import sys
from types import ModuleType

from .cell import Cell, Equation, load, parse, zoo
from .convention import Notation, Restated, read_notation, restate
from .derivation import Derivation, derive
from .errors import Error, NotationError, ProgramError, ShapeError
from .program import Program, Reason, Step
from .proof import Check, Proof

__all__ = [
    "Cell",
    "Check",
    "Derivation",
    "Equation",
    "Error",
    "Notation",
    "NotationError",
    "Program",
    "ProgramError",
    "Proof",
    "Reason",
    "Restated",
    "ShapeError",
    "Step",
    "derive",
    "load",
    "parse",
    "read_notation",
    "restate",
    "zoo",
]


class _CallablePackage(ModuleType):
    """The public function `bptt.derive` and this package share one name: calling the package calls the function."""

    def __call__(self, cell: Cell) -> Derivation:
        return derive(cell)


sys.modules[__name__].__class__ = _CallablePackage
