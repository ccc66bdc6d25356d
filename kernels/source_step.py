"""A part of a cell or model as a function of one step of one sequence, in another framework's terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sympy import Symbol

from ..derive.cell import Cell, Equation, previous
from ..derive.errors import Error
from ..derive.linear import Node
from ..derive.program import quantities
from ..derive.sizes import dimension
from .frameworks import Framework, SourcePrinter
from .lines import opened_up, table
from .parts import Part
from .source_plan import IN_STEP, Plan, free_name


def function_of(plan: Plan, part: Part, framework: Framework) -> list[str]:
    """Return the lines of a part's function."""
    cell = part.cell
    names = _names(cell)
    printer = SourcePrinter(framework, names, cell.shapes)
    body = [f"{names[line.target]} = {_as_array(printer, line, cell, framework)}" for line in cell.equations]
    used = printer.shown | set(part.gives)
    given = {
        "params": [(name, Symbol(name)) for name in cell.params],
        "inputs": [(name, Symbol(name)) for name in part.wires],
        "states": [(name, previous(name)) for name in cell.states],
    }
    reads = {symbol: f'{table}["{name}"]' for table, entries in given.items() for name, symbol in entries}
    told = [dimension(size) for size in part.sizes]
    arguments = ", ".join(["params", "inputs", "states", *(names[size] for size in told)])
    lines = [f"def {part.name}({arguments}):", f'    """{_says(plan, part)}"""']
    lines += [f"    {names[symbol]} = {where}" for symbol, where in reads.items() if symbol in used]
    places = {symbol: names[symbol] if symbol in used else where for symbol, where in reads.items()}
    lines += [f"    {line}" for line in _lengths(cell, names, used.difference(told), places)]
    moved = set(places)
    for line in cell.equations:
        if not moved.isdisjoint(quantities(line.written)):
            moved.add(line.target)
    values = {symbol: names[symbol] for symbol in part.gives}
    for symbol in part.gives:
        if symbol not in moved and symbol.name in cell.states:  # a number, of which a batch is made
            values[symbol] = f'{framework.module}.zeros_like(states["{symbol}"]) + {values[symbol]}'
    if any("like." in line for line in [*body, *values.values()]):
        lines.append(f"    like = {_like(plan, part)}")
    return [*lines, *(f"    {line}" for line in body), *opened_up("    return ", table(values))]


def _names(cell: Cell) -> dict[Symbol, str]:
    """Return what each quantity and size is called: its own name, with a line after it where that is taken."""
    values = [*map(Symbol, cell.indices), *cell.shapes, *map(previous, cell.states)]
    sizes = [size for line in cell.equations for size in line.written.atoms(Symbol) if size.is_integer]
    names = {symbol: free_name(symbol.name, IN_STEP) for symbol in values}
    return names | {size: free_name(size.name, IN_STEP | set(names.values())) for size in sorted(sizes, key=str)}


def _as_array(printer: SourcePrinter, line: Equation, cell: Cell, framework: Framework) -> str:
    """Return a line's right side; a bare number as an array, since not every function takes it."""
    shown = printer.show(line.written)
    bare = not cell.shapes[line.target] and not quantities(line.written) and not line.written.atoms(Node)
    return framework.full.format("()", shown) if bare else shown


def _says(plan: Plan, part: Part) -> str:
    if plan.is_cell:
        return "Return the states after one step of one sequence."
    what = "the terms of the loss" if part.is_loss else "the values"
    return f"Return {what} " + ("at one step of one sequence." if part.axis else "of one sample, which run once.")


def _like(plan: Plan, part: Part) -> str:
    """Return an array that is at hand in a step and whose type is that of all numbers."""
    if part.cell.states:
        return "next(iter(states.values()))"
    floats = [name for name in part.wires if name in part.cell.inputs]
    return "next(iter(params.values()))" if plan.model.params or not floats else f'inputs["{floats[0]}"]'


def _lengths(cell: Cell, names: Mapping[Symbol, str], used: set[Symbol], places: Mapping[Symbol, str]) -> Iterator[str]:
    """Give lines that find the sizes which the equations name.

    Args:
        places: what a step is given -> where it stands.
    """
    for size in sorted((symbol for symbol in used if symbol.is_integer), key=str):
        found = [
            f"{place}.shape[{axis}]"
            for symbol, place in places.items()
            for axis, length in enumerate(cell.shapes.get(symbol, ()))
            if length == size
        ]
        if not found:
            raise Error(f"the size {size} can't be read from any parameter, input or state")
        yield f"{names[size]} = {found[0]}"
