"""`Worker`: a thread that takes calls, and waits awake for a moment before it sleeps.

Between the steps of one pass, and between passes that follow each other, there are only some microseconds: a thread
that slept would be late for its share.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import types
from numba.core.ccallback import CFunc

from .cache import load_module, survive_damage
from .vector import WITHOUT_NUMBA

LOOKS = 20_000  # before a thread sleeps: about half a millisecond

Call = Callable[[], None]


class Worker:
    """A thread with one caller at a time: `start` a call, then `join` it."""

    def __init__(self) -> None:
        self._asked, self._done = np.zeros(16, np.int64), np.zeros(16, np.int64)  # on cache lines of their own
        self._call: Call = lambda: None
        self._error: BaseException | None = None
        self._started, self._finished = threading.Event(), threading.Event()
        self._looks = 0
        threading.Thread(target=self._work, name="bptt", daemon=True).start()

    def start(self, call: Call, looks: int) -> None:
        """Let the thread call something; it looks so many times for what is next before it sleeps."""
        self._call, self._error, self._looks = call, None, looks
        self._asked[0] += 1
        self._started.set()

    def join(self) -> BaseException | None:
        """Wait for the call, and return what it raised."""
        _wait_for(self._done, int(self._asked[0]), self._looks, self._finished)
        return self._error

    def _work(self) -> None:
        number = 0
        while True:
            number += 1
            _wait_for(self._asked, number, self._looks, self._started)
            try:
                self._call()
            except BaseException as error:
                self._error = error
            self._call = lambda: None
            self._done[0] = number
            self._finished.set()


def _wait_for(place: np.ndarray[Any, Any], number: int, looks: int, told: threading.Event) -> None:
    """Wait until a number is reached: awake at first, then asleep until it is told."""
    if looks:
        _wait()(place.ctypes.data, number, looks)
    while place[0] < number:
        told.wait()
        told.clear()


def run_all(calls: Sequence[Call]) -> None:
    """Run calls at the same time, the first in this thread, and wait for all.

    Raises:
        BaseException: what the first of them raised.
    """
    with _lock:
        workers = [_idle.pop() if _idle else Worker() for _ in calls[1:]]
    looks = LOOKS if _cores() >= len(calls) and not WITHOUT_NUMBA else 0
    for worker, call in zip(workers, calls[1:], strict=True):
        worker.start(call, looks)
    try:
        calls[0]()
    finally:
        errors = [worker.join() for worker in workers]
        with _lock:
            _idle.extend(workers)
    for error in errors:
        if error is not None:
            raise error


_idle: list[Worker] = []
_lock = threading.Lock()


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _wait() -> Callable[[int, int, int], int]:
    """Return `wait` of `awake.py`, compiled; it doesn't hold Python's lock."""
    module = load_module((Path(__file__).parent / "awake.py").read_text("utf-8"), "awake")
    kinds = (types.CPointer(types.int64), types.int64, types.int64), types.int64
    function: Any = CFunc(module.wait, kinds, {}, {"error_model": "numpy"})
    function.enable_caching()
    survive_damage(function._cache, "waiting")
    function.compile()
    _kept.append(function)
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    found: Callable[[int, int, int], int] = kind(function.address)
    return found


_kept: list[Any] = []
