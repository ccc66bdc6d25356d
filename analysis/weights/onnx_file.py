"""Files of ONNX, read by the onnx package: its operators for recurrent layers, with all that they may choose."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Symbol

from ...derive.cell import parse
from ...derive.errors import Error, expect_path
from .conventions import cell_of, function, table, unpack
from .layers import Array, Layer, Stack, Trained

INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
OWN = "bptt"  # the domain of the functions in models that `bptt.to_onnx` writes
WEIGHTS = ("W", "R", "B", "P")
SEEN_THROUGH = ("Transpose", "Squeeze", "Unsqueeze", "Reshape", "Identity", "Dropout", "Cast")
NUMBERS = {"affine": 2, "scaledtanh": 2, "hardsigmoid": 2, "leakyrelu": 1, "thresholdedrelu": 1, "elu": 1}


def from_onnx(path: str | os.PathLike[str]) -> Trained:
    """Return the recurrent layers of an ONNX file; the package onnx must be installed.

    The three recurrent operators in each direction, with peepholes, coupled gates, clipping, the reset before or after
    the product, and any of the activations that ONNX names. Lengths and initial states are inputs of the operator, and
    of `Kernel.forward` here. A cell that `bptt.to_onnx(cell, params)` has written comes back as it was.

    Raises:
        Error: where the file can't be read, holds no recurrent layer, or one whose weights are computed in the graph.
    """
    expect_path("the path of weights", path)
    where = Path(path)
    if not find_spec("onnx"):
        raise Error(f"{where}: ONNX files are read by the package onnx. Install it: pip install 'bptt[weights]'")
    onnx = import_module("onnx")
    try:
        model = onnx.load(where)
    except Exception as error:  # protobuf's own errors share no class
        why = str(error) or type(error).__name__
        raise Error(f"{where}: can't be read as ONNX: {why}. If it should be one, copy it again, and whole.") from None
    graph = model.graph
    values = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and (given := [a for a in node.attribute if a.name == "value"]):
            values[node.output[0]] = onnx.numpy_helper.to_array(given[0].t)
    if OWN in {one.domain for one in model.opset_import}:
        return _ours(graph, values, str(where))
    makers = {name: node for node in graph.node for name in node.output if name}
    kinds = {key.partition("_")[0] for key in table()["onnx"]}
    found = {id(node): node for node in graph.node if node.op_type in kinds}
    if not found:
        operators = ", ".join(dict.fromkeys(node.op_type for node in graph.node)) or "nothing"
        raise Error(f"{where}: no recurrent layer is in it. There: {operators}.")
    notes: list[str] = []
    stacks: list[list[tuple[Layer, ...]]] = []
    tops: dict[int, list[tuple[Layer, ...]]] = {}
    for number, node in enumerate(found.values()):
        label = node.name or f"{node.op_type}_{number}"
        made = tuple(_layers(onnx, node, values, label, str(where)))
        if any(np.any(values[name]) for name in node.input[5:7] if name in values):
            notes.append(f"{label} starts from a state that the file gives; here it starts from 0, or what you give.")
        below = _source(node.input[0], makers, found)
        if below in tops:
            depths = tops.pop(below)
        else:
            depths = []
            stacks.append(depths)
        depths.append(made)
        tops[id(node)] = depths
    made_of = tuple(Stack(depths[0][0].name, tuple(depths)) for depths in stacks)
    return Trained(str(where), "ONNX", made_of, notes=tuple(notes))


def _ours(graph: Any, values: Mapping[str, NDArray[Any]], where: str) -> Trained:
    """Return the cell that `bptt.to_onnx` has written, with the weights that it kept: the graph carries its text."""
    try:
        cell = parse(graph.doc_string, graph.name)
    except Error:
        raise Error(f"{where}: bptt has written it from a model, and only cells are read back") from None
    if missing := [name for name in cell.params if name not in values]:
        raise Error(
            f"{where}: {missing[0]} is an input of the graph. Keep weights in it with bptt.to_onnx(cell, params)"
        )
    read = [*cell.inputs, *cell.indices]
    if len(cell.inputs) != 1 or cell.indices or any(len(cell.shapes[Symbol(n)]) != 1 for n in (*read, *cell.states)):
        raise Error(f"{where}: a cell is read back if it has one input, and vectors as input and states")
    params: dict[str, Array] = {name: values[name].astype(np.float64) for name in cell.params}
    layer = Layer(cell.name, cell, params)
    return Trained(where, "bptt", (Stack(cell.name, ((layer,),)),))


def _source(name: str, makers: Mapping[str, Any], found: Mapping[int, Any]) -> int | None:
    """Return which recurrent node a value comes from, through nodes that only move entries."""
    while name in makers:
        node = makers[name]
        if id(node) in found:
            return id(node)
        if node.op_type not in SEEN_THROUGH:
            return None
        name = node.input[0]
    return None


def _layers(onnx: Any, node: Any, values: Mapping[str, NDArray[Any]], label: str, where: str) -> Iterator[Layer]:
    """Give the layers of a node, one in each direction."""
    here = f"{where}, {label}"
    told = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    named = {role: name for role, name in zip(INPUTS, node.input, strict=False) if name and role in WEIGHTS}
    if computed := [role for role, name in named.items() if name not in values]:
        raise Error(f"{here}: {computed[0]} is computed in the graph. Fold its constants first, as exporters can.")
    given = {role: values[name].astype(np.float64) for role, name in named.items()}
    key = node.op_type + "".join(
        f"_{part}" for part in ("P", "input_forget", "linear_before_reset") if part in given or told.get(part)
    )
    if key not in table()["onnx"]:
        raise Error(f"{here}: an operator {key} isn't known here. Known: {', '.join(table()['onnx'])}.")
    layout = table()["onnx"][key]
    direction = told.get("direction", b"forward").decode()
    ways = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[direction]
    functions = _functions(told, len(table()["cells"][layout["cell"]]["functions"]), len(ways), here)
    bound = float(told["clip"]) if "clip" in told else None
    for place, reverse in enumerate(ways):
        cell = cell_of(layout["cell"], functions[place], bound)
        params = unpack(layout, cell, {role: array[place] for role, array in given.items()}, here)
        yield Layer(f"{label}_reverse" if place else label, cell, params, reverse)


def _functions(told: Mapping[str, Any], count: int, ways: int, where: str) -> list[list[str]]:
    """Return the functions of each direction; alpha and beta are listed only for functions that take them."""
    names = [name.decode() for name in told.get("activations", ())]
    if not names:
        return [[]] * ways
    if len(names) != count * ways:
        raise Error(f"{where}: has {len(names)} activations, and {count * ways} were expected")
    alphas, betas = list(told.get("activation_alpha", ())), list(told.get("activation_beta", ()))
    found = []
    for name in names:
        takes = NUMBERS.get(name.lower(), 0)
        alpha = [alphas.pop(0)] if takes > 0 and alphas else []
        beta = [betas.pop(0)] if takes > 1 and alpha and betas else []
        found.append(function("onnx", name, where, [*alpha, *beta]))
    return [found[at * count : (at + 1) * count] for at in range(ways)]
