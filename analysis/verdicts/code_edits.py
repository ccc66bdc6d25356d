"""Single edits of somebody's backward pass that may mend it: the catalogue of faults, read backwards.

Everything is told from the syntax tree and from what the variables held in a run, nothing from the cell.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import re
from collections.abc import Callable, Iterator
from functools import partial

from .code_aliases import aliases
from .code_edit import Edit, blocks, is_target, placed, replaced
from .code_names import is_of_other_time
from .code_tables import Slot, Tables
from .code_traced import Ran, held

LARGEST_ROW = 8  # of arrays that are put together, of which two may have changed places
SLOPES = (
    "{0}",
    "(1 - {0})",
    "(1 - {0} ** 2)",
    "{0} * (1 - {0})",
    "(1 - np.tanh({0}) ** 2)",
    "np.tanh({0})",
    "({0} > 0)",
)


def edits(ran: Ran, ours: tuple[str, ...] = ()) -> list[Edit]:
    """Return the edits of one function, likelier ones first; `ours` are right sides that are tried for each line."""
    tables = Tables(ran, ours)
    found = [edit for statement in tables.statements for edit in of_statement(tables, statement)]
    return sorted([*found, *of_blocks(tables)], key=lambda edit: edit.cost)


def of_statement(tables: Tables, statement: ast.stmt) -> list[Edit]:
    """Return the edits of one statement, likelier ones first."""
    found = [edit for rule in RULES for edit in rule(tables, statement)]
    if isinstance(statement, ast.Assign) and not isinstance(statement.targets[0], ast.Tuple):
        found += [Edit(4, "", statement, statement, "value", None, tables.later(text)) for text in tables.ours]
    return sorted(found, key=lambda edit: edit.cost)


def of_blocks(tables: Tables) -> list[Edit]:
    """Return the edits that move, remove or insert statements, likelier ones first."""
    return sorted((edit for rule in BLOCKS for edit in rule(tables)), key=lambda edit: edit.cost)


def of_raising(ran: Ran, ours: tuple[str, ...] = ()) -> list[Edit]:
    """Return the edits of a function that raises: beside those of any, quantities of other shapes for ones there."""
    tables = Tables(ran, ours)
    other = [edit for statement in tables.statements for edit in _reshaped(tables, statement)]
    return sorted([*edits(ran, ours), *other], key=lambda edit: edit.cost)


def _reshaped(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """A quantity of another shape."""
    for slot in tables.slots(statement):
        if isinstance(slot.node, ast.Name | ast.Subscript | ast.Attribute) and not is_target(slot):
            shape = tables.shape(slot.node)
            for other, one in tables.written.items() if shape is not None else ():
                if one != shape:
                    yield placed(slot, statement, 3, "mix-up", tables.later(other))


def _is_product(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.MatMult)
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("dot", "matmul", "outer", "einsum")


def _atoms(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """Another quantity of the same shape, the square of one, a function of one, its transpose."""
    inner: set[int] = set()
    for slot in tables.slots(statement):
        node = slot.node
        if not isinstance(node, ast.Name | ast.Subscript | ast.Attribute) or id(node) in inner or is_target(slot):
            continue
        shape, text = tables.shape(node), ast.unparse(node)
        if shape is None:
            if text in tables.scalars:
                yield placed(slot, statement, 3, "factor", tables.later(f"(1 - {text})"))
                for other in tables.scalars:
                    if other != text:
                        yield placed(slot, statement, 2, "mix-up", tables.later(other))
            continue
        if isinstance(node, ast.Attribute) and node.attr == "T":
            inner.add(id(node.value))
            yield placed(slot, statement, 1, "transpose", node.value)
            for other in tables.like(shape[::-1]):
                if f"{other}.T" != text:
                    yield placed(slot, statement, 2, "mix-up", tables.later(f"{other}.T"))
            continue
        inner |= {id(part) for part in ast.walk(node) if part is not node}
        if len(shape) == 2:
            yield placed(slot, statement, 1, "transpose", tables.later(f"{text}.T"))
        for other in tables.like(shape):
            if other != text:
                near = is_of_other_time(other, text)
                yield placed(slot, statement, 1 if near else 2, "time" if near else "mix-up", tables.later(other))
        for other in (*tables.near(shape[-1:]), *(two for two, dims in tables.written.items() if dims[1:] == shape)):
            if len(tables.written[other]) != len(shape):  # one is repeated along the other's first axis
                yield placed(slot, statement, 3, "mix-up", tables.later(other))
        if len(shape) == 2 and _is_operand(slot):
            for other, one in tables.written.items():
                if one != shape and len(one) == 2 and (one[0] == shape[0] or one[1] == shape[1]):
                    yield placed(slot, statement, 3, "mix-up", tables.later(other))
        yield placed(slot, statement, 2, "activation", tables.later(f"{text} ** 2"))
        yield placed(slot, statement, 2, "activation", tables.later(f"np.tanh({text})"))
        yield placed(slot, statement, 3, "factor", tables.later(f"(1 - {text})"))


def _parts(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """Leave out an operand, change an operator, unwrap or change a call, move a constant."""
    for slot in tables.slots(statement):
        match slot.node:
            case ast.BinOp(left=left, op=op, right=right) as node:
                if isinstance(op, ast.Add | ast.Sub) and isinstance(right, ast.Constant) and right.value == 1:
                    yield placed(slot, statement, 1, "time", left)
                yield placed(slot, statement, 2, "factor", left)
                yield placed(slot, statement, 2, "factor", right)
                for grouped in _grouped(node):
                    yield placed(slot, statement, 2, "parentheses", grouped)
                for other in _operators(op):
                    yield Edit(1, "sign", statement, node, "op", None, other)
                if isinstance(op, ast.Sub):
                    yield placed(slot, statement, 2, "sign", ast.BinOp(right, op, left, lineno=1, col_offset=0))
                for name, side in (("left", left), ("right", right)) if isinstance(op, ast.Add | ast.Sub) else ():
                    for constant in tables.constants if not isinstance(side, ast.Constant) else ():
                        text = f"{constant} * {ast.unparse(side)}"
                        yield placed(Slot(side, node, name, None), statement, 3, "factor", tables.later(text))
                if _is_product(node):
                    yield placed(slot, statement, 2, "transpose", ast.BinOp(right, op, left, lineno=1, col_offset=0))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                yield placed(slot, statement, 1, "sign", operand)
            case ast.Call(func=function, args=args, keywords=keywords) as node:
                last = ast.unparse(function).split(".")[-1]
                if len(args) == 1 and not keywords:
                    yield placed(slot, statement, 2, "activation", args[0])
                if isinstance(slot.owner, ast.BinOp):
                    yield placed(slot, statement, 3, "activation", tables.later(f"{ast.unparse(node)} ** 2"))
                if isinstance(function, ast.Attribute) and args and last in ("clip", "dot", "reshape", "mean", "sum"):
                    yield placed(
                        slot,
                        statement,
                        2,
                        "factor",
                        args[0]
                        if held(tables.ran.scope, function.value) is None
                        or ast.unparse(function.value) in ("np", "numpy")
                        else function.value,
                    )
                if len(args) == 2 and _is_product(node):
                    yield Edit(2, "transpose", statement, node, "args", None, args[::-1])
                for one, proper in (("mean", "sum"), ("cosh", "tanh"), ("sinh", "tanh"), ("tanh", "sigmoid")):
                    if last == one and isinstance(function, ast.Attribute):
                        yield Edit(1, "scale", statement, function, "attr", None, proper)
            case ast.Tuple(elts=parts, ctx=ast.Load()) | ast.List(elts=parts, ctx=ast.Load()):
                for i, j in itertools.combinations(range(len(parts)), 2) if len(parts) <= LARGEST_ROW else ():
                    order = [parts[{i: j, j: i}.get(place, place)] for place in range(len(parts))]
                    yield Edit(2, "mix-up", statement, slot.node, "elts", None, order)
            case ast.Constant(value=bool()):
                continue
            case ast.Constant(value=int() | float() as value):
                for near in (value - 1, value + 1, -value):
                    text = f"({near!r})" if near < 0 else repr(near)
                    yield placed(slot, statement, 1, "sign" if near == -value else "axis or index", tables.later(text))
                for constant in tables.constants:
                    yield placed(slot, statement, 3, "factor", tables.later(constant))
            case ast.Slice() as node:
                if node.lower is not None and node.upper is None:
                    yield placed(slot, statement, 2, "axis or index", ast.Slice(None, node.lower, None))
                if node.upper is not None and node.lower is None:
                    yield placed(slot, statement, 2, "axis or index", ast.Slice(node.upper, None, None))
            case ast.Name(id=name) if isinstance(held(tables.ran.scope, slot.node), int) and not is_target(slot):
                yield placed(slot, statement, 2, "time", tables.later(f"{name} - 1"))
                yield placed(slot, statement, 2, "time", tables.later(f"{name} + 1"))


def _grouped(node: ast.BinOp) -> Iterator[ast.expr]:
    """Yield a sum with parentheses around the last factors of its left side and the first ones of its right side."""
    if not isinstance(node.op, ast.Add | ast.Sub):
        return
    left, right = _chain(node.left), _chain(node.right)
    for i in range(len(left)):
        for j in range(1, len(right) + 1):
            if i or j < len(right):
                inner = ast.BinOp(_multiplied(left[i:]), node.op, _multiplied(right[:j]))
                yield _multiplied([*left[:i], (left[i][0] if i else ast.Mult(), inner), *right[j:]])


Factors = list[tuple[ast.operator, ast.expr]]  # each with the operator before it


def _chain(node: ast.expr) -> Factors:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div | ast.MatMult):
        return [*_chain(node.left), (node.op, node.right)]
    return [(ast.Mult(), node)]


def _multiplied(factors: Factors) -> ast.expr:
    (_, whole), *rest = factors
    for op, factor in rest:
        whole = ast.BinOp(whole, op, factor)
    return whole


def _operators(op: ast.operator) -> list[ast.operator]:
    table = {
        ast.Add: (ast.Sub,),
        ast.Sub: (ast.Add,),
        ast.Mult: (ast.MatMult, ast.Div, ast.Add),
        ast.Div: (ast.Mult,),
        ast.MatMult: (ast.Mult,),
    }
    return [other() for kind, others in table.items() if isinstance(op, kind) for other in others]


def _roots(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """A factor or a term more, on the right side and on each of its terms; = for += and back."""
    if not isinstance(statement, ast.Assign | ast.AugAssign):
        return
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    if isinstance(target, ast.Tuple):
        if isinstance(statement.value, ast.Tuple):
            for index, (part, value) in enumerate(zip(target.elts, statement.value.elts, strict=False)):
                yield from _grown(tables, statement, Slot(value, statement.value, "elts", index), tables.shape(part))
        return
    if not isinstance(target, ast.Name | ast.Attribute | ast.Subscript):
        return
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        added = ast.AugAssign(target, ast.Add(), statement.value, lineno=statement.lineno, col_offset=0)
        yield from replaced(tables, statement, added, 1, "accumulation")
    elif isinstance(statement, ast.AugAssign):
        plain = ast.Assign([target], statement.value, lineno=statement.lineno, col_offset=0)
        yield from replaced(tables, statement, plain, 2, "accumulation")
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
        if _is_operand(slot) and (inner := tables.shape(slot.node)) is not None:
            for atom in tables.near(inner):
                yield placed(slot, statement, 3, "factor", tables.later(f"{ast.unparse(slot.node)} * {atom}"))
        elif _is_passed(tables, slot):
            for atom in tables.near(tables.shape(slot.node)):
                text = f"{ast.unparse(slot.node)} + {atom}"
                yield placed(slot, statement, 3, "dropped carry", tables.later(text))
    shape = tables.shape(target)
    for term in _terms(Slot(statement.value, statement, "value", None)):
        yield from _grown(tables, statement, term, shape)


def _within(tables: Tables, statement: ast.stmt, slot: Slot, shape: tuple[int, ...] | None) -> Iterator[Edit]:
    """A term more in a factor, a factor more in what stands transposed."""
    text = ast.unparse(slot.node)
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
        case Slot(node=ast.Attribute(value=inner, attr="T")):
            for atom in tables.near(tables.shape(inner)):
                turned = f"({ast.unparse(inner)} * {atom}).T"
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


def _is_operand(slot: Slot) -> bool:
    """Return whether something is a side of a product, or one of several parts that are put together."""
    if isinstance(slot.owner, ast.List | ast.Tuple):
        return not is_target(slot)
    if isinstance(slot.owner, ast.Attribute):  # x.dot(y)
        return slot.owner.attr == "dot"
    return isinstance(slot.owner, ast.BinOp | ast.Call) and slot.name != "func" and _is_product(slot.owner)


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
    text = ast.unparse(statement.value)
    for atom, shape in tables.atoms.items():
        pattern = rf"(?<![\w.'\"]){re.escape(atom)}(?![\w\[.'\"])"
        if len(re.findall(pattern, text)) > 1:
            for other in tables.like(shape):
                if other != atom:
                    new = partial(tables.renamed, pattern, other, text)
                    near = is_of_other_time(other, atom)
                    kind = "time" if near else "mix-up"
                    yield Edit(1 if near else 2, kind, statement, statement, "value", None, new)


def _terms(slot: Slot) -> Iterator[Slot]:
    yield slot
    if isinstance(slot.node, ast.BinOp) and isinstance(slot.node.op, ast.Add | ast.Sub):
        yield from _terms(Slot(slot.node.left, slot.node, "left", None))
        yield from _terms(Slot(slot.node.right, slot.node, "right", None))


def _grown(tables: Tables, statement: ast.stmt, slot: Slot, shape: tuple[int, ...] | None) -> Iterator[Edit]:
    text = ast.unparse(slot.node)
    root = isinstance(slot.owner, ast.stmt | ast.Tuple)
    for constant in tables.constants:
        yield placed(slot, statement, 3, "factor", tables.later(f"{constant} * ({text})"))
    for scalar in tables.scalars:
        yield placed(slot, statement, 3, "factor", tables.later(f"({text}) / {scalar}"))
    if shape is None:  # a number stands where an array ought to
        for atom in tables.written:
            yield placed(slot, statement, 4, "factor", tables.later(f"({text}) * {atom}"))
    for atom in tables.near(shape):
        for slope in SLOPES:
            kind = "factor" if slope == "{0}" else "activation"
            yield placed(slot, statement, 3, kind, tables.later(f"({text}) * {slope.format(atom)}"))
    for atom in tables.like(shape):
        if root:
            yield placed(slot, statement, 3, "dropped carry", tables.later(f"{text} + {atom}"))
            yield placed(slot, statement, 4, "missing path", tables.later(f"{text} - {atom}"))
    if not root:
        return
    for clone in tables.products(shape):
        yield placed(slot, statement, 4, "missing path", tables.later(f"{text} + {clone}"))
        yield placed(slot, statement, 5, "missing path", tables.later(f"{text} - {clone}"))
    near = tables.near(shape)
    for factor in tables.coefficients:
        for atom in (*near, *tables.products(shape)):
            for sign in "+-":
                yield placed(slot, statement, 6, "missing path", tables.later(f"{text} {sign} {factor} * {atom}"))
    for number, one in enumerate(near):
        for other in near[number + 1 :]:
            yield placed(slot, statement, 5, "missing path", tables.later(f"{text} + {one} * {other}"))
    for one, other in itertools.permutations(near, 2):
        yield placed(slot, statement, 6, "missing path", tables.later(f"{text} + {one} * (1 - {other})"))


def _moves(tables: Tables) -> Iterator[Edit]:
    """Move a statement within its block, or leave one out."""
    for owner, name, row in blocks(tables):
        for index, statement in enumerate(row):
            if statement not in tables.statements or isinstance(statement, ast.For | ast.While):
                continue
            rest = [*row[:index], *row[index + 1 :]]
            if rest:
                yield Edit(4, "factor", statement, owner, name, None, rest, "removed")
            for place in range(len(row)):
                if place != index:
                    moved = [*rest[:place], statement, *rest[place:]]
                    yield Edit(
                        3 if abs(place - index) == 1 else 4, "stale", statement, owner, name, None, moved, "moved"
                    )


def _inserted(tables: Tables) -> Iterator[Edit]:
    """Add a statement: what is carried to the step before, or one like another with other names."""
    for owner, name, row in blocks(tables):
        if not isinstance(owner, ast.For):
            continue
        used = {node.id for node in ast.walk(owner) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        made = {node.id for node in ast.walk(owner) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        lines = []
        for target in sorted(used - made):
            near = tables.like(tables.shape(tables.parse(target)))
            lines += [(4, f"{target} = {text}") for text in tables.ours]
            lines += [(5, f"{target} = {one}") for one in near if one != target]
            lines += [(5, f"{target} = {clone}") for clone in tables.products(tables.shape(tables.parse(target)))]
            lines += [
                (6, f"{target} = {one} * {two}")
                for one in near
                for two in near
                if one < two and target not in (one, two)
            ]
        for statement in row:
            if isinstance(statement, ast.AugAssign):
                lines += [(5, line) for line in _siblings(tables, statement)]
        for cost, line in lines:
            yield Edit(cost, "dropped carry", row[-1], owner, name, None, partial(_with, row, line), "inserted")


def _with(row: list[ast.stmt], line: str) -> list[ast.stmt]:
    return [*row, *ast.parse(line).body]


def _siblings(tables: Tables, statement: ast.AugAssign) -> Iterator[str]:
    """Yield the statement with another target of the same shape, and other names on its right side."""
    shape, text = tables.shape(statement.target), ast.unparse(statement.value)
    names = [node for node in ast.walk(statement.value) if isinstance(node, ast.Name) and tables.shape(node)]
    for target in tables.like(shape):
        if target != ast.unparse(statement.target):
            for node in names:
                pattern = rf"(?<![\w.]){node.id}(?!\w)"
                for other in tables.like(tables.shape(node)):
                    renamed = re.sub(pattern, other, text, count=1)
                    yield f"{target} += {renamed}"


Rule = Callable[[Tables, ast.stmt], Iterator[Edit]]
RULES: tuple[Rule, ...] = (_atoms, _parts, _roots, aliases)
BLOCKS: tuple[Callable[[Tables], Iterator[Edit]], ...] = (_moves, _inserted)
