"""`Subject`: somebody's forward and backward pass, found in a file or given, and called."""

from __future__ import annotations

import builtins
import contextlib
import copy
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from types import ModuleType
from typing import Any

import numpy as np

from .code_adapter import Array, Attributes, Calling, Construct, Path, wrapped
from .code_places import arguments, at, put
from .code_signatures import parameters

AROUND = ("self", "global", "closure", "make")  # where weights are that aren't arguments of the forward pass
MAKERS = (np.zeros, np.ones, np.empty, np.zeros_like, np.ones_like, np.empty_like, np.full, np.full_like)


class Hung(BaseException):
    """A run of theirs goes on and on; no `except Exception` of theirs keeps it from ending."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `Hung` in a run that computes for longer, where the system can tell."""
    if not hasattr(signal, "ITIMER_VIRTUAL") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*ignored: object) -> None:
        raise Hung

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@dataclass
class Subject:
    """Code under examination, in the process that runs it.

    Attributes:
        name: under which the verdict speaks of it.
        forward, backward: functions; backward is None where one function does both.
        make: gives a fresh object whose methods they are, or None.
        factory: gives both functions from weights, or None.
        module: where their names are looked up.
        text: of the source file, "" where there is none.
        patience: seconds of computing after which a run counts as hanging.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any] | None
    make: Callable[..., Any] | None = None
    factory: Callable[..., Any] | None = None
    module: ModuleType | None = None
    text: str = ""
    file: str = ""
    prototypes: dict[Construct, Any] = field(default_factory=dict)
    patience: float = 5.0

    @property
    def is_class(self) -> bool:
        """Whether objects are made by a class, rather than being copies of one."""
        return self.make is not None and (isinstance(self.make, type) or bool(parameters(self.make, False)))

    def built(self, construct: Construct, /, **given: Any) -> Any:
        """Return an object of the class."""
        assert self.make is not None
        return self.make(*(list(part) if isinstance(part, tuple) else part for part in construct), **given)

    def owner(self, calling: Calling, values: Mapping[str, Array]) -> Any:
        """Return a fresh object with the given attributes, or None for functions."""
        if self.make is None:
            return None
        made = tuple(place for place in calling.given if place.path[0] == "make")
        if made:
            given = arguments(tuple(replace(place, path=place.path[1:]) for place in made), values)
            return self.built(calling.construct, **given)
        if calling.construct not in self.prototypes:
            self.prototypes[calling.construct] = self.built(calling.construct)
        owner = copy.deepcopy(self.prototypes[calling.construct])
        for place in calling.given:
            if place.path[0] == "self":
                _, name, *keys = place.path
                put(owner, (f".{name}", *keys), wrapped(place, values[place.name]))
        return owner

    def run(self, calling: Calling, values: Mapping[str, Array]) -> tuple[Any, Any, dict[str, Any]]:
        """Run the forward pass; return (what it returned, the object, the arguments)."""
        owner = self.owner(calling, values)
        if self.factory is not None:
            made = tuple(replace(place, path=place.path[1:]) for place in calling.given if place.path[0] == "make")
            self.forward, self.backward = self.factory(**arguments(made, values))
        self._enclose(calling, values)
        passed = tuple(place for place in calling.given if place.path[0] not in AROUND)
        given = {**arguments(passed, values), **calling.constants}
        first = () if owner is None else (owner,)
        with limited(self.patience):
            result = self.forward(*first, **given)
        return vars(owner) if result is None and owner is not None else result, owner, given

    def functions(self) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
        """Return both functions, made with weights of a single entry where another function makes them."""
        if self.factory is None:
            return self.forward, self.backward
        return self.factory(**{name: np.zeros((1, 1)) for name in parameters(self.factory, False)})

    def _enclose(self, calling: Calling, values: Mapping[str, Array]) -> None:
        """Set the weights that the functions find around themselves: global ones, and those of a closure."""
        for place in calling.given:
            kind, *keys = place.path
            if kind == "global":
                put(self.forward.__globals__, tuple(keys), wrapped(place, values[place.name]))
            elif kind == "closure":
                value = wrapped(place, values[place.name])
                for cell in cells(self, str(keys[0])):
                    cell.cell_contents = value

    def run_back(self, calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array]) -> dict[str, Any]:
        """Run both passes; return {"result": what the backward pass returned, "self": the object's attributes}."""
        result, owner, given = self.run(calling, values)
        if self.backward is not None:
            passed: dict[str, Any] = {}
            for name, source in calling.passed:
                passed[name] = self._passed(source, calling, result, given, seeds)
            first = () if owner is None else (owner,)
            with limited(self.patience):
                result = self.backward(*first, **passed)
        left = vars(owner) if owner is not None else {}
        left = {**left, **{f"{name}.": vars(value) for name, value in given.items() if isinstance(value, Attributes)}}
        return {"result": result, "self": left}

    @staticmethod
    def _passed(source: Path, calling: Calling, result: Any, given: dict[str, Any], seeds: Mapping[Path, Array]) -> Any:
        kind, *rest = source
        if kind == "given":
            return given[str(rest[0])]
        if kind == "result":
            return at(result, tuple(rest))
        places = [calling.returned[int(index)] for index in rest]
        built = [wrapped(place, seeds[place.path]) for place in places]
        return built[0] if len(built) == 1 else tuple(built)


def cells(subject: Subject, name: str) -> list[Any]:
    """Return the closure cells of both functions that hold a name."""
    found = []
    for function in (subject.forward, subject.backward):
        names = getattr(getattr(function, "__code__", None), "co_freevars", ())
        if name in names:
            found.append(getattr(function, "__closure__")[names.index(name)])  # noqa: B009 - of any callable
    return found


@contextlib.contextmanager
def numpy_with(subject: Subject, instead: Mapping[Callable[..., Any], Callable[..., Any]]) -> Iterator[None]:
    """Let the code see a NumPy with other functions instead of some, and those instead of built-in ones."""
    scope = getattr(subject.forward, "__globals__", {})
    names = {name: v for name, v in scope.items() if v is np or callable(v) and _hashed(v) and v in instead}
    hidden = [f.__name__ for f in instead if getattr(builtins, f.__name__, None) is f and f.__name__ not in scope]
    library = _library(tuple(instead.items())) if any(value is np for value in names.values()) else np
    scope.update({name: library if value is np else instead[value] for name, value in names.items()})
    scope.update({name: instead[getattr(builtins, name)] for name in hidden})
    try:
        yield
    finally:
        scope.update(names)
        for name in hidden:
            del scope[name]


@cache
def _library(instead: tuple[tuple[Callable[..., Any], Callable[..., Any]], ...]) -> ModuleType:
    """Return a NumPy with other functions; what NumPy loads when it is asked for is asked of it then."""
    others, whole = dict(instead), ModuleType("numpy")
    known = {name: value for name, value in vars(np).items() if not name.startswith("__")}
    changed = {name: others[v] for name, v in known.items() if callable(v) and _hashed(v) and v in others}
    whole.__dict__.update({**known, **changed, "__getattr__": partial(getattr, np)})
    return whole


def _hashed(value: Any) -> bool:
    return type(value).__hash__ is not None
