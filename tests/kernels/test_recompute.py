"""Every k-th state kept and the rest computed again: the same numbers, in the memory that is stated beforehand."""

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest

import bptt
from bptt.kernels import compile

SUMS = 4e-15  # gradients of parameters are summed segment by segment: the last bits may differ
ROUNDS: list[tuple[int, dict[str, Any]]] = [
    (2, {}),
    (1, {"reverse": True}),
    (3, {"lengths": [5, 0, 3]}),
    (2, {"lengths": [4, 2, 5], "reverse": True}),
    (9, {}),
]


def test_what_is_not_kept_is_computed_again(case, make_case, assert_close):
    case = make_case(case.name, 5, 3)
    for keep, more in ROUNDS:
        whole, run = case.forward(**more), case.forward(**more, keep=keep)
        assert_close(dict(run.states), dict(whole.states), 0)
        assert_close(dict(run.values), dict(whole.values), 0)
        expected, grads = case.kernel.backward(whole, case.cotangents), case.kernel.backward(run, case.cotangents)
        for group in ("inputs", "state", "states"):
            assert_close(dict(getattr(grads, group)), dict(getattr(expected, group)), 0)
        largest = max([1e-300, *(np.abs(array).max() for array in expected.params.values())])
        assert_close(grads.params, expected.params, SUMS, scale=largest)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ragged_sizes_in_vectors_and_tails(make_case, assert_close, dtype):
    case = make_case("gru", 23, 5, (("n", 37), ("m", 9)), dtype)
    whole, run = case.forward(), case.forward(keep=7)
    expected, grads = case.kernel.backward(whole, case.cotangents), case.kernel.backward(run, case.cotangents)
    for group in ("inputs", "state", "states"):
        assert_close(dict(getattr(grads, group)), dict(getattr(expected, group)), 0)
    assert_close(grads.params, expected.params, 40 * np.finfo(dtype).eps)


def test_gradients_from_a_value_and_from_one_state_only(make_case, assert_close):
    case = make_case("lstm", 5, 3)
    seeds = {"o": case.cotangents["h"], "c": case.cotangents["c"]}
    expected = case.kernel.backward(case.forward(), seeds)
    grads = case.kernel.backward(case.forward(keep=2), seeds)
    assert_close(grads.state, expected.state, 0)
    assert_close(grads.params, expected.params, SUMS)


def test_nothing_to_carry(make_case):
    case = make_case("lstm", 0, 3)
    run = case.forward(keep=4)
    assert run.states["h"].shape == (0, 3, 4)
    assert not case.kernel.backward(run, {}).params["W_hi"].any()


def test_a_run_without_values_has_no_tangents(make_case):
    case = make_case("gru", 5, 3)
    run = case.forward(keep=2)
    with pytest.raises(bptt.Error, match="^this run kept only some states: run forward without keep= for tangents"):
        case.kernel.jacobians(run)
    with pytest.raises(bptt.Error, match="^keep= must be a whole number from 1, not 0$"):
        case.forward(keep=0)


def measured_bytes(work):
    """Return what a call leaves behind, the most that it took, and its result."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    result = work()
    after, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before, most - before, result


@pytest.mark.parametrize("name", ["lstm", "memory", "attention_decoder"])
@pytest.mark.parametrize("keep", [None, 40])
def test_memory_is_what_was_stated(make_case, name, keep):
    case = make_case(name, 800, 4, (("n", 24), ("m", 16), ("k", 5)))
    kernel = compile(case.kernel.derivation)

    def first(arrays):
        return {name: array[:3] for name, array in arrays.items()}

    kernel.backward(kernel.forward(case.params, first(case.inputs), keep=2), first(case.cotangents))  # compiles
    kernel._passes.pool.pieces.clear()
    stated = kernel.memory(case.size, case.steps, case.batch, keep)

    def both():
        run = kernel.forward(case.params, case.inputs, keep=keep)
        return run, kernel.backward(run, case.cotangents)

    _, most, (run, _) = measured_bytes(both)
    assert run.nbytes == pytest.approx(stated.held, rel=0.01, abs=4096)
    assert 0.7 * stated.most <= most <= 1.02 * stated.most + 50_000, f"{most} bytes\n{stated}"


def test_memory_grows_with_its_root():
    kernel = compile(bptt.load("lstm"))
    sizes = {"n": 64, "m": 32}
    whole, kept = kernel.memory(sizes, 10_000, 16), kernel.memory(sizes, 10_000, 16, 100)
    assert whole.held > 80 * kept.held
    longer = kernel.memory(sizes, 40_000, 16, 200)
    assert longer.held == pytest.approx(2 * kept.held, rel=0.02)


def test_a_budget_is_a_table():
    text = str(compile(bptt.load("rnn")).memory({"n": 8, "m": 8}, 100, 2, 23))
    assert text.startswith("Memory for T = 100, B = 2, beside parameters, inputs and cotangents\n    kept from forward")
    assert "the states before every 23rd step" in text
    with pytest.raises(bptt.Error, match="no size is given for dimension m"):
        compile(bptt.load("rnn")).memory({"n": 8}, 100, 2)


def test_what_does_not_fit_names_the_bytes_and_what_would(make_case, monkeypatch):
    case = make_case("gru", 400, 3, (("n", 8), ("m", 6)))
    kernel = compile(case.kernel.derivation)
    needed = kernel.memory(case.size, 400, 3)
    monkeypatch.setattr("bptt.kernels.room.free_bytes", lambda: needed.forward - 1)
    with pytest.raises(bptt.Error, match="^the forward pass over T = 400, B = 3 needs") as caught:
        kernel.forward(case.params, case.inputs, case.state)
    assert f"needs {needed.forward} bytes (" in str(caught.value)
    [keep] = map(int, re.findall(r"forward\(\.\.\., keep=(\d+)\) needs \S+ KiB, for both passes$", str(caught.value)))
    assert 2 <= keep < 400
    run = kernel.forward(case.params, case.inputs, case.state, keep=keep)
    grads = kernel.backward(run, case.cotangents)
    monkeypatch.setattr("bptt.kernels.room.free_bytes", lambda: needed.forward)
    whole = kernel.forward(case.params, case.inputs, case.state)
    with pytest.raises(bptt.Error, match=rf"^the backward pass .* needs {needed.backward} bytes .*keep=\d+\)"):
        kernel.backward(whole, case.cotangents)
    monkeypatch.setattr("bptt.kernels.room.free_bytes", lambda: None)
    np.testing.assert_allclose(
        grads.params["W_hz"], kernel.backward(whole, case.cotangents).params["W_hz"], rtol=1e-12, atol=1e-13
    )


def test_what_fits_in_no_way(make_case, monkeypatch):
    monkeypatch.setattr("bptt.kernels.room.free_bytes", lambda: 1000)
    case = make_case("gru", 7, 3)
    kernel = compile(case.kernel.derivation)
    with pytest.raises(bptt.Error, match="bytes are free: take a smaller batch or fewer steps$"):
        kernel.forward(case.params, case.inputs, case.state)
    with pytest.raises(bptt.Error, match=r"T = 7, B = 3 needs \d+ bytes .*: take a smaller batch or fewer steps$"):
        kernel.forward(case.params, case.inputs, case.state, keep=1)


def test_tangents_that_do_not_fit(make_case, monkeypatch):
    case = make_case("gru")
    assert case.run
    monkeypatch.setattr("bptt.kernels.room.free_bytes", lambda: 10)
    with pytest.raises(bptt.Error, match=r"^the tangents need \d+ bytes .*10 bytes are free: take fewer of them"):
        case.kernel.tangent(case.run, {"h": np.ones((case.batch, 1, case.size["n"]))})


def test_repeated_entries_that_do_not_fit_once_they_are_copied():
    kernel = compile(bptt.parse("x: input[m]\nw: index[m]\nh: state[n]\nh = tanh(W @ h + U @ x + E[w])"))
    params = kernel.init({"m": 2, "n": 2})
    many = 10**13
    x, w, h = (np.broadcast_to(zero, shape) for zero, shape in ((0.0, (many, 1, 2)), (0, (many, 1)), (0.0, (many, 2))))
    for kind, shape, inputs, state in (
        ("input x", x.shape, {"x": x, "w": np.zeros((1, 1), int)}, {}),
        ("index w", w.shape, {"x": np.zeros((1, 1, 2)), "w": w}, {}),
        ("state h", h.shape, {"x": np.zeros((0, many, 2)), "w": np.zeros((0, many), int)}, {"h": h}),
    ):
        with pytest.raises(bptt.Error, match=f"^{kind} of shape {re.escape(str(shape))} repeats its .* needs [0-9]+ b"):
            kernel.forward(params, inputs, state)
