"""Writes the function that carries directions through all steps and makes them orthonormal after each."""

from __future__ import annotations

from sympy import Symbol

from ..derive.cell import previous
from ..derive.tangent import tangent
from .folded import Fold, write_fold, write_folded
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


def write_stretching(writer: Writer, given: tuple[str, ...], folded: Fold | None) -> tuple[list[str], tuple[str, ...]]:
    """Return the lines of the function, and its arguments; none where no state moves, or more than the states.

    Args:
        writer: of the module.
        given: arguments of its tangent function, which is called for one step at a time.
        folded: the tangents, where that saves operations: then only a few directions go through that function.
    """
    schedule = writer.schedule
    states = [Symbol(name) for name in schedule.derivation.cell.states]
    kinds = {writer.arrays[block.name]: block.kind for block in schedule.blocks.values()}
    if not states or sum(kind == TANGENT_TIME for kind in kinds.values()) > 2:
        return [], ()
    before, after = (writer.scalar.arrays[tangent(one)] for one in (previous(states[0].name), states[0]))
    lasting = ["active", *(name for name, kind in kinds.items() if kind == TIME)]
    one_step = {"T": "1", "B": "samples", "K": "directions", "first": "0", "last": "samples"}
    one_step |= {name: f"{name}[row : row + samples]" for name in lasting}
    one_step |= {before: "before[moved:stop]", after: "after[moved:stop]"}
    call = wrapped("tangent(", tuple(one_step.get(name, name) for name in given), ")", room=95).split("\n")
    steps, some = ["samples, row = min(together, B - s), t * B + s"], []
    if folded:
        steps.append(f"folds = K >= {AT_ONCE} and (len(active) == 0 or active[row, 0] != 0.0)")
        steps += ["if folds:", *indented(write_fold(writer, folded))]
        some = ["if folds:", *indented([*write_folded(writer, folded), "continue"])]
    some = [
        f"directions, moved = min({AT_ONCE}, K - q), s * K + q",
        "stop = moved + samples * directions",
        *some,
        *call,
    ]
    steps += [f"for q in range(0, K, {AT_ONCE}):", *indented(some)]
    steps += ["for k in range(s, s + samples):"]
    steps += ["    orthonormalise(after, k * K, 0, K, norms, t, k * K, space)"]
    steps = ["for s in range(0, B, together):", *indented(steps), "before, after = after, before"]
    lines = ["before, after = vectors, carried", "for t in range(T):", *indented(steps)]
    seen = set(words("\n".join(lines)))
    counts = ("T", "B", "K", "together", *(name for name in writer.sizes.values() if name in seen))
    arrays = [name for name in given if name not in (*counts, "first", "last", before, after)]
    if folded:
        matrices = [writer.scalar.arrays[matrix] for form in folded.rows.values() for matrix in form]
        arrays = [*dict.fromkeys([*arrays, *matrices]), "blocks", "folded"]
    arguments = (*counts, "vectors", "carried", "norms", "space", *arrays)
    return [f'"""{PURPOSE[STRETCHING]}"""', *lines], arguments
