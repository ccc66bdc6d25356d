"""Singular spectra of long products against mpmath, and where plain float64 fails."""

import mpmath
import numpy as np
import pytest
import xarray as xr

from bptt import kernels
from bptt.analysis import effective_ranks
from bptt.analysis import measure_spectrum as spectrum
from bptt.derive import Error, load, parse

STEPS = 200


def exactly(jacobians):
    """Return the logs of the singular values of the product of matrices, the first one rightmost, by mpmath."""
    size = len(jacobians[0])
    with mpmath.workdps(700):
        product = mpmath.eye(size)
        for jacobian in jacobians:
            product = mpmath.matrix(jacobian.tolist()) * product
        squares = mpmath.eigsy(product * product.T, eigvals_only=True)
        return np.array(sorted((float(mpmath.log(square) / 2) for square in squares), reverse=True))


@pytest.fixture(scope="module")
def example():
    kernel = kernels.compile(load("gru"))
    params = kernel.init({"m": 3, "n": 12}, seed=1)
    x = np.random.default_rng(0).standard_normal((STEPS, 2, 3))
    return kernel, params, {"x": x}, kernel.jacobians(kernel.forward(params, {"x": x}))


@pytest.mark.parametrize("lag", [1, 30, STEPS])
def test_every_singular_value_is_right_where_multiplying_out_is_not(example, lag):
    kernel, params, inputs, jacobians = example
    expected = exactly(jacobians[STEPS - lag :, 1])
    found = spectrum(kernel, params, inputs, lags=[lag]).log_singular[1, 0].values
    assert found == pytest.approx(expected, abs=1e-11)
    naive = np.eye(12)
    for jacobian in jacobians[STEPS - lag :, 1]:
        naive = jacobian @ naive
    error = abs(np.log(np.linalg.svd(naive, compute_uv=False)) - expected)
    assert (error.max() > 1) == (lag == STEPS) and (lag < STEPS or (error[9:] > 1).all())


def test_each_lag_belongs_to_its_steps():
    """Factors differ from step to step: lag k is the product of the last k, whatever their order of size."""
    factors = np.random.default_rng(0).uniform(0.2, 1.5, (300, 2, 3))
    kernel = kernels.compile(parse("x: input[n]\nh: state[n]\nh = x * h"))
    found = spectrum(kernel, {}, {"x": factors}, {"h": np.ones((2, 3))}, lags=range(301))
    logs = np.concatenate([np.zeros((1, 2, 3)), np.cumsum(np.log(factors[::-1]), axis=0)]).swapaxes(0, 1)
    assert found.log_singular.values == pytest.approx(-np.sort(-logs, axis=2), abs=1e-9)
    assert found.lag.values.tolist() == list(range(301))


def test_a_product_that_is_not_normal_is_taken_in_its_order(example):
    kernel, params, inputs, jacobians = example
    found = spectrum(kernel, params, inputs, lags=[4]).log_singular[:, 0].values
    for b in range(2):
        a4, a3, a2, a1 = jacobians[:-5:-1, b]
        right, wrong = (np.log(np.linalg.svd(p, compute_uv=False)) for p in (a4 @ a3 @ a2 @ a1, a1 @ a2 @ a3 @ a4))
        transposed = np.log(np.linalg.svd(a4.T @ a3.T @ a2.T @ a1.T, compute_uv=False))
        assert found[b] == pytest.approx(right, abs=1e-12)
        assert abs(wrong - right).max() > 0.01 and abs(transposed - right).max() > 0.01


def test_the_seed_of_the_first_directions_and_pieces_change_nothing(example, monkeypatch):
    kernel, params, inputs, _ = example
    first, again, other = (spectrum(kernel, params, inputs, lags=[0, 7, 150], seed=seed) for seed in (0, 0, 1))
    assert first.identical(again)
    xr.testing.assert_allclose(first, other.assign_attrs(first.attrs), rtol=1e-11)
    monkeypatch.setattr("bptt.analysis.course.ENTRIES", 1)
    monkeypatch.setattr("bptt.analysis.singular_values.ENTRIES", 1)
    xr.testing.assert_allclose(spectrum(kernel, params, inputs, lags=[0, 7, 150]), first, rtol=1e-11)


def test_a_rank_that_is_lost_stays_lost():
    kernel = kernels.compile(parse("x: input[n, n]\nh: state[n]\nh = x @ h"))
    x = np.random.default_rng(0).standard_normal((6, 1, 4, 4))
    x[3, 0, 2] = 0
    found = spectrum(kernel, {}, {"x": x}, {"h": np.ones((1, 4))}, lags=range(7))
    assert np.isneginf(found.log_singular.values[0]).sum(axis=1).tolist() == [0, 0, 0, 1, 1, 1, 1]
    shown = np.linalg.multi_dot(x[::-1, 0])
    expected = np.log(np.linalg.svd(shown, compute_uv=False)[:3])
    assert found.log_singular.values[0, 6, :3] == pytest.approx(expected, abs=1e-10)


def test_states_that_overflow():
    kernel = kernels.compile(parse("x: input[n]\nh: state[n]\nh = x * h + 1"))
    found = spectrum(kernel, {}, {"x": np.full((5, 2, 3), 1) * [[[1e200], [0.5]]]}, lags=[0, 1, 5])
    assert found.overflow.values.tolist() == [3, 0]
    assert found.log_singular.values[0, 1:].tolist() == [[np.inf] * 3] * 2
    assert found.entropy_rank.values[0, 1:].tolist() == [np.inf] * 2
    assert found.log_singular.values[1, 2] == pytest.approx(5 * np.log(0.5))


def test_lags_that_are_chosen(example):
    kernel, params, inputs, _ = example
    lags = spectrum(kernel, params, inputs).lag.values
    assert lags[0] == 0 and lags[1] == 1 and lags[-1] == STEPS and len(lags) <= 41 and (np.diff(lags) > 0).all()
    assert spectrum(kernel, params, inputs, lags=[9, 2, 9]).lag.values.tolist() == [2, 9]


@pytest.mark.parametrize("lag", [-1, STEPS + 1, 2.5])
def test_lags_that_are_not_there(example, lag):
    kernel, params, inputs, _ = example
    with pytest.raises(Error, match=f"a lag of {lag} was asked for: give whole numbers from 0 to 200"):
        spectrum(kernel, params, inputs, lags=[1, lag])
    with pytest.raises(Error, match="no lag was asked for"):
        spectrum(kernel, params, inputs, lags=[])


def test_the_dataset_says_what_it_is(example):
    found = spectrum(*example[:3], lags=[1])
    assert all(variable.attrs["long_name"] and variable.attrs["units"] for variable in found.values())
    assert "Jacobi" in found.attrs["method"]


@pytest.mark.parametrize(
    "values, entropy, participation",
    [
        ([1, 1, 1, 1], 4, 4),
        ([1, 0, 0], 1, 1),
        ([2, 2, 0, 0], 2, 2),
        ([3, 1], np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))), 100 / 82),
        ([0, 0], 0, 0),
        ([np.inf, 1], np.inf, np.inf),
    ],
)
def test_effective_ranks(values, entropy, participation):
    with np.errstate(divide="ignore"):
        found = effective_ranks(np.log(np.array(values, float)) - 2000)
    assert [float(value) for value in found] == pytest.approx([entropy, participation])
