"""Loops over the entries of values: vector by vector where neighbours read neighbours, else one by one."""

from __future__ import annotations

from sympy import Expr, Symbol

from ..derive.linear import Node
from ..derive.program import quantities
from .instructions import Loop
from .lines import indented
from .printer import goes_in_vectors
from .products import SUMMED_AT_ONCE
from .sections import is_number
from .writer import SKIPPED, Writer, equation


def write_loop(writer: Writer, loop: Loop) -> list[str]:
    """Write a loop; sums over steps and samples are split into blocks of rows."""
    shapes = writer.schedule.shapes
    vectors = loop.shape and all(goes_in_vectors(statement.expr, shapes) for statement in loop.statements)
    if writer.section == "sums":
        lines = _summed_in_vectors(writer, loop) if vectors else _summed_one_by_one(writer, loop)
        blocks = [
            f"for low in range(0, T * B, {SUMMED_AT_ONCE}):",
            f"    high = min(low + {SUMMED_AT_ONCE}, T * B)",
        ]
        lines = [*blocks, *indented(lines)]
        return lines if vectors else ["if part == 0:", *indented(lines)]
    return writer.over(loop.scope, _in_vectors(writer, loop) if vectors else _one_by_one(writer, loop))


def _summed_one_by_one(writer: Writer, loop: Loop) -> list[str]:
    """Sum over blocks of rows, so that rounding grows with the blocks' number and size, not with all rows."""
    indices = tuple(f"j{axis}" for axis in range(len(loop.shape)))
    inner: list[str] = []
    for statement in loop.statements:
        term = f"sums += {writer.scalar.entry_of(statement.expr, indices)}"
        rows = ["for row in range(low, high):", *indented([*SKIPPED, term])]
        inner += [equation(statement), "sums = 0.0", *rows]
        inner.append(f"{writer.scalar.place(statement.target, indices)} += sums")
    return writer.nest(zip(indices, loop.shape, strict=True), inner)


def _summed_in_vectors(writer: Writer, loop: Loop) -> list[str]:
    """Sum over blocks of rows, a vector of entries at a time."""
    indices = ("j",) if len(loop.shape) == 1 else ("j0", "j")
    targets = {s.target: ", ".join(writer.vector.where(s.target, indices)) for s in loop.statements}
    before = [f"{writer.locals[t]} = within(load({where}, left), 0)" for t, where in targets.items()]
    after = [f"store({at}, left, load({at}, left) + {writer.locals[t]})" for t, at in targets.items()]
    writer.known, rows = set(targets), []
    for statement in loop.statements:
        variable = writer.locals[statement.target]
        rows.append(equation(statement))
        rows += _loads(writer, quantities(statement.expr), statement.expr, len(loop.shape), indices)
        rows.append(f"{variable} = {variable} + {writer.vector.entry_of(statement.expr, indices)}")
    writer.known = set()
    inner = [*before, "for row in range(low, high):", *indented([*SKIPPED, *rows]), *after]
    return _nest_in_vectors(writer, loop, inner, "part * LANES", "parts * LANES")


def _one_by_one(writer: Writer, loop: Loop) -> list[str]:
    """Go over single entries."""
    indices = tuple(f"j{axis}" for axis in range(len(loop.shape)))
    inner: list[str] = []
    for statement in loop.statements:
        sign = "+=" if statement.accumulate else "="
        target = writer.scalar.place(statement.target, indices)
        inner += [equation(statement), f"{target} {sign} {writer.scalar.entry_of(statement.expr, indices)}"]
    return writer.nest(zip(indices, loop.shape, strict=True), inner)


def _in_vectors(writer: Writer, loop: Loop) -> list[str]:
    """Go over vectors of entries; what was loaded or made stays in a variable."""
    indices = ("j",) if len(loop.shape) == 1 else ("j0", "j")
    writer.known, inner = set(), []
    for statement in loop.statements:
        target, variable = statement.target, writer.locals[statement.target]
        reads = [*quantities(statement.expr), *([target] if statement.accumulate else [])]
        inner.append(equation(statement))
        inner += _loads(writer, reads, statement.expr, len(loop.shape), indices)
        text = writer.vector.entry_of(statement.expr, indices)
        inner.append(f"{variable} = {f'{variable} + {text}' if statement.accumulate else text}")
        writer.known.add(target)
        where = ", ".join(writer.vector.where(target, indices))
        if target not in writer.unstored:
            inner.append(f"store({where}, left, {variable})")
        if is_number(statement, writer.schedule.shapes):
            inner.append(f"{variable} = load({where}, left)")
    writer.known = set()
    return _nest_in_vectors(writer, loop, inner)


def _nest_in_vectors(writer: Writer, loop: Loop, inner: list[str], first: str = "0", step: str = "LANES") -> list[str]:
    """Put lines into the loops over vectors of entries."""
    last = writer.scalar.size(loop.shape[-1])
    lines = [f"for j in range({first}, {last}, {step}):", f"    left = {last} - j", *indented(inner)]
    return writer.nest([("j0", loop.shape[0])], lines) if len(loop.shape) == 2 else lines


def _loads(writer: Writer, symbols: list[Symbol], expr: Expr, rank: int, indices: tuple[str, ...]) -> list[str]:
    """Load vectors that a statement reads at its own place and that no earlier one loaded or made."""
    lines = []
    for symbol in symbols:
        if symbol in writer.known or len(writer.schedule.shapes[symbol]) != rank:
            continue
        if any(symbol in quantities(node) for node in _moved(expr)) and not _plainly(symbol, expr):
            continue
        writer.known.add(symbol)
        lines.append(f"{writer.locals[symbol]} = {writer.vector.load(symbol, indices)}")
    return lines


def _moved(expr: Expr) -> list[Expr]:
    """Return the tensor maps in an expression, whose arguments may be read at other places."""
    return list(expr.atoms(Node))


def _plainly(symbol: Symbol, expr: Expr) -> bool:
    """Return whether an expression reads a symbol outside of tensor maps too."""
    if isinstance(expr, Node):
        return False
    return expr == symbol or any(_plainly(symbol, operand) for operand in expr.args)
