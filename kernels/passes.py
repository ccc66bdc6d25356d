"""`Passes`: runs generated modules on arrays: finds memory for them, calls their functions, shows the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sympy import Symbol

from ..derive.tangent import tangent
from . import orthogonal
from .budget import check_fits
from .given import Array
from .instructions import TIME
from .memory import Groups, Plan, Pool, planned
from .module import Module
from .run import Gradients, Run, Views
from .sections import STRETCHING
from .shards import Shards

Arrays = Mapping[str, Array]
REMEMBERED = 256  # sizes for which tasks are kept


@dataclass(frozen=True, eq=False)
class Task:
    """A pass of a module at given sizes, worked out once.

    Attributes:
        plan: where its arrays lie.
        views: makes, of the arrays of the plan, the views that are needed each time.
        numbers: the arguments that are numbers.
        given: name -> (array, shape) of what comes from outside.
        shards: how the batch is split.
        cleared: arrays that begin at 0.
    """

    plan: Plan
    views: Callable[[dict[str, Array]], Groups]
    numbers: dict[str, int]
    given: dict[str, tuple[str, tuple[int, ...]]]
    shards: Shards
    cleared: tuple[str, ...] = ()


class Passes:
    """Forward, backward and tangent passes over arrays that were checked.

    Attributes:
        dtype, threads: of the kernel.
        pool: memory that is used again.
    """

    def __init__(self, dtype: np.dtype[Any], threads: int) -> None:
        self.dtype = dtype
        self.threads = threads
        self.pool = Pool(dtype)
        self._zeros = np.zeros(0, dtype)
        self._tasks: dict[Any, Task] = {}

    def forward(
        self,
        module: Module,
        sizes: Mapping[str, int],
        given: Arrays,
        start: Arrays,
        T: int,
        B: int,
        active: Array,
        reverse: bool,
    ) -> Run:
        """Run all steps.

        Args:
            module: of the cell.
            sizes: dimension -> size.
            given: parameters, and inputs in the order in which they are read.
            start: initial states; what is left out is 0.
            T, B: steps and samples.
            active: 1 for each step and sample that a sequence reaches; empty where all are.
            reverse: whether results are shown from the last step to the first.
        """
        task = self._task("forward", module, sizes, T, B, self._forward_task)
        arrays, views = self.pool.arrays(task.plan, task.views)
        if len(active):
            for name in (name for name, *_ in task.plan.places if name in arrays):
                arrays[name].fill(0)  # rows past a sequence's end are never written
        for name, array in views["first"].items():
            array[...] = start.get(name, 0)
        for name, array in given.items():
            into, shape = task.given[name]
            arrays[into] = array if array.shape == shape else array.reshape(shape)
        arrays["active"] = active
        module.call("prologue", task.numbers, arrays)
        task.shards.run(
            lambda first, last: module.call("forward", {**task.numbers, "first": first, "last": last}, arrays)
        )

        for symbol in module.schedule.spent.values() if len(active) else ():
            value = module.view(symbol, arrays, sizes, (T * B,))
            if symbol.name not in module.states:
                value[active[:, 0] == 0] = 0  # its place held what is computed for all steps at once

        def look_up(name: str) -> Array:
            found = module.value(name, arrays, sizes, T, B)
            return found[::-1] if reverse else found

        states = {name: array[::-1] if reverse else array for name, array in views["states"].items()}
        nbytes = task.plan.total * self.dtype.itemsize
        return Run(sizes, T, B, arrays, states, Views(module.values, look_up), reverse, nbytes)

    def _forward_task(self, module: Module, sizes: Mapping[str, int], T: int, B: int) -> Task:
        def views(arrays: dict[str, Array]) -> Groups:
            first = {}
            for name, (before, after) in module.states.items():
                whole = arrays.pop(f"{after} and before")
                first[name] = whole[:B].reshape(B, *module.shape(Symbol(name), sizes))
                arrays[before], arrays[after] = whole[: T * B], whole[B:]
            return {"first": first, "states": {n: module.view(Symbol(n), arrays, sizes, (T, B)) for n in first}}

        cell, layout = module.schedule.derivation.cell, module.layout(sizes)
        own = {name: module.own[name] for name in (*cell.params, *cell.inputs, *cell.indices)}
        given = {name: (array, layout.shape(array, T, B)) for name, array in own.items()}
        plan = planned(module.forward_shapes(sizes, T, B), self.dtype)
        return Task(plan, views, module.numbers(sizes, T, B), given, self._shards(module, sizes, T, B))

    def backward(self, module: Module, base: Module, run: Run, seeds: Arrays, with_params: bool = True) -> Gradients:
        """Carry gradients back.

        Args:
            module: whose outputs the seeds reach.
            base: the module that ran forward.
            run: of it.
            seeds: what reaches each state or output from outside, in the order of the run; what is left out is 0.
            with_params: whether to sum up gradients of the parameters.
        """
        sizes, T, B = run.sizes, run.steps, run.batch
        shared = module.shared_with(base, run.arrays)
        task = self._task("backward", module, sizes, T, B, partial(self._backward_task, set(shared)))
        for name, (into, shape) in task.given.items():
            shared[into] = seeds[name].reshape(shape) if name in seeds else self._zero(shape)
        arrays, views = self.pool.arrays(task.plan, task.views)
        everything = len(shared["active"]) > 0 or T * B == 0
        for name in arrays if everything else task.cleared:
            arrays[name].fill(0)
        arrays |= shared
        module.call("pack_backward", task.numbers, arrays)
        task.shards.run(
            lambda first, last: module.call("backward", {**task.numbers, "first": first, "last": last}, arrays)
        )
        params = self._sums(module, task, run, arrays, views) if with_params else {}
        inputs, state, states = (dict(views[part]) for part in ("inputs", "state", "states"))
        if run.reverse:
            inputs = {name: array[::-1] for name, array in inputs.items()}
            states = {name: array[::-1] for name, array in states.items()}
        return Gradients(params, inputs, state, states)

    def _sums(self, module: Module, task: Task, run: Run, arrays: dict[str, Array], views: Groups) -> dict[str, Array]:
        """Return gradients of the parameters: summed over time, and through what is computed once."""
        task.shards.each(
            lambda part, parts: module.call(
                "sums",
                {**task.numbers, "part": part, "parts": parts},
                {**arrays, "space": arrays["space"][part]},
            )
        )
        params = dict(views["params"])
        if module.carried:
            for into, source in module.carried.items():
                whole = module.view(source, arrays, run.sizes, ())
                arrays[into] = whole.reshape(module.layout(run.sizes).shape(into, run.steps, run.batch))
            module.call("epilogue", task.numbers, arrays)
            params = {name: array + views["once"][name] for name, array in params.items()}
        return params

    def _backward_task(self, given: set[str], module: Module, sizes: Mapping[str, int], T: int, B: int) -> Task:
        leads = {"inputs": (T, B), "states": (T, B), "state": (B,)}

        def views(arrays: dict[str, Array]) -> Groups:
            return {
                part: {n: module.view(symbol, arrays, sizes, leads.get(part, ())) for n, symbol in symbols.items()}
                for part, symbols in module.ends.items()
            }

        shards, layout = self._shards(module, sizes, T, B), module.layout(sizes)
        seeds = {name: (array, layout.shape(array, T, B)) for name, array in module.seeds.items()}
        shapes = module.backward_shapes(sizes, T, B, {*given, *module.seeds.values()})
        plan = planned(shapes | {"space": (shards.count, layout.space)}, self.dtype)
        cleared = tuple(name for name in shapes if name in module.begins_at_zero)
        return Task(plan, views, module.numbers(sizes, T, B), seeds, shards, cleared)

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
        arrays, _ = self.pool.arrays(plan, lambda arrays: {})
        arrays |= shared
        found = {}
        for name, (before, after) in module.tangents.items():
            whole = arrays.pop(f"{after} and before")
            whole[: B * K] = np.reshape(start[name], (B * K, whole.shape[1])) if name in start else 0
            arrays[before], arrays[after] = whole[: T * B * K], whole[B * K :]
            found[name] = arrays[after].reshape(T, B, K, *module.shape(Symbol(name), sizes))
        numbers = module.numbers(sizes, T, B) | {"K": K, "first": 0, "last": B}
        module.call("pack_tangent", numbers, arrays)
        module.call("tangent", numbers, arrays)
        return found

    def stretch(self, module: Module, run: Run, vectors: Array) -> tuple[Array, Array]:
        """Carry orthonormal directions through a run, and make them orthonormal again, in place, after each step.

        Args:
            module: that ran forward.
            run: of it, onward in time.
            vectors: (B, K, N), directions as rows.

        Returns:
            The stretching at each step, (T, B, K), and the directions.
        """
        orthogonal.prepare(self.dtype.name)
        (B, K, width), T, arrays = vectors.shape, run.steps, dict(run.arrays)
        plan = planned(module.tangent_shapes(run.sizes, 1, B, K, set(arrays)), self.dtype)
        check_fits(plan.total * self.dtype.itemsize, "the tangents need", "take fewer of them at a time")
        own, _ = self.pool.arrays(plan, lambda arrays: {})
        arrays |= own
        for before, after in module.tangents.values():
            whole = arrays.pop(f"{after} and before")
            arrays[before], arrays[after] = whole[: B * K], whole[B * K :]
        arrays["vectors"], arrays["norms"] = vectors.reshape(B * K, width), np.empty((T, B * K), self.dtype)
        arrays["space"] = np.empty(orthogonal.space_size(K, width, self.dtype), self.dtype)
        numbers = module.numbers(run.sizes, T, B) | {"K": K}
        module.call("pack_tangent", numbers, arrays)
        module.call(STRETCHING, numbers, arrays)
        return arrays["norms"].reshape(T, B, K), vectors

    def _task(
        self,
        what: str,
        module: Module,
        sizes: Mapping[str, int],
        T: int,
        B: int,
        make: Callable[[Module, Mapping[str, int], int, int], Task],
    ) -> Task:
        """Return the task of a pass at given sizes, worked out the first time."""
        key = what, module.outputs, tuple(sizes.items()), T, B
        if key not in self._tasks:
            if len(self._tasks) >= REMEMBERED:
                self._tasks.clear()
            self._tasks[key] = make(module, sizes, T, B)
        return self._tasks[key]

    def _shards(self, module: Module, sizes: Mapping[str, int], T: int, B: int) -> Shards:
        return Shards(self.threads, B, T, module.layout(sizes).work)

    def _zero(self, shape: tuple[int, ...]) -> Array:
        """Return zeros that nothing writes to."""
        count = math.prod(shape)
        if self._zeros.size < count:
            self._zeros = np.zeros(count, self.dtype)
        return self._zeros[:count].reshape(shape)


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
