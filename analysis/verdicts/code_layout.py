"""Sequences and states from the layout of somebody's arrays to (T, B, ·), and back."""

from __future__ import annotations

import numpy as np

from .code_adapter import Array, Place


def over_time(array: Array, axes: tuple[str, ...]) -> Array:
    """Return a sequence as (T, B, ·), a single step's as (1, B, ·) where it is an input: see `steps`."""
    kept = [axis for axis in axes if axis != "1"]
    array = np.asarray(array).reshape([s for s, axis in zip(np.shape(array), axes, strict=True) if axis != "1"])
    order = sorted(range(len(kept)), key=lambda i: {"T": 0, "T+1": 0, "B": 1}.get(kept[i], 2))
    array = np.transpose(array, order)
    spread = (slice(None),) * ("T" in kept or "T+1" in kept) + (None,) * ("B" not in kept)
    return array[spread] if "B" not in kept else array


def steps(array: Array, axes: tuple[str, ...]) -> Array:
    """Return an input as (T, B, ·), with a time axis of length 1 for a single step."""
    return over_time(array, axes) if "T" in axes else over_time(array, axes)[None]


def in_layout(array: Array, place: Place) -> Array:
    """Undo `steps` and `over_time`: return (T, B, ·) or (B, ·) in the axes of a place."""
    kept = [axis for axis in place.axes if axis != "1"]
    if place.role == "input" and "T" not in kept:
        array = array[0]
    if "B" not in kept:
        array = array[:, 0] if "T" in kept else array[0]
    order = sorted(range(len(kept)), key=lambda i: {"T": 0, "B": 1}.get(kept[i], 2))
    array = np.transpose(array, np.argsort(order))
    spread = tuple(None if axis == "1" else slice(None) for axis in place.axes)
    return array[spread]
