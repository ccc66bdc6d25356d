"""`Passes`: runs generated modules on arrays: finds memory for them, calls their functions, shows the results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from sympy import Symbol

from ..derive.cell import previous
from ..derive.interpret import size
from ..derive.tangent import tangent
from . import orthogonal
from .given import Array, check_finite
from .instructions import TIME
from .meeting import meeting_place
from .memory import Groups, MakeTables, MakeViews, Piece, Plan, Pool, planned
from .module import BACKWARD, FORWARD, Module, Pick, picker
from .products import packed_size
from .room import check_fits
from .run import Extent, Gradients, Run, Views
from .sections import STRETCHING
from .shards import Shards, shared
from .stretching import together
from .table import NOT_FINITE, Caller, Table, address_of, changed, enter, looks_alike, numbered, request
from .workers import run_all

Arrays = Mapping[str, Array]
ALONE = {"part": 0, "parts": 1}  # of a function that runs in one thread


@dataclass(frozen=True, eq=False)
class Task:
    """A pass of a module at given sizes, worked out once.

    Attributes:
        module: whose functions it calls.
        extent: steps, samples and sizes.
        call: of its functions.
        plan: where its arrays lie.
        views: makes, of the arrays of the plan, the views that are needed each time.
        tables: makes, of them, a table of arguments and a request for the arrays that come from outside.
        numbers: the arguments that are numbers.
        given: name -> (array, its place in a table, rows and width) of what comes from outside, in a request's order.
        picks: take parameters and inputs, or cotangents, out of a dict in that order.
        nbytes: of the plan's arrays.
        counts: of each thread, where there are several.
        zeros: stand for what is left out.
        back: (whether parameters have gradients, names of cotangents) -> the way back.
    """

    module: Module
    extent: Extent
    call: Caller
    plan: Plan
    views: MakeViews
    tables: MakeTables
    numbers: dict[str, int]
    given: dict[str, tuple[str, int, tuple[int, ...]]]
    picks: tuple[Pick, ...]
    nbytes: int
    counts: tuple[dict[str, int], ...]
    zeros: Array
    back: dict[Any, Task] = field(default_factory=dict, repr=False)


class _Made(Run):
    """A run that a pass has made: what isn't always needed is looked up when it is asked for."""

    def __init__(
        self, task: Task, piece: Piece, buffer: Array, given: tuple[Array, ...], states: Arrays, reverse: bool
    ) -> None:
        self.task, self.piece, self.states, self.reverse = task, piece, states, reverse
        self._held = buffer, given  # as long as somebody may look at them

    @property
    def sizes(self) -> Mapping[str, int]:  # type: ignore[override]
        return self.task.extent.sizes

    @property
    def steps(self) -> int:  # type: ignore[override]
        return self.task.extent.steps

    @property
    def batch(self) -> int:  # type: ignore[override]
        return self.task.extent.batch

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        return self.task.nbytes

    @cached_property
    def arrays(self) -> dict[str, Array]:  # type: ignore[override]
        self.piece.begins_at_zero = False  # anybody may write there now
        own = {name: array.view() for name, array in self.piece.arrays.items()}
        pairs = zip(self.task.given.values(), self._held[1], strict=True)
        return own | {into: array.reshape(shape) for (into, _, shape), array in pairs}

    @cached_property
    def values(self) -> Mapping[str, Array]:  # type: ignore[override]
        module, extent, arrays, reverse = self.task.module, self.task.extent, self.arrays, self.reverse

        def look_up(name: str) -> Array:
            found = module.value(name, arrays, extent.sizes, extent.steps, extent.batch)
            return found[::-1] if reverse else found

        return Views(module.values, look_up)


class Passes:
    """Forward, backward and tangent passes over arrays that were checked, or are like those of the pass before.

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
        self._zeros = np.zeros(0, dtype)
        self._before: Task | None = None

    def forward(
        self,
        module: Module,
        extent: Extent,
        params: Arrays,
        inputs: Arrays,
        start: Arrays,
        active: Array,
        reverse: bool,
    ) -> Run:
        """Run all steps.

        Args:
            module: of the cell.
            extent: steps, samples and sizes.
            params: of the cell.
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
        cell = module.schedule.derivation.cell
        if cell.inputs and not cell.indices:  # which must be looked at
            self._before = task
        own, moving = task.picks
        given = *own(params), *moving(inputs)
        piece, buffer = self.pool.take(task.plan, task.views, task.tables)
        _enter(piece, given)
        return self._forward(task, piece, buffer, given, start, active, reverse)

    def forward_again(self, params: Any, inputs: Any) -> Run | None:
        """Run all steps from states that are 0, or return None where arrays aren't like those of the pass before."""
        task = self._before
        if task is None or type(params) is not dict or type(inputs) is not dict:
            return None
        if len(params) + len(inputs) != len(task.given):
            return None
        own, moving = task.picks
        try:
            given = *own(params), *moving(inputs)
        except KeyError:
            return None
        piece, buffer = self.pool.take(task.plan, task.views, task.tables)
        if not looks_alike()(piece.asked, given):
            return None
        return self._forward(task, piece, buffer, given, {}, self.all_active, False)

    def _forward(
        self,
        task: Task,
        piece: Piece,
        buffer: Array,
        given: tuple[Any, ...],
        start: Arrays,
        active: Array,
        reverse: bool,
    ) -> Run:
        """Run all steps on a piece of memory whose table has the addresses of what is given."""
        if len(active):
            piece.entries.fill(0)  # rows past a sequence's end are never written
        if start or not piece.begins_at_zero:
            for name, array in piece.views["first"].items():
                array[...] = start.get(name, 0)
            piece.begins_at_zero = not start
        if piece.arrays.get("active") is not active:
            enter(piece.table, task.module.places["active"], active)
            piece.arrays["active"] = active
        if _call(task, piece) == NOT_FINITE:
            named, cell = dict(zip(task.given, given, strict=True)), task.module.schedule.derivation.cell
            check_finite("input", {name: named[name][::-1] if reverse else named[name] for name in cell.inputs})
        states = piece.views["states"].copy()
        if reverse:
            states = {name: array[::-1] for name, array in states.items()}
        run = _Made(task, piece, buffer, given, states, reverse)
        for symbol in task.module.schedule.spent.values() if len(active) else ():
            extent = task.extent
            value = task.module.view(symbol, run.arrays, extent.sizes, (extent.steps * extent.batch,))
            if symbol.name not in task.module.states:
                value[active[:, 0] == 0] = 0  # its place held what is computed for all steps at once
        return run

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
        params = {name: module.shape(Symbol(name), sizes) for name in cell.params}
        inputs = {name: (T, B, *module.shape(Symbol(name), sizes)) for name in (*cell.inputs, *cell.indices)}
        own = {name: module.own[name] for name in (*params, *inputs)}
        plan = planned(module.forward_shapes(sizes, T, B), self.dtype)
        return self._task(module, FORWARD, extent, plan, views, own, (params, inputs))

    def _task(
        self,
        module: Module,
        sections: tuple[str, ...],
        extent: Extent,
        plan: Plan,
        views: MakeViews,
        own: Mapping[str, str],
        groups: tuple[Mapping[str, tuple[int, ...]], ...],
    ) -> Task:
        """Return a task.

        Args:
            own: name -> the array that holds what may come from outside.
            groups: name -> shape of what does come: of parameters and inputs, or of cotangents.
        """
        sizes, T, B = extent.sizes, extent.steps, extent.batch
        layout, numbers = module.layout(sizes), module.numbers(sizes, T, B)
        given = {name: (array, module.places[array], layout.shape(array, T, B)) for name, array in own.items()}
        blank = numbered({**numbers, "last": B, "parts": 1}, module.places, module.words)
        expected = {name: shape for group in groups for name, shape in group.items()}
        shards = self._shards(module, sizes, T, B)
        block = numbers["block"] * B
        zeros = self._zero(
            max((block * width for name, (*_, (_, width)) in given.items() if name not in expected), default=0)
        )
        for name, (_, place, (rows, width)) in given.items():
            blank[place + 1], blank[place + 2] = rows if name in expected else block, width
            if name not in expected:
                blank[place] = address_of(zeros)

        def tables(arrays: dict[str, Array]) -> tuple[Table, Table]:
            made = blank[:]
            for name, array in arrays.items():
                if name in module.places:
                    enter(made, module.places[name], array)
            return made, request(made, self.dtype, [(given[name][1], shape) for name, shape in expected.items()])

        return Task(
            module=module,
            extent=extent,
            call=module.caller(*sections),
            plan=plan,
            views=views,
            tables=tables,
            numbers=numbers,
            given={name: given[name] for name in expected},
            picks=tuple(picker(tuple(group)) for group in groups),
            nbytes=plan.total * self.dtype.itemsize,
            counts=tuple(shards.counts()) if shards.parts > 1 else (),
            zeros=zeros,
        )

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
        key = module, with_params, *seeds
        task = extent.tasks.get(key)
        made = run if isinstance(run, _Made) and run.task.module is module else None
        left = module.shared_with(base, run.arrays) if task is None or made is None else {}
        if task is None:
            task = extent.tasks[key] = self._backward_task(left, module, with_params, extent, seeds)
        piece, _held = self.pool.take(task.plan, task.views, task.tables)
        _enter(piece, tuple(seeds.values()))
        if made is None:
            for name, array in left.items():
                if name in module.places:
                    enter(piece.table, module.places[name], array)
            return self._backward(task, piece, run, left)
        made.task.back[with_params, *seeds] = task
        return self._backward_as_made(task, piece, made)

    def backward_again(self, base: Module, run: Any, seeds: Any, with_params: bool) -> Gradients | None:
        """Carry gradients back, or return None where it isn't as it was in a pass before."""
        if type(run) is not _Made or run.task.module is not base or run.reverse or type(seeds) is not dict:
            return None
        task = run.task.back.get((with_params, *seeds))
        if task is None:
            return None
        piece, _held = self.pool.take(task.plan, task.views, task.tables)
        if not looks_alike()(piece.asked, tuple(seeds.values())):
            return None
        return self._backward_as_made(task, piece, run)

    def _backward_as_made(self, task: Task, piece: Piece, run: _Made) -> Gradients:
        """Carry gradients back through a run of the same module, which tells where its arrays lie."""
        words = task.module.words_handed_on
        piece.table[:words] = run.piece.table[:words]
        return self._backward(task, piece, run, None)

    def _backward(self, task: Task, piece: Piece, run: Run, left: Arrays | None) -> Gradients:
        """Carry gradients back on a piece of memory whose table has the addresses of all that is given.

        Args:
            left: what the run left; None: its arrays.
        """
        module = task.module
        everything = piece.table[module.places["active"] + 1] > 0 or run.steps * run.batch == 0
        (piece.entries if everything else piece.cleared).fill(0)
        _call(task, piece)
        views = piece.views
        params = views["params"].copy()
        if views["once"]:
            module.call("epilogue", task.numbers, {**(run.arrays if left is None else left), **piece.arrays})
            params |= {name: params[name] + carried for name, carried in views["once"].items()}
        inputs, state, states = views["inputs"].copy(), views["state"].copy(), views["states"].copy()
        if run.reverse:
            inputs = {name: array[::-1] for name, array in inputs.items()}
            states = {name: array[::-1] for name, array in states.items()}
        return Gradients(params, inputs, state, states)

    def _backward_task(self, shared: Arrays, module: Module, with_params: bool, extent: Extent, seeds: Arrays) -> Task:
        sizes, T, B = extent.sizes, extent.steps, extent.batch
        leads = {"inputs": (T, B), "states": (T, B), "state": (B,)}
        ends = module.ends | ({} if with_params else {"params": {}, "once": {}})

        def views(arrays: dict[str, Array]) -> Groups:
            for into, source in module.carried.items():
                whole = module.view(source, arrays, sizes, ())
                arrays[into] = whole.reshape(module.layout(sizes).shape(into, T, B))
            return {
                part: {n: module.view(symbol, arrays, sizes, leads.get(part, ())) for n, symbol in symbols.items()}
                for part, symbols in ends.items()
            }

        parts, space = self._shards(module, sizes, T, B).parts, module.layout(sizes).space
        shapes = module.backward_shapes(sizes, T, B, {*shared, *module.seeds.values()}) | {"space": (parts, space)}
        plan = planned(shapes, self.dtype, module.begins_at_zero)
        sections = BACKWARD if with_params else BACKWARD[:-1]
        expected = {name: array.shape for name, array in seeds.items()}
        return self._task(module, sections, extent, plan, views, module.seeds, (expected,))

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

    def _zero(self, count: int) -> Array:
        """Return so many zeros, or more, that nothing writes to."""
        if self._zeros.size < count:
            self._zeros = np.zeros(count, self.dtype)
        return self._zeros


def _enter(piece: Piece, given: tuple[Array, ...]) -> None:
    """Write the addresses of arrays, which were checked, into the table of a piece."""
    if not looks_alike()(piece.asked, given):
        raise RuntimeError("an array was changed while a pass began")


def _call(task: Task, piece: Piece) -> int:
    """Call a pass's functions in turn, in each thread for its share: 0, or NOT_FINITE."""
    if not task.counts:
        status = task.call(piece.address)
    else:
        place = meeting_place()
        there = {"meeting": address_of(place)}
        status = run_all(task.call, [changed(piece.table, counts | there) for counts in task.counts])
    if status not in (0, NOT_FINITE):
        raise RuntimeError(f"compiled code ended with status {status}")
    return status


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
