"""`Worker`: a thread that runs its share of a pass, and waits awake for the next one before it sleeps.

Between passes that follow each other there are only some microseconds: a thread that slept would be late for its share.
Python has no part in it while a worker is awake: who leads a pass writes what is asked for into the worker's mailbox.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from .awake import WORDS
from .meeting import FUNCTIONS, compiled

LOOKS = 20_000  # before a thread sleeps: about a millisecond
PATIENCE = 2_000  # looks for a thread that is waking up, before it is woken again

Table = Any  # an array of machine words


class Worker:
    """A thread with a mailbox."""

    def __init__(self) -> None:
        self._words = np.zeros(3 * WORDS, np.int64)
        self.mailbox = self._words[-self._words.ctypes.data // 8 % 8 :].ctypes.data  # from a cache line on
        self._wanted = threading.Event()
        threading.Thread(target=self._work, name="bptt", daemon=True).start()

    def wake(self) -> None:
        self._wanted.set()

    def _work(self) -> None:
        serve = _function("serve")
        while True:
            self._wanted.wait()
            self._wanted.clear()
            serve(self.mailbox, LOOKS)


def run_all(function: Any, tables: Sequence[Table]) -> int:
    """Run a compiled function on several tables at the same time, the first in this thread, and wait for all.

    Args:
        function: of ctypes, which takes an address and returns an int.
        tables: of which it gets the addresses.

    Returns:
        What the function returned, bits of all calls joined.
    """
    with _lock:
        workers = [_idle.pop() if _idle else Worker() for _ in tables[1:]]
    addresses = np.array([table.buffer_info()[0] for table in tables])
    mails = np.array([0, *(worker.mailbox for worker in workers)])
    given = mails.ctypes.data, addresses.ctypes.data, len(tables), ctypes.cast(function, ctypes.c_void_p).value
    try:
        lead: Any = _function("lead")
        looks = 1
        while (status := lead(*given, looks)) < 0:
            workers[-status - 1].wake()
            looks = PATIENCE
    finally:
        with _lock:
            _idle.extend(workers)
    return status


@cache
def _function(name: str) -> Callable[..., int]:
    """Return a function of `awake.py`, compiled; it doesn't hold Python's lock."""
    kinds = (ctypes.c_int64,) * (1 + FUNCTIONS[name][1])
    address: Any = compiled(name).address
    return ctypes.CFUNCTYPE(*kinds)(address)


_idle: list[Worker] = []
_lock = threading.Lock()


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
