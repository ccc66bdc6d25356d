"""Truncated backpropagation through time: how far its gradient is from the full one, for each window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .. import kernels
from ..derive.errors import Error
from .lags import Array, lag_gradients, loss_name, loss_of, refuse_overflow, states_before
from .running import Arrays, Loss, run_cell

WINDOW = {"long_name": "window K", "units": "steps"}
BIAS = {
    "long_name": "relative bias of the truncated gradient, ‖truncated − full‖ / ‖full‖",
    "units": "1",
    "valid_min": 0,
}
COSINE = {
    "long_name": "cosine between the truncated and the full gradient",
    "units": "1",
    "valid_min": -1,
    "valid_max": 1,
}
NORM = {"long_name": "norm of the full gradient", "units": "1", "valid_min": 0}
RECOMMENDED = {
    "long_name": "smallest window from which on the relative bias stays within the bound",
    "units": "steps",
    "valid_min": 1,
}
SCHEMES = {
    "sliding": "the loss of each step is carried back K steps (k1 = 1, k2 = K)",
    "pieces": "the sequence is cut into pieces of K steps that nothing crosses (k1 = k2 = K)",
}
ALL = "all"


def measure_truncation(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    windows: Sequence[int] | None = None,
    scheme: str = "sliding",
    loss: str | Loss = "every",
) -> xr.Dataset:
    """Measure the relative bias and the cosine of truncated gradients, summed over the batch, for each window.

    A window of K steps differentiates K steps of the cell (Williams, R. J., Peng, J. (1990). Neural Computation 2,
    490-501). 'sliding' windows take one backward pass of one step, over all sequences and losses together, per lag: all
    windows up to K cost as much as K passes over the sequence. 'pieces' take one pass over the sequence per window.

    Args:
        kernel, params, inputs, state, steps: as `measure_flow` takes them.
        seed: of the loss.
        windows: in steps, from 1 on; by default powers of 2 up to T, and T.
        scheme: 'sliding' or 'pieces'.
        loss: 'last', 'every' (a random direction at the last or at every step), or a function of (states, seed).

    Returns:
        `relative_bias` and `cosine` over (window, parameter), float64, and `norm` over (parameter): of the full
        gradient. The parameter 'all' is all of them as one vector. nan where the full gradient is exactly zero.

    Raises:
        Error: for a window that is no whole number from 1 to T, an unknown scheme or loss, a gradient that overflows,
            and as `measure_flow` does.

    >>> from ..derive.cell import parse
    >>> kernel = kernels.compile(parse("h: state\\nh = a * h + b"))
    >>> params, start = {"a": np.array(0.5), "b": np.array(1.0)}, {"h": np.full(1, 2.0)}
    >>> found = measure_truncation(kernel, params, {}, start, steps=60, windows=[1, 2, 3], loss="last")
    >>> found.relative_bias.sel(parameter="b").values.round(12).tolist()
    [0.5, 0.25, 0.125]
    """
    if scheme not in SCHEMES:
        raise Error(f"no scheme is called '{scheme}'. Known: {', '.join(SCHEMES)}.")
    run = run_cell(kernel, params, inputs, state, steps)
    cotangents = loss_of(loss, run.states, seed)
    chosen = _checked(windows, run.steps)
    full = {name: np.array(values) for name, values in kernel.backward(run, cotangents).params.items()}
    refuse_overflow(full)
    before = states_before(run, state)
    if scheme == "sliding":
        parts = lag_gradients(kernel, params, inputs, run, cotangents, state)
        truncated = dict(_running_sums(parts, full, chosen))
    else:
        truncated = {window: _in_pieces(kernel, params, inputs, before, cotangents, window) for window in chosen}
    names = [ALL, *full]
    bias, cosine = np.empty((2, len(chosen), len(names)))
    for row, window in enumerate(chosen):
        for column, name in enumerate(names):
            ours, whole = (_vector(gradient, name) for gradient in (truncated[window], full))
            bias[row, column], cosine[row, column] = _compared(ours, whole)
    variables = {
        "relative_bias": (("window", "parameter"), bias, BIAS),
        "cosine": (("window", "parameter"), cosine, COSINE),
        "norm": ("parameter", [np.linalg.norm(_vector(full, name)) for name in names], NORM),
    }
    method = f"truncated backpropagation through time, {SCHEMES[scheme]}; loss: {loss_name(loss)}; sum over the batch"
    coordinates = {"window": ("window", chosen, WINDOW), "parameter": names}
    return xr.Dataset(variables, coordinates, {"method": method, "seed": seed, "steps": run.steps})


def recommended_window(truncation: xr.Dataset, bias: float = 0.1) -> xr.DataArray:
    """Return the smallest window from which on the relative bias stays within a bound.

    Args:
        truncation: from `measure_truncation`.
        bias: the bound, above 0.

    Returns:
        Steps, float64, over the other dimensions of `relative_bias`; inf where no measured window is long enough. It
        can't be longer than the sequence, which is stated as `valid_max`.

    Raises:
        Error: for a bound that isn't above 0.

    >>> measured = xr.DataArray([0.5, 0.05, 0.2, 0.01], {"window": [1, 2, 4, 8]}, name="relative_bias").to_dataset()
    >>> float(recommended_window(measured, bias=0.1))
    8.0
    """
    if not bias > 0:
        raise Error(f"the bound of the bias is {bias}: give a number above 0, such as 0.1")
    exceeded = (~(truncation.relative_bias <= bias)).astype(int)
    later = exceeded.isel(window=slice(None, None, -1)).cumsum("window").isel(window=slice(None, None, -1))
    longest = {"valid_max": truncation.attrs["steps"]} if "steps" in truncation.attrs else {}
    return truncation.window.where(later == 0, np.inf).min("window").astype(float).assign_attrs(RECOMMENDED | longest)


def _checked(windows: Sequence[int] | None, steps: int) -> list[int]:
    if windows is None:
        return sorted({2**power for power in range(steps.bit_length())} | {steps})
    for window in windows:
        if not isinstance(window, int | np.integer) or not 1 <= window <= steps:
            raise Error(f"a window is {window}: give whole numbers from 1 to the length of the sequence, {steps}")
    if not len(windows):
        raise Error("there is no window: give at least one")
    return sorted({int(window) for window in windows})


def _running_sums(
    parts: Iterator[dict[str, Array]], full: dict[str, Array], windows: list[int]
) -> Iterator[tuple[int, dict[str, Array]]]:
    """Yield each window with the sum of the parts of so many lags."""
    total = {name: np.zeros_like(values) for name, values in full.items()}
    for lag in range(windows[-1]):
        for name, part in next(parts, {}).items():
            total[name] += part
        if lag + 1 in windows:
            yield lag + 1, {name: values.copy() for name, values in total.items()}


def _in_pieces(
    kernel: kernels.Kernel, params: Arrays, inputs: Arrays, before: Arrays, cotangents: Arrays, window: int
) -> dict[str, Array]:
    """Return the gradient of the sequence cut into pieces of `window` steps, the last of them shorter."""
    steps = len(next(iter(before.values())))
    cut = steps - steps % window
    total: dict[str, Array] = {}
    for first, last, length in ((0, cut, window), (cut, steps, steps - cut)):
        if last == first:
            continue

        def pieces(values: NDArray[np.floating]) -> NDArray[np.floating]:
            part = values[first:last]  # noqa: B023 - called within this turn of the loop
            part = part.reshape(-1, length, *part.shape[1:]).swapaxes(0, 1)  # noqa: B023
            return np.ascontiguousarray(part.reshape(length, -1, *part.shape[3:]))  # noqa: B023

        start = {name: pieces(values)[0] for name, values in before.items()}
        given = {name: pieces(np.asarray(values)) for name, values in inputs.items()}
        run = kernel.forward(params, given, start, steps=length, batch=len(next(iter(start.values()))))
        grads = kernel.backward(run, {name: pieces(values) for name, values in cotangents.items()})
        for name, part in grads.params.items():
            total[name] = total.get(name, 0) + part
    return total


def _vector(gradient: dict[str, Array], name: str) -> NDArray[np.float64]:
    chosen = gradient.values() if name == ALL else [gradient[name]]
    return np.concatenate([np.ravel(values) for values in chosen]).astype(np.float64)


def _compared(ours: NDArray[np.float64], full: NDArray[np.float64]) -> tuple[float, float]:
    """Return the relative distance of two vectors, and the cosine between them."""
    whole, part = np.linalg.norm(full), np.linalg.norm(ours)
    if whole == 0:
        return np.nan, np.nan
    cosine = float(ours @ full / (whole * part)) if part else np.nan
    return float(np.linalg.norm(ours - full) / whole), cosine
