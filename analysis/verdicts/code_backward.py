"""What a backward pass wants to be given and which gradient is which in what it leaves, found by calling it."""

from __future__ import annotations

import itertools
import os
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...derive.errors import Error
from .code_adapter import Adapter, Array, Calling, Path, Place, shape
from .code_names import alike, is_gradients, plain
from .code_places import is_inside, leaves, likeness, spelled
from .code_reference import along, draw_seeds
from .code_returned import read
from .code_signatures import parameters, returned_names
from .code_subject import AROUND, Subject

Found = dict[Path, Array]


@dataclass(frozen=True)
class Raised(Exception):
    """The backward pass raises where it is called in the likeliest way.

    Attributes:
        calling: that way.
        line: in the file, 0 where it isn't in it.
        says: the error in a line.
    """

    calling: Calling
    line: int
    says: str


MOST = 400
PARTS = [("1:",), (":-1",)]  # of T + 1 states


def infer_backward(subject: Subject, calling: Calling, values: Mapping[str, Array]) -> Calling:
    """Find what the backward pass takes, by calling it until it runs and leaves arrays of the right shapes.

    Raises:
        Error: where no way to call it was found.
        Raised: where names say how to call it, and it raises.
    """
    if subject.backward is None:
        return calling
    said = ""
    best: tuple[int, Calling] | None = None
    raised: Raised | None = None
    for passed in itertools.islice(_ways(subject, calling, values), MOST):
        trial = replace(calling, passed=passed)
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                seeds = draw_seeds(subject, trial, values)
                left = left_behind(subject, trial, values, seeds)
        except Exception as error:
            said = said or f"{type(error).__name__}: {error}"
            line = line_of(error, subject.file)
            if line and raised is None:
                raised = Raised(trial, line, f"{type(error).__name__}: {error}")
            continue
        fitting = sum(any(a.shape == shape(p, calling.sizes) for a in left.values()) for p in _wanted(calling))
        if best is None or fitting > best[0]:
            best = fitting, trial
        if fitting == len(_wanted(calling)):
            ways = list(readings(trial))
            return next((w for w in ways if _is_right(subject, w, values)), trial) if len(ways) > 1 else trial
    if best is not None and best[0]:
        return best[1]
    if raised is not None:
        raise raised
    raise Error(
        f"{subject.name}: no way was found to call the backward pass with what the forward pass takes and returns "
        f"and gradients of its results.{f' The likeliest ended in {said}.' if said else ''} Give the gradients the "
        "names of what they belong to with a d before (dh for h), and caches the names under which they are returned"
    )


def readings(calling: Calling) -> Iterator[Calling]:
    """Yield a calling convention, and the same with gradients of T + 1 states taken for ones of T, or the reverse."""
    tapes: dict[Path, list[int]] = {}
    for number, place in enumerate(calling.returned):
        tapes.setdefault(place.path[:-1] if place.path[-1:] in PARTS else place.path, []).append(number)
    twins = {number: numbers for numbers in tapes.values() for number in numbers}
    yield calling
    for at, (name, source) in enumerate(calling.passed):
        if source[0] == "gradient" and len(source) == 2:
            for number in twins[int(source[1])]:
                if number != source[1]:
                    entry = (name, ("gradient", number))
                    yield replace(calling, passed=(*calling.passed[:at], entry, *calling.passed[at + 1 :]))


def _is_right(subject: Subject, calling: Calling, values: Mapping[str, Array]) -> bool:
    """Return whether the backward pass leaves what agrees with a slope of the loss, for all that is given."""
    rng = np.random.default_rng(5)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            seeds = draw_seeds(subject, calling, values)
            left = left_behind(subject, calling, values, seeds)
        except Exception:
            return False
        for place in _wanted(calling):
            dims = shape(place, calling.sizes)
            direction = rng.standard_normal(dims)
            slope = along(subject, calling, values, seeds, place.name, direction)
            found = [float(np.sum(a.reshape(dims) * direction)) for a in left.values() if a.size == direction.size]
            if not any(abs(one - slope) <= 1e-6 * (1 + abs(slope)) for one in found):
                return False
    return True


def line_of(error: BaseException, file: str) -> int:
    """Return the last line of their file that an error came through, 0 for none."""
    if not file:
        return 0
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno or 0 for frame in frames if os.path.abspath(frame.filename) == os.path.abspath(file)]
    return lines[-1] if lines else 0


def left_behind(subject: Subject, calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array]) -> Found:
    """Return every array that the backward pass returns or leaves in the object's attributes."""
    tree = subject.run_back(calling, values, seeds)
    found = {("result", *path): array for path, array in leaves(tree["result"], inside=True)}
    given = {place.path for place in calling.given}
    for path, array in leaves(tree["self"], ("self",), inside=True):
        if path not in given and np.issubdtype(array.dtype, np.number):
            found[path] = array
    entries = {path[: place + 1] for path in given for place, part in enumerate(path) if isinstance(part, int)}
    listed = set(Counter(path[:-1] for path in entries).values()) - {1}
    rows = {(*p, i): row for p, a in found.items() if a.ndim and len(a) in listed for i, row in enumerate(a)}
    several, steps = found.get(("result",), np.zeros(())), calling.sizes.get("T", 0)
    if isinstance(tree["result"], list) and several.ndim > 1 and len(several) not in (steps, steps + 1):
        rows |= {("result", i): row for i, row in enumerate(found.pop(("result",)))}  # gradients of one shape
    return found | rows


def match_gradients(
    subject: Subject, calling: Calling, left: Found, right: Mapping[str, Array], adapter: Adapter
) -> tuple[Calling, list[str]]:
    """Decide which array is whose gradient: by what is stated, by value, by name, by order.

    Returns:
        The calling convention, and sentences on what names or order decided.
    """
    names = _names(subject)
    labels = _labels(names, left)
    returned = {place.path for place in calling.returned} if subject.backward is None else set()
    pairs, wanted = [], _wanted(calling)
    in_turn = _in_turn(calling, left)
    for number, place in enumerate(wanted):
        dims = shape(place, calling.sizes)
        for order, (path, array) in enumerate(left.items()):
            if array.shape != dims and (array.size != int(np.prod(dims)) or array.shape == ()):
                continue
            if path[:-1] in left and not any(isinstance(part, int) for part in place.path):
                continue  # a row is of one of several
            given = adapter.gradients.get(labels[path]) == place.name
            agrees = _close(array.reshape(dims), right[place.name])
            like = _likeness(names, labels, path, place)
            other = max((_likeness(names, labels, path, p) for p in wanted if p is not place), default=0.0)
            if not given and not agrees and other > 1 and other > like:
                continue
            turn = in_turn.get(path) == place.name
            entry = _entries(path) == _entries(place.path) != []
            score = (given, agrees, like, turn, entry, path[0] == "result", array.shape == dims)
            likely = path[0] == "result" and path[1:] not in returned and (not labels[path] or labels[path][0] in "dg")
            said = [str(part).lstrip(".") for part in path[1:]] if path[0] == "self" else labels[path]
            named = like > 1 and (
                any(part[:1] in ("d", "g") for part in said)
                or path[0] == "result"
                and (subject.backward is not None or like > 2 and path[1:] not in returned)
            )
            if given or agrees or likely or named or turn:
                pairs.append((tuple(-float(part) for part in score), abs(order - number), number, path, place.name))
    taken: dict[Path, str] = {}
    notes: list[str] = []
    for rank, _, _, path, name in sorted(pairs, key=lambda pair: pair[:3]):
        if path in taken or path[:-1] in taken or name in taken.values():
            continue
        if not any(rank[:3]) and labels[path] and _likeness(names, labels, path, calling.place(name)) == 0:
            twins = [p for p in _wanted(calling) if shape(p, calling.sizes) == np.shape(left[path])]
            if len(twins) > 1:
                notes.append(f"{labels[path]} is taken for the gradient of {name} by its place among what is returned.")
        taken[path] = name
    return replace(calling, gradients=tuple(taken.items())), notes


def left_over(subject: Subject, calling: Calling, left: Found) -> list[str]:
    """Return the names of returned gradients that belong to nothing known; those of states may be of a step alone."""
    names, taken = _names(subject), [path for path, _ in calling.gradients]
    labels = _labels(names, left)
    found: dict[Path, str] = {}
    for path, array in left.items():
        name, (root, inner) = labels[path], _origin(names, path)
        is_part = path[:-1] in found or any(path[: len(other)] == other[: len(path)] for other in taken)
        is_known = plain(name)[:1] in ("h", "c", "s", "x") or any(
            _likeness(names, labels, path, place) > 1 for place in _wanted(calling)
        )
        if path[0] == "result" and array.ndim and not is_part and not is_known:
            if name and is_gradients(name):
                found[path] = name
            elif inner and is_gradients(root):
                found[path] = spelled(("result", root, *inner))
    return list(dict.fromkeys(found.values()))


def _names(subject: Subject) -> dict[Path, str]:
    """Return place -> the name that stands there in the last `return` of what gives the gradients."""
    return {("result", *path): name for path, name in returned_names(subject.backward or subject.forward).items()}


def _origin(names: Mapping[Path, str], path: Path) -> tuple[str, Path]:
    """Return the name under which an array is returned, or is part of what is, and the way to it from there."""
    start = next((end for end in range(len(path), 0, -1) if path[:end] in names), 0)
    return (names[path[:start]], path[start:]) if start else ("", path[1:])


def _likeness(names: Mapping[Path, str], labels: Mapping[Path, str], path: Path, place: Place) -> float:
    """Return how well the name of a gradient, or the whole way to it, goes with what it may be of."""
    return likeness(*_origin(names, path), place) if is_inside(place) else alike(labels[path], place.name)


def _entries(path: Path) -> list[int]:
    """Return which entries of lists the way to an array leads through, without the place of what is returned."""
    return [part for part in path[2 if path[0] == "result" else 1 :] if isinstance(part, int)]


def _in_turn(calling: Calling, left: Found) -> dict[Path, str]:
    """Return place -> parameter, for rows of arrays in which each has the shape of the parameter in its turn."""
    params = [place for place in calling.given if place.role == "param"]
    rows: dict[Path, list[Path]] = {}
    for path in left:
        if isinstance(path[-1], int) and (path[0] == "result" or str(path[-2])[0] in "dg"):
            rows.setdefault(path[:-1], []).append(path)
    found: dict[Path, str] = {}
    for row in rows.values():
        if [left[path].shape for path in row] == [shape(place, calling.sizes) for place in params]:
            found |= {path: place.name for path, place in zip(row, params, strict=True)}
    return found


def _labels(names: Mapping[Path, str], left: Found) -> dict[Path, str]:
    """Return the names under which arrays are returned or left."""
    labels = {path: names.get(path) or next((p for p in reversed(path[1:]) if isinstance(p, str)), "") for path in left}
    for path in left:
        if isinstance(path[-1], str) and path[-1] not in ("result", "self"):
            labels[path] = path[-1]
        elif isinstance(path[-1], int) and path not in names and (of := names.get(path[:-1]) or labels[path]):
            labels[path] = f"{of}[{path[-1]}]"
    return labels


def misshapen(subject: Subject, calling: Calling, left: Found) -> dict[str, tuple[int, ...]]:
    """Return parameter -> the shape of what has the name of its gradient, where that isn't the parameter's own."""
    taken = {name for _, name in calling.gradients}
    names = _names(subject)
    labels = _labels(names, left)
    return {
        place.name: array.shape
        for place in _wanted(calling)
        if place.role == "param" and place.name not in taken
        for path, array in left.items()
        if path[0] == "result"
        and _likeness(names, labels, path, place) > 2
        and array.shape != shape(place, calling.sizes)
    }


def gradients(calling: Calling, left: Found) -> dict[str, Array]:
    """Return name of what was given -> gradient as returned, in its layout."""
    return {
        name: np.asarray(left[path]).reshape(shape(calling.place(name), calling.sizes))
        for path, name in calling.gradients
        if path in left
    }


def _wanted(calling: Calling) -> list[Any]:
    return [place for place in calling.given if place.role in ("input", "state", "param")]


def _close(array: Array, right: Array) -> bool:
    scale = np.abs(right).max(initial=0.0)
    return bool(np.abs(array - right).max(initial=0.0) <= 1e-6 * scale + 1e-12)


def _ways(subject: Subject, calling: Calling, values: Mapping[str, Array]) -> Iterator[tuple[tuple[str, Path], ...]]:
    """Yield what may be passed for each argument, likelier ways first."""
    assert subject.backward is not None
    names = parameters(subject.backward, subject.make is not None)
    labels, alone = returned_names(subject.forward), returned_names(subject.forward, alone=True)
    result = subject.run(calling, values)[0]
    tapes = _tapes(result, calling)
    keys = range(len(result)) if isinstance(result, tuple) else result if isinstance(result, dict) else ()
    whole: list[Path] = [(), *((key,) for key in keys)]
    roots = list(dict.fromkeys(str(place.path[0]) for place in calling.given if place.path[0] not in AROUND))
    losses: list[Path] = [("gradient", index) for index in range(len(calling.returned))]
    finals = [i for i, place in enumerate(calling.returned) if place.role == "final"]
    pair: list[Path] = [("gradient", *finals)] if len(finals) > 1 else []
    options: list[list[Path]] = []
    for name in names:
        scored: list[tuple[int, Path]] = []
        scored += [(10, ("given", root)) for root in roots if root == name]
        same = [path for path, label in labels.items() if label == name and path in whole]
        scored += [(9 if path in alone else 8, ("result", *path)) for path in same]
        if scored:  # what has its name is meant, even if the code then raises
            options.append([source for _, source in sorted(scored, key=lambda entry: -entry[0])])
            continue
        if name[0] in "dg":
            for source in losses:
                label = labels.get(calling.returned[int(source[1])].path, "")
                scored.append((5 if source[1] in tapes else 6 + alike(name, label), source))
            scored += [(5, source) for source in pair]
        scored += [(3, ("result", *path)) for path in reversed(whole) if name[0] not in "dg"]
        scored += [(1, source) for source in (*losses, *pair) if name[0] not in "dg"]
        scored += [(1, ("given", root)) for root in roots if root != name]
        best = [source for _, source in sorted(scored, key=lambda entry: -entry[0])]
        options.append(list(dict.fromkeys(best))[:8])
    counts = [len(option) for option in options]
    for ranks in itertools.chain.from_iterable(_summing(counts, total) for total in range(sum(counts) + 1)):
        chosen = [option[rank] for option, rank in zip(options, ranks, strict=True)]
        told = [source for source in chosen if source[0] == "gradient"]
        if len(set(told)) == len(told):
            yield tuple(zip(names, chosen, strict=True))


def _tapes(result: Any, calling: Calling) -> list[int]:
    """Return the positions of T + 1 states of which T are returned by themselves: kept aside, not what a loss sees."""
    found = read(result, calling)
    alone = [found[place.path] for place in calling.returned if "T" in place.axes]
    return [
        number
        for number, place in enumerate(calling.returned)
        if "T+1" in place.axes
        for steps in (np.delete(found[place.path], start, place.axes.index("T+1")) for start in (0, -1))
        if any(np.array_equal(steps, other) for other in alone)
    ]


def _summing(counts: list[int], total: int) -> Iterator[tuple[int, ...]]:
    """Yield the places in rows of these lengths that add up to a total.

    >>> list(_summing([2, 3], 2))
    [(0, 2), (1, 1)]
    """
    if not counts:
        yield from [()] * (total == 0)
        return
    for first in range(min(total, counts[0] - 1) + 1):
        if total - first <= sum(counts[1:]) - len(counts[1:]):
            for rest in _summing(counts[1:], total - first):
                yield (first, *rest)
