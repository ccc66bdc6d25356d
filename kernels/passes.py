"""`Passes`: runs generated modules on arrays: finds memory for them, calls their functions, shows the results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Symbol

from ..derive.cell import previous
from ..derive.interpret import size
from ..derive.tangent import tangent
from . import orthogonal
from .given import Array, Held, check_finite
from .instructions import TIME
from .meeting import meeting_place
from .memory import Groups, MakeTable, MakeViews, Piece, Plan, Pool, planned
from .module import BACKWARD, FORWARD, Module
from .products import packed_size
from .room import check_fits
from .run import Extent, Gradients, Run, Views
from .sections import STRETCHING
from .shards import Shards, shared
from .stretching import together
from .table import NOT_FINITE, Caller, Table, address_of, changed, enter, numbered
from .workers import run_all

Arrays = Mapping[str, Array]
ALONE = {"part": 0, "parts": 1}  # of a function that runs in one thread


@dataclass(frozen=True, eq=False)
class Task:
    """A pass of a module at given sizes, worked out once.

    Attributes:
        call: of its functions.
        plan: where its arrays lie.
        views: makes, of the arrays of the plan, the views that are needed each time.
        table: makes, of them, a table of arguments.
        numbers: the arguments that are numbers.
        given: name -> (array, its place in a table, shape) of what comes from outside.
        most: entries of the widest of these in a block of steps.
        nbytes: of the plan's arrays.
        shards: how the batch is split.
    """

    call: Caller
    plan: Plan
    views: MakeViews
    table: MakeTable
    numbers: dict[str, int]
    given: dict[str, tuple[str, int, tuple[int, ...]]]
    most: int
    nbytes: int
    shards: Shards


class _Made(Run):
    """A run that a pass has made: what isn't always needed is looked up when it is asked for."""

    def __init__(
        self,
        module: Module,
        task: Task,
        extent: Extent,
        piece: Piece,
        buffer: Array,
        inputs: Arrays,
        states: Arrays,
        reverse: bool,
    ) -> None:
        self.sizes, self.steps, self.batch = extent.sizes, extent.steps, extent.batch
        self.states, self.reverse, self.nbytes, self.segments = states, reverse, task.nbytes, None
        self.extent, self.table = extent, piece.table
        self._from = module, task, piece, inputs
        self._held = buffer

    @cached_property
    def arrays(self) -> dict[str, Array]:  # type: ignore[override]
        _, task, piece, inputs = self._from
        piece.begins_at_zero = False  # anybody may write there now
        places = {name: task.given[name] for name in inputs}
        own = {name: array.view() for name, array in piece.arrays.items()}
        return own | {places[name][0]: array.reshape(places[name][2]) for name, array in inputs.items()}

    @cached_property
    def values(self) -> Mapping[str, Array]:  # type: ignore[override]
        module, arrays, extent, reverse = self._from[0], self.arrays, self.extent, self.reverse

        def look_up(name: str) -> Array:
            found = module.value(name, arrays, extent.sizes, extent.steps, extent.batch)
            return found[::-1] if reverse else found

        return Views(module.values, look_up)


class Passes:
    """Forward, backward and tangent passes over arrays that were checked.

    Attributes:
        dtype, threads: of the kernel.
        pool: memory that is used again.
        all_active: what says that all steps of all samples are reached.
    """

    def __init__(self, dtype: np.dtype[Any], threads: int) -> None:
        self.dtype = dtype
        self.threads = threads
        self.pool = Pool(dtype)
        self.all_active = np.zeros((0, 1), dtype)
        self._zeros = np.zeros(0, dtype), 0

    def forward(
        self,
        module: Module,
        extent: Extent,
        held: Held,
        inputs: Arrays,
        start: Arrays,
        active: Array,
        reverse: bool,
    ) -> Run:
        """Run all steps.

        Args:
            module: of the cell.
            extent: steps, samples and sizes.
            held: parameters.
            inputs: in the order in which they are read.
            start: initial states; what is left out is 0.
            active: 1 for each step and sample that a sequence reaches; empty where all are.
            reverse: whether results are shown from the last step to the first.

        Raises:
            Error: where an input holds NaN or infinity.
        """
        task = extent.tasks.get(module)
        if task is None:
            task = extent.tasks[module] = self._forward_task(module, extent)
        piece, buffer = self.pool.take(task.plan, task.views, task.table)
        if len(active):
            piece.entries.fill(0)  # rows past a sequence's end are never written
        if start or not piece.begins_at_zero:
            for name, array in piece.views["first"].items():
                array[...] = start.get(name, 0)
            piece.begins_at_zero = not start
        if piece.held is not held:
            self._place_params(task, held, piece)
        if piece.arrays.get("active") is not active:
            enter(piece.table, module.places["active"], active)
            piece.arrays["active"] = active
        for name, array in inputs.items():
            piece.table[task.given[name][1]] = address_of(array)
        if self._call(task, piece) == NOT_FINITE:
            check_finite("input", {n: array[::-1] for n, array in inputs.items()} if reverse else inputs)
        states = piece.views["states"].copy()
        if reverse:
            states = {name: array[::-1] for name, array in states.items()}
        run = _Made(module, task, extent, piece, buffer, dict(inputs), states, reverse)
        for symbol in module.schedule.spent.values() if len(active) else ():
            value = module.view(symbol, run.arrays, extent.sizes, (extent.steps * extent.batch,))
            if symbol.name not in module.states:
                value[active[:, 0] == 0] = 0  # its place held what is computed for all steps at once
        return run

    def _place_params(self, task: Task, held: Held, piece: Piece) -> None:
        """Write parameters among the arrays of a piece, and where they lie into its table."""
        if held.placed is None:
            given = [(task.given[name], array) for name, array in held.given.items()]
            held.placed = [
                (into, place, array.reshape(shape), address_of(array)) for (into, place, shape), array in given
            ]
        for into, place, array, address in held.placed:
            piece.arrays[into] = array
            piece.table[place] = address
        piece.held = held

    def _call(self, task: Task, piece: Piece) -> int:
        """Call a pass's functions in turn, in each thread for its share: 0, or NOT_FINITE."""
        if task.shards.parts == 1:
            status = task.call(piece.address)
        else:
            place = meeting_place()
            there = {"meeting": address_of(place)}
            status = run_all(task.call, [changed(piece.table, counts | there) for counts in task.shards.counts()])
        if status not in (0, NOT_FINITE):
            raise RuntimeError(f"compiled code ended with status {status}")
        return status

    def _forward_task(self, module: Module, extent: Extent) -> Task:
        sizes, T, B = extent.sizes, extent.steps, extent.batch

        def views(arrays: dict[str, Array]) -> Groups:
            first = {}
            for name, (before, after) in module.states.items():
                whole = arrays.pop(f"{after} and before")
                first[name] = whole[:B].reshape(B, *module.shape(Symbol(name), sizes))
                arrays[before], arrays[after] = whole[: T * B], whole[B:]
            return {"first": first, "states": {n: module.view(Symbol(n), arrays, sizes, (T, B)) for n in first}}

        cell = module.schedule.derivation.cell
        own = {name: module.own[name] for name in (*cell.params, *cell.inputs, *cell.indices)}
        plan = planned(module.forward_shapes(sizes, T, B), self.dtype)
        return self._task(module, FORWARD, extent, plan, views, own)

    def _task(
        self,
        module: Module,
        sections: tuple[str, ...],
        extent: Extent,
        plan: Plan,
        views: MakeViews,
        own: Mapping[str, str],
    ) -> Task:
        """Return a task; `own` says which arrays hold what comes from outside."""
        sizes, T, B = extent.sizes, extent.steps, extent.batch
        layout, numbers = module.layout(sizes), module.numbers(sizes, T, B)
        given = {name: (array, module.places[array], layout.shape(array, T, B)) for name, array in own.items()}
        blank = numbered({**numbers, "last": B, "parts": 1}, module.places, module.words)
        for _, place, shape in given.values():
            blank[place + 1], blank[place + 2] = shape

        def table(arrays: dict[str, Array]) -> Table:
            made = blank[:]
            for name, array in arrays.items():
                if name in module.places:
                    enter(made, module.places[name], array)
            return made

        most = max((numbers["block"] * B * shape[1] for *_, shape in given.values()), default=0)
        nbytes = plan.total * self.dtype.itemsize
        shards = self._shards(module, sizes, T, B)
        return Task(module.caller(*sections), plan, views, table, numbers, given, most, nbytes, shards)

    def backward(
        self, module: Module, base: Module, extent: Extent, run: Run, seeds: Arrays, with_params: bool
    ) -> Gradients:
        """Carry gradients back.

        Args:
            module: whose outputs the seeds reach.
            base: the module that ran forward.
            extent: of the run.
            run: of it.
            seeds: what reaches each state or output from outside, in the order of the run; what is left out is 0.
            with_params: whether to sum up gradients of the parameters.
        """
        T, B = extent.steps, extent.batch
        shared = module.shared_with(base, run.arrays) if module is not base or run.table is None else None
        task = extent.tasks.get((module, with_params))
        if task is None:
            sections = BACKWARD if with_params else BACKWARD[:-1]
            task = self._backward_task(run.arrays if shared is None else shared, module, sections, extent)
            extent.tasks[module, with_params] = task
        piece, _held = self.pool.take(task.plan, task.views, task.table)
        if shared is None:
            piece.table[: module.words_handed_on] = run.table[: module.words_handed_on]
        else:
            for name, array in shared.items():
                if name in module.places:
                    enter(piece.table, module.places[name], array)
        everything = piece.table[module.places["active"] + 1] > 0 or T * B == 0
        (piece.entries if everything else piece.cleared).fill(0)
        zeros, zero = self._zero(task.most) if len(seeds) < len(task.given) else (None, 0)
        block = task.numbers["block"] * B
        for name, (_, place, _) in task.given.items():
            piece.table[place] = address_of(seeds[name]) if name in seeds else zero
            piece.table[place + 1] = T * B if name in seeds else block
        self._call(task, piece)
        views = piece.views
        params = views["params"].copy() if with_params else {}
        if module.carried and with_params:
            module.call("epilogue", task.numbers, {**(run.arrays if shared is None else shared), **piece.arrays})
            params |= {name: params[name] + carried for name, carried in views["once"].items()}
        inputs, state, states = views["inputs"].copy(), views["state"].copy(), views["states"].copy()
        if run.reverse:
            inputs = {name: array[::-1] for name, array in inputs.items()}
            states = {name: array[::-1] for name, array in states.items()}
        return Gradients(params, inputs, state, states)

    def _backward_task(self, shared: Arrays, module: Module, sections: tuple[str, ...], extent: Extent) -> Task:
        sizes, T, B = extent.sizes, extent.steps, extent.batch
        leads = {"inputs": (T, B), "states": (T, B), "state": (B,)}

        def views(arrays: dict[str, Array]) -> Groups:
            for into, source in module.carried.items():
                whole = module.view(source, arrays, sizes, ())
                arrays[into] = whole.reshape(module.layout(sizes).shape(into, T, B))
            return {
                part: {n: module.view(symbol, arrays, sizes, leads.get(part, ())) for n, symbol in symbols.items()}
                for part, symbols in module.ends.items()
            }

        parts, space = self._shards(module, sizes, T, B).parts, module.layout(sizes).space
        shapes = module.backward_shapes(sizes, T, B, {*shared, *module.seeds.values()}) | {"space": (parts, space)}
        plan = planned(shapes, self.dtype, module.begins_at_zero)
        return self._task(module, sections, extent, plan, views, module.seeds)

    def tangent(
        self, module: Module, base: Module, run: Run, start: Arrays, moving: Arrays, K: int
    ) -> dict[str, Array]:
        """Carry tangents through a run, in the order in which it ran: state -> (T, B, K, *shape).

        Args:
            module: whose moving inputs are those of `moving`.
            base: the module that ran forward.
            run: of it.
            start: tangents of the initial states; what is left out is 0.
            moving: tangents of inputs.
            K: how many.
        """
        sizes, T, B = run.sizes, run.steps, run.batch
        shared = module.shared_with(base, run.arrays)
        for name, array in moving.items():
            shared[module.array(tangent(Symbol(name)))] = array.reshape(T * B * K, math.prod(array.shape[3:]))
        plan = planned(module.tangent_shapes(sizes, T, B, K, set(shared)), self.dtype)
        check_fits(plan.total * self.dtype.itemsize, "the tangents need", "take fewer of them at a time")
        piece, _held = self.pool.take(plan)
        arrays = piece.arrays | shared
        if module.tangents:
            before, after = module.tangents
            whole = arrays.pop(f"{after} and before")
            whole[: B * K] = 0
            arrays[before], arrays[after] = whole[: T * B * K], whole[B * K :]
        for name, array in start.items():
            module.view(tangent(previous(name)), {before: whole[: B * K]}, sizes, (B, K))[...] = array
        numbers = module.numbers(sizes, T, B) | {"K": K, "first": 0, "last": B, **ALONE}
        module.call("pack_tangent", numbers, arrays)
        module.call("tangent", numbers, arrays)
        return {name: module.view(tangent(Symbol(name)), arrays, sizes, (T, B, K)) for name in module.states}

    def stretch(self, module: Module, run: Run, vectors: Array) -> tuple[Array, Array]:
        """Carry orthonormal directions through a run, and make them orthonormal again after each step.

        Args:
            module: that ran forward.
            run: of it, onward in time.
            vectors: (B, K, N), directions as rows.

        Returns:
            The stretching at each step, (T, B, K), and the directions.
        """
        orthogonal.prepare(self.dtype.name)
        (B, K, width), T, arrays = vectors.shape, run.steps, dict(run.arrays)
        check_fits(T * B * K * self.dtype.itemsize, "the stretching needs", "take fewer directions or steps at a time")
        samples, directions = together(B, K)
        shapes = module.tangent_shapes(run.sizes, 0, samples, directions, set(arrays))
        shapes |= dict.fromkeys(("vectors", "carried"), (B * K, width))
        shapes["space"] = (orthogonal.space_size(K, width, self.dtype),)
        if module.emitted.folded:
            shapes["blocks"] = rows, columns = tuple(size(number, run.sizes) for number in module.emitted.folded)
            shapes["folded"] = (packed_size(rows, columns, self.dtype),)
        piece, _held = self.pool.take(planned(shapes, self.dtype))
        arrays |= piece.arrays
        arrays["vectors"][...] = vectors.reshape(B * K, width)
        arrays["norms"] = np.empty((T, B * K), self.dtype)
        numbers = module.numbers(run.sizes, T, B) | {"K": K, "together": samples, **ALONE}
        module.call("pack_tangent", numbers, arrays)
        module.call(STRETCHING, numbers, arrays)
        last = arrays["carried" if T % 2 else "vectors"]
        return arrays["norms"].reshape(T, B, K), last.reshape(B, K, width).copy()

    def _shards(self, module: Module, sizes: Mapping[str, int], T: int, B: int) -> Shards:
        layout = module.layout(sizes)
        at_each_step = sum(layout.packed.values()) // 2  # half of them forward, half back
        return shared(self.threads, T, B, layout.work, at_each_step * self.dtype.itemsize)

    def _zero(self, count: int) -> tuple[Array, int]:
        """Return so many zeros, or more, that nothing writes to, and where they lie."""
        if self._zeros[0].size < count:
            zeros = np.zeros(count, self.dtype)
            self._zeros = zeros, address_of(zeros)
        return self._zeros


def part_of(run: Run, module: Module, first: int, last: int, steps: int) -> Run:
    """Return some rows of a run, one for each step and sample, as a run of so many steps."""
    kinds = {module.emitted.arrays[block.name]: block.kind for block in module.schedule.blocks.values()}
    moving = {name for name, kind in kinds.items() if kind == TIME} | {"active"}
    arrays = {name: array[first:last] if name in moving else array for name, array in run.arrays.items()}
    batch = (last - first) // steps if steps else run.batch
    states = {name: module.view(Symbol(name), arrays, run.sizes, (steps, batch)) for name in module.states}
    if run.reverse:
        states = {name: array[::-1] for name, array in states.items()}
    return Run(run.sizes, steps, batch, arrays, states, {}, run.reverse)
