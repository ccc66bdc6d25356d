"""Passes on arrays like those of the pass before: taken at once, and only where nothing about them is wrong."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import bptt
from bptt.derive.errors import Error, ShapeError
from bptt.kernels import compile
from bptt.kernels.table import looks_alike, numbered, request
from bptt.kernels.vector import WITHOUT_NUMBA

T, B, M, N = 4, 3, 2, 5
SEEDS = "h", "c"


@pytest.fixture(scope="module")
def derivation():
    return bptt.derive(bptt.load("lstm"))


@pytest.fixture
def given(derivation):
    rng = np.random.default_rng(3)
    inputs, seeds = {"x": rng.normal(size=(T, B, M))}, {name: rng.normal(size=(T, B, N)) for name in SEEDS}
    return compile(derivation).init({"m": M, "n": N}), inputs, seeds


def passes(kernel, params, inputs, seeds):
    run = kernel.forward(params, inputs)
    grads = kernel.backward(run, seeds)
    parts = run.states, grads.params, grads.inputs, grads.state, grads.states
    return {(part, name): array.copy() for part, arrays in enumerate(parts) for name, array in arrays.items()}


def same(found, expected):
    return found.keys() == expected.keys() and all(np.array_equal(found[key], expected[key]) for key in found)


@pytest.fixture
def ready(derivation, given):
    """A kernel that has just run on what is given."""
    kernel = compile(derivation)
    passes(kernel, *given)
    return kernel


@pytest.fixture
def at_once(ready, monkeypatch):
    """Such a kernel, which refuses what isn't taken at once."""

    def refuse(*args):
        raise AssertionError("this was checked anew")

    monkeypatch.setattr(ready, "_check_memory", refuse)
    return ready


def test_other_arrays_of_the_same_shapes_are_taken_at_once(at_once, derivation, given):
    params, inputs, seeds = given
    params = {name: array + 0.5 for name, array in reversed(params.items())}
    other = params, {"x": -inputs["x"]}, {name: seeds[name] + 1 for name in SEEDS}
    assert same(passes(at_once, *other), passes(compile(derivation), *other))


def test_numbers_changed_in_place_count(at_once, derivation, given):
    before = passes(at_once, *given)
    params, inputs, seeds = given
    params["W_hi"] *= 2
    inputs["x"][1] = 0
    seeds["h"] += 1
    found = passes(at_once, *given)
    assert same(found, passes(compile(derivation), *given))
    assert not same(found, before)


WAYS: dict[str, Callable[[Any], Any]] = {
    "a list": lambda a: a.tolist(),
    "columns first": np.asfortranarray,
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "read-only": lambda a: np.frombuffer(a.tobytes()).reshape(a.shape),
    "misaligned": lambda a: np.frombuffer(bytearray(b" " + a.tobytes()), offset=1).reshape(a.shape),
    "masked": np.ma.masked_array,
    "an equal dtype": lambda a: a.view(np.dtype("f8", metadata={"of": "ours"})),
    "a view of memory": memoryview,
}


@pytest.mark.parametrize("way", WAYS)
def test_other_kinds_of_arrays_are_taken_too(ready, derivation, given, way):
    made = [{name: WAYS[way](array) for name, array in part.items()} for part in given]
    assert same(passes(ready, *made), passes(compile(derivation), *given))


WRONG: dict[str, Callable[[Any], Any]] = {
    "float32": lambda a: a.astype("f4"),
    "bytes swapped": lambda a: a.astype(">f8"),
    "whole numbers": lambda a: a.astype(int),
    "an axis more": lambda a: a[..., None],
    "an axis less": lambda a: a[0],
    "axes exchanged": lambda a: np.ascontiguousarray(a.T),
    "an entry more": lambda a: np.concatenate([a, a], axis=-1),
    "nothing": lambda a: None,
    "a dict": lambda a: {},
}


def message(kernel, *given):
    with pytest.raises(ShapeError) as caught:
        passes(kernel, *given)
    return str(caught.value)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(("part", "name"), [(0, "W_xi"), (1, "x"), (2, "c")])
def test_a_wrong_array_is_refused_as_in_a_first_pass(ready, derivation, given, wrong, part, name):
    given[part][name] = WRONG[wrong](given[part][name])
    assert message(ready, *given) == message(compile(derivation), *given)


@pytest.mark.parametrize("part", [0, 1])
def test_names_are_looked_at(ready, derivation, given, part):
    missing = [dict(arrays) for arrays in given]
    name, array = missing[part].popitem()
    assert message(ready, *missing) == message(compile(derivation), *missing)
    missing[1 - part]["other"] = array  # as many arrays as before
    assert message(ready, *missing) == message(compile(derivation), *missing)
    given[part]["other"] = array
    assert message(ready, *given) == message(compile(derivation), *given)


def test_counts_and_states_are_looked_at(ready, given):
    params, inputs, _ = given
    with pytest.raises(ShapeError, match=r"^input x has T = 4, but steps= says 5$"):
        ready.forward(params, inputs, steps=T + 1)
    plain = ready.forward(params, inputs).states["h"]
    started = ready.forward(params, inputs, {"h": np.ones((B, N))}).states["h"]
    assert not np.array_equal(started, plain)
    backwards = ready.forward(params, inputs, reverse=True).states["h"]
    assert not np.array_equal(backwards, plain)
    short = ready.forward(params, inputs, lengths=np.array([T, 1, 0])).states["h"]
    assert np.array_equal(short[:1, :2], plain[:1, :2])
    assert np.array_equal(short[1:, 1], np.repeat(short[:1, 1], T - 1, axis=0))
    assert np.array_equal(ready.forward(params, inputs).states["h"], plain)


def test_inputs_must_be_finite(at_once, given):
    params, inputs, seeds = given
    inputs["x"][2, 1, 0] = np.nan
    with pytest.raises(Error, match=r"^input x holds nan at index \(2, 1, 0\); it must be finite$"):
        at_once.forward(params, inputs)
    inputs["x"][2, 1, 0] = 0
    assert np.isfinite(passes(at_once, *given)[0, "h"]).all()


@pytest.mark.parametrize("names", [(), ("h",), ("c",), ("c", "h"), ("h", "c")])
@pytest.mark.parametrize("with_params", [True, False])
def test_cotangents_left_out_are_zero_each_time(ready, derivation, given, names, with_params):
    params, inputs, seeds = given
    seeds = {name: seeds[name] for name in names}
    whole = {name: seeds.get(name, np.zeros((T, B, N))) for name in SEEDS}
    expected = compile(derivation)
    expected = expected.backward(expected.forward(params, inputs), whole)
    for _ in range(3):
        found = ready.backward(ready.forward(params, inputs), seeds, params=with_params)
        assert np.array_equal(found.inputs["x"], expected.inputs["x"])
        assert list(found.params) == (list(expected.params) if with_params else [])
        assert all(np.array_equal(array, expected.params[name]) for name, array in found.params.items())


def test_backwards_in_time_again(ready, derivation, given):
    params, inputs, seeds = given
    for kernel in (compile(derivation), ready, ready):
        grads = kernel.backward(kernel.forward(params, inputs, reverse=True), seeds)
        expected = passes(kernel, params, {"x": inputs["x"][::-1]}, {name: seeds[name][::-1] for name in SEEDS})
        assert np.array_equal(grads.params["W_hi"], expected[1, "W_hi"])


def test_an_index_is_looked_at_each_time():
    kernel = compile(bptt.parse("w: index[k]\nx: input[n]\nh: state[n]\nE: param[k, n]\nh = tanh(E[w] + W @ h + x)"))
    params, x = kernel.init({"k": 3, "n": N}), np.ones((2, 1, N))
    for _ in range(3):
        kernel.forward(params, {"w": np.array([[0], [2]]), "x": x})
        with pytest.raises(ShapeError, match="^index w must hold whole numbers, this is float64$"):
            kernel.forward(params, {"w": np.array([[0.0], [2.0]]), "x": x})
        with pytest.raises(Error, match="^index w holds 3; it picks from k = 3 entries, from 0 on$"):
            kernel.forward(params, {"w": np.array([[0], [3]]), "x": x})


def test_a_run_keeps_what_it_was_given(at_once, given):
    expected = passes(at_once, *given)
    params, inputs, seeds = given
    run = at_once.forward({name: array.copy() for name, array in params.items()}, {"x": inputs["x"].copy()})
    gc.collect()
    junk = [np.full(array.shape, np.nan) for array in (*params.values(), inputs["x"]) for _ in range(4)]
    found = at_once.backward(run, seeds)
    assert np.array_equal(found.params["W_xi"], expected[1, "W_xi"]), len(junk)
    assert np.array_equal(run.values["x"], inputs["x"])


def test_runs_that_are_held_stay_as_they_are(at_once, given):
    params, inputs, seeds = given
    runs = [at_once.forward(params, {"x": inputs["x"] * factor}) for factor in range(9)]
    grads = [at_once.backward(run, seeds) for run in runs]
    for factor, (run, found) in enumerate(zip(runs, grads, strict=True)):
        expected = passes(at_once, params, {"x": inputs["x"] * factor}, seeds)
        assert np.array_equal(run.states["h"], expected[0, "h"])
        assert np.array_equal(found.params["W_hi"], expected[1, "W_hi"])


def test_sizes_may_change_from_pass_to_pass(ready, derivation, given):
    params, inputs, seeds = given
    for steps, batch in [(2, 3), (4, 1), (0, 3), (4, 0), (4, 3), (1, 1), (4, 3)]:
        shorter = params, {"x": inputs["x"][:steps, :batch]}, {n: a[:steps, :batch] for n, a in seeds.items()}
        assert same(passes(ready, *shorter), passes(compile(derivation), *shorter))
    wider = ready.init({"m": M, "n": 2 * N}), inputs, {name: np.ones((T, B, 2 * N)) for name in SEEDS}
    assert same(passes(ready, *wider), passes(compile(derivation), *wider))
    assert ready.state_layout["c"] == slice(2 * N, 4 * N)
    passes(ready, *given)
    ready.init({"m": M, "n": 2 * N})
    passes(ready, *given)
    assert ready.state_layout["c"] == slice(N, 2 * N)


def test_a_run_of_another_kernel_is_not_taken_at_once(at_once, derivation, given):
    params, inputs, seeds = given
    other = compile(derivation)
    run = other.forward(params, inputs)
    other.backward(run, seeds)
    with pytest.raises(AssertionError, match="checked anew"):
        at_once.backward(run, seeds)


def test_several_threads_may_call_a_kernel(at_once, derivation, given):
    params, inputs, seeds = given
    many = [(params, {"x": inputs["x"] * factor}, seeds) for factor in range(40)]
    expected = [passes(at_once, *one) for one in many]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: passes(at_once, *one), many))
    assert all(map(same, found, expected))


def test_looks_alike():
    """Of all kinds of things, only a contiguous, aligned, writable array of the shape and dtype passes."""
    good = np.arange(6.0).reshape(2, 3)
    others = [change(good) for change in (*WAYS.values(), *WRONG.values())]
    for expected in (good, np.ones((3, 1, 2)), np.array(1.0), np.ones((0, 3))):
        table = numbered({}, {}, 9)
        asked = request(table, expected.dtype, [(7, expected.shape)])
        assert not any(looks_alike()(asked.buffer_info()[0], (thing,)) for thing in others)
        assert looks_alike()(asked.buffer_info()[0], (expected,)) == 1
        assert table[7] == expected.ctypes.data
        assert looks_alike()(asked.buffer_info()[0], (expected, expected)) == 0


@pytest.mark.skipif(WITHOUT_NUMBA, reason="this is the process that is asked")
def test_code_that_is_not_compiled_does_the_same(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={tmp_path}", __file__]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
