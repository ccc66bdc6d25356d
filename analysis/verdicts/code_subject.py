"""`Subject`: somebody's forward and backward pass, found in a file or given, and called."""

from __future__ import annotations

import ast
import copy
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from ...derive.errors import Error
from ...derive.syntax import closest
from .code_adapter import Adapter, Array, Calling, Path, arguments, at, wrapped

PAIRS = (("forward", "backward"), ("fwd", "bwd"), ("fprop", "bprop"), ("forward", "grad"), ("forward_pass", "bptt"))
EXAMPLE = 'bptt.check("mine.py", adapter=Adapter(forward="run", backward="run_back"))'


@dataclass
class Subject:
    """Code under examination, in the process that runs it.

    Attributes:
        name: under which the verdict speaks of it.
        forward, backward: functions; backward is None where one function does both.
        make: gives a fresh object whose methods they are, or None.
        module: where their names are looked up.
        text: of the source file, "" where there is none.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any] | None
    make: Callable[..., Any] | None = None
    module: ModuleType | None = None
    text: str = ""
    file: str = ""
    prototypes: dict[tuple[int, ...], Any] = field(default_factory=dict)

    def owner(self, calling: Calling, values: Mapping[str, Array]) -> Any:
        """Return a fresh object with the given attributes, or None for functions."""
        if self.make is None:
            return None
        if calling.construct not in self.prototypes:
            self.prototypes[calling.construct] = self.make(*calling.construct)
        owner = copy.deepcopy(self.prototypes[calling.construct])
        for place in calling.given:
            if place.path[0] == "self":
                value = wrapped(place, values[place.name])
                if len(place.path) == 2:
                    setattr(owner, str(place.path[1]), value)
                else:
                    getattr(owner, str(place.path[1]))[place.path[2]] = value
        return owner

    def run(self, calling: Calling, values: Mapping[str, Array]) -> tuple[Any, Any, dict[str, Any]]:
        """Run the forward pass; return (what it returned, the object, the arguments)."""
        owner = self.owner(calling, values)
        passed = tuple(place for place in calling.given if place.path[0] != "self")
        given = {**arguments(passed, values), **calling.constants}
        first = () if owner is None else (owner,)
        return self.forward(*first, **given), owner, given

    def run_back(self, calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array]) -> dict[str, Any]:
        """Run both passes; return {"result": what the backward pass returned, "self": the object's attributes}."""
        result, owner, given = self.run(calling, values)
        if self.backward is not None:
            passed: dict[str, Any] = {}
            for name, source in calling.passed:
                passed[name] = self._passed(source, calling, result, given, seeds)
            first = () if owner is None else (owner,)
            result = self.backward(*first, **passed)
        return {"result": result, "self": vars(owner) if owner is not None else {}}

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


def find(theirs: Any, adapter: Adapter) -> Subject:
    """Find the forward and the backward pass in a file ("mine.py", "mine.py:mycell"), a class, an object or a pair.

    Raises:
        Error: where there is no such file or function, it can't be loaded, or there are several pairs.
    """
    if isinstance(theirs, tuple | list):
        forward, backward = theirs
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
    made.make = lambda *ignored: copy.deepcopy(theirs)
    return made


def load(path: str) -> ModuleType:
    """Run a file as a module.

    Raises:
        Error: where it can't be read or raises.
    """
    file = FilePath(path)
    if not file.is_file():
        raise Error(f"{path}: there is no such file")
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
    return module


def _in_file(theirs: str, adapter: Adapter) -> Subject:
    path, _, wanted = theirs.partition(".py:")
    path = path if path.endswith(".py") else f"{path}.py" if wanted else path
    module = load(path)
    own = {n: v for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__}
    functions = {n: v for n, v in own.items() if isinstance(v, FunctionType)}
    classes = {n: v for n, v in own.items() if isinstance(v, type)}
    found = _choose(path, functions, classes, wanted, adapter)
    name = f"{path}:{wanted}" if wanted else path
    subject = _of_class(found, adapter) if isinstance(found, type) else _of_functions(name, *found)
    subject.name, subject.module, subject.file = name, module, path
    subject.text = FilePath(path).read_text(encoding="utf-8")
    return subject


def _choose(path: str, functions: dict[str, Any], classes: dict[str, Any], wanted: str, adapter: Adapter) -> Any:
    if adapter.forward in functions:
        return functions[adapter.forward], functions.get(adapter.backward)
    if wanted in classes:
        return classes[wanted]
    pairs: dict[tuple[str, str], None] = {}
    for ahead, back in PAIRS:
        for name in functions:
            partner = name.replace(ahead, back)
            if ahead in name and partner != name and partner in functions:
                pairs.setdefault((name, partner), None)
    if wanted:
        chosen = [pair for pair in pairs if wanted in pair or wanted == pair[0].split("_")[0]]
        chosen = [pair for pair in chosen if wanted in pair or "step" not in pair[0]] or chosen
        if not chosen and wanted in functions:
            return functions[wanted], None
        if not chosen:
            known = [*functions, *classes]
            raise Error(f"{path} has no function or class '{wanted}'. {closest(wanted, known) if known else ''}")
    else:
        chosen = [pair for pair in pairs if "step" not in pair[0] and "cell" not in pair[0]] or list(pairs)
    if len(chosen) == 1:
        return functions[chosen[0][0]], functions[chosen[0][1]]
    both = [c for c in classes.values() if _methods(c) is not None]
    if not chosen and len(both) == 1:
        return both[0]
    if not chosen and not both and len(functions) == 1:
        return next(iter(functions.values())), None
    names = [*(f"{path}:{pair[1]}" for pair in chosen), *(f"{path}:{c.__name__}" for c in both)]
    if names:
        raise Error(f"{path} holds several backward passes: say which, as one of {', '.join(names)}")
    raise Error(f"{path}: no pair such as forward and backward was found. Name them: {EXAMPLE}")


def _methods(kind: type) -> tuple[str, str] | None:
    return next((pair for pair in PAIRS if all(callable(getattr(kind, name, None)) for name in pair)), None)


def _of_class(kind: type, adapter: Adapter) -> Subject:
    names = (adapter.forward, adapter.backward) if adapter.forward else _methods(kind)
    if names is None:
        raise Error(f"the class {kind.__name__} has no methods forward and backward. Name them: {EXAMPLE}")
    subject = _of_functions(kind.__name__, getattr(kind, names[0]), getattr(kind, names[1], None))
    subject.make = kind
    return subject


def _of_functions(name: str, forward: Any, backward: Any) -> Subject:
    for what in (forward, backward):
        if what is not None and not callable(what):
            raise Error(f"{what!r} can't be called; give two functions, a class, an object or a file: {EXAMPLE}")
    module = sys.modules.get(getattr(forward, "__module__", ""))
    text, file = "", ""
    try:
        file = inspect.getsourcefile(forward) or ""
        text = FilePath(file).read_text(encoding="utf-8")
    except (TypeError, OSError):
        text = file = ""
    return Subject(name, forward, backward, None, module, text, file)


def parameters(function: Callable[..., Any], method: bool) -> list[str]:
    """Return the names of the arguments that have no default.

    Raises:
        Error: where the function doesn't say what it takes.
    """
    try:
        names = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise Error(
            f"{function} doesn't say what it takes: wrap it in a Python function with named arguments"
        ) from None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    plain = [n for n, p in names.items() if p.default is inspect.Parameter.empty and p.kind not in kinds]
    return plain[1:] if method else plain


def returned_names(function: Callable[..., Any] | None) -> dict[Path, str]:
    """Return place -> what stands there in the function's last `return`: names for tie-breaks."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))) if function is not None else None
    except (OSError, TypeError, SyntaxError, IndentationError):
        return {}
    ends = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value] if tree else []
    found: dict[Path, str] = {}

    def visit(node: ast.expr, path: Path) -> None:
        if isinstance(node, ast.Tuple | ast.List):
            for index, part in enumerate(node.elts):
                visit(part, (*path, index))
            return
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id not in ("np", "numpy", "self")]
        found[path] = names[0] if names else ast.unparse(node)

    if ends:
        visit(ends[-1], ())
    return found


def keys_read(function: Callable[..., Any], argument: str, text: str) -> list[str]:
    """Return the string keys by which an argument is read, from the source: p["Wf"]."""
    try:
        trees = [ast.parse(textwrap.dedent(inspect.getsource(function)))]
    except (OSError, TypeError, SyntaxError, IndentationError):
        trees = []
    if text:
        trees.append(ast.parse(text))
    for tree in trees:
        found = [
            node.slice.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == argument
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
        ]
        if found:
            return list(dict.fromkeys(found))
    return []


def is_float(value: Any) -> bool:
    """Return whether a value is an array of floating-point numbers."""
    return isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
