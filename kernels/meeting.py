"""Meetings of the threads that run one pass: each waits, awake, until all are there."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]  # it carries no types
from numba import types
from numba.core import cgutils
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

from .cache import load_module, survive_damage
from .vector import INDEX, WITHOUT_NUMBA

FUNCTIONS = {"meet": ("awake", 2), "serve": ("awake", 2), "lead": ("awake", 5), "alike": ("alike", 2)}


def meeting_place() -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a word in which the threads of a pass count who is there, on a cache line of its own."""
    return np.zeros(24, np.int64)[8:16]


@cache
def compiled(name: str) -> CFunc:
    """Compile one of the `FUNCTIONS`, name -> (file beside this one, words that it is given), or find it on disk.

    The linker learns its name.
    """
    binding.add_symbol("bptt_rest", _rest())
    stem, many = FUNCTIONS[name]
    module = load_module((Path(__file__).parent / f"{stem}.py").read_text("utf-8"), stem)
    kinds = (types.int64,) * many
    function: Any = CFunc(getattr(module, name), (kinds, types.int64), {}, {"error_model": "numpy"})
    function.enable_caching()
    survive_damage(function._cache, f"passes: {name}")
    function.compile()
    binding.add_symbol(f"bptt_{name}", function.address)
    return function


def _rest() -> int:
    """Return the address of the system's function by which a thread lets others have its core."""
    system: Any = ctypes
    rest = system.WinDLL("kernel32").SwitchToThread if os.name == "nt" else ctypes.CDLL(None).sched_yield
    return int(ctypes.cast(rest, ctypes.c_void_p).value or 0)


def _meet(typing: Any, place: Any, parts: Any) -> Any:
    """Wait for the other parts of a pass, where there are several."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word = ir.IntType(64)
        with builder.if_then(builder.icmp_signed(">", args[1], word(1)), likely=False):
            kind = ir.FunctionType(word, [word, word])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "bptt_meet"), args)
        return context.get_dummy_value()

    return types.void(INDEX, INDEX), lower


if WITHOUT_NUMBA:

    def meet(place: int, parts: int) -> None:
        """Code that isn't compiled runs in one thread."""

else:
    as_intrinsic: Any = intrinsic
    meet = as_intrinsic(_meet)
