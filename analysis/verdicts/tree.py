"""`Tree`: a formula as somebody wrote it, for evaluating, editing and printing.

Sums and products are flat: `a - b` is add(a, neg(b)), `a / b` is mul(a, inv(b)). Names carry their time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeVar

SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4
Thing = TypeVar("Thing", bound=Hashable)


class Name(NamedTuple):
    """A quantity at a time: `Name("h", -1)` is h at t−1."""

    base: str
    offset: int = 0


class Jacobian(NamedTuple):
    """The derivative of one quantity by another, ∂h_t/∂h_{t-1}; a name with @k is at another time, called k."""

    of: Name
    by: Name


@dataclass(frozen=True, eq=False)
class Tree:
    """An expression.

    Attributes:
        head: name, number, add, mul, neg, inv, pow, matmul, T, call, size, part (a slice), sum_t (over all times),
            prod_t (over a window), jacobian.
        args: operands.
        leaf: a `Name`, a `Fraction`, the function of a call, (start, stop) of a slice in the notation,
            (first, last, letter) of the steps of a product,
            or a `Jacobian`.
        key: equal for equal expressions.
    """

    head: str
    args: tuple[Tree, ...] = ()
    leaf: Name | Fraction | str | tuple[str, ...] | Jacobian | None = None
    key: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", hash((self.head, self.leaf, tuple(a.key for a in self.args))))

    @property
    def value(self) -> Fraction:
        """The number, or the exponent of a power."""
        assert isinstance(self.leaf, Fraction)
        return self.leaf

    @property
    def bounds(self) -> tuple[str, ...]:
        """The bounds of a slice, or those of a product and its letter."""
        assert isinstance(self.leaf, tuple) and not isinstance(self.leaf, Name | Jacobian)
        return self.leaf

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Tree)
            and (self.key, self.head, self.leaf) == (other.key, other.head, other.leaf)
            and self.args == other.args
        )

    def __hash__(self) -> int:
        return self.key


def name(base: str, offset: int = 0) -> Tree:
    """Return the tree of a name."""
    return Tree("name", (), Name(base, offset))


def number(value: str | int | Fraction) -> Tree:
    """Return the tree of a number.

    >>> spell(number("0.5"))
    '0.5'
    """
    return Tree("number", (), Fraction(value))


def add(*terms: Tree) -> Tree:
    """Return the sum, flat."""
    flat = [part for term in terms for part in (term.args if term.head == "add" else (term,))]
    return Tree("add", tuple(flat)) if len(flat) > 1 else (flat or [number(0)])[0]


def mul(*factors: Tree) -> Tree:
    """Return the product, flat."""
    flat = [part for factor in factors for part in (factor.args if factor.head == "mul" else (factor,))]
    return Tree("mul", tuple(flat)) if len(flat) > 1 else (flat or [number(1)])[0]


def neg(tree: Tree) -> Tree:
    """Return −tree; two signs cancel, and a sum's go to its terms."""
    if tree.head == "neg":
        return tree.args[0]
    return Tree("neg", (tree,))


def inv(tree: Tree) -> Tree:
    """Return 1/tree."""
    return tree.args[0] if tree.head == "inv" else Tree("inv", (tree,))


def power(base: Tree, exponent: str | int | Fraction) -> Tree:
    """Return a power with a number as its exponent."""
    return Tree("pow", (base,), Fraction(exponent))


def matmul(left: Tree, right: Tree) -> Tree:
    """Return the matrix product."""
    return Tree("matmul", (left, right))


def transposed(tree: Tree) -> Tree:
    """Return the transpose; two cancel."""
    return tree.args[0] if tree.head == "T" else Tree("T", (tree,))


def call(function: str, *args: Tree) -> Tree:
    """Return the call of a function of the notation."""
    return Tree("call", args, function)


@lru_cache(maxsize=100_000)
def names(tree: Tree) -> tuple[Name, ...]:
    """Return the names in reading order."""
    own = (tree.leaf,) if isinstance(tree.leaf, Name) else ()
    return own + tuple(name for operand in tree.args for name in names(operand))


Path = tuple[int, ...]


def places(tree: Tree, at: Path = ()) -> Iterator[tuple[Path, Tree]]:
    """Yield every part of a tree with its path."""
    yield at, tree
    for index, operand in enumerate(tree.args):
        yield from places(operand, (*at, index))


def replaced(tree: Tree, path: Path, new: Tree) -> Tree:
    """Return the tree with the part at `path` replaced; sums and products stay flat.

    >>> spell(replaced(mul(name("f"), name("c")), (1,), name("c", -1)))
    'f * c_prev'
    """
    if not path:
        return new
    args = [*tree.args]
    args[path[0]] = replaced(args[path[0]], path[1:], new)
    return rebuilt(tree, args)


def rebuilt(tree: Tree, args: list[Tree]) -> Tree:
    """Return the tree with other operands."""
    if tree.head in ("add", "mul"):
        return (add if tree.head == "add" else mul)(*args)
    return neg(args[0]) if tree.head == "neg" else Tree(tree.head, tuple(args), tree.leaf)


def mapped(tree: Tree, change: Callable[[Name], Tree | None]) -> Tree:
    """Return the tree with names replaced where `change` gives something."""
    if isinstance(tree.leaf, Name):
        return change(tree.leaf) or tree
    return rebuilt(tree, [mapped(operand, change) for operand in tree.args]) if tree.args else tree


def closure(starts: Iterable[Thing], further: Callable[[Thing], Iterable[Thing]]) -> set[Thing]:
    """Return what is reached from some things, these among it.

    >>> sorted(closure([1], lambda number: [2 * number] if number < 5 else []))
    [1, 2, 4, 8]
    """
    found, waiting = set[Thing](), [*starts]
    while waiting:
        if (thing := waiting.pop()) not in found:
            found.add(thing)
            waiting += further(thing)
    return found


def without_version(base: str) -> str:
    """Return a name as it is written: `do#1` is what `do` holds before it is assigned again.

    >>> without_version("do#1")
    'do'
    """
    return base.partition("#")[0]


def time_name(base: str, offset: int) -> str:
    """Return a name at a time in the notation.

    >>> time_name("c", -1), time_name("f", 1), time_name("h", 0), time_name("h", -2)
    ('c_prev', 'f_next', 'h', 'h[t-2]')
    """
    base = without_version(base)
    if abs(offset) > 1:
        return f"{base}[t{offset:+d}]"
    return base + {-1: "_prev", 0: "", 1: "_next"}[offset]


class Speller:
    """Prints trees in the cell notation; a subclass prints another one."""

    def show(self, tree: Tree, at_least: int = SUM) -> str:
        """Return the text, in parentheses where it binds less tightly than `at_least`."""
        text, level = getattr(self, f"spell_{tree.head}")(tree)
        return text if level >= at_least else self.enclosed(text)

    def enclosed(self, text: str) -> str:
        return f"({text})"

    def name(self, quantity: Name) -> str:
        return time_name(*quantity)

    def spell_name(self, tree: Tree) -> tuple[str, int]:
        assert isinstance(tree.leaf, Name)
        return self.name(tree.leaf), ATOM

    def spell_number(self, tree: Tree) -> tuple[str, int]:
        assert isinstance(tree.leaf, Fraction)
        value = tree.leaf
        if value.denominator == 1:
            return str(value), ATOM if value >= 0 else PRODUCT
        decimal = f"{float(value):.12g}"
        if Fraction(decimal) == value and "e" not in decimal:
            return decimal, ATOM if value >= 0 else PRODUCT
        return f"{value.numerator} / {value.denominator}", PRODUCT

    def spell_add(self, tree: Tree) -> tuple[str, int]:
        text = self.show(tree.args[0], PRODUCT)
        for term in tree.args[1:]:
            negative = term.head == "neg"
            text += (" - " if negative else " + ") + self.show(term.args[0] if negative else term, PRODUCT)
        return text, SUM

    times, over = " * ", " / "

    def spell_mul(self, tree: Tree) -> tuple[str, int]:
        text = ""
        for factor in tree.args:
            inverse = factor.head == "inv"
            inner = factor.args[0] if inverse else factor
            body = self.show(inner, PRODUCT if not text and inner.head == "matmul" and not inverse else POWER)
            text = (
                (f"1{self.over}{body}" if inverse else body)
                if not text
                else text + (self.over if inverse else self.times) + body
            )
        return text, PRODUCT

    def spell_neg(self, tree: Tree) -> tuple[str, int]:
        return f"-{self.show(tree.args[0], PRODUCT)}", PRODUCT

    def spell_inv(self, tree: Tree) -> tuple[str, int]:
        return f"1{self.over}{self.show(tree.args[0], POWER)}", PRODUCT

    def spell_pow(self, tree: Tree) -> tuple[str, int]:
        return f"{self.show(tree.args[0], ATOM)}**{self.show(number(tree.value), ATOM)}", POWER

    def spell_matmul(self, tree: Tree) -> tuple[str, int]:
        left, right = tree.args
        return f"{self.show(left, PRODUCT if left.head == 'matmul' else POWER)} @ {self.show(right, POWER)}", PRODUCT

    def spell_T(self, tree: Tree) -> tuple[str, int]:
        return f"{self.show(tree.args[0], ATOM)}.T", ATOM

    def spell_call(self, tree: Tree) -> tuple[str, int]:
        if tree.leaf == "lookup":
            return f"{self.show(tree.args[0], ATOM)}[{self.show(tree.args[1])}]", ATOM
        return f"{tree.leaf}({', '.join(map(self.show, tree.args))})", ATOM

    def spell_size(self, tree: Tree) -> tuple[str, int]:
        return str(tree.leaf), ATOM

    def spell_part(self, tree: Tree) -> tuple[str, int]:
        start, stop = tree.bounds
        inside = start if stop == "." else f"{start}:{stop}"
        return f"{self.show(tree.args[0], ATOM)}[{inside}]", ATOM

    def spell_sum_t(self, tree: Tree) -> tuple[str, int]:
        return f"sum_t({self.show(tree.args[0])})", ATOM


def spell(tree: Tree) -> str:
    """Return a tree in the cell notation, with no more parentheses than needed.

    >>> spell(mul(name("dc"), add(number(1), neg(name("f"))), name("c", -1)))
    'dc * (1 - f) * c_prev'
    """
    return Speller().show(tree)
