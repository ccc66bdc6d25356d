"""`ModelKernel`: a whole sequence model on arrays: each block by a kernel of its own, and what goes between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any, overload

import numpy as np
import sympy
from sympy import Symbol

from ..derive import display
from ..derive.adjoint import adjoint_program
from ..derive.cell import Cell, dimensions_of, previous
from ..derive.derivation import Derivation
from ..derive.derivation import derive as derive_cell
from ..derive.errors import Error, ShapeError, expect
from ..derive.interpret import size
from ..derive.model import Block, Model
from ..derive.model_derivation import ModelDerivation
from ..derive.model_derivation import derive as derive_model
from ..derive.model_text import PARAM, STEP, WHOLE, Wire
from ..derive.sizes import dimension
from ..derive.syntax import closest
from .given import Array, Arrays
from .initial import check_gain, check_seed, check_shapes, draw, is_bias
from .kernel import Kernel
from .kernel import compile as compile_cell
from .run import Gradients, Run


@dataclass(frozen=True)
class ModelRun:
    """What a forward pass of a model leaves.

    Attributes:
        batch: B.
        runs: of each block, in order.
        losses: term of the loss -> (T, B), its value at each step; 0 past a sequence's length.
        lengths: axis -> (B,), as it was given.
        active: axis -> (T, B), True up to each sequence's length; for the axes that were given lengths.
        params: the parameters it ran with.
        given: the states whose first values can be given.
    """

    batch: int
    runs: tuple[Run, ...]
    losses: Mapping[str, Array]
    lengths: Arrays
    active: Mapping[str, Array] = field(repr=False)
    params: Arrays = field(repr=False)
    given: tuple[str, ...] = field(repr=False)

    @property
    def loss(self) -> Array:
        """(B,): the loss of each sample, summed over its steps and terms."""
        return sum((term.sum(axis=0) for term in self.losses.values()), np.zeros(self.batch))

    def value(self, name: str) -> Array:
        """Return any named value, (T, B, *shape); T is 1 for what runs once.

        Raises:
            Error: where no block computes such a value.
        """
        for run in self.runs:
            if name in run.values:
                return run.values[name]
        raise Error(f"no value is called '{name}'. {closest(name, [n for run in self.runs for n in run.values])}")

    def last(self) -> dict[str, Array]:
        """Return state -> (B, *shape) after the last step, of each state that can be given: a next run starts there."""
        ends = {n: values[0 if run.reverse else -1] for run in self.runs for n, values in run.states.items()}
        return {name: ends[name].copy() for name in self.given}


@dataclass(frozen=True)
class ModelGradients:
    """What a backward pass of a model gives.

    Attributes:
        params: parameter -> array of its shape, summed over steps and samples.
        inputs: input -> an array of the input's shape.
        state: state -> (B, *shape), of the initial states of loops that start from zero or from what was given.
        states: state -> (T, B, *shape), dL/ds_t with s_t as the loss, other blocks and step t+1 read it.
    """

    params: Mapping[str, Array]
    inputs: Mapping[str, Array]
    state: Mapping[str, Array]
    states: Mapping[str, Array]


class ModelKernel:
    """The compiled forward and backward pass of a model, for one dtype.

    Attributes:
        model, derivation: from which it was made.
        kernels: of each block, in order.
    """

    def __init__(self, derivation: ModelDerivation, dtype: str, threads: int = 1) -> None:
        self.derivation = derivation
        self.model: Model = derivation.model
        self.kernels = tuple(compile_cell(_at_each_step(block), dtype, threads) for block in self.model.blocks)
        self.dtype = np.dtype(dtype)

    _repr_html_ = display.html

    def __repr__(self) -> str:
        return f"ModelKernel({self.model.name!r}, dtype={self.dtype.name!r})"

    def init(self, sizes: Mapping[str, int], seed: int = 0, gain: float = 1.0) -> dict[str, Array]:
        """Draw parameters as `Kernel.init` does; a parameter that several blocks share is drawn once.

        Args:
            sizes: dimension -> size; those of time are not needed.
            seed: of the generator; one seed gives the same numbers each time.
            gain: scale of the matrices.

        Returns:
            {name: array} of the kernel's dtype.

        Raises:
            ShapeError: where the size of a dimension is missing, unknown or no whole number from 1.
        """
        check_seed(seed)
        check_gain(gain)
        shapes = self.shapes(sizes)
        check_shapes(shapes)
        drawn = {}
        for place, name in enumerate(self.model.params):
            symbol = Symbol(name)
            readers = [part for part in self.derivation.parts if name in part.cell.params]
            zero = all(is_bias(part, symbol) for part in readers)
            drawn[name] = draw(shapes[name], 0.0 if zero else gain, self.dtype, (seed, place))
        return drawn

    def shapes(self, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """Return parameter -> shape of its array.

        Args:
            sizes: dimension -> size; those of time are not needed.

        Raises:
            ShapeError: where the size of a dimension is missing, unknown or no whole number from 1.
        """
        self._check_sizes(sizes)
        return {
            name: tuple(size(part, sizes) for part in self.model.shapes[Symbol(name)]) for name in self.model.params
        }

    def _check_sizes(self, sizes: Mapping[str, int]) -> None:
        expect("sizes, dimension -> size,", sizes, Mapping)
        parts = [part for name in self.model.params for part in self.model.shapes[Symbol(name)]]
        wanted = sorted({symbol.name for part in parts for symbol in sympy.sympify(part).atoms(Symbol)})
        known = {symbol.name for shape in self.model.shapes.values() for part in shape for symbol in part.free_symbols}
        known |= {entries for *_, entries in self.model.indices.values()} | set(self.model.axes)
        if missing := [name for name in wanted if name not in sizes]:
            raise ShapeError(f"no size is given for {', '.join(missing)}; the parameters have {', '.join(wanted)}")
        for name, number in sizes.items():
            if name not in known:
                raise ShapeError(f"the model has no dimension '{name}'. {closest(name, wanted)}")
            if not isinstance(number, int | np.integer) or number < 1:
                raise ShapeError(f"the size of dimension {name} must be a whole number from 1, not {number!r}")

    def forward(
        self,
        params: Arrays,
        inputs: Arrays,
        state: Arrays | None = None,
        *,
        lengths: Mapping[str, Array] | None = None,
    ) -> ModelRun:
        """Run the model over a batch of sequences.

        Args:
            params: parameter -> array of its shape.
            inputs: input or index -> (T, B, *shape), or (B, *shape) for what has no steps. Samples come after time.
            state: state -> (B, *shape), where a loop starts that has no start of its own; left out: zero.
            lengths: axis -> (B,) whole numbers from 1: how many steps of each sequence count.

        Raises:
            ShapeError: for a missing or unknown name, a wrong shape or dtype, or sizes that don't agree.
            Error: where an input isn't finite, or an index picks past the end.
        """
        for what, given in {"params": params, "inputs": inputs, "state": state, "lengths": lengths}.items():
            expect(f"{what}, name -> array,", {} if given is None and what in ("state", "lengths") else given, Mapping)
        model, state, lengths = self.model, dict(state or {}), dict(lengths or {})
        self._check_names("parameter", params, model.params)
        self._check_names("input", inputs, {**model.inputs, **model.indices})
        batch, steps = self._leading(inputs)
        free = tuple(name for block in model.blocks for name, wire in block.starts.items() if wire is None)
        if unknown := sorted(set(state) - set(free)):
            raise Error(f"no loop starts from a given state '{unknown[0]}'. {closest(unknown[0], free)}")
        active = {axis: self._active(axis, counts, steps, batch) for axis, counts in lengths.items()}
        flow = _Forward(self, params, inputs, state, lengths, steps, batch, self._sizes(params, inputs) | steps)
        runs = flow.run()
        losses: dict[str, Array] = {}
        for block, run in zip(model.blocks, runs, strict=True):
            on = active.get(str(block.axis))
            for name in block.losses:
                term = run.values[name]
                losses[name] = term if on is None else np.where(on, term, 0)
        return ModelRun(batch, runs, losses, lengths, active, params, free)

    def backward(
        self, run: ModelRun, weight: float | Array | Arrays = 1.0, cotangents: Arrays | None = None
    ) -> ModelGradients:
        """Carry gradients back through a run.

        Args:
            run: from `forward`.
            weight: of the loss: a number, (B,) of each sample, or term of the loss -> (T, B), as in a mean over steps.
            cotangents: value that another block reads, or a state -> (T, B, *shape), gradients from elsewhere.
        """
        expect("the run", run, ModelRun)
        return _Backward(self, run, weight, {} if cotangents is None else cotangents).run()

    def _check_names(self, kind: str, given: Arrays, known: Mapping[str, object]) -> None:
        if missing := [name for name in known if name not in given]:
            raise ShapeError(f"missing {kind} {', '.join(missing)}; the model has {', '.join(known)}")
        if unknown := [name for name in given if name not in known]:
            raise ShapeError(f"the model has no {kind} called '{unknown[0]}'. {closest(str(unknown[0]), known)}")

    @cached_property
    def _stepped(self) -> dict[str, str]:
        """Input or index -> its axis of time, "" for none."""
        axes = set(self.model.axes)
        found = {n: dims[0] if dims and dims[0] in axes else "" for n, dims in self.model.inputs.items()}
        return found | {n: dims[0] if len(dims) > 1 else "" for n, dims in self.model.indices.items()}

    def _leading(self, inputs: Arrays) -> tuple[int, dict[str, int]]:
        """Return B, and axis -> how many steps it has."""
        steps: dict[str, tuple[int, str]] = {}  # number, and the input that says it
        batch: dict[str, tuple[int, str]] = {}  # apart, since an axis may be called B
        for name, axis in self._stepped.items():
            shape = np.shape(inputs[name])
            lead = [(axis, steps)] * bool(axis) + [("B", batch)]
            if len(shape) < len(lead):
                asked = ", ".join(what for what, _ in lead)
                raise ShapeError(f"input {name} must have shape ({asked}, ...), here {shape}")
            for (what, known), number in zip(lead, shape, strict=False):
                first, source = known.setdefault(what, (number, name))
                if number != first:
                    raise ShapeError(f"input {name} has {what} = {number}, but {source} has {first}")
        if missing := [axis for axis in self.model.axes if axis not in steps]:
            raise ShapeError(f"no input says how many steps {missing[0]} has")
        if not batch:
            raise ShapeError("a model without inputs has no batch to run on")
        return batch["B"][0], {axis: number for axis, (number, _) in steps.items()}

    def _sizes(self, params: Arrays, inputs: Arrays) -> dict[str, int]:
        """Return dimension -> the size that a parameter or an input has there."""
        arrays = {name: np.shape(array) for name, array in {**params, **inputs}.items()}
        return {
            part.name: number
            for name, shape in arrays.items()
            for part, number in zip(reversed(self.model.shapes[Symbol(name)]), reversed(shape), strict=False)
            if isinstance(part, Symbol)
        }

    @cached_property
    def unseen(self) -> tuple[set[str], ...]:
        """Dimensions of each block that none of its parameters and inputs has."""
        cells = [block.cell for block in self.model.blocks]
        shown = [{*chain(*cell.params.values(), *cell.inputs.values())} for cell in cells]
        return tuple(set(dimensions_of(cell)) - known for cell, known in zip(cells, shown, strict=True))

    def _active(self, axis: str, counts: Array, steps: Mapping[str, int], batch: int) -> Array:
        if axis not in self.model.axes:
            raise Error(f"lengths= names '{axis}'. {closest(axis, self.model.axes)}")
        counts = np.asarray(counts)
        if (
            counts.shape != (batch,)
            or counts.dtype.kind not in "iu"
            or (counts < 1).any()
            or (counts > steps[axis]).any()
        ):
            raise Error(f"lengths of {axis} must be B = {batch} whole numbers from 1 to {steps[axis]}")
        one_length = (
            f"so sequences must have one length: sort them into batches by length instead of giving lengths of {axis}"
        )
        for block in self.model.blocks:
            for wire in block.wires.values():
                home = self.home(wire)
                steps_of = self._stepped.get(wire.source) if home is None else str(self.model.blocks[home].axis)
                if wire.part == WHOLE and steps_of == axis:
                    raise Error(f"'{wire.source}' is read at all steps of {axis}, {one_length}")
        if any(dimension(axis) in line.written.atoms(Symbol) for b in self.model.blocks for line in b.cell.equations):
            raise Error(f"an equation reads the size {axis}, {one_length}")
        return np.arange(steps[axis])[:, None] < counts[None, :]

    def home(self, wire: Wire) -> int | None:
        """Return the number of the block that a wire comes from; None for an input or parameter."""
        if wire.source in self._stepped or wire.source in self.model.params:
            return None
        return self.model.home(wire.source)


def _at_each_step(block: Block) -> Derivation:
    """Return the derivation of a block's cell, in which what others read of it is computed at each step and sample.

    Where parameters alone decide such a value, a cell alone would compute it once, and keep it to itself.
    """
    alone = derive_cell(block.cell)
    still = [name for name in (*block.outputs, *block.losses) if Symbol(name) in alone.prologue.outputs]
    if not still:
        return alone
    found = derive_cell(block.cell, still)
    wanted = (*map(previous, block.cell.states), *map(Symbol, block.cell.inputs), *found.fixed)
    backward = adjoint_program(found.forward, map(Symbol, block.cell.states), wanted)
    return replace(found, backward=backward, outputs=())


class _Forward:
    """One forward pass: what each block reads, from where."""

    def __init__(
        self,
        kernel: ModelKernel,
        params: Arrays,
        inputs: Arrays,
        state: Arrays,
        lengths: Arrays,
        steps: Mapping[str, int],
        batch: int,
        sizes: Mapping[str, int],
    ) -> None:
        self.sizes = sizes
        self.kernel, self.params, self.inputs, self.state = kernel, params, inputs, state
        self.lengths, self.steps, self.batch = lengths, steps, batch
        self.runs: list[Run] = []

    def run(self) -> tuple[Run, ...]:
        for number, block in enumerate(self.kernel.model.blocks):
            many = 1 if block.axis is None else self.steps[str(block.axis)]
            own = {name: self.params[name] for name in block.cell.params}
            read = {name: self._over_steps(wire, many) for name, wire in block.wires.items()}
            start = {name: self._start(name, wire) for name, wire in block.starts.items()}
            start = {name: array for name, array in start.items() if array is not None}
            lengths = None if block.axis is None else self.lengths.get(str(block.axis))
            unseen = {name: self.sizes[name] for name in self.kernel.unseen[number] & self.sizes.keys()}
            run = self.kernel.kernels[number].forward(
                own,
                read,
                start,
                steps=many,
                batch=self.batch,
                sizes=unseen,
                lengths=lengths,
                reverse=block.reverse,
            )
            self.runs.append(run)
        return tuple(self.runs)

    def _start(self, name: str, wire: Wire | None) -> Array | None:
        if wire is None:
            return self.state.get(name)
        if wire.part == PARAM:
            first = np.asarray(self.params[wire.source])
            return np.array(np.broadcast_to(first, (self.batch, *first.shape)))
        return self._read(wire)

    def _over_steps(self, wire: Wire, steps: int) -> Array:
        """Return what a wire carries at each step, (T, B, ...): again and again what has no steps."""
        found = self._read(wire)
        return found if wire.part == STEP else np.array(np.broadcast_to(found, (steps, *found.shape)))

    def _read(self, wire: Wire) -> Array:
        """Return what a wire carries: (T, B, ...) for 'step', else (B, ...)."""
        home = self.kernel.home(wire)
        values = np.asarray(self.inputs[wire.source]) if home is None else self.runs[home].values[wire.source]
        if wire.part == WHOLE:
            return values.swapaxes(0, 1)
        if wire.part == STEP or home is None:
            return values
        block = self.kernel.model.blocks[home]
        if not len(values):
            raise ShapeError(f"'{wire.source}' is read after its loop, which needs at least one step: {block.axis} = 0")
        return values[last_step(block, self.lengths, self.batch)]


def last_step(block: Block, lengths: Arrays, batch: int) -> tuple[Any, ...]:
    """Return the place of each sample's last step in (T, B, ...)."""
    if block.axis is None or block.reverse:
        return (0,)
    counts = lengths.get(str(block.axis))
    return (-1,) if counts is None else (np.asarray(counts) - 1, np.arange(batch))


class _Backward:
    """One backward pass: what arrives at each block's values, and what each block sends on."""

    def __init__(self, kernel: ModelKernel, run: ModelRun, weight: float | Array | Arrays, cotangents: Arrays) -> None:
        self.kernel, self.done, self.weight = kernel, run, weight
        self.arriving: dict[str, Array] = {}
        expect("cotangents, name -> array,", cotangents, Mapping)
        for name, array in cotangents.items():
            value = run.value(name)
            if np.shape(array) != value.shape:
                raise ShapeError(f"the gradient of {name} must have shape {value.shape}, here {np.shape(array)}")
            self.arriving[name] = np.array(array, kernel.dtype)
        self.params = {name: np.zeros_like(array) for name, array in run.params.items()}
        self.inputs: dict[str, Array] = {}
        self.found: list[Gradients] = []

    def run(self) -> ModelGradients:
        state: dict[str, Array] = {}
        states: dict[str, Array] = {}
        for number, block in reversed(list(enumerate(self.kernel.model.blocks))):
            run = self.done.runs[number]
            seeds = {n: array for n, array in self.arriving.items() if n in run.values and n not in block.wires}
            seeds |= {name: self._weight(name, block, run) for name in block.losses}
            grads = self.kernel.kernels[number].backward(run, seeds)
            for name, array in grads.params.items():
                self.params[name] = self.params[name] + array
            for name, array in grads.inputs.items():
                wire = block.wires[name]
                self._send(wire, array if wire.part == STEP else array.sum(axis=0))
            for name, start in block.starts.items():
                if start is None:
                    state[name] = grads.state[name]
                elif start.part == PARAM:
                    self.params[start.source] = self.params[start.source] + grads.state[name].sum(axis=0)
                else:
                    self._send(start, grads.state[name])
            states |= grads.states
        return ModelGradients(self.params, self.inputs, state, states)

    def _weight(self, name: str, block: Block, run: Run) -> Array:
        """Return the weight of a term of the loss, (T, B): 0 past a sequence's length."""
        given = self.weight[name] if isinstance(self.weight, Mapping) else self.weight
        full = np.array(np.broadcast_to(np.asarray(given, self.kernel.dtype), (run.steps, run.batch)))
        active = self.done.active.get(str(block.axis))
        return full if active is None else full * active

    def _send(self, wire: Wire, gradient: Array) -> None:
        """Add a gradient to that of an input, or to what arrives at a value of an earlier block."""
        home = self.kernel.home(wire)
        if wire.part == WHOLE:
            gradient = gradient.swapaxes(0, 1)
        if home is None:
            before = self.inputs.get(wire.source)
            self.inputs[wire.source] = gradient if before is None else before + gradient
            return
        values = self.done.runs[home].values[wire.source]
        arriving = self.arriving.setdefault(wire.source, np.zeros(values.shape, values.dtype))
        if wire.part in (STEP, WHOLE):
            arriving += gradient
        else:
            arriving[last_step(self.kernel.model.blocks[home], self.done.lengths, self.done.batch)] += gradient


@overload
def compile(cell: Cell | Derivation, dtype: str = "float64", threads: int = 1) -> Kernel: ...  # noqa: A001
@overload
def compile(cell: Model | ModelDerivation, dtype: str = "float64", threads: int = 1) -> ModelKernel: ...  # noqa: A001
def compile(  # noqa: A001 - public
    cell: Cell | Derivation | Model | ModelDerivation, dtype: str = "float64", threads: int = 1
) -> Kernel | ModelKernel:
    """Return the kernel of a cell or model; machine code is made at the first call and kept on disk.

    Args:
        cell: a cell, a sequence model, or the derivation of one.
        dtype: "float32" or "float64".
        threads: how many shares of a batch to run at the same time; small batches run in fewer.

    Raises:
        Error: for another dtype, or threads that aren't a whole number from 1.

    >>> from ..derive.model import load_model
    >>> kernel = compile(load_model("hello"))
    >>> params = kernel.init({"n": 3})
    >>> run = kernel.forward(params, {"x": np.eye(4)[[0, 1, 2, 2], None], "y": np.array([[1], [2], [2], [3]])})
    >>> run.loss.shape, kernel.backward(run).params["W_hh"].shape
    ((1,), (3, 3))
    """
    if isinstance(cell, Cell | Derivation):
        return compile_cell(cell, dtype, threads)
    return ModelKernel(cell if isinstance(cell, ModelDerivation) else derive_model(cell), dtype, threads)
