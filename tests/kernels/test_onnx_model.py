"""Cells as models of ONNX, run by the reference implementation of onnx itself, and by onnxruntime where installed."""

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx.reference import ReferenceEvaluator

import bptt
from bptt.cli import main
from bptt.kernels import onnx_step
from tests.kernels.test_frameworks import STRANGE, as_numpy, case, oracle
from tests.kernels.test_model_kernel import BATCH, numbers
from tests.kernels.test_source_models import STRANGE as WHOLE
from tests.kernels.test_source_models import by_numpy, counts_of
from tests.kernels.test_source_models import model_of as model_from


def model_of(at, **options):
    model = bptt.to_onnx(at.cell, **options)
    onnx.checker.check_model(model, full_check=True)
    return model


def referred(model, feeds):
    return [np.asarray(array) for array in ReferenceEvaluator(model).run(None, feeds)]


def fed(at, dtype="float64"):
    """What the graph of a case is fed with."""
    arrays = {**at.inputs, **{f"{name}_0": array for name, array in at.states.items()}, **at.params}
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    feeds = {name: array.astype(dtype) if array.dtype == float else array for name, array in arrays.items()}
    return feeds if at.inputs else feeds | {"steps": np.array(5)}


def right(at):
    """The states after each step: of the oracle, or of another export's lines for a cell without inputs."""
    if at.inputs:
        return {name: np.asarray(array, float) for name, array in oracle(at).states.items()}
    step, kept = as_numpy(bptt.export(at.cell, "jax")), []
    states = at.states
    for _ in range(5):
        each = [step(at.params, {}, {name: array[b] for name, array in states.items()}) for b in range(2)]
        states = {name: np.stack([one[name] for one in each]) for name in states}
        kept.append(states)
    return {name: np.stack([one[name] for one in kept]) for name in states}


@pytest.mark.parametrize("name", [*bptt.zoo(), *STRANGE])
def test_the_reference_gives_our_states(name):
    at = case(name)
    found = referred(model_of(at, dtype="float64"), fed(at))
    single = "erf" in at.cell.text  # the reference computes it in float32
    for (state, want), array in zip(right(at).items(), found, strict=True):
        np.testing.assert_allclose(array, want, rtol=1e-5 if single else 1e-12, atol=1e-13, err_msg=state)


@pytest.mark.parametrize("name", [*bptt.zoo(), *STRANGE])
def test_onnxruntime_gives_our_states(name):
    runtime = pytest.importorskip("onnxruntime")
    at = case(name)
    session = runtime.InferenceSession(model_of(at).SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, fed(at, "float32"))
    for (state, want), array in zip(right(at).items(), found, strict=True):
        np.testing.assert_allclose(array, want, rtol=2e-5, atol=2e-5, err_msg=state)


def whole(name):
    """A model, what its graph is fed with, and its values, from another export, carried out by NumPy."""
    model = model_from(name)
    params, inputs, sizes = numbers(model)
    counts = counts_of(model)
    want = by_numpy(bptt.export(model, "jax")).run(params, inputs, **counts)
    read = {one.name for one in bptt.to_onnx(model).graph.input}
    first = {f"{n}_0": shape for block in model.blocks for n, shape in block.cell.states.items()}
    feeds = {n: np.asarray(array) for n, array in {**inputs, **params, **counts}.items() if n in read}
    feeds |= {n: np.zeros([BATCH, *(sizes[d] for d in shape)]) for n, shape in first.items() if n in read}
    return model, feeds, {n: array for n, array in want.items() if not n.endswith("_prev")}


@pytest.mark.parametrize("name", [*bptt.models(), *WHOLE])
def test_the_reference_gives_a_model_s_values(name):
    model, feeds, want = whole(name)
    made = bptt.to_onnx(model, dtype="float64")
    onnx.checker.check_model(made, full_check=True)
    assert [one.name for one in made.graph.output] == list(want)
    for (value, right), array in zip(want.items(), referred(made, feeds), strict=True):
        np.testing.assert_allclose(array, right, rtol=1e-12, atol=1e-14, err_msg=value)


@pytest.mark.parametrize("name", [*bptt.models(), *WHOLE])
def test_onnxruntime_gives_a_model_s_values(name):
    runtime = pytest.importorskip("onnxruntime")
    model, feeds, want = whole(name)
    made = bptt.to_onnx(model).SerializeToString()
    session = runtime.InferenceSession(made, providers=["CPUExecutionProvider"])
    single = {n: array.astype("float32") if array.dtype == float else array for n, array in feeds.items()}
    for (value, right), array in zip(want.items(), session.run(None, single), strict=True):
        np.testing.assert_allclose(array, right, rtol=2e-5, atol=2e-5, err_msg=value)


def test_a_model_predicts_without_targets():
    graph = bptt.to_onnx(bptt.load_model("attention")).graph
    assert [one.name for one in graph.input][:3] == ["w", "v", "h_0"]
    assert [one.name for one in graph.output] == ["h", "H", "g", "u"]


def test_parameters_may_be_kept_in_the_model():
    at = case("gru")
    model = model_of(at, params=at.params, dtype="float64")
    assert [one.name for one in model.graph.input] == ["x", "h_0"]
    [found] = referred(model, {name: fed(at)[name] for name in ("x", "h_0")})
    np.testing.assert_allclose(found, right(at)["h"], rtol=1e-12)
    with pytest.raises(bptt.Error, match="b_h is not in both"):
        bptt.to_onnx(at.cell, {name: at.params[name] for name in at.params if name != "b_h"})
    with pytest.raises(bptt.Error, match=r"b_h has shape \(1, 4\), and the cell's has 1 axes"):
        bptt.to_onnx(at.cell, at.params | {"b_h": at.params["b_h"][None]})


def test_a_name_is_used_once():
    cell = bptt.parse("x: input[m]\nsteps: state[n]\nsteps_0: param[n]\nsteps = tanh(W @ x + steps_0 * steps)")
    model = bptt.to_onnx(cell)
    assert [one.name for one in model.graph.input] == ["x", "steps_0_2", "steps_0", "W"]


def test_what_has_no_operator_is_refused(monkeypatch):
    monkeypatch.delitem(onnx_step.FUNCTIONS, "tanh")
    with pytest.raises(bptt.Error, match="the function tanh can't be written for ONNX. Known: sigmoid, "):
        bptt.to_onnx(bptt.load("rnn"))
    with pytest.raises(bptt.Error, match="dtype is 'float16': give float32 or float64"):
        bptt.to_onnx(bptt.load("rnn"), dtype="float16")


def test_the_command(tmp_path):
    path = tmp_path / "cell.onnx"
    run = CliRunner().invoke(main, ["export", "rnn", "--to", "onnx", "-o", str(path)])
    assert (run.exit_code, run.output) == (0, f"Wrote {path}\n")
    assert onnx.load(path).functions[0].name == "rnn_step"
    shown = CliRunner().invoke(main, ["export", "rnn", "--to", "onnx"]).output
    assert "h = Identity (h_tanh)" in shown and "Scan (h_0, x) <body" in shown
    assert CliRunner().invoke(main, ["export", "stacked", "--to", "onnx", "-o", str(path)]).exit_code == 0
    assert onnx.load(path).functions[0].name == "stacked_step"
    wrong = CliRunner().invoke(main, ["export", "rnn", "--to", "onnx", "-o", "cell.py"])
    assert wrong.exit_code == 2 and "try -o cell.onnx" in wrong.output
