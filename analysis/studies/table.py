"""What a study found, as a table: one number for each point, with its interval over seeds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..statistics import log_interval, t_interval
from .measures import MEASURES


@dataclass(frozen=True)
class Row:
    """One point of a study.

    Attributes:
        cell, size, initialisation, data, measure: which point.
        quantity, unit: what the number is; '' where no run has numbers.
        number, low, high: its mean over seeds, geometric where it can't be negative, and the bounds of its 95 %
            interval; nan where there is none.
        seeds, failed, exploded: how many there are, how many have no numbers, and how many are past the largest float.
        message: why, at the first seed that failed or exploded.
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
    message: str


def rows(tree: xr.DataTree) -> list[Row]:
    """Return a row for each point that is in a store, in the order of the study's file.

    Args:
        tree: from `Study.open`.
    """
    there = [path for path in tree.attrs["study"]["groups"] if f"/{path}" in tree.groups]
    return [row for path in there for row in _rows(path.split("/")[-2], tree[path].to_dataset().load())]


def _rows(size: str, found: xr.Dataset) -> list[Row]:
    measure = str(found.attrs["measure"])
    measured = found.data_vars.keys() - {"done", "status", "message"}
    numbers = MEASURES[measure].number(found) if measured else xr.full_like(found.status, np.nan, float)
    made = []
    for start, data in itertools.product(range(found.sizes["initialisation"]), range(found.sizes["data"])):
        at = found.isel(initialisation=start, data=data)
        if not at.done:
            continue
        status, messages = at.status.values, at.message.values
        number, low, high = _interval(numbers.isel(initialisation=start, data=data)[status != 1], measure)
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
                message=next((str(message) for message in messages if message), ""),
            )
        )
    return made


def _interval(numbers: xr.DataArray, measure: str) -> tuple[float, float, float]:
    """Return the mean over seeds with its interval; where a number is inf, the median, the least and inf."""
    if not numbers.size or np.isnan(numbers).any():
        return np.nan, np.nan, np.nan
    if np.isinf(numbers).any():
        return float(numbers.median()), float(numbers.min()), np.inf
    least, most = MEASURES[measure].between
    found = (log_interval if least == 0 else t_interval)(numbers, "seed")
    return float(found["mean"]), float(found["low"]), min(float(found["high"]), most)
