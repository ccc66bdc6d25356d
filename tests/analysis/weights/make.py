"""Make the files of weights in this folder, and what the frameworks themselves compute from them (outputs.npz).

pip install torch keras onnx onnxruntime safetensors h5py
python tests/analysis/weights/make.py
"""

import os
from argparse import Namespace
from collections import defaultdict
from pathlib import Path, PurePosixPath

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import onnx
import onnxruntime
import torch
from keras import layers
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

HERE = Path(__file__).parent
STEPS, BATCH, WIDTH, HIDDEN = 6, 3, 4, 5
LENGTHS = np.array([6, 2, 4], "i4")
random = np.random.default_rng(0)
x = random.standard_normal((STEPS, BATCH, WIDTH)).astype("f4")
outputs: dict[str, np.ndarray] = {"x": x, "lengths": LENGTHS}


def torch_files() -> None:
    torch.manual_seed(0)
    nn = torch.nn
    own = {
        "plain": nn.RNN(WIDTH, HIDDEN),
        "deep": nn.LSTM(WIDTH, HIDDEN, 2, bidirectional=True),
        "bare": nn.LSTM(WIDTH, HIDDEN, bias=False),
        "projected": nn.LSTM(WIDTH, HIDDEN, 2, proj_size=3),
        "gated": nn.GRU(WIDTH, HIDDEN, 2, bidirectional=True),
    }
    net = nn.ModuleDict({**own, "embedding": nn.Embedding(7, WIDTH), "readout": nn.Linear(HIDDEN, 2)})
    torch.save({"model": net.state_dict(), "epoch": 3, "half": torch.ones(2).bfloat16()}, HERE / "torch.pt")
    save_file({name: array.contiguous() for name, array in net.state_dict().items()}, HERE / "torch.safetensors")
    relu = nn.RNN(WIDTH, HIDDEN, 2, nonlinearity="relu")
    torch.save(relu.state_dict(), HERE / "relu.pt")
    torch.save(nn.Sequential(nn.RNN(WIDTH, HIDDEN)), HERE / "whole.pt")
    for name, module in {**own, "relu": relu}.items():
        outputs[f"torch {name}"] = module(torch.from_numpy(x))[0].detach().numpy()


def keras_files() -> None:
    keras.utils.set_random_seed(0)
    sequence = {"return_sequences": True, "bias_initializer": "random_normal"}
    model = keras.Sequential(
        [
            layers.Input((None, WIDTH)),
            layers.LSTM(4, **sequence),
            layers.Dropout(0.5),
            layers.Bidirectional(layers.GRU(3, **sequence)),
            layers.Bidirectional(layers.LSTM(2, recurrent_activation="hard_sigmoid", **sequence), merge_mode="sum"),
            layers.Dense(3),
            layers.GRU(6, reset_after=False, activation="softsign", **sequence),
            layers.SimpleRNN(2, use_bias=False, activation="leaky_relu", return_sequences=True),
        ]
    )
    model.save(HERE / "model.keras")
    model.save(HERE / "model.h5")
    found = x.transpose(1, 0, 2)
    for layer in model.layers:
        outputs[f"keras before {layer.name}"] = np.asarray(found).transpose(1, 0, 2)
        found = layer(found)
        found = found.detach().numpy()
        outputs[f"keras {layer.name}"] = found.transpose(1, 0, 2)


class Encoder(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(7, WIDTH)
        self.encoder = torch.nn.ModuleDict({"rnn": torch.nn.LSTM(WIDTH, 3, 2, bidirectional=True, proj_size=2)})
        self.head = torch.nn.Linear(4, 2)


def checkpoint() -> None:
    """A checkpoint as training scripts write it and what the layer gives."""
    torch.manual_seed(1)
    net = torch.nn.DataParallel(Encoder())
    optimizer = torch.optim.Adam(net.parameters())
    given = torch.from_numpy(x)
    net.module.encoder["rnn"](given)[0].sum().backward()
    optimizer.step()
    things = {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "args": Namespace(lr=0.1, folder=PurePosixPath("runs"), device=torch.device("cpu"), dtype=torch.float32),
        "best": np.float64(0.5),
        "log": defaultdict(list, loss=[1.0, 0.5]),
        "seen": {"a"},
        "history": [np.ones(3), torch.ones(2)],
        "x": given,
        "want": net.module.encoder["rnn"](given)[0].detach(),
    }
    torch.save(things, HERE / "checkpoint.pt")


GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
EACH = [
    ("Affine", [0.5], [0.1]),
    ("Elu", [0.8], []),
    ("HardSigmoid", [0.3], [0.4]),
    ("LeakyRelu", [0.1], []),
    ("Relu", [], []),
    ("ScaledTanh", [0.7], [0.9]),
    ("Softplus", [], []),
    ("Softsign", [], []),
    ("ThresholdedRelu", [0.3], []),
]


def cases() -> list[tuple[str, str, dict]]:
    """Return (name, operator, what it chooses)."""
    found = []
    for operator in GATES:
        for direction in ("forward", "reverse", "bidirectional"):
            found.append((f"{operator} {direction}", operator, {"direction": direction}))
            started = {"direction": direction, "started": True, "lengths": True}
            found.append((f"{operator} {direction} started, of several lengths", operator, started))
        found.append((f"{operator} without biases", operator, {"bias": False}))
        found.append((f"{operator} clipped", operator, {"clip": 0.4}))
    found += [
        ("GRU reset after", "GRU", {"linear_before_reset": 1}),
        ("GRU reset after, clipped", "GRU", {"linear_before_reset": 1, "clip": 0.3}),
        ("LSTM peepholes", "LSTM", {"peepholes": True, "started": True}),
        ("LSTM coupled", "LSTM", {"input_forget": 1}),
        ("LSTM coupled peepholes", "LSTM", {"peepholes": True, "input_forget": 1, "started": True}),
        ("LSTM peepholes, clipped", "LSTM", {"peepholes": True, "clip": 0.5, "started": True}),
        (
            "GRU four functions",
            "GRU",
            {
                "direction": "bidirectional",
                "activations": ["HardSigmoid", "Tanh", "Sigmoid", "LeakyRelu"],
                "activation_alpha": [0.2, 0.3],
                "activation_beta": [0.5],
            },
        ),
    ]
    for name, alpha, beta in EACH:
        numbers = {"activation_alpha": alpha} if alpha else {}
        numbers |= {"activation_beta": beta} if beta else {}
        found.append((f"RNN {name}", "RNN", {"activations": [name], **numbers}))
        found.append((f"LSTM {name}", "LSTM", {"activations": ["Sigmoid", name, "Tanh"], **numbers}))
    return found


def onnx_file() -> None:
    values: dict[str, np.ndarray] = {"lengths": LENGTHS}
    nodes = []
    for name, operator, chosen in cases():
        ways, gates = 1 + (chosen.get("direction") == "bidirectional"), GATES[operator]
        given = {"X": "x", "W": random.standard_normal((ways, gates * HIDDEN, WIDTH))}
        given["R"] = random.standard_normal((ways, gates * HIDDEN, HIDDEN)) / 2
        if chosen.pop("bias", True):
            given["B"] = random.standard_normal((ways, 2 * gates * HIDDEN))
        if chosen.pop("peepholes", False):
            given["P"] = random.standard_normal((ways, 3 * HIDDEN))
        if chosen.pop("started", False):
            given["initial_h"] = random.standard_normal((ways, BATCH, HIDDEN))
            if operator == "LSTM":
                given["initial_c"] = random.standard_normal((ways, BATCH, HIDDEN))
        if chosen.pop("lengths", False):
            given["sequence_lens"] = "lengths"
        for role, value in given.items():
            if isinstance(value, np.ndarray):
                values[f"{name} {role}"] = value.astype("f4")
                given[role] = f"{name} {role}"
        roles = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
        inputs = [given.get(role, "") for role in roles]
        while not inputs[-1]:
            inputs.pop()
        nodes.append(helper.make_node(operator, inputs, [f"{name} Y"], name=name, hidden_size=HIDDEN, **chosen))
    moved = helper.make_node("Squeeze", ["LSTM forward Y", "axis"], ["squeezed"], name="squeeze")
    top = {role: random.standard_normal(shape) for role, shape in (("W", (1, 6, 5)), ("R", (1, 6, 2)), ("B", (1, 12)))}
    values |= {"axis": np.array([1])} | {f"top {role}": value.astype("f4") for role, value in top.items()}
    above = helper.make_node("GRU", ["squeezed", *(f"top {r}" for r in "WRB")], ["top Y"], name="top", hidden_size=2)
    nodes += [moved, above]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None) for node in nodes if node is not moved],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    onnx.save(model, HERE / "operators.onnx")
    session = onnxruntime.InferenceSession(HERE / "operators.onnx", providers=["CPUExecutionProvider"])
    for info, found in zip(session.get_outputs(), session.run(None, {"x": x}), strict=True):
        outputs[f"onnx {info.name.removesuffix(' Y')}"] = found
    outputs.update({f"onnx state {name}": v for name, v in values.items() if "initial" in name})


torch_files()
checkpoint()
keras_files()
onnx_file()
np.savez_compressed(HERE / "outputs.npz", **outputs)
