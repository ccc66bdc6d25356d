"""Jacobian blocks split into paths: the parts add up to the block, in numbers and term by term."""

import itertools
from collections import Counter

import numpy as np
import pytest
import sympy
from sympy.matrices.expressions import Identity, MatAdd, MatMul, ZeroMatrix

import bptt
from bptt.derive import paths as paths_module
from bptt.derive.errors import Error
from bptt.derive.interpret import matrix
from bptt.derive.jacobian import Column, Diagonal
from bptt.derive.written import canonical


def blocks_of(derivation):
    """The blocks that have a matrix form; the others must refuse to be split with the same words."""
    for value, state in itertools.product(derivation.cell.states, repeat=2):
        try:
            block = derivation.jacobian(value, state)
        except Error as error:
            with pytest.raises(Error) as refused:
                derivation.paths(value, state)
            assert str(refused.value) == str(error)
            continue
        yield value, state, block


def distributed(expr):
    """A sum of products of matrices multiplied out: (factors, with one monomial in each diagonal) -> coefficient."""
    if isinstance(expr, ZeroMatrix):
        return Counter()
    if isinstance(expr, MatAdd):
        return sum_of(map(distributed, expr.args))
    if isinstance(expr, MatMul):
        found = Counter({(): 1})
        for factor in expr.args:
            found = sum_of(
                Counter({joined(left + right): a * b})
                for (left, a), (right, b) in itertools.product(found.items(), distributed(factor).items())
            )
        return found
    if isinstance(expr, Identity):
        return Counter({(): 1})
    if isinstance(expr, Diagonal):
        terms = sympy.Add.make_args(sympy.expand(canonical(expr.args[0])))
        return sum_of(Counter({monomial(part, expr.args[1]): c}) for c, part in (t.as_coeff_Mul() for t in terms))
    return Counter({(): expr}) if expr.is_number else Counter({(expr,): 1})


def monomial(part, size):
    return () if part == 1 else (Diagonal(part, size),)


def joined(factors):
    kept: list = []
    for factor in factors:
        if kept and isinstance(kept[-1], Diagonal) and isinstance(factor, Diagonal):
            factor = Diagonal(kept.pop().args[0] * factor.args[0], factor.args[1])
        kept.append(factor)
    return tuple(kept)


def sum_of(counters):
    total: dict = {}
    for counter in counters:
        for key, coefficient in counter.items():
            total[key] = total.get(key, 0) + coefficient
    return Counter({key: coefficient for key, coefficient in total.items() if coefficient != 0})


def test_parts_add_up_term_by_term(derivation):
    for value, state, block in blocks_of(derivation):
        parts = [part for _, part in derivation.paths(value, state)]
        assert sum_of(map(distributed, parts)) == distributed(block), (value, state)


def test_parts_add_up_in_numbers(derivation, numbers, apply):
    values = numbers.step(0, numbers.start)
    for value, state, block in blocks_of(derivation):
        expected = np.asarray(matrix(block, values, numbers.sizes, apply, 1.0), dtype=complex)
        found = np.zeros_like(expected)
        for _, part in derivation.paths(value, state):
            found = found + matrix(part, values, numbers.sizes, apply, 1.0)
        scale = np.max(np.abs(expected), initial=1)
        np.testing.assert_allclose(np.asarray(found, dtype=complex), expected, rtol=0, atol=1e-13 * scale)


def test_paths_follow_the_equations(derivation):
    reads = {step.target.name: {symbol.name for symbol in step.reads} for step in derivation.forward.steps}
    for value, state, _ in blocks_of(derivation):
        names = [names for names, _ in derivation.paths(value, state)]
        assert len(set(names)) == len(names)
        for path in names:
            assert (path[0], path[-1]) == (f"{state}_prev", value)
            assert all(before in reads[after] for before, after in itertools.pairwise(path))


def test_the_paths_of_a_cell_state():
    found = bptt.derive(bptt.load("lstm")).paths("c", "h")
    assert [(names, str(part)) for names, part in found] == [
        (("h_prev", "a_f", "f", "c"), "Diagonal(c_prev*f*(1 - f), n)*W_hf"),
        (("h_prev", "a_i", "i", "c"), "Diagonal(g*i*(1 - i), n)*W_hi"),
        (("h_prev", "a_g", "g", "c"), "Diagonal(i*(1 - g**2), n)*W_hg"),
    ]


@pytest.mark.parametrize(
    ("name", "state", "form"),
    [
        ("rnn", "h", "0"),
        ("lstm", "h", "0"),
        ("lstm", "c", "Diagonal(f, n)"),
        ("gru", "h", "Diagonal(1 - z, n)"),
        ("gru_reset_after", "h", "Diagonal(z, n)"),
    ],
)
def test_what_remains_on_the_direct_path(name, state, form):
    assert str(bptt.derive(bptt.load(name)).direct(state)) == form


@pytest.mark.parametrize(
    ("equation", "form"), [("h = softmax(h)", "0"), ("h = 0.5 * h - softmax(h)", "Diagonal(1/2, n)")]
)
def test_a_softmax_mixes(equation, form):
    assert str(bptt.derive(bptt.parse(f"h: state[n]\n{equation}")).direct("h")) == form


def test_the_direct_path_is_what_no_matrix_mixes(derivation):
    for value, state, _ in blocks_of(derivation):
        if value == state:
            parts = [part for _, part in derivation.paths(value, state) if not part.has(Column)]
            terms = sum_of(map(distributed, parts))
            unmixed = {key: n for key, n in terms.items() if all(isinstance(factor, Diagonal) for factor in key)}
            assert unmixed == distributed(derivation.direct(state))


def test_too_many_paths(monkeypatch):
    lines = [f"v{i} = tanh(W @ v{i - 1}) * sigmoid(U @ v{i - 1})" for i in range(1, 5)]
    text = "\n".join(["h: state[n]", "v0 = W @ h", *lines, "h = v4"])
    derivation = bptt.derive(bptt.parse(text))
    assert len(derivation.paths("h", "h")) == 16
    monkeypatch.setattr(paths_module, "MOST_PATHS", 15)
    with pytest.raises(Error, match="16 paths lead from h_prev to h, more than the 15"):
        derivation.paths("h", "h")


def test_messages():
    derivation = bptt.derive(bptt.load("lstm"))
    with pytest.raises(Error, match="'i' is not a state. States: h, c."):
        derivation.paths("h", "i")
    with pytest.raises(Error, match="the cell has no value called 'q'"):
        derivation.paths("q", "h")
    with pytest.raises(Error, match="'q' is not a state"):
        derivation.direct("q")
    matrix_state = bptt.derive(bptt.parse("h: state[n, n]\nh = 0.5 * h"))
    for refused in (lambda: matrix_state.paths("h", "h"), lambda: matrix_state.direct("h")):
        with pytest.raises(Error, match="more than two indices"):
            refused()


def test_a_value_that_does_not_depend_on_the_state():
    derivation = bptt.derive(bptt.parse("x: input[n]\nh: state[n]\ng = tanh(x)\nh = h * g"))
    assert derivation.paths("g", "h") == [] and derivation.paths("x", "h") == []
    assert [names for names, _ in derivation.paths("h", "h")] == [("h_prev", "h")]
