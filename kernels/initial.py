"""Initial parameters, by the part that each plays in the cell's equations."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import sympy
from sympy import Symbol

from ..derive.derivation import Derivation
from ..derive.errors import Error, ShapeError
from ..derive.interpret import size
from .room import check_fits

Array = np.ndarray[Any, np.dtype[Any]]
DRAWN = 8  # bytes of a number as it is drawn


def initial(
    derivation: Derivation, sizes: Mapping[str, int], dtype: np.dtype[Any], seed: int, gain: float
) -> dict[str, Array]:
    """Draw parameters: matrices from N(0, gain²/columns), biases 0, other vectors and numbers from N(0, gain²/length).

    Returns:
        {name: array of the parameter's shape}. Each parameter has a random stream of its own, fixed by the seed and
        its place in the cell.

    Raises:
        Error: for a seed that isn't a whole number from 0, or sizes of which parameters can't be made.
    """
    check_seed(seed)
    check_gain(gain)
    shapes = {
        name: tuple(size(part, sizes) for part in derivation.cell.shapes[Symbol(name)])
        for name in derivation.cell.params
    }
    check_shapes(shapes)
    drawn = {}
    for place, name in enumerate(shapes):
        drawn[name] = draw(shapes[name], 0.0 if is_bias(derivation, Symbol(name)) else gain, dtype, (seed, place))
    return drawn


def check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse parameters without entries, or with more than there is memory for.

    Raises:
        ShapeError: for a size, such as p - m, that isn't positive.
        Error: with the bytes that are needed.
    """
    for name, shape in shapes.items():
        if min(shape, default=1) < 1:
            raise ShapeError(f"at these sizes {name} has the shape {shape}; each of its sizes must be positive")
    check_fits(DRAWN * sum(map(prod, shapes.values())), "parameters of these sizes need", "take smaller ones")


def check_gain(gain: float) -> None:
    """Refuse a gain that isn't a number."""
    if not isinstance(gain, int | float | np.number):
        raise Error(f"a gain is a number, not {gain!r}")


def check_seed(seed: int) -> None:
    """Refuse a seed that isn't a whole number from 0."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise Error(f"a seed is a whole number from 0, not {seed!r}")


def draw(shape: tuple[int, ...], gain: float, dtype: np.dtype[Any], stream: tuple[int, ...]) -> Array:
    """Return Gaussian numbers of variance gain² over the number of columns, from a stream of random numbers."""
    scale = gain / np.sqrt(shape[-1] if shape else 1)
    return np.asarray(scale * np.random.default_rng(stream).standard_normal(shape), dtype)


def is_bias(derivation: Derivation, param: Symbol) -> bool:
    """Return whether a parameter only ever stands as a term of its own in sums with what varies in time.

    >>> from ..derive import derive, load
    >>> is_bias(derive(load("lstm")), Symbol("b_f")), is_bias(derive(load("lstm")), Symbol("W_hf"))
    (True, False)
    """
    if any(param in step.reads for step in derivation.prologue.steps):
        return False
    uses = [step.expr for step in derivation.forward.steps if param in step.reads]
    parents = [node for use in uses for node in sympy.preorder_traversal(use) if param in node.args]
    return bool(uses) and all(isinstance(node, sympy.Add) for node in parents)
