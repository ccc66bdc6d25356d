"""Exact proof of a line: both sides carried out in the field of 2⁶¹ − 2373 elements at random points.

An activation's value is one element, the same for the same function and argument, and nothing else is known of it. So
two sides that agree are the same polynomial in parameters, inputs, states, gradients of the loss and the values of
the activations; a false identity of degree d passes one point with a probability of at most d / 2⁶¹ (Schwartz 1980,
Zippel 1979). A division that meets 0 and a root that doesn't exist draw another point.
"""

from __future__ import annotations

import hashlib
import random
from functools import cache, lru_cache
from typing import Any

import numpy as np
import sympy
from sympy import Symbol

from ...derive.functions import FUNCTIONS, Elementwise
from ...derive.interpret import evaluate
from ...derive.polynomials import POINTS, PRIME, power
from .arithmetic import Array
from .probes import Probes, drawn, record, subject_of

TRIES = 60


class Residue:
    """An element of the field."""

    __slots__ = ("value",)

    def __init__(self, value: int = 0) -> None:
        self.value = value % PRIME

    def __add__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Residue(self.value + _int(other))

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Residue(self.value - _int(other))

    def __rsub__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Residue(_int(other) - self.value)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Residue(self.value * _int(other))

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Residue(self.value * _inverse(_int(other)))

    def __rtruediv__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Residue(_int(other) * _inverse(self.value))

    def __pow__(self, exponent: int) -> Residue:
        return Residue(pow(self.value, exponent, PRIME))

    def __neg__(self) -> Residue:
        return Residue(-self.value)

    def __eq__(self, other: object) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return self.value == _int(other) % PRIME

    def __hash__(self) -> int:
        return hash(self.value)

    __radd__, __rmul__ = __add__, __mul__


def _int(number: Any) -> int:
    if isinstance(number, Residue):
        return number.value
    if isinstance(number, int | np.integer) or float(number).is_integer():
        return int(number)
    raise ArithmeticError(f"{number} is not exact")


def _inverse(value: int) -> int:
    if value % PRIME == 0:
        raise ZeroDivisionError
    return pow(value, -1, PRIME)


def apply_scalar(function: Any, *entries: Any) -> Residue:
    """Return the element that stands for a function's value."""
    if isinstance(function, sympy.NumberSymbol):
        return _opaque(str(function))
    if function is sympy.Pow:
        return _power(*entries)
    label = function.rule.name
    if label == "sqrt":
        return _power(entries[0], sympy.Rational(1, 2))
    return _opaque(label, *(_int(entry) % PRIME for entry in entries))


@lru_cache(maxsize=100_000)
def _opaque(label: str, *entries: int) -> Residue:
    return Residue(int.from_bytes(hashlib.sha256(repr((label, entries)).encode()).digest()[:16], "big"))


def _power(entry: Any, exponent: sympy.Rational) -> Residue:
    return Residue(power(_int(entry) % PRIME, exponent))


def apply_arrays(function: str, *arrays: Array) -> Array:
    """Apply a function of the table, or a derivative such as tanh', entry by entry."""
    made = np.frompyfunc(lambda *entries: _named(function, *entries), len(arrays), 1)(*arrays)
    return np.asarray(made, dtype=object)


def _named(function: str, *entries: Any) -> Residue:
    kind: type[Elementwise] = FUNCTIONS[function.removesuffix("'")]
    value = apply_scalar(kind, *entries)
    if not function.endswith("'"):
        return value
    x, y = Symbol("x"), Symbol("y")
    slope = sympy.sympify(kind.rule.slopes[0](x, y))
    values = {x: np.asarray(entries[0], dtype=object), y: np.asarray(value, dtype=object)}
    return Residue(_int(evaluate(slope, values, {}, apply_scalar, Residue(1))[()]))


@cache
def points(text: str, name: str) -> tuple[Probes, ...]:
    """Return points of the field with the right values of everything; fewer where roots or divisions fail."""
    of = subject_of(text, name)
    found: list[Probes] = []
    for seed in range(TRIES):
        if len(found) == POINTS:
            break
        source = random.Random(seed)

        def draw(shape: tuple[int, ...], source: random.Random = source) -> Array:
            array = np.empty(shape, dtype=object)
            for index in np.ndindex(shape):
                array[index] = Residue(source.randrange(1, PRIME))
            return array

        try:
            made = record(of, drawn(of, draw), apply_scalar, Residue(1))
        except ArithmeticError:
            continue
        found.append(Probes(of, (made,), 0.0, 1.0, ()))
    return tuple(found)
