"""Cells and models for ONNX: a function for each step, and scans that carry steps over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Symbol

from ..derive.cell import Cell, previous
from ..derive.errors import Error, expect
from ..derive.model import Model
from ..derive.model_text import LAST, PARAM, STEP, WHOLE, Wire
from .lines import free
from .onnx_step import DOMAIN, OPSET, StepWriter, Value, Writer
from .parts import Part, as_model, carried, parts

IR_VERSION = 8


def to_onnx(cell: Cell | Model, params: Mapping[str, ArrayLike] | None = None, *, dtype: str = "float32") -> Any:
    """Return a cell or a model as an `onnx.ModelProto`, of standard operators alone.

    Its graph takes the inputs, (T, B, ...) or (B, ...) of what has no steps, the state before the first step as
    <state>_0, (B, ...), and the parameters, and gives each state after each step, (T, B, ...), what one block of a
    model reads from another, and what its loss is computed from. The loss itself, and the targets, aren't there.
    Indices are int64. What no input says, such as the number of `steps` of a cell without inputs, is an input of its
    own. A step is a function of the model, in the domain "bptt".

    Args:
        cell: any cell or model.
        params: parameter -> array, to be kept in the model; where omitted they are inputs of the graph.
        dtype: "float32" or "float64".

    Raises:
        Error: where the package onnx isn't installed, for parameters that the cell hasn't, and for what ONNX has no
            operator for.

    >>> import bptt
    >>> print([one.name for one in to_onnx(bptt.load("rnn")).graph.input])
    ['x', 'h_0', 'W_hh', 'W_xh', 'b_h']
    >>> print([one.name for one in to_onnx(bptt.load_model("hello")).graph.output])
    ['h', 'u']
    """
    if not find_spec("onnx"):
        raise Error("models of ONNX are written with the package onnx. Install it: pip install 'bptt[weights]'")
    if dtype not in ("float32", "float64"):
        raise Error(f"dtype is {dtype!r}: give float32 or float64")
    expect("params, name -> array,", params, Mapping, NoneType)
    onnx = import_module("onnx")
    helper, model = onnx.helper, as_model(cell)
    given = _checked(model, params, dtype)
    writer = _GraphWriter(onnx, model, dtype)
    writer.write()
    graph = helper.make_graph(
        writer.nodes,
        _word(model.name),
        [*writer.inputs, *(writer.told(n, shape) for n, shape in model.params.items() if n not in given)],
        writer.outputs,
        [onnx.numpy_helper.from_array(array, name) for name, array in given.items()],
        doc_string=cell.text,
    )
    made = helper.make_model(
        graph,
        functions=writer.functions,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
        ir_version=IR_VERSION,
        producer_name="bptt",
        producer_version=version("bptt"),
        doc_string=model.doc,
    )
    onnx.checker.check_model(made)
    return made


def _checked(model: Model, params: Mapping[str, ArrayLike] | None, dtype: str) -> dict[str, NDArray[Any]]:
    """Return all parameters of a model as arrays, or none."""
    if params is None:
        return {}
    if wrong := sorted(params.keys() ^ model.params.keys()):
        raise Error(f"{wrong[0]} is not in both the cell's parameters, {', '.join(model.params)}, and those given")
    found = {name: np.asarray(params[name], dtype, order="C") for name in model.params}
    for name, array in found.items():
        if array.ndim != len(model.params[name]):
            raise Error(f"{name} has shape {array.shape}, and the cell's has {len(model.params[name])} axes")
    return found


class _GraphWriter(Writer):
    """Writes the graph of what predicts.

    Attributes:
        inputs, outputs: of the graph, without parameters.
        functions: of steps.
    """

    def __init__(self, onnx: Any, model: Model, dtype: str) -> None:
        self.model, self.dtype = model, dtype
        self.parts = [part for part in parts(model) if not part.is_loss]
        self.gives = {part.name: [s.name for s in part.gives if s.name in _targets(part)] for part in self.parts}
        self.stepped = carried(model, self.parts)
        values = [name for names in self.gives.values() for name in names]
        super().__init__(onnx, [*model.params, *self.stepped, *values], dtype)
        self.number = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.functions: list[Any] = []
        self.counts: dict[str, str] = {}

    def told(self, name: str, shape: Iterable[str | int], kind: int | None = None) -> Any:
        """Return what a value of the graph is."""
        number = self.number if kind is None else kind
        return self.onnx.helper.make_tensor_value_info(name, number, _lengths(shape))

    def write(self) -> None:
        """Write all parts."""
        whole = self.onnx.TensorProto.INT64
        for name, axis in self.stepped.items():
            shape = () if name in self.model.indices else tuple(map(str, self.model.shapes[Symbol(name)]))
            lead = (_axis(axis), "B") if axis else ("B",)
            self.inputs.append(self.told(name, (*lead, *shape), whole if name in self.model.indices else None))
        self.first = {
            name: self.name(f"{name}_0")
            for part in self.parts
            for name in part.cell.states
            if part.block.starts[name] is None
        }
        for part in self.parts:
            shapes = {name: shape for name, shape in part.cell.states.items() if name in self.first}
            self.inputs += [self.told(self.first[name], ("B", *shape)) for name, shape in shapes.items()]
        for part in self.parts:
            self.target = part.name
            self._run(part)

    def _run(self, part: Part) -> None:
        """Write a part's function, and the nodes that run it."""
        function = _function(self.onnx, part, _word(self.model.name), self.gives[part.name], self.dtype)
        self.functions.append(function)
        lead = [_axis(part.axis)] if part.axis else []
        for name in self.gives[part.name]:
            self.outputs.append(self.told(name, (*lead, "B", *map(str, part.cell.shapes[Symbol(name)]))))
        wired = {name: self._wired(wire) for name, wire in part.wires.items()}
        sizes = [self._count(size) for size in part.sizes]
        given = [*part.cell.params, *wired.values(), *sizes]
        if part.is_still:
            once = [self.name(f"{name}_once") for name in self.gives[part.name]]
            self._call(function, given, once)
            for name, array in zip(self.gives[part.name], once, strict=True):
                lead = [self._count(part.axis)] if part.axis else []
                shape = self.node("Concat", *lead, self._count(""), self.node("Shape", array), axis=0)
                self.node("Expand", array, shape, output=name)
        elif part.axis:
            self._scan(part, function, wired, sizes)
        else:
            self._call(function, given, self.gives[part.name])

    def _call(self, function: Any, inputs: list[str], outputs: list[str]) -> None:
        self.nodes.append(self.onnx.helper.make_node(function.name, inputs, outputs, domain=DOMAIN))

    def _scan(self, part: Part, function: Any, wired: Mapping[str, str], sizes: Iterable[str]) -> None:
        """Write the scan that carries a step over time."""
        sequences = [wired[name] for name, wire in part.wires.items() if wire.part == STEP]
        starts = [self._start(name, part.block.starts[name]) for name in part.cell.states]
        sequences = sequences or [self._ticks(part.axis)]
        last = [self.name(f"{name}_last") for name in part.cell.states]
        found = self.gives[part.name]
        if part.block.reverse:  # turned round, since the reference implementation has no other directions
            sequences = [self._turned(name) for name in sequences]
            found = [self.name(f"{name}_turned") for name in found]
        body = self._body(part, function, wired, sizes)
        self.nodes.append(
            self.onnx.helper.make_node(
                "Scan", [*starts, *sequences], [*last, *found], body=body, num_scan_inputs=len(sequences)
            )
        )
        if part.block.reverse:
            for array, name in zip(found, self.gives[part.name], strict=True):
                self._turned(array, name)

    def _turned(self, array: str, output: str = "") -> str:
        """Return an array with its first axis in the other order."""
        before_first = np.iinfo(np.int64).min
        return self.node("Slice", array, *(self.whole(number) for number in (-1, before_first, 0, -1)), output=output)

    def _body(self, part: Part, function: Any, wired: Mapping[str, str], sizes: Iterable[str]) -> Any:
        """Return a scan's body: a step, its states once to go on with, and all that it gives once to keep."""
        cell, helper = part.cell, self.onnx.helper
        writer = Writer(self.onnx, [], np.float32)
        writer.taken = self.taken  # a body sees the names of the graph around it
        before = {name: writer.name(f"{name}_prev") for name in cell.states}
        after = {name: writer.name(f"{name}_next") for name in self.gives[part.name]}
        kept = {name: writer.name(f"{name}_kept") for name in self.gives[part.name]}
        at_step = {name: writer.name(f"{name}_now") for name, wire in part.wires.items() if wire.part == STEP}
        given = [*cell.params, *(at_step.get(name, wired[name]) for name in part.wires), *before.values(), *sizes]
        writer.nodes.append(helper.make_node(function.name, given, list(after.values()), domain=DOMAIN))
        for name in kept:
            writer.node("Identity", after[name], output=kept[name])
        whole = self.onnx.TensorProto.INT64
        inputs = [self.told(before[name], ("B", *shape)) for name, shape in cell.states.items()]
        for name, now in at_step.items():
            inputs.append(self.told(now, ("B", *cell.inputs.get(name, ())), whole if name in cell.indices else None))
        if not at_step:
            inputs.append(self.told(writer.name("t"), (), whole))
        shapes = {name: ("B", *map(str, cell.shapes[Symbol(name)])) for name in kept}
        outputs = [self.told(after[name], shapes[name]) for name in cell.states]
        outputs += [self.told(kept[name], shapes[name]) for name in kept]
        return helper.make_graph(writer.nodes, function.name, inputs, outputs)

    def _wired(self, wire: Wire) -> str:
        """Return what a wire carries: (T, B, ...) of a value at each step, else (B, ...)."""
        if wire.part == LAST:
            reverse = self.model.blocks[self.model.home(wire.source)].reverse
            return self.node("Gather", wire.source, self.constant(0 if reverse else -1, np.int64), axis=0)
        if wire.part == WHOLE:
            axes = range(2 + len(self.model.shapes[Symbol(wire.source)]))
            return self.node("Transpose", wire.source, perm=[1, 0, *axes[2:]])
        return wire.source

    def _start(self, state: str, wire: Wire | None) -> str:
        """Return the first value of a state, (B, ...)."""
        if wire is None:
            return self.first[state]
        if wire.part == PARAM:
            shape = self.node("Concat", self._count(""), self.node("Shape", wire.source), axis=0)
            return self.node("Expand", wire.source, shape)
        return self._wired(wire)

    def _ticks(self, axis: str) -> str:
        """Return the numbers of the steps, a sequence for a scan that has no other."""
        count = self.node("Squeeze", self._count(axis), self.whole(0))
        return self.node("Range", self.constant(0, np.int64), count, self.constant(1, np.int64))

    def _count(self, axis: str) -> str:
        """Return how many steps an axis has, or for "" how many samples there are, as a list of one number."""
        if axis not in self.counts:
            found = [
                (name, int(bool(own) and not axis)) for name, own in self.stepped.items() if own == axis or not axis
            ]
            found += [(name, 0) for name in self.first.values() if not axis]
            if found:
                [(name, place), *_] = found
                self.counts[axis] = self.node("Shape", name, start=place, end=place + 1)
            else:
                name = self.name("steps" if axis and not axis.isidentifier() else axis or "B")
                self.inputs.append(self.told(name, (), self.onnx.TensorProto.INT64))
                self.counts[axis] = self.node("Unsqueeze", name, self.whole(0))
        return self.counts[axis]


def _function(onnx: Any, part: Part, model: str, gives: list[str], dtype: str) -> Any:
    """Return the function of a step: parameters, what it reads and states before it -> what it gives."""
    cell = part.cell
    values = {Symbol(name): Value(name, len(shape), False) for name, shape in cell.params.items()}
    values |= {Symbol(name): Value(name, len(cell.inputs.get(name, ())), True) for name in part.wires}
    values |= {previous(name): Value(f"{name}_prev", len(shape), True) for name, shape in cell.states.items()}
    names = [value.name for value in values.values()]
    sizes = {size: free(f"size_{size}", {*names, *gives}) for size in part.sizes}
    names += sizes.values()
    writer = StepWriter(onnx, cell, values, sizes, [*names, *gives], dtype)
    writer.write()
    for name in gives:
        writer.node("Identity", writer.for_each_sample(writer.values[Symbol(name)]).name, output=name)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    return onnx.helper.make_function(
        DOMAIN, f"{model}_{part.name}", names, gives, writer.nodes, opsets, doc_string=cell.text
    )


def _targets(part: Part) -> set[str]:
    return {line.target.name for line in part.cell.equations}


def _axis(name: str) -> str:
    """Return what an axis of time is called."""
    return name if name.isidentifier() else "T"


def _lengths(shape: Iterable[str | int]) -> list[str | int]:
    """Return the axes of a shape as ONNX takes them: a number, or what an unknown size is called."""
    return [int(size) if str(size).isdecimal() else size for size in shape]


def _word(name: str) -> str:
    """Return a name as an identifier.

    >>> _word("my-cell 2")
    'my_cell_2'
    """
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name) or "cell"
