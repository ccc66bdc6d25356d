"""`Kernel`: a cell's forward and backward pass through time as compiled functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from sympy import Symbol

from ..derive.adjoint import delta, incoming
from ..derive.cell import Cell, previous
from ..derive.derivation import Derivation, derive
from ..derive.errors import Error
from ..derive.interpret import size
from .cache import load_module
from .emit import Emitted, emit
from .given import Array, Arrays, Given, check_sizes
from .initial import initial
from .schedule import BATCH, FIXED, TIME, Schedule, loss, once, schedule


@dataclass(frozen=True)
class Run:
    """What a forward pass leaves: every named value at every step.

    Attributes:
        sizes: dimension -> size.
        steps, batch: T and B.
        arrays: generated name -> array; a `_prev` array and its state share memory.
        states: state -> (T, B, *shape), the value after each step.
        values: any named value -> (T, B, *shape).
    """

    sizes: Mapping[str, int]
    steps: int
    batch: int
    arrays: dict[str, Array]
    states: Mapping[str, Array]
    values: Mapping[str, Array]


@dataclass(frozen=True)
class Gradients:
    """What a backward pass gives.

    Attributes:
        params: parameter -> array of its shape, summed over steps and samples.
        inputs: input -> (T, B, *shape).
        state: state -> (B, *shape), of the initial state.
        states: state -> (T, B, *shape), dL/ds_t with s_t as the loss and step t+1 read it.
    """

    params: Mapping[str, Array]
    inputs: Mapping[str, Array]
    state: Mapping[str, Array]
    states: Mapping[str, Array]


class Kernel:
    """The compiled forward and backward pass of a cell, for one dtype.

    Attributes:
        cell, derivation, schedule: from which it was made.
        source: the generated module's text.
    """

    def __init__(self, derivation: Derivation, dtype: str) -> None:
        self.derivation = derivation
        self.cell: Cell = derivation.cell
        self.dtype = np.dtype(dtype)
        self.schedule: Schedule = schedule(derivation)
        self._emitted: Emitted = emit(self.schedule)
        self.source = self._emitted.source
        self._sizes: dict[str, int] | None = None

    def __repr__(self) -> str:
        return f"Kernel({self.cell.name!r}, dtype={self.dtype.name!r})"

    @cached_property
    def module(self) -> ModuleType:
        """The generated module, loaded."""
        return load_module(self.source, f"{self.cell.name}_{self.dtype}")

    @property
    def state_layout(self) -> dict[str, slice]:
        """Where each state stands in the full state vector, at the sizes last used by `init` or `forward`.

        Raises:
            Error: before any sizes are known.
        """
        if self._sizes is None:
            raise Error("the layout of the state depends on sizes: call kernel.init(sizes) or kernel.forward first")
        return layout(self.cell, self._sizes)

    def init(self, sizes: Mapping[str, int], seed: int = 0, gain: float = 1.0) -> dict[str, Array]:
        """Draw parameters: matrices from N(0, gain²/columns), biases 0, other vectors from N(0, gain²/length).

        Args:
            sizes: dimension -> size, such as {"m": 5, "n": 7}.
            seed: of the generator; one seed gives the same numbers each time.
            gain: scale of the matrices; 1 keeps the variance of a linear layer.

        Returns:
            {name: array} of the kernel's dtype.

        >>> params = compile(derive_cell("rnn")).init({"m": 5, "n": 7})
        >>> params["W_hh"].shape, params["b_h"].shape
        ((7, 7), (7,))
        """
        self._sizes = check_sizes(self.cell, sizes)
        return initial(self.derivation, self._sizes, self.dtype, seed, gain)

    def forward(
        self,
        params: Arrays,
        inputs: Arrays,
        state: Arrays | None = None,
        *,
        steps: int | None = None,
        batch: int | None = None,
    ) -> Run:
        """Run the cell over a batch of sequences.

        Args:
            params: parameter -> array of its shape.
            inputs: input -> (T, B, *shape).
            state: state -> (B, *shape), the initial state; what is left out starts at 0.
            steps, batch: T and B, needed only for a cell without inputs.

        T and B may be 0: results are then empty, and gradients 0. Arrays that aren't contiguous are copied.

        Raises:
            ShapeError: for a missing or unknown name, a wrong shape or dtype, or sizes that don't agree.
            Error: where an input or initial state holds NaN or infinity.

        >>> kernel = compile(derive_cell("rnn"))
        >>> run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
        >>> run.states["h"].shape
        (4, 1, 3)
        """
        for name, number in (("steps", steps), ("batch", batch)):
            if number is not None and (not isinstance(number, int | np.integer) or number < 0):
                raise Error(f"{name}= must be a whole number from 0, not {number!r}")
        given = Given(self.cell, self.dtype)
        arrays = given.take("parameter", params, self.cell.params, ())
        lead = (steps, batch)
        arrays |= given.take("input", inputs, self.cell.inputs, lead, finite=True)
        T, B = given.lead
        start = given.take("state", state or {}, self.cell.states, (B,), finite=True, optional=True)
        self._sizes = given.complete()
        run = self._allocate(arrays, start, T, B)
        self._call("prologue", run)
        self._call("forward", run)
        return run

    def backward(self, run: Run, cotangents: Arrays) -> Gradients:
        """Carry gradients back through a run.

        Args:
            run: from `forward`.
            cotangents: state -> (T, B, *shape), dL/d(state after each step); what is left out is 0.

        Raises:
            ShapeError: for an unknown state, a wrong shape or dtype.

        >>> kernel = compile(derive_cell("rnn"))
        >>> run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
        >>> kernel.backward(run, {"h": np.ones((4, 1, 3))}).params["b_h"].shape
        (3,)
        """
        given = Given(self.cell, self.dtype, dict(run.sizes))
        seeds = given.take("cotangent", cotangents, self.cell.states, (run.steps, run.batch), optional=True)
        given.complete()
        back = self._with_gradients(run, seeds)
        self._call("backward", back)
        self._call("gradients", back)
        return self._collected(back)

    def jacobians(self, run: Run) -> Array:
        """Return d(full state after each step) / d(full state before it): (T, B, N, N), N over all states.

        Rows and columns are laid out as `state_layout` says.

        >>> kernel = compile(derive_cell("rnn"))
        >>> run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
        >>> kernel.jacobians(run).shape
        (4, 1, 3, 3)
        """
        places = layout(self.cell, run.sizes)
        width = max((place.stop for place in places.values()), default=0)
        single = self._as_single_steps(run)
        found = np.empty((run.steps * run.batch, width, width), self.dtype)
        for name, place in places.items():
            for row in range(place.stop - place.start):
                seed = np.zeros((1, single.batch, place.stop - place.start), self.dtype)
                seed[:, :, row] = 1
                shape = self._shape(Symbol(name), run.sizes)
                back = self._with_gradients(single, {name: seed.reshape(1, single.batch, *shape)})
                self._call("backward", back)
                for other, columns in places.items():
                    sent = back.arrays[self._name(delta(previous(other)))]
                    found[:, place.start + row, columns] = sent.reshape(single.batch, columns.stop - columns.start)
        return found.reshape(run.steps, run.batch, width, width)

    def _as_single_steps(self, run: Run) -> Run:
        """Return the same run as T·B independent sequences of one step."""
        batch = run.steps * run.batch
        arrays = {}
        for name, array in run.arrays.items():
            if self.schedule.kept[self._emitted.arrays[name]] == TIME:
                array = array.reshape(1, batch, *array.shape[2:])
            arrays[name] = array
        return Run(run.sizes, 1, batch, arrays, {}, {})

    def _allocate(self, given: dict[str, Array], start: dict[str, Array], T: int, B: int) -> Run:
        sizes = self._sizes or {}
        arrays = {self._name(Symbol(name)): array for name, array in given.items()}
        for name in self.cell.states:
            shape = self._shape(Symbol(name), sizes)
            rows = np.zeros((T + 1, B, *shape), self.dtype)
            if name in start:
                rows[0] = start[name]
            arrays[self._name(previous(name))], arrays[self._name(Symbol(name))] = rows[:-1], rows[1:]
        run = Run(sizes, T, B, arrays, {}, {})
        self._fill(run, "prologue", "forward")
        values = {}
        for symbol in self.derivation.forward.shapes:
            if self.schedule.kept.get(symbol) == TIME and self._name(symbol) in arrays:
                values[symbol.name] = arrays[self._name(symbol)]
        states = {name: values[name] for name in self.cell.states}
        return Run(sizes, T, B, arrays, states, values)

    def _with_gradients(self, run: Run, seeds: dict[str, Array]) -> Run:
        back = Run(run.sizes, run.steps, run.batch, dict(run.arrays), run.states, run.values)
        for name, seed in seeds.items():
            back.arrays[self._name(loss(name))] = seed
        self._fill(back, "backward", "gradients")
        return back

    def _collected(self, back: Run) -> Gradients:
        arrays, cell = back.arrays, self.cell
        prologue = self.derivation.prologue.outputs
        for value in prologue:
            arrays[self._name(incoming(value))] = arrays[self._name(delta(value))]
        self._fill(back, "epilogue")
        self._call("epilogue", back)
        params = {name: arrays[self._name(delta(Symbol(name)))] for name in cell.params}
        if prologue:
            params = {name: value + arrays[self._name(once(delta(Symbol(name))))] for name, value in params.items()}
        inputs = {name: arrays[self._name(delta(Symbol(name)))] for name in cell.inputs}
        state = {name: arrays[self._name(delta(previous(name)))] for name in cell.states}
        states = {name: arrays[self._name(incoming(Symbol(name)))] for name in cell.states}
        return Gradients(params, inputs, state, states)

    def _fill(self, run: Run, *sections: str) -> None:
        """Allocate the arrays that these sections use and that aren't there yet."""
        wanted = {name for section in sections for name in self._emitted.arguments[section]}
        if "gradients" in sections:
            cell = self.cell
            kinds = (*map(Symbol, cell.params), *map(Symbol, cell.inputs), *self.derivation.prologue.outputs)
            wanted |= {self._name(delta(symbol)) for symbol in kinds}
            wanted |= {self._name(delta(previous(name))) for name in cell.states}
        for name in sorted(wanted & self._emitted.arrays.keys() - run.arrays.keys()):
            symbol = self._emitted.arrays[name]
            lead = {FIXED: (), BATCH: (run.batch,), TIME: (run.steps, run.batch)}[self.schedule.kept[symbol]]
            run.arrays[name] = np.zeros((*lead, *self._shape(symbol, run.sizes)), self.dtype)

    def _call(self, section: str, run: Run) -> None:
        values: dict[str, Any] = {"T": run.steps, "B": run.batch, **run.arrays}
        values |= {self._emitted.sizes[name]: number for name, number in run.sizes.items()}
        function = getattr(self.module, section)
        function(*(values[name] for name in self._emitted.arguments[section]))

    def _name(self, symbol: Symbol) -> str:
        return self._emitted.names[symbol]

    def _shape(self, symbol: Symbol, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(size(part, sizes) for part in self.schedule.shapes[symbol])


def compile(cell: Cell | Derivation, dtype: str = "float64") -> Kernel:  # noqa: A001 - the public name
    """Return the kernel of a cell; machine code is made at the first call and kept on disk.

    Args:
        cell: a cell, or its derivation.
        dtype: "float32" or "float64".

    Raises:
        Error: for another dtype.

    >>> compile(derive_cell("rnn"))
    Kernel('rnn', dtype='float64')
    """
    name = ""
    with suppress(TypeError):  # NumPy's, for what is no dtype at all
        name = np.dtype(dtype).name
    if name not in ("float32", "float64"):
        raise Error(f"a kernel computes in float32 or float64, not in {dtype}")
    return Kernel(cell if isinstance(cell, Derivation) else derive(cell), name)


def layout(cell: Cell, sizes: Mapping[str, int]) -> dict[str, slice]:
    """Return where each state stands in the full state vector.

    >>> layout(derive_cell("lstm").cell, {"m": 5, "n": 7})
    {'h': slice(0, 7, None), 'c': slice(7, 14, None)}
    """
    places, start = {}, 0
    for name in cell.states:
        width = int(np.prod([size(part, sizes) for part in cell.shapes[Symbol(name)]], dtype=int))
        places[name] = slice(start, start + width)
        start += width
    return places


def derive_cell(name: str) -> Derivation:
    """Return the derivation of a zoo cell: for the examples above."""
    from ..derive.cell import load

    return derive(load(name))
