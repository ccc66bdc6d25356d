"""Kernels against the author's equations, against 50 digits, and against themselves."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bptt.kernels import oracle
from bptt.kernels.functions import PLAIN
from bptt.kernels.kernel import layout

# Rounding of some hundred operations in double precision, relative to the largest entry of a gradient.
TOLERANCE = 1e-12
# The same beside 50 digits, which have no rounding of their own; 4e-15 was seen.
EXACT = 1e-13
# The same in single precision.
SINGLE = 1e-5


def assert_gradients(grads, expected, assert_close, tolerance=TOLERANCE, scale=None):
    for group in ("params", "inputs", "state"):
        assert_close(getattr(grads, group), getattr(expected, group), tolerance, scale)


def in_float64(arrays):
    return {name: array.astype("float64") for name, array in arrays.items()}


def in_floats(arrays):
    return {name: np.asarray(array, float) for name, array in arrays.items()}


def test_states_and_gradients_against_complex_step(case, assert_close):
    taken = case.params, case.inputs, case.state
    assert_close(case.run.states, case.reference.states(*taken, case.steps), TOLERANCE)
    assert_gradients(case.grads, case.reference.gradients(*taken, case.cotangents), assert_close)


def test_states_and_gradients_against_fifty_digits(case, assert_close):
    taken = case.params, case.inputs, case.state, case.cotangents
    exact = oracle.answer(case.kernel.derivation, *taken, digits=50)
    assert_close(case.run.states, in_floats(exact.states), EXACT)
    for group in ("params", "inputs", "state"):
        assert_close(getattr(case.grads, group), in_floats(getattr(exact, group)), EXACT)


def test_every_named_value_is_kept(case):
    for t, b in np.ndindex(case.steps, case.batch):
        inputs = {name: array[t, b] for name, array in case.inputs.items()}
        before = {name: case.run.values[f"{name}_prev"][t, b] for name in case.cell.states}
        expected = case.reference.values(case.params, inputs, before)
        for equation in case.cell.equations:
            name = equation.target.name
            if name in case.run.values:
                np.testing.assert_allclose(case.run.values[name][t, b], expected[name], rtol=1e-11, atol=1e-12)


def test_jacobians_against_complex_step(case):
    found = case.kernel.jacobians(case.run)
    places = layout(case.cell, case.run.sizes)
    width = sum(place.stop - place.start for place in places.values())
    assert found.shape == (case.steps, case.batch, width, width)
    for t, b in np.ndindex(case.steps, case.batch):
        inputs = {name: array[t, b] for name, array in case.inputs.items()}
        before = {name: case.run.values[f"{name}_prev"][t, b] for name in places}
        for column in range(width):
            bent = {}
            for name, place in places.items():
                flat = before[name].astype(complex).ravel()
                if place.start <= column < place.stop:
                    flat[column - place.start] += 1e-40j
                bent[name] = flat.reshape(before[name].shape)
            after = case.reference.values(case.params, inputs, bent)
            slopes = np.concatenate([np.broadcast_to(after[n], bent[n].shape).ravel().imag for n in places]) / 1e-40
            scale = max(1, np.abs(slopes).max())
            np.testing.assert_allclose(found[t, b, :, column], slopes, rtol=0, atol=TOLERANCE * scale)


def test_gradients_of_states_follow_the_recursion(case):
    jacobians = case.kernel.jacobians(case.run)

    def full(arrays):
        return np.concatenate([arrays[n].reshape(case.steps, case.batch, -1) for n in case.cell.states], axis=-1)

    expected = full(case.cotangents).copy()
    for t in reversed(range(1, case.steps)):
        expected[t - 1] += np.einsum("bij,bi->bj", jacobians[t], expected[t])
    np.testing.assert_allclose(full(case.grads.states), expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
    first = np.einsum("bij,bi->bj", jacobians[0], expected[0])
    found = np.concatenate([case.grads.state[n].reshape(case.batch, -1) for n in case.cell.states], axis=-1)
    np.testing.assert_allclose(found, first, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def test_a_tangent_and_a_cotangent_meet_in_the_same_number(case):
    """⟨v, J u⟩ = ⟨Jᵀ v, u⟩, with J u by one complex step along u."""
    groups = {"params": case.params, "inputs": case.inputs, "state": case.state}
    bent, right = {}, 0.0
    for number, (group, arrays) in enumerate(groups.items()):
        rng = np.random.default_rng([7, number])
        along = {name: rng.standard_normal(array.shape) for name, array in arrays.items()}
        bent[group] = {name: array + 1e-40j * along[name] for name, array in arrays.items()}
        right += sum(np.sum(getattr(case.grads, group)[name] * along[name]) for name in arrays)
    states = case.reference.states(**bent, steps=case.steps)
    terms = np.concatenate([(case.cotangents[name] * states[name].imag).ravel() / 1e-40 for name in states])
    assert abs(terms.sum() - right) <= TOLERANCE * np.abs(terms).sum()


def test_a_batch_is_its_samples_one_by_one(case, assert_close):
    sums = {name: np.zeros_like(array) for name, array in case.params.items()}
    for b in range(case.batch):
        inputs = {name: array[:, b : b + 1] for name, array in case.inputs.items()}
        state = {name: array[b : b + 1] for name, array in case.state.items()}
        run = case.kernel.forward(case.params, inputs, state, steps=case.steps, batch=1)
        grads = case.kernel.backward(run, {n: array[:, b : b + 1] for n, array in case.cotangents.items()})
        assert_close(run.states, {n: array[:, b : b + 1] for n, array in case.run.states.items()}, TOLERANCE)
        assert_close(grads.inputs, {n: array[:, b : b + 1] for n, array in case.grads.inputs.items()}, TOLERANCE)
        assert_close(grads.state, {n: array[b : b + 1] for n, array in case.grads.state.items()}, TOLERANCE)
        sums = {name: array + grads.params[name] for name, array in sums.items()}
    assert_close(sums, case.grads.params, TOLERANCE)


@pytest.mark.parametrize("name", ["peephole", "attention", "memory", "skew", "copied"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_sizes(make_case, assert_close, name, data):
    number = st.integers(1, 5)
    sizes = tuple((dimension, data.draw(number, dimension)) for dimension in ("n", "m", "k", "L", "D"))
    case = make_case(name, data.draw(number, "T"), data.draw(number, "B"), sizes)
    expected = oracle.answer(case.kernel.derivation, case.params, case.inputs, case.state, case.cotangents, digits=None)
    assert_close(case.run.states, in_floats(expected.states), TOLERANCE)
    for group in ("params", "inputs", "state"):
        arrays = in_floats(getattr(expected, group))
        scale = max([1, *(np.abs(array).max() for array in arrays.values())])
        assert_close(getattr(case.grads, group), arrays, TOLERANCE, scale)


def test_no_steps_or_no_samples_give_empty_results(case):
    for steps, batch in ((0, 2), (3, 0), (0, 0)):
        inputs = {name: array[:steps, :batch] for name, array in case.inputs.items()}
        state = {name: array[:batch] for name, array in case.state.items()}
        run = case.kernel.forward(case.params, inputs, state, steps=steps, batch=batch)
        grads = case.kernel.backward(run, {name: array[:steps, :batch] for name, array in case.cotangents.items()})
        width = sum(place.stop - place.start for place in case.kernel.state_layout.values())
        assert case.kernel.jacobians(run).shape == (steps, batch, width, width)
        for name, array in case.state.items():
            assert run.states[name].shape == grads.states[name].shape == (steps, batch, *array.shape[1:])
            assert grads.state[name].shape == (batch, *array.shape[1:])
            assert not grads.state[name].any()
        assert not any(array.any() for array in grads.params.values())
        assert all(grads.inputs[name].shape == inputs[name].shape for name in inputs)


def test_no_steps_send_nothing_back(make_case):
    """With T = 0 no loss reads the initial state: its gradient is 0."""
    case = make_case("lstm", 0, 2)
    assert {name: array.shape for name, array in case.grads.state.items()} == {"h": (2, 4), "c": (2, 4)}


@pytest.mark.parametrize("name", ["lstm", "attention", "memory"])
def test_float32_against_float64(make_case, assert_close, name):
    single, double = make_case(name, dtype="float32"), make_case(name)
    taken = {group: in_float64(getattr(single, group)) for group in ("params", "inputs", "state")}
    run = double.forward(**taken)
    grads = double.kernel.backward(run, in_float64(single.cotangents))
    assert_close(single.run.states, run.states, SINGLE)
    assert_gradients(single.grads, grads, assert_close, SINGLE)
    everything = [single.run.states, single.run.values, single.grads.states]
    everything += [getattr(single.grads, group) for group in ("params", "inputs", "state")]
    assert all(array.dtype == np.float32 for arrays in everything for array in arrays.values())
    assert single.kernel.jacobians(single.run).dtype == np.float32


def test_large_scores_do_not_overflow_softmax(make_case):
    case = make_case("attention")
    run = case.forward(params={**case.params, "W_a": 1e4 * case.params["W_a"]})
    grads = case.kernel.backward(run, case.cotangents)
    assert all(np.isfinite(array).all() for array in (*run.states.values(), *grads.params.values()))


def test_nan_in_a_weight_is_passed_on(make_case):
    case = make_case("lstm")
    weight = case.params["W_hi"].copy()
    weight[0, 0] = np.nan
    run = case.forward(params={**case.params, "W_hi": weight})
    assert np.isnan(run.states["h"][-1]).any()
    assert np.isnan(case.kernel.backward(run, case.cotangents).params["W_hf"]).any()


@pytest.mark.parametrize("name", ["lstm", "two_inputs"])
def test_what_is_left_out_is_zero(make_case, assert_close, name):
    case = make_case(name)
    first, *others = case.cell.states
    zeros = {state: np.zeros_like(case.state[state]) for state in others}
    run = case.forward(state={first: case.state[first]})
    explicit = case.forward(state={first: case.state[first], **zeros})
    assert_close(run.states, explicit.states, 0)
    assert_close(case.forward(state=None).states, case.forward(state={}).states, 0)
    partial = case.kernel.backward(run, {first: case.cotangents[first]})
    nothing = {state: np.zeros_like(case.cotangents[state]) for state in others}
    whole = case.kernel.backward(run, {first: case.cotangents[first], **nothing})
    assert_gradients(partial, whole, assert_close, 0)
    silent = case.kernel.backward(run, {})
    assert not any(array.any() for array in (*silent.params.values(), *silent.inputs.values(), *silent.state.values()))


@pytest.mark.parametrize("name", ["lstm", "memory"])
def test_any_layout_in_memory_gives_the_same(make_case, assert_close, name):
    case = make_case(name)

    def scattered(array):
        """The same numbers with a gap after each entry, axes reversed in memory, and locked."""
        wide = np.empty((*array.shape[::-1], 2))
        view = wide[..., 0].T
        view[...] = array
        view.flags.writeable = False
        return view

    def all_of(arrays):
        return {name: scattered(array) for name, array in arrays.items()}

    def versions():
        """Of the compiled code; one of plain Python, where Numba's compiler is switched off."""
        return len(getattr(case.kernel.module.forward, "signatures", [()]))

    compiled = versions()
    run = case.kernel.forward(all_of(case.params), all_of(case.inputs), all_of(case.state))
    grads = case.kernel.backward(run, all_of(case.cotangents))
    assert_close(run.states, case.run.states, 0)
    assert_gradients(grads, case.grads, assert_close, 0)
    assert versions() == max(compiled, 1), "a layout made Numba compile anew"


def test_nested_lists_are_taken_as_arrays(make_case, assert_close):
    case = make_case("rnn")
    run = case.forward(inputs={"x": case.inputs["x"].tolist()})
    assert_close(run.states, case.run.states, 0)


def test_backward_leaves_the_run_as_it_was(make_case, assert_close):
    case = make_case("skew")
    before = {name: array.copy() for name, array in case.run.arrays.items()}
    twice = case.kernel.backward(case.run, case.cotangents), case.kernel.backward(case.run, case.cotangents)
    assert_gradients(twice[0], twice[1], assert_close, 0)
    assert_close(case.run.arrays, before, 0)


def test_state_layout_follows_the_cell(make_case):
    case = make_case("two_inputs")
    case.forward()
    assert case.kernel.state_layout == {"h": slice(0, 4), "s": slice(4, 5)}
    case.kernel.init({"n": 7, "m": 1, "k": 1})
    assert case.kernel.state_layout == {"h": slice(0, 7), "s": slice(7, 8)}


def test_an_argument_that_is_not_kept_is_worked_out(case):
    schedule = case.kernel.schedule
    steps = {step.target: step.expr for step in schedule.program.steps}
    for argument, value in schedule.spent.items():
        expected = PLAIN[steps[value].rule.name](case.run.values[argument.name])
        if value.name in case.run.values:
            np.testing.assert_allclose(case.run.values[value.name], expected, rtol=1e-12, atol=1e-14)
