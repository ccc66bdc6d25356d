"""`Verdict`: what was found out about somebody's backward pass."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass

from ...derive import display

OFTEN = 3  # lines that hold for one reason


@dataclass(frozen=True)
class Line:
    """One statement of theirs.

    Attributes:
        number: in the file, from 1.
        text: as it stands there.
        quantity: what it says it computes, in the names of the cell: "∂L/∂c_t", "∂L/∂W_hf".
        holds: whether it does, given that everything which it reads is right.
        why: the reason, where it holds in another form than ours; "" where it is the same.
    """

    number: int
    text: str
    quantity: str
    holds: bool
    why: str = ""


WHOLE = ("exits", "hangs", "missing gradient", "not differentiable", "not finite", "raises")  # kinds, of all the code


@dataclass(frozen=True)
class Fault:
    """One independent fault.

    Attributes:
        line: number of the line, 0 for a line that is missing.
        kind: of the catalogue, such as "dropped carry", "transpose", "time".
        message: what is wrong, in a sentence.
        given: the text of the line.
        mended: the line that is right, "" where no repair was found.
        proof: how it was shown that the repair is right; "" without one.
    """

    line: int
    kind: str
    message: str
    given: str
    mended: str = ""
    proof: str = ""

    @property
    def where(self) -> str:
        """Where it is, in words."""
        if self.line:
            return f"line {self.line}"
        if self.kind in WHOLE and not self.mended:
            return "the code"
        return "a line is missing" if self.mended else "elsewhere"


@dataclass(frozen=True)
class Verdict:
    """What was found out about a backward pass.

    Attributes:
        name: of the file or function.
        cell: the cell that it was judged as.
        conventions: what was inferred of layout, order, names and scaling, each in a sentence.
        lines: every statement, where there is a text to speak of.
        faults: empty where everything is right.
        notes: what isn't a fault but should be known: clipping, scaling, mutated inputs, precision.
        largest_error: relative, of what was compared, after the conventions were taken into account.
        reference: how the right values were made, such as "complex step, float64".
        unjudged: lines that were read, or gradients that were returned, and that nothing could be said of, each with
            the reason in a sentence.
        speaks_of: what those are: "line" or "gradient".
    """

    name: str
    cell: str
    conventions: tuple[str, ...]
    lines: tuple[Line, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    largest_error: float
    reference: str
    unjudged: tuple[str, ...] = ()
    speaks_of: str = "line"

    _repr_html_ = display.html

    @property
    def correct(self) -> bool:
        """Whether no fault was found, in what could be judged."""
        return not self.faults

    def is_right(self, line: Line) -> bool:
        """Return whether a line gives what it says, and no fault lies in it."""
        return line.holds and (line.number, line.text) not in {(fault.line, fault.given) for fault in self.faults}

    @property
    def left_open(self) -> str:
        """How many lines or gradients aren't judged, for the headline; "" for none."""
        count = len(self.unjudged)
        return f"{count} {self.speaks_of}{'s' * (count != 1)} not judged" if count else ""

    @property
    def shared(self) -> str:
        """The reason for which several lines hold, to be given once; "" for none."""
        [(reason, count)] = Counter(line.why for line in self.lines if line.why).most_common(1) or [("", 0)]
        return reason if count >= OFTEN else ""

    def to_json(self) -> str:
        """Return the verdict as JSON, for machines."""
        return json.dumps({"correct": self.correct, **asdict(self)}, ensure_ascii=False, indent=2)

    def __str__(self) -> str:
        count = len(self.faults)
        found = f"{count} fault{'s' * (count != 1)}" if count else "correct"
        head = f"{self.name}: {', '.join(filter(None, (found, self.left_open)))} (judged as {self.cell})"
        parts = [head, *(f"  {sentence}" for sentence in self.conventions)]
        for fault in self.faults:
            where = fault.where
            parts += ["", f"{where}: {fault.message}"]
            parts += [f"  given   {fault.given}"] * bool(fault.given)
            parts += [f"  mended  {fault.mended}"] * bool(fault.mended)
            parts += [f"  {fault.proof}"] * bool(fault.proof)
        parts += ["", *self.unjudged] * bool(self.unjudged)
        parts += ["", *(f"note: {note}" for note in self.notes)] * bool(self.notes)
        return "\n".join(parts)
