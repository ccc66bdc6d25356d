"""How PyTorch and JAX write what cells and models are made of: a table for each, and one printer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy
from sympy import Expr, Symbol

from ..derive.arithmetic import apply_float
from ..derive.errors import Error
from ..derive.functions import Elementwise
from ..derive.interpret import evaluate
from ..derive.linear import Shapes, is_one_hot, shape_of
from ..derive.notation import ATOM, PRODUCT, SUM, Piece, Printer
from ..derive.program import quantities


@dataclass(frozen=True)
class Framework:
    """How a framework writes what cells are made of.

    Attributes:
        title: its name.
        module: of its arrays.
        functions: our name of an elementwise function -> a format of its arguments, `atom` for the first where it must
            bind tightly; others are the module's own.
        maps: the same for maps between tensors, `all` for all of them; `ones` takes a shape.
        batched: a format of a step's name: the step that runs once, for each sample.
        spread: a format of an array and a shape: the array again and again.
        full: a format of a shape and a number: an array full of it, on the device and of the type of the array `like`.
    """

    title: str
    module: str
    functions: Mapping[str, str]
    maps: Mapping[str, str]
    batched: str
    spread: str
    full: str


TORCH = Framework(
    "PyTorch",
    "torch",
    {
        "max": "torch.clamp({0}, min={1})",
        "min": "torch.clamp({0}, max={1})",
        "step": "({0} > 0).to({atom}.dtype)",
        "softplus": "torch.logaddexp({0}, torch.zeros_like({0}))",
        "silu": "torch.nn.functional.silu({0})",
    },
    {
        "total": "torch.sum({0})",
        "ones": "like.new_ones({0})",
        "concat": "torch.cat([{all}])",
        "softmax": "torch.softmax({0}, -1)",
        "lookup": "torch.nn.functional.embedding({1}, {0})",
        "lookup_number": "torch.nn.functional.embedding({1}, {atom}[:, None])[..., 0]",
        "cross_entropy": "torch.nn.functional.cross_entropy({0}, {1})",
        "logsumexp": "torch.logsumexp({0}, -1)",
    },
    "torch.vmap({0}, in_dims=(None, 0, None))",
    "{0}.expand({1})",
    "like.new_full({0}, {1})",
)
JAX = Framework(
    "JAX",
    "jnp",
    {
        "max": "jnp.maximum({0}, {1})",
        "min": "jnp.minimum({0}, {1})",
        "step": "jnp.heaviside({0}, 0)",
        "sigmoid": "jax.nn.sigmoid({0})",
        "relu": "jax.nn.relu({0})",
        "softplus": "jax.nn.softplus({0})",
        "silu": "jax.nn.silu({0})",
        "erf": "jax.scipy.special.erf({0})",
    },
    {
        "total": "jnp.sum({0})",
        "ones": "jnp.ones({0}, like.dtype)",
        "concat": "jnp.concatenate([{all}])",
        "softmax": "jax.nn.softmax({0})",
        "lookup": "{atom}[{1}]",
        "lookup_number": "{atom}[{1}]",
        "cross_entropy": "-jax.nn.log_softmax({0})[{1}]",
        "logsumexp": "jax.nn.logsumexp({0})",
    },
    "jax.vmap({0}, in_axes=(None, 0, None))",
    "jnp.broadcast_to({0}, {1})",
    "jnp.full({0}, {1}, like.dtype)",
)


class SourcePrinter(Printer):
    """Prints an expression of one sequence's step for a framework.

    Attributes:
        shown: the symbols that it has printed so far.
    """

    def __init__(self, framework: Framework, names: Mapping[Symbol, str], shapes: Shapes) -> None:
        self.framework = framework
        self.names = names
        self.shapes = shapes
        self.shown: set[Symbol] = set()

    def symbol(self, symbol: Symbol) -> Piece:
        self.shown.add(symbol)
        return self.names.get(symbol, symbol.name), ATOM

    def constant(self, number: sympy.NumberSymbol) -> Piece:
        return repr(float(number)), ATOM

    def function(self, expr: Elementwise) -> Piece:
        if not expr.atoms(Symbol):
            return repr(float(evaluate(expr, {}, {}, apply_float))), ATOM
        name = expr.rule.name
        args = expr.args
        if name in ("max", "min") and not quantities(args[0]):
            args = args[::-1]
        written = self.framework.functions.get(name, f"{self.framework.module}.{name}({{0}})")
        return written.format(*map(self.show, args), atom=self.show(args[0], ATOM)), ATOM

    def mapped(self, name: str, *args: Expr) -> Piece:
        shown = list(map(self.show, args))
        return self.framework.maps[name].format(*shown, all=", ".join(shown), atom=self.show(args[0], ATOM)), ATOM

    def outer(self, left: Expr, right: Expr) -> Piece:
        return self.call(f"{self.framework.module}.outer", left, right)

    def total(self, argument: Expr) -> Piece:
        return self.mapped("total", argument)

    def concat(self, *pieces: Expr) -> Piece:
        return self.mapped("concat", *pieces)

    def softmax(self, vector: Expr) -> Piece:
        return self.mapped("softmax", vector)

    def lookup(self, table: Expr, index: Symbol) -> Piece:
        return self.mapped("lookup" if len(shape_of(table, self.shapes)) > 1 else "lookup_number", table, index)

    def ones(self, *sizes: Expr) -> Piece:
        return self.framework.maps["ones"].format(f"({', '.join(map(self.show, sizes))},)"), ATOM

    def part(self, vector: Expr, start: Expr, stop: Expr) -> Piece:
        return f"{self.show(vector, ATOM)}[..., {self.show(start)}:{self.show(stop)}]", ATOM

    def entry(self, vector: Expr, index: Expr) -> Piece:
        return f"{self.show(vector, ATOM)}[..., {self.show(index)}]", ATOM

    def cross_entropy(self, logits: Expr, target: Expr) -> Piece:
        if is_one_hot(target):
            return self.mapped("cross_entropy", logits, target.args[1])[0], PRODUCT
        product = sympy.Mul(target, logits, evaluate=False)
        return f"{self.mapped('logsumexp', logits)[0]} - {self.total(product)[0]}", SUM

    def other(self, expr: Expr) -> Piece:
        raise Error(f"{expr} can't be written for {self.framework.title}")

    pad = scatter = other  # type: ignore[assignment]  # of derivatives alone
