"""What the numbers of a comparison say, in sentences made from the numbers alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from .phrases import Phrases

if TYPE_CHECKING:
    from xarray import Dataset


class Findings:
    """Writes sentences about a summary of gradient flow.

    Args:
        summary: from `analysis.summarise`, over (cell, data, lag).
        phrases: the language.
        kind: how a kind of data is called in that language.
    """

    def __init__(self, summary: Dataset, phrases: Phrases, kind: Callable[[str], str]) -> None:
        self.summary = summary
        self.phrases = phrases
        self.kind = kind
        self.cells = [str(name) for name in summary.cell.values]
        self.kinds = [str(name) for name in summary.data.values]
        self.lag = int(summary.lag.values.max())

    def sentences(self, costs: Mapping[str, int]) -> list[str]:
        """Return the sentences, given the multiply-adds of each cell."""
        found = []
        for kind in self.kinds:
            found += self.reach(kind) + self.growth(kind)
        return found + self.change() + self.cost(costs)

    def say(self, key: str, **parts: object) -> str:
        return self.phrases.plain(f"comparison.{key}", **parts)

    def half_life(self, cell: str, kind: str, variable: str = "half_life") -> float:
        return float(self.summary[variable].sel(cell=cell, data=kind))

    def steps(self, value: float) -> str:
        if not math.isfinite(value):
            return self.say("never", lag=self.lag)
        return self.say("steps", value=f"{value:.3g}" if value < 100 else f"{value:.0f}")

    def reach(self, kind: str) -> list[str]:
        """Which cell reaches farthest, and which intervals overlap."""
        lives = {cell: self.half_life(cell, kind) for cell in self.cells}
        lives = {cell: life for cell, life in lives.items() if not math.isnan(life) and cell not in self.grown(kind)}
        if not lives:
            return []
        best, worst = max(lives, key=lives.__getitem__), min(lives, key=lives.__getitem__)
        parts = {"data": self.kind(kind), "best": best, "worst": worst}
        parts |= {"high": self.steps(lives[best]), "low": self.steps(lives[worst])}
        if len(lives) == 1:
            return [self.say("reach_alone", **parts)]
        if lives[best] == lives[worst]:
            return [self.say("reach_equal", **parts)]
        pairs = self.overlaps(sorted(lives, key=lives.__getitem__), kind)
        overlap = [self.say("overlap", pairs="; ".join(pairs), data=self.kind(kind))] if pairs else []
        return [self.say("reach", **parts), *overlap]

    def overlaps(self, ordered: list[str], kind: str) -> list[str]:
        pairs = []
        for lower, upper in pairwise(ordered):
            high, low = self.half_life(lower, kind, "half_life_high"), self.half_life(upper, kind, "half_life_low")
            if not math.isnan(high) and not math.isnan(low) and high >= low:
                pairs.append(f"{lower}{self.phrases.plain('list.last')}{upper}")
        return pairs

    def grown(self, kind: str) -> list[str]:
        """Return the cells whose gradient is larger at the longest lag than at lag 0."""
        return [cell for cell in self.cells if float(self.summary["low"].sel(cell=cell, data=kind)[-1]) > 0]

    def growth(self, kind: str) -> list[str]:
        means = {cell: float(self.summary["mean"].sel(cell=cell, data=kind)[-1]) for cell in self.grown(kind)}
        return [self.say("rises", cell=cell, data=self.kind(kind), value=signed(mean)) for cell, mean in means.items()]

    def change(self) -> list[str]:
        """Which cell's half-life depends most on the kind of data."""
        best: tuple[float, str, str, str] | None = None
        for cell in self.cells:
            for first in self.kinds:
                for second in self.kinds:
                    one, two = self.half_life(cell, first), self.half_life(cell, second)
                    if 0 < two < one < math.inf and (best is None or one / two > best[0]):
                        best = (one / two, cell, first, second)
        if best is None or best[0] < 1.05:
            return []
        _, cell, first, second = best
        parts = {"first": self.steps(self.half_life(cell, first)), "second": self.steps(self.half_life(cell, second))}
        return [self.say("longer_data", cell=cell, one=self.kind(first), other=self.kind(second), **parts)]

    def cost(self, costs: Mapping[str, int]) -> list[str]:
        most, least = max(costs, key=costs.__getitem__), min(costs, key=costs.__getitem__)
        if costs[most] == costs[least] or not costs[least]:
            return []
        return [self.say("cost", most=most, least=least, ratio=f"{costs[most] / costs[least]:.2g}")]


def signed(value: float) -> str:
    """Return a number with one decimal and a true minus sign.

    >>> signed(-1.25), signed(3)
    ('−1.2', '3.0')
    """
    return f"{value:.1f}".replace("-", "−").replace("inf", "∞")
