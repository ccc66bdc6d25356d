"""Writes the function that carries directions through all steps and makes them orthonormal after each."""

from __future__ import annotations

from sympy import Integer, Symbol, prod

from ..derive.cell import previous
from ..derive.tangent import tangent
from .instructions import TANGENT_TIME, TIME
from .lines import indented, words, wrapped
from .sections import PURPOSE, STRETCHING
from .writer import Writer


def write_stretching(writer: Writer, given: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
    """Return the lines of the function, and its arguments; none where no state moves, or more than the states.

    Args:
        writer: of the module.
        given: arguments of its tangent function, which is called for one step at a time.
    """
    schedule, size = writer.schedule, writer.scalar.size
    pairs = [(tangent(previous(name)), tangent(Symbol(name))) for name in schedule.derivation.cell.states]
    before, after = ([writer.scalar.arrays[pair[side]] for pair in pairs] for side in (0, 1))
    kinds = {writer.arrays[block.name]: block.kind for block in schedule.blocks.values()}
    if not pairs or not {name for name, kind in kinds.items() if kind == TANGENT_TIME} <= {*before, *after}:
        return [], ()
    lasting = ["active", *(name for name, kind in kinds.items() if kind == TIME)]
    one_step = {"T": "1", "first": "0", "last": "B"} | {name: f"{name}[t * B : (t + 1) * B]" for name in lasting}
    call = wrapped("tangent(", tuple(one_step.get(name, name) for name in given), ")").split("\n")
    take, give, start = [], [], Integer(0)
    for (symbol, _), array, into in zip(pairs, before, after, strict=True):
        width = prod(schedule.shapes[symbol], start=Integer(1))
        place = f"{size(start)} + j" if start else "j"
        loop = [f"for j in range(0, {size(width)}, LANES):", f"    left = {size(width)} - j"]
        take += [*loop, f"    store({array}, q, j, left, load(vectors, q, {place}, left))"]
        give += [*loop, f"    store(vectors, q, {place}, left, load({into}, q, j, left))"]
        start += width
    each = "for q in range(B * K):"
    steps = [each, *indented(take), *call, each, *indented(give), "for s in range(B):"]
    steps.append("    orthonormalise(vectors, s * K, 0, K, norms, t, s * K, space)")
    lines = ["for t in range(T):", *indented(steps)]
    seen = set(words("\n".join(lines)))
    counts = ("T", "B", "K", *(name for name in writer.sizes.values() if name in seen))
    arrays = [name for name in given if name not in (*counts, "first", "last")]
    arguments = (*counts, "vectors", "norms", "space", *dict.fromkeys([*arrays, *before, *after]))
    return [f'"""{PURPOSE[STRETCHING]}"""', *lines], arguments
