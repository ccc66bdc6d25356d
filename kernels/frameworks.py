"""A cell as a module of PyTorch or JAX: readable source that stands alone, from the cell's own equations.

One step is written for one sequence, so that its lines are the cell's lines; `vmap` carries it over the batch, a loop
or `lax.scan` over time, and the framework differentiates it.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version

import sympy
from sympy import Expr, Symbol

from ..derive.arithmetic import apply_float
from ..derive.cell import Cell, previous
from ..derive.derivation import derive
from ..derive.errors import Error
from ..derive.functions import Elementwise
from ..derive.interpret import evaluate
from ..derive.linear import Shapes, shape_of
from ..derive.notation import ATOM, Piece, Printer
from ..derive.program import depending, forward_program, quantities
from ..derive.syntax import closest
from .initial import is_bias

RESERVED = {"torch", "jax", "jnp", "params", "inputs", "states", "state", "self", "step", "sizes", "dtype"}


@dataclass(frozen=True)
class Framework:
    """How a framework writes what cells are made of.

    Attributes:
        title: its name.
        module: of its arrays.
        functions: our name of an elementwise function -> a format of its arguments; others are the module's own.
        maps: the same for maps between tensors.
    """

    title: str
    module: str
    functions: Mapping[str, str]
    maps: Mapping[str, str]


TORCH = Framework(
    "PyTorch",
    "torch",
    {
        "max": "torch.maximum({0}, torch.as_tensor({1}))",
        "min": "torch.minimum({0}, torch.as_tensor({1}))",
        "step": "({0} > 0).to({0}.dtype)",
        "softplus": "torch.logaddexp({0}, torch.zeros_like({0}))",
        "silu": "torch.nn.functional.silu({0})",
    },
    {
        "total": "torch.sum({0})",
        "concat": "torch.cat([{all}])",
        "softmax": "torch.softmax({0}, -1)",
        "lookup": "torch.nn.functional.embedding({1}, {0})",
        "lookup_number": "torch.nn.functional.embedding({1}, {0}[:, None])[..., 0]",
    },
)
JAX = Framework(
    "JAX",
    "jnp",
    {
        "max": "jnp.maximum({0}, {1})",
        "min": "jnp.minimum({0}, {1})",
        "step": "jnp.heaviside({0}, 0)",
        "sigmoid": "jax.nn.sigmoid({0})",
        "relu": "jax.nn.relu({0})",
        "softplus": "jax.nn.softplus({0})",
        "silu": "jax.nn.silu({0})",
        "erf": "jax.scipy.special.erf({0})",
    },
    {
        "total": "jnp.sum({0})",
        "concat": "jnp.concatenate([{all}])",
        "softmax": "jax.nn.softmax({0})",
        "lookup": "{0}[{1}]",
        "lookup_number": "{0}[{1}]",
    },
)


class _Printer(Printer):
    """Prints an expression of one sequence's step for a framework."""

    def __init__(self, framework: Framework, names: Mapping[Symbol, str], shapes: Shapes) -> None:
        self.framework = framework
        self.names = names
        self.shapes = shapes

    def symbol(self, symbol: Symbol) -> Piece:
        return self.names.get(symbol, symbol.name), ATOM

    def constant(self, number: sympy.NumberSymbol) -> Piece:
        return repr(float(number)), ATOM

    def function(self, expr: Elementwise) -> Piece:
        if not expr.atoms(Symbol):
            return repr(float(evaluate(expr, {}, {}, apply_float))), ATOM
        name = expr.rule.name
        args = expr.args
        if name in ("max", "min") and not quantities(args[0]):
            args = args[::-1]
        written = self.framework.functions.get(name, f"{self.framework.module}.{name}({{0}})")
        return written.format(*map(self.show, args)), ATOM

    def mapped(self, name: str, *args: Expr) -> Piece:
        shown = list(map(self.show, args))
        return self.framework.maps[name].format(*shown, all=", ".join(shown)), ATOM

    def outer(self, left: Expr, right: Expr) -> Piece:
        return self.call(f"{self.framework.module}.outer", left, right)

    def total(self, argument: Expr) -> Piece:
        return self.mapped("total", argument)

    def concat(self, *pieces: Expr) -> Piece:
        return self.mapped("concat", *pieces)

    def softmax(self, vector: Expr) -> Piece:
        return self.mapped("softmax", vector)

    def lookup(self, table: Expr, index: Symbol) -> Piece:
        return self.mapped("lookup" if len(shape_of(table, self.shapes)) > 1 else "lookup_number", table, index)

    def ones(self, *sizes: Expr) -> Piece:
        return f"{self.framework.module}.ones(({', '.join(map(self.show, sizes))},), dtype=dtype)", ATOM

    def part(self, vector: Expr, start: Expr, stop: Expr) -> Piece:
        return f"{self.show(vector, ATOM)}[..., {self.show(start)}:{self.show(stop)}]", ATOM

    def entry(self, vector: Expr, index: Expr) -> Piece:
        return f"{self.show(vector, ATOM)}[..., {self.show(index)}]", ATOM

    def other(self, expr: Expr) -> Piece:
        raise Error(f"{expr} can't be written for {self.framework.title}")

    def _refused(self, *args: Expr) -> Piece:
        raise Error(f"{type(self).__name__}: only parts of a model, not of a cell")

    pad = scatter = cross_entropy = _refused  # type: ignore[assignment]  # of any count


def export(cell: Cell, framework: str) -> str:
    """Return a cell as a module in another framework's own terms, which imports nothing else.

    The PyTorch module holds `Cell`, a `torch.nn.Module` whose call takes inputs (T, B, ...) and gives each state after
    each step; the JAX module holds `init` and `run`, which does the same.

    Args:
        cell: any.
        framework: "torch" or "jax".

    Raises:
        Error: for another framework.

    >>> from ..derive import load
    >>> print("\\n".join(line for line in export(load("rnn"), "torch").splitlines() if " = torch.tanh" in line))
        h = torch.tanh(W_hh @ h_prev + W_xh @ x + b_h)
    """
    if framework not in WRITERS:
        raise Error(f"no framework is called '{framework}'. {closest(framework, WRITERS)}")
    return WRITERS[framework](cell)


def _names(cell: Cell) -> dict[Symbol, str]:
    """Return what each quantity and size is called: its own name, with a line after it where that is taken."""
    values = [*map(Symbol, cell.indices), *cell.shapes, *map(previous, cell.states)]
    sizes = [size for line in cell.equations for size in line.written.atoms(Symbol) if size.is_integer]
    taken = RESERVED | set(keyword.kwlist)
    names = {symbol: f"{symbol.name}_" if symbol.name in taken else symbol.name for symbol in values}
    taken |= set(names.values())
    return names | {size: f"{size.name}_" if size.name in taken else size.name for size in sorted(sizes, key=str)}


def _step(cell: Cell, framework: Framework) -> list[str]:
    """Return the lines of `step`."""
    names = _names(cell)
    printer = _Printer(framework, names, cell.shapes)
    body = [f"{names[line.target]} = {printer.show(line.written)}" for line in cell.equations]
    used = {symbol for line in cell.equations for symbol in line.written.atoms(Symbol)}
    given = {
        "params": [(name, Symbol(name)) for name in cell.params],
        "inputs": [(name, Symbol(name)) for name in (*cell.inputs, *cell.indices)],
        "states": [(name, previous(name)) for name in cell.states],
    }
    lines = ["def step(params, inputs, states):", '    """Return the states after one step of one sequence."""']
    for table, entries in given.items():
        for name, symbol in entries:
            if symbol in used:
                lines.append(f'    {names[symbol]} = {table}["{name}"]')
    lines += [f"    {line}" for line in _lengths(cell, names, used)]
    if any("dtype=dtype" in line for line in body):
        lines.append("    dtype = next(iter(states.values())).dtype")
    lines += [f"    {line}" for line in body]
    program = forward_program(cell)
    moved = depending(program, program.inputs)
    values = {name: names[Symbol(name)] for name in cell.states}
    for name in cell.states:
        if Symbol(name) not in moved:  # a number, of which a batch is made
            values[name] = f'{framework.module}.zeros_like(states["{name}"]) + {values[name]}'
    results = ", ".join(f'"{name}": {value}' for name, value in values.items())
    return [*lines, f"    return {{{results}}}"]


def _lengths(cell: Cell, names: Mapping[Symbol, str], used: set[Symbol]) -> list[str]:
    """Return lines that find the sizes which the equations name."""
    found: dict[Symbol, str] = {}
    tables = {Symbol(name): shape for table in (cell.params, cell.inputs) for name, shape in table.items()}
    tables |= {previous(name): shape for name, shape in cell.states.items()}
    sizes = {symbol.name: symbol for symbol in sorted(used, key=str) if symbol.is_integer}
    for symbol, shape in tables.items():
        for place, length in enumerate(shape):
            if symbol in used and length in sizes:
                found.setdefault(sizes[length], f"{names[sizes[length]]} = {names[symbol]}.shape[{place}]")
    return list(found.values())


def _sizes(cell: Cell) -> list[str]:
    """Return the names of a cell's dimensions, those of inputs first."""
    shapes = [*cell.inputs.values(), *([size] for size in cell.indices.values()), *cell.states.values()]
    symbols = [
        s.name for shape in cell.shapes.values() for length in shape for s in sorted(length.atoms(Symbol), key=str)
    ]
    plain = [length for shape in shapes for length in shape if length.isidentifier()]
    return list(dict.fromkeys([*plain, *symbols]))


def _tuple(shape: tuple[str, ...]) -> str:
    return f"({', '.join(shape)}{',' * (len(shape) == 1)})"


def _title(cell: Cell) -> str:
    """Return what a cell is called, as it may stand in a docstring."""
    return cell.title.replace("\\", "\\\\").replace('"', "'")


def _doc(cell: Cell, framework: Framework) -> list[str]:
    return [
        f'"""{_title(cell)}.',
        "",
        f"Written for {framework.title} by bptt {version('bptt')} from the cell's equations; it needs nothing of bptt.",
        '"""',
        "",
    ]


def _drawn(cell: Cell, normal: str, zeros: str) -> Iterator[tuple[str, str]]:
    """Give (parameter, how it is drawn): a bias starts at 0, all else is Gaussian with variance 1 / columns.

    Args:
        cell: whose parameters they are.
        normal, zeros: formats of a shape.
    """
    derivation = derive(cell)
    for name, shape in cell.params.items():
        columns = shape[-1] if shape else "1"
        scale = f" / {columns}**0.5" if columns.isidentifier() else f" / ({columns}) ** 0.5"
        bias = is_bias(derivation, Symbol(name))
        yield name, zeros.format(_tuple(shape)) if bias else normal.format(_tuple(shape)) + scale


def _torch(cell: Cell) -> str:
    names = [*cell.inputs, *cell.indices]
    lines = [*_doc(cell, TORCH), "import torch", "", "", *_step(cell, TORCH), "", ""]
    sizes = ", ".join(_sizes(cell))
    lines += ["class Cell(torch.nn.Module):", f'    """{_title(cell)}, over sequences."""', ""]
    lines += [f"    def __init__(self{', ' if sizes else ''}{sizes}, dtype=None):", "        super().__init__()"]
    for name, drawn in _drawn(cell, "torch.randn({}, dtype=dtype)", "torch.zeros({}, dtype=dtype)"):
        lines.append(f'        self.register_parameter("{name}", torch.nn.Parameter({drawn}))')
    shapes = ", ".join(f'"{name}": {_tuple(shape)}' for name, shape in cell.states.items())
    lines += [f"        self.shapes = {{{shapes}}}", ""]
    lines += [
        "    def forward(self, inputs, states=None, steps=None):",
        '        """Return each state after each step, {name: (T, B, ...)}.',
        "",
        f"        inputs: {_told(cell)};",
        "        states: those before the first step, {name: (B, ...)}, zeros where left out;",
        "        steps: T, for a cell without inputs.",
        '        """',
        "        params = dict(self.named_parameters(recurse=False))",
    ]
    first = f'inputs["{names[0]}"]' if names else "next(iter(states.values()))"
    like = "next(iter(params.values()))" if cell.params else first
    lines += [
        f"        B = {first}.shape[{1 if names else 0}]",
        *([f"        steps = {first}.shape[0]"] if names else []),
        f"        zeros = {{name: {like}.new_zeros((B, *shape)) for name, shape in self.shapes.items()}}",
        "        states = {**zeros, **(states or {})}",
        f"        batched = torch.vmap(step, in_dims=(None, {'0' if names else 'None'}, 0))",
        "        found = []",
        "        for t in range(steps):",
        "            now = {name: array[t] for name, array in inputs.items()}",
        "            states = batched(params, now, states)",
        "            found.append(states)",
        "        return {name: torch.stack([states[name] for states in found]) for name in self.shapes}",
    ]
    return "\n".join(lines) + "\n"


def _told(cell: Cell) -> str:
    """Return what the inputs are, for a docstring."""
    given = [f'"{name}": (T, B{"".join(f", {length}" for length in shape)})' for name, shape in cell.inputs.items()]
    given += [f'"{name}": (T, B) whole numbers' for name in cell.indices]
    return f"{{{', '.join(given)}}}"


def _jax(cell: Cell) -> str:
    names = [*cell.inputs, *cell.indices]
    sizes = ", ".join(_sizes(cell))
    lines = [*_doc(cell, JAX), "import jax", "import jax.numpy as jnp", "", "", *_step(cell, JAX), "", ""]
    lines += [
        f"def init(key{', ' if sizes else ''}{sizes}, dtype=jnp.float32):",
        '    """Return parameters, drawn anew."""',
    ]
    lines += [f"    keys = iter(jax.random.split(key, {max(1, len(cell.params))}))", "    return {"]
    drawn = _drawn(cell, "jax.random.normal(next(keys), {}, dtype)", "jnp.zeros({}, dtype)")
    lines += [f'        "{name}": {how},' for name, how in drawn]
    lines += ["    }", "", ""]
    lines += [
        "def run(params, inputs, states, steps=None):",
        '    """Return each state after each step, {name: (T, B, ...)}.',
        "",
        f"    inputs: {_told(cell)};",
        "    states: those before the first step, {name: (B, ...)}, all of them;",
        "    steps: T, for a cell without inputs.",
        '    """',
        f"    batched = jax.vmap(step, in_axes=(None, {'0' if names else 'None'}, 0))",
        "",
        "    def one(states, now):",
        "        states = batched(params, now, states)",
        "        return states, states",
        "",
        "    return jax.lax.scan(one, states, inputs, length=steps)[1]",
    ]
    return "\n".join(lines) + "\n"


WRITERS: dict[str, Callable[[Cell], str]] = {"torch": _torch, "jax": _jax}
