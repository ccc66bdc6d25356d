"""Processes of this machine that perform tasks: one thread each, gone when this process is."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Protocol

from ...derive.errors import Error
from .plan import Plan, Task
from .process import framed
from .task import Outcome

AHEAD = 0.2  # seconds of work that a process is given beforehand, so that it never waits for its next task
MOST = 32  # tasks that it is given beforehand
COMMAND = "from bptt.analysis.studies.process import serve; serve()"
SINGLE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Workers(Protocol):
    """What performs tasks, in any order."""

    def submit(self, task: Task) -> None:
        """Have a task performed."""

    def take(self) -> Outcome:
        """Wait for the next outcome."""

    def close(self) -> None:
        """End what was started."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalWorkers:
    """Processes of this machine, each driven by a thread of this one."""

    def __init__(self, plan: Plan, count: int) -> None:
        self._plan = framed(plan)
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome | Error] = queue.SimpleQueue()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._seconds: dict[int, float] = {}  # that a task of a group took
        self._closed = False
        self._drivers = [threading.Thread(target=self._drive, daemon=True) for _ in range(count)]
        for driver in self._drivers:
            driver.start()

    def submit(self, task: Task) -> None:
        """Have a task performed."""
        self._tasks.put(task)

    def take(self) -> Outcome:
        """Wait for the next outcome.

        Raises:
            Error: where a process can't be started.
        """
        while True:
            with suppress(queue.Empty):
                found = self._outcomes.get(timeout=0.5)  # again and again, so that Ctrl-C is seen on any system
                if isinstance(found, Error):
                    raise found
                return found

    def close(self) -> None:
        """End all processes."""
        self._closed = True
        for _ in self._drivers:
            self._tasks.put(None)
        for process in list(self._processes):
            process.kill()
        for driver in self._drivers:
            driver.join()

    def _drive(self) -> None:
        """Give tasks to a process; where it ends on its way, its task is lost, and a new one goes on."""
        given: deque[Task] = deque()
        while not self._closed:
            process = _started()
            self._processes.add(process)
            ready = False
            try:
                _send(process, self._plan, *map(framed, given))
                ready = _answer(process) == "ready"
                self._feed(process, given)
            except (OSError, EOFError, pickle.UnpicklingError):
                process.kill()
                if not self._closed and not ready:
                    self._outcomes.put(Error(f"a process of the study could not be started ({_end(process)})"))
                    return
                if not self._closed:
                    message = f"its process ended: {_end(process)}"
                    self._outcomes.put(Outcome(given.popleft(), message, lost=True))
            finally:
                process.kill()
                with suppress(OSError), process:  # its pipes are closed, and what it never read is dropped
                    pass
                self._processes.discard(process)

    def _feed(self, process: subprocess.Popen[bytes], given: deque[Task]) -> None:
        """Give tasks to a process and collect their outcomes until there are none."""
        while not self._closed:
            while not given or self._wants_more(given):
                try:
                    task = self._tasks.get(block=not given)
                except queue.Empty:
                    break
                if task is None:
                    return
                given.append(task)
                _send(process, framed(task))
            start = time.perf_counter()
            self._outcomes.put(_answer(process))
            self._seconds[given.popleft().point.group] = time.perf_counter() - start

    def _wants_more(self, given: deque[Task]) -> bool:
        """Return whether a process has too little to do; a task of a group that nobody has timed is enough.

        Towards the end each takes less, so that all end together.
        """
        share = 2 + self._tasks.qsize() // (2 * len(self._drivers))
        work = sum(self._seconds.get(task.point.group, AHEAD) for task in given)
        return len(given) < min(MOST, share) and work < AHEAD


def _started() -> subprocess.Popen[bytes]:
    """Start a process that finds the modules that this one finds, and that Ctrl-C in a terminal doesn't reach."""
    path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
    apart: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {"creationflags": 0x200}
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **dict.fromkeys(SINGLE, "1"), "PYTHONPATH": path},
        **apart,
    )


def _send(process: subprocess.Popen[bytes], *messages: bytes) -> None:
    assert process.stdin
    for message in messages:
        process.stdin.write(message)
    process.stdin.flush()


def _answer(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout
    return pickle.load(process.stdout)


def _end(process: subprocess.Popen[bytes]) -> str:
    """Return how a process ended."""
    status = process.wait()
    if status >= 0:
        return f"exit status {status}"
    often = ", often for want of memory" if -status == 9 else ""
    return f"{signal.Signals(-status).name}{often}"
