"""Source -> module, through a folder on disk, so that a second process starts without compiling."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from llvmlite import binding  # type: ignore[import-untyped]  # it carries no types

COMPILED_IN = (  # modules
    "alike",
    "awake",
    "blocks",
    "finite",
    "functions",
    "graded",
    "gram_schmidt",
    "meeting",
    "orthogonal",
    "panels",
    "products",
    "table",
    "tiles",
    "values",
    "vector",
    "workers",
)
_loading = threading.RLock()


def folder() -> Path:
    """Return the folder of generated modules: $BPTT_CACHE, else bptt under the user's cache folder."""
    given = os.environ.get("BPTT_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(given) if given else (Path(base) if base else Path.home() / ".cache") / "bptt"


def load_module(source: str, name: str) -> ModuleType:
    """Return the module with this source; its compiled functions lie beside it and are found again.

    The file's name holds a digest of the source, of what is compiled into it, of the versions that compile it and of
    the processor, so nothing stale is ever read. Where the folder can't be written, a temporary one is used and said so
    once.

    Args:
        source: of the module. Each of its functions must be called with one set of types only: Numba's index of a
            function with several isn't safe when processes write it at the same time.
        name: for people, in the file's name.
    """
    stem = _stem(source, name)
    module_name = f"bptt_generated.{stem}"
    with _loading:
        if module_name in sys.modules:
            return sys.modules[module_name]
        module = ModuleType(module_name, "")
        module.__file__ = str(_stored(stem, source))
        sys.modules[module_name] = module  # Numba looks it up there
        try:
            exec(compile(source, module.__file__, "exec"), module.__dict__)
        except BaseException:
            del sys.modules[module_name]
            raise
        for key, value in list(vars(module).items()):
            if cache := getattr(value, "_cache", None):
                survive_damage(cache, f"{name}: {key}")
    return module


@contextmanager
def watched(watcher: Callable[[str], None]) -> Iterator[None]:
    """Let a function be told what is being compiled, such as "mine_float64: forward"; and "" when that is done.

    Where nobody watches, a line on standard error says so if that is a terminal.
    """
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def _on_terminal(what: str) -> None:
    """Show what is being compiled, and clear that line afterwards."""
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[KCompiling {what}" if what else "\r\x1b[K")
        sys.stderr.flush()


_watchers: list[Callable[[str], None]] = [_on_terminal]


def _stem(source: str, name: str) -> str:
    compiler = sys.version_info[:2], numba.__version__, binding.get_host_cpu_name(), _cpu_features(), _support()
    digest = hashlib.sha256(f"{compiler}\n{source}".encode()).hexdigest()[:16]
    return f"{''.join(c if c.isascii() and c.isalnum() else '_' for c in name)[:60]}_{digest}"


@functools.cache
def _cpu_features() -> str:
    return str(binding.get_host_cpu_features().flatten())


@functools.cache
def _support() -> str:
    """Return a digest of the modules that are compiled into generated code: Numba doesn't notice when they change."""
    texts = [(Path(__file__).parent / f"{name}.py").read_bytes() for name in COMPILED_IN]
    return hashlib.sha256(b"".join(texts)).hexdigest()


def _stored(stem: str, source: str) -> Path:
    """Return the file with this source, written where it wasn't there."""
    try:
        return _written(folder(), stem, source)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        reason = getattr(error, "strerror", None) or error
        where = getattr(error, "filename", None) or "the folder for compiled kernels"
        return _written(_temporary(f"{where} can't be written ({reason})"), stem, source)


@functools.cache
def _temporary(reason: str) -> Path:
    """Return a folder that only this process uses, and say why."""
    message = f"{reason}: kernels are compiled anew each time. Set BPTT_CACHE to a folder that can be written."
    warnings.warn(message, stacklevel=2)
    made = tempfile.mkdtemp(prefix="bptt-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def _written(where: Path, stem: str, source: str) -> Path:
    """Write the source under a temporary name and rename it, so that another process never reads half a file."""
    path, content = where / f"{stem}.py", source.encode()
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=where, prefix=f"{stem}.", suffix=".tmp", delete=False) as file:
        file.write(content)  # even where it is there already: Numba writes beside it
    if path.is_file() and path.read_bytes() == content:
        os.unlink(file.name)
    else:
        os.replace(file.name, path)
    return path


def survive_damage(cache: Any, name: str) -> None:
    """Make a Numba cache compile anew when its files can't be read, and do without when they can't be written.

    Whoever watches is told when compiling begins and ends.
    """
    load, save = cache.load_overload, cache.save_overload

    def load_overload(signature: Any, context: Any) -> Any:
        try:
            found = load(signature, context)
        except Exception:  # unpickling a damaged file may raise any of them
            with suppress(OSError):
                cache.flush()
            found = None
        if found is None:
            _watchers[-1](name)
        return found

    def save_overload(signature: Any, data: Any) -> None:
        with suppress(OSError):
            save(signature, data)
        _watchers[-1]("")

    cache.load_overload, cache.save_overload = load_overload, save_overload
