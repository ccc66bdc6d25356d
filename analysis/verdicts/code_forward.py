"""What a forward pass wants to be given, found by calling it: layouts, orders of axes, sizes of parameters."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from ...derive.errors import Error
from . import code_forms as forms
from .code_adapter import SIZES, Adapter, Array, Attributes, Calling, Path, Place, last_name, stated
from .code_forms import FORMS, SERIES, Form, Option
from .code_groups import parts_inside
from .code_names import kind, role
from .code_places import distinct
from .code_returned import accepted, values_for
from .code_search import Conflict, Seen, gathered, search, tagged, watched
from .code_settings import Setting, settings
from .code_signatures import is_written_to, keys_read, optional_names, parameters, parts_read, picks_entries
from .code_subject import MAKERS, Hung, Subject, numpy_with
from .code_torch import OnTensors
from .code_usage import UNKNOWN, Use, uses

SQUARE = {"m": SIZES["n"]}  # for cells that add their inputs to their states
CLASSES = {"k": SIZES["m"]}  # for models that predict what they read, such as the next character
# How many runs of the forward pass each layout is worth, the sizes that differ, whether to look widely: with shapes
# that names speak against, and to blame all whose shape was asked for; and the layouts.
EFFORTS: tuple[tuple[int, Mapping[str, int], bool, tuple[Form, ...]], ...] = (
    (800, {}, False, FORMS),
    (800, CLASSES, False, FORMS),
    (800, {}, False, (SERIES,)),
    (800, SQUARE, False, FORMS),
    (4000, {}, True, FORMS),
)
MOST = 100_000  # runs in all, about half a minute
MORE = 20_000  # runs after the first way that will do, for others
BLINDLY = 40  # runs of compiled code with shapes that aren't alike
BLIND = {"target": ("list",), "index": ("list",), "size": ("",), "object": ("",)}  # what can't be tagged
LARGEST_GROUP = 60  # parameters
MADE: dict[Callable[..., Array], Callable[..., Array]] = {make: watched(make) for make in MAKERS}
MADE |= {make: gathered(make) for make in (np.array, np.asarray)}
FIRST = re.compile("[a-z]0")
REFUSED = 40  # of them that run but don't behave like a recurrent cell


@dataclass(frozen=True)
class Argument:
    """An argument of the forward pass, or of what makes it.

    Attributes:
        path: of what is passed: ("x",), ("params", "Wf"), ("make", "W").
        role: that its name suggests; "second" of what may be a further input.
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

    @property
    def title(self) -> str:
        """Under which an adapter speaks of it."""
        return Place(self.path, (), self.role, "", self.label).name


def forwards(subject: Subject, adapter: Adapter) -> Iterator[tuple[Calling, Form]]:
    """Yield what the forward pass takes, likelier ways first, by calling it until it gives states or a loss that fit.

    Raises:
        Error: where nothing fits, with the last thing that the code said and what to state.
    """
    said: list[str] = []
    most = MOST
    for trials in _trials(subject, adapter, said):
        partly: list[tuple[Calling, Form]] = []
        for trial, runs in trials:
            found = trial.result(runs) if len(said) <= most else None
            if found is None:
                continue
            most = min(most, len(said) + MORE)
            calling = _settled(subject, found)
            if all(place.role != "unused" for place in calling.given):
                yield calling, trial.form
            else:
                partly.append((calling, trial.form))
        yield from partly
        if len(said) > most:
            break
    if most == MOST:
        raise Error(_nothing_found(subject, adapter, said))


def _trials(subject: Subject, adapter: Adapter, said: list[str]) -> Iterator[Iterator[tuple[_Trial, int]]]:
    """Yield the searches for shapes, those that differ in the layout alone together, with the runs each is worth."""
    for runs, sizes, widely, layouts in EFFORTS:
        for setting in settings(subject, {**SIZES, **sizes, **adapter.sizes}, adapter):
            for named in _arguments(subject, adapter, setting):
                if sizes is CLASSES and all(argument.role != "target" for argument in named):
                    continue
                forms = _forms(named, adapter, layouts)
                used = cache(partial(_uses, subject, named))
                several = (_Trial(subject, adapter, setting, named, form, said, widely, used) for form in forms)
                yield ((trial, runs) for trial in several if trial.form is not SERIES or not trial.multiplies_inputs())


def _uses(subject: Subject, named: tuple[Argument, ...]) -> Mapping[Path, Use]:
    """Return parameter -> how the forward pass uses it."""
    params = {argument.path: argument.label for argument in named if argument.role == "param"}
    read = [str(argument.path[0]) for argument in named if argument.role == "input"]
    return uses(subject.forward, subject.text, params, read)


def _forms(named: tuple[Argument, ...], adapter: Adapter, layouts: tuple[Form, ...]) -> tuple[Form, ...]:
    """Return the layouts that agree with what is stated of the first input; these where nothing is, or none does."""
    for argument in named:
        if argument.role == "input" and argument.name in adapter.shapes:
            place = stated(argument.name, adapter.shapes[argument.name], "input", {**SIZES, **adapter.sizes})
            axes = tuple(axis if axis in ("T", "B", "1") else "*" for axis in place.axes)
            known = (*FORMS, SERIES)
            return tuple(f for f in known if f.axes == axes and f.held == place.held and not f.tokens) or layouts
    return layouts


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
        widely: bool,
        used: Callable[[], Mapping[Path, Use]],
    ) -> None:
        self.subject, self.setting, self.form, self.said, self.adapter = subject, setting, form, said, adapter
        self.widely, self.named, self.used = widely, named, used
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
        """Add what an argument may be; biases go by weights of their layer, targets, groups by both, states widely."""
        self.names.append(argument.name)
        use = UNKNOWN if self.widely else self._use(argument)
        self.domains[argument.name] = _domain(argument, self.form, self.adapter, use, self.widely)
        last = {
            name: (
                (len(options) < 20 or any(place.role == "object" for place in options[0]))
                and (self.widely or not any(place.role == "state" for place in options[0])),
                max((forms.layer(place.name) for place in options[0]), default=0),
                "bias" in kind(last_name(tuple(name.split("/")))),
            )
            for name, options in self.domains.items()
        }
        self.domains = dict(sorted(self.domains.items(), key=lambda item: last[item[0]]))

    def _use(self, argument: Argument) -> Use:
        """Return how the forward pass uses an argument, by its source."""
        return self.used().get(argument.path, UNKNOWN)

    def multiplies_inputs(self) -> bool:
        """Return whether a matrix is seen to multiply an input, which is then no number."""
        return any(self._use(argument).reads for argument in self.named)

    def result(self, most: int) -> Calling | None:
        """Return the calling convention without what concerns the backward pass, or None."""
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(LARGEST_GROUP):
                try:
                    if isinstance(self.subject.forward, OnTensors):  # an operation has more sides: errors say less
                        self._alike()
                    if self.found is None:
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
            key = "" if hasattr(np.ndarray, str(error.name)) else f".{error.name}"
        path = (*self.groups[0], key) if len(self.groups) == 1 else ()
        if key and path and "/".join(map(str, path)) not in self.domains:
            raise _Asked(Argument(path, "param"))

    def attempt(self, options: dict[str, Option]) -> Iterable[str] | None:
        """Return None where these shapes will do, else the arguments whose shapes don't go together."""
        given = tuple(place for name in self.names for place in options[name])
        calling = Calling((*given, *self.setting.own), (), (), (), self.setting.sizes, self.setting.construct)
        owners = {place.name: name for name, option in options.items() for place in option}
        blind = {owners[place.name] for place in given if place.held in BLIND.get(place.role, ())}
        blind |= {name for name in self.names if len(options[name]) != 1}  # tuples aren't tagged, nor is nothing
        for place in calling.given:
            if place not in self.drawn:
                self.drawn[place] = values_for(replace(calling, given=(place,)))[place.name]
        values = {place.name: self.drawn[place] for place in calling.given}
        tags = {name: tagged(value, owners[name]) for name, value in values.items() if name in owners}
        Seen.clear(self.widely)
        try:
            with numpy_with(self.subject, MADE):
                self.subject.run(calling, {**values, **tags})
        except Hung:
            self.said.append(f"a run that was still computing after {self.subject.patience:g} s")
            return ()
        except Conflict as conflict:
            self._say(conflict)
            return conflict.names | (blind if isinstance(conflict.__cause__, TypeError) else set())
        except Exception as error:
            self._asked(error)
            self._say(error)
            used = Seen.used | Seen.asked | blind
            if used:
                return used
            if self._fails(calling, values):  # compiled code: arrays don't see what is done with them
                self.blind += 1
                return tuple(options) if self.blind < BLINDLY else ()
        flat = [p for p in given if p.role == "param" and owners[p.name] not in Seen.multiplied]
        flat = [p for p in flat if sum(axis != "1" for axis in p.axes) > 1]
        found = accepted(self.subject, calling, values)
        if isinstance(found, str) and flat:  # what only acts entry by entry is no matrix
            self.said.append(found)
            return {owners[place.name] for place in flat}
        if isinstance(found, str):
            self.said.append(found)
            self.refused += REFUSED // 4 if found.startswith("time") else 1  # more likely the layout's fault
            return () if self.refused > REFUSED else tuple(options)
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


def _domain(argument: Argument, form: Form, adapter: Adapter, use: Use = UNKNOWN, widely: bool = True) -> list[Option]:
    """Return what an argument may be in a layout, likelier options first; widely against its name as well."""
    path, name = argument.path, argument.title
    if name in adapter.shapes:
        role = argument.role if argument.role in ("input", "state", "target", "param", "mask") else "param"
        role = "onehot" if role == "target" and len(adapter.shapes[name].split(",")) > 1 else role
        place = stated(name, adapter.shapes[name], role, {**SIZES, **adapter.sizes})
        return [(replace(place, path=path, label=argument.label),)]
    if argument.role == "input":
        return forms.inputs(path, form)
    if argument.role == "state":
        plain = argument.optional or not widely and FIRST.fullmatch(name)
        rest = [] if plain else forms.params(path, form)
        return [*forms.states(path, form, argument.optional, widely), *rest]
    if argument.role == "target":
        return forms.targets(path, form)
    if argument.role == "mask":
        return [*forms.masks(path, form), *forms.params(path, form, argument.label, use)]
    if argument.role == "size":
        return forms.sizes(path)
    if argument.role in ("object", "group"):
        rest = forms.params(path, form) if argument.role == "group" else []
        return [(Place(path, (), "object"),), *rest]
    if argument.role == "second":
        return [*forms.inputs(path, form), *forms.states(path, form, False), *forms.params(path, form)]
    rest = forms.states(path, form, False) if len(path) == 1 and name[0] not in "WwUuRVb" else []
    return [*forms.params(path, form, argument.label, use), *rest]


def _arguments(subject: Subject, adapter: Adapter, setting: Setting) -> Iterator[tuple[Argument, ...]]:
    """Yield the arguments that need a value, with what they may be; which is the input, where names don't say.

    First with the arrays that lie in lists, dictionaries and objects inside them, then with none but those of a key.
    """
    several = [found for inside in (True, False) for found in _listed(subject, adapter, setting, inside)]
    yield from dict.fromkeys(several)


def _listed(subject: Subject, adapter: Adapter, setting: Setting, inside: bool) -> Iterator[tuple[Argument, ...]]:
    forward = subject.functions()[0]
    found: list[Argument] = []
    names = parameters(forward, subject.make is not None)
    lists = any((adapter.roles.get(name) or role(name)) == "input" for name in names)  # else one may be the input
    for name in names:
        suggested = adapter.roles.get(name) or role(name)
        if suggested == "object" and not is_written_to(forward, name, subject.text):
            suggested = "second"  # a context as of attention
        if suggested == "param" and picks_entries(forward, name):
            suggested = "target"
        found += _parts(subject, name, (name,), suggested, inside, lists)
    for name in optional_names(forward):
        if (adapter.roles.get(name) or role(name)) == "state":
            found.append(Argument((name,), "state", True))
    if subject.make is not None:  # weights are kept in the object
        found = [replace(a, role="second") if a.role == "param" and len(a.path) == 1 else a for a in found]
    maker = subject.factory or (subject.make if subject.is_class and not setting.construct else None)
    for name in parameters(maker, False) if maker is not None else ():
        found += _parts(subject, name, ("make", name), adapter.roles.get(name) or "param", inside, False)
    starts = [argument.name for argument in found if argument.role == "state" and FIRST.fullmatch(argument.name)]
    if starts:  # beside a0, b0 is a state, not a bias
        found = [replace(a, role="state") if FIRST.fullmatch(a.name) and a.role == "param" else a for a in found]
    if any(argument.role == "input" for argument in found):
        yield tuple(found)
        return
    if any(argument.role == "size" for argument in found) and any(argument.role == "state" for argument in found):
        yield tuple(found)  # a system that runs by itself for a number of steps
    for place, argument in enumerate(found):
        if argument.role in ("param", "second", "target", "state") and len(argument.path) == 1:
            yield (*found[:place], replace(argument, role="input"), *found[place + 1 :])


def _parts(subject: Subject, name: str, path: Path, role: str, inside: bool, lists: bool) -> list[Argument]:
    """Return an argument, or what is taken out of it where it holds several arrays; also if it is a list of them."""
    deep = parts_inside(subject.forward, name, subject.text) if inside and role in ("group", "param", "second") else []
    if deep and (lists or any(len(part) > 1 for part in deep)):
        places = distinct(tuple(Place((*path, *part), (), "param") for part in deep))
        return [Argument(place.path, "param", False, place.label) for place in places]
    if role in ("group", "param", "state"):
        keys = keys_read(subject.forward, name, subject.text)
        if keys and role != "state":
            return [Argument((*path, key), "param") for key in keys]
        parts = parts_read(subject.forward, name, subject.text)
        if parts and role != "state":
            return [Argument((*path, number), "param", False, label) for number, label in enumerate(parts)]
    return [Argument(path, role)]


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


def _nothing_found(subject: Subject, adapter: Adapter, said: list[str]) -> str:
    """Return the message where no shapes were found, with an adapter to start from."""
    named = next(_arguments(subject, adapter, Setting((), (), SIZES)), ())
    shapes, roles = [], []
    for argument in named:
        option = _domain(argument, FORMS[0], adapter)[0]
        name = argument.title
        if option and option[0].axes and argument.role != "size":
            shapes.append(f'"{name}": "{", ".join(option[0].axes)}"')
            roles.append(f'"{name}": "{"target" if option[0].role == "onehot" else option[0].role}"')
    if said and (asked := re.search(r"'Tagged' object has no attribute '(\w+)'", said[-1])):
        return (
            f"{subject.name}: the forward pass asks one of its arguments for .{asked[1]}, which no array has. Write a "
            "function forward(xs, ...) that takes arrays and makes such objects of them, and a function "
            "backward(dhs, ...) that returns the gradients"
        )
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
