"""Along what a gradient runs within one step: the direct path of each state, and the gates beside it.

A step of the program is an edge from each value that it reads to the value that it gives. An edge is elementwise where
the value stands outside of every tensor map, and linear where its slope doesn't depend on the value itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sympy import Expr, Integer, Symbol

from .adjoint import adjoint_program, delta
from .cell import previous
from .derivation import Derivation
from .errors import Error
from .functions import Elementwise
from .linear import Node, tensor_arguments
from .program import Program, Step, quantities
from .slopes import known_values, partials
from .syntax import closest
from .written import added, multiplied, rebuilt, renamed

Edge = tuple[Symbol, Symbol]  # (the value that is read, the value that is given)


@dataclass(frozen=True)
class Lane:
    """The direct path of a state: elementwise all the way from the state before, through no other state.

    Attributes:
        state: whose.
        edges: of which it consists; where it forks and meets again, all of them.
        linear: whether each edge is linear, as `c = f * c` is in c. Where a state has such a path, others don't count.
    """

    state: str
    edges: frozenset[Edge]
    linear: bool


def lanes(derivation: Derivation) -> dict[str, Lane]:
    """Return the direct path of each state that has one.

    >>> from .cell import load
    >>> from .derivation import derive
    >>> list(lanes(derive(load("lstm")))), list(lanes(derive(load("gru")))), list(lanes(derive(load("rnn"))))
    (['c'], ['h'], [])
    """
    program = derivation.forward
    states = [Symbol(name) for name in derivation.cell.states]
    found = {}
    for state in states:
        for linear in (True, False):
            allowed = [
                (source, step.target)
                for step in program.steps
                if step.target == state or step.target not in states
                for source, slope in partials(step.expr, {})
                if isinstance(source, Symbol)
                and (source == previous(state.name) or source not in states)
                and program.shapes[source] == program.shapes[step.target]
                and not (linear and slope.has(source))
            ]
            if edges := _between(allowed, previous(state.name), state):
                found[state.name] = Lane(state.name, frozenset(edges), linear)
                break
    return found


def _between(edges: list[Edge], first: Symbol, last: Symbol) -> list[Edge]:
    """Return the edges, which are in the order of the program, that lie on a path from `first` to `last`."""
    reached, needed = {first}, {last}
    for source, target in edges:
        if source in reached:
            reached.add(target)
    found = []
    for source, target in reversed(edges):
        if target in needed and source in reached:
            needed.add(source)
            found.append((source, target))
    return found


def factor(derivation: Derivation, lane: Lane) -> Expr:
    """Return what a lane multiplies its state by in one step, in the values of the step.

    >>> from .cell import load
    >>> from .derivation import derive
    >>> derivation = derive(load("gru"))
    >>> factor(derivation, lanes(derivation)["h"])
    1 - z
    """
    known = known_values(derivation.forward)
    found: dict[Symbol, Expr] = {previous(lane.state): Integer(1)}
    for step in derivation.forward.steps:
        slopes = dict(partials(step.expr, known))
        terms = [
            multiplied(slopes[source], found[source]) for source, target in _ordered(lane, step) if source in found
        ]
        if terms:
            found[step.target] = added(*terms)
    return found[Symbol(lane.state)]


def _ordered(lane: Lane, step: Step) -> list[Edge]:
    return [(source, step.target) for source in quantities(step.expr) if (source, step.target) in lane.edges]


def gates(derivation: Derivation) -> tuple[str, ...]:
    """Return the values through which a gradient passes a function on its way off a lane, in the program's order.

    Where a line of its own gives the function's value a name, as `f = sigmoid(...)` does, that is the gate; else the
    function's argument is. States are no gates, nor is what lies on a lane.

    >>> from .cell import load
    >>> from .derivation import derive
    >>> gates(derive(load("lstm"))), gates(derive(load("rnn")))
    (('i', 'f', 'o', 'g'), ('a_h',))
    """
    states = {Symbol(name) for name in derivation.cell.states}
    moving = {previous(name) for name in derivation.cell.states}
    apart = {symbol for lane in lanes(derivation).values() for edge in lane.edges for symbol in edge}
    found: dict[Symbol, None] = {}
    for step in derivation.forward.steps:
        if not step.reads & moving:
            continue
        moving.add(step.target)
        if isinstance(step.expr, Elementwise) and step.target not in states:
            found[step.target] = None
        else:
            bent = [source for source, slope in partials(step.expr, {}) if slope.has(source)]
            arguments = [s for part in step.expr.atoms(Elementwise) for s in part.atoms(Symbol) if s in bent]
            found |= dict.fromkeys(s for s in quantities(step.expr) if s in arguments and s in moving)
    order = [step.target for step in derivation.forward.steps]
    return tuple(symbol.name for symbol in order if symbol in found and symbol not in states | apart)


def only_along(derivation: Derivation, chosen: Iterable[Lane]) -> Derivation:
    """Return a derivation whose backward pass sends gradients along some lanes alone; all other edges are held fixed.

    >>> from .cell import load
    >>> from .derivation import derive
    >>> derivation = derive(load("lstm"))
    >>> only_along(derivation, lanes(derivation).values()).shares["b_f"]
    0
    """
    kept = {edge for lane in chosen for edge in lane.edges}
    return _cut(derivation, lambda source, target, inside: not inside and (source, target) in kept)


def _cut(derivation: Derivation, keeps: Callable[[Symbol, Symbol, bool], bool]) -> Derivation:
    """Return a derivation whose backward pass has only some edges: `keeps(source, target, inside a tensor map)`."""
    program = derivation.forward
    fixed = {symbol: Symbol(symbol.name, real=True) for symbol in program.shapes}  # of the same name, and another

    def held(step: Step) -> Step:
        def change(part: Expr) -> Expr | None:
            if isinstance(part, Node):
                symbols = [symbol for argument in tensor_arguments(part) for symbol in quantities(argument)]
                return renamed(part, {s: fixed[s] for s in symbols if not keeps(s, step.target, True)})
            if isinstance(part, Symbol) and part in fixed:
                return part if keeps(part, step.target, False) else fixed[part]
            return None

        return replace(step, expr=rebuilt(step.expr, change))

    shapes = {**program.shapes, **{fixed[symbol]: shape for symbol, shape in program.shapes.items()}}
    cut = Program((*program.inputs, *fixed.values()), tuple(map(held, program.steps)), program.outputs, shapes)
    states, inputs = derivation.cell.states, map(Symbol, derivation.cell.inputs)
    wanted = (*map(previous, states), *inputs, *derivation.fixed)
    backward = adjoint_program(cut, map(Symbol, (*states, *derivation.outputs)), wanted)
    free = {hold: symbol for symbol, hold in fixed.items()}
    steps = tuple(replace(step, expr=renamed(step.expr, free)) for step in backward.steps)
    reads = tuple(symbol for symbol in backward.inputs if symbol not in free)
    backward = replace(backward, inputs=reads, steps=steps, shapes={**derivation.backward.shapes, **backward.shapes})
    return replace(derivation, backward=backward.check())


def switched(derivation: Derivation, values: Iterable[str]) -> tuple[Derivation, dict[str, str]]:
    """Return a derivation in which the adjoints of some values are multiplied by numbers, and the numbers' names.

    The numbers are parameters. With 1 for each, the backward pass is as it was; with 0, the value is detached: held
    constant, as no gradient passes it.

    Raises:
        Error: for what is no value of a step, or is a state.

    >>> from .cell import load
    >>> from .derivation import derive
    >>> derivation, names = switched(derive(load("rnn")), ["a_h"])
    >>> names, dict(derivation.adjoints)[delta(Symbol("a_h"))]
    ({'a_h': 'keep_a_h'}, delta_h*keep_a_h*(1 - h**2))
    """
    cell = derivation.cell
    steps = derivation.backward.steps
    adjoints = {step.target for step in steps}
    known = [step.target.name for step in derivation.forward.steps if delta(step.target) in adjoints]
    known = [name for name in known if name not in cell.states]
    names: dict[str, str] = {}
    for value in values:
        if value not in known:
            state = " is a state, and" * (value in cell.states)
            hint = closest(value, known) if known else "It has none."
            raise Error(f"'{value}'{state} is no value of a step of {cell.name} that gradients pass. {hint}")
        name = f"keep_{value}"
        while Symbol(name) in derivation.backward.shapes:
            name += "_"
        names[value] = name
    numbers = {delta(Symbol(value)): Symbol(name) for value, name in names.items()}
    made = [
        replace(step, expr=multiplied(numbers[step.target], step.expr)) if step.target in numbers else step
        for step in steps
    ]
    still = tuple(Step(delta(number), Integer(0), ()) for number in numbers.values())
    added_shapes = {symbol: () for number in numbers.values() for symbol in (number, delta(number))}
    backward = replace(
        derivation.backward,
        inputs=(*derivation.backward.inputs, *numbers.values()),
        steps=(*made, *still),
        outputs=(*derivation.backward.outputs, *map(delta, numbers.values())),
        shapes={**derivation.backward.shapes, **added_shapes},
    )
    params = {**cell.params, **dict.fromkeys(names.values(), ())}
    cell = replace(cell, params=params, shapes={**cell.shapes, **{Symbol(name): () for name in names.values()}})
    epilogue = derivation.epilogue
    if epilogue.steps:
        shapes = {**epilogue.shapes, **added_shapes}
        outputs = (*epilogue.outputs, *map(delta, numbers.values()))
        epilogue = replace(epilogue, steps=(*epilogue.steps, *still), outputs=outputs, shapes=shapes).check()
    return replace(derivation, cell=cell, backward=backward.check(), epilogue=epilogue), names
