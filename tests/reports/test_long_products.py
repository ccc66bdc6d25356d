"""Bounds on one step's Jacobian and gradients written out over time: their typesetting, and what a page says."""

from pathlib import Path

import pytest
import sympy
from sympy import Function, Integer, Max, Rational, Symbol

import bptt
from bptt.derive import derive
from bptt.derive.bounds import max_abs, sigma_max
from bptt.reports import derivation_document
from bptt.reports.document import Equations
from bptt.reports.formula import Formula, clean
from bptt.reports.html import html_page
from bptt.reports.long_products import bounds_of_step, shown_parameter, unrolled_gradient
from bptt.reports.markdown import markdown_text
from bptt.reports.mathematics import Mathematics
from bptt.reports.phrases import Phrases
from bptt.reports.typesetter import PIECE

n = Symbol("n", integer=True, positive=True)
t, T = (Symbol(name, integer=True, positive=True) for name in "tT")
j, k = (Symbol(name, integer=True) for name in "jk")
F, S, W = sympy.symbols("f s W")
EXTRA = Path(__file__).parents[1] / "derive" / "cells"


def cell_called(name):
    """Return a cell of the zoo, or of those that only tests know."""
    return bptt.load(name if name in bptt.zoo() else EXTRA / f"{name}.cell")


MATH = Mathematics({F: (n,), S: (), W: (n, n)}, [W])
PIECE_F = Function(f"{PIECE}f")(k)
PATH_LATEX = (
    r"\left(\frac{\partial^{+} f_{k}}{\partial  W}\right)^{\top}\,\left(\prod_{j=k+1}^{t} \mathbf{J}_{j}\right)^{\top}"
    r"\,\frac{\partial \mathcal{L}_{t}}{\partial f_{t}}"
)
PATH_TYPST = (
    "lr((frac(partial^(+) f_(k), partial W)))^(top) thin lr((product_(j=k+1)^(t) bold(J)_(j)))^(top) thin "
    "frac(partial cal(L)_(t), partial f_(t))"
)

EXPRESSIONS = [
    # expression, Typst, LaTeX, plain
    (sigma_max(W), 'sigma_(op("max")) \\(W \\)', r"\sigma_{\max}(W)", "σ_{max}(W)"),
    (max_abs(F), 'op("max") thin abs(f_(t))', r"\max\,\left|f_{t}\right|", "max |f_t|"),
    (max_abs(S), "abs(s_(t))", r"\left|s_{t}\right|", "|s_t|"),
    (
        (1 + max_abs(F)) * sigma_max(W) * Rational(1, 4),
        '0.25 thin \\(1 + op("max") thin abs(f_(t)) \\) thin sigma_(op("max")) \\(W \\)',
        r"0.25\,(1 + \max\,\left|f_{t}\right|)\,\sigma_{\max}(W)",
        "0.25 (1 + max |f_t|) σ_{max}(W)",
    ),
    (
        max_abs(F) ** 2,
        '\\(op("max") thin abs(f_(t)) \\)^(2)',
        r"(\max\,\left|f_{t}\right|)^{2}",
        "(max |f_t|)^2",
    ),
    (
        sympy.Mul(PIECE_F, Function("f")(k), evaluate=False),
        "bold(v)_(f) dot.o f_(k)",
        r"\mathbf{v}_{f} \odot f_{k}",
        "v_f ⊙ f_k",
    ),
]
CALLS = [
    # method and arguments, Typst, LaTeX, plain
    (
        ("time", Max(1, t - Symbol("k_2") + 1)),
        'op("max") \\(1\\, t-k_2+1 \\)',
        r"\max(1, t-k_2+1)",
        "max(1, t−k_2+1)",
    ),
    (
        ("sum_of_summands", ((t, Integer(1), T), (k, Integer(1), t))),
        "sum_(t=1)^(T) sum_(k=1)^(t) bold(G)_(t\\,k)",
        r"\sum_{t=1}^{T} \sum_{k=1}^{t} \mathbf{G}_{t,k}",
        "∑_{t=1}^{T} ∑_{k=1}^{t} G_{t,k}",
    ),
    (
        ("path_of_summand", "W", "f", (j, k + 1, t)),
        PATH_TYPST,
        PATH_LATEX,
        "(∂^+f_k/∂W)^⊤ (∏_{j=k+1}^{t} J_j)^⊤ ∂ℒ_t/∂f_t",
    ),
    (
        ("norm_of_direct", "f"),
        'norm(lr([partial f_(t)\\/partial f_(t-1)])_("direct"))',
        r"\left\|\left[\partial f_{t}/\partial f_{t-1}\right]_{\mathrm{direct}}\right\|",
        "‖[∂f_t/∂f_{t−1}]_{direct}‖",
    ),
    (
        ("below", sigma_max(W), Integer(1)),
        'sigma_(op("max")) \\(W \\) < 1',
        r"\sigma_{\max}(W) < 1",
        "σ_{max}(W) < 1",
    ),
]


@pytest.mark.parametrize(("expr", "typst", "latex", "plain"), EXPRESSIONS, ids=[row[-1] for row in EXPRESSIONS])
def test_expression(expr, typst, latex, plain):
    assert clean(MATH.formula(expr)) == Formula(typst, latex, plain)


@pytest.mark.parametrize(("call", "typst", "latex", "plain"), CALLS, ids=[row[-1] for row in CALLS])
def test_call(call, typst, latex, plain):
    assert clean(MATH.call(*call)) == Formula(typst, latex, plain)


def equations(blocks):
    rows = [row for block in blocks if isinstance(block, Equations) for row in block.rows]
    return {clean(row.left).plain: (row.relation, clean(row.right).plain) for row in rows}


def sections(name):
    from bptt.reports.derivation import mathematics

    derivation = derive(cell_called(name))
    math, phrases = mathematics(derivation), Phrases()
    return bounds_of_step(derivation, math, phrases), unrolled_gradient(derivation, math, phrases)


def words(blocks):
    parts = [part for block in blocks if not isinstance(block, Equations) for part in block.text]
    return "".join(clean(part).plain if isinstance(part, Formula) else part for part in parts)


def test_bounds_of_one_state():
    bounds, _ = sections("rnn")
    assert equations(bounds) == {"‖∂h_t/∂h_{t−1}‖": ("leq", "σ_{max}(W_{hh})")}
    assert "vanish that σ_{max}(W_{hh}) < 1" in words(bounds) and "upper bound" in words(bounds)
    assert "max |v|" not in words(bounds)


def test_bounds_of_two_states():
    bounds, _ = sections("lstm")
    found = equations(bounds)
    assert found["‖∂h_t/∂c_{t−1}‖"] == ("leq", "1")
    assert found["‖[∂c_t/∂c_{t−1}]_{direct}‖"] == ("equals", "max |f_t|")
    assert "‖[∂h_t/∂h_{t−1}]_{direct}‖" not in found and found["‖J_t‖"][0] == "leq"
    assert "vanish" not in words(bounds)


# a condition on the bounds alone: one that no weights meet says nothing
VANISHING = [("rnn", True), ("indrnn", True), ("leaky", True), ("lru", True), ("cornn", False), ("gru", False)]


@pytest.mark.parametrize(("name", "is_given"), VANISHING)
def test_condition_for_vanishing(name, is_given):
    assert ("sufficient" in words(sections(name)[0])) == is_given


@pytest.mark.parametrize("name", ["mlstm", "attention_decoder"])
def test_nothing_where_a_matrix_is_on_the_way(name):
    assert sections(name) == ([], [])


def test_nothing_where_there_are_no_parameters_or_the_bounds_are_too_long():
    assert sections("lorenz") == ([], [])
    assert sections("henon")[0] and not sections("henon")[1]


def test_unrolled():
    _, unrolled = sections("rnn")
    found = equations(unrolled)
    assert found["G_{t,k}"][1] == "(∂^+h_k/∂W_{hh})^⊤ (∏_{j=k+1}^{t} J_j)^⊤ ∂ℒ_t/∂h_t"
    assert found["(∂^+h_k/∂W_{hh})^⊤ v_h"][1] == "(v_h ⊙ (1 − h_k^2)) h_{k−1}^⊤"
    kept, dropped = "∑_{k=max(1, t−k_2+1)}^{t} G_{t,k}", "∑_{k=1}^{t−k_2} G_{t,k}"
    assert found["∂ℒ/∂W_{hh}"][1] == f"∑_{{t=1}}^{{T}} {kept} + ∑_{{t=1}}^{{T}} {dropped}"
    assert "k≥t−k_2+1" in words(unrolled)


# the first matrix that multiplies a state of the step before, else the first matrix, else the first parameter
SHOWN = [("rnn", "W_hh"), ("lstm", "W_hi"), ("gru", "W_hz"), ("indrnn", "W_xh"), ("lru", "W_xa"), ("henon", None)]


@pytest.mark.parametrize(("name", "shown"), SHOWN)
def test_shown_parameter(name, shown):
    assert shown_parameter(derive(cell_called(name))) == shown


def test_a_lag_has_a_letter_that_is_no_size():
    cell = bptt.parse("x: input[k]\nh: state[n]\nl: state[n]\nl = tanh(U @ h + l)\nh = tanh(W @ x + l)")
    said = markdown_text(derivation_document(bptt.derive(cell)))
    assert "over $q$ steps" in said and "_{T-q}" in said and "_{t,q}" in said and "a step $q$" in said
    assert "over $k$" in markdown_text(derivation_document(bptt.derive(bptt.load("rnn"))))


def test_relations_in_every_format():
    document = derivation_document(derive(bptt.load("rnn")))
    assert r"\left\|\partial h_{t}/\partial h_{t-1}\right\| &\leq " in markdown_text(document)
    assert "≤" in html_page(document)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_only_the_full_page_has_them(language):
    full, brief = (derivation_document(derive(bptt.load("lstm")), None, language, d) for d in ("full", "brief"))
    assert "sigma_{\\max}" in markdown_text(full) and "mathbf{G}" in markdown_text(full)
    assert "sigma_{\\max}" not in markdown_text(brief) and "mathbf{G}" not in markdown_text(brief)
