"""Which cell a forward pass is, and how its arrays hold the cell's parameters: told from values, never from names.

With all blocks of one shape equal, a forward pass doesn't depend on the order of its gates: so the cell is told first,
without any search over orders. There the gradient by each block differs, and says which parameter the block is.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...derive.cell import Cell, load, parse, zoo
from ...derive.derivation import Derivation, derive
from ...derive.errors import Error
from ...derive.program import Program, forward_program
from .code_adapter import Array, Calling, Path, Place, is_single, pieces, shape
from .code_edited import Edited, edited
from .code_engine import Engine, Probe
from .code_forward import read, values_for
from .code_layout import in_layout, over_time
from .code_reference import reference
from .code_subject import Subject

READOUT = (
    "\n{state}_y: input[k]\nu_{state}_y = W_{state}y @ {state} + b_{state}y\nloss_{state}_y = cross_entropy({lo}, {t})"
)
Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Block:
    """A piece of one of their arrays that is a parameter of the cell.

    Attributes:
        place: name of the array.
        at: slices in the array without its axes of length 1.
        axes: the piece's, in named sizes.
        turned: whether it is the parameter's transpose.
        param: which parameter, "" while unknown.
    """

    place: str
    at: Slices
    axes: tuple[str, ...]
    turned: bool
    param: str = ""


@dataclass(frozen=True)
class Match:
    """A cell that the forward pass agrees with.

    Attributes:
        derivation: of the cell.
        edit: what is different from the cell of that name, if anything is.
        blocks: their arrays' pieces.
        starts: name of an initial state of theirs -> state.
        results: place in what is returned -> state.
        loss: name of the loss in the cell, "" where loss gradients come from outside.
        factor: of their loss to the sum over steps and samples.
    """

    derivation: Derivation
    edit: Edited | None
    blocks: tuple[Block, ...]
    starts: Mapping[str, str]
    results: Mapping[Path, str]
    loss: str = ""
    factor: float = 1.0

    @property
    def cell(self) -> Cell:
        """The cell, as edited."""
        return self.derivation.cell


def identify(subject: Subject, calling: Calling, wanted: Cell | None = None) -> Match | None:
    """Find the cell, or a cell with a single edit, whose states the forward pass gives; None where there is none."""
    cells = [wanted] if wanted is not None else [load(name) for name in zoo()]
    looks = [_Look(subject, calling, turned, level) for level in (0.0, 0.4) for turned in _turns(calling)]
    matrices = sum(count for axes, count in looks[0].counts.items() if axes in (("n", "m"), ("n", "n")))
    near = [cell for cell in cells if abs(sum(len(s) == 2 for s in cell.params.values()) - matrices) < 2]
    return _first(looks, [(cell, None) for cell in cells]) or _first(
        looks, ((edit.cell, edit) for cell in near for edit in edited(cell))
    )


def _first(looks: list[_Look], cells: Iterable[tuple[Cell, Edited | None]]) -> Match | None:
    for cell, edit in cells:
        for look in looks:
            try:
                match = look.match(cell, edit)
            except (Error, FloatingPointError, ValueError, KeyError, TypeError):
                continue
            if match is not None:
                return match
    return None


def _turns(calling: Calling) -> list[tuple[bool, bool]]:
    """Return (whether square matrices multiply from the right, whether n stands second in n+m) to be tried."""
    rows = [p for p in calling.given if p.role == "param" and len(p.axes) == 2 and "m" in pieces(p.axes[0])]
    stacked = any("+" in axis for place in calling.given for axis in place.axes)
    square = [True, False] if rows else [False, True]
    return [(turned, swapped) for turned in square for swapped in ((False, True) if stacked else (False,))]


class _Look:
    """Their forward pass at the point where all blocks of one shape are equal, in one way of taking arrays apart."""

    def __init__(self, subject: Subject, calling: Calling, turned: tuple[bool, bool], level: float) -> None:
        self.subject, self.calling = subject, calling
        self.blocks = [block for place in calling.given for block in split(place, *turned, calling.sizes)]
        rng = np.random.default_rng(5)
        n, m, k = (calling.sizes[name] for name in "nmk")
        self.common: dict[tuple[str, ...], Array] = {
            ("n", "m"): 0.5 * rng.standard_normal((n, m)),
            ("n", "n"): 0.5 * rng.standard_normal((n, n)),
        }
        self.common |= {("k", "n"): rng.standard_normal((k, n)), ("k",): rng.standard_normal(k)}
        self.common |= {("n",): level * rng.standard_normal(n)}
        self.counts = Counter(block.axes for block in self.blocks)
        self.values = values_for(calling, 3)
        self._fill()
        self._right: Mapping[str, Array] | None = None
        try:
            self.found = read(subject.run(calling, self.values)[0], calling)
        except Exception:
            self.found = {}

    def _fill(self) -> None:
        for place in self.calling.given:
            if place.role == "param":
                self.values[place.name] = np.zeros_like(self.values[place.name])
        for block in self.blocks:
            value = self.common[block.axes]
            bare(self.values, self.calling.place(block.place))[block.at] = value.T if block.turned else value

    def match(self, cell: Cell, edit: Edited | None) -> Match | None:
        """Return how the cell matches, or None."""
        for whole, loss in _with_loss(cell, self.calling):
            if not self._fits(whole):
                continue
            shapes = Counter(whole.params.values())
            if any(len(s) == 2 and shapes[s] != self.counts[s] for s in {*shapes, *self.counts}):
                continue
            light = _forward_only(whole)
            params = {name: self.common[shape] for name, shape in whole.params.items()}
            for starts in _assignments([p.name for p in self.calling.given if p.role == "state"], list(whole.states)):
                draft = Match(light, edit, (), starts, {}, loss)
                found = self._compare(draft, params)
                if found is not None:
                    complete = self._assigned(replace(found, derivation=derive(whole, losses=[loss] if loss else [])))
                    if complete is not None:
                        return complete
        return None

    def _fits(self, cell: Cell) -> bool:
        known = all(shape in self.common for shape in cell.params.values())
        inputs = [s for n, s in cell.inputs.items() if not n.endswith("_y")]
        return known and inputs == [("m",)] and all(s == ("n",) for s in cell.states.values()) and not cell.indices

    def _compare(self, draft: Match, params: Mapping[str, Array]) -> Match | None:
        engine = Engine(draft.derivation, self.calling.sizes)
        with np.errstate(all="ignore"):
            probe = probe_of(draft, self.calling, self.values, {}, params)
            return agreeing(draft, self.calling, engine.forward(probe), self.found)

    def _assigned(self, match: Match) -> Match | None:
        """Say which parameter each block is, from the gradients at this point, and check that at another point."""
        engine = Engine(match.derivation, self.calling.sizes)
        rng = np.random.default_rng(9)
        losses = [p.path for p in self.calling.returned if p.role == "loss"]
        seeds = {path: rng.standard_normal(array.shape) for path, array in self.found.items()}
        seeds |= {path: np.asarray(1.0) for path in losses}
        params = {name: self.common[shape] for name, shape in match.cell.params.items()}
        with np.errstate(all="ignore"):
            probe = probe_of(match, self.calling, self.values, seeds, params)
            ours = engine.backward(probe, engine.forward(probe))["params"]
            if self._right is None:
                self._right = reference(self.subject, self.calling, self.values, seeds).gradients
        single = any(is_single(array) for array in self.found.values())
        tolerance = 3e-2 if single else 1e-5
        blocks: list[Block] = []
        for block in self.blocks:
            theirs = bare(self._right, self.calling.place(block.place))[block.at]
            theirs = (theirs.T if block.turned else theirs) / match.factor
            near = {
                name: float(np.abs(ours[name] - theirs).max() / (1e-9 + np.abs(theirs).max()))
                for name, shape in match.cell.params.items()
                if shape == block.axes
            }
            good = [name for name, error in near.items() if error < tolerance]
            used = [other.param for other in blocks]
            if not good:
                return None
            blocks.append(
                replace(block, param=min(good, key=lambda name: (used.count(name), near[name] > tolerance / 100)))
            )
        match = replace(match, blocks=tuple(blocks))
        values = values_for(self.calling, 21)
        found = read(self.subject.run(self.calling, values)[0], self.calling)
        probe = probe_of(match, self.calling, values, {})
        return match if agreeing(match, self.calling, engine.forward(probe), found) is not None else None


def split(place: Place, turned: bool, swapped: bool, sizes: Mapping[str, int]) -> Iterator[Block]:
    """Yield the pieces of a parameter's array."""
    if place.role != "param":
        return
    cuts: list[list[tuple[slice, str]]] = []
    for axis in (axis for axis in place.axes if axis != "1"):
        names = pieces(axis)[::-1] if swapped and "+" in axis else pieces(axis)
        ends = list(itertools.accumulate(sizes[name] for name in names))
        cuts.append([(slice(end - sizes[name], end), name) for end, name in zip(ends, names, strict=True)])
    for chosen in itertools.product(*cuts):
        axes = tuple(name for _, name in chosen)
        flip = axes in (("m", "n"), ("n", "k")) or axes == ("n", "n") and turned
        yield Block(place.name, tuple(cut for cut, _ in chosen), axes[::-1] if flip else axes, flip)


def bare(values: Mapping[str, Array], place: Place) -> Array:
    """Return a view of an array without its axes of length 1."""
    array = values[place.name]
    keep = [slice(None) if axis != "1" else 0 for axis in place.axes]
    return array[tuple(keep)]


def _assignments(names: list[str], states: list[str]) -> Iterator[dict[str, str]]:
    for chosen in itertools.permutations(states, len(names)):
        yield dict(zip(names, chosen, strict=True))


def _with_loss(cell: Cell, calling: Calling) -> Iterator[tuple[Cell, str]]:
    """Yield the cell, or where a loss is inside, the cell with a readout and a softmax behind each of its states."""
    if not any(place.role == "loss" for place in calling.returned):
        yield cell, ""
        return
    for state in cell.states:
        lines = READOUT.format(state=state, lo=f"u_{state}_y", t=f"{state}_y").splitlines()
        bare_text = replace(cell, doc="").text
        yield parse("\n".join([lines[1], bare_text, *lines[2:]]), cell.name), f"loss_{state}_y"


def _forward_only(cell: Cell) -> Derivation:
    program = forward_program(cell)
    nothing = Program((), (), (), program.shapes)
    return Derivation(cell, nothing, program, nothing, nothing)


def probe_of(
    match: Match,
    calling: Calling,
    values: Mapping[str, Array],
    seeds: Mapping[Path, Array],
    params: Mapping[str, Array] | None = None,
) -> Probe:
    """Return their numbers as the cell's."""
    cell, sizes = match.cell, calling.sizes
    inputs: dict[str, Array] = {}
    for place in calling.given:
        if place.role == "input":
            inputs[[n for n in cell.inputs if not n.endswith("_y")][0]] = over_time(values[place.name], place.axes)
        elif place.role in ("index", "target"):
            name = [n for n in cell.inputs if n.endswith("_y") == (place.role == "target")][0]
            rows = np.eye(sizes["m" if place.role == "index" else "k"])[np.asarray(values[place.name], int)]
            inputs[name] = rows[:, None]
    steps, batch = next(iter(inputs.values())).shape[:2]
    state = {name: np.zeros((batch, sizes["n"])) for name in cell.states}
    for place in calling.given:
        if place.role == "state":
            state[match.starts[place.name]] = over_time(values[place.name], place.axes)
    if params is None:
        params = {name: np.zeros([sizes[s] for s in shape]) for name, shape in cell.params.items()}
        for block in match.blocks:
            part = bare(values, calling.place(block.place))[block.at]
            params[block.param] = params[block.param] + (part.T if block.turned else part)
    arriving = {name: np.zeros((steps, batch, sizes["n"])) for name in cell.states}
    for place in calling.returned:
        if place.path in seeds and place.path in match.results:
            target = arriving[match.results[place.path]]
            rows = over_time(seeds[place.path], place.axes)
            if place.role == "states":
                target += rows
            else:
                target[-1] += rows
    return Probe(params, inputs, state, arriving)


def agreeing(match: Match, calling: Calling, trace: Any, found: Mapping[Path, Array]) -> Match | None:
    """Return the match with the states that are returned, and the loss's factor, if values agree."""
    if not found:
        return None
    near = 1e-4 if any(is_single(array) for array in found.values()) else 1e-8
    if match.loss:
        ours = sum(float(values[match.loss]) for row in trace for values in row)
        theirs = float(next(iter(found.values())))
        steps, batch = len(trace), len(trace[0])
        factors = (1.0, 1 / steps, 1 / batch, 1 / (steps * batch))
        factor = next((f for f in factors if abs(f * ours - theirs) < near * (1 + abs(theirs))), None)
        return replace(match, factor=factor) if factor else None
    states = {n: np.array([[v[n] for v in row] for row in trace]) for n in match.cell.states}
    results: dict[Path, str] = {}
    for place in calling.returned:
        given = over_time(found[place.path], place.axes)
        for name, array in states.items():
            here = array if place.role == "states" else array[-1]
            if here.shape == given.shape and np.abs(here - given).max() < near * (1 + np.abs(given).max()):
                results[place.path] = name
                break
        else:
            return None
    return replace(match, results=results)


def in_their_layout(match: Match, calling: Calling, found: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
    """Return the cell's gradients as gradients by their arrays."""
    gradients: dict[str, Array] = {}
    for place in calling.given:
        if place.role == "input":
            gradients[place.name] = in_layout(next(iter(found["inputs"].values())), place)
        elif place.role == "state":
            gradients[place.name] = in_layout(found["state"][match.starts[place.name]], place)
        elif place.role == "param":
            gradients[place.name] = np.zeros(shape(place, calling.sizes))
    for block in match.blocks:
        value: Array = np.asarray(found["params"][block.param])
        bare(gradients, calling.place(block.place))[block.at] = value.T if block.turned else value
    return {name: match.factor * gradient for name, gradient in gradients.items()}
