"""What is fixed around a forward pass: by objects, modules and closures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .code_adapter import Adapter, Array, Construct, Path, Place, pieces
from .code_names import kind
from .code_places import distinct, items
from .code_signatures import is_float, parameters, sizes_with_defaults
from .code_subject import Subject, cells

DEEPEST = 6  # parts of a path


@dataclass(frozen=True)
class Setting:
    """What is fixed before shapes are searched for.

    Attributes:
        construct: positional numbers for the class, or lists of them.
        own: arrays that objects, modules and closures hold already.
        sizes: that they fix.
    """

    construct: Construct
    own: tuple[Place, ...]
    sizes: Mapping[str, int]


def settings(subject: Subject, sizes: dict[str, int], adapter: Adapter) -> Iterator[Setting]:
    """Yield what objects, modules and closures fix, with the positional numbers of the class."""
    around = tuple(_around(subject, adapter))
    if subject.make is None or not subject.is_class:
        held = [*around, *(_held("self", vars(subject.make())) if subject.make is not None else [])]
        if not held:
            yield Setting((), (), sizes)
        for fixed in _fixed(held, sizes):
            own = _axes_of(held, fixed, True)
            if own is not None:
                yield Setting((), own, fixed)
        return
    for construct in _constructs(subject, sizes):
        try:
            owner = subject.built(construct)
        except Exception:
            continue
        subject.prototypes[construct] = owner
        held = [*around, *_held("self", vars(owner))]
        told = _axes_of(held, sizes, True) if construct else None
        if told is not None:
            yield Setting(construct, told, sizes)
            if len(construct) < 3:  # the classes may be as many as the inputs
                yield Setting(construct, told, {**sizes, "k": sizes["m"]})
            continue
        for fixed in _fixed(held, sizes):
            own = _axes_of(held, fixed, True)
            if own is not None:
                yield Setting(construct, own, fixed)
    if parameters(subject.make, False):
        yield Setting((), (), sizes)


def _constructs(subject: Subject, sizes: Mapping[str, int]) -> Iterator[Construct]:
    """Yield positional numbers for the class, in every order that its arguments may have; then lists for one of them.

    A list has a number for each of two layers, the inputs before them or not.
    """
    assert subject.make is not None
    names = [*parameters(subject.make, False), *sizes_with_defaults(subject.make)]
    likely = {"x": "m", "input": "m", "in": "m", "vocab": "m", "D": "m", "embedding": "m", "feature": "m"}
    likely |= {"hidden": "n", "h": "n", "H": "n", "units": "n", "state": "n", "out": "k", "y": "k", "class": "k"}
    guess = tuple(next((size for part, size in likely.items() if part in name), "n") for name in names)
    orders = [guess, *itertools.permutations("mnk", len(names))] if len(names) <= 3 else [guess]
    for order in dict.fromkeys(orders):
        yield tuple(sizes[name] for name in order)
    for place, layers in itertools.product(range(len(names)), ("mnn", "nn")):
        listed = tuple(sizes[name] for name in layers)
        yield tuple(listed if at == place else sizes[name] for at, name in enumerate(guess))


def _around(subject: Subject, adapter: Adapter) -> Iterator[tuple[Path, Array]]:
    """Yield the arrays of the module and of closures that the functions read."""
    scope = getattr(subject.forward, "__globals__", {})
    if subject.module is not None and scope is vars(subject.module):
        functions = [v for v in scope.values() if getattr(v, "__module__", "") == subject.module.__name__]
        codes = [f.__code__ for f in functions if hasattr(f, "__code__")]
        read = {name for code in codes for name in code.co_names}
        yield from _held("global", {name: value for name, value in scope.items() if name in read})
    code = getattr(subject.forward, "__code__", None)
    inner = {name: cells(subject, name)[0].cell_contents for name in getattr(code, "co_freevars", ())}
    yield from _held("closure", {name: value for name, value in inner.items() if is_float(value)})


def _held(root: str, scope: Mapping[str, Any]) -> list[tuple[Path, Array]]:
    """Return the arrays in a scope, and in its dictionaries, lists and objects; of one object in two places once."""
    met: set[int] = set()
    found = [entry for name, value in scope.items() for entry in _arrays(value, (root, name), met)]
    return [(path, value) for path, value in found if value.ndim]


def _arrays(value: Any, path: Path, met: set[int]) -> Iterator[tuple[Path, Array]]:
    if is_float(value):
        yield path, value
    elif len(path) < DEEPEST and id(value) not in met:
        met.add(id(value))
        for part, inner in items(value):
            yield from _arrays(inner, (*path, part), met)


def _fixed(held: list[tuple[Path, Array]], sizes: dict[str, int]) -> Iterator[dict[str, int]]:
    """Yield sizes by which the lengths of arrays that are there already can be told."""
    lengths = sorted({d for _, value in held for d in value.shape if d > 1})
    square = [d for d in lengths if any(value.shape == (d, d) for _, value in held)]
    ranked = sorted(lengths, key=lambda d: (d not in square, d))
    for n in ranked:
        for m in sorted(lengths, key=lambda d: d == n):
            for k in dict.fromkeys((m, *lengths)):
                yield {**sizes, "n": n, "m": m, "k": k, **_apart(sizes, {n, m, k})}


def _apart(sizes: Mapping[str, int], taken: set[int]) -> dict[str, int]:
    """Return numbers of steps and samples that no other size equals."""
    free = [d for d in range(3, 20) if d not in taken and d + 1 not in taken and d - 1 not in taken]
    batch = sizes["B"] if sizes["B"] not in taken else free[0]
    steps = next((d for d in (sizes["T"], *free) if d not in taken and d + 1 not in taken and d not in (batch, 3)), 6)
    return {"B": batch, "T": steps}


def _axes_of(held: list[tuple[Path, Array]], sizes: Mapping[str, int], every: bool) -> tuple[Place, ...] | None:
    """Return the arrays with their axes told from their lengths; None where some can't be told and all should be."""
    known = {1: "1"}
    for axis in ("n", "m", "k", "4*n", "3*n", "2*n", "n+m", "5*n", "6*n"):
        known.setdefault(sum(sizes[piece] for piece in pieces(axis)), axis)
    places = []
    for path, array in held:
        if all(size in known for size in array.shape):
            axes = tuple(known[size] for size in array.shape)
            if sizes["m"] == sizes["k"] and (
                not any("n" in axis for axis in axes) or kind(str(path[-1])).startswith("readout")
            ):
                axes = tuple("k" if axis == "m" else axis for axis in axes)
            places.append(Place(path, axes, "param"))
        elif every and max(array.shape) > 2:
            return None
    return distinct(tuple(places))
