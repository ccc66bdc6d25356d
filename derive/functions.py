"""The rule table of elementwise functions: one line feeds differentiation, printing, kernels, bounds and tests.

Slopes are written in the output `y`, so that a backward pass reuses what the forward pass has computed. Each line
also carries the function's definition in plain SymPy, from which the proof derives the slope a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy
from sympy import Expr, Rational, oo

Slope = Callable[..., Expr | int]


@dataclass(frozen=True)
class Rule:
    """What is known of an elementwise function of one or two arguments.

    Attributes:
        name: how the function is written in the cell notation.
        definition: the function in SymPy's own terms, used only to prove the slopes.
        slopes: one per argument: (x, y) -> dy/dx, or (a, b, y) -> dy/da.
        lipschitz: the smallest constant that bounds |slope|, or None where there is none.
        sampled: the interval on which tests sample it.
        code: the scalar function in Python (`x`, or `a` and `b`; `math` is known), for generated kernels.
        symbol: how it is typeset, where that is not its name.
        kink: where it isn't differentiable, and which subgradient is taken there.
        image: an interval that holds every value.
    """

    name: str
    definition: Callable[..., Expr]
    slopes: tuple[Slope, ...]
    lipschitz: Expr | None
    sampled: tuple[float, float]
    code: str
    symbol: str
    kink: str
    image: tuple[Expr, Expr] = (-oo, oo)


class Elementwise(sympy.Function):
    """Base of the table's functions: opaque to SymPy except for the slope that the table states."""

    rule: Rule

    @classmethod
    def eval(cls, *args: Expr) -> None:
        """Never evaluate by itself: an expression keeps the form in which it was written."""

    def fdiff(self, argindex: int = 1) -> Expr:
        return sympy.sympify(self.rule.slopes[argindex - 1](*self.args, self))


FUNCTIONS: dict[str, type[Elementwise]] = {}


def function(
    name: str,
    definition: Callable[..., Expr],
    *slopes: Slope,
    lipschitz: Expr | int | None,
    sampled: tuple[float, float] = (-3, 3),
    code: str = "",
    symbol: str = "",
    kink: str = "",
    image: tuple[Expr | int, Expr | int] = (-oo, oo),
) -> type[Elementwise]:
    """Enter a function into the table; a second rule for a name is an error."""
    if name in FUNCTIONS:
        raise KeyError(f"the function table already has a rule for {name!r}")
    bound = None if lipschitz is None else sympy.sympify(lipschitz)
    low, high = map(sympy.sympify, image)
    rule = Rule(name, definition, slopes, bound, sampled, code or f"math.{name}(x)", symbol, kink, (low, high))
    FUNCTIONS[name] = type(name, (Elementwise,), {"rule": rule, "nargs": len(slopes)})
    return FUNCTIONS[name]


step = function(
    "step",
    lambda x: sympy.Heaviside(x, 0),
    lambda x, y: 0,
    lipschitz=None,
    code="1.0 if x > 0 else (0.0 if x <= 0 else x)",
    kink="it jumps at 0, where the value 0 is taken; its slope is 0 everywhere",
    image=(0, 1),
)
sign = function(
    "sign",
    sympy.sign,
    lambda x, y: 0,
    lipschitz=None,
    code="1.0 if x > 0 else (-1.0 if x < 0 else x)",
    symbol="sgn",
    kink="it jumps at 0, where the value 0 is taken; its slope is 0 everywhere",
    image=(-1, 1),
)
geq = function(
    "geq",
    lambda a, b: sympy.Heaviside(a - b, 1),
    lambda a, b, y: 0,
    lambda a, b, y: 0,
    lipschitz=None,
    code="1.0 if a >= b else (0.0 if a < b else a + b)",
    symbol="geq",
    kink="it jumps at a = b, where the value 1 is taken; its slopes are 0 everywhere",
    image=(0, 1),
)
tanh = function("tanh", sympy.tanh, lambda x, y: 1 - y**2, lipschitz=1, image=(-1, 1))
sigmoid = function(
    "sigmoid",
    lambda x: 1 / (1 + sympy.exp(-x)),
    lambda x, y: y * (1 - y),
    lipschitz=Rational(1, 4),
    sampled=(-6, 6),
    code="1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))",
    symbol="sigma",
    image=(0, 1),
)
relu = function(
    "relu",
    lambda x: sympy.Max(x, 0),
    lambda x, y: step(y),
    lipschitz=1,
    code="0.0 if x <= 0 else x",
    symbol="ReLU",
    kink="at 0 the subgradient 0 is taken",
    image=(0, oo),
)
exp = function(
    "exp",
    sympy.exp,
    lambda x, y: y,
    lipschitz=None,
    code="math.exp(x) if x < 709.7827128933841 else x * math.inf",
    image=(0, oo),
)
log = function(
    "log",
    sympy.log,
    lambda x, y: 1 / x,
    lipschitz=None,
    sampled=(0.2, 5),
    code="math.log(x) if x > 0 else (-math.inf if x == 0 else math.nan)",
)
sqrt = function(
    "sqrt",
    sympy.sqrt,
    lambda x, y: 1 / (2 * y),
    lipschitz=None,
    sampled=(0.2, 5),
    code="math.sqrt(x) if x >= 0 else math.nan",
    image=(0, oo),
)
sin = function(
    "sin",
    sympy.sin,
    lambda x, y: cos(x),
    lipschitz=1,
    code="math.sin(x) if math.isfinite(x) else math.nan",
    image=(-1, 1),
)
cos: type[Elementwise] = function(
    "cos",
    sympy.cos,
    lambda x, y: -sin(x),
    lipschitz=1,
    code="math.cos(x) if math.isfinite(x) else math.nan",
    image=(-1, 1),
)
arctan = function(
    "arctan",
    sympy.atan,
    lambda x, y: 1 / (1 + x**2),
    lipschitz=1,
    code="math.atan(x)",
    image=(-sympy.pi / 2, sympy.pi / 2),
)
erf = function(
    "erf",
    sympy.erf,
    lambda x, y: 2 / sqrt(sympy.pi) * exp(-(x**2)),
    lipschitz=2 / sympy.sqrt(sympy.pi),
    image=(-1, 1),
)
softplus = function(
    "softplus",
    lambda x: sympy.log(1 + sympy.exp(x)),
    lambda x, y: sigmoid(x),
    lipschitz=1,
    code="max(x, 0.0) + math.log1p(math.exp(-abs(x)))",
    image=(0, oo),
)
silu = function(
    "silu",
    lambda x: x / (1 + sympy.exp(-x)),
    lambda x, y: y + sigmoid(x) * (1 - y),
    lipschitz=Rational("1.1"),
    code="x / (1.0 + math.exp(-x)) if x >= 0 else x * (math.exp(x) / (1.0 + math.exp(x)))",
    symbol="SiLU",
    image=(Rational("-0.28"), oo),
)
absolute = function(
    "abs",
    sympy.Abs,
    lambda x, y: sign(x),
    lipschitz=1,
    code="abs(x)",
    kink="at 0 the subgradient 0 is taken",
    image=(0, oo),
)
maximum = function(
    "max",
    sympy.Max,
    lambda a, b, y: geq(a, b),
    lambda a, b, y: 1 - geq(a, b),
    lipschitz=1,
    code="a if a >= b or a != a else b",
    kink="where both arguments are equal, the subgradient (1, 0) is taken",
)
minimum = function(
    "min",
    sympy.Min,
    lambda a, b, y: geq(b, a),
    lambda a, b, y: 1 - geq(b, a),
    lipschitz=1,
    code="a if a <= b or a != a else b",
    kink="where both arguments are equal, the subgradient (1, 0) is taken",
)


def arity(name: str) -> int:
    """Return how many arguments the function takes.

    >>> arity("tanh"), arity("max")
    (1, 2)
    """
    return len(FUNCTIONS[name].rule.slopes)


def slope_residues(rule: Rule) -> list[Expr]:
    """Differentiate the definition with `sympy.diff` and subtract the stated slope, on either side of each kink.

    Every entry is 0 when the rule is right.

    >>> slope_residues(tanh.rule)
    [0, 0]
    """
    positive = sympy.Symbol("p", positive=True)
    other = sympy.Symbol("q", positive=True)
    sides = [positive] if rule.sampled[0] > 0 else [positive, -positive]
    arguments: list[tuple[Expr, ...]] = [(side,) for side in sides]
    if len(rule.slopes) == 2:
        arguments = [(other + positive, other), (other, other + positive)]
    residues = []
    for at in arguments:
        names = sympy.symbols(f"a:{len(at)}", real=True)
        value = rule.definition(*names)
        for index, slope in enumerate(rule.slopes):
            stated = slope(*names, value)
            difference = value.diff(names[index]) - _in_sympy(sympy.sympify(stated))
            difference = difference.subs(dict(zip(names, at, strict=True)))
            residues.append(sympy.cancel(difference.doit().rewrite(sympy.exp).expand(func=True)))
    return residues


def _in_sympy(expr: Expr) -> Expr:
    return expr.replace(lambda e: isinstance(e, Elementwise), lambda e: e.rule.definition(*e.args))
