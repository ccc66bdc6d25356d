"""A cell as a model of ONNX: a function for its step, and a scan that carries it over time."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Symbol

from ..derive.cell import Cell, previous
from ..derive.errors import Error
from .onnx_step import DOMAIN, OPSET, StepWriter, Value, Writer

IR_VERSION = 8


def to_onnx(cell: Cell, params: Mapping[str, ArrayLike] | None = None, *, dtype: str = "float32") -> Any:
    """Return a cell as an `onnx.ModelProto`, of standard operators alone.

    Its graph takes the inputs, (T, B, ...), the state before the first step as <state>_0, (B, ...), and the
    parameters, and gives each state after each step, (T, B, ...). Indices are int64, (T, B). A cell without inputs
    takes the number of its steps as `steps`. The step itself is a function of the model, in the domain "bptt".

    Args:
        cell: any.
        params: parameter -> array, to be kept in the model; where omitted they are inputs of the graph.
        dtype: "float32" or "float64".

    Raises:
        Error: where the package onnx isn't installed, for parameters that the cell hasn't, and for what ONNX has no
            operator for.

    >>> import bptt
    >>> print([one.name for one in to_onnx(bptt.load("rnn")).graph.input])
    ['x', 'h_0', 'W_hh', 'W_xh', 'b_h']
    """
    if not find_spec("onnx"):
        raise Error("models of ONNX are written with the package onnx. Install it: pip install 'bptt[weights]'")
    if dtype not in ("float32", "float64"):
        raise Error(f"dtype is {dtype!r}: give float32 or float64")
    given = _checked(cell, params, dtype)
    onnx = import_module("onnx")
    helper = onnx.helper
    step = _step(onnx, cell, dtype)
    names = _Names(cell)
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def told(name: str, lead: tuple[str, ...], shape: tuple[str, ...] = (), kind: int = number) -> Any:
        return helper.make_tensor_value_info(name, kind, _lengths((*lead, *shape)))

    inputs = [told(name, ("T", "B"), shape) for name, shape in cell.inputs.items()]
    inputs += [told(name, ("T", "B"), (), onnx.TensorProto.INT64) for name in cell.indices]
    inputs += [told(names.first[name], ("B",), shape) for name, shape in cell.states.items()]
    inputs += [told(name, (), shape) for name, shape in cell.params.items() if name not in given]
    outputs = [told(name, ("T", "B"), shape) for name, shape in cell.states.items()]
    sequences = [*cell.inputs, *cell.indices]
    if not sequences:
        inputs.append(told(names.steps, (), kind=onnx.TensorProto.INT64))
    writer = Writer(onnx, names.taken, dtype)
    ticks = "" if sequences else _ticks(writer, names.steps)
    last = [writer.name(f"{name}_last") for name in cell.states]
    given_first = [names.first[name] for name in cell.states]
    body = _body(onnx, cell, names, step.name, number)
    scan = [*given_first, *(sequences or [ticks])]
    writer.nodes.append(
        helper.make_node("Scan", scan, [*last, *cell.states], body=body, num_scan_inputs=len(sequences) or 1)
    )
    graph = helper.make_graph(
        writer.nodes,
        _word(cell.name),
        inputs,
        outputs,
        [onnx.numpy_helper.from_array(array, name) for name, array in given.items()],
        doc_string=cell.text,
    )
    model = helper.make_model(
        graph,
        functions=[step],
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
        ir_version=IR_VERSION,
        producer_name="bptt",
        producer_version=version("bptt"),
        doc_string=cell.doc,
    )
    onnx.checker.check_model(model)
    return model


class _Names:
    """What the values of the graph are called, each by a name of its own.

    Attributes:
        first: state -> its value before the first step.
        steps: the number of steps, where it is an input.
    """

    def __init__(self, cell: Cell) -> None:
        self.taken = [*cell.params, *cell.inputs, *cell.indices, *cell.states]
        self.first = {name: self.fresh(f"{name}_0") for name in cell.states}
        self.steps = self.fresh("steps")

    def fresh(self, wish: str) -> str:
        while wish in self.taken:
            wish += "_"
        self.taken.append(wish)
        return wish


def _checked(cell: Cell, params: Mapping[str, ArrayLike] | None, dtype: str) -> dict[str, NDArray[Any]]:
    """Return all parameters of a cell as arrays, or none."""
    if params is None:
        return {}
    if wrong := sorted(params.keys() ^ cell.params.keys()):
        raise Error(f"{wrong[0]} is not in both the cell's parameters, {', '.join(cell.params)}, and those given")
    found = {name: np.ascontiguousarray(params[name], dtype) for name in cell.params}
    for name, array in found.items():
        if array.ndim != len(cell.params[name]):
            raise Error(f"{name} has shape {array.shape}, and the cell's has {len(cell.params[name])} axes")
    return found


def _step(onnx: Any, cell: Cell, dtype: str) -> Any:
    """Return the function of one step: parameters, inputs and states before it -> states after it."""
    values = {Symbol(name): Value(name, len(shape), False) for name, shape in cell.params.items()}
    values |= {Symbol(name): Value(name, len(shape), True) for name, shape in cell.inputs.items()}
    values |= {Symbol(name): Value(name, 0, True) for name in cell.indices}
    values |= {previous(name): Value(f"{name}_prev", len(shape), True) for name, shape in cell.states.items()}
    names = [value.name for value in values.values()]
    writer = StepWriter(onnx, cell, values, [*names, *cell.states], dtype)
    writer.write()
    for name in cell.states:
        writer.node("Identity", writer.values[Symbol(name)].name, output=name)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    return onnx.helper.make_function(
        DOMAIN, f"{_word(cell.name)}_step", names, list(cell.states), writer.nodes, opsets, doc_string=cell.text
    )


def _ticks(writer: Writer, steps: str) -> str:
    """Return the numbers of the steps, a sequence for a scan that has no other."""
    first, stride = writer.constant(0, np.int64), writer.constant(1, np.int64)
    return writer.node("Range", first, steps, stride)


def _body(onnx: Any, cell: Cell, names: _Names, step: str, number: int) -> Any:
    """Return the scan's body: a step, and its states once to go on with and once to keep."""
    helper = onnx.helper
    info = helper.make_tensor_value_info
    writer = Writer(onnx, names.taken, np.float32)
    before, after, kept = (
        {name: writer.name(f"{name}_{when}") for name in cell.states} for when in ("prev", "next", "kept")
    )
    now = {name: writer.name(f"{name}_now") for name in (*cell.inputs, *cell.indices)}
    given = [*cell.params, *now.values(), *before.values()]
    writer.nodes.append(helper.make_node(step, given, list(after.values()), domain=DOMAIN))
    for name in cell.states:
        writer.node("Identity", after[name], output=kept[name])
    inputs = [info(before[name], number, ["B", *_lengths(shape)]) for name, shape in cell.states.items()]
    inputs += [info(now[name], number, ["B", *_lengths(shape)]) for name, shape in cell.inputs.items()]
    inputs += [info(now[name], onnx.TensorProto.INT64, ["B"]) for name in cell.indices]
    if not now:
        inputs.append(info(writer.name("t"), onnx.TensorProto.INT64, []))
    outputs = [
        info(table[name], number, ["B", *_lengths(shape)])
        for table in (after, kept)
        for name, shape in cell.states.items()
    ]
    return helper.make_graph(writer.nodes, step, inputs, outputs)


def _lengths(shape: tuple[str, ...]) -> list[str | int]:
    """Return the axes of a shape as ONNX takes them: a number, or what an unknown size is called."""
    return [int(size) if size.isdecimal() else size for size in shape]


def _word(name: str) -> str:
    """Return a name as an identifier.

    >>> _word("my-cell 2")
    'my_cell_2'
    """
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name) or "cell"
