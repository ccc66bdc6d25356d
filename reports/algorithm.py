"""Derivation -> the forward and the backward sweep over time, as numbered lines."""

from __future__ import annotations

from sympy import Expr, Integer, Symbol

from ..derive.adjoint import delta
from ..derive.cell import previous
from ..derive.derivation import Derivation
from .document import Algorithm, Inline, Line
from .formula import Formula, clean
from .mathematics import Mathematics
from .phrases import Phrases

TIME = Symbol("t", integer=True, positive=True)
LENGTH = Symbol("T", integer=True, positive=True)


def algorithm(derivation: Derivation, math: Mathematics, phrases: Phrases) -> Algorithm:
    """Return both sweeps of backpropagation through time, made from the derivation's own programs."""
    return Algorithm(tuple(_Sweeps(derivation, math, phrases).lines()))


class _Sweeps:
    def __init__(self, derivation: Derivation, math: Mathematics, phrases: Phrases) -> None:
        self.derivation = derivation
        self.math = math
        self.phrases = phrases
        self.states = list(derivation.cell.states)
        self.made = derivation.prologue.outputs
        self.fixed = (*map(Symbol, derivation.cell.params), *self.made)

    def lines(self) -> list[Line]:
        return [*self.forward(), *self.backward()]

    def forward(self) -> list[Line]:
        inputs: list[Inline] = [
            self.math.name(name, Integer(1)) + self.math.call("to_last", name)
            for name in (*self.derivation.cell.inputs, *self.derivation.cell.indices)
        ]
        inputs += [self.math.name(name, Integer(0)) for name in self.states]
        lines = [Line(self.phrases.text("algorithm.forward", given=self.phrases.join(inputs)), numbered=False)]
        lines += [self.assigned(step.target, step.expr, 0) for step in self.derivation.prologue.steps]
        lines.append(self.loop("algorithm.up", self.math.call("counting", Integer(1), LENGTH)))
        return lines + [self.assigned(step.target, step.expr, 1) for step in self.derivation.forward.steps]

    def backward(self) -> list[Line]:
        call, phrases = self.math.call, self.phrases
        direct = phrases.join([call("direct_sloped", name) for name in self.states])
        lines = [Line(phrases.text("algorithm.backward", given=direct), numbered=False)]
        zero = self.math.sign("zero")
        sent = [self.math.call("sent_back_at", name, LENGTH) for name in self.states]
        lines.append(Line((self.chained(sent) + self.gets() + zero,)))
        if self.fixed:
            gradients = [self.gradient(symbol) for symbol in self.fixed]
            lines.append(Line((self.chained(gradients) + self.gets() + zero,)))
        lines.append(self.loop("algorithm.down", call("counting", LENGTH, Integer(1))))
        shares = {delta(symbol): symbol for symbol in self.fixed}
        steps = [step for step in self.derivation.backward.steps if step.target not in shares]
        sent_back = {delta(previous(name)) for name in self.states}
        now = [step for step in steps if step.target not in sent_back]
        for step in (*now, *(step for step in steps if step.target in sent_back)):
            lines.append(self.assigned(step.target, step.expr, 1))
        for step in self.derivation.backward.steps:
            if step.target in shares and step.expr != 0:
                lines.append(self.added(shares[step.target], step.expr, 1))
        for step in self.derivation.epilogue.steps:
            value = Symbol(step.target.name.removeprefix("delta_"))
            if value.name in self.derivation.cell.params:
                lines += [self.added(value, step.expr, 0)] if step.expr != 0 else []
            elif clean(self.math.formula(step.expr)) != clean(self.math.formula(step.target)):
                lines.append(self.assigned(step.target, step.expr, 0))
        return lines

    def loop(self, key: str, counting: Formula) -> Line:
        return Line(self.phrases.text(key, counting=counting))

    def gets(self) -> Formula:
        return self.math.sign("gets")

    def assigned(self, target: Symbol, expr: Expr, indent: int) -> Line:
        return Line((self.math.formula(target) + self.gets() + self.math.formula(expr),), indent)

    def gradient(self, symbol: Symbol) -> Formula:
        """δW of a parameter, as the sum that grows during the sweep."""
        return self.math.formula(delta(symbol))

    def added(self, symbol: Symbol, share: Expr, indent: int) -> Line:
        sum_so_far = self.gradient(symbol)
        return Line((sum_so_far + self.gets() + sum_so_far + self.math.call("grown_by", share),), indent)

    def chained(self, formulas: list[Formula]) -> Formula:
        first, *rest = formulas
        for formula in rest:
            first += self.math.call("next_in_list") + formula
        return first
