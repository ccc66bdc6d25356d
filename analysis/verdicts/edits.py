"""What an edit of a line is, and what may stand in a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ...derive.functions import FUNCTIONS
from .meanings import Meaning
from .tree import Name, Path, Tree, add, number, places

ONE = number(1)
ADJOINT = ("total", "incoming", "carry", "loss")


@dataclass(frozen=True)
class Pool:
    """What may stand in a line.

    Attributes:
        names: name -> (what it is, its number of dimensions); those of the text come first.
        slopes: slopes of the cell's functions, and whether these have a kink.
        factors: other factors that right lines have.
        terms: the terms of the right line, and whether each is a carry from step t+1.
        inner: terms of sums inside of these.
        arguments: (value, argument of the function that gives it), such as (f, a_f).
        numbers: that the right line holds.
        written: values that have no name, written out; what they are, and their numbers of dimensions.
    """

    names: dict[Name, tuple[Meaning, int]]
    slopes: tuple[tuple[Tree, bool], ...]
    factors: tuple[Tree, ...]
    terms: tuple[tuple[Tree, bool], ...]
    inner: tuple[Tree, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    numbers: tuple[Tree, ...] = ()
    written: tuple[tuple[Tree, Meaning, int], ...] = ()


class Edit(NamedTuple):
    """One edit of a line.

    Attributes:
        mends: the kind of fault that it mends.
        makes: the kind of fault that it makes of a right line.
        message: what is wrong with the line before, in words, and the formulas that stand in its gaps.
        tree: the line after.
    """

    mends: str
    makes: str
    message: tuple[str | Tree, ...]
    tree: Tree

    def said(self, show: Callable[[Tree], str]) -> str:
        """Return the message, with formulas as `show` prints them."""
        text, *about = self.message
        return str(text).format(*(show(part) if isinstance(part, Tree) else part for part in about))


Edits = Callable[[Tree, Pool], Iterator[Edit]]


def parent(tree: Tree, path: Path) -> Tree:
    for index in path[:-1]:
        tree = tree.args[index]
    return tree


def terms_of(tree: Tree) -> Iterator[tuple[Path, Tree]]:
    """Yield terms of sums and whole operands: all but factors and what is inside a sign."""
    for path, part in places(tree):
        if part.head in ("add", "size") or (path and parent(tree, path).head in ("mul", "neg", "pow", "inv", "T")):
            continue
        if part.head == "number" and path and parent(tree, path).head != "add":
            continue
        if path and parent(tree, path).head == "call" and parent(tree, path).leaf in ("ones", "pad"):
            continue
        yield path, part


def replaces_all(edit: Edit, tree: Tree, pool: Pool) -> bool:
    """Return whether an edit puts the whole of the right line beside what stands there, which says nothing of it."""
    whole = pool.terms[0][0] if len(pool.terms) == 1 else None
    return whole is not None and edit.tree == add(tree, whole)


def is_value(part: Tree, pool: Pool) -> bool:
    if part.head == "call":
        return str(part.leaf) in FUNCTIONS
    if not isinstance(part.leaf, Name) or part.leaf not in pool.names:
        return False
    meaning, rank = pool.names[part.leaf]
    return meaning.kind == "value" and rank < 2
