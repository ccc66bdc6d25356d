"""What a forward pass wants to be given, found by calling it: layouts, orders of axes, sizes of parameters."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...derive.errors import Error
from .code_adapter import SIZES, Adapter, Array, Calling, Path, Place, leaves, pieces, shape, stated
from .code_names import OPTIONS, groups, role
from .code_subject import Subject, is_float, keys_read, parameters

STATE_EXAMPLE = 'Adapter(shapes={"x": "B, T, m", "Wx": "m, 4*n"}, roles={"x": "input"})'


@dataclass(frozen=True)
class Form:
    """A layout of sequences.

    Attributes:
        axes: of a sequence, "*" for its features.
        state: axes of an initial state.
        held: what the first axis is.
        says: in a sentence.
    """

    axes: tuple[str, ...]
    state: tuple[str, ...]
    held: str
    says: str


FORMS = (
    Form(("T", "B", "*"), ("B", "*"), "", "Sequences are (T, B, features)."),
    Form(("B", "T", "*"), ("B", "*"), "", "Sequences are (B, T, features)."),
    Form(("T", "B", "*"), ("B", "*"), "list", "Sequences are lists over time of (B, features)."),
    Form(("T", "*", "1"), ("*", "1"), "list", "Sequences are lists over time of column vectors (features, 1)."),
    Form(("T", "*", "B"), ("*", "B"), "list", "Sequences are lists over time of (features, B)."),
    Form(("*", "B", "T"), ("*", "B"), "", "Sequences are (features, B, T)."),
    Form(("T", "*"), ("*",), "", "One sequence at a time, (T, features)."),
    Form(("T", "*", "1"), ("*", "1"), "", "One sequence at a time, (T, features, 1)."),
    Form(("T", "*"), ("*",), "list", "One sequence at a time, a list of vectors."),
    Form(("*", "T"), ("*", "1"), "", "One sequence at a time, (features, T)."),
    Form(
        ("T", "*", "1"), ("*", "1"), "dict", "Sequences are dictionaries of column vectors (features, 1), keyed by t."
    ),
)
TOKENS = "Inputs are indices, read as one-hot vectors."
GATES = (1, 4, 3, 2)
LARGEST_SEARCH = 30_000


def infer_forward(subject: Subject, adapter: Adapter) -> tuple[Calling, Form]:
    """Find what the forward pass takes, by calling it until it gives states or a loss that fit.

    Raises:
        Error: where nothing fits, with the last thing that the code said and what to state.
    """
    sizes = {**SIZES, **adapter.sizes}
    tried, said = 0, ""
    for calling, form in _candidates(subject, adapter, sizes):
        tried += 1
        if tried > LARGEST_SEARCH:
            break
        try:
            found = _accepted(subject, calling, form)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            continue
        if found is not None:
            return found, form
    last = f" The last of {tried} tries ended in {said}." if said else ""
    raise Error(
        f"{subject.name}: no layout and shapes were found with which the forward pass runs and gives states.{last} "
        f"State what its arguments are: adapter={STATE_EXAMPLE}, in sizes T, B, m (inputs), n (states), k (classes)"
    )


def values_for(calling: Calling, seed: int = 0) -> dict[str, Array]:
    """Draw numbers for all that is given: weights of order 1/sqrt(columns) and more, states that aren't 0."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Array] = {}
    for place in calling.given:
        dims = shape(place, calling.sizes)
        if place.role in ("index", "target"):
            drawn[place.name] = rng.integers(0, calling.sizes["m" if place.role == "index" else "k"], dims)
        else:
            scale = {"input": 1.0, "state": 0.6}.get(place.role, 0.6)
            drawn[place.name] = scale * rng.standard_normal(dims)
    return drawn


def _candidates(subject: Subject, adapter: Adapter, sizes: Mapping[str, int]) -> Iterator[tuple[Calling, Form]]:
    method = subject.make is not None
    names = parameters(subject.forward, method)
    roles = {name: adapter.roles.get(name) or role(name) for name in names}
    keys = {name: keys_read(subject.forward, name, subject.text) for name in names}
    if method and not adapter.roles:
        roles = {n: "input" if r == "param" else r for n, r in roles.items()}
    if "input" not in roles.values() and names:
        unknown = [name for name in names if roles[name] in ("param", "target") and not keys[name]]
        if unknown:
            roles[unknown[0]] = "input"
    params: list[Path] = []
    for name in names:
        if roles[name] in ("group", "param") and keys[name]:
            params += [(name, key) for key in keys[name]]
        elif roles[name] == "param":
            params.append((name,))
    constructs = _constructs(subject, sizes)
    for construct, seen in constructs:
        own = _attributes(subject, construct, seen)
        if own is None:
            continue
        for form in FORMS:
            for tokens in (False, True):
                if tokens and form.held != "list":
                    continue
                outer = _outer(names, roles, keys, form, tokens, adapter, len(params))
                for around in outer:
                    for inner in _parameters(params, form, adapter):
                        given = tuple(sorted((*around, *inner), key=lambda place: names.index(str(place.path[0]))))
                        yield Calling((*given, *own), (), (), (), seen, construct), form


def _outer(
    names: list[str],
    roles: dict[str, str],
    keys: Mapping[str, list[str]],
    form: Form,
    tokens: bool,
    adapter: Adapter,
    params: int,
) -> Iterator[list[Place]]:
    """Yield inputs, states and targets in a layout; a state may be a tuple of two."""
    options: list[list[list[Place]]] = []
    for name in names:
        if name in adapter.shapes and roles[name] in ("input", "state", "target"):
            options.append([[stated(name, adapter.shapes[name], roles[name])]])
        elif roles[name] == "input":
            place = Place((name,), tuple("m" if axis == "*" else axis for axis in form.axes), "input", form.held)
            options.append([[Place((name,), ("T",), "index", "list") if tokens else place]])
        elif roles[name] == "target":
            options.append([[Place((name,), ("T",), "target", "list")]])
        elif roles[name] == "state":
            axes = tuple("n" if axis == "*" else axis for axis in form.state)
            pair = [Place((name, 0), axes, "state"), Place((name, 1), axes, "state")]
            options.append([[Place((name,), axes, "state")], pair])
    for chosen in itertools.product(*options):
        yield [place for places in chosen for place in places]


def _parameters(paths: list[Path], form: Form, adapter: Adapter) -> Iterator[tuple[Place, ...]]:
    """Yield shapes of all parameters: row or column, gates in one array or several, [h; x] or separate."""
    if not paths:
        yield ()
        return
    names = {path: str(path[-1]) for path in paths}
    column = form.axes[-1] in ("1", "B", "T")
    for grouping in groups(list(names.values())):
        used = list(dict.fromkeys(grouping[name] for name in names.values()))
        for kinds in itertools.product(*(OPTIONS[group] for group in used)):
            chosen = dict(zip(used, kinds, strict=True))
            for gates in GATES:
                for row in (False, True) if column else (True, False):
                    for bias in (0, 1) if column else (1, 2):
                        yield tuple(
                            stated(names[path], adapter.shapes[names[path]], "param")
                            if names[path] in adapter.shapes and len(path) == 1
                            else Place(
                                path, _axes(chosen[grouping[names[path]]], names[path], gates, row, bias), "param"
                            )
                            for path in paths
                        )


def _axes(kind: str, name: str, gates: int, row: bool, bias: int) -> tuple[str, ...]:
    rows = "n" if gates == 1 else f"{gates}*n"
    if kind == "readout":
        if name[0] in "bc":
            return (("k", "1"), ("k",), ("1", "k"))[bias]
        return ("n", "k") if row else ("k", "n")
    if kind == "bias":
        return ((rows, "1"), (rows,), ("1", rows))[bias]
    columns = {"x": "m", "h": "n", "stacked": "n+m"}[kind]
    return (columns, rows) if row else (rows, columns)


def _constructs(subject: Subject, sizes: Mapping[str, int]) -> Iterator[tuple[tuple[int, ...], dict[str, int]]]:
    """Yield positional arguments of the class, with the sizes that they stand for."""
    if subject.make is None:
        yield (), dict(sizes)
        return
    if not isinstance(subject.make, type):
        for m, n in itertools.permutations(_lengths(subject.make()), 2):
            yield (), {**sizes, "m": m, "n": n}
        return
    count = len(parameters(subject.make, False))
    orders: dict[int, list[tuple[str, ...]]] = {
        0: [()],
        1: [("n",)],
        2: [("m", "n"), ("n", "m")],
        3: [("m", "n", "k"), ("n", "m", "k")],
    }
    for order in orders.get(count, []):
        yield tuple(sizes[name] for name in order), dict(sizes)


def _lengths(owner: Any) -> list[int]:
    return sorted({d for v in vars(owner).values() if is_float(v) for d in v.shape})


def _attributes(subject: Subject, construct: tuple[int, ...], sizes: Mapping[str, int]) -> tuple[Place, ...] | None:
    """Return the arrays that a fresh object holds, with their axes told from their lengths."""
    if subject.make is None:
        return ()
    try:
        owner = subject.make(*construct)
    except Exception:
        return None
    subject.prototypes[construct] = owner
    known = {1: "1"}
    for axis in ("n", "m", "k", "4*n", "3*n", "2*n", "n+m"):
        known.setdefault(sum(sizes[piece] for piece in pieces(axis)), axis)
    places = []
    for name, value in vars(owner).items():
        held: dict[Path, Array] = {(name,): value} if is_float(value) else {}
        if isinstance(value, dict):
            held = {(name, key): part for key, part in value.items() if is_float(part) and isinstance(key, str)}
        for path, array in held.items():
            if array.ndim and all(size in known for size in array.shape):
                places.append(Place(("self", *path), tuple(known[size] for size in array.shape), "param"))
    return tuple(places)


def _accepted(subject: Subject, calling: Calling, form: Form) -> Calling | None:
    """Return the calling convention with what is returned, if the forward pass behaves like a recurrent cell's."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values, others = values_for(calling), values_for(calling, 1)
        result, owner, _ = subject.run(calling, values)
        returned = _returned(result, calling, form)
        if not returned:
            return None
        calling = replace(calling, returned=returned)
        base = read(result, calling)
        if not all(np.isfinite(array).all() for array in base.values()):
            return None
        used = []
        for place in calling.given:
            if place.role in ("index", "target"):
                used.append(place)
                continue
            moved = {**values, place.name: values[place.name] + 0.3 * others[place.name]}
            after = read(subject.run(calling, moved)[0], calling)
            if any(np.abs(after[path] - base[path]).max() > 1e-9 for path in base):
                used.append(place)
            elif place.path[0] != "self" and place.role != "state":
                return None
        if not _causal(subject, calling, values, base):
            return None
    dead = tuple(place for place in calling.given if place not in used)
    return replace(calling, given=tuple(p for p in calling.given if p not in dead or p.path[0] != "self"))


def _returned(result: Any, calling: Calling, form: Form) -> tuple[Place, ...]:
    """Return the sequences of states, final states and the loss among what was returned."""
    states = tuple("n" if axis == "*" else axis for axis in form.axes)
    final = tuple("n" if axis == "*" else axis for axis in form.state)
    sizes = calling.sizes
    whole = shape(Place((), states, ""), sizes), shape(Place((), final, ""), sizes)
    places: list[Place] = []
    has_target = any(place.role == "target" for place in calling.given)
    for path, array in leaves(result, depth=2):
        held = "" if isinstance(_reached(result, path), np.ndarray) else "list"
        if array.shape == whole[0]:
            places.append(Place(path, states, "states", held))
        elif array.shape == whole[1]:
            places.append(Place(path, final, "final"))
        elif array.shape == () and has_target and np.issubdtype(array.dtype, np.inexact):
            places.append(Place(path, (), "loss"))
    losses = [place for place in places if place.role == "loss"]
    if has_target:
        return tuple(losses)
    return tuple(places) if any(place.role in ("states", "final") for place in places) else ()


def _reached(result: Any, path: Path) -> Any:
    for part in path:
        result = result[part]
    return result


def read(result: Any, calling: Calling) -> dict[Path, Array]:
    """Return the arrays of what was returned, by place."""
    found = dict(leaves(result, depth=2))
    return {place.path: found[place.path] for place in calling.returned}


def _causal(subject: Subject, calling: Calling, values: Mapping[str, Array], base: Mapping[Path, Array]) -> bool:
    """Return whether time runs along T and samples along B don't mix: told from what a change of the input moves."""
    place = next((p for p in calling.given if p.role == "input"), None)
    if place is None:
        return True
    axes = place.axes
    moved = np.array(values[place.name])
    moved[tuple(0 if axis in "TB" else slice(None) for axis in axes)] += 0.5
    after = read(subject.run(calling, {**values, place.name: moved})[0], calling)
    for out in calling.returned:
        if out.role != "states":
            continue
        change = np.abs(after[out.path] - base[out.path]) > 1e-12
        order = [out.axes.index(axis) for axis in ("T", "B") if axis in out.axes]
        change = np.moveaxis(change, order, range(len(order)))
        change = change.reshape(*change.shape[: len(order)], -1).any(-1)
        first = change[:, 0] if change.ndim == 2 else change
        if not first[1:].any() or change.ndim == 2 and change[:, 1:].any():
            return False
    return True
