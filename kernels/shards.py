"""How the work of a pass is shared among threads: each takes samples of its own, or columns of every product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .vector import WITHOUT_NUMBA
from .workers import cores

SMALL = 8_000_000  # entries touched in a pass, some hundred microseconds, below which one thread is as fast
NEAR = 1_000_000  # bytes of matrices for each step that stay near a core from one step to the next
FEW = 4  # rows of a thread: fewer don't fill a tile, and reading such matrices takes longer than multiplying


@dataclass(frozen=True)
class Shards:
    """How a pass is shared.

    Attributes:
        batch: samples.
        parts: threads.
        split: whether each takes columns of every product, at each step, instead of its own samples' rows. Then they
            wait for each other twice a product, but each reads only its part of the matrices.
    """

    batch: int
    parts: int
    split: bool

    def counts(self) -> Iterator[dict[str, int]]:
        """Give each thread's share as the counts of a table."""
        bounds = [self.batch * number // self.parts for number in range(self.parts + 1)]
        for part in range(self.parts):
            first, last = bounds[part : part + 2]
            yield {"first": first, "last": last, "part": part, "parts": self.parts, "split": int(self.split)}


def shared(threads: int, steps: int, batch: int, work: int, matrices: int) -> Shards:
    """Choose how to share a pass.

    Args:
        threads: at most.
        steps, batch: T and B.
        work: entries that one step of one sample touches.
        matrices: bytes of those that are multiplied with at each step of a pass.
    """
    many = 1 if WITHOUT_NUMBA or steps * batch * work < SMALL else min(threads, cores())
    split = many > 1 and (batch < many or matrices > NEAR and batch < FEW * many)
    return Shards(batch, many, split)
