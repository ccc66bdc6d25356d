"""Sequences and states from the layout of somebody's arrays to (T, B, ·), and back."""

from __future__ import annotations

import numpy as np

from .code_adapter import Array, Place


def over_time(array: Array, axes: tuple[str, ...]) -> Array:
    """Return a sequence as (T, B, ·)."""
    kept = [axis for axis in axes if axis != "1"]
    array = np.asarray(array).reshape([s for s, axis in zip(np.shape(array), axes, strict=True) if axis != "1"])
    order = sorted(range(len(kept)), key=lambda i: {"T": 0, "B": 1}.get(kept[i], 2))
    array = np.transpose(array, order)
    spread = (slice(None),) * ("T" in kept) + (None,) * ("B" not in kept)
    return array[spread] if "B" not in kept else array


def in_layout(array: Array, place: Place) -> Array:
    """Undo `over_time`: return (T, B, ·) or (B, ·) in the axes of a place."""
    kept = [axis for axis in place.axes if axis != "1"]
    if "B" not in kept:
        array = array[:, 0] if "T" in kept else array[0]
    order = sorted(range(len(kept)), key=lambda i: {"T": 0, "B": 1}.get(kept[i], 2))
    array = np.transpose(array, np.argsort(order))
    spread = tuple(None if axis == "1" else slice(None) for axis in place.axes)
    return array[spread]
