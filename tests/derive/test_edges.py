"""Edges are found where a slope can be infinite, nowhere else, and there the kernels have no finite gradient."""

import numpy as np
import pytest

import bptt
from bptt.derive.edges import edges

HEAD = "x: input[n]\neps: param\nh: state[n]\n"


def found(equations):
    return [(str(edge.expr), edge.has_value) for edge in edges(bptt.derive(bptt.parse(HEAD + equations)))]


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        ("h = norm(x) * h", [("sqrt(total(x**2))", True)]),
        ("h = x**0.25 + h**1.5", [("x**(1/4)", True)]),
        ("h = sqrt(relu(h) + x**2)", [("sqrt(x**2 + relu(h_prev))", True)]),
        ("h = log(x) * h", [("log(x)", False)]),
        ("h = h / (x - 1)", [("1/(x - 1)", False)]),
        ("h = h * x**-0.5 + h * x**-0.5", [("1/sqrt(x)", False)]),
        ("h = h / (eps + norm(x)**2)", [("1/(eps + sqrt(total(x**2))**2)", False), ("sqrt(total(x**2))", True)]),
    ],
)
def test_what_reaches_its_edge(equation, expected):
    assert found(equation) == expected


@pytest.mark.parametrize(
    "equation",
    [
        "h = x**2 + h**1.5 + tanh(h / 3)",
        "h = sqrt(x @ x + 0.1) * h",
        "h = log(sum(exp(x))) * h + log(2 + sin(h))",
        "h = h / (3 - tanh(x)) + sqrt(softmax(x))",
        "h = h / (sigmoid(x) + exp(h)) + x / sum(ones(n))",
        "h = h / max(abs(dot(x, h)), 1)",
        "q = exp(x) + h**2\nh = h / q",
        "h = exp(A)**0.5 * x / sum(ones(n)) + h",
        "h = sqrt(outer(exp(h), exp(x)) @ softmax(h))",
    ],
)
def test_what_never_does(equation):
    assert found(equation) == []


@pytest.mark.parametrize("equation", ["h = norm(h) * x", "h = x * h**0.25", "h = log(h) + x", "h = x / h"])
def test_kernels_have_no_finite_gradient_there(equation):
    cell = bptt.parse(HEAD + equation)
    assert edges(bptt.derive(cell))
    kernel = bptt.compile(cell)
    run = kernel.forward(kernel.init({"n": 2}), {"x": np.ones((1, 1, 2))}, {"h": np.zeros((1, 2))})
    assert not np.isfinite(kernel.backward(run, {"h": np.ones((1, 1, 2))}).state["h"]).any()


def test_layouts_have_the_same_edges():
    derivation = bptt.derive(bptt.parse(HEAD + "h = norm(x) * h / sqrt(norm(h) + 1) + log(W @ x)"))
    for layout in ("column", "row", "batch"):
        restated = bptt.restate(derivation, bptt.Notation(layout=layout)).derivation
        assert [edge.has_value for edge in edges(restated)] == [True, True, False]
