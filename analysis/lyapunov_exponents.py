"""Lyapunov spectrum of a driven or autonomous cell: how fast small differences of the full state grow or shrink."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import stdtrit

from .. import kernels
from ..derive.errors import Error
from ..kernels.orthogonal import stretch
from ..kernels.room import check_fits
from .course import Course, Piece, course, onward
from .data import random_stream
from .gradient_flow import OVERFLOW
from .running import Arrays
from .statistics import block_interval, block_length, block_means

METHOD = (
    "tangents of the full state, made orthonormal after every step (Benettin et al. 1980) by Gram-Schmidt with "
    "reorthogonalisation; exponents are means of the log stretching after the transient; errors from a block bootstrap "
    "along the run (Kuensch 1989), Student's intervals"
)
PER_STEP = {"units": "natural log per step"}
INDEX = {"long_name": "Lyapunov index, from the fastest growing direction on", "units": "1"}
TRACE_STEPS = {"long_name": "steps after the transient", "units": "steps"}
VOLUME_ERROR = {"long_name": "largest difference of the summed log stretching and ln|det J|", "units": "natural log"}
DOUBTS = {
    "reliable": "nothing speaks against the exponent",
    "lost": "at some step nothing was left of the direction, or it left the range of floats",
    "rounded": "the image of the direction is made of rounding errors",
    "drifting": "the two halves of the run differ by more than chance allows",
    "coarse": "fewer than ten blocks fit into the run",
}
TRACE_POINTS = 60
CHECKED_STEPS = 100
DRAWS = 200
FLOAT = 8  # bytes
DRIFT = 0.001  # chance that any exponent of a stationary run is marked as drifting


def measure_lyapunov(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    transient: int | None = None,
    exponents: int | None = None,
    window: int | None = None,
    level: float = 0.95,
) -> xr.Dataset:
    """Measure the Lyapunov exponents of a cell's full state, with their errors and what may be wrong with each.

    Each sequence is a sample of its own. Directions start at random and are made orthonormal after every step; what
    a direction keeps then is its stretching. Sequences count as whole.

    Args:
        kernel: of the cell.
        params: name -> array, in the kernel's dtype.
        inputs: name -> (T, B, ...); empty for a cell without inputs.
        state: initial state, name -> (B, ...); zeros where omitted. A cell without inputs takes B from it.
        steps: T, for a cell without inputs only.
        seed: of the first directions and of the draws for the errors of dimension and entropy rate.
        transient: steps at the start that aren't counted, while the state nears its attractor and the directions
            find theirs; by default a tenth of T.
        exponents: how many, from the largest on; by default all N.
        window: steps of a finite-time exponent; by default a fiftieth of the steps that count.
        level: coverage of the intervals.

    Returns:
        Natural log per step, float64; `index` counts from 1, in the order of the directions, which is descending
        but for neighbours that are equal to their error.

        - `exponent`, `error`, `low`, `high`, over (sample, index), from `block_interval`. −inf for a direction that
          is lost; inf for all of a sample whose states overflow at step `overflow`.
        - `trace` over (sample, trace_steps, index): the exponent from so many steps after the transient.
        - `finite_time` over (sample, window, index): exponents of windows that follow each other.
        - `kaplan_yorke`, a dimension (Kaplan and Yorke 1979), and `entropy_rate`, the sum of the positive exponents in
          nats per step (Pesin 1977, an upper bound), over (sample,), each with its `_error`; nan where too few
          exponents are known.
        - `volume_error` over (sample,): largest difference of the summed log stretching and ln|det J| (by LU) at up to
          100 steps; nan where not all exponents are known, or all these steps are singular.
        - `reliable` over (sample, index), true where none of these holds: `lost`, at some step the direction lay, to
          rounding, in the span of those before it, or left the range of floats; `rounded`, at 1 % of the steps or more
          it was stretched less than 10 N times epsilon of the largest stretching, so that its image is made of rounding
          errors; `drifting`, its two halves differ by more than chance allows (one false alarm in 1000 runs);
          `coarse`, fewer than ten blocks of the bootstrap fit into the run, so that the error itself is uncertain.

    Raises:
        Error: when a value isn't finite, a setting doesn't fit the number of steps or of states, or a cell without
            inputs is given no steps or no initial state.

    >>> from ..derive.cell import load
    >>> kernel = kernels.compile(load("henon"))
    >>> found = measure_lyapunov(kernel, {}, {}, {"x": np.array([0.1]), "y": np.array([0.1])}, steps=20_000)
    >>> found.exponent.values.round(2), found.kaplan_yorke.values.round(2)
    (array([[ 0.42, -1.62]]), array([1.26]))
    """
    way = course(kernel, params, inputs, state, steps)
    transient = way.steps // 10 if transient is None else transient
    _check_whole("transient", transient, 0, way.steps - 2, f"a run of {way.steps} steps")
    left = way.steps - transient
    window = max(1, left // 50) if window is None else window
    _check_whole("window", window, 1, left, f"{left} steps after the transient")
    logs, checked, volumes, overflow = _stretching(way, seed, transient, exponents)
    logs[overflow > 0] = np.inf
    epsilon = float(np.finfo(way.dtype).eps)
    found = xr.merge([_exponents(logs, level), _doubts(logs, epsilon), _along(logs, window), _of_all(logs, seed)])
    sums = logs[:, checked - transient].sum(axis=2)
    found["volume_error"] = "sample", _largest_difference(sums, volumes), VOLUME_ERROR
    found["overflow"] = "sample", overflow, OVERFLOW
    settings = {"method": METHOD, "seed": seed, "steps": way.steps, "transient": transient, "window": window}
    return found.assign_coords(index=("index", np.arange(1, logs.shape[2] + 1), INDEX)).assign_attrs(
        settings, level=level
    )


def _check_whole(name: str, value: int, least: int, most: int, where: str) -> None:
    if not isinstance(value, int | np.integer) or not least <= value <= most:
        raise Error(f"{name} is {value}: for {where}, give a whole number from {least} to {most}")


def _stretching(
    way: Course, seed: int, transient: int, exponents: int | None
) -> tuple[NDArray[np.float64], NDArray[np.int_], NDArray[np.float64], NDArray[np.int_]]:
    """Measure the log stretching at each step after the transient.

    Returns:
        It, (B, T', K); some of the steps, and ln|det J| there, (B, steps), nan where not all K = N are known; and the
        step after which each sample overflows.
    """
    vectors, logs, volumes, overflow = np.empty(0), [], [], np.zeros(way.batch, int)
    checked = np.linspace(transient, way.steps - 1, min(CHECKED_STEPS, way.steps - transient)).astype(int)
    for piece in onward(way):
        first, overflow = piece.first, piece.overflow
        if not vectors.size:
            vectors = _directions(piece.run.states, seed, exponents)
        with np.errstate(divide="ignore", invalid="ignore"):
            norms, vectors = way.kernel.stretch(piece.run, vectors)
            logs.append(np.log(norms[max(0, transient - first) :].astype(float)))
        for step in checked[(checked >= first) & (checked < first + len(norms))] - first:
            volumes.append(_log_volume(way, piece, int(step), vectors.shape))
    return np.concatenate(logs).swapaxes(0, 1).copy(), checked, np.stack(volumes, axis=1), overflow


def _directions(states: Arrays, seed: int, exponents: int | None) -> NDArray[np.float64]:
    """Return random orthonormal directions, (B, K, N)."""
    width = sum(values[0, 0].size for values in states.values())
    batch = next(iter(states.values())).shape[1]
    count = width if exponents is None else exponents
    _check_whole("exponents", count, 1, width, f"a full state of {width} entries")
    check_fits(2 * FLOAT * batch * width**2, "the directions need", "take a smaller state or fewer sequences")
    vectors = random_stream(seed, "directions").standard_normal((batch, width, width))[:, :count].copy()
    stretch(vectors)
    return vectors


def _log_volume(way: Course, piece: Piece, step: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return ln|det J| of one step, (B,), by LU; nan where fewer directions than states are known."""
    if shape[1] < shape[2]:
        return np.full(way.batch, np.nan)
    jacobian = way.kernel.jacobians(way.kernel.part(piece.run, step, step + 1))[0].astype(float)
    jacobian[piece.overflow > 0] = np.eye(shape[2])
    return np.linalg.slogdet(jacobian)[1]


def _largest_difference(sums: NDArray[np.float64], volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest difference over the steps at which both are finite, (B,)."""
    both = np.isfinite(sums) & np.isfinite(volumes)
    differences = abs(np.where(both, sums, 0) - np.where(both, volumes, 0)).max(axis=1)
    return np.where(both.any(axis=1), differences, np.nan)


def _exponents(logs: NDArray[np.float64], level: float) -> xr.Dataset:
    """Return the exponents with their errors."""
    found = block_interval(xr.DataArray(logs, dims=("sample", "step", "index")), "step", level)
    found = found.rename(mean="exponent")
    names = {"exponent": "", "error": ", standard error", "low": ", lower bound", "high": ", upper bound"}
    for name, text in names.items():
        found[name].attrs |= {"long_name": f"Lyapunov exponent{text}", **PER_STEP}
    found["block_length"].attrs |= {"long_name": "length of the bootstrap's blocks", "units": "steps"}
    return found


def _doubts(logs: NDArray[np.float64], epsilon: float) -> xr.Dataset:
    """Return for each exponent what speaks against it."""
    steps, rounding = logs.shape[1], 10 * logs.shape[2] * epsilon
    runs = xr.DataArray(logs, dims=("sample", "step", "index"))
    whole = block_interval(runs, "step")
    one, other = (block_interval(half, "step") for half in (runs[:, : steps // 2], runs[:, steps // 2 :]))
    with np.errstate(invalid="ignore"):  # inf − inf
        small = runs < runs.max("index") + math.log(rounding)
        apart = abs(one["mean"] - other["mean"])
    freedom = np.maximum(steps / 2 / one.block_length + steps / 2 / other.block_length - 2, 1)
    bound = -stdtrit(freedom, DRIFT / 2 / logs[:, 0].size)
    doubts = {
        "lost": (("sample", "index"), ~np.isfinite(logs).all(axis=1)),
        "rounded": small.mean("step") >= 0.01,
        "drifting": apart > bound * np.hypot(one.error, other.error) + rounding,
        "coarse": (steps < 10 * whole.block_length) & ~(whole.error < rounding),
    }
    found = xr.Dataset(doubts)
    found["reliable"] = ~(found.lost | found.rounded | found.drifting | found.coarse)
    for name, text in DOUBTS.items():
        found[name].attrs |= {"long_name": text, "units": "1"}
    return found


def _along(logs: NDArray[np.float64], window: int) -> xr.Dataset:
    """Return the exponents from ever more steps, and those of windows."""
    steps = logs.shape[1]
    counts = np.unique(np.geomspace(1, steps, TRACE_POINTS).round().astype(int))
    with np.errstate(invalid="ignore"):  # inf − inf
        trace = np.cumsum(logs, axis=1)[:, counts - 1] / counts[:, None]
        windows = logs[:, : steps // window * window].reshape(len(logs), -1, window, logs.shape[2]).mean(axis=2)
    variables = {
        "trace": (("sample", "trace_steps", "index"), trace, {"long_name": "running exponent", **PER_STEP}),
        "finite_time": (("sample", "window", "index"), windows, {"long_name": "finite-time exponent", **PER_STEP}),
    }
    return xr.Dataset(variables, {"trace_steps": ("trace_steps", counts, TRACE_STEPS)})


def _of_all(logs: NDArray[np.float64], seed: int) -> xr.Dataset:
    """Return what the whole spectrum tells, with errors from draws of blocks that keep the exponents together."""
    made: dict[str, list[float]] = {name: [] for name in OF_ALL for name in (name, f"{name}_error")}
    for number, run in enumerate(xr.DataArray(logs, dims=("sample", "step", "index"))):
        with np.errstate(invalid="ignore"):  # inf − inf
            drawn = block_means(run, "step", int(_longest(run)), DRAWS, seed + number).values
            exponents = run.values.mean(axis=0)
        for name, (measure, _, _) in OF_ALL.items():
            made[name].append(measure(exponents))
            made[f"{name}_error"].append(float(np.std([measure(row) for row in drawn])))
    variables = {}
    for name, (_, text, units) in OF_ALL.items():
        for suffix, what in (("", ""), ("_error", ", standard error")):
            about = {"long_name": text + what, "units": units, "valid_min": 0}
            variables[name + suffix] = "sample", made[name + suffix], about
    return xr.Dataset(variables)


def _longest(run: xr.DataArray) -> int:
    finite = run[:, np.isfinite(run.values).all(axis=0)]
    return int(block_length(finite, "step").max()) if finite.size else 1


def kaplan_yorke(exponents: NDArray[np.float64]) -> float:
    """Return the Kaplan–Yorke dimension j + (λ₁ + … + λ_j) / |λ_{j+1}|, for the last j whose sum isn't negative.

    Args:
        exponents: (K,), in any order and unit.

    Returns:
        Between 0 and K; nan where the sum of all is still not negative, or an exponent is inf or nan.

    >>> round(kaplan_yorke(np.array([0.906, 0.0, -14.57])), 3)
    2.062
    """
    ordered = -np.sort(-np.asarray(exponents, float))
    sums = np.cumsum(ordered)
    below = np.flatnonzero(sums < 0)
    if not below.size or not ordered[0] < np.inf:
        return math.nan
    j = int(below[0])
    return j + (float(sums[j - 1]) / -float(ordered[j]) if j else 0.0)


def entropy_rate(exponents: NDArray[np.float64]) -> float:
    """Return the sum of the positive exponents; nan where all are positive, and more may be, or one is inf or nan.

    >>> entropy_rate(np.array([0.3, 0.1, -0.2]))
    0.4
    """
    known = np.asarray(exponents, float)
    return float(known[known > 0].sum()) if known.min() <= 0 and known.max() < np.inf else math.nan


OF_ALL = {
    "kaplan_yorke": (kaplan_yorke, "Kaplan-Yorke dimension", "1"),
    "entropy_rate": (entropy_rate, "entropy rate, sum of positive exponents", "nats per step"),
}
