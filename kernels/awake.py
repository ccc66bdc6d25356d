# mypy: disable-error-code=no-untyped-def
# Numba finds the types.
"""Waiting without sleep: a thread that is needed again at once is there in a microsecond. `workers.py` uses it."""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # it carries no types
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bptt.kernels.vector import FEATURES


def _looked_up(typing, place):
    """Return the number at a place that another thread may be writing, after a pause of some nanoseconds."""

    def lower(context, builder, sig, args):
        if "sse2" in FEATURES:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return builder.load_atomic(args[0], "acquire", 8)

    return types.int64(place), lower


compiled: Any = intrinsic
looked_up = compiled(_looked_up)


def wait(place, number, looks):
    for _ in range(looks):
        if looked_up(place) >= number:
            return 1
    return 0
