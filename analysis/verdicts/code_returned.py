"""What a forward pass returns, and whether it behaves like a recurrent cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from . import code_forms as forms
from .code_adapter import Array, Calling, Path, Place, shape
from .code_places import leaves
from .code_subject import AROUND, Subject

ROLES = {("T", "n"): "states", ("T+1", "n"): "states", ("", "n"): "final", ("T", "k"): "outputs", ("", "k"): "output"}

RUN_AWAY = 1e3  # size of an entry that a forward pass gives


def values_for(calling: Calling, seed: int = 0) -> dict[str, Array]:
    """Draw numbers for all that is given: weights of order 1/sqrt(columns) and more, states that aren't 0."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Array] = {}
    for place in calling.given:
        dims = shape(place, calling.sizes)
        if place.role in ("index", "target"):
            drawn[place.name] = rng.integers(0, calling.sizes["m" if place.role == "index" else "k"], dims)
        elif place.role == "onehot":
            features = _features(place)
            which = rng.integers(0, dims[features], [d for i, d in enumerate(dims) if i != features])
            drawn[place.name] = np.moveaxis(np.eye(dims[features])[which], -1, features)
        elif place.role == "mask":
            drawn[place.name] = (rng.random(dims) < 0.7).astype(float)
        elif place.role in ("size", "object"):
            drawn[place.name] = np.asarray(sum(calling.sizes[axis] for axis in place.axes))
        else:
            scale = {"input": 1.0, "state": 0.6}.get(place.role, 0.6)
            drawn[place.name] = scale * rng.standard_normal(dims)
    return drawn


def _features(place: Place) -> int:
    """Return which axis of one-hot rows runs over classes."""
    return next(number for number, axis in enumerate(place.axes) if axis in "nk")


def other_loss(
    calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array]
) -> tuple[dict[str, Array], dict[Path, Array]]:
    """Return values and seeds of another loss of the same states: other targets, and seeds twice as large."""
    moved = dict(values)
    for place in calling.given:
        if place.role == "target":
            moved[place.name] = (values[place.name] + 1) % calling.sizes["k"]
        elif place.role == "onehot":
            moved[place.name] = np.roll(values[place.name], 1, _features(place))
    return moved, {path: 2 * seed for path, seed in seeds.items()}


def bounded(subject: Subject, calling: Calling, seed: int) -> dict[str, Array]:
    """Draw as `values_for`; where the states then run away, start between 0 and 1, where many maps stay.

    Among numbers that grow from step to step, the last ones would hide a fault in all others.
    """
    values = values_for(calling, seed)
    if _largest(subject, calling, values) <= RUN_AWAY:
        return values
    rng = np.random.default_rng(seed)
    moving = [place for place in calling.given if place.role in ("input", "state")]
    near = {**values, **{place.name: rng.uniform(0.1, 0.9, shape(place, calling.sizes)) for place in moving}}
    return near if _largest(subject, calling, near) <= RUN_AWAY else values


def _largest(subject: Subject, calling: Calling, values: Mapping[str, Array]) -> float:
    found = read(subject.run(calling, values)[0], calling)
    return max(
        (float(np.abs(np.nan_to_num(array, nan=np.inf)).max(initial=0)) for array in found.values()), default=0.0
    )


def accepted(subject: Subject, calling: Calling, values: Mapping[str, Array]) -> Calling | str:
    """Return the calling convention with what is returned, or why this isn't how a recurrent cell behaves."""
    others = values_for(calling, 1)
    try:
        result = subject.run(calling, values)[0]
        returned = _returned(result, calling, values, subject.backward is None)
        if not returned:
            return "nothing that is returned has the shape of states, of outputs or of a loss"
        calling = replace(calling, returned=returned)
        base = read(result, calling)
        if not all(np.isfinite(array).all() for array in base.values()):
            return "the forward pass gives NaN or infinity"
        given = []
        for place in calling.given:
            if np.asarray(values[place.name]).dtype.kind != "f" or place.role in ("onehot", "mask"):
                given.append(place)
                continue
            moved = {**values, place.name: values[place.name] + 0.3 * others[place.name]}
            after = read(subject.run(calling, moved)[0], calling)
            if any(after[p].shape != base[p].shape or np.abs(after[p] - base[p]).max() > 1e-9 for p in base):
                given.append(place)
            elif place.role == "input":
                return f"nothing that is returned depends on {place.name}"
            elif place.path[0] not in AROUND:
                given.append(replace(place, role="unused"))
        if reason := _acausal(subject, calling, values, base):
            return reason
        if any(p.role == "index" and _is_continuous(subject, calling, values, base, p) for p in calling.given):
            return "what would be indices are numbers that act by their size"
        calling = replace(calling, returned=tuple(_settling(subject, calling, values, base)))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if sum(place.role == "unused" for place in given) * 2 > len(given):
        return "most of what is given isn't used"
    return replace(calling, given=tuple(given))


def _is_continuous(
    subject: Subject, calling: Calling, values: Mapping[str, Array], base: Mapping[Path, Array], place: Place
) -> bool:
    """Return whether numbers a little off change what is returned a little, which no index does."""
    given = tuple(replace(place, role="input") if other is place else other for other in calling.given)
    moved = {**values, place.name: values[place.name] + 1e-7}
    try:
        after = read(subject.run(replace(calling, given=given), moved)[0], calling)
        change = max(float(np.abs(after[path] - base[path]).max()) for path in base)
    except Exception:
        return False
    return 0 < change < 1e-4


def _returned(result: Any, calling: Calling, values: Mapping[str, Array], whole: bool) -> tuple[Place, ...]:
    """Return the sequences of states, final states, outputs and the loss among what was returned.

    There is a loss where there are targets, or where gradients are returned with it, the `whole` in one function.
    """
    places: list[Place] = []
    numbers: list[Place] = []  # an output that is one number at each step
    has_loss = whole or calling.has_targets
    has_batch = any("B" in place.axes for place in calling.given)
    starts = {_apart(place.axes) for place in calling.given if place.role == "state"}
    sizes = {name: d for name, d in calling.sizes.items() if has_batch or name != "B"}
    found = dict(leaves(result, depth=2))
    outer = {path for path in found if len(path) < 2}
    for path, array in _parts_of(found, calling).items():
        if array.shape == () and has_loss and np.issubdtype(array.dtype, np.inexact):
            places.append(Place(path, (), "loss"))
            continue
        axes = forms.told(array.shape, sizes)
        lead = next((axis for axis in axes if axis in ("T", "T+1")), "")
        feature = [axis for axis in axes if axis not in ("T", "T+1", "B", "1")]
        role = ROLES.get((lead, feature[0])) if len(feature) == 1 else None
        other = role is None and _apart(axes) in starts and bool(lead or feature)  # a state of another shape
        if other:
            role = "states" if lead else "final"
        if lead == "T" and not feature and array.dtype.kind == "f" and len(path) < 2:
            numbers.append(Place(path, axes, "outputs", _held(result, path)))
        if role is None or array.dtype.kind != "f":
            continue
        inner = path[: -1 if path and path[-1] in ("1:", ":-1") else None]
        if len(inner) > 1 and any(p.path in outer for p in places) and not _is_pair(result, inner[0], array):
            continue
        if not other and any(np.array_equal(array, value) for value in values.values()):
            continue
        places.append(Place(path, axes, role, _held(result, inner)))
    if has_loss:
        return tuple(place for place in places if place.role == "loss")[:1]
    return (*places, *numbers)


def _apart(axes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the axes of a value at one step of one sample."""
    return tuple(axis for axis in axes if axis not in ("T", "T+1", "B", "1"))


def _is_pair(result: Any, key: Any, array: Array) -> bool:
    """Return whether all that stands at a place is arrays like this one: the last states, not what was kept aside."""
    whole = result[key]
    return isinstance(whole, tuple) and all(isinstance(a, np.ndarray) and a.shape == array.shape for a in whole)


def _settling(
    subject: Subject, calling: Calling, values: Mapping[str, Array], base: Mapping[Path, Array]
) -> Iterator[Place]:
    """Yield what is returned, and of T + 1 states those that inputs move: the initial one stands before or after."""
    fresh = {p.name: p.role for p in calling.given if p.role in ("input", "index")}
    if not fresh:  # all is moved by the initial state; its steps are told apart by their values alone
        yield from (place for place in calling.returned if place.path[-1:] != (":-1",))
        return
    moved = {**values, **{name: values_for(calling, 4)[name] for name in fresh}}
    after = read(subject.run(calling, moved)[0], calling)
    for place in calling.returned:
        if place.path and place.path[-1] in ("1:", ":-1"):
            axis = place.axes.index("T")
            still = np.abs(after[place.path] - base[place.path]).max(
                tuple(a for a in range(len(place.axes)) if a != axis)
            )
            if not still.all():
                continue
        elif "T+1" in place.axes:
            ends = np.take(after[place.path] - base[place.path], 0, place.axes.index("T+1"))
            if np.abs(ends).max() > 0:
                continue
        yield place


def _parts_of(found: Mapping[Path, Array], calling: Calling) -> dict[Path, Array]:
    """Return arrays by place, with T of T + 1 steps under the marks "1:" and ":-1"."""
    long, arrays = calling.sizes["T"] + 1, {}
    for path, array in found.items():
        if array.ndim > 1 and long in array.shape:
            axis = array.shape.index(long)
            arrays[(*path, "1:")] = array.take(range(1, long), axis)
            arrays[(*path, ":-1")] = array.take(range(long - 1), axis)
        arrays[path] = array
    return arrays


def _held(result: Any, path: Path) -> str:
    """Return what holds the steps of an array that was returned."""
    for part in path:
        result = result[part]
    return "" if isinstance(result, np.ndarray) else "list"


def read(result: Any, calling: Calling) -> dict[Path, Array]:
    """Return the arrays of what was returned, by place."""
    found = _parts_of(dict(leaves(result, depth=2)), calling)
    return {place.path: found[place.path] for place in calling.returned}


def _acausal(subject: Subject, calling: Calling, values: Mapping[str, Array], base: Mapping[Path, Array]) -> str:
    """Return why time doesn't run along T, or samples mix along B: told from what a change of the input moves."""
    place = next((p for p in calling.given if p.role in ("input", "index")), None)
    if place is None:
        return ""

    def after_change(*samples: int) -> dict[Path, Array]:
        moved = np.array(values[place.name])
        for sample in samples:
            where = tuple({"T": 0, "B": sample}.get(axis, slice(None)) for axis in place.axes)
            moved[where] = moved[where] + 0.5 if place.role == "input" else (moved[where] + 1) % calling.sizes["m"]
        return read(subject.run(calling, {**values, place.name: moved})[0], calling)

    after = after_change(0)
    if "B" in place.axes and any(out.role == "loss" for out in calling.returned):
        other, both = after_change(1), after_change(0, 1)
        if any(np.abs(both[p] - other[p] - after[p] + base[p]).max() > 1e-9 * np.abs(base[p]).max() for p in base):
            return f"time or samples: what a change of one sample of {place.name} does to the loss depends on others"
    over_time = [out for out in calling.returned if "T" in out.axes]
    recalls = False
    for out in calling.returned:
        change = np.abs(after[out.path] - base[out.path]) > 1e-12
        order = [out.axes.index(axis) for axis in ("T", "B") if axis in out.axes]
        change = np.moveaxis(change, order, range(len(order)))
        change = change.reshape(*change.shape[: len(order)], -1).any(-1)
        if "B" in out.axes and change[..., 1:].any():
            return f"time or samples: a change of one sample of {place.name} moves others"
        first = change[..., 0] if "B" in out.axes else change
        recalls |= "T" in out.axes and bool(first[1:].any())
    if over_time and not recalls:
        return f"time: what is returned doesn't depend on earlier steps of {place.name}"
    return ""
