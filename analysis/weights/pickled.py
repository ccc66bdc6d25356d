"""State dicts in torch's own format (.pt, .pth), read without torch: nothing in the file is executed.

A .pt file is a zip archive of a pickle and of raw numbers. A pickle is a program; here it may name nothing but ordered
dictionaries and the parts of tensors; a few kinds of things that training scripts add are left out unread, and
whatever else it names is refused before it is looked up.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...derive.errors import Error
from .numbers import widened

STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
HEADER = b"PK\x03\x04"


class Left:
    """Stands for an object beside the numbers, such as a script's arguments, and keeps nothing of it."""

    def __init__(self, *parts: Any) -> None:
        pass

    def _ignored(self, *parts: Any) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = add = _ignored


LEFT = {
    "argparse": ("Namespace",),
    "builtins": ("set", "frozenset", "list", "dict", "int", "float", "complex"),
    "collections": ("defaultdict", "Counter", "deque"),
    "datetime": ("datetime", "timedelta"),
    "numpy": ("dtype", "ndarray", "float64"),
    "numpy.core.multiarray": ("scalar", "_reconstruct"),
    "numpy._core.multiarray": ("scalar", "_reconstruct"),
    "pathlib": ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
    "torch": ("device", "float64", "float32", "float16", "bfloat16", "int64", "int32"),
    "_codecs": ("encode",),
}  # what training scripts write beside a state dict
OLDER = {"__builtin__": "builtins"}  # what modules are called in pickles for Python 2


@dataclass(frozen=True, slots=True)
class _Kind:
    """What `torch.FloatStorage` and its like stand for."""

    name: str


def read_pickled(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a .pt file, by their names with dots between nested dictionaries.

    Raises:
        Error: where it isn't such a file, holds other objects than tensors, or was made by a torch before 1.6.

    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start != HEADER:
            raise Error(
                f"{path}: not a file that torch.save has written since version 1.6. Load it with the torch that wrote "
                "it, and write it anew with torch.save(model.state_dict(), ...)."
            )
        with zipfile.ZipFile(path) as archive:
            return _flat(_unpickled(archive, path), path)
    except zipfile.BadZipFile as error:
        raise Error(f"{path}: its end is missing or damaged ({error}). Copy it again, and whole.") from None
    except OSError as error:
        raise Error(f"{path}: can't be read: {error}") from None


def _unpickled(archive: zipfile.ZipFile, path: Path) -> Any:
    names = archive.namelist()
    found = [name for name in names if name.endswith("/data.pkl")]
    if len(found) != 1:
        raise Error(f"{path}: a zip archive, but none that torch.save has written: there is no data.pkl in it")
    folder = found[0].removesuffix("data.pkl")
    order = archive.read(f"{folder}byteorder").decode() if f"{folder}byteorder" in names else "little"
    if order.strip() != "little":
        raise Error(f"{path}: written on a machine with {order} byte order, and only little is read")
    reader = _Reader(io.BytesIO(archive.read(found[0])), archive, folder, path)
    try:
        return reader.load()
    except Error:
        raise
    except Exception as error:
        raise Error(f"{path}: its pickle is damaged ({type(error).__name__}: {error})") from None


class _Reader(pickle.Unpickler):
    """Reads what state dicts are made of, and nothing else."""

    def __init__(self, file: io.BytesIO, archive: zipfile.ZipFile, folder: str, path: Path) -> None:
        super().__init__(file)
        self.archive, self.folder, self.path = archive, folder, path
        self.storages: dict[str, NDArray[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in TENSORS:
            return TENSORS[module, name]
        if module == "torch" and name in STORAGES:
            return _Kind(STORAGES[name])
        if name in LEFT.get(OLDER.get(module, module), ()):
            return Left
        if module == "torch" and name.endswith("Storage"):
            raise Error(f"{self.path}: holds a {name}, whose numbers aren't read. Known: {', '.join(STORAGES)}.")
        raise Error(
            f"{self.path}: holds a Python object, '{module}.{name}', that only running code could make, which is not "
            "done here. Write the numbers alone: torch.save(model.state_dict(), ...), or safetensors."
        )

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        """Return a storage's numbers, flat."""
        kind, key, count = pid[1], str(pid[2]), int(pid[4])
        if key not in self.storages:
            entry = f"{self.folder}data/{key}"
            self.storages[key] = widened(kind.name, self.archive.read(entry))
        if len(self.storages[key]) < count:
            raise Error(f"{self.path}: the numbers of storage {key} aren't all there")
        return self.storages[key]


def _tensor(
    storage: NDArray[Any], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> NDArray[Any]:
    """Return the part of a storage that a tensor is; it must lie inside."""
    last = offset + sum((many - 1) * step for many, step in zip(shape, strides, strict=True))
    if min((offset, *shape, *strides)) < 0 or math.prod(shape) > len(storage):
        raise ValueError("a tensor of impossible shape")
    if math.prod(shape) and last >= len(storage):
        raise ValueError("a tensor past the end of its numbers")
    if not math.prod(shape):
        return np.zeros(shape, storage.dtype)
    steps = [step * storage.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False).copy()


TENSORS = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    ("torch", "Size"): tuple,
}


def _flat(tree: Any, path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays in nested dictionaries; numbers and texts beside them, as training scripts add, are left.

    What stands in several places is read at the first: a dictionary may hold itself.
    """
    if not isinstance(tree, Mapping):
        raise Error(f"{path}: holds {type(tree).__name__}, not a state dict. Write it with model.state_dict().")
    found: dict[str, NDArray[Any]] = {}
    waiting: list[tuple[str, Any]] = [("", tree)]
    seen = {id(tree)}
    while waiting:
        prefix, branch = waiting.pop(0)
        for name, value in branch.items() if isinstance(branch, Mapping) else enumerate(branch):
            if isinstance(value, list | tuple | Mapping) and id(value) not in seen:
                seen.add(id(value))
                waiting.append((f"{prefix}{name}.", value))
            elif isinstance(value, np.ndarray):
                found[f"{prefix}{name}"] = value
    return found
