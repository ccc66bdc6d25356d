"""Path attribution against an enumeration of all paths, and ablation against cells with a value given from outside."""

import itertools

import numpy as np
import pytest

from bptt import kernels
from bptt.analysis import paths
from bptt.analysis.ablation import measure_ablation
from bptt.analysis.gradient_flow import half_life, measure_flow
from bptt.analysis.paths import measure_direct, measure_paths
from bptt.analysis.running import at_last_step
from bptt.derive import Error, load, parse

GATED = """
x: input[m]
s: state[n]
c: state[n]
keep = sigmoid(A @ s + d)
new = tanh(B @ s + C @ x)
c = keep * c + new
s = tanh(c) + 0.3 * s
"""
FROZEN = {
    "keep": GATED.replace("keep = sigmoid(A @ s + d)\n", "").replace("s: state", "keep: input[n]\ns: state"),
    "new": GATED.replace("new = tanh(B @ s + C @ x)\n", "").replace("s: state", "new: input[n]\ns: state"),
}
SIZES = {"m": 2, "n": 3}


@pytest.fixture(scope="module")
def gated():
    kernel = kernels.compile(parse(GATED, "gated"))
    params = kernel.init(SIZES, seed=1)
    x = np.random.default_rng(0).standard_normal((6, 2, 2))
    return kernel, params, {"x": x}, kernel.forward(params, {"x": x})


def dense(kernel, run):
    """Jacobians (T, B, N, N) of the full state, and the diagonal of the direct part, from the cell's own values."""
    direct = np.concatenate([np.full_like(run.values["keep"], 0.3), run.values["keep"]], axis=-1)
    return kernel.jacobians(run), direct


def enumerated(kernel, run, lag, sample, hops):
    """Parts of the gradient by number of hops, one path after the other: 2^lag of them."""
    jacobians, direct = dense(kernel, run)
    start = at_last_step(run.states, 0)
    vector = np.concatenate([start[name][-1, sample] for name in run.states])
    found = np.zeros((hops + 1, vector.size))
    for choice in itertools.product((0, 1), repeat=lag):
        part = vector
        for back, hop in enumerate(choice):
            step = run.steps - 1 - back
            along = np.diag(direct[step, sample])
            part = (jacobians[step, sample] - along if hop else along).T @ part
        found[min(sum(choice), hops)] += part
    return found


def check_against_enumeration(gated):
    kernel, params, inputs, run = gated
    found = measure_paths(kernel, params, inputs, hops=3)
    for lag, sample in itertools.product(range(6), range(2)):
        parts = enumerated(kernel, run, lag, sample, 3)
        whole = parts.sum(axis=0)
        at = found.isel(sample=sample).sel(lag=lag)
        assert np.allclose(at.share, parts @ whole / (whole @ whole), rtol=0, atol=1e-12)
        norms = np.linalg.norm(parts, axis=1)
        assert np.allclose(np.exp(at.log_part), norms, rtol=1e-12, atol=1e-15)
        assert np.allclose(at.log_norm, np.log(np.linalg.norm(whole)), atol=1e-12)


def test_hops_are_those_of_all_paths_enumerated(gated):
    check_against_enumeration(gated)


@pytest.mark.parametrize("read", [None, ["c"]])
def test_the_direct_part_in_one_pass_is_that_of_all_paths(gated, read):
    kernel, params, inputs, _ = gated
    long = {name: np.tile(values, (30, 1, 1)) for name, values in inputs.items()}  # scaled again on the way
    one, all_paths = (measure(kernel, params, long, seed=3, read=read) for measure in (measure_direct, measure_paths))
    assert float(one.log_norm.min()) < -50
    for name in ("log_norm", "lane_log_norm"):
        np.testing.assert_allclose(one[name], all_paths[name], rtol=0, atol=1e-9)
    np.testing.assert_allclose(one.share, all_paths.share.isel(hops=0), rtol=1e-9, atol=1e-12)


def test_a_wrong_direct_path_is_noticed(gated, monkeypatch):
    right = paths._direct
    monkeypatch.setattr(paths, "_direct", lambda *given: 1.001 * right(*given))
    with pytest.raises(AssertionError):
        check_against_enumeration(gated)


def frozen_jacobians(name, params, run):
    """Jacobians of the cell in which a value is an input instead, given what it was."""
    kernel = kernels.compile(parse(FROZEN[name], f"frozen_{name}"))
    inputs = {name: np.ascontiguousarray(run.values[name]), "x": np.ascontiguousarray(run.values["x"])}
    inputs = {key: inputs[key] for key in kernel.cell.inputs}
    theirs = {key: params[key] for key in kernel.cell.params}
    return kernel, theirs, inputs


def test_gates_are_those_of_cells_with_the_gate_given_from_outside(gated):
    """At lag 1: what passes `keep`, which is computed first, is what freezing it takes away."""
    kernel, params, inputs, run = gated
    found = measure_paths(kernel, params, inputs).sel(lag=1)
    jacobians, direct = dense(kernel, run)
    theirs, own, given = frozen_jacobians("keep", params, run)
    without = theirs.jacobians(theirs.forward(own, given))
    start = at_last_step(run.states, 0)
    for sample in range(2):
        vector = np.concatenate([start[name][-1, sample] for name in run.states])
        whole = jacobians[-1, sample].T @ vector
        through = (jacobians - without)[-1, sample].T @ vector
        share = float(found.gate_share.sel(gate="keep").isel(sample=sample))
        assert share == pytest.approx(through @ whole / (whole @ whole), abs=1e-12)
        lane = (direct[-1, sample] * vector) @ whole / (whole @ whole)
        assert float(found.lane_share.isel(sample=sample).sum()) == pytest.approx(lane, abs=1e-12)


@pytest.mark.parametrize("name", ["keep", "new"])
def test_ablation_is_the_cell_with_the_value_given_from_outside(gated, name):
    kernel, params, inputs, run = gated
    found = measure_ablation(kernel, params, inputs)
    expected = measure_flow(*frozen_jacobians(name, params, run)).log_norm
    assert np.allclose(found.log_norm_detached.sel(value=name), expected, atol=1e-12)
    change = found.log_norm_detached - found.log_norm
    assert np.allclose(found.change, change) and abs(change.sel(value=name, lag=5)).min() > 1e-3


def random_run(kernel, length=40, batch=2):
    sizes = dict.fromkeys("mnd", 4)
    sizes = {dim: 4 for dim in sizes if any(dim in shape for shape in kernel.cell.params.values())}
    random = np.random.default_rng(3)
    shapes = {name: tuple(sizes[d] for d in shape) for name, shape in kernel.cell.inputs.items()}
    inputs = {name: random.standard_normal((length, batch, *shape)) for name, shape in shapes.items()}
    return kernel.init(sizes, seed=2), inputs


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_parts_sum_to_the_kernels_own_gradient(name):
    kernel = kernels.compile(load(name))
    params, inputs = random_run(kernel)
    found = measure_paths(kernel, params, inputs)
    whole = measure_flow(kernel, params, inputs)
    assert np.allclose(found.log_norm, whole.log_norm, rtol=0, atol=1e-12)
    assert float(found.residual.max()) < 1e-12
    assert abs(found.share.sum("hops") - 1).max() < 1e-12
    assert abs(found.gate_share.sum("gate") + found.lane_share.sum("state") - 1).max() < 1e-12
    assert float(abs(found.gate_share.sel(lag=20)).max()) > 0.01


HALF_LIVES = {0: 1, 1: 2.2127, 2: 5.4609, 3: 14.266, 4: 38.190, 5: 103.218}


@pytest.mark.parametrize("bias", HALF_LIVES)
def test_half_life_of_a_cell_path_whose_gates_are_biases_alone(bias):
    kernel = kernels.compile(load("lstm"))
    params = {name: np.zeros_like(values) for name, values in kernel.init({"m": 4, "n": 4}).items()}
    params["b_f"] += bias
    found = measure_paths(kernel, params, {"x": np.zeros((120, 1, 4))}, read=["c"], hops=1)
    assert float(half_life(found.lane_log_norm.sel(state="c"))[0]) == pytest.approx(HALF_LIVES[bias], rel=5e-5)


def test_long_sequences_neither_underflow_nor_overflow():
    kernel = kernels.compile(parse("h: state[n]\nh = a * h + W @ h", "long"))
    for a in (0.1, 10.0):
        params = {"a": np.full(2, a), "W": np.array([[0, 1.0], [0, 0]])}
        found = measure_paths(kernel, params, {}, {"h": np.zeros((1, 2))}, steps=1000, hops=1)
        # W takes the state one way only, once: h_1 after k steps is aᵏ plus k aᵏ⁻¹
        assert np.isfinite(found.log_norm).all()
        assert float(found.log_norm[0, -1]) == pytest.approx(1000 * np.log(a), rel=0.01)
        assert float(abs(found.share.sum("hops") - 1).max()) < 1e-12


def test_messages(gated):
    kernel, params, inputs, _ = gated
    with pytest.raises(Error, match="hops is 0"):
        measure_paths(kernel, params, inputs, hops=0)
    with pytest.raises(Error, match="no state called 'h' to read"):
        measure_paths(kernel, params, inputs, read=["h"])
    with pytest.raises(Error, match="'kep' is no value of a step of gated .*Did you mean 'keep'"):
        measure_ablation(kernel, params, inputs, values=["kep"])
