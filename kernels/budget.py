"""`Budget`: the memory that a forward and a backward pass take, worked out before either runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import room
from .memory import planned
from .module import Module
from .room import check_fits, spelt

Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Budget:
    """Bytes that a run takes beside parameters, inputs and cotangents. Printed, it is a table.

    Attributes:
        steps, batch: T and B.
        keep: steps whose values are kept at a time, from the states before them; None where all are.
        held: by the run, until its gradients are taken.
        forward: at most while the forward pass runs, with what is held.
        backward: at most while the backward pass runs, with what is held and the gradients.
    """

    steps: int
    batch: int
    keep: int | None
    held: int
    forward: int
    backward: int

    @property
    def most(self) -> int:
        """At any time."""
        return max(self.forward, self.backward)

    def __str__(self) -> str:
        kept = "every value of every step" if self.keep is None else f"the states before every {_nth(self.keep)} step"
        lines = [
            ("kept from forward to backward", self.held, f"  {kept}"),
            ("at most in the forward pass", self.forward, ""),
            ("at most in the backward pass", self.backward, "  with the gradients"),
        ]
        title = f"Memory for T = {self.steps}, B = {self.batch}, beside parameters, inputs and cotangents"
        return "\n".join([title, *(f"    {text:<30}{spelt(many):>12}{more}" for text, many, more in lines)])


def budget(module: Module, sizes: Sizes, steps: int, batch: int, keep: int | None, threads: int) -> Budget:
    """Return the memory that a module's passes take.

    Args:
        module: whose gradients come from its outputs.
        sizes: dimension -> size.
        steps, batch: T and B.
        keep: as in `Kernel.forward`.
        threads: that have a workspace each.
    """
    width = module.dtype.itemsize
    cell = module.schedule.derivation.cell
    many = steps if keep is None else min(keep, steps)
    made = module.forward_shapes(sizes, many, batch)
    states = [name for pair in module.states.values() for name in pair]
    given = [module.own[name] for name in (*cell.params, *cell.inputs, *cell.indices)]
    known = {*made, *states, *given, *module.seeds.values(), "active"}
    back = module.backward_shapes(sizes, many, batch, known)
    values = planned(made, module.dtype).total
    adjoints = planned(back, module.dtype).total + threads * module.layout(sizes).space
    start = sum(module.layout(sizes).shape(after, 1, batch)[1] for _, after in module.states.values()) * batch
    if keep is None:
        adjoints += module.layout(sizes).steps(steps, batch) * start  # zeros, where no gradient comes from outside
        return Budget(steps, batch, None, width * values, width * values, width * (values + adjoints))
    held = (1 + len(bounds(steps, keep))) * start
    entering = sum(module.layout(sizes).shape(module.own[name], steps, batch)[1] for name in cell.inputs)
    adjoints += many * start  # what comes from outside and from the steps behind
    results = steps * batch * entering + 2 * sum(_count(module, sizes, name) for name in cell.params)
    forward = held + values
    return Budget(steps, batch, keep, width * held, width * forward, width * (forward + adjoints + results))


def bounds(steps: int, keep: int) -> list[tuple[int, int]]:
    """Return the first step of each segment of `keep` steps, and the step behind its last.

    >>> bounds(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(first, min(first + keep, steps)) for first in range(0, steps, keep)]


def _count(module: Module, sizes: Sizes, param: str) -> int:
    rows, width = module.layout(sizes).shape(module.own[param], 0, 0)
    return rows * width


def check(taken: Budget, what: str, kept: Callable[[int], Budget]) -> None:
    """Refuse a pass that doesn't fit into the memory that is free.

    Args:
        taken: by the pass.
        what: "forward" or "backward".
        kept: keep -> the memory that both passes take then.

    Raises:
        Error: with the bytes that are needed, and the keep= that would fit.
    """

    def advice() -> str:
        tried = (kept(2**power) for power in reversed(range(max(1, taken.steps).bit_length())))
        for one in tried:
            if one.keep != taken.keep and one.most <= (room.free_bytes() or 0):
                return f"forward(..., keep={one.keep}) needs {spelt(one.most)}, for both passes"
        return "take a smaller batch or fewer steps"

    needed = taken.forward if what == "forward" else taken.backward
    check_fits(needed, f"the {what} pass over T = {taken.steps}, B = {taken.batch} needs", advice)


def _nth(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number}{ending}"
