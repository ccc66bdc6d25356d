"""Recurrent cells as data: backpropagation through time derived, proved, compiled and measured.

Importing `bptt` is cheap: a layer, with the libraries it needs, loads when one of its names is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

_LAYERS = ("derive", "kernels", "analysis", "reports")

_PUBLIC = {
    "Cell": "bptt.derive",
    "Derivation": "bptt.derive",
    "Error": "bptt.derive",
    "Model": "bptt.derive",
    "ModelDerivation": "bptt.derive",
    "Notation": "bptt.derive",
    "Proof": "bptt.derive",
    "Restated": "bptt.derive",
    "compose": "bptt.derive",
    "load": "bptt.derive",
    "load_model": "bptt.derive",
    "models": "bptt.derive",
    "parse": "bptt.derive",
    "parse_model": "bptt.derive",
    "read_notation": "bptt.derive",
    "restate": "bptt.derive",
    "zoo": "bptt.derive",
    "Kernel": "bptt.kernels",
    "compile": "bptt.kernels",
    "export": "bptt.kernels",
    "to_onnx": "bptt.kernels",
    "to_torch": "bptt.kernels",
    "Study": "bptt.analysis",
    "Verdict": "bptt.analysis",
    "check": "bptt.analysis",
    "flow": "bptt.analysis",
    "from_keras": "bptt.analysis",
    "from_onnx": "bptt.analysis",
    "from_torch": "bptt.analysis",
    "lyapunov": "bptt.analysis",
    "save": "bptt.reports",
}

if TYPE_CHECKING:
    from .analysis import Study as Study
    from .analysis import Verdict as Verdict
    from .analysis import check as check
    from .analysis import flow as flow
    from .analysis import from_keras as from_keras
    from .analysis import from_onnx as from_onnx
    from .analysis import from_torch as from_torch
    from .analysis import lyapunov as lyapunov
    from .derive import Cell as Cell
    from .derive import Derivation as Derivation
    from .derive import Error as Error
    from .derive import Model as Model
    from .derive import ModelDerivation as ModelDerivation
    from .derive import Notation as Notation
    from .derive import Proof as Proof
    from .derive import Restated as Restated
    from .derive import compose as compose
    from .derive import derive as derive  # at run time the layer itself, which is callable
    from .derive import load as load
    from .derive import load_model as load_model
    from .derive import models as models
    from .derive import parse as parse
    from .derive import parse_model as parse_model
    from .derive import read_notation as read_notation
    from .derive import restate as restate
    from .derive import zoo as zoo
    from .kernels import Kernel as Kernel
    from .kernels import compile as compile
    from .kernels import export as export
    from .kernels import to_onnx as to_onnx
    from .kernels import to_torch as to_torch
    from .reports import save as save

    __version__: str
else:

    def __getattr__(name: str) -> object:
        if name in _LAYERS:
            return import_module(f"bptt.{name}")
        if name in _PUBLIC:
            return getattr(import_module(_PUBLIC[name]), name)
        if name == "__version__":
            return import_module("importlib.metadata").version("bptt")
        raise AttributeError(f"module 'bptt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_LAYERS, *_PUBLIC, "__version__"])
