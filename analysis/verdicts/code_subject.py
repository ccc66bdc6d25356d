"""`Subject`: somebody's forward and backward pass, found in a file or given, and called."""

from __future__ import annotations

import ast
import contextlib
import copy
import functools
import importlib.util
import inspect
import re
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from ...derive.errors import Error
from ...derive.syntax import closest
from .code_adapter import Adapter, Array, Attributes, Calling, Path, arguments, at, wrapped
from .code_names import role
from .code_torch import Held, function_pair, is_function, is_module, module_pair

AROUND = ("self", "global", "closure", "make")  # where weights are that aren't arguments of the forward pass
PAIRS = (
    ("forward", "backward"),
    ("fwd", "bwd"),
    ("fprop", "bprop"),
    ("loss", "bptt"),
    ("calculate_total_loss", "bptt"),
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
    ("__call__", "backward"),
    ("__call__", "bptt"),
    ("run", "backward"),
    ("step", "backward"),
    ("apply", "backward"),
)
MAKERS = ("zeros", "ones", "empty", "zeros_like", "ones_like", "empty_like", "full", "full_like")
EXAMPLE = 'bptt.check("mine.py", adapter=Adapter(forward="run", backward="run_back"))'


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
    prototypes: dict[tuple[int, ...], Any] = field(default_factory=dict)
    patience: float = 5.0

    @property
    def is_class(self) -> bool:
        """Whether objects are made by a class, rather than being copies of one."""
        return self.make is not None and (isinstance(self.make, type) or bool(parameters(self.make, False)))

    def owner(self, calling: Calling, values: Mapping[str, Array]) -> Any:
        """Return a fresh object with the given attributes, or None for functions."""
        if self.make is None:
            return None
        made = tuple(place for place in calling.given if place.path[0] == "make")
        if made:
            given = arguments(tuple(replace(place, path=place.path[1:]) for place in made), values)
            return self.make(*calling.construct, **given)
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
            kind, name, *rest = (*place.path, "")
            value = wrapped(place, values[place.name]) if kind in ("global", "closure") else None
            if kind == "global" and rest[0]:
                self.forward.__globals__[str(name)][rest[0]] = value
            elif kind == "global":
                self.forward.__globals__[str(name)] = value
            elif kind == "closure":
                for cell in cells(self, str(name)):
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
def numpy_with(subject: Subject, around: Callable[[Callable[..., Array]], Callable[..., Array]]) -> Iterator[None]:
    """Let the code see a NumPy whose functions that make fresh arrays have something around them."""
    scope = getattr(subject.forward, "__globals__", {})
    made = {getattr(np, name): around(getattr(np, name)) for name in MAKERS}
    before = {name: v for name, v in scope.items() if v is np or callable(v) and _hashed(v) and v in made}
    stand_in = ModuleType("numpy")
    stand_in.__dict__.update({name: getattr(np, name) for name in dir(np) if not name.startswith("__")})
    stand_in.__dict__.update({name: made[getattr(np, name)] for name in MAKERS})
    scope.update({name: stand_in if value is np else made[value] for name, value in before.items()})
    try:
        yield
    finally:
        scope.update(before)


def _hashed(value: Any) -> bool:
    return type(value).__hash__ is not None


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
    made.make = (lambda: Held(theirs)) if is_module(theirs) else (lambda: copy.deepcopy(theirs))
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
    functions = {n: v for n, v in own.items() if isinstance(inspect.unwrap(v) if callable(v) else v, FunctionType)}
    classes = {n: v for n, v in own.items() if isinstance(v, type)}
    found = _choose(path, functions, classes, wanted, adapter)
    subject = _of_class(found, adapter) if isinstance(found, type) else _of_functions(path, *found)
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
    if len(chosen) == 1:
        return functions[chosen[0][0]], functions[chosen[0][1]]
    both = [
        kind for kind in classes.values() if is_function(kind) or not is_module(kind) and _methods(kind) is not None
    ]
    modules = [kind for kind in classes.values() if is_module(kind)]
    if all(_is_used(kind, modules) for kind in both):
        both = modules
    whole = [kind for kind in both if not _is_step(kind.__name__)] or both
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


def _is_step(name: str) -> bool:
    return re.search("step|cell", name.lower()) is not None


def _pairs(functions: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the names that go together: x_forward and x_backward, or else the only two that nothing else calls."""
    pairs: dict[tuple[str, str], None] = {}
    for ahead, back in PAIRS:
        for name in functions:
            partner = name.replace(ahead, back)
            if ahead in name and partner != name and partner in functions:
                pairs.setdefault((name, partner), None)
    if not pairs:
        second = [name for name in functions if re.search("back|bwd|bptt|grad|bprop", name.lower())]
        second = [name for name in second if not any(_calls(functions[other], name) for other in second)]
        first = [name for name in functions if name not in second and not re.search("loss|train|main", name.lower())]
        first = [name for name in first if not any(_calls(other, name) for other in functions.values())]
        if len(second) == 1 and len(first) == 1:
            pairs[first[0], second[0]] = None
    return list(pairs)


def _calls(function: FunctionType, name: str) -> bool:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is not None and name in code.co_names and function.__name__ != name


def _is_used(kind: type, others: list[type]) -> bool:
    """Return whether methods of other classes name a class."""
    codes = [value.__code__ for other in others for value in vars(other).values() if isinstance(value, FunctionType)]
    return any(kind.__name__ in code.co_names for code in codes)


def _methods(kind: type) -> tuple[str, str] | None:
    return next((pair for pair in PAIRS if all(callable(getattr(kind, name, None)) for name in pair)), None)


def _of_class(kind: type, adapter: Adapter) -> Subject:
    if is_function(kind):
        return _of_functions(kind.__name__, *function_pair(kind), kind)
    if is_module(kind):
        subject = _of_functions(kind.__name__, *module_pair(kind), kind)
        subject.make = functools.wraps(kind)(lambda *sizes: Held(kind(*sizes)))
        return subject
    names = (adapter.forward, adapter.backward) if adapter.forward else _methods(kind)
    if names is None:
        raise Error(f"the class {kind.__name__} has no methods forward and backward. Name them: {EXAMPLE}")
    subject = _of_functions(kind.__name__, getattr(kind, names[0]), getattr(kind, names[1], None))
    if not isinstance(inspect.getattr_static(kind, names[0]), staticmethod | classmethod):
        subject.make = kind
    return subject


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
    return Subject(name, forward, backward, None, factory, module, text, file)


def _gives_both(function: Any) -> bool:
    """Return whether a function defines others inside and returns them: a closure over weights."""
    inner = [part for part in getattr(getattr(function, "__code__", None), "co_consts", ()) if inspect.iscode(part)]
    names = {part.co_name for part in inner}
    ends = returned_names(function)
    return len(ends) == 2 and all(name in names for name in ends.values())


def optional_names(function: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments whose default is None."""
    try:
        return [n for n, p in inspect.signature(function).parameters.items() if p.default is None]
    except (TypeError, ValueError):
        return []


def sizes_with_defaults(make: Callable[..., Any]) -> list[str]:
    """Return the arguments of a class that are sizes with a default, where they directly follow those without one."""
    try:
        rest = [p for p in inspect.signature(make).parameters.values() if p.default is not inspect.Parameter.empty]
    except (TypeError, ValueError):
        return []
    whole = [role(p.name) == "size" and isinstance(p.default, int) for p in rest]
    return [p.name for p in rest[: whole.index(False) if False in whole else None]]


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
    ends = [node.value for node in _own(tree.body[0]) if isinstance(node, ast.Return) and node.value] if tree else []
    found: dict[Path, str] = {}

    def visit(node: ast.expr, path: Path) -> None:
        if isinstance(node, ast.Tuple | ast.List):
            for index, part in enumerate(node.elts):
                visit(part, (*path, index))
            return
        if isinstance(node, ast.Dict):
            for key in node.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    found[(*path, key.value)] = key.value
            return
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            found[path] = node.attr
            return
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id not in ("np", "numpy", "self")]
        found[path] = names[0] if names else ast.unparse(node)

    if ends:
        visit(ends[-1], ())
    return found


def _own(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without those of functions inside it."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield node
            yield from _own(node)


def trees(function: Callable[..., Any], text: str) -> list[ast.AST]:
    """Return the syntax trees of a function and of the file that it is in, where there are any."""
    found: list[ast.AST] = []
    with contextlib.suppress(OSError, TypeError, SyntaxError, IndentationError):
        found.append(ast.parse(textwrap.dedent(inspect.getsource(function))))
    return [*found, ast.parse(text)] if text else found


def keys_read(function: Callable[..., Any], argument: str, text: str) -> list[str]:
    """Return what is taken out of an argument, from the source: keys p["Wf"], attributes p.Wf as ".Wf"."""
    for tree in trees(function, text):
        found = []
        methods = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            match node:
                case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))) if name == argument:
                    found.append(key)
                case ast.Attribute(value=ast.Name(id=name), attr=key) if name == argument and id(node) not in methods:
                    if not any(hasattr(kind, key) for kind in array_kinds()):
                        found.append(f".{key}")
        if found:
            return list(dict.fromkeys(found))
    return []


def array_kinds() -> tuple[type, ...]:
    """Return the classes of what an argument may be that isn't a group of parameters."""
    torch = sys.modules.get("torch")
    return (np.ndarray, dict, list) if torch is None else (np.ndarray, dict, list, torch.Tensor)


def parts_read(function: Callable[..., Any], argument: str, text: str) -> list[str]:
    """Return the names that a tuple is taken apart into, from the source: Wx, Wh, b = params."""
    for tree in trees(function, text):
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Tuple(elts=parts)], value=ast.Name(id=name)) if name == argument:
                    return [ast.unparse(part) for part in parts]
    return []


def is_float(value: Any) -> bool:
    """Return whether a value is an array of floating-point numbers."""
    return isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
