"""`Adapter`: how somebody's functions want to be called, as far as it can't be found out; `Calling`: all of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ...derive.errors import Error

Array = Any
Path = tuple[str | int, ...]
Construct = tuple[int | tuple[int, ...], ...]
SIZES = {"T": 6, "B": 3, "m": 4, "n": 5, "k": 8}  # of the probes: no two sums or multiples in use are alike


@dataclass(frozen=True)
class Adapter:
    """What is stated about a calling convention; what is left out is inferred by calling.

    Attributes:
        forward, backward: names of the functions or methods.
        shapes: argument, key or attribute -> its axes, of T, B, m (inputs), n (states), k (classes), and sums or
            multiples of them: {"Wx": "m, 4*n", "xs": "list T, m, 1"}.
        roles: the same names -> "input", "state", "param", "target" or "mask".
        gradients: name or place of a gradient in what backward returns -> name of what it belongs to.
        sizes: sizes for the probe, where code fixes them: {"m": 10}; also further sizes, for use in shapes: {"d": 3}.
    """

    forward: str = ""
    backward: str = ""
    shapes: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    gradients: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """An array on its way in or out.

    Attributes:
        path: ("Wx",), ("params", "Wf"), ("params", ".Wf") for an attribute, ("self", "W_z"), ("global", "W"),
            ("closure", "W"), ("make", "W") for the class's argument; for what is returned (0,), (1, "h"), (0, "1:").
        axes: in named sizes: ("B", "T", "m"), ("m", "4*n").
        role: "input", "index", "state", "param", "target" (indices), "onehot" (rows), "mask" (0 or 1), "size" (a
            number), "object"; of what is returned "states", "final", "outputs", "output" or "loss".
        held: "list" or "dict" where the first axis is one; "bool" of a mask of truth values.
        label: a name for an entry that has only a position.
    """

    path: Path
    axes: tuple[str, ...]
    role: str
    held: str = ""
    label: str = ""

    @cached_property
    def name(self) -> str:
        """The last name on the way to it, with the position in a tuple behind it."""
        if self.label:
            return self.label
        names = [part.lstrip(".") for part in self.path if isinstance(part, str)]
        position = f"[{self.path[-1]}]" if isinstance(self.path[-1], int) else ""
        return (names[-1] if names else "result") + position


def last_name(path: Path, label: str = "") -> str:
    """Return the last name on the way to an array, or its label where only a position leads there.

    >>> last_name(("p", "layers", 0, ".W"), "layers[0].W"), last_name(("params", 0), "Wx")
    ('W', 'Wx')
    """
    names = [part.lstrip(".") for part in path[1:] if isinstance(part, str)]
    return names[-1] if names else label or str(path[0])


@dataclass(frozen=True)
class Calling:
    """A calling convention in full.

    Attributes:
        given: the arrays that the forward pass reads.
        returned: what loss gradients speak of, among what it returns.
        passed: argument of the backward pass -> ("given", name), ("result", *path) or ("gradient", *positions).
        gradients: place in what the backward pass leaves -> name of what it belongs to.
        sizes: of the probes.
        construct: positional arguments of the class, numbers and lists of them.
        constants: further arguments of the forward pass.
        strength: of the loss gradients that are drawn.
    """

    given: tuple[Place, ...]
    returned: tuple[Place, ...]
    passed: tuple[tuple[str, Path], ...]
    gradients: tuple[tuple[Path, str], ...]
    sizes: Mapping[str, int]
    construct: Construct = ()
    constants: Mapping[str, int] = field(default_factory=dict)
    strength: float = 1.0

    @property
    def has_targets(self) -> bool:
        """Whether the forward pass is given targets."""
        return any(place.role in ("target", "onehot") for place in self.given)

    def place(self, name: str) -> Place:
        """Return the array of that name."""
        return next(place for place in self.given if place.name == name)


def pieces(axis: str) -> list[str]:
    """Return the named sizes that stand one after the other along an axis.

    >>> pieces("4*n"), pieces("n+m"), pieces("1")
    (['n', 'n', 'n', 'n'], ['n', 'm'], ['1'])
    """
    found: list[str] = []
    for term in re.split(r"\s*\+\s*", axis.strip()):
        number, star, name = term.rpartition("*")
        found += [name.strip()] * (int(number) if star else 1)
    return found


def length(axis: str, sizes: Mapping[str, int]) -> int:
    """Return the length of an axis.

    Raises:
        Error: for a size that isn't known.
    """
    if axis in sizes:
        return sizes[axis]
    try:
        return sum(int(piece) if piece.isdigit() else sizes[piece] for piece in pieces(axis))
    except (KeyError, ValueError):
        others = "".join(f", {name}" for name in sizes if name not in SIZES)
        raise Error(
            f"'{axis}' isn't an axis: use T, B, m, n, k{others}, numbers, as in 'm, 4*n' or 'n+m'; state a further "
            'size in the adapter, as in sizes={"d": 3}'
        ) from None


def shape(place: Place, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Return the shape of the array at a place, lists and dictionaries over time taken as an axis."""
    return tuple(length(axis, sizes) for axis in place.axes)


def stated(name: str, text: str, role: str, sizes: Mapping[str, int] = SIZES) -> Place:
    """Read what an adapter says of an argument: "m, 4*n" or "list T, m, 1".

    >>> stated("xs", "list T, m, 1", "input")
    Place(path=('xs',), axes=('T', 'm', '1'), role='input', held='list', label='')
    """
    held = next((kind for kind in ("list", "dict") if text.strip().startswith(kind)), "")
    axes = tuple(part.strip() for part in text.strip().removeprefix(held).split(",") if part.strip())
    for axis in axes:
        length(axis, sizes)
    return Place((name,), axes, role, held)


def wrapped(place: Place, array: Array) -> Any:
    """Return an array as the code wants to have it."""
    if place.role == "object":
        return Attributes()
    if place.role in ("index", "target"):
        whole = np.real(array).astype(int)
        return whole.tolist() if place.held else whole
    if place.role == "size":
        return int(array)
    if place.held == "bool":
        return np.array(array, bool)
    if place.held == "list":
        return [np.array(row, subok=True) for row in array]
    if place.held == "dict":
        return {t: np.array(row, subok=True) for t, row in enumerate(array)}
    return np.array(array, subok=True) if place.axes else array


class Attributes(dict[str, Any]):
    """What parameters are put into, by key or by attribute; also a context to save things in."""

    def save_for_backward(self, *values: Any) -> None:
        """Keep values as PyTorch's context does."""
        self.saved_tensors = values


def is_single(array: Array) -> bool:
    """Return whether an array holds nothing but what float32 can hold, and not merely zeros and ones.

    >>> is_single(np.array([0.1])), is_single(np.float32([0.1])), is_single(np.float32([0.1]).astype(float))
    (False, True, True)
    """
    numbers = np.asarray(array)
    if not np.issubdtype(numbers.dtype, np.floating):
        return False
    with np.errstate(all="ignore"):
        whole = np.array_equal(numbers, np.round(numbers))
        return not whole and bool(np.array_equal(numbers.astype(np.float32).astype(numbers.dtype), numbers))
