"""Single edits of somebody's backward pass that may mend it: the catalogue of faults, read backwards.

Everything is told from the syntax tree and from what the variables held in a run, nothing from the cell.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from .code_aliases import aliases
from .code_blocks import divided, inserted, moves, overwriting
from .code_edit import Edit, is_target, placed
from .code_growth import grown, is_operand
from .code_names import is_gradients, is_of_other_time
from .code_tables import Slot, Tables, is_product, tables_of
from .code_traced import Ran, held

RETURNED = 4  # cost more of what a `return` would mend: a fault in a line before it is likelier
TURNS = ("t", "transpose")  # methods that transpose
LARGEST_ROW = 8  # of arrays that are put together, of which two may have changed places


def edits(ran: Ran, ours: tuple[str, ...] = ()) -> list[Edit]:
    """Return the edits of one function, likelier ones first; `ours` are right sides that are tried for each line."""
    return _every(tables_of(ran, ours))


def _every(several: Sequence[Tables]) -> list[Edit]:
    whole = several[0]
    found = [edit for statement in whole.statements for edit in of_statement(several, statement)]
    last = [edit for statement in whole.returns for edit in of_statement(several, statement)]
    last = [replace(edit, cost=edit.cost + RETURNED) for edit in last]
    return sorted([*found, *of_blocks(several), *last], key=lambda edit: edit.cost)


def of_statement(several: Sequence[Tables], statement: ast.stmt) -> list[Edit]:
    """Return the edits of one statement by any of several tables, likelier ones first."""
    found = _of_all([edit for rule in RULES for edit in rule(tables, statement)] for tables in several)
    if isinstance(statement, ast.Assign) and not isinstance(statement.targets[0], ast.Tuple):
        whole = several[0]
        found += [Edit(4, "", statement, statement, "value", None, whole.later(text)) for text in whole.ours]
    return sorted(found, key=lambda edit: edit.cost)


def of_blocks(several: Sequence[Tables]) -> list[Edit]:
    """Return the edits by any of several tables that move, remove or insert statements, likelier ones first."""
    found = _of_all([edit for rule in BLOCKS for edit in rule(tables)] for tables in several)
    return sorted(found, key=lambda edit: edit.cost)


def _of_all(rows: Iterable[list[Edit]]) -> list[Edit]:
    """Return the first edits, and of the others those that do something else."""
    first, *others = rows
    met = {edit.what for edit in first} if others else set()
    return [*first, *(edit for row in others for edit in row if edit.what not in met)]


def dividing(ran: Ran, number: int) -> list[Edit]:
    """Return the edits that divide the right side of a statement by a number."""
    tables = Tables(ran, ())
    return [
        placed(Slot(statement.value, statement, "value", None), statement, 3, "factor", tables.later(text))
        for statement in tables.statements
        if isinstance(statement, ast.Assign | ast.AugAssign)
        for divisor in tables.holding(number)
        for text in [f"({ast.unparse(statement.value)}) / {divisor}"]
    ]


def divisions(ran: Ran, number: int) -> list[Edit]:
    """Return the edits that divide what a statement assigns to by a number, in a statement behind it."""
    return list(divided(Tables(ran, ()), number))


def of_raising(ran: Ran, ours: tuple[str, ...] = ()) -> list[Edit]:
    """Return the edits of a function that raises: beside those of any, quantities of other shapes for ones there."""
    several = tables_of(ran, ours)
    other = [edit for statement in several[0].statements for edit in _reshaped(several[0], statement)]
    return sorted([*_every(several), *other], key=lambda edit: edit.cost)


def _reshaped(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """A quantity of another shape."""
    for slot in tables.slots(statement):
        if isinstance(slot.node, ast.Name | ast.Subscript | ast.Attribute) and not is_target(slot):
            shape = tables.shape(slot.node)
            for other, one in tables.written.items() if shape is not None else ():
                if one != shape:
                    yield placed(slot, statement, 3, "mix-up", tables.later(other))


def _atoms(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """Another quantity of the same shape, the square of one, a function of one, its transpose."""
    inner: set[int] = set()
    for slot in tables.slots(statement):
        node = slot.node
        if not isinstance(node, ast.Name | ast.Subscript | ast.Attribute) or id(node) in inner or is_target(slot):
            continue
        shape, text = tables.shape(node), ast.unparse(node)
        if shape is None:
            if text in tables.scalars or text in tables.numbers:
                yield placed(slot, statement, 3, "factor", tables.later(f"(1 - {text})"))
                for other in dict.fromkeys([*tables.scalars, *tables.numbers]):
                    if other != text:
                        yield placed(slot, statement, 2, "mix-up", tables.later(other))
            continue
        if isinstance(node, ast.Attribute) and node.attr == "T":
            inner.add(id(node.value))
            yield placed(slot, statement, 1, "transpose", node.value)
            for other in tables.like(shape[::-1]):
                if f"{other}.T" != text:
                    near = is_of_other_time(other, ast.unparse(node.value))
                    yield placed(
                        slot, statement, 1 if near else 2, "time" if near else "mix-up", tables.later(f"{other}.T")
                    )
            continue
        inner |= {id(part) for part in ast.walk(node) if part is not node}
        if len(shape) == 2 and not (isinstance(slot.owner, ast.Attribute) and slot.owner.attr in TURNS):
            yield placed(slot, statement, 1, "transpose", tables.later(f"{text}.T"))
        for earlier in _step_before(node):
            for other in tables.near(shape):
                if other.isidentifier() and not is_gradients(other):
                    yield placed(slot, statement, 3, "time", tables.later(f"({earlier} else {other})"))
        for other in tables.like(shape):
            if other != text:
                near = is_of_other_time(other, text)
                yield placed(slot, statement, 1 if near else 2, "time" if near else "mix-up", tables.later(other))
        for other in (*tables.near(shape[-1:]), *(two for two, dims in tables.written.items() if dims[1:] == shape)):
            if len(tables.written[other]) != len(shape):  # one is repeated along the other's first axis
                yield placed(slot, statement, 3, "mix-up", tables.later(other))
        if len(shape) == 2 and is_operand(slot):
            for other, one in tables.written.items():
                if one != shape and len(one) == 2 and (one[0] == shape[0] or one[1] == shape[1]):
                    yield placed(slot, statement, 3, "mix-up", tables.later(other))
        yield placed(slot, statement, 2, "activation", tables.later(f"{text} ** 2"))
        yield placed(slot, statement, 2, "activation", tables.later(f"np.tanh({text})"))
        yield placed(slot, statement, 3, "factor", tables.later(f"(1 - {text})"))


def _step_before(node: ast.expr) -> Iterator[str]:
    """Yield an entry as it is one step earlier, but in the first step: "hs[t - 1] if t > 0" of hs[t]."""
    if not isinstance(node, ast.Subscript):
        return
    indices = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for place, index in enumerate(indices):
        if isinstance(index, ast.Name):
            moved = [f"{index.id} - 1" if at == place else ast.unparse(one) for at, one in enumerate(indices)]
            yield f"{ast.unparse(node.value)}[{', '.join(moved)}] if {index.id} > 0"


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
                if isinstance(op, ast.Sub):  # (h - n) before (1 - z), which people write in this order
                    cost = 2 if isinstance(left, ast.Constant) or isinstance(right, ast.Constant) else 1
                    yield placed(slot, statement, cost, "sign", ast.BinOp(right, op, left, lineno=1, col_offset=0))
                for name, side in (("left", left), ("right", right)) if isinstance(op, ast.Add | ast.Sub) else ():
                    for constant in tables.constants if not isinstance(side, ast.Constant) else ():
                        text = f"{constant} * {ast.unparse(side)}"
                        yield placed(Slot(side, node, name, None), statement, 3, "factor", tables.later(text))
                if is_product(node):
                    yield placed(slot, statement, 2, "transpose", ast.BinOp(right, op, left, lineno=1, col_offset=0))
                    turned = f"{_turned(right)} @ {_turned(left)}"
                    yield placed(slot, statement, 2, "transpose", tables.later(turned))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                yield placed(slot, statement, 1, "sign", operand)
            case ast.Call(func=function, args=args, keywords=keywords) as node:
                last = ast.unparse(function).split(".")[-1]
                if isinstance(function, ast.Attribute) and last in TURNS and not args:
                    yield placed(slot, statement, 1, "transpose", function.value)
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
                        if held(tables.ran.scope, ast.unparse(function.value)) is None
                        or ast.unparse(function.value) in ("np", "numpy")
                        else function.value,
                    )
                if len(args) == 2 and is_product(node):
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
                factor = isinstance(slot.owner, ast.BinOp) and isinstance(slot.owner.op, ast.Mult | ast.Div)
                for near in (-value,) if factor else (value - 1, value + 1, -value):
                    text = f"({near!r})" if near < 0 else repr(near)
                    yield placed(slot, statement, 1, "sign" if near == -value else "axis or index", tables.later(text))
                for constant in tables.constants:
                    yield placed(slot, statement, 3, "factor", tables.later(constant))
            case ast.Slice() as node:
                if node.lower is not None and node.upper is None:
                    yield placed(slot, statement, 2, "axis or index", ast.Slice(None, node.lower, None))
                if node.upper is not None and node.lower is None:
                    yield placed(slot, statement, 2, "axis or index", ast.Slice(node.upper, None, None))
            case ast.Name(id=name) if isinstance(held(tables.ran.scope, name), int) and not is_target(slot):
                yield placed(slot, statement, 2, "time", tables.later(f"{name} - 1"))
                yield placed(slot, statement, 2, "time", tables.later(f"{name} + 1"))


def _subscripts(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """Other subscripts of a sum over products: two letters of one part exchanged, or those of another sum."""
    for slot in tables.slots(statement):
        match slot.node:
            case ast.Call(
                func=ast.Name(id="einsum") | ast.Attribute(attr="einsum"), args=[ast.Constant(str() as said), *_]
            ):
                first = Slot(slot.node.args[0], slot.node, "args", 0)
                for other in dict.fromkeys([*_exchanged(said), *tables.subscripts]):
                    if other != said and other.count(",") == said.count(","):
                        yield placed(first, statement, 2, "axis or index", ast.Constant(other))


def _exchanged(said: str) -> Iterator[str]:
    """Yield subscripts with two letters of one part exchanged: "bji,bj->bi" of "bij,bj->bi"."""
    parts = re.split(r"(,|->)", said.replace(" ", ""))
    for place, part in enumerate(parts):
        for i, j in itertools.combinations(range(len(part)), 2) if part.isalpha() else ():
            turned = part[:i] + part[j] + part[i + 1 : j] + part[i] + part[j + 1 :]
            yield "".join([*parts[:place], turned, *parts[place + 1 :]])


def _backwards(tables: Tables, statement: ast.stmt) -> Iterator[Edit]:
    """In a file that runs something back in time, the other way round."""
    for slot in tables.slots(statement) if tables.turns else ():
        match slot.node:
            case ast.Subscript(value=of, slice=ast.Slice(lower=None, upper=None, step=ast.UnaryOp())):
                yield placed(slot, statement, 1, "time", of)
            case ast.Slice(lower=None, upper=None, step=step) if slot.index == 0:
                back = ast.UnaryOp(ast.USub(), ast.Constant(1))
                yield placed(slot, statement, 2, "time", ast.Slice(None, None, None if step else back))
            case ast.Name() as node if not is_target(slot) and tables.shape(node):
                yield placed(slot, statement, 2, "time", tables.later(f"{node.id}[::-1]"))


def _turned(node: ast.expr) -> str:
    """Return a side of a product, transposed."""
    match node:
        case ast.Attribute(value=of, attr="T"):
            return ast.unparse(of)
        case ast.Name() | ast.Attribute() | ast.Subscript() | ast.Call():
            return f"{ast.unparse(node)}.T"
    return f"({ast.unparse(node)}).T"


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


Rule = Callable[[Tables, ast.stmt], Iterator[Edit]]
RULES: tuple[Rule, ...] = (_atoms, _parts, _subscripts, _backwards, grown, overwriting, aliases)
BLOCKS: tuple[Callable[[Tables], Iterator[Edit]], ...] = (moves, inserted)
