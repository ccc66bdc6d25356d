"""How names typeset themselves, in every dialect."""

import pytest
import sympy

from bptt.reports.formula import clean
from bptt.reports.mathematics import Mathematics

NAMES = [
    # name, Typst, LaTeX, plain
    ("h", "h", "h", "h"),
    ("W_xi", "W_(x i)", "W_{x i}", "W_{xi}"),
    ("b_beta", "b_(beta)", r"b_{\beta}", "b_β"),
    ("h_tilde", "tilde(h)", r"\tilde{h}", "h̃"),
    ("x_hat", "hat(x)", r"\hat{x}", "x̂"),
    ("v_bar", "macron(v)", r"\bar{v}", "v̄"),
    ("alpha", "alpha", r"\alpha ", "α"),
    ("xi", "xi", r"\xi ", "ξ"),
    ("gamma_h", "gamma_(h)", r"\gamma _{h}", "γ_h"),
    ("h2", "h_(2)", "h_{2}", "h_2"),
    ("h_0", "h_(0)", "h_{0}", "h_0"),
    ("log_dt", '"log_dt"', r"\mathrm{log\_dt}", "log_dt"),
    ("context", '"context"', r"\mathrm{context}", "context"),
    ("u_h_tilde", "u_(tilde(h))", r"u_{\tilde{h}}", "u_{h̃}"),
    ("λ", "lambda", r"\lambda ", "λ"),
    ("é", '"é"', r"\mathrm{\acute{e}}", "é"),
    ("ж", '"ж"', r"\mathrm{\text{\cyr{ж}{U+0436}}}", "ж"),
    ("中", '"U+4E2D"', r"\mathrm{U{+}4E2D}", "中"),
]


@pytest.mark.parametrize(("name", "typst", "latex", "plain"), NAMES, ids=[name for name, *_ in NAMES])
def test_name(name, typst, latex, plain):
    formula = Mathematics({}).name(name)
    assert (formula.typst, formula.latex, formula.plain) == (typst, latex, plain)


def test_names_that_would_look_alike():
    shapes = {sympy.Symbol(name): () for name in ("h", "h_prev", "h2", "h_2", "h_0", "lambda", "λ", "W")}
    math = Mathematics(shapes, [sympy.Symbol(name) for name in ("h_0", "W")])
    shown = {name: math.name(name).plain for name in map(str, shapes)}
    assert shown | {"h2": "h2", "h_2": "h_2", "h_0": "h_0", "λ": "λ", "lambda": "lambda"} == shown
    assert (math.name("h2").typst, math.name("h2").latex) == ('"h2"', r"\mathrm{h2}")
    assert math.name("h_0").latex == r"\mathrm{h\_0}" and math.name("h_2").latex == "h_{2}"
    assert math.name("h2", sympy.Symbol("t")).plain == "h2_t"


n = sympy.Symbol("n", integer=True, positive=True)
SHAPES = {
    sympy.Symbol(name): shape
    for name, shape in {
        "h": (n,),
        "h_prev": (n,),
        "f": (n,),
        "s": (),
        "W": (n, n),
        "a_f": (n,),
        "delta_f": (n,),
    }.items()
}

QUANTITIES = [
    ("h", "h_t"),
    ("h_prev", "h_{t−1}"),
    ("W", "W"),
    ("a_f", "a_{f,t}"),
    ("delta_f", "δf_t"),
    ("delta_a_f", "δa_{f,t}"),
    ("delta_W", "δW"),
    ("delta_h_prev", "δ^←h_{t−1}"),
    ("incoming_h", "∂ℒ_t/∂h_t + δ^←h_t"),
]


@pytest.mark.parametrize(("name", "plain"), QUANTITIES, ids=[name for name, _ in QUANTITIES])
def test_time_of_a_quantity(name, plain):
    math = Mathematics(SHAPES, [sympy.Symbol("W")])
    assert clean(math.formula(sympy.Symbol(name))).plain == plain


def product(*factors):
    return sympy.Mul(*factors, evaluate=False)


H, F, S = sympy.symbols("h f s")
EXPRESSIONS = [
    (product(F, H), "f_t ⊙ h_t"),
    (product(S, H), "s_t h_t"),
    (product(F, sympy.Add(1, -F, evaluate=False), H), "f_t ⊙ (1 − f_t) ⊙ h_t"),
    (product(sympy.Rational(1, 2), F), "0.5 f_t"),
    (product(F, sympy.Pow(H, -1, evaluate=False)), "f_t/h_t"),
    (sympy.Pow(H, 2), "h_t^2"),
    (sympy.Function("delta_f")(sympy.Symbol("t") + 1), "δf_{t+1}"),
    (sympy.Function("loss_h")(sympy.Symbol("t")), "∂ℒ_t/∂h_t"),
]


@pytest.mark.parametrize(("expr", "plain"), EXPRESSIONS, ids=[plain for _, plain in EXPRESSIONS])
def test_expression(expr, plain):
    assert clean(Mathematics(SHAPES, [sympy.Symbol("W")]).formula(expr)).plain == plain


def test_a_subscript_is_greek_where_it_names_a_quantity():
    assert Mathematics({}).name("u_mu").plain == "u_{mu}"
    assert Mathematics({sympy.Symbol("mu"): ()}).name("u_mu").plain == "u_μ"


@pytest.mark.parametrize(
    ("number", "shown"),
    [("1e-320", "10^{−320}"), ("-2.5e-9", "−2.5×10^{−9}"), ("3e20", "3×10^{20}"), ("0.0001", "0.0001")],
)
def test_small_and_large_numbers_have_a_power_of_ten(number, shown):
    formula = Mathematics({}).formula(sympy.Rational(number))
    assert clean(formula).plain == shown
    assert len(formula.typst) < 40 and len(formula.latex) < 40
