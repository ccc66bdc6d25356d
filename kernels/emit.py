"""`Schedule` -> the source of a Python module: readable, compiled by Numba or run as plain Python with NumPy."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sympy import Expr, Integer, Rational, Symbol

from ..derive.adjoint import delta, incoming
from ..derive.cell import previous
from ..derive.functions import FUNCTIONS
from ..derive.linear import Node, cross_entropy, is_one_hot, transpose
from ..derive.notation import spell
from ..derive.program import quantities
from ..derive.tangent import tangent
from . import functions
from .instructions import (
    ALL,
    BATCH,
    ONCE,
    TANGENT_BATCH,
    TANGENT_TIME,
    TIME,
    Contract,
    CrossEntropy,
    Dot,
    Instruction,
    Loop,
    OuterSum,
    RowSum,
    Softmax,
    Statement,
    Total,
    expressions,
    targets,
    used,
)
from .printer import EntryPrinter, VectorPrinter, function_name, goes_in_vectors, power_name, reads_neighbours
from .products import SUMMED_AT_ONCE
from .schedule import Schedule, loss
from .sections import PURPOSE, SECTIONS, locals_of, parts_of

INDICES = {"T", "B", "K", "t", "s", "q", "j", "j0", "j1", "k", "row", "moved", "moved_row", "left", "first", "last"}
WORDS = {
    "np",
    "math",
    "njit",
    "sums",
    "largest",
    "active",
    "masked",
    "together",
    "span",
    "start",
    "stop",
    "space",
    "part",
    "parts",
    "low",
    "high",
}
IMPORTED = ("LANES", "by_lane", "lanes", "load", "multiply", "outer_sum", "pack", "share", "store", "total", "within")
RESERVED = INDICES | WORDS | set(IMPORTED) | {"sqrt", "high"} | set(dir(builtins))
DECORATOR = '@njit(cache=True, error_model="numpy", nogil=True)'
# What is done for many steps at once is done for so many that its results are still in the cache at their step.
SPAN = "span = max(1, 128 // max(1, last - first))"
TOGETHER = "    together = stop - start if last - first == B else 1"
SPANS = {
    "forward": [SPAN, "for start in range(0, T, span):", "    stop = min(start + span, T)", TOGETHER],
    "backward": [SPAN, "for stop in range(T, 0, -span):", "    start = max(0, stop - span)", TOGETHER],
}
MASKED = ["masked = len(active) > 0"]
SKIPPED = ["if masked and active[row, 0] == 0.0:", "    continue"]
HELPER = '@njit(error_model="numpy")'  # compiled into its callers, whose code is what the cache keeps


@dataclass(frozen=True)
class Emitted:
    """A generated module.

    Attributes:
        source: its text.
        arguments: function -> names of its arguments in order: "T", "B", ..., sizes, then arrays.
        arrays: block's name -> its array's name.
        sizes: dimension -> the argument that holds its size.
        packed: name of a packed matrix -> its columns and length.
    """

    source: str
    arguments: Mapping[str, tuple[str, ...]]
    arrays: Mapping[str, str]
    sizes: Mapping[str, str]
    packed: Mapping[str, tuple[Expr, Expr]]


def emit(schedule: Schedule, dtype: str = "float64") -> Emitted:
    """Write the module of a schedule.

    >>> from ..derive import load, derive
    >>> from .schedule import schedule
    >>> module = emit(schedule(derive(load("rnn"))))
    >>> module.arguments["forward"]
    ('T', 'B', 'first', 'last', 'size_n', 'size_m', 'active', 'x', 'a_h', 'h_prev', 'b_h', 'h', 'packed1', 'packed2')
    """
    return _Emitter(schedule, dtype).module()


class _Emitter:
    def __init__(self, schedule: Schedule, dtype: str) -> None:
        self.schedule = schedule
        self.dtype = dtype
        calls = {function_name(name) for name in FUNCTIONS}
        taken = RESERVED | calls | {f"{name}_of_number" for name in calls} | set(SECTIONS)
        taken |= {power_name(Rational(p, q)) for p in range(100) for q in range(1, 10)}
        self.arrays = {name: _free(name, taken) for name in schedule.blocks}
        sizes = {s.name for shape in schedule.shapes.values() for part in shape for s in part.atoms(Symbol)}
        self.sizes = {name: _free(f"size_{name}", taken) for name in sorted(sizes)}
        arrays = {symbol: self.arrays[place.block] for symbol, place in schedule.places.items()}
        self.locals = {symbol: _free(f"{symbol}_j", taken) for symbol in schedule.places}
        self.scalar = EntryPrinter(arrays, self.sizes, schedule.shapes, schedule.kept, schedule.places)
        self.vector = VectorPrinter(self.scalar, self._in_variable)
        self.known: set[Symbol] = set()
        self.taken = taken
        self.packed: dict[tuple[tuple[Expr, ...], bool], str] = {}
        self.packed_sizes: dict[str, tuple[Expr, Expr]] = {}
        self.arguments: dict[str, tuple[str, ...]] = {}

    def module(self) -> Emitted:
        cell = self.schedule.derivation.cell
        bodies = [self._function(name) for name in SECTIONS]
        definition = replace(cell, doc="").text
        doc = _safe(cell.doc.strip() or cell.name)
        head = f'"""{doc}\n\nGenerated: edit the definition instead.\n\n{definition}\n"""'
        rest = [*self._helpers(), *bodies]
        parts = [f"{head}\n\n{self._imports(' '.join(rest))}{self._stacks()}", *rest]
        return Emitted("\n\n\n".join(parts) + "\n", self.arguments, self.arrays, self.sizes, self.packed_sizes)

    def _stacks(self) -> str:
        """Say which values lie side by side."""
        stacks = [block for block in self.schedule.blocks.values() if len(block.members) > 1]
        lines = [f"# {self.arrays[block.name]}: {' | '.join(map(str, block.members))}" for block in stacks]
        return "\n\n# Side by side in memory:\n" + "\n".join(lines) if lines else ""

    def _imports(self, text: str) -> str:
        """Import what the functions use."""
        names = {
            "functions": sorted(function_name(name) for name in functions.PLAIN),
            "products": ["multiply", "outer_sum", "pack", "share"],
            "vector": ["by_lane", "lanes", "load", "store", "total", "within"],
        }
        used_from = {
            module: [n for n in known if re.search(rf"\b{n}\(", text) or n == "lanes"]
            for module, known in names.items()
        }
        plain = ["import math\n"] if "math." in text else []
        ours = [f"from bptt.kernels.{m} import {', '.join(known)}" for m, known in used_from.items() if known]
        return "\n".join([*plain, "from numba import njit\n", *ours, f'\nLANES = lanes("{self.dtype}")'])

    @staticmethod
    def _in_vectors(name: str) -> bool:
        return name in functions.PLAIN

    def _helpers(self) -> list[str]:
        """Return the functions that only single numbers know."""
        by_lane = {name: f for name, f in self.vector.functions.items() if not self._in_vectors(name)}
        scalar = {**self.scalar.scalar_functions, **by_lane}
        made = []
        for name in sorted(scalar):
            arguments = "x" if len(scalar[name].rule.slopes) == 1 else "a, b"
            called = f"{function_name(name)}_of_number"
            made.append(f"{HELPER}\ndef {called}({arguments}):\n    return {scalar[name].rule.code}")
        made += [f"{function_name(name)} = by_lane({function_name(name)}_of_number)" for name in sorted(by_lane)]
        for power in sorted(self.vector.powers):
            name = power_name(power)
            if power.q == 1:
                made.append(f"{HELPER}\ndef {name}(x):\n    return {' * '.join(['x'] * int(power))}")
            else:
                made.append(f"{HELPER}\ndef {name}_of_number(x):\n    return x ** ({power.p} / {power.q})")
                made.append(f"{name} = by_lane({name}_of_number)")
        return made

    # A function: its instructions in their loops over steps.

    def _function(self, name: str) -> str:
        lines: list[str] = []
        instructions: list[Instruction] = []
        self.calls: list[str] = []
        self.name = name
        parts = parts_of(self.schedule, name)
        for direction, run in parts:
            self.local_only = locals_of(run, self.schedule)
            body = [line for instruction in run for line in self._instruction(instruction)]
            if direction and run:
                body = self._held(name, body)
                body = [f"for t in {direction}:", *_indented(body)]
            lines += body
            instructions += run
        if any(run and not direction for direction, run in parts) and name in SPANS:
            lines = [*SPANS[name], *_indented(lines)]
        elif name in SPANS and lines:
            lines = ["start, stop = 0, T", *lines]
        if instructions and name in ("forward", "backward", "tangent"):
            lines = [*MASKED, *lines]
        if name == "sums" and any("masked" in line for line in lines):
            lines = [*MASKED, *lines]
        lines += self._packs(name)
        self.arguments[name] = self._signature(name, instructions, lines)
        signature = _wrapped(f"def {name}(", self.arguments[name])
        body = [f'"""{PURPOSE[name]}"""', *lines] if lines else [f'"""{PURPOSE[name]} Nothing here."""']
        return "\n".join([DECORATOR, signature, *_indented(body)])

    def _signature(self, name: str, instructions: list[Instruction], lines: list[str]) -> tuple[str, ...]:
        """Return a function's arguments: counts, sizes, arrays in order of appearance, packed matrices."""
        symbols = used(instructions)
        if name in ("forward", "backward", "tangent") and instructions:
            states = self.schedule.derivation.cell.states
            pairs = [(Symbol(n), previous(n)) for n in states]
            if name == "tangent":
                pairs = [(tangent(now), tangent(before)) for now, before in pairs]
            if name == "backward":
                pairs = [(incoming(Symbol(n)), delta(previous(n))) for n in states]
                symbols = list(dict.fromkeys([*symbols, *(loss(n) for n in states)]))
            symbols = list(dict.fromkeys([*symbols, *(symbol for pair in pairs for symbol in pair)]))
        text = "\n".join(lines)
        words = set(_words(text))
        shapes = [self.schedule.shapes[symbol] for symbol in symbols]
        packed = [name for name in self.packed_sizes if name in words]
        everything = (*(p for shape in shapes for p in shape), *(e for i in instructions for e in expressions(i)))
        everything = (*everything, *(size for name in packed for size in self.packed_sizes[name]))
        sizes = dict.fromkeys(
            s.name for part in everything for s in sorted(part.atoms(Symbol), key=str) if s.is_integer
        )
        arrays = dict.fromkeys(self.scalar.arrays[symbol] for symbol in symbols)
        pack_arrays = [self.scalar.arrays[s] for key in self.packed for m in key[0] for s in quantities(m)]
        arrays |= dict.fromkeys(array for array in pack_arrays if array in words)
        counts = {
            "forward": ("T", "B", "first", "last"),
            "backward": ("T", "B", "first", "last"),
            "sums": ("T", "B", "part", "parts"),
            "tangent": ("T", "B", "K", "first", "last"),
        }.get(name, ())
        extra = (("active",) if "active" in words else ()) + (("space",) if "space" in words else ())
        return (
            *counts,
            *(self.sizes[size] for size in sizes if self.sizes[size] in words),
            *extra,
            *(array for array in arrays if array in words),
            *packed,
        )

    def _held(self, name: str, body: list[str]) -> list[str]:
        """Around a step, let the states of samples whose sequence is over stay, and their gradients pass."""
        states = self.schedule.derivation.cell.states
        place, size = self.scalar.place, self.scalar.size

        def each(lines: list[tuple[Symbol, str, str]]) -> list[str]:
            made = []
            for symbol, left, right in lines:
                indices = [f"j{axis}" for axis in range(len(self.schedule.shapes[symbol]))]
                loops = zip(indices, map(size, self.schedule.shapes[symbol]), strict=True)
                inner = [f"{left} = {right}"]
                for index, stop in reversed(list(loops)):
                    inner = [f"for {index} in range({stop}):", *_indented(inner)]
                made += inner
            if name == "tangent":
                made = ["for q in range(K):", "    moved_row = row * K + q", *_indented(made)]
            head = ["if masked:", "    for s in range(first, last):", "        row = t * B + s"]
            return [*head, "        if active[row, 0] == 0.0:", *(f"            {line}" for line in made)]

        def at(symbol: Symbol) -> str:
            return place(symbol, tuple(f"j{axis}" for axis in range(len(self.schedule.shapes[symbol]))))

        if name == "forward":
            stay = each([(Symbol(n), at(Symbol(n)), at(previous(n))) for n in states])
            return [*body, *stay]
        if name == "tangent":
            return [*body, *each([(Symbol(n), at(tangent(Symbol(n))), at(tangent(previous(n)))) for n in states])]
        pairs = [(Symbol(n), incoming(Symbol(n)), delta(previous(n)), loss(n)) for n in states]
        take = each([(n, at(into), f"{at(given)} + {at(back)}") for n, into, back, given in pairs])
        give = each([(n, at(back), at(into)) for n, into, back, _ in pairs])
        return [*take, *body, *give]

    def _packs(self, name: str) -> list[str]:
        """Pack the matrices that the coming functions multiply with."""
        wanted = {
            "prologue": ("before", "forward"),
            "pack_backward": ("backward", "after"),
            "pack_tangent": ("tangent",),
        }
        lines = []
        for part in wanted.get(name, ()):
            for dot in getattr(self.schedule, part):
                if isinstance(dot, Dot) and self._key(dot) not in self.packed:
                    self.packed[self._key(dot)] = _free(f"packed{len(self.packed) + 1}", self.taken)
                    lines += self._pack(dot)
        return lines

    @staticmethod
    def _key(dot: Dot) -> tuple[tuple[Expr, ...], bool]:
        return dot.matrices, len(dot.targets) > 1

    def _pack(self, dot: Dot) -> list[str]:
        shapes, size, name = self.schedule.shapes, self.scalar.size, self.packed[self._key(dot)]
        columns = sum((shapes[target][0] for target in dot.targets), Integer(0))
        length = sum((shapes[vector][0] for vector in dot.vectors), Integer(0))
        self.packed_sizes[name] = columns, length
        lines = [f"# {name}: {_side_by_side(dot)}"]
        column, k = Integer(0), Integer(0)
        for number, matrix in enumerate(dot.matrices):
            [symbol] = quantities(matrix)
            turned = isinstance(matrix, transpose)
            shape = shapes[symbol][::-1] if turned else shapes[symbol]
            at = f"{size(columns)}, {size(length)}, {size(column)}, {size(k)}"
            of = f"{self.scalar.arrays[symbol]}, {size(shape[0])}, {size(shape[1])}, {int(not turned)}"
            lines.append(f"pack({name}, {at}, {of})")
            if len(dot.targets) > 1:
                column += shapes[dot.targets[number]][0]
            else:
                k += shapes[dot.vectors[number]][0]
        return lines

    # Instructions.

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
            case CrossEntropy():
                return self._cross_entropy(instruction)
            case RowSum():
                return self._row_sum(instruction)
        return self._softmax(instruction)

    def _loop(self, loop: Loop) -> list[str]:
        shapes = self.schedule.shapes
        vectors = loop.shape and all(goes_in_vectors(statement.expr, shapes) for statement in loop.statements)
        if self.name == "sums":
            lines = self._summed_in_vectors(loop) if vectors else self._summed_one_by_one(loop)
            blocks = [
                f"for low in range(0, T * B, {SUMMED_AT_ONCE}):",
                f"    high = min(low + {SUMMED_AT_ONCE}, T * B)",
            ]
            return ["if part == 0:", *_indented([*blocks, *_indented(lines)])]
        return self._over(loop.scope, self._in_vectors_of(loop) if vectors else self._one_by_one(loop))

    def _summed_one_by_one(self, loop: Loop) -> list[str]:
        """Sum over blocks of rows, so that rounding grows with the blocks' number and size, not with all rows."""
        indices = tuple(f"j{axis}" for axis in range(len(loop.shape)))
        inner: list[str] = []
        for statement in loop.statements:
            term = f"sums += {self.scalar.entry_of(statement.expr, indices)}"
            rows = ["for row in range(low, high):", *_indented([*SKIPPED, term])]
            inner += [_equation(statement), "sums = 0.0", *rows]
            inner.append(f"{self.scalar.place(statement.target, indices)} += sums")
        return self._nest(zip(indices, loop.shape, strict=True), inner)

    def _summed_in_vectors(self, loop: Loop) -> list[str]:
        """The same in vectors."""
        indices = ("j",) if len(loop.shape) == 1 else ("j0", "j")
        targets = {s.target: ", ".join(self.vector.where(s.target, indices)) for s in loop.statements}
        before = [f"{self.locals[t]} = within(load({where}, left), 0)" for t, where in targets.items()]
        after = [f"store({at}, left, load({at}, left) + {self.locals[t]})" for t, at in targets.items()]
        self.known, rows = set(targets), []
        for statement in loop.statements:
            variable = self.locals[statement.target]
            rows.append(_equation(statement))
            rows += self._loads(quantities(statement.expr), statement.expr, len(loop.shape), indices)
            rows.append(f"{variable} = {variable} + {self.vector.entry_of(statement.expr, indices)}")
        self.known = set()
        inner = [*before, "for row in range(low, high):", *_indented([*SKIPPED, *rows]), *after]
        return self._nest_in_vectors(loop, inner)

    def _one_by_one(self, loop: Loop) -> list[str]:
        indices = tuple(f"j{axis}" for axis in range(len(loop.shape)))
        inner: list[str] = []
        for statement in loop.statements:
            sign = "+=" if statement.accumulate else "="
            target = self.scalar.place(statement.target, indices)
            inner += [_equation(statement), f"{target} {sign} {self.scalar.entry_of(statement.expr, indices)}"]
        return self._nest(zip(indices, loop.shape, strict=True), inner)

    def _in_vectors_of(self, loop: Loop) -> list[str]:
        indices = ("j",) if len(loop.shape) == 1 else ("j0", "j")
        self.known, inner = set(), []
        for statement in loop.statements:
            target, variable = statement.target, self.locals[statement.target]
            reads = [*quantities(statement.expr), *([target] if statement.accumulate else [])]
            inner.append(_equation(statement))
            inner += self._loads(reads, statement.expr, len(loop.shape), indices)
            text = self.vector.entry_of(statement.expr, indices)
            inner.append(f"{variable} = {f'{variable} + {text}' if statement.accumulate else text}")
            self.known.add(target)
            if target not in self.local_only:
                inner.append(f"store({', '.join(self.vector.where(target, indices))}, left, {variable})")
        self.known = set()
        return self._nest_in_vectors(loop, inner)

    def _nest_in_vectors(self, loop: Loop, inner: list[str]) -> list[str]:
        last = self.scalar.size(loop.shape[-1])
        lines = [f"for j in range(0, {last}, LANES):", f"    left = {last} - j", *_indented(inner)]
        return self._nest([("j0", loop.shape[0])], lines) if len(loop.shape) == 2 else lines

    def _loads(self, symbols: list[Symbol], expr: Expr, rank: int, indices: tuple[str, ...]) -> list[str]:
        """Load vectors that a statement reads at its own place and that no earlier one loaded or made."""
        lines = []
        for symbol in symbols:
            if symbol in self.known or len(self.schedule.shapes[symbol]) != rank:
                continue
            if any(symbol in quantities(node) for node in _moved(expr)) and not _plainly(symbol, expr):
                continue
            self.known.add(symbol)
            lines.append(f"{self.locals[symbol]} = {self.vector.load(symbol, indices)}")
        return lines

    def _in_variable(self, symbol: Symbol) -> str | None:
        return self.locals[symbol] if symbol in self.known else None

    def _nest(self, axes: Iterable[tuple[str, Expr]], inner: list[str]) -> list[str]:
        for index, size in reversed(list(axes)):
            inner = [f"for {index} in range({self.scalar.size(size)}):", *_indented(inner)]
        return inner

    def _over(self, scope: str, lines: list[str]) -> list[str]:
        """Put lines into the loops over samples, and over steps where all are done at once."""
        if scope == ONCE:
            return lines
        head = ["row = t * B + s"]
        if self.name in ("forward", "backward", "sums", "tangent"):
            head += SKIPPED
        if self.name == "tangent":
            lines = ["moved, moved_row = s * K + q, row * K + q", *lines]
            lines = [*head, "for q in range(K):", *_indented(lines)]
            return ["for s in range(first, last):", *_indented(lines)]
        samples = "range(B)" if self.name == "sums" else "range(first, last)"
        lines = [f"for s in {samples}:", *_indented([*head, *lines])]
        steps = "range(start, stop)" if self.name in SPANS else "range(T)"
        return [f"for t in {steps}:", *_indented(lines)] if scope == ALL else lines

    def _dot(self, dot: Dot) -> list[str]:
        size = self.scalar.size
        columns, length = self.packed_sizes[self.packed[self._key(dot)]]
        sign = "+=" if dot.accumulate else "="
        factor = "" if dot.coefficient == 1 else f"{dot.coefficient} * "
        whole = ", for all steps at once" if dot.scope == ALL else ""
        products = [(t, spell(m), v) for t, m, v in zip(*_paired(dot), strict=True)]
        lines = [f"# {t} {sign} {factor}{m} @ {v}{whole}" for t, m, v in products]
        if len(dot.vectors) > 1:
            terms = " + ".join(f"{factor}{m} @ {v}" for _, m, v in products)
            lines = [f"# {dot.targets[0]} {sign} {terms}{whole}"]
        rows = "last - first"
        first = {TIME: "t * B + first", BATCH: "first"}
        if self.name == "tangent":
            rows = "(last - first) * K"
            first = {TANGENT_TIME: "(t * B + first) * K", TANGENT_BATCH: "first * K"}
        elif dot.scope == ALL:
            rows = "together * (last - first)"

        def place(symbol: Symbol) -> str:
            where = self.schedule.places[symbol]
            return f"{self.scalar.arrays[symbol]}, {first[self.schedule.kept[symbol]]}, {size(where.start)}"

        counts = f"{rows}, {size(columns)}, {size(length)}, {_float(dot.coefficient)}, {int(dot.accumulate)}"
        arguments = (place(dot.targets[0]), place(dot.vectors[0]), self.packed[self._key(dot)], counts)
        call = ["multiply(", *(f"    {argument}," for argument in arguments), ")"]
        steps = "for t in range(start, stop, together):"
        return [*lines, steps, *_indented(call)] if dot.scope == ALL else [*lines, *call]

    def _outer_sum(self, outer: OuterSum) -> list[str]:
        size, shapes, places, arrays = self.scalar.size, self.schedule.shapes, self.schedule.places, self.scalar.arrays
        factor = "" if outer.coefficient == 1 else f"{outer.coefficient} * "
        equations = [
            f"# {target} += {factor}outer({left}, {outer.right}), summed over steps and samples"
            for target, left in zip(outer.targets, outer.lefts, strict=True)
        ]
        rows = sum((shapes[left][0] for left in outer.lefts), Integer(0))
        first, left = places[outer.targets[0]].start, places[outer.lefts[0]].start
        adds = int(bool(set(outer.targets) & self._written_before(outer)))
        arguments = (
            f"{arrays[outer.targets[0]]}, {_from(size(first))}, 0",
            f"{arrays[outer.lefts[0]]}, 0, {_from(size(left))}",
            f"{arrays[outer.right]}, 0, {size(places[outer.right].start)}",
            f"space, high - low, {size(shapes[outer.right][0])}, T * B, {_float(outer.coefficient)}, {adds}",
        )
        call = ["outer_sum(", *(f"    {argument}," for argument in arguments), ")"]
        return [*equations, f"low, high = share({size(rows)}, part, parts)", *call]

    def _written_before(self, outer: OuterSum) -> set[Symbol]:
        earlier = self.schedule.sums[: self.schedule.sums.index(outer)]
        return {target for instruction in earlier for target in targets(instruction)}

    def _contract(self, contract: Contract) -> list[str]:
        shapes = self.schedule.shapes
        shape = shapes[contract.target]
        [left], [right] = quantities(contract.left), quantities(contract.right)
        turned_left, turned_right = (isinstance(e, transpose) for e in (contract.left, contract.right))
        length = shapes[right][-1 if turned_right else 0]
        indices: tuple[str, ...] = ("j0", "j1")[: len(shape)]
        row = indices[:1] if len(shapes[left]) == 2 else ()
        column = indices[len(row) :]
        size = self.scalar.size(length)
        where = self.scalar.place(contract.target, indices)
        equation = f"# {contract.target} = {spell(contract.left)} @ {spell(contract.right)}"
        runs_along = len(shapes[right]) == 1 or turned_right
        if len(shapes[right]) == 2 and not turned_right:
            lines = self._along_columns(contract, row, length, right, contract.left)
        elif len(shapes[right]) == 1 and turned_left:
            lines = self._along_columns(contract, (), length, left, contract.right)
        elif runs_along and not turned_left:
            ones = (self.vector.load(left, (*row, "k")), self.vector.load(right, (*column, "k")))
            inner = ["sums = 0.0", f"for k in range(0, {size}, LANES):", f"    left = {size} - k"]
            inner += [f"    sums += total({ones[0]} * {ones[1]})", f"{where} = sums"]
            lines = self._nest(zip(indices, shape, strict=True), inner)
        else:
            ones = (
                self.scalar.entry_of(contract.left, (*row, "k")),
                self.scalar.entry_of(contract.right, ("k", *column)),
            )
            inner = ["sums = 0.0", f"for k in range({size}):", f"    sums += {ones[0]} * {ones[1]}", f"{where} = sums"]
            lines = self._nest(zip(indices, shape, strict=True), inner)
        return [equation, *self._over(contract.scope, lines)]

    def _along_columns(
        self, contract: Contract, row: tuple[str, ...], length: Expr, matrix: Symbol, factor: Expr
    ) -> list[str]:
        """Sum up rows of a matrix, each times an entry of the factor, a vector of columns at a time."""
        size = self.scalar.size
        stop = size(self.schedule.shapes[contract.target][-1])
        weight = self.scalar.entry_of(factor, (*row, "k"), 3)
        indices: tuple[str, ...] = (*row, "j")
        lines = [
            f"for j in range(0, {stop}, LANES):",
            f"    left = {stop} - j",
            f"    sums = 0.0 * {self.vector.load(matrix, ('0', 'j'))}",
            f"    for k in range({size(length)}):",
            f"        sums = sums + {weight} * {self.vector.load(matrix, ('k', 'j'))}",
            f"    store({', '.join(self.vector.where(contract.target, indices))}, left, sums)",
        ]
        return self._nest([("j0", self.schedule.shapes[contract.target][0])], lines) if row else lines

    def _total(self, total: Total) -> list[str]:
        equation = f"# {total.target} = sum({spell(total.expr)})"
        where = self.scalar.place(total.target, ())
        shapes = self.schedule.shapes
        if total.shape and goes_in_vectors(total.expr, shapes) and reads_neighbours(total.expr, shapes):
            indices = ("j",) if len(total.shape) == 1 else ("j0", "j")
            stop = self.scalar.size(total.shape[-1])
            text = self.vector.entry_of(total.expr, indices)
            inner = [f"for j in range(0, {stop}, LANES):", f"    left = {stop} - j"]
            inner += [f"    sums += total(within({text}, left))"]
            lines = self._nest([("j0", total.shape[0])], inner) if len(total.shape) == 2 else inner
        else:
            places = tuple(f"j{axis}" for axis in range(len(total.shape)))
            text = self.scalar.entry_of(total.expr, places)
            lines = self._nest(zip(places, total.shape, strict=True), [f"sums += {text}"])
        return [equation, *self._over(total.scope, ["sums = 0.0", *lines, f"{where} = sums"])]

    def _softmax(self, softmax: Softmax) -> list[str]:
        size = self.scalar.size(self.schedule.shapes[softmax.target][0])
        target, vector = (self.scalar.place(symbol, ("j0",)) for symbol in (softmax.target, softmax.vector))
        lines = [
            "largest = -math.inf",
            f"for j0 in range({size}):",
            f"    largest = max(largest, {vector})",
            "sums = 0.0",
            f"for j0 in range({size}):",
            f"    {target} = math.exp({vector} - largest)",
            f"    sums += {target}",
            f"for j0 in range({size}):",
            f"    {target} /= sums",
        ]
        return [f"# {softmax.target} = softmax({softmax.vector})", *self._over(softmax.scope, lines)]

    def _cross_entropy(self, node: CrossEntropy) -> list[str]:
        size = self.scalar.size(self.schedule.shapes[node.logits][0])
        target, logit = self.scalar.place(node.target, ()), self.scalar.place(node.logits, ("j0",))
        lines = ["largest = -math.inf", f"for j0 in range({size}):", f"    largest = max(largest, {logit})"]
        lines += ["sums = 0.0", f"for j0 in range({size}):", f"    sums += math.exp({logit} - largest)"]
        if is_one_hot(node.distribution):
            picked = self.scalar.place(node.logits, (self.scalar.picked(node.distribution.args[1]),))
            lines.append(f"{target} = largest + math.log(sums) - {picked}")
        else:
            weight = self.scalar.place(node.distribution, ("j0",))
            lines += [f"{target} = largest + math.log(sums)", f"for j0 in range({size}):"]
            lines.append(f"    {target} -= {weight} * {logit}")
        shown = spell(cross_entropy(node.logits, node.distribution))
        return [f"# {node.target} = {shown}", *self._over(node.scope, lines)]

    def _row_sum(self, node: RowSum) -> list[str]:
        shape = self.schedule.shapes[node.target][1:]
        indices = tuple(f"j{axis}" for axis in range(len(shape)))
        target = self.scalar.place(node.target, (self.scalar.picked(node.index), *indices))
        inner = [f"{target} += {self.scalar.entry_of(node.row, indices)}"]
        lines = self._over(node.scope, self._nest(zip(indices, shape, strict=True), inner))
        equation = f"# {node.target}[{node.index}] += {spell(node.row)}, summed over steps and samples"
        return [equation, "if part == 0:", *_indented(lines)]


def _equation(statement: Statement) -> str:
    return f"# {statement.target} {'+=' if statement.accumulate else '='} {spell(statement.expr)}"


def _paired(dot: Dot) -> tuple[tuple[Symbol, ...], tuple[Expr, ...], tuple[Symbol, ...]]:
    """Return targets, matrices and vectors, one of each for each matrix."""
    many = len(dot.matrices)
    return (
        dot.targets if len(dot.targets) == many else dot.targets * many,
        dot.matrices,
        dot.vectors if len(dot.vectors) == many else dot.vectors * many,
    )


def _side_by_side(dot: Dot) -> str:
    return (" | " if len(dot.targets) > 1 else " + ").join(map(spell, dot.matrices)) + " for one product"


def _moved(expr: Expr) -> list[Expr]:
    """Return the tensor maps in an expression, whose arguments may be read at other places."""
    return list(expr.atoms(Node))


def _plainly(symbol: Symbol, expr: Expr) -> bool:
    """Return whether an expression reads a symbol outside of tensor maps too."""
    if isinstance(expr, Node):
        return False
    return expr == symbol or any(_plainly(symbol, operand) for operand in expr.args)


def _from(start: str) -> str:
    return "low" if start == "0" else f"{start} + low"


def _float(number: Rational) -> str:
    return repr(float(number))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", re.sub(r"#.*", "", text))


def _free(name: str, taken: set[str]) -> str:
    """Return a name that isn't taken yet, and take it."""
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
