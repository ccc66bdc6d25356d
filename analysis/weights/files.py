"""Files of weights, by their suffixes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ...derive.errors import Error, expect_path, nearest
from .keras_file import from_keras
from .layers import Trained
from .onnx_file import from_onnx
from .torch_names import from_torch

READERS: dict[str, Callable[[str | os.PathLike[str]], Trained]] = {
    ".pt": from_torch,
    ".pth": from_torch,
    ".ckpt": from_torch,
    ".bin": from_torch,
    ".safetensors": from_torch,
    ".keras": from_keras,
    ".h5": from_keras,
    ".hdf5": from_keras,
    ".onnx": from_onnx,
}


def read_weights(path: str | os.PathLike[str]) -> Trained:
    """Return the recurrent layers in a file of weights, whose suffix says what it is.

    Raises:
        Error: for a suffix that isn't known, and as the readers of each kind do.
    """
    expect_path("the path of weights", path)
    where = Path(path)
    if where.suffix not in READERS:
        raise Error(f"{where}: files of weights end in {', '.join(READERS)}")
    if not where.is_file():
        raise Error(f"{where}: there is no such file. {nearest(where) or 'Give the path of one that is there.'}")
    if not where.stat().st_size:
        raise Error(f"{where}: the file is empty. Write or copy it again.")
    return READERS[where.suffix](where)
