"""`Cell`: a recurrent cell as data, read from a few lines of text."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import mpmath
import sympy
from sympy import Expr, Rational, Symbol

from . import display, functions, linear
from .arithmetic import apply_mpmath
from .errors import Error, NotationError, Source, expect, expect_path, unreadable
from .linear import Shape, Shapes, shape_of
from .notation import spell, split_sign
from .shapes import infer
from .sizes import bounds, size_from, size_of
from .syntax import LONGEST_TEXT, Text, closest, exponent, is_reserved, of_a_size, read, size_names, value_names
from .written import canonical, dimension_names, negated, operands, renamed

ZOO = resources.files(__package__) / "zoo"


def previous(name: str) -> Symbol:
    """Return the symbol of a state's value at t−1.

    >>> previous("h")
    h_prev
    """
    return Symbol(f"{name}_prev")


@dataclass(frozen=True)
class Equation:
    """One line of a cell: `target = written`, with factors and terms in the author's order."""

    target: Symbol
    written: Expr


@dataclass(frozen=True)
class Cell:
    """A recurrent cell.

    Attributes:
        name: under which reports speak of it.
        doc: what it says of itself, with its source.
        inputs, states, params: name -> dimensions, as strings: {"W_xi": ("n", "m")}.
        indices: inputs that are whole numbers -> how many entries they pick from: {"w": "k"} for 0 <= w < k.
        equations: in order; a state's symbol means its value at t once assigned, and `<state>_prev` its value at t−1.
        shapes: symbol -> shape in SymPy dimensions, for every symbol of the equations.
    """

    name: str
    doc: str
    inputs: Mapping[str, tuple[str, ...]]
    states: Mapping[str, tuple[str, ...]]
    params: Mapping[str, tuple[str, ...]]
    equations: tuple[Equation, ...]
    shapes: Shapes = field(repr=False)
    indices: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The first sentence of what the cell says of itself, or its name."""
        return self.doc.strip().splitlines()[0].rstrip(".") if self.doc.strip() else self.name

    @property
    def text(self) -> str:
        """The cell in its own notation; parsing it gives the same cell again.

        >>> print(parse("x: input[m]\\nh: state[n]\\nh = tanh(W@x+U@h)").text)
        x: input[m]
        h: state[n]
        W: param[n, m]
        U: param[n, n]
        h = tanh(W @ x + U @ h)
        """
        kinds = {"input": self.inputs, "state": self.states, "param": self.params}
        lines = [f'"""{_escaped(self.doc)}"""'] if self.doc else []
        for kind, names in kinds.items():
            lines += [f"{name}: {kind}[{', '.join(d)}]" if d else f"{name}: {kind}" for name, d in names.items()]
            if kind == "input":
                lines += [f"{name}: index[{size}]" for name, size in self.indices.items()]
        states = {previous(name): Symbol(name) for name in self.states}
        lines += [f"{line.target} = {spell(renamed(line.written, states))}" for line in self.equations]
        return "\n".join(lines)

    @property
    def unread(self) -> tuple[str, ...]:
        """Values that nothing reads, neither an equation nor, as they are no states, a loss.

        >>> parse("x: input[m]\\nh: state[n]\\nh = tanh(W @ x + h)\\ny = sum(h)").unread
        ('y',)
        """
        read = {symbol for line in self.equations for symbol in line.written.atoms(Symbol)}
        targets = [line.target for line in self.equations if line.target.name not in self.states]
        return tuple(target.name for target in targets if target not in read)

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Any, ...]:
        """Go between processes as text: classes of the table's functions can't be pickled by all names."""
        return parse, (self.text, self.name)

    _repr_html_ = display.html
    _repr_latex_ = display.latex


def parse(text: str, name: str = "cell") -> Cell:
    """Read a cell from its text; nothing in the text is executed.

    Args:
        text: declarations (`x: input[m]`), then equations (`h = tanh(W @ x + U @ h + b)`).
        name: how reports and error messages call it.

    Raises:
        NotationError: with line, column and a caret, where the text isn't a cell.
        ShapeError: where shapes conflict or stay ambiguous.

    >>> parse("x: input[m]\\nh: state[n]\\nh = tanh(W @ x + U @ h + b)").params
    {'W': ('n', 'm'), 'U': ('n', 'n'), 'b': ('n',)}
    """
    expect("the text of a cell", text, str)
    expect("the name of a cell", name, str)
    taken = read(Source(name, text))
    _check_order(taken)
    shapes, _ = infer(taken)
    builder = Builder(taken, shapes)
    equations = tuple(builder.equation(line.target, line.value) for line in taken.assignments)
    _check_given_sizes(taken, shapes)
    kinds = {d.name: d.kind for d in taken.declarations}
    assigned = {line.target for line in taken.assignments}
    used = [n.id for line in taken.assignments for n in value_names(line.value)]
    params = [*(d.name for d in taken.declarations if d.kind == "param")]
    params += [n for n in dict.fromkeys(used) if n not in kinds and n not in assigned]

    def table(names: list[str]) -> dict[str, tuple[str, ...]]:
        return {n: dimension_names(shapes[n]) for n in names}

    symbols = {Symbol(n): shape for n, shape in shapes.items()}
    states = [d.name for d in taken.declarations if d.kind == "state"]
    symbols |= {previous(n): shapes[n] for n in states}
    inputs = [d.name for d in taken.declarations if d.kind == "input"]
    indices = {d.name: str(size_of(d.dimensions[0])) for d in taken.declarations if d.kind == "index"}
    return Cell(Path(name).stem, taken.doc, table(inputs), table(states), table(params), equations, symbols, indices)


def load(name: str | os.PathLike[str]) -> Cell:
    """Read a cell by its zoo name, or from the path of a .cell file.

    Raises:
        Error: when there is no such cell or file, or the file isn't text.

    >>> load("rnn").states
    {'h': ('n',)}
    """
    expect_path("the name of a cell, or the path of its file,", name)
    wanted = os.fspath(name)
    if wanted in zoo():
        return parse((ZOO / f"{wanted}.cell").read_text(encoding="utf-8"), wanted)
    path = Path(wanted)
    if path.suffix == ".model" or (resources.files(__package__) / "models" / f"{wanted}.model").is_file():
        raise Error(
            f"{wanted}: a sequence model, where a cell is wanted. `bptt cells` lists cells; "
            "`bptt derive`, `export` and `train` take models too, and `bptt.load_model` reads them."
        )
    if path.suffix not in ("", ".cell") and not path.exists():
        raise Error(f"there is no file '{wanted}'. A cell is the path of a .cell file, or a name that ships with bptt.")
    if path.suffix != ".cell" and not path.exists():
        raise Error(f"no cell is called '{wanted}'. {near_name(wanted, zoo(), '.cell')}")
    return parse(text_of(path, "Give the path of a .cell file that is there, or a name of `bptt cells`."), wanted)


def text_of(path: Path, hint: str = "") -> str:
    """Return the text of a file, as far as a text may be long.

    Args:
        path: of the file.
        hint: what to do where it can't be read.

    Raises:
        Error: when the file can't be read, or isn't text.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(LONGEST_TEXT + 1)
    except UnicodeDecodeError as error:
        raise Error(f"{path}: not text in UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x})") from None
    except OSError as error:
        raise unreadable(path, error, hint) from None


def zoo() -> list[str]:
    """Return the names of the cells that ship with bptt, sorted.

    >>> "rnn" in zoo()
    True
    """
    return sorted(entry.name.removesuffix(".cell") for entry in ZOO.iterdir() if entry.name.endswith(".cell"))


def _check_order(text: Text) -> None:
    """Refuse names declared or assigned twice, used before their assignment, and states never assigned."""
    declared: dict[str, str] = {}
    for declaration in text.declarations:
        if declaration.name in declared:
            hint = "Remove one of the two declarations."
            raise text.fail(declaration.place, f"'{declaration.name}' is declared twice", hint)
        declared[declaration.name] = declaration.kind
    states = [name for name, kind in declared.items() if kind == "state"]
    if not states:
        raise NotationError(f"{text.source.name}: no state is declared. Add a line such as 'h: state[n]'.")
    targets = {line.target: line for line in text.assignments}
    done: set[str] = set()
    for line in text.assignments:
        for name in value_names(line.value):
            _check_use(text, name, declared, targets.keys() - done, done)
        _check_sizes(text, line.value, text.sizes)
        if line.target in done:
            raise text.fail(line.place, f"'{line.target}' is assigned twice", "Give the new value a name of its own.")
        if declared.get(line.target, "state") != "state":
            kind = declared[line.target]
            hint = "Give the new value a name of its own."
            raise text.fail(line.place, f"'{line.target}' is declared as {kind} and can't be assigned", hint)
        done.add(line.target)
    for declaration in text.declarations:
        if declaration.kind == "state" and declaration.name not in targets:
            hint = f"Add an equation '{declaration.name} = ...' that gives its value at t."
            raise text.fail(declaration.place, f"the state '{declaration.name}' is never assigned", hint)


def near_name(name: str, shipped: list[str], *endings: str) -> str:
    """Return what to write instead of a name that nothing shipped has: that of a file which is there, or a near one."""
    if found := [f"{name}{ending}" for ending in endings if os.path.isfile(f"{name}{ending}")]:
        return f"There is a file '{found[0]}': give its whole name."
    return f"{closest(name, shipped)} Or give the path of a {' or '.join(endings)} file."


def dimensions_of(cell: Cell) -> list[str]:
    """Return the names of all dimensions of a cell, sorted: of its quantities, and those that its equations name.

    >>> dimensions_of(parse("x: input[m]\\nh: state[n]\\nh = W @ x / sum(ones(m))"))
    ['m', 'n']
    """
    shapes = [*cell.shapes.values(), *((size_from(entries),) for entries in cell.indices.values())]
    named = {symbol for shape in shapes for size in shape for symbol in size.atoms(Symbol)}
    named |= {s for line in cell.equations for s in line.written.atoms(Symbol) if s.is_integer}
    return sorted(symbol.name for symbol in named)


def _check_given_sizes(text: Text, shapes: Mapping[str, Shape]) -> None:
    """Refuse a dimension that nothing given to the cell has: nothing would say how large it is."""
    assigned = {line.target for line in text.assignments}
    states = {declaration.name for declaration in text.declarations}
    given = [size for name, shape in shapes.items() if name in states or name not in assigned for size in shape]
    known = {symbol.name for size in given for symbol in size.atoms(Symbol)}
    for line in text.assignments:
        _check_sizes(text, line.value, known)


def _check_sizes(text: Text, value: ast.expr, known: Collection[str]) -> None:
    """Refuse a dimension of an expression that isn't known."""
    rows = [part.slice for part in ast.walk(value) if isinstance(part, ast.Subscript)]
    for name in size_names(value):
        if name.id not in known:
            hint = closest(name.id, known) if known else "No quantity of this cell has a named dimension."
            if name in rows:
                hint += f" What picks a row by its number is declared, as in '{name.id}: index[{name.id.upper()}]'."
            raise text.fail(name, f"'{name.id}' is not a dimension of any input, state or parameter", hint)


def _check_use(text: Text, name: ast.Name, declared: Mapping[str, str], later: set[str], done: set[str]) -> None:
    if name.id in later and name.id not in declared:
        hint = "Equations run from top to bottom: move its line up, or declare it as a state."
        raise text.fail(name, f"'{name.id}' is used before it is assigned", hint)
    known = dict.fromkeys([*declared, *sorted(done)])
    if name.id not in known and name.id in text.sizes:
        raise text.fail(name, *of_a_size(name.id))
    if is_reserved(name.id):
        base = name.id.removesuffix("_prev")
        hint = f"Known here: {', '.join(known)}."
        if declared.get(base) == "state" and name.id.endswith("_prev"):
            hint += f" Before its assignment, '{base}' already means the previous value."
        raise text.fail(name, f"'{name.id}' is not defined", hint)


class Builder:
    """Python's syntax tree -> SymPy expression, unevaluated: factors and terms stay in the author's order.

    Args:
        text: whose equations are built.
        shapes: name -> shape.
        sizes: dimensions that stand for others.
    """

    def __init__(self, text: Text, shapes: Mapping[str, Shape], sizes: Mapping[Expr, Expr] | None = None) -> None:
        self.text = text
        self.sizes = sizes or {}
        self.symbols = {n: Symbol(n) for n in shapes}
        self.shapes = {Symbol(n): shape for n, shape in shapes.items()}
        for declaration in text.declarations:
            if declaration.kind == "state":
                self.symbols[declaration.name] = previous(declaration.name)
                self.shapes[previous(declaration.name)] = shapes[declaration.name]

    def equation(self, target: str, value: ast.expr) -> Equation:
        written = self.build(value)
        self.symbols[target] = Symbol(target)
        return Equation(Symbol(target), written)

    def build(self, node: ast.expr) -> Expr:
        built = self._built(node)
        if isinstance(node, ast.BinOp | ast.Call) and _is_number(built):
            value = _number(built)
            if not (isinstance(value, mpmath.mpf) and abs(value) <= sys.float_info.max):
                hint = f"It comes to {mpmath.nstr(value, 5)}."
                raise self.text.fail(node, "this is not a real number, or is past the largest float", hint)
        return built

    def _built(self, node: ast.expr) -> Expr:
        match node:
            case ast.Name(id=name):
                return self.symbols[name]
            case ast.Constant(value=value):
                return Rational(str(value))
            case ast.UnaryOp(op=op, operand=operand):
                inner = self.build(operand)
                return negated(inner) if isinstance(op, ast.USub) else inner
            case ast.Attribute(value=value):
                return linear.transposed(self.build(value))
            case ast.Subscript(value=value, slice=index):
                return self._subscript(self.build(value), index)
            case ast.BinOp(op=ast.Pow(), left=left, right=right):
                power = Rational(exponent(right))
                base = self._divisor(left) if power < 0 else self.build(left)
                return sympy.Pow(base, power, evaluate=False) if power else self._one_each(base)
            case ast.BinOp(op=ast.Div(), left=left, right=right):
                return _times(self.build(left), _inverse(self._divisor(right)))
            case ast.BinOp(op=op, left=left, right=right):
                return self._operation(op, self.build(left), self.build(right))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                if name == "ones":
                    return linear.ones(*map(self._size, arguments))
                return self._call(name, [self.build(argument) for argument in arguments])
        raise AssertionError(f"syntax let {ast.dump(node)} through")

    def _one_each(self, expr: Expr) -> Expr:
        """Return 1 for each entry of an expression."""
        shape = shape_of(expr, self.shapes)
        return linear.ones(*shape) if shape else sympy.Integer(1)

    def _divisor(self, node: ast.expr) -> Expr:
        """Build what something is divided by."""
        built = self.build(node)
        if canonical(built) == 0 or (_is_number(built) and _number(built) == 0):
            raise self.text.fail(node, "this is 0, by which nothing can be divided")
        return built

    def _operation(self, op: ast.operator, left: Expr, right: Expr) -> Expr:
        match op:
            case ast.Add():
                return sympy.Add(*operands(sympy.Add, left), right, evaluate=False)
            case ast.Sub():
                return _difference(left, right)
            case ast.Mult():
                return _times(left, right)
        ranks = len(shape_of(left, self.shapes)), len(shape_of(right, self.shapes))
        if ranks == (1, 1):
            return linear.total(_times(left, right))
        if ranks == (1, 2):
            left, right = linear.transposed(right), left
        negative, factors = split_sign(left)
        product = linear.product(_product(factors), right)
        return negated(product) if negative else product

    def _call(self, name: str, arguments: list[Expr]) -> Expr:
        first = arguments[0]
        if name in functions.FUNCTIONS:
            return functions.FUNCTIONS[name](*arguments)
        if name == "sum":
            return linear.total(first)
        if name == "norm":
            return functions.sqrt(linear.total(sympy.Pow(first, 2, evaluate=False)))
        if name == "dot":
            return linear.total(_times(*arguments))
        if name == "squared_error":
            square = sympy.Pow(_difference(*arguments), 2, evaluate=False)
            return linear.total(_times(Rational(1, 2), square))
        if name == "logistic_loss":
            return linear.total(_difference(functions.softplus(first), _times(*arguments[::-1])))
        if name == "cross_entropy" and str(arguments[1]) in self.text.indices:
            return linear.cross_entropy(first, linear.one_hot(arguments[1], shape_of(first, self.shapes)[0]))
        return linear.NODES[name](*arguments)

    def _subscript(self, value: Expr, index: ast.expr) -> Expr:
        size = shape_of(value, self.shapes)[0]
        if isinstance(index, ast.Slice):
            return linear.part(value, *(bound.xreplace(self.sizes) for bound in bounds(index, size)))
        return linear.entry(value, self._size(index))

    def _size(self, node: ast.expr) -> Expr:
        return size_of(node).xreplace(self.sizes)


def _is_number(expr: Expr) -> bool:
    """Return whether an expression is made of numbers alone: it reads no quantity and no size."""
    return not expr.has(Symbol, linear.Node)


def _number(expr: Expr) -> Any:
    """Return the value of an expression of numbers alone; nan where there is none."""
    if expr.is_Rational:
        return mpmath.mpf(expr.p) / expr.q
    if isinstance(expr, sympy.Pow):
        base = _number(expr.base)
        return mpmath.nan if base == 0 and expr.exp < 0 else apply_mpmath(sympy.Pow, base, expr.exp)
    entries = [_number(operand) for operand in expr.args]
    if isinstance(expr, sympy.Add):
        return mpmath.fsum(entries)
    return mpmath.fprod(entries) if isinstance(expr, sympy.Mul) else apply_mpmath(expr.func, *entries)


def _difference(left: Expr, right: Expr) -> Expr:
    return sympy.Add(*operands(sympy.Add, left), negated(right), evaluate=False)


def _product(factors: tuple[Expr, ...]) -> Expr:
    return sympy.Mul(*factors, evaluate=False) if len(factors) > 1 else factors[0]


def _times(left: Expr, right: Expr) -> Expr:
    """Return the product with its sign in front and without factors of 1, as it would be read from its own text."""
    negative, factors = split_sign(sympy.Mul(*operands(sympy.Mul, left), right, evaluate=False))
    return negated(_product(factors)) if negative else _product(factors)


def _inverse(expr: Expr) -> Expr:
    if isinstance(expr, sympy.Pow) and expr.exp.is_positive:
        return sympy.Pow(expr.base, -expr.exp, evaluate=False)
    return sympy.Pow(expr, -1, evaluate=False)


def _escaped(doc: str) -> str:
    """Return a text as it stands between triple quotes."""
    kept = (
        doc.replace("\\", "\\\\").replace('"', '\\"')
        if '"""' in doc or doc.endswith('"')
        else doc.replace("\\", "\\\\")
    )
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in kept)
