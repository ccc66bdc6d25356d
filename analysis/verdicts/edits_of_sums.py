"""Edits of terms and factors: left out, too many, with another sign or number, in other parentheses."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from ...derive.functions import FUNCTIONS
from .edits import ADJOINT, ONE, Edit, Pool, parent, terms_of
from .tree import Tree, add, call, inv, mul, neg, number, places, replaced, transposed


def sign(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Change the sign of a difference, of a term, or of what a condition compares with 0."""
    for path, part in places(tree):
        if part.head == "add" and path and parent(tree, path).head == "mul" and ONE not in part.args:
            turned = add(*map(neg, reversed(part.args)))
            if turned.args[0].head != "neg" and part.args[0].head != "neg":
                message = ("the sign of {} is wrong", part)
                yield Edit("sign", "sign", message, replaced(tree, path, turned))
    for path, part in terms_of(tree):
        if path and str(parent(tree, path).leaf) in FUNCTIONS:
            continue
        message = ("the sign of {} is wrong", part.args[0] if part.head == "neg" else part)
        yield Edit("sign", "sign", message, replaced(tree, path, neg(part)))
    yield from _conditions(tree)


def _conditions(tree: Tree) -> Iterator[Edit]:
    for path, part in places(tree):
        if part.head == "call" and part.leaf == "step":
            other = call("step", neg(part.args[0]))
            yield Edit("sign", "sign", ("{} stands where {} belongs", part, other), replaced(tree, path, other))


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
        above = parent(tree, path) if path else None
        if part.head == "size":
            continue
        if above is not None and part.head != "T" and (above.head in ("mul", "pow", "inv", "T") or _is_inert(above)):
            continue
        for factor in factors:
            kind, inverse = _factor_kinds(factor, pool)
            inverse = "derivative twice" if kind != "missing factor" and _has(part, factor) else "extra factor"
            message = ("the factor {} is missing", factor)
            if kind != "missing factor":
                message = ("the derivative {} is missing", factor)
            whole = transposed(mul(factor, *part.args)) if part.head == "T" else mul(part, factor)
            yield Edit(kind, inverse, message, replaced(tree, path, whole))


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
                message = (f"the derivative {{}} is there {'twice' if twice else 'without need'}", slope)
                yield Edit(kind, _is_slope(slope, pool), message, replaced(tree, path, mul(*rest)))
        for index, factor in enumerate(part.args):
            rest = [*part.args[:index], *part.args[index + 1 :]]
            if factor.head == "number":
                continue
            twice = bool(_is_slope(factor, pool)) and factor in rest
            kind = "derivative twice" if twice else "extra factor"
            message = (f"the factor {{}} is there {'twice' if twice else 'without need'}", factor)
            yield Edit(kind, _factor_kinds(factor, pool)[0], message, replaced(tree, path, mul(*rest)))


def insert_term(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Add a term of the right line."""
    for term, carry in pool.terms:
        shown = term.args[0] if term.head == "neg" else term
        kind = "dropped carry" if carry else "missing term"
        message = (
            ("what comes back from step t+1 is missing: {}", shown) if carry else ("the term {} is missing", shown)
        )
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
            if rest == [ONE] and path and parent(tree, path).head == "mul":
                kind, inverse = "extra factor", _factor_kinds(part, pool)[0]
            message = (f"the term {{}} is there {words}", term)
            yield Edit(kind, inverse, message, replaced(tree, path, add(*rest)))


def insert_inner_term(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Add a value, or 1, to a factor or to a sum in parentheses; a term of the right line to the first factors."""
    values = [Tree("name", (), n) for n, (m, rank) in pool.names.items() if rank < 2 and m.kind == "value"]
    inner = dict.fromkeys([*pool.inner, ONE, *values])
    for path, part in places(tree):
        if not path or parent(tree, path).head != "mul" or part.head in ("inv", "number"):
            continue
        for value in inner:
            for term in (neg(value), value):
                message = ("{} is missing beside {}", value, part)
                yield Edit("missing term", "extra term", message, replaced(tree, path, add(part, term)))
    for path, part in places(tree):
        for stop in range(2, len(part.args)) if part.head == "mul" else ():
            first = mul(*part.args[:stop])
            for value in pool.inner:
                for term in (neg(value), value):
                    message = ("{} is missing beside {}", value, first)
                    whole = mul(add(first, term), *part.args[stop:])
                    yield Edit("missing term", "extra term", message, replaced(tree, path, whole))


def product_or_sum(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Put a product for a sum of two, and the reverse."""
    for path, part in places(tree):
        if part.head == "add":
            for start, middle, stop in _runs(len(part.args)):
                left, right = add(*part.args[start:middle]), add(*part.args[middle:stop])
                if right.head == "neg" or (right.head == "add" and right.args[0].head == "neg"):
                    continue
                joined = add(*part.args[:start], mul(left, right), *part.args[stop:])
                message = ("{} and {} are added where they should be multiplied", left, right)
                yield Edit("sum for product", "product for sum", message, replaced(tree, path, joined))
        elif part.head == "mul":
            for stop in range(len(part.args), 1, -1):
                for index in range(1, stop):
                    left, right, rest = mul(*part.args[:index]), mul(*part.args[index:stop]), part.args[stop:]
                    if "inv" in (left.head, right.head) or ONE in (left, right):
                        continue
                    message = ("{} and {} are multiplied where they should be added", left, right)
                    new = mul(add(left, right), *rest)
                    yield Edit("product for sum", "sum for product", message, replaced(tree, path, new))


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
                    message = ("{} must not be in parentheses", factor)
                    for terms in _opened(part.args[:index], factor.args, part.args[index + 1 :]):
                        yield Edit("parentheses too many", "parentheses", message, replaced(tree, path, terms))
        elif part.head == "add":
            for start, stop in dict.fromkeys((start, stop) for start, _, stop in _runs(len(part.args))):
                for whole, inner in _closed(part.args[start:stop]):
                    message = ("parentheses are missing around {}", inner)
                    new = add(*part.args[:start], whole, *part.args[stop:])
                    yield Edit("parentheses", "parentheses too many", message, replaced(tree, path, new))


def _opened(before: tuple[Tree, ...], terms: tuple[Tree, ...], after: tuple[Tree, ...]) -> Iterator[Tree]:
    """Yield the forms in which factors before belong to the first term alone, and those after to the last alone.

    These are before * t1 + ... + tn * after, before * (t1 + ...) + (... + tn) * after, and those with one side.
    """
    if before and after:
        yield mul(*before, add(*terms[:-1], _times(terms[-1], after)))
        yield mul(add(mul(*before, terms[0]), *terms[1:]), *after)
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


SCALES = (Fraction(2), Fraction(1, 2))


def scale(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Multiply by 2 or by a half, or leave a number out."""
    for path, part in terms_of(tree):
        if path and parent(tree, path).head != "add":
            continue
        for factor in SCALES:
            message = ("{} is off by a factor of {}", part, number(factor))
            new = mul(number(factor), part) if part.head != "neg" else neg(mul(number(factor), part.args[0]))
            yield Edit("scale", "scale", message, replaced(tree, path, new))
    for path, part in places(tree):
        if part.head == "mul" and part.args[0].head == "number":
            needless = ("the factor {} doesn't belong there", part.args[0])
            yield Edit("scale", "scale", needless, replaced(tree, path, mul(*part.args[1:])))
        if part.head == "number" and not (path and parent(tree, path).head == "add"):
            for value in pool.numbers:
                message = ("{} stands where {} belongs", part, value)
                yield Edit("scale", "scale", message, replaced(tree, path, value))
    for path, part in terms_of(tree):
        for value in pool.numbers:
            if part.head != "number":
                message = ("{} lacks the factor {}", part, value)
                new = neg(mul(value, part.args[0])) if part.head == "neg" else mul(value, part)
                yield Edit("scale", "scale", message, replaced(tree, path, new))


def summed(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Take a sum over the entries off, or put one on."""
    for path, part in places(tree):
        if part.head == "call" and part.leaf == "sum":
            message = ("{} adds up over the wrong axis: the sum over entries doesn't belong there", part)
            yield Edit("wrong axis", "sum missing", message, replaced(tree, path, part.args[0]))
        elif not path or (part.head == "mul" and parent(tree, path).head in ("add", "neg")):
            message = ("the sum over entries of {} is missing", part)
            yield Edit("sum missing", "wrong axis", message, replaced(tree, path, call("sum", part)))


def inverse(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Multiply where a division belongs, and the reverse."""
    for path, part in places(tree):
        if part.head == "mul":
            for index, factor in enumerate(part.args):
                words = ("divides", "multiply") if factor.head == "inv" else ("multiplies", "divide")
                inner = factor.args[0] if factor.head == "inv" else factor
                message = (f"{{}} {words[0]} where it should {words[1]}", inner)
                new = replaced(tree, (*path, index), inv(factor))
                yield Edit("division", "division", message, new)
