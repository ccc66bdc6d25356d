"""What makes gradients differ without being a fault: a mean for a sum, clipping, truncation, a loss at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from .code_adapter import Array, Calling
from .code_diagnosis import Comparison, differences
from .code_engine import Change

Gradients = Mapping[str, Array]
Made = Callable[[Gradients], Gradients]  # right gradients -> what they become
FEW = 1e-6  # by which a limit that is told from one probe may be off on another


def explained(
    theirs: Gradients,
    right: Gradients,
    others: Sequence[tuple[Gradients, Gradients]],
    calling: Calling,
    comparison: Comparison | None,
    near: float,
) -> tuple[str, Gradients] | None:
    """Return a sentence, and what the gradients are then to be compared with, where that explains every one.

    Args:
        theirs, right: gradients on one probe.
        others: the same on other probes, where a mean or a limit must be what it was.
        calling: how the code is called.
        comparison: with the cell, on the first probe.
        near: below which gradients agree.
    """
    if not any(np.any(value) for value in theirs.values()):
        return None
    for says, change in _changes(theirs, right, calling):
        whole = change(right)
        if _differ(theirs, whole) <= near and all(_differ(mine, change(its)) <= FEW for mine, its in others):
            return says, whole
    for says, whole in _of_engine(calling, comparison) if comparison is not None else ():
        if _differ(theirs, whole) <= near:
            return says, whole
    return None


def _differ(theirs: Gradients, other: Gradients) -> float:
    return max(differences(theirs, other).values(), default=0.0)


def _changes(theirs: Gradients, right: Gradients, calling: Calling) -> Iterator[tuple[str, Made]]:
    """Yield what may have been done to right gradients: means, and limits that are told from theirs."""
    steps, batch = calling.sizes["T"], calling.sizes["B"]
    params = {place.name for place in calling.given if place.role == "param"}
    for factor, mean in ((1 / steps, "T"), (1 / batch, "B"), (1 / (steps * batch), "T·B")):
        says = f"means over {mean}, not sums: they are 1/{round(1 / factor)} of the gradient of the loss as given."
        yield f"All gradients are {says}", partial(_scaled, dict.fromkeys(right, factor))
        yield f"The parameters' gradients are {says}", partial(_scaled, dict.fromkeys(params, factor))
    yield from _clipped(theirs, params)


def _of_engine(calling: Calling, comparison: Comparison) -> Iterator[tuple[str, Gradients]]:
    """Yield the gradients of less than the whole loss, or of a window of steps."""
    from .code_cells import in_their_layout

    def other(change: Change) -> dict[str, Array]:
        found = comparison.engine.backward(comparison.probe, comparison.trace, change)
        return in_their_layout(comparison.match, comparison.calling, found)

    yield "Only the last step's loss is taken into account.", other(Change(kept="last"))
    for window in range(2, calling.sizes["T"]):
        says = f"Backpropagation is truncated: nothing is carried across every {window} steps, counted from the end."
        yield says, other(Change(window=window))


def _scaled(factors: Mapping[str, float], gradients: Gradients) -> Gradients:
    return {name: factors.get(name, 1.0) * value for name, value in gradients.items()}


def _bounded(names: set[str], limit: float, gradients: Gradients) -> Gradients:
    return {n: np.clip(v, -limit, limit) if n in names else v for n, v in gradients.items()}


def _shortened(names: set[str], limit: float, gradients: Gradients) -> Gradients:
    """Return gradients of which each of the named is no longer than a limit."""
    lengths = {name: float(np.linalg.norm(gradients[name])) for name in names}
    return _scaled({name: min(1.0, limit / length) for name, length in lengths.items() if length}, gradients)


def _together(names: set[str], limit: float, gradients: Gradients) -> Gradients:
    """Return gradients of which the named, taken as one vector, are no longer than a limit."""
    length = np.sqrt(sum(np.sum(np.abs(gradients[name]) ** 2) for name in names))
    return _scaled(dict.fromkeys(names, min(1.0, limit / length) if length else 1.0), gradients)


def _clipped(theirs: Gradients, params: set[str]) -> Iterator[tuple[str, Made]]:
    """Yield clipping at the largest entry of theirs, entry by entry or by their norm."""
    held = {name: value for name, value in theirs.items() if name in params} or dict(theirs)
    limit = max((float(np.abs(value).max(initial=0.0)) for value in held.values()), default=0.0)
    several = any(np.sum(np.abs(np.abs(value) - limit) < 1e-12 * limit) > 1 for value in held.values())
    if limit and (several or limit == float(f"{limit:.3g}")):
        for names in (set(held), set(theirs)):
            yield f"Gradients are clipped to ±{limit:g}, entry by entry.", partial(_bounded, names, limit)
    limit = max((float(np.linalg.norm(value)) for value in held.values()), default=0.0)
    if limit and abs(float(f"{limit:.3g}") - limit) < 1e-9 * limit:
        yield f"Gradients are clipped to the norm {limit:g}, each for itself.", partial(_shortened, set(held), limit)
    for names in (set(held), set(theirs)):
        limit = float(np.sqrt(sum(np.sum(np.abs(theirs[name]) ** 2) for name in names)))
        yield f"Gradients are clipped to the norm {limit:.6g}, all together.", partial(_together, names, limit)
