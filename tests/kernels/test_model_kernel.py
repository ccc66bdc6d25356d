"""Whole models on arrays: against the text run by Python, sample by sample; lengths, carried states, messages."""

import gc
import runpy
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import bptt
from bptt.derive.interpret import size
from bptt.derive.proof import model_sizes
from bptt.derive.sizes import size_from
from bptt.kernels import model_kernel

evaluate = runpy.run_path(str(Path(__file__).parents[1] / "derive" / "plain.py"))["evaluate"]
STEPS = {"T": 4, "S": 3, "B": 5}
BATCH = 2


@cache
def compiled(name):
    return bptt.compile(bptt.load_model(name))


def numbers(model, seed=0):
    """Return random parameters, inputs with a batch, and sizes."""
    random = np.random.default_rng(seed)
    sizes = model_sizes(model) | {axis: STEPS[axis] for axis in model.axes}
    params = {n: random.uniform(-1, 1, [size(part, sizes) for part in model.whole_shape(n)]) for n in model.params}
    inputs: dict[str, np.ndarray] = {}
    for name, dimensions in model.inputs.items():
        shape = [size(part, sizes) for part in model.whole_shape(name)]
        shape.insert(1 if dimensions and dimensions[0] in model.axes else 0, BATCH)
        inputs[name] = random.uniform(-1, 1, shape)
    for name, (*axis, entries) in model.indices.items():
        inputs[name] = random.integers(0, size(size_from(entries), sizes), [*(sizes[a] for a in axis), BATCH])
    return params, inputs, sizes


def sample(model, inputs, number):
    """Return the inputs of one sample."""
    lead = {name: bool(dims) and dims[0] in model.axes for name, dims in model.inputs.items()}
    lead |= {name: len(dims) > 1 for name, dims in model.indices.items()}
    return {n: array[:, number] if lead[n] else array[number] for n, array in inputs.items()}


def losses(model, params, inputs, sizes):
    """Return the loss of each sample, by Python running the text."""
    picked = [sample(model, inputs, number) for number in range(BATCH)]
    return np.array([evaluate(model.text, {**params, **one}, sizes)["loss"] for one in picked])


def slope(model, params, inputs, sizes, name, direction):
    """Return the derivative of the summed loss along a direction, by the complex step."""
    step = 1e-30
    moved = {**params, **inputs}
    moved[name] = moved[name] + 1j * step * direction
    both = {n: moved[n] for n in params}, {n: moved[n] for n in inputs}
    return losses(model, *both, sizes).sum().imag / step


@pytest.mark.parametrize("name", bptt.models())
def test_losses_and_gradients_are_those_of_the_text_run_by_python(name):
    kernel, model = compiled(name), bptt.load_model(name)
    params, inputs, sizes = numbers(model)
    run = kernel.forward(params, inputs)
    np.testing.assert_allclose(run.loss, losses(model, params, inputs, sizes), rtol=1e-12)
    found = kernel.backward(run)
    assert found.params.keys() == params.keys()
    random = np.random.default_rng(1)
    for quantity, gradient in [*found.params.items(), *found.inputs.items()]:
        for _ in range(3):
            direction = random.standard_normal(gradient.shape)
            expected = slope(model, params, inputs, sizes, quantity, direction)
            # the complex step has no error of its own: what is left is rounding in sums of some dozen terms near 1
            assert np.sum(gradient * direction) == pytest.approx(expected, rel=1e-11, abs=1e-12), quantity


WIRES = {
    "an input at all steps": """
x: input[T, m]
y: index[k]
W: param[k, m]
for t in range(T):
    loss += squared_error(b, x[t])
X = stack(x)
u = W @ (X.T @ softmax(X @ a))
loss += cross_entropy(u, y)
""",
    "a value at each step and after the last": """
x: input[T, m]
W: param[n, m]
for t in reversed(range(T)):
    a = 0.5 * (W @ x[t]) + tanh(W @ x[t])
for t in range(T):
    loss += squared_error(a[t], b)
loss += sum(a * a)
""",
    "what parameters alone decide, on an axis called B": """
x: input[B, m]
W: param[n, m]
g = 0.25 * a + tanh(R @ a)
h: state[n] = g
for t in range(B):
    h = tanh(W @ x[t] + U @ h)
    loss += sum(h * g) + sum(a * a)
loss += 0.5 * sum(W * W)
""",
    "how many steps there are, and a size that no array of its own has": """
x: input[T, m]
a: state[n]
r: state[n] = -5 * ones(n)
W: param[n, m]
for t in range(T):
    h = tanh(W @ x[t])
    a = a + h
    r = max(r, h)
    loss += sum(h * h) / sum(ones(T))
v = a / sum(ones(T)) + r
loss += sum(v * v)
""",
}


@pytest.mark.parametrize("text", WIRES.values(), ids=WIRES)
def test_what_a_block_reads(text):
    """With as many steps of T as samples, where an axis taken for the other shows in the numbers alone."""
    model = bptt.parse_model(text)
    kernel, (params, inputs, sizes) = bptt.compile(model), numbers(model)
    if "T" in model.axes:
        inputs["x"], sizes["T"] = inputs["x"][:BATCH], BATCH
    run = kernel.forward(params, inputs)
    np.testing.assert_allclose(run.loss, losses(model, params, inputs, sizes), rtol=1e-12)
    found = kernel.backward(run)
    for quantity, gradient in [*found.params.items(), *found.inputs.items()]:
        direction = np.random.default_rng(1).standard_normal(gradient.shape)
        expected = slope(model, params, inputs, sizes, quantity, direction)
        assert np.sum(gradient * direction) == pytest.approx(expected, rel=1e-11, abs=1e-12), quantity


def test_an_input_that_is_read_at_all_steps_has_one_length():
    kernel = bptt.compile(bptt.parse_model(WIRES["an input at all steps"]))
    params, inputs, _ = numbers(kernel.model)
    with pytest.raises(bptt.Error, match="'x' is read at all steps of T, so sequences must have one length"):
        kernel.forward(params, inputs, lengths={"T": np.array([1, 2])})


def test_a_mean_over_all_steps_has_one_length():
    kernel = bptt.compile(bptt.parse_model(WIRES["how many steps there are, and a size that no array of its own has"]))
    params, inputs, _ = numbers(kernel.model)
    with pytest.raises(bptt.Error, match="an equation reads the size T, so sequences must have one length"):
        kernel.forward(params, inputs, lengths={"T": np.array([1, 2])})


def test_a_forgotten_wire_is_found(monkeypatch):
    monkeypatch.setattr(model_kernel._Backward, "_send", lambda self, wire, gradient: None)
    with pytest.raises(AssertionError):
        test_losses_and_gradients_are_those_of_the_text_run_by_python("sequence_to_sequence")


def test_the_wrong_last_step_is_found(monkeypatch):
    monkeypatch.setattr(model_kernel, "last_step", lambda block, lengths, batch: (0,))
    with pytest.raises(AssertionError):
        test_losses_and_gradients_are_those_of_the_text_run_by_python("many_to_one")


@pytest.mark.parametrize("name", ["many_to_one", "many_to_many", "bidirectional", "sequence_to_sequence"])
def test_lengths_give_what_each_sequence_gives_alone(name):
    kernel, model = compiled(name), bptt.load_model(name)
    params, inputs, sizes = numbers(model)
    lengths = {axis: np.array([STEPS[axis], STEPS[axis] - 2]) for axis in model.axes}
    run = kernel.forward(params, inputs, lengths=lengths)
    together = kernel.backward(run)
    sums = {n: np.zeros_like(array) for n, array in params.items()}
    for number in range(BATCH):
        axes = {n: dims[0] for n, dims in {**model.inputs, **model.indices}.items() if dims and dims[0] in model.axes}
        alone = {
            n: array[: lengths[axes[n]][number], number, None] if n in axes else array[number, None]
            for n, array in inputs.items()
        }
        single = kernel.forward(params, alone)
        assert run.loss[number] == pytest.approx(single.loss[0], rel=1e-13)
        for n, gradient in kernel.backward(single).params.items():
            sums[n] += gradient
    for n, gradient in together.params.items():
        np.testing.assert_allclose(gradient, sums[n], rtol=1e-11, atol=1e-13, err_msg=n)


def test_a_carried_state_continues_a_sequence():
    kernel = compiled("character_language_model")
    params, inputs, _ = numbers(kernel.model)
    whole = kernel.forward(params, inputs)
    first = kernel.forward(params, {n: array[:2] for n, array in inputs.items()})
    second = kernel.forward(params, {n: array[2:] for n, array in inputs.items()}, first.last())
    np.testing.assert_allclose(first.loss + second.loss, whole.loss, rtol=1e-13)
    # truncated BPTT: what reaches the second part's start is what the first part would get
    back = kernel.backward(second)
    joined = kernel.backward(
        first, cotangents={n: np.stack([0 * s, s]) for n, s in ((n, back.state[n]) for n in ("h", "c"))}
    )
    expected = kernel.backward(whole)
    for name in params:
        np.testing.assert_allclose(
            joined.params[name] + back.params[name], expected.params[name], rtol=1e-10, atol=1e-13
        )


def test_weights_of_the_loss():
    kernel = compiled("hello")
    params, inputs, _ = numbers(kernel.model)
    run = kernel.forward(params, inputs)
    plain, halved = kernel.backward(run), kernel.backward(run, 0.5)
    np.testing.assert_allclose(halved.params["W_hh"], plain.params["W_hh"] / 2, rtol=1e-14)
    last = np.zeros((4, BATCH))
    last[-1] = 1
    only = kernel.backward(run, {"loss": last})
    assert np.any(only.params["W_hh"] != plain.params["W_hh"])
    assert np.all(only.params["b_y"] == pytest.approx(plain_bias_of_last(run, inputs), rel=1e-12))


def plain_bias_of_last(run, inputs):
    """Return the sum over samples of softmax - one-hot at the last step."""
    u = run.value("u")[-1]
    p = np.exp(u) / np.exp(u).sum(axis=1, keepdims=True)
    p[np.arange(BATCH), inputs["y"][-1]] -= 1
    return p.sum(axis=0)


def test_float32_is_float64_less_precisely():
    model = bptt.load_model("many_to_many")
    params, inputs, _ = numbers(model)
    single = bptt.compile(model, "float32")
    narrow = {n: array.astype("float32") for n, array in params.items()}
    some = {n: array.astype("float32") if array.dtype.kind == "f" else array for n, array in inputs.items()}
    found = single.backward(single.forward(narrow, some)).params
    for name, gradient in (
        compiled("many_to_many").backward(compiled("many_to_many").forward(params, inputs)).params.items()
    ):
        assert found[name].dtype == np.float32
        assert np.abs(found[name] - gradient).max() <= 1e-5 * np.abs(gradient).max()


def test_layers_of_one_shape_start_from_different_numbers():
    params = compiled("sequence_to_sequence").init({"V": 5, "K": 5, "m": 3, "p": 3, "n": 4})
    shapes: dict[tuple[int, ...], list[np.ndarray]] = {}
    for array in params.values():
        if array.any():
            shapes.setdefault(array.shape, []).append(array)
    for group in shapes.values():
        for number, one in enumerate(group):
            assert not any(np.array_equal(one, other) for other in group[number + 1 :])
    assert not params["b_y"].any()


def hello(**changes):
    kernel = compiled("hello")
    params, inputs, _ = numbers(kernel.model)
    return kernel, params, {**inputs, **changes}


def test_bad_input():
    kernel, params, inputs = hello()
    with pytest.raises(bptt.Error, match="missing input y; the model has x, y"):
        kernel.forward(params, {"x": inputs["x"]})
    with pytest.raises(bptt.Error, match="no input called 'z'"):
        kernel.forward(params, {**inputs, "z": inputs["x"]})
    with pytest.raises(bptt.Error, match="missing parameter W_hy"):
        kernel.forward({n: array for n, array in params.items() if n != "W_hy"}, inputs)
    with pytest.raises(bptt.Error, match="input y has T = 3, but x has 4"):
        kernel.forward(params, {**inputs, "y": inputs["y"][:3]})
    with pytest.raises(bptt.Error, match="input y has B = 1, but x has 2"):
        kernel.forward(params, {**inputs, "y": inputs["y"][:, :1]})
    with pytest.raises(bptt.Error, match="index y holds 1[0-2]; it picks from 4"):
        kernel.forward(params, {**inputs, "y": inputs["y"] + 9})
    with pytest.raises(bptt.Error, match="no loop starts from a given state 'g'"):
        kernel.forward(params, inputs, {"g": np.zeros((2, 4))})
    with pytest.raises(bptt.Error, match="lengths of T must be B = 2 whole numbers from 1 to 4"):
        kernel.forward(params, inputs, lengths={"T": np.array([5, 1])})
    with pytest.raises(bptt.Error, match="lengths= names 'S'"):
        kernel.forward(params, inputs, lengths={"S": np.array([1, 1])})
    with pytest.raises(bptt.Error, match="no size is given for n"):
        kernel.init({})
    with pytest.raises(bptt.Error, match="no dimension 'k'"):
        kernel.init({"n": 3, "k": 2})
    with pytest.raises(bptt.Error, match="the size of dimension n must be a whole number from 1"):
        kernel.init({"n": 0})
    with pytest.raises(bptt.Error, match="float32 or float64"):
        bptt.compile(kernel.model, "int8")
    with pytest.raises(bptt.Error, match="the gradient of h must have shape"):
        kernel.backward(kernel.forward(params, inputs), cotangents={"h": np.zeros(3)})
    with pytest.raises(bptt.Error, match="no value is called 'hh'"):
        kernel.forward(params, inputs).value("hh")


def test_attention_over_sequences_of_several_lengths_is_refused():
    kernel = compiled("attention")
    params, inputs, _ = numbers(kernel.model)
    with pytest.raises(bptt.Error, match="'h' is read at all steps of S, so sequences must have one length"):
        kernel.forward(params, inputs, lengths={"S": np.array([3, 2])})


@pytest.mark.parametrize("name", ["character_language_model", "hello", "attention"])
def test_what_is_no_longer_used_is_freed_at_once(name):
    """Not at the next collection of garbage: until then a training would take new memory at every step."""
    kernel = compiled(name)
    params, inputs, _ = numbers(kernel.model)

    def used():
        run = kernel.forward(params, inputs)
        kernel.backward(run)
        assert all(value.ndim for part in run.runs for value in part.values.values())

    used()
    gc.collect()
    gc.disable()
    try:
        used()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_each_sample_may_have_a_weight_of_its_own():
    kernel = compiled("hello")
    params, inputs, _ = numbers(kernel.model)
    run = kernel.forward(params, inputs)
    found = kernel.backward(run, np.array([0.0, 2.0]))
    half = kernel.backward(run, np.array([1.0, -1.0]))
    for name, array in kernel.backward(run).params.items():
        np.testing.assert_allclose(found.params[name] + half.params[name], array, rtol=1e-12, atol=1e-14)
    assert not found.inputs["x"][:, 0].any() and found.inputs["x"][:, 1].any()


def test_a_last_value_needs_a_step():
    text = (
        "x: input[T, m]\ny: input\nh: state[m] = h_0\nfor t in range(T):\n    h = h + x[t]\nloss += (dot(v, h) - y)**2"
    )
    kernel = bptt.compile(bptt.parse_model(text, "sums"))
    params = kernel.init({"m": 3})
    assert kernel.forward(params, {"x": np.ones((1, 2, 3)), "y": np.ones(2)}).loss.shape == (2,)
    with pytest.raises(bptt.Error, match="'h' is read after its loop, which needs at least one step: T = 0"):
        kernel.forward(params, {"x": np.ones((0, 2, 3)), "y": np.ones(2)})


@pytest.mark.parametrize("of", [bptt.derive, bptt.compile])
def test_a_name_in_place_of_a_cell_is_refused(of):
    with pytest.raises(bptt.Error, match=r"give a cell or a model, as bptt.load and bptt.load_model do, not 'gru'"):
        of("gru")
