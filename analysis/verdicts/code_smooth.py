"""Whether a forward pass has a gradient where it is probed: no jump nearby, and one slope on both sides."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from .code_adapter import Array, Calling, Path
from .code_reference import loss
from .code_subject import Subject

REACH = 0.5  # along a random direction of length 1
GRID = 48
NARROW = 1e-9
SLOPE = 1e-5  # width of one-sided differences


def roughness(subject: Subject, calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array]) -> str:
    """Return why the forward pass isn't differentiable at a probe, in a sentence; "" where it is.

    A jump is looked for on a line through the probe, by halving the interval in which the loss changes most.
    """
    rng = np.random.default_rng(17)
    moved = [p.name for p in calling.given if p.role in ("input", "state", "param")]
    units = {name: rng.standard_normal(np.shape(values[name])) for name in moved}
    length = np.sqrt(sum(np.sum(unit**2) for unit in units.values()))

    def at(step: float, names: list[str]) -> float:
        there = {name: values[name] + step * units[name] / length for name in names}
        return float(np.real(loss(subject, calling, {**values, **there}, seeds)))

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here = at(0.0, moved)
        grid = np.linspace(-REACH, REACH, GRID)
        found = np.array([at(step, moved) for step in grid])
        size = float(np.ptp(found))
        place = int(np.argmax(np.abs(np.diff(found))))
        low, high = float(grid[place]), float(grid[place + 1])
        while high - low > NARROW:
            middle = (low + high) / 2
            first, half, last = (at(step, moved) for step in (low, middle, high))
            low, high = (low, middle) if abs(half - first) >= abs(last - half) else (middle, high)
        ends = np.array([at(low, moved), at(high, moved)])
        jump = abs(ends[1] - ends[0])
        pole = np.abs(ends - found.mean()).max() > 2 * size  # where a divisor passes 0, there are slopes on both sides
        if jump > 1e-3 * size > 0 and not pole:
            return (
                f"the forward pass isn't differentiable near the probe: it jumps, the loss by {jump:.2g} within "
                f"{NARROW:g}. A gradient through it is a stand-in that can't be judged"
            )
        for name in moved:
            right, left = (at(SLOPE, [name]) - here) / SLOPE, (here - at(-SLOPE, [name])) / SLOPE
            if abs(right - left) > 1e-2 * (abs(right) + abs(left)) + 1e-4:
                return (
                    f"the forward pass isn't differentiable at the probe: along a direction of {name} its slopes on "
                    f"both sides are {left:.3g} and {right:.3g}"
                )
    return ""
