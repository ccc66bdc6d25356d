"""Two edits of one line: found from the values that the single ones give, then put together and evaluated.

Edits of different terms add what they change, and edits of different factors multiply it, so that the partner of every
edit has a value that is known beforehand; it is looked up among those of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from .arithmetic import Array
from .catalogue import Edit, Pool, edits, replaces_all
from .tree import Tree, add, mul, neg, places, rebuilt, replaced

ENTRIES = 5  # of a value, by which it is looked up
NEAR = 1e-7  # relative, for looking up alone
TRIED = 200  # pairs that are put together
SIMPLE = ("transpose", "wrong axis", "sign", "scale")  # also mend lines whose shapes don't fit
FIRST = 12


def pair(
    tree: Tree,
    single: Sequence[tuple[Edit, Array]],
    wanted: Array,
    value: Callable[[Tree], Array | None],
    right: Callable[[Array], bool],
) -> Edit | None:
    """Return the first pair of edits, as one, with which a line gives what is wanted; None where there is none.

    Args:
        tree: the line.
        single: edits in the order of the catalogue, with the values that they give.
        wanted: the right value.
        value: evaluates a tree.
        right: whether a value is what is wanted.
    """
    now = value(tree)
    if now is None or now.shape != wanted.shape:
        return None
    at = np.random.default_rng(3).choice(wanted.size, min(ENTRIES, wanted.size), replace=False)
    fitting = [(edit, found.reshape(-1)[at]) for edit, found in single if found.shape == wanted.shape]
    distinct: dict[bytes, tuple[Edit, Array]] = {}
    for edit, found in fitting:
        if np.isfinite(found).all():
            distinct.setdefault(np.round(found, 9).tobytes(), (edit, found))
    known = [edit for edit, _ in distinct.values()]
    if len(known) < 2:
        return None
    values = np.array([found for _, found in distinct.values()])
    goal, base = wanted.reshape(-1)[at], now.reshape(-1)[at]
    found_pairs = set(_partners(values, goal + base - values))
    for term in tree.args if tree.head == "add" else (tree,):
        part = value(term)
        if part is not None and part.shape == wanted.shape:
            rest = base - part.reshape(-1)[at]
            with np.errstate(all="ignore"):
                partners = rest + (goal - rest) * (base - rest) / (values - rest)
            found_pairs |= set(_partners(values, partners))
    for one, other in sorted(found_pairs, key=lambda both: (sum(both), both))[:TRIED]:
        both = merged(tree, known[one].tree, known[other].tree)
        result = value(both) if both is not None else None
        if both is not None and result is not None and right(result):
            return _as_one(known[one], known[other], both)
    return None


def in_turn(
    tree: Tree, pool: Pool, value: Callable[[Tree], Array | None], right: Callable[[Array], bool]
) -> Edit | None:
    """Return the first pair of edits of which one is of a few simple kinds, and the other of what it leaves."""
    simple = [edit for edit in edits(tree, pool) if edit.mends in SIMPLE]
    for one in simple[:FIRST]:
        for other in edits(one.tree, pool):
            found = None if replaces_all(other, one.tree, pool) else value(other.tree)
            if found is not None and right(found):
                return _as_one(one, other, other.tree)
    return None


def _partners(values: Array, wanted: Array) -> list[tuple[int, int]]:
    """Return (i, j), i < j, where the value j is what i wants."""
    order = np.argsort(values[:, 0])
    first = values[order, 0]
    known = np.isfinite(wanted).all(axis=1)
    goal = np.where(known, wanted[:, 0], 0.0)
    close = NEAR * (1 + np.abs(goal))
    low, high = np.searchsorted(first, goal - close), np.searchsorted(first, goal + close)
    found = []
    for i in np.flatnonzero((high > low) & known):
        for j in order[low[i] : high[i]]:
            if i < j and np.allclose(values[j], wanted[i], NEAR, NEAR):
                found.append((int(i), int(j)))
    return found


def _as_one(one: Edit, other: Edit, both: Tree) -> Edit:
    """Return two edits as one, with both messages."""
    first, *rest = one.message
    second, *more = other.message
    kind = one.mends if one.mends == other.mends else f"{one.mends} and {other.mends}"
    return Edit(kind, kind, (f"{first}; and {second}", *rest, *more), both)


def merged(base: Tree, one: Tree, other: Tree) -> Tree | None:
    """Return a tree with what either of two others has changed in it; None where both changed the same place.

    >>> from .formulas import read_formulas
    >>> from .tree import Speller
    >>> from ...derive.errors import Source
    >>> read = lambda text: read_formulas(Source("", f"y = {text}")).statements[0].value
    >>> Speller().show(merged(read("a * b + c"), read("a * b**2 + c"), read("a * b - c + d")))
    'a * b**2 - c + d'
    """
    if one == base:
        return other
    if other == base:
        return one
    if one == other:
        return None
    alike = one.head == base.head == other.head and one.leaf == base.leaf == other.leaf
    if alike and len(one.args) == len(base.args) == len(other.args):
        parts = [merged(*three) for three in zip(base.args, one.args, other.args, strict=True)]
        whole = [part for part in parts if part is not None]
        if len(whole) == len(parts):
            return rebuilt(base, whole)
    if alike and base.head in ("add", "mul"):
        return _of_operands(base, one, other)
    for around, inner in ((one, other), (other, one)):
        path = next((path for path, part in places(around) if path and part == base), None)
        if path is not None:
            return replaced(around, path, inner)
    if one.head == "neg" != other.head:
        return neg(other)
    return None


def _of_operands(base: Tree, one: Tree, other: Tree) -> Tree | None:
    """Return a sum or a product with the operands that either change has taken out or put in."""
    kept, first, second = Counter(base.args), Counter(one.args), Counter(other.args)
    gone, gone_too = kept - first, kept - second
    if gone & gone_too:
        return None
    new = [*(first - kept).elements(), *(second - kept).elements()]
    left = [arg for arg in base.args if arg not in gone and arg not in gone_too]
    if len(left) + sum((gone + gone_too).values()) != len(base.args):
        return None  # an operand that stands there twice
    operands = [*left, *new]
    return (add if base.head == "add" else mul)(*operands) if operands else None
