"""Sequence systems: how the gradient's flow is measured, and what each small system learns."""

import json

import numpy as np
import pytest
import xarray as xr

import bptt
from bptt.analysis.learning.batches import Batch
from bptt.analysis.systems import SYSTEMS, load
from bptt.analysis.systems.hello import every_number, task
from bptt.analysis.systems.learn import first_step, gradient_flow
from bptt.derive.model import load_model


def batch_of(steps, batch, random, lengths=None):
    x = random.standard_normal((steps, batch, 2))
    y = random.integers(3, size=(steps, batch))
    return Batch({"x": x, "y": y}, steps * batch, lengths=lengths)


def test_the_flow_is_that_of_finite_differences():
    """Against the loss of the last step, run again from states that are moved: RNN in one loop with its readout."""
    random = np.random.default_rng(0)
    kernel = bptt.compile(load_model("many_to_many"))
    params = kernel.init({"m": 2, "n": 4, "k": 3})
    batch = batch_of(6, 3, random)
    flow = gradient_flow(kernel, params, batch)
    run = kernel.forward(params, batch.inputs)

    def last_loss(h, first):
        inputs = {name: array[first:] for name, array in batch.inputs.items()}
        [losses] = kernel.forward(params, inputs, {"h": h}).losses.values()
        return losses[-1]

    for lag in range(1, 6):
        h = run.value("h")[5 - lag]
        gradient = np.empty_like(h)
        for unit in range(4):
            up, down = h.copy(), h.copy()
            up[:, unit] += 1e-5
            down[:, unit] -= 1e-5
            gradient[:, unit] = (last_loss(up, 6 - lag) - last_loss(down, 6 - lag)) / 2e-5
        expected = np.log(np.linalg.norm(gradient, axis=1)).mean()
        # central differences of step 1e-5: relative error near 1e-9 of gradients that aren't tiny
        assert float(flow.sel(state="h", lag=lag)) == pytest.approx(expected, abs=1e-6)
    assert np.isnan(flow.sel(state="h", lag=0))


def test_the_flow_of_sequences_of_several_lengths_is_that_of_each_alone():
    random = np.random.default_rng(1)
    kernel = bptt.compile(load_model("many_to_many"))
    params = kernel.init({"m": 2, "n": 4, "k": 3})
    lengths = {"T": np.array([3, 5])}
    whole = batch_of(5, 2, random, lengths)
    flow = gradient_flow(kernel, params, whole).sel(state="h")
    alone = [
        gradient_flow(kernel, params, alone_of(whole, k, length)).sel(state="h")
        for k, length in enumerate(lengths["T"])
    ]
    np.testing.assert_allclose(flow[1:3], (alone[0][1:3] + alone[1][1:3]) / 2, rtol=1e-12)
    np.testing.assert_allclose(flow[3:], alone[1][3:], rtol=1e-12)
    at = gradient_flow(kernel, params, Batch(whole.inputs, 10), at=2).sel(state="h")
    np.testing.assert_allclose(
        at[1], (alone[0][1] + gradient_flow(kernel, params, alone_of(whole, 1, 3)).sel(state="h")[1]) / 2, rtol=1e-12
    )
    share = first_step(alone[1])
    assert float(share) == pytest.approx(float(np.exp(alone[1][4] - alone[1][1])))


def alone_of(whole, sample, length):
    return Batch({name: array[:length, [sample]] for name, array in whole.inputs.items()}, length)


def test_every_number_of_hello_is_a_derivative():
    made, letters = task("hello")
    kernel = bptt.compile(load_model("hello"))
    params = kernel.init({"n": 3})
    batch = made.batch(0)
    found = every_number(kernel, params, batch, letters)
    assert list(found.pair.values) == ["t = 1: h → e", "t = 2: e → l", "t = 3: l → l", "t = 4: l → o"]

    def loss(moved):
        return kernel.forward(moved, batch.inputs).loss[0]

    for name in params:
        rows = np.atleast_2d(params[name])
        for row in range(len(rows)):
            for column in range(rows.shape[1]):
                moved = [{n: a.copy() for n, a in params.items()} for _ in range(2)]
                for sign, one in zip((1, -1), moved, strict=True):
                    np.atleast_2d(one[name])[row, column] += sign * 1e-6
                label = f"{name}[{row}]" if params[name].ndim > 1 else name
                value = float(found.gradients.sel(row=label, column=f"[{column}]"))
                assert value == pytest.approx((loss(moved[0]) - loss(moved[1])) / 2e-6, abs=1e-8)
    steps = found.steps
    # the bias of h adds to its preactivation at each step: dL/db_h = sum of dL/dh (1 - h²)
    for unit in range(3):
        h, delta = steps.sel(entry=f"h[{unit}]"), steps.sel(entry=f"dL/dh[{unit}]")
        bias = found.gradients.sel(row="b_h", column=f"[{unit}]")
        assert float((delta * (1 - h**2)).sum()) == pytest.approx(float(bias))


@pytest.fixture(scope="module")
def small():
    kept = {}

    def run(name):
        if name not in kept:
            kept[name] = load(name).run("small")
        return kept[name]

    return run


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_small_system_says_what_it_measured(small, name):
    found = small(name)
    assert {"method", "learned", "texts", "title", "question", "scale", "seed"} <= found.attrs.keys()
    assert all(bptt.parse_model(text) for text in json.loads(found.attrs["texts"]).values())
    for variable in found.data_vars.values():
        assert "long_name" in variable.attrs
        assert variable.dtype.kind in "UO" or "units" in variable.attrs
    assert xr.Dataset.from_dict(json.loads(json.dumps(found.to_dict()))).identical(found)


def test_hello_is_learned_by_heart(small):
    found = small("hello")
    assert float(found.held_out.isel(model=0, step=-1)) < 0.01
    assert found.written.values.tolist() == ["hello"]


def test_an_unknown_system_is_refused():
    with pytest.raises(bptt.Error, match="no system is called 'helo'. Did you mean 'hello'"):
        load("helo")


# what each small system learns: better than chance, or than what can't do it, by more than its interval


def at(found, name, model):
    return float(found[name].sel(model=model))


def test_digits_are_told_apart_pixel_by_pixel(small):
    found = small("pixels")
    assert at(found, "accuracy_low", "gru") > 0.8  # chance is 0.1
    assert at(found, "first_step_after", "gru") > at(found, "first_step_before", "gru")


def test_negation_is_understood_in_templates_never_seen(small):
    found = small("sentiment")
    assert at(found, "accuracy_low", "gru") > 0.8
    assert at(found, "accuracy_high", str(found.model.values[-1])) < 0.6  # by counting words


def test_a_latent_state_forecasts_better_than_the_last_value(small):
    found = small("series")
    latent = at(found, "error", "latent autoregressive, gru")
    assert latent < 0.7 * at(found, "error", "naive: the last value")
    assert at(found, "memory", "autoregressive, window of 9") == 9
    assert at(found, "memory", "latent autoregressive, gru") > at(found, "memory", "autoregressive, window of 2")


def test_copying_and_adding_are_learned_at_short_lags(small):
    found = small("long_range")
    assert found.reached.values.tolist() == [10, 10]
    assert (found.right.values[:, -1] >= 0.95).all()


def test_frames_are_named_better_from_those_before(small):
    found = small("frames")
    accuracy, alone = found.accuracy.values
    assert accuracy > alone + 0.05 > 0.3
    ages = found.by_age.values
    assert ages[0, -1] > ages[0, 0] + 0.1  # the longer a digit was seen, the better; not so for a frame by itself
    assert abs(ages[1, -1] - ages[1, 0]) < 0.1


def test_numbers_are_spelled_both_ways(small):
    found = small("spelling")
    assert (found.letters.values > 0.6).all()
    assert found.exact.max() > 0.05


def test_dates_pass_by_attention(small):
    found = small("dates")
    assert at(found, "exact_low", "attention") > 0.95
    # all of the gradient arrives at the last step, where there is one vector; with attention it goes straight back too
    back = found.sent_back.sel(moment_of=["one vector, at the start", "attention, after training"])
    assert back.notnull().all() and bool((back[0].argmax("step_read") == back.sizes["step_read"] - 1).all())
    assert bool((back[1].argmax("step_read") < back.sizes["step_read"] - 1).any())
    assert at(found, "exact_high", "one vector") < at(found, "exact_low", "attention")


def test_captions_are_read_where_the_decoder_looks(small):
    found = small("captions")
    assert at(found, "exact_low", "soft attention") > at(found, "exact_high", "one vector")
    assert at(found, "looked", "soft attention") > 0.65  # of looking anywhere: 0.5
