"""Initial parameters, by the part that each plays in the cell's equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy
from sympy import Symbol

from ..derive.derivation import Derivation
from ..derive.interpret import size
from ..derive.program import quantities
from ..derive.written import operands

Array = np.ndarray[Any, np.dtype[Any]]


def initial(
    derivation: Derivation, sizes: Mapping[str, int], dtype: np.dtype[Any], seed: int, gain: float
) -> dict[str, Array]:
    """Draw parameters: matrices from N(0, gain²/columns), biases 0, other vectors and numbers from N(0, gain²/length).

    A bias is a parameter that only ever stands as a term of its own in a sum.

    Returns:
        {name: array of the parameter's shape}. Each parameter has a random stream of its own, fixed by the seed and
        its place in the cell.
    """
    drawn = {}
    for place, name in enumerate(derivation.cell.params):
        shape = tuple(size(part, sizes) for part in derivation.cell.shapes[Symbol(name)])
        random = np.random.default_rng([seed, place])
        scale = 0.0 if is_bias(derivation, Symbol(name)) else gain / np.sqrt(shape[-1] if shape else 1)
        drawn[name] = (scale * random.standard_normal(shape)).astype(dtype)
    return drawn


def is_bias(derivation: Derivation, param: Symbol) -> bool:
    """Return whether a parameter only ever stands as a term of its own in a sum.

    >>> from ..derive import derive, load
    >>> is_bias(derive(load("lstm")), Symbol("b_f")), is_bias(derive(load("lstm")), Symbol("W_hf"))
    (True, False)
    """
    uses = [step.expr for step in (*derivation.prologue.steps, *derivation.forward.steps) if param in step.reads]
    return bool(uses) and all(
        all(term == param or param not in quantities(term) for term in operands(sympy.Add, expr)) for expr in uses
    )
