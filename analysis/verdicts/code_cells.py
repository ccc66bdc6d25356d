"""Which cell a forward pass is, and how its arrays hold the cell's parameters: told from values, never from names.

With all blocks of one shape equal, a forward pass doesn't depend on the order of its gates: so the cell is told first,
without any search over orders. There the gradient by each block differs, and says which parameter the block is.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from ...derive.cell import Cell, load, parse, zoo
from ...derive.derivation import Derivation, derive
from ...derive.errors import Error
from ...derive.program import Program, forward_program
from .code_adapter import Array, Calling, Path, Place, is_single, pieces, shape
from .code_edited import Edited, edited
from .code_engine import Engine, Probe
from .code_layout import in_layout, over_time, steps
from .code_reference import reference
from .code_returned import read, values_for
from .code_subject import Subject

READOUTS = {  # how outputs u, targets or gradients y, and a loss stand to each other
    "softmax": "loss_{y} = cross_entropy({u}, {y})",
    "square": "loss_{y} = sum(({u} - {y}) * ({u} - {y}))",
    "linear": "loss_{y} = sum({y} * {u})",
    "probabilities": "p_{y} = softmax({u})\nloss_{y} = sum({y} * p_{y})",
}
Slices = tuple[slice | int, ...]


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
        readout: which of `READOUTS` stands behind the states, "" for none.
    """

    derivation: Derivation
    edit: Edited | None
    blocks: tuple[Block, ...]
    starts: Mapping[str, str]
    results: Mapping[Path, str]
    loss: str = ""
    factor: float = 1.0
    readout: str = ""

    @property
    def cell(self) -> Cell:
        """The cell, as edited."""
        return self.derivation.cell


def identify(subject: Subject, calling: Calling, wanted: Cell | None = None) -> Match | None:
    """Find the cell, or a cell with a single edit, whose states the forward pass gives; None where there is none."""
    cells = [wanted] if wanted is not None else [load(name) for name in zoo()]
    return next((match for told in _readouts(calling) if (match := _identified(subject, told, cells))), None)


def _readouts(calling: Calling) -> Iterator[Calling]:
    """Yield the convention; where there are as many classes as inputs, also with a matrix of inputs for the readout."""
    yield calling
    sizes, roles = calling.sizes, {place.role for place in calling.returned}
    if sizes["m"] == sizes["k"] and roles & {"loss", "outputs", "output"}:
        for index, place in enumerate(calling.given):
            if place.role == "param" and sorted(place.axes) == ["m", "n"]:
                other = replace(place, axes=tuple(axis.replace("m", "k") for axis in place.axes))
                yield replace(calling, given=(*calling.given[:index], other, *calling.given[index + 1 :]))


def _identified(subject: Subject, calling: Calling, cells: list[Cell]) -> Match | None:
    try:
        looks = [_Look(subject, calling, turned, level) for level in (0.0, 0.4) for turned in _turns(calling)]
    except KeyError:  # a parameter of a shape that no cell has
        return None
    counts: Counter[tuple[str, ...]] = Counter()
    counts.update({axes: count for axes, count in looks[0].counts.items() if axes in (("n", "m"), ("n", "n"))})
    near = [cell for cell in cells if not _matrices(cell) - counts and (counts - _matrices(cell)).total() < 2]
    return _first(looks, [(cell, None) for cell in cells]) or _first(
        looks, ((edit.cell, edit) for cell in near for edit in edited(cell))
    )


def _matrices(cell: Cell) -> Counter[tuple[str, ...]]:
    return Counter(shape for shape in cell.params.values() if len(shape) == 2)


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
        self._begun = self._first_step()

    def _fill(self) -> None:
        for place in self.calling.given:
            if place.role == "param":
                self.values[place.name] = np.zeros_like(self.values[place.name])
        for block in self.blocks:
            value = self.common[block.axes]
            bare(self.values, self.calling.place(block.place))[block.at] = value.T if block.turned else value

    def match(self, cell: Cell, edit: Edited | None) -> Match | None:
        """Return how the cell matches, or None."""
        if not self._fits(cell, False):  # with a readout it won't either
            return None
        for whole, loss, readout in _with_readout(cell, self.calling, ("k",) in self.counts):
            if not self._fits(whole, bool(readout)):
                continue
            light = _forward_only(whole)
            params = {name: self.common[shape] for name, shape in whole.params.items()}
            for starts in _assignments([p.name for p in self.calling.given if p.role == "state"], list(whole.states)):
                draft = Match(light, edit, (), starts, {}, loss, 1.0, readout)
                found = self._compare(draft, params)
                if found is not None:
                    complete = self._assigned(replace(found, derivation=derive(whole, losses=[loss] if loss else [])))
                    if complete is not None:
                        return complete
        return None

    def _fits(self, cell: Cell, has_readout: bool) -> bool:
        """Return whether a cell has matrices of the same shapes, and inputs and states as theirs."""
        shapes = Counter(cell.params.values())
        axes = {*shapes, *(s for s in self.counts if has_readout or "k" not in s)}
        if any(len(s) == 2 and shapes[s] != self.counts[s] for s in axes):
            return False
        known = all(shape in self.common for shape in cell.params.values())
        inputs = [s for n, s in cell.inputs.items() if not n.endswith("_y")]
        size = "n" if self.calling.sizes["m"] == self.calling.sizes["n"] else "m"
        return known and inputs == [(size,)] and all(s == ("n",) for s in cell.states.values()) and not cell.indices

    def _first_step(self) -> list[Array]:
        """Return the first sample's states after the first step, as far as they are returned."""
        found = []
        for place in self.calling.returned:
            if place.role == "states" and place.path in self.found:
                rows = over_time(self.found[place.path], place.axes)
                found.append(rows[len(rows) - self.calling.sizes["T"]][0])
        return found

    def _compare(self, draft: Match, params: Mapping[str, Array]) -> Match | None:
        engine = Engine(draft.derivation, self.calling.sizes)
        with np.errstate(all="ignore"):
            probe = probe_of(draft, self.calling, self.values, {}, params)
            [[begun]] = engine.forward(probe.first) if self._begun else [[{}]]
            ours = [begun[name] for name in draft.cell.states] if self._begun else []
            if any(all(np.abs(state - begun).max() > 1e-3 for state in ours) for begun in self._begun):
                return None
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
            if not good and "k" in block.axes and not match.readout:
                continue
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
    cuts: list[list[tuple[slice | int, str]]] = []
    for axis in (axis for axis in place.axes if axis != "1"):
        if axis.isdigit():
            cuts.append([(number, "") for number in range(int(axis))])
            continue
        names = pieces(axis)[::-1] if swapped and "+" in axis else pieces(axis)
        ends = list(itertools.accumulate(sizes[name] for name in names))
        cuts.append([(slice(end - sizes[name], end), name) for end, name in zip(ends, names, strict=True)])
    for chosen in itertools.product(*cuts):
        axes = tuple(name for _, name in chosen if name)
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


def _with_readout(cell: Cell, calling: Calling, biased: bool) -> Iterator[tuple[Cell, str, str]]:
    """Yield the cell, and where there are outputs or a loss, the cell with a readout behind each of its states."""
    roles = {place.role for place in calling.returned}
    kinds = ("softmax", "square") if "loss" in roles else ("linear", "probabilities")
    if roles & {"loss", "outputs", "output"}:
        bare_text = replace(cell, doc="").text
        for state, kind in itertools.product(cell.states, kinds):
            names = {"y": f"{state}_y", "u": f"u_{state}_y"}
            line = f"u_{state}_y = W_{state}y @ {state}" + f" + b_{state}y" * biased
            text = "\n".join([f"{state}_y: input[k]", bare_text, line, READOUTS[kind].format(**names)])
            yield _parsed(text, cell.name), f"loss_{state}_y", kind
    if "loss" not in roles:
        yield cell, "", ""


@cache
def _parsed(text: str, name: str) -> Cell:
    return parse(text, name)


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
            inputs[[n for n in cell.inputs if not n.endswith("_y")][0]] = steps(values[place.name], place.axes)
        elif place.role == "index":
            name = [n for n in cell.inputs if not n.endswith("_y")][0]
            inputs[name] = steps(np.eye(sizes["m"])[np.asarray(values[place.name], int)], (*place.axes, "m"))
    length, batch = next(iter(inputs.values())).shape[:2]
    for name in [n for n in cell.inputs if n.endswith("_y")]:
        inputs[name] = np.zeros((length, batch, sizes["k"]))
        for place, array in _told_to_outputs(calling, values, seeds):
            rows = over_time(array, place.axes)
            if "T" in place.axes:
                inputs[name] += rows
            else:
                inputs[name][-1] += rows
    state = {name: np.zeros((batch, sizes["n"])) for name in cell.states}
    for place in calling.given:
        if place.role == "state":
            state[match.starts[place.name]] = over_time(values[place.name], place.axes)
    if params is None:
        params = {name: np.zeros([sizes[s] for s in shape]) for name, shape in cell.params.items()}
        for block in match.blocks:
            part = bare(values, calling.place(block.place))[block.at]
            params[block.param] = params[block.param] + (part.T if block.turned else part)
    arriving = {name: np.zeros((length, batch, sizes["n"])) for name in cell.states}
    for place in calling.returned:
        if place.path in seeds and place.role in ("states", "final") and place.path in match.results:
            target = arriving[match.results[place.path]]
            rows = over_time(seeds[place.path], place.axes)
            if place.role == "states":
                target += rows[len(rows) - length :]
            else:
                target[-1] += rows
    return Probe(params, inputs, state, arriving)


def _told_to_outputs(
    calling: Calling, values: Mapping[str, Array], seeds: Mapping[Path, Array]
) -> Iterator[tuple[Place, Array]]:
    """Yield targets as rows with a single 1, and the loss's gradient by outputs."""
    for place in calling.given:
        if place.role == "target":
            rows = np.eye(calling.sizes["k"])[np.asarray(values[place.name], int)]
            yield replace(place, axes=(*place.axes, "k")), rows
        elif place.role == "onehot":
            yield place, values[place.name]
    for place in calling.returned:
        if place.path in seeds and place.role in ("outputs", "output"):
            yield place, seeds[place.path]


def agreeing(match: Match, calling: Calling, trace: Any, found: Mapping[Path, Array]) -> Match | None:
    """Return the match with the states that are returned, and the loss's factor, if values agree."""
    if not found:
        return None
    near = 1e-4 if any(is_single(array) for array in found.values()) else 1e-8
    if any(place.role == "loss" for place in calling.returned):
        ours = sum(float(values[match.loss]) for row in trace for values in row)
        theirs = float(next(iter(found.values())))
        length, batch = len(trace), len(trace[0])
        counts = (1, length, batch, length * batch)
        factors = [f / d / c for d in counts for f in (1.0, 0.5) for c in (1, calling.sizes["k"])]
        factor = next((f for f in factors if abs(f * ours - theirs) < near * (1 + abs(theirs))), None)
        return replace(match, factor=factor) if factor else None
    states = {n: np.array([[v[n] for v in row] for row in trace]) for n in match.cell.states}
    ends = [n for n in trace[0][0] if n.startswith("p_" if match.readout == "probabilities" else "u_")]
    outputs = {n: np.array([[v[n] for v in row] for row in trace]) for n in ends if n.endswith("_y")}
    results: dict[Path, str] = {}
    for place in calling.returned:
        if not match.readout and place.role in ("outputs", "output"):
            continue
        given = over_time(found[place.path], place.axes)
        for name, array in (outputs if place.role in ("outputs", "output") else states).items():
            if place.role == "states":
                given = given[-len(array) :]
            here = array if place.role in ("states", "outputs") else array[-1]
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
            name = next(name for name in found["inputs"] if not name.endswith("_y"))
            gradients[place.name] = in_layout(found["inputs"][name], place)
        elif place.role == "state":
            gradients[place.name] = in_layout(found["state"][match.starts[place.name]], place)
        elif place.role == "param":
            gradients[place.name] = np.zeros(shape(place, calling.sizes))
    for block in match.blocks:
        value: Array = np.asarray(found["params"][block.param])
        bare(gradients, calling.place(block.place))[block.at] = value.T if block.turned else value
    return {name: match.factor * gradient for name, gradient in gradients.items()}
