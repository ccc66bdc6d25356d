"""The notation table of a derivation: every symbol with its role, its dimensions and its meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sympy
from sympy import Expr, Symbol

from ..derive.derivation import Derivation
from ..derive.linear import (
    Node,
    broadcast,
    concat,
    cross_entropy,
    entry,
    lookup,
    ones,
    pad,
    part,
    product,
    scatter,
    total,
    transpose,
)
from ..derive.written import operands
from .document import Inline, Table, Text
from .formula import Formula
from .mathematics import Mathematics
from .phrases import Phrases

TIME = Symbol("t", integer=True, positive=True)


def notation_table(derivation: Derivation, math: Mathematics, phrases: Phrases) -> Table:
    """Return the table; symbols of the same role, dimensions and meaning share a row."""
    rows: dict[tuple[str, str, Text], list[Formula]] = {}
    shown: dict[tuple[str, str, Text], Formula] = {}
    for symbol, role, meaning in _entries(derivation, math, phrases):
        index = role == "index"
        space = math.call("below_size", derivation.cell.indices[symbol.name]) if index else math.call("space", symbol)
        key = (role, space.plain, meaning)
        rows.setdefault(key, []).append(math.formula(symbol))
        shown[key] = space
    cells: list[tuple[Text, ...]] = [
        (_listed(symbols), (phrases.plain(f"role.{key[0]}"),), (shown[key],), key[2]) for key, symbols in rows.items()
    ]
    cells += _adjoints(derivation, math, phrases)
    header = tuple((phrases.plain(f"column.{name}"),) for name in ("symbol", "role", "dimensions", "meaning"))
    return Table(header, tuple(cells), "llll", wide=3)


def _listed(symbols: list[Formula]) -> Text:
    text: list[Inline] = []
    for symbol in symbols:
        text += [", "] * bool(text) + [symbol]
    return tuple(text)


def _entries(derivation: Derivation, math: Mathematics, phrases: Phrases) -> Iterable[tuple[Symbol, str, Text]]:
    cell = derivation.cell
    time = math.call("time", TIME)
    for name in cell.inputs:
        yield Symbol(name), "input", phrases.text("meaning.input", t=time)
    for name in cell.indices:
        yield Symbol(name), "index", phrases.text("meaning.index", t=time)
    for name in cell.states:
        start = math.call("name", name, sympy.Integer(0))
        yield Symbol(name), "state", phrases.text("meaning.state", t=time, start=start)
    for name in cell.params:
        yield Symbol(name), "parameter", _meaning_of_parameter(Symbol(name), derivation, math, phrases)
    written = {equation.target for equation in cell.equations} - set(map(Symbol, cell.states))
    for step in (*derivation.prologue.steps, *derivation.forward.steps):
        if step.target in derivation.prologue.outputs:
            yield step.target, "fixed", phrases.text("meaning.fixed")
        elif step.target in written:
            yield step.target, "value", phrases.text("meaning.value", t=time)
        elif step.target.name not in cell.states:
            yield step.target, "part", phrases.text("meaning.part")


def _meaning_of_parameter(symbol: Symbol, derivation: Derivation, math: Mathematics, phrases: Phrases) -> Text:
    exprs = [equation.written for equation in derivation.cell.equations]
    arguments = [piece for expr in exprs for arg in _multiplied_by(symbol, expr) for piece in operands(concat, arg)]
    if arguments and not any(argument.has(Node) for argument in arguments):
        of = phrases.join(list(dict.fromkeys(map(math.formula, arguments))))
        return phrases.text("meaning.weights", of=of)
    if not arguments and all(_is_only_added(symbol, expr) for expr in exprs):
        return phrases.text("meaning.bias")
    return phrases.text("meaning.parameter")


def _multiplied_by(symbol: Symbol, expr: Expr) -> list[Expr]:
    nodes = [node for node in sympy.preorder_traversal(expr) if isinstance(node, product)]
    sides = [node.args if node.args[0] in (symbol, transpose(symbol)) else node.args[::-1] for node in nodes]
    return [other for weight, other in sides if weight in (symbol, transpose(symbol))]


def _is_only_added(symbol: Symbol, expr: Expr) -> bool:
    inside = [node for node in sympy.preorder_traversal(expr) if symbol in node.args]
    return all(isinstance(node, sympy.Add) for node in inside)


def _adjoints(derivation: Derivation, math: Mathematics, phrases: Phrases) -> list[tuple[Text, Text, Text, Text]]:
    state = next(iter(derivation.cell.states))
    value = Symbol(state)
    role: Text = (phrases.plain("role.adjoint"),)
    definition = math.call("gradient", state, TIME)
    space: Text = (math.call("space", value),)
    parts = {"value": math.formula(value), "total": math.call("quantity_text", f"delta_{state}", TIME)}
    after, last = math.call("time", TIME + 1), math.call("time", Symbol("T"))
    key = "meaning.adjoint_partial" if math.style.adjoint == "partial" else "meaning.adjoint"
    total = phrases.text(key, definition=definition, value=parts["value"])
    sent = phrases.text("meaning.sent", total=parts["total"], next=after, T=last)
    whole = math.call("whole_loss")
    direct = phrases.text("meaning.loss", state=parts["value"], whole=whole)
    return [
        ((parts["total"],), role, space, total),
        ((math.call("sent_back", state),), role, space, sent),
        ((math.call("direct_sloped", state),), role, space, direct),
    ]


def meaning_of_maps(exprs: Sequence[Expr], math: Mathematics, phrases: Phrases) -> Text:
    """Return what is meant by the signs of those tensor maps that need a word, each sentence after a blank."""
    letters = {letter: math.call("letter", letter) for letter in "Evwy"}

    def holds(*kinds: type[Expr]) -> bool:
        return any(expr.has(*kinds) for expr in exprs)

    text: Text = ()
    if holds(total, broadcast, ones):
        parts = {"one": math.sign("one"), "total": math.call("total_of", "v"), "v": letters["v"]}
        text += (" ", *phrases.text("meaning.one", **parts))
    if holds(part, pad, entry):
        parts = {"rows": math.call("rows_of", "E"), "span": math.call("rows_of", ""), "v": letters["v"]}
        parts["piece"] = math.call("piece_of_letter", "v")
        text += (" ", *phrases.text("meaning.rows", **parts))
    if holds(scatter):
        parts = {"one": math.call("one_hot", "w"), "row": math.call("row_of_zeros", "w", "v")}
        text += (" ", *phrases.text("meaning.one_hot", **parts, v=letters["v"], w=letters["w"]))
    if holds(lookup):
        table = math.call("looked_up", "E", "w")
        text += (" ", *phrases.text("meaning.lookup", table=table, E=letters["E"], w=letters["w"]))
    if holds(cross_entropy):
        parts = {name: math.call(f"{name}_of_letters") for name in ("entropy", "exact")}
        text += (" ", *phrases.text("meaning.cross_entropy", y=letters["y"], **parts))
    return text


def sizes_of(derivation: Derivation) -> list[Symbol]:
    """Return the named sizes of a cell, in order of appearance."""
    cell = derivation.cell
    shapes = [cell.shapes[Symbol(n)] for table in (cell.inputs, cell.states, cell.params) for n in table]
    return list(dict.fromkeys(s for shape in shapes for size in shape for s in sorted(size.free_symbols, key=str)))
