"""`Module`: a generated module with what is needed to call it: names, shapes and places of its arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from types import ModuleType
from typing import Any

import numpy as np
from sympy import Symbol

from ..derive.adjoint import delta, incoming
from ..derive.cell import previous
from ..derive.derivation import Derivation
from ..derive.interpret import size
from ..derive.tangent import tangent
from .cache import load_module
from .emit import Emitted, emit
from .given import Array
from .instructions import FIXED, PASSING, TIME, OuterSum, targets
from .kept import worked_out
from .lower import once
from .meeting import compiled
from .memory import Layout, layout_at
from .products import prepare
from .schedule import Schedule, loss, schedule
from .table import COUNTS, SPREAD, Argument, Caller, caller
from .vector import WITHOUT_NUMBA

FORWARD = "prologue", "forward"
BACKWARD = "pack_backward", "backward", "sums"
IN_BLOCKS = BACKWARD[1:]  # of steps, the last first
Pick = Callable[[Mapping[str, Any]], tuple[Any, ...]]


class Module:
    """The generated code of a cell, for one dtype and one set of values from which gradients may come.

    Attributes:
        schedule, emitted: from which it was made.
        outputs: values other than states from which gradients may come.
    """

    def __init__(
        self,
        derivation: Derivation,
        dtype: np.dtype[Any],
        outputs: tuple[str, ...] = (),
        moving: tuple[str, ...] = (),
    ) -> None:
        self.dtype = dtype
        self.outputs = outputs
        self.schedule: Schedule = schedule(derivation, outputs, moving)
        self.emitted: Emitted = emit(self.schedule, dtype.name)
        self._layouts: dict[tuple[tuple[str, int], ...], Layout] = {}

    @cached_property
    def loaded(self) -> ModuleType:
        """The module itself."""
        prepare(self.dtype.name)
        if not WITHOUT_NUMBA:
            compiled("meet")
        return load_module(self.emitted.source, f"{self.schedule.derivation.cell.name}_{self.dtype}")

    @cached_property
    def begins_at_zero(self) -> frozenset[str]:
        """Arrays of a backward pass that are added to, or never written: what no product begins, and no time step."""
        begun: dict[str, bool] = {}
        for instruction in self.schedule.sums:
            for target in targets(instruction):
                begun.setdefault(self.array(target), isinstance(instruction, OuterSum))
        blocks = self._blocks.items()
        return frozenset(name for name, block in blocks if block.kind not in (TIME, PASSING) and not begun.get(name))

    @cached_property
    def _blocks(self) -> dict[str, Any]:
        return {self.emitted.arrays[block.name]: block for block in self.schedule.blocks.values()}

    @cached_property
    def _arrays(self) -> dict[Symbol, str]:
        return {symbol: self.emitted.arrays[place.block] for symbol, place in self.schedule.places.items()}

    def array(self, symbol: Symbol) -> str:
        """Return the name of the array that holds a value."""
        return self._arrays[symbol]

    @cached_property
    def own(self) -> dict[str, str]:
        """What a user names -> the array that holds it."""
        return {symbol.name: array for symbol, array in self._arrays.items() if symbol.is_real is None}

    @cached_property
    def states(self) -> dict[str, tuple[str, str]]:
        """State -> the arrays of its values before and after each step."""
        names = self.schedule.derivation.cell.states
        return {name: (self.array(previous(name)), self.array(Symbol(name))) for name in names}

    @cached_property
    def tangents(self) -> tuple[str, ...]:
        """The arrays of the states' tangents before and after each step; none where there is no state."""
        names = [*self.schedule.derivation.cell.states][:1]
        return tuple(self.array(tangent(one)) for name in names for one in (previous(name), Symbol(name)))

    @cached_property
    def seeds(self) -> dict[str, str]:
        """Value from which gradients may come -> the array of what comes."""
        states = {name: self.array(loss(name)) for name in self.schedule.derivation.cell.states}
        return states | {name: self.array(incoming(Symbol(name))) for name in self.outputs}

    @cached_property
    def values(self) -> tuple[str, ...]:
        """What a run holds for each step: inputs, states before and after it, and all that the cell names."""
        names = self.emitted.arguments["forward"]
        found = [s for s in self.schedule.derivation.forward.shapes if self.schedule.kept.get(s) == TIME]
        states = [name for pair in self.states.values() for name in pair]
        return tuple(s.name for s in found if self.array(s) in names or self.array(s) in states)

    @cached_property
    def ends(self) -> dict[str, dict[str, Symbol]]:
        """Part of the result of a backward pass -> name -> where it is."""
        cell, epilogue = self.schedule.derivation.cell, self.schedule.derivation.epilogue
        return {
            "params": {name: delta(Symbol(name)) for name in cell.params},
            "inputs": {name: delta(Symbol(name)) for name in cell.inputs},
            "state": {name: delta(previous(name)) for name in cell.states},
            "states": {name: incoming(Symbol(name)) for name in cell.states},
            "once": {name: once(bar) for name in cell.params if (bar := delta(Symbol(name))) in epilogue.outputs},
        }

    @cached_property
    def carried(self) -> dict[str, Symbol]:
        """Array that the epilogue reads -> the gradient, summed over time, that it holds."""
        return {self.array(incoming(value)): delta(value) for value in self.schedule.derivation.returned}

    def forward_shapes(self, sizes: Mapping[str, int], T: int, B: int) -> dict[str, tuple[int, ...]]:
        """Return the arrays that a forward pass needs beside parameters and inputs; states have a row more."""
        cell, memory = self.schedule.derivation.cell, self.layout(sizes)
        given = {self.array(Symbol(name)) for name in (*cell.params, *cell.inputs, *cell.indices)}
        states = {name for pair in self.states.values() for name in pair}
        shapes = self._shapes(("prologue", "forward"), sizes, given | states, T, B)
        whole = {f"{after} and before": ((T + 1) * B, memory.shapes[after][1]) for _, after in self.states.values()}
        return shapes | whole

    def backward_shapes(self, sizes: Mapping[str, int], T: int, B: int, given: set[str]) -> dict[str, tuple[int, ...]]:
        """Return the arrays that a backward pass needs beside those of the forward pass."""
        ends = [self.array(symbol) for part in self.ends.values() for symbol in part.values()]
        ends += [self.array(symbol) for symbol in self.carried.values()]
        shapes = self._shapes(("pack_backward", "backward", "sums", "epilogue"), sizes, given | set(self.carried), T, B)
        memory = self.layout(sizes)
        return shapes | {name: memory.shape(name, T, B) for name in ends if name not in given}

    def tangent_shapes(
        self, sizes: Mapping[str, int], T: int, B: int, K: int, given: set[str]
    ) -> dict[str, tuple[int, ...]]:
        """Return the arrays that tangents need beside those of the forward pass; states have a row more."""
        memory = self.layout(sizes)
        shapes = self._shapes(("pack_tangent", "tangent"), sizes, given | set(self.tangents), T, B, K)
        rows = (T + 1) * B * K
        return shapes | {f"{after} and before": (rows, memory.shapes[after][1]) for after in self.tangents[1:]}

    def _shapes(
        self, sections: tuple[str, ...], sizes: Mapping[str, int], given: set[str], T: int, B: int, K: int = 0
    ) -> dict[str, tuple[int, ...]]:
        memory = self.layout(sizes)
        names = dict.fromkeys(name for section in sections for name in self.emitted.arguments[section])
        known = memory.shapes.keys() | memory.packed.keys()
        return {name: memory.shape(name, T, B, K) for name in names if name in known and name not in given}

    def layout(self, sizes: Mapping[str, int]) -> Layout:
        """Return the shapes of all arrays at given sizes."""
        key = tuple(sizes.items())
        if key not in self._layouts:
            self._layouts[key] = layout_at(self.schedule, self.emitted, sizes, self.dtype)
        return self._layouts[key]

    def value(self, name: str, arrays: Mapping[str, Array], sizes: Mapping[str, int], T: int, B: int) -> Array:
        """Return a value of each step, (T, B, *shape); one whose place another took is worked out again."""
        symbol = Symbol(name)
        if symbol not in self.schedule.spent:
            return self.view(symbol, arrays, sizes, () if self.schedule.kept[symbol] == FIXED else (T, B))
        [expr] = [s.expr for s in self.schedule.program.steps if s.target == symbol]
        # no function that calls itself: such a one would keep the run's arrays until a collection of garbage
        again = worked_out(expr, lambda other: self.value(other.name, arrays, sizes, T, B))
        return np.asarray(again, self.dtype)

    def view(
        self, symbol: Symbol, arrays: Mapping[str, Array], sizes: Mapping[str, int], lead: tuple[int, ...]
    ) -> Array:
        """Return a value out of its array, in its own shape behind the leading axes."""
        specs = self._specs.setdefault(tuple(sizes.items()), {})
        if symbol not in specs:
            specs[symbol] = self._spec(symbol, sizes)
        name, shape, start, stop = specs[symbol]
        array = arrays[name]
        if not lead:
            return array[start:stop].reshape(shape) if len(shape) == 2 else array.reshape(shape)
        if stop - start == array.shape[1]:
            return array.reshape(*lead, *shape)
        return array.reshape(*lead, array.shape[1])[..., start:stop].reshape(*lead, *shape)

    @cached_property
    def _specs(self) -> dict[tuple[tuple[str, int], ...], dict[Symbol, tuple[str, tuple[int, ...], int, int]]]:
        return {}

    def _spec(self, symbol: Symbol, sizes: Mapping[str, int]) -> tuple[str, tuple[int, ...], int, int]:
        """Return a value's array and shape, and where it begins and ends there: rows of a matrix, else columns."""
        shape = self.shape(symbol, sizes)
        start = size(self.schedule.places[symbol].start, sizes)
        fixed = self.schedule.kept[symbol] == FIXED
        return self._arrays[symbol], shape, start, start + (shape[0] if fixed and shape else math.prod(shape))

    def shape(self, symbol: Symbol, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Return the shape of a value."""
        return tuple(size(part, sizes) for part in self.schedule.shapes[symbol])

    def numbers(self, sizes: Mapping[str, int], T: int, B: int) -> dict[str, int]:
        """Return the arguments of the module's functions that are numbers, but shares of the batch."""
        return {"T": T, "B": B, "block": self.layout(sizes).steps(T, B)} | {
            self.emitted.sizes[name]: number for name, number in sizes.items()
        }

    def call(self, section: str, numbers: Mapping[str, int], arrays: Mapping[str, Array]) -> None:
        """Call a function of the module with the numbers and arrays that it names."""
        if section not in self._functions:
            names = self.emitted.arguments[section]
            counts = [name for name in names if name in numbers]
            function = getattr(self.loaded, section) if names else lambda: None
            self._functions[section] = function, picker(counts), picker(names[len(counts) :])
        function, of_numbers, of_arrays = self._functions[section]
        function(*of_numbers(numbers), *of_arrays(arrays))

    @cached_property
    def _functions(self) -> dict[str, tuple[Callable[..., None], Pick, Pick]]:
        return {}

    @cached_property
    def _handed_on(self) -> list[str]:
        """Arrays that a forward pass leaves to the backward pass after it, or is given."""
        cell = self.schedule.derivation.cell
        given = [self.own[name] for name in (*cell.params, *cell.inputs, *cell.indices)]
        states = [name for pair in self.states.values() for name in pair]
        made = [name for section in FORWARD for name in self.emitted.arguments[section] if self._axes(name)]
        return list(dict.fromkeys([*given, *states, "active", *made]))

    @cached_property
    def places(self) -> dict[str, int]:
        """Argument of a forward or backward pass -> its first word in a table: what is handed on comes first."""
        numbers = [*COUNTS, *self.emitted.sizes.values()]
        later = [name for section in BACKWARD for name in self.emitted.arguments[section] if self._axes(name)]
        arrays = dict.fromkeys([*self._handed_on, *later])
        return {name: place for place, name in enumerate(numbers)} | {
            name: len(numbers) + SPREAD * place for place, name in enumerate(arrays)
        }

    @cached_property
    def words(self) -> int:
        """Words of a table."""
        return max(self.places.values()) + SPREAD

    @cached_property
    def words_handed_on(self) -> int:
        """Words at the beginning of a table that a backward pass takes from the forward pass before it."""
        return max(self.places[name] for name in self._handed_on) + SPREAD

    def caller(self, *sections: str) -> Caller:
        """Return one call of some functions of the module in turn, on a table."""
        if sections not in self._callers:
            once, again = ([s for s in sections if (s in IN_BLOCKS) == blocks] for blocks in (False, True))
            first, then = ([self._called(s) for s in some if self.emitted.arguments[s]] for some in (once, again))
            inputs = self.schedule.derivation.cell.inputs if sections == FORWARD else ()
            finite = [self.places[self.own[name]] for name in inputs]
            self._callers[sections] = caller(finite, first, then, self.dtype)
        return self._callers[sections]

    def _called(self, section: str) -> tuple[Any, list[Argument]]:
        """Return a function and its arguments in a table."""
        kinds = {name: block.kind for name, block in self._blocks.items()} | {"active": TIME}
        names = self.emitted.arguments[section]
        arguments = [Argument(self.places[name], self._axes(name), kinds.get(name) == TIME) for name in names]
        return getattr(self.loaded, section), arguments

    @cached_property
    def _callers(self) -> dict[tuple[str, ...], Caller]:
        return {}

    def _axes(self, name: str) -> int:
        """Return the axes of an argument, 0 of a number."""
        return 0 if name in COUNTS or name in self.emitted.sizes.values() else 1 if name in self.emitted.packed else 2

    def shared_with(self, other: Module, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Return, under its name here, each array that another module's pass left and that means the same here."""
        if other is self:
            return dict(arrays)
        theirs = {block.members: name for name, block in other._blocks.items()}
        shared = {"active": arrays["active"]}
        for name, block in self._blocks.items():
            if block.members in theirs and theirs[block.members] in arrays:
                shared[name] = arrays[theirs[block.members]]
        mine = {self._text(name): name for name in self.emitted.packed}
        for name in other.emitted.packed:
            if other._text(name) in mine and name in arrays:
                shared[mine[other._text(name)]] = arrays[name]
        return shared

    def _text(self, packed: str) -> str:
        """Return the line of the source that says what a packed matrix is made of."""
        start = self.emitted.source.index(f"# {packed}: ")
        return self.emitted.source[start:].split("\n", 1)[0].split(": ", 1)[1]


def picker(names: Sequence[str]) -> Pick:
    """Return what takes the values of names out of a table."""
    if len(names) > 1:
        return itemgetter(*names)
    return (lambda table: (table[names[0]],)) if names else lambda table: ()
