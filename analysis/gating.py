"""Which biases set how long a state remembers: found in the equations, not by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sympy
from sympy import Expr, Symbol

from ..derive.arithmetic import apply_float
from ..derive.cell import previous
from ..derive.derivation import Derivation
from ..derive.functions import Elementwise
from ..derive.interpret import evaluate, run, size
from ..derive.lanes import factor, lanes
from ..derive.program import Step, quantities
from ..derive.written import operands

SIZE = 4


def forget_biases(derivation: Derivation) -> dict[str, int]:
    """Return the biases that set by what a state's own previous value is multiplied, each with a sign.

    A forget gate multiplies a state's own previous value on the state's direct path (`bptt.derive.lanes`), and its bias
    is a parameter that is added to what the gate is a function of. The sign is 1 where a larger bias keeps more of the
    state, −1 where it keeps less; it is measured on the equations, with all other parameters, states and inputs 0.

    >>> from ..derive.cell import load
    >>> from ..derive.derivation import derive
    >>> forget_biases(derive(load("lstm"))), forget_biases(derive(load("gru"))), forget_biases(derive(load("rnn")))
    ({'b_f': 1}, {'b_z': -1}, {})
    """
    found: dict[str, int] = {}
    for lane in lanes(derivation).values():
        if lane.linear:
            kept = factor(derivation, lane)
            for bias in _biases_behind(derivation, kept):
                sign = np.sign(_kept(derivation, kept, {bias: 1.0}) - _kept(derivation, kept, {bias: -1.0}))
                if sign:
                    found.setdefault(bias, int(sign))
    return found


def input_biases(derivation: Derivation) -> dict[str, str]:
    """Return the bias of the gate by which something new enters a state -> the bias of the state's forget gate.

    The gate is the first value of the same function as the forget gate in another term of the sum that gives the state.
    Where both gates have one bias, as in z and 1 − z, there is nothing to return.

    >>> from ..derive.cell import load
    >>> from ..derive.derivation import derive
    >>> input_biases(derive(load("lstm"))), input_biases(derive(load("gru")))
    ({'b_i': 'b_f'}, {})
    """
    forget = forget_biases(derivation)
    steps = {step.target: step for step in derivation.forward.steps}
    found: dict[str, str] = {}
    for lane in lanes(derivation).values():
        kept = quantities(factor(derivation, lane)) if lane.linear else []
        on_lane = {symbol for edge in lane.edges for symbol in edge}
        functions = {steps[gate].expr.func: gate for gate in kept if _is_function(steps, gate)}
        terms = [t for _, end in lane.edges for t in operands(sympy.Add, steps[end].expr)]
        others = [term for term in terms if not on_lane & set(quantities(term)) - {previous(lane.state)}]
        others = [term for term in others if previous(lane.state) not in quantities(term)]
        entering = [s for term in others for s in quantities(term) if s not in kept and _is_function(steps, s)]
        for gate in [s for s in entering if steps[s].expr.func in functions][:1]:
            theirs = [bias for bias in _biases_behind(derivation, functions[steps[gate].expr.func]) if bias in forget]
            for bias in _biases_behind(derivation, gate):
                if bias not in forget and theirs:
                    found.setdefault(bias, theirs[0])
    return found


def _is_function(steps: Mapping[Symbol, Step], symbol: Symbol) -> bool:
    return symbol in steps and isinstance(steps[symbol].expr, Elementwise)


def _biases_behind(derivation: Derivation, expr: Expr) -> list[str]:
    """Return the parameters that are added, or are all that a gate is a function of, behind an expression."""
    steps = {step.target: step for step in (*derivation.prologue.steps, *derivation.forward.steps)}
    stops = {Symbol(name) for name in (*derivation.cell.params, *derivation.cell.inputs, *derivation.cell.states)}
    found: dict[str, None] = {}
    waiting, seen = [expr], set[Symbol]()
    while waiting:
        part = waiting.pop(0)
        for node in sympy.preorder_traversal(part):
            if isinstance(node, sympy.Add):
                terms = [operands(sympy.Mul, term) for term in node.args]
                alone = [term[-1] for term in terms if len(term) == 1 or len(term) == 2 and term[0].is_Rational]
            elif isinstance(node, Elementwise) and node.rule.image == (0, 1):
                alone = list(node.args)
            else:
                continue
            found |= {str(t): None for t in alone if isinstance(t, Symbol) and t.name in derivation.cell.params}
        for symbol in quantities(part):
            if symbol in steps and symbol not in stops | seen:
                seen.add(symbol)
                waiting.append(steps[symbol].expr)
    return list(found)


def _kept(derivation: Derivation, kept: Expr, biases: Mapping[str, float]) -> float:
    """Return what share of its state a forget gate keeps, on average, where all but some biases is 0."""
    cell = derivation.cell
    dimensions = {s.name: SIZE for shape in cell.shapes.values() for part in shape for s in part.atoms(Symbol)}

    def filled(symbol: Symbol) -> np.ndarray:
        shape = tuple(size(part, dimensions) for part in derivation.forward.shapes[symbol])
        return np.full(shape, biases.get(symbol.name, 0.0))

    given = {symbol: filled(symbol) for symbol in derivation.prologue.inputs}
    with np.errstate(all="ignore"):
        once = run(derivation.prologue, given, dimensions, apply_float, 1.0)
        reads = [symbol for symbol in derivation.forward.inputs if symbol not in once]
        given = {**once, **{symbol: filled(symbol) for symbol in reads}}
        values = run(derivation.forward, given, dimensions, apply_float, 1.0)
        return float(np.mean(evaluate(kept, {**given, **values}, dimensions, apply_float, 1.0)))
