"""Means over independent runs, with intervals that keep their word for few runs."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.special import stdtrit  # the quantile of Student's t; scipy.stats takes a second to load

from ..derive.errors import Error


def t_interval(samples: xr.DataArray, dim: str, level: float = 0.95) -> xr.Dataset:
    """Return the mean over independent samples and Student's t-interval for it.

    The interval is exact for Gaussian samples, however few (Student 1908), where a percentile bootstrap over
    five samples covers 84 % instead of 95 %.

    Args:
        samples: any shape, unit and dtype; not finite values are kept, never skipped.
        dim: the dimension that counts the samples.
        level: coverage, between 0 and 1.

    Returns:
        `mean`, `low` and `high` over the other dimensions, in the unit of the samples. The bounds are nan
        where there is only one sample or where a sample isn't finite, because neither says anything about the
        spread.

    Raises:
        Error: when there is no such dimension, no sample, or `level` isn't between 0 and 1.

    >>> found = t_interval(xr.DataArray([1.0, 2.0, 3.0], dims="seed"), "seed")
    >>> [round(float(found[name]), 3) for name in ("low", "mean", "high")]
    [-0.484, 2.0, 4.484]
    """
    if not 0 < level < 1:
        raise Error(f"level is {level}: it must lie between 0 and 1, such as 0.95")
    if dim not in samples.dims:
        known = ", ".join(map(str, samples.dims))
        raise Error(f"the samples have no dimension '{dim}'. Dimensions: {known}.")
    count = samples.sizes[dim]
    if count == 0:
        raise Error(f"there is no sample along '{dim}': give at least one")
    with np.errstate(invalid="ignore"):  # inf − inf, where a sample isn't finite
        mean = samples.mean(dim, skipna=False)
        squares = ((samples - mean) ** 2).sum(dim, skipna=False)
        error = np.sqrt(squares / (count - 1) / count) if count > 1 else xr.full_like(mean, np.nan)
        half = stdtrit(max(count - 1, 1), (1 + level) / 2) * error
        low, high = mean - half, mean + half
    finite = np.isfinite(mean)  # as any sample that isn't shows in it
    return xr.Dataset({"mean": mean, "low": low.where(finite), "high": high.where(finite)})
