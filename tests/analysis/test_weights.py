"""Weights of other frameworks: read, run, and held against what the frameworks themselves have computed from them."""

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import save_file

import bptt
from bptt.analysis import summarise
from bptt.analysis.weights.conventions import cell_of, function, table, unpack
from bptt.analysis.weights.files import read_weights
from bptt.analysis.weights.layers import MERGES, Layer, Stack, Trained, run_stack
from bptt.analysis.weights.memory import trained_flow
from bptt.analysis.weights.pickled import read_pickled
from bptt.analysis.weights.torch_names import state_dict
from bptt.kernels.oracle import answer

FILES = Path(__file__).parent / "weights"
SHIPPED = {
    ".pt": "torch.pt", ".safetensors": "torch.safetensors", ".keras": "model.keras", ".h5": "model.h5",
    ".onnx": "operators.onnx",
}  # fmt: skip
OUTPUTS = dict(np.load(FILES / "outputs.npz"))
X = OUTPUTS["x"].astype(float)


def computed(layer, x, started=None, lengths=None, state=None):
    """A state of a layer, its output, by step and sample in plain NumPy; 0 past a sequence's length."""
    state = state or layer.output
    derivation = bptt.derive(layer.cell)
    [name] = layer.cell.inputs
    steps, batch = x.shape[:2]
    found = np.zeros((steps, batch, layer.entries(state)))
    for place, length in enumerate([steps] * batch if lengths is None else lengths):
        inside = x[:length, place : place + 1][:: -1 if layer.reverse else 1]
        start = {s: np.zeros((1, layer.entries(s))) for s in layer.cell.states}
        start |= {s: array[place : place + 1] for s, array in (started or {}).items()}
        zeros = {s: np.zeros((length, *array.shape)) for s, array in start.items()}
        states = answer(derivation, layer.params, {name: inside}, start, zeros, digits=None).states[state]
        found[:length, place] = np.asarray(states, float)[:: -1 if layer.reverse else 1, 0]
    return found


def top(stack, x):
    """The output of a stack's last depth."""
    runs = [run.states[layer.output] for layer, _, _, _, run in run_stack(stack, x)]
    return MERGES[stack.merge](runs[-len(stack.depths[-1]) :])


@pytest.mark.parametrize("name", ["torch.pt", "torch.safetensors"])
def test_state_dicts_give_what_torch_gives(name):
    stacks = bptt.from_torch(FILES / name).stacks
    assert {stack.name.removeprefix("model.") for stack in stacks} == {"plain", "deep", "bare", "projected", "gated"}
    for stack in stacks:
        want = OUTPUTS[f"torch {stack.name.removeprefix('model.')}"]
        np.testing.assert_allclose(top(stack, X), want, atol=2e-6)


def test_layers_go_back_into_the_layout_of_torch():
    """Into the arrays that they came from, but for biases that are summed; a stack of unlike layers into modules."""
    for file in ("torch.pt", "checkpoint.pt"):
        trained, arrays = bptt.from_torch(FILES / file), read_pickled(FILES / file)
        found = state_dict(trained)
        for stack in bptt.from_torch(found).stacks:
            [same] = [one for one in trained.stacks if one.name == stack.name]
            np.testing.assert_array_equal(top(stack, X), top(same, X))
        for name, array in found.items():
            if "weight" in name or ".gated." in name and "bias_hh" in name:
                part = slice(-5, None) if "bias" in name else slice(None)  # of the candidate, which is not summed
                np.testing.assert_array_equal(array[part], arrays[name][part])
    relu = bptt.from_torch(FILES / "relu.pt", "relu")
    assert state_dict(relu).keys() == read_pickled(FILES / "relu.pt").keys()
    [below], _ = relu.stacks[0].depths
    above = Layer("above", bptt.load("rnn"), below.params)
    unlike = Trained("", "", (Stack("", ((replace(below, name="below"),), (above,))),))
    assert {name.partition(".")[0] for name in state_dict(unlike)} == {"below", "above"}
    turned = replace(below, reverse=True)
    with pytest.raises(bptt.Error, match="goes forwards, or both ways"):
        state_dict(turned)
    with pytest.raises(bptt.Error, match="layer lstm_peephole is none of torch's own. Those are: Simple recurrent"):
        state_dict(Layer("", bptt.load("lstm_peephole"), {"W_xi": np.ones((2, 3))}))


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_a_module_of_torch_takes_what_was_trained_here(name):
    torch = pytest.importorskip("torch")
    cell = bptt.load("lstm" if name == "LSTM" else "gru_reset_after")
    params = bptt.compile(cell).init({"m": X.shape[2], "n": 5}, seed=3)
    module = getattr(torch.nn, name)(X.shape[2], 5, dtype=torch.float64)
    arrays = state_dict(Layer("", cell, {n: a + 0.1 for n, a in params.items()}))
    module.load_state_dict({n: torch.from_numpy(a) for n, a in arrays.items()})
    layer = Layer("", cell, {n: a + 0.1 for n, a in params.items()})
    np.testing.assert_allclose(module(torch.from_numpy(X))[0].detach().numpy(), computed(layer, X), atol=1e-12)


def test_a_relu_has_to_be_told():
    want = OUTPUTS["torch relu"]
    [right], [wrong] = (bptt.from_torch(FILES / "relu.pt", name).stacks for name in ("relu", "tanh"))
    np.testing.assert_allclose(top(right, X), want, atol=2e-6)
    assert abs(top(wrong, X) - want).max() > 0.1
    assert "tanh was taken" in str(bptt.from_torch(FILES / "relu.pt"))
    with pytest.raises(bptt.Error, match="activation is 'sigmoid': torch has tanh and relu"):
        bptt.from_torch(FILES / "relu.pt", "sigmoid")


def test_two_biases_of_a_reset_after_the_product_are_not_summed():
    trained = bptt.from_torch(FILES / "torch.pt")
    gated = next(stack for stack in trained.stacks if stack.name.endswith("gated"))
    layer = gated.depths[0][0]
    summed = {**layer.params, "b_xg": layer.params["b_xg"] + layer.params["b_hg"], "b_hg": 0 * layer.params["b_hg"]}
    right, wrong = (computed(Layer("", layer.cell, params), X) for params in (layer.params, summed))
    assert abs(right - wrong).max() > 1e-3


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_files_of_keras_give_what_keras_gives(name):
    trained = bptt.from_keras(FILES / name)
    assert [len(stack.depths) for stack in trained.stacks] == [2, 1, 2]
    for stack in trained.stacks:
        x = OUTPUTS[f"keras before {stack.name}"].astype(float)
        for depth in stack.depths:
            x = MERGES[stack.merge]([computed(layer, x) for layer in depth])
            np.testing.assert_allclose(x, OUTPUTS[f"keras {depth[0].name}"], atol=2e-6)


def _model_of_keras(path, *layers):
    """A .h5 file of layers (class, configuration, shapes of arrays), as Keras lays them out; `reads` names a layer."""
    told = [{"class_name": kind, "config": {"name": f"l{at}"} | given} for at, (kind, given, _) in enumerate(layers)]
    for layer in told:
        if reads := layer["config"].pop("reads", None):
            layer["inbound_nodes"] = [[[*reads, {}]]]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"config": {"layers": told}})
        for at, (_, _, shapes) in enumerate(layers):
            group = file.create_group(f"model_weights/l{at}")
            names = [f"a{place}" for place in range(len(shapes))]
            group.attrs["weight_names"] = names
            for name, shape in zip(names, shapes, strict=True):
                group[name] = np.full(shape, at + 1.0)
    return path


def test_layers_above_one_that_goes_backwards_run_the_other_way(tmp_path):
    """Keras hands on the steps in the order in which they were taken, so that what is first there is last in time."""
    plain = {"activation": "tanh", "use_bias": False}
    cell = {"cell": {"class_name": "SimpleRNNCell", "config": plain}, "go_backwards": True}
    own = {"class_name": "SimpleRNN", "config": {**plain, "use_bias": True}}
    both = {"layer": {"class_name": "SimpleRNN", "config": plain}, "backward_layer": own}
    path = _model_of_keras(
        tmp_path / "a.h5",
        ("SimpleRNN", {**plain, "go_backwards": True}, [(4, 3), (3, 3)]),
        ("SimpleRNN", plain, [(3, 3), (3, 3)]),
        ("RNN", cell, [(3, 2), (2, 2)]),
        ("Bidirectional", both, [(2, 2), (2, 2), (2, 2), (2, 2), (2,)]),
    )
    [stack] = bptt.from_keras(path).stacks
    assert [[layer.reverse for layer in depth] for depth in stack.depths] == [[True], [True], [False], [False, True]]
    assert [layer.params["b_h"][0] for layer in stack.depths[-1]] == [0, 4]


def test_layers_of_keras_stand_on_what_they_read(tmp_path):
    """In a functional model that isn't the layer before, and never another output than the sequence."""
    plain = {"activation": "tanh", "use_bias": False}
    square = [(3, 3), (3, 3)]
    path = _model_of_keras(
        tmp_path / "a.h5",
        ("SimpleRNN", {**plain, "reads": ("x", 0, 0)}, square),
        ("SimpleRNN", {**plain, "reads": ("x", 0, 0)}, square),
        ("Dropout", {"reads": ("l0", 0, 0)}, []),
        ("SimpleRNN", {**plain, "reads": ("l2", 0, 0)}, square),
        ("SimpleRNN", {**plain, "reads": ("l1", 0, 1)}, square),
    )
    stacks = bptt.from_keras(path).stacks
    assert [[layer.name for [layer] in stack.depths] for stack in stacks] == [["l1"], ["l0", "l3"], ["l4"]]


def test_one_direction_stands_on_two_that_are_added_up(tmp_path):
    plain = {"activation": "tanh", "use_bias": False}
    both = {"layer": {"class_name": "SimpleRNN", "config": plain}}
    way = [(3, 3), (3, 3)]
    path = _model_of_keras(
        tmp_path / "a.h5",
        ("Bidirectional", {**both, "merge_mode": "sum"}, way * 2),
        ("SimpleRNN", plain, way),
        ("Bidirectional", {**both, "merge_mode": "sum"}, way * 2),
        ("Bidirectional", {**both, "merge_mode": "mul"}, way * 2),
    )
    stacks = bptt.from_keras(path).stacks
    assert [(stack.merge, len(stack.depths)) for stack in stacks] == [("sum", 3), ("mul", 1)]


def test_cells_of_keras_that_cannot_be_read(tmp_path):
    stacked = {"cell": {"class_name": "StackedRNNCells", "config": {"cells": []}}}
    with pytest.raises(bptt.Error, match="layer l0: its cells aren't known here. Known: SimpleRNN"):
        bptt.from_keras(_model_of_keras(tmp_path / "a.h5", ("RNN", stacked, [])))
    back = {"activation": "tanh", "use_bias": False, "go_backwards": True}
    turned = {"layer": {"class_name": "SimpleRNN", "config": back}}
    with pytest.raises(bptt.Error, match="layer l0: its forward layer goes backwards, which isn't read"):
        bptt.from_keras(_model_of_keras(tmp_path / "c.h5", ("Bidirectional", turned, [(2, 2)] * 4)))
    with pytest.raises(bptt.Error, match="There: Sequential. A model inside a model isn't looked into: save it alone"):
        bptt.from_keras(_model_of_keras(tmp_path / "b.h5", ("Sequential", {"layers": []}, [])))


def test_the_batch_may_come_first_in_onnx(tmp_path):
    """`layout` moves the batch of inputs and states, not the weights; states may come from outside the graph."""
    rng = np.random.default_rng(0)
    weights = {"W": (1, 12, 4), "R": (1, 12, 3), "B": (1, 24)}
    arrays = {name: rng.standard_normal(shape).astype("f4") for name, shape in weights.items()}
    node = helper.make_node("LSTM", ["X", *weights, "", "h", "c"], ["Y"], hidden_size=3, layout=1)
    given = [helper.make_tensor_value_info(name, 1, None) for name in "Xhc"]
    found = [helper.make_tensor_value_info("Y", 1, None)]
    values = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    model = helper.make_model(helper.make_graph([node], "g", given, found, values), ir_version=8,
                              opset_imports=[helper.make_opsetid("", 14)])  # fmt: skip
    onnx.save(model, tmp_path / "a.onnx")
    [layer] = bptt.from_onnx(tmp_path / "a.onnx").layers
    states = {name: rng.standard_normal((1, 3, 1, 3)).astype("f4")[0] for name in "hc"}
    [want] = ReferenceEvaluator(model).run(None, {"X": X.astype("f4").transpose(1, 0, 2), **states})
    started = {name: array[:, 0].astype(float) for name, array in states.items()}
    np.testing.assert_allclose(computed(layer, X, started).transpose(1, 0, 2), np.asarray(want)[:, :, 0], atol=2e-6)


def _conformance():
    """ONNX's own cases for its recurrent operators: (name, model, arrays in, arrays out)."""
    for module in ("gru", "lstm", "rnn"):
        import_module(f"onnx.backend.test.case.node.{module}")
    kinds = {"GRU", "LSTM", "RNN"}
    cases = import_module("onnx.backend.test.case.node")._NodeTestCases
    return [(c.name, c.model, *c.data_sets[0]) for c in cases if {n.op_type for n in c.model.graph.node} & kinds]


@pytest.mark.parametrize("case", _conformance(), ids=lambda case: case[0])
def test_conformance_with_the_cases_of_onnx(tmp_path, case):
    _, model, given, wanted = case
    arrays = {value.name: array for value, array in zip(model.graph.input, given, strict=True)}
    kept = [name for name in ("W", "R", "B", "P") if name in arrays]
    model.graph.initializer.extend(numpy_helper.from_array(arrays[name], name) for name in kept)
    onnx.save(model, tmp_path / "a.onnx")
    batch_first = any(chosen.name == "layout" and chosen.i for chosen in model.graph.node[0].attribute)
    turned = (lambda array: array.swapaxes(0, 1)) if batch_first else np.asarray
    x, lengths = turned(arrays["X"]).astype(float), arrays.get("sequence_lens")
    for way, layer in enumerate(bptt.from_onnx(tmp_path / "a.onnx").layers):
        started = {s: turned(arrays[f"initial_{s}"])[way].astype(float) for s in "hc" if f"initial_{s}" in arrays}
        for value, want in zip(model.graph.output, wanted, strict=True):
            found = computed(layer, x, started, lengths, value.name[2:])
            if value.name == "Y":
                want = want[:, :, way].swapaxes(0, 1) if batch_first else want[:, way]
            else:
                last = np.full(x.shape[1], len(x)) if lengths is None else lengths
                found = found[0 if layer.reverse else last - 1, np.arange(x.shape[1])]
                want = turned(want)[way]
            np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6, err_msg=value.name)


def test_operators_of_onnx_give_what_onnxruntime_gives():
    trained = bptt.from_onnx(FILES / "operators.onnx")
    assert len(trained.stacks) == 49
    above = next(stack for stack in trained.stacks if len(stack.depths) == 2)
    assert [layer.name for layer in (*above.depths[0], *above.depths[1])] == ["LSTM forward", "top"]
    [below], [upper] = above.depths
    np.testing.assert_allclose(computed(upper, computed(below, X)), OUTPUTS["onnx top"][:, 0], atol=2e-6)
    for stack in trained.stacks:
        layers = stack.depths[0]
        want = OUTPUTS[f"onnx {layers[0].name}"]
        lengths = OUTPUTS["lengths"] if "several lengths" in layers[0].name else None
        for way, layer in enumerate(layers):
            started = {
                name: OUTPUTS[f"onnx state {layers[0].name} initial_{name}"][way].astype(float)
                for name in layer.cell.states
                if f"onnx state {layers[0].name} initial_{name}" in OUTPUTS
            }
            found = computed(layer, X, started, lengths)
            np.testing.assert_allclose(found, want[:, way], atol=3e-6, err_msg=layer.name)


def test_a_state_that_a_file_of_onnx_starts_from_is_said():
    said = [note for note in bptt.from_onnx(FILES / "operators.onnx").notes if note.startswith("LSTM peepholes")]
    assert said[0] == "LSTM peepholes starts from a state that the file gives; here it starts from 0, or what you give."


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_go_out_to_onnx_and_come_back(tmp_path, dtype):
    for stack in bptt.from_torch(FILES / "torch.pt").stacks:
        [layer, *_] = stack.depths[0]
        model = bptt.to_onnx(layer.cell, layer.params, dtype=dtype)
        onnx.save(model, tmp_path / "a.onnx")
        [back] = bptt.from_onnx(tmp_path / "a.onnx").layers
        assert back.cell.text == layer.cell.text and back.sizes == layer.sizes
        for name, array in layer.params.items():
            np.testing.assert_array_equal(back.params[name], array.astype(dtype))
        first = {f"{n}_0": np.zeros((X.shape[1], layer.entries(n)), dtype) for n in layer.cell.states}
        [told] = list(ReferenceEvaluator(model).run([layer.output], {"x": X.astype(dtype), **first}))
        np.testing.assert_allclose(computed(back, X), np.asarray(told), atol=2e-6 if dtype == "float32" else 1e-13)


def test_a_weight_that_is_a_number_goes_out_and_comes_back(tmp_path):
    cell = bptt.parse("x: input[m]\nh: state[n]\ns: param\nh = tanh(s * (W @ x) + U @ h)")
    params = bptt.compile(cell).init({"m": 2, "n": 3}, seed=0)
    onnx.save(bptt.to_onnx(cell, params, dtype="float64"), tmp_path / "a.onnx")
    [back] = bptt.from_onnx(tmp_path / "a.onnx").layers
    assert {name: array.shape for name, array in back.params.items()} == {"s": (), "W": (3, 2), "U": (3, 3)}
    assert back.params["s"] == params["s"]


def test_what_of_our_own_onnx_cannot_be_read_back_is_said(tmp_path):
    def refused(model, match):
        onnx.save(model, tmp_path / "a.onnx")
        with pytest.raises(bptt.Error, match=match):
            bptt.from_onnx(tmp_path / "a.onnx")

    refused(
        bptt.to_onnx(bptt.load("rnn")), r"W_hh is an input of the graph. Keep weights .* bptt.to_onnx\(cell, params"
    )
    refused(bptt.to_onnx(bptt.load_model("hello")), "written it from a model, and only cells are read back")
    refused(bptt.to_onnx(bptt.load("logistic_map")), "one input, and vectors")


@pytest.mark.parametrize("key", table()["cells"])
def test_cells_of_the_table_are_those_of_the_zoo(key):
    entry = table()["cells"][key]
    names = [f"{name}(u)" for name in entry["functions"]]
    made = cell_of(key, ["silu(u)", *names[1:]])
    assert ("silu" in made.text) and bptt.derive(made).prove().holds
    if "zoo" in entry:
        zoo, own = cell_of(key), bptt.parse(made.text.replace("silu", entry["functions"][0]))
        assert zoo.name == entry["zoo"] and zoo.params == {name: own.params[name] for name in zoo.params}
        params = bptt.compile(zoo).init({"m": 3, "n": 4}, seed=1)
        x = np.random.default_rng(0).standard_normal((5, 2, 3))
        found, want = (computed(Layer("", cell, params), x) for cell in (zoo, own))
        np.testing.assert_allclose(found, want, rtol=1e-13)


@pytest.mark.parametrize("framework", ["keras", "onnx"])
def test_every_function_can_be_read(framework):
    for name in table()["functions"][framework]:
        assert cell_of("simple", [function(framework, name, "here")]).states == {"h": ("n",)}


def test_an_activation_of_keras_2_is_the_old_one():
    from bptt.analysis.weights.keras_file import _function

    assert "0.2" in _function("hard_sigmoid", "here", "2.15.0")
    assert "/ 6" in _function("hard_sigmoid", "here", "3.4.0")


def test_gradient_flow_of_a_trained_model():
    trained = bptt.from_torch(FILES / "torch.pt")
    told: list[tuple[int, int]] = []
    found = trained_flow(trained, steps=5, batch=2, seeds=2, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (24, 24)
    assert trained.embedding is not None and trained.embedding.shape == (7, 4)
    assert found.sel(data="trained").log_norm.sel(lag=0).item(0) == pytest.approx(0)
    assert abs(found.log_norm.sel(data="trained") - found.log_norm.sel(data="initial")).max() > 0.1


@pytest.mark.parametrize("both", [False, True])
def test_layers_above_one_that_overflows_end_where_it_does(both):
    """Read onward, the layer above is lost from that step on; read from the end, from its first step."""
    ends = {"": np.full((1, 1), 1e200)} | ({"_reverse": np.full((1, 1), 0.5)} if both else {})
    arrays = {}
    for layer, width in ((0, 1), (1, len(ends))):
        for end, recurrent in ends.items():
            arrays[f"weight_ih_l{layer}{end}"] = np.ones((1, width))
            arrays[f"weight_hh_l{layer}{end}"] = recurrent if layer == 0 else np.full((1, 1), 0.5)
    trained = bptt.from_torch(arrays, "relu")
    x = np.zeros((5, 2, 1))
    x[1:, 0] = 1
    lost = {layer.name: first.tolist() for layer, _, _, first, _ in run_stack(trained.stacks[0], x)}
    above = {"l1": [4, 0], "l1_reverse": [1, 0]} if both else {"l1": [4, 0]}
    assert {name: first for name, first in lost.items() if name in above} == above
    assert not any(any(first) for name, first in lost.items() if name not in above)
    found = trained_flow(trained, steps=12, batch=3, seeds=2)
    assert not np.isnan(found.log_norm).any()
    below, top = (found.overflow.sel(data="trained", cell=name).values for name in ("l0", "l1"))
    assert (below > 0).any() and np.array_equal(top > 0, below > 0) and ((top == below) | (top == 1)).all()
    assert not found.overflow.sel(cell="l0", data="initial").any()
    told = summarise(found).sel(cell="l1", data="trained")
    assert int(told.overflowed) == (top > 0).sum() and int(told.overflow_first) == top[top > 0].min()


class _Pickled:
    """A .pt file around a pickle."""

    def __init__(self, path: Path, pickled: bytes, storages: dict[str, bytes] | None = None, order: str = "little"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", pickled)
            archive.writestr("a/byteorder", order)
            for key, data in (storages or {}).items():
                archive.writestr(f"a/data/{key}", data)


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_never_run(tmp_path):
    made = tmp_path / "made"
    _Pickled(tmp_path / "evil.pt", pickle.dumps({"weight_ih_l0": _Touch(made)}))
    with pytest.raises(bptt.Error, match=r"evil.pt: holds a Python object, '.*', that only running code could make"):
        bptt.from_torch(tmp_path / "evil.pt")
    assert not made.exists()
    with pytest.raises(bptt.Error, match="torch.nn.modules.container.Sequential.*model.state_dict"):
        bptt.from_torch(FILES / "whole.pt")


@pytest.mark.parametrize("name", ["eval", "getattr", "__import__", "open", "exec"])
def test_nothing_of_python_itself_is_given_to_a_pickle(tmp_path, name):
    _Pickled(tmp_path / "a.pt", f"cbuiltins\n{name}\n.".encode())
    with pytest.raises(bptt.Error, match=f"'builtins.{name}'"):
        bptt.from_torch(tmp_path / "a.pt")


def test_a_dictionary_that_holds_itself_is_read_once(tmp_path):
    tree: dict = {"rnn": OrderedDict()}
    for _ in range(64):  # as many paths as 2 to the 64
        tree = {"a": tree, "b": tree}
    tree["tree"] = [tree]
    _Pickled(tmp_path / "a.pt", pickle.dumps(tree))
    assert read_pickled(tmp_path / "a.pt") == {}


def test_a_checkpoint_of_a_training_is_read():
    """With an optimizer, arguments and scores beside the model, and a projected layer in both directions."""
    trained = bptt.from_torch(FILES / "checkpoint.pt")
    [stack] = trained.stacks
    assert stack.name == "model.module.encoder.rnn" and len(stack.depths) == 2
    assert trained.embedding is not None and trained.embedding.shape == (7, 4)
    arrays = read_pickled(FILES / "checkpoint.pt")
    assert not any("args" in name or "log" in name for name in arrays) and "history.1" in arrays
    np.testing.assert_allclose(top(stack, arrays["x"].astype(float)), arrays["want"], atol=2e-6)


def _tensor_program(offset, shape, stride) -> bytes:
    """A pickle of {'weight_ih_l0': a tensor of this geometry over a storage of four numbers}."""

    class Persistent(pickle.Pickler):
        def persistent_id(self, thing):
            return ("storage", "KIND", "0", "cpu", 4) if isinstance(thing, bytearray) else None

    file = io.BytesIO()
    Persistent(file, protocol=2).dump((bytearray(), offset, shape, stride, False, OrderedDict()))
    body = file.getvalue()[2:-1].replace(b"X\x04\x00\x00\x00KIND", b"ctorch\nFloatStorage\n")
    return b"\x80\x02}X\x0c\x00\x00\x00weight_ih_l0ctorch._utils\n_rebuild_tensor_v2\n" + body + b"Rs."


def test_a_tensor_stays_inside_its_storage(tmp_path):
    data = {"0": np.arange(4, dtype="<f4").tobytes()}
    _Pickled(tmp_path / "good.pt", _tensor_program(1, (1, 3), (3, 1)), data)
    np.testing.assert_array_equal(read_pickled(tmp_path / "good.pt")["weight_ih_l0"], [[1, 2, 3]])
    for offset, shape, stride in ((2, (1, 3), (3, 1)), (0, (2, 2), (9, 1)), (0, (4,), (-1,)), (0, (10**6, 9), (0, 0))):
        _Pickled(tmp_path / "bad.pt", _tensor_program(offset, shape, stride), data)
        with pytest.raises(bptt.Error, match="its pickle is damaged .*(past the end|impossible shape)"):
            read_pickled(tmp_path / "bad.pt")
    _Pickled(tmp_path / "short.pt", _tensor_program(0, (4,), (1,)), {"0": data["0"][:8]})
    with pytest.raises(bptt.Error, match="the numbers of storage 0 aren't all there"):
        read_pickled(tmp_path / "short.pt")
    _Pickled(tmp_path / "big.pt", _tensor_program(0, (4,), (1,)), data, "big")
    with pytest.raises(bptt.Error, match="big byte order"):
        read_pickled(tmp_path / "big.pt")


def test_what_cannot_be_read_is_said(tmp_path):
    def refused(path, match):
        with pytest.raises(bptt.Error, match=match):
            read_weights(path)

    refused(tmp_path / "a.npy", r"files of weights end in \.pt, \.pth")
    refused(tmp_path / "a.pt", "there is no such file")
    for suffix, match in {
        ".pt": "not a file that torch.save has written since version 1.6",
        ".safetensors": "can't be read as safetensors",
        ".keras": "can't be read as a model of Keras",
        ".h5": "can't be read as a model of Keras",
        ".onnx": "can't be read as ONNX",
    }.items():
        (tmp_path / f"a{suffix}").write_bytes(b"nothing of this kind" * 9)
        refused(tmp_path / f"a{suffix}", match)
    for suffix in (".pt", ".safetensors", ".keras", ".h5", ".onnx"):
        (tmp_path / f"cut{suffix}").write_bytes((FILES / SHIPPED[suffix]).read_bytes()[:3000])
        refused(tmp_path / f"cut{suffix}", "[Cc]opy it again, and whole")
        (tmp_path / f"empty{suffix}").touch()
        refused(tmp_path / f"empty{suffix}", "the file is empty")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("readme", "hello")
    refused(tmp_path / "zip.pt", "there is no data.pkl in it")
    _Pickled(tmp_path / "list.pt", pickle.dumps([1, 2]))
    refused(tmp_path / "list.pt", "holds list, not a state dict")
    save_file({"linear.weight": np.ones((2, 2))}, tmp_path / "linear.safetensors")
    refused(tmp_path / "linear.safetensors", "no recurrent layer is in it.* There: linear.weight")
    with h5py.File(tmp_path / "alone.h5", "w"):
        pass
    refused(tmp_path / "alone.h5", "holds weights alone. Save the whole model")


def test_arrays_that_do_not_fit_are_said():
    good = {"rnn.weight_ih_l0": np.ones((8, 3)), "rnn.weight_hh_l0": np.ones((8, 2))}
    for changed, match in (
        ({"rnn.weight_hh_l0": np.ones((10, 2))}, "state dict, rnn.l0: weight_hh has 10 rows, and 4 blocks"),
        ({"rnn.weight_hh_l0": np.ones((12, 2))}, "state dict, rnn.l0: W_hi is 3 x 2 there"),
        ({"rnn.weight_ih_l0": np.ones((10, 3))}, "layer rnn.l0 is none of torch's own: weight_ih 10 x 3"),
        ({"rnn.bias_ih_l0": np.ones(12)}, "state dict, rnn.l0: b_i is 3 there"),
    ):
        with pytest.raises(bptt.Error, match=match):
            bptt.from_torch({**good, **changed})
    with pytest.raises(bptt.Error, match="layer rnn.l0 has no weight_hh.*remove_parametrizations"):
        bptt.from_torch({"rnn.weight_ih_l0": np.ones((8, 3))})
    layout = {"cell": "simple", "W": ["W_xh"]}
    with pytest.raises(bptt.Error, match=r"mine: nothing there gives W_hh, \(n, n\). There: W."):
        unpack(layout, cell_of("simple"), {"W": np.ones((2, 3))}, "mine")
    nan = bptt.from_torch({**good, "rnn.weight_hh_l0": np.full((8, 2), np.nan)})
    with pytest.raises(bptt.Error, match="W_hi of layer rnn.l0 holds NaN"):
        trained_flow(nan)
    with pytest.raises(bptt.Error, match="steps is 0"):
        trained_flow(bptt.from_torch(good), steps=0)


def test_an_unknown_function_is_said():
    with pytest.raises(bptt.Error, match="m.onnx: the function 'Mish' isn't known here. Known: relu, tanh"):
        function("onnx", "Mish", "m.onnx")
