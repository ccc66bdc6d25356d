"""Examples of one's own, in arrays: a task for any model."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...derive.errors import Error, unreadable
from ...derive.interpret import size
from ...derive.model import Model
from ...derive.sizes import size_from
from ...derive.syntax import closest
from .batches import Array, Batch, Task, digest, examples


@dataclass(frozen=True)
class Examples:
    """Arrays that hold one example after the other.

    Attributes:
        source: where they come from, for messages.
        arrays: input or index of a model -> (examples, T, *shape), or (examples, *shape) for what has no steps; and,
            where sequences differ in length, axis of time -> (examples,), the steps of each that count.
    """

    source: str
    arrays: Mapping[str, Array]


def read(path: str | os.PathLike[str]) -> Examples:
    """Read a file that `numpy.savez` wrote. Nothing in it is executed: pickled objects are refused.

    Raises:
        Error: where there is no such file, or it isn't one of arrays of numbers.
    """
    name = Path(path)
    hint = "Write it with numpy.savez(path, x=..., y=...)."
    try:
        with name.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            found = {key: file[key] for key in file.files} if isinstance(file, np.lib.npyio.NpzFile) else None
    except (zipfile.BadZipFile, ValueError, EOFError):
        raise Error(f"{name}: not a whole .npz file of arrays of numbers. {hint}") from None
    except OSError as error:
        raise unreadable(name, error, hint) from None
    if found is None:
        raise Error(f"{name}: a single array without a name. {hint}")
    return Examples(name.name, found)


def sizes_of(model: Model, given: Examples) -> dict[str, int]:
    """Return the dimensions that examples fix for a model, those of time among them.

    The largest number in an index says how many entries it picks from, where nothing else does.

    Raises:
        Error: where an array is missing, unknown, of a wrong shape or kind, or not finite; where sizes don't agree.

    >>> from ...derive.model import load_model
    >>> words, classes = np.arange(60).reshape(10, 6), np.arange(10) % 4
    >>> sizes_of(load_model("many_to_one"), Examples("here", {"w": words, "y": classes}))
    {'T': 6, 'V': 60, 'k': 4}
    """
    told = {**model.inputs, **model.indices}
    _check_names(model, given)
    many = {key: array.shape[0] if array.ndim else 0 for key, array in given.arrays.items()}
    first = next(iter(told))
    if wrong := next((key for key in many if many[key] != many[first]), None):
        raise Error(f"{given.source}: {wrong} has {many[wrong]} examples, but {first} has {many[first]}")
    sizes: dict[str, int] = {}
    says: dict[str, str] = {}
    for name in told:
        shape, array = model.whole_shape(name), given.arrays[name]
        here = array.shape[1:]
        if len(here) != len(shape) or any(p.is_number and p != n for p, n in zip(shape, here, strict=True)):
            asked = ", ".join(["examples", *map(str, shape)])
            raise Error(f"{given.source}: {name} must have shape ({asked}), here {array.shape}")
        for dimension, number in zip(map(str, shape), here, strict=True):
            if dimension.isidentifier() and sizes.setdefault(dimension, number) != number:
                other = f"{says[dimension]} has {sizes[dimension]}"
                raise Error(f"{given.source}: {name} has {dimension} = {number}, but {other}")
            says.setdefault(dimension, name)
    largest: dict[str, int] = {}
    for name, (*_, entries) in model.indices.items():
        if entries.isidentifier() and entries not in sizes:
            largest[entries] = max(largest.get(entries, 0), int(given.arrays[name].max(initial=0)))
    sizes |= {entries: number + 1 for entries, number in largest.items()}
    _check_picks(model, given, sizes)
    for axis in model.axes:
        if axis in given.arrays:
            _check_lengths(axis, given, sizes)
    return sizes


def _check_names(model: Model, given: Examples) -> None:
    told = {**model.inputs, **model.indices}
    known = [*told, *model.axes]
    if missing := [name for name in told if name not in given.arrays]:
        reads, here = ", ".join(told), ", ".join(given.arrays) or "none"
        raise Error(f"{given.source}: array {', '.join(missing)} is missing; the model reads {reads}, here are {here}")
    if unknown := [name for name in given.arrays if name not in known]:
        raise Error(f"{given.source}: the model has no input '{unknown[0]}'. {closest(unknown[0], known)}")
    for name, array in given.arrays.items():
        kinds, what = ("fiub", "numbers") if name in model.inputs else ("iu", "whole numbers")
        if array.dtype.kind not in kinds:
            raise Error(f"{given.source}: {name} must hold {what}, this is {array.dtype}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            place = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
            raise Error(f"{given.source}: {name} holds {array[place]} at {place}; it must be finite")


def _check_picks(model: Model, given: Examples, sizes: Mapping[str, int]) -> None:
    for name, (*_, entries) in model.indices.items():
        array, whole = given.arrays[name], size_from(entries)
        if array.size and (array.min() < 0 or array.max() >= size(whole, sizes)):
            wrong = array.min() if array.min() < 0 else array.max()
            many = entries if whole.is_number else f"{entries} = {size(whole, sizes)}"
            raise Error(f"{given.source}: {name} holds {wrong}; it picks from {many} entries, from 0 on")


def _check_lengths(axis: str, given: Examples, sizes: Mapping[str, int]) -> None:
    counts = given.arrays[axis]
    if counts.ndim != 1 or (counts < 1).any() or (counts > sizes[axis]).any():
        raise Error(f"{given.source}: {axis} must hold the length of each example, from 1 to {sizes[axis]}")


def task(model: Model, given: Examples, held_out: float, batch: int, dtype: str, seed: int = 0) -> Task:
    """Return the task of learning from examples, in a new random order in each epoch.

    Args:
        model: any.
        given: the examples.
        held_out: share of the examples, the last, on which the model is judged.
        batch: examples of a step.
        dtype: in which the model reads numbers.
        seed: of the order.

    Raises:
        Error: where examples don't suit the model, or are too few.
    """
    sizes = sizes_of(model, given)
    many = len(next(iter(given.arrays.values())))
    numbers = np.arange(many)
    first = min(round(many * (1 - held_out)), many - 1)
    lengths = [axis for axis in model.axes if axis in given.arrays]
    numeric = {name: given.arrays[name].astype(dtype) for name in model.inputs}
    told = numeric | {name: given.arrays[name] for name in model.indices}
    stepped = {name for name in told if str(next(iter(model.whole_shape(name)), "")) in model.axes}

    def take(chosen: Array) -> Batch:
        parts = {name: array[chosen] for name, array in told.items()}
        inputs = {n: np.ascontiguousarray(part.swapaxes(0, 1)) if n in stepped else part for n, part in parts.items()}
        counts = {axis: given.arrays[axis][chosen] for axis in lengths}
        return Batch(inputs, _counted(model, sizes, counts, len(chosen)), lengths=counts)

    made = examples(given.source, sizes, take, numbers[:first], numbers[first:], batch, seed)
    shapes = {name: f"{array.dtype} {array.shape}" for name, array in given.arrays.items()}
    cut = {"batch": batch, "held_out": held_out}
    about = {"source": given.source, "digest": digest(given.arrays, shapes), "cut": cut}
    return replace(made, name="arrays", about=about)


def _counted(model: Model, sizes: Mapping[str, int], lengths: Mapping[str, Array], batch: int) -> int:
    """Return how many steps of a batch have a loss."""
    axes = [block.axis for block in model.blocks if block.losses]
    counts = [lengths.get(str(axis), np.full(batch, 1 if axis is None else sizes[str(axis)])) for axis in axes]
    return int(sum(count.sum() for count in counts))
