"""Edits that put something more into a statement: a factor, a term, another sign; and what those do in its parts."""

from __future__ import annotations

import ast
import builtins
import itertools
from collections.abc import Iterator
from functools import partial

from .code_edit import Edit, is_target, placed, replaced
from .code_names import is_of_other_time
from .code_tables import Later, Slot, Tables, is_product, is_zeros, read_alone

FACTORS = ("{0}", "(1 - 2 * {0})")
SLOPES = (
    "(1 - {0})",
    "(1 - {0} ** 2)",
    "{0} * (1 - {0})",
    "(1 - np.tanh({0}) ** 2)",
    "np.tanh({0})",
    "({0} > 0)",
)


def grown(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """A factor or a term more, on the right side and on each of its terms; = for += and back."""
    if isinstance(statement, ast.Return) and statement.value is not None:
        yield from _returned(tables, statement, statement.value)
    if not isinstance(statement, ast.Assign | ast.AugAssign):
        return
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    if isinstance(target, ast.Tuple):
        if isinstance(statement.value, ast.Tuple):
            for index, (part, value) in enumerate(zip(target.elts, statement.value.elts, strict=False)):
                yield from _larger(tables, statement, Slot(value, statement.value, "elts", index), tables.shape(part))
        for slot in tables.slots(statement):
            yield from _carried(tables, statement, slot)
        return
    if not isinstance(target, ast.Name | ast.Attribute | ast.Subscript):
        return
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and not is_zeros(statement.value):
        added = ast.AugAssign(target, ast.Add(), statement.value, lineno=statement.lineno, col_offset=0)
        yield from replaced(tables, statement, added, 1, "accumulation")
    elif isinstance(statement, ast.AugAssign):
        plain = ast.Assign([target], statement.value, lineno=statement.lineno, col_offset=0)
        yield from replaced(tables, statement, plain, 2, "accumulation")
        if isinstance(target, ast.Subscript) and tables.shape(target.slice):  # a row that comes twice is added to once
            row = f"{ast.unparse(target.value)}, {ast.unparse(target.slice)}, {ast.unparse(statement.value)}"
            gathered = ast.Expr(tables.parse(f"np.add.at({row})"), lineno=statement.lineno, col_offset=0)
            yield from replaced(tables, statement, gathered, 1, "accumulation")
        if isinstance(statement.op, ast.Sub | ast.Add):
            yield Edit(
                1,
                "sign",
                statement,
                statement,
                "op",
                None,
                ast.Add() if isinstance(statement.op, ast.Sub) else ast.Sub(),
            )
    yield from _renamed(tables, statement)
    for slot in tables.slots(statement):
        yield from _within(tables, statement, slot, tables.shape(target))
        yield from _scaled(tables, statement, slot)
        yield from _carried(tables, statement, slot)
    shape = tables.shape(target)
    if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Div):
        for atom in (*tables.repeated(shape), *tables.near(shape)):
            factor = tables.parse(f"{atom} / {ast.unparse(statement.value)}")
            times = ast.AugAssign(target, ast.Mult(), factor, lineno=statement.lineno, col_offset=0)
            yield from replaced(tables, statement, times, 3, "factor")
    for term in _terms(Slot(statement.value, statement, "value", None)):
        yield from _larger(tables, statement, term, shape)
    for call in [node for node in ast.walk(statement.value) if isinstance(node, ast.Call) and node.args]:
        if ast.unparse(call.func).split(".")[-1] in ("sum", "mean"):
            for term in _terms(Slot(call.args[0], call, "args", 0)):
                shapes = [tables.shape(node) or () for node in ast.walk(term.node) if isinstance(node, ast.expr)]
                for atom in tables.near(max(shapes, key=len)):
                    more = f"({ast.unparse(term.node)}) * {atom}"
                    yield placed(term, statement, 3, "factor", tables.later(more))


def _returned(tables: Tables, statement: ast.Return, value: ast.expr) -> Iterator[Edit]:
    """A factor or a term more in what a function returns."""
    parts = [Slot(value, statement, "value", None)]
    if isinstance(value, ast.Tuple):
        parts = [Slot(part, value, "elts", index) for index, part in enumerate(value.elts)]
    for part in parts:
        for term in _terms(part):
            yield from _larger(tables, statement, term, tables.shape(part.node))
    for slot in tables.slots(statement):
        yield from _within(tables, statement, slot, None)
        yield from _scaled(tables, statement, slot)


def _scaled(tables: Tables, statement: ast.stmt, slot: Slot) -> Iterator[Edit]:
    """A factor more in a side of a product."""
    shape = tables.shape(slot.node) if is_operand(slot) else None
    for atom in tables.near(shape) if shape is not None else ():
        yield placed(slot, statement, 3, "factor", tables.later(f"{ast.unparse(slot.node)} * {atom}"))


def _carried(tables: Tables, statement: ast.stmt, slot: Slot) -> Iterator[Edit]:
    """A term more in what is passed to a function."""
    for atom in tables.near(tables.shape(slot.node)) if _is_passed(tables, slot) else ():
        text = f"{ast.unparse(slot.node)} + {atom}"
        yield placed(slot, statement, 3, "dropped carry", tables.later(text))


def _within(tables: Tables, statement: ast.stmt, slot: Slot, shape: tuple[int, ...] | None) -> Iterator[Edit]:
    """A term more in a factor, a factor more in what stands transposed."""
    text = ast.unparse(slot.node)
    for weighted in _through_softmax(tables, slot.node):
        yield placed(slot, statement, 3, "activation", tables.later(weighted))
    match slot:
        case Slot(
            node=ast.BinOp(left=ast.Constant(value=1), op=ast.Sub(), right=ast.BinOp(left=base, op=op, right=by))
        ):
            if isinstance(op, ast.Pow) or ast.unparse(base) == ast.unparse(by):
                logistic = f"{ast.unparse(base)} * (1 - {ast.unparse(base)})"
                yield placed(slot, statement, 2, "activation", tables.later(logistic))
                for inner in (base, *(base.args if isinstance(base, ast.Call) else ())):
                    yield placed(slot, statement, 3, "activation", tables.later(f"({ast.unparse(inner)} > 0)"))
        case Slot(node=ast.BinOp(op=ast.Mult()) as node) if (bare := _without_logistic(node)) is not None:
            rest, gate = bare
            hyperbolic = f"{ast.unparse(rest)} * (1 - {gate} ** 2)" if rest is not None else f"1 - {gate} ** 2"
            yield placed(slot, statement, 2, "activation", tables.later(hyperbolic))
        case Slot(node=ast.BinOp(op=ast.Add() | ast.Sub()), owner=ast.BinOp(op=ast.Mult() | ast.Div())):
            for term in tables.reductions(shape):
                for sign in "+-":
                    yield placed(slot, statement, 5, "missing path", tables.later(f"{text} {sign} {term}"))
        case Slot(node=ast.Attribute(value=inner, attr="T") | ast.Call(ast.Attribute(value=inner, attr="t"), [])):
            for atom in tables.near(tables.shape(inner)):
                turned = f"({ast.unparse(inner)} * {atom}){text.removeprefix(ast.unparse(inner))}"
                yield placed(slot, statement, 3, "factor", tables.later(turned))
        case Slot(
            node=ast.Name() | ast.Subscript() | ast.Attribute() | ast.Call(),
            owner=ast.BinOp(left=left, op=ast.Mult() | ast.Div(), right=right),
        ):
            other = right if slot.node is left else left
            of = tables.shape(slot.node) or tables.shape(other) or shape
            for atom in tables.near(of):
                for sign in "+-":
                    yield placed(slot, statement, 4, "missing path", tables.later(f"({text} {sign} {atom})"))
        case Slot(node=ast.BinOp(op=ast.Mult() | ast.MatMult() as op), owner=ast.BinOp(op=ast.Mult() | ast.Div())) if (
            shape is not None
        ):
            for atom in (*tables.near(shape), *tables.repeated(shape)):
                for sign in "+-":
                    yield placed(slot, statement, 4, "missing path", tables.later(f"({text} {sign} {atom})"))
            for pair in itertools.combinations(tables.near(shape), 2) if isinstance(op, ast.Mult) else ():
                yield placed(slot, statement, 5, "missing path", tables.later(f"({text} + {' * '.join(pair)})"))


def _through_softmax(tables: Tables, node: ast.expr) -> Iterator[str]:
    """Yield p * (g - Σ p g) for p * g, where the file has a softmax: every weight depends on every score."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and tables.has_softmax):
        return
    shape = tables.shape(node.left)
    if shape is None or shape != tables.shape(node.right):
        return
    axes = {1: (), 2: (-1, 0)}.get(len(shape), (-1,))
    for p, g in itertools.permutations([ast.unparse(node.left), ast.unparse(node.right)]):
        sums = [f"np.sum({p} * {g}, axis={axis}, keepdims=True)" for axis in axes] or [f"{p} @ {g}"]
        yield from (f"{p} * ({g} - {whole})" for whole in sums)


def _without_logistic(node: ast.BinOp) -> tuple[ast.expr | None, str] | None:
    """Return what is left of a product without a * (1 - a), and a; None where that doesn't end it."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=ast.BinOp(ast.Constant(value=1), ast.Sub(), of)):
            text = ast.unparse(of)
            if ast.unparse(left) == text:
                return None, text
            if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult) and ast.unparse(left.right) == text:
                return left.left, text
    return None


def is_operand(slot: Slot) -> bool:
    """Return whether something is a side of a product, or one of several parts that are put together."""
    if isinstance(slot.owner, ast.List | ast.Tuple):
        return not is_target(slot)
    if isinstance(slot.owner, ast.Attribute):  # x.dot(y)
        return slot.owner.attr == "dot"
    return isinstance(slot.owner, ast.BinOp | ast.Call) and slot.name != "func" and is_product(slot.owner)


def _is_passed(tables: Tables, slot: Slot) -> bool:
    """Return whether something is passed to a function of theirs."""
    match slot:
        case Slot(owner=ast.Call(func=ast.Name(id=name)), name="args"):
            return callable(tables.ran.scope.get(name)) and name not in vars(builtins)
        case Slot(owner=ast.Call(func=ast.Attribute(value=ast.Name(id="self"))), name="args"):
            return True
    return False


def _renamed(tables: Tables, statement: ast.Assign | ast.AugAssign) -> Iterator[Edit]:
    """Another name at every place where a name stands on the right side."""
    places = read_alone(statement.value)
    for atom, shape in tables.atoms.items():
        if len(places.get(atom, ())) > 1:
            for other in (*tables.like(shape), *tables.near(shape[1:])):
                if other != atom:
                    new = Later((atom, other), partial(_with_other, tables, places[atom], statement.value))
                    near = is_of_other_time(other, atom)
                    kind = "time" if near else "mix-up"
                    yield Edit(1 if near else 2, kind, statement, statement, "value", None, new)


def _with_other(tables: Tables, places: list[ast.expr], whole: ast.expr, said: tuple[str, str]) -> ast.expr:
    return tables.renamed(places, said[1], whole)


def _targets(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.AugAssign):
        return [ast.unparse(statement.target)]
    return [ast.unparse(target) for target in statement.targets] if isinstance(statement, ast.Assign) else []


def _terms(slot: Slot) -> Iterator[Slot]:
    yield slot
    if isinstance(slot.node, ast.BinOp) and isinstance(slot.node.op, ast.Add | ast.Sub):
        yield from _terms(Slot(slot.node.left, slot.node, "left", None))
        yield from _terms(Slot(slot.node.right, slot.node, "right", None))


def _larger(tables: Tables, statement: ast.stmt, slot: Slot, shape: tuple[int, ...] | None) -> Iterator[Edit]:
    text = ast.unparse(slot.node)
    root, nothing = isinstance(slot.owner, ast.stmt | ast.Tuple), is_zeros(slot.node)
    for constant in tables.constants:
        yield placed(slot, statement, 3, "factor", tables.later(f"{constant} * ({text})"))
    for divisor in (*tables.scalars, *tables.counts):
        yield placed(slot, statement, 3, "factor", tables.later(f"({text}) / {divisor}"))
    if shape is None:  # a number stands where an array ought to
        for atom in dict.fromkeys([*tables.written, *_targets(statement)]):
            yield placed(slot, statement, 4, "factor", tables.later(f"({text}) * {atom}"))
    for atom in tables.repeated(shape):
        yield placed(slot, statement, 3, "factor", tables.later(f"({text}) * {atom}"))
    for atom in tables.near(shape):
        for slope in (*FACTORS, *SLOPES):
            kind = "activation" if slope in SLOPES else "factor"
            yield placed(slot, statement, 3, kind, tables.later(f"({text}) * {slope.format(atom)}"))
    if not root:
        return

    def more(cost: int, kind: str, sign: str, term: str) -> Edit:
        if nothing:
            return placed(slot, statement, cost, kind, tables.later(term if sign == "+" else f"-{term}"))
        return placed(slot, statement, cost, kind, tables.later(f"{text} {sign} {term}"))

    itself = _targets(statement) if nothing else []
    for atom in [atom for atom in tables.like(shape) if atom not in itself]:
        yield more(3, "dropped carry", "+", atom)
        yield more(4, "missing path", "-", atom)
    is_number = shape is None and not set(_targets(statement)).isdisjoint(tables.numbers)
    for clone in (*tables.products(shape), *tables.applied(shape), *(tables.contractions if is_number else ())):
        yield more(4, "missing path", "+", clone)
        yield more(5, "missing path", "-", clone)
    for term in tables.reductions(shape):
        yield more(5, "missing path", "-", term)
    for term in tables.ours:
        yield more(4, "missing path", "+", f"({term})")
    near = tables.near(shape)
    for factor in tables.coefficients:
        for atom in (*near, *tables.products(shape)):
            for sign in "+-":
                yield more(6, "missing path", sign, f"{factor} * {atom}")
    repeated = tables.repeated(shape)
    for number, one in enumerate(near):
        for other in (*near[number + 1 :], *repeated):
            yield more(5, "missing path", "+", f"{one} * {other}")
        for other in repeated:  # a mask of samples
            yield more(5, "missing path", "+", f"{one} * (1 - {other})")
    for one, other in itertools.permutations(near, 2):
        for slope in SLOPES if nothing else SLOPES[:1]:
            yield more(6, "missing path", "+", f"{one} * {slope.format(other)}")
