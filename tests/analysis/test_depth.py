"""Stacked cells against layers run one after the other; cells with another function."""

import numpy as np
import pytest

from bptt import kernels
from bptt.analysis.activation import with_activation
from bptt.analysis.depth import measure_depth, stacked
from bptt.analysis.gradient_flow import measure_flow
from bptt.analysis.running import at_last_step
from bptt.derive import Error, derive, load, parse

SIZES = {"m": 3, "n_1": 4, "n_2": 5}
SUM = parse("x: input[n]\nh: state[n]\na: param\nh = a * h + x", "sum")


@pytest.fixture(scope="module")
def two_layers():
    kernel = kernels.compile(stacked(load("rnn"), 2))
    return kernel, kernel.init(SIZES, seed=1), np.random.default_rng(0).standard_normal((9, 2, 3))


def test_layers_are_cells_run_one_after_the_other(two_layers):
    kernel, params, x = two_layers
    run = kernel.forward(params, {"x": x})
    single = kernels.compile(load("rnn"))
    given, runs = x, []
    for layer in ("layer1", "layer2"):
        own = {name.split("__")[0]: values for name, values in params.items() if name.endswith(layer)}
        runs.append(single.forward(own, {"x": given}))
        given = np.ascontiguousarray(runs[-1].states["h"])
        assert np.allclose(run.states[f"h__{layer}"], given, rtol=1e-14)
    found = measure_depth(kernel, params, {"x": x}, layers=2)
    top = at_last_step({"h__layer2": run.states["h__layer2"]}, 0)["h__layer2"]
    upper = single.backward(runs[1], {"h": top})
    lower = single.backward(runs[0], {"h": np.ascontiguousarray(upper.inputs["x"])})
    carried = {1: lower.states["h"] - upper.inputs["x"], 2: upper.states["h"]}  # without what its own step reads
    for number, grads in ((1, lower), (2, upper)):
        norms = np.linalg.norm(np.concatenate([grads.state["h"][None], carried[number]]), axis=-1)[::-1].T
        assert np.allclose(np.exp(found.log_norm.sel(layer=number)), norms, rtol=1e-12, atol=1e-16)
        of_params = np.sqrt(sum((values**2).sum() for values in grads.params.values()))
        assert float(np.exp(found.param_log_norm.sel(layer=number))) == pytest.approx(of_params, rel=1e-12)
    assert np.allclose(found.log_norm.sel(layer=2, lag=0), 0) and np.isneginf(found.log_norm.sel(layer=1, lag=0)).all()


def sums(a, steps, dtype="float64"):
    """Two layers of h = a h + x over two sequences, of which only the first reads anything but 0."""
    kernel = kernels.compile(stacked(SUM, 2), dtype)
    x = np.zeros((steps, 2, 1), dtype)
    x[:, 0] = 1
    params = {name: np.array(a, dtype) for name in kernel.cell.params}
    return measure_depth(kernel, params, {"x": x}, layers=2)


def expected_of_sums(a, lags):
    """From the top layer to itself aᵏ; to the first, at each of k steps one hop up: k aᵏ."""
    with np.errstate(divide="ignore"):
        return np.array([np.log(lags) + lags * np.log(a), lags * np.log(a)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_sequences_through_layers_do_not_underflow(dtype):
    found = sums(0.125, 10_000, dtype)
    for sample in found.log_norm.values:
        assert sample == pytest.approx(expected_of_sums(0.125, np.arange(10_001)), rel=1e-6, abs=1e-9)
    assert not found.overflow.any() and np.isfinite(found.param_log_norm[1])


def test_layers_that_overflow_end_there_and_stay_with_their_sample():
    found = sums(1e200, 5)
    assert found.overflow.values.tolist() == [3, 0]
    assert np.isposinf(found.log_norm.values[0, :, 3:]).all()
    assert found.log_norm.values[0, :, :3] == pytest.approx(expected_of_sums(1e200, np.arange(3)))
    assert found.log_norm.values[1] == pytest.approx(expected_of_sums(1e200, np.arange(6)))


def test_parameters_of_layers_have_the_gradient_of_what_stays_finite():
    kernel = kernels.compile(stacked(parse("x: input[n]\nh: state[n]\na: param\nh = a * h + exp(x)", "grows"), 2))
    params, x = {name: np.array(0.5) for name in kernel.cell.params}, np.zeros((6, 2, 1))
    x[2, 0] = 1000
    found, alone = (measure_depth(kernel, params, {"x": v.copy()}, layers=2) for v in (x, x[:, 1:]))
    assert found.overflow.values.tolist() == [3, 0]
    assert np.isfinite(found.param_log_norm).all() and found.param_log_norm.equals(alone.param_log_norm)


@pytest.mark.parametrize("layers, dtype", [(2, "float32"), (2, "float64"), (4, "float64")])
def test_stacks_name_their_overflow_as_any_cell_does(layers, dtype):
    kernel = kernels.compile(stacked(load("rnn_relu"), layers), dtype)
    params = kernel.init({"m": 3, **{f"n_{number}": 8 for number in range(1, layers + 1)}}, gain=20)
    x = np.random.default_rng(0).standard_normal((400, 3, 3)).astype(dtype)
    found, flow = measure_depth(kernel, params, {"x": x}, layers=layers), measure_flow(kernel, params, {"x": x})
    assert found.overflow.values.tolist() == flow.overflow.values.tolist() and (found.overflow > 1).all()
    assert not np.isnan(found.log_norm).any() and np.isposinf(found.param_log_norm).all()
    for curves, end in zip(found.log_norm.values, found.overflow.values, strict=True):
        assert np.isfinite(curves[-1, :end]).all() and np.isposinf(curves[:, end:]).all()


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["lstm", "rnn_concat", "sru"])
def test_states_and_parameters_of_each_layer(name, layers):
    cell = load(name)
    found = stacked(cell, layers)
    assert len(found.states) == layers * len(cell.states)
    assert len(found.params) == layers * len(cell.params)
    assert found.inputs == cell.inputs
    assert parse(found.text).equations == found.equations
    derive(found)


def test_with_activation_gives_the_cells_of_the_zoo():
    for new, name in (("sigmoid", "rnn_logistic"), ("relu", "rnn_relu")):
        assert with_activation(load("rnn"), "tanh", new).equations == load(name).equations
    found = with_activation(load("lstm"), "tanh", "relu")
    assert found.text.count("relu") == 2 and "tanh" not in found.text and found.text.count("sigmoid") == 3
    assert found.name == "lstm_relu" and found.doc == load("lstm").doc


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("tanh", "rely", "no function is called 'rely'. Did you mean 'relu'"),
        ("tanh", "max", "'tanh' takes 1 and 'max' 2 arguments"),
        ("relu", "tanh", "rnn doesn't use 'relu'. It uses: tanh"),
    ],
)
def test_messages_of_activations(old, new, message):
    with pytest.raises(Error, match=message):
        with_activation(load("rnn"), old, new)


def test_messages_of_layers(two_layers):
    kernel, params, x = two_layers
    with pytest.raises(Error, match="henon can't be stacked: .* its inputs are none"):
        stacked(load("henon"), 2)
    with pytest.raises(Error, match="its inputs are x, V"):
        stacked(load("attention_decoder"), 2)
    with pytest.raises(Error, match="layers must be a whole number from 1 to 50, not 0"):
        stacked(load("rnn"), 0)
    with pytest.raises(Error, match="has 2 states, which aren't those of 3 layers"):
        measure_depth(kernel, params, {"x": x}, layers=3)
