"""Places in a tree of dictionaries, lists and objects: what stands there, what is put there, how they are called."""

from __future__ import annotations

import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from .code_adapter import Array, Attributes, Path, Place, wrapped
from .code_names import alike, plain

FOREIGN = {*sys.stdlib_module_names, "numpy", "torch", "scipy", "bptt"} - {"__main__"}
NOISE = ("", "g", "d", "grad", "grads", "gradients")  # words that say no more than that something is a gradient


def attributes(value: Any) -> dict[str, Any] | None:
    """Return the attributes of an object of a class that somebody wrote, None for anything else.

    >>> attributes(SimpleNamespace(W=1)), attributes({"W": 1})
    ({'W': 1}, None)
    """
    kind = type(value)
    if isinstance(value, type | FunctionType | ModuleType | dict | list | tuple):
        return None
    if kind is not SimpleNamespace and kind.__module__.split(".")[0] in FOREIGN:
        return None
    slots = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
    return {**{name: getattr(value, name) for name in slots if hasattr(value, name)}, **getattr(value, "__dict__", {})}


def items(tree: Any) -> list[tuple[str | int, Any]]:
    """Return what a dictionary, a list, a tuple or an object holds, by parts of a path; nothing for anything else."""
    if isinstance(tree, dict):
        return [(key, value) for key, value in tree.items() if isinstance(key, str)]
    if type(tree) in (list, tuple) or isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return list(enumerate(tree))
    return [(f".{name}", value) for name, value in (attributes(tree) or {}).items()]


def at(tree: Any, path: Path) -> Any:
    """Return what stands at a place of a tree."""
    for part in path:
        if part not in ("1:", ":-1"):
            tree = getattr(tree, str(part)[1:]) if _is_attribute(tree, part) else tree[part]
    return tree


def put(tree: Any, path: Path, value: Any) -> Any:
    """Put a value at a place of a tree; return the tree, anew where it is a tuple.

    >>> put({"layers": [(1, 2)]}, ("layers", 0, 1), 3)
    {'layers': [(1, 3)]}
    """
    part, *rest = path
    inner = put(at(tree, (part,)), tuple(rest), value) if rest else value
    if _is_attribute(tree, part):
        object.__setattr__(tree, str(part)[1:], inner)
    elif isinstance(tree, tuple):
        parts = [inner if place == part else one for place, one in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    else:
        tree[part] = inner
    return tree


def _is_attribute(tree: Any, part: str | int) -> bool:
    return isinstance(part, str) and part.startswith(".") and not (isinstance(tree, dict) and part in tree)


def arguments(places: tuple[Place, ...], values: Mapping[str, Array]) -> dict[str, Any]:
    """Return what is passed by name, with dictionaries, lists, tuples and objects built up."""
    built: dict[str, Any] = {}
    for place in places:
        value, (root, *rest) = wrapped(place, values[place.name]), place.path
        if len(rest) == 1 and isinstance(rest[0], int):
            built[str(root)] = (*built.get(str(root), ()), value)
        else:
            _build(built, (str(root), *rest), value)
    return built


def _build(tree: Any, path: Path, value: Any) -> None:
    """Put a value at a place that isn't there yet, with all that leads there."""
    part, *rest = path
    if not rest:
        if isinstance(tree, list):
            tree.append(value)
        else:
            put(tree, (part,), value)
        return
    empty: Any = [] if isinstance(rest[0], int) else Attributes()
    if isinstance(tree, list):
        if part == len(tree):
            tree.append(empty)
    elif part not in tree and not (_is_attribute(tree, part) and hasattr(tree, str(part)[1:])):
        put(tree, (part,), empty)
    _build(at(tree, (part,)), tuple(rest), value)


def leaves(tree: Any, path: Path = (), depth: int = 4, inside: bool = False) -> Iterator[tuple[Path, Array]]:
    """Yield the arrays in what a function returned; lists and dictionaries over time are also stacked up.

    Args:
        tree: what was returned.
        path: that leads to it.
        depth: how far to look.
        inside: whether to look into objects as well.
    """
    if isinstance(tree, np.ndarray | np.generic | float | int | complex) and not isinstance(tree, bool):
        yield path, np.asarray(tree)
        return
    if depth == 0 or not isinstance(tree, dict | list | tuple) and not inside:
        return
    within: list[tuple[Any, Any]] = list(tree.items()) if isinstance(tree, dict) else items(tree)
    if len(within) > 1 and all(isinstance(key, int) for key, _ in within) and not isinstance(tree, tuple):
        rows = [np.asarray(value) for key, value in sorted(within) if key >= 0 and isinstance(value, np.ndarray)]
        if rows and len({row.shape for row in rows}) == 1 and len(rows) >= len(within) - 1:
            yield path, np.stack(rows)
            return
    for key, value in within:
        yield from leaves(value, (*path, key), depth - 1, inside)


def spelled(path: Path) -> str:
    """Return how a place is written, without what holds it all.

    >>> spelled(("self", "layers", 0, ".W")), spelled(("p", "fwd", "U"))
    ('layers[0].W', 'fwd.U')
    """
    first, *rest = path[1:]
    parts = [f"[{part}]" if isinstance(part, int) else f".{str(part).lstrip('.')}" for part in rest]
    return str(first).lstrip(".") + "".join(parts) if isinstance(first, str) else f"{path[0]}[{first}]{''.join(parts)}"


def distinct(places: tuple[Place, ...]) -> tuple[Place, ...]:
    """Return places with names of which no two are one: spelled out where their last parts are."""
    often = Counter(place.name for place in places)
    return tuple(replace(p, label=spelled(p.path)) if often[p.name] > 1 and p.path[1:] else p for p in places)


def is_inside(place: Place) -> bool:
    """Return whether a weight is told by the whole way to it: one in a list, or whose last name others have too."""
    return place.role == "param" and re.search(r"[.\[]", place.name) is not None


def likeness(name: str, path: Path, place: Place) -> float:
    """Return how well the whole way to a gradient goes with that to a weight: from 2 to 3, or 0 for not at all.

    Args:
        name: under which the gradient is returned or left.
        path: of the gradient, from what has that name.
        place: of the weight.

    >>> layers = [Place(("self", "layers", l, ".W"), ("n", "n"), "param", label=f"layers[{l}].W") for l in (0, 1)]
    >>> [likeness("grads", (1, "W"), place) for place in layers], [likeness("dW", (1,), place) for place in layers]
    ([0, 2.5], [0, 2.5])
    """
    *others, last = [part.lstrip(".") for part in place.path[1:] if isinstance(part, str)] or [str(place.path[0])]
    entries = [part for part in place.path if isinstance(part, int)]
    if [part for part in path if isinstance(part, int)] != entries:
        return 0
    words = [_words(text) for text in (name, *path) if isinstance(text, str)]
    if not any(alike(run, last) == 3 for row in words for run in _runs(row)):
        return 0
    found = sum(any(_shortened(word, other.lower()) for row in words for word in row) for other in others)
    return 2 + (1 + found) / (1 + len(others))


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^A-Za-z0-9]+", name) if word not in NOISE]


def _runs(words: list[str]) -> Iterator[str]:
    """Yield the names that words which follow each other make: W, z, W_z."""
    for start, end in itertools.combinations(range(len(words) + 1), 2):
        yield "_".join(words[start:end])


def _shortened(word: str, other: str) -> bool:
    """Return whether one word begins the other, with or without what says that it is a gradient's."""
    return any(one and (other.startswith(one) or one.startswith(other)) for one in (word.lower(), plain(word)))
