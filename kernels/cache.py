"""Source -> module, through a folder on disk, so that a second process starts without compiling."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType

import numba


def folder() -> Path:
    """Return the folder of generated modules: $BPTT_CACHE, else bptt under the user's cache folder."""
    given = os.environ.get("BPTT_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given) if given else Path(base) / "bptt"


def load_module(source: str, name: str) -> ModuleType:
    """Return the module with this source; its compiled functions lie beside it and are found again.

    The file's name holds a digest of the source and of the versions that compile it, so nothing stale is ever read.
    Where the folder can't be written, a temporary one is used and said so once.
    """
    versions = f"{sys.version_info[:2]} {numba.__version__}"
    digest = hashlib.sha256(f"{versions}\n{source}".encode()).hexdigest()[:16]
    stem = f"{''.join(c if c.isascii() and c.isalnum() else '_' for c in name)}_{digest}"
    module_name = f"bptt_generated.{stem}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    path = _written(folder(), stem, source)
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} can't be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


def _written(where: Path, stem: str, source: str) -> Path:
    """Write the source under a temporary name and rename it, so that another process never reads half a file."""
    path = where / f"{stem}.py"
    try:
        where.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != source:
            with tempfile.NamedTemporaryFile("w", dir=where, suffix=".tmp", delete=False, encoding="utf-8") as file:
                file.write(source)
            os.replace(file.name, path)
        with tempfile.TemporaryFile(dir=where):
            return path
    except OSError as error:
        own = Path(tempfile.gettempdir()) / f"bptt-{os.getuid() if hasattr(os, 'getuid') else 'user'}-{os.getpid()}"
        if where == own:
            raise
        reason = error.strerror or error
        warnings.warn(f"{where} can't be written ({reason}): kernels are compiled anew each time", stacklevel=2)
        return _written(own, stem, source)
