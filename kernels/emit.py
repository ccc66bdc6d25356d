"""`Schedule` -> the source of a Python module: readable, standing alone, compiled by Numba or run as plain Python."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sympy import Expr, Symbol

from ..derive.functions import Elementwise
from ..derive.linear import transpose
from ..derive.notation import spell
from ..derive.program import quantities
from .printer import EntryPrinter, function_name
from .schedule import (
    ALL,
    ONCE,
    TIME,
    Contract,
    Dot,
    Instruction,
    Loop,
    OuterSum,
    Schedule,
    Softmax,
    Statement,
    Total,
    expressions,
    functions,
    targets,
)

RESERVED = {"T", "B", "t", "s", "np", "math", "njit", "total", "largest", "j0", "j1", "k"} | set(dir(builtins))
SECTIONS = ("prologue", "forward", "backward", "gradients", "epilogue")
DECORATOR = '@njit(cache=True, error_model="numpy")'
HELPER = '@njit(error_model="numpy")'  # compiled into its callers, whose code is what the cache keeps
PURPOSE = {
    "prologue": "Compute what depends on parameters alone.",
    "forward": "Run all steps. States have a row per step; row t of a `_prev` array is the state before step t.",
    "backward": "Go back through all steps, from the gradients that reach each state from outside.",
    "gradients": "Sum the gradients of parameters over steps and samples, and take those of inputs.",
    "epilogue": "Carry summed gradients back through the prologue.",
}


@dataclass(frozen=True)
class Emitted:
    """A generated module.

    Attributes:
        source: its text.
        arguments: function -> names of its arguments in order: "T", "B", "size_n", then arrays.
        arrays: array's name -> its symbol.
        names: symbol -> its array's name.
        sizes: dimension -> the argument that holds its size.
    """

    source: str
    arguments: Mapping[str, tuple[str, ...]]
    arrays: Mapping[str, Symbol]
    names: Mapping[Symbol, str]
    sizes: Mapping[str, str]


def emit(schedule: Schedule) -> Emitted:
    """Write the module of a schedule.

    >>> from ..derive import load, derive
    >>> from .schedule import schedule
    >>> module = emit(schedule(derive(load("rnn"))))
    >>> module.arguments["forward"]
    ('T', 'B', 'size_n', 'size_m', 'W_xh', 'x', 'p2', 'W_hh', 'h_prev', 'p1', 'b_h', 'a_h', 'h')
    """
    return _Emitter(schedule).module()


class _Emitter:
    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        helpers = {function_name(function.rule.name) for function in functions(schedule)}
        self.names = _identifiers(schedule.shapes, helpers)
        sizes = {s.name for shape in schedule.shapes.values() for part in shape for s in part.atoms(Symbol)}
        taken = set(self.names.values())
        self.sizes = {name: _free(f"size_{name}", taken) for name in sorted(sizes)}
        self.printer = EntryPrinter(self.names, self.sizes, schedule.shapes, schedule.kept)
        self.arguments: dict[str, tuple[str, ...]] = {}

    def module(self) -> Emitted:
        schedule, cell = self.schedule, self.schedule.derivation.cell
        bodies = {
            "prologue": (schedule.prologue, (), ()),
            "forward": (schedule.before, schedule.forward, ()),
            "backward": ((), (), schedule.backward),
            "gradients": (schedule.after, (), ()),
            "epilogue": (schedule.epilogue, (), ()),
        }
        definition = replace(cell, doc="").text
        doc = _safe(cell.doc.strip() or cell.name)
        head = f'"""{doc}\n\nGenerated: edit the definition instead.\n\n{definition}\n"""'
        imports = "import math\n\nimport numpy as np\nfrom numba import njit"
        parts = [f"{head}\n\n{imports}", *(self._helper(function) for function in functions(schedule))]
        parts += [self._function(name, *bodies[name]) for name in SECTIONS]
        arrays = {name: symbol for symbol, name in self.names.items()}
        return Emitted("\n\n\n".join(parts) + "\n", self.arguments, arrays, self.names, self.sizes)

    @staticmethod
    def _helper(function: type[Elementwise]) -> str:
        rule = function.rule
        arguments = "x" if len(rule.slopes) == 1 else "a, b"
        return f"{HELPER}\ndef {function_name(rule.name)}({arguments}):\n    return {rule.code}"

    def _function(
        self, name: str, whole: Iterable[Instruction], onward: Iterable[Instruction], back: Iterable[Instruction]
    ) -> str:
        lines: list[str] = []
        for instruction in whole:
            lines += self._instruction(instruction)
        for steps, span in ((tuple(onward), "range(T)"), (tuple(back), "range(T - 1, -1, -1)")):
            if steps:
                lines.append(f"for t in {span}:")
                for instruction in steps:
                    lines += _indented(self._instruction(instruction))
        instructions = (*whole, *onward, *back)
        used = _used(instructions)
        sizes = dict.fromkeys(
            s.name
            for shape in (*(self.schedule.shapes[symbol] for symbol in used), *map(expressions, instructions))
            for part in shape
            for s in sorted(part.atoms(Symbol), key=str)
            if s.is_integer
        )
        arguments = ("T", "B", *(self.sizes[size] for size in sizes), *(self.names[symbol] for symbol in used))
        self.arguments[name] = arguments
        signature = _wrapped(f"def {name}(", arguments)
        body = [f'"""{PURPOSE[name]}"""', *lines] if lines else [f'"""{PURPOSE[name]} Nothing here."""']
        return "\n".join([DECORATOR, signature, *_indented(body)])

    def _instruction(self, instruction: Instruction) -> list[str]:
        match instruction:
            case Loop():
                return self._loop(instruction)
            case Dot():
                return self._dot(instruction)
            case Contract():
                return self._contract(instruction)
            case OuterSum():
                return self._outer_sum(instruction)
            case Total():
                return self._total(instruction)
        return self._softmax(instruction)

    def _loop(self, loop: Loop) -> list[str]:
        indices = tuple(f"j{axis}" for axis in range(len(loop.shape)))
        inner: list[str] = []
        for statement in loop.statements:
            inner += self._statement(statement, indices)
        return self._over(loop.scope, self._nest(zip(indices, loop.shape, strict=True), inner))

    def _statement(self, statement: Statement, indices: tuple[str, ...]) -> list[str]:
        sign = "+=" if statement.accumulate else "="
        equation = f"# {statement.target} {sign} {spell(statement.expr)}"
        target = self.printer.place(statement.target, indices)
        return [equation, f"{target} {sign} {self.printer.entry_of(statement.expr, indices)}"]

    def _nest(self, axes: Iterable[tuple[str, Expr]], inner: list[str]) -> list[str]:
        for index, size in reversed(list(axes)):
            inner = [f"for {index} in range({self.printer.size(size)}):", *_indented(inner)]
        return inner

    @staticmethod
    def _over(scope: str, lines: list[str]) -> list[str]:
        """Put lines into the loops over samples, and over steps where all are done at once."""
        if scope == ONCE:
            return lines
        lines = ["for s in range(B):", *_indented(lines)]
        return ["for t in range(T):", *_indented(lines)] if scope == ALL else lines

    def _rows(self, symbol: Symbol, scope: str) -> str:
        """Return Python for a vector quantity as a matrix with a row per sample (and step)."""
        name = self.names[symbol]
        if scope == ALL:
            return f"{name}.reshape(T * B, {self.printer.size(self.schedule.shapes[symbol][0])})"
        return f"{name}[t]" if self.schedule.kept[symbol] == TIME else name

    def _dot(self, dot: Dot) -> list[str]:
        [matrix] = quantities(dot.matrix)
        name = self.names[matrix] if isinstance(dot.matrix, transpose) else f"{self.names[matrix]}.T"
        equation = f"# {dot.target} = {spell(dot.matrix)} @ {dot.vector}"
        if dot.scope == ALL:
            equation += ", for all steps at once"
        call = f"np.dot({self._rows(dot.vector, dot.scope)}, {name}, {self._rows(dot.target, dot.scope)})"
        return [equation, call]

    def _outer_sum(self, outer: OuterSum) -> list[str]:
        equation = f"# {outer.target} += outer({outer.left}, {outer.right}), summed over steps and samples"
        left, right = self._rows(outer.left, ALL), self._rows(outer.right, ALL)
        return [equation, f"{self.names[outer.target]} += np.dot({left}.T, {right})"]

    def _contract(self, contract: Contract) -> list[str]:
        shapes = self.schedule.shapes
        shape = shapes[contract.target]
        indices = ("j0", "j1")[: len(shape)]
        inner_size = shapes[quantities(contract.right)[0]]
        length = inner_size[-1] if isinstance(contract.right, transpose) else inner_size[0]
        left = self.printer.entry_of(contract.left, (*indices[:1], "k"))
        right = self.printer.entry_of(contract.right, ("k", *indices[1:]))
        inner = ["total = 0.0", f"for k in range({self.printer.size(length)}):", f"    total += {left} * {right}"]
        inner.append(f"{self.printer.place(contract.target, indices)} = total")
        lines = self._nest(zip(indices, shape, strict=True), inner)
        equation = f"# {contract.target} = {spell(contract.left)} @ {spell(contract.right)}"
        return [equation, *self._over(contract.scope, lines)]

    def _total(self, total: Total) -> list[str]:
        indices = tuple(f"j{axis}" for axis in range(len(total.shape)))
        add = self._nest(
            zip(indices, total.shape, strict=True), [f"total += {self.printer.entry_of(total.expr, indices)}"]
        )
        lines = ["total = 0.0", *add, f"{self.printer.place(total.target, ())} = total"]
        return [f"# {total.target} = sum({spell(total.expr)})", *self._over(total.scope, lines)]

    def _softmax(self, softmax: Softmax) -> list[str]:
        size = self.printer.size(self.schedule.shapes[softmax.vector][0])
        target, vector = (self.printer.place(symbol, ("j0",)) for symbol in (softmax.target, softmax.vector))
        lines = [
            "largest = -math.inf",
            f"for j0 in range({size}):",
            f"    largest = max(largest, {vector})",
            "total = 0.0",
            f"for j0 in range({size}):",
            f"    {target} = math.exp({vector} - largest)",
            f"    total += {target}",
            f"for j0 in range({size}):",
            f"    {target} /= total",
        ]
        return [f"# {softmax.target} = softmax({softmax.vector})", *self._over(softmax.scope, lines)]


def _used(instructions: Iterable[Instruction]) -> list[Symbol]:
    """Return the symbols that instructions read or write, in order of appearance."""
    found: dict[Symbol, None] = {}
    for instruction in instructions:
        for expr in (*expressions(instruction), *targets(instruction)):
            found.update(dict.fromkeys(quantities(expr)))
    return list(found)


def _identifiers(symbols: Iterable[Symbol], helpers: set[str]) -> dict[Symbol, str]:
    """Return a Python name for each symbol, its own where that is free."""
    taken: set[str] = set(RESERVED) | helpers | set(SECTIONS)
    return {symbol: _free(symbol.name, taken) for symbol in symbols}


def _free(name: str, taken: set[str]) -> str:
    while name in taken or keyword.iskeyword(name):
        name += "_"
    taken.add(name)
    return name


def _safe(doc: str) -> str:
    """Return free text in a form that can't end the string in which it stands."""
    quoted = doc.replace("\\", "\\\\").replace('"""', "'''")
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in quoted)


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _wrapped(start: str, arguments: tuple[str, ...]) -> str:
    line = f"{start}{', '.join(arguments)}):"
    if len(line) <= 110:
        return line
    rows, row = [], "   "
    for argument in arguments:
        if len(row) + len(argument) > 105:
            rows.append(row)
            row = "   "
        row += f" {argument},"
    return "\n".join([start, *rows, row, "):"])
