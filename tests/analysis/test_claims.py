"""Claims on cells whose verdict is certain, and rules on intervals of every kind."""

import math

import numpy as np
import pytest
import xarray as xr

import bptt
from bptt.analysis.claims.bench import Bench, functions_of, slope
from bptt.analysis.claims.certificate import Check, certify
from bptt.analysis.claims.claim import FAILS, HOLDS, OPEN, PARTLY, Claim, Finding, Rule, exact, over_seeds, regime
from bptt.analysis.claims.recurrence import blows_up, holds_longer, repeated_product
from bptt.analysis.claims.suite import measure_claims
from bptt.derive.errors import Error

BENCH = Bench(hidden=8, steps=40, batch=2, seeds=4)
LINEAR = bptt.parse("x: input[m]\nh: state[n]\nh = W @ h + U @ x", "linear")
KEPT = bptt.parse("x: input[m]\nh: state[n]\nh = h + U @ x", "kept")
SQUARED = bptt.parse("x: input[m]\nh: state[n]\nh = (W @ h) * (W @ h) + 3 + U @ x", "squared")
ACTIVATED = "x: input[m]\nh: state[n]\nh = {}(W @ h + U @ x + b)"


def made(value, low, high):
    return xr.Dataset({"value": value, "low": low, "high": high})


@pytest.mark.parametrize(
    ("rule", "low", "high", "verdict"),
    [
        (Rule(least=0), 1, 2, HOLDS),
        (Rule(least=0), -1, 2, OPEN),
        (Rule(least=0), -1, 0, FAILS),
        (Rule(least=0), 0, 0, FAILS),
        (Rule(least=0), 1, math.inf, HOLDS),
        (Rule(least=0), -math.inf, -math.inf, FAILS),
        (Rule(most=1), -math.inf, 0, HOLDS),
        (Rule(most=1), 1, 1, FAILS),
        (Rule(-1, 1), -0.5, 0.5, HOLDS),
        (Rule(-1, 1), 0.5, 1.5, OPEN),
        (Rule(-1, 1), 1.5, 2, FAILS),
        (Rule(-1, 1, outside=True), 1.5, 2, HOLDS),
        (Rule(-1, 1, outside=True), -math.inf, -2, HOLDS),
        (Rule(-1, 1, outside=True), -0.5, 0.5, FAILS),
        (Rule(-1, 1, outside=True), -2, 0, OPEN),
        (Rule(), math.nan, math.nan, OPEN),
    ],
)
def test_rules(rule, low, high, verdict):
    assert rule.verdict(low, high) == verdict


def test_a_claim_holds_where_all_its_findings_do():
    up, down = (Finding("a", made(v, v - 0.1, v + 0.1), Rule(least=0)) for v in (1.0, -1.0))
    unknown = Finding("a", made(0.0, -0.1, 0.1), Rule(least=0))
    for findings, verdict in [
        ((up, up), HOLDS), ((down,), FAILS), ((up, down), PARTLY), ((up, unknown), PARTLY), ((unknown,), OPEN),
        ((down, unknown), FAILS),
    ]:  # fmt: skip
        assert Claim("c", findings).verdict == verdict


def test_regime_names_points():
    grid = xr.DataArray([[1.0, -1.0], [-1.0, -1.0]], {"gain": [0.5, 2.0], "cell": ["a", "b"]}, ("gain", "cell"))
    finding = Finding("a", exact(grid), Rule(least=0))
    assert regime(finding, HOLDS) == [{"gain": 0.5, "cell": "a"}]
    assert len(regime(finding, FAILS)) == 3
    with pytest.raises(Error, match="without coordinates"):
        regime(Finding("a", exact(xr.DataArray([1.0], dims="gain")), Rule()), HOLDS)


def test_seeds_that_are_not_finite_give_the_median_and_the_range():
    samples = xr.DataArray([[1.0, 2.0, 3.0], [-np.inf, -np.inf, 5.0], [np.nan, 1.0, 2.0]], dims=("cell", "seed"))
    found = over_seeds(samples)
    assert found.value.values[:2].tolist() == [2.0, -np.inf]
    assert found.low.values[1] == -np.inf and found.high.values[1] == 5.0
    assert np.isnan(found.value[2]) and np.isnan(found.low[2])


def test_the_gradient_of_a_linear_cell_follows_its_matrix():
    claim = repeated_product(BENCH, [LINEAR], [0.5, 2.0], ["gaussian"])
    assert claim.verdict == HOLDS
    low, high = claim.findings[0].measured.value.values.ravel()
    assert high - low == pytest.approx(2 * math.log(2), rel=1e-9)  # the same matrices, four times as large


def test_a_claim_that_must_fail_fails():
    assert repeated_product(BENCH, [KEPT], [1.0], ["gaussian"]).verdict == FAILS
    assert blows_up(BENCH, LINEAR, [], [0.5]).verdict == FAILS
    tanh, slow = (bptt.parse(ACTIVATED.format(text), text.partition("(")[0]) for text in ("tanh", "0.1 * sin"))
    assert holds_longer(BENCH, tanh, slow, [0.5], [0.0]).verdict == HOLDS
    assert holds_longer(BENCH, slow, tanh, [0.5], [0.0]).verdict == FAILS


def test_a_run_that_explodes_is_infinite_and_said_to_blow_up():
    claim = blows_up(BENCH, SQUARED, [], [4.0])
    assert claim.findings[0].measured.value.values.tolist() == [math.inf]
    assert claim.verdict == HOLDS


def test_slope_leaves_the_first_lags_out():
    lag = np.arange(21)
    curve = xr.DataArray(np.where(lag < 10, -5.0 * lag, -50 + 0.25 * (lag - 10)), {"lag": lag})
    assert float(slope(curve)) == pytest.approx(0.25)
    gone = curve.where(lag < 5, -np.inf)
    assert float(slope(gone)) == -math.inf


def test_biases_are_found_by_structure():
    cell = bptt.parse("x: input[m]\nh: state[n]\nh = tanh(W @ h + U @ x + a) * s")
    kernel = bptt.compile(cell)
    changed = BENCH.params(kernel, 0, all_biases=2.0)
    assert set(changed["a"].tolist()) == {2.0}
    assert not np.any(changed["s"] == 2.0) and not np.any(changed["W"] == 2.0)
    assert functions_of(cell) == ["tanh"]


def test_the_plan_is_checked():
    plans: list[tuple[dict, str]] = [
        ({"repeated": {}}, "no claim is called 'repeated'"),
        ({"blows_up": {"gain": 1}}, "'blows_up' has no setting 'gain'"),
        ({"blows_up": {"cell": "rnn"}}, "'blows_up' lacks its setting 'beside'"),
        ({"blows_up": {"cell": "rn", "beside": [], "gains": [1.0]}}, "'rn'"),
    ]
    for plan, message in plans:
        with pytest.raises(Error, match=message):
            measure_claims(BENCH, plan, bptt.load)


def test_progress_names_what_is_measured():
    said = []
    plan = {"blows_up": {"cell": "rnn", "beside": [], "gains": [1.0]}}
    measure_claims(BENCH, plan, bptt.load, lambda *now: said.append(now))
    assert said == [("blows_up", 0, 1), ("", 1, 1)]


def test_the_run_certifies_itself():
    cells = [LINEAR, KEPT, bptt.parse("h: state[n]\nh = tanh(W @ h)", "alone"), bptt.load("lstm")]
    checks = certify(BENCH, [bptt.compile(cell) for cell in cells])
    assert all(check.holds for check in checks), checks
    assert not Check("transpose", "a", math.nan, 1.0).holds and not Check("transpose", "a", 2.0, 1.0).holds


def test_a_wrong_backward_pass_is_not_certified(monkeypatch):
    kernel = bptt.compile(LINEAR)
    right = kernel.backward

    def wrong(run, cotangents):
        found = right(run, cotangents)
        found.state["h"][:, 0] *= 1.0001
        return found

    monkeypatch.setattr(kernel, "backward", wrong)
    assert not any(check.holds for check in certify(BENCH, [kernel]) if check.name == "transpose")
