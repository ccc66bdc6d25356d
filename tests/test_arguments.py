"""Arguments of plainly the wrong kind: one clear message of ours, never a bare error of Python."""

# mypy: ignore-errors

import numpy as np
import pytest

import bptt
from bptt import kernels, reports

CELL = bptt.load("rnn")
KERNEL = bptt.compile(CELL)
MODEL = bptt.compile(bptt.compose("rnn"))
SIZES = {"m": 2, "n": 3}
PARAMS, INPUTS = KERNEL.init(SIZES), {"x": np.zeros((3, 1, 2))}
RUN = KERNEL.forward(PARAMS, INPUTS)

CALLS = [
    (lambda: bptt.parse(None), "the text of a cell must be a string, not None"),
    (lambda: bptt.parse("h: state[n]\nh = tanh(h)", None), "the name of a cell must be a string, not None"),
    (lambda: bptt.parse_model(["x: input"]), "the text of a model must be a string, not of type list"),
    (lambda: bptt.load(3), "the name of a cell, or the path of its file, must be a string or a path, not of type int"),
    (lambda: bptt.load_model(None), "the name of a model, or the path of its file, must be a string or a path"),
    (lambda: bptt.compose(None), "the name of a cell, or the path"),
    (lambda: bptt.compose("rnn", shape=["many_to_one"]), "the shape of a model must be a string"),
    (lambda: bptt.compose("rnn", attention=None), "attention= must be a bool, not None"),
    (lambda: bptt.restate(CELL, bptt.Notation()), "what is restated must be a Derivation or a ModelDerivation, not of"),
    (lambda: bptt.restate(bptt.derive(CELL), "row"), "the notation must be a Notation, not of type str"),
    (lambda: bptt.read_notation(None), "the path of a notation must be a string or a path"),
    (lambda: bptt.derive(CELL).jacobian("h", ["h"]), "the name of a value must be a string, not of type list"),
    (lambda: bptt.export("rnn", "torch"), "what is exported must be a Cell or a Model, not of type str"),
    (lambda: bptt.export(CELL, None), "the framework must be a string, not None"),
    (lambda: kernels.schedule(CELL), "what is scheduled must be a Derivation, not of type Cell"),
    (lambda: KERNEL.init(None), "sizes, dimension -> size, must be a dict, not None"),
    (lambda: KERNEL.init(SIZES, gain="a"), "a gain is a number, not 'a'"),
    (lambda: MODEL.init(SIZES, gain=None), "a gain is a number, not None"),
    (lambda: MODEL.init(3), "sizes, dimension -> size, must be a dict, not of type int"),
    (lambda: MODEL.forward(None, {}), "params, name -> array, must be a dict, not None"),
    (lambda: MODEL.forward({}, {}, state=[1]), "state, name -> array, must be a dict, not of type list"),
    (lambda: MODEL.backward(None), "the run must be a ModelRun, not None"),
    (lambda: KERNEL.forward(PARAMS, INPUTS, np.zeros(3)), "give each state by its name, as in .*; here ndarray"),
    (lambda: KERNEL.forward(PARAMS, INPUTS, sizes="n"), "sizes=, dimension -> size, must be a dict, not of type str"),
    (lambda: KERNEL.forward(PARAMS, INPUTS, keep=np.zeros(2)), "keep= must be a whole number from 1, not array"),
    (lambda: KERNEL.backward(None, {}), "the run must be a Run, not None"),
    (lambda: KERNEL.jacobians(PARAMS), "the run must be a Run, not of type dict"),
    (lambda: KERNEL.tangent(RUN, None), "the tangents of state, name -> array, must be a dict, not None"),
    (lambda: KERNEL.tangent(RUN, {"h": 1.0}), r"tangent of state h must have shape \(B, K, n\), here \(\)"),
    (lambda: KERNEL.part(RUN, None, 2), "first is the number of a step, not None"),
    (lambda: KERNEL.memory(SIZES, None, 2), "steps= must be a whole number from 0, not None"),
    (lambda: bptt.check("da_h = dh", cell=3), "the cell must be a string or a Cell or None, not of type int"),
    (lambda: bptt.flow(None, PARAMS, INPUTS), "what is measured must be a Kernel, not None"),
    (lambda: bptt.flow(KERNEL, None, INPUTS), "each parameter is given by its name: they must be a dict, not None"),
    (lambda: bptt.flow(KERNEL, PARAMS, INPUTS, seed="a"), "the seed is 'a': give a whole number from 0 on"),
    (lambda: bptt.lyapunov(KERNEL, PARAMS, INPUTS, level="high"), "level is 'high': it must lie between 0 and 1"),
    (lambda: bptt.Study.load(None), "the path of a study must be a string or a path, not None"),
    (lambda: bptt.from_keras(None), "the path of weights must be a string or a path, not None"),
    (lambda: bptt.from_onnx([1]), "the path of weights must be a string or a path, not of type list"),
    (lambda: bptt.from_torch(None), "the source of weights must be a dict or a string or a path, not None"),
    (lambda: bptt.save(bptt.derive(CELL), None), "the path of a page must be a string or a path, not None"),
    (lambda: reports.derivation_document(CELL), "what is typeset must be a Derivation or a Restated, not of type Cell"),
    (lambda: reports.model_document(None), "what is typeset must be a ModelDerivation, not None"),
    (lambda: reports.verdict_document("all right"), "what is typeset must be a Verdict, not of type str"),
]


@pytest.mark.parametrize(("call", "message"), CALLS, ids=[message[:50] for _, message in CALLS])
def test_the_message_is_ours(call, message):
    with pytest.raises(bptt.Error, match=f"^{message}"):
        call()
