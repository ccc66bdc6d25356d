"""What a study found, as a table: one number for each point, with its interval over seeds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..overflow import said
from ..statistics import interval
from .measures import MEASURES
from .store import OVERFLOW


@dataclass(frozen=True)
class Row:
    """One point of a study.

    Attributes:
        cell, size, initialisation, data, measure: which point.
        quantity, unit: what the number is; '' where no run has numbers.
        number, low, high: its mean over seeds and the bounds of its 95 % interval, from
            `bptt.analysis.statistics.interval`; nan where there is none.
        seeds, failed, exploded: how many there are, how many have no numbers, and how many left the range of floats;
            the number is of all others.
        runs, overflowed: how many sequences there are, and how many of them overflow.
        overflow_first, overflow_last: the earliest and the latest step at which they do, 0 where none does.
        message: what went wrong, at the first seed at which something did.
    """

    cell: str
    size: str
    initialisation: str
    data: str
    measure: str
    quantity: str
    unit: str
    number: float
    low: float
    high: float
    seeds: int
    failed: int
    exploded: int
    runs: int
    overflowed: int
    overflow_first: int
    overflow_last: int
    message: str

    @property
    def kept(self) -> int:
        """Seeds that have a number."""
        return self.seeds - self.failed - self.exploded

    @property
    def has_interval(self) -> bool:
        """Whether the bounds say more than the number: they are finite, or differ."""
        return not np.isnan(self.low) and (np.isfinite(self.low) or self.low != self.high)

    @property
    def trouble(self) -> str:
        """What went wrong, in a few words."""
        found = [f"{self.failed} of {self.seeds} failed"] * bool(self.failed)
        if self.overflowed:
            found.append(said(self.overflow_first, self.overflow_last, self.overflowed, self.runs))
        elif self.exploded:
            found.append(f"{self.exploded} of {self.seeds} exploded")
        return ", ".join(found)


def rows(tree: xr.DataTree) -> list[Row]:
    """Return a row for each point that is in a store, in the order of the study's file.

    Args:
        tree: from `Study.open`.
    """
    there = [path for path in tree.attrs["study"]["groups"] if f"/{path}" in tree.groups]
    batch = int(tree.attrs["study"]["batch"])
    return [row for path in there for row in _rows(path.split("/")[-2], tree[path].to_dataset().load(), batch)]


def _rows(size: str, found: xr.Dataset, batch: int) -> list[Row]:
    measure = str(found.attrs["measure"])
    measured = found.data_vars.keys() - {"done", "status", "message", *OVERFLOW}
    numbers = MEASURES[measure].number(found) if measured else xr.full_like(found.status, np.nan, float)
    made = []
    for start, data in itertools.product(range(found.sizes["initialisation"]), range(found.sizes["data"])):
        at = found.isel(initialisation=start, data=data)
        if not at.done:
            continue
        status, messages = at.status.values, at.message.values
        kept = (status != 1) & (status != 2)
        number, low, high = _over_seeds(numbers.isel(initialisation=start, data=data)[kept])
        over = [at[name].values for name in OVERFLOW]
        first = over[0][over[0] > 0]
        made.append(
            Row(
                cell=str(found.attrs["cell"]),
                size=size.replace(",", " "),
                initialisation=str(at.initialisation.values),
                data=str(at.data.values),
                measure=measure,
                quantity=str(numbers.attrs.get("long_name", "")),
                unit=str(numbers.attrs.get("units", "")),
                number=number,
                low=low,
                high=high,
                seeds=len(status),
                failed=int((status == 1).sum()),
                exploded=int((status == 2).sum()),
                runs=len(status) * batch,
                overflowed=int(over[2].sum()),
                overflow_first=int(first.min()) if first.size else 0,
                overflow_last=int(over[1].max()),
                message=next((str(message) for message in messages if message), ""),
            )
        )
    return made


def _over_seeds(numbers: xr.DataArray) -> tuple[float, float, float]:
    """Return the mean over seeds with its interval; where a number is infinite, median, least and largest."""
    if not numbers.size or np.isnan(numbers).any():
        return np.nan, np.nan, np.nan
    if np.isinf(numbers).any():
        return float(numbers.median()), float(numbers.min()), float(numbers.max())
    found = interval(numbers, "seed")
    return float(found["mean"]), float(found["low"]), float(found["high"])
