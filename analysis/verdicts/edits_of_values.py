"""Edits of single values: another name or time, transposes, activations, derivatives, powers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from ...derive.functions import FUNCTIONS
from .edits import ONE, Edit, Pool, is_value, parent
from .meanings import Meaning
from .tree import Name, Path, Tree, add, call, matmul, mul, neg, places, power, replaced, transposed

Known = tuple[Tree, Meaning, int]


def relation(wrong: Meaning, right: Meaning, matrix: bool, pool: Pool) -> tuple[str, str]:
    """Return the kind and the sentence of a name that stands for another one."""
    if wrong.kind == right.kind == "value" and (right.base, wrong.base) in pool.arguments:
        return "missing activation", "is the argument of a function where its value belongs"
    if wrong.kind == right.kind == "value" and (wrong.base, right.base) in pool.arguments:
        return "activated value", "is a function's value where its argument belongs"
    if (wrong.kind, wrong.base) == (right.kind, right.base):
        return "time", "is taken at the wrong step"
    if "value" == wrong.kind == right.kind:
        return ("wrong weight", "is the wrong weight") if matrix else ("mixed up", "is the wrong value")
    if wrong.kind == "value":
        return "value for adjoint", "is a value of the forward pass, not an adjoint"
    if right.kind == "value":
        return "adjoint for value", "is an adjoint, not a value of the forward pass"
    return "wrong adjoint", "is the adjoint of something else"


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
            message = (f"{{}} {words}; {{}} belongs there", part, other)
            made = relation(right, meaning, rank == 2, pool)[0]
            yield Edit(kind, made, message, replaced(tree, path, other))


def other_part(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Take another part of a vector: x[:n] for x[n:]."""
    bounds = dict.fromkeys(p.bounds for term, _ in pool.terms for _, p in places(term) if p.head == "part")
    for path, part in places(tree):
        for wanted in bounds:
            if part.head == "part" and part.bounds != wanted:
                new = Tree("part", part.args, wanted)
                message = ("{} is the wrong part of its vector; {} belongs there", part, new)
                yield Edit("wrong part", "wrong part", message, replaced(tree, path, new))


def transpose(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Transpose a matrix, or exchange the sides of a product."""
    derived = {part for term, _ in pool.terms for _, part in places(term)}
    for path, part in places(tree):
        if part.head == "matmul" and (other := matmul(*reversed(part.args))) in derived:  # δ Wᵀ
            message = ("the sides of {} are exchanged", part)
            yield Edit("transpose", "transpose", message, replaced(tree, path, other))
    for path, part in places(tree):
        if part.head == "T" or (isinstance(part.leaf, Name) and pool.names.get(part.leaf, (None, 0))[1] == 2):
            if path and part.head == "name" and parent(tree, path).head == "T":
                continue
            message = (f"{{}} must {'not ' if part.head == 'T' else ''}be transposed", part)
            yield Edit("transpose", "transpose", message, replaced(tree, path, transposed(part)))
        elif part.head == "call" and part.leaf == "outer":
            swapped = call("outer", *reversed(part.args))
            message = ("the sides of {} are exchanged", part)
            yield Edit("transpose", "transpose", message, replaced(tree, path, swapped))
    for path, part in places(tree):
        if part.head == "matmul":
            left, right = part.args
            if left.head in ("add", "matmul"):
                new = matmul(transposed(left), right)
                yield Edit("transpose", "transpose", ("{} must be transposed", left), replaced(tree, path, new))
            message = ("the sides of {} are exchanged", part)
            yield Edit("transpose", "transpose", message, replaced(tree, path, matmul(right, left)))
            if (left.head == "T") != (right.head == "T"):
                outer = matmul(transposed(right), transposed(left))
                yield Edit("transpose", "transpose", message, replaced(tree, path, outer))
        elif part.head == "mul" and [factor.head == "T" for factor in part.args] in ([True, False], [False, True]):
            turned = mul(*(transposed(factor) for factor in reversed(part.args)))
            message = ("the sides of {} are exchanged", part)
            yield Edit("transpose", "transpose", message, replaced(tree, path, turned))
        elif part.head == "mul":
            for index, right in enumerate(part.args):
                outer = matmul(mul(*part.args[:index], *part.args[index + 1 :]), transposed(right))
                yield Edit("transpose", "transpose", ("{} must be transposed", right), replaced(tree, path, outer))


def matrix_product(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Put a product of matrices for one entry by entry."""
    for path, part in places(tree):
        for index in range(1, len(part.args)) if part.head == "mul" else ():
            left, right = part.args[index - 1 : index + 1]
            joined = matmul(left, right)
            whole = mul(*part.args[: index - 1], joined, *part.args[index + 1 :])
            message = ("{} is a product entry by entry; {}, of matrices, belongs there", mul(left, right), joined)
            yield Edit("product", "product", message, replaced(tree, path, whole))


def activation(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Take a function off, put one on, or another: tanh(h) for h or for sigmoid(h)."""
    right = [*(slope for slope, _ in pool.slopes), *(term for term, _ in pool.terms)]
    held = {
        str(p.leaf)
        for one in right
        for _, p in places(one)
        if p.head == "call" and p.leaf in FUNCTIONS and len(p.args) == 1
    }
    functions = sorted(held | {"tanh", "sigmoid"})
    for path, part in places(tree):
        if part.head == "call" and part.leaf in FUNCTIONS and len(part.args) == 1:
            needless = (f"{{}}: the function {part.leaf} is applied to a value that needs none", part)
            yield Edit("activated value", "missing activation", needless, replaced(tree, path, part.args[0]))
            for new in (call(function, *part.args) for function in functions if function != part.leaf):
                message = ("{} stands where {} belongs", part, new)
                yield Edit("wrong function", "wrong function", message, replaced(tree, path, new))
        elif isinstance(part.leaf, Name) and part.leaf in pool.names and pool.names[part.leaf][1] < 2:
            meaning = pool.names[part.leaf][0]
            above = parent(tree, path) if path else part
            if meaning.kind != "value" or (above.leaf in FUNCTIONS and len(above.args) == 1):
                continue
            for function in functions:
                new = call(function, part)
                message = ("{} stands where {} belongs", part, new)
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
                message = ("{} is the derivative of tanh, not that of this function", factor)
                yield Edit("wrong derivative", "wrong derivative", message, replaced(tree, path, new))
            complement = add(ONE, neg(factor))
            if complement in part.args:
                rest = [piece for piece in part.args if piece not in (factor, complement)]
                new = mul(*rest, add(ONE, neg(power(factor, 2))))
                message = ("{} is the derivative of the logistic function, not of this one", mul(factor, complement))
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
            message = ("{} stands where {} belongs", part, inner)
            yield Edit("complement", "complement", message, replaced(tree, path, inner))
        elif part.head == "mul" and len(part.args) > 2 and part.args[-2].head == "number":
            inner = mul(*part.args[-2:])  # 4 x 2 h for 4 x (1 - 2 h)
            new = mul(*part.args[:-2], add(ONE, neg(inner)))
            yield Edit(
                "complement", "complement", ("{} stands where 1 - {} belongs", inner, inner), replaced(tree, path, new)
            )
        elif is_value(part, pool) or (part.head == "pow" and is_value(part.args[0], pool)):
            new = add(ONE, neg(part))
            message = ("{} stands where {} belongs", part, new)
            yield Edit("complement", "complement", message, replaced(tree, path, new))


def power_changed(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Take a square off, or put one on."""
    for path, part in places(tree):
        if _in_condition(tree, path):
            continue
        if part.head == "pow" and isinstance(part.leaf, Fraction):
            for exponent in {Fraction(1), part.leaf + 1, part.leaf - 1} - {part.leaf, Fraction(0)}:
                new = part.args[0] if exponent == 1 else power(part.args[0], exponent)
                message = ("{} stands where {} belongs", part, new)
                yield Edit("power", "power", message, replaced(tree, path, new))
        elif part.head in ("name", "call") and part.leaf != "ones" and not (path and parent(tree, path).head == "pow"):
            if isinstance(part.leaf, Name) and pool.names.get(part.leaf, (None, 2))[1] == 2:
                continue
            if path and parent(tree, path).head == "call" and parent(tree, path).leaf in ("ones", "pad"):
                continue
            new = power(part, 2)
            yield Edit("power", "power", ("the square of {} is missing", part), replaced(tree, path, new))


def _in_condition(tree: Tree, path: Path) -> bool:
    """Return whether a place is inside of a condition such as p > 0, where a square says something else."""
    for index in path:
        if tree.leaf == "step":
            return True
        tree = tree.args[index]
    return False
