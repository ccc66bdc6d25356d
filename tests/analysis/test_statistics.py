import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter

from bptt.analysis import block_interval, block_length, block_means, log_interval, t_interval
from bptt.analysis.singular_values import effective_ranks
from bptt.analysis.statistics import interval
from bptt.derive import Error

EXPERIMENTS = 20_000  # the standard error of a coverage of 95 % is 0.15 %

DISTRIBUTIONS = {
    "gaussian": (lambda rng, size: rng.normal(3, 2, size), 3),
    "mildly skewed": (lambda rng, size: rng.gamma(8, 1, size), 8),  # skewness 0.7
}


def bounds(samples, **options):
    found = t_interval(xr.DataArray(samples, dims="seed"), "seed", **options)
    return [float(found[name]) for name in ("low", "mean", "high")]


@pytest.mark.parametrize("count", [5, 20])
@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_it_covers_what_it_says(kind, count):
    draw, mean = DISTRIBUTIONS[kind]
    samples = xr.DataArray(draw(np.random.default_rng(0), (EXPERIMENTS, count)), dims=("experiment", "seed"))
    found = t_interval(samples, "seed", level=0.95)
    covered = float(((found.low <= mean) & (mean <= found.high)).mean())
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("level", [0.5, 0.8, 0.99])
def test_other_levels(level):
    samples = xr.DataArray(np.random.default_rng(1).normal(size=(EXPERIMENTS, 4)), dims=("experiment", "seed"))
    found = t_interval(samples, "seed", level)
    covered = float(((found.low <= 0) & (found.high >= 0)).mean())
    assert covered == pytest.approx(level, abs=5 * np.sqrt(level * (1 - level) / EXPERIMENTS))


def test_against_tables():
    # t of 97.5 % with 4 degrees of freedom is 2.776445; the samples have deviation sqrt(2.5)
    half = 2.776445105 * np.sqrt(2.5 / 5)
    assert bounds([1, 2, 3, 4, 5]) == pytest.approx([3 - half, 3, 3 + half], rel=1e-9)


def test_other_dimensions_and_coordinates_stay():
    samples = xr.DataArray(np.ones((2, 3, 4)), {"lag": range(4)}, ("cell", "seed", "lag"))
    found = t_interval(samples, "seed")
    assert found["low"].dims == ("cell", "lag") and found.lag.size == 4


def test_equal_samples_have_no_width():
    assert bounds([2.0, 2.0, 2.0]) == [2, 2, 2]


def test_one_sample_says_nothing_about_the_spread():
    assert bounds([2.0]) == pytest.approx([np.nan, 2, np.nan], nan_ok=True)


def test_samples_whose_sum_overflows_have_no_interval():
    found = t_interval(xr.DataArray([1.7e308] * 3, dims="seed"), "seed")
    assert np.isposinf(found["mean"]) and np.isnan(found.low)


@pytest.mark.parametrize("odd", [-np.inf, np.inf, np.nan])
def test_what_is_not_finite_is_not_skipped(odd):
    assert bounds([1.0, odd, 2.0]) == pytest.approx([np.nan, odd, np.nan], nan_ok=True)


@pytest.mark.parametrize("level", [0, 1, -1, 95, np.nan])
def test_a_level_outside_0_and_1(level):
    with pytest.raises(Error, match="level is .*: it must lie between 0 and 1"):
        bounds([1.0, 2.0], level=level)


def test_an_unknown_dimension():
    with pytest.raises(Error, match="no dimension 'sead'. Dimensions: seed"):
        t_interval(xr.DataArray([1.0], dims="seed"), "sead")


def test_no_sample():
    with pytest.raises(Error, match="no sample along 'seed'"):
        bounds([])


# ---- along one run


def autoregressive(factor, runs, steps, seed=0):
    """Each sample is the factor times the one before, and fresh noise; stationary from the first."""
    noise = np.random.default_rng(seed).standard_normal((runs, steps + 400))
    values = lfilter([1], [1, -factor], noise, axis=1)[:, 400:]
    return xr.DataArray(values, dims=("run", "step"))


def covers(samples):
    found = block_interval(samples, "step")
    return float(((found.low <= 0) & (found.high >= 0)).mean())


@pytest.mark.parametrize("factor, steps", [(0.0, 1000), (0.5, 1000), (0.8, 1000), (0.8, 4000)])
def test_blocks_cover_what_they_say(factor, steps):
    assert 0.93 <= covers(autoregressive(factor, 2000, steps)) <= 0.97


def test_single_samples_would_not():
    """The mutant: blocks of one sample, as if neighbours were independent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bptt.analysis.statistics._lengths", lambda runs: np.ones(runs.shape[:-1], int))
        assert covers(autoregressive(0.5, 1000, 1000)) < 0.8


def test_the_closed_form_is_the_limit_of_many_draws():
    run = autoregressive(0.7, 1, 400)[0]
    found = block_interval(run, "step")
    length = int(found.block_length)
    drawn = block_means(run, "step", length, 20_000, seed=0)
    # draws are of whole blocks, and their spread falls short by one block in n / b, as that of samples by one in n
    whole, blocks = np.ceil(400 / length), 400 / length
    assert float(drawn.std()) == pytest.approx(
        float(found.error) * np.sqrt((1 - 1 / blocks) * blocks / whole), rel=0.02
    )
    assert float(drawn.mean()) == pytest.approx(float(run.mean()), abs=4 * float(found.error) / np.sqrt(20_000))


def test_independent_samples_have_the_error_of_the_textbook():
    run = autoregressive(0.0, 200, 2000)
    found = block_interval(run, "step")
    expected = run.std("step", ddof=1) / np.sqrt(2000)
    assert float((found.error / expected).mean()) == pytest.approx(1, abs=0.02)
    assert int(block_length(run, "step").median()) <= 6


def test_longer_memory_takes_longer_blocks():
    lengths = [float(block_length(autoregressive(factor, 200, 2000), "step").median()) for factor in (0, 0.5, 0.9)]
    assert lengths[0] < lengths[1] / 3 < lengths[2] / 6


def test_draws_keep_dimensions_together_and_repeat():
    run = autoregressive(0.5, 3, 100).assign_coords(run=[4, 5, 6])
    run[1] = -run[0]
    drawn, again, other = (block_means(run, "step", 7, 50, seed) for seed in (1, 1, 2))
    assert drawn.identical(again) and not drawn.equals(other) and drawn.dims == ("draw", "run")
    assert drawn[:, 1].values == pytest.approx(-drawn[:, 0].values, abs=1e-14)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_run_that_is_not_finite_has_no_bounds_and_leaves_others_alone(odd):
    run = autoregressive(0.5, 2, 100)
    alone = block_interval(run[1:], "step")
    run[0, 50] = odd
    found = block_interval(run, "step")
    assert float(found["mean"][0]) == pytest.approx(odd, nan_ok=True)
    assert np.isnan(found.error[0]) and np.isnan(found.low[0])
    xr.testing.assert_equal(found.isel(run=[1]), alone)


def test_a_constant_run_has_no_width():
    found = block_interval(xr.DataArray(np.full(50, 2.5), dims="step"), "step")
    assert [float(found[name]) for name in ("low", "mean", "high", "error")] == [2.5, 2.5, 2.5, 0]


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 9, 30])
def test_short_runs(steps):
    found = block_interval(xr.DataArray(np.arange(float(steps)), dims="step"), "step")
    assert np.isfinite(found.error) == (steps >= 8) and np.isfinite(found["mean"])
    assert 1 <= found.block_length <= max(1, steps / 4)


def test_the_geometric_mean_and_its_interval():
    """Of what spreads by factors: covered as promised, never below 0, and the same whatever the unit."""
    logs = np.random.default_rng(0).normal(1, 2, (EXPERIMENTS, 3))
    found = log_interval(xr.DataArray(np.exp(logs), dims=("experiment", "seed")), "seed")
    covered = float(((found.low <= np.e) & (np.e <= found.high)).mean())
    assert 0.93 <= covered <= 0.97 and (found.low > 0).all()
    again = log_interval(60 * xr.DataArray(np.exp(logs[:5]), dims=("experiment", "seed")), "seed")
    assert again.high.values == pytest.approx(60 * found.high[:5].values)


def ranks_of_products(units, steps):
    """Effective ranks of products of Gaussian matrices: from nearly all directions to a single one."""
    rng = np.random.default_rng(0)
    product = np.eye(units)
    for _ in range(steps):
        product = product @ rng.standard_normal((EXPERIMENTS, units, units))
        product /= np.linalg.norm(product, axis=(1, 2), keepdims=True)
    return effective_ranks(np.log(np.linalg.svd(product, compute_uv=False)))


@pytest.mark.parametrize("units, steps", [(4, 1), (4, 4), (4, 16), (8, 2), (8, 8)])
def test_effective_ranks_are_covered_and_stay_between_1_and_n(units, steps):
    """Their plain t-intervals, and those of their logs, mostly reach below 1, where one direction wins."""
    for ranks in ranks_of_products(units, steps):
        odds = np.log((ranks - 1) / (units - ranks)).mean()
        expected = 1 + (units - 1) / (1 + np.exp(-odds))
        samples = xr.DataArray(ranks.reshape(-1, 5), dims=("experiment", "seed"))
        found = interval(samples.assign_attrs(valid_min=1, valid_max=units), "seed")
        covered = float(((found.low <= expected) & (expected <= found.high)).mean())
        assert 0.93 <= covered <= 0.97
        assert (found.low >= 1).all() and (found.high <= units).all() and (found.low < found.high).all()
        if steps >= 16:
            assert (t_interval(samples, "seed").low < 1).mean() > 0.5


def test_log_odds_of_a_correlation_are_fishers_z():
    samples = xr.DataArray([-0.5, 0.1, 0.9], dims="seed", attrs={"valid_min": -1, "valid_max": 1})
    found, z = interval(samples, "seed"), t_interval(xr.apply_ufunc(np.arctanh, samples), "seed")
    assert [float(found[name]) for name in found] == pytest.approx([float(np.tanh(z[name])) for name in found])


def test_samples_on_their_bounds_are_cut_there():
    samples = xr.DataArray([[1.0, 1.5, 7.9], [1, 1, 1], [8, 8, 8], [0, 0, 2]], dims=("kind", "seed"))
    found = log_interval(samples, "seed", least=1, most=8)
    assert found["mean"].values == pytest.approx(samples.mean("seed"))
    assert found.low.values.tolist() == [1, 1, 8, 0] and found.high.values[:3].tolist() == [8, 1, 8]


def test_a_zero_has_no_log():
    samples = xr.DataArray([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]], dims=("kind", "seed"))
    found = log_interval(samples, "seed")
    assert found["mean"].values.tolist() == [1, 1] and found.low.values.tolist() == [0, 1]
    assert float(found.high[0]) == pytest.approx(1 + 4.302652730 / np.sqrt(3))
