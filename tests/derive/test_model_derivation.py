"""Gradients of whole models: against Python by the complex step, against every draw, with broken rules."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Add, Integer, Symbol

import bptt
from bptt.derive import expansion, rollout
from bptt.derive.compose import LOSSES, SHAPES
from bptt.derive.interpret import run, size
from bptt.derive.linear import scatter
from bptt.derive.model_text import LAST
from bptt.derive.proof import model_sizes, prove
from bptt.derive.sizes import size_from

from .plain import evaluate

STEPS = {"T": 4, "S": 3}


@cache
def derived(name):
    return bptt.derive(bptt.load_model(name))


def numbers(model, seed=0):
    """Return random values of all that a model is given, and its sizes."""
    random = np.random.default_rng(seed)
    sizes = model_sizes(model) | {axis: STEPS[axis] for axis in model.axes}
    shapes = {name: [size(part, sizes) for part in model.whole_shape(name)] for name in (*model.params, *model.inputs)}
    given = {name: np.asarray(random.uniform(-1, 1, shape), dtype=complex) for name, shape in shapes.items()}
    for name, (*axis, entries) in model.indices.items():
        given[name] = random.integers(0, size(size_from(entries), sizes), [sizes[a] for a in axis])
    return given, sizes


def gradients(derivation, values, sizes, apply):
    """Run the derived programs forwards and backwards."""

    def execute(program, known):
        return {symbol: np.asarray(array) for symbol, array in run(program, known, sizes, apply, 1.0).items()}

    def step(number, known):
        part = derivation.parts[number]
        return execute(part.forward, execute(part.prologue, known))

    traces = rollout.forward(derivation.model, values, sizes, step, 0j)
    found = rollout.backward(derivation, traces, sizes, execute, None, 0j)
    return {name: np.asarray(array, dtype=complex) for name, array in found.items()}


@pytest.mark.parametrize("name", bptt.models())
def test_gradients_are_those_of_the_text_run_by_python(name, apply, differentiate):
    derivation = derived(name)
    values, sizes = numbers(derivation.model)
    found = gradients(derivation, values, sizes, apply)
    assert found.keys() == {*derivation.model.params, *derivation.model.inputs}
    for quantity, array in found.items():
        expected = differentiate(values[quantity], lambda: evaluate(derivation.model.text, values, sizes)["loss"])
        # the complex step has no error of its own: what is left is rounding in sums of some dozen terms near 1
        np.testing.assert_allclose(array.ravel(), np.ravel(expected), rtol=0, atol=1e-12, err_msg=quantity)


def test_hard_attention_is_unbiased(apply, differentiate):
    """The mean over all draws of the estimator is the derivative of the expected loss, whatever the baseline."""
    derivation = derived("captioning_hard")
    model = derivation.model
    values, sizes = numbers(model)
    sizes |= {"L": 2, "T": 3, "K": 3, "m": 2, "d": 2, "D": 2}
    random = np.random.default_rng(1)
    for name in (*model.params, *model.inputs):
        shape = [size(part, sizes) for part in model.whole_shape(name)]
        values[name] = np.asarray(random.uniform(-1, 1, shape), dtype=complex)
    values |= {"w": np.array([0, 2, 1]), "y": np.array([2, 1, 0])}
    draws = [np.array(draw) for draw in itertools.product(range(2), repeat=3)]

    def probability_and_loss(draw):
        """Return how likely a draw is, and the loss of its words."""
        names = evaluate(model.text, values | {"s": draw, "r": np.asarray(0.0)}, sizes)
        chosen = [np.exp(e)[place] / np.sum(np.exp(e)) for e, place in zip(names["e_at"], draw, strict=True)]
        return np.prod(chosen), names["loss"]

    def expected_loss():
        return sum(p * loss for p, loss in map(probability_and_loss, draws))

    assert abs(sum(probability_and_loss(draw)[0] for draw in draws) - 1) < 1e-14
    mean = dict.fromkeys(model.params, 0)
    for draw in draws:
        likely, loss = probability_and_loss(draw)
        found = gradients(derivation, values | {"s": draw, "r": np.asarray(loss - 0.37)}, sizes, apply)
        mean = {name: total + likely * found[name] for name, total in mean.items()}
    for name, array in mean.items():
        expected = differentiate(values[name], expected_loss)
        np.testing.assert_allclose(np.ravel(array), np.ravel(expected), rtol=0, atol=1e-10, err_msg=name)


def test_two_calls_of_one_layer_share_parameters(apply, differentiate):
    text = """
x: input[T, n]
layer: lstm
for t in range(T):
    h, c = layer(x[t])
    g, d = layer(h)
    loss += sum(g) + dot(h, d)
"""
    model = bptt.parse_model(text)
    assert [name for name in model.params if not name.endswith("__layer")] == []
    assert {"i__layer", "i__layer_2"} <= {e.target.name for e in model.blocks[0].cell.equations}
    derivation = bptt.derive(model)
    values, sizes = numbers(model)
    text = text.replace("dot(h, d)", "sum(h * d)")
    found = gradients(derivation, values, sizes, apply)
    for name, array in found.items():
        expected = differentiate(values[name], lambda: evaluate(text, values, sizes)["loss"])
        np.testing.assert_allclose(array.ravel(), np.ravel(expected), rtol=0, atol=1e-12, err_msg=name)


# Models at random -------------------------------------------------------------------------------------------------


@st.composite
def composed(draw):
    shape = draw(st.sampled_from(list(SHAPES)))
    both_ways = shape in ("many-to-one", "many-to-many")
    return bptt.compose(
        draw(st.sampled_from(["rnn", "lstm", "gru"])),
        shape=shape,
        layers=draw(st.integers(1, 2)),
        bidirectional=draw(st.booleans()) if both_ways else False,
        embedding=draw(st.booleans()) if shape != "one-to-many fed back" else False,
        attention=draw(st.booleans()) if shape == "sequence-to-sequence" else False,
        loss=draw(st.sampled_from(list(LOSSES))),
    )


@settings(max_examples=25, derandomize=True)
@given(model=composed(), seed=st.integers(0, 100))
def test_slopes_of_composed_models_in_a_random_direction(model, seed, apply):
    assert_slope(bptt.derive(model), seed, apply)


LINES = [
    "a = tanh(A @ x[t])",
    "h = rnn({})",
    "g = gru_layer({})",
    "b = sigmoid({}) * {}",
    "k, l = lstm_layer({})",
]


@st.composite
def written(draw):
    """Return a model of a few lines, each of which reads some of the values before it."""
    lines = draw(st.permutations(LINES[1:]))[: draw(st.integers(1, 4))]
    known, inside = ["a"], [LINES[0]]
    for line in lines:
        read = [draw(st.sampled_from(known)) for _ in range(line.count("{}"))]
        inside.append(line.format(*read))
        known += inside[-1].split(" = ")[0].split(", ")
    order = draw(st.sampled_from(["range(T)", "reversed(range(T))"]))
    text = ["x: input[T, m]", "y: input[n]", "A: param[n, m]"]
    text += ["gru_layer: gru"] * any("gru" in line for line in inside)
    text += ["lstm_layer: lstm"] * any("lstm" in line for line in inside)
    if any("h = " in line for line in inside) and draw(st.booleans()):
        text += ["h: state[n] = tanh(h0 + y)"]
    text += [f"for t in {order}:", *(f"    {line}" for line in inside)]
    first, second = draw(st.sampled_from(known)), draw(st.sampled_from(known))
    if draw(st.booleans()):
        text += ["for s in range(T):", f"    loss += sum({first}[s] * {second}) + squared_error({second}[s], y)"]
    return "\n".join([*text, f"loss += squared_error({first}, {second} * y)"]) + "\n"


@settings(max_examples=25, derandomize=True)
@given(text=written(), seed=st.integers(0, 100))
def test_slopes_of_written_models_in_a_random_direction(text, seed, apply):
    assert_slope(bptt.derive(bptt.parse_model(text)), seed, apply)


def assert_slope(derivation, seed, apply):
    """Compare the slope of the loss in a random direction with the derived gradients."""
    values, sizes = numbers(derivation.model, seed)
    found = gradients(derivation, values, sizes, apply)
    random = np.random.default_rng(seed + 1)
    directions = {name: random.uniform(-1, 1, array.shape) for name, array in found.items()}
    moved = values | {name: values[name] + 1e-30j * direction for name, direction in directions.items()}
    expected = np.imag(evaluate(derivation.model.text, moved, sizes)["loss"]) / 1e-30
    slope = sum(np.sum(found[name] * direction) for name, direction in directions.items())
    np.testing.assert_allclose(slope, expected, rtol=1e-11, atol=1e-12)


# What is broken is found --------------------------------------------------------------------------------------------

BOTH_WAYS = """
x: input[T, m]
back: min_gru
for t in range(T):
    h = rnn(x[t])
for t in reversed(range(T)):
    g = back(h[t])
for t in range(T):
    loss += dot(g[t], h[t])
loss += dot(g, h) * sum(g)
"""


def wrong(proof):
    return [check.counterexample for check in proof.checks if not check.holds]


@pytest.fixture
def both_ways():
    derivation = bptt.derive(bptt.parse_model(BOTH_WAYS))
    assert prove(derivation).holds
    return derivation


def test_a_last_value_taken_for_the_first_step_s_is_found(both_ways, monkeypatch):
    send = rollout._Back.send

    def at_first(self, wire, time, bar):
        send(self, replace(wire, part="step") if wire.part == LAST else wire, 0 if wire.part == LAST else time, bar)

    monkeypatch.setattr(rollout._Back, "send", at_first)
    assert wrong(prove(both_ways))


def test_a_forgotten_reader_is_found(both_ways, monkeypatch):
    send = rollout._Back.send
    seen = set()

    def only_the_first(self, wire, time, bar):
        if (wire.source, wire.part) not in seen or wire.source != "h" or wire.part != LAST:
            send(self, wire, time, bar)
        seen.add((wire.source, wire.part))

    seen.add(("h", LAST))
    monkeypatch.setattr(rollout._Back, "send", only_the_first)
    assert wrong(prove(both_ways))


def test_an_adjoint_that_overwrites_instead_of_adding_is_found(both_ways, monkeypatch):
    send = rollout._Back.send

    def overwrite(self, wire, time, bar):
        if wire.source in self.arriving and wire.part == "step":
            self.arriving[wire.source][time] = self.zero
        send(self, wire, time, bar)

    monkeypatch.setattr(rollout._Back, "send", overwrite)
    assert wrong(prove(both_ways))


def test_a_reversed_loop_run_back_in_its_own_order_is_found(both_ways, monkeypatch):
    backward, times = rollout.backward, rollout.times

    def same_order(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(rollout, "times", lambda block, sizes: iter(sorted(times(block, sizes))))
            return backward(*arguments)

    monkeypatch.setattr(expansion, "backward", same_order)
    assert wrong(prove(both_ways))


def with_line(derivation, number, target, change):
    """Change the right side of one line of a block's backward program."""
    part = derivation.parts[number]
    steps = tuple(replace(s, expr=change(s.expr)) if s.target == Symbol(target) else s for s in part.backward.steps)
    assert steps != part.backward.steps
    parts = list(derivation.parts)
    parts[number] = replace(part, backward=replace(part.backward, steps=steps))
    return replace(derivation, parts=tuple(parts))


@pytest.mark.parametrize(("number", "target"), [(0, "delta_h_prev"), (1, "delta_g_prev")])
def test_a_dropped_adjoint_between_steps_is_found(both_ways, number, target):
    assert wrong(prove(with_line(both_ways, number, target, lambda expr: Integer(0))))


def test_a_wrong_gradient_of_a_start_is_found():
    text = BOTH_WAYS.replace("back: min_gru", "back: min_gru\nh: state[n] = tanh(a)")
    derivation = bptt.derive(bptt.parse_model(text))
    assert prove(derivation).holds
    assert any(found.startswith("a[") for found in wrong(prove(with_line(derivation, 1, "delta_h_prev", twice))))


def twice(expr):
    return 2 * expr


def test_rows_of_an_embedding_that_aren_t_added_up_are_found():
    def without_one(expr):
        assert isinstance(expr, Add) and all(term.has(scatter) for term in expr.args)
        return expr - expr.args[0]

    derivation = derived("fixed_window")
    assert prove(derivation).holds
    assert any(found.startswith("E[") for found in wrong(prove(with_line(derivation, 0, "delta_E", without_one))))
