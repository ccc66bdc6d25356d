"""Sequences of several lengths, backwards in time, with gradients from any value, in several threads; tangents."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import bptt
from bptt.kernels import compile, memory
from bptt.kernels.shards import shared

TOLERANCE = 1e-12  # rounding of some hundred operations, relative to the largest entry


@pytest.fixture
def one(case, make_case):
    return make_case(case.name, 5, 3)


def cut(arrays, b, length):
    return {name: array[:length, b : b + 1] for name, array in arrays.items()}


def sample(arrays, b):
    return {name: array[b : b + 1] for name, array in arrays.items()}


@pytest.mark.parametrize("reverse", [False, True])
def test_blocks_of_steps_make_no_difference(one, assert_close, monkeypatch, reverse):
    """Long sequences are gone back through in blocks of steps, in two threads where there are; here two steps each."""
    for name, number in (("SUMMED_AT_ONCE", 2 * one.batch), ("IN_CACHE", 0)):
        monkeypatch.setattr(memory, name, number)
    monkeypatch.setattr("bptt.kernels.shards.SMALL", 0)
    kernel = compile(one.kernel.derivation, threads=2)
    assert kernel._own.layout(one.size).steps(one.steps, one.batch) == 2
    some = {name: array for name, array in one.cotangents.items() if len(one.cotangents) == 1 or name != "h"}
    for lengths in (None, [5, 1, 4]):
        whole = one.kernel.backward(one.forward(lengths=lengths, reverse=reverse), some)
        given = {"state": one.state, "steps": one.steps, "batch": one.batch, "lengths": lengths, "reverse": reverse}
        grads = kernel.backward(kernel.forward(one.params, one.inputs, **given), some)
        for part in ("params", "inputs", "state", "states"):
            assert_close(dict(getattr(grads, part)), dict(getattr(whole, part)), TOLERANCE, scale=10)


@pytest.mark.parametrize("reverse", [False, True])
def test_lengths_are_those_of_sequences_run_alone(one, assert_close, reverse):
    lengths = [5, 0, 3]
    for piece in one.kernel._passes.pool.pieces:
        if piece.is_free():
            piece.buffer.fill(np.nan)
    run = one.forward(lengths=lengths, reverse=reverse)
    grads = one.kernel.backward(run, one.cotangents)
    sums = {name: np.zeros_like(array) for name, array in one.params.items()}
    for b, length in enumerate(lengths):
        start = sample(one.state, b)
        given = {**cut(one.inputs, b, length)}
        alone = one.kernel.forward(one.params, given, start, steps=length, batch=1, reverse=reverse)
        seeds = {name: array[:, b : b + 1].copy() for name, array in one.cotangents.items()}
        # Where the states stay, their gradients gather at the last step that was made; forwards, that is the length.
        late = {name: array[length:].sum(axis=0) for name, array in seeds.items()}
        if not reverse and length:
            for name in seeds:
                seeds[name][length - 1] += late[name]
        own = one.kernel.backward(alone, {name: array[:length] for name, array in seeds.items()})
        assert_close(cut(run.states, b, length), alone.states, TOLERANCE)
        for name, array in run.states.items():
            stays = one.state[name][b] if reverse or not length else array[length - 1, b]
            np.testing.assert_array_equal(array[length:, b], np.broadcast_to(stays, array[length:, b].shape))
        if reverse or not length:
            own_state = {name: own.state[name] + late[name] for name in own.state}
        else:
            own_state = dict(own.state)
        assert_close(sample(grads.state, b), own_state, TOLERANCE, scale=10)
        for name, array in grads.inputs.items():
            assert not array[length:, b].any()
            assert_close({name: array[:length, b : b + 1]}, {name: own.inputs[name]}, TOLERANCE, scale=10)
        sums = {name: total + own.params[name] for name, total in sums.items()}
    assert_close(dict(grads.params), sums, TOLERANCE, scale=10)


def test_backwards_in_time(one, assert_close):
    run = one.forward(reverse=True)
    turned = one.kernel.forward(
        one.params, {n: a[::-1] for n, a in one.inputs.items()}, one.state, steps=one.steps, batch=one.batch
    )
    assert_close(run.states, {name: array[::-1] for name, array in turned.states.items()}, 0)
    assert_close(dict(run.values), {name: array[::-1] for name, array in turned.values.items()}, 0)
    grads = one.kernel.backward(run, one.cotangents)
    expected = one.kernel.backward(turned, {name: array[::-1] for name, array in one.cotangents.items()})
    assert_close(grads.params, expected.params, 0)
    assert_close(grads.inputs, {name: array[::-1] for name, array in expected.inputs.items()}, 0)


@pytest.mark.parametrize("lengths", [[1, 2], [1, 2, 6], [1, 2, -1], [1.0, 2.0, 3.0], "abc"])
def test_lengths_that_cannot_be(make_case, lengths):
    with pytest.raises(bptt.Error, match="^lengths= must be B = 3 whole numbers from 0 to T = 5, not "):
        make_case("lstm", 5, 3).forward(lengths=lengths)


def test_gradients_from_a_value_that_is_no_state(make_case, assert_close):
    """The gradient that reaches h through o at each step, against finite differences of both losses' sum."""
    case = make_case("lstm", 3, 2)
    seeds = {"h": case.cotangents["h"], "o": case.cotangents["c"], "a_i": case.cotangents["h"]}
    grads = case.kernel.backward(case.run, seeds)

    def loss(params):
        run = case.forward(params=params)
        return sum(np.sum(seed * (run.states | dict(run.values))[name]) for name, seed in seeds.items())

    for name in ("W_hi", "W_xo", "b_f"):
        along = np.random.default_rng(1).standard_normal(case.params[name].shape)
        step = 1e-5
        pair = [loss({**case.params, name: case.params[name] + sign * step * along}) for sign in (1, -1)]
        slope = (pair[0] - pair[1]) / (2 * step)
        assert np.sum(grads.params[name] * along) == pytest.approx(slope, rel=1e-7)  # of central differences
    plain = case.kernel.backward(case.run, {"h": seeds["h"]})
    assert_close(case.kernel.backward(case.run, {"h": seeds["h"], "o": 0 * seeds["o"]}).params, plain.params, 1e-13)


@pytest.mark.parametrize("more", [{}, {"reverse": True}, {"lengths": [5, 0, 3]}], ids=["", "reverse", "lengths"])
def test_tangents_and_cotangents_meet(one, more):
    """⟨v, J u⟩ = ⟨Jᵀ v, u⟩ for directions of states and inputs, through all steps."""
    K, rng = 3, np.random.default_rng(5)
    state = {n: rng.standard_normal((one.batch, K, *a.shape[1:])) for n, a in one.state.items()}
    inputs = {n: rng.standard_normal((one.steps, one.batch, K, *a.shape[2:])) for n, a in one.inputs.items()}
    run = one.forward(**more)
    moved, grads = one.kernel.tangent(run, state, inputs), one.kernel.backward(run, one.cotangents)
    for q in range(K):
        left = [one.cotangents[n] * moved[n][:, :, q] for n in moved]
        right = [grads.state[n] * state[n][:, q] for n in state] + [
            grads.inputs[n] * inputs[n][:, :, q] for n in inputs
        ]
        terms = np.concatenate([array.ravel() for array in left])
        assert abs(terms.sum() - sum(map(np.sum, right))) <= TOLERANCE * np.abs(terms).sum()


def test_jacobians_of_steps_that_a_sequence_does_not_reach(one):
    """A state that stays has the identity; the other steps have what they have without lengths."""
    found = one.kernel.jacobians(one.forward(lengths=[5, 0, 3]))
    whole = one.kernel.jacobians(one.forward())
    for b, length in enumerate([5, 0, 3]):
        np.testing.assert_array_equal(
            found[length:, b], np.broadcast_to(np.eye(found.shape[-1]), found[length:, b].shape)
        )
        np.testing.assert_allclose(found[:length, b], whole[:length, b], rtol=1e-12, atol=1e-14)


def test_tangents_need_a_direction(make_case):
    case = make_case("lstm")
    with pytest.raises(bptt.Error, match="^give the tangent of a state or of an input; here none$"):
        case.kernel.tangent(case.run, {})


@pytest.mark.parametrize("near", [0, 2**40], ids=["columns", "samples"])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", ["lstm", "attention", "memory", "two_inputs", "skew"])
def test_threads_change_no_bit(make_case, assert_close, monkeypatch, name, batch, near):
    """Whether each takes samples of its own, or columns of every product: of one panel, or of several."""
    monkeypatch.setattr("bptt.kernels.shards.SMALL", 0)
    monkeypatch.setattr("bptt.kernels.shards.NEAR", near)
    monkeypatch.setattr("bptt.kernels.shards.cores", lambda: 3)
    case = make_case(name, 6, batch, (("n", 70), ("m", 3)))
    many = compile(case.kernel.derivation, threads=3)
    many._modules = case.kernel._modules
    for lengths in (None, [6, 0, 3, 1, 5][:batch]):
        runs = [kernel.forward(case.params, case.inputs, case.state, lengths=lengths) for kernel in (case.kernel, many)]
        alone, together = (
            kernel.backward(run, case.cotangents) for kernel, run in zip((case.kernel, many), runs, strict=True)
        )
        assert_close(runs[1].states, runs[0].states, 0)
        for group in ("params", "inputs", "state", "states"):
            assert_close(getattr(together, group), getattr(alone, group), 0)


@pytest.mark.parametrize(
    ("threads", "steps", "batch", "matrices", "expected"),
    [
        (2, 50, 16, 10, (2, False)),
        (2, 50, 1, 10, (2, True)),
        (2, 50, 4, 10**7, (2, True)),
        (2, 50, 64, 10**7, (2, False)),
        (2, 1, 1, 10, (1, False)),
        (9, 50, 16, 10, (4, False)),
    ],
    ids=["samples", "one sample", "few samples, large matrices", "many samples", "little work", "few cores"],
)
def test_how_a_pass_is_shared(monkeypatch, threads, steps, batch, matrices, expected):
    monkeypatch.setattr("bptt.kernels.shards.cores", lambda: 4)
    found = shared(threads, steps, batch, 1_000_000, matrices)
    counts = list(found.counts())
    assert (found.parts, found.split) == expected
    assert [one["part"] for one in counts] == list(range(found.parts))
    assert counts[0]["first"] == 0 and counts[-1]["last"] == batch
    assert all(one["last"] == two["first"] for one, two in zip(counts, counts[1:], strict=False))


def test_threads_are_counted(make_case):
    with pytest.raises(bptt.Error, match="^threads= must be a whole number from 1, not 0$"):
        compile(make_case("lstm").kernel.derivation, threads=0)


def test_a_result_outlives_the_next_call(make_case, assert_close):
    """Memory is used again only when nobody looks at it: not even through one array of an old run."""
    case = make_case("gru")
    kept = case.kernel.forward(case.params, case.inputs, case.state).states["h"]
    before = kept.copy()
    for _ in range(3):
        other = case.kernel.forward(case.params, {n: a + 1 for n, a in case.inputs.items()}, case.state)
        case.kernel.backward(other, case.cotangents)
    np.testing.assert_array_equal(kept, before)


def test_each_array_of_a_result_outlives_the_next_call(make_case):
    """Whichever is the only one that is still looked at."""
    case = make_case("gru")

    def passes(inputs):
        run = case.kernel.forward(case.params, inputs, case.state)
        grads = case.kernel.backward(run, case.cotangents)
        tables = run.arrays, run.states, run.values, grads.params, grads.inputs, grads.state, grads.states
        return [array for table in tables for array in table.values()]

    others = {name: array + 1 for name, array in case.inputs.items()}
    for place in range(len(passes(others))):
        alone = passes(case.inputs)[place]
        before = alone.copy()
        passes(others)
        np.testing.assert_array_equal(alone, before)


def test_what_is_written_into_a_run_does_not_reach_the_next(make_case):
    case = make_case("gru")
    kernel = compile(case.kernel.derivation)
    run = kernel.forward(case.params, case.inputs)
    before = run.states["h"].copy()
    run.values["h_prev"][:] = 7
    del run
    np.testing.assert_array_equal(kernel.forward(case.params, case.inputs).states["h"], before)


def test_callers_in_several_threads_share_a_kernel(make_case, assert_close):
    case = make_case("gru")
    many = [{name: array + number for name, array in case.inputs.items()} for number in range(4)]

    def passes(inputs):
        run = case.kernel.forward(case.params, inputs, case.state)
        grads = case.kernel.backward(run, case.cotangents)
        return {"h": run.states["h"].copy(), **{name: array.copy() for name, array in grads.params.items()}}

    alone = [passes(inputs) for inputs in many]
    with ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(passes, 50 * many)):
            assert_close(found, alone[number % 4], 0)


def test_memory_is_used_again_once_nobody_looks(make_case):
    """What an earlier pass took serves the next one of its size: else each would begin with pages never touched."""
    case = make_case("gru")
    kernel = compile(case.kernel.derivation)
    for _ in range(3):
        kernel.backward(kernel.forward(case.params, case.inputs, case.state), case.cotangents)
    sizes = sorted(piece.buffer.size for piece in kernel._passes.pool.pieces)
    assert sizes == sorted(set(sizes)), "one buffer for each purpose, not one for each call"


def test_memory_that_somebody_looks_at_is_not_used_again(make_case):
    """Not even where its buffer served other arrays before, and something still knows of those."""
    case = make_case("gru")
    kernel = compile(case.kernel.derivation)
    inputs = {steps: {name: array[:steps] for name, array in case.inputs.items()} for steps in (3, 4)}
    kernel.forward(case.params, inputs[4], case.state)
    earlier = list(kernel._passes.pool.pieces)
    run = kernel.forward(case.params, inputs[3], case.state)
    last = run.states["h"][-1]
    expected = last.copy()
    del run, earlier
    kernel.forward(case.params, inputs[3], {name: 2 * array for name, array in case.state.items()})
    np.testing.assert_array_equal(last, expected)
