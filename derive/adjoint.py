"""Reverse mode: the adjoint program of a program, from the table of tensor maps and `sympy.diff`."""

from __future__ import annotations

from collections.abc import Iterable

import sympy
from sympy import Expr, Symbol

from .linear import Node, Shape, broadcast, shape_of, tensor_arguments, total
from .program import Program, Reason, Step, quantities
from .slopes import known_values, partials
from .written import added, multiplied, renamed

Term = tuple[Expr, Reason]


def delta(value: Symbol) -> Symbol:
    """Return the symbol of ∂L/∂value.

    >>> delta(Symbol("h"))
    delta_h
    """
    return Symbol(f"delta_{value}")


def incoming(value: Symbol) -> Symbol:
    """Return the symbol of what reaches ∂L/∂value from outside the program."""
    return Symbol(f"incoming_{value}")


def adjoint_program(
    program: Program, seeds: Iterable[Symbol], wanted: Iterable[Symbol], losses: Iterable[Symbol] = ()
) -> Program:
    """Differentiate a program backwards.

    Args:
        program: the forward assignments.
        seeds: values that the loss depends on directly; `incoming_<seed>` is what comes from outside.
        wanted: inputs of the program whose adjoints are asked for.
        losses: numbers that are terms of the loss themselves: their adjoint is 1. Adjoints that are constants are put
            in where they are used.

    Returns:
        A program that reads the forward values and the incoming adjoints. Its steps are in reverse order of the
        forward steps, and then one for each of `wanted` (0 where the loss doesn't depend on it).
    """
    sweep = _Sweep(program)
    seeds, losses = tuple(seeds), set(losses)
    for seed in seeds:
        sweep.send(seed, incoming(seed), Reason("incoming"), -1)
    for place, step in reversed(list(enumerate(program.steps))):
        if step.target in losses:
            sweep.push(step.expr, sympy.Integer(1), place)
        elif step.target in sweep.terms:
            bar = sweep.sum_of(step.target)
            if quantities(bar):
                sweep.collect(step.target)
                bar = delta(step.target)
            sweep.push(step.expr, bar, place)
    for symbol in wanted:
        sweep.collect(symbol)
    reads = (*program.inputs, *(s.target for s in program.steps), *map(incoming, seeds))
    return Program(reads, tuple(sweep.steps), tuple(map(delta, wanted)), sweep.shapes).check()


class _Sweep:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.shapes: dict[Symbol, Shape] = dict(program.shapes)
        self.terms: dict[Symbol, list[tuple[int, Term]]] = {}
        self.steps: list[Step] = []
        self.known = known_values(program)

    def send(self, symbol: Symbol, term: Expr, reason: Reason, place: int) -> None:
        self.shapes[incoming(symbol)] = self.shapes[symbol]
        self.terms.setdefault(symbol, []).append((place, (term, reason)))

    def collect(self, symbol: Symbol) -> None:
        """Append the step that sums up what was sent to `symbol`."""
        self.shapes[delta(symbol)] = self.shapes[symbol]
        reasons = tuple(reason for _, reason in self._sent(symbol))
        self.steps.append(Step(delta(symbol), self.sum_of(symbol), reasons))

    def sum_of(self, symbol: Symbol) -> Expr:
        """Return the sum of what was sent to `symbol`."""
        return added(*(expr for expr, _ in self._sent(symbol)))

    def _sent(self, symbol: Symbol) -> list[Term]:
        """Return what was sent to `symbol`, in the order of the forward steps."""
        return [term for _, term in sorted(self.terms.get(symbol, []), key=lambda sent: sent[0])]

    def push(self, expr: Expr, bar: Expr, place: int) -> None:
        """Send the adjoint `bar` of `expr` on to the symbols of `expr`."""
        through = self.program.steps[place].target
        if isinstance(expr, Symbol):
            self.send(expr, bar, Reason("chain", through, sympy.Integer(1)), place)
        elif isinstance(expr, Node):
            self._push_node(expr, bar, place)
        else:
            self._push_elementwise(expr, bar, place)

    def _push_node(self, node: Node, bar: Expr, place: int) -> None:
        through = self.program.steps[place].target
        for index, argument in enumerate(tensor_arguments(node)):
            if not quantities(argument):
                continue
            term = renamed(node.rule.transpose(bar, node, index, self.shapes), self.known)
            if isinstance(argument, Symbol):
                self.send(argument, term, Reason(node.func.__name__, through), place)
            else:
                self.push(argument, term, place)

    def _push_elementwise(self, expr: Expr, bar: Expr, place: int) -> None:
        through = self.program.steps[place].target
        for atom, slope in partials(expr, self.known):
            term = self._spread(bar, slope, shape_of(expr, self.shapes))
            if not shape_of(atom, self.shapes) and shape_of(term, self.shapes):
                term = total(term)
            if isinstance(atom, Symbol):
                self.send(atom, term, Reason("chain", through, slope), place)
            else:
                self._push_node(atom, term, place)

    def _spread(self, bar: Expr, slope: Expr, whole: Shape) -> Expr:
        """Return `bar * slope` in the shape of the expression that was differentiated."""
        if isinstance(bar, broadcast) and shape_of(slope, self.shapes) == whole:
            bar = bar.args[0]
        term = multiplied(bar, slope)
        return term if shape_of(term, self.shapes) == whole else broadcast(term, *whole)
