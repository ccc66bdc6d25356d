"""Elementwise functions on numbers, from their definitions: in float64, and in mpmath to any number of digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
import numpy as np
import sympy

from .functions import Elementwise

KINKS = {
    "Heaviside": lambda x, at_zero: at_zero if x == 0 else int(x > 0),
    "sign": lambda x: int(x > 0) - int(x < 0),
    "Max": max,
    "Min": min,
}


@cache
def _function(function: type[Elementwise], module: str) -> Callable[..., Any]:
    """Return an elementwise function on numbers, from its definition."""
    names = sympy.symbols(f"a:{len(function.rule.slopes)}", real=True)
    return sympy.lambdify(names, function.rule.definition(*names), [KINKS, module])


def apply_mpmath(function: Any, *entries: Any) -> Any:
    """Return what a function, a power or a number such as π is, in the current precision of mpmath.

    >>> from .functions import tanh
    >>> with mpmath.workdps(20): print(apply_mpmath(tanh, mpmath.mpf(1)))
    0.76159415595576488812
    """
    if isinstance(function, sympy.NumberSymbol):
        return mpmath.mpf(function.evalf(mpmath.mp.dps + 5))
    if function is sympy.Pow:
        return mpmath.power(entries[0], mpmath.mpf(entries[1].p) / entries[1].q)
    return _function(function, "mpmath")(*entries)


def apply_float(function: Any, *entries: Any) -> Any:
    """Return what a function, a power or a number such as π is, in float64.

    >>> from .functions import tanh
    >>> float(apply_float(tanh, 0.0))
    0.0
    """
    if isinstance(function, sympy.NumberSymbol):
        return float(function)
    with np.errstate(all="ignore"):
        return entries[0] ** float(entries[1]) if function is sympy.Pow else _function(function, "scipy")(*entries)
