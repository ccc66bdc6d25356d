"""The forward and the backward pass in somebody's file, class, object or pair of functions."""

from __future__ import annotations

import copy
import functools
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from ...derive.errors import Error, nearest
from ...derive.syntax import closest
from .code_adapter import Adapter
from .code_loss import with_loss
from .code_signatures import names_read, parameters, returned_names
from .code_subject import Subject
from .code_torch import (
    Held,
    OnTensors,
    function_pair,
    holding_arrays,
    is_for_tensors,
    is_function,
    is_module,
    module_pair,
)

PAIRS = (
    ("forward", "backward"),
    ("fwd", "bwd"),
    ("fprop", "bprop"),
    ("loss", "bptt"),
    ("forward", "bptt"),
    ("forward", "backprop"),
    ("forward", "backward_pass"),
    ("forward", "grad"),
    ("forward", "gradients"),
    ("forward_pass", "bptt"),
    ("forward_pass", "backward_pass"),
    ("forward_propagation", "backward_propagation"),
    ("forward_propagation", "bptt"),
    ("forward_prop", "back_prop"),
    ("feedforward", "backprop"),
    ("calculate_total_loss", "bptt"),
    ("__call__", "backward"),
    ("__call__", "bptt"),
    ("run", "backward"),
    ("step", "backward"),
    ("apply", "backward"),
)

GENERATORS = r"rng|random|generator|gen|(np_)?random(_?state)?|rand"  # names of sources of random numbers
EXAMPLE = 'bptt.check("mine.py", adapter=Adapter(forward="run", backward="run_back"))'


def find(theirs: Any, adapter: Adapter) -> Subject:
    """Find the forward and the backward pass in a file ("mine.py", "mine.py:mycell"), a class, an object or a pair.

    Raises:
        Error: where there is no such file or function, it can't be loaded, or there are several pairs.
    """
    if isinstance(theirs, tuple | list):
        forward, backward = map(_plain, theirs)
        return _of_functions(getattr(forward, "__name__", "code"), forward, backward)
    if isinstance(theirs, Mapping):
        return _of_functions("code", theirs["forward"], theirs.get("backward"))
    if isinstance(theirs, type):
        return _of_class(theirs, adapter)
    if isinstance(theirs, str | FilePath):
        return _in_file(str(theirs), adapter)
    if isinstance(theirs, FunctionType):
        return _of_functions(theirs.__name__, theirs, None)
    made = _of_class(type(theirs), adapter)
    made.make = (lambda: Held(theirs)) if is_module(theirs) else (lambda: copy.deepcopy(theirs))
    return made


def load(path: str) -> ModuleType:
    """Run a file as a module.

    Raises:
        Error: where it can't be read or raises.
    """
    file = FilePath(path)
    if not file.is_file():
        raise Error(f"{path}: there is no such file. {nearest(path) or 'Give the path of a .py file.'}")
    spec = importlib.util.spec_from_file_location(f"theirs_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        place = f"{path}, line {error.lineno}, column {error.offset}"
        raise Error(f"{place}: this isn't Python: {error.msg}\n    {(error.text or '').strip()}") from None
    except Exception as error:
        raise Error(f"{path}: loading it raises {type(error).__name__}: {error}") from None
    for name, value in list(vars(module).items()):
        setattr(module, name, _plain(value))
    return module


def _plain(value: Any) -> Any:
    """Return what Numba compiles as the Python that it is: that checks indices, and takes complex numbers."""
    return getattr(value, "py_func", value)


def _in_file(theirs: str, adapter: Adapter) -> Subject:
    path, _, wanted = theirs.partition(".py:")
    path = path if path.endswith(".py") else f"{path}.py" if wanted else path
    module = load(path)
    own = {n: v for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__}
    functions = {n: v for n, v in own.items() if isinstance(inspect.unwrap(v) if callable(v) else v, FunctionType)}
    classes = {n: v for n, v in own.items() if isinstance(v, type)}
    found = _choose(path, functions, classes, wanted, adapter)
    subject = _of_class(found, adapter) if isinstance(found, type) else _of_functions(path, *found)
    if isinstance(found, tuple) and inspect.isfunction(subject.backward):
        subject.forward = with_loss(subject.forward, subject.backward, functions, False) or subject.forward
    kind = _kind_of_first(subject.forward, classes) if isinstance(found, tuple) and subject.factory is None else None
    if kind is not None:
        subject.make = _maker(kind)  # functions of an object are called as its methods are
    subject.name, subject.module, subject.file = f"{path}:{wanted}" if wanted else path, module, path
    subject.text = FilePath(path).read_text(encoding="utf-8")
    return subject


Found = type | tuple[Callable[..., Any], Callable[..., Any] | None]


def _choose(path: str, functions: dict[str, Any], classes: dict[str, Any], wanted: str, adapter: Adapter) -> Found:
    """Return the class, or the functions, that hold the two passes."""
    if adapter.forward in functions:
        return functions[adapter.forward], functions.get(adapter.backward)
    if adapter.forward:
        owner = next((kind for kind in classes.values() if hasattr(kind, adapter.forward)), None)
        if owner is not None:
            return owner
        raise Error(f"{path} has no function '{adapter.forward}'. {closest(adapter.forward, list(functions))}")
    if wanted in classes:
        return classes[wanted]
    pairs = _pairs(functions)
    if wanted:
        chosen = [pair for pair in pairs if wanted in pair or wanted == pair[0].split("_")[0]]
        chosen = [pair for pair in chosen if wanted in pair or not _is_step(pair[0])] or chosen
        if not chosen and wanted in functions:
            return functions[wanted], None
        if not chosen:
            known = [*functions, *classes]
            raise Error(f"{path} has no function or class '{wanted}'. {closest(wanted, known) if known else ''}")
    else:
        chosen = [pair for pair in pairs if not _is_step(pair[0])] or pairs
        chosen = [pair for pair in chosen if not _is_part(functions, pair)] or chosen
    both = [
        kind for kind in classes.values() if is_function(kind) or not is_module(kind) and _methods(kind) is not None
    ]
    if not wanted:
        inner = [value for kind in both for value in vars(kind).values()]
        chosen = [pair for pair in chosen if not any(_calls(value, name) for value in inner for name in pair)]
    if len(chosen) == 1:
        return functions[chosen[0][0]], functions[chosen[0][1]]
    both = both or [kind for kind in classes.values() if _other_methods(kind) or _whole_method(kind)]
    modules = [kind for kind in classes.values() if is_module(kind)]
    if all(_is_used(kind, modules) for kind in both):
        both = modules
    both = [kind for kind in both if not _is_used(kind, [other for other in both if other is not kind])] or both
    whole = [kind for kind in both if not _is_step(kind.__name__)] or both
    if not chosen and all(_is_step(kind.__name__) for kind in both):
        users = [name for name, other in functions.items() if any(_calls(other, kind.__name__) for kind in both)]
        users = [name for name in users if re.search("loss|grad|bptt", name) and not re.search("check|numer", name)]
        if len(users) == 1:
            return functions[users[0]], None
    if not chosen and len(whole) == 1:
        return whole[0]
    if not chosen and not both:
        alone = [name for name in functions if not any(_calls(other, name) for other in functions.values())]
        likely = [name for name in alone if re.search("loss|grad|bptt|back", name.lower())] or alone
        if len(likely) == 1:
            return functions[likely[0]], None
    names = [*(f"{path}:{pair[1]}" for pair in chosen), *(f"{path}:{kind.__name__}" for kind in both)]
    if names:
        raise Error(f"{path} holds several backward passes: say which, as one of {', '.join(names)}")
    listed = ", ".join([*functions, *(f"class {name}" for name in classes)]) or "nothing"
    raise Error(
        f"{path}: no pair such as forward and backward was found, among {listed}. Say which functions or methods they "
        f"are: {EXAMPLE}"
    )


def _is_part(functions: Mapping[str, Any], pair: tuple[str, str]) -> bool:
    """Return whether a backward pass is called by another function, or method: that of a layer within a step."""
    return any(_calls(other, pair[1]) for name, other in functions.items() if name != pair[1])


def _is_step(name: str) -> bool:
    return re.search("step|cell|node", name.lower()) is not None


def _kind_of_first(function: Any, classes: Mapping[str, type]) -> type | None:
    """Return the class of a function's first argument, which its annotation or its name says."""
    code = getattr(function, "__code__", None)
    if code is None or not code.co_argcount:
        return None
    name = code.co_varnames[0]
    said = function.__annotations__.get(name)
    told = said if isinstance(said, str) else getattr(said, "__name__", "")
    return next((kind for key, kind in classes.items() if key == told or key.lower() == name.replace("_", "")), None)


def _pairs(functions: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the names that go together: x_forward and x_backward, or else the only two that nothing else calls."""
    pairs: dict[tuple[str, str], None] = {}
    for ahead, back in PAIRS:
        for name in functions:
            partner = name.replace(ahead, back)
            if ahead in name and partner != name and partner in functions:
                pairs.setdefault((name, partner), None)
    if not pairs and (left := _left_over(functions)) is not None:
        pairs[left] = None
    return list(pairs)


def _left_over(functions: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the only function named like a backward pass, after the only other one, where nothing else calls them."""
    second = [name for name in functions if re.search("back|bwd|bptt|grad|bprop|vjp|adjoint", name.lower())]
    second = [name for name in second if not any(_calls(functions[other], name) for other in second)]
    first = [name for name in functions if name not in second and not re.search("train|main|init", name.lower())]
    first = [name for name in first if not re.search("loss", name.lower())] or first
    first = [name for name in first if not any(_calls(other, name) for other in functions.values())]
    return (first[0], second[0]) if len(first) == len(second) == 1 else None


def _calls(function: Any, name: str) -> bool:
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return code is not None and name in names_read(code) and function.__name__ != name


def _is_used(kind: type, others: list[type]) -> bool:
    """Return whether methods of other classes name a class."""
    codes = [value.__code__ for other in others for value in vars(other).values() if isinstance(value, FunctionType)]
    return any(kind.__name__ in names_read(code) for code in codes)


def _methods(kind: type) -> tuple[str, str] | None:
    return next((pair for pair in PAIRS if all(callable(getattr(kind, name, None)) for name in pair)), None)


def _other_methods(kind: type) -> tuple[str, str] | None:
    """Return the two methods that are left for the passes, under whatever names."""
    own = {name: value for name, value in vars(kind).items() if isinstance(value, FunctionType)}
    return _left_over({name: value for name, value in own.items() if name == "__call__" or not name.startswith("_")})


def _whole_method(kind: type) -> str:
    """Return the only method that gives a loss and its gradients by its name, "" where there is none or several."""
    own = [name for name, value in vars(kind).items() if isinstance(value, FunctionType)]
    likely = [name for name in own if re.search("loss|grad|bptt", name.lower())]
    return likely[0] if len(likely) == 1 else ""


def _of_class(kind: type, adapter: Adapter) -> Subject:
    if is_function(kind):
        return _of_functions(kind.__name__, *function_pair(kind), kind)
    if is_module(kind):
        subject = _of_functions(kind.__name__, *module_pair(kind), kind)
        subject.make = functools.wraps(kind)(lambda *sizes: Held(kind(*sizes)))
        return subject
    names = (adapter.forward, adapter.backward) if adapter.forward else _methods(kind) or _other_methods(kind)
    names = names or (_whole_method(kind), "")
    if not names[0]:
        raise Error(f"the class {kind.__name__} has no methods forward and backward. Name them: {EXAMPLE}")
    subject = _of_functions(kind.__name__, getattr(kind, names[0]), getattr(kind, names[1], None))
    if not isinstance(inspect.getattr_static(kind, names[0]), staticmethod | classmethod):
        subject.make = _maker(kind)
        if inspect.isfunction(subject.forward) and inspect.isfunction(subject.backward):
            subject.forward = with_loss(subject.forward, subject.backward, vars(kind), True) or subject.forward
        if isinstance(subject.forward, OnTensors):
            subject.make = holding_arrays(subject.make)
    return subject


def _maker(kind: type) -> Callable[..., Any]:
    """Return what makes an object: the class, or a function that gives it the source of random numbers it asks for."""
    drawn = [name for name in parameters(kind, False) if re.fullmatch(GENERATORS, name)]
    if not drawn:
        return kind
    signature = inspect.signature(kind)
    left = signature.replace(parameters=[p for p in signature.parameters.values() if p.name not in drawn])
    old = "randn" in kind.__init__.__code__.co_names  # type: ignore[misc]  # a class that takes arguments has its own
    source = np.random.RandomState if old else np.random.default_rng

    def make(*given: Any, **named: Any) -> Any:
        return kind(**left.bind(*given, **named).arguments, **{name: source(0) for name in drawn})

    make.__signature__ = left  # type: ignore[attr-defined]  # what inspect looks for
    return make


def _of_functions(name: str, forward: Any, backward: Any, where: Any = None) -> Subject:
    for what in (forward, backward):
        if what is not None and not callable(what):
            raise Error(f"{what!r} can't be called; give two functions, a class, an object or a file: {EXAMPLE}")
    where = where or forward
    module = sys.modules.get(getattr(where, "__module__", ""))
    text, file = "", ""
    try:
        file = inspect.getsourcefile(where) or ""
        text = FilePath(file).read_text(encoding="utf-8")
    except (TypeError, OSError):
        text = file = ""
    factory = forward if backward is None and _gives_both(forward) else None
    if factory is None and (is_for_tensors(forward) or is_for_tensors(backward)):
        forward, backward = OnTensors(forward), None if backward is None else OnTensors(backward)
    return Subject(name, forward, backward, None, factory, module, text, file)


def _gives_both(function: Any) -> bool:
    """Return whether a function defines others inside and returns them: a closure over weights."""
    inner = [part for part in getattr(getattr(function, "__code__", None), "co_consts", ()) if inspect.iscode(part)]
    names = {part.co_name for part in inner}
    ends = returned_names(function)
    return len(ends) == 2 and all(name in names for name in ends.values())
