"""Mended lines in the notation in which a text is written."""

from __future__ import annotations

from collections.abc import Sequence

from .formulas import Formulas, Statement
from .tree import Name, Speller, time_name, without_version


class FormulaSpeller(Speller):
    """Prints the cell notation, with time as the text writes it.

    Args:
        brackets: whether time stands in brackets, h[t-1].
        ahead: names that are written with `_next` at t.
    """

    def __init__(self, brackets: bool = False, ahead: Sequence[str] = ()) -> None:
        self.brackets, self.ahead = brackets, ahead

    def name(self, quantity: Name) -> str:
        if quantity.base in self.ahead and not quantity.offset:
            quantity = quantity._replace(offset=1)
        if self.brackets and quantity.offset:
            return f"{without_version(quantity.base)}[t{quantity.offset:+d}]"
        return time_name(*quantity)

    def line(self, statement: Statement) -> str:
        """Return a whole line."""
        left = statement.left or self.name(statement.target)
        value = statement.value
        if left.endswith("]") and value.head == "call" and value.leaf == "scatter":
            return f"{left} {'+=' if statement.adds else '='} {self.show(value.args[0])}"
        return f"{left} {'+=' if statement.adds else '='} {self.show(statement.value)}"


def speller_for(formulas: Formulas) -> FormulaSpeller:
    """Return what prints lines as the text writes them."""
    if formulas.kind == "latex":
        from .latex_printing import LatexSpeller

        return LatexSpeller(dict(formulas.spellings), ahead=formulas.ahead)
    return FormulaSpeller("[t-1]" in formulas.source.text or "[t+1]" in formulas.source.text, formulas.ahead)
