"""Right values of everything that a backward pass may speak of, on probes that bite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath
import numpy as np
from sympy import Expr, Symbol

from ...derive.adjoint import adjoint_program, delta, incoming
from ...derive.arithmetic import apply_float, apply_mpmath
from ...derive.cell import Cell, previous
from ...derive.errors import Error
from ...derive.functions import Elementwise
from ...derive.interpret import evaluate, size
from ...derive.program import Program, Step, forward_program
from ...derive.proof import small_sizes
from ...derive.sizes import size_from
from .arithmetic import Array

STEPS = 4
SEQUENCES = 3
MOST_SEQUENCES = 40
DIGITS = 50
LOSSES = ("cross_entropy", "squared_error", "logistic_loss")


@dataclass(frozen=True)
class Subject:
    """A cell with its forward and backward step, on which somebody's backward pass is judged.

    Attributes:
        cell: the equations.
        forward: one step; a program without a prologue.
        backward: one step back; reads `incoming_<seed>` for every seed.
        seeds: states, and values that something outside the cell reads.
        sizes: small and pairwise different.
        losses: seeds that are a term of the loss themselves: ∂L/∂loss is 1.
    """

    cell: Cell
    forward: Program
    backward: Program
    seeds: tuple[str, ...]
    sizes: Mapping[str, int]
    losses: tuple[str, ...] = ()

    @property
    def last(self) -> tuple[str, ...]:
        """The seeds that no other value of the same step reads: those on which a loss depends at the least."""
        read = {symbol.name for step in self.forward.steps for symbol in step.reads}
        return tuple(name for name in self.seeds if name not in read)


@cache
def subject_of(cell: str, name: str) -> Subject:
    """Return the subject of a cell's text; made once."""
    from ...derive.cell import parse

    return _subject(parse(cell, name))


def subject(cell: Cell) -> Subject:
    """Derive a cell's backward step with everything that a hand-derived one may ask for."""
    return subject_of(cell.text, cell.name)


def _subject(cell: Cell) -> Subject:
    forward = forward_program(cell)
    read = {symbol for step in forward.steps for symbol in step.reads}
    loose = [line.target for line in cell.equations if line.target not in read and line.target.name not in cell.states]
    seeds = (*cell.states, *(symbol.name for symbol in loose))
    wanted = (*map(previous, cell.states), *map(Symbol, cell.inputs), *map(Symbol, cell.params))
    backward = adjoint_program(forward, map(Symbol, seeds), wanted)
    losses = tuple(str(step.target) for step in forward.steps if step.expr.func.__name__ in LOSSES)
    return Subject(cell, forward, backward, seeds, small_sizes(cell), tuple(n for n in losses if n in seeds))


@dataclass(frozen=True)
class Record:
    """Values of one sequence: steps 0 to T+1 of the forward pass; adjoints with the loss on steps 1 to T.

    Attributes:
        forward: name -> (T+2, *shape). Step 0 comes before the first that the loss reads, so that values at t−1 exist.
        adjoint: name -> (T+2, *shape) of the total adjoints; for parameters, one step's share.
        loss: seed -> (T+2, *shape), ∂L_t/∂seed_t.
        carry: state -> (T+2, *shape), what step t+1 sends back.
        sides: (line, function, side) of everything with a kink that was reached.
    again: gives the record with a loss that doesn't depend on some seeds.
    """

    forward: Mapping[str, Array]
    adjoint: Mapping[str, Array]
    loss: Mapping[str, Array]
    carry: Mapping[str, Array]
    sides: frozenset[tuple[str, str, bool]]
    again: Callable[[set[str]], Record]


Draw = Callable[[tuple[int, ...]], Array]


def shape_in(step_shape: tuple[Expr, ...], sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(size(part, sizes) for part in step_shape)


def drawn(of: Subject, draw: Draw) -> dict[str, Array]:
    """Draw parameters, one input a step, states before step 0, and the loss's gradients."""
    cell, given = of.cell, {}
    for name in cell.params:
        given[name] = draw(shape_in(cell.shapes[Symbol(name)], of.sizes))
    for name in cell.inputs:
        shape = shape_in(cell.shapes[Symbol(name)], of.sizes)
        given[name] = np.stack([draw(shape) for _ in range(STEPS + 2)])
    for name, entries in cell.indices.items():
        given[name] = np.array([_whole(draw(()), size(size_from(entries), of.sizes)) for _ in range(STEPS + 2)])
    for name in cell.states:
        given[f"{name}_prev"] = draw(shape_in(cell.shapes[Symbol(name)], of.sizes))
    for name in of.seeds:
        shape = shape_in(of.forward.shapes[Symbol(name)], of.sizes)
        zero = draw(shape) * 0
        steps = (zero + 1 if name in of.losses else draw(shape) for _ in range(STEPS))
        given[f"loss_{name}"] = np.stack([zero, *steps, zero])
    return given


def _whole(drawn: Array, below: int) -> int:
    """Return a whole number from a random one."""
    value = getattr(drawn.item(), "value", drawn.item())
    return int(value * 1e9 if isinstance(value, float) else value) % below


def record(of: Subject, given: Mapping[str, Array], apply: Callable[..., Any], one: Any = 1.0) -> Record:
    """Run a sequence forwards and backwards with the derived programs."""
    cell = of.cell
    sides: set[tuple[str, str, bool]] = set()
    params = {Symbol(name): given[name] for name in cell.params}
    trace: list[dict[Symbol, Array]] = []
    now = {name: given[f"{name}_prev"] for name in cell.states}

    def one_step(step: Step, known: Mapping[Symbol, Array]) -> Array:
        def noted(function: Any, *entries: Any) -> Any:
            if isinstance(function, type) and issubclass(function, Elementwise) and function.rule.kink:
                side = entries[0] > (entries[1] if len(entries) > 1 else 0) if hasattr(entries[0], "real") else False
                sides.add((step.target.name, function.rule.name, bool(side)))
            return apply(function, *entries)

        value = np.asarray(evaluate(step.expr, known, of.sizes, noted, one), dtype=type(one))
        return np.broadcast_to(value, shape_in(shape_of_step(step), of.sizes))

    def shape_of_step(step: Step) -> tuple[Expr, ...]:
        return tuple((of.backward if step.target not in of.forward.shapes else of.forward).shapes[step.target])

    for t in range(STEPS + 2):
        known = (
            params
            | {Symbol(n): given[n][t] for n in (*cell.inputs, *cell.indices)}
            | {previous(n): now[n] for n in cell.states}
        )
        for step in of.forward.steps:
            known[step.target] = one_step(step, known)
        trace.append(known)
        now = {name: known[Symbol(name)] for name in cell.states}
    adjoints: list[dict[str, Array]] = [{} for _ in trace]
    carry: dict[str, list[Array]] = {name: [] for name in cell.states}
    back: dict[str, Any] = {name: 0 * now[name] for name in cell.states}
    for t in reversed(range(STEPS + 2)):
        known = dict(trace[t])
        for name in cell.states:
            carry[name].insert(0, np.asarray(back[name]))
        for name in of.seeds:
            known[incoming(Symbol(name))] = given[f"loss_{name}"][t] + back.get(name, 0 * one)
        if t == 0:  # the loss is a function of the states after step 0: nothing of that step is counted
            adjoints[0] = {name: 0 * array for name, array in adjoints[1].items()}
            adjoints[0] |= {name: np.asarray(back[name]) for name in cell.states}
            continue
        for step in of.backward.steps:
            known[step.target] = one_step(step, known)
            adjoints[t][step.target.name.removeprefix("delta_")] = known[step.target]
        back = {name: known[delta(previous(name))] for name in cell.states}
    forward = {s.name: np.stack([known[s] for known in trace]) for s in trace[0]}
    for name, entries in cell.indices.items():
        picked = np.arange(size(size_from(entries), of.sizes)) == forward[name][:, None]
        forward[name] = np.where(picked, one, 0 * one)
    total = {name: np.stack([found[name] for found in adjoints]) for name in adjoints[1]}
    return Record(
        forward,
        total,
        {name: given[f"loss_{name}"] for name in of.seeds},
        {name: np.stack(arrays) for name, arrays in carry.items()},
        frozenset(sides),
        lambda silent: record(
            of,
            {n: a * 0 if n.removeprefix("loss_") in silent and n[:5] == "loss_" else a for n, a in given.items()},
            apply,
            one,
        ),
    )


def without(of: Subject, found: Record, silent: set[str]) -> Record:
    """Return a record with a loss that doesn't depend on some seeds."""
    return found.again(silent)


@dataclass(frozen=True)
class Probes:
    """Sequences of probes with their right values, in float64.

    Attributes:
        subject: whose they are.
        records: one per sequence.
        agreement: relative difference between the derived directional derivative and one at 50 digits.
        condition: of that derivative, as a sum: Σ|terms| / |Σ terms|.
        missed: (line, function) of which only one side of the kink was reached.
    """

    subject: Subject
    records: tuple[Record, ...]
    agreement: float
    condition: float
    missed: tuple[tuple[str, str], ...]


@cache
def _cached_probes(text: str, name: str, first: int) -> Probes:
    of = subject_of(text, name)
    kept: list[Record] = []
    seen: set[tuple[str, str, bool]] = set()
    agreement = condition = 0.0
    for seed in range(first, first + MOST_SEQUENCES):
        random = np.random.default_rng(seed)
        low = -1.0 if seed < first + MOST_SEQUENCES // 2 else 0.2
        given = drawn(of, lambda shape: np.asarray(random.uniform(low, 1.0, shape)))  # noqa: B023 - called at once
        with np.errstate(all="ignore"):  # what isn't finite isn't used
            found = record(of, given, apply_float)
        if not _is_usable(found):
            continue
        if len(kept) < SEQUENCES or found.sides - seen:
            if not kept:
                agreement, condition = _agreement(of, given, found)
            kept.append(found)
            seen |= found.sides
        if len(kept) >= SEQUENCES and not _one_sided(seen):
            break
    if not kept:
        raise Error(f"{of.cell.name}: its forward pass gives no finite numbers at {MOST_SEQUENCES} random draws")
    return Probes(of, tuple(kept), agreement, condition, tuple(sorted(_one_sided(seen))))


def probes(of: Subject, first: int = 0) -> Probes:
    """Choose sequences: weights of order 1, states that don't start at 0, T = 4, both sides of every kink.

    Args:
        of: the cell's.
        first: seed; other seeds give fresh probes.

    Raises:
        Error: where no draw gives finite numbers.
    """
    return _cached_probes(of.cell.text, of.cell.name, first)


def _one_sided(seen: set[tuple[str, str, bool]]) -> set[tuple[str, str]]:
    return {(line, function) for line, function, side in seen if (line, function, not side) not in seen}


def _is_usable(found: Record) -> bool:
    arrays = [*found.forward.values(), *found.adjoint.values()]
    return all(np.isfinite(array).all() and np.abs(array).max(initial=0) < 1e6 for array in arrays)


def _agreement(of: Subject, given: Mapping[str, Array], found: Record) -> tuple[float, float]:
    """Compare the gradient along one random direction with a difference of the author's equations at 50 digits.

    Returns:
        The relative error, and the condition number of the sum.
    """
    random = np.random.default_rng(99)
    moved = {name: np.asarray(random.uniform(-1, 1, given[name].shape)) for name in (*of.cell.params, *of.cell.inputs)}
    for name in of.cell.inputs:
        moved[name][0] = 0  # the loss is a function of what comes after step 0
    starts = {name: random.uniform(-1, 1, found.forward[name][0].shape) for name in of.cell.states}
    terms = [found.adjoint[n][1:] * moved[n] for n in of.cell.params]
    terms += [found.adjoint[n] * moved[n] for n in of.cell.inputs]
    terms += [found.carry[n][0] * starts[n] for n in of.cell.states]
    derived = sum(float(np.sum(term)) for term in terms)
    condition = sum(float(np.abs(term).sum()) for term in terms) / max(abs(derived), 1e-300)
    with mpmath.workdps(DIGITS):
        exactly = np.frompyfunc(mpmath.mpf, 1, 1)
        width = mpmath.mpf(10) ** (-DIGITS // 3)

        def loss(sign: int) -> Any:
            at = {n: exactly(given[n]) + sign * width * exactly(moved[n]) for n in moved}
            now = {n: exactly(found.forward[n][0]) + sign * width * exactly(starts[n]) for n in of.cell.states}
            total = mpmath.mpf(0)
            for t in range(1, STEPS + 1):
                known = {Symbol(n): at[n] for n in of.cell.params} | {Symbol(n): at[n][t] for n in of.cell.inputs}
                known |= {Symbol(n): given[n][t] for n in of.cell.indices}
                known |= {previous(n): np.asarray(now[n]) for n in of.cell.states}
                for line in of.cell.equations:
                    value = evaluate(line.written, known, of.sizes, apply_mpmath, mpmath.mpf(1))
                    known[line.target] = np.broadcast_to(value, shape_in(of.cell.shapes[line.target], of.sizes))
                now = {n: known[Symbol(n)] for n in of.cell.states}
                total += sum(np.sum(exactly(given[f"loss_{n}"][t]) * known[Symbol(n)]) for n in of.seeds)
            return total

        exact = (loss(1) - loss(-1)) / (2 * width)
        return float(abs(exact - derived) / max(abs(exact), mpmath.mpf(1))), condition
