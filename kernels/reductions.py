"""Sums within a sample: products of its own matrices and vectors, totals, softmax, cross-entropy; rows of a table."""

from __future__ import annotations

from sympy import Expr, Symbol

from ..derive.linear import cross_entropy, is_one_hot, transpose
from ..derive.notation import spell
from ..derive.program import quantities
from .instructions import Contract, CrossEntropy, RowSum, Softmax, Total
from .lines import indented
from .printer import goes_in_vectors, reads_neighbours
from .writer import Writer


def write_contract(writer: Writer, contract: Contract) -> list[str]:
    """Write a product of values that each sample has of its own."""
    shapes = writer.schedule.shapes
    shape = shapes[contract.target]
    [left], [right] = quantities(contract.left), quantities(contract.right)
    turned_left, turned_right = (isinstance(e, transpose) for e in (contract.left, contract.right))
    length = shapes[right][-1 if turned_right else 0]
    indices: tuple[str, ...] = ("j0", "j1")[: len(shape)]
    row = indices[:1] if len(shapes[left]) == 2 else ()
    column = indices[len(row) :]
    size = writer.scalar.size(length)
    where = writer.scalar.place(contract.target, indices)
    equation = f"# {contract.target} = {spell(contract.left)} @ {spell(contract.right)}"
    runs_along = len(shapes[right]) == 1 or turned_right
    if len(shapes[right]) == 2 and not turned_right:
        lines = _along_columns(writer, contract, row, length, right, contract.left)
    elif len(shapes[right]) == 1 and turned_left:
        lines = _along_columns(writer, contract, (), length, left, contract.right)
    elif runs_along and not turned_left:
        ones = (writer.vector.load(left, (*row, "k")), writer.vector.load(right, (*column, "k")))
        inner = ["sums = 0.0", f"for k in range(0, {size}, LANES):", f"    left = {size} - k"]
        inner += [f"    sums += total({ones[0]} * {ones[1]})", f"{where} = sums"]
        lines = writer.nest(zip(indices, shape, strict=True), inner)
    else:
        ones = (
            writer.scalar.entry_of(contract.left, (*row, "k")),
            writer.scalar.entry_of(contract.right, ("k", *column)),
        )
        inner = ["sums = 0.0", f"for k in range({size}):", f"    sums += {ones[0]} * {ones[1]}", f"{where} = sums"]
        lines = writer.nest(zip(indices, shape, strict=True), inner)
    return [equation, *writer.over(contract.scope, lines)]


def _along_columns(
    writer: Writer, contract: Contract, row: tuple[str, ...], length: Expr, matrix: Symbol, factor: Expr
) -> list[str]:
    """Sum up rows of a matrix, each times an entry of the factor, a vector of columns at a time."""
    size = writer.scalar.size
    stop = size(writer.schedule.shapes[contract.target][-1])
    weight = writer.scalar.entry_of(factor, (*row, "k"), 3)
    indices: tuple[str, ...] = (*row, "j")
    lines = [
        f"for j in range(0, {stop}, LANES):",
        f"    left = {stop} - j",
        f"    sums = 0.0 * {writer.vector.load(matrix, ('0', 'j'))}",
        f"    for k in range({size(length)}):",
        f"        sums = sums + {weight} * {writer.vector.load(matrix, ('k', 'j'))}",
        f"    store({', '.join(writer.vector.where(contract.target, indices))}, left, sums)",
    ]
    return writer.nest([("j0", writer.schedule.shapes[contract.target][0])], lines) if row else lines


def write_total(writer: Writer, total: Total) -> list[str]:
    """Write a sum over entries."""
    equation = f"# {total.target} = sum({spell(total.expr)})"
    where = writer.scalar.place(total.target, ())
    shapes = writer.schedule.shapes
    if total.shape and goes_in_vectors(total.expr, shapes) and reads_neighbours(total.expr, shapes):
        indices = ("j",) if len(total.shape) == 1 else ("j0", "j")
        stop = writer.scalar.size(total.shape[-1])
        text = writer.vector.entry_of(total.expr, indices)
        inner = [f"for j in range(0, {stop}, LANES):", f"    left = {stop} - j"]
        inner += [f"    sums += total(within({text}, left))"]
        lines = writer.nest([("j0", total.shape[0])], inner) if len(total.shape) == 2 else inner
    else:
        places = tuple(f"j{axis}" for axis in range(len(total.shape)))
        text = writer.scalar.entry_of(total.expr, places)
        lines = writer.nest(zip(places, total.shape, strict=True), [f"sums += {text}"])
    return [equation, *writer.over(total.scope, ["sums = 0.0", *lines, f"{where} = sums"])]


def write_softmax(writer: Writer, softmax: Softmax) -> list[str]:
    """Write a softmax, from which the largest entry is taken first."""
    size = writer.scalar.size(writer.schedule.shapes[softmax.target][0])
    target, where = writer.vector.load(softmax.target, ("j",)), ", ".join(writer.vector.where(softmax.target, ("j",)))
    lines = [
        *_largest(writer, softmax.vector),
        "sums = 0.0",
        f"for j in range(0, {size}, LANES):",
        f"    left = {size} - j",
        f"    store({where}, left, exp({writer.vector.load(softmax.vector, ('j',))} - largest))",
        f"    sums += total({target})",
        f"for j in range(0, {size}, LANES):",
        f"    left = {size} - j",
        f"    store({where}, left, {target} / sums)",
    ]
    return [f"# {softmax.target} = softmax({softmax.vector})", *writer.over(softmax.scope, lines)]


def _largest(writer: Writer, vector: Symbol) -> list[str]:
    """Find a vector's largest entry."""
    size, entry = writer.scalar.size(writer.schedule.shapes[vector][0]), writer.scalar.place(vector, ("j0",))
    return ["largest = -math.inf", f"for j0 in range({size}):", f"    largest = max(largest, {entry})"]


def write_cross_entropy(writer: Writer, node: CrossEntropy) -> list[str]:
    """Write a cross-entropy, from which the largest logit is taken first."""
    size = writer.scalar.size(writer.schedule.shapes[node.logits][0])
    target, logit = writer.scalar.place(node.target, ()), writer.scalar.place(node.logits, ("j0",))
    lines = [*_largest(writer, node.logits), "sums = 0.0", f"for j in range(0, {size}, LANES):"]
    grown = f"exp({writer.vector.load(node.logits, ('j',))} - largest)"
    lines += [f"    left = {size} - j", f"    sums += total(within({grown}, left))"]
    if is_one_hot(node.distribution):
        picked = writer.scalar.place(node.logits, (writer.scalar.picked(node.distribution.args[1]),))
        lines.append(f"{target} = largest + math.log(sums) - {picked}")
    else:
        weight = writer.scalar.place(node.distribution, ("j0",))
        lines += [f"{target} = largest + math.log(sums)", f"for j0 in range({size}):"]
        lines.append(f"    {target} -= {weight} * {logit}")
    shown = spell(cross_entropy(node.logits, node.distribution))
    return [f"# {node.target} = {shown}", *writer.over(node.scope, lines)]


def write_row_sum(writer: Writer, node: RowSum) -> list[str]:
    """Write a sum into rows that indices pick; one row may be picked at every step.

    In single precision what rounding takes from each sum is kept beside it, and added at the end (Knuth's TwoSum).
    """
    shape = writer.schedule.shapes[node.target]
    indices = tuple(f"j{axis}" for axis in range(len(shape) - 1))
    picked = (writer.scalar.picked(node.index), *indices)
    target, term = writer.scalar.place(node.target, picked), writer.scalar.entry_of(node.row, indices)
    inner = [f"{target} += {term}"]
    if writer.dtype == "float32":
        inner = [
            f"term, before = {term}, {target}",
            f"{target} = before + term",
            f"added = {target} - before",
            f"{writer.scalar.place(node.lost, picked)} += (before - ({target} - added)) + (term - added)",
        ]
    lines = writer.over(node.scope, writer.nest(zip(indices, shape[1:], strict=True), inner))
    if writer.dtype == "float32":
        every = tuple(f"j{axis}" for axis in range(len(shape)))
        lost = writer.scalar.place(node.lost, every)
        last = [f"{writer.scalar.place(node.target, every)} += {lost}", f"{lost} = 0.0"]
        lines += ["if earlier == 0:", *indented(writer.nest(zip(every, shape, strict=True), last))]
    equation = f"# {node.target}[{node.index}] += {spell(node.row)}, summed over steps and samples"
    return [equation, "if part == 0:", *indented(lines)]
