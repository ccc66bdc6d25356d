"""Runs that leave the range of floats: what is left of a batch without them, and from which step on they are lost."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import xarray as xr

COUNTS = {
    "runs": "sequences measured",
    "overflowed": "sequences whose states overflow",
    "overflow_first": "earliest step at which they do",
    "overflow_last": "latest step at which they do",
}


def over_batch(found: xr.Dataset) -> xr.Dataset:
    """Return a measurement averaged over the sequences of its batch that stay finite, or over all where none does.

    Args:
        found: variables over "sample" and more; `overflow` over (sample,), if the measurement notes it: the step after
            which a state isn't finite, 0 where all are.

    Returns:
        The means, without `overflow`; variables that aren't over samples stay. Where one sequence vanishes, −inf, and
        another explodes, inf, the mean is inf.

    >>> found = xr.Dataset({"a": ("sample", [1.0, 3.0, np.inf]), "overflow": ("sample", [0, 0, 7])})
    >>> float(over_batch(found).a), float(over_batch(xr.Dataset({"a": ("sample", [-np.inf, np.inf])})).a)
    (2.0, inf)
    """
    if "sample" not in found.dims:
        return found
    if "overflow" in found:
        finite = np.flatnonzero(found.overflow.values == 0)
        found = found.drop_vars("overflow").isel(sample=finite if finite.size else slice(None))
    with np.errstate(invalid="ignore"):  # −inf + inf
        mean = found.mean("sample", keep_attrs=True)
    for name, samples in found.items():
        if "sample" in samples.dims:
            mean[name] = mean[name].where(mean[name].notnull() | ~(samples == np.inf).any("sample"), np.inf)
    return mean


def lost(overflow: xr.DataArray, dim: str) -> xr.DataArray:
    """Return where none of the runs of a seed stays finite, over `dim` and what else `overflow` has but samples.

    >>> steps = xr.DataArray([[0, 0], [0, 3], [3, 4]], dims=("seed", "sample"))
    >>> lost(steps, "seed").values.tolist()
    [False, False, True]
    """
    within = [name for name in overflow.dims if name == "sample" != dim]
    return (overflow > 0).all(within)


def counts(overflow: xr.DataArray, dim: str) -> xr.Dataset:
    """Return how many runs there are, how many of them overflow, and the first and the last step at which they do.

    Args:
        overflow: the step after which a state isn't finite, 0 where all are; over `dim`, maybe "sample", and more.
        dim: the dimension that counts independent samples.

    Returns:
        The variables of `COUNTS`, over the other dimensions; steps are 0 where no run overflows.

    >>> found = counts(xr.DataArray([[0, 41], [41, 43]], dims=("seed", "sample")), "seed")
    >>> {name: int(value) for name, value in found.items()}
    {'runs': 4, 'overflowed': 3, 'overflow_first': 41, 'overflow_last': 43}
    """
    over: list[Hashable] = [name for name in overflow.dims if name in (dim, "sample")]
    first = overflow.where(overflow > 0, np.iinfo(int).max).min(over)
    many = (overflow > 0).sum(over)
    made = {
        "runs": xr.full_like(many, int(np.prod([overflow.sizes[name] for name in over]))),
        "overflowed": many,
        "overflow_first": first.where(many > 0, 0),
        "overflow_last": overflow.max(over),
    }
    found = xr.Dataset(made)
    for name, text in COUNTS.items():
        found[name] = found[name].astype(int).assign_attrs(long_name=text, units="steps" if "_" in name else "1")
    return found


def said(first: int, last: int, many: int, runs: int) -> str:
    """Say from where on how many runs are lost.

    >>> said(41, 41, 8, 8), said(4, 7, 3, 8)
    ('overflowed at step 41 in 8 of 8 runs', 'overflowed at steps 4 to 7 in 3 of 8 runs')
    """
    steps = f"step {first}" if first == last else f"steps {first} to {last}"
    return f"overflowed at {steps} in {many} of {runs} runs"
