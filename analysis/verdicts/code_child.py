"""The process in which somebody's code runs: it may print, hang, exit or use up memory without harm to this one."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from ...derive.cell import Cell
from ...derive.errors import Error
from .code_adapter import Adapter
from .verdict import Fault, Verdict

MEMORY = 4 << 30  # bytes beside what the process has when it starts: a fork has all that its parent had


def in_child(theirs: Any, cell: Cell | None, adapter: Adapter, seconds: float, patience: float, spawn: bool) -> Verdict:
    """Judge in a process of its own; where the search for a fault takes too long, return what is known by then.

    Raises:
        Error: as `judge` does, and where the process ends or its time is over before the backward pass runs.
    """
    context: Any = multiprocessing.get_context("spawn" if spawn or not hasattr(os, "fork") else "fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(there, theirs, cell, adapter, seconds, patience), daemon=True)
    with _without_script(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of threads that a copy of this process lacks: it uses none that it hasn't made
        process.start()
    there.close()
    stage, until = "loading the file", time.monotonic() + seconds
    name = theirs if isinstance(theirs, str) else theirs[0] if isinstance(theirs, tuple) else "code"
    known: Verdict | None = None
    try:
        while here.poll(max(0.0, until - time.monotonic())):
            kind, what = here.recv()
            if kind == "stage":
                stage = what
            elif kind == "known":
                known = what
            elif kind == "error":
                raise Error(what)
            else:
                return what
        if known is not None:
            late = f"The search for the fault was ended after {seconds:g} s; a longer time is given as seconds=."
            return replace(known, notes=(*known.notes, late))
        return _ended(str(name), stage, "hangs", f"{stage} was still running after {seconds:g} s")
    except EOFError:
        process.join(5)
        return _ended(str(name), stage, "exits", f"{stage} ended the process, with exit code {process.exitcode}")
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        here.close()


@contextmanager
def _without_script() -> Iterator[None]:
    """Keep a fresh process from running the user's script, which it has no use for, once more."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _ended(name: str, stage: str, kind: str, says: str) -> Verdict:
    if stage != "the backward pass":
        raise Error(f"{name}: {says}; give a longer time as seconds=, or mend it first")
    return Verdict(name, "unknown", (), (), (Fault(0, kind, says, ""),), (), float("inf"), "none")


def _address_space() -> int:
    """Return the bytes of address space that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _told(what: str | Verdict) -> tuple[str, Any]:
    return ("stage", what) if isinstance(what, str) else ("known", what)


def _work(pipe: Connection, theirs: Any, cell: Cell | None, adapter: Adapter, seconds: float, patience: float) -> None:
    """Judge, and send the verdict.

    A fork holds its parent's garbage too. It is left alone: a finaliser of it would do its work a second time, and one
    that raises within `ast.parse` would be told by a hook that parses, which CPython before 3.11.8 doesn't bear
    (https://github.com/python/cpython/issues/106905).
    """
    gc.freeze()
    sys.unraisablehook = sys.__unraisablehook__
    with suppress(Exception):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = _address_space() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit if most < 0 else min(limit, most), most))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    for stream in (1, 2):  # for what isn't written by Python too
        os.dup2(sys.stdout.fileno(), stream)
    from .code_finding import find, load
    from .code_judging import judge

    try:
        if isinstance(theirs, tuple) and isinstance(theirs[0], str):
            file, names = theirs
            module = load(file)
            found = [getattr(module, part) for part in names]
            subject = find(found[0] if len(found) == 1 else tuple(found), adapter)
            subject.file, subject.module, subject.name = file, module, f"{file}:{names[-1]}"
        else:
            subject = find(theirs, adapter)
        subject.patience = patience
        verdict = judge(subject, cell, adapter, lambda what: pipe.send(_told(what)), 0.8 * seconds)
        pipe.send(("verdict", verdict))
    except Error as error:
        pipe.send(("error", str(error)))
    except MemoryError:
        pipe.send(("error", f"the code asks for more than {MEMORY >> 30} GB of memory"))
    except Exception as error:
        import traceback

        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(where.filename)}, line {where.lineno}"
        pipe.send(("error", f"the code raises {type(error).__name__}: {error} ({place})"))
