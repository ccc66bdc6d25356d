"""Text of formulas -> statements. Python's own syntax, read with `ast` and never executed."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from sympy import Expr

from ...derive.errors import Source
from ...derive.functions import FUNCTIONS
from ...derive.notation import spell as spelled
from ...derive.syntax import LARGEST_EXPONENT, TENSOR_FUNCTIONS, Text, closest, exponent, tree_of
from . import tree as trees
from .plain_text import is_matlab, notation
from .tree import Jacobian, Name, Tree, add, call, inv, matmul, mul, neg, number, power, transposed
from .verdict import Fault

HINT = (
    "A backward pass is read as one assignment a line: 'da_f = dc * c_prev * f * (1 - f)' or "
    "'dW_hf += outer(da_f, h_prev)', with + - * / @ **, .T, numbers, names, and the functions of the notation."
)
MODULES = ("np", "numpy", "jnp", "math", "torch", "F", "scipy", "special")
# other names that people write -> ours
ALIASES = {
    "sigma": "sigmoid", "σ": "sigmoid", "expit": "sigmoid", "logistic": "sigmoid", "logistic_sigmoid": "sigmoid",
    "maximum": "max", "minimum": "min", "fmax": "max", "fmin": "min", "absolute": "abs", "fabs": "abs",
    "atan": "arctan", "inner": "dot", "vdot": "dot", "concatenate": "concat", "hstack": "concat", "cat": "concat",
    "pow": "power",
    "heaviside": "step", "ReLU": "relu", "einsum_sum": "sum", "ln": "log", "onehot": "one_hot", "oneHot": "one_hot",
}  # fmt: skip
EXTRA = ("diag", "pad", "sum_t", "scatter")
OPERATIONS: dict[type[ast.operator], Callable[[Tree, Tree], Tree]] = {ast.Add: add, ast.Mult: mul, ast.MatMult: matmul}


@dataclass(frozen=True)
class Statement:
    """`target = value` or `target += value`.

    Attributes:
        number: of its line, from 1.
        text: as it stands there.
        target: what it assigns to.
        adds: whether it adds to its target.
        value: the right side.
        left: how the target is written, where that isn't what its name says.
        aside: whether it stands in a sentence, where it may speak of anything.
        before: what stands before the right side and is no part of it, as -η of a step of learning.
    """

    number: int
    text: str
    target: Name
    adds: bool
    value: Tree
    left: str = ""
    aside: bool = False
    before: str = ""


@dataclass(frozen=True)
class Derivative:
    """`∂h_t/∂h_k = value`.

    Attributes:
        number: of its line, from 1.
        text: as it stands there.
        target: what by what.
        value: the right side; of a gradient that comes through a window, the product in it.
        gradient: that the product is multiplied by, None where the derivative itself is stated.
        form: how: 'row' for g P, 'column' for Pᵀ g, 'turned' for P g with a product of transposed factors.
    """

    number: int
    text: str
    target: Jacobian
    value: Tree
    gradient: Name | None = None
    form: str = ""


@dataclass(frozen=True)
class Formulas:
    """A file of formulas, taken apart.

    Attributes:
        source: the file.
        declarations: lines such as `x: input[m]`, as written.
        doc: what it says of itself.
        statements: in order.
        kind: 'formulas' or 'latex'.
        spellings: how names are written in LaTeX, with a mark where the time stands.
        timed: names that are written with a time.
        derivatives: lines that state a Jacobian.
        notes: what was left alone, as words are, in sentences.
        unjudged: equations that can't be judged, with the reason in a sentence.
        faults: that were found while it was read.
        loose: whether `*` is also the product of matrices, as in MATLAB and on paper: where nothing else is one.
        ahead: names whose `_next` is what holds after this step, as in `dc_prev = dc_next * f`.
        running: variables that go from step to step, read at t+1 and assigned at t-1.
        held: parameters of which no gradient is asked for, unless one of some is given.
    """

    source: Source
    declarations: tuple[str, ...]
    doc: str
    statements: tuple[Statement, ...]
    kind: str = "formulas"
    spellings: tuple[tuple[str, str], ...] = ()
    timed: tuple[str, ...] = ()
    derivatives: tuple[Derivative, ...] = ()
    notes: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()
    ahead: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    loose: bool = False
    running: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    def spelled(self, base: str) -> str:
        """Return how a name is written in LaTeX, or the name."""
        return dict(self.spellings).get(base, base)


def read_formulas(source: Source) -> Formulas:
    """Read formulas in the cell notation.

    Raises:
        NotationError: with line, column and a caret, for what isn't a formula.

    >>> read_formulas(Source("mine", "da_f = dc * c[t-1] * f * (1 - f)")).statements[0].target
    Name(base='da_f', offset=0)
    """
    text, notes = notation(source.text)
    loose = is_matlab(source.text) or not re.search(r"@|//|\b(?:dot|outer|matmul)\(", text)
    source = Source(source.name, text)
    module, doc = tree_of(source)
    place = Text(source, doc, (), ())
    declarations, statements = [], []
    for line in (single for whole in module.body for single in _singly(whole)):
        if isinstance(line, ast.AnnAssign):
            declarations.append(ast.unparse(line))
            continue
        if isinstance(line, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.For | ast.Return):
            raise place.fail(line, "this is not a formula", f"Code is judged from a .py file. {HINT}")
        if not isinstance(line, ast.Assign | ast.AugAssign):
            raise place.fail(line, "this is not a formula", HINT)
        targets = line.targets if isinstance(line, ast.Assign) else [line.target]
        reader = _Reader(place)
        target = reader.tree(targets[0])
        value, left = reader.tree(line.value), ""
        if target.head == "call" and target.leaf == "lookup":
            left = ast.unparse(targets[0])
            target, value = target.args[0], call("scatter", value, target.args[1])
        if len(targets) != 1 or not isinstance(target.leaf, Name):
            raise place.fail(targets[0], "a formula assigns to one name", HINT)
        adds = isinstance(line, ast.AugAssign) and isinstance(line.op, ast.Add | ast.Sub)
        if isinstance(line, ast.AugAssign):
            value = _augmented(place, line, target, value)
        written = "\n".join(source.lines[line.lineno - 1 : line.end_lineno]).strip()
        if [other.lineno for other in module.body].count(line.lineno) > 1:
            written = ast.get_source_segment(source.text, line) or written
        statements.append(Statement(line.lineno, written, target.leaf, adds, value, left))
    return Formulas(source, tuple(declarations), doc, tuple(statements), notes=notes, loose=loose)


def _singly(line: ast.stmt) -> list[ast.stmt]:
    """Return `a, b = x, y` as two assignments."""
    match line:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(targets) == len(values):
            pairs = zip(targets, values, strict=True)
            return [ast.copy_location(ast.Assign([target], value), line) for target, value in pairs]
    return [line]


@cache
def tree_from(expr: Expr) -> Tree:
    """Return an expression of a program as a tree."""
    return read_formulas(Source("ours", f"y = {spelled(expr)}")).statements[0].value


def _augmented(text: Text, line: ast.AugAssign, target: Tree, value: Tree) -> Tree:
    """Return what `x -= y` adds, or what `x *= y` assigns."""
    match line.op:
        case ast.Add():
            return value
        case ast.Sub():
            return neg(value)
        case ast.Mult():
            return mul(target, value)
        case ast.Div():
            return mul(target, inv(value))
    raise text.fail(line, "a formula assigns with =, +=, -=, *= or /=", HINT)


def named(text: str) -> Name:
    """Split `c_prev` into a name and a time.

    >>> named("c_prev"), named("delta_next_f"), named("h_t_minus_1")
    (Name(base='c', offset=-1), Name(base='delta_f', offset=1), Name(base='h', offset=-1))
    """
    for pattern, offset in ENDINGS:
        if (found := re.fullmatch(pattern, text)) and (base := "".join(filter(None, found.groups()))):
            return Name(base, offset)
    return Name(text)


ENDINGS = (
    (r"(.+?)_prev", -1),
    (r"(.+?)_next", 1),
    (r"(.+?)_(?:t_minus_1|tm1)", -1),
    (r"(.+?)_(?:t_plus_1|tp1)", 1),
    (r"(.+?)(?<=[a-zA-Z])prev", -1),
    (r"(d.+?)(?<=[a-zA-Z])next", 1),
    (r"(.+?)_prev(_.+)", -1),
    (r"(.+?)_next(_.+)", 1),
    (r"prev_(.+)", -1),
    (r"next_(.+)", 1),
    (r"(.+)_t", 0),
)


class _Reader:
    """Python's syntax tree -> `Tree`."""

    def __init__(self, text: Text) -> None:
        self.text = text

    def fail(self, node: ast.expr, message: str, hint: str = HINT) -> Exception:
        return self.text.fail(node, message, hint)

    def tree(self, node: ast.expr) -> Tree:
        match node:
            case ast.Name(id=identifier):
                return Tree("name", (), named(identifier))
            case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
                return number(Fraction(str(value)))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return neg(self.tree(operand))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.tree(operand)
            case ast.BinOp(op=ast.Pow(), left=left, right=right):
                by = exponent(right)
                if by is None or abs(by) > LARGEST_EXPONENT:
                    raise self.fail(right, f"an exponent is a number, at most {LARGEST_EXPONENT}")
                return power(self.tree(left), by)
            case ast.BinOp(op=ast.Sub(), left=left, right=right):
                return add(self.tree(left), neg(self.tree(right)))
            case ast.BinOp(op=ast.Div(), left=left, right=right):
                return mul(self.tree(left), inv(self.tree(right)))
            case ast.BinOp(op=ast.FloorDiv(), left=left, right=right):
                return call("outer", self.tree(left), self.tree(right))
            case ast.BinOp(op=op, left=left, right=right) if type(op) in OPERATIONS:
                return OPERATIONS[type(op)](self.tree(left), self.tree(right))
            case ast.Attribute(value=ast.Name(id=module), attr="pi") if module in MODULES:
                return call("pi")
            case ast.Attribute(value=value, attr="T"):
                return transposed(self.tree(value))
            case ast.Subscript(value=value, slice=index):
                return self._subscript(node, value, index)
            case ast.Compare(left=left, ops=[ast.Gt() | ast.GtE()], comparators=[right]):
                return call("step", self._difference(left, right))
            case ast.Compare(left=left, ops=[ast.Lt() | ast.LtE()], comparators=[right]):
                return call("step", self._difference(right, left))
            case ast.Call(func=function, args=arguments, keywords=[]):
                return self._call(node, function, arguments)
            case ast.Call(keywords=[first, *_]):
                raise self.fail(
                    first.value, "formulas know no keywords such as axis=", "Write 'db += da', summed over t."
                )
        raise self.fail(node, "formulas do not know this")

    def _difference(self, left: ast.expr, right: ast.expr) -> Tree:
        if isinstance(right, ast.Constant) and right.value == 0:
            return self.tree(left)
        if isinstance(left, ast.Constant) and left.value == 0:
            return neg(self.tree(right))
        return add(self.tree(left), neg(self.tree(right)))

    def _subscript(self, node: ast.Subscript, value: ast.expr, index: ast.expr) -> Tree:
        inner = self.tree(value)
        match index:
            case ast.Name(id="t") if isinstance(inner.leaf, Name):
                return inner
            case ast.BinOp(left=ast.Name(id="t"), op=ast.Add() | ast.Sub() as op, right=ast.Constant(value=int(steps))):
                if isinstance(inner.leaf, Name) and abs(steps) <= 1:
                    return trees.name(inner.leaf.base, -steps if isinstance(op, ast.Sub) else steps)
                raise self.fail(index, "formulas know t-1, t and t+1")
            case ast.Slice(lower=lower, upper=upper, step=None):
                bounds = tuple("" if bound is None else ast.unparse(bound) for bound in (lower, upper))
                return Tree("part", (inner,), (bounds[0], bounds[1]))
            case ast.Slice():
                raise self.fail(node, "a slice takes no step")
        if isinstance(index, ast.Name):
            return call("lookup", inner, self.tree(index))
        return Tree("part", (inner,), (ast.unparse(index), "."))

    def _call(self, node: ast.expr, function: ast.expr, arguments: list[ast.expr]) -> Tree:
        if isinstance(function, ast.Attribute):
            root = function.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if not (isinstance(root, ast.Name) and root.id in MODULES):
                return self._method(function, arguments)
            label = {"dot": "matmul"}.get(function.attr, function.attr)
        elif isinstance(function, ast.Name):
            label = function.id
        else:
            raise self.fail(node, "this is not a function's name")
        if len(arguments) == 1 and isinstance(arguments[0], ast.Tuple | ast.List):
            arguments = arguments[0].elts
        if label in ("ones_like", "ones", "zeros_like") and isinstance(function, ast.Attribute):
            return number(int(label != "zeros_like"))
        if label == "scatter":
            arguments = arguments[:2]
        sizes = {"ones": 0, "pad": 1}.get(label, len(arguments))
        args = [self.tree(a) if i < sizes else Tree("size", (), ast.unparse(a)) for i, a in enumerate(arguments)]
        return applied(label, args) or self._refused(function, label)

    def _method(self, function: ast.Attribute, arguments: list[ast.expr]) -> Tree:
        methods = {"dot": "matmul", "sum": "sum", "transpose": "transpose", "t": "transpose", "mm": "matmul"}
        if function.attr == "copy" and not arguments:
            return self.tree(function.value)
        if function.attr not in methods:
            raise self.fail(function, f"formulas do not know the method '{function.attr}'")
        inner = [self.tree(function.value), *map(self.tree, arguments)]
        return applied(methods[function.attr], inner) or self._refused(function, function.attr)

    def _refused(self, place: ast.expr, label: str) -> Tree:
        known = [*FUNCTIONS, *TENSOR_FUNCTIONS, *EXTRA]
        if label in known:
            raise self.fail(place, f"'{label}' stands here with a wrong number of arguments")
        raise self.fail(place, f"unknown function '{label}'", closest(label, known))


def applied(label: str, args: list[Tree]) -> Tree | None:
    """Return a function applied to arguments, under whichever of its names; None where it is unknown."""
    label = ALIASES.get(label, label)
    shortcuts: dict[tuple[str, int], Callable[[], Tree | None]] = {
        ("dot", 2): lambda: call("dot", *args),
        ("matmul", 2): lambda: matmul(*args),
        ("multiply", 2): lambda: mul(*args),
        ("subtract", 2): lambda: add(args[0], neg(args[1])),
        ("add", 2): lambda: add(*args),
        ("divide", 2): lambda: mul(args[0], inv(args[1])),
        ("power", 2): lambda: _power(*args),
        ("square", 1): lambda: power(args[0], 2),
        ("reciprocal", 1): lambda: inv(args[0]),
        ("negative", 1): lambda: neg(args[0]),
        ("transpose", 1): lambda: transposed(args[0]),
        ("one_hot", 1): lambda: args[0],
        ("sum_t", 1): lambda: Tree("sum_t", tuple(args)),
    }
    if made := shortcuts.get((label, len(args))):
        return made()
    if (slope := slope_of(label)) and len(args) == 1:
        return call(slope, *args)
    counts = {**TENSOR_FUNCTIONS, **{n: (f.nargs.args[0],) * 2 for n, f in FUNCTIONS.items()}}
    counts |= {"diag": (1, 1), "pad": (3, 3), "scatter": (2, 2)}
    fewest, most = counts.get(label, (1, 0))
    return call(label, *args) if fewest <= len(args) <= most else None


def _power(base: Tree, exponent: Tree) -> Tree | None:
    return power(base, exponent.value) if exponent.head == "number" and exponent.value <= 16 else None


def slope_of(label: str) -> str | None:
    """Return the name of a function's derivative, under whichever of its names.

    >>> slope_of("dtanh"), slope_of("sigmoid_prime"), slope_of("tanh")
    ("tanh'", "sigmoid'", None)
    """
    for pattern in (r"(.+?)(?:_prime|_derivative|_grad|')", r"d_?(.+)", r"(?:grad|derivative)_(.+)"):
        if found := re.fullmatch(pattern, label):
            function = ALIASES.get(found[1], found[1])
            if function in FUNCTIONS and FUNCTIONS[function].nargs == {1}:
                return f"{function}'"
    return None
