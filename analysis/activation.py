"""A cell with one of its elementwise functions replaced by another."""

from __future__ import annotations

import ast

from ..derive.cell import Cell, parse
from ..derive.errors import Error
from ..derive.functions import FUNCTIONS, arity
from ..derive.syntax import closest


def with_activation(cell: Cell, old: str, new: str) -> Cell:
    """Return a cell in which one elementwise function is replaced by another wherever it stands.

    Args:
        cell: any.
        old: a function of the table that the cell uses.
        new: a function of the table with as many arguments.

    Returns:
        A cell of the same equations otherwise, called `<cell>_<new>`.

    Raises:
        Error: for functions that aren't in the table, one that the cell doesn't use, or another number of arguments.

    >>> from ..derive.cell import load
    >>> print(with_activation(load("rnn"), "tanh", "relu").text.splitlines()[-1])
    h = relu(W_hh @ h + W_xh @ x + b_h)
    """
    for name in (old, new):
        if name not in FUNCTIONS:
            raise Error(f"no function is called '{name}'. {closest(name, FUNCTIONS)}")
    if arity(old) != arity(new):
        raise Error(f"'{old}' takes {arity(old)} and '{new}' {arity(new)} arguments: give two that take as many")
    tree = ast.parse(cell.text)
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    if old not in {call.id for call in calls}:
        used = sorted({call.id for call in calls} & FUNCTIONS.keys())
        raise Error(f"{cell.name} doesn't use '{old}'. It uses: {', '.join(used) or 'no function'}.")
    for call in calls:
        if call.id == old:
            call.id = new
    return parse(ast.unparse(tree), f"{cell.name}_{new}")
