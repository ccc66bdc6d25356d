"""Shares of a batch that run at the same time, each in a thread of its own, with no lock between steps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

SMALL = 2_000_000  # entries touched in a pass below which starting a thread costs more than it saves


class Shards:
    """How a batch is split.

    Attributes:
        count: of shares; 1 for small work.
    """

    def __init__(self, threads: int, batch: int, steps: int, work: int) -> None:
        self.batch = batch
        self.count = max(1, min(threads, batch)) if batch * steps * work >= SMALL else 1

    def run(self, part: Callable[[int, int], None]) -> None:
        """Call part(first, last) for each share of the samples, and wait for all."""
        if self.count == 1:
            return part(0, self.batch)
        bounds = [self.batch * number // self.count for number in range(self.count + 1)]
        self._all([lambda a=a, b=b: part(a, b) for a, b in zip(bounds, bounds[1:], strict=False)])  # type: ignore[misc]

    def each(self, part: Callable[[int, int], None]) -> None:
        """Call part(number, count) for each share, and wait for all."""
        if self.count == 1:
            return part(0, 1)
        self._all([lambda n=n: part(n, self.count) for n in range(self.count)])  # type: ignore[misc]

    def _all(self, calls: list[Callable[[], None]]) -> None:
        started = [_pool(self.count - 1).submit(call) for call in calls[1:]]
        calls[0]()
        for future in started:
            future.result()


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, workers), thread_name_prefix="bptt")
