import numpy as np
import pytest
import xarray as xr

from bptt.analysis import t_interval
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
