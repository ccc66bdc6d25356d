r"""Equations for single entries, as \delta_j = \sum_i w_{ij} \epsilon_i, made into ones of vectors and matrices."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, MutableMapping

from .formulas import Statement
from .latex_symbols import Unjudged
from .latex_trees import JOIN, SUM
from .tree import Name, Tree, call, matmul, mul, names, places, rebuilt, transposed

PAIR = re.compile(r"_\s*\{\s*([a-z])\s*'?\s*([a-z])\s*'?\s*\}")
BOUND = re.compile(r"\\sum(?:\\limits)?\s*_\s*(?:\{\s*([a-z])\s*(?:=[^{}]*)?\}|([a-z]))")
ENDS = re.compile(r"[=+$&]|\\\\|\\(?:begin|end)\b")
PRODUCTS = "mul", JOIN, "matmul"
BEYOND = "its indices make no products of vectors and matrices"


def index_letters(text: str) -> set[str]:
    r"""Return the letters that count entries: those of \sum_j w_{ij} h_j, where the sum's letter stands in a pair.

    >>> sorted(index_letters(r"a_i = \sum_j w_{ij} h_j + \sum_t c_t"))
    ['i', 'j']
    >>> index_letters(r"b_i + W_{hi} h_{t-1}, L = -\sum_i y_i \log p_i"), index_letters(r"\sum_k \delta_k h_{k-1}")
    (set(), set())
    """
    letters = set[str]()
    for found in BOUND.finditer(text):
        summed = ENDS.split(text[found.end() :], maxsplit=1)[0]
        pairs = ({pair[1], pair[2]} for pair in PAIR.finditer(summed))
        letters |= {letter for pair in pairs if {found[1], found[2]} & pair and "t" not in pair for letter in pair}
    return letters


class Entries:
    """What makes equations of entries into ones of vectors and matrices.

    Args:
        lines: of the text.
        letters: that count entries.
        templates: name -> how it is written; those of the new names are added.
        timed: names with a time; the new ones are added.
    """

    def __init__(
        self,
        lines: Collection[Statement],
        letters: Collection[str],
        templates: MutableMapping[str, str],
        timed: set[str],
    ) -> None:
        self.letters, self.templates, self.timed = letters, templates, timed
        self.alike = {letter: {letter} for letter in letters}  # letters of entries of one vector
        self.first: dict[tuple[str, str], str] = {}  # (vector's name, letter) -> the letter that it is told apart by
        entries = [_entry(name.base) for line in lines for name in (line.target, *names(line.value))]
        given: dict[str, set[str]] = {}
        for of, letter in (_entry(line.target.base) for line in lines):
            if letter in letters:
                given.setdefault(of, set()).add(letter)
        for of, letter in entries:
            if letter in letters and len(given.get(of, ())) < 2:
                self._join(letter for other, letter in entries if other == of and letter in letters)
        for of, several in given.items():
            if len({min(self.alike[letter]) for letter in several}) > 1:
                self.first |= {(of, one): letter for letter in sorted(several) for one in self.alike[letter]}

    def _join(self, letters: Iterable[str]) -> None:
        joined = set[str]().union(*(self.alike[letter] for letter in letters))
        self.alike |= dict.fromkeys(joined, joined)

    def whole(self, target: Name, value: Tree) -> tuple[Name, Tree]:
        """Return an equation of vectors and matrices.

        Raises:
            Unjudged: for one that makes none.
        """
        of, free = self._apart(target.base)
        if not free and not any(self._of(part) for _, part in places(value)):
            return target, value
        return Name(of, target.offset), self._made(value, free)

    def _apart(self, base: str) -> tuple[str, str]:
        """Return the name of the whole, and the letters of the entry: W and ij of w_ij."""
        stem, _, last = base.rpartition("_")
        if last == "loss":
            of, letters = self._apart(stem)
            return f"{of}_loss" if letters else base, letters
        if not stem or not 0 < len(last) <= 2 or not set(last) <= set(self.letters):
            return base, ""
        shown = self.templates.get(base, stem)
        if len(last) == 2:
            of = re.sub(r"^(dL_d|delta_|d)?([a-z])", lambda found: (found[1] or "") + found[2].upper(), stem)
            shown = re.sub(r"([A-Za-z])\s*_\s*\{\s*[a-z]\s*[a-z]\s*\}", lambda found: found[1].upper(), shown)
        elif (stem, last) in self.first:
            of = f"{stem}_{self.first[stem, last]}"
        else:
            of, shown = stem, re.sub(rf"_\s*\{{?\s*{last}\s*\}}?", "", shown)
        self.templates.setdefault(of, shown)
        if base in self.timed:
            self.timed.add(of)
        return of, last

    def _of(self, tree: Tree) -> set[str]:
        """Return the letters of entries that a tree is still free to take."""
        if isinstance(tree.leaf, Name):
            return set(self._apart(tree.leaf.base)[1])
        found = set[str]().union(*map(self._of, tree.args))
        return found - {str(tree.leaf)} if tree.head == SUM else found

    def _made(self, tree: Tree, free: str) -> Tree:
        """Return a tree as a vector over the one letter that is free, or a matrix over two."""
        if not self._of(tree) <= set(free):
            raise Unjudged(BEYOND)
        if isinstance(tree.leaf, Name):
            of, letters = self._apart(tree.leaf.base)
            whole = Tree("name", (), Name(of, tree.leaf.offset))
            return transposed(whole) if letters == free[::-1] != free else whole
        if tree.head == SUM:
            return self._summed(tree.args[0], str(tree.leaf), free)
        if tree.head in PRODUCTS:
            return self._product(list(_factors(tree)), free)
        if tree.head in ("add", "neg", "sum_t") or (tree.args and len(free) < 2):
            return rebuilt(tree, [self._made(part, free) for part in tree.args])
        if tree.args:
            raise Unjudged(BEYOND)
        return tree

    def _product(self, factors: list[Tree], free: str) -> Tree:
        """Return a product of entries: of vectors, or the outer product of two."""
        if len(free) < 2:
            return mul(*(self._made(factor, free) for factor in factors))
        rows, columns = (
            [self._made(f, letter) for f in factors if self._of(f) == {letter}] for letter in (free[0], free[1])
        )
        rest = [factor for factor in factors if not self._of(factor)]
        if not rows or not columns or len(rows) + len(columns) + len(rest) < len(factors):
            raise Unjudged(BEYOND)
        outer = matmul(mul(*rows), transposed(mul(*columns)))
        return mul(*rest, outer) if rest else outer

    def _summed(self, body: Tree, bound: str, free: str) -> Tree:
        """Return a sum over a letter: a product with a matrix, or of two vectors."""
        if body.head in ("add", "neg"):
            return rebuilt(body, [self._summed(part, bound, free) for part in body.args])
        factors = list(_factors(body))
        both = [factor for factor in factors if bound in self._of(factor) and len(self._of(factor)) == 2]
        inner = [factor for factor in factors if self._of(factor) == {bound}]
        outside = [factor for factor in factors if bound not in self._of(factor)]
        named = all(isinstance(factor.leaf, Name) for factor in both)
        if len(free) > 1 or len(both) != len(free) or not named or not inner:
            raise Unjudged(BEYOND)
        vectors = [self._made(factor, bound) for factor in inner]
        if both:
            found = matmul(self._made(both[0], free + bound), mul(*vectors))
        elif len(vectors) > 1:
            found = call("dot", mul(*vectors[:-1]), vectors[-1])
        else:
            found = call("sum", *vectors)
        return mul(*(self._made(factor, free) for factor in outside), found) if outside else found


def _entry(base: str) -> tuple[str, str]:
    """Return the name and the last word of a name: h and j of h_j."""
    of, _, last = base.removesuffix("_loss").rpartition("_")
    return of, last


def _factors(tree: Tree) -> Iterator[Tree]:
    if tree.head in PRODUCTS:
        for part in tree.args:
            yield from _factors(part)
    else:
        yield tree
