"""What trees mean on batches of probes: every quantity is an array with the probes along its first axis.

The entries are floats, or elements of a finite field, in which equations are tested exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from ...derive.arithmetic import apply_float, slope_float
from ...derive.functions import FUNCTIONS
from ...derive.interpret import size
from ...derive.sizes import size_from
from .tree import Name, Tree

Array = np.ndarray[Any, Any]
Values = Mapping[Name, Array]
Apply = Callable[..., Array]


class Misfit(Exception):
    """Shapes in a formula don't fit together."""


class Missing(Exception):
    """A formula reads a name that has no value."""


class Row(np.ndarray[Any, Any]):
    """A vector that was transposed."""


class Identity(np.ndarray[Any, Any]):
    """A multiple of the identity, which takes its size from what it is added to."""


def apply_floats(function: str, *arrays: Array) -> Array:
    """Apply a function of the table, or a derivative such as tanh', to arrays of floats."""
    kind = FUNCTIONS[function.removesuffix("'")]
    found = slope_float(kind, *arrays) if function.endswith("'") else apply_float(kind, *arrays)
    return np.asarray(found) + 0 * arrays[0]


def shape_text(array: Array) -> str:
    """Say the shape of one probe: 'a number', 'a vector of 2', '2×3'."""
    shape = array.shape[1:]
    return {0: "a number", 1: f"a vector of {shape[0] if shape else ''}"}.get(len(shape), "×".join(map(str, shape)))


class Evaluator:
    """Evaluates trees on one batch of probes; parts seen before are looked up.

    Args:
        values: of every name that may be read.
        sizes: dimension -> number.
        steps: how many times each sequence of probes has; `sum_t` adds these up.
        rows: whether vectors are rows, so that `u.T @ v` is an outer product.
        apply: what an elementwise function does to arrays.
        one: the number 1.
        loose: whether `*` of a matrix, or of a vector and a transposed one, is their product.
    """

    def __init__(
        self,
        values: Values,
        sizes: Mapping[str, int],
        steps: int,
        rows: bool = False,
        apply: Apply = apply_floats,
        one: Any = 1.0,
        loose: bool = False,
    ) -> None:
        self.values = values
        self.sizes = sizes
        self.steps = steps
        self.rows = rows
        self.apply = apply
        self.one = one
        self.loose = loose
        self.known: dict[Tree, Array] = {}

    def __call__(self, tree: Tree) -> Array:
        """Return the value.

        Raises:
            Misfit: where shapes don't fit.
            Missing: for a name without a value.
        """
        found = self.known.get(tree)
        if found is None:
            with np.errstate(all="ignore"):
                found = self._value(tree)
            self.known[tree] = found
        return found

    def plain(self, tree: Tree) -> Array:
        """Return the value with a transposed vector as a vector."""
        return np.asarray(self(tree)).view(np.ndarray)

    def _value(self, tree: Tree) -> Array:
        match tree.head:
            case "name":
                assert isinstance(tree.leaf, Name)
                if tree.leaf not in self.values:
                    raise Missing(tree.leaf)
                return self.values[tree.leaf]
            case "number":
                assert isinstance(tree.leaf, Fraction)
                return np.asarray([tree.leaf.numerator * self.one / tree.leaf.denominator])
            case "add":
                return reduce(lambda a, b: self._both(np.add, a, b), map(self, tree.args))
            case "mul":
                return self._product(tree.args)
            case "neg":
                return -self(tree.args[0])
            case "inv":
                return self.one / self(tree.args[0])
            case "pow":
                return self._power(self(tree.args[0]), tree.value)
            case "matmul":
                return self._matmul(self(tree.args[0]), self(tree.args[1]))
            case "T":
                return self._transposed(self(tree.args[0]))
            case "part":
                return self._part(self(tree.args[0]), tree.bounds)
            case "sum_t":
                return self._over_time(self(tree.args[0]))
        return self._call(str(tree.leaf), tree.args)

    def _both(self, operation: Any, left: Array, right: Array) -> Array:
        if left.ndim == right.ndim:
            if left.shape[1:] != right.shape[1:]:
                raise Misfit(f"{shape_text(left)} and {shape_text(right)} don't go together")
        elif operation is np.add and isinstance(left, Identity) and (left.ndim, right.ndim) == (1, 3):
            return self._both(operation, left[:, None, None] * self._eye(right.shape[1]), right)
        elif operation is np.add and isinstance(right, Identity) and (left.ndim, right.ndim) == (3, 1):
            return self._both(operation, left, right[:, None, None] * self._eye(left.shape[1]))
        elif left.ndim == 1:
            left = left.reshape(left.shape + (1,) * (right.ndim - 1))
        elif right.ndim == 1:
            right = right.reshape(right.shape + (1,) * (left.ndim - 1))
        else:
            raise Misfit(f"{shape_text(left)} and {shape_text(right)} don't go together")
        made: Array = operation(left, right)
        return made

    def _product(self, factors: tuple[Tree, ...]) -> Array:
        return reduce(self._times, map(self, factors))

    def _times(self, left: Array, right: Array) -> Array:
        ranks = left.ndim - 1, right.ndim - 1
        outer = ranks == (1, 1) and isinstance(left, Row) != isinstance(right, Row)
        if self.loose and (ranks in ((1, 2), (2, 1)) or outer):
            if outer:
                return left.view(np.ndarray)[:, :, None] * right.view(np.ndarray)[:, None, :]
            return self._matmul(left, right)
        return self._both(np.multiply, left, right)

    def _power(self, base: Array, exponent: Fraction) -> Array:
        if exponent.denominator == 1:
            return base ** int(exponent) if exponent >= 0 else self.one / base ** int(-exponent)
        roots = {2: "sqrt"}
        if exponent.denominator in roots:
            return self._power(self.apply("sqrt", base), Fraction(exponent.numerator))
        return self.apply("exp", self.apply("log", base) * float(exponent))

    def _transposed(self, value: Array) -> Array:
        if value.ndim == 3:
            return np.swapaxes(value, 1, 2)
        if value.ndim == 2:
            return np.asarray(value) if isinstance(value, Row) else value.view(Row)
        return value

    def _matmul(self, left: Array, right: Array) -> Array:
        ranks = left.ndim - 1, right.ndim - 1
        turned = isinstance(left, Row), isinstance(right, Row)
        left, right = left.view(np.ndarray), right.view(np.ndarray)
        if 0 in ranks:
            return self._both(np.multiply, left, right)
        if ranks == (1, 1):
            if turned == ((True, False) if self.rows else (False, True)):
                return left[:, :, None] * right[:, None, :]
            self._check(left.shape[1], right.shape[1], left, right)
            return np.asarray((left * right).sum(axis=1))
        self._check(left.shape[-1], right.shape[1], left, right)
        if ranks == (2, 1):
            return np.matmul(left, right[:, :, None])[:, :, 0]
        if ranks == (1, 2):
            made = np.matmul(left[:, None, :], right)[:, 0, :]
            return made.view(Row) if turned[0] else made
        return np.matmul(left, right)

    @staticmethod
    def _check(one: int, other: int, left: Array, right: Array) -> None:
        if one != other:
            raise Misfit(f"{shape_text(left)} can't be multiplied by {shape_text(right)}")

    def _part(self, value: Array, bounds: tuple[str, ...]) -> Array:
        if value.ndim != 2:
            raise Misfit(f"only a vector can be sliced, this is {shape_text(value)}")
        start = self._size(bounds[0], 0)
        if bounds[1] == ".":
            return value[:, start]
        return value[:, start : self._size(bounds[1], value.shape[1])]

    def _size(self, text: str, default: int) -> int:
        try:
            return size(size_from(text), self.sizes) if text else default
        except (ValueError, AssertionError, SyntaxError):
            raise Misfit(f"the size {text} is not known") from None

    def _over_time(self, value: Array) -> Array:
        if len(value) == 1:
            return value * (self.steps * self.one)
        sequences = value.reshape(-1, self.steps, *value.shape[1:])
        sums = sequences.sum(axis=1, keepdims=True)
        return np.asarray(np.broadcast_to(sums, sequences.shape)).reshape(value.shape)

    def _call(self, function: str, args: tuple[Tree, ...]) -> Array:
        if function in ("pi",):
            return np.asarray([np.pi])
        if function == "eye":
            return np.asarray([self.one]).view(Identity)
        if function == "ones":
            return np.full((1, *(self._size(str(a.leaf), 1) for a in args)), self.one)
        if function in ("lookup", "scatter"):
            return self._indexed(function, [self(argument).view(np.ndarray) for argument in args])
        if function == "pad":
            return self._pad(self(args[0]), str(args[1].leaf), str(args[2].leaf))
        arrays = [self(argument) for argument in args]
        if function.removesuffix("'") in FUNCTIONS:
            if len(arrays) == 2:
                whole = self._both(np.add, *arrays)
                arrays = [self._both(np.add, array, 0 * whole) for array in arrays]
            return self.apply(function, *arrays)
        return self._tensor(function, [array.view(np.ndarray) for array in arrays])

    def _indexed(self, function: str, arrays: list[Array]) -> Array:
        """Pick a row, or put one in its place; an index is a vector with one 1."""
        first, picked = arrays
        if picked.ndim != 2 or (function == "scatter" and first.ndim > 2) or first.ndim not in (1, 2, 3):
            raise Misfit("only an index picks a row")
        if function == "scatter":
            return self._both(np.multiply, first, picked) if first.ndim == 1 else picked[:, :, None] * first[:, None, :]
        self._check(first.shape[1], picked.shape[1], first, picked)
        if first.ndim == 2:
            return np.asarray((first * picked).sum(axis=1))
        return np.matmul(picked[:, None, :], first)[:, 0, :]

    def _pad(self, value: Array, start: str, length: str) -> Array:
        first, whole = self._size(start, 0), self._size(length, 0)
        if value.ndim != 2 or first + value.shape[1] > whole:
            raise Misfit("pad takes a vector that fits")
        made = np.full((len(value), whole), 0 * self.one, dtype=value.dtype)
        made[:, first : first + value.shape[1]] = value
        return made

    def _eye(self, length: int) -> Array:
        eye = np.full((length, length), 0 * self.one)
        np.fill_diagonal(eye, self.one)
        return eye

    def _tensor(self, function: str, arrays: list[Array]) -> Array:
        first = arrays[0]
        ranks = [array.ndim - 1 for array in arrays]
        if function == "outer" and ranks == [1, 1]:
            return first[:, :, None] * arrays[1][:, None, :]
        if function == "dot" and ranks != [1, 1]:
            return self._matmul(*arrays)
        if function in ("dot", "sum", "norm"):
            product = self._both(np.multiply, first, arrays[1]) if function == "dot" else first
            product = first * first if function == "norm" else product
            total = np.asarray(product.reshape(len(product), -1).sum(axis=1))
            return self.apply("sqrt", total) if function == "norm" else total
        if function == "diag" and ranks == [1]:
            return first[:, :, None] * self._eye(first.shape[1])
        if function == "concat" and set(ranks) == {1}:
            length = max(map(len, arrays))
            return np.concatenate([np.broadcast_to(a, (length, a.shape[1])) for a in arrays], axis=1)
        if function == "softmax" and ranks == [1]:
            shift = first.max(axis=1, keepdims=True) if first.dtype != object else 0 * self.one
            grown = self.apply("exp", first - shift)
            return np.asarray(grown / grown.sum(axis=1)[:, None])
        raise Misfit(f"{function} doesn't take {' and '.join(map(shape_text, arrays))}")
