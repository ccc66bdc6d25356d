"""What a kernel can do: a handful of instructions, each over all entries, rows or columns of what it names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sympy import Expr, Rational, Symbol

from ..derive.linear import Shape
from ..derive.program import quantities

ONCE, ALL, STEP = "once", "all", "step"  # no sample axis; all steps at once; one step
# Kept as (*shape), (T, B, *shape), (B, *shape), or like TIME, but only until the sums over a block of steps are made;
# of a tangent, with an axis of directions after B.
FIXED, TIME, BATCH, PASSING = "fixed", "time", "batch", "passing"
TANGENT_TIME, TANGENT_BATCH = "tangent time", "tangent batch"


@dataclass(frozen=True)
class Statement:
    """`target = expr` (or `+=`) for one entry."""

    target: Symbol
    expr: Expr
    accumulate: bool = False


@dataclass(frozen=True)
class Loop:
    """Statements over all entries of one shape."""

    scope: str
    shape: Shape
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Dot:
    """targets += coefficient · matrices @ vectors over the batch (or `=`): fixed matrices times each sample's vectors.

    There are several targets that lie side by side and one vector, or one target and several vectors side by side.
    """

    scope: str
    targets: tuple[Symbol, ...]
    matrices: tuple[Expr, ...]
    vectors: tuple[Symbol, ...]
    coefficient: Rational
    accumulate: bool


@dataclass(frozen=True)
class Contract:
    """target = left @ right, sample by sample."""

    scope: str
    target: Symbol
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Total:
    """target = the sum of an expression's entries."""

    scope: str
    target: Symbol
    shape: Shape
    expr: Expr


@dataclass(frozen=True)
class Softmax:
    """target = softmax of a vector."""

    scope: str
    target: Symbol
    vector: Symbol


@dataclass(frozen=True)
class CrossEntropy:
    """target = log Σ exp(logits) − the sum of a distribution's entries times theirs; a one-hot one picks its entry."""

    scope: str
    target: Symbol
    logits: Symbol
    distribution: Expr


@dataclass(frozen=True)
class RowSum:
    """target[index] += row over steps and samples: each adds to the row that it looked up.

    `lost` holds, in single precision, what rounding took from each entry on the way.
    """

    scope: str
    target: Symbol
    index: Symbol
    row: Expr
    lost: Symbol


@dataclass(frozen=True)
class OuterSum:
    """targets += coefficient · Σ over steps and samples of lefts rightᵀ: one product, with T·B as its inner size.

    The targets lie one below the other, and the lefts side by side.
    """

    targets: tuple[Symbol, ...]
    lefts: tuple[Symbol, ...]
    right: Symbol
    coefficient: Rational
    accumulate: bool


Instruction = Loop | Dot | Contract | Total | Softmax | CrossEntropy | RowSum | OuterSum


def targets(instruction: Instruction) -> tuple[Symbol, ...]:
    """Return what an instruction writes."""
    if isinstance(instruction, Loop):
        return tuple(statement.target for statement in instruction.statements)
    return instruction.targets if isinstance(instruction, Dot | OuterSum) else (instruction.target,)


def expressions(instruction: Instruction) -> list[Expr]:
    """Return what an instruction reads, and what its statements write, in order of appearance."""
    match instruction:
        case Loop(statements=statements):
            return [expr for statement in statements for expr in (statement.expr, statement.target)]
        case Dot(matrices=matrices, vectors=vectors):
            return [*matrices, *vectors]
        case Contract(left=left, right=right):
            return [left, right]
        case OuterSum(lefts=lefts, right=right):
            return [*lefts, right]
        case Total(expr=expr):
            return [expr]
        case CrossEntropy(logits=logits, distribution=distribution):
            return [logits, distribution]
        case RowSum(index=index, row=row, lost=lost):
            return [row, index, lost]
    return [instruction.vector]


def reads(instruction: Instruction) -> set[Symbol]:
    """Return the quantities that an instruction reads before it writes them."""
    if isinstance(instruction, Loop):
        found: set[Symbol] = set()
        written: set[Symbol] = set()
        for statement in instruction.statements:
            found |= set(quantities(statement.expr)) - written
            if statement.accumulate:
                found |= {statement.target} - written
            written.add(statement.target)
        return found
    read = {symbol for expr in expressions(instruction) for symbol in quantities(expr)}
    added = isinstance(instruction, RowSum) or isinstance(instruction, Dot | OuterSum) and instruction.accumulate
    return read | set(targets(instruction)) if added else read


def used(instructions: Iterable[Instruction]) -> list[Symbol]:
    """Return the symbols that instructions read or write, in order of appearance."""
    found: dict[Symbol, None] = {}
    for instruction in instructions:
        for expr in (*expressions(instruction), *targets(instruction)):
            found.update(dict.fromkeys(quantities(expr)))
    return list(found)
