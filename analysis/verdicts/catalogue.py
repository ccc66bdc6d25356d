"""The catalogue of faults: a table of rules, each a family of single edits of a formula.

An edit both makes and mends faults: inserting a factor mends "missing factor", and makes "extra factor". So each rule
says which kind its edits mend and which they make, and the same table breaks right lines for the bench.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from ...derive.functions import FUNCTIONS
from .meanings import Meaning
from .tree import Name, Path, Tree, add, call, inv, mul, neg, number, places, power, replaced, spell, transposed

ONE = number(1)


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
        message: what is wrong with the line before, in words.
        tree: the line after.
    """

    mends: str
    makes: str
    message: str
    tree: Tree


Edits = Callable[[Tree, Pool], Iterator[Edit]]
ADJOINT = ("total", "incoming", "carry", "loss")


def relation(wrong: Meaning, right: Meaning, matrix: bool, pool: Pool) -> tuple[str, str]:
    """Return the kind and the sentence of a name that stands for another one."""
    if wrong.kind == right.kind == "value" and (right.base, wrong.base) in pool.arguments:
        return "missing activation", "is the value before the function that gives what belongs there"
    if wrong.kind == right.kind == "value" and (wrong.base, right.base) in pool.arguments:
        return "activated value", "is the function's value where its argument belongs"
    if (wrong.kind, wrong.base) == (right.kind, right.base):
        return "time", "is taken at the wrong step"
    if "value" == wrong.kind == right.kind:
        return ("wrong weight", "is the wrong weight") if matrix else ("mixed up", "stands where another value belongs")
    if wrong.kind == "value":
        return "value for adjoint", "is a forward value where an adjoint belongs"
    if right.kind == "value":
        return "adjoint for value", "is an adjoint where a forward value belongs"
    return "wrong adjoint", "is the adjoint of something else"


Known = tuple[Tree, Meaning, int]


def other_name(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Put one name for another of the same number of dimensions."""
    yield from _exchanged(tree, pool, _named(pool), _named(pool))


def other_expression(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Put a value that has no name, written out, for a name, and the reverse."""
    yield from _exchanged(tree, pool, _named(pool), pool.written)
    yield from _exchanged(tree, pool, pool.written, _named(pool))


def _named(pool: Pool) -> tuple[Known, ...]:
    return tuple((Tree("name", (), new), *found) for new, found in pool.names.items())


def _exchanged(tree: Tree, pool: Pool, old: Iterable[Known], new: Iterable[Known]) -> Iterator[Edit]:
    known = {part: (meaning, rank) for part, meaning, rank in old}
    for path, part in places(tree):
        if part not in known:
            continue
        meaning, rank = known[part]
        for other, right, other_rank in new:
            if other_rank != rank or right == meaning:
                continue
            kind, words = relation(meaning, right, rank == 2, pool)
            message = f"{spell(part)} {words}: {spell(other)}"
            made = relation(right, meaning, rank == 2, pool)[0]
            yield Edit(kind, made, message, replaced(tree, path, other))


def transpose(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Transpose a matrix, or exchange the sides of an outer product."""
    for path, part in places(tree):
        if part.head == "T" or (isinstance(part.leaf, Name) and pool.names.get(part.leaf, (None, 0))[1] == 2):
            if path and part.head == "name" and _parent(tree, path).head == "T":
                continue
            message = f"{spell(part)} must {'not ' if part.head == 'T' else ''}be transposed"
            yield Edit("transpose", "transpose", message, replaced(tree, path, transposed(part)))
        elif part.head == "call" and part.leaf == "outer":
            swapped = call("outer", *reversed(part.args))
            message = f"the sides of {spell(part)} are exchanged"
            yield Edit("transpose", "transpose", message, replaced(tree, path, swapped))
    for path, part in places(tree):
        if part.head == "matmul":
            swapped = Tree("matmul", part.args[::-1])
            message = f"the sides of {spell(part)} are exchanged"
            yield Edit("transpose", "transpose", message, replaced(tree, path, swapped))


def _parent(tree: Tree, path: Path) -> Tree:
    for index in path[:-1]:
        tree = tree.args[index]
    return tree


def sign(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Change the sign of a term."""
    for path, part in _terms(tree):
        if path and str(_parent(tree, path).leaf) in FUNCTIONS:
            continue
        message = f"the sign of {spell(part.args[0] if part.head == 'neg' else part)} is wrong"
        yield Edit("sign", "sign", message, replaced(tree, path, neg(part)))


def _terms(tree: Tree) -> Iterator[tuple[Path, Tree]]:
    """Yield terms of sums and whole operands: all but factors and what is inside a sign."""
    for path, part in places(tree):
        if part.head in ("add", "size") or (path and _parent(tree, path).head in ("mul", "neg", "pow", "inv", "T")):
            continue
        if part.head == "number" and path and _parent(tree, path).head != "add":
            continue
        if path and _parent(tree, path).head == "call" and _parent(tree, path).leaf in ("ones", "pad"):
            continue
        yield path, part


def _is_slope(tree: Tree, pool: Pool) -> str:
    for slope, kink in pool.slopes:
        if tree == slope:
            return "kink ignored" if kink else "missing derivative"
    return ""


def _factor_kinds(factor: Tree, pool: Pool) -> tuple[str, str]:
    kind = _is_slope(factor, pool)
    return (kind, "derivative twice") if kind else ("missing factor", "extra factor")


def insert_factor(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Multiply a term by a value, a slope, or what else right lines hold."""
    values = [Tree("name", (), n) for n, (m, rank) in pool.names.items() if rank < 2 and m.kind in ("value", *ADJOINT)]
    factors = dict.fromkeys([*(slope for slope, _ in pool.slopes), *pool.factors, *values])
    factors |= dict.fromkeys(add(ONE, neg(value)) for value in values)
    for path, part in places(tree):
        parent = _parent(tree, path) if path else None
        if part.head == "size":
            continue
        if parent is not None and (parent.head in ("mul", "pow", "inv", "T") or _is_inert(parent)):
            continue
        for factor in factors:
            kind, inverse = _factor_kinds(factor, pool)
            inverse = "derivative twice" if kind != "missing factor" and _has(part, factor) else "extra factor"
            message = f"the factor {spell(factor)} is missing"
            if kind != "missing factor":
                message = f"the derivative {spell(factor)} is missing"
            yield Edit(kind, inverse, message, replaced(tree, path, mul(part, factor)))


def _is_inert(parent: Tree) -> bool:
    return parent.head == "call" and (parent.leaf in ("ones", "pad") or str(parent.leaf).rstrip("'") in FUNCTIONS)


def _has(part: Tree, factor: Tree) -> bool:
    held = part.args if part.head == "mul" else (part,)
    wanted = factor.args if factor.head == "mul" else (factor,)
    return all(one in held for one in wanted)


def delete_factor(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Leave a factor out, or the two that make up a slope."""
    for path, part in places(tree):
        if part.head != "mul":
            continue
        for slope, _ in pool.slopes:
            parts = slope.args if slope.head == "mul" else (slope,)
            if len(parts) > 1 and _has(part, slope) and len(part.args) > len(parts):
                rest = list(part.args)
                for piece in parts:
                    rest.remove(piece)
                twice = _has(mul(*rest), slope)
                kind = "derivative twice" if twice else "extra factor"
                message = f"the derivative {spell(slope)} is there {'twice' if twice else 'without need'}"
                yield Edit(kind, _is_slope(slope, pool), message, replaced(tree, path, mul(*rest)))
        for index, factor in enumerate(part.args):
            rest = [*part.args[:index], *part.args[index + 1 :]]
            if factor.head == "number":
                continue
            twice = bool(_is_slope(factor, pool)) and factor in rest
            kind = "derivative twice" if twice else "extra factor"
            message = f"the factor {spell(factor)} is there {'twice' if twice else 'without need'}"
            yield Edit(kind, _factor_kinds(factor, pool)[0], message, replaced(tree, path, mul(*rest)))


def insert_term(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Add a term of the right line."""
    for term, carry in pool.terms:
        shown = spell(term.args[0] if term.head == "neg" else term)
        kind = "dropped carry" if carry else "missing term"
        message = f"what comes back from step t+1 is missing: {shown}" if carry else f"the term {shown} is missing"
        twice = "counted twice" if term in (tree.args if tree.head == "add" else (tree,)) else "extra term"
        yield Edit(kind, twice, message, add(tree, term))


def delete_term(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Leave a term out."""
    carries = {term for term, carry in pool.terms if carry}
    for path, part in places(tree):
        if part.head != "add":
            continue
        for index, term in enumerate(part.args):
            rest = [*part.args[:index], *part.args[index + 1 :]]
            twice = term in rest
            kind, words = ("counted twice", "twice") if twice else ("extra term", "without need")
            inverse = "dropped carry" if term in carries and not path else "missing term"
            if rest == [ONE] and path and _parent(tree, path).head == "mul":
                kind, inverse = "extra factor", _factor_kinds(part, pool)[0]
            message = f"the term {spell(term)} is there {words}"
            yield Edit(kind, inverse, message, replaced(tree, path, add(*rest)))


def insert_inner_term(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Add a value, or 1, to a factor or to a sum in parentheses."""
    values = [Tree("name", (), n) for n, (m, rank) in pool.names.items() if rank < 2 and m.kind == "value"]
    inner = dict.fromkeys([*pool.inner, ONE, *values])
    for path, part in places(tree):
        if not path or _parent(tree, path).head != "mul" or part.head in ("inv", "number"):
            continue
        for value in inner:
            for term in (neg(value), value):
                message = f"{spell(value)} is missing beside {spell(part)}"
                yield Edit("missing term", "extra term", message, replaced(tree, path, add(part, term)))


def activation(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Take a function off, or put one on: tanh(h) for h."""
    held = {str(p.leaf) for s, _ in pool.slopes for _, p in places(s) if p.head == "call" and len(p.args) == 1}
    functions = sorted(held | {"tanh", "sigmoid"})
    for path, part in places(tree):
        if part.head == "call" and part.leaf in FUNCTIONS and len(part.args) == 1:
            message = f"{spell(part)}: the function {part.leaf} is applied to a value that needs none"
            yield Edit("activated value", "missing activation", message, replaced(tree, path, part.args[0]))
        elif part.head == "name" and part.leaf in pool.names and pool.names[part.leaf][1] < 2:  # type: ignore[index]
            meaning = pool.names[part.leaf][0]  # type: ignore[index]
            if meaning.kind != "value" or (
                path and _parent(tree, path).head == "call" and str(_parent(tree, path).leaf) in FUNCTIONS
            ):
                continue
            for function in functions:
                new = call(function, part)
                message = f"{spell(part)} stands where {spell(new)} belongs"
                yield Edit("missing activation", "activated value", message, replaced(tree, path, new))


def wrong_derivative(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Put the derivative of tanh for that of the logistic function, and the reverse."""
    for path, part in places(tree):
        if part.head != "mul":
            continue
        for index, factor in enumerate(part.args):
            base = _tanh_base(factor)
            if base is not None:
                new = mul(*part.args[:index], base, add(ONE, neg(base)), *part.args[index + 1 :])
                message = f"{spell(factor)} is the derivative of tanh, not that of this function"
                yield Edit("wrong derivative", "wrong derivative", message, replaced(tree, path, new))
            complement = add(ONE, neg(factor))
            if complement in part.args:
                rest = [piece for piece in part.args if piece not in (factor, complement)]
                new = mul(*rest, add(ONE, neg(power(factor, 2))))
                message = (
                    f"{spell(mul(factor, complement))} is the derivative of the logistic function, not of this one"
                )
                yield Edit("wrong derivative", "wrong derivative", message, replaced(tree, path, new))


def _tanh_base(factor: Tree) -> Tree | None:
    if factor.head == "add" and len(factor.args) == 2 and factor.args[0] == ONE and factor.args[1].head == "neg":
        inner = factor.args[1].args[0]
        return inner.args[0] if inner.head == "pow" and inner.leaf == 2 else None
    return None


def complement(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Put 1 − z for z, and the reverse."""
    for path, part in places(tree):
        if part.head == "add" and len(part.args) == 2 and part.args[0] == ONE and part.args[1].head == "neg":
            inner = part.args[1].args[0]
            message = f"{spell(part)} stands where {spell(inner)} belongs"
            yield Edit("complement", "complement", message, replaced(tree, path, inner))
        elif _is_value(part, pool) or (part.head == "pow" and _is_value(part.args[0], pool)):
            new = add(ONE, neg(part))
            message = f"{spell(part)} stands where {spell(new)} belongs"
            yield Edit("complement", "complement", message, replaced(tree, path, new))


def _is_value(part: Tree, pool: Pool) -> bool:
    if part.head == "call":
        return str(part.leaf) in FUNCTIONS
    if not isinstance(part.leaf, Name) or part.leaf not in pool.names:
        return False
    meaning, rank = pool.names[part.leaf]
    return meaning.kind == "value" and rank < 2


def product_or_sum(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Put a product for a sum of two, and the reverse."""
    for path, part in places(tree):
        if part.head == "add":
            for start, middle, stop in _runs(len(part.args)):
                left, right = add(*part.args[start:middle]), add(*part.args[middle:stop])
                if right.head == "neg" or (right.head == "add" and right.args[0].head == "neg"):
                    continue
                joined = add(*part.args[:start], mul(left, right), *part.args[stop:])
                message = f"{spell(left)} and {spell(right)} are added where they should be multiplied"
                yield Edit("sum for product", "product for sum", message, replaced(tree, path, joined))
        elif part.head == "mul":
            for index in range(1, len(part.args)):
                left, right = mul(*part.args[:index]), mul(*part.args[index:])
                if "inv" in (left.head, right.head) or ONE in (left, right):
                    continue
                message = f"{spell(left)} and {spell(right)} are multiplied where they should be added"
                yield Edit("product for sum", "sum for product", message, replaced(tree, path, add(left, right)))


def _runs(length: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, middle, stop) of neighbouring runs of terms; the whole sum last."""
    for start in range(length - 1):
        for stop in range(start + 2, length + 1):
            for middle in range(start + 1, stop):
                yield start, middle, stop


def parentheses(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Put a + b c for (a + b) c, and the reverse."""
    for path, part in places(tree):
        if part.head == "mul":
            for index, factor in enumerate(part.args):
                if factor.head == "add":
                    message = f"{spell(factor)} must not be in parentheses"
                    for terms in _opened(part.args[:index], factor.args, part.args[index + 1 :]):
                        yield Edit("parentheses too many", "parentheses", message, replaced(tree, path, terms))
        elif part.head == "add":
            for start, stop in dict.fromkeys((start, stop) for start, _, stop in _runs(len(part.args))):
                for whole, inner in _closed(part.args[start:stop]):
                    message = f"parentheses are missing around {spell(inner)}"
                    new = add(*part.args[:start], whole, *part.args[stop:])
                    yield Edit("parentheses", "parentheses too many", message, replaced(tree, path, new))


def _opened(before: tuple[Tree, ...], terms: tuple[Tree, ...], after: tuple[Tree, ...]) -> Iterator[Tree]:
    """Yield before * t1 + ... + tn * after, and before * (t1 + ...) + (... + tn) * after."""
    for at in range(1, len(terms)):
        left, right = add(*terms[:at]), add(*terms[at:])
        for first in {left, terms[0]}:
            for last in {right, terms[-1]}:
                middle = (*(terms[1:at] if first is terms[0] else ()), *(terms[at:-1] if last is terms[-1] else ()))
                yield add(mul(*before, first) if before else first, *middle, _times(last, after))


def _times(term: Tree, after: tuple[Tree, ...]) -> Tree:
    if not after:
        return term
    return neg(mul(term.args[0], *after)) if term.head == "neg" else mul(term, *after)


def _closed(terms: tuple[Tree, ...]) -> Iterator[tuple[Tree, Tree]]:
    """Yield a run of terms with parentheses: factors of the first and of the last one outside; and what is inside."""
    for before, first in _splits(terms[0], last=True):
        for after, last in _splits(terms[-1], last=False):
            if before or after:
                inner = add(first, *terms[1:-1], last)
                yield mul(*before, inner, *after), inner


def _splits(term: Tree, last: bool) -> Iterator[tuple[tuple[Tree, ...], Tree]]:
    """Yield (factors outside of the parentheses, what is inside)."""
    yield (), term
    negative = term.head == "neg"
    inner = term.args[0] if negative else term
    if inner.head != "mul" or (last and negative):
        return
    for at in range(1, len(inner.args)):
        if last:
            yield inner.args[:at], mul(*inner.args[at:])
        else:
            kept = mul(*inner.args[:at])
            yield inner.args[at:], neg(kept) if negative else kept


def power_changed(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Take a square off, or put one on."""
    for path, part in places(tree):
        if part.head == "pow" and isinstance(part.leaf, Fraction):
            for exponent in {Fraction(1), part.leaf + 1, part.leaf - 1} - {part.leaf, Fraction(0)}:
                new = part.args[0] if exponent == 1 else power(part.args[0], exponent)
                message = f"{spell(part)} stands where {spell(new)} belongs"
                yield Edit("power", "power", message, replaced(tree, path, new))
        elif part.head in ("name", "call") and part.leaf != "ones" and not (path and _parent(tree, path).head == "pow"):
            if isinstance(part.leaf, Name) and pool.names.get(part.leaf, (None, 2))[1] == 2:
                continue
            if path and _parent(tree, path).head == "call" and _parent(tree, path).leaf in ("ones", "pad"):
                continue
            new = power(part, 2)
            yield Edit("power", "power", f"the square of {spell(part)} is missing", replaced(tree, path, new))


SCALES = (Fraction(2), Fraction(1, 2))


def scale(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Multiply by 2 or by a half, or leave a number out."""
    for path, part in _terms(tree):
        if path and _parent(tree, path).head != "add":
            continue
        for factor in SCALES:
            message = f"{spell(part)} is off by a factor of {spell(number(factor))}"
            new = mul(number(factor), part) if part.head != "neg" else neg(mul(number(factor), part.args[0]))
            yield Edit("scale", "scale", message, replaced(tree, path, new))
    for path, part in places(tree):
        if part.head == "mul" and part.args[0].head == "number":
            message = f"the factor {spell(part.args[0])} doesn't belong there"
            yield Edit("scale", "scale", message, replaced(tree, path, mul(*part.args[1:])))
        if part.head == "number" and not (path and _parent(tree, path).head == "add"):
            for value in pool.numbers:
                message = f"{spell(part)} stands where {spell(value)} belongs"
                yield Edit("scale", "scale", message, replaced(tree, path, value))
    for path, part in _terms(tree):
        for value in pool.numbers:
            if part.head != "number":
                message = f"{spell(part)} lacks the factor {spell(value)}"
                new = neg(mul(value, part.args[0])) if part.head == "neg" else mul(value, part)
                yield Edit("scale", "scale", message, replaced(tree, path, new))


def summed(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Take a sum over the entries off, or put one on."""
    for path, part in places(tree):
        if part.head == "call" and part.leaf == "sum":
            message = f"{spell(part)} adds up over the wrong axis: the sum over entries doesn't belong there"
            yield Edit("wrong axis", "sum missing", message, replaced(tree, path, part.args[0]))
        elif not path or (part.head == "mul" and _parent(tree, path).head in ("add", "neg")):
            message = f"the sum over entries of {spell(part)} is missing"
            yield Edit("sum missing", "wrong axis", message, replaced(tree, path, call("sum", part)))


def inverse(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Multiply where a division belongs, and the reverse."""
    for path, part in places(tree):
        if part.head == "mul":
            for index, factor in enumerate(part.args):
                words = ("divides", "multiply") if factor.head == "inv" else ("multiplies", "divide")
                inner = factor.args[0] if factor.head == "inv" else factor
                message = f"{spell(inner)} {words[0]} where it should {words[1]}"
                new = replaced(tree, (*path, index), inv(factor))
                yield Edit("division", "division", message, new)


# In the order in which a reader would suspect them: the first edit that mends a line names its fault.
RULES: tuple[Edits, ...] = (
    insert_term,
    transpose,
    sign,
    complement,
    delete_factor,
    delete_term,
    wrong_derivative,
    parentheses,
    activation,
    other_name,
    power_changed,
    scale,
    insert_factor,
    other_expression,
    product_or_sum,
    insert_inner_term,
    summed,
    inverse,
)


def edits(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Yield every single edit of a line, in the order of the catalogue."""
    for rule in RULES:
        yield from rule(tree, pool)
