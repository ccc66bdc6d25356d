"""What stands side by side in LaTeX: a product of matrices, or of entries; and what a sum over t holds."""

from __future__ import annotations

from .formulas import Derivative, Statement
from .latex_trees import JOIN
from .tree import Name, Tree, add, matmul, mul, names, number, places, rebuilt

ONE = number(1)


def matrix_states(lines: list[Statement], timed: set[str]) -> set[str]:
    """Return the capital letters with a time that are matrices: A_t = λ A_{t-1} + h h^T, D_t = diag(1 - h_t^2)."""
    found = set[str]()
    for line in lines:
        turned = [part.args[0].leaf for _, part in places(line.value) if part.head == "T"]
        outer = any(isinstance(of, Name) and of.base in timed and of.base[:1].islower() for of in turned)
        if outer and line.target.base[:1].isupper() and Name(line.target.base, -1) in names(line.value):
            found.add(line.target.base)
    capital = [line for line in lines if line.target.base[:1].isupper() and line.target.base in timed]
    while fresh := {line.target.base for line in capital if _gives_matrix(line, timed - found)} - found:
        found |= fresh
    return found


def _gives_matrix(line: Statement, vectors: set[str]) -> bool:
    return _is_matrix(resolved(line.value, vectors), vectors)


def gathered(line: Statement | Derivative, value: Tree, timed: set[str]) -> Tree:
    """Return a right side in which a sum over t, of what has no time, holds all terms that have one: Σ_t a_t + b_t."""
    first, *rest = value.args if value.head == "add" else (value,)
    of = line.target.base.partition("@")[0] if isinstance(line.target, Name) else ""
    if not of or of in timed or first.head != "sum_t":
        return value
    inside = [
        term
        for term in rest
        if {n.base for n in names(term)} & timed and not any(part.head == "sum_t" for _, part in places(term))
    ]
    outside = [term for term in rest if term not in inside]
    return add(Tree("sum_t", (add(first.args[0], *inside),)), *outside) if inside else value


def resolved(tree: Tree, timed: set[str]) -> Tree:
    """Return a tree in which what stands side by side is a product of matrices, or of entries.

    Args:
        tree: as read.
        timed: names with a time: these are vectors, whatever their letters.
    """
    if not tree.args:
        return tree
    args = [resolved(operand, timed) for operand in tree.args]
    if tree.head != JOIN:
        return _with_outer(rebuilt(tree, args), timed)
    made = args[0]
    for item in args[1:]:
        if ONE in (made, item) and "T" in (made.head, item.head):  # 1 bᵀ and Zᵀ 1, over the samples of a batch
            made = (item if made == ONE else made).args[0]
            continue
        joined = _is_matrix(made, timed) or _is_matrix(item, timed) or "T" in (made.head, item.head)
        made = matmul(made, item) if joined else mul(made, item)
    return made


def _with_outer(tree: Tree, timed: set[str]) -> Tree:
    """Return a ⊙ b xᵀ, where all are vectors, as (a ⊙ b) xᵀ: so it is meant."""
    last = tree.args[-1]
    outer = tree.head == "mul" and last.head == "matmul" and last.args[1].head == "T"
    if not outer or any(_is_matrix(part, timed) for part in (*tree.args[:-1], *last.args)):
        return tree
    return matmul(mul(*tree.args[:-1], last.args[0]), last.args[1])


def _is_matrix(tree: Tree, timed: set[str]) -> bool:
    """Return whether a product with this is a product of matrices: names with a capital letter, diag(...)."""
    if isinstance(tree.leaf, Name):
        return tree.leaf.base[:1].isupper() and tree.leaf.base.partition("@")[0] not in timed
    if tree.head in ("T", "mul", "add", "neg", "prod_t"):
        return any(_is_matrix(operand, timed) for operand in tree.args)
    if tree.head == "matmul":
        left, right = tree.args
        fixed = not any(n.base.partition("@")[0] in timed for n in names(left))  # α of α W^T
        return _is_matrix(right, timed) and (fixed or _is_matrix(left, timed))
    return tree.head == "jacobian" or (tree.head == "call" and tree.leaf == "diag")
