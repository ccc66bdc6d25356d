"""Text of a cell -> declarations and assignments. Python's own syntax, read with `ast` and never executed."""

from __future__ import annotations

import ast
import difflib
import inspect
import keyword
import math
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from .errors import Error, NotationError, Source
from .functions import FUNCTIONS, arity

KINDS = ("input", "state", "param", "index")
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult, ast.Pow)
# name -> (fewest, most) arguments of the functions that aren't elementwise
TENSOR_FUNCTIONS = {
    "sum": (1, 1),
    "norm": (1, 1),
    "softmax": (1, 1),
    "dot": (2, 2),
    "outer": (2, 2),
    "concat": (2, 99),
    "ones": (1, 2),
    "lookup": (2, 2),
    "cross_entropy": (2, 2),
    "squared_error": (2, 2),
    "logistic_loss": (2, 2),
}
INDEXED = ("lookup", "cross_entropy")  # functions whose second argument may be an index
Place = ast.expr | ast.stmt
LARGEST_EXPONENT = 16
LONGEST_TEXT = 50_000
LARGEST_SIZE = 1_000_000
DEEPEST = 100
RESERVED = (
    "Names delta_… and incoming_… mean adjoints, tangent_… tangents; …_prev and …_next mean other time steps. "
    "Choose another name."
)


# what people write elsewhere -> how it is written here
SPELT = {
    **dict.fromkeys("⊙∘·×", "*"),
    **dict.fromkeys("−–", "-"),
    **dict.fromkeys("ᵀ⊤", ".T"),
    "^": "**",
    "σ": "sigmoid(u)",
    "logistic": "sigmoid(u)",
    "mean": "sum(u) / sum(ones(n))",
    "where": "geq(a, b) * u + (1 - geq(a, b)) * v",
}


@dataclass(frozen=True)
class Declaration:
    """`h: state[n]`: a name, its kind, and its dimensions as written."""

    name: str
    kind: str
    dimensions: tuple[ast.expr, ...]
    place: Place


@dataclass(frozen=True)
class Assignment:
    """`h = tanh(...)`: the target's name and the expression as Python's syntax tree."""

    target: str
    value: ast.expr
    place: Place


@dataclass(frozen=True)
class Text:
    """A cell's text taken apart: what it says of itself, what it declares, what it assigns."""

    source: Source
    doc: str
    declarations: tuple[Declaration, ...]
    assignments: tuple[Assignment, ...]

    @property
    def indices(self) -> frozenset[str]:
        """The names declared as whole numbers that pick an entry."""
        return frozenset(declaration.name for declaration in self.declarations if declaration.kind == "index")

    @property
    def sizes(self) -> frozenset[str]:
        """The names of dimensions in declarations."""
        parts = (part for declaration in self.declarations for part in declaration.dimensions)
        return frozenset(node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name))

    def fail(self, place: Place, message: str, hint: str = "", kind: type[Error] = NotationError) -> Error:
        """Return an error that points at `place` in the text."""
        line, column, width = _span(self.source, place)
        return kind(self.source.point(line, column, width, message, hint))


def read(source: Source) -> Text:
    """Take the text of a cell apart and refuse what the notation does not know.

    Raises:
        NotationError: with line, column and a caret, for a syntax error or an unknown construct.
    """
    tree, doc = tree_of(source)
    text = Text(source, doc, (), ())
    declarations, assignments = [], []
    for statement in tree.body:
        if isinstance(statement, ast.AnnAssign):
            declarations.append(declaration(text, statement))
        elif isinstance(statement, ast.Assign):
            assignments.append(assignment(text, statement))
        else:
            hint = "A cell holds declarations such as 'x: input[m]' and equations such as 'h = tanh(W @ x)'."
            if isinstance(statement, ast.For | ast.AugAssign):
                hint += " Loops, and terms of a loss, belong to a model: a .model file, or bptt.parse_model."
            if isinstance(statement, ast.AugAssign) and str(getattr(statement.target, "id", "")).startswith("d"):
                hint += " Gradients derived by hand are judged by `bptt check`."
            raise text.fail(statement, "this is neither a declaration nor an equation", hint)
    return with_lookups(replace(text, declarations=tuple(declarations), assignments=tuple(assignments)))


def tree_of(source: Source) -> tuple[ast.Module, str]:
    """Return a text as Python's syntax tree, without what it says of itself, and that.

    Raises:
        NotationError: with line, column and a caret, for a syntax error, a text that is too long or nested too deeply.
    """
    if len(source.text) > LONGEST_TEXT:
        raise NotationError(f"{source.name}: a text has at most {LONGEST_TEXT} characters, here {len(source.text)}")
    if "\0" in source.text:  # the message of Python before 3.11.4 has no place
        line, column = source.text[: source.text.index("\0")].count("\n"), source.text.index("\0")
        column -= source.text.rfind("\n", 0, column) + 1
        raise NotationError(source.point(line + 1, column, 1, "not valid: source code cannot contain null bytes", ""))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text)
    except SyntaxError as error:
        line, column = error.lineno or 1, (error.offset or 1) - 1
        found = "a number has too many digits" if "digits" in error.msg else error.msg
        column = max(column, 0)
        there = "".join(source.lines[line - 1 : line])[column : column + 1]
        hint = _spelt(there) or _keyword_hint(source, line)
        raise NotationError(source.point(line, column, 1, f"not valid: {found}", hint)) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotationError(f"{source.name}: not a cell's text: {error or 'nested too deeply'}") from None
    doc = ast.get_docstring(tree, clean=False)
    _check_depth(Text(source, "", (), ()), tree)
    if doc is not None:
        del tree.body[0]
    return tree, _cleaned(doc or "")


def with_lookups(text: Text) -> Text:
    """Write `E[w]` as `lookup(E, w)` where `w` is an index, and refuse indices that stand elsewhere."""
    marked = (replace(line, value=_Lookups(text.indices).visit(line.value)) for line in text.assignments)
    text = replace(text, assignments=tuple(marked))
    for line in text.assignments:
        _check_indices(text, line.value)
    return text


class _Lookups(ast.NodeTransformer):
    def __init__(self, indices: frozenset[str]) -> None:
        self.indices = indices

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        if not (isinstance(node.slice, ast.Name) and node.slice.id in self.indices):
            return node
        function = ast.Name("lookup", ast.Load())
        return ast.copy_location(ast.Call(ast.copy_location(function, node), [node.value, node.slice], []), node)


def _check_indices(text: Text, node: ast.expr) -> None:
    """Refuse an index that is used as a number, and a lookup by what is no index."""
    allowed: set[ast.expr] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in INDEXED:
            second = part.args[1]
            if isinstance(second, ast.Name) and second.id in text.indices:
                allowed.add(second)
            elif part.func.id == "lookup":
                raise text.fail(second, "lookup takes an index", "Declare it, as in 'w: index[k]'.")
    for name in value_names(node):
        if name.id in text.indices and name not in allowed:
            hint = f"It picks an entry, as in E[{name.id}] or cross_entropy(u, {name.id})."
            raise text.fail(name, f"'{name.id}' is an index and can't be computed with", hint)


def value_names(node: ast.expr) -> Iterator[ast.Name]:
    """Yield the names of quantities in an expression, in reading order: no functions, no sizes."""
    match node:
        case ast.Name():
            yield node
        case ast.Call(func=ast.Name(id="stack"), args=[sequence, _]):
            yield from value_names(sequence)
        case ast.Call(args=arguments) if not _is_ones(node):
            for argument in arguments:
                yield from value_names(argument)
        case ast.BinOp(left=left, right=right):
            yield from value_names(left)
            yield from value_names(right)
        case ast.UnaryOp(operand=operand) | ast.Attribute(value=operand) | ast.Subscript(value=operand):
            yield from value_names(operand)


def size_names(node: ast.expr) -> Iterator[ast.Name]:
    """Yield the names of dimensions in an expression: those in `ones(...)` and in indices."""
    quantities = set(value_names(node))
    functions = {part.func for part in ast.walk(node) if isinstance(part, ast.Call)}
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part not in quantities and part not in functions:
            yield part


def _is_ones(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ones"


def _spelt(written: str) -> str:
    return f"Here, {written} is written {SPELT[written]}." if written in SPELT else ""


def closest(name: str, known: Iterable[str]) -> str:
    """Return a hint with the known name nearest to `name`, or all of them.

    >>> closest("tnh", ["tanh", "exp"])
    "Did you mean 'tanh'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(names)}."


def _cleaned(doc: str) -> str:
    while (cleaned := inspect.cleandoc(doc).strip()) != doc:
        doc = cleaned
    return doc


def _span(source: Source, place: Place) -> tuple[int, int, int]:
    line = place.lineno
    raw = source.lines[line - 1].encode()
    last = place.end_lineno == line
    end = place.end_col_offset if last else len(raw)
    column = len(raw[: place.col_offset].decode())
    return line, column, len(raw[:end].decode()) - column


def _keyword_hint(source: Source, line: int) -> str:
    words = re.findall(r"\w+", source.lines[min(line, len(source.lines)) - 1])
    if words[:1] == ["for"]:  # a model's loop
        return "A loop reads 'for t in range(T):', and its lines stand below it, four blanks to the right."
    reserved = [word for word in words if keyword.iskeyword(word)]
    return f"'{reserved[0]}' is a word of Python's own and can't be a name." if reserved else ""


def declaration(text: Text, statement: ast.AnnAssign) -> Declaration:
    """Read a declaration."""
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
        raise text.fail(statement.annotation, "expected input, state, param or index", hint)
    for dimension in dimensions:
        _check_size(
            text, dimension, 1, "a dimension is a name, a positive whole number, or a sum of these such as n + m", hint
        )
    if len(dimensions) > 2:
        raise text.fail(statement.annotation, "a quantity has at most two dimensions", hint)
    if annotation.id == "index" and len(dimensions) != 1:
        raise text.fail(statement.annotation, "an index says how many entries it picks from", "Write 'w: index[k]'.")
    check_name(text, statement.target)
    return Declaration(statement.target.id, annotation.id, dimensions, statement)


def assignment(text: Text, statement: ast.Assign) -> Assignment:
    """Read an equation."""
    target = statement.targets[0]
    if len(statement.targets) > 1 or not isinstance(target, ast.Name):
        raise text.fail(statement, "an equation assigns to one name", "Write one 'name = expression' a line.")
    check_name(text, target)
    check_expression(text, statement.value)
    return Assignment(target.id, statement.value, target)


def check_name(text: Text, name: ast.Name) -> None:
    """Refuse a name that is a function's, or kept for what is derived."""
    if name.id in FUNCTIONS or name.id in TENSOR_FUNCTIONS:
        raise text.fail(name, f"'{name.id}' is a function and can't name a quantity", "Choose another name.")
    if is_reserved(name.id):
        raise text.fail(name, f"'{name.id}' is kept for what is derived from the cell", RESERVED)


def of_a_size(name: str) -> tuple[str, str]:
    """Return what is to be said of a size that stands in an equation as if it were a number, and what to do."""
    hint = f"As a number, it is sum(ones({name})). A parameter of that name is declared: '{name}: param'."
    return f"'{name}' is a size, which no equation can read", hint


def is_reserved(name: str) -> bool:
    """Return whether a name is kept for what is derived: adjoints, tangents, and values at other time steps."""
    return name.startswith(("delta_", "incoming_", "tangent_")) or f"_{name}".endswith(("_prev", "_next"))


def check_expression(text: Text, node: ast.expr, power: float = 1) -> None:
    """Walk an expression, which is raised to `power`, and refuse everything that the notation doesn't know."""
    match node:
        case ast.Name(id=name):
            if name in FUNCTIONS or name in TENSOR_FUNCTIONS:
                raise text.fail(
                    node, f"'{name}' is a function and stands here without arguments", f"Write {name}(...)."
                )
        case ast.Constant():
            _number(text, node)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            check_expression(text, operand, power)
        case ast.BinOp(op=ast.Pow(), left=left, right=right):
            power *= max(1, abs(_exponent(text, right)))
            if power > LARGEST_EXPONENT:
                raise text.fail(
                    right, f"powers of powers come to {power:g} here, at most {LARGEST_EXPONENT} is allowed"
                )
            check_expression(text, left, power)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in OPERATORS:
            check_expression(text, left, power)
            check_expression(text, right, power)
        case ast.Attribute(value=value, attr="T"):
            check_expression(text, value)
        case ast.Subscript(value=value, slice=index):
            check_expression(text, value)
            _check_index(text, index)
        case ast.Call(func=ast.Name() as function, args=arguments, keywords=[]):
            _check_call(text, node, function, len(arguments))
            for argument in arguments:
                if _is_ones(node):
                    _check_size(
                        text, argument, 1, "ones takes dimensions", "Write as in ones(n), ones(2) or ones(n, m)."
                    )
                else:
                    check_expression(text, argument)
        case _:
            hint = "Equations use + - * / @ **, .T, numbers, names, and the functions of the table."
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
                hint = _spelt("^")
            if isinstance(node, ast.Compare):
                hint += " Instead of a comparison, geq(a, b) is 1 where a ≥ b, and step(u) is 1 where u > 0."
            raise text.fail(node, "the cell notation does not know this", hint)


def _number(text: Text, node: ast.Constant) -> float:
    if not isinstance(node.value, int | float) or isinstance(node.value, bool):
        raise text.fail(node, f"{ast.unparse(node)} is not a number", "Write numbers such as 2, 0.5 or 1e-3.")
    if not abs(node.value) <= sys.float_info.max:
        raise text.fail(node, f"a number must be finite, at most {sys.float_info.max:.1e}")
    return node.value


def _exponent(text: Text, node: ast.expr) -> float:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant):
            _number(text, part)
    value = exponent(node)
    if value is None:
        raise text.fail(node, "an exponent must be a number", "Write exp(y * log(x)) for x to the power y.")
    if abs(value) > LARGEST_EXPONENT:
        raise text.fail(node, f"an exponent may be at most {LARGEST_EXPONENT}")
    return float(value)


def exponent(node: ast.expr) -> Fraction | None:
    """Return the number that stands as an exponent, such as 2, -0.5 or 1/3, or None where it is something else."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and math.isfinite(value):
            return Fraction(str(value))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
            inner = exponent(operand)
            return -inner if inner is not None and isinstance(op, ast.USub) else inner
        case ast.BinOp(op=ast.Div(), left=left, right=right):
            above, below = exponent(left), exponent(right)
            return above / below if above is not None and below else None
    return None


def _check_size(text: Text, node: ast.expr, least: int, message: str, hint: str = "") -> None:
    match node:
        case ast.Name():
            return
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult(), left=left, right=right):
            _check_size(text, left, 0, message, hint)
            _check_size(text, right, 0, message, hint)
        case ast.Constant(value=int(value)) if not isinstance(value, bool) and least <= value <= LARGEST_SIZE:
            return
        case _:
            raise text.fail(node, message, hint)


def _check_depth(text: Text, tree: ast.AST) -> None:
    inner: list[tuple[ast.AST, int, ast.stmt | None]] = [(tree, 0, None)]
    while inner:
        node, depth, statement = inner.pop()
        statement = node if isinstance(node, ast.stmt) else statement
        if depth > DEEPEST and statement is not None:
            hint = "Give parts of it names of their own, in equations before it."
            raise text.fail(statement, f"this is nested more than {DEEPEST} levels deep", hint)
        inner += [(child, depth + 1, statement) for child in ast.iter_child_nodes(node)]


def _check_index(text: Text, index: ast.expr) -> None:
    bounds = [index]
    if isinstance(index, ast.Slice):
        bounds = [bound for bound in (index.lower, index.upper) if bound is not None]
        if index.step is not None:
            raise text.fail(index, "a slice takes no step", "Write as in h[0:n].")
    for bound in bounds:
        _check_size(text, bound, 0, "an index is a whole number from 0, a dimension's name, or a sum such as n - 1")


def _check_call(text: Text, call: ast.Call, function: ast.Name, given: int) -> None:
    if function.id in FUNCTIONS:
        fewest = most = arity(function.id)
    elif function.id in TENSOR_FUNCTIONS:
        fewest, most = TENSOR_FUNCTIONS[function.id]
    else:
        raise text.fail(
            function,
            f"unknown function '{function.id}'",
            _spelt(function.id) or closest(function.id, [*FUNCTIONS, *TENSOR_FUNCTIONS]),
        )
    if not fewest <= given <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} or more"
        raise text.fail(call, f"{function.id} takes {wanted} argument{'s' * (wanted != '1')}, here {given}")
