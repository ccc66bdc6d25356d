"""Functions of NumPy for complex steps, where its own leave the real line's slope: |a| is a · sign a there.

A complex step asks for the analytic continuation of what a function is on the side of a kink where its argument stands
(Martins, J. R. R. A., Sturdza, P. and Alonso, J. J. (2003). The complex-step derivative approximation. ACM Transactions
on Mathematical Software 29, 245-262).
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def _sign(a: Any) -> Any:
    return np.sign(np.real(a))


def _abs(a: Any, *args: Any, **options: Any) -> Any:
    """Return |a|, of complex numbers continued from the real line.

    >>> _abs(np.array([-3 + 1e-20j, 2.0]))
    array([3.-1.e-20j, 2.+0.e+00j])
    """
    return a * _sign(a) if np.iscomplexobj(a) else np.abs(a, *args, **options)


def _heaviside(a: Any, middle: Any) -> Any:
    return np.heaviside(np.real(a), np.real(middle))


def _logaddexp(a: Any, b: Any) -> Any:
    return np.maximum(a, b) + np.log1p(np.exp(-_abs(a - b)))


CONTINUED: Mapping[Callable[..., Any], Callable[..., Any]] = {
    builtins.abs: _abs,
    np.abs: _abs,
    np.fabs: _abs,
    np.sign: _sign,
    np.heaviside: _heaviside,
    np.logaddexp: _logaddexp,
}
