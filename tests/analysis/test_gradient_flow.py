import numpy as np
import pytest
import xarray as xr

import bptt
from bptt import kernels
from bptt.analysis import flow, half_life, memory_horizon, summarise
from bptt.analysis.inputs import dimensions
from bptt.derive import Error, load, parse, zoo
from tests.analysis.conftest import PlainKernel

DECAY = "x: input[n]\nh: state[n]\na: param\nh = a * h + x"
NO_INPUT = "h: state[n]\na: param\nh = a * h"


def measure(lines, params, inputs, state=None, **options):
    kernel = PlainKernel(parse(lines))
    params, inputs = ({name: np.asarray(a, float) for name, a in group.items()} for group in (params, inputs))
    return flow(kernel, params, inputs, state, **options)


def curve(values, lags=None):
    return xr.DataArray(np.asarray(values, float), {"lag": lags or range(len(values))})


# ---- ground truths


@pytest.mark.parametrize("a", [0.5, 0.9, -0.9, 1.0, 1.1])
def test_a_linear_decay_falls_by_its_factor_at_each_step(a):
    found = measure(DECAY, {"a": a}, {"x": np.ones((40, 3, 4))})
    assert found.log_norm.dims == ("sample", "lag") and found.lag.values.tolist() == list(range(41))
    expected = np.arange(41) * np.log(abs(a))
    assert found.log_norm.values == pytest.approx(np.stack([expected] * 3), abs=1e-12)
    known = np.log(2) / -np.log(abs(a)) if abs(a) < 1 else np.inf
    assert half_life(found.log_norm).values == pytest.approx([known] * 3, rel=1e-12)


def test_each_lag_belongs_to_its_step():
    """The factor is another at every step: a lag off by one, or time run forwards, shows."""
    x = np.random.default_rng(0).uniform(0.2, 1.5, (20, 3))
    found = measure("x: input\nh: state[n]\nu: param[n]\nh = x * h + u", {"u": np.ones(4)}, {"x": x})
    expected = np.concatenate([np.zeros((1, 3)), np.cumsum(np.log(x[::-1]), axis=0)])
    assert pytest.approx(expected, abs=1e-12) == found.log_norm.values.T


def test_an_orthogonal_matrix_keeps_the_norm():
    rng = np.random.default_rng(0)
    W, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    found = measure("x: input[n]\nh: state[n]\nh = W @ h + x", {"W": W}, {"x": rng.standard_normal((200, 2, 6))})
    assert abs(found.log_norm.values).max() < 1e-12


def test_a_matrix_acts_transposed():
    W = np.triu(np.random.default_rng(0).standard_normal((3, 3)))
    found = measure("x: input[n]\nh: state[n]\nh = W @ h + x", {"W": W}, {"x": np.zeros((5, 400, 3))})
    mean_square = np.exp(2 * found.log_norm).mean("sample").values
    powers = [np.linalg.matrix_power(W, k) for k in range(6)]
    # an isotropic unit vector v has E ‖Aᵀv‖² = ‖A‖²/n in the Frobenius norm
    assert mean_square == pytest.approx([np.sum(p**2) / 3 for p in powers], rel=0.15)  # 400 directions
    rotated = {"U": np.array([[0.0, 1.0], [0.0, 0.0]])}
    shift = measure("x: input[n]\nh: state[n]\nh = U @ h + x", rotated, {"x": np.zeros((2, 1, 2))})
    assert np.isneginf(shift.log_norm.values[0, 2])


def test_the_norm_is_of_the_full_state_and_the_direction_isotropic():
    """Of 1 + 2 + 6 entries in three states of different shapes, one step lets only the last six through."""
    lines = "s: state\nv: state[n]\nM: state[n, k]\nq: param\ns = q * s\nv = q * v\nM = M + q * M"
    state = {"s": np.ones(3000), "v": np.ones((3000, 2)), "M": np.ones((3000, 2, 3))}
    found = measure(lines, {"q": 0}, {}, state, steps=1)
    assert found.log_norm.sel(lag=0).values == pytest.approx(np.zeros(3000), abs=1e-14)
    share = np.exp(2 * found.log_norm.sel(lag=1))
    assert float(share.mean()) == pytest.approx(6 / 9, abs=5 * float(share.std()) / np.sqrt(3000))


SIZES = {"m": 3, "n": 4, "d": 2}


@pytest.mark.parametrize("name", [name for name in zoo() if set(dimensions(load(name))) <= SIZES.keys()])
def test_compiled_kernels_agree_with_complex_steps(name):
    cell = load(name)
    kernel, plain = kernels.compile(cell), PlainKernel(cell)
    params = plain.init(SIZES, seed=1)
    rng = np.random.default_rng(2)
    inputs = {name: rng.standard_normal((12, 2, *plain.shape(dims, SIZES))) for name, dims in cell.inputs.items()}
    state = {name: rng.uniform(0, 0.5, (2, *plain.shape(dims, SIZES))) for name, dims in cell.states.items()}
    steps = 0 if inputs else 12
    expected = flow(plain, params, inputs, state, steps=steps, seed=5)
    found = flow(kernel, params, inputs, state, steps=steps, seed=5)
    xr.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


# ---- the ends of the number range


def test_a_gradient_that_is_exactly_zero():
    found = measure(DECAY, {"a": 0}, {"x": np.ones((3, 2, 4))})
    assert found.log_norm.values.tolist() == [[pytest.approx(0, abs=1e-15), *[-np.inf] * 3]] * 2


@pytest.mark.parametrize("a", [1e-200, 1e200])
def test_norms_whose_squares_leave_the_range_of_floats(a):
    found = measure(DECAY, {"a": a}, {"x": np.zeros((1, 2, 4))})
    assert found.log_norm.sel(lag=1).values == pytest.approx([np.log(a)] * 2, rel=1e-15)


@pytest.mark.parametrize("a", [1e-200, 1e200])
def test_norms_that_leave_the_range_of_floats(a):
    """The cell has no input that would let its state leave the range too."""
    found = measure(DECAY, {"a": a}, {"x": np.zeros((300, 2, 4))})
    assert found.log_norm.values[0] == pytest.approx(np.arange(301) * np.log(a), rel=1e-12)


def test_one_step_past_the_largest_float():
    lines = "x: input\nh: state\na: param\nh = a * (a * h) * x"
    found = measure(lines, {"a": 1e200}, {"x": np.array([[1.0, 1], [1, 0], [1, 1]])})
    assert found.log_norm.values.tolist() == [[pytest.approx(0, abs=1e-15), *[np.inf] * 3]] * 2
    found = measure(lines, {"a": 1e-170}, {"x": np.ones((3, 2))})
    assert found.log_norm.values.tolist() == [[pytest.approx(0, abs=1e-15), *[-np.inf] * 3]] * 2


def test_states_that_overflow_are_noted_and_stay_with_their_sample():
    x = np.zeros((5, 2, 4))
    x[:, 0] = 1
    found = measure(DECAY, {"a": 1e200}, {"x": x})
    assert found.overflow.values.tolist() == [3, 0]
    assert found.log_norm.values[0].tolist() == pytest.approx([0, 200 * np.log(10), 400 * np.log(10), *[np.inf] * 3])
    early = measure(DECAY, {"a": 1e200}, {"x": x[:2]})  # it starts at the last step before
    assert found.log_norm.values[0, :3].tolist() == early.log_norm.values[0].tolist()
    assert found.log_norm.values[1] == pytest.approx(np.arange(6) * np.log(1e200))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_long_sequence(dtype):
    """10⁴ steps, with a factor of its own at each, through pieces and rescaling; exact logs are known."""
    steps = np.random.default_rng(0).uniform(0.2, 1.2, (10_000, 3)).astype(dtype)
    kernel = kernels.compile(parse("x: input\nh: state[n]\nh = x * h"), dtype)
    found = flow(kernel, {}, {"x": steps}, {"h": np.ones((3, 2), dtype)})
    expected = np.cumsum(np.log(steps[::-1].astype(float)), axis=0).T
    assert found.log_norm.values[:, 1:] == pytest.approx(expected, rel=1e-11 if dtype == "float64" else 1e-6, abs=1e-6)
    assert found.log_norm.values.min() < -4000


def test_pieces_change_nothing(monkeypatch):
    kernel = kernels.compile(load("gru"))
    params, x = kernel.init({"m": 3, "n": 4}), np.random.default_rng(0).standard_normal((300, 2, 3))
    whole = flow(kernel, params, {"x": x})
    monkeypatch.setattr("bptt.analysis.course.ENTRIES", 1)
    xr.testing.assert_allclose(flow(kernel, params, {"x": x}), whole, rtol=1e-12)


# ---- the same numbers again


def test_seeds():
    settings = DECAY.replace("a * h", "W @ h").replace("a: param", ""), {"W": np.diag([1.0, 2, 3])}
    first, again, other = (measure(*settings, {"x": np.zeros((4, 3, 3))}, seed=s) for s in (7, 7, 8))
    assert first.identical(again) and not first.log_norm.equals(other.log_norm)
    assert len(set(first.log_norm.sel(lag=4).values)) == 3  # each sequence has a direction of its own


def test_the_dataset_says_what_it_is():
    found = measure(DECAY, {"a": 1}, {"x": np.zeros((2, 1, 4))}, seed=3)
    assert found.log_norm.attrs["units"] == "natural log" and found.lag.attrs["units"] == "steps"
    assert "full state" in found.attrs["method"] and found.attrs["seed"] == 3
    assert found.log_norm.dtype == np.float64


def test_the_public_name():
    assert bptt.flow is flow and callable(flow)


# ---- bad input


@pytest.mark.parametrize("bad, spelled", [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_values_that_are_not_finite(bad, spelled):
    x, h = np.zeros((3, 2, 4)), np.zeros((2, 4))
    with pytest.raises(Error, match=rf"parameter 'a' holds a value that isn't finite \({spelled}\). Grad"):
        measure(DECAY, {"a": bad}, {"x": x})
    h[1, 3] = bad
    with pytest.raises(Error, match=rf"initial state 'h' holds a value .* finite \({spelled} at \[1, 3\]"):
        measure(DECAY, {"a": 1}, {"x": x}, {"h": h})
    x[2, 0, 1] = x[2, 1, 1] = bad
    with pytest.raises(Error, match=rf"input 'x' holds 2 values .* finite \({spelled} at \[2, 0, 1\]"):
        measure(DECAY, {"a": 1}, {"x": x})


def test_a_sequence_that_is_far_longer_than_memory():
    x = np.broadcast_to(np.zeros(1), (10**13, 1, 4))
    with pytest.raises(Error, match="^input x of shape .* repeats its entries, and a copy of it needs"):
        measure(DECAY, {"a": 1}, {"x": x})


@pytest.mark.parametrize("given", [{}, {"steps": 3}, {"state": {"h": np.zeros((2, 4))}}])
def test_no_inputs_and_no_length(given):
    with pytest.raises(Error, match="nothing says how long to run: give steps and an initial state"):
        measure(NO_INPUT, {"a": 1}, {}, **given)


# ---- half-lives


LN2 = np.log(2)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([0, -LN2, -2 * LN2], 1),
        ([0, 0, -2 * LN2], 1.5),
        ([0, 3, 3 - LN2 / 2, 3 - LN2 * 3 / 2], 2.5),  # a lag counts from 0, the fall from the peak
        ([0, 5, 2, 9, 9 - 2 * LN2], 3.5),  # the fall before the peak doesn't count
        ([0, -2 * LN2, -LN2 / 9, -9], 0.5),  # the first fall counts
        ([0, -LN2 * 0.999, -LN2 * 0.999], np.inf),
        ([0, 1, 2], np.inf),
        ([0], np.inf),
        ([0, 0, -np.inf], 1),
        ([0, 1, np.inf], np.inf),
        ([-np.inf, -np.inf], np.nan),
        ([0, np.nan, -9], np.nan),
    ],
)
def test_half_life(values, expected):
    assert float(half_life(curve(values))) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_half_life_in_the_units_of_lag():
    assert float(half_life(curve([0, -LN2 / 2, -LN2 * 3 / 2], [0, 10, 30]))) == pytest.approx(20)


# ---- summaries


def study(rates, length=20):
    rates = xr.DataArray(rates, dims=("cell", "data", "seed"))
    return xr.Dataset({"log_norm": -rates * curve(range(length))}, attrs={"gain": 1.5})


def test_half_life_and_horizon_take_a_flow_as_it_is():
    found = xr.Dataset({"log_norm": curve([0, -1, -9]), "overflow": ((), 0)})
    assert half_life(found).equals(half_life(found.log_norm))
    assert memory_horizon(found).equals(memory_horizon(found.log_norm))


def test_a_summary():
    found = summarise(study([[[0.09, 0.1, 0.11]], [[0.5, 0.5, 0.5]]]))
    assert found["mean"].dims == ("cell", "data", "lag") and found.half_life.dims == ("cell", "data")
    lives = LN2 / np.array([0.09, 0.1, 0.11])
    middle = np.exp(np.log(lives).mean())
    assert found.half_life.values.ravel() == pytest.approx([middle, LN2 / 0.5])
    factor = np.exp(4.302652730 * np.log(lives).std(ddof=1) / np.sqrt(3))  # t of 97.5 % with 2 degrees of freedom
    assert found.half_life_low.values.ravel() == pytest.approx([middle / factor, LN2 / 0.5])
    assert found.half_life_high.values.ravel() == pytest.approx([middle * factor, LN2 / 0.5])
    assert found.attrs == {"gain": 1.5, "level": 0.95}
    assert found["low"].attrs["units"] == "natural log" and found.half_life_low.attrs["units"] == "steps"


@pytest.mark.parametrize(
    "rates, low, high",
    [
        ([0.1, 0.001, 0.2], LN2 / 0.2, np.inf),  # one seed outlasts the lags
        ([0, 0, -1], np.inf, np.inf),
        ([0.1], np.nan, np.nan),
        ([0.0], np.nan, np.nan),
        ([0.05, 0.5], LN2 / np.sqrt(0.025) / np.exp(12.706204736 * np.log(10) / 2), None),  # far from 0, but above it
    ],
)
def test_bounds_of_half_lives(rates, low, high):
    found = summarise(study([[rates]]))
    assert found.half_life_low.item() == pytest.approx(low, nan_ok=True)
    assert high is None or found.half_life_high.item() == pytest.approx(high, nan_ok=True)


def test_a_curve_that_reaches_zero_stays_visible_as_such():
    values = study([[[0.1, 0.1]]])
    values.log_norm[0, 0, 0, 5:] = -np.inf
    found = summarise(values)
    assert np.isneginf(found["mean"].values[0, 0, 5:]).all() and np.isnan(found["low"].values[0, 0, 5:]).all()


def test_seeds_that_overflow_are_left_out_of_a_summary():
    values = study([[[0.1, 0.2, 0.4]], [[0.1, 0.2, 0.4]]])
    values["overflow"] = ("cell", "data", "seed", "sample"), np.zeros((2, 1, 3, 2), int)
    values.overflow[0, 0, 1] = [7, 9]
    values.overflow[1, 0, 1] = [0, 9]
    values.log_norm[0, 0, 1, 6:] = np.inf
    found, kept, whole = (summarise(v) for v in (values, study([[[0.1, 0.4]]]), study([[[0.1, 0.2, 0.4]]])))
    for name in ("mean", "low", "half_life", "half_life_high"):
        assert found[name][0].values == pytest.approx(kept[name][0].values)
        assert found[name][1].values == pytest.approx(whole[name][0].values)
    assert found.overflowed.values.ravel().tolist() == [2, 1] and found.runs.values.ravel().tolist() == [6, 6]
    assert found.overflow_first.values.ravel().tolist() == [7, 9]


def test_a_level_outside_0_and_1():
    with pytest.raises(Error, match="level is 95"):
        summarise(study([[[0.1, 0.2]]]), level=95)
