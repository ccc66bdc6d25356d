"""Which of somebody's statements compute which quantity: told from the values that their variables hold."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

import numpy as np
from sympy import Add, Expr, Symbol

from ...derive.linear import Node
from ...derive.notation import spell
from ...derive.program import quantities
from ...derive.written import operands, renamed
from .code_adapter import Array, Calling, Path
from .code_backward import left_behind
from .code_diagnosis import Comparison
from .code_edit import spelled
from .code_engine import RIGHT
from .code_flow import reads_any
from .code_mutants import Mutant
from .code_names import alike, plain
from .code_repairs import Bench
from .code_subject import Subject
from .code_traced import Ran, held, traced
from .code_watch import Watched
from .verdict import Line


def places(
    subject: Subject,
    calling: Calling,
    values: Mapping[str, Array],
    seeds: Mapping[Path, Array],
    theirs: Mapping[str, Array],
    comparison: Comparison,
    found: Iterable[Mutant],
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the lines of the statements that compute what the mutants change, the likeliest last, and what is right.

    What is right is the derived right side in the names of the code, and each term of it, where every quantity there
    has a variable or comes of some that have.

    The mutants explain every gradient, so that at the last step back the variables of the code hold what the changed
    backward pass holds: a statement is told by the value of its target.
    """
    mutants = list(found)
    change = RIGHT
    for mutant in mutants:
        change = change | mutant.change
    first: list[dict[str, Array]] = []
    comparison.engine.backward(comparison.probe, comparison.trace, change, first)
    wanted = [mutant.target.name for mutant in mutants if mutant.target is not None]
    wanted += [symbol.name for symbol in change.only]
    wanted += [f"delta_{name}" for name in sorted(change.uncarried | change.silent)]
    ran = traced(subject, lambda: subject.run(calling, values), lambda: left_behind(subject, calling, values, seeds))
    steps = comparison.match.derivation.backward.steps
    right = [step.expr for step in steps if step.target.name in wanted]
    right += [term for expr in right for term in operands(Add, expr) if term != expr]
    made = {step.target: step.expr for step in (*comparison.match.derivation.forward.steps, *steps)}
    ours = tuple(text for at in ran for expr in right if (text := _in_their_names(expr, at, first, made)))
    for _ in range(3):  # a quantity may have no variable of its own: then those that it goes into
        wholes = [np.stack([sample[name] for sample in first]) for name in wanted]
        params = {name.removeprefix("delta_") for name in wanted}
        arrays = [theirs[b.place] for b in comparison.match.blocks if b.param in params and b.place in theirs]
        dead = all(not np.abs(whole).max(initial=0.0) for whole in wholes)
        if dead and all(mutant.kind == "dropped carry" for mutant in mutants):
            return (), ours
        if lines := _lines(ran, wholes, arrays, {plain(name) for name in wanted}):
            return tuple(sorted(lines, reverse=dead)), ours
        wanted = [step.target.name for step in steps if any(symbol.name in wanted for symbol in step.reads)]
    return (), ours


def judged_lines(bench: Bench, wrong: Mapping[int, str]) -> tuple[Line, ...]:
    """Return every assignment of a backward pass whose faults are mended, with what it computes and why it is right.

    Args:
        bench: with all repairs in force.
        wrong: number of a line that was wrong -> its text.
    """
    found = bench.watched()
    rows: dict[int, Line] = {}
    parts_at: dict[int, list[Watched]] = {}
    for at in found:
        parts_at.setdefault(at.statement.lineno, []).append(at)
    right = {number: _quantities(bench, parts) for number, parts in parts_at.items()}
    for number, parts in sorted(parts_at.items()):
        statement = parts[0].statement
        text = spelled(statement)
        quantity = ", ".join(right[number])
        place = next((n for n in wrong if number <= n <= (statement.end_lineno or number)), None)
        if place is not None:
            rows[number] = Line(place, wrong[place], quantity, False)
        elif quantity:
            why = "the forward pass gives the same by complex steps, at every step in time"
            rows[number] = Line(number, text, quantity, True, why)
        else:
            readers = [n for n in right if n != number and reads_any(parts_at[n][0].statement, statement)]
            into = min((n for n in readers if n > number), default=0)
            begins = not any(value.any() for at in parts_at[number] for value in at.values)
            alone = "what is added up starts at 0" if begins else "all gradients that it reaches are right"
            why = f"part of what line {into} computes" if into else alone
            rows[number] = Line(number, text, quantity, True, why)
    return tuple(rows.values())


def _quantities(bench: Bench, parts: list[Watched]) -> list[str]:
    """Return the adjoints that the targets of a statement hold."""
    names = []
    for at in parts:
        best = sorted(bench.known.of(at), key=lambda a: (-alike(at.text, a.of), a.total, len(a.of)))
        if best:
            names.append(f"∂L/∂{best[0].of}" if best[0].of.isidentifier() else f"∂L/∂({best[0].of})")
    return list(dict.fromkeys(names))


def _lines(ran: list[Ran], wholes: list[Array], arrays: list[Array], names: set[str]) -> set[int]:
    """Return the lines of the statements whose targets hold one of these quantities, or one of these gradients.

    Zeros say nothing: among variables that hold them, those with a fitting name are taken where there are any.
    """
    lines: set[int] = set()
    named: set[int] = set()
    dead = not any(np.abs(whole).max(initial=0.0) for whole in wholes)
    for at in ran:
        for node in ast.walk(at.tree):
            if isinstance(node, ast.Assign | ast.AugAssign) and node.lineno in at.lines:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                parts = [p for t in targets for p in (t.elts if isinstance(t, ast.Tuple) else [t])]
                if _is_copy(node) and not any(plain(ast.unparse(part)) in names for part in parts):
                    continue
                held_here = [held(at.scope, text) for text in map(ast.unparse, parts) if not dead or text[0] in "dg"]
                if any(_is(value, whole) for value in held_here for whole in wholes) or any(
                    isinstance(value, np.ndarray) and value.shape == array.shape and np.array_equal(value, array)
                    for value in held_here
                    for array in arrays
                ):
                    lines.add(node.lineno)
                    named |= {node.lineno for part in parts if dead and plain(ast.unparse(part)) in names}
    return named or lines


def _is_copy(statement: ast.Assign | ast.AugAssign) -> bool:
    """Return whether a statement gives another name to what a variable holds."""
    return isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name)


def _in_their_names(expr: Expr, at: Ran, first: list[dict[str, Array]], made: Mapping[Symbol, Expr]) -> str:
    """Return an expression in the names of the code, "" where there are none for what it reads."""
    named = _named(expr, at, first, made)
    return "" if named is None else spell(named).replace("tanh(", "np.tanh(").replace("exp(", "np.exp(")


def _named(expr: Expr, at: Ran, first: list[dict[str, Array]], made: Mapping[Symbol, Expr]) -> Expr | None:
    """Return an expression without matrix products, each quantity as the variable that holds it or as what makes it."""
    if expr.has(Node):
        return None
    names: dict[Symbol, Expr] = {}
    for symbol in quantities(expr):
        if variable := _variable(symbol, at, first):
            names[symbol] = Symbol(variable)
        elif symbol in made and (whole := _named(made[symbol], at, first, made)) is not None:
            names[symbol] = whole
        else:
            return None
    return renamed(expr, names)


def _variable(symbol: Symbol, at: Ran, first: list[dict[str, Array]]) -> str:
    """Return the variable of the code that holds a quantity, "" where there is none."""
    if not all(symbol.name in sample for sample in first):
        return ""
    whole = np.stack([sample[symbol.name] for sample in first])
    dead = not np.abs(whole).max(initial=0.0)  # zeros say nothing: then a name must say that it is a gradient
    local = at.function.__code__.co_varnames
    held_by = [name for name in local if _is(at.scope.get(name), whole) and (not dead or name[0] in "dg")]
    said = symbol.name.removeprefix("delta_")
    return max(held_by, key=lambda name: alike(name, said), default="")


def _is(value: object, whole: Array) -> bool:
    """Return whether a variable holds a quantity of every sample, as rows, columns, or of the only one."""
    if not isinstance(value, np.ndarray) or not value.ndim:
        return False
    for form in (whole, whole.T, whole[0], whole[0][..., None]):
        if value.shape == np.shape(form) and np.abs(value - form).max() <= 1e-9 * np.abs(form).max():
            return True
    return False
