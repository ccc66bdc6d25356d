import re
from typing import Any

import numpy as np
import pytest
import xarray as xr

from bptt import kernels
from bptt.analysis import flow, flow_study, one_hot, summarise, text, windows
from bptt.analysis.inputs import draw_inputs, draw_state, plan_feed
from bptt.derive import Error, load, parse
from tests.analysis.conftest import PlainKernel

PLAIN = parse("x: input[m]\nh: state[n]\nh = tanh(W @ x + U @ h + b)", "plain")
TWO_INPUTS = parse("u: input[n]\nx: input[m]\nh: state[n]\nh = tanh(W @ x + sigmoid(u) * h)", "two")
INDEX = parse("w: index[k]\nh: state[n]\nh = tanh(E[w] + U @ h)", "index")
ALONE = parse("h: state[n]\nh = tanh(U @ h)", "alone")
SMALL: dict[str, Any] = {"hidden": 3, "steps": 5, "batch": 2, "seeds": 2}


@pytest.fixture
def plain_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "compile", PlainKernel, raising=False)


def test_what_comes_out(plain_kernels):
    found = flow_study([PLAIN, TWO_INPUTS, ALONE], **SMALL, gain=1.5)
    vocabulary = len(text().vocabulary)
    assert found.log_norm.dims == ("cell", "data", "seed", "lag") and found.log_norm.shape == (3, 2, 2, 6)
    assert found.cell.values.tolist() == ["plain", "two", "alone"]
    assert found.reads.values.tolist() == ["x", "x", ""]
    assert found.data.values.tolist() == ["text", "shuffled"] and found.seed.values.tolist() == [0, 1]
    assert found.lag.values.tolist() == [0, 1, 2, 3, 4, 5]
    expected = {"steps": 5, "batch": 2, "gain": 1.5, "vocabulary": vocabulary, "text_length": len(text())}
    assert expected.items() <= found.attrs.items()
    assert found.attrs["sizes"]["plain"] == {"m": vocabulary, "n": 3}
    assert found.attrs["sizes"]["alone"] == {"n": 3}
    assert found.attrs["text"].startswith("pydoc_data.topics")
    assert found.log_norm.attrs["units"] == "natural log" and "mean over the batch" in found.attrs["method"]


def test_logs_are_averaged_over_the_batch(plain_kernels):
    found = flow_study([PLAIN], **SMALL, data=("text",), gain=2.0)
    chars = text()
    for seed in (0, 1):
        kernel = PlainKernel(PLAIN)
        params = kernel.init({"m": len(chars.vocabulary), "n": 3}, seed=seed, gain=2.0)
        x = one_hot(windows(chars, 5, 2, seed), len(chars.vocabulary))
        expected = flow(kernel, params, {"x": x}, seed=seed).log_norm.mean("sample")
        assert np.array_equal(found.log_norm[0, 0, seed], expected)


def test_an_index_is_an_input_too():
    found = flow_study([INDEX], **SMALL)
    assert found.reads.values.tolist() == ["w"] and np.isfinite(found.log_norm).all()
    assert (found.log_norm.sel(data="text") != found.log_norm.sel(data="shuffled")).any()


def test_other_inputs_are_noise_and_cells_without_any_start_at_random(plain_kernels):
    found = flow_study([TWO_INPUTS, ALONE], **SMALL)
    chars = text()
    feed = plan_feed(TWO_INPUTS, len(chars.vocabulary), {}, 3)
    params = PlainKernel(TWO_INPUTS).init(feed.sizes, seed=1)
    inputs = draw_inputs(feed, windows(chars, 5, 2, 1), 1)
    expected = flow(PlainKernel(TWO_INPUTS), params, inputs, seed=1).log_norm.mean("sample")
    assert np.array_equal(found.log_norm.sel(cell="two", data="text", seed=1), expected)
    feed = plan_feed(ALONE, len(chars.vocabulary), {}, 3)
    params, state = PlainKernel(ALONE).init(feed.sizes, seed=1), draw_state(feed, 2, 1)
    expected = flow(PlainKernel(ALONE), params, {}, state, steps=5, seed=1).log_norm.mean("sample")
    for kind in ("text", "shuffled"):  # it reads neither
        assert np.array_equal(found.log_norm.sel(cell="alone", data=kind, seed=1), expected)


def test_where_no_cell_reads_the_text_there_is_one_kind_of_data(plain_kernels):
    driven = parse("x: input\nh: state[n]\nh = tanh(U @ h + w * x)", "driven")
    study = flow_study([ALONE, driven], **SMALL)
    assert study.data.values.tolist() == ["noise"] and "text" not in study.attrs
    beside = flow_study([ALONE, driven, PLAIN], **SMALL).sel(cell=["alone", "driven"])
    assert beside.data.values.tolist() == ["text", "shuffled"]
    for kind in beside.data.values:
        np.testing.assert_array_equal(beside.log_norm.sel(data=kind), study.log_norm.sel(data="noise"))


def test_the_same_call_gives_the_same_bits(plain_kernels):
    first, again = (flow_study([PLAIN, TWO_INPUTS], **SMALL) for _ in range(2))
    xr.testing.assert_identical(first, again)


def test_a_number_depends_on_its_own_cell_data_and_seed_alone(plain_kernels):
    whole = flow_study([PLAIN, TWO_INPUTS], **SMALL)
    part = flow_study([TWO_INPUTS], **{**SMALL, "seeds": 1}, data=["shuffled"])
    assert part.log_norm.equals(whole.log_norm.sel(cell=["two"], data=["shuffled"], seed=[0]))


def test_seeds_and_kinds_of_data_differ(plain_kernels):
    ends = flow_study([PLAIN], **SMALL).log_norm[..., -1].values.ravel()
    assert len(set(ends)) == ends.size


def test_a_text_of_ones_own(plain_kernels, tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("abcabcaab")
    found = flow_study([PLAIN], **SMALL, text_path=path)
    assert [found.attrs[name] for name in ("text", "text_length", "vocabulary")] == ["own.txt", 9, 3]
    assert str(tmp_path) not in repr(found.attrs)


def test_progress(plain_kernels):
    seen = []
    flow_study([PLAIN, ALONE], **SMALL, progress=lambda *state: seen.append(state))
    assert seen == [(done, 8) for done in range(1, 9)]


EXPLODES = parse(
    "x: input[m]\nh: state[n]\nh = h * h + 2 + 1e-300 * (U @ x)", "explodes"
)  # 2, 6, 38, ...: inf at step 11
AT_TIMES = parse("u: input[1]\nh: state[1]\nh = (0.5 + max(u - 1.7, 0) * 1e200) * h + 1", "at_times")


def test_a_cell_that_overflows_is_measured_as_far_as_it_is_finite(plain_kernels):
    settings: dict[str, Any] = {**SMALL, "hidden": 1, "steps": 14, "data": ("text",)}
    found = flow_study([EXPLODES, PLAIN], **settings)
    assert found.overflow.sel(cell="explodes").values.ravel().tolist() == [11] * 4
    assert not found.overflow.sel(cell="plain").any() and np.isfinite(found.log_norm.sel(cell="plain")).all()
    curve = found.log_norm.sel(cell="explodes", data="text", seed=0).values
    states = [2.0]
    for _ in range(9):
        states.append(states[-1] ** 2 + 2)
    before = np.log(2 * np.array(states[-2::-1]))  # the slope of step t is twice the state before it
    assert curve[:10] == pytest.approx(np.cumsum([0, *before]), rel=1e-12)
    assert np.isneginf(curve[10]) and np.isposinf(curve[11:]).all()  # the state before step 1 is 0
    summary = summarise(found)
    assert (
        np.isnan(summary.half_life.sel(cell="explodes")).all() and np.isfinite(summary["mean"].values[0, 0, :10]).all()
    )
    assert np.isfinite(summary.half_life.sel(cell="plain")).all()
    counts = [int(summary[name].sel(cell="explodes").item()) for name in ("runs", "overflowed", "overflow_first")]
    assert counts == [4, 4, 11]


def test_runs_that_overflow_are_left_out(plain_kernels):
    found = flow_study([AT_TIMES], hidden=1, steps=30, batch=4, seeds=6, data=("text",))
    steps = found.overflow.values[0, 0]
    assert 0 < (steps > 0).sum() < steps.size
    summary = summarise(found)
    assert summary.overflowed.item() == (steps > 0).sum() and summary.overflow_last.item() == steps.max()
    gone = (steps > 0).all(axis=1)
    kept = found.log_norm.values[0, 0][~gone]
    assert np.isfinite(kept).all() and summary["mean"].values.ravel() == pytest.approx(kept.mean(axis=0), rel=1e-12)


def test_real_kernels():
    settings: dict[str, Any] = {"hidden": 16, "steps": 30, "batch": 4, "seeds": 2}
    first, again = (flow_study([load("rnn"), load("lstm"), TWO_INPUTS, ALONE], **settings) for _ in range(2))
    xr.testing.assert_identical(first, again)
    assert np.isfinite(first.log_norm).all() and abs(first.log_norm.sel(lag=0)).max() < 1e-14


@pytest.mark.parametrize(
    "given, message",
    [
        ({"cells": []}, "nothing to measure: give at least one cell"),
        ({"data": ()}, "nothing to measure: give at least one kind of data"),
        ({"cells": [PLAIN, PLAIN]}, "two cells are called 'plain': give each a name of its own"),
        ({"data": ("txt",)}, "no kind of data is called 'txt'. Did you mean 'text'?"),
        ({"data": ("text", "text")}, "data names 'text' twice"),
        ({"sizes": {"k": 3}}, "no cell here has a dimension called 'k'. Known: m, n."),
        ({"sizes": {"n": 0}}, "n is 0: give a whole number from 1 on"),
        ({"hidden": -1}, "hidden is -1: give a whole number from 1 on"),
        ({"steps": 0}, "steps is 0: give a whole number from 1 on"),
        ({"batch": 1.5}, "batch is 1.5: give a whole number from 1 on"),
        ({"seeds": 0}, "seeds is 0: give a whole number from 1 on"),
        ({"gain": np.nan}, "gain is nan: give a finite number"),
        ({"steps": 10**6}, "windows of 1000000 were asked for. Give a longer text or fewer steps"),
        ({"text_path": "no/such.txt"}, "no/such.txt: can't be read: no such file or directory"),
    ],
)
def test_settings_that_cannot_be_met(plain_kernels, given, message):
    with pytest.raises(Error, match=re.escape(message)):
        flow_study(**{"cells": [PLAIN], **SMALL, **given})
