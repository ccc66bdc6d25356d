"""A claim as data: what was measured where, with its interval, and the rule that makes a verdict of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from ...derive.errors import Error
from ..statistics import interval

HOLDS, FAILS, OPEN, UNMEASURED = "holds", "fails", "undecided", "not measured"
PARTLY = "holds in part"


@dataclass(frozen=True)
class Rule:
    """For which values a claim holds: those between two bounds, or those outside them.

    Attributes:
        least, most: the bounds; either may be infinite.
        outside: whether the claim holds for what lies outside.
    """

    least: float = -math.inf
    most: float = math.inf
    outside: bool = False

    def verdict(self, low: float, high: float) -> str:
        """Return what an interval of values says: the claim holds, it fails, or nothing is decided.

        >>> above = Rule(least=0)
        >>> above.verdict(0.1, 0.2), above.verdict(-0.1, 0.2), above.verdict(-0.2, 0.0), above.verdict(math.nan, 1)
        ('holds', 'undecided', 'fails', 'undecided')
        >>> Rule(-1, 1, outside=True).verdict(2, 3)
        'holds'
        """
        if math.isnan(low) or math.isnan(high):
            return OPEN
        within = (low > self.least or self.least == -math.inf) and (high < self.most or self.most == math.inf)
        beyond = high <= self.least or low >= self.most
        if not within and not beyond:
            return OPEN
        return HOLDS if within != self.outside else FAILS


@dataclass(frozen=True)
class Finding:
    """One quantity that a claim speaks of, wherever it was measured.

    Attributes:
        name: of the quantity, such as "growth".
        measured: `value`, `low` and `high` over the dimensions of the regime, such as (gain, bias): a mean over
            seeds with its interval, or thrice the same number where it is exact. May be infinite. `overflowed`, if
            there, says where runs overflow so that nothing could be measured.
        rule: when the claim holds.
    """

    name: str
    measured: xr.Dataset
    rule: Rule

    @property
    def verdicts(self) -> xr.DataArray:
        """ "holds", "fails", "undecided" or "not measured", at each point of the regime."""
        found = xr.apply_ufunc(self.rule.verdict, self.measured.low, self.measured.high, vectorize=True)
        return found.where(~self.measured.overflowed, UNMEASURED) if "overflowed" in self.measured else found


@dataclass(frozen=True)
class Claim:
    """A statement, what was measured for it, and what came out.

    Attributes:
        name: of the statement, such as "repeated_product".
        findings: the claim holds where all of them do.
        curves: `mean`, `low`, `high` and maybe `theory`, for a figure; `attrs` name its "quantity" and its
            dimensions, "x", "series" and maybe "panel".
        settings: what a reader needs to do it again: names of cells, N, T, B, seeds, level and the like.
        missing: why nothing could be measured, where there is no finding.
    """

    name: str
    findings: tuple[Finding, ...]
    curves: xr.Dataset | None = field(default=None, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""

    @property
    def verdict(self) -> str:
        """ "holds", "fails", "holds in part", "undecided" where no point decides, or "not measured" where none was.

        >>> zero, one = (xr.Dataset(dict.fromkeys(("value", "low", "high"), value)) for value in (0.0, 1.0))
        >>> Claim("c", (Finding("f", one, Rule(least=0)),)).verdict
        'holds'
        >>> Claim("c", (Finding("f", one, Rule(least=0)), Finding("g", zero, Rule(least=0)))).verdict
        'holds in part'
        """
        found = {str(one) for finding in self.findings for one in finding.verdicts.values.ravel()}
        if found <= {UNMEASURED}:
            return UNMEASURED
        if found == {HOLDS}:
            return HOLDS
        if HOLDS in found:
            return PARTLY
        return FAILS if FAILS in found else OPEN


def over_seeds(samples: xr.DataArray, level: float = 0.95) -> xr.Dataset:
    """Return the mean over seeds with its interval, and where a seed isn't finite the median with the range.

    The range of n independent samples covers their median with probability 1 − 2^(1−n) (order statistics), whatever
    their distribution: 99.8 % for ten seeds.

    Args:
        samples: over "seed" and any other dimensions; infinite where a gradient is exactly zero or past all floats.
        level: coverage of the interval, which keeps to the range that the attributes state.

    Returns:
        `value`, `low`, `high` over the other dimensions; nan where seeds give nothing to compare.

    >>> found = over_seeds(xr.DataArray([-np.inf, -2.0, -1.0], dims="seed"))
    >>> [float(found[name]) for name in ("low", "value", "high")]
    [-inf, -2.0, -1.0]
    """
    found = interval(samples, "seed", level).rename(mean="value")
    finite = xr.apply_ufunc(np.isfinite, samples).all("seed")
    unknown = samples.isnull().any("seed")
    rough = {
        "value": samples.quantile(0.5, "seed", method="lower", skipna=False),
        "low": samples.min("seed", skipna=False),
        "high": samples.max("seed", skipna=False),
    }
    for name, other in rough.items():
        found[name] = found[name].where(finite, other.drop_vars("quantile", errors="ignore").where(~unknown))
    return found


def exact(value: xr.DataArray) -> xr.Dataset:
    """Return a number that has no error, as `Finding.measured` wants it."""
    return xr.Dataset({"value": value, "low": value, "high": value})


def regime(finding: Finding, verdict: str) -> list[dict[str, Any]]:
    """Return the points of a finding that have a verdict, each as {dimension: coordinate}.

    >>> gains = xr.DataArray([0.5, 2.0], {"gain": [0.5, 2.0]})
    >>> regime(Finding("f", exact(np.log(gains)), Rule(least=0)), "fails")
    [{'gain': 0.5}]
    """
    found = finding.verdicts
    dims = [str(dim) for dim in found.dims]
    if len(finding.measured.coords) < len(dims):
        raise Error(f"the finding '{finding.name}' has dimensions without coordinates: {', '.join(dims)}")
    points = []
    for place in np.argwhere(np.asarray(found.values == verdict)):
        points.append({dim: found[dim].values[index].item() for dim, index in zip(dims, place, strict=True)})
    return points
