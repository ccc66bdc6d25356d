"""Mended lines in the notation in which a text is written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .formulas import Formulas, Statement
from .tree import ATOM, POWER, PRODUCT, SUM, Name, Speller, Tree, number, time_name, without_version

NUMPY = {"max": "maximum", "min": "minimum"} | {
    name: name for name in ("tanh", "exp", "log", "sqrt", "sin", "cos", "arctan", "abs", "sum", "outer", "dot")
}


class FormulaSpeller(Speller):
    """Prints the cell notation, with time as the text writes it.

    Args:
        brackets: whether time stands in brackets, h[t-1].
        ahead: names that are written with `_next` at t.
        loose: whether products of matrices are written with `*`.
        running: names that are written without a time.
    """

    def __init__(
        self, brackets: bool = False, ahead: Sequence[str] = (), loose: bool = False, running: Sequence[str] = ()
    ) -> None:
        self.brackets, self.ahead, self.loose, self.running = brackets, ahead, loose, running
        self.module, self.dotted = "", False  # of NumPy in the line at hand, and whether it writes dot(a, b)

    def name(self, quantity: Name) -> str:
        if quantity.base in self.running:
            return without_version(quantity.base)
        if quantity.base in self.ahead and not quantity.offset:
            quantity = quantity._replace(offset=1)
        if self.brackets and quantity.offset:
            return f"{without_version(quantity.base)}[t{quantity.offset:+d}]"
        return time_name(*quantity)

    at_least = ">="

    def spell_matmul(self, tree: Tree) -> tuple[str, int]:
        if self.dotted:
            return f"{self.module}dot({self.show(tree.args[0])}, {self.show(tree.args[1])})", ATOM
        text, level = super().spell_matmul(tree)
        return text.replace(" @ ", " * ") if self.loose else text, level

    def spell_call(self, tree: Tree) -> tuple[str, int]:
        if tree.leaf == "eye":
            return "I", ATOM
        if condition := self.condition(tree):
            return f"({condition})", ATOM
        if self.loose and tree.leaf == "outer":
            return f"{self.show(tree.args[0], POWER)} * {self.show(tree.args[1], ATOM)}.T", PRODUCT
        if self.module and str(tree.leaf) in NUMPY:
            return f"{self.module}{NUMPY[str(tree.leaf)]}({', '.join(map(self.show, tree.args))})", ATOM
        return super().spell_call(tree)

    def condition(self, tree: Tree) -> str:
        """Return p > 1 for step(p - 1), and p >= 1 for geq(p, 1); "" for what is no condition."""
        if tree.leaf == "geq":
            return f"{self.show(tree.args[0])} {self.at_least} {self.show(tree.args[1])}"
        if tree.leaf != "step":
            return ""
        (inner,) = tree.args
        if inner.head == "neg":
            return f"{self.show(inner.args[0])} < 0"
        difference = inner.head == "add" and len(inner.args) == 2 and inner.args[1].head == "neg"
        left, right = (inner.args[0], inner.args[1].args[0]) if difference else (inner, number(0))
        return f"{self.show(left)} > {self.show(right)}"

    def line(self, statement: Statement) -> str:
        """Return a whole line, with NumPy's functions where it has them."""
        found = re.search(r"\b(?:np|numpy|jnp|torch)\.", statement.text)
        self.module, self.dotted = found[0] if found else "", bool(re.search(r"(?<!\))\bdot\(", statement.text))
        left = statement.left or self.name(statement.target)
        value = statement.value
        if left.endswith("]") and value.head == "call" and value.leaf == "scatter":
            return f"{left} {'+=' if statement.adds else '='} {self.show(value.args[0])}"
        return f"{left} {'+=' if statement.adds else '='} {self.right_side(statement)}"

    def right_side(self, statement: Statement) -> str:
        """Return a right side with what stands before it."""
        apart = statement.before and statement.value.head != "sum_t"
        return statement.before + self.show(statement.value, PRODUCT if apart else SUM)


def speller_for(formulas: Formulas) -> FormulaSpeller:
    """Return what prints lines as the text writes them."""
    if formulas.kind == "latex":
        from .latex_printing import LatexSpeller

        return LatexSpeller(dict(formulas.spellings), ahead=formulas.ahead)
    text = formulas.source.text
    return FormulaSpeller("[t-1]" in text or "[t+1]" in text, formulas.ahead, formulas.loose, formulas.running)
