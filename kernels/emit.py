"""`Schedule` -> the source of a Python module: readable, compiled by Numba or run as plain Python with NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sympy import Expr, Symbol

from ..derive.adjoint import delta, incoming
from ..derive.cell import previous
from ..derive.program import quantities
from ..derive.tangent import tangent
from . import functions
from .calls import write_dot, write_outer_sum, write_packs
from .folded import fold
from .instructions import (
    PASSING,
    Contract,
    CrossEntropy,
    Dot,
    Instruction,
    Loop,
    OuterSum,
    RowSum,
    Softmax,
    Total,
    expressions,
    targets,
    used,
)
from .lines import indented, safe, words, wrapped
from .loops import write_loop
from .printer import function_name, power_name
from .reductions import write_contract, write_cross_entropy, write_row_sum, write_softmax, write_total
from .schedule import Schedule, loss
from .sections import PURPOSE, SECTIONS, STRETCHING, locals_of, parts_of
from .stretching import write_stretching
from .writer import Writer

DECORATOR = '@njit(cache=True, error_model="numpy", nogil=True)'
HELPER = '@njit(error_model="numpy")'  # compiled into its callers, whose code is what the cache keeps
# Of products a thread does the rows of its own samples, or, where they are split, its piece of the columns of all rows.
SHARES = "above, below, piece, pieces = (0, B, part, parts) if split else (first, last, 0, 1)"
SPAN = "span = max(1, 128 // max(1, below - above))  # steps whose values stay in the cache until they are read"
TOGETHER = "    rows, times = ((stop - start) * B, 1) if below - above == B else (below - above, stop - start)"
SPANS = {
    "forward": [SPAN, "for start in range(0, T, span):", "    stop = min(start + span, T)", TOGETHER],
    "backward": [SPAN, "for stop in range(T, 0, -span):", "    start = max(0, stop - span)", TOGETHER],
}
MEET = "meet(meeting, pieces)"
SHARED = "T", "B", "first", "last", "part", "parts", "split", "meeting"
COUNTS = {
    "prologue": ("part", "parts", "meeting"),
    "forward": SHARED,
    "pack_backward": ("part", "parts"),
    "backward": SHARED,
    "sums": ("T", "B", "part", "parts", "earlier", "later"),
    "pack_tangent": ("part", "parts"),
    "tangent": ("T", "B", "K", "first", "last"),
}
WRITERS: dict[type[Any], Callable[[Writer, Any], list[str]]] = {
    Loop: write_loop,
    Dot: write_dot,
    OuterSum: write_outer_sum,
    Contract: write_contract,
    Total: write_total,
    Softmax: write_softmax,
    CrossEntropy: write_cross_entropy,
    RowSum: write_row_sum,
}


@dataclass(frozen=True)
class Emitted:
    """A generated module.

    Attributes:
        source: its text.
        arguments: function -> names of its arguments in order: "T", "B", ..., sizes, then arrays.
        arrays: block's name -> its array's name.
        sizes: dimension -> the argument that holds its size.
        packed: name of a packed matrix -> its columns and length.
        folded: rows and columns of the matrix that carries many directions of one sample, where there is one.
    """

    source: str
    arguments: Mapping[str, tuple[str, ...]]
    arrays: Mapping[str, str]
    sizes: Mapping[str, str]
    packed: Mapping[str, tuple[Expr, Expr]]
    folded: tuple[Expr, Expr] | None


def emit(schedule: Schedule, dtype: str = "float64") -> Emitted:
    """Write the module of a schedule.

    >>> from ..derive import load, derive
    >>> from .schedule import schedule
    >>> module = emit(schedule(derive(load("rnn"))))
    >>> module.arguments["pack_backward"]
    ('part', 'parts', 'size_n', 'size_m', 'W_xh', 'W_hh', 'packed3', 'packed4')
    """
    writer = Writer(schedule, dtype)
    cell = schedule.derivation.cell
    made = {name: _function(writer, name) for name in SECTIONS}
    folded = fold(schedule)
    body, arguments = write_stretching(writer, made["tangent"][1], folded)
    if body:
        made[STRETCHING] = _text(STRETCHING, body, arguments), arguments
    doc, definition = safe(cell.doc.strip() or cell.name), replace(cell, doc="").text
    head = f'"""{doc}\n\nGenerated: edit the definition instead.\n\n{definition}\n"""'
    rest = [*_helpers(writer), *(text for text, _ in made.values())]
    parts = [f"{head}\n\n{_imports(' '.join(rest), dtype)}{_stacks(writer)}", *rest]
    named = {name: names for name, (_, names) in made.items()}
    into = (folded.height, folded.size) if folded else None
    return Emitted("\n\n\n".join(parts) + "\n", named, writer.arrays, writer.sizes, writer.packed_sizes, into)


def _stacks(writer: Writer) -> str:
    """Say which values lie side by side."""
    stacks = [block for block in writer.schedule.blocks.values() if len(block.members) > 1]
    lines = [f"# {writer.arrays[block.name]}: {' | '.join(map(str, block.members))}" for block in stacks]
    return "\n\n# Side by side in memory:\n" + "\n".join(lines) if lines else ""


def _imports(text: str, dtype: str) -> str:
    """Import what the functions use."""
    names = {
        "functions": sorted(function_name(name) for name in functions.PLAIN),
        "meeting": ["meet"],
        "orthogonal": ["orthonormalise"],
        "products": ["multiply_part", "outer_sum", "pack_part", "share"],
        "vector": ["by_lane", "lanes", "load", "store", "total", "within"],
    }
    used_from = {
        module: [n for n in known if re.search(rf"\b{n}\(", text) or n == "lanes"] for module, known in names.items()
    }
    plain = ["import math\n"] if "math." in text else []
    ours = [f"from bptt.kernels.{m} import {', '.join(known)}" for m, known in used_from.items() if known]
    return "\n".join([*plain, "from numba import njit\n", *ours, f'\nLANES = lanes("{dtype}")'])


def _helpers(writer: Writer) -> list[str]:
    """Return the functions that only single numbers know."""
    by_lane = {name: f for name, f in writer.vector.functions.items() if name not in functions.PLAIN}
    scalar = {**writer.scalar.scalar_functions, **by_lane}
    made = []
    for name in sorted(scalar):
        arguments = "x" if len(scalar[name].rule.slopes) == 1 else "a, b"
        called = f"{function_name(name)}_of_number"
        made.append(f"{HELPER}\ndef {called}({arguments}):\n    return {scalar[name].rule.code}")
    made += [f"{function_name(name)} = by_lane({function_name(name)}_of_number)" for name in sorted(by_lane)]
    for power in sorted(writer.vector.powers):
        name = power_name(power)
        if power.q == 1:
            made.append(f"{HELPER}\ndef {name}(x):\n    return {' * '.join(['x'] * int(power))}")
        else:
            made.append(f"{HELPER}\ndef {name}_of_number(x):\n    return x ** ({power.p} / {power.q})")
            made.append(f"{name} = by_lane({name}_of_number)")
    return made


def _function(writer: Writer, name: str) -> tuple[str, tuple[str, ...]]:
    """Return a function of the module, and its arguments."""
    writer.section = name
    parts = parts_of(writer.schedule, name)
    lines: list[str] = []
    for direction, run in parts:
        writer.unstored = locals_of(run, writer.schedule)
        body = _in_order(writer, run)
        if direction and run:
            body = [f"for t in {direction}:", *indented(_held(writer, body))]
        lines += body
    instructions = [instruction for _, run in parts for instruction in run]
    if lines and name in SPANS:
        many = any(run and not direction for direction, run in parts)
        lines = [*SPANS[name], *indented(lines)] if many else ["start, stop = 0, T", *lines]
        lines = [SHARES, *lines] if any("above" in line for line in lines) else lines
    if lines and name == "backward":
        lines = [*_cleared(writer, instructions), *lines]
    packs = write_packs(writer)
    if lines and name == "prologue":
        lines = ["if part == 0:", *indented(lines), *(["meet(meeting, parts)"] if packs else [])]
    if any("masked" in line for line in lines):
        lines = ["masked = len(active) > 0", *lines]
    lines += packs
    arguments = _arguments(writer, instructions, lines)
    body = [f'"""{PURPOSE[name]}"""', *lines] if lines else [f'"""{PURPOSE[name]} Nothing here."""']
    return _text(name, body, arguments), arguments


def _in_order(writer: Writer, run: tuple[Instruction, ...]) -> list[str]:
    """Return the lines of instructions; where threads share a product, they meet before the first and after each."""
    lines: list[str] = []
    for instruction in run:
        made = WRITERS[type(instruction)](writer, instruction)
        if isinstance(instruction, Dot) and writer.section in SPANS:
            made = [*([] if lines[-1:] == [MEET] else [MEET]), *made, MEET]
        lines += made
    return lines


def _text(name: str, body: list[str], arguments: tuple[str, ...]) -> str:
    return "\n".join([DECORATOR, wrapped(f"def {name}(", arguments), *indented(body)])


def _arguments(writer: Writer, instructions: list[Instruction], lines: list[str]) -> tuple[str, ...]:
    """Return a function's arguments: counts, sizes, arrays in order of appearance, packed matrices."""
    seen = set(words("\n".join(lines)))
    symbols = list(dict.fromkeys([*used(instructions), *_carried(writer)])) if instructions else []
    packed = [name for name in writer.packed_sizes if name in seen]
    parts = [part for symbol in symbols for part in writer.schedule.shapes[symbol]]
    parts += [expr for instruction in instructions for expr in expressions(instruction)]
    parts += [size for name in packed for size in writer.packed_sizes[name]]
    parts += [writer.schedule.places[symbol].start for symbol in symbols if symbol in writer.schedule.places]
    dims = dict.fromkeys(s.name for part in parts for s in sorted(part.atoms(Symbol), key=str) if s.is_integer)
    symbols += [symbol for matrices, _ in writer.packed for matrix in matrices for symbol in quantities(matrix)]
    arrays = dict.fromkeys(writer.scalar.arrays[symbol] for symbol in symbols)
    named = [*(writer.sizes[name] for name in dims), "active", "space", *arrays]
    counts = [name for name in COUNTS.get(writer.section, ()) if writer.section == "tangent" or name in seen]
    return (*counts, *(name for name in named if name in seen), *packed)


def _carried(writer: Writer) -> list[Symbol]:
    """Return what a step hands to the next, where sequences may end earlier."""
    states = writer.schedule.derivation.cell.states
    now, before = [Symbol(name) for name in states], [previous(name) for name in states]
    pairs = {
        "forward": zip(now, before, strict=True),
        "tangent": zip(map(tangent, now), map(tangent, before), strict=True),
        "backward": zip(map(incoming, now), map(delta, before), strict=True),
    }.get(writer.section, ())
    given = map(loss, states) if writer.section == "backward" else ()
    return [*given, *(symbol for pair in pairs for symbol in pair)]


def _cleared(writer: Writer, instructions: list[Instruction]) -> list[str]:
    """Clear what sums will read of the steps behind a sequence's end."""
    made = dict.fromkeys(s for i in instructions for s in targets(i) if writer.schedule.kept[s] == PASSING)
    lines = [line for symbol in made for line in _each_entry(writer, symbol, "0.0")]
    return ["if masked:", "    for t in range(T):", *indented(indented(_if_over(lines)))] if lines else []


def _held(writer: Writer, body: list[str]) -> list[str]:
    """Around a step, let the states of samples whose sequence is over stay, and their gradients pass."""
    states = writer.schedule.derivation.cell.states
    if not states:
        return body

    def each(pairs: Iterable[tuple[Symbol, str]]) -> list[str]:
        lines = [line for into, text in pairs for line in _each_entry(writer, into, text)]
        if writer.section == "tangent":
            lines = ["for q in range(K):", "    moved_row = row * K + q", *indented(lines)]
        return ["if masked:", *indented(_if_over(lines))]

    def at(symbol: Symbol) -> str:
        return _at(writer, symbol)

    now, before = [Symbol(name) for name in states], [previous(name) for name in states]
    if writer.section == "tangent":
        now, before = list(map(tangent, now)), list(map(tangent, before))
    if writer.section != "backward":
        return [*body, *each(zip(now, map(at, before), strict=True))]
    into, back = list(map(incoming, now)), list(map(delta, before))
    take = each((i, f"{at(loss(n))} + {at(b)}") for n, i, b in zip(states, into, back, strict=True))
    return [*take, *body, *each(zip(back, map(at, into), strict=True))]


def _at(writer: Writer, symbol: Symbol) -> str:
    """Return an entry of a value, at indices of which there is one for each axis."""
    return writer.scalar.place(symbol, tuple(f"j{axis}" for axis in range(len(writer.schedule.shapes[symbol]))))


def _each_entry(writer: Writer, symbol: Symbol, text: str) -> list[str]:
    """Set each entry of a value."""
    axes = [(f"j{axis}", size) for axis, size in enumerate(writer.schedule.shapes[symbol])]
    return writer.nest(axes, [f"{_at(writer, symbol)} = {text}"])


def _if_over(lines: list[str]) -> list[str]:
    """Do something for the samples of a step whose sequence is over."""
    head = ["for s in range(first, last):", "    row = t * B + s", "    if active[row, 0] == 0.0:"]
    return [*head, *indented(indented(lines))]
