"""Calls of the compiled matrix products: packing, products with fixed matrices, sums of outer products."""

from __future__ import annotations

from sympy import Expr, Integer, Rational, Symbol

from ..derive.linear import transpose
from ..derive.notation import spell
from ..derive.program import quantities
from .instructions import ALL, BATCH, PASSING, TANGENT_BATCH, TANGENT_TIME, TIME, Dot, OuterSum, targets
from .lines import free
from .writer import Writer


def write_packs(writer: Writer) -> list[str]:
    """Pack the matrices that the coming functions multiply with."""
    wanted = {
        "prologue": ("before", "forward"),
        "pack_backward": ("backward", "after"),
        "pack_tangent": ("tangent",),
    }
    lines = []
    for part in wanted.get(writer.section, ()):
        for dot in getattr(writer.schedule, part):
            if isinstance(dot, Dot) and _key(dot) not in writer.packed:
                writer.packed[_key(dot)] = free(f"packed{len(writer.packed) + 1}", writer.taken)
                lines += _pack(writer, dot)
    return lines


def _key(dot: Dot) -> tuple[tuple[Expr, ...], bool]:
    """Return by what a packed matrix is known."""
    return dot.matrices, len(dot.targets) > 1


def _pack(writer: Writer, dot: Dot) -> list[str]:
    """Pack the matrices of one product, side by side or one below the other."""
    shapes, size, name = writer.schedule.shapes, writer.scalar.size, writer.packed[_key(dot)]
    columns = sum((shapes[target][0] for target in dot.targets), Integer(0))
    length = sum((shapes[vector][0] for vector in dot.vectors), Integer(0))
    writer.packed_sizes[name] = columns, length
    lines = [f"# {name}: {_side_by_side(dot)}"]
    column, k = Integer(0), Integer(0)
    for number, matrix in enumerate(dot.matrices):
        [symbol] = quantities(matrix)
        turned = isinstance(matrix, transpose)
        shape = shapes[symbol][::-1] if turned else shapes[symbol]
        at = f"{size(columns)}, {size(length)}, {size(column)}, {size(k)}"
        of = f"{writer.scalar.arrays[symbol]}, {size(shape[0])}, {size(shape[1])}, {int(not turned)}"
        lines.append(f"pack_part({name}, {at}, {of}, part, parts)")
        if len(dot.targets) > 1:
            column += shapes[dot.targets[number]][0]
        else:
            k += shapes[dot.vectors[number]][0]
    return lines


def write_dot(writer: Writer, dot: Dot) -> list[str]:
    """Write a product with fixed matrices, for all samples at once."""
    size = writer.scalar.size
    columns, length = writer.packed_sizes[writer.packed[_key(dot)]]
    sign = "+=" if dot.accumulate else "="
    factor = "" if dot.coefficient == 1 else f"{dot.coefficient} * "
    whole = ", for `span` steps at once" if dot.scope == ALL else ""
    products = [(t, spell(m), v) for t, m, v in zip(*_paired(dot), strict=True)]
    lines = [f"# {t} {sign} {factor}{m} @ {v}{whole}" for t, m, v in products]
    if len(dot.vectors) > 1:
        terms = " + ".join(f"{factor}{m} @ {v}" for _, m, v in products)
        lines = [f"# {dot.targets[0]} {sign} {terms}{whole}"]
    rows, back, shared = "below - above, 1, B", "t % 2", "piece, pieces"
    first = {TIME: "t * B + above", PASSING: "t * B + above", BATCH: "above"}
    if writer.section == "tangent":
        rows, shared = "(last - first) * K, 1, 0", "0, 1"
        first = {TANGENT_TIME: "(t * B + first) * K", TANGENT_BATCH: "first * K"}
    elif dot.scope == ALL:
        rows, back = "rows, times, B", "0"
        first = dict.fromkeys((TIME, PASSING), "start * B + above")

    def place(symbol: Symbol) -> str:
        where = writer.schedule.places[symbol]
        return f"{writer.scalar.arrays[symbol]}, {first[writer.schedule.kept[symbol]]}, {size(where.start)}"

    counts = f"{rows}, {size(columns)}, {size(length)}, {_float(dot.coefficient)}, {int(dot.accumulate)}"
    arguments = (place(dot.targets[0]), place(dot.vectors[0]), writer.packed[_key(dot)], counts, f"{back}, {shared}")
    return [*lines, "multiply_part(", *(f"    {argument}," for argument in arguments), ")"]


def write_outer_sum(writer: Writer, outer: OuterSum) -> list[str]:
    """Write a sum of outer products over steps and samples."""
    size, shapes, places, arrays = (
        writer.scalar.size,
        writer.schedule.shapes,
        writer.schedule.places,
        writer.scalar.arrays,
    )
    factor = "" if outer.coefficient == 1 else f"{outer.coefficient} * "
    equations = [
        f"# {target} += {factor}outer({left}, {outer.right}), summed over steps and samples"
        for target, left in zip(outer.targets, outer.lefts, strict=True)
    ]
    rows = sum((shapes[left][0] for left in outer.lefts), Integer(0))
    first, left = places[outer.targets[0]].start, places[outer.lefts[0]].start
    adds = "1" if set(outer.targets) & _written_before(writer, outer) else "later"
    arguments = (
        f"{arrays[outer.targets[0]]}, {_from(size(first))}, 0",
        f"{arrays[outer.lefts[0]]}, 0, {_from(size(left))}",
        f"{arrays[outer.right]}, 0, {size(places[outer.right].start)}",
        f"space[part], high - low, {size(shapes[outer.right][0])}, T * B, {_float(outer.coefficient)}, {adds}",
    )
    call = ["outer_sum(", *(f"    {argument}," for argument in arguments), ")"]
    return [*equations, f"low, high = share({size(rows)}, part, parts)", *call]


def _written_before(writer: Writer, outer: OuterSum) -> set[Symbol]:
    earlier = writer.schedule.sums[: writer.schedule.sums.index(outer)]
    return {target for instruction in earlier for target in targets(instruction)}


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


def _from(start: str) -> str:
    return "low" if start == "0" else f"{start} + low"


def _float(number: Rational) -> str:
    return repr(float(number))
