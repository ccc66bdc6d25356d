"""Workers of a Dask cluster, for studies that outgrow one machine."""

from __future__ import annotations

import queue
from contextlib import suppress
from typing import Any

from ...derive.errors import Error
from .plan import Plan, Task
from .task import Outcome, perform, versions

PATIENCE = 5  # seconds for the scheduler to answer, and for a first worker to be there


class ClusterWorkers:
    """The workers of a Dask scheduler; they must have the same bptt, NumPy, Numba and SciPy as this process."""

    def __init__(self, plan: Plan, scheduler: str) -> None:
        try:
            from distributed import Client
            from distributed.comm.registry import backends
        except ImportError:
            raise Error("a scheduler needs Dask: pip install 'bptt[dask]'") from None
        if scheduler.partition("://")[0] not in backends:
            raise Error(f"{scheduler} is no address of a scheduler: it looks like tcp://host:8786")
        try:
            self._client: Any = Client(scheduler, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).split("\n")[0] or type(error).__name__
            advice = "Start one with `dask scheduler`, and give the address that it prints."
            raise Error(f"the scheduler {scheduler} doesn't answer: {reason}. {advice}") from None
        try:
            self._check(scheduler)
            self._plan = self._client.scatter(plan, broadcast=True)
        except BaseException:
            self.close()
            raise
        self._tasks: dict[str, Task] = {}
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def _check(self, scheduler: str) -> None:
        """Refuse a cluster without workers, or with workers whose numbers may differ."""
        try:
            self._client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise Error(
                f"the scheduler {scheduler} has no workers. Start some with `dask worker {scheduler}`."
            ) from None
        try:
            found = self._client.run(versions)
        except Exception as error:  # whatever a worker raises when it can't import bptt
            raise Error(f"a worker of {scheduler} can't run bptt: {type(error).__name__}: {error}") from None
        for worker, theirs in found.items():
            for name, own in versions().items():
                if theirs[name] != own:
                    advice = "Install the same on all workers: numbers may differ otherwise."
                    raise Error(f"the worker {worker} has {name} {theirs[name]}, and this process {own}. {advice}")

    def submit(self, task: Task) -> None:
        """Have a task performed."""
        future = self._client.submit(perform, self._plan, task, pure=False)
        self._tasks[future.key] = task
        future.add_done_callback(self._finished.put)

    def take(self) -> Outcome:
        """Wait for the next outcome."""
        while True:
            with suppress(queue.Empty):
                future = self._finished.get(timeout=0.5)  # again and again, so that Ctrl-C is seen on any system
                task = self._tasks.pop(future.key)
                try:
                    outcome: Outcome = future.result()
                except Exception as error:  # of Dask: a worker or the scheduler is gone
                    reason = str(error).split("\n")[0]
                    return Outcome(task, f"its worker ended: {type(error).__name__}: {reason}", lost=True)
                return outcome

    def close(self) -> None:
        """Leave the cluster; tasks that nobody waits for are dropped there."""
        self._client.close()
