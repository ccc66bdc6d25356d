"""Cell -> the same cell with other names, or with the matrices of its gates stacked into one: [h; x] times one W."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from keyword import iskeyword

import sympy
from sympy import Expr, Integer, Symbol

from .cell import Cell, Equation, previous
from .errors import Error
from .functions import FUNCTIONS
from .linear import concat, part, product, shape_of
from .program import quantities
from .syntax import TENSOR_FUNCTIONS, closest, is_reserved
from .written import added, operands, rebuilt, renamed

Grid = tuple[tuple[Symbol, ...], ...]


@dataclass(frozen=True)
class Fused:
    """A cell with stacked parameters.

    Attributes:
        cell: the cell, in which each gate takes its piece of one product with [v; w; ...].
        blocks: stacked parameter -> the parameters that it consists of, as rows and columns of blocks.
    """

    cell: Cell
    blocks: Mapping[str, Grid]


@dataclass(frozen=True)
class _Affine:
    """The terms W v + ... + b of a sum.

    Attributes:
        gate: the target of the equation that it stands in.
        line: number of that equation.
        whole: the sum, or the one product, as it is written there.
        matrices: vector -> the matrix that multiplies it.
        bias: the parameter that is added, if any.
    """

    gate: str
    line: int
    whole: Expr
    matrices: Mapping[Expr, Symbol]
    bias: Symbol | None

    def others(self, with_bias: bool) -> list[Expr]:
        """Return the terms of the sum that aren't stacked."""
        gone = [product(matrix, vector) for vector, matrix in self.matrices.items()]
        gone += [self.bias] if with_bias and self.bias is not None else []
        return [term for term in operands(sympy.Add, self.whole) if term not in gone]


def fused(cell: Cell, gates: Iterable[str] = ()) -> Fused:
    """Stack the matrices of gates that multiply the same vectors, and their biases.

    What is stacked are the terms W v + U w + ... + b of one sum, with parameters that stand nowhere else. Sums over the
    same vectors become one product a = W [v; w; ...] + b, of which each gate takes its piece; a sum that shares its
    vectors with no other becomes such a product by itself, unless it has one vector alone. Vectors that hold states of
    the step before come first.

    Args:
        cell: any cell.
        gates: the order of the pieces, by the names that their equations assign; by default as they appear.

    Raises:
        Error: where nothing can be stacked, or `gates` isn't an order of the gates.

    >>> from .cell import load
    >>> print(fused(load("gru")).cell.text.partition("param[2*n]\\n")[2].partition("\\nh =")[0])
    W_h_tilde: param[n, m + n]
    a_zr = W_zr @ concat(h, x) + b_zr
    z = sigmoid(a_zr[0:n])
    r = sigmoid(a_zr[n:2 * n])
    h_tilde = tanh(W_h_tilde @ concat(r * h, x) + b_h)
    """
    gates = tuple(gates)
    groups = _groups(cell)
    if not groups:
        raise Error(
            f"{cell.name} can't be fused: no two of its products with parameters share their vectors or are added up"
        )
    _check_gates(cell, gates, groups)
    place = {gate: number for number, gate in enumerate(gates)}
    groups = [sorted(group, key=lambda one: place.get(one.gate, len(place))) for group in groups]
    fusing = _Fusing(cell, groups)
    for group in groups:
        fusing.add(group)
    return fusing.result()


def _check_gates(cell: Cell, gates: tuple[str, ...], groups: list[list[_Affine]]) -> None:
    needed = [one.gate for group in groups if len(group) > 1 for one in group]
    possible = [one.gate for group in groups for one in group]
    if gates and (set(needed) - set(gates) or set(gates) - set(possible) or len(set(gates)) != len(gates)):
        raise Error(
            f"the order of gates {', '.join(gates)} isn't an order of the gates of {cell.name} that are stacked: "
            f"{', '.join(dict.fromkeys(needed or possible))}. Name each of them once"
        )


def _groups(cell: Cell) -> list[list[_Affine]]:
    """Return the affine parts that are stacked together, in the order in which the equations use them."""
    uses = Counter(part for line in cell.equations for part in sympy.preorder_traversal(line.written))
    own = {Symbol(name) for name in cell.params if uses[Symbol(name)] == 1}
    groups: dict[frozenset[Expr], list[_Affine]] = {}
    for number, line in enumerate(cell.equations):
        for one in _affine_parts(line, number, own, cell):
            groups.setdefault(frozenset(one.matrices), []).append(one)
    return [group for vectors, group in groups.items() if len(group) > 1 or len(vectors) > 1]


def _affine_parts(line: Equation, number: int, own: set[Symbol], cell: Cell) -> list[_Affine]:
    found: list[_Affine] = []
    inside: set[Expr] = set()
    for whole in sympy.preorder_traversal(line.written):
        if not isinstance(whole, sympy.Add | product) or whole in inside:
            continue
        terms = operands(sympy.Add, whole)
        matrices: dict[Expr, Symbol] = {}
        for term in terms:
            if isinstance(term, product) and term.args[0] in own and not term.args[1].has(product):
                matrices.setdefault(term.args[1], term.args[0])
        biases = [term for term in terms if term in own and len(shape_of(term, cell.shapes)) == 1]
        if matrices:
            found.append(_Affine(line.target.name, number, whole, matrices, (*biases, None)[0]))
            inside |= set(terms)
    return found


class _Fusing:
    """Collects the equations and parameters of the fused cell."""

    def __init__(self, cell: Cell, groups: list[list[_Affine]]) -> None:
        self.cell = cell
        self.alone = len(groups) == 1
        self.shapes = dict(cell.shapes)
        gone = {matrix.name for group in groups for one in group for matrix in one.matrices.values()}
        self.taken = {symbol.name for symbol in cell.shapes} - gone
        self.blocks: dict[str, Grid] = {}
        self.before: dict[int, list[Equation]] = {}
        self.swapped: dict[tuple[int, Expr], tuple[Expr, list[Expr]]] = {}

    def add(self, group: list[_Affine]) -> None:
        vectors = sorted(min(group, key=lambda one: one.line).matrices, key=self._is_new)
        gates = [one.gate for one in group]
        suffix = "" if self.alone else "_" + ("" if max(map(len, gates)) == 1 else "_").join(gates)
        biased = len(group) > 1 and all(one.bias is not None for one in group)
        rows = [shape_of(one.matrices[vectors[0]], self.shapes)[0] for one in group]
        height, width = sympy.Add(*rows), sympy.Add(*(shape_of(vector, self.shapes)[0] for vector in vectors))
        weight = self._named(f"W{suffix}", (height, width))
        self.blocks[weight.name] = tuple(tuple(one.matrices[vector] for vector in vectors) for one in group)
        stacked = product(weight, concat(*vectors) if len(vectors) > 1 else vectors[0])
        if biased:
            bias = self._named(f"b{suffix}", (height,))
            self.blocks[bias.name] = tuple((one.bias,) for one in group if one.bias is not None)
            stacked = added(stacked, bias)
        if len(group) > 1:
            value = self._named(f"a{suffix}", (height,))
            self.before.setdefault(min(one.line for one in group), []).append(Equation(value, stacked))
        start: Expr = Integer(0)
        for one, size in zip(group, rows, strict=True):
            piece = part(value, start, start + size) if len(group) > 1 else stacked
            self.swapped[one.line, one.whole] = piece, one.others(biased)
            start += size

    def _is_new(self, vector: Expr) -> bool:
        """Return whether a vector holds nothing of the step before: those that do are stacked first."""
        return not any(previous(state) in quantities(vector) for state in self.cell.states)

    def _named(self, wanted: str, shape: tuple[Expr, ...]) -> Symbol:
        candidates = (wanted, *(f"{wanted}_{number}" for number in range(2, 1000)))
        name = next(candidate for candidate in candidates if candidate not in self.taken)
        self.taken.add(name)
        self.shapes[Symbol(name)] = shape
        return Symbol(name)

    def _swapped(self, written: Expr, line: int) -> Expr:
        """Replace the affine terms of every sum of a line by their piece of the stack."""

        def change(whole: Expr) -> Expr | None:
            if (line, whole) not in self.swapped:
                return None
            piece, others = self.swapped[line, whole]
            return added(piece, *(rebuilt(term, change) for term in others))

        return rebuilt(written, change)

    def result(self) -> Fused:
        cell = self.cell
        gone = {symbol.name for grid in self.blocks.values() for row in grid for symbol in row}
        equations: list[Equation] = []
        for number, line in enumerate(cell.equations):
            equations += self.before.get(number, [])
            equations.append(replace(line, written=self._swapped(line.written, number)))
        params = {name: dims for name, dims in cell.params.items() if name not in gone}
        params |= {name: tuple(map(str, self.shapes[Symbol(name)])) for name in self.blocks}
        shapes = {s: shape for s, shape in self.shapes.items() if s.name not in gone or s.name in self.blocks}
        return Fused(replace(cell, params=params, equations=tuple(equations), shapes=shapes), self.blocks)


def renamed_cell(cell: Cell, names: Mapping[str, str]) -> Cell:
    """Give quantities of a cell other names, all at once.

    Args:
        cell: any cell.
        names: old name -> new name.

    Raises:
        Error: for a name that the cell doesn't have, that can't be a name, or that would be given twice.

    >>> from .cell import load
    >>> print(renamed_cell(load("rnn"), {"W_hh": "U", "W_xh": "W", "b_h": "b"}).equations[0].written)
    tanh(b + product(U, h_prev) + product(W, x))
    """
    _check_names(cell, names)
    to = {name: names.get(name, name) for name in (symbol.name for symbol in cell.shapes)}
    symbols: dict[Expr, Expr] = {Symbol(old): Symbol(new) for old, new in to.items()}
    symbols |= {previous(state): previous(to[state]) for state in cell.states}
    return replace(
        cell,
        inputs={to[name]: dims for name, dims in cell.inputs.items()},
        states={to[name]: dims for name, dims in cell.states.items()},
        params={to[name]: dims for name, dims in cell.params.items()},
        indices={to[name]: size for name, size in cell.indices.items()},
        equations=tuple(Equation(symbols[e.target], renamed(e.written, symbols)) for e in cell.equations),
        shapes={symbols[symbol]: shape for symbol, shape in cell.shapes.items()},
    )


def _check_names(cell: Cell, names: Mapping[str, str]) -> None:
    states = set(map(previous, cell.states))
    known = [symbol.name for symbol in cell.shapes if symbol not in states]
    for old, new in names.items():
        if old not in known:
            raise Error(f"the cell {cell.name} has no name '{old}' to be changed. {closest(old, known)}")
        if not new.isidentifier() or iskeyword(new) or is_reserved(new) or new in {**FUNCTIONS, **TENSOR_FUNCTIONS}:
            raise Error(f"'{old}' can't be called '{new}': this can't be the name of a quantity. Choose another name")
    given = Counter(names.get(name, name) for name in known)
    for name, count in given.items():
        if count > 1:
            both = ", ".join(f"'{old}'" for old in known if names.get(old, old) == name)
            raise Error(f"{both} would both be called '{name}'. Choose different names")
