"""Claims on cells whose verdict is certain, and rules on intervals of every kind."""

import math

import numpy as np
import pytest
import xarray as xr

import bptt
from bptt.analysis.claims.bench import Bench, functions_of, slope
from bptt.analysis.claims.certificate import Check, certify
from bptt.analysis.claims.claim import (
    FAILS,
    HOLDS,
    OPEN,
    PARTLY,
    UNMEASURED,
    Claim,
    Finding,
    Rule,
    exact,
    over_seeds,
    regime,
)
from bptt.analysis.claims.gates import longer_memory, uninterrupted_path
from bptt.analysis.claims.reach import early_layers, truncation
from bptt.analysis.claims.recurrence import blows_up, holds_longer, repeated_product
from bptt.analysis.claims.suite import measure_claims
from bptt.analysis.claims.training import clipping, matches
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


def test_another_process_finds_the_same():
    plan = {"truncation": {"cell": "rnn", "gains": [1.0], "windows": [2, 99]}}
    alone, shared = (measure_claims(BENCH, plan, bptt.load, workers=workers) for workers in (1, 2))
    assert [claim.name for claim in shared] == list(plan)
    for one, other in zip(alone, shared, strict=True):
        for mine, theirs in zip(one.findings, other.findings, strict=True):
            xr.testing.assert_identical(mine.measured, theirs.measured)


def test_progress_names_what_is_measured():
    said = []
    plan = {"blows_up": {"cell": "rnn", "beside": [], "gains": [1.0]}}
    measure_claims(BENCH, plan, bptt.load, lambda *now: said.append(now))
    assert said == [("blows_up", 0, 1), ("", 1, 1)]


def test_the_run_certifies_itself():
    cells = [LINEAR, bptt.parse("h: state[n]\nh = tanh(W @ h)", "alone"), bptt.load("lstm")]
    checks = certify(BENCH, [bptt.compile(cell) for cell in cells])
    assert all(check.holds for check in checks), checks
    assert not Check("transpose", "a", math.inf, 1.0).holds and not Check("transpose", "a", 2.0, 1.0).holds


def bent(name, change):
    """A kernel one of whose functions gives other numbers."""
    kernel = bptt.compile(bptt.parse(ACTIVATED.format("tanh"), "bent"))
    right = getattr(kernel, name.strip())
    setattr(kernel, name.strip(), lambda *args, **settings: change(right(*args, **settings)))
    return kernel


def larger(grads, factor):
    for part in (grads.states["h"], grads.state["h"]):
        part[...] = part * factor
    return grads


WRONG = {
    "backward": (lambda grads: larger(grads, 1.02), {"transpose", "floor"}),
    "backward ": (lambda grads: larger(grads, np.nan), {"transpose", "floor"}),
    "tangent": (lambda moved: {"h": moved["h"] * 1.0001}, {"transpose"}),
    "stretch": (lambda found: (found[0] * 1.0001, found[1]), {"volume", "trajectories"}),
    "jacobians": (lambda found: found.swapaxes(2, 3) * 1.0001, {"volume"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_passes_are_not_certified(name):
    change, failing = WRONG[name]
    assert {check.name for check in certify(BENCH, [bent(name, change)]) if check.holds is False} == failing


def test_checks_that_a_cell_has_no_part_in():
    relu = bptt.parse(ACTIVATED.format("relu"), "kinked")
    singular = bptt.parse("x: input[m]\nh: state[n]\nc: state[n]\nh = tanh(W @ c + U @ x)\nc = h * c", "singular")
    found = certify(BENCH, [bptt.compile(relu), bptt.compile(singular)])
    assert {(check.cell, check.name) for check in found} >= {("kinked", "floor"), ("singular", "trajectories")}
    assert not {(check.cell, check.name) for check in found} & {("kinked", "trajectories"), ("singular", "volume")}


def test_a_run_that_overflows_is_not_certified():
    grows = bptt.parse("h: state[n]\nh = h * h * h * 9", "grows")
    found = certify(BENCH, [bptt.compile(grows)])
    assert found and all(check.holds is None for check in found)


def test_what_overflows_is_not_measured_and_all_else_is():
    text = "x: input[m]\nh: state[n]\nf = sigmoid(V @ h + b)\nh = f * h + {}(W @ h + U @ x)"
    grows, calm = (bptt.parse(text.format(f), f) for f in ("exp", "tanh"))
    for claim in (
        longer_memory(BENCH, [calm, grows], [1.0]),
        uninterrupted_path(BENCH, [calm, grows], [1.0]),
        holds_longer(BENCH, grows, calm, [1.0], [0.0]),
        truncation(BENCH, grows, [0.01, 1.0], [1]),
        early_layers(BENCH, [grows], [2]),
    ):
        verdicts = claim.findings[0].verdicts
        assert (
            verdicts.isel({verdicts.dims[-1 if claim.name == "truncation" else 0]: -1}).values.ravel()[0] == UNMEASURED
        )
        if verdicts.size > 1:
            assert verdicts.values.ravel()[0] != UNMEASURED and claim.verdict != HOLDS
        else:
            assert claim.verdict == UNMEASURED


def test_a_claim_that_cannot_be_measured_says_why():
    two = bptt.parse("x: input[m]\nu: input[m]\nh: state[n]\nh = tanh(W @ h + U @ x + V @ u)", "two")
    plan: dict[str, dict] = {"early_layers": {"cells": ["two"], "layers": [2]}}
    plan["blows_up"] = {"cell": "two", "beside": [], "gains": [1.0]}
    first, second = measure_claims(BENCH, plan, lambda name: two)
    assert "two can't be stacked" in first.missing and first.verdict == UNMEASURED and second.verdict == FAILS


CONSTANT = bptt.parse(
    "x: input[m]\nc: state[n]\nf = sigmoid(b)\nc = f * c + U @ x", "constant"
)  # nothing but its direct path, and a gate that sees nothing but its bias


def test_a_direct_path_falls_as_its_gate_says():
    claim = uninterrupted_path(BENCH, [CONSTANT, LINEAR], [0.0, 5.0, 8.0])
    growth, share = claim.findings
    expected = [-math.log(2), -math.log1p(math.exp(-5)), -math.log1p(math.exp(-8))]
    assert growth.measured.value.sel(cell="constant").values == pytest.approx(expected, rel=1e-9)
    assert claim.curves is not None and claim.curves.theory.values == pytest.approx(expected, rel=1e-12)
    assert share.measured.value.values == pytest.approx(1.0, rel=1e-12)
    assert growth.verdicts.values.tolist() == [[FAILS, HOLDS, HOLDS]]  # a half over 40 steps: at bias 4.06


def test_a_gate_that_opens_lengthens_memory_and_one_that_closes_shortens_it():
    claim = longer_memory(BENCH, [CONSTANT, LINEAR], [-2.0, 2.0])
    assert claim.findings[0].verdicts.values.tolist() == [[FAILS, HOLDS]]
    assert claim.settings["cells"] == ["constant"]


def test_truncation_of_a_number_has_the_bias_of_its_formula():
    cell = bptt.parse("x: input[m]\nh: state[n]\nh = 0.5 * h + U @ x + 0 * b * h", "half")
    claim = truncation(BENCH, cell, [1.0], [1, 2, 4, 30, 99])
    lost, memory = claim.findings
    assert lost.measured.window.values.tolist() == [1, 2, 4, 30]  # no longer than a sequence
    value = lost.measured.value.values[:, 0]
    assert value[0] > value[1] > value[2] > 1e-3 > 1e-6 > value[3]
    assert [str(v) for v in lost.verdicts.values[[0, 3], 0]] == [HOLDS, FAILS]
    np.testing.assert_allclose(memory.measured.value, np.array([1, 2, 4, 30]) / 40)


def test_layers_that_halve_a_gradient_starve_those_below_and_others_do_not():
    def layer(name, scale):
        return bptt.parse(f"x: input[m]\nh: state[n]\nh = {scale} * (U @ x) + 0.01 * h", name)

    claim = early_layers(BENCH, [layer("thin", 0.01), layer("thick", 100)], [2, 3])
    assert claim.findings[0].verdicts.values.tolist() == [[HOLDS, HOLDS], [FAILS, FAILS]]


SHORT = Bench(hidden=4, steps=12, batch=2, seeds=2)


def test_a_cell_matches_itself_and_not_with_fewer_parameters():
    small = bptt.parse("x: input[m]\nh: state[n]\nh = tanh(U @ x + b)", "small")
    large = bptt.parse("x: input[m]\nh: state[n]\nh = tanh(U @ x + W @ x + b)", "large")
    claim = matches(SHORT, small, large, [2, 4], margin=0.05, rate=0.01, limit=1.0)
    behind, parameters, time = claim.findings
    assert behind.measured.value.dims == ("updates",)
    assert float(parameters.measured.value) == pytest.approx((16 + 4) / (16 + 4 + 16))
    assert parameters.verdicts.item() == HOLDS and float(time.measured.value) > 0


def test_training_that_breaks_off_is_saved_by_clipping():
    cell = bptt.parse("x: input[m]\nh: state[n]\nh = (W @ h) * (W @ h) + U @ x", "squared")
    claim = clipping(SHORT, cell, [0.5], [1e6], limit=1e-9, updates=4)
    saved, growth = claim.findings
    assert saved.measured.value.item() == math.inf and saved.verdicts.item() == HOLDS
    assert growth.measured.value.dims == ("rate", "gain")
    claim = clipping(SHORT, LINEAR, [0.5], [1e-3], limit=1e9, updates=2)
    assert claim.findings[0].verdicts.item() == FAILS  # nothing is clipped, and nothing saved
