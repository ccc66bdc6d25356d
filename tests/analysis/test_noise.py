"""Signal, noise, clipping, precision and training against what is known of them."""

from typing import Any

import numpy as np
import pytest

from bptt import kernels
from bptt.analysis import noise
from bptt.analysis.along_training import (
    WEIGHTS,
    along_training,
    character_task,
    next_character,
    train,
)
from bptt.analysis.clipping import measure_clipping, sequence_gradients
from bptt.analysis.data import characters
from bptt.analysis.gradient_flow import measure_flow
from bptt.analysis.lags import loss_of
from bptt.analysis.noise import measure_noise
from bptt.analysis.precision import measure_precision
from bptt.derive import Error, load, parse


@pytest.fixture(scope="module")
def linear():
    return kernels.compile(parse("x: input\nh: state\nh = a * h + w * x", "linear"))


PARAMS = {"a": np.array(0.7), "w": np.array(1.0)}


def last(states, seed):
    end = {name: np.zeros_like(values) for name, values in states.items()}
    end["h"][-1] = 1
    return end


def check_ratio(kernel):
    """The gradient of w by lag k is aᵏ x_{T−k}: signal over noise is mean over deviation of x, at every lag."""
    count = 400
    x = np.random.default_rng(0).normal(0.5, 2.0, (6, count))
    found = measure_noise(kernel, PARAMS, {"x": x}, lags=6, loss=last).sel(parameter="w")
    spread = np.sqrt((1 + 0.25**2 / 2) / count)
    assert (abs(found.ratio - 0.25) < 4.5 * spread).all()
    assert np.allclose(found.noise, 2 * 0.7 ** np.arange(6), rtol=4.5 / np.sqrt(2 * count))
    powers = 0.7 ** np.arange(6)
    assert float(found.ratio_in_all) == pytest.approx(
        0.25 * powers.sum() / np.sqrt((powers**2).sum()), abs=4.5 * spread
    )


def test_signal_to_noise_of_a_linear_cell(linear):
    check_ratio(linear)


def test_noise_that_counts_as_signal_is_noticed(linear, monkeypatch):
    def biased(gradients):
        mean = gradients.mean(axis=1)
        return (gradients**2).sum(axis=(1, 2)) / gradients.shape[1], ((gradients - mean[:, None]) ** 2).sum(axis=(1, 2))

    monkeypatch.setattr(noise, "_split", biased)
    with pytest.raises(AssertionError):
        check_ratio(linear)


def test_random_directions_have_no_signal(linear):
    x = np.random.default_rng(0).normal(0, 1, (4, 300))
    found = measure_noise(linear, PARAMS, {"x": x}, lags=4)
    assert float(found.ratio.sel(parameter="w").max()) < 4.5 / np.sqrt(300)


def test_gradients_of_sequences_sum_to_that_of_the_batch(linear):
    x = np.random.default_rng(1).standard_normal((5, 4))
    run = linear.forward(PARAMS, {"x": x})
    whole = linear.backward(run, loss_of("every", run.states, 0)).params
    each = list(sequence_gradients(linear, PARAMS, {"x": x}))
    assert len(each) == 4
    for name, values in whole.items():
        assert sum(part[name] for part in each) == pytest.approx(values, rel=1e-12)


def test_clipping_by_threshold(linear):
    x = np.random.default_rng(1).standard_normal((5, 20))
    norms = np.sort([np.hypot(*part.values()) for part in sequence_gradients(linear, PARAMS, {"x": x})])
    found = measure_clipping(linear, PARAMS, {"x": x}, thresholds=[2 * norms[-1], (norms[4] + norms[5]) / 2])
    assert found.fraction.values.tolist() == [0.75, 0]
    assert np.allclose(np.sort(np.exp(found.log_norm)), norms)
    assert np.allclose(np.exp(found.log_norm_clipped[:, 0]).max(), found.threshold[0])
    assert int(found.overflowed) == 0
    assert (float(found.low[1]), float(found.high[1])) == pytest.approx((0, 0.1611), abs=1e-4)  # Wilson for 0 of 20


def test_gradients_that_overflow_count_as_clipped_and_are_shown():
    kernel = kernels.compile(parse("h: state\nh = a * h + b", "affine"))
    params = {"a": np.array(1e200), "b": np.array(0.0)}
    found = measure_clipping(kernel, params, {}, {"h": np.zeros(2)}, steps=4, thresholds=[1.0], loss="last")
    assert int(found.overflowed) == 2 and found.fraction.values.tolist() == [1]
    assert np.isposinf(found.log_norm).all() and (found.log_norm_clipped == 0).all()


def test_where_float32_underflows():
    kernel = kernels.compile(parse("h: state\nh = a * h", "decay"))
    start = {"h": np.zeros(1)}
    exact = measure_precision(kernel, {"a": np.array(0.5)}, {}, start, steps=200)
    assert float(exact.zero[0]) == 150 and float(exact.lost[0]) == 150  # 2⁻¹⁴⁹ is the smallest positive float32
    assert exact.relative_error[0, [149, 150]].values.tolist() == [0, 1]
    assert exact.attrs["floor_subnormal"] == pytest.approx(-149 * np.log(2))
    assert exact.attrs["floor_normal"] == pytest.approx(-126 * np.log(2))
    rounded = measure_precision(kernel, {"a": np.array(0.7)}, {}, start, steps=200)
    assert 0 < float(rounded.relative_error[0, 50]) < 50 * 2.0**-24
    assert float(rounded.zero[0]) == np.inf and float(rounded.lost[0]) == np.inf  # 0.7²⁰⁰ is 1e-31
    growing = measure_precision(kernel, {"a": np.array(10.0)}, {}, start, steps=60)
    assert float(growing.relative_error[0, 50]) == np.inf and float(growing.lost[0]) == 39


def test_float32_loses_a_chaotic_network_long_before_it_underflows():
    kernel = kernels.compile(load("rnn"), "float32")
    params = kernel.init({"m": 2, "n": 30}, gain=4.0)
    inputs = {"x": np.random.default_rng(0).standard_normal((120, 2, 2)) * 0.01}
    found = measure_precision(kernel, params, inputs)
    assert (found.lost < 60).all() and np.isinf(found.zero).all()


TEXT = characters("ab" * 500)


def task_on(data, name="rnn"):
    return character_task(kernels.compile(load(name)), TEXT, data=data, hidden=8, steps=10, batch=8)


def nats(task, snapshot):
    from bptt.analysis.along_training import _cross_entropy

    inputs, targets = task.draw(12345)
    return _cross_entropy(task.kernel.forward(snapshot.params, inputs).states["h"], snapshot.readout, targets)[0]


@pytest.mark.parametrize("optimiser, rate", [("adam", 0.02), ("sgd", 0.5)])
def test_order_is_learned_and_noise_is_not(optimiser, rate):
    """ab ab ab has no surprise; its letters in random order have ln 2 nats each, which nothing can go below."""
    learned = {}
    for data in ("text", "shuffled"):
        task = task_on(data)
        *_, end = train(task, at=[0, 150], optimiser=optimiser, rate=rate)
        learned[data] = nats(task, end)
    assert learned["text"] < 0.15
    assert learned["shuffled"] > np.log(2) - 0.1


def test_the_trained_loss_has_the_gradient_of_its_values():
    task = task_on("text")
    [snapshot] = train(task, at=[0])
    inputs, targets = task.draw(0)
    run = task.kernel.forward(snapshot.params, inputs)
    grads = task.kernel.backward(run, next_character(task, snapshot.readout, targets)(run.states, 0))
    from bptt.analysis.along_training import _cross_entropy

    def value(shift):
        params = {**snapshot.params, "W_hh": snapshot.params["W_hh"] + shift}
        return _cross_entropy(task.kernel.forward(params, inputs).states["h"], snapshot.readout, targets)[0]

    direction = np.random.default_rng(0).standard_normal((8, 8))
    difference = (value(1e-5 * direction) - value(-1e-5 * direction)) / 2e-5
    assert (grads.params["W_hh"] * direction).sum() == pytest.approx(difference, rel=1e-7)


def test_along_training_on_text_and_noise(tmp_path):
    (tmp_path / "t.txt").write_text("ab" * 500)
    kernel = kernels.compile(load("rnn"))
    given: dict[str, Any] = {"at": [0, 150], "seeds": 2, "hidden": 8, "steps": 10, "batch": 8, "rate": 0.02}
    done: list[tuple[int, int]] = []
    found = along_training(
        kernel,
        measure_noise,
        text_path=tmp_path / "t.txt",
        progress=lambda now, total: done.append((now, total)),
        loss="next",
        lags=3,
        **given,
    )
    assert dict(found.ratio.sizes) == {"data": 2, "seed": 2, "update": 2, "lag": 3, "parameter": 4}
    assert done[-1] == (8, 8) and found.attrs["text"] == "t.txt"
    assert (found.loss.sel(data="text", update=150) < 0.15).all()
    assert (found.loss.sel(data="shuffled", update=150) > np.log(2) - 0.1).all()
    again = along_training(kernel, measure_flow, text_path=tmp_path / "t.txt", **given)
    assert np.array_equal(again.loss, found.loss) and again.log_norm.sizes["update"] == 2


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda k: measure_noise(k, PARAMS, {"x": np.ones((3, 1))}), "at least two"),
        (lambda k: measure_noise(k, PARAMS, {"x": np.ones((3, 2))}, lags=4), "lags is 4"),
        (lambda k: measure_clipping(k, PARAMS, {"x": np.ones((3, 2))}, thresholds=[0]), "a threshold is 0"),
        (lambda k: character_task(k, TEXT), "linear has no input that can read 2 different characters"),
        (lambda k: character_task(kernels.compile(load("rnn")), TEXT, data="txt"), "Did you mean 'text'"),
        (lambda k: list(train(task_on("text"), optimiser="adm")), "Did you mean 'adam'"),
        (lambda k: list(train(task_on("text"), rate=0)), "rate is 0"),
        (lambda k: list(train(task_on("text"), at=[-1])), r"at is \[-1\]"),
        (lambda k: list(train(task_on("text", "rnn_relu"), at=[9], rate=1e100, clip=np.inf)), "gradient .* overflows"),
    ],
)
def test_messages(linear, call, message):
    with np.errstate(all="ignore"), pytest.raises(Error, match=message):
        call(linear)


def test_readouts_have_names_that_no_parameter_has():
    assert not WEIGHTS.isidentifier()
