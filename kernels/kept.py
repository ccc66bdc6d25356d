"""Which values lie in memory: those of functions that the backward pass needs, not those that only a function reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import sympy
from sympy import Expr, Symbol

from ..derive.functions import Elementwise
from ..derive.linear import product, shape_of
from ..derive.program import Program, Reason, Step
from ..derive.written import canonical, renamed
from .given import Array


def with_kept_functions(forward: Program, *others: Program) -> tuple[Program, ...]:
    """Name each function value inside a forward step that another program reads too, and use the name in all.

    >>> from ..derive import load, derive
    >>> lstm = derive(load("lstm"))
    >>> forward, backward = with_kept_functions(lstm.forward, lstm.backward)
    >>> print("\\n".join(str(forward).splitlines()[-2:]))
    tanh_c = tanh(c)
    h = o * tanh_c
    """
    read = {function for program in others for step in program.steps for function in _functions(step.expr)}
    names: dict[Expr, Expr] = {}
    steps: list[Step] = []
    shapes = {symbol: shape for program in (forward, *others) for symbol, shape in program.shapes.items()}
    for step in forward.steps:
        for function in _functions(step.expr):
            whole = canonical(step.expr) == canonical(function)
            if not whole and canonical(function) in set(map(canonical, read)) and function not in names:
                name = _free(function, shapes)
                shapes[name] = shape_of(function, forward.shapes)
                steps.append(Step(name, renamed(function, names), (Reason("named"),)))
                names[function] = name
        steps.append(replace(step, expr=renamed(step.expr, names)))
    made = Program(forward.inputs, tuple(steps), forward.outputs, shapes).check()
    kept = tuple(symbol for symbol in names.values() if isinstance(symbol, Symbol))
    return made, *(_renamed(program, names, kept) for program in others)


def spent(program: Program, named: Iterable[Symbol]) -> dict[Symbol, Symbol]:
    """Return value -> the function's value that is all that anybody reads of it: it may take its place in memory.

    Args:
        program: the forward program, with its kept functions.
        named: values that a user asks for.

    The function's slope is then written in its value, and the argument is made of sums and products, whose slopes are
    written in what they are made of: no adjoint or tangent reads it.

    >>> from ..derive import load, derive
    >>> spent(derive(load("rnn")).forward, ())
    {a_h: h}
    """
    readers: dict[Symbol, list[Step]] = {}
    for step in program.steps:
        for symbol in step.reads:
            readers.setdefault(symbol, []).append(step)
    made = {s.target for s in program.steps if _is_plain(s, program)} - {*named, *program.outputs}
    found = {}
    for step in program.steps:
        if isinstance(step.expr, Elementwise) and len(step.expr.args) == 1 and _slope_in_value(step.expr):
            [argument] = step.expr.args
            if argument in made and readers[argument] == [step]:
                found[argument] = step.target
    return found


def _is_plain(step: Step, program: Program) -> bool:
    """Return whether a step makes a vector of sums and products of vectors, numbers, and matrices times vectors."""

    def plain(expr: Expr) -> bool:
        if isinstance(expr, product):
            matrix, vector = expr.args
            return isinstance(matrix, Symbol) and len(program.shapes[matrix]) == 2 and plain(vector)
        if isinstance(expr, Symbol):
            return len(program.shapes[expr]) == 1
        return isinstance(expr, sympy.Number) or isinstance(expr, sympy.Add | sympy.Mul) and all(map(plain, expr.args))

    return len(program.shapes[step.target]) == 1 and plain(step.expr)


def worked_out(expr: Expr, value: Callable[[Symbol], Array]) -> Any:
    """Return what an argument that isn't kept was, from the values of which its expression is made.

    Args:
        expr: of a value in `spent`.
        value: symbol -> array, with any leading axes.
    """
    if isinstance(expr, Symbol):
        return value(expr)
    if isinstance(expr, product):
        matrix, vector = (worked_out(operand, value) for operand in expr.args)
        return (matrix @ vector[..., None])[..., 0]
    if isinstance(expr, sympy.Number):
        return float(expr)
    parts = [worked_out(operand, value) for operand in expr.args]
    return sum(parts[1:], parts[0]) if isinstance(expr, sympy.Add) else math.prod(parts[1:], start=parts[0])


def _slope_in_value(function: Elementwise) -> bool:
    """Return whether a function's slope is written in its value alone."""
    x, y = Symbol("x"), Symbol("y")
    return not sympy.sympify(function.rule.slopes[0](x, y)).has(x)


def _functions(expr: Expr) -> list[Elementwise]:
    """Return the function values in an expression, inner ones first."""
    return [part for part in sympy.postorder_traversal(expr) if isinstance(part, Elementwise)]


def _free(function: Elementwise, taken: Mapping[Symbol, object]) -> Symbol:
    [first, *others] = function.args
    stem = f"{function.rule.name}_{first}" if isinstance(first, Symbol) and not others else f"{function.rule.name}_1"
    while Symbol(stem) in taken:
        stem += "_"
    return Symbol(stem)


def _renamed(program: Program, names: dict[Expr, Expr], kept: tuple[Symbol, ...]) -> Program:
    steps = tuple(replace(step, expr=renamed(step.expr, names)) for step in program.steps)
    shapes = dict(program.shapes)
    return Program(program.inputs + kept, steps, program.outputs, shapes).check()
