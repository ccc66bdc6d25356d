"""Gram–Schmidt and singular values on rows of any sizes, for compiled code and for Python."""

from __future__ import annotations

from ctypes import POINTER, c_double, c_float
from functools import cache
from typing import Any

import numpy as np
from numba.core.ccallback import CFunc

from ..derive.errors import Error
from . import products
from .graded import _turn_all
from .gram_schmidt import BLOCK as BLOCK_OF_ROWS
from .gram_schmidt import _orthonormalise
from .products import BLOCK, COUNT, PACKED, WHOLE, export, exported, packed_size
from .vector import WITHOUT_NUMBA

GRAM_SCHMIDT = {"orthonormalise": (BLOCK, COUNT, BLOCK, PACKED)}
GRADED = {"turn_all": (WHOLE, COUNT, PACKED)}


@cache
def prepare(dtype: str) -> list[CFunc]:
    """Compile Gram–Schmidt for a dtype, or find it on disk, so that generated code can call it."""
    products.prepare(dtype)
    return export("gram_schmidt", GRAM_SCHMIDT, dtype, "Gram-Schmidt")


def space_size(count: int, width: int, dtype: Any) -> int:
    """Return the entries of the workspace for `count` rows of this width."""
    return (2 * packed_size(width, 1, dtype) + count) * BLOCK_OF_ROWS


def stretch(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Make the rows of each matrix orthonormal, in place, and return the norm of each after projection on those before.

    These norms are the diagonal of R in the QR decomposition of the transposed matrix, the rows become Qᵀ. The norm is
    0 where a row lies, to rounding (width times epsilon of its own norm), in the span of those before it, and inf where
    its norm is past the largest float; any direction that is orthogonal to those before then takes its place.

    Args:
        rows: (..., K, N) with K at most N, float32 or float64, C-contiguous.

    Returns:
        (..., K), dtype of the rows.

    Raises:
        Error: for more rows than entries in a row, another dtype, or an array that isn't contiguous.

    >>> rows = np.array([[3.0, 4.0], [0.0, 5.0]])
    >>> stretch(rows).round(12).tolist(), rows.round(12).tolist()
    ([5.0, 3.0], [[0.6, 0.8], [-0.8, 0.6]])
    """
    *lead, count, width = rows.shape
    if count > width:
        raise Error(f"{count} vectors of {width} entries can't be orthogonal: give at most {width}")
    if rows.dtype.name not in ("float32", "float64") or not rows.flags.c_contiguous:
        raise Error(f"rows must be a contiguous array of float32 or float64, not of {rows.dtype}")
    norms = np.empty((*lead, count), rows.dtype)
    space = np.empty(space_size(count, width, rows.dtype), rows.dtype)
    for matrix, found in zip(rows.reshape(-1, count, width), norms.reshape(-1, count), strict=True):
        _at_once(matrix, found, space)
    return norms


def _at_once(matrix: Any, norms: Any, space: Any) -> None:
    if WITHOUT_NUMBA:
        orthonormalise(matrix, 0, 0, len(matrix), norms.reshape(1, -1), 0, 0, space)
    else:
        [function] = prepare(matrix.dtype.name)
        count, width = matrix.shape
        function.ctypes(_pointer(matrix), width, count, _pointer(norms), count, _pointer(space))


def _pointer(array: Any) -> Any:
    return array.ctypes.data_as(POINTER(c_double if array.dtype == np.float64 else c_float))


def singular_logs(rows: np.ndarray[Any, Any], logs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the logs of the singular values of matrices whose rows differ by any power of e, largest first.

    Each has the relative error of a well-conditioned matrix where the rows, scaled to norm 1, are well conditioned.

    Args:
        rows: (..., K, N), float64.
        logs: (..., K), natural logs of the factors of the rows; −inf for a row of zeros.

    Returns:
        (..., K), natural logs; −inf for a singular value that is zero.

    >>> singular_logs(np.array([[3.0, 4.0], [4.0, -3.0]]), np.array([-1000.0, 1000.0])) - np.log(5)
    array([ 1000., -1000.])
    """
    rows, found = np.array(rows, float, order="C"), np.array(logs, float, order="C")
    rows[np.isneginf(found)] = 0
    for matrix, values in zip(rows.reshape(-1, *rows.shape[-2:]), found.reshape(-1, rows.shape[-2]), strict=True):
        if WITHOUT_NUMBA:
            _turn_all(matrix, values, matrix.shape[1] * 2.0**-53)
        else:
            [function] = _prepare_graded()
            function.ctypes(_pointer(matrix), matrix.shape[1], len(matrix), _pointer(values))
    return -np.sort(-found, axis=-1)


@cache
def _prepare_graded() -> list[CFunc]:
    return export("graded", GRADED, "float64", "singular values")


if WITHOUT_NUMBA:

    def orthonormalise(
        rows: Any, row: int, column: int, count: int, norms: Any, norms_row: int, norms_column: int, space: Any
    ) -> None:
        padded = BLOCK_OF_ROWS * packed_size(rows.shape[1], 1, rows.dtype)
        across, along, left = np.split(space, [padded, 2 * padded])
        found = norms[norms_row, norms_column : norms_column + count]
        _orthonormalise(rows[row : row + count], found, across, along, left.reshape(-1, BLOCK_OF_ROWS)[:count])

else:
    orthonormalise = exported("orthonormalise", GRAM_SCHMIDT["orthonormalise"])
