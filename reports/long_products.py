"""What follows from the product of Jacobians: bounds on its factors, and a gradient as a sum over pairs of times."""

from __future__ import annotations

from collections.abc import Iterable

import sympy
from sympy import Expr, Function, Symbol

from ..derive.adjoint import incoming
from ..derive.bounds import Bounds, bounds, max_abs, sigma_max
from ..derive.cell import previous
from ..derive.convention_layout import ColumnLayout, Layout
from ..derive.derivation import Derivation
from ..derive.errors import Error
from ..derive.linear import product
from ..derive.program import forward_program, quantities
from ..derive.through_time import ORIGIN, TIME
from ..derive.written import rebuilt, renamed
from .document import Block, Equations, Paragraph, Row
from .formula import Formula, is_readable
from .mathematics import Mathematics
from .phrases import Phrases
from .typesetter import PIECE

COLUMN = ColumnLayout({})
REACH = Symbol("k_2", integer=True, positive=True)
MOST_LINES, LINE = 4, 29.0  # of a formula that still says something to a reader; ems that stay beside its left side


def bounds_of_step(derivation: Derivation, math: Mathematics, phrases: Phrases, layout: Layout = COLUMN) -> list[Block]:
    """Return upper bounds on one step's Jacobian; nothing where it has none in matrix form, or one too long to read.

    Args:
        derivation: in column form.
        layout: in which `math` typesets.
    """
    try:
        found = bounds(derivation)
    except Error:
        return []
    shown = {pair: math.formula(_written(bound, layout)) for pair, bound in found.blocks.items() if bound != 0}
    direct = {state: math.formula(_written(bound, layout)) for state, bound in found.direct.items() if bound != 0}
    if not shown or not all(map(_is_readable, (*shown.values(), *direct.values()))):
        return []
    call, states = math.call, list(derivation.cell.states)
    rows = [Row(call("norm_of_block", *pair), bound, relation="leq") for pair, bound in shown.items()]
    functions = _functions(found.blocks.values())
    lead = phrases.text("text.bounds")
    if sigma_max in functions:
        lead += (" ", *phrases.text("text.sigma_max", sigma=call("largest_singular_value", "A"), A=call("bold", "A")))
    if max_abs in functions or _functions(found.direct.values()) & {max_abs}:
        lead += (" ", *phrases.text("text.max_abs", largest=call("largest_entry", "v"), v=call("bold", "v")))
    blocks: list[Block] = [Paragraph(lead), Equations(tuple(rows))]
    if len(states) > 1:
        grid = math.grid([[call("norm_of_block", *pair) for pair in row] for row in layout.blocks(states)])
        whole = call("largest_singular_value", "") + grid
        blocks += [Paragraph(phrases.text("text.bound_of_all"))]
        blocks += [Equations((Row(call("norm_of_step"), whole, relation="leq"),))]
    if direct:
        blocks.append(Paragraph(phrases.text("text.direct")))
        blocks.append(Equations(tuple(Row(call("norm_of_direct", state), bound) for state, bound in direct.items())))
    return blocks + _vanishing(found, len(states) > 1, math, phrases)


def _written(bound: Expr, layout: Layout) -> Expr:
    """Write the values in a bound in a layout; a matrix and its transpose have the same norm."""
    return rebuilt(bound, lambda part: max_abs(layout.value(part.args[0])) if isinstance(part, max_abs) else None)


def _is_readable(formula: Formula) -> bool:
    return is_readable(formula, LINE, MOST_LINES)


def _functions(expressions: Iterable[Expr]) -> set[type[Expr]]:
    atoms = (atom for bound in expressions for atom in bound.atoms(sigma_max, max_abs))
    return {type(atom) for atom in atoms}


def _vanishing(found: Bounds, many: bool, math: Mathematics, phrases: Phrases) -> list[Block]:
    """Return the condition under which gradients vanish, where there is one."""
    if found.vanishing is sympy.false or found.vanishing is sympy.true:
        return []
    if many:
        return [Paragraph(phrases.text("text.vanishing_many"))]
    condition = math.call("below", *found.vanishing.args)
    return [Paragraph(phrases.text("text.vanishing", condition=condition))]


def unrolled_gradient(
    derivation: Derivation, math: Mathematics, phrases: Phrases, layout: Layout = COLUMN
) -> list[Block]:
    """Return the gradient of one parameter as a sum over pairs of times, and what truncation leaves of it.

    Args:
        derivation: in column form.
        layout: in which `math` typesets.
    """
    name = shown_parameter(derivation)
    if name is None:
        return []
    try:
        parts = derivation.truncated(name, 1, REACH)
        full = derivation.unrolled(name)
    except Error:
        return []
    states = derivation.cell.states
    only = "" if len(states) > 1 else next(iter(states))
    pieces: dict[Expr, Expr] = {incoming(Symbol(state)): Function(PIECE + state)(ORIGIN) for state in states}
    action = math.formula(renamed(layout.assigned(Symbol(name), full.transposed), pieces))
    if not _is_readable(action):
        return []
    call = math.call
    gradient, summand = call("gradient", name), call("summand")
    rows = (
        Row(gradient, call("sum_of_summands", (full.outer, full.inner))),
        Row(summand, call("path_of_summand", name, only, full.product.args[1:])),
    )
    k = call("time", ORIGIN)
    v = call("piece_of", only)
    pieces_shown = phrases.join([call("piece_of", state) for state in states])
    immediate = phrases.text(
        "text.immediate" if only else "text.immediate_pieces",
        partial=call("immediate_sloped", name, only),
        k=k,
        W=math.name(name),
        v=v,
        pieces=pieces_shown,
    )
    kept = call("sum_of_summands", (full.outer, parts.kept.inner), (full.outer, parts.dropped.inner))
    edge = k + math.sign("geq") + call("time", TIME - REACH + 1)
    same = k + math.sign("equals") + call("time", TIME)
    side = phrases.plain("side.right" if layout.name == "row" else "side.left")
    return [
        Paragraph(phrases.text("text.unrolled", gradient=gradient, t=call("time", TIME), k=k, same=same, side=side)),
        Equations(rows, boxed=True),
        Paragraph(immediate),
        Equations((Row(call("action_of_immediate", name, only), action),)),
        Paragraph(phrases.text("text.truncated", reach=call("time", REACH), kept=edge)),
        Equations((Row(gradient, kept),)),
    ]


def shown_parameter(derivation: Derivation) -> str | None:
    """Return the first matrix that multiplies a state of the step before, else the first matrix, else any parameter.

    >>> import bptt
    >>> shown_parameter(bptt.derive(bptt.load("rnn")))
    'W_hh'
    """
    params, past = derivation.cell.params, set(map(previous, derivation.cell.states))
    for step in forward_program(derivation.cell).steps:
        for part in sympy.preorder_traversal(step.expr):
            if isinstance(part, product) and str(part.args[0]) in params and past & set(quantities(part.args[1])):
                return str(part.args[0])
    matrices = [name for name in params if len(derivation.cell.shapes[Symbol(name)]) == 2]
    return next(iter((*matrices, *params)), None)
