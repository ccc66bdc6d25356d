"""What a forward and a backward pass leave behind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .given import Array


class Views(Mapping[str, Array]):
    """Named arrays that are looked up when they are asked for."""

    def __init__(self, names: Collection[str], look_up: Callable[[str], Array]) -> None:
        self._names = names
        self._look_up = look_up

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(name)
        return self._look_up(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(eq=False)
class Extent:
    """How far passes go, with what is worked out for them once.

    Attributes:
        sizes: dimension -> size.
        steps, batch: T and B.
        fitting: passes that were found to fit into memory.
        reached: shapes of cotangents -> the module of their backward pass.
        tasks: passes that were laid out.
    """

    sizes: Mapping[str, int]
    steps: int
    batch: int
    fitting: set[Any] = field(default_factory=set, repr=False)
    reached: dict[Any, Any] = field(default_factory=dict, repr=False)
    tasks: dict[Any, Any] = field(default_factory=dict, repr=False)


@dataclass  # not frozen: that would take a microsecond of each pass
class Run:
    """What a forward pass leaves: every named value at every step.

    Attributes:
        sizes: dimension -> size.
        steps, batch: T and B.
        arrays: generated name -> array; a `_prev` array and its state share memory.
        states: state -> (T, B, *shape), the value after each step; past a sequence's length, that after its last.
        values: any named value -> (T, B, *shape). Views: values that share a matrix product lie side by side.
        reverse: whether time ran backwards.
        nbytes: of memory that the run holds, beside parameters and inputs.
        segments: where only some states were kept, what it takes to run again: states and values are then computed
            again each time that they are looked up.
    """

    sizes: Mapping[str, int]
    steps: int
    batch: int
    arrays: dict[str, Array] = field(repr=False)
    states: Mapping[str, Array]
    values: Mapping[str, Array]
    reverse: bool = False
    nbytes: int = 0
    segments: Any = field(default=None, repr=False)


@dataclass
class Gradients:
    """What a backward pass gives.

    Attributes:
        params: parameter -> array of its shape, summed over steps and samples.
        inputs: input -> (T, B, *shape).
        state: state -> (B, *shape), of the initial state.
        states: state -> (T, B, *shape), dL/ds_t with s_t as the loss and step t+1 read it; computed again each time
            that it is looked up, where the run kept only some states.
    """

    params: Mapping[str, Array]
    inputs: Mapping[str, Array]
    state: Mapping[str, Array]
    states: Mapping[str, Array]
