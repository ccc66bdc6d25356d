"""The catalogue of faults: a table of rules, each a family of single edits of a formula.

An edit both makes and mends faults: inserting a factor mends "missing factor", and makes "extra factor". So each rule
says which kind its edits mend and which they make, and the same table breaks right lines for the bench.
"""

from __future__ import annotations

from collections.abc import Iterator

from .edits import Edit, Edits, Pool, replaces_all
from .edits_of_sums import (
    delete_factor,
    delete_term,
    insert_factor,
    insert_inner_term,
    insert_term,
    inverse,
    parentheses,
    product_or_sum,
    scale,
    sign,
    summed,
)
from .edits_of_values import (
    activation,
    complement,
    matrix_product,
    other_expression,
    other_name,
    other_part,
    power_changed,
    transpose,
    wrong_derivative,
)
from .tree import Tree

__all__ = ["RULES", "Edit", "Pool", "edits", "replaces_all"]
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
    other_part,
    power_changed,
    inverse,
    scale,
    insert_factor,
    other_expression,
    product_or_sum,
    insert_inner_term,
    matrix_product,
    summed,
)


def edits(tree: Tree, pool: Pool) -> Iterator[Edit]:
    """Yield every single edit of a line, in the order of the catalogue."""
    for rule in RULES:
        yield from rule(tree, pool)
