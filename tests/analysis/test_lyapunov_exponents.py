"""Lyapunov exponents against what is known exactly or from textbooks; wrong methods that must not pass."""

import numpy as np
import pytest
import xarray as xr

import bptt
from bptt import kernels
from bptt.analysis import (
    entropy_rate,
    gaussian_exponents,
    kaplan_yorke,
    lyapunov,
    t_interval,
    two_trajectories,
)
from bptt.derive import Error, load, parse

MAPS = {  # exponents per unit of time, and how far a run of this length may be off
    "henon": (1, [0.4192, -1.6232], 0.01),  # Sprott (2003), Chaos and time-series analysis
    "lorenz": (0.01, [0.9056, 0.0, -14.5723], 0.05),
}
PRODUCT = parse("A: input[n, n]\nh: state[n]\nh = A @ h")
TANH = parse("h: state[n]\nh = tanh(W @ h)")


def start(name, batch=4):
    rng = np.random.default_rng(0)
    if name == "henon":
        return {"x": rng.uniform(0, 0.1, batch), "y": rng.uniform(0, 0.1, batch)}
    return {"x": rng.uniform(1, 5, batch), "y": rng.uniform(1, 5, batch), "z": rng.uniform(15, 25, batch)}


def attractor(name, steps=25_000, **settings):
    return lyapunov(kernels.compile(load(name)), {}, {}, start(name), steps=steps, **settings)


# ---- ground truths


@pytest.mark.parametrize("name", MAPS)
def test_textbook_attractors(name):
    step, expected, tolerance = MAPS[name]
    found = attractor(name)
    assert found.exponent.mean("sample").values / step == pytest.approx(expected, abs=tolerance)
    inside = abs(found.exponent - np.array(expected) * step) < 4.5 * found.error
    assert inside.all() and found.reliable.mean() > 0.7
    assert found.volume_error.max() < 1e-13


def test_the_volume_of_the_attractor_shrinks_as_the_equations_say():
    found = attractor("henon", steps=2000)
    assert found.exponent.sum("index").values == pytest.approx(np.full(4, np.log(0.3)), abs=1e-13)


def test_products_of_gaussian_matrices():
    size, steps, gain = 16, 4000, 0.7
    matrices = gain * np.random.default_rng(0).standard_normal((steps, 1, size, size)) / np.sqrt(size)
    kernel = kernels.compile(PRODUCT)
    found = lyapunov(kernel, {}, {"A": matrices}, {"h": np.ones((1, size))}, transient=200, window=1)
    expected = gaussian_exponents(size, gain)
    error = np.sqrt(expected.variance / 3800)
    assert (abs(found.exponent[0] - expected.exponent) < 4.5 * error).all()
    assert found.finite_time[0].var("window").values == pytest.approx(expected.variance.values, rel=0.15)
    assert found.error[0].values == pytest.approx(error.values, rel=0.25)
    assert found.reliable.all()


def test_an_orthogonal_matrix_neither_stretches_nor_shrinks():
    W = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 64)))[0]
    kernel = kernels.compile(parse("h: state[n]\nh = W @ h"))
    found = lyapunov(kernel, {"W": W}, {}, {"h": np.ones((1, 64))}, steps=10_000)
    assert abs(found.exponent.values).max() < 1e-14 and found.reliable.all()


@pytest.mark.parametrize("gain, largest, dimension", [(2, 0.1547, 0.2575), (3, 0.3102, 0.2877)])
def test_a_chaotic_network(gain, largest, dimension):
    """Engelken, Wolf and Abbott (2023), Lyapunov spectra of chaotic recurrent neural networks."""
    W = gain * np.random.default_rng(0).standard_normal((512, 512)) / np.sqrt(512)
    state = {"h": np.random.default_rng(1).standard_normal((1, 512))}
    kernel = kernels.compile(TANH)
    alone = lyapunov(kernel, {"W": W}, {}, state, steps=1500, exponents=1)
    assert float(alone.exponent[0, 0]) == pytest.approx(largest, abs=0.012)
    assert np.isnan(alone.volume_error).all() and np.isnan(alone.kaplan_yorke).all()
    many = lyapunov(kernel, {"W": W}, {}, state, steps=700, transient=300, exponents=160)
    assert float(many.kaplan_yorke[0]) / 512 == pytest.approx(dimension, abs=0.008)


@pytest.fixture(scope="module")
def gated():
    """A cell with a long memory in one of its states: bias 5 at its forget gate."""
    kernel = kernels.compile(load("lstm"))
    params = kernel.init({"m": 4, "n": 16}, seed=1)
    params["b_f"] += 5
    return kernel, params, {"x": np.random.default_rng(0).standard_normal((1500, 1, 4))}


def test_the_full_state_remembers(gated):
    """One state alone would give -1.6, whatever the bias."""
    kernel, params, inputs = gated
    found = lyapunov(*gated, exponents=2)
    assert -0.02 < float(found.exponent[0, 0]) < 0
    blocks = kernel.jacobians(kernel.forward(params, inputs))[:, 0, kernel.state_layout["h"], kernel.state_layout["h"]]
    assert by_hand(blocks)[0] == pytest.approx(-1.6, abs=0.1)


# ---- a wrong method; others are in test_ground_truths.py


def by_hand(jacobians):
    """Return exponents by LAPACK's QR."""
    q, sums = np.eye(len(jacobians[0])), []
    for jacobian in jacobians:
        q, r = np.linalg.qr(jacobian @ q)
        sums.append(np.log(abs(np.diagonal(r))))
    return np.mean(sums, axis=0)


def test_jacobians_of_the_step_before_fail():
    """Exponents can't tell, as all steps count alike; the volume of each step and trajectories can."""

    class Late:
        """A kernel whose tangents belong to the step before."""

        def __init__(self, kernel):
            self.kernel = kernel

        def __getattr__(self, name):
            return getattr(self.kernel, name)

        def stretch(self, run, vectors):
            shifted = np.concatenate([[0], np.arange(run.steps - 1)])
            arrays = {n: a[shifted] if len(a) == run.steps else a for n, a in run.arrays.items()}
            late = bptt.kernels.Run(run.sizes, run.steps, run.batch, arrays, run.states, {})
            return self.kernel.stretch(late, vectors)

    right = kernels.compile(load("lorenz"))
    state = {name: array[:1] for name, array in start("lorenz").items()}
    measured = [lyapunov(kernel, {}, {}, state, steps=2000) for kernel in (right, Late(right))]  # type: ignore[arg-type] # it stands in for a Kernel
    compared = [two_trajectories(kernel, {}, {}, state, steps=300) for kernel in (right, Late(right))]  # type: ignore[arg-type] # as above
    assert [bool(found.volume_error < 1e-12) for found in measured] == [True, False]
    assert [bool(found.difference < 1e-8) for found in compared] == [True, False]


# ---- what else the dataset holds


def test_errors_tell_how_far_exponents_are_off():
    """Of 40 runs, the means lie around the truth as far as the errors say."""
    state = {name: np.resize(array, 40) * np.linspace(0.5, 1, 40) for name, array in start("henon").items()}
    found = lyapunov(kernels.compile(load("henon")), {}, {}, state, steps=4000)
    spread = float(found.exponent[:, 0].std(ddof=1))
    assert float(found.error[:, 0].mean()) == pytest.approx(spread, rel=0.35)
    interval = t_interval(found.exponent, "sample")
    assert interval.low[0] < 0.4192 < interval.high[0]


def test_the_convergence_trace_and_the_windows():
    found = attractor("henon", steps=3000, transient=500, window=250)
    assert found.trace_steps.values[-1] == 2500 and found.sizes["window"] == 10
    xr.testing.assert_allclose(found.trace[:, -1].drop_vars("trace_steps"), found.exponent)
    assert found.finite_time.mean("window").values == pytest.approx(found.exponent.values, abs=1e-12)


def test_dimension_and_entropy_rate():
    found = attractor("lorenz")
    assert found.kaplan_yorke.mean() == pytest.approx(2.062, abs=0.005)
    assert found.entropy_rate.mean() / 0.01 == pytest.approx(0.906, abs=0.05)
    assert (found.kaplan_yorke_error > 0).all() and (found.entropy_rate_error < 0.2 * found.entropy_rate).all()


@pytest.mark.parametrize(
    "exponents, dimension, rate",
    [
        ([0.5, -0.2, -0.6], 2.5, 0.5),
        ([-1, -2], 0, 0),
        ([0.3, -np.inf], 1, 0.3),
        ([-np.inf, -np.inf], 0, 0),
        ([0.4, 0.2], np.nan, np.nan),
        ([0.4, -0.2], np.nan, 0.4),
        ([np.inf, np.inf], np.nan, np.nan),
        ([-1.0, 0.5], 1.5, 0.5),
    ],
)
def test_dimension_and_entropy_rate_of_known_exponents(exponents, dimension, rate):
    assert kaplan_yorke(np.array(exponents)) == pytest.approx(dimension, nan_ok=True)
    assert entropy_rate(np.array(exponents)) == pytest.approx(rate, nan_ok=True)


def test_leading_exponents_are_those_of_the_whole_spectrum():
    """The first directions don't know of those behind them."""
    kernel = kernels.compile(load("gru"))
    params = kernel.init({"m": 3, "n": 40}, seed=1)
    x = np.random.default_rng(0).standard_normal((300, 2, 3))
    whole, some = (lyapunov(kernel, params, {"x": x}, exponents=count) for count in (None, 35))
    assert some.sizes["index"] == 35
    assert some.exponent.values == pytest.approx(whole.exponent.values[:, :35], abs=1e-9)


def test_a_batch_is_its_sequences_and_pieces_change_nothing(monkeypatch):
    kernel = kernels.compile(load("gru"))
    params = kernel.init({"m": 3, "n": 40}, seed=1)
    x = np.random.default_rng(0).standard_normal((300, 2, 3))
    whole, again = (lyapunov(kernel, params, {"x": x}, seed=3) for _ in range(2))
    assert whole.identical(again)
    monkeypatch.setattr("bptt.analysis.course.ENTRIES", 1)
    pieces = lyapunov(kernel, params, {"x": x}, seed=3)
    assert pieces.exponent.values == pytest.approx(whole.exponent.values, abs=1e-11)


# ---- exponents that can't be trusted say so


def doubts(found):
    return {name: found[name].values[0].tolist() for name in ("lost", "rounded", "drifting", "coarse", "reliable")}


def test_a_direction_that_dies():
    kernel = kernels.compile(parse("h: state[n]\nW: param[n, n]\nh = W @ h"))
    W = np.diag([1.5, 0.8, 0.0])
    found = lyapunov(kernel, {"W": W}, {}, {"h": np.ones((1, 3))}, steps=300)
    assert found.exponent.values[0] == pytest.approx([np.log(1.5), np.log(0.8), -np.inf])
    assert doubts(found)["lost"] == [False, False, True] and doubts(found)["reliable"] == [True, True, False]
    assert found.kaplan_yorke.values[0] == pytest.approx(2) and not np.isnan(found.trace).any()


def test_a_direction_made_of_rounding_errors():
    kernel = kernels.compile(parse("h: state[n]\nW: param[n, n]\nh = W @ h"))
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    W = turn @ np.diag([1, 0.5, 1e-17]) @ turn.T
    found = lyapunov(kernel, {"W": W}, {}, {"h": np.ones((1, 3))}, steps=300)
    assert [doubts(found)["lost"][i] or doubts(found)["rounded"][i] for i in range(3)] == [False, False, True]
    assert doubts(found)["reliable"] == [True, True, False]


def test_a_run_that_changes_on_the_way():
    kernel = kernels.compile(parse("x: input[n]\nh: state[n]\nh = x * h"))
    x = np.random.default_rng(0).uniform(0.5, 1, (2000, 1, 2))
    x[1000:, :, 0] *= 1.1
    found = lyapunov(kernel, {}, {"x": x}, {"h": np.ones((1, 2))}, transient=0)
    assert doubts(found)["drifting"] == [True, False]


def test_a_run_too_short_for_its_error():
    assert doubts(attractor("lorenz", steps=300))["coarse"] == [True] * 3
    assert not attractor("lorenz", steps=300).reliable.any()


def test_a_stationary_run_raises_no_alarm():
    """One false alarm in a thousand runs: none in 24 of 8 exponents each."""
    matrices = np.random.default_rng(5).standard_normal((600, 24, 8, 8)) / np.sqrt(8)
    found = lyapunov(kernels.compile(PRODUCT), {}, {"A": matrices}, {"h": np.ones((24, 8))})
    assert found.reliable.all()


def test_states_that_overflow_leave_other_samples_alone():
    kernel = kernels.compile(load("henon"))
    state = {"x": np.array([0.1, 5.0]), "y": np.array([0.1, 0.0])}
    both = lyapunov(kernel, {}, {}, state, steps=1000)
    alone = lyapunov(kernel, {}, {}, {name: array[:1] for name, array in state.items()}, steps=1000)
    assert both.overflow.values[0] == 0 and 1 < both.overflow.values[1] < 20
    assert both.exponent[0].values == pytest.approx(alone.exponent[0].values, abs=0.02)
    assert both.exponent[1].values.tolist() == [np.inf] * 2 and not both.reliable[1].any()
    assert not np.isnan(both[["exponent", "trace", "finite_time"]].to_array("v").isel(window=0, trace_steps=0)).any()


# ---- certificates


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-8), ("float32", 5e-3)])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_trajectories_and_tangents_agree(name, dtype, tolerance):
    kernel = kernels.compile(load(name), dtype)
    params = kernel.init({"m": 3, "n": 8}, seed=1, gain=2)
    x = np.random.default_rng(0).standard_normal((100, 2, 3)).astype(dtype)
    found = two_trajectories(kernel, params, {"x": x})
    assert found.difference.max() < tolerance
    assert found.tangent.values == pytest.approx(found.trajectory.values, abs=tolerance)


def test_trajectories_show_a_wrong_tangent(gated):
    kernel, params, inputs = gated
    wrong = {**params, "W_hf": params["W_hf"] * 1.001}

    class Bent:
        """A kernel whose tangents are those of slightly other parameters."""

        def __getattr__(self, name):
            return getattr(kernel, name)

        def forward(self, given, *args, **settings):
            return kernel.forward(params if given is wrong else given, *args, **settings)

        def stretch(self, run, vectors):
            bent = kernel.forward(wrong, {"x": inputs["x"][: run.steps]})
            return kernel.stretch(bent, vectors)

    short = {"x": inputs["x"][:100]}
    assert two_trajectories(kernel, params, short).difference < 1e-8
    assert two_trajectories(Bent(), params, short).difference > 1e-6  # type: ignore[arg-type] # it stands in for a Kernel


def test_nothing_is_compared_where_states_overflow():
    with pytest.raises(Error, match="the states overflow at step .: there is nothing to compare"):
        two_trajectories(kernels.compile(load("henon")), {}, {}, {"x": np.array([5.0]), "y": np.array([0.0])}, steps=50)


# ---- settings


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"transient": 99}, "transient is 99: for a run of 100 steps, give a whole number from 0 to 98"),
        ({"transient": -1}, "transient is -1"),
        ({"window": 91}, "window is 91: for 90 steps after the transient, give a whole number from 1 to 90"),
        ({"window": 0}, "window is 0"),
        ({"exponents": 3}, "exponents is 3: for a full state of 2 entries, give a whole number from 1 to 2"),
        ({"exponents": 0}, "exponents is 0"),
        ({"level": 95}, "level is 95"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(Error, match=message):
        attractor("henon", steps=100, **settings)


def test_sizes_and_gains_without_theory():
    with pytest.raises(Error, match="size is 0 and gain is 1"):
        gaussian_exponents(0)


def test_the_public_name():
    assert bptt.lyapunov is lyapunov


def test_the_dataset_says_what_it_is():
    found = attractor("henon", steps=200)
    assert all(variable.attrs["long_name"] and variable.attrs["units"] for variable in found.data_vars.values())
    assert {"method", "seed", "steps", "transient", "window", "level"} <= found.attrs.keys()
