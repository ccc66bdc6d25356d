"""`Program`: ordered assignments with their reasons, checked and printable; and the forward program of a cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import sympy
from sympy import Expr, Symbol

from .cell import Cell, Equation, previous
from .errors import ProgramError
from .functions import Elementwise
from .linear import Node, Shape, Shapes, is_one_hot, shape_of, softmax, tensor_arguments, total, transpose
from .notation import spell
from .written import operands, rebuilt


@dataclass(frozen=True)
class Reason:
    """Why a step, or one term of it, holds.

    Attributes:
        rule: 'definition' (the author's line), 'named' (a part of it given a name), 'incoming' (from the loss and
            from the next step), 'chain' (an elementwise slope), or the name of a tensor map (its transpose; in a
            tangent program, the map itself).
        through: the forward value whose equation was differentiated.
        slope: for 'chain', the partial derivative.
    """

    rule: str
    through: Symbol | None = None
    slope: Expr | None = None


@dataclass(frozen=True)
class Step:
    """`target = expr`, with one reason per term of `expr`."""

    target: Symbol
    expr: Expr
    reasons: tuple[Reason, ...]

    @property
    def reads(self) -> frozenset[Symbol]:
        """The quantities that the right side uses; sizes don't count."""
        return frozenset(quantities(self.expr))

    def __str__(self) -> str:
        return f"{self.target} = {spell(self.expr)}"


@dataclass(frozen=True)
class Program:
    """Assignments in an order in which they can be carried out.

    Attributes:
        inputs: what it may read.
        steps: each target is assigned once.
        outputs: what it is for.
        shapes: of every symbol, in named dimensions.
    """

    inputs: tuple[Symbol, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Symbol, ...]
    shapes: Shapes = field(repr=False)

    def check(self) -> Program:
        """Return the program, or say which step reads what isn't there yet.

        Raises:
            ProgramError: with the lines around the fault.
        """
        known = set(self.inputs)
        for number, step in enumerate(self.steps, 1):
            if early := sorted(map(str, step.reads - known)):
                message = f"step {number} reads {', '.join(early)} before it is defined"
                raise ProgramError(f"{message}:\n{self.around(number)}")
            if step.target in known:
                raise ProgramError(f"step {number} assigns {step.target} again:\n{self.around(number)}")
            if step.target not in self.shapes:
                raise ProgramError(f"step {number} has no shape for {step.target}:\n{self.around(number)}")
            known.add(step.target)
        if missing := sorted(map(str, set(self.outputs) - known)):
            raise ProgramError(f"the program never defines {', '.join(missing)}:\n{self}")
        return self

    def around(self, number: int, margin: int = 3) -> str:
        """Return the lines around step `number`, which is marked."""
        lines = [f"{'>' if i == number else ' '} {i:3}  {step}" for i, step in enumerate(self.steps, 1)]
        return "\n".join(lines[max(0, number - 1 - margin) : number + margin])

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))


def quantities(expr: Expr) -> list[Symbol]:
    """Return the symbols of an expression that aren't sizes, in reading order."""
    symbols = [node for node in sympy.preorder_traversal(expr) if isinstance(node, Symbol) and not node.is_integer]
    return list(dict.fromkeys(symbols))


def forward_program(cell: Cell) -> Program:
    """Return the cell's equations as a program in which each tensor map stands alone or as a term of a sum.

    What multiplies, or goes through a function, gets a name of its own first: `a_i` for the argument of the function
    that gives `i`, `u_…` for other parts. So every derivative can be stated in values that have a name.

    >>> from .cell import load
    >>> print(forward_program(load("rnn")))
    a_h = W_hh @ h_prev + W_xh @ x + b_h
    h = tanh(a_h)
    """
    naming = _Naming(cell)
    for equation in cell.equations:
        naming.equation(equation)
    reads = (*map(Symbol, (*cell.inputs, *cell.indices)), *map(previous, cell.states), *map(Symbol, cell.params))
    return Program(reads, tuple(naming.steps), tuple(map(Symbol, cell.states)), naming.shapes).check()


def split(program: Program, constants: Iterable[Symbol]) -> tuple[Program, Program]:
    """Split off what depends on `constants` alone: (prologue, run once; rest, run at every step)."""
    fixed = set(constants)
    once, always = [], []
    for step in program.steps:
        if step.reads <= fixed and step.target not in program.outputs:
            fixed.add(step.target)
            once.append(step)
        else:
            always.append(step)
    made = tuple(step.target for step in once)
    prologue = Program(tuple(constants), tuple(once), made, program.shapes).check()
    return prologue, Program(program.inputs + made, tuple(always), program.outputs, program.shapes).check()


def depending(program: Program, sources: Iterable[Symbol]) -> tuple[Symbol, ...]:
    """Return the targets that depend on any of `sources`, in order.

    >>> from .cell import load
    >>> depending(forward_program(load("rnn")), [Symbol("b_h")])
    (a_h, h)
    """
    reached = set(sources)
    for step in program.steps:
        if step.reads & reached:
            reached.add(step.target)
    return tuple(step.target for step in program.steps if step.target in reached)


class _Naming:
    """Collects the steps of the forward program and names the parts that need a name."""

    def __init__(self, cell: Cell) -> None:
        self.shapes: dict[Symbol, Shape] = dict(cell.shapes)
        self.taken = {symbol.name for symbol in cell.shapes}
        self.steps: list[Step] = []
        self.base = Symbol("")

    def equation(self, equation: Equation) -> None:
        """Append the author's line, with its parts named before it."""
        self.base = equation.target
        self._add(equation.target, equation.written, "definition")

    def _add(self, target: Symbol, written: Expr, rule: str) -> None:
        expr = self._terms(written)
        self.shapes[target] = shape_of(expr, self.shapes)
        self.steps.append(Step(target, expr, (Reason(rule),)))

    def _terms(self, written: Expr) -> Expr:
        """Keep tensor maps that are terms with a numeric factor; name what else holds one."""
        if isinstance(written, Node):
            return self._with_plain_arguments(written)
        if not written.has(Node):
            return written
        if isinstance(written, Elementwise):
            return written.func(*(self._named(argument, "a") for argument in written.args))
        variable = [factor for factor in operands(sympy.Mul, written) if not factor.is_Rational]
        if isinstance(written, sympy.Add) or len(variable) == 1 and isinstance(written, sympy.Mul):
            return written.func(*map(self._term, written.args), evaluate=False)
        return rebuilt(written, lambda part: self._named(part, "u") if part is not written else None)

    def _term(self, written: Expr) -> Expr:
        """Name a map whose derivative is stated in its own value."""
        return self._name(written, "u") if isinstance(written, softmax) else self._terms(written)

    def _named(self, part: Expr, letter: str) -> Expr:
        """Return `part` with the tensor maps in it named; a sum that holds one is named as a whole."""
        if not part.has(Node):
            return part
        if isinstance(part, Elementwise):
            return self._terms(part)
        if isinstance(part, Node | sympy.Add):
            return self._name(part, letter)
        return rebuilt(part, lambda inner: self._named(inner, letter) if inner is not part else None)

    def _with_plain_arguments(self, node: Node) -> Expr:
        tensors = tensor_arguments(node)
        plain = [a if self._is_plain(a, node) else self._name(a, "u") for a in tensors]
        return node.func(*plain, *node.args[len(tensors) :])

    @staticmethod
    def _is_plain(argument: Expr, node: Node) -> bool:
        inner = argument.args[0] if isinstance(argument, transpose) or is_one_hot(argument) else argument
        summed = isinstance(node, total) and not argument.has(Node)
        return summed or isinstance(inner, Symbol) or not quantities(inner)

    def _name(self, part: Expr, letter: str) -> Symbol:
        expr = self._terms(part)
        if known := [step.target for step in self.steps if step.expr == expr]:
            return known[0]
        candidates = (f"{letter}{count or ''}_{self.base}" for count in (0, *range(2, 1000)))
        name = next(c for c in candidates if c not in self.taken)
        self.taken.add(name)
        self.shapes[Symbol(name)] = shape_of(expr, self.shapes)
        self.steps.append(Step(Symbol(name), expr, (Reason("named"),)))
        return Symbol(name)


def step_counts(program: Program, sizes: Mapping[str, int] | None = None) -> Expr:
    """Return the multiply-adds that one run of the program spends in tensor maps, in named sizes or as a number.

    >>> from .cell import load
    >>> step_counts(forward_program(load("rnn")))
    m*n + n**2
    """
    count = sympy.Integer(0)
    for step in program.steps:
        for node in step.expr.atoms(Node):
            if node.func.__name__ == "product":
                shape = shape_of(node.args[0], program.shapes) + shape_of(node.args[1], program.shapes)[1:]
                count += sympy.Mul(*shape)
            elif node.func.__name__ == "outer":
                count += sympy.Mul(*shape_of(node, program.shapes))
    named = {size: sizes[size.name] for size in sorted(count.atoms(Symbol), key=str)} if sizes else {}
    return sympy.expand(count).xreplace({k: sympy.Integer(v) for k, v in named.items()})
