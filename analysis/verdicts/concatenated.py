"""A cell whose matrices act on h and x together: W_f [h; x] for W_hf h + W_xf x, as many texts have it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...derive.cell import Cell, parse
from ...derive.errors import Error, Source
from .formulas import Statement, read_formulas
from .tree import Name, Tree, add, call, matmul, name, names, places, rebuilt, spell


@dataclass(frozen=True)
class Concatenated:
    """A cell in which pairs of matrices are one.

    Attributes:
        cell: the cell.
        parts: matrix -> those of which it is made, in order.
    """

    cell: Cell
    parts: dict[str, tuple[str, str]]

    @property
    def sentence(self) -> str:
        """What is to be said of it."""
        made = ", ".join(f"{whole} is [{first} {second}]" for whole, (first, second) in self.parts.items())
        return f"One matrix acts on both, state and input: {made}."


def concatenates(backward: Sequence[Statement]) -> bool:
    """Return whether a text puts vectors together, or takes one apart."""
    every = [part for line in backward for _, part in places(line.value)]
    return any(part.leaf == "concat" or (part.head == "part" and part.bounds[1] != ".") for part in every)


def concatenated(cell: Cell) -> Iterator[Concatenated]:
    """Yield a cell with the state first, [h; x], and with the input first; none where it has no such sums."""
    text = read_formulas(Source(cell.name, cell.text))
    for state_first in (True, False):
        parts: dict[str, tuple[str, str]] = {}
        lines = []
        for line in text.statements:
            value = _joined(line.value, line.target.base, cell, state_first, parts)
            lines.append(f"{line.target.base} = {spell(value)}")
        gone = {part for pair in parts.values() for part in pair}
        kept = [line for line in text.declarations if line.partition(":")[0] not in gone]
        try:
            made = parse("\n".join([*kept, *lines]), cell.name)
        except Error:
            continue
        if parts:
            yield Concatenated(made, parts)


def _joined(tree: Tree, target: str, cell: Cell, state_first: bool, parts: dict[str, tuple[str, str]]) -> Tree:
    """Return an equation with the sums of a matrix by a state and one by an input made one product."""
    args = [_joined(operand, target, cell, state_first, parts) for operand in tree.args]
    tree = rebuilt(tree, args) if args else tree
    if tree.head != "add":
        return tree
    products = [term for term in tree.args if term.head == "matmul" and isinstance(term.args[0].leaf, Name)]
    of_input = [term for term in products if {n.base for n in names(term.args[1])} <= {*cell.inputs, *cell.indices}]
    others = [term for term in products if term not in of_input]
    if len(of_input) != 1 or len(others) != 1:
        return tree
    pair = [others[0], of_input[0]] if state_first else [of_input[0], others[0]]
    first, second = (str(names(term.args[0])[0].base) for term in pair)
    if {first, second} & {part for found in parts.values() for part in found}:
        return tree
    whole = f"W_{first[-1] if first[-1] == second[-1] else target}"
    while whole in cell.params or whole in parts:
        whole += "_"
    parts[whole] = (first, second)
    product = matmul(name(whole), call("concat", *(term.args[1] for term in pair)))
    return add(product, *(term for term in tree.args if term not in pair))
