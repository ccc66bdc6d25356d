"""Sequence systems: small studies that train with the generated kernels, each a module with a data file beside it."""

from __future__ import annotations

from importlib import import_module

from ...derive.errors import Error
from ...derive.syntax import closest
from .system import System

SYSTEMS = (
    "hello",
    "characters",
    "words",
    "units",
    "depth",
    "series",
    "long_range",
    "pixels",
    "sentiment",
    "frames",
    "spelling",
    "dates",
    "captions",
)  # modules of this package, in the order of a lecture


def load(name: str) -> System:
    """Return a system by its name.

    Raises:
        Error: for an unknown name, with the nearest one.

    >>> load("hello").name
    'hello'
    """
    if name not in SYSTEMS:
        raise Error(f"no system is called '{name}'. {closest(name, SYSTEMS)}")
    found = import_module(f".{name}", __name__).SYSTEM
    assert isinstance(found, System)
    return found
