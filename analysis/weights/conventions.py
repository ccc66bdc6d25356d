"""How frameworks lay out weights: the table `conventions.toml`, and arrays taken apart by it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache, partial
from importlib import resources
from typing import Any

import numpy as np
from sympy import Symbol

from ...derive.cell import Cell, load, parse
from ...derive.errors import Error
from ...derive.interpret import size
from .layers import Array, sizes_in

PLACES = ("FIRST", "SECOND", "THIRD")
NOBODY = "-"


@cache
def table() -> dict[str, Any]:
    """Return the table of conventions."""
    return tomllib.loads(resources.files(__package__).joinpath("conventions.toml").read_text(encoding="utf-8"))


def function(framework: str, name: str, where: str, numbers: Sequence[float] = ()) -> str:
    """Return a function of a framework as an expression in `u`.

    Args:
        framework: whose name it is.
        name: of the function, in any case.
        where: it was found, for the message.
        numbers: its alpha and beta, where the layer gives them.

    Raises:
        Error: for a function that isn't in the table.

    >>> function("onnx", "LeakyRelu", "m.onnx", [0.1])
    'relu(u) + 0.1 * min(u, 0)'
    """
    known = table()["functions"][framework]
    key = name.lower()
    if key not in known:
        raise Error(f"{where}: the function '{name}' isn't known here. Known: {', '.join(known)}.")
    standard = table().get("numbers", {}).get(framework, {}).get(key, [])
    given = [*numbers, *standard[len(numbers) :]]
    for symbol, number in zip(("alpha", "beta"), given, strict=False):
        known = {**known, key: re.sub(rf"\b{symbol}\b", repr(float(number)), known[key])}
    return str(known[key])


def cell_of(key: str, functions: Sequence[str] = (), bound: float | None = None) -> Cell:
    """Return the cell of a layout, of the zoo where it stands there.

    Args:
        key: of the cell in the table.
        functions: expressions in `u`, in the table's order; the table's own where omitted.
        bound: the argument of each function but the third, of the memory, is kept between -bound and bound.

    >>> cell_of("simple").name, cell_of("simple", ["relu(u)"]).text.splitlines()[-1]
    ('rnn', 'h = relu(a)')
    """
    entry = table()["cells"][key]
    standard = [f"{name}(u)" for name in entry["functions"]]
    chosen = list(functions) or standard
    if chosen == standard and bound is None and "zoo" in entry:
        return load(entry["zoo"])
    text = f'"""{entry["title"]}."""\n{entry["text"].strip()}'
    for place, expression in zip(PLACES, chosen, strict=False):
        text = re.sub(rf"{place}\((\w+)\)", partial(_applied, expression, None if place == PLACES[2] else bound), text)
    return parse(text, key)


def _applied(expression: str, bound: float | None, found: re.Match[str]) -> str:
    """Return a function, an expression in `u`, of the name that was found as its argument."""
    argument = found[1] if bound is None else f"min(max({found[1]}, {-bound!r}), {bound!r})"
    return re.sub(r"\bu\b", argument, expression)


def unpack(layout: Mapping[str, Any], cell: Cell, arrays: Mapping[str, Array], where: str) -> dict[str, Array]:
    """Return a cell's parameters from the arrays of a layer.

    Args:
        layout: of the table: array -> names of the parameters whose rows it stacks.
        cell: whose parameters are wanted; vectors that no array gives are 0.
        arrays: name -> rows of blocks, float64.
        where: they were found, for messages.

    Raises:
        Error: for an array that is missing, or whose shape doesn't fit the others.

    >>> layout = {"cell": "simple", "W": ["W_xh"], "R": ["W_hh"], "B": ["b_h", "b_h"]}
    >>> found = unpack(layout, cell_of("simple"), {"W": np.ones((2, 3)), "R": np.eye(2), "B": np.arange(4.0)}, "mine")
    >>> found["b_h"], found["W_xh"].shape
    (array([2., 4.]), (2, 3))
    """
    params: dict[str, Array] = {}
    for role, names in layout.items():
        if role == "cell" or role not in arrays:
            continue
        rows = arrays[role]
        if rows.shape[0] % len(names):
            raise Error(f"{where}: {role} has {rows.shape[0]} rows, and {len(names)} blocks were expected in it")
        for name, block in zip(names, np.split(rows, len(names)), strict=True):
            if name != NOBODY:
                params[name] = params[name] + block if name in params else block
    sizes = sizes_in(cell, params)
    for name, shape in cell.params.items():
        wanted = tuple(size(part, sizes) for part in cell.shapes[Symbol(name)])
        if name not in params and len(wanted) == 1:
            params[name] = np.zeros(wanted)
        if name not in params:
            raise Error(f"{where}: nothing there gives {name}, ({', '.join(shape)}). There: {', '.join(arrays)}.")
        if params[name].shape != wanted:
            found = " x ".join(map(str, params[name].shape))
            raise Error(f"{where}: {name} is {found} there, and the other arrays want {' x '.join(map(str, wanted))}")
    return {name: np.ascontiguousarray(params[name], np.float64) for name in cell.params}
