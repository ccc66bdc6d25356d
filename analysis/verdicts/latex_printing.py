"""Trees in LaTeX, with names as the text writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .formulas import Statement
from .jacobians import parts
from .latex_symbols import ACCENTS, MARK, NEIGHBOUR
from .printing import FormulaSpeller
from .tree import ATOM, POWER, PRODUCT, SUM, Name, Tree, without_version

FUNCTIONS = {"tanh": "\\tanh", "exp": "\\exp", "log": "\\log", "sigmoid": "\\sigma", "sin": "\\sin", "cos": "\\cos"}


class LatexSpeller(FormulaSpeller):
    """Prints LaTeX.

    Args:
        templates: name -> how it is written, with a mark where the time stands.
        clock: the letter of the time.
        ahead: names that are written with "next" at t.
    """

    times, at_least = " \\odot ", "\\geq"

    def __init__(self, templates: Mapping[str, str], clock: str = "t", ahead: Sequence[str] = ()) -> None:
        super().__init__(ahead=ahead)
        self.templates, self.clock = templates, clock

    def name(self, quantity: Name) -> str:
        base, offset = without_version(quantity.base), quantity.offset + (quantity.base in self.ahead)
        if found := parts(base):
            of, by, lag = found
            return f"\\frac{{\\partial {self.name(Name(of, offset))}}}{{\\partial {self.name(Name(by, offset - lag))}}}"
        template = self.templates.get(base) or self._made(base)
        word = {-1: "prev", 1: "next"}.get(offset, "")
        template = re.sub(rf"[_^]\{{{NEIGHBOUR}\}}", f"_{{{word}}}" if word else "", template)
        text = template.replace(NEIGHBOUR, word).replace(MARK, f"{self.clock}{offset:+d}" if offset else self.clock)
        return re.sub(r"(?<=[_^])\{([A-Za-z0-9])\}", r"\1", text)

    def _made(self, base: str) -> str:
        for prefix in ("delta_", "Delta_", "dL_d", "d"):
            if base.startswith(prefix) and len(base) > len(prefix):
                rest = base[len(prefix) :]
                shown = self.templates.get(rest) or self._made(rest)
                if prefix == "dL_d":
                    return f"\\frac{{\\partial {self._loss()}}}{{\\partial {shown}}}"
                plain = prefix == "d" and any(template.startswith("d") for template in self.templates.values())
                return ("d" if plain else "\\Delta " if prefix == "Delta_" else "\\delta ") + shown
        letter, *words = base.split("_")
        if words and words[-1] in ACCENTS.values():
            rest = base.removesuffix(f"_{words[-1]}")
            return f"\\{words[-1]}{{{self.templates.get(rest) or self._made(rest)}}}"
        index = ",".join(words)
        if letter[:1].isupper() or letter == "b":
            return f"{letter}_{{{index}}}" if index else letter
        return f"{letter}_{{{index},{MARK}}}" if index else f"{letter}_{{{MARK}}}"

    def _loss(self) -> str:
        """Return how the text writes its loss."""
        found = (re.match(r"\\frac\{\\partial ((?:[^{}<]|\{\w+\})+)\}", text) for text in self.templates.values())
        return next((whole[1] for whole in found if whole), "L")

    def line(self, statement: Statement) -> str:
        sign = "\\mathrel{+}=" if statement.adds else "="
        return f"{statement.left or self.name(statement.target)} {sign} {self.right_side(statement)}"

    def spell_mul(self, tree: Tree) -> tuple[str, int]:
        above = [factor for factor in tree.args if factor.head != "inv"]
        below = [factor.args[0] for factor in tree.args if factor.head == "inv"]
        if below:
            top = self.times.join(self.show(f, POWER) for f in above) or "1"
            return f"\\frac{{{top}}}{{{self.times.join(self.show(f, POWER) for f in below)}}}", ATOM
        return self.times.join(self.show(f, POWER) for f in above), PRODUCT

    def spell_inv(self, tree: Tree) -> tuple[str, int]:
        return f"\\frac{{1}}{{{self.show(tree.args[0])}}}", ATOM

    def spell_pow(self, tree: Tree) -> tuple[str, int]:
        base = tree.args[0]
        if base.head == "call" and base.leaf in FUNCTIONS:
            return f"{FUNCTIONS[str(base.leaf)]}{self.raised(tree)}({self.show(base.args[0])})", POWER
        return f"{self._base(base)}{self.raised(tree)}", POWER

    def _base(self, tree: Tree) -> str:
        """Return what gets a superscript: in parentheses where it has one."""
        text = bare = self.show(tree, ATOM)
        while (inner := re.sub(r"\{[^{}]*\}|\([^()]*\)|\[[^\[\]]*\]", "", bare)) != bare:
            bare = inner
        return f"({text})" if "^" in bare else text

    @staticmethod
    def raised(tree: Tree) -> str:
        """Return the exponent of a power."""
        exponent = str(tree.value)
        return f"^{exponent}" if len(exponent) == 1 else f"^{{{exponent}}}"

    def spell_matmul(self, tree: Tree) -> tuple[str, int]:
        left, right = tree.args
        return f"{self.show(left, POWER)} {self.show(right, POWER)}", POWER

    def spell_T(self, tree: Tree) -> tuple[str, int]:
        return f"{self._base(tree.args[0])}^\\top", ATOM

    def spell_call(self, tree: Tree) -> tuple[str, int]:
        if tree.leaf == "eye":
            return "I", ATOM
        if condition := self.condition(tree):
            return f"\\mathbb{{1}}[{condition}]", ATOM
        label, args = str(tree.leaf), [self.show(argument) for argument in tree.args]
        if label == "outer":
            return f"{self.show(tree.args[0], POWER)} {self._base(tree.args[1])}^\\top", POWER
        if label == "concat":
            return f"[{', '.join(args)}]", ATOM
        if label == "sum":
            return f"\\mathbf{{1}}^\\top ({args[0]})", POWER
        prime = "'" if label.endswith("'") else ""
        plain = label.rstrip("'")
        function = FUNCTIONS.get(plain, "\\operatorname{" + plain + "}")
        return f"{function}{prime}({', '.join(args)})", ATOM

    def spell_sum_t(self, tree: Tree) -> tuple[str, int]:
        return f"\\sum_{self.clock} {self.show(tree.args[0], PRODUCT)}", SUM
