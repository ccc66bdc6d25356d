"""Closed forms over a window, ∂h_t/∂h_k = ∏_{j=k+1}^{t} ∂h_j/∂h_{j-1}: judged at windows of two and three steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from .arithmetic import Array, Evaluator, Misfit, Missing, apply_floats
from .catalogue import Pool, edits
from .formulas import Derivative, Formulas
from .jacobians import jacobian_name
from .latex_printing import LatexSpeller
from .meanings import Answers, Meaning, candidates
from .probes import STEPS
from .reading import agree
from .tree import PRODUCT, Name, Tree, names, places
from .verdict import Fault, Line

WINDOWS = (2, 3)
TURNED = "transposed: the derivatives of one entry stand in a column"
PROOF = "agrees with the product of the derived Jacobians at windows of 2 and 3 steps, to 1e-9"
Right = dict[int, Array]  # window -> right derivative, at every t of every sequence


@dataclass(frozen=True)
class Bounds:
    """The steps of a product: from k + first to t + last.

    Attributes:
        first: after the step k that the derivative is by.
        last: after the step t of what is differentiated.
    """

    first: int
    last: int


def bounds_of(written: tuple[str, str], start: str, stop: str) -> Bounds | None:
    """Return the steps of a product from how it is written; None where that says something else.

    >>> bounds_of(("k+1", "t"), "k", "t"), bounds_of(("t\\\\geqj>k", ""), "k", "t"), bounds_of(("1", "t"), "k", "t")
    (Bounds(first=1, last=0), Bounds(first=1, last=0), None)
    """
    low, high = written
    if found := re.fullmatch(r"(\\?\w+)(\\geq?|>)\\?\w(\\geq?|>)(\\?\w+)", low):
        low = f"{found[4]}+1" if found[3] == ">" else found[4]
        high = f"{found[1]}-1" if found[2] == ">" else found[1]
    elif found := re.fullmatch(r"(\\?\w+)(\\leq?|<)\\?\w(\\leq?|<)(\\?\w+)", low):
        low = f"{found[1]}+1" if found[2] == "<" else found[1]
        high = f"{found[4]}-1" if found[3] == "<" else found[4]
    shifts = [re.fullmatch(rf"\\?{of}([-+]\d+)?", text) for text, of in ((low, start), (high, stop))]
    if not all(shifts):
        return None
    return Bounds(*(int(shift[1] or 0) for shift in shifts if shift is not None))


class Windows:
    """Judges the lines of a text that state a derivative over a window.

    Args:
        formulas: the text.
        answers: right values.
        rows: whether vectors are rows.
        own: gives the values of the text's own names at t, where they have one.
    """

    def __init__(self, formulas: Formulas, answers: Answers, rows: bool, own: Callable[[Name], Array | None]) -> None:
        self.formulas, self.answers, self.rows, self.own = formulas, answers, rows, own
        self.states = tuple(answers.subject.cell.states)
        self.speller = LatexSpeller(dict(formulas.spellings))

    def judged(self) -> tuple[list[Line], list[Fault], list[str]]:
        """Return lines, faults and notes."""
        lines: list[Line] = []
        faults: list[Fault] = []
        notes: list[str] = []
        for line in self.formulas.derivatives:
            found = self._judged(line)
            quantity = f"∂{_base(line.target.of)}/∂{_base(line.target.by)} over a window of steps"
            if isinstance(found, str):
                notes.append(f"line {line.number} isn't judged: {found}: {line.text}")
            elif isinstance(found, Fault):
                lines.append(Line(line.number, line.text, quantity, False))
                faults.append(found)
            else:
                lines.append(Line(line.number, line.text, quantity, True, found[0]))
        return lines, faults, notes

    def _judged(self, line: Derivative) -> tuple[str] | Fault | str:
        of, by = _base(line.target.of), _base(line.target.by)
        if of not in self.states or by not in self.states:
            return "products over a window are judged for states"
        whole, along = self._right(of, by, False), self._right(of, by, True)
        if whole is None:
            return "the Jacobian of this cell has no matrix form here"
        product = line.value
        if product.head != "prod_t":
            return "the right side isn't one product over steps"
        stop, start = _clock(line.target.of), _clock(line.target.by)
        low, high, clock = product.bounds
        self.speller = LatexSpeller(dict(self.formulas.spellings), clock)
        bounds = bounds_of((low, high), start, stop)
        if bounds is None:
            return f"the product's steps aren't between {start} and {stop}"
        body = product.args[0]
        for evaluate in self._evaluators(body):
            said = self._compared(line, evaluate, bounds, whole, along)
            if said is not None:
                return (said,)
        return self._fault(line, body, bounds, whole)

    def _compared(
        self, line: Derivative, evaluate: Evaluator, bounds: Bounds, whole: Right, along: Right | None
    ) -> str | None:
        """Return what is to be said of a product that is right; None for one that isn't."""
        of = _base(line.target.of)
        try:
            one = evaluate.plain(line.value.args[0])
        except (Misfit, Missing):
            return None
        ways = {False: (one, ""), True: (np.swapaxes(one, 1, one.ndim - 1), TURNED if line.gradient is None else "")}
        for turned, said in (ways[way] for way in _ways(line)):
            if self._agrees(turned, bounds, whole):
                return said
            if along is not None and self._agrees(turned, bounds, along):
                rest = ", ".join(state for state in self.states if state != of)
                return f"along {of} alone: what flows through {rest} is left out" + (f"; {said}" if said else "")
        return None

    def _evaluators(self, body: Tree) -> Iterator[Evaluator]:
        """Yield evaluators of the body, one for each way in which its Jacobians may be meant."""
        read = dict.fromkeys(names(body))
        options = {n: candidates(n, self.answers, {}, False) for n in read}
        ways = max((len(found) for n, found in options.items() if n.base.startswith("∂")), default=1)
        for way in range(ways):
            values = {n: array for n in read if (array := self.own(n)) is not None}
            for n, found in options.items():
                if found and n not in values:
                    meaning = found[min(way, len(found) - 1)] if n.base.startswith("∂") else found[0]
                    values[n] = self.answers.array(meaning)
            yield Evaluator(values, self.answers.subject.sizes, STEPS, self.rows, apply_floats)

    def _agrees(self, one: Array, bounds: Bounds, right: Right) -> bool:
        found = {window: self._product(one, bounds, window) for window in WINDOWS}
        return all(
            product is not None and product.ndim == right[window].ndim and agree(product, right[window])
            for window, product in found.items()
        )

    def _product(self, one: Array, bounds: Bounds, window: int) -> Array | None:
        """Return the product at every t that has all its factors, of every sequence."""
        count = len(self.answers.records)
        steps = np.broadcast_to(one, (count * STEPS, *one.shape[1:])).reshape(count, STEPS, *one.shape[1:])
        made = []
        for t in range(window, STEPS):
            chosen = range(t - window + bounds.first, t + bounds.last + 1)
            if not chosen or chosen[0] < 0 or chosen[-1] >= STEPS:
                if bounds != Bounds(1, 0):
                    continue
                return None
            factors = [steps[:, index] for index in reversed(chosen)]
            whole = factors[0]
            for factor in factors[1:]:
                whole = whole * factor if whole.ndim == 2 else np.matmul(whole, factor)
            made.append(_squared(whole))
        wanted = STEPS - window
        return np.concatenate(made) if len(made) == wanted else None

    def _right(self, of: str, by: str, alone: bool) -> Right | None:
        """Return window -> right derivative, at every t of every sequence; `alone`: along one state."""
        if alone and (of != by or len(self.states) == 1):
            return None
        states = (of,) if alone else self.states
        block: dict[tuple[str, str], Array] = {}
        for a in states:
            for b in states:
                meaning = Meaning("held", jacobian_name(Name(a), Name(b, -1)).base)
                if self.answers.has(meaning):
                    array = self.answers.array(meaning)
                    count = len(self.answers.records)
                    block[a, b] = array.reshape(count, STEPS, *array.shape[1:])
        if not any(a == of for a, _ in block) or not block:
            return None
        found = {}
        for window in WINDOWS:
            made = []
            for t in range(window, STEPS):
                row = {b: array[:, t] for (a, b), array in block.items() if a == of}
                for back in range(1, window):
                    after: dict[str, Array] = {}
                    for (a, b), array in block.items():
                        if a in row:
                            after[b] = after.get(b, 0) + np.matmul(row[a], array[:, t - back])
                    row = after
                if by not in row:
                    return None
                made.append(row[by])
            found[window] = np.concatenate(made)
        return found

    def _fault(self, line: Derivative, body: Tree, bounds: Bounds, whole: Right) -> Fault:
        quantity = f"∂{_base(line.target.of)}/∂{_base(line.target.by)} over a window: "
        for evaluate in self._evaluators(body):
            start, stop = _clock(line.target.by), _clock(line.target.of)
            for other, steps in ((Bounds(1, 0), (f"{start}+1", stop)), (Bounds(0, -1), (start, f"{stop}-1"))):
                if other != bounds and self._matches(evaluate, body, other, whole):
                    message = f"{quantity}the product must run over the steps from {steps[0]} to {steps[1]}."
                    mended = self._whole(line, body, steps)
                    return Fault(line.number, "window", message, line.text, mended, PROOF)
            opposite = {"turned": "column", "column": "turned"}.get(line.form, "")
            if opposite and self._matches(evaluate, body, bounds, whole, opposite == "turned"):
                message = f"{quantity}the product must {'not ' if opposite == 'turned' else ''}be transposed."
                mended = self._whole(replace(line, form=opposite), body)
                return Fault(line.number, "transpose", message, line.text, mended, PROOF)
            pool = self._pool(body)
            evaluate.values = {**{n: self.answers.array(m) for n, (m, _) in pool.names.items()}, **evaluate.values}
            for turned in _ways(line):
                for edit in edits(body, pool):
                    if self._matches(evaluate, edit.tree, bounds, whole, turned):
                        message = f"{quantity}in each factor, {edit.said(self.speller.show)}."
                        mended = self._whole(line, edit.tree)
                        return Fault(line.number, edit.mends, message, line.text, mended, PROOF)
        return Fault(line.number, "other", f"{quantity}the product doesn't give this derivative.", line.text)

    def _whole(self, line: Derivative, body: Tree, bounds: tuple[str, str] | None = None) -> str:
        """Return a line with other factors in its product, or with other steps."""
        low, high, clock = line.value.bounds
        low, high = bounds or (low, high)
        ranged = re.sub(r"(\\[gl]e(?:q(?=\\?[a-z]))?)", r"\1 ", low)
        below = ranged if re.search(r"[<>]|\\[gl]e", low) else f"{clock}={low}"
        product = f"\\prod_{{{below}}}^{{{high}}} ".replace("^{}", "") + self.speller.show(body, PRODUCT)
        if line.gradient is not None:
            base, _, at = line.gradient.base.partition("@")
            given = LatexSpeller(dict(self.formulas.spellings), at or "t").name(Name(base, line.gradient.offset))
            enclosed = f"\\left({product}\\right)"
            product = {
                "row": f"{given} {product}", "column": f"{enclosed}^\\top {given}", "turned": f"{enclosed} {given}"
            }[line.form]  # fmt: skip
        return f"{line.text.split('=')[0].strip()} = {product}"

    def _matches(self, evaluate: Evaluator, body: Tree, bounds: Bounds, whole: Right, turned: bool = False) -> bool:
        try:
            one = evaluate.plain(body)
        except (Misfit, Missing, ArithmeticError):
            return False
        return one.ndim in (2, 3) and self._agrees(np.swapaxes(one, 1, one.ndim - 1) if turned else one, bounds, whole)

    def _pool(self, body: Tree) -> Pool:
        found: dict[Name, tuple[Meaning, int]] = {}
        wanted = self.answers.jacobian(
            Meaning("held", jacobian_name(Name(self.states[0]), Name(self.states[0], -1)).base)
        )
        for n in dict.fromkeys([*names(body), *(names(wanted) if wanted is not None else ())]):
            for offset in (n.offset, 0, -1):
                options = candidates(Name(n.base, offset), self.answers, {}, False)
                if options:
                    found.setdefault(Name(n.base, offset), (options[0], self.answers.array(options[0]).ndim - 1))
        factors = tuple(p for _, p in places(wanted) if p.head == "call") if wanted is not None else ()
        return Pool(found, (), factors, ())


def _ways(line: Derivative) -> tuple[bool, ...]:
    """Return whether the factors of a product may be transposed, where a gradient beside it tells."""
    return (False, True) if line.gradient is None else (line.form == "turned",)


def _squared(array: Array) -> Array:
    """Return vectors as diagonal matrices."""
    return array[:, :, None] * np.eye(array.shape[1]) if array.ndim == 2 else array


def _base(found: Name) -> str:
    return found.base.partition("@")[0]


def _clock(found: Name) -> str:
    return found.base.partition("@")[2] or "t"
