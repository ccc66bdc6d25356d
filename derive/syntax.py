"""Text of a cell -> declarations and assignments. Python's own syntax, read with `ast` and never executed."""

from __future__ import annotations

import ast
import difflib
import keyword
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .errors import Error, NotationError, Source
from .functions import FUNCTIONS, arity

KINDS = ("input", "state", "param")
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@", ast.Pow: "**"}
# name -> (fewest, most) arguments of the functions that aren't elementwise
TENSOR_FUNCTIONS = {
    "sum": (1, 1),
    "norm": (1, 1),
    "softmax": (1, 1),
    "dot": (2, 2),
    "outer": (2, 2),
    "concat": (2, 99),
    "ones": (1, 2),
}
LARGEST_EXPONENT = 16


@dataclass(frozen=True)
class Declaration:
    """`h: state[n]`: a name, its kind, and its dimensions as written."""

    name: str
    kind: str
    dimensions: tuple[ast.expr, ...]
    place: ast.AST


@dataclass(frozen=True)
class Assignment:
    """`h = tanh(...)`: the target's name and the expression as Python's syntax tree."""

    target: str
    value: ast.expr
    place: ast.AST


@dataclass(frozen=True)
class Text:
    """A cell's text taken apart: what it says of itself, what it declares, what it assigns."""

    source: Source
    doc: str
    declarations: tuple[Declaration, ...]
    assignments: tuple[Assignment, ...]

    def fail(self, place: ast.AST, message: str, hint: str = "", kind: type[Error] = NotationError) -> Error:
        """Return an error that points at `place` in the text."""
        line, column, width = _span(self.source, place)
        return kind(self.source.point(line, column, width, message, hint))


def read(source: Source) -> Text:
    """Take the text of a cell apart and refuse what the notation does not know.

    Raises:
        NotationError: with line, column and a caret, for a syntax error or an unknown construct.
    """
    try:
        tree = ast.parse(source.text)
    except SyntaxError as error:
        line, column = error.lineno or 1, (error.offset or 1) - 1
        raise NotationError(
            source.point(line, max(column, 0), 1, f"not valid: {error.msg}", _keyword_hint(source, line))
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotationError(f"{source.name}: not a cell's text: {error or 'nested too deeply'}") from None
    text = Text(source, ast.get_docstring(tree) or "", (), ())
    declarations, assignments = [], []
    for statement in tree.body[1 if text.doc else 0 :]:
        if isinstance(statement, ast.AnnAssign):
            declarations.append(_declaration(text, statement))
        elif isinstance(statement, ast.Assign):
            assignments.append(_assignment(text, statement))
        else:
            hint = "A cell holds declarations such as 'x: input[m]' and equations such as 'h = tanh(W @ x)'."
            raise text.fail(statement, "this is neither a declaration nor an equation", hint)
    return Text(source, text.doc, tuple(declarations), tuple(assignments))


def value_names(node: ast.expr) -> Iterator[ast.Name]:
    """Yield the names of quantities in an expression, in reading order: no functions, no sizes."""
    match node:
        case ast.Name():
            yield node
        case ast.Call(func=ast.Name(id="ones")):
            return
        case ast.Call(args=arguments):
            for argument in arguments:
                yield from value_names(argument)
        case ast.BinOp(left=left, right=right):
            yield from value_names(left)
            yield from value_names(right)
        case ast.UnaryOp(operand=operand) | ast.Attribute(value=operand) | ast.Subscript(value=operand):
            yield from value_names(operand)


def closest(name: str, known: Iterable[str]) -> str:
    """Return a hint with the known name nearest to `name`, or all of them.

    >>> closest("tnh", ["tanh", "exp"])
    "Did you mean 'tanh'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(names)}."


def _span(source: Source, place: ast.AST) -> tuple[int, int, int]:
    line = place.lineno  # type: ignore[attr-defined]
    raw = (source.text.splitlines() or [""])[line - 1].encode()
    last = place.end_lineno == line  # type: ignore[attr-defined]
    end = place.end_col_offset if last else len(raw)  # type: ignore[attr-defined]
    column = len(raw[: place.col_offset].decode())  # type: ignore[attr-defined]
    return line, column, len(raw[:end].decode()) - column


def _keyword_hint(source: Source, line: int) -> str:
    words = source.text.splitlines()[line - 1].replace("=", " ").split() if source.text.splitlines() else []
    reserved = [word for word in words if keyword.iskeyword(word)]
    return f"'{reserved[0]}' is a word of Python's own and can't be a name." if reserved else ""


def _declaration(text: Text, statement: ast.AnnAssign) -> Declaration:
    hint = "Declare as in 'x: input[m]', 'h: state[n]', 'p: param[n]', 'V: input[L, D]', or 's: state' for a number."
    if not isinstance(statement.target, ast.Name) or statement.value is not None:
        raise text.fail(statement, "a declaration names one quantity and gives it no value", hint)
    annotation = statement.annotation
    dimensions: tuple[ast.expr, ...] = ()
    if isinstance(annotation, ast.Subscript):
        inside = annotation.slice
        dimensions = tuple(inside.elts) if isinstance(inside, ast.Tuple) else (inside,)
        annotation = annotation.value
    if not isinstance(annotation, ast.Name) or annotation.id not in KINDS:
        raise text.fail(statement.annotation, "expected input, state or param", hint)
    for dimension in dimensions:
        named = isinstance(dimension, ast.Name)
        counted = isinstance(dimension, ast.Constant) and type(dimension.value) is int and dimension.value > 0
        if not (named or counted):
            raise text.fail(dimension, "a dimension is a name or a positive whole number", hint)
    if len(dimensions) > 2:
        raise text.fail(statement.annotation, "a quantity has at most two dimensions", hint)
    _check_name(text, statement.target)
    return Declaration(statement.target.id, annotation.id, dimensions, statement)


def _assignment(text: Text, statement: ast.Assign) -> Assignment:
    target = statement.targets[0]
    if len(statement.targets) > 1 or not isinstance(target, ast.Name):
        raise text.fail(statement, "an equation assigns to one name", "Write one 'name = expression' a line.")
    _check_name(text, target)
    _check_expression(text, statement.value)
    return Assignment(target.id, statement.value, target)


def _check_name(text: Text, name: ast.Name) -> None:
    if name.id in FUNCTIONS or name.id in TENSOR_FUNCTIONS:
        raise text.fail(name, f"'{name.id}' is a function and can't name a quantity", "Choose another name.")
    if name.id.startswith(("delta_", "incoming_")) or name.id.endswith(("_prev", "_next")):
        hint = (
            "Names delta_… and incoming_… mean adjoints; …_prev and …_next mean other time steps. Choose another name."
        )
        raise text.fail(name, f"'{name.id}' is kept for what is derived from the cell", hint)


def _check_expression(text: Text, node: ast.expr) -> None:
    """Walk an expression and refuse everything that the notation doesn't know."""
    match node:
        case ast.Name():
            return
        case ast.Constant(value=value):
            if type(value) not in (int, float):
                raise text.fail(node, f"{value!r} is not a number")
            if value != value or abs(value) == float("inf"):
                raise text.fail(node, "a number must be finite")
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check_expression(text, operand)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in OPERATORS:
            _check_expression(text, left)
            if isinstance(op, ast.Pow):
                _check_exponent(text, right)
            _check_expression(text, right)
        case ast.Attribute(value=value, attr="T"):
            _check_expression(text, value)
        case ast.Subscript(value=value, slice=index):
            _check_expression(text, value)
            _check_index(text, index)
        case ast.Call(func=ast.Name() as function, args=arguments, keywords=[]):
            _check_call(text, node, function, len(arguments))
            for argument in arguments:
                _check_expression(text, argument)
        case _:
            hint = "Equations use + - * / @ **, .T, numbers, names, and the functions of the table."
            raise text.fail(node, "the cell notation does not know this", hint)


def _check_exponent(text: Text, node: ast.expr) -> None:
    number = node.operand if isinstance(node, ast.UnaryOp) else node
    if not isinstance(number, ast.Constant) or type(number.value) not in (int, float):
        raise text.fail(node, "an exponent must be a number", "Write exp(y * log(x)) for x to the power y.")
    if abs(number.value) > LARGEST_EXPONENT:
        raise text.fail(node, f"an exponent may be at most {LARGEST_EXPONENT}")


def _check_index(text: Text, index: ast.expr) -> None:
    bounds = [index]
    if isinstance(index, ast.Slice):
        bounds = [bound for bound in (index.lower, index.upper) if bound is not None]
        if index.step is not None:
            raise text.fail(index, "a slice takes no step")
    for bound in bounds:
        counted = isinstance(bound, ast.Constant) and type(bound.value) is int and bound.value >= 0
        if not (counted or isinstance(bound, ast.Name)):
            raise text.fail(bound, "an index is a whole number from 0, or a dimension's name")


def _check_call(text: Text, call: ast.Call, function: ast.Name, given: int) -> None:
    if function.id in FUNCTIONS:
        fewest = most = arity(function.id)
    elif function.id in TENSOR_FUNCTIONS:
        fewest, most = TENSOR_FUNCTIONS[function.id]
    else:
        raise text.fail(
            function, f"unknown function '{function.id}'", closest(function.id, [*FUNCTIONS, *TENSOR_FUNCTIONS])
        )
    if not fewest <= given <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} or more"
        raise text.fail(call, f"{function.id} takes {wanted} argument{'s' * (wanted != '1')}, here {given}")
