"""What a wrong backward pass may be: single faults, made from the steps and terms of the right one, for any cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import sympy
from sympy import Expr, Symbol

from ...derive.adjoint import delta, incoming
from ...derive.cell import previous
from ...derive.derivation import Derivation
from ...derive.functions import FUNCTIONS, Elementwise
from ...derive.linear import outer, product, shape_of, transpose
from ...derive.notation import spell
from ...derive.program import Step, quantities
from ...derive.written import added, multiplied, negated, operands
from .code_engine import BEFORE, NEXT, Change


@dataclass(frozen=True)
class Mutant:
    """A backward pass with one fault.

    Attributes:
        kind: of the catalogue.
        says: what it is, after "the gradients are those".
        change: what differs.
        target: the adjoint whose step differs, None for the loop over time.
    """

    kind: str
    says: str
    change: Change
    target: Symbol | None = None


@dataclass(frozen=True)
class _At:
    """A term of a step of the backward program."""

    derivation: Derivation
    step: Step
    number: int
    term: Expr

    @property
    def name(self) -> str:
        """The adjoint as people write it."""
        return spoken(self.step.target)

    @property
    def through(self) -> Symbol | None:
        """The forward value that the term comes through."""
        reasons = self.step.reasons
        return reasons[self.number].through if self.number < len(reasons) else None

    def with_term(self, term: Expr | None) -> Change:
        """Return the change by which another term stands here, or none."""
        terms = list(operands(sympy.Add, self.step.expr))
        terms[self.number : self.number + 1] = [] if term is None else [term]
        return Change(steps={self.step.target: added(*terms) if terms else sympy.Integer(0)})


Rule = Callable[[_At], Iterator[tuple[str, str, Expr | None]]]


def spoken(symbol: Symbol) -> str:
    """Return a program's symbol as people write it.

    >>> spoken(Symbol("delta_W_hi")), spoken(Symbol("incoming_h")), spoken(Symbol("c_prev")), spoken(Symbol("f__next"))
    ('∂L/∂W_hi', '∂L/∂h from the loss and step t+1', 'c_{t−1}', 'f_{t+1}')
    """
    name = symbol.name
    if name.startswith("delta_"):
        return f"∂L/∂{spoken(Symbol(name[6:]))}"
    if name.startswith("incoming_"):
        return f"∂L/∂{name[9:]} from the loss and step t+1"
    for ending, says in ((NEXT, "_{t+1}"), (BEFORE, "_{t−1}"), ("_prev", "_{t−1}")):
        if name.endswith(ending):
            return name.removesuffix(ending).removesuffix("_prev") + says
    return name


def mutants(derivation: Derivation) -> Iterator[Mutant]:
    """Yield every single fault of the catalogue, likelier ones first.

    >>> from ...derive import derive, load
    >>> found = list(mutants(derive(load("rnn"))))
    >>> found[0].says, len(found) > 40
    ('without what step t+1 sends back to h', True)
    """
    yield from _of_loop(derivation)
    seen = {(step.target, step.expr) for step in derivation.backward.steps}
    yield from _of_values(derivation)
    for rule in RULES:
        for step in derivation.backward.steps:
            for number, term in enumerate(operands(sympy.Add, step.expr)):
                at = _At(derivation, step, number, term)
                for kind, says, other in rule(at):
                    change = at.with_term(other)
                    if (step.target, change.steps[step.target]) not in seen:
                        seen.add((step.target, change.steps[step.target]))
                        yield Mutant(kind, says, change, step.target)


def _of_loop(derivation: Derivation) -> Iterator[Mutant]:
    states = derivation.cell.states
    for name in states:
        yield Mutant(
            "dropped carry", f"without what step t+1 sends back to {name}", Change(uncarried=frozenset({name}))
        )
    for name in states:
        yield Mutant("wrap-around", f"with the last {name} for {name}_0, as index −1 gives it", _start(name, "wrapped"))
        yield Mutant("wrap-around", f"with 0 for {name}_0", _start(name, "zero"))
        yield Mutant("missing loss", f"without ∂L_t/∂{name}_t", Change(silent=frozenset({name})))
    params = [delta(symbol) for symbol in derivation.fixed]
    for which, says in (("first", "the first step"), ("last", "the last step")):
        everything = dict.fromkeys(params, which)
        yield Mutant("accumulation", f"of {says} alone, for every parameter: = for +=", Change(only=everything))
        for symbol in params:
            yield Mutant(
                "accumulation", f"of {says} alone for {spoken(symbol)}: = for +=", Change(only={symbol: which})
            )


def _of_values(derivation: Derivation) -> Iterator[Mutant]:
    """Leave out all that goes from one forward value to inputs and earlier states, as where [h; x] is one vector."""
    carried = {delta(previous(name)) for name in derivation.cell.states}
    wanted = [
        s for s in derivation.backward.steps if s.target in carried | {delta(Symbol(n)) for n in derivation.cell.inputs}
    ]
    values = dict.fromkeys(reason.through for step in wanted for reason in step.reasons if reason.through is not None)
    for value in values:
        steps = {}
        for step in wanted:
            terms = list(zip(operands(sympy.Add, step.expr), step.reasons, strict=False))
            kept = [term for term, reason in terms if reason.through != value]
            if len(kept) < len(terms) and len(terms) == len(step.reasons):
                steps[step.target] = added(*kept) if kept else sympy.Integer(0)
        if len(steps) > 1:
            says = f"without the path through {value} to {' and '.join(map(spoken, steps))}"
            yield Mutant("missing path", says, Change(steps=steps))


def _start(name: str, kind: str) -> Change:
    return Change(start={name: kind})


def _missing(at: _At) -> Iterator[tuple[str, str, Expr | None]]:
    """A term is left out: a path of the gradient."""
    through = f" through {at.through}" if at.through is not None else ""
    carried = at.step.target in {delta(previous(name)) for name in at.derivation.cell.states}
    alone = len(operands(sympy.Add, at.step.expr)) == 1
    yield "dropped carry" if carried and alone else "missing path", f"without the path{through} in {at.name}", None
    yield "sign", f"with the wrong sign of the path{through} in {at.name}", negated(at.term)


def _activation(at: _At) -> Iterator[tuple[str, str, Expr | None]]:
    """The derivative of a function is missing, taken twice, or taken at another value."""
    through = at.through
    if through is None:
        return
    made = next((s.expr for s in at.derivation.forward.steps if s.target == through), None)
    if made is None:
        return
    applied = [f for f in sympy.preorder_traversal(made) if isinstance(f, Elementwise) and len(f.args) == 1]
    factors = operands(sympy.Mul, at.term)
    for function in applied:
        value = through if made == function else function
        argument = function.args[0]
        slope = function.fdiff(1).xreplace({function: value})
        wanted = [f for f in operands(sympy.Mul, slope) if not f.is_number]
        rest = [factor for factor in factors if factor not in wanted]
        if not wanted or len(rest) + len(wanted) != len(factors):
            continue
        of = f"the derivative of {function.func.__name__} in {at.name}"
        yield "activation", f"without {of}", multiplied(*rest)
        yield "activation", f"with {of} twice", multiplied(*factors, *wanted)
        for factor in wanted:
            yield "activation", f"with a part of {of} missing", multiplied(*(f for f in factors if f is not factor))
        twice = [f.xreplace({value: function.func(value)}) for f in wanted]
        yield "activation", f"with {of} taken at the activated value", multiplied(*rest, *twice)
        if argument.is_Symbol:
            before = [f.xreplace({value: argument}) for f in wanted]
            yield "activation", f"with {of} taken at its argument", multiplied(*rest, *before)
        for name in ("tanh", "sigmoid"):
            if name != function.func.__name__:
                other = FUNCTIONS[name](argument).fdiff(1).xreplace({FUNCTIONS[name](argument): value})
                yield "activation", f"with the derivative of {name} for {of}", multiplied(*rest, other)


def _bare(at: _At) -> Iterator[tuple[str, str, Expr | None]]:
    """A function's argument stands for its value."""
    for node in sorted((n for n in at.term.atoms(Elementwise) if len(n.args) == 1 and n.args[0].is_Symbol), key=str):
        says = f"with {spoken(node.args[0])} for {spell(node)} in {at.name}"
        yield "activation", says, at.term.xreplace({node: node.args[0]})


def _factor(at: _At) -> Iterator[tuple[str, str, Expr | None]]:
    """A factor is missing, or taken twice."""
    factors = operands(sympy.Mul, at.term)
    if len(factors) > 1:
        for factor in factors:
            if not factor.is_number:
                rest = multiplied(*(f for f in factors if f is not factor))
                yield "factor", f"without the factor {spell(factor)} in {at.name}", rest
                yield "factor", f"with the factor {spell(factor)} twice in {at.name}", multiplied(*factors, factor)


def _transposed(at: _At) -> Iterator[tuple[str, str, Expr | None]]:
    """A matrix stands transposed."""
    shapes = at.derivation.backward.shapes
    for node in _nodes(at.term):
        if isinstance(node, product):
            left, right = node.args
            shape = shape_of(left, shapes)
            if len(shape) == 2 and shape[0] == shape[1]:
                bare = left.args[0] if isinstance(left, transpose) else transpose(left)
                other = at.term.xreplace({node: product(bare, right)})
                yield "transpose", f"with {spell(left)} transposed in {at.name}", other
        if isinstance(node, outer) and len(set(shape_of(node, shapes))) == 1:
            yield "transpose", f"with {at.name} transposed", at.term.xreplace({node: outer(*reversed(node.args))})


def _time(at: _At) -> Iterator[tuple[str, str, Expr | None]]:
    """A value of another step in time stands in."""
    fixed = set(at.derivation.fixed)
    states = {previous(name): Symbol(name) for name in at.derivation.cell.states}
    for symbol in quantities(at.term):
        if symbol in fixed or symbol.name.startswith(("delta_", "incoming_")):
            continue
        others = [states[symbol]] if symbol in states else []
        others += [old for old, new in states.items() if new == symbol]
        others += [Symbol(f"{symbol}{NEXT}"), Symbol(f"{symbol}{BEFORE}")]
        for other in others:
            yield "time", f"with {spoken(other)} for {spoken(symbol)} in {at.name}", at.term.xreplace({symbol: other})


def _mixed(at: _At) -> Iterator[tuple[str, str, Expr | None]]:
    """Another quantity of the same shape stands in: another gate, another matrix, another adjoint."""
    shapes, program = at.derivation.backward.shapes, at.derivation.backward
    place = program.steps.index(at.step)
    adjoints = [step.target for step in program.steps[:place]]
    seeds = [incoming(Symbol(name)) for name in at.derivation.cell.states]
    stales = {(delta(Symbol(name)), incoming(Symbol(name))) for name in at.derivation.cell.states}
    values = [step.target for step in at.derivation.forward.steps] + list(at.derivation.forward.inputs)
    for symbol in quantities(at.term):
        adjoint = symbol.name.startswith(("delta_", "incoming_"))
        for other in [*adjoints, *seeds] if adjoint else values:
            if other == symbol or shapes.get(other) != shapes.get(symbol):
                continue
            stale = adjoint and (symbol, other) in stales
            says = f"with {spoken(other)} for {spoken(symbol)} in {at.name}"
            yield "stale" if stale else "mix-up", says, at.term.xreplace({symbol: other})


def _nodes(expr: Expr) -> list[Expr]:
    return [node for node in sympy.preorder_traversal(expr) if isinstance(node, product | outer)]


RULES: tuple[Rule, ...] = (_missing, _activation, _bare, _factor, _transposed, _time, _mixed)


def reached(derivation: Derivation) -> Mapping[Symbol, frozenset[str]]:
    """Return adjoint -> the adjoints that depend on it, through time too."""
    carried = {delta(previous(name)): incoming(Symbol(name)) for name in derivation.cell.states}
    reads = {step.target: step.reads for step in derivation.backward.steps}
    found: dict[Symbol, frozenset[str]] = {}
    for start in reads:
        seen, waiting = {start}, [start]
        while waiting:
            now = waiting.pop()
            nexts = [target for target, used in reads.items() if now in used]
            nexts += [carried[now]] if now in carried else []
            waiting += [symbol for symbol in nexts if symbol not in seen]
            seen |= set(nexts)
        found[start] = frozenset(symbol.name for symbol in seen)
    return found
