"""Derivation: cell notation, algebra, reverse mode, Jacobians, models, proof. `bptt.derive(cell)` calls `derive`."""

import sys
from types import ModuleType

from .cell import Cell, Equation, load, parse, zoo
from .compose import compose
from .convention import Notation, Restated, read_notation
from .convention_model import restate
from .derivation import Derivation
from .errors import Error, NotationError, ProgramError, ShapeError
from .model import Model, load_model, models, parse_model
from .model_derivation import ModelDerivation, derive
from .program import Program, Reason, Step
from .proof import Check, Proof

__all__ = [
    "Cell",
    "Check",
    "Derivation",
    "Equation",
    "Error",
    "Model",
    "ModelDerivation",
    "Notation",
    "NotationError",
    "Program",
    "ProgramError",
    "Proof",
    "Reason",
    "Restated",
    "ShapeError",
    "Step",
    "compose",
    "derive",
    "load",
    "load_model",
    "models",
    "parse",
    "parse_model",
    "read_notation",
    "restate",
    "zoo",
]


class _CallablePackage(ModuleType):
    """The public function `bptt.derive` and this package share one name: calling the package calls the function."""

    def __call__(self, source: Cell | Model) -> Derivation | ModelDerivation:
        return derive(source)


sys.modules[__name__].__class__ = _CallablePackage
