"""`Kernel`: a cell's forward and backward pass through time as compiled functions on arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from sympy import Symbol

from ..derive.cell import Cell
from ..derive.derivation import Derivation, derive
from ..derive.errors import Error
from ..derive.interpret import size
from ..derive.tangent import tangent
from .budget import Budget, bounds, budget, check, check_fits
from .given import Array, Arrays, Given, check_sizes
from .initial import initial
from .instructions import TIME
from .memory import Plan, Pool, planned
from .module import Module
from .recompute import Segments, back_in_segments, run_in_segments
from .run import Gradients, Run, Views
from .schedule import Schedule
from .shards import Shards


class Kernel:
    """The compiled forward and backward pass of a cell, for one dtype.

    Attributes:
        cell, derivation, schedule: from which it was made.
        source: the generated module's text.
        threads: how many shares of a batch run at the same time.
    """

    def __init__(self, derivation: Derivation, dtype: str, threads: int = 1) -> None:
        self.derivation = derivation
        self.cell: Cell = derivation.cell
        self.dtype = np.dtype(dtype)
        self.threads = threads
        self._modules: dict[Any, Module] = {}
        self._pool = Pool(self.dtype)
        self._zeros = np.zeros(0, self.dtype)
        self._plans: dict[Any, Plan] = {}
        self._fitting: set[Any] = set()
        self._checked: dict[tuple[tuple[str, int], ...], dict[str, int]] = {}
        self._sizes: dict[str, int] | None = None

    def __repr__(self) -> str:
        return f"Kernel({self.cell.name!r}, dtype={self.dtype.name!r})"

    @property
    def schedule(self) -> Schedule:
        """What the kernel does, in order; printed, it says what that costs."""
        return self._module().schedule

    @property
    def source(self) -> str:
        """The generated module's text."""
        return self._module().emitted.source

    @property
    def module(self) -> ModuleType:
        """The generated module, loaded."""
        return self._module().loaded

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
        lengths: Any = None,
        reverse: bool = False,
        keep: int | None = None,
    ) -> Run:
        """Run the cell over a batch of sequences.

        Args:
            params: parameter -> array of its shape.
            inputs: input -> (T, B, *shape); an index -> (T, B), whole numbers.
            state: state -> (B, *shape), the initial state; what is left out starts at 0.
            steps, batch: T and B, needed only for a cell without inputs.
            lengths: (B,) whole numbers from 0 to T: past its length, a sequence's states stay as they are, and inputs
                there get gradient 0.
            reverse: go from the last step to the first: `run.states[...][t]` is the state after the steps T-1 to t.
            keep: keep the states before every `keep`-th step, and compute the rest again in `backward`, so many steps
                at a time. `memory` says what that takes; it costs a second forward pass, and one more each time that
                an array of `run.states`, `run.values` or of the gradients' `states` is looked up.

        T and B may be 0: results are then empty, and gradients 0. Arrays that aren't contiguous are copied. NaN or
        infinity in parameters is passed on.

        Raises:
            ShapeError: for a missing or unknown name, a wrong shape or dtype, or sizes that don't agree.
            Error: where an input or initial state holds NaN or infinity, an index picks past the end, or the arrays
                don't fit into memory.

        >>> kernel = compile(derive_cell("rnn"))
        >>> run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
        >>> run.states["h"].shape
        (4, 1, 3)
        """
        for name, number, least in (("steps", steps, 0), ("batch", batch, 0), ("keep", keep, 1)):
            if number is not None and (not isinstance(number, int | np.integer) or number < least):
                raise Error(f"{name}= must be a whole number from {least}, not {number!r}")
        given = Given(self.cell, self.dtype, None, self._checked, self._named)
        arrays = given.take("parameter", params, self.cell.params, ())
        known = {**self.cell.inputs, **dict.fromkeys(self.cell.indices, ())}
        moving = given.take("input", given.as_numbers(inputs), known, (steps, batch), finite=True)
        T, B = given.lead
        start = given.take("state", state or {}, self.cell.states, (B,), finite=True, optional=True)
        self._sizes = given.complete()
        given.check_picks(moving)
        active = self._active(lengths, T, B, reverse)
        moving = {name: np.ascontiguousarray(array[::-1]) if reverse else array for name, array in moving.items()}
        keep = None if keep is None or not T else min(int(keep), T)
        self._check_memory("forward", self._sizes, T, B, keep)
        if keep is None:
            return self._forward(arrays | moving, start, T, B, active, reverse)
        before = {}
        for name in self.cell.states:
            shape = (1 + len(bounds(T, keep)), B, *self._shape(Symbol(name), self._sizes))
            before[name] = np.empty(shape, self.dtype)
            before[name][0] = start.get(name, 0)
        segments = Segments(
            keep,
            T,
            B,
            arrays,
            moving,
            before,
            active,
            lambda given, before, many, reached: self._forward(given, before, many, B, reached, False),
        )
        return run_in_segments(segments, self._sizes, self._module().values, reverse)

    def backward(self, run: Run, cotangents: Arrays) -> Gradients:
        """Carry gradients back through a run.

        Args:
            run: from `forward`.
            cotangents: state -> (T, B, *shape), dL/d(state after each step), or any other named value of each step;
                what is left out is 0. For a new set of values other than states, code is compiled first.

        Raises:
            ShapeError: for an unknown name, a wrong shape or dtype.

        >>> kernel = compile(derive_cell("rnn"))
        >>> run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
        >>> kernel.backward(run, {"h": np.ones((4, 1, 3))}).params["b_h"].shape
        (3,)
        """
        given = Given(self.cell, self.dtype, dict(run.sizes), self._checked, self._named)
        known = self._values
        seeds = given.take("cotangent", cotangents, known, (run.steps, run.batch), optional=True)
        given.complete()
        if run.reverse:
            seeds = {name: np.ascontiguousarray(array[::-1]) for name, array in seeds.items()}
        outputs = tuple(name for name in known if name in seeds and name not in self.cell.states)
        module = self._module(outputs)
        keep = None if run.segments is None else run.segments.keep
        self._check_memory("backward", run.sizes, run.steps, run.batch, keep)
        if run.segments is not None:
            return back_in_segments(run, run.segments, seeds, lambda part, own: self._backward(module, part, own))
        return self._backward(module, run, seeds)

    def memory(self, sizes: Mapping[str, int], steps: int, batch: int, keep: int | None = None) -> Budget:
        """Return the bytes that a forward and a backward pass take; printed, a table.

        Args:
            sizes: dimension -> size.
            steps, batch: T and B.
            keep: as in `forward`.

        >>> kernel, sizes = compile(derive_cell("lstm")), {"m": 32, "n": 64}
        >>> print(kernel.memory(sizes, steps=1000, batch=8, keep=32))
        Memory for T = 1000, B = 8, beside parameters, inputs and cotangents
            kept from forward to backward    264.0 KiB  the states before every 32nd step
            at most in the forward pass        1.8 MiB
            at most in the backward pass       6.2 MiB  with the gradients
        """
        return budget(self._module(), check_sizes(self.cell, sizes), steps, batch, keep, self.threads)

    def tangent(self, run: Run, state: Arrays, inputs: Arrays | None = None) -> dict[str, Array]:
        """Carry K directions per sample forward through a run: tangents of the states, with parameters held.

        Args:
            run: from `forward`.
            state: state -> (B, K, *shape), the tangents of the initial state; what is left out is 0.
            inputs: input -> (T, B, K, *shape), the tangents of the inputs; what is left out is 0.

        Returns:
            state -> (T, B, K, *shape), the tangent of the state after each step.

        >>> kernel = compile(derive_cell("rnn"))
        >>> run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
        >>> kernel.tangent(run, {"h": np.eye(3)[None]})["h"].shape
        (4, 1, 3, 3)
        """
        _check_kept(run)
        inputs = inputs or {}
        numbers = [np.shape(array)[lead] for lead, table in ((1, state), (2, inputs)) for array in table.values()]
        if not numbers:
            raise Error("give the tangent of a state or of an input; here none")
        K = numbers[0]
        given = Given(self.cell, self.dtype, dict(run.sizes), self._checked, self._named)
        start = given.take("tangent of state", state, self.cell.states, (run.batch, K), optional=True, axes="BK")
        lead = (run.steps, run.batch, K)
        moving = given.take("tangent of input", inputs, self.cell.inputs, lead, optional=True, axes="TBK")
        if run.reverse:
            moving = {name: np.ascontiguousarray(array[::-1]) for name, array in moving.items()}
        found = self._tangent(run, start, moving, K)
        return {name: array[::-1] if run.reverse else array for name, array in found.items()}

    def jacobians(self, run: Run) -> Array:
        """Return d(full state after each step) / d(full state before it): (T, B, N, N), N over all states.

        Rows and columns are laid out as `state_layout` says.

        >>> kernel = compile(derive_cell("rnn"))
        >>> run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
        >>> kernel.jacobians(run).shape
        (4, 1, 3, 3)
        """
        _check_kept(run)
        places = layout(self.cell, run.sizes)
        width = max((place.stop for place in places.values()), default=0)
        rows = run.steps * run.batch
        found = np.empty((rows, width, width), self.dtype)
        together = max(1, 2048 // max(1, width))  # samples at once: their tangents stay in the cache
        identity = np.eye(width, dtype=self.dtype)
        for first in range(0, rows, together):
            many = min(together, rows - first)
            single = self._single_steps(run, first, many)
            start = {}
            for name, place in places.items():
                rows_of = np.ascontiguousarray(identity[:, place]).reshape(width, *self._shape(Symbol(name), run.sizes))
                start[name] = np.broadcast_to(rows_of, (many, *rows_of.shape))
            moved = self._tangent(single, start, {}, width)
            for name, place in places.items():
                columns = moved[name].reshape(many, width, place.stop - place.start)
                found[first : first + many, place] = columns.transpose(0, 2, 1)
        found = found.reshape(run.steps, run.batch, width, width)
        return found[::-1] if run.reverse else found

    @cached_property
    def _values(self) -> dict[str, tuple[str, ...]]:
        """Values of each step from which gradients may come -> dimensions."""
        shapes = self.derivation.forward.shapes
        names = [*self.cell.states, *(step.target.name for step in self.derivation.forward.steps)]
        return {name: tuple(map(str, shapes[Symbol(name)])) for name in names}

    @cached_property
    def _named(self) -> dict[str, tuple[Any, ...]]:
        """Any named value -> its shape in named dimensions."""
        shapes = {**self.derivation.forward.shapes, **self.cell.shapes}
        return {symbol.name: shape for symbol, shape in shapes.items()}

    def _module(self, outputs: tuple[str, ...] = (), moving: tuple[str, ...] = ()) -> Module:
        key = outputs, moving
        if key not in self._modules:
            self._modules[key] = Module(self.derivation, self.dtype, outputs, moving)
        return self._modules[key]

    def _active(self, lengths: Any, T: int, B: int, reverse: bool) -> Array:
        """Return 1 for each step and sample that a sequence reaches, else 0; nothing where all are reached."""
        if lengths is None:
            return np.zeros((0, 1), self.dtype)
        many = np.asarray(lengths)
        if many.shape != (B,) or many.dtype.kind not in "iu" or (many < 0).any() or (many > T).any():
            raise Error(f"lengths= must be B = {B} whole numbers from 0 to T = {T}, not {lengths!r}")
        active = (np.arange(T)[:, None] < many[None, :]).astype(self.dtype)
        return np.ascontiguousarray(active[::-1] if reverse else active).reshape(T * B, 1)

    def _forward(
        self, given: dict[str, Array], start: dict[str, Array], T: int, B: int, active: Array, reverse: bool
    ) -> Run:
        module, sizes = self._module(), self._sizes or {}
        own = module.own
        arrays = {own[name]: _flat(array, 0 if name in self.cell.params else 2) for name, array in given.items()}
        plan = self._plan("forward", sizes, T, B, lambda: module.forward_shapes(sizes, T, B))
        fresh = self._pool.arrays(plan)
        for array in fresh.values() if len(active) else ():
            array.fill(0)  # rows past a sequence's end are never written, and meet gradients of 0
        arrays |= fresh
        for name, (before, after) in module.states.items():
            whole = arrays.pop(f"{after} and before")
            whole[:B] = np.reshape(start[name], (B, whole.shape[1])) if name in start else 0
            arrays[before], arrays[after] = whole[: T * B], whole[B:]
        arrays["active"] = active
        module.call("prologue", arrays, sizes)
        Shards(self.threads, B, T, module.layout(sizes).work).run(
            lambda first, last: module.call("forward", arrays, sizes, T=T, B=B, first=first, last=last)
        )

        def look_up(name: str) -> Array:
            found = module.view(Symbol(name), arrays, sizes, (T, B))
            return found[::-1] if reverse else found

        states = {name: look_up(name) for name in self.cell.states}
        nbytes = plan.total * self.dtype.itemsize
        return Run(sizes, T, B, arrays, states, Views(module.values, look_up), reverse, nbytes)

    def _backward(self, module: Module, run: Run, seeds: dict[str, Array]) -> Gradients:
        sizes, T, B = run.sizes, run.steps, run.batch
        arrays = {name: run.arrays[theirs] for name, theirs in module.shared_with(self._module(), run.arrays)}
        for name, array in module.seeds.items():
            arrays[array] = (
                _flat(seeds[name], 2) if name in seeds else self._zero(module.layout(sizes).shape(array, T, B))
            )
        plan = self._plan(module.outputs, sizes, T, B, lambda: module.backward_shapes(sizes, T, B, set(arrays)))
        arrays |= self._pool.arrays(plan)
        everything = len(arrays["active"]) > 0 or T * B == 0
        for name, *_ in plan.places:
            if everything or name in module.begins_at_zero:
                arrays[name].fill(0)
        module.call("pack_backward", arrays, sizes)
        shards = Shards(self.threads, B, T, module.layout(sizes).work)
        shards.run(lambda first, last: module.call("backward", arrays, sizes, T=T, B=B, first=first, last=last))
        spaces = self._space(shards.count, module.layout(sizes).space)
        shards.each(
            lambda part, parts: module.call(
                "sums", {**arrays, "space": spaces[part]}, sizes, T=T, B=B, part=part, parts=parts
            )
        )
        return self._collected(module, run, arrays)

    def _collected(self, module: Module, run: Run, arrays: dict[str, Array]) -> Gradients:
        sizes, T, B = run.sizes, run.steps, run.batch

        def views(symbols: Mapping[str, Symbol], *lead: int) -> dict[str, Array]:
            return {name: module.view(symbol, arrays, sizes, lead) for name, symbol in symbols.items()}

        ends = module.ends
        if module.carried:
            for into, source in module.carried.items():
                whole = module.view(source, arrays, sizes, ())
                arrays[into] = _flat(whole, 0)
            module.call("epilogue", arrays, sizes)
            more = views(ends["once"])
            params = {name: value + more[name] for name, value in views(ends["params"]).items()}
        else:
            params = views(ends["params"])
        inputs, states = views(ends["inputs"], T, B), views(ends["states"], T, B)
        if run.reverse:
            inputs = {name: array[::-1] for name, array in inputs.items()}
            states = {name: array[::-1] for name, array in states.items()}
        return Gradients(params, inputs, views(ends["state"], B), states)

    def _plan(self, key: Any, sizes: Mapping[str, int], T: int, B: int, shapes: Callable[[], Shapes]) -> Plan:
        """Return where arrays lie, worked out once for each set of sizes."""
        whole = key, tuple(sizes.items()), T, B
        if whole not in self._plans:
            self._plans[whole] = planned(shapes(), self.dtype)
        return self._plans[whole]

    def _check_memory(self, what: str, sizes: Mapping[str, int], T: int, B: int, keep: int | None) -> None:
        """Refuse a pass that doesn't fit into memory, once for each set of sizes: later ones use its memory again."""
        key = what, tuple(sizes.items()), T, B, keep
        if key not in self._fitting:
            check(self.memory(sizes, T, B, keep), what, lambda keep: self.memory(sizes, T, B, keep))
            self._fitting.add(key)

    def _space(self, count: int, entries: int) -> Array:
        """Return workspaces for sums over time, one for each thread."""
        plan = self._plan("space", {}, count, entries, lambda: {"space": (count, entries)})
        return self._pool.arrays(plan)["space"]

    def _tangent(self, run: Run, start: dict[str, Array], moving: dict[str, Array], K: int) -> dict[str, Array]:
        """Carry tangents through a run, in the order in which it ran."""
        module, sizes, T, B = self._module((), tuple(moving)), run.sizes, run.steps, run.batch
        arrays = {name: run.arrays[theirs] for name, theirs in module.shared_with(self._module(), run.arrays)}
        for name, array in moving.items():
            arrays[module.array(tangent(Symbol(name)))] = array.reshape(T * B * K, math.prod(array.shape[3:]))
        shapes = module.tangent_shapes(sizes, T, B, K, set(arrays))
        plan = planned(shapes, self.dtype)
        check_fits(plan.total * self.dtype.itemsize, "the tangents need", "take fewer of them at a time")
        arrays |= self._pool.arrays(plan)
        found = {}
        for name, (before, after) in module.tangents.items():
            whole = arrays.pop(f"{after} and before")
            whole[: B * K] = np.reshape(start[name], (B * K, whole.shape[1])) if name in start else 0
            arrays[before], arrays[after] = whole[: T * B * K], whole[B * K :]
            found[name] = arrays[after].reshape(T, B, K, *self._shape(Symbol(name), sizes))
        module.call("pack_tangent", arrays, sizes)
        module.call("tangent", arrays, sizes, T=T, B=B, K=K, first=0, last=B)
        return found

    def _single_steps(self, run: Run, first: int, many: int) -> Run:
        """Return steps of a run as independent sequences of one step."""
        schedule, module = self.schedule, self._module()
        kinds = {module.emitted.arrays[block.name]: block.kind for block in schedule.blocks.values()}
        arrays = {
            name: array[first : first + many] if kinds.get(name) == TIME else array
            for name, array in run.arrays.items()
        }
        arrays["active"] = arrays["active"][first : first + many]
        return Run(run.sizes, 1, many, arrays, {}, {})

    def _zero(self, shape: tuple[int, ...]) -> Array:
        """Return zeros that nothing writes to."""
        count = int(np.prod(shape, dtype=int))
        if self._zeros.size < count:
            self._zeros = np.zeros(count, self.dtype)
        return self._zeros[:count].reshape(shape)

    def _shape(self, symbol: Symbol, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(size(part, sizes) for part in self.schedule.shapes[symbol])


def _check_kept(run: Run) -> None:
    """Refuse tangents of a run that dropped its values."""
    if run.segments is not None:
        raise Error("this run kept only some states: run forward without keep= for tangents and Jacobians")


def _flat(array: Array, lead: int) -> Array:
    """Return an array as generated code reads it: with a row for each of `lead` axes together, or as a matrix."""
    if lead:
        return array.reshape(array.shape[0] * array.shape[1], math.prod(array.shape[2:]))
    return array if array.ndim == 2 else array.reshape(1, array.size)


Shapes = Mapping[str, tuple[int, ...]]


def compile(cell: Cell | Derivation, dtype: str = "float64", threads: int = 1) -> Kernel:  # noqa: A001 - public
    """Return the kernel of a cell; machine code is made at the first call and kept on disk.

    Args:
        cell: a cell, or its derivation.
        dtype: "float32" or "float64".
        threads: how many shares of a batch to run at the same time; small batches run in fewer.

    Raises:
        Error: for another dtype, or threads that aren't a whole number from 1.

    >>> compile(derive_cell("rnn"))
    Kernel('rnn', dtype='float64')
    """
    name = ""
    with suppress(TypeError):  # NumPy's, for what is no dtype at all
        name = np.dtype(dtype).name
    if name not in ("float32", "float64"):
        raise Error(f"a kernel computes in float32 or float64, not in {dtype}")
    if not isinstance(threads, int | np.integer) or threads < 1:
        raise Error(f"threads= must be a whole number from 1, not {threads!r}")
    return Kernel(cell if isinstance(cell, Derivation) else derive(cell), name, int(threads))


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
