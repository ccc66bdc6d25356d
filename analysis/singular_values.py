"""Singular spectrum of the Jacobian product against lag: which directions of the past still reach the last step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .. import kernels
from ..derive.errors import Error
from ..kernels.orthogonal import singular_logs, stretch
from .course import Course, back, course
from .data import random_stream
from .gradient_flow import LAG, OVERFLOW
from .running import Arrays

METHOD = (
    "ds_T/ds_{T-k} over the full state as a product of Jacobians, carried as Q R with QR at every step (Householder's "
    "matrix is never formed; Gram-Schmidt with reorthogonalisation), R as rows with the logs of their sizes; singular "
    "values of R by one-sided Jacobi rotations: nothing is multiplied out, and each singular value has its own digits; "
    "effective ranks lie from 1 to N, and what is said of seeds together are means and t-intervals of their log odds "
    "ln (rank − 1) / (N − rank)"
)
LOG_SINGULAR = {"long_name": "ln of the singular values of ds_T/ds_{T-k}", "units": "natural log"}
RANK = {"units": "1", "valid_min": 1}
ENTROPY_RANK = {"long_name": "effective rank: exp of the entropy of the singular values' shares", **RANK}
PARTICIPATION = {"long_name": "participation ratio of the squared singular values", **RANK}
ENTRIES = 2**21  # of the Jacobians at once
SHOWN = 40  # lags, where none are given


def measure_spectrum(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    lags: Sequence[int] | None = None,
) -> xr.Dataset:
    """Measure all singular values of ∂s_T/∂s_{T−k} over the full state, against the lag k.

    Args:
        kernel: of the cell.
        params: name -> array, in the kernel's dtype.
        inputs: name -> (T, B, ...); empty for a cell without inputs.
        state: initial state, name -> (B, ...); zeros where omitted. A cell without inputs takes B from it.
        steps: T, for a cell without inputs only.
        seed: of the orthogonal matrix from which QR starts; the singular values don't depend on it.
        lags: whole numbers from 0 to T, in steps; by default up to 40 of them, evenly spaced in the log.

    Returns:
        `log_singular`, natural log, float64, over (sample, lag, index), largest first; −inf for what is zero to
        rounding within one step. `entropy_rank` and `participation_rank` over (sample, lag): exp of the entropy of
        σ_i / Σσ (Roy and Vetterli 2007), and (Σσ²)² / Σσ⁴; from 1, where a single direction is left, to N.
        `overflow` as in `measure_flow`; for such a sequence all is inf at all lags but 0.

    Raises:
        Error: when a value isn't finite, a lag isn't a whole number from 0 to T, or a cell without inputs is given no
            steps or no initial state.

    >>> from ..derive.cell import load
    >>> kernel = kernels.compile(load("lstm"))
    >>> params = kernel.init({"m": 5, "n": 7}, seed=0)
    >>> x = np.random.default_rng(0).standard_normal((20, 3, 5))
    >>> dict(measure_spectrum(kernel, params, {"x": x}, lags=[1, 10, 20]).sizes)
    {'sample': 3, 'lag': 3, 'index': 14}
    """
    way = course(kernel, params, inputs, state, steps)
    chosen = _chosen(way.steps, lags)
    log_singular: dict[int, NDArray[np.float64]] = {}
    vectors, rows, logs = (np.empty(0) for _ in range(3))
    overflow = np.zeros(way.batch, int)
    for lag, jacobian, overflow in _jacobians_back(way):
        bad = overflow > 0
        if not rows.size:
            vectors, rows, logs = _start(jacobian.shape, seed)
            log_singular[0] = logs
        vectors, rows, logs = _step(
            np.where(bad[:, None, None], np.eye(jacobian.shape[-1]), jacobian), vectors, rows, logs
        )
        if lag in chosen:
            log_singular[lag] = np.where(bad[:, None], np.inf, singular_logs(rows, logs))
    values = np.stack([log_singular[lag] for lag in chosen], axis=1)
    entropy, participation = effective_ranks(values)
    over, most = ("sample", "lag"), {"valid_max": values.shape[2]}
    variables = {
        "log_singular": ((*over, "index"), values, LOG_SINGULAR),
        "entropy_rank": (over, entropy, ENTROPY_RANK | most),
        "participation_rank": (over, participation, PARTICIPATION | most),
        "overflow": ("sample", overflow, OVERFLOW),
    }
    coordinates = {"lag": ("lag", chosen, LAG), "index": ("index", np.arange(1, values.shape[2] + 1))}
    return xr.Dataset(variables, coordinates, {"method": METHOD, "seed": seed})


def _chosen(steps: int, lags: Sequence[int] | None) -> list[int]:
    """Return lags in ascending order, each once."""
    if lags is None:
        return sorted({0, *np.geomspace(1, max(1, steps), SHOWN).round().astype(int).tolist()} & set(range(steps + 1)))
    for lag in lags:
        if not isinstance(lag, int | np.integer) or not 0 <= lag <= steps:
            raise Error(f"a lag of {lag} was asked for: give whole numbers from 0 to {steps}, the number of steps")
    if not len(lags):
        raise Error(f"no lag was asked for: give whole numbers from 0 to {steps}, or leave lags out")
    return sorted({int(lag) for lag in lags})


def _jacobians_back(way: Course) -> Iterator[tuple[int, NDArray[np.float64], NDArray[np.int_]]]:
    """Give lag, ∂s_{T−lag+1}/∂s_{T−lag} as (B, N, N), and where samples overflow, from the last step to the first."""
    lag = 0
    for piece in back(way):
        last = len(next(iter(piece.run.states.values())))
        width = sum(values[0, 0].size for values in piece.run.states.values())
        together = max(1, ENTRIES // max(1, way.batch * width**2))
        while last:
            first = max(0, last - together)
            with np.errstate(invalid="ignore", over="ignore"):
                found = way.kernel.jacobians(way.kernel.part(piece.run, first, last)).astype(float)
            for jacobian in found[::-1]:
                lag += 1
                yield lag, jacobian, piece.overflow
            last = first


def _start(shape: tuple[int, ...], seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return random orthogonal matrices, so that sizes come out in order, and R as the identity with its logs."""
    vectors = random_stream(seed, "directions").standard_normal(shape)
    stretch(vectors)
    return vectors, np.broadcast_to(np.eye(shape[-1]), shape).copy(), np.zeros(shape[:-1])


def _step(
    jacobian: NDArray[np.float64], vectors: NDArray[np.float64], rows: NDArray[np.float64], logs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Carry Q and R over one more Jacobian: Jᵀ Q = Q' R', and then R' R.

    Rows of `vectors` are the columns of Q. Row i of R is exp(logs[i]) times rows[i].
    """
    moved = vectors @ jacobian
    vectors = moved.copy()
    diagonal = stretch(vectors)
    step = np.triu(vectors @ moved.swapaxes(1, 2), 1)
    np.einsum("...ii->...i", step)[...] = diagonal
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.log(abs(step)) + logs[:, None, :]
        largest = sizes.max(axis=-1)
        factors = np.sign(step) * np.exp(sizes - np.where(np.isneginf(largest), 0, largest)[..., None])
    found: Any = factors @ rows
    return vectors, found, largest


def effective_ranks(log_singular: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the entropy rank and the participation ratio of singular values, from their natural logs.

    Args:
        log_singular: (..., N); −inf for zero.

    Returns:
        Two arrays (...,), from 1 to N; 0 where all singular values are zero, inf where one is inf.

    >>> effective_ranks(np.array([-900.0, -900.0, -2000.0]))
    (array(2.), array(2.))
    """
    largest = log_singular.max(axis=-1, keepdims=True)
    usual = np.isfinite(largest)
    shares = np.exp(np.where(usual, log_singular, 0) - np.where(usual, largest, 0))
    p = shares / shares.sum(axis=-1, keepdims=True)
    entropy = np.exp(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1))
    participation = (shares**2).sum(axis=-1) ** 2 / (shares**4).sum(axis=-1)
    other = np.where(largest[..., 0] > 0, np.inf, 0)
    return np.where(usual[..., 0], entropy, other), np.where(usual[..., 0], participation, other)
