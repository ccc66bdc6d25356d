"""What makes gradients differ without being a fault: a mean for a sum, clipping, truncation, a loss at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .code_adapter import Array, Calling
from .code_diagnosis import Comparison, differences
from .code_engine import Change


def explained(
    theirs: Mapping[str, Array],
    right: Mapping[str, Array],
    calling: Calling,
    comparison: Comparison | None,
    near: float,
) -> tuple[str, Mapping[str, Array]] | None:
    """Return a sentence, and what the gradients are then to be compared with, where that explains every one."""
    for says, other in _ways(theirs, right, calling, comparison):
        if max(differences(theirs, other).values(), default=0.0) <= near:
            return says, other
    return None


def _ways(
    theirs: Mapping[str, Array], right: Mapping[str, Array], calling: Calling, comparison: Comparison | None
) -> Iterator[tuple[str, dict[str, Array]]]:
    steps, batch = calling.sizes["T"], calling.sizes["B"]
    params = {place.name for place in calling.given if place.role == "param"}
    for factor, mean in ((1 / steps, "T"), (1 / batch, "B"), (1 / (steps * batch), "T·B")):
        says = f"means over {mean}, not sums: they are 1/{round(1 / factor)} of the gradient of the loss as given."
        yield f"All gradients are {says}", {name: factor * value for name, value in right.items()}
        only = {name: value * (factor if name in params else 1.0) for name, value in right.items()}
        yield f"The parameters' gradients are {says}", only
    yield from _clipped(theirs, right, params)
    if comparison is not None:
        from .code_cells import in_their_layout

        def other(change: Change) -> dict[str, Array]:
            found = comparison.engine.backward(comparison.probe, comparison.trace, change)
            return in_their_layout(comparison.match, comparison.calling, found)

        yield "Only the last step's loss is taken into account.", other(Change(kept="last"))
        for window in range(2, steps):
            says = (
                f"Backpropagation is truncated: nothing is carried across every {window} steps, counted from the end."
            )
            yield says, other(Change(window=window))


def _clipped(
    theirs: Mapping[str, Array], right: Mapping[str, Array], params: set[str]
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield gradients clipped at the largest entry of theirs, entry by entry or by their norm."""
    held = {name: value for name, value in theirs.items() if name in params} or dict(theirs)
    limit = max((float(np.abs(value).max(initial=0.0)) for value in held.values()), default=0.0)
    if limit and any(np.sum(np.abs(np.abs(value) - limit) < 1e-12 * limit) > 1 for value in held.values()):
        for names in (set(held), set(theirs)):
            clipped = {n: np.clip(v, -limit, limit) if n in names else v for n, v in right.items()}
            yield f"Gradients are clipped to ±{limit:g}, entry by entry.", clipped
    norms = {name: float(np.linalg.norm(value)) for name, value in held.items()}
    limit = max(norms.values(), default=0.0)
    if limit and abs(float(f"{limit:.3g}") - limit) < 1e-9 * limit:
        bound = {name: min(1.0, limit / max(float(np.linalg.norm(right[name])), 1e-300)) for name in held}
        yield (
            f"Gradients are clipped to the norm {limit:g}, each for itself.",
            {name: bound.get(name, 1.0) * value for name, value in right.items()},
        )
    for names in (set(held), set(theirs)):
        ours = np.sqrt(sum(np.sum(np.abs(right[name]) ** 2) for name in names))
        norm = np.sqrt(sum(np.sum(np.abs(theirs[name]) ** 2) for name in names))
        if 0 < norm < 0.999 * ours:
            scaled = {n: v * (norm / ours) if n in names else v for n, v in right.items()}
            yield f"Gradients are clipped to the norm {norm:.6g}, all together.", scaled
