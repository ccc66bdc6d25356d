"""Gradient flow: how much of a gradient at the last step reaches the steps before it."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .. import kernels
from .running import Arrays, at_last_step, flat, log_norm, run_cell
from .statistics import t_interval

METHOD = (
    "one backward pass per sequence, from a random direction of unit norm on the full state s_T "
    "(isotropic over the entries of all states); natural log of the Euclidean norm of dL_T/ds_{T-k} "
    "over the full state"
)
LAG = {"long_name": "lag k", "units": "steps"}
LOG_NORM = {"long_name": "ln of the norm of dL_T/ds_{T-k} over the full state", "units": "natural log"}
HALF_LIFE = {"long_name": "half-life of the gradient", "units": "steps"}


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

    Args:
        kernel: of the cell.
        params: name -> array, in the kernel's dtype.
        inputs: name -> (T, B, ...); empty for a cell without inputs.
        state: initial state, name -> (B, ...); zeros where omitted. A cell without inputs takes B from it.
        steps: T, for a cell without inputs only.
        seed: of the cotangents.

    Returns:
        `log_norm`, natural log, float64, over (sample, lag): one sample per sequence; lag in steps from 0 to
        T, where lag T is the initial state. −inf where the gradient is exactly zero, inf where it is past the
        largest float.

    Raises:
        Error: when a parameter, an input or the initial state isn't finite, when the states overflow on the
            way, or when a cell without inputs is given no steps or no initial state.

    >>> from ..derive.cell import load
    >>> kernel = kernels.compile(load("lstm"))
    >>> params = kernel.init({"m": 5, "n": 7}, seed=0)
    >>> x = np.random.default_rng(0).standard_normal((20, 3, 5))
    >>> dict(measure_flow(kernel, params, {"x": x}).sizes)
    {'sample': 3, 'lag': 21}
    """
    run = run_cell(kernel, params, inputs, state, steps)
    grads = kernel.backward(run, at_last_step(run.states, seed))
    path = [np.concatenate([grads.state[name][None], grads.states[name]]) for name in run.states]
    curves = log_norm(np.concatenate([flat(part) for part in path], axis=-1))[::-1].T
    variables = {"log_norm": (("sample", "lag"), curves, LOG_NORM)}
    coordinates = {"lag": ("lag", np.arange(curves.shape[1]), LAG)}
    return xr.Dataset(variables, coordinates, {"method": METHOD, "seed": seed})


def half_life(log_norm: xr.DataArray) -> xr.DataArray:
    """Lag at which the gradient's log norm has fallen by ln 2 from its peak.

    The lag counts from 0, the step of the loss, and not from the peak: so it can be read off the curve, and
    says how far back at least half of the strongest gradient reaches. It is the first such lag beyond the
    peak, interpolated linearly in the log.

    Args:
        log_norm: natural log, over lag and any other dimensions; `lag` in steps.

    Returns:
        Steps, float64, over the other dimensions; inf where the gradient never falls that far within the lags
        given.

    >>> lag = np.arange(5)
    >>> curve = xr.DataArray(-lag * np.log(2) / 1.5, {"lag": lag})
    >>> float(half_life(curve))
    1.5
    """
    found = xr.apply_ufunc(_fall, log_norm, log_norm.lag, input_core_dims=[["lag"], ["lag"]], vectorize=True)
    return found.assign_attrs(HALF_LIFE)


def _fall(curve: NDArray[np.float64], lag: NDArray[np.int_]) -> float:
    peak = int(np.argmax(curve))
    target = curve[peak] - math.log(2)
    below = np.flatnonzero(curve[peak:] <= target)
    if not np.isfinite(target) or not below.size:
        return math.inf if target > -math.inf else math.nan
    after = peak + below[0]
    share = (curve[after - 1] - target) / (curve[after - 1] - curve[after])
    return float(lag[after - 1] + share * (lag[after] - lag[after - 1]))


def summarise(study: xr.Dataset, level: float = 0.95) -> xr.Dataset:
    """Return the mean curve over seeds and its half-life, both with intervals.

    Args:
        study: `log_norm` over (cell, data, seed, lag), natural log, from `flow_study`.
        level: coverage of the intervals, between 0 and 1.

    Returns:
        `mean`, `low`, `high` over (cell, data, lag), natural log, from `t_interval` over seeds. `half_life`,
        `half_life_low` and `half_life_high` over (cell, data), steps, from `t_interval` over the half-lives of
        the seeds. Where some seed never falls that far its half-life is only known to be longer than the lags,
        and no t-interval exists: then `half_life` is the median of the seeds, `low` the shortest of any seed
        and `high` is inf. A single seed has nan bounds. The settings of the study stay in `attrs`.

    Raises:
        Error: when `level` isn't between 0 and 1.

    >>> lag = xr.DataArray(np.arange(30), {"lag": np.arange(30)})
    >>> study = xr.Dataset({"log_norm": -lag * xr.DataArray([0.09, 0.1, 0.11], dims="seed")})
    >>> found = summarise(study)
    >>> [round(float(found[name]), 2) for name in ("half_life_low", "half_life", "half_life_high")]
    [5.24, 6.98, 8.72]
    """
    found = t_interval(study.log_norm, "seed", level)
    seeds = half_life(study.log_norm)
    interval = t_interval(seeds, "seed", level)
    known = np.isfinite(interval["mean"]) | (seeds.sizes["seed"] == 1)
    found["half_life"] = interval["mean"].where(known, seeds.median("seed"))
    found["half_life_low"] = interval["low"].clip(min=0).where(known, seeds.min("seed"))
    found["half_life_high"] = interval["high"].where(known, np.inf)
    for variable in found.values():
        variable.attrs |= LOG_NORM if "lag" in variable.dims else HALF_LIFE
    return found.assign_attrs(study.attrs, level=level)
