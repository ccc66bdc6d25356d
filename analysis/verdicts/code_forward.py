"""What a forward pass wants to be given, found by calling it: layouts, orders of axes, sizes of parameters."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...derive.errors import Error
from . import code_forms as forms
from .code_adapter import SIZES, Adapter, Array, Attributes, Calling, Path, Place, leaves, pieces, shape, stated
from .code_forms import FORMS, Form, Option
from .code_names import kind, role
from .code_search import Conflict, Seen, search, tagged, watched
from .code_subject import (
    AROUND,
    Hung,
    Subject,
    cells,
    is_float,
    keys_read,
    numpy_with,
    optional_names,
    parameters,
    parts_read,
    sizes_with_defaults,
)

SQUARE = {"m": SIZES["n"]}  # for cells that add their inputs to their states
# How many runs of the forward pass each layout is worth, and the sizes that differ.
EFFORTS: tuple[tuple[int, Mapping[str, int]], ...] = ((800, {}), (800, SQUARE), (4000, {}))
BLINDLY = 40  # runs of compiled code with shapes that aren't alike
BLIND = {"target": ("list",), "index": ("list",), "size": ("",)}  # what can't be tagged
LARGEST_GROUP = 60  # parameters
REFUSED = 40  # of them that run but don't behave like a recurrent cell


@dataclass(frozen=True)
class Setting:
    """What is fixed before shapes are searched for.

    Attributes:
        construct: positional numbers for the class.
        own: arrays that objects, modules and closures hold already.
        sizes: that they fix.
    """

    construct: tuple[int, ...]
    own: tuple[Place, ...]
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class Argument:
    """An argument of the forward pass, or of what makes it.

    Attributes:
        path: of what is passed: ("x",), ("params", "Wf"), ("make", "W").
        role: that its name suggests.
        optional: whether it may be left out.
        label: a name for what has only a position.
    """

    path: Path
    role: str
    optional: bool = False
    label: str = ""

    @property
    def name(self) -> str:
        """Under which its shape is searched for."""
        return "/".join(map(str, self.path))


def infer_forward(subject: Subject, adapter: Adapter) -> tuple[Calling, Form]:
    """Find what the forward pass takes, by calling it until it gives states or a loss that fit.

    Raises:
        Error: where nothing fits, with the last thing that the code said and what to state.
    """
    said: list[str] = []
    fallback: tuple[Calling, Form] | None = None
    for most, sizes in EFFORTS:
        for setting in _settings(subject, {**SIZES, **sizes, **adapter.sizes}, adapter):
            for named in _arguments(subject, adapter, setting):
                for form in FORMS:
                    found = _Trial(subject, adapter, setting, named, form, said).result(most)
                    if found is None:
                        continue
                    calling = _settled(subject, found)
                    if all(place.role != "unused" for place in calling.given):
                        return calling, form
                    fallback = fallback or (calling, form)
                if fallback is not None:
                    return fallback
    raise Error(_nothing_found(subject, adapter, said))


class _Asked(Exception):
    """The code asks for a parameter that wasn't known of."""

    def __init__(self, argument: Argument) -> None:
        super().__init__(argument.name)
        self.argument = argument


class _Trial:
    """The search for shapes in one layout."""

    def __init__(
        self,
        subject: Subject,
        adapter: Adapter,
        setting: Setting,
        named: tuple[Argument, ...],
        form: Form,
        said: list[str],
    ) -> None:
        self.subject, self.setting, self.form, self.said, self.adapter = subject, setting, form, said, adapter
        self.drawn: dict[Place, Array] = {}
        self.refused = self.blind = 0
        self.groups = list(dict.fromkeys(a.path[:-1] for a in named if isinstance(a.path[-1], str) and a.path[1:]))
        self.groups += [a.path for a in named if a.role == "group"]
        self.domains: dict[str, list[Option]] = {}
        self.names: list[str] = []  # in the order of the arguments
        for argument in named:
            self._add(argument)
        self.found: Calling | None = None

    def _add(self, argument: Argument) -> None:
        """Add what an argument may be; biases go by weights, states and targets by both."""
        self.names.append(argument.name)
        self.domains[argument.name] = _domain(argument, self.form, self.adapter)
        last = {
            name: (len(options) < 20, "bias" in kind(name.split("/")[-1])) for name, options in self.domains.items()
        }
        self.domains = dict(sorted(self.domains.items(), key=lambda item: last[item[0]]))

    def result(self, most: int) -> Calling | None:
        """Return the calling convention without what concerns the backward pass, or None."""
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(LARGEST_GROUP):
                try:
                    search(self.domains, self.attempt, most)
                    if self.found is None and self.blind:
                        self._alike()
                except _Asked as asked:
                    self._add(asked.argument)
                else:
                    break
        return self.found

    def _alike(self) -> None:
        """Try shapes in which all parameters are alike: rows or columns, as many gates; [h; x] or separate."""
        tried = set()
        for turn, gates, stacked, bias in itertools.product((False, True), forms.GATES, (False, True), range(3)):
            at = {}
            for name, options in self.domains.items():
                free = options[0] and options[0][0].role == "param"
                wanted = [o for o in options if free and o and forms.is_alike(o[0], turn, gates, stacked, bias)]
                at[name] = (wanted or options)[0]
            key = tuple(at.values())
            if key not in tried:
                tried.add(key)
                if self.attempt(at) is None:
                    return

    def _asked(self, error: Exception) -> None:
        """Raise where the code asks a group of parameters for one that isn't known yet."""
        key = ""
        if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
            key = error.args[0]
        elif isinstance(error, AttributeError) and isinstance(error.obj, Attributes):
            key = f".{error.name}"
        path = (*self.groups[0], key) if len(self.groups) == 1 else ()
        if key and path and "/".join(map(str, path)) not in self.domains:
            raise _Asked(Argument(path, "param"))

    def attempt(self, options: dict[str, Option]) -> Iterable[str] | None:
        """Return None where these shapes will do, else the arguments whose shapes don't go together."""
        given = tuple(place for name in self.names for place in options[name])
        calling = Calling((*given, *self.setting.own), (), (), (), self.setting.sizes, self.setting.construct)
        owners = {place.name: name for name, option in options.items() for place in option}
        blind = {owners[place.name] for place in given if place.held in BLIND.get(place.role, ())}
        for place in calling.given:
            if place not in self.drawn:
                self.drawn[place] = values_for(replace(calling, given=(place,)))[place.name]
        values = {place.name: self.drawn[place] for place in calling.given}
        tags = {name: tagged(value, owners[name]) for name, value in values.items() if name in owners}
        Seen.clear()
        try:
            with numpy_with(self.subject, watched):
                self.subject.run(calling, {**values, **tags})
        except Hung:
            self.said.append(f"a run that was still computing after {self.subject.patience:g} s")
            return ()
        except Conflict as conflict:
            self._say(conflict)
            return conflict.names
        except Exception as error:
            self._asked(error)
            self._say(error)
            used = Seen.used | Seen.asked | blind
            if used:
                return used
            if self._fails(calling, values):  # compiled code: arrays don't see what is done with them
                self.blind += 1
                return tuple(options) if self.blind < BLINDLY else ()
        found = accepted(self.subject, calling, values)
        if isinstance(found, str):
            self.said.append(found)
            self.refused += 1
            return () if found.startswith("time") or self.refused > REFUSED else tuple(options)
        self.found = found
        return None

    def _say(self, error: Exception) -> None:
        text = str(error) if isinstance(error, Conflict) else f"{type(error).__name__}: {error}"
        self.said.append(text)

    def _fails(self, calling: Calling, values: Mapping[str, Array]) -> bool:
        try:
            self.subject.run(calling, values)
        except Exception:
            return True
        return False


def _domain(argument: Argument, form: Form, adapter: Adapter) -> list[Option]:
    """Return what an argument may be in a layout, likelier options first."""
    path, name = argument.path, argument.label or str(argument.path[-1]).lstrip(".")
    if name in adapter.shapes:
        role = argument.role if argument.role in ("input", "state", "target", "param") else "param"
        role = "onehot" if role == "target" and len(adapter.shapes[name].split(",")) > 1 else role
        return [(replace(stated(name, adapter.shapes[name], role), path=path, label=argument.label),)]
    if argument.role == "input":
        return forms.inputs(path, form)
    if argument.role == "state":
        rest = [] if argument.optional else forms.params(path, form)
        return [*forms.states(path, form, argument.optional), *rest]
    if argument.role == "target":
        return forms.targets(path, form)
    if argument.role == "size":
        return forms.sizes(path)
    if argument.role in ("object", "group"):
        return [(Place(path, (), "object"),)]
    rest = forms.states(path, form, False) if len(path) == 1 and name[0] not in "WwUuRVb" else []
    return [*forms.params(path, form, argument.label), *rest]


def values_for(calling: Calling, seed: int = 0) -> dict[str, Array]:
    """Draw numbers for all that is given: weights of order 1/sqrt(columns) and more, states that aren't 0."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Array] = {}
    for place in calling.given:
        dims = shape(place, calling.sizes)
        if place.role in ("index", "target"):
            drawn[place.name] = rng.integers(0, calling.sizes["m" if place.role == "index" else "k"], dims)
        elif place.role == "onehot":
            features = next(i for i, axis in enumerate(place.axes) if axis in "nk")
            which = rng.integers(0, dims[features], [d for i, d in enumerate(dims) if i != features])
            drawn[place.name] = np.moveaxis(np.eye(dims[features])[which], -1, features)
        elif place.role in ("size", "object"):
            drawn[place.name] = np.asarray(sum(calling.sizes[axis] for axis in place.axes))
        else:
            scale = {"input": 1.0, "state": 0.6}.get(place.role, 0.6)
            drawn[place.name] = scale * rng.standard_normal(dims)
    return drawn


def _settings(subject: Subject, sizes: dict[str, int], adapter: Adapter) -> Iterator[Setting]:
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
            owner = subject.make(*construct)
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


def _constructs(subject: Subject, sizes: Mapping[str, int]) -> Iterator[tuple[int, ...]]:
    """Yield positional numbers for the class, in every order that its arguments may have."""
    assert subject.make is not None
    names = [*parameters(subject.make, False), *sizes_with_defaults(subject.make)]
    likely = {"x": "m", "input": "m", "in": "m", "vocab": "m", "D": "m", "embedding": "m", "feature": "m"}
    likely |= {"hidden": "n", "h": "n", "H": "n", "units": "n", "state": "n", "out": "k", "y": "k", "class": "k"}
    guess = tuple(next((size for part, size in likely.items() if part in name), "n") for name in names)
    orders = [guess, *itertools.permutations("mnk", len(names))] if len(names) <= 3 else [guess]
    for order in dict.fromkeys(orders):
        yield tuple(sizes[name] for name in order)


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
    found: list[tuple[Path, Array]] = []
    for name, value in scope.items():
        if is_float(value):
            found.append(((root, name), value))
        elif isinstance(value, dict):
            found += [((root, name, k), v) for k, v in value.items() if is_float(v) and isinstance(k, str)]
    return [(path, value) for path, value in found if value.ndim]


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
    return tuple(places)


def _arguments(subject: Subject, adapter: Adapter, setting: Setting) -> Iterator[tuple[Argument, ...]]:
    """Yield the arguments that need a value, with what they may be; which is the input, where names don't say."""
    forward = subject.functions()[0]
    found: list[Argument] = []
    for name in parameters(forward, subject.make is not None):
        found += _parts(subject, name, (name,), adapter.roles.get(name) or role(name))
    for name in optional_names(forward):
        if (adapter.roles.get(name) or role(name)) == "state":
            found.append(Argument((name,), "state", True))
    maker = subject.factory or (subject.make if subject.is_class and not setting.construct else None)
    for name in parameters(maker, False) if maker is not None else ():
        found += _parts(subject, name, ("make", name), adapter.roles.get(name) or "param")
    if any(argument.role == "input" for argument in found):
        yield tuple(found)
        return
    for place, argument in enumerate(found):
        if argument.role in ("param", "target", "state") and len(argument.path) == 1:
            yield (*found[:place], replace(argument, role="input"), *found[place + 1 :])


def _parts(subject: Subject, name: str, path: Path, role: str) -> list[Argument]:
    """Return an argument, or what is taken out of it where it holds several arrays."""
    if role in ("group", "param", "state"):
        keys = keys_read(subject.forward, name, subject.text)
        if keys and role != "state":
            return [Argument((*path, key), "param") for key in keys]
        parts = parts_read(subject.forward, name, subject.text)
        if parts and role != "state":
            return [Argument((*path, number), "param", False, label) for number, label in enumerate(parts)]
    return [Argument(path, role)]


def accepted(subject: Subject, calling: Calling, values: Mapping[str, Array]) -> Calling | str:
    """Return the calling convention with what is returned, or why this isn't how a recurrent cell behaves."""
    others = values_for(calling, 1)
    try:
        result = subject.run(calling, values)[0]
        returned = _returned(result, calling, values)
        if not returned:
            return "nothing that is returned has the shape of states, of outputs or of a loss"
        calling = replace(calling, returned=returned)
        base = read(result, calling)
        if not all(np.isfinite(array).all() for array in base.values()):
            return "the forward pass gives NaN or infinity"
        given = []
        for place in calling.given:
            if np.asarray(values[place.name]).dtype.kind != "f" or place.role == "onehot":
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
        calling = replace(calling, returned=tuple(_settling(subject, calling, values, base)))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if sum(place.role == "unused" for place in given) * 2 > len(given):
        return "most of what is given isn't used"
    return replace(calling, given=tuple(given))


def _settled(subject: Subject, calling: Calling) -> Calling:
    """Return the convention with n for m where these are one size, and weights in the closure that holds them."""
    if calling.sizes["m"] == calling.sizes["n"]:
        given = [replace(p, axes=tuple(a.replace("m", "n") for a in p.axes)) for p in calling.given]
        calling = replace(calling, given=tuple(given))
    if subject.factory is None:
        return calling
    subject.run(calling, values_for(calling))
    subject.factory = None
    given = [replace(p, path=("closure", *p.path[1:])) if p.path[0] == "make" else p for p in calling.given]
    return replace(calling, given=tuple(given))


ROLES = {("T", "n"): "states", ("T+1", "n"): "states", ("", "n"): "final", ("T", "k"): "outputs", ("", "k"): "output"}


def _returned(result: Any, calling: Calling, values: Mapping[str, Array]) -> tuple[Place, ...]:
    """Return the sequences of states, final states, outputs and the loss among what was returned."""
    places: list[Place] = []
    has_target = any(place.role in ("target", "onehot") for place in calling.given)
    has_batch = any("B" in place.axes for place in calling.given)
    sizes = {name: d for name, d in calling.sizes.items() if has_batch or name != "B"}
    found = dict(leaves(result, depth=2))
    outer = {path for path in found if len(path) < 2}
    for path, array in _parts_of(found, calling).items():
        if array.shape == () and has_target and np.issubdtype(array.dtype, np.inexact):
            places.append(Place(path, (), "loss"))
            continue
        axes = forms.told(array.shape, sizes)
        lead = next((axis for axis in axes if axis in ("T", "T+1")), "")
        feature = [axis for axis in axes if axis not in ("T", "T+1", "B", "1")]
        role = ROLES.get((lead, feature[0])) if len(feature) == 1 else None
        if role is None or array.dtype.kind != "f":
            continue
        inner = path[: -1 if path and path[-1] in ("1:", ":-1") else None]
        if len(inner) > 1 and any(p.path in outer for p in places) and not _is_pair(result, inner[0], array):
            continue
        if any(array.shape == np.shape(v) and np.array_equal(array, v) for v in values.values()):
            continue
        held = "" if isinstance(_reached(result, inner), np.ndarray) else "list"
        places.append(Place(path, axes, role, held))
    if has_target:
        return tuple(place for place in places if place.role == "loss")[:1]
    return tuple(places)


def _is_pair(result: Any, key: Any, array: Array) -> bool:
    """Return whether all that stands at a place is arrays like this one: the last states, not what was kept aside."""
    whole = result[key]
    return isinstance(whole, tuple) and all(isinstance(a, np.ndarray) and a.shape == array.shape for a in whole)


def _settling(
    subject: Subject, calling: Calling, values: Mapping[str, Array], base: Mapping[Path, Array]
) -> Iterator[Place]:
    """Yield what is returned, and of T + 1 states those that inputs move: the initial one stands before or after."""
    fresh = {p.name: p.role for p in calling.given if p.role in ("input", "index")}
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


def _reached(result: Any, path: Path) -> Any:
    for part in path:
        result = result[part]
    return result


def read(result: Any, calling: Calling) -> dict[Path, Array]:
    """Return the arrays of what was returned, by place."""
    found = _parts_of(dict(leaves(result, depth=2)), calling)
    return {place.path: found[place.path] for place in calling.returned}


def _acausal(subject: Subject, calling: Calling, values: Mapping[str, Array], base: Mapping[Path, Array]) -> str:
    """Return why time doesn't run along T, or samples mix along B: told from what a change of the input moves."""
    place = next((p for p in calling.given if p.role in ("input", "index")), None)
    if place is None:
        return ""
    where = tuple(0 if axis in "TB" else slice(None) for axis in place.axes)
    moved = np.array(values[place.name])
    if place.role == "input":
        moved[where] += 0.5
    else:
        moved[where] = (moved[where] + 1) % calling.sizes["m"]
    after = read(subject.run(calling, {**values, place.name: moved})[0], calling)
    for out in calling.returned:
        change = np.abs(after[out.path] - base[out.path]) > 1e-12
        order = [out.axes.index(axis) for axis in ("T", "B") if axis in out.axes]
        change = np.moveaxis(change, order, range(len(order)))
        change = change.reshape(*change.shape[: len(order)], -1).any(-1)
        if "B" in out.axes and change[..., 1:].any():
            return f"time or samples: a change of one sample of {place.name} moves others"
        first = change[..., 0] if "B" in out.axes else change
        if "T" in out.axes and not first[1:].any():
            return f"time: what is returned doesn't depend on earlier steps of {place.name}"
    return ""


def _nothing_found(subject: Subject, adapter: Adapter, said: list[str]) -> str:
    """Return the message where no shapes were found, with an adapter to start from."""
    named = next(_arguments(subject, adapter, Setting((), (), SIZES)), ())
    shapes, roles = [], []
    for argument in named:
        option = _domain(argument, FORMS[0], adapter)[0]
        name = argument.label or str(argument.path[-1]).lstrip(".")
        if option and option[0].axes and argument.role != "size":
            shapes.append(f'"{name}": "{", ".join(option[0].axes)}"')
            roles.append(f'"{name}": "{"target" if option[0].role == "onehot" else option[0].role}"')
    last = f" The last of {len(said)} tries ended in {said[-1].splitlines()[0]}." if said else ""
    if not shapes:
        return (
            f"{subject.name}: no way was found to call the forward pass.{last} Give it the inputs as its first "
            "argument, such as forward(x, h0, params)"
        )
    return (
        f"{subject.name}: no layout and shapes were found with which the forward pass runs and gives states, outputs "
        f"or a loss.{last} State what its arguments are, in sizes T (steps), B (samples), m (inputs), n (states), "
        f"k (classes); to start from:\n"
        f"    adapter = Adapter(\n        shapes={{{', '.join(shapes)}}},\n"
        f"        roles={{{', '.join(roles)}}},\n    )\n"
        f"    bptt.check(..., adapter=adapter)"
    )
