"""Mended lines in the notation in which a text is written."""

from __future__ import annotations

from .formulas import Formulas, Statement
from .tree import Name, Speller, time_name, without_version


class FormulaSpeller(Speller):
    """Prints the cell notation, with time as the text writes it.

    Args:
        brackets: whether time stands in brackets, h[t-1].
    """

    def __init__(self, brackets: bool = False) -> None:
        self.brackets = brackets

    def name(self, quantity: Name) -> str:
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

        return LatexSpeller(dict(formulas.spellings))
    return FormulaSpeller("[t-1]" in formulas.source.text or "[t+1]" in formulas.source.text)
