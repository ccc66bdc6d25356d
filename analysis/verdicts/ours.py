"""Our own lines in somebody else's names."""

from __future__ import annotations

from ...derive.functions import Elementwise
from ...derive.linear import Node
from ...derive.program import Step
from .formulas import tree_from
from .jacobians import WAYS
from .meanings import Meaning, style_of
from .reading import Reading
from .tree import Name, Tree, add, call, mapped, matmul, name, names, neg, rebuilt, transposed


class Translator:
    """Writes derived lines in the names of a text.

    Args:
        reading: of the text.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.named: dict[Meaning, Name] = {}
        for spelled, meaning in reading.meanings.items():
            if meaning.kind != "own" and spelled not in self.named.values():
                self.named.setdefault(meaning, spelled)
        for base, found in reading.weights.items():
            if param := reading.meanings[found[0]].base:
                self.named.setdefault(Meaning("value", param), Name(base))
        self.subject = reading.answers.subject
        self.steps: dict[str, Step] = {step.target.name: step for step in self.subject.backward.steps}
        self.style = style_of(spelled.base for spelled in reading.meanings)
        self.turned = reading.answers.turned
        theirs = {symbol.name for symbol in self.subject.cell.shapes} | {spelled.base for spelled in reading.meanings}
        self.spoken = theirs
        kept = [step for step in self.subject.forward.steps if step.expr.is_Symbol and str(step.expr)[-5:] == "_prev"]
        self.copies = {step.target.name: str(step.expr)[:-5] for step in kept}
        self.inner = {s.target.name: s.expr for s in self.subject.forward.steps if s.target.name not in theirs}

    def called(self, meaning: Meaning) -> Name:
        """Return their name of a quantity, or one in their style."""
        if meaning in self.named:
            return self.named[meaning]
        if (shifted := self._shifted(meaning)) is not None:
            return shifted
        if meaning.kind == "value":
            return Name(meaning.base, meaning.offset)
        shift = Meaning("total", meaning.base, 0) if meaning.kind == "carry" and meaning.offset == 0 else None
        base = self.style.format(meaning.base)
        if shift is not None:
            return Name(base, 1)
        if meaning.kind == "loss":
            return Name(f"{base}_out", meaning.offset)
        if meaning.kind == "incoming":
            return Name(f"{base}_in", meaning.offset)
        return Name(base, meaning.offset)

    def knows(self, meaning: Meaning) -> bool:
        """Return whether the text has a name for a quantity."""
        return meaning.kind == "value" or meaning in self.named or self._shifted(meaning) is not None

    def _shifted(self, meaning: Meaning) -> Name | None:
        """Return the name of a total adjoint at another time, where it has one at t."""
        now = self.named.get(meaning._replace(offset=0)) if meaning.kind == "total" else None
        return Name(now.base, meaning.offset) if now is not None and now.offset == 0 else None

    def line(self, meaning: Meaning, depth: int = 0) -> Tree | None:
        """Return the right side that gives a quantity; None where nothing is derived for it."""
        kind, base, offset = meaning
        if kind in WAYS:
            found = self.reading.answers.jacobian(meaning)
            return None if found is None else self.translated(found, offset, depth)
        if kind == "incoming" and base not in self.subject.cell.states:
            return self.read(Meaning("loss", base, offset), depth)
        if kind == "incoming":
            carried = self.carried(base, offset, depth)
            if base not in self.reading.answers.seeds:
                return carried
            return add(self.read(Meaning("loss", base, offset), depth), carried)
        key = {"total": f"delta_{base}", "share": f"delta_{base}", "sum": f"delta_{base}"}.get(kind)
        if kind == "carry":
            key, offset = f"delta_{base}_prev", offset + 1
        if key is None or key not in self.steps:
            return None
        if kind == "total" and str(self.steps[key].expr) == f"incoming_{base}":
            return self.line(Meaning("incoming", base, offset), depth)
        tree = self.translated(tree_from(self.steps[key].expr), offset, depth)
        if kind in ("share", "sum") and self.turned and self.is_matrix(base):
            tree = turned(tree)
        return Tree("sum_t", (tree,)) if kind == "sum" else tree

    def carried(self, state: str, offset: int, depth: int) -> Tree:
        """Return what comes back from the next step, by name if there is one."""
        carry = Meaning("carry", state, offset)
        if self.knows(carry) or offset > 0 or depth > 2:
            return Tree("name", (), self.called(carry))
        if Meaning("total", state, 0) not in self.named:
            written = self.line(carry, depth + 1)
            known = written is not None and all(name.base in self.spoken for name in names(written))
            return written if written is not None and known else Tree("name", (), self.called(carry))
        if Meaning("carry", state, -1) in self.named:
            return Tree("name", (), self.called(carry))
        return self.line(carry, depth + 1) or Tree("name", (), self.called(carry))

    def read(self, meaning: Meaning, depth: int) -> Tree:
        """Return a quantity by their name, or written out where they have none."""
        whole = self.steps.get(f"delta_{meaning.base}")
        total = meaning._replace(kind="total")
        same = whole is not None and str(whole.expr) == f"incoming_{meaning.base}"
        if meaning.kind == "incoming" and same and self.knows(total):
            return Tree("name", (), self.called(total))
        if self.knows(meaning) or depth > 3 or meaning.kind not in ("total", "incoming"):
            return Tree("name", (), self.called(meaning))
        written = self.line(meaning, depth + 1)
        return written if written is not None else Tree("name", (), self.called(meaning))

    def translated(self, tree: Tree, offset: int, depth: int) -> Tree:
        """Return a tree in our names in theirs, `offset` steps later."""
        params = self.reading.answers.params

        def change(spelled: Name) -> Tree:
            base, shift = spelled
            if base in params:
                plain = name(self.called(Meaning("value", base)).base)
                return transposed(plain) if self.turned and self.is_matrix(base) else plain
            if base.startswith("incoming_"):
                return self.read(Meaning("incoming", base[9:], shift + offset), depth)
            if base.startswith("delta_"):
                return self.read(Meaning("total", base[6:], shift + offset), depth)
            if base in self.copies and shift + offset > -1:
                return Tree("name", (), self.called(Meaning("value", self.copies[base], shift + offset - 1)))
            if base in self.inner and depth < 9:
                return self.translated(tree_from(self.inner[base]), shift + offset, depth + 1)
            return Tree("name", (), self.called(Meaning("value", base, shift + offset)))

        return simplified(mapped(self.rowed(tree) if self.reading.rows else tree, change))

    def rowed(self, tree: Tree) -> Tree:
        """Return a tree in our names with vectors as rows: v W^T for W v, and u^T v for their outer product."""
        if not tree.args:
            return tree
        args = [self.rowed(operand) for operand in tree.args]
        if tree.head == "call" and tree.leaf == "outer":
            return matmul(transposed(args[0]), args[1])
        if tree.head == "matmul" and self._is_weight(args[0]) and not self._is_weight(args[1]):
            return matmul(args[1], transposed(args[0]))
        return rebuilt(tree, args)

    def _is_weight(self, tree: Tree) -> bool:
        if tree.head == "T":
            return self._is_weight(tree.args[0])
        base = tree.leaf.base if isinstance(tree.leaf, Name) else ""
        return base in self.reading.answers.params and self.is_matrix(base)

    def is_matrix(self, base: str) -> bool:
        """Return whether a parameter is a matrix."""
        return self.reading.answers.array(Meaning("value", base)).ndim == 3


def simplified(tree: Tree) -> Tree:
    """Return the tree without double transposes."""
    if not tree.args:
        return tree
    args = [simplified(operand) for operand in tree.args]
    return transposed(args[0]) if tree.head == "T" else rebuilt(tree, args)


def turned(tree: Tree) -> Tree:
    """Return the transpose of a gradient's line, pushed into outer products."""
    if tree.head == "add":
        return add(*map(turned, tree.args))
    if tree.head == "call" and tree.leaf == "outer":
        return call("outer", *reversed(tree.args))
    if tree.head == "matmul" and tree.args[0].head == "T":
        return matmul(transposed(tree.args[1]), tree.args[0].args[0])
    if tree.head == "neg":
        return neg(turned(tree.args[0]))
    return tree if tree.head == "number" else transposed(tree)


def slopes(reading: Reading) -> list[tuple[Tree, bool]]:
    """Return the slope of every elementwise function of the forward pass, and whether it has a kink."""
    found: dict[Tree, bool] = {}
    program = reading.answers.subject.forward
    for step in program.steps:
        for part in sorted(step.expr.atoms(Elementwise), key=str):
            if part.has(Node):
                continue
            value = step.target if step.expr == part else part
            for slope in part.rule.slopes:
                tree = tree_from(slope(*part.args, value)) if not isinstance(slope(*part.args, value), int) else None
                if tree is not None and tree.head != "number":
                    found.setdefault(tree, bool(part.rule.kink))
    return list(found.items())
