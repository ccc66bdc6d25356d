"""Reasons of a step -> the sentence that justifies it."""

from __future__ import annotations

from itertools import groupby

from sympy import Symbol

from ..derive.linear import NODES, shape_of
from ..derive.program import Reason, Step
from .document import Inline, Text
from .formula import TALL, Formula
from .mathematics import Mathematics
from .phrases import Phrases
from .typesetter import DELTA

TIME = Symbol("t", integer=True, positive=True)
LONGEST = 15  # ems


class Reasons:
    """Writes justifications in the notation of one cell.

    Args:
        math: typesets the cell's symbols.
        phrases: the language.
        fixed: symbols without a time.
    """

    def __init__(self, math: Mathematics, phrases: Phrases, fixed: tuple[Symbol, ...]) -> None:
        self.math = math
        self.phrases = phrases
        self.fixed = fixed

    def of(self, step: Step) -> Text:
        """Return why a step holds: one clause for each kind of reason, in the order of its terms."""
        if not step.reasons:
            return self.phrases.text("why.none")
        clauses: list[Text] = []
        kinds = groupby(step.reasons, lambda reason: (reason.rule, _is_one(reason)))
        for (rule, is_one), group in kinds:
            clauses += self.clauses(step, rule, is_one, list(group))
        if self.math.style.layout == "batch" and step.expr != 0 and self.is_share(step.target):
            clauses.append(self.phrases.text("why.over_samples"))
        text: list[Inline] = []
        for clause in dict.fromkeys(clauses):
            text += ["; "] * bool(text) + list(clause)
        return tuple(text)

    def is_share(self, target: Symbol) -> bool:
        """Return whether a step gives a share of the gradient of what carries no time."""
        return target.name.startswith(DELTA) and Symbol(target.name.removeprefix(DELTA)) in self.fixed

    def rank(self, target: Symbol) -> int:
        """Return how many dimensions a value has, apart from the samples of a batch."""
        stacked = self.math.style.layout == "batch" and not self.is_share(target)
        return len(shape_of(target, self.math.shapes)) - stacked

    def clauses(self, step: Step, rule: str, is_one: bool, reasons: list[Reason]) -> list[Text]:
        if rule == "incoming":
            if Symbol(step.target.name.removeprefix("delta_")) in self.fixed:
                return [self.phrases.text("why.incoming_fixed")]
            return [self.phrases.text("why.incoming", next=self.math.call("time", TIME + 1))]
        if rule == "definition":
            return [self.phrases.text("why.definition")]
        if rule == "chain" and not is_one:
            return [self.chain(step.target, reason) for reason in reasons]
        values = self.phrases.join(list(dict.fromkeys(map(self.value, reasons))))
        if rule == "chain":
            return [self.phrases.text("why.chain_one", value=values)]
        if rule == "product":
            rank = self.rank(step.target)
            many = "_many" if rank == 1 and len(reasons) > 1 else ""
            kind = f"{('number', 'vector', 'matrix')[rank]}{many}"
            layout = self.math.style.layout
            special = f"_{layout}" if rank == 2 and layout != "column" else ""
            return [self.phrases.text(f"why.product_{kind}{special}", values=values)]
        if f"rule.{rule}" in self.phrases:
            return [self.phrases.text(f"rule.{rule}", values=values, jacobian=self.softmax_jacobian(reasons[0]))]
        return [(NODES[rule].rule.why,)]

    def chain(self, target: Symbol, reason: Reason) -> Text:
        """Return the chain rule with its slope, where that fits into a line of text."""
        slope = self.slope(target, reason)
        if TALL in slope.typst or slope.width > LONGEST:
            return self.phrases.text("why.chain_long", value=self.value(reason))
        return self.phrases.text("why.chain", value=self.value(reason), slope=slope)

    def value(self, reason: Reason) -> Formula:
        return self.math.formula(reason.through)

    def slope(self, target: Symbol, reason: Reason) -> Formula:
        """Return ∂through/∂value = slope, with a sloped line."""
        value = target.name.removeprefix("delta_")
        left = self.math.call("slope", str(reason.through), value)
        return left + self.math.sign("equals") + self.math.formula(reason.slope)

    def softmax_jacobian(self, reason: Reason) -> Formula:
        return self.math.call("softmax_jacobian", str(reason.through))


def _is_one(reason: Reason) -> bool:
    return reason.rule == "chain" and reason.slope == 1
