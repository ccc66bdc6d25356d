"""Forward mode: the tangent program of a program, from the same table of tensor maps and `sympy.diff`."""

from __future__ import annotations

from collections.abc import Iterable

import sympy
from sympy import Expr, Symbol

from .linear import Node, Shape, broadcast, shape_of, tensor_arguments
from .program import Program, Reason, Step
from .slopes import known_values, partials
from .written import added, multiplied, renamed

Term = tuple[Expr, Reason]


def tangent(value: Symbol) -> Symbol:
    """Return the symbol of the derivative of a value along the given direction of the sources.

    >>> tangent(Symbol("h"))
    tangent_h
    """
    return Symbol(f"tangent_{value}")


def tangent_program(program: Program, sources: Iterable[Symbol]) -> Program:
    """Differentiate a program forwards, in the direction `tangent_<source>` for each source.

    In a step, slopes come before the tangent that they multiply, as in a Jacobian times a vector, and terms stand in
    the order in which the forward step reads what they come from.

    Args:
        program: the forward assignments.
        sources: inputs of the program that move; the others stay fixed.

    Returns:
        A program that reads the forward values and the sources' tangents. It has one step for each value that depends
        on a source, in the order of the forward steps, and then one for each output that doesn't (0).

    >>> from .cell import load
    >>> from .program import forward_program
    >>> print(tangent_program(forward_program(load("rnn")), [Symbol("h_prev")]))
    tangent_a_h = W_hh @ tangent_h_prev
    tangent_h = (1 - h**2) * tangent_a_h
    """
    sources = tuple(sources)
    sweep = _Sweep(program, sources)
    for step in program.steps:
        sweep.push(step)
    still = [output for output in program.outputs if output not in sweep.moving]
    for output in still:
        sweep.assign(output, [])
    reads = (*program.inputs, *(step.target for step in program.steps), *map(tangent, sources))
    return Program(reads, tuple(sweep.steps), tuple(map(tangent, program.outputs)), sweep.shapes).check()


class _Sweep:
    def __init__(self, program: Program, sources: tuple[Symbol, ...]) -> None:
        self.shapes: dict[Symbol, Shape] = dict(program.shapes)
        self.shapes |= {tangent(source): self.shapes[source] for source in sources}
        self.known = known_values(program)
        self.moving = set(sources)
        self.steps: list[Step] = []

    def push(self, step: Step) -> None:
        """Append the tangent of a step, if it moves."""
        if terms := self._terms(step.expr, step.target):
            self.moving.add(step.target)
            self.assign(step.target, terms)

    def assign(self, value: Symbol, terms: list[Term]) -> None:
        """Append the step that sums up `terms`."""
        self.shapes[tangent(value)] = self.shapes[value]
        expr = self._sum([term for term, _ in terms], self.shapes[value])
        self.steps.append(Step(tangent(value), expr, tuple(reason for _, reason in terms)))

    def _sum(self, terms: list[Expr], whole: Shape) -> Expr:
        """Add up terms; where all are numbers beside a larger value, spread them over it."""
        if terms and all(shape_of(term, self.shapes) != whole for term in terms):
            terms = [broadcast(term, *whole) for term in terms]
        return added(*terms)

    def _terms(self, expr: Expr, through: Symbol) -> list[Term]:
        if isinstance(expr, Symbol):
            return [(tangent(expr), Reason("chain", through, sympy.Integer(1)))] if expr in self.moving else []
        if isinstance(expr, Node):
            return self._node_terms(expr, through)
        found = []
        for atom, slope in partials(expr, self.known):
            for term, reason in self._terms(atom, through):
                why = Reason("chain", through, slope) if isinstance(atom, Symbol) else reason
                found.append((multiplied(slope, term), why))
        return found

    def _node_terms(self, node: Node, through: Symbol) -> list[Term]:
        tangents = tuple(self._of_argument(argument, through) for argument in tensor_arguments(node))
        if all(moved is None for moved in tangents):
            return []
        reason = Reason(node.func.__name__, through)
        return [(renamed(term, self.known), reason) for term in node.rule.tangent(tangents, node, self.shapes)]

    def _of_argument(self, argument: Expr, through: Symbol) -> Expr | None:
        terms = [term for term, _ in self._terms(argument, through)]
        return self._sum(terms, shape_of(argument, self.shapes)) if terms else None
