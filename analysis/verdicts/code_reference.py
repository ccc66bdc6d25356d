"""Gradients of somebody's own forward pass: by complex steps where it bears them, else by extrapolated differences."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .code_adapter import Array, Calling, Path, Place
from .code_complex import CONTINUED
from .code_returned import read
from .code_subject import MAKERS, Subject, numpy_with

TINY = 1e-150
EXACT = "complex steps through the forward pass as given, float64"
STEPS = (2.0**-6, 2.0**-12, 2.0**-18)  # the short ones are for directions in which there is a kink near


@dataclass(frozen=True)
class Reference:
    """Right gradients.

    Attributes:
        gradients: name of what was given -> gradient in its own layout.
        how: they were made.
        tolerance: relative to the largest entry, to which they are known.
    """

    gradients: Mapping[str, Array]
    how: str
    tolerance: float


def condition(gradients: Mapping[str, Array]) -> float:
    """Return the condition number of the slope along a random direction, a sum over all entries of all gradients.

    >>> condition({"W": np.array([1.0, 2.0])}) >= 1
    True
    """
    rng = np.random.default_rng(99)
    terms = [gradient * rng.uniform(-1, 1, np.shape(gradient)) for gradient in gradients.values()]
    return float(sum(np.abs(term).sum() for term in terms) / max(abs(sum(term.sum() for term in terms)), 1e-300))


def loss(subject: Subject, calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array]) -> Any:
    """Return Σ ⟨seed, what is returned⟩, of which the seeds are the gradients; a loss counts once."""
    found = read(subject.run(calling, values)[0], calling)
    return sum(np.sum(seeds[path] * array) for path, array in found.items() if path in seeds)


def draw_seeds(subject: Subject, calling: Calling, values: Mapping[str, Array], seed: int = 7) -> dict[Path, Array]:
    """Draw the loss's gradient for everything the backward pass is told of; 1 for a loss, 0 for an initial state."""
    rng = np.random.default_rng(seed)
    found = read(subject.run(calling, values)[0], calling)
    told = {int(i) for _, source in calling.passed if source[0] == "gradient" for i in source[1:]}
    seeds: dict[Path, Array] = {}
    for number, place in enumerate(calling.returned):
        if place.role == "loss":
            seeds[place.path] = np.asarray(1.0)
        elif number in told:
            drawn = seeds[place.path] = calling.strength * rng.standard_normal(found[place.path].shape)
            if "T+1" in place.axes:
                first = 0 if any(other.path == (*place.path, "1:") for other in calling.returned) else -1
                np.moveaxis(drawn, place.axes.index("T+1"), 0)[first] = 0
    return seeds


def reference(
    subject: Subject, calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array]
) -> Reference:
    """Return the gradients of the loss by everything given, through their own forward pass."""
    places = [place for place in calling.given if place.role in ("input", "state", "param")]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with wide_numpy(subject):
                exact = {p.name: _complex_step(subject, calling, values, seeds, p) for p in places}
        except Exception:
            exact = {}
        if exact and _agrees(subject, calling, values, seeds, exact):
            return Reference(exact, EXACT, 1e-10)
        rough = {place.name: _differences(subject, calling, values, seeds, place) for place in places}
    return Reference(rough, "extrapolated central differences of the forward pass as given, float64", 2e-8)


def complex_slope(
    subject: Subject,
    calling: Calling,
    values: Mapping[str, Array],
    seeds: Mapping[Path, Array],
    directions: Mapping[str, Array],
) -> float:
    """Return the slope of the loss along a direction of several values at once, by one complex step."""
    moved = {name: values[name] + TINY * 1j * direction for name, direction in directions.items()}
    with wide_numpy(subject):
        return float(np.imag(loss(subject, calling, {**values, **moved}, seeds)) / TINY)


def _complex_step(
    subject: Subject, calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array], place: Place
) -> Array:
    base = np.asarray(values[place.name])
    found = np.empty(base.shape)
    for index in np.ndindex(base.shape):
        moved = base.astype(complex)
        moved[index] += TINY * 1j
        found[index] = np.imag(loss(subject, calling, {**values, place.name: moved}, seeds)) / TINY
    return found


def _agrees(
    subject: Subject,
    calling: Calling,
    values: Mapping[str, Array],
    seeds: Mapping[Path, Array],
    exact: dict[str, Array],
) -> bool:
    """Return whether complex steps agree with differences along a random direction of each array."""
    rng = np.random.default_rng(11)
    for name, gradient in exact.items():
        direction = rng.standard_normal(gradient.shape)
        wanted = np.sum(gradient * direction)
        slopes = (along(subject, calling, values, seeds, name, direction, step) for step in STEPS)
        if not np.isfinite(wanted) or not any(abs(slope - wanted) <= 1e-6 * (1 + abs(slope)) for slope in slopes):
            return False
    return True


def _differences(
    subject: Subject, calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array], place: Place
) -> Array:
    dims = np.shape(values[place.name])
    found = np.empty(dims)
    for index in np.ndindex(dims):
        unit = np.zeros(dims)
        unit[index] = 1
        found[index] = along(subject, calling, values, seeds, place.name, unit)
    return found


def along(
    subject: Subject,
    calling: Calling,
    values: Mapping[str, Array],
    seeds: Mapping[Path, Array],
    name: str,
    direction: Array,
    step: float = STEPS[0],
) -> float:
    """Return a directional derivative: central differences, extrapolated three times (Richardson 1911)."""
    rows = []
    for level in range(4):
        h = step / 2**level
        up = loss(subject, calling, {**values, name: values[name] + h * direction}, seeds)
        down = loss(subject, calling, {**values, name: values[name] - h * direction}, seeds)
        rows.append((up - down) / (2 * h))
    for order in range(1, 4):
        rows = [(4**order * b - a) / (4**order - 1) for a, b in zip(rows, rows[1:], strict=False)]
    return float(np.real(rows[0]))


@contextlib.contextmanager
def wide_numpy(subject: Subject) -> Iterator[None]:
    """Let the arrays that the code makes for its results hold complex numbers, and no cast or kink lose them."""
    with numpy_with(subject, WIDE), warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        yield


def _maker(make: Any) -> Any:
    def wide(*args: Any, **options: Any) -> Any:
        made = make(*args, **options)
        return made.astype(complex) if np.issubdtype(made.dtype, np.floating) else made

    return wide


WIDE = {**CONTINUED, **{make: _maker(make) for make in MAKERS}}
