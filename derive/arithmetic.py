"""Elementwise functions on numbers, from their definitions: in float64, and in mpmath to any number of digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, reduce
from typing import Any

import mpmath
import numpy as np
import sympy

from .functions import Elementwise

# functions for which SciPy, and all of NumPy, needn't be imported: that takes a second
NUMPY: Mapping[str, Callable[..., Any]] = {
    "exp": np.exp, "log": np.log, "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "atan": np.arctan, "sinh": np.sinh,
    "cosh": np.cosh, "Abs": np.abs, "sqrt": np.sqrt,
}  # fmt: skip
# functions with kinks, for each module that gives the others
KINKS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "mpmath": {
        "Heaviside": lambda x, at_zero: at_zero if x == 0 else int(x > 0),
        "sign": lambda x: int(x > 0) - int(x < 0),
        "Max": max,
        "Min": min,
    },
    "scipy": {
        "Heaviside": np.heaviside,
        "sign": np.sign,
        "Max": lambda *entries: reduce(np.maximum, entries),
        "Min": lambda *entries: reduce(np.minimum, entries),
    },
}


@cache
def _function(function: type[Elementwise], module: str, slope: int | None = None) -> Callable[..., Any]:
    """Return an elementwise function on numbers, from its definition; or its slope by one argument."""
    names = sympy.symbols(f"a:{len(function.rule.slopes)}", real=True)
    meaning = function.rule.definition(*names)
    if slope is not None:
        meaning = sympy.sympify(function.rule.slopes[slope](*names, meaning))
        meaning = meaning.replace(lambda e: isinstance(e, Elementwise), lambda e: e.rule.definition(*e.args))
    every = {type(part) for part in sympy.preorder_traversal(sympy.sympify(meaning)) if part.args}
    called = {kind.__name__ for kind in every - {sympy.Add, sympy.Mul, sympy.Pow}}
    if module == "scipy" and called <= NUMPY.keys():
        return sympy.lambdify(names, meaning, [NUMPY])
    return sympy.lambdify(names, meaning, [KINKS[module], module])


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
    """Return what a function, a power or a number such as π is, in float64, entry by entry.

    >>> from .functions import tanh
    >>> float(apply_float(tanh, 0.0))
    0.0
    """
    if isinstance(function, sympy.NumberSymbol):
        return float(function)
    with np.errstate(all="ignore"):
        return entries[0] ** float(entries[1]) if function is sympy.Pow else _function(function, "scipy")(*entries)


def slope_float(function: Any, *entries: Any) -> Any:
    """Return the derivative of a function by its first argument, in float64, entry by entry.

    >>> from .functions import tanh
    >>> float(slope_float(tanh, 0.0))
    1.0
    """
    with np.errstate(all="ignore"):
        return _function(function, "scipy", 0)(*entries)
