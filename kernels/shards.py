"""Shares of a batch, or of a sum over it, that run at the same time, with no lock between steps."""

from __future__ import annotations

from collections.abc import Callable

from .workers import run_all

SMALL = 30_000_000  # entries touched in a pass, about a millisecond, below which more threads cost more than they save


class Shards:
    """How a pass is split.

    Attributes:
        batch: samples.
        count: shares of the batch; 1 for small work.
        parts: shares of what is summed over it.
    """

    def __init__(self, threads: int, batch: int, steps: int, work: int) -> None:
        self.batch = batch
        self.parts = threads if batch * steps * work >= SMALL else 1
        self.count = max(1, min(self.parts, batch))

    def run(self, part: Callable[[int, int], None]) -> None:
        """Call part(first, last) for each share of the samples, and wait for all."""
        if self.count == 1:
            return part(0, self.batch)
        bounds = [self.batch * number // self.count for number in range(self.count + 1)]
        run_all([lambda a=a, b=b: part(a, b) for a, b in zip(bounds, bounds[1:], strict=False)])  # type: ignore[misc]

    def each(self, part: Callable[[int, int], None]) -> None:
        """Call part(number, count) for each share of the sums, and wait for all."""
        if self.parts == 1:
            return part(0, 1)
        run_all([lambda n=n: part(n, self.parts) for n in range(self.parts)])  # type: ignore[misc]
