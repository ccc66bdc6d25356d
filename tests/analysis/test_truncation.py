"""Truncated gradients against closed forms; the parts by lag sum to the whole gradient."""

import numpy as np
import pytest
import xarray as xr

from bptt import kernels
from bptt.analysis import truncation
from bptt.analysis.lags import lag_gradients
from bptt.analysis.running import at_every_step
from bptt.analysis.statistics import interval
from bptt.analysis.truncation import measure_truncation, recommended_window
from bptt.derive import Error, load, parse

Params = dict[str, np.ndarray]
A = 0.8
WINDOWS = [1, 2, 3, 5, 10]


@pytest.fixture(scope="module")
def linear():
    return kernels.compile(parse("h: state\nh = a * h + b", "linear"))


def ones(states, seed):
    return {"h": np.ones_like(states["h"])}


def bias_of(kernel, steps, scheme="sliding", loss="last"):
    """Relative bias of both parameters, at the fixed point of the state."""
    params = {"a": np.array(A), "b": np.array(1.0)}
    start = {"h": np.array([1 / (1 - A)])}
    found = measure_truncation(kernel, params, {}, start, steps=steps, windows=WINDOWS, scheme=scheme, loss=loss)
    return found.relative_bias


def check_power_of_the_window(kernel, scheme="sliding"):
    found = bias_of(kernel, 200, scheme)  # 0.8²⁰⁰ is 4e-20
    for name in ("a", "b", "all"):
        assert np.allclose(found.sel(parameter=name), [A**window for window in WINDOWS], rtol=1e-12)


@pytest.mark.parametrize("scheme", ["sliding", "pieces"])
def test_the_relative_bias_is_a_to_the_power_of_the_window(linear, scheme):
    if scheme == "pieces":  # the last piece is a whole window where that divides T
        found = bias_of(linear, 210, scheme)
        assert np.allclose(found.sel(parameter="b"), [A**window for window in WINDOWS], rtol=1e-12)
    else:
        check_power_of_the_window(linear)


def test_a_window_that_is_off_by_one_is_noticed(linear, monkeypatch):
    right = truncation.lag_gradients

    def shifted(*given):
        parts = right(*given)
        next(parts)
        return parts

    monkeypatch.setattr(truncation, "lag_gradients", shifted)
    with pytest.raises(AssertionError):
        check_power_of_the_window(linear)


def test_short_sequences_with_a_loss_at_the_end(linear):
    found = bias_of(linear, 12).sel(parameter="b")
    expected = [(A**window - A**12) / (1 - A**12) for window in WINDOWS]
    assert np.allclose(found, expected, rtol=1e-12)


def test_a_loss_at_every_step(linear):
    steps = 30
    found = bias_of(linear, steps, loss=ones).sel(parameter="b")
    for window in WINDOWS:
        above = (steps - window) * A**window - (A ** (window + 1) - A ** (steps + 1)) / (1 - A)
        assert float(found.sel(window=window)) == pytest.approx(
            above / (steps - A * (1 - A**steps) / (1 - A)), rel=1e-12
        )


def gated(steps=13, batch=3):
    kernel = kernels.compile(load("gru"))
    params = kernel.init({"m": 3, "n": 4}, seed=1)
    x = np.random.default_rng(0).standard_normal((steps, batch, 3))
    return kernel, params, {"x": x}


def test_parts_by_lag_sum_to_the_whole_gradient():
    kernel, params, inputs = gated()
    state = {"h": np.random.default_rng(1).standard_normal((3, 4))}
    run = kernel.forward(params, inputs, state)
    cotangents = at_every_step(run.states, 0)
    whole = kernel.backward(run, cotangents).params
    parts = list(lag_gradients(kernel, params, inputs, run, cotangents, state))
    assert len(parts) == run.steps
    for name, values in whole.items():
        assert np.allclose(sum(part[name] for part in parts), values, rtol=1e-12, atol=1e-14)


def test_sliding_windows_are_those_cut_out_one_by_one():
    kernel, params, inputs = gated()
    run = kernel.forward(params, inputs)
    cotangent = at_every_step(run.states, 0)["h"]
    whole = kernel.backward(run, {"h": cotangent}).params["W_hz"]
    for window in (1, 4):
        total = np.zeros_like(whole)
        for step in range(run.steps):
            first = max(0, step - window + 1)
            start = {"h": run.states["h"][first - 1].copy()} if first else None
            cut = kernel.forward(params, {"x": inputs["x"][first : step + 1]}, start)
            at_end = np.zeros_like(cut.states["h"])
            at_end[-1] = cotangent[step]
            total += kernel.backward(cut, {"h": at_end}).params["W_hz"]
        found = measure_truncation(kernel, params, inputs, windows=[window]).sel(parameter="W_hz", window=window)
        assert float(found.relative_bias) == pytest.approx(np.linalg.norm(total - whole) / np.linalg.norm(whole))
        cosine = (total * whole).sum() / np.linalg.norm(total) / np.linalg.norm(whole)
        assert float(found.cosine) == pytest.approx(cosine)


@pytest.mark.parametrize("scheme", ["sliding", "pieces"])
def test_a_window_as_long_as_the_sequence_has_no_bias(scheme):
    found = measure_truncation(*gated(), windows=[13], scheme=scheme)
    assert float(found.relative_bias.max()) < 1e-13
    assert float(abs(found.cosine - 1).max()) < 1e-13


def test_default_windows_and_the_one_recommended():
    found = measure_truncation(*gated())
    assert found.window.values.tolist() == [1, 2, 4, 8, 13]
    window = float(recommended_window(found, 0.3).sel(parameter="all"))
    assert float(found.relative_bias.sel(parameter="all", window=window)) <= 0.3
    assert (found.relative_bias.sel(parameter="all").where(found.window < window, 1) > 0.3).any()
    rising = xr.Dataset({"relative_bias": ("window", [0.5, 0.4])}, {"window": [1, 2]})
    assert float(recommended_window(rising, 0.1)) == np.inf


def test_an_interval_of_windows_is_no_longer_than_the_sequence():
    window = recommended_window(measure_truncation(*gated()), 0.3)
    assert window.attrs["valid_max"] == 13
    found = interval(xr.DataArray([4.0, 8.0, 12.0], dims="seed", attrs=window.attrs), "seed")
    assert 1 < float(found["low"]) < float(found["mean"]) < float(found["high"]) < 13


def test_messages(linear):
    params: Params = {"a": np.array(A), "b": np.array(1.0)}
    nothing: Params = {}
    given = linear, params, nothing, {"h": np.ones(1)}
    with pytest.raises(Error, match="no scheme is called 'piece'"):
        measure_truncation(*given, steps=3, scheme="piece")
    with pytest.raises(Error, match="a window is 4: .* the length of the sequence, 3"):
        measure_truncation(*given, steps=3, windows=[4])
    with pytest.raises(Error, match="no window"):
        measure_truncation(*given, steps=3, windows=[])
    with pytest.raises(Error, match="no loss is called 'first'. Known: last, every"):
        measure_truncation(*given, steps=3, loss="first")
    with pytest.raises(Error, match="bound of the bias is 0"):
        recommended_window(xr.Dataset(), 0)
    huge = {"a": np.array(1e200), "b": np.array(0.0)}
    with pytest.raises(Error, match="the gradient of '.' overflows"):
        measure_truncation(linear, huge, {}, {"h": np.zeros(1)}, steps=5, loss="last")
