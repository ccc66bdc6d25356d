"""Numbers as files of weights keep them, by the names that safetensors gives the types."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def widened(kind: str, data: bytes) -> NDArray[Any]:
    """Return the numbers in raw bytes, little end first; bfloat16 becomes float32, which holds it exactly.

    Raises:
        ValueError: for a kind that isn't known.

    >>> widened("BF16", bytes([0x80, 0x3F, 0x40, 0xC0]))
    array([ 1., -3.], dtype=float32)
    """
    if kind == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    if kind not in KINDS:
        raise ValueError(f"numbers of type {kind} aren't read; known: {', '.join(KINDS)}, BF16")
    return np.frombuffer(data, KINDS[kind])
