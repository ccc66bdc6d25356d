"""Jacobian blocks in matrix form against the complex step, and their textbook forms."""

import itertools

import numpy as np
import pytest
from sympy import Symbol

import bptt
from bptt.derive.cell import previous
from bptt.derive.errors import Error
from bptt.derive.interpret import matrix


def test_blocks_equal_the_complex_step(derivation, numbers, differentiate, apply):
    states = derivation.cell.states
    start = {symbol: array.copy() for symbol, array in numbers.start.items()}
    values = numbers.step(0, start)
    for value, state in itertools.product(states, states):
        shapes = len(derivation.cell.shapes[Symbol(value)]), len(derivation.cell.shapes[Symbol(state)])
        try:
            block = derivation.jacobian(value, state)
        except Error as error:
            assert 2 in shapes or "matrix" in str(error)
            continue
        columns = differentiate(start[previous(state)], lambda value=value: numbers.step(0, start)[Symbol(value)])
        expected = np.stack([np.atleast_1d(column) for column in columns], axis=-1)
        found = np.asarray(matrix(block, values, numbers.sizes, apply, 1.0), dtype=complex)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def block(text, value="h", state="h"):
    return str(bptt.derive(bptt.parse(text)).jacobian(value, state))


@pytest.mark.parametrize(
    ("cell", "value", "state", "form"),
    [
        ("rnn", "h", "h", "Diagonal(1 - h**2, n)*W_hh"),
        ("rnn_relu", "h", "h", "Diagonal(step(h), n)*W_hh"),
        ("lstm", "c", "c", "Diagonal(f, n)"),
        ("lstm", "h", "c", "Diagonal(f*o*(1 - tanh(c)**2), n)"),
    ],
)
def test_textbook_forms(cell, value, state, form):
    assert str(bptt.derive(bptt.load(cell)).jacobian(value, state)) == form


@pytest.mark.parametrize(
    ("equation", "form"),
    [
        ("h = h", "I"),
        ("h = x", "0"),
        ("h = U @ h", "U"),
        ("h = U.T @ h + h", "I + U.T"),
        ("h = 2 * h + x * h", "Diagonal(x + 2, n)"),
    ],
)
def test_small_forms(equation, form):
    assert block(f"x: input[n]\nh: state[n]\n{equation}") == form


def test_messages():
    derivation = bptt.derive(bptt.parse("x: input[n]\nS: state[n, n]\nh: state[n]\nS = S + outer(x, h)\nh = S @ x"))
    with pytest.raises(Error, match="'x' is not a state. States: S, h."):
        derivation.jacobian("h", "x")
    with pytest.raises(Error, match="the cell has no value called 'g'"):
        derivation.jacobian("g", "h")
    with pytest.raises(Error, match="the Jacobian block of S_prev has more than two indices: it is a matrix itself"):
        derivation.jacobian("h", "S")
    with pytest.raises(Error, match="outer"):
        derivation.jacobian("h", "h")
