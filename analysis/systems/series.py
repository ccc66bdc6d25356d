"""A series forecast four ways: its last value, a chain of bins, a fixed window, and a latent state that is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from ...derive.compose import compose
from ...kernels import ModelKernel, ModelRun
from ..data import random_stream
from ..gradient_flow import memory_horizon
from ..learning.batches import Array, Batch, Task
from ..learning.trainer import Training
from ..statistics import block_interval
from .examples import open_sizes
from .extras import sunspots
from .learn import gathered, learn, plan_of
from .system import Progress, Settings, system

THRESHOLD = 0.05  # share of the strongest influence that counts as memory
MEMORY = 44  # values back at which a forecast's slope is measured


@dataclass(frozen=True)
class Forecaster:
    """One way to forecast.

    Attributes:
        forecast: (series, how many values from its start are known, horizon) -> (origins, horizon): for each number of
            known values, forecasts of what follows.
        slopes: (series, known values) -> (MEMORY,): mean absolute slope of the next value's forecast in the values
            1, 2, ... back.
    """

    forecast: Callable[[Array, Array, int], Array] = field(repr=False)
    slopes: Callable[[Array, Array], Array] = field(repr=False)


def naive() -> Forecaster:
    """Return the forecast that nothing changes."""
    return Forecaster(lambda series, known, horizon: np.repeat(series[known - 1, None], horizon, 1), _only_last(1.0))


def autoregressive(series: Array, order: int) -> Forecaster:
    """Return a linear forecast from a window of fixed length, by least squares.

    Args:
        series: to learn from, (length,).
        order: values in the window.
    """
    windows = np.lib.stride_tricks.sliding_window_view(series[:-1], order)
    design = np.column_stack([windows, np.ones(len(windows))])
    weights, *_ = np.linalg.lstsq(design, series[order:], rcond=None)

    def forecast(whole: Array, known: Array, horizon: int) -> Array:
        window = whole[known[:, None] - order + np.arange(order)]
        found = []
        for _ in range(horizon):
            found.append(window @ weights[:-1] + weights[-1])
            window = np.column_stack([window[:, 1:], found[-1]])
        return np.stack(found, axis=1)

    slopes = np.zeros(MEMORY)
    slopes[:order] = abs(weights[:-1])[::-1]
    return Forecaster(forecast, lambda whole, known: slopes)


def chain(series: Array, bins: int) -> Forecaster:
    """Return the forecast of a Markov chain over bins that are equally full, with one added to each count of a pair.

    Args:
        series: to learn from, (length,).
        bins: how many.
    """
    edges = np.quantile(series, np.linspace(0, 1, bins + 1)[1:-1])
    places = np.digitize(series, edges)
    counts = np.ones((bins, bins))
    np.add.at(counts, (places[:-1], places[1:]), 1)
    moves = counts / counts.sum(axis=1, keepdims=True)
    means = np.array([series[places == place].mean() for place in range(bins)])

    def forecast(whole: Array, known: Array, horizon: int) -> Array:
        spread = np.eye(bins)[np.digitize(whole[known - 1], edges)]
        found = []
        for _ in range(horizon):
            spread = spread @ moves
            found.append(spread @ means)
        return np.stack(found, axis=1)

    steps = abs(np.diff(moves @ means)).sum() / (means[-1] - means[0])  # of a function that has steps: from end to end
    return Forecaster(forecast, _only_last(float(steps)))


def _only_last(slope: float) -> Callable[[Array, Array], Array]:
    return lambda series, known: np.array([slope, *np.zeros(MEMORY - 1)])


def latent(training: Training) -> Forecaster:
    """Return the forecast of a recurrent model, which reads its own forecasts where values aren't known."""
    kernel, params = training.kernel, training.params
    [block] = kernel.model.blocks

    def forecast(whole: Array, known: Array, horizon: int) -> Array:
        run = _run(kernel, params, whole[:, None, None])
        state = {name: np.ascontiguousarray(run.value(name)[known - 1, 0]) for name in block.cell.states}
        found = [run.value("u")[known - 1, 0, 0]]
        for _ in range(horizon - 1):
            run = _run(kernel, params, found[-1][None, :, None], state)
            state = run.last()
            found.append(run.value("u")[-1, :, 0])
        return np.stack(found, axis=1)

    def slopes(whole: Array, known: Array) -> Array:
        windows = whole[known[None, :] - MEMORY + np.arange(MEMORY)[:, None]]
        run = _run(kernel, params, windows[:, :, None])
        last = np.zeros_like(run.value("u"))
        last[-1] = 1
        gradient = kernel.backward(run, 0.0, {"u": last}).inputs["x"]
        return abs(gradient[::-1, :, 0]).mean(axis=1)

    return Forecaster(forecast, slopes)


def _run(
    kernel: ModelKernel, params: Mapping[str, Array], x: Array, state: Mapping[str, Array] | None = None
) -> ModelRun:
    given = np.ascontiguousarray(x, kernel.dtype)
    return kernel.forward(params, {"x": given, "y": given}, state)


def task(series: Array, first: int, window: int, batch: int, seed: int) -> Task:
    """Return the task of forecasting each next value of windows of a series, drawn at random.

    Args:
        series: (length,); judged as one window, on all values from `first` on.
        first: how many values are learned from.
        window, batch: T and B of a step.
        seed: of the draws.
    """
    numbers = np.ascontiguousarray(series, np.float32)

    def drawn(number: int) -> Batch:
        starts = random_stream(seed, f"windows {number}").integers(first - window, size=batch)
        cut = numbers[starts[None, :] + np.arange(window + 1)[:, None], None]
        return Batch({"x": cut[:-1], "y": cut[1:]}, window * batch)

    judged = np.zeros((len(series) - 1, 1))
    judged[first - 1 :] = 1
    whole = Batch(
        {"x": numbers[:-1, None, None], "y": numbers[1:, None, None]}, int(judged.sum()), weight={"loss": judged}
    )
    return Task("next value", {"m": 1, "k": 1}, drawn, lambda: [whole])


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Fit all forecasters to the years before one, and forecast those from it on."""
    years, numbers = sunspots()
    first = int(np.searchsorted(years, settings["held_out_from"]))
    mean, deviation = numbers[:first].mean(), numbers[:first].std()
    series = (numbers - mean) / deviation
    ways = {"naive: the last value": naive()}
    ways |= {f"Markov chain of {bins} bins": chain(series[:first], bins) for bins in settings["bins"]}
    ways |= {
        f"autoregressive, window of {order}": autoregressive(series[:first], order) for order in settings["orders"]
    }
    made, learned = task(series, first, settings["window"], settings["batch"], seed), {}
    for cell in settings["cells"]:
        model = compose(cell, loss="squared_error")
        plan = plan_of(settings, seed, model)
        name = f"latent autoregressive, {cell}"
        sizes = open_sizes(model, made, settings["hidden"])
        learned[name] = learn(model, made, plan, sizes, settings["steps"], label=name, progress=progress)
        ways[name] = latent(learned[name].training)
    method = (
        f"Yearly sunspot numbers ({years[0]} to {years[-1]}, statsmodels): fitted before {settings['held_out_from']}, "
        "judged from then on; root mean square error with an interval of 95 % from blocks of years; further ahead each "
        "model reads its own forecasts; memory: the furthest year whose influence on the forecast is at least "
        f"{THRESHOLD:.0%} of the strongest (of a chain: between its lowest and highest bin)"
    )
    found = gathered(learned, method).reindex(model=list(ways))
    found = found.merge(_judged(ways, series, first, settings["horizon"], deviation))
    best = str(found.model.values[int(np.nanargmin(found.error.values))])
    told = [f"{name} {float(found.error.sel(model=name)):.1f}" for name in ways]
    sentence = f"Error of the next year's number: {'; '.join(told)}. The best is: {best}."
    return found.assign_attrs(learned=sentence)


def _judged(ways: dict[str, Forecaster], series: Array, first: int, horizon: int, deviation: float) -> xr.Dataset:
    known = np.arange(first, len(series) - horizon + 1)
    errors, influence = [], []
    for way in ways.values():
        follows = series[known[:, None] + np.arange(horizon)]
        errors.append((deviation * (way.forecast(series, known, horizon) - follows)) ** 2)
        influence.append(way.slopes(series, known))
    names = {"model": list(ways)}
    squares = xr.DataArray(np.array(errors), names, ("model", "year", "ahead"))
    one = block_interval(squares.isel(ahead=0), "year")
    about = {"long_name": "error one year ahead (root mean square)", "units": "sunspots"}
    further = {"long_name": "error by years ahead (root mean square)", "units": "sunspots"}
    strength = {"long_name": "influence of a value on the next one's forecast", "units": "1", "scale": "log"}
    with np.errstate(divide="ignore"):
        logs = xr.DataArray(np.log(np.array(influence)), names | {"lag": np.arange(1, MEMORY + 1)}, ("model", "lag"))
    ahead = xr.Variable("ahead", np.arange(1, horizon + 1), {"long_name": "years ahead", "units": "years"})
    back = xr.Variable("back", np.arange(1, MEMORY + 1), {"long_name": "years back", "units": "years"})
    return xr.Dataset(
        {
            "error": ("model", np.sqrt(one["mean"].values), about),
            "error_low": ("model", np.sqrt(one.low.clip(min=0).values), about),
            "error_high": ("model", np.sqrt(one.high.values), about),
            "memory": (
                "model",
                memory_horizon(logs, THRESHOLD).values,
                {"long_name": "memory reached", "units": "years"},
            ),
            "error_ahead": (("model", "ahead"), np.sqrt(squares.mean("year").values), further),
            "influence": (("model", "back"), np.where(np.array(influence) > 0, influence, np.nan), strength),
        },
        names | {"ahead": ahead, "back": back},
    )


SYSTEM = system("series", measure)
