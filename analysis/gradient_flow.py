"""Gradient flow: how much of a gradient at the last step reaches the steps before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .. import kernels
from ..derive.errors import Error
from . import overflow
from .course import Course, back, course, full_state, shortened
from .running import Arrays, Cotangents, directions, log_norm
from .statistics import log_interval, t_interval

METHOD = (
    "one backward pass per sequence, from a random direction of unit norm on the full state s_T "
    "(isotropic over the entries of all states); natural log of the Euclidean norm of dL_T/ds_{T-k} "
    "over the full state, scaled to norm 1 again on the way"
)
LAG = {"long_name": "lag k", "units": "steps"}
LOG_NORM = {"long_name": "ln of the norm of dL_T/ds_{T-k} over the full state", "units": "natural log"}
RATIO = {"long_name": "ln of the mean norm of dL_T/ds_{T-k}, relative to its peak", "units": "natural log"}
HALF_LIFE = {"long_name": "half-life of the gradient", "units": "steps", "valid_min": 0}
HORIZON = {"long_name": "memory horizon of the gradient", "units": "steps", "valid_min": 0}
OVERFLOW = {"long_name": "step after which a state isn't finite (0: none)", "units": "steps"}
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOGETHER = 64  # steps back before the gradient is scaled to norm 1 again

Drawn = Callable[[Arrays], Cotangents]
Split = Callable[[NDArray[np.float64], NDArray[np.floating]], NDArray[np.float64]]


def measure_flow(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
) -> xr.Dataset:
    """Measure the norm of a gradient that starts at the last step, against the lag at which it arrives.

    Each sequence has a cotangent of its own, drawn isotropically over all entries of the full state s_T and
    scaled to norm 1. So lag 0 is ln 1 = 0, and lag k is ln ‖∂L_T/∂s_{T−k}‖ with all states taken together.
    On the way back the gradient is scaled to norm 1 again and again, and its log kept: sequences may be as
    long as one likes. In a sequence whose states overflow at step t, the gradient starts at step t − 1, the last that
    is finite.

    Args:
        kernel: of the cell.
        params: name -> array, in the kernel's dtype.
        inputs: name -> (T, B, ...); empty for a cell without inputs.
        state: initial state, name -> (B, ...); zeros where omitted. A cell without inputs takes B from it.
        steps: T, for a cell without inputs only.
        seed: of the cotangents.

    Returns:
        `log_norm`, natural log, float64, over (sample, lag): one sample per sequence; lag in steps from 0 to
        T, where lag T is the initial state. −inf from the step on that makes the gradient exactly zero; inf
        from one on that takes it past the largest float, and at lags t and beyond in a sequence whose states overflow
        at step t. `overflow` over (sample,): that step, 0 where all states are finite.

    Raises:
        Error: when a parameter, an input or the initial state isn't finite, or when a cell without inputs is
            given no steps or no initial state.

    >>> from ..derive.cell import load
    >>> kernel = kernels.compile(load("lstm"))
    >>> params = kernel.init({"m": 5, "n": 7}, seed=0)
    >>> x = np.random.default_rng(0).standard_normal((20, 3, 5))
    >>> dict(measure_flow(kernel, params, {"x": x}).sizes)
    {'sample': 3, 'lag': 21}
    """
    way = course(kernel, params, inputs, state, steps)
    return flow_along(way, np.zeros(way.batch, int), seed)


def flow_along(way: Course, lost: NDArray[np.int_], seed: int) -> xr.Dataset:
    """Measure as `measure_flow` does, where what a sequence reads may be lost from a step on; 0 where it isn't, (B,).

    Such a sequence counts as one whose states overflow at that step.
    """
    curves, ends, _ = curves_back(way, lambda states: directions(states, 1, seed), lambda norms, vectors: norms, lost)
    variables = {
        "log_norm": (("sample", "lag"), curves.T, LOG_NORM),
        "overflow": ("sample", ends, OVERFLOW),
    }
    coordinates = {"lag": ("lag", np.arange(len(curves)), LAG)}
    return xr.Dataset(variables, coordinates, {"method": METHOD, "seed": seed})


def curves_back(
    way: Course, drawn: Drawn, split: Split, lost: NDArray[np.int_]
) -> tuple[NDArray[np.float64], NDArray[np.int_], Cotangents]:
    """Carry a gradient back to the first step, in each sequence from the last step that is finite.

    Args:
        way: that it goes.
        drawn: where it starts, from the states.
        split: of its log norms, (steps, B), and itself, (steps, B, N), into log norms of its parts, (steps, B, ...).
        lost: (B,), the step from which on what a sequence reads has overflowed, 0 where it hasn't.

    Returns:
        Its log norms (T + 1, B, ...), the step after which each sequence overflows, (B,), and where it started.
    """
    curves, ends, start = _curves(way, drawn, slice(None), split)
    ends = np.where((lost > 0) & ((ends == 0) | (lost < ends)), lost, ends)
    for first in np.unique(ends[ends > 0]):
        gone = np.flatnonzero(ends == first)
        curves[1:, gone] = np.inf
        if first > 1:
            curves[:first, gone], *_ = _curves(shortened(way, first - 1, gone), lambda states: start, gone, split)
    return curves, ends, start


def _curves(
    way: Course, drawn: Drawn, samples: Any, split: Split
) -> tuple[NDArray[np.float64], NDArray[np.int_], Cotangents]:
    """Return what `curves_back` does, of all sequences together and only for `samples` of what is drawn."""
    start: Cotangents = {}
    logs: list[NDArray[np.float64]] = []
    for piece in back(way):
        if not logs:
            gradient = start = {name: values[:, samples] for name, values in drawn(piece.run.states).items()}
            vectors = full_state(start)
            whole = log_norm(vectors)[-1]
            logs.append(split(whole[None], vectors))
        for norms, vectors, after in going_back(way.kernel, piece.run, gradient):
            logs.append(_further(whole, split(norms, vectors)))
            whole, gradient = whole + norms[-1], after
    return np.concatenate(logs), piece.overflow, start


def _further(whole: NDArray[np.float64], norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add log norms (steps, B, ...) to that of the gradient before, (B,); what is infinite stays as it is."""
    before = whole.reshape(-1, *[1] * (norms.ndim - 2))
    with np.errstate(invalid="ignore"):  # inf − inf
        return np.where(np.isfinite(before), before + norms, before)


Back = tuple[NDArray[np.float64], NDArray[np.floating], dict[str, NDArray[np.floating]]]


def going_back(kernel: kernels.Kernel, run: Any, gradient: dict[str, NDArray[np.floating]]) -> Iterator[Back]:
    """Carry a gradient of norm 1 at the last step back through a run, some steps at a time.

    Yields:
        By how much its log norm has changed after each of these steps back, (steps, B); the gradient there, (steps, B,
        N), whose log norm that is; and what it is after the last of them, scaled to norm 1. A gradient that is zero or
        past the largest float goes on as zero, and its log norm no longer changes.
    """
    last = len(next(iter(run.states.values())))
    while last:
        norms, vectors, gradient = _back(kernel, kernel.part(run, max(0, last - TOGETHER), last), gradient)
        yield norms, vectors, gradient
        last -= len(norms)


def _back(kernel: kernels.Kernel, run: Any, gradient: dict[str, NDArray[np.floating]]) -> Back:
    """Carry a gradient back until it has left the safe half of the number range, or the run is over."""
    cotangents = {name: np.zeros_like(values) for name, values in run.states.items()}
    for name, values in gradient.items():
        cotangents[name][-1:] = values
    grads = kernel.backward(run, cotangents, params=False)
    path = {name: np.concatenate([grads.state[name][None], grads.states[name]]) for name in cotangents}
    vectors = full_state(path)[-2::-1]
    norms = log_norm(vectors)
    gone = np.logical_and.reduce(
        [(values == 0).reshape(values.shape[1], -1).all(axis=1) for values in gradient.values()]
    )
    norms[:, gone] = 0
    safe = (abs(norms) < math.log(np.finfo(next(iter(path.values())).dtype).max) / 2).all(axis=1)
    count = len(norms) if safe.all() else max(1, int(safe.argmin()))
    scale = np.exp(norms[count - 1])
    reached = np.isfinite(norms[count - 1]) & (scale > 0) & ~gone
    scaled = {}
    for name, values in path.items():
        factor = np.where(reached, 1 / np.where(reached, scale, 1), 0).reshape(-1, *[1] * (values.ndim - 2))
        found = np.where(np.isfinite(values[-1 - count]), values[-1 - count], 0)
        scaled[name] = (found * factor)[None].astype(values.dtype)
    return norms[:count], vectors[:count], scaled


def half_life(log_norm: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Lag at which the gradient's log norm has fallen by ln 2 from its peak.

    The lag counts from 0, the step of the loss, and not from the peak: so it can be read off the curve, and
    says how far back at least half of the strongest gradient reaches. It is the first such lag beyond the
    peak, interpolated linearly in the log.

    Args:
        log_norm: natural log, over lag and any other dimensions, or a dataset that holds it; `lag` in steps.

    Returns:
        Steps, float64, over the other dimensions; inf where the gradient never falls that far within the lags
        given.

    >>> lag = np.arange(5)
    >>> curve = xr.DataArray(-lag * np.log(2) / 1.5, {"lag": lag})
    >>> float(half_life(curve))
    1.5
    """
    curve = _curve(log_norm)
    found = xr.apply_ufunc(_fall, curve, curve.lag, input_core_dims=[["lag"], ["lag"]], vectorize=True)
    return found.assign_attrs(HALF_LIFE)


def _curve(log_norm: xr.DataArray | xr.Dataset) -> xr.DataArray:
    return log_norm["log_norm"] if isinstance(log_norm, xr.Dataset) else log_norm


def _fall(curve: NDArray[np.float64], lag: NDArray[np.int_]) -> float:
    peak = int(np.argmax(curve))
    target = curve[peak] - math.log(2)
    below = np.flatnonzero(curve[peak:] <= target)
    if not np.isfinite(target) or not below.size:
        return math.inf if target > -math.inf else math.nan
    after = peak + below[0]
    share = (curve[after - 1] - target) / (curve[after - 1] - curve[after])
    return float(lag[after - 1] + share * (lag[after] - lag[after - 1]))


def memory_horizon(log_norm: xr.DataArray | xr.Dataset, threshold: float = 0.01) -> xr.DataArray:
    """Lag beyond which the gradient stays below a share of its peak.

    The lag counts from 0, the step of the loss. It is where the curve falls below the threshold for the last time,
    interpolated linearly in the log: no step further back gets as much as this share of the strongest gradient.

    Args:
        log_norm: natural log, over lag and any other dimensions, or a dataset that holds it; `lag` in steps.
        threshold: share of the peak, between 0 and 1.

    Returns:
        Steps, float64, over the other dimensions; inf where the gradient is still at or above the threshold at the
        longest lag.

    Raises:
        Error: when `threshold` isn't between 0 and 1.

    >>> lag = np.arange(9)
    >>> curve = xr.DataArray(-lag * np.log(10) / 3, {"lag": lag})
    >>> round(float(memory_horizon(curve, 0.01)), 12)
    6.0
    """
    if not 0 < threshold < 1:
        raise Error(f"threshold is {threshold}: it must lie between 0 and 1, such as 0.01")
    curve = _curve(log_norm)
    found = xr.apply_ufunc(
        _last_fall,
        curve,
        curve.lag,
        kwargs={"fall": -math.log(threshold)},
        input_core_dims=[["lag"], ["lag"]],
        vectorize=True,
    )
    return found.assign_attrs(HORIZON, threshold=threshold)


def _last_fall(curve: NDArray[np.float64], lag: NDArray[np.int_], fall: float) -> float:
    target = curve.max() - fall
    if not np.isfinite(target):
        return math.inf if target > -math.inf else math.nan
    last = int(np.flatnonzero(curve >= target)[-1])
    if last == len(curve) - 1:
        return math.inf
    share = (curve[last] - target) / (curve[last] - curve[last + 1])
    return float(lag[last] + share * (lag[last + 1] - lag[last]))


def summarise(study: xr.Dataset, level: float = 0.95, dim: str = "seed", threshold: float = 0.01) -> xr.Dataset:
    """Return the mean curve over seeds, its half-life and its memory horizon, all with intervals.

    Seeds of which no run stays finite are left out, unless none does in any seed: then the curves end where the first
    of them overflows, and there is no half-life.

    Args:
        study: `log_norm` over (seed, lag) and any other dimensions, natural log, from `flow_study` or `measure_flow`;
            and `overflow`, if there, over the same without lag, and over (sample) within seeds.
        level: coverage of the intervals, between 0 and 1.
        dim: the dimension that counts independent samples.
        threshold: share of the peak that bounds the memory horizon.

    Returns:
        `mean`, `low`, `high` over the other dimensions, natural log, from `t_interval` over seeds; `ratio`, the mean
        relative to its peak; `quantiles` of the seeds, with `quantile` from 0.05 to 0.95. `half_life` and
        `memory_horizon`, each with `_low` and `_high`, over all but lag, steps, from `log_interval` over those of the
        seeds. Where some seed never falls that far its half-life is only known to be longer than the lags,
        and no such interval exists: then `half_life` is the median of the seeds, `low` the shortest of any seed
        and `high` is inf. A single seed has nan bounds, and what overflows in every run has nan for all of these.
        Where the study has `overflow`: `runs`, `overflowed`, `overflow_first` and `overflow_last` from
        `bptt.analysis.overflow.counts`. The settings of the study stay in `attrs`.

    Raises:
        Error: when `level` or `threshold` isn't between 0 and 1.

    >>> lag = xr.DataArray(np.arange(30), {"lag": np.arange(30)})
    >>> study = xr.Dataset({"log_norm": -lag * xr.DataArray([0.09, 0.1, 0.11], dims="seed")})
    >>> found = summarise(study)
    >>> [round(float(found[name]), 2) for name in ("half_life_low", "half_life", "half_life_high")]
    [5.42, 6.95, 8.92]
    """
    if "overflow" not in study:
        return _summary(study.log_norm, level, dim, threshold).assign_attrs(study.attrs, level=level)
    gone = overflow.lost(study.overflow, dim)
    patterns = np.unique(np.moveaxis(gone.values, gone.get_axis_num(dim), -1).reshape(-1, gone.sizes[dim]), axis=0)
    found = _summary(study.log_norm, level, dim, threshold)
    for pattern in patterns[patterns.any(axis=1)]:
        kept = study.log_norm if pattern.all() else study.log_norm.isel({dim: np.flatnonzero(~pattern)})
        here = (gone == xr.DataArray(pattern, dims=dim)).all(dim)
        found = _summary(kept, level, dim, threshold).where(here, found)
    for name in found:
        if str(name).startswith(("half_life", "memory_horizon")):
            found[name] = found[name].where(~gone.all(dim))
    return found.assign(overflow.counts(study.overflow, dim)).assign_attrs(study.attrs, level=level)


def _summary(log_norm: xr.DataArray, level: float, dim: str, threshold: float) -> xr.Dataset:
    found = t_interval(log_norm, dim, level)
    with np.errstate(invalid="ignore"):  # inf − inf, where a mean isn't finite
        found["ratio"] = found["mean"] - found["mean"].max("lag")
        found["quantiles"] = log_norm.quantile(QUANTILES, dim, method="inverted_cdf")  # never between −inf and inf
    for variable in found.values():
        variable.attrs |= LOG_NORM
    found["ratio"].attrs |= RATIO
    falls = {"half_life": half_life(log_norm), "memory_horizon": memory_horizon(log_norm, threshold)}
    for name, samples in falls.items():
        interval = log_interval(samples, dim, level)
        known = np.isfinite(interval["mean"]) | (samples.sizes[dim] == 1)
        found[name] = interval["mean"].where(known, samples.median(dim))
        found[f"{name}_low"] = interval["low"].where(known, samples.min(dim))
        found[f"{name}_high"] = interval["high"].where(known, np.inf)
        for variable in (found[name], found[f"{name}_low"], found[f"{name}_high"]):
            variable.attrs |= samples.attrs
    return found
