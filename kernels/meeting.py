"""Meetings of the threads that run one pass: each waits, awake, until all are there."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
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

# name -> (file beside this one, words that it is given)
FUNCTIONS = {"meet": ("awake", 2), "serve": ("awake", 2), "lead": ("awake", 5), "alike": ("alike", 2)}


def meeting_place() -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a word in which the threads of a pass count who is there, on a cache line of its own."""
    return np.zeros(24, np.int64)[8:16]


def uncompiled(name: str) -> Callable[..., int]:
    """Return one of the `FUNCTIONS` as its file has it."""
    stem, _ = FUNCTIONS[name]
    module: Any = load_module((Path(__file__).parent / f"{stem}.py").read_text("utf-8"), stem)
    found: Callable[..., int] = getattr(module, name)
    return found


@cache
def compiled(name: str) -> CFunc:
    """Compile one of the `FUNCTIONS`, or find it on disk, and name it to the linker."""
    binding.add_symbol("bptt_rest", _rest())
    kinds = (types.int64,) * FUNCTIONS[name][1]
    function: Any = CFunc(uncompiled(name), (kinds, types.int64), {}, {"error_model": "numpy"})
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
