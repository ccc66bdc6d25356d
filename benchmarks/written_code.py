"""Backward passes of every cell as NumPy programs, right or with one fault of the catalogue, in several styles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

import sympy
from sympy import Expr, Symbol

from bptt.analysis.verdicts.code_engine import BEFORE, NEXT, RIGHT, Change
from bptt.analysis.verdicts.code_mutants import mutants
from bptt.derive.derivation import Derivation
from bptt.derive.functions import Elementwise
from bptt.derive.linear import Node

HELPERS = {
    "tanh": "",
    "exp": "",
    "sin": "",
    "cos": "",
    "sqrt": "",
    "sigmoid": "def sigmoid(a):\n    return 1 / (1 + np.exp(-a))\n",
    "relu": "def relu(a):\n    return a * (a > 0)\n",
    "step": "def step(a):\n    return 1.0 * (a > 0)\n",
    "softplus": "def softplus(a):\n    return np.log(1 + np.exp(a))\n",
}


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
    """

    text: str
    lines: dict[str, int]


@dataclass(frozen=True)
class Faulty:
    """A program with one fault of the catalogue."""

    written: Written
    kind: str
    says: str
    line: int


def program(derivation: Derivation, style: Style, change: Change = RIGHT) -> Written:
    """Return a cell's passes as a program.

    Raises:
        Unwritten: for a cell with more than one input of vectors, states of several shapes, or other functions.
    """
    return _Writer(derivation, style, change).written()


def faulty(derivation: Derivation, style: Style) -> Iterator[Faulty]:
    """Yield the programs with one fault of the catalogue."""
    right = program(derivation, style).text
    for mutant in mutants(derivation):
        change = mutant.change
        names = {s.name for e in change.steps.values() for s in e.atoms(Symbol)}
        others = change.start or change.window or change.kept or len(change.steps) > 1 or "last" in change.only.values()
        if others or any(name.endswith((NEXT, BEFORE)) for name in names) or len(change.only) > 1:
            continue
        try:
            made = program(derivation, style, change)
        except (Unwritten, TypeError):
            continue
        touched = [s.name for s in (*change.steps, *change.only)]
        touched += [f"delta_{name}" for name in (*change.uncarried, *change.silent)]
        if made.text != right and touched[0] in made.lines:
            yield Faulty(made, mutant.kind, mutant.says, made.lines[touched[0]])


class _Writer:
    def __init__(self, derivation: Derivation, style: Style, change: Change) -> None:
        self.derivation, self.style, self.change, self.cell = derivation, style, change, derivation.cell
        vectors = all(shape == ("n",) for shape in self.cell.states.values()) and list(self.cell.inputs) == ["x"]
        if not vectors or derivation.prologue.steps or self.cell.indices:
            raise Unwritten(self.cell.name)
        self.used: set[str] = set()
        self.rows: list[str] = []
        self.lines: dict[str, int] = {}

    def written(self) -> Written:
        """Return the whole file."""
        style, cell = self.style, self.cell
        states, params = list(cell.states), list(cell.params)
        of = {name: self._param(name) for name in params}
        starts = [f"{name}0" for name in states]
        seeds = [f"{style.prefix}{name}s" for name in states]
        me = "    " if style.kind == "class" else ""
        forward, back = self._forward(of), self._backward(of)
        helpers = "\n\n".join(HELPERS[name] for name in sorted(self.used) if HELPERS[name])
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
        own = "self, " if style.kind == "class" else ""
        given = {"class": "", "dict": ", params"}.get(style.kind, ", " + ", ".join(params))
        text = head + f"{me}def forward({own}x, {', '.join(starts)}{given}):\n"
        text += "".join(f"{me}    {line}\n" for line in forward)
        text += f"\n\n{me}def backward({own}{', '.join(seeds)}, tape{given}):\n"
        for line in back:
            name, _, statement = line.rpartition("\0")
            if name:
                self.lines[name] = text.count("\n") + 1
            text += f"{me}    {statement}\n"
        ast.parse(text)
        return Written(text, self.lines)

    def _param(self, name: str) -> str:
        return {"class": f"self.{name}", "dict": f'params["{name}"]'}.get(self.style.kind, name)

    def _forward(self, of: dict[str, str]) -> list[str]:
        style, states = self.style, list(self.cell.states)
        steps = self.derivation.forward.steps
        time = "x.shape[1]" if style.batch_first else "len(x)"
        lines = [f"{name} = {name}0" for name in states]
        lines += [f"{name}s = []" for name in states]
        lines += ["tape = []", f"for t in range({time}):"]
        lines += [f"    {name}_prev = {name}" for name in states]
        lines.append("    x_t = x[:, t]" if style.batch_first else "    x_t = x[t]")
        names = {**of, "x": "x_t"}
        lines += [f"    {step.target} = {self._said(step.expr, names)}" for step in steps]
        kept = ["x_t", *(f"{name}_prev" for name in states), *dict.fromkeys(str(step.target) for step in steps)]
        lines.append(f"    tape.append(({', '.join(kept)}))")
        lines += [f"    {name}s.append({name})" for name in states]
        axis = ", axis=1" if style.batch_first else ""
        lines.append("return " + ", ".join(f"np.stack({name}s{axis})" for name in states) + ", tape")
        return lines

    def _backward(self, of: dict[str, str]) -> list[str]:
        style, cell, change = self.style, self.cell, self.change
        states, params, d = list(cell.states), list(cell.params), style.prefix
        steps = self.derivation.forward.steps
        kept = ["x_t", *(f"{name}_prev" for name in states), *dict.fromkeys(str(step.target) for step in steps)]
        length = f"{d}{states[0]}s.shape[1]" if style.batch_first else f"len({d}{states[0]}s)"
        lines = [f"{d}{p} = np.zeros_like({of[p]})" for p in params]
        lines += [f"{d}x = [None] * {length}"]
        at = "[:, 0]" if style.batch_first else "[0]"
        lines += [f"{d}{name}_next = np.zeros_like({d}{name}s{at})" for name in states]
        lines += [f"for t in reversed(range({length})):", f"    {', '.join(kept)} = tape[t]"]
        names: dict[str, str] = {**of, "x": "x_t"}
        for symbol in self.derivation.backward.shapes:
            if symbol.name.startswith("delta_"):
                names[symbol.name] = d + symbol.name.removeprefix("delta_")
        names["delta_x"] = f"{d}x_t"
        ends = []
        for name in states:
            names[f"delta_{name}_prev"] = f"{d}{name}_prev"
            seed = f"{d}{name}s[:, t]" if style.batch_first else f"{d}{name}s[t]"
            parts = [seed] * (name not in change.silent) + [f"{d}{name}_next"] * (name not in change.uncarried)
            lines.append(f"delta_{name}\0    {d}{name} = {' + '.join(parts) or '0 * ' + seed}")
            names[f"incoming_{name}"] = f"{d}{name}"
        for step in self.derivation.backward.steps:
            lines += self._step(step.target, change.steps.get(step.target, step.expr), names)
        ends += [f"    {d}x[t] = {names['delta_x']}", *(f"    {d}{n}_next = {d}{n}_prev" for n in states)]
        lines += ends
        stacked = f"np.stack({d}x, axis=1)" if style.batch_first else f"np.stack({d}x)"
        starts = ", ".join(f"{d}{name}_next" for name in states)
        if style.kind == "dict":
            inner = ", ".join(f'"{p}": {d}{p}' for p in params)
            return [*lines, f"return {stacked}, {starts}, {{{inner}}}"]
        return [*lines, f"return {stacked}, {starts}, {', '.join(f'{d}{p}' for p in params)}"]

    def _step(self, target: Symbol, expr: Expr, names: dict[str, str]) -> list[str]:
        name, mine = target.name, names[target.name]
        param = name.removeprefix("delta_")
        if expr == Symbol(f"incoming_{param}"):
            return []
        if param in self.cell.params:
            said = self._said(expr, names)
            if self.style.rows and len(self.cell.params[param]) == 1:
                said = f"np.sum({said}, axis=0)"
            sign = "=" if self.change.only.get(target) == "first" else "+="
            return [f"{name}\0    {mine} {sign} {said}"]
        terms = expr.args if isinstance(expr, sympy.Add) else (expr,)
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
            function = expr.func.__name__
            if function not in HELPERS or len(expr.args) != 1:
                raise Unwritten(function)
            self.used.add(function)
            return f"{function if HELPERS[function] else f'np.{function}'}({inner(expr.args[0])})"
        if isinstance(expr, sympy.Pow) and expr.exp == -1:
            return f"1 / ({self._said(expr.base, names)})"
        if isinstance(expr, sympy.Pow) and expr.exp.is_Integer and expr.exp > 0:
            return f"{self._factor(expr.base, names)}**{expr.exp}"
        if isinstance(expr, sympy.Mul):
            below = [part.base for part in expr.args if isinstance(part, sympy.Pow) and part.exp == -1]
            above = [part for part in expr.args if not (isinstance(part, sympy.Pow) and part.exp == -1)]
            if below and above:
                over = self._said(sympy.Mul(*above, evaluate=False), names)
                return f"{over} / ({' * '.join(self._factor(part, names) for part in below)})"
            return " * ".join(self._factor(part, names) for part in expr.args)
        if isinstance(expr, sympy.Add):
            ordered = sorted(expr.args, key=lambda part: part.could_extract_minus_sign())
            said = "".join(
                f" - {self._factor(-a, names)}" if a.could_extract_minus_sign() else f" + {inner(a)}" for a in ordered
            )
            return said.removeprefix(" + ") if said.startswith(" + ") else f"-{said.removeprefix(' - ')}"
        raise Unwritten(str(expr))

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
            turned, matrix = plain[0] != args[0], said[0]
            if rows:
                return f"{said[1]} @ {matrix}" + ("" if turned else ".T")
            return f"{matrix}{'.T' if turned else ''} @ {said[1]}"
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
        raise Unwritten(name)


def _length(size: str, dims: dict[str, str]) -> str:
    return " + ".join(dims.get(part.strip(), part.strip()) for part in size.split("+"))
