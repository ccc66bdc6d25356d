"""`Kernel`: a cell's forward and backward pass through time as compiled functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from sympy import Symbol

from ..derive import display
from ..derive.cell import Cell
from ..derive.derivation import Derivation, derive
from ..derive.errors import Error, expect
from ..derive.interpret import size
from .budget import Budget, bounds, budget, check
from .given import Array, Arrays, Given, check_finite, check_sizes, shapes_of
from .initial import initial
from .module import Module
from .passes import Passes, part_of
from .recompute import Segments, back_in_segments, run_in_segments
from .run import Extent, Gradients, Run
from .schedule import Schedule

WHOLE = (int, np.integer)
REMEMBERED = 256  # sizes


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
        self._passes = Passes(self.dtype, threads)
        self._extents: dict[Any, Extent] = {}
        self._passed: dict[Any, Extent] = {}
        self._checked: dict[tuple[tuple[str, int], ...], dict[str, int]] = {}
        self._sizes: Mapping[str, int] | None = None

    _repr_html_ = display.html

    def __repr__(self) -> str:
        return f"Kernel({self.cell.name!r}, dtype={self.dtype.name!r})"

    @property
    def schedule(self) -> Schedule:
        """What the kernel does, in order; printed, it says what that costs."""
        return self._own.schedule

    @property
    def source(self) -> str:
        """The generated module's text."""
        return self._own.emitted.source

    @property
    def module(self) -> ModuleType:
        """The generated module, loaded."""
        return self._own.loaded

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
        sizes: Mapping[str, int] | None = None,
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
            sizes: dimension -> size, needed only for one that no array has.
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
        plain = state is None and steps is None and batch is None and sizes is None and lengths is None and keep is None
        if plain and not reverse and (again := self._passes.forward_again(params, inputs)):
            self._sizes = again.sizes
            return again
        _check_counts(steps, batch, keep)
        state, sizes = {} if state is None else state, {} if sizes is None else sizes
        given, moving, start, extent = self._taken(params, inputs, state, steps, batch, sizes)
        self._sizes = found = extent.sizes
        if start:
            check_finite("state", start)
        if keep is not None:
            check_finite("input", moving)
        active = self._passes.all_active if lengths is None else self._active(lengths, extent, reverse)
        if reverse:
            moving = {name: np.ascontiguousarray(array[::-1]) for name, array in moving.items()}
        T, B = extent.steps, extent.batch
        keep = None if keep is None or not T else min(int(keep), T)
        self._check_memory("forward", extent, keep)
        module = self._own
        if keep is None:
            return self._passes.forward(module, extent, given, moving, start, active, reverse)
        before = {}
        for name in self.cell.states:
            shape = (1 + len(bounds(T, keep)), B, *module.shape(Symbol(name), found))
            before[name] = np.empty(shape, self.dtype)
            before[name][0] = start.get(name, 0)
        segments = Segments(
            keep,
            T,
            B,
            dict(given),
            dict(moving),
            before,
            active,
            lambda inputs, before, many, reached: self._passes.forward(
                module, self._extent(found, many, B), segments.params, inputs, before, reached, False
            ),
        )
        return run_in_segments(segments, found, module.values, reverse)

    def _taken(
        self,
        params: Any,
        inputs: Any,
        state: Any,
        steps: int | None,
        batch: int | None,
        sizes: Mapping[str, int],
    ) -> tuple[Arrays, Arrays, Arrays, Extent]:
        """Return parameters, inputs and states as contiguous arrays, and the sizes that they have.

        Known shapes pass at once.
        """
        if type(sizes) is not dict:
            expect("sizes=, dimension -> size,", sizes, Mapping)
        shapes = [shapes_of(arrays, self.dtype) for arrays in (params, inputs, state)]
        key = *shapes, steps, batch, *sizes.items()
        if extent := self._passed.get(key):
            return params, inputs, state, extent
        given = Given(self.cell, self.dtype, None, self._checked, self._named)
        given.sizes.update(sizes)
        given.source.update(dict.fromkeys(sizes, "sizes="))
        arrays = given.take("parameter", params, self.cell.params, ())
        known = {**self.cell.inputs, **dict.fromkeys(self.cell.indices, ())}
        moving = given.take("input", given.as_numbers(inputs), known, (steps, batch))
        T, B = given.lead
        start = given.take("state", state, self.cell.states, (B,), optional=True)
        extent = self._extent(given.complete(), T, B)
        given.check_picks(moving)
        if None not in shapes:
            self._passed[key] = extent
        return arrays, moving, start, extent

    def _extent(self, sizes: Mapping[str, int], steps: int, batch: int) -> Extent:
        """Return what is known of these sizes, the same each time."""
        key = steps, batch, *sizes.values()
        if key not in self._extents:
            if len(self._extents) >= REMEMBERED:
                for known in (self._extents, self._passed):
                    known.clear()
            self._extents[key] = Extent(sizes, steps, batch)
        return self._extents[key]

    def backward(self, run: Run, cotangents: Arrays, *, params: bool = True) -> Gradients:
        """Carry gradients back through a run.

        Args:
            run: from `forward`.
            cotangents: state -> (T, B, *shape), dL/d(state after each step), or any other named value of each step;
                what is left out is 0. For a new set of values other than states, code is compiled first.
            params: whether to sum up gradients of the parameters; without them it takes a third less time.

        Raises:
            ShapeError: for an unknown name, a wrong shape or dtype.

        >>> kernel = compile(derive_cell("rnn"))
        >>> run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
        >>> kernel.backward(run, {"h": np.ones((4, 1, 3))}).params["b_h"].shape
        (3,)
        """
        if again := self._passes.backward_again(self._own, run, cotangents, params):
            return again
        expect("the run", run, Run)
        keep = None if run.segments is None else run.segments.keep
        extent = self._extent(run.sizes, run.steps, run.batch)
        self._check_memory("backward", extent, keep)
        shapes, seeds = shapes_of(cotangents, self.dtype), cotangents
        module = extent.reached.get(shapes)
        if module is None:
            given = Given(self.cell, self.dtype, dict(run.sizes), self._checked, self._named)
            seeds = given.take("cotangent", cotangents, self._values, (run.steps, run.batch), optional=True)
            module = self._module(tuple(name for name in seeds if name not in self.cell.states))
            if shapes is not None:
                extent.reached[shapes] = module
        if run.reverse:
            seeds = {name: np.ascontiguousarray(array[::-1]) for name, array in seeds.items()}

        def back(part: Run, own: Arrays) -> Gradients:
            at = self._extent(part.sizes, part.steps, part.batch)
            return self._passes.backward(module, self._own, at, part, own, params)

        if run.segments is None:
            return back(run, seeds)
        found = back_in_segments(run, run.segments, seeds, back)
        return found if params else replace(found, params={})

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
            at most in the forward pass        1.3 MiB
            at most in the backward pass       5.3 MiB  with the gradients
        """
        _check_counts(steps, batch, keep, ())
        return budget(self._own, check_sizes(self.cell, sizes), steps, batch, keep, self.threads)

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
        inputs = {} if inputs is None else inputs
        for what, table in {"state": state, "inputs": inputs}.items():
            expect(f"the tangents of {what}, name -> array,", table, Mapping)
        tables = (1, state), (2, inputs)
        numbers = [np.shape(a)[lead] for lead, table in tables for a in table.values() if np.ndim(a) > lead]
        if not state and not inputs:
            raise Error("give the tangent of a state or of an input; here none")
        K = numbers[0] if numbers else 1
        given = Given(self.cell, self.dtype, dict(run.sizes), self._checked, self._named)
        start = given.take("tangent of state", state, self.cell.states, (run.batch, K), optional=True, axes="BK")
        lead = (run.steps, run.batch, K)
        moving = given.take("tangent of input", inputs, self.cell.inputs, lead, optional=True, axes="TBK")
        if run.reverse:
            moving = {name: np.ascontiguousarray(array[::-1]) for name, array in moving.items()}
        module = self._module((), tuple(moving))
        found = self._passes.tangent(module, self._own, run, start, moving, K)
        return {name: array[::-1] if run.reverse else array for name, array in found.items()}

    def stretch(self, run: Run, vectors: Array) -> tuple[Array, Array]:
        """Carry K orthonormal directions per sample through a run, and make them orthonormal again after each step.

        Directions are rows, laid out as `state_layout` says. After each step Gram–Schmidt takes from each its
        projection on those before it: what is left is how far the step stretched it, the diagonal of R in the QR
        decomposition of J_t Q_{t-1} (Benettin et al. 1980). Past a sequence's length it is 1.

        Args:
            run: from `forward`, onward in time.
            vectors: (B, K, N), the directions before the first step, with orthonormal rows.

        Returns:
            The stretching of each direction at each step, (T, B, K): 0 where a direction ends, to rounding, in the span
            of those before it, inf past the largest float; and the directions after the last step, (B, K, N).

        Raises:
            Error: for a run that went backwards in time or dropped its values, or another shape of the vectors.

        >>> kernel = compile(derive_cell("rnn"))
        >>> run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
        >>> stretching, vectors = kernel.stretch(run, np.eye(3)[None])
        >>> volumes = abs(np.linalg.det(kernel.jacobians(run)))
        >>> bool(np.allclose(stretching.prod(axis=-1), volumes))
        True
        """
        _check_kept(run)
        if run.reverse:
            raise Error("this run went backwards in time: stretching is measured onward")
        module, found = self._own, np.shape(vectors)
        width = sum(module.layout(run.sizes).shapes[after][1] for after in module.tangents[1:])
        if len(found) != 3 or found[0] != run.batch or found[2] != width or found[1] > width:
            raise Error(f"vectors must be (B, K, N) with B = {run.batch} and K up to N = {width}, not {found}")
        return self._passes.stretch(module, run, np.asarray(vectors))

    def part(self, run: Run, first: int, last: int) -> Run:
        """Return steps `first` to `last` - 1 of a run as a run of its own, which shares its memory.

        >>> kernel = compile(derive_cell("rnn"))
        >>> run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
        >>> part = kernel.part(run, 1, 3)
        >>> part.steps, bool((part.states["h"] == run.states["h"][1:3]).all())
        (2, True)
        """
        _check_kept(run)
        for what, number in {"first": first, "last": last}.items():
            if not isinstance(number, WHOLE):
                raise Error(f"{what} is the number of a step, not {number!r}")
        if run.reverse:
            first, last = run.steps - last, run.steps - first
        return part_of(run, self._own, first * run.batch, last * run.batch, last - first)

    def jacobians(self, run: Run) -> Array:
        """Return d(full state after each step) / d(full state before it): (T, B, N, N), N over all states.

        Rows and columns are laid out as `state_layout` says.

        >>> kernel = compile(derive_cell("rnn"))
        >>> run = kernel.forward(kernel.init({"m": 2, "n": 3}), {"x": np.ones((4, 1, 2))})
        >>> kernel.jacobians(run).shape
        (4, 1, 3, 3)
        """
        _check_kept(run)
        places, module = layout(self.cell, run.sizes), self._own
        width = max((place.stop for place in places.values()), default=0)
        rows = run.steps * run.batch
        found = np.empty((rows, width, width), self.dtype)
        together = max(1, 2048 // max(1, width))  # samples at once: their tangents stay in the cache
        identity = np.eye(width, dtype=self.dtype)
        for first in range(0, rows, together):
            many = min(together, rows - first)
            single = part_of(run, module, first, first + many, 1)
            start = {}
            for name, place in places.items():
                rows_of = np.ascontiguousarray(identity[:, place]).reshape(
                    width, *module.shape(Symbol(name), run.sizes)
                )
                start[name] = np.broadcast_to(rows_of, (many, *rows_of.shape))
            moved = self._passes.tangent(module, module, single, start, {}, width)
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

    @cached_property
    def _own(self) -> Module:
        """The module that runs forward."""
        return self._module()

    def _module(self, outputs: tuple[str, ...] = (), moving: tuple[str, ...] = ()) -> Module:
        key = outputs, moving
        if key not in self._modules:
            self._modules[key] = Module(self.derivation, self.dtype, outputs, moving)
        return self._modules[key]

    def _active(self, lengths: Any, extent: Extent, reverse: bool) -> Array:
        """Return 1 for each step and sample that a sequence reaches, else 0."""
        many, T, B = np.asarray(lengths), extent.steps, extent.batch
        if many.shape != (B,) or many.dtype.kind not in "iu" or (many < 0).any() or (many > T).any():
            raise Error(f"lengths= must be B = {B} whole numbers from 0 to T = {T}, not {lengths!r}")
        active = (np.arange(T)[:, None] < many[None, :]).astype(self.dtype)
        return np.ascontiguousarray(active[::-1] if reverse else active).reshape(T * B, 1)

    def _check_memory(self, what: str, extent: Extent, keep: int | None) -> None:
        """Refuse a pass that doesn't fit into memory, once for each set of sizes: later ones use its memory again."""
        if (what, keep) not in extent.fitting:
            at = extent.sizes, extent.steps, extent.batch
            check(self.memory(*at, keep), what, lambda keep: self.memory(*at, keep))
            extent.fitting.add((what, keep))


def _check_counts(
    steps: int | None, batch: int | None, keep: int | None, optional: tuple[str, ...] = ("steps", "batch")
) -> None:
    for name, number, least in (("steps", steps, 0), ("batch", batch, 0), ("keep", keep, 1)):
        if number is None and name in (*optional, "keep"):
            continue
        if not isinstance(number, WHOLE) or number < least:
            raise Error(f"{name}= must be a whole number from {least}, not {number!r}")


def _check_kept(run: Run) -> None:
    """Refuse tangents of a run that dropped its values."""
    expect("the run", run, Run)
    if run.segments is not None:
        raise Error("this run kept only some states: run forward without keep= for tangents and Jacobians")


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
    if not isinstance(threads, WHOLE) or threads < 1:
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
