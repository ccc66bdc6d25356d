"""A verdict on hand-written code: called, compared, diagnosed and mended, in a process of its own."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from types import FunctionType
from typing import Any

from ...derive.cell import Cell
from .code_adapter import Adapter
from .code_child import in_child
from .verdict import Verdict


def check_code(
    theirs: Any,
    cell: Cell | None = None,
    *,
    adapter: Adapter | None = None,
    seconds: float = 120.0,
    patience: float = 5.0,
) -> Verdict:
    """Judge a backward pass that somebody wrote as code.

    The code runs in a process of its own, so that nothing it does takes this one down. How it wants to be called, and
    which cell it is, is found out by calling it; it is judged against its own forward pass.

    Args:
        theirs: a file ("mine.py", or "mine.py:mycell" for one of several), a pair (forward, backward), a function that
            does both, a class with both as methods, or an object of one.
        cell: that it is meant to be; found out where it isn't given.
        adapter: what is to be said about how to call it; the rest is inferred.
        seconds: after which the process is ended.
        patience: seconds of computing after which a single run of theirs counts as hanging.

    Raises:
        Error: where there is nothing to call, or no way was found to call it; it says what to state in an adapter.

    >>> import tempfile
    >>> text = '''
    ... import numpy as np
    ... def forward(x, h0, W, U, b):
    ...     h = [h0]
    ...     for x_t in x:
    ...         h.append(np.tanh(x_t @ W + h[-1] @ U + b))
    ...     return np.array(h[1:]), (x, h, W, U)
    ... def backward(dh, cache):
    ...     x, h, W, U = cache
    ...     dx, dW, dU, db, dh0 = np.zeros_like(x), 0, 0, 0, 0
    ...     for t in reversed(range(len(x))):
    ...         da = (dh[t] + dh0) * (1 - h[t + 1])
    ...         dx[t], dW, dU, db = da @ W.T, dW + x[t].T @ da, dU + h[t].T @ da, db + da.sum(0)
    ...         dh0 = da @ U.T
    ...     return dx, dh0, dW, dU, db
    ... '''
    >>> with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
    ...     _ = file.write(text), file.flush()
    ...     found = check_code(file.name)
    >>> [(fault.line, fault.kind, fault.mended) for fault in found.faults]
    [(12, 'activation', 'da = (dh[t] + dh0) * (1 - h[t + 1] ** 2)')]
    """
    portable, spawn = _portable(theirs)
    return in_child(portable, cell, adapter or Adapter(), seconds, patience, spawn)


def _portable(theirs: Any) -> tuple[Any, bool]:
    """Return what can be sent to a fresh process, and whether it can; else a copy of this process must do."""
    if isinstance(theirs, str | Path):
        return str(theirs), True
    functions = tuple(theirs) if isinstance(theirs, tuple | list) else (theirs,)
    if all(
        isinstance(f, FunctionType | type) and f.__qualname__.isidentifier() and f.__module__ != "__main__"
        for f in functions
    ):
        files = {inspect.getsourcefile(f) for f in functions}
        file = next(iter(files))
        if len(files) == 1 and file and Path(file).is_file():
            return (file, tuple(f.__name__ for f in functions)), True
    try:
        pickle.dumps(theirs)
    except Exception:
        return theirs, False
    return theirs, all(getattr(f, "__module__", "") != "__main__" for f in functions)
