"""Writes the function that carries directions through all steps and makes them orthonormal after each."""

from __future__ import annotations

from sympy import Integer, Symbol, prod

from ..derive.cell import previous
from ..derive.tangent import tangent
from .instructions import TANGENT_TIME, TIME
from .lines import indented, words, wrapped
from .sections import PURPOSE, STRETCHING
from .writer import Writer

AT_ONCE = 16  # directions: what is computed of them stays in the nearest cache


def together(samples: int, directions: int) -> tuple[int, int]:
    """Return of how many samples, and how many directions of each, tangents are computed at a time.

    >>> together(8, 256), together(8, 3)
    ((1, 16), (5, 3))
    """
    return min(samples, max(1, AT_ONCE // max(1, directions))), min(AT_ONCE, directions)


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
    one_step = {"T": "1", "B": "samples", "K": "directions", "first": "0", "last": "samples"}
    one_step |= {name: f"{name}[row : row + samples]" for name in lasting}
    call = wrapped("tangent(", tuple(one_step.get(name, name) for name in given), ")", width=100).split("\n")
    take, give, start = [], [], Integer(0)
    for (symbol, _), array, into in zip(pairs, before, after, strict=True):
        width = prod(schedule.shapes[symbol], start=Integer(1))
        place = f"{size(start)} + j" if start else "j"
        loop = f"for j in range({size(width)}):"
        take += [loop, f"    {array}[k, j] = vectors[moved + k, {place}]"]
        give += [loop, f"    vectors[moved + k, {place}] = {into}[k, j]"]
        start += width
    each = "for k in range(samples * directions):"
    some = [f"directions, moved = min({AT_ONCE}, K - q), s * K + q"]
    some += [each, *indented(take), *call, each, *indented(give)]
    steps = ["samples, row = min(together, B - s), t * B + s", f"for q in range(0, K, {AT_ONCE}):"]
    steps += indented(some)
    steps += ["for k in range(s, s + samples):"]
    steps += ["    orthonormalise(vectors, k * K, 0, K, norms, t, k * K, space)"]
    lines = ["for t in range(T):", *indented(["for s in range(0, B, together):", *indented(steps)])]
    seen = set(words("\n".join(lines)))
    counts = ("T", "B", "K", "together", *(name for name in writer.sizes.values() if name in seen))
    arrays = [name for name in given if name not in (*counts, "first", "last")]
    arguments = (*counts, "vectors", "norms", "space", *dict.fromkeys([*arrays, *before, *after]))
    return [f'"""{PURPOSE[STRETCHING]}"""', *lines], arguments
