"""Signal and noise of gradients: how much of the gradient of one sequence all sequences have in common, by lag."""

from __future__ import annotations

import numpy as np
import xarray as xr

from .. import kernels
from ..derive.errors import Error
from .gradient_flow import LAG
from .lags import lag_gradients, loss_name, loss_of
from .running import Arrays, Loss, run_cell
from .truncation import ALL

SIGNAL = {"long_name": "norm of the mean gradient, freed of what noise adds to it", "units": "1", "valid_min": 0}
NOISE = {
    "long_name": "root mean square distance of one sequence's gradient from the mean",
    "units": "1",
    "valid_min": 0,
}
RATIO = {"long_name": "signal over noise of one sequence's gradient", "units": "1", "valid_min": 0}
METHOD = (
    "gradient of the parameters by their use exactly k steps before the loss, of each sequence by itself; noise² is "
    "the unbiased variance over sequences, summed over entries; signal² = ‖mean‖² − noise²/B, 0 where negative"
)


def measure_noise(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    lags: int = 20,
    loss: str | Loss = "every",
) -> xr.Dataset:
    """Measure the signal-to-noise ratio of parameter gradients by lag and parameter.

    The ratio is that of a single sequence: a batch of B has √B times as much, and 1/ratio² sequences are what it takes
    for signal and noise to be equal (the noise scale of McCandlish, S. et al. (2018). arXiv:1812.06162).

    Args:
        kernel, params, inputs, state, steps: as `measure_flow` takes them, with at least two sequences. Each sequence
            and lag takes a backward pass over its steps.
        seed: of the loss.
        lags: how many, from 0 on; at most T.
        loss: 'last', 'every' (random directions, with no signal at all), or a function of (states, seed).

    Returns:
        `signal`, `noise` and `ratio` over (lag, parameter), and `signal_in_all`, `noise_in_all` and `ratio_in_all` over
        (parameter), for the sum over these lags. The parameter 'all' is all of them as one vector. nan ratios where
        signal and noise are both zero.

    Raises:
        Error: for fewer than two sequences, lags that aren't from 1 to T, an unknown loss, and as `measure_flow` does.

    >>> from ..derive.cell import load
    >>> kernel = kernels.compile(load("rnn"))
    >>> x = np.random.default_rng(0).standard_normal((20, 3, 5))
    >>> dict(measure_noise(kernel, kernel.init({"m": 5, "n": 7}), {"x": x}, lags=5).sizes)
    {'lag': 5, 'parameter': 4}
    """
    whole = run_cell(kernel, params, inputs, state, steps)
    if whole.batch < 2:
        raise Error("noise is measured between sequences: give at least two")
    if not isinstance(lags, int | np.integer) or not 1 <= lags <= whole.steps:
        raise Error(f"lags is {lags}: give a whole number from 1 to the length of the sequence, {whole.steps}")
    cotangents = loss_of(loss, whole.states, seed)
    names = list(params)
    parts = {name: np.zeros((lags, whole.batch, np.size(params[name]))) for name in names}
    for sample in range(whole.batch):
        one = slice(sample, sample + 1)
        given = {name: np.asarray(values)[:, one] for name, values in inputs.items()}
        start = {name: np.asarray(values)[one] for name, values in (state or {}).items()}
        run = kernel.forward(params, given, start, steps=whole.steps, batch=1)
        own = {name: values[:, one] for name, values in cotangents.items()}
        for lag, gradient in zip(range(lags), lag_gradients(kernel, params, given, run, own, start), strict=False):
            for name in names:
                parts[name][lag, sample] = np.ravel(gradient[name])
    rows = {name: _split(values) for name, values in parts.items()}
    summed = {name: _split(values.sum(axis=0, keepdims=True)) for name, values in parts.items()}
    by_lag, in_all = _measured(rows, ("lag", "parameter"), ""), _measured(summed, ("parameter",), "_in_all")
    coordinates = {"lag": ("lag", np.arange(lags), LAG), "parameter": [ALL, *names]}
    attrs = {"method": f"{METHOD}; loss: {loss_name(loss)}", "seed": seed, "batch": whole.batch, "steps": whole.steps}
    return xr.Dataset({**by_lag, **in_all}, coordinates, attrs)


def _split(gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lags, B, entries) -> ‖mean‖² without what noise adds, and noise², over lags."""
    mean = gradients.mean(axis=1)
    noise = ((gradients - mean[:, None]) ** 2).sum(axis=(1, 2)) / (gradients.shape[1] - 1)
    return (mean**2).sum(axis=1) - noise / gradients.shape[1], noise


def _measured(rows: dict[str, tuple[np.ndarray, np.ndarray]], dims: tuple[str, ...], suffix: str) -> dict[str, tuple]:
    squares = np.array(list(rows.values()))  # (parameter, 2, lag)
    squares = np.concatenate([squares.sum(axis=0, keepdims=True), squares])
    signal, noise = np.sqrt(squares[:, 0].clip(0)).T, np.sqrt(squares[:, 1]).T
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0, where nothing arrives
        ratio = signal / noise
    found = {"signal": (signal, SIGNAL), "noise": (noise, NOISE), "ratio": (ratio, RATIO)}
    return {
        name + suffix: (dims, values if len(dims) == 2 else values[0], attrs) for name, (values, attrs) in found.items()
    }
