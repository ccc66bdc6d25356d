"""`Plan`: what a module in another framework's terms is made of, and what its sizes and names are called there."""

from __future__ import annotations

import keyword
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from sympy import Symbol

from ..derive.model import Model
from ..derive.model_text import PARAM
from ..derive.sizes import size_from
from .parts import Part, carried, parts

IN_STEP = {"torch", "jax", "jnp", "params", "inputs", "states", "like", "next", "iter"} | set(keyword.kwlist)
IN_RUN = IN_STEP | {
    "self",
    "dtype",
    "B",
    "values",
    "zeros",
    "key",
    "keys",
    "over_time",
    "name",
    "array",
    "dict",
    "super",
}


@dataclass(frozen=True)
class Plan:
    """What is written.

    Attributes:
        model: as which it is written.
        is_cell: whether it is a cell alone.
    """

    model: Model
    is_cell: bool

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        return parts(self.model)

    @property
    def steps(self) -> list[Part]:
        """What predicts."""
        return [part for part in self.parts if not part.is_loss]

    @property
    def terms(self) -> list[Part]:
        """What is added to the loss."""
        return [part for part in self.parts if part.is_loss]

    @cached_property
    def read(self) -> dict[str, str]:
        """Input or index that a prediction needs -> its axis of time, "" for none."""
        return carried(self.model, self.steps)

    @cached_property
    def asked(self) -> dict[str, str]:
        """The same of the loss, the targets last."""
        return self.read | carried(self.model, self.parts)

    @property
    def free(self) -> dict[str, tuple[str, ...]]:
        """State whose first value can be given -> its shape."""
        blocks = self.model.blocks
        return {n: b.cell.states[n] for b in blocks for n, wire in b.starts.items() if wire is None}

    @property
    def stretching(self) -> dict[str, tuple[str, ...]]:
        """Those of them that have an entry for each step of a loop."""
        axes = set(self.model.axes)
        return {name: shape for name, shape in self.free.items() if not axes.isdisjoint(symbols([shape]))}

    @property
    def sizes(self) -> dict[str, str]:
        """Dimension of a parameter or of a state that can be given, those of inputs first -> what it is called."""
        plain = [n for shape in self.model.inputs.values() for n in shape]
        plain += [dims[-1] for dims in self.model.indices.values()]
        fixed = [shape for name, shape in self.free.items() if name not in self.stretching]
        needed = [*symbols([*fixed, *self.model.params.values()])]
        return {n: free_name(n) for n in dict.fromkeys([*(n for n in plain if n in needed), *needed])}

    def length(self, size: str) -> str:
        """Return what a size is called, the number of steps among them."""
        return free_name(size) if size.isidentifier() else "steps"

    def known(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return dimension -> where its size is read: from a parameter or an input, given with its axis of time."""
        arrays = [(f'params["{name}"]', shape) for name, shape in self.model.params.items()]
        for name, axis in given.items():
            shape = self.model.shapes[Symbol(name)]
            arrays.append((f'inputs["{name}"]', (*(axis,) * bool(axis), "", *map(str, shape))))
        found: dict[str, str] = {}
        for array, lengths in arrays:
            for place, length in enumerate(lengths):
                found.setdefault(length, f"{array}.shape[{place}]")
        return found

    def leads(self, some: Iterable[Part], given: Mapping[str, str]) -> dict[str, str]:
        """Return what says how many samples and steps there are, "" where no input does.

        Args:
            some: parts that run.
            given: inputs -> their axes of time.
        """
        some, known = list(some), self.known(given)
        asked = [part.axis for part in some if part.axis] + [size for part in some for size in part.sizes]
        found = {self.length(size): known.get(size, "") for size in asked}
        batch = next((f'inputs["{name}"].shape[{1 if axis else 0}]' for name, axis in given.items()), "")
        if not batch and self.free and not self.terms:
            batch = "next(iter(states.values())).shape[0]"
        starts = [part.block.starts[state] for part in some for state in part.cell.states]
        wanted = any(part.is_still for part in some) or any(wire is None or wire.part == PARAM for wire in starts)
        return ({"B": batch} if wanted else {}) | found


def symbols(shapes: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Give the names of the dimensions in shapes."""
    for shape in shapes:
        for length in shape:
            yield from sorted(symbol.name for symbol in size_from(length).atoms(Symbol))


def free_name(name: str, taken: Container[str] = IN_RUN) -> str:
    return f"{name}_" if name in taken else name


def spelled_shape(shape: Iterable[str]) -> str:
    """Return a shape as a tuple, its dimensions as they are called."""
    lengths = [spelled_size(length) for length in shape]
    return f"({', '.join(lengths)}{',' * (len(lengths) == 1)})"


def spelled_size(length: str) -> str:
    size = size_from(length)
    return str(size.xreplace({s: Symbol(free_name(s.name), integer=True, positive=True) for s in size.atoms(Symbol)}))
