"""Backward passes of every cell as NumPy programs, right or with one fault of the catalogue, in several styles."""

from __future__ import annotations

import ast
import itertools
import keyword
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import sympy
from sympy import Expr, Symbol

from bptt.analysis.verdicts.code_adapter import Adapter, length
from bptt.analysis.verdicts.code_engine import BEFORE, NEXT, RIGHT, Change, Engine, Probe
from bptt.analysis.verdicts.code_mutants import mutants
from bptt.derive.adjoint import delta
from bptt.derive.derivation import Derivation
from bptt.derive.functions import Elementwise
from bptt.derive.linear import Node

NUMPY = {"max": "maximum", "min": "minimum"}  # where NumPy's name is another
NUMPY |= {name: name for name in ("tanh", "exp", "log", "sin", "cos", "sqrt", "arctan", "sign", "abs")}
HELPERS = {
    "sigmoid": "def sigmoid(a):\n    return 1 / (1 + np.exp(-a))\n",
    "relu": "def relu(a):\n    return a * (a > 0)\n",
    "step": "def step(a):\n    return 1.0 * (a > 0)\n",
    "geq": "def geq(a, b):\n    return 1.0 * (a >= b)\n",
    "softplus": "def softplus(a):\n    return np.log(1 + np.exp(a))\n",
    "softmax": "def softmax(a):\n    grown = np.exp(a - np.max(a))\n    return grown / np.sum(grown)\n",
}
SIZES = {"L": 9, "D": 3, "d": 2}  # of what isn't inputs, states or classes


@dataclass(frozen=True)
class Style:
    """How a program is written.

    Attributes:
        name: to speak of it.
        rows: whether samples are rows, (B, features), rather than one sample a vector.
        batch_first: whether sequences are (B, T, features).
        kind: "function", "class" or "dict" (parameters in a dictionary).
        prefix: of gradients.
        split: whether each term of a sum is added on a line of its own.
    """

    name: str
    rows: bool = True
    batch_first: bool = False
    kind: str = "function"
    prefix: str = "d_"
    split: bool = False


STYLES = (
    Style("rows"),
    Style("vectors", rows=False, prefix="d"),
    Style("batch first, in a class", batch_first=True, kind="class", prefix="grad_"),
    Style("parameters in a dictionary", kind="dict", prefix="delta_"),
    Style("vectors, sums term by term", rows=False, split=True),
)


class Unwritten(Exception):
    """The cell needs more than this writer knows."""


@dataclass(frozen=True)
class Written:
    """A program.

    Attributes:
        text: of the file.
        lines: adjoint -> number of the line that computes it.
        adapter: what has to be stated of it: sizes that an LSTM doesn't have.
    """

    text: str
    lines: dict[str, int]
    adapter: Adapter


@dataclass(frozen=True)
class Faulty:
    """A program with one fault of the catalogue.

    Attributes:
        written: the program.
        kinds: of the fault, and of those of the catalogue that give the same gradients.
        says: what it is.
        lines: where it is: the line that differs; for a term that is left out, any line of the sum.
    """

    written: Written
    kinds: tuple[str, ...]
    says: str
    lines: tuple[int, ...]


def program(derivation: Derivation, style: Style, change: Change = RIGHT) -> Written:
    """Return a cell's passes as a program.

    Raises:
        Unwritten: for functions that aren't known here, and for rows of samples where values aren't all vectors.
    """
    return _Writer(derivation, style, change).written()


def faulty(derivation: Derivation, rng: random.Random) -> Iterator[tuple[Style, Faulty]]:
    """Yield programs with one fault of the catalogue that changes a gradient, in random styles and order."""
    gradients = _gradients(derivation)
    right = gradients(RIGHT)
    kinds: dict[bytes, list[str]] = {}  # of the faults that give the same gradients
    found = []
    for mutant in mutants(derivation):
        print_ = gradients(mutant.change)
        if print_ != right:
            kinds.setdefault(print_, []).append(mutant.kind)
            if _is_of_one_line(mutant.change):
                found.append((mutant, print_))
    pairs = [(style, *each) for style in STYLES for each in found]
    rng.shuffle(pairs)
    for style, mutant, print_ in pairs:
        try:
            text = program(derivation, style).text
            made = program(derivation, style, mutant.change)
        except (Unwritten, TypeError):
            continue
        touched = [s.name for s in (*mutant.change.steps, *mutant.change.only)]
        touched += [f"delta_{name}" for name in (*mutant.change.uncarried, *mutant.change.silent)]
        if _normal(made.text) != _normal(text) and touched[0] in made.lines:
            yield style, Faulty(made, tuple(kinds[print_]), mutant.says, _where(text, made, touched[0]))


def _normal(text: str) -> str:
    """Return a program with the operands of * and + in one order.

    Where an adjoint and what comes in of it have one name, one for the other changes no more than that.
    """

    class Sorted(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
            self.generic_visit(node)
            if isinstance(node.op, ast.Mult | ast.Add):
                node.left, node.right = sorted((node.left, node.right), key=ast.dump)
            return node

    return ast.dump(Sorted().visit(ast.parse(text)))


def _is_of_one_line(change: Change) -> bool:
    names = {s.name for e in change.steps.values() for s in e.atoms(Symbol)}
    others = change.start or change.window or change.kept or len(change.steps) > 1 or "last" in change.only.values()
    return not others and not any(name.endswith((NEXT, BEFORE)) for name in names) and len(change.only) < 2


def _where(right: str, made: Written, touched: str) -> tuple[int, ...]:
    """Return the line in which a program differs from the right one, or the lines of the sum that lacks one."""
    were, are = right.splitlines(), made.text.splitlines()
    if len(were) == len(are):
        return tuple(number for number, (one, other) in enumerate(zip(were, are, strict=True), 1) if one != other)
    first = made.lines[touched]
    target = are[first - 1].split("=")[0].strip(" +")
    rest = itertools.takewhile(lambda row: row.split("=")[0].strip(" +") == target, are[first:])
    return tuple(range(first, first + 1 + len(list(rest))))


def _gradients(derivation: Derivation) -> Callable[[Change], bytes]:
    """Return what gives the gradients with a change on random numbers, to nine digits."""
    cell, rng = derivation.cell, np.random.default_rng(0)
    sizes = {"n": 5, "m": 4, "k": 3, **SIZES}

    def drawn(part: Mapping[str, tuple[str, ...]], *lead: int) -> dict[str, np.ndarray]:
        dims = {name: [*lead, *(length(d, sizes) for d in shape)] for name, shape in part.items()}
        return {name: 0.1 + 0.5 * rng.random(d) for name, d in dims.items()}

    engine = Engine(derivation, sizes)
    probe = Probe(drawn(cell.params), drawn(cell.inputs, 4, 2), drawn(cell.states, 2), drawn(cell.states, 4, 2))
    trace = engine.forward(probe)
    right = engine.backward(probe, trace)
    scale = {name: np.abs(array).max() or 1.0 for part in right.values() for name, array in part.items()}

    def gradients(change: Change) -> bytes:
        found = engine.backward(probe, trace, change)
        flat = [np.ravel(array / scale[name]) for part in found.values() for name, array in part.items()]
        return (np.round(np.concatenate(flat), 9) + 0.0).tobytes()

    return gradients


class _Writer:
    def __init__(self, derivation: Derivation, style: Style, change: Change) -> None:
        self.derivation, self.style, self.change, self.cell = derivation, style, change, derivation.cell
        fixed = set(derivation.fixed)
        self.fixed = {delta(symbol): derivation.backward.shapes[symbol] for symbol in derivation.fixed}
        shapes = {s: shape for s, shape in derivation.forward.shapes.items() if s not in fixed}
        if style.rows and (not self.cell.inputs or any(len(shape) != 1 for shape in shapes.values())):
            raise Unwritten(self.cell.name)
        self.used: set[str] = set()
        self.rows: list[str] = []
        self.lines: dict[str, int] = {}

    def written(self) -> Written:
        """Return the whole file."""
        style, cell = self.style, self.cell
        of = {name: self._param(name) for name in cell.params}
        seeds = [f"{style.prefix}{name}s" for name in cell.states]
        me = "    " if style.kind == "class" else ""
        forward, back = self._forward(of), self._backward(of)
        helpers = "\n\n".join(HELPERS[name] for name in sorted(self.used))
        head = f'"""{cell.name}, {style.name}."""\n\nimport numpy as np\n\n\n{helpers}\n\n'
        if style.kind == "class":
            sizes = "rng = np.random.default_rng(3)\n        "
            dims = {"m": "inputs", "n": "hidden"}
            made = [
                f"self.{p} = 0.5 * rng.standard_normal(({', '.join(_length(s, dims) for s in shape)},))"
                for p, shape in cell.params.items()
            ]
            head += "class Layer:\n    def __init__(self, inputs, hidden):\n        " + sizes + "\n        ".join(made)
            head += "\n\n"
        own = ["self"] if style.kind == "class" else []
        given = {"class": [], "dict": ["params"]}.get(style.kind, list(cell.params))
        starts = [f"{name}0" for name in cell.states]
        text = head + f"{me}def forward({', '.join([*own, *self.sequences, *starts, *given])}):\n"
        text += "".join(f"{me}    {line}\n" for line in forward)
        text += f"\n\n{me}def backward({', '.join([*own, *seeds, 'tape', *given])}):\n"
        for line in back:
            name, _, statement = line.rpartition("\0")
            if name:
                self.lines[name] = text.count("\n") + 1
            text += f"{me}    {statement}\n"
        ast.parse(text)
        return Written(text, self.lines, self._adapter())

    @property
    def sequences(self) -> list[str]:
        """What is read at every step; the number of steps where nothing is."""
        return list(self.cell.inputs) or ["steps"]

    def _adapter(self) -> Adapter:
        cell = self.cell
        lead = ("T", "B") if self.style.rows else ("T",)
        lead = lead[::-1] if self.style.batch_first else lead
        shapes = {name: (*lead, *shape) for name, shape in cell.inputs.items()} | dict(cell.params)
        batch = [axis for axis in lead if axis == "B"]
        shapes |= {f"{name}0": (*batch, *shape) for name, shape in cell.states.items()}
        others = {size for shape in shapes.values() for size in shape} & SIZES.keys()
        if not others and all(shape in (("n",), ()) for shape in cell.states.values()):
            return Adapter()
        roles = dict.fromkeys(cell.inputs, "input") | {f"{name}0": "state" for name in cell.states}
        return Adapter(
            shapes={name: ", ".join(shape) for name, shape in shapes.items()},
            roles=roles | dict.fromkeys(cell.params, "param"),
            sizes={name: SIZES[name] for name in sorted(others)},
        )

    def _param(self, name: str) -> str:
        return {"class": f"self.{name}", "dict": f'params["{name}"]'}.get(self.style.kind, name)

    @property
    def kept(self) -> list[str]:
        """What the tape holds of each step."""
        steps = self.derivation.forward.steps
        states = [f"{name}_prev" for name in self.cell.states]
        inputs = [f"{name}_t" for name in self.cell.inputs]
        return [*inputs, *states, *dict.fromkeys(str(step.target) for step in steps)]

    def _once(self, of: dict[str, str]) -> list[str]:
        """Return the lines that are run before the loop over time."""
        return [f"{step.target} = {self._said(step.expr, of)}" for step in self.derivation.prologue.steps]

    def _forward(self, of: dict[str, str]) -> list[str]:
        style, states, first = self.style, list(self.cell.states), self.sequences[0]
        time = f"{first}.shape[1]" if style.batch_first else f"len({first})" if self.cell.inputs else first
        lines = self._once(of)
        lines += [f"{name} = {name}0" for name in states]
        lines += [f"{_all(name)} = []" for name in states]
        lines += ["tape = []", f"for t in range({time}):"]
        lines += [f"    {name}_prev = {name}" for name in states]
        lines += [f"    {x}_t = {x}[{':, t' if style.batch_first else 't'}]" for x in self.cell.inputs]
        names = {**of, **{x: f"{x}_t" for x in self.cell.inputs}}
        lines += [f"    {step.target} = {self._said(step.expr, names)}" for step in self.derivation.forward.steps]
        lines.append(f"    tape.append(({', '.join(self.kept)},))")
        lines += [f"    {_all(name)}.append({name})" for name in states]
        axis = ", axis=1" if style.batch_first else ""
        lines.append("return " + ", ".join(f"np.stack({_all(name)}{axis})" for name in states) + ", tape")
        return lines

    def _backward(self, of: dict[str, str]) -> list[str]:
        style, cell, change = self.style, self.cell, self.change
        states, d = list(cell.states), style.prefix
        once = [symbol.name for symbol in self.derivation.fixed if symbol.name not in cell.params]
        length = f"{d}{states[0]}s.shape[1]" if style.batch_first else f"len({d}{states[0]}s)"
        at = "[:, 0]" if style.batch_first else "[0]"
        lines = [*self._once(of)]
        lines += [f"{d}{p} = np.zeros_like({of.get(p, p)})" for p in [*cell.params, *once]]
        lines += [f"{d}{x} = [None] * {length}" for x in cell.inputs]
        lines += [f"{d}{name}_next = np.zeros_like({d}{name}s{at})" for name in states]
        lines += [f"for t in reversed(range({length})):", f"    {', '.join(self.kept)}, = tape[t]"]
        names: dict[str, str] = {**of, **{x: f"{x}_t" for x in cell.inputs}}
        for symbol in (*self.derivation.backward.shapes, *self.derivation.epilogue.shapes):
            if symbol.name.startswith("delta_"):
                names[symbol.name] = d + symbol.name.removeprefix("delta_")
        names |= {f"incoming_{name}": f"{d}{name}" for name in once}
        names |= {f"delta_{x}": f"{d}{x}_t" for x in cell.inputs}
        for name in states:
            names[f"delta_{name}_prev"] = f"{d}{name}_prev"
            seed = f"{d}{name}s[:, t]" if style.batch_first else f"{d}{name}s[t]"
            parts = [seed] * (name not in change.silent) + [f"{d}{name}_next"] * (name not in change.uncarried)
            lines.append(f"delta_{name}\0    {d}{name} = {' + '.join(parts) or '0 * ' + seed}")
            names[f"incoming_{name}"] = f"{d}{name}"
        for step in self.derivation.backward.steps:
            lines += self._step(step.target, change.steps.get(step.target, step.expr), names)
        lines += [f"    {d}{x}[t] = {names[f'delta_{x}']}" for x in cell.inputs]
        lines += [f"    {d}{name}_next = {d}{name}_prev" for name in states]
        for step in self.derivation.epilogue.steps:
            name = step.target.name.removeprefix("delta_")
            sign = "+=" if name in cell.params else "="
            if step.expr != 0 and step.expr != Symbol(f"incoming_{name}"):
                lines.append(f"{d}{name} {sign} {self._said(step.expr, names)}")
        stack = "np.stack({}, axis=1)" if style.batch_first else "np.stack({})"
        ends = [*(stack.format(f"{d}{x}") for x in cell.inputs), *(f"{d}{name}_next" for name in states)]
        params = list(cell.params)
        if style.kind == "dict":
            ends.append("{" + ", ".join(f'"{p}": {d}{p}' for p in params) + "}")
        else:
            ends += [f"{d}{p}" for p in params]
        return [*lines, f"return {', '.join(ends)}"]

    def _step(self, target: Symbol, expr: Expr, names: dict[str, str]) -> list[str]:
        name, mine = target.name, names[target.name]
        param = name.removeprefix("delta_")
        if expr == Symbol(f"incoming_{param}"):
            return []
        if target in self.fixed:
            if expr == 0:
                return []
            said = self._said(expr, names)
            if self.style.rows and len(self.fixed[target]) == 1:
                said = f"np.sum({said}, axis=0)"
            sign = "=" if self.change.only.get(target) == "first" else "+="
            return [f"{name}\0    {mine} {sign} {said}"]
        terms = expr.args if isinstance(expr, sympy.Add) else (expr,)
        if expr == 0:
            return [f"{name}\0    {mine} = np.zeros_like({names.get(param, param)})"]
        if not self.style.split or len(terms) < 2:
            return [f"{name}\0    {mine} = {self._said(expr, names)}"]
        first, *rest = (self._said(term, names) for term in terms)
        return [f"{name}\0    {mine} = {first}", *(f"    {mine} = {mine} + {term}" for term in rest)]

    def _said(self, expr: Expr, names: dict[str, str]) -> str:
        def inner(part: Expr) -> str:
            return self._said(part, names)

        if isinstance(expr, Symbol):
            return names.get(expr.name, expr.name)
        if isinstance(expr, sympy.Rational):
            return str(expr) if expr.is_Integer and expr >= 0 else f"({expr})"
        if isinstance(expr, Node):
            return self._node(expr, names)
        if isinstance(expr, Elementwise):
            return self._call(expr.func.__name__, [inner(part) for part in expr.args])
        if isinstance(expr, sympy.Pow) and expr.exp.is_Integer and expr.exp < 0:
            return f"1 / {self._factor(expr.base**-expr.exp, names)}"
        if isinstance(expr, sympy.Pow) and expr.exp.is_Integer and expr.exp > 0:
            return f"{self._factor(expr.base, names)}**{expr.exp}"
        if isinstance(expr, sympy.Mul):
            divides = [isinstance(part, sympy.Pow) and part.exp.is_negative for part in expr.args]
            below = [1 / part for part, under in zip(expr.args, divides, strict=True) if under]
            above = [part for part, under in zip(expr.args, divides, strict=True) if not under]
            if below and above:
                over = self._said(sympy.Mul(*above, evaluate=False), names)
                under = " * ".join(self._factor(part, names) for part in below)
                return f"{over} / {under if len(below) == 1 else f'({under})'}"
            return " * ".join(self._factor(part, names) for part in expr.args)
        if isinstance(expr, sympy.Add):
            ordered = sorted(expr.args, key=lambda part: part.could_extract_minus_sign())
            said = "".join(
                f" - {self._factor(-a, names)}" if a.could_extract_minus_sign() else f" + {inner(a)}" for a in ordered
            )
            return said.removeprefix(" + ") if said.startswith(" + ") else f"-{said.removeprefix(' - ')}"
        raise Unwritten(str(expr))

    def _call(self, function: str, args: list[str]) -> str:
        if function in HELPERS:
            self.used.add(function)
        elif function not in NUMPY:
            raise Unwritten(function)
        return f"{function if function in HELPERS else f'np.{NUMPY[function]}'}({', '.join(args)})"

    def _factor(self, expr: Expr, names: dict[str, str]) -> str:
        said = self._said(expr, names)
        return f"({said})" if isinstance(expr, sympy.Add) or " @ " in said and not said.startswith("(") else said

    def _node(self, node: Node, names: dict[str, str]) -> str:
        name, args = node.func.__name__, node.args
        plain = [a.args[0] if a.func.__name__ == "transpose" else a for a in args[:2]]
        said = ["" if a.is_integer else self._said(a, names) for a in plain]
        said = [text if not text or text.replace(".", "").isidentifier() else f"({text})" for text in said]
        rows = self.style.rows
        if name == "product":
            if rows:
                return f"{said[1]} @ {said[0]}" + (".T" if plain[0] == args[0] else "")
            return " @ ".join(self._matrix(part, names) for part in args)
        if name == "outer":
            return f"{said[0]}.T @ {said[1]}" if rows else f"np.outer({said[0]}, {said[1]})"
        if name == "concat":
            axis = ", axis=1" if rows else ""
            return f"np.concatenate([{', '.join(self._said(a, names) for a in args)}]{axis})"
        if name == "part":
            size = f"{self.style.prefix}{next(iter(self.cell.states))}.shape[-1]"
            start, end = args[1], args[2]
            bounds = f":{size}" if start == 0 else f"{size}:"
            if start != 0 and str(start) != "n" or start == 0 and str(end) != "n":
                raise Unwritten("part")
            return f"{said[0]}[..., {bounds}]"
        if name == "transpose":
            return f"{said[0]}.T"
        if name == "softmax":
            return self._call(name, [self._said(args[0], names)])
        if name == "total":
            return f"np.sum({self._said(args[0], names)})"
        if name == "broadcast":
            return self._said(args[0], names)
        if name == "ones":
            return f"np.ones({', '.join(self._size(str(size), names) for size in args)})"
        raise Unwritten(name)

    def _matrix(self, expr: Expr, names: dict[str, str]) -> str:
        bare = expr.args[0] if expr.func.__name__ == "transpose" else expr
        said = self._said(bare, names)
        said = said if said.replace(".", "").isidentifier() or said.startswith("np.ones") else f"({said})"
        return said if bare == expr else f"{said}.T"

    def _size(self, size: str, names: dict[str, str]) -> str:
        arrays = {**self.cell.inputs, **self.cell.params}
        name, shape = next((name, shape) for name, shape in arrays.items() if size in shape)
        return f"{names[name]}.shape[{shape.index(size)}]"


def _all(name: str) -> str:
    """Return the name for all values of a state."""
    return f"{name}_seq" if keyword.iskeyword(f"{name}s") else f"{name}s"


def _length(size: str, dims: dict[str, str]) -> str:
    return " + ".join(dims.get(part.strip(), part.strip()) for part in size.split("+"))
