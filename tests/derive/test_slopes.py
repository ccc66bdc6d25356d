"""Elementwise slopes: in known values, and each differentiated once, whoever asks for it."""

import itertools

import pytest
import sympy
from sympy import Symbol

import bptt
from bptt.derive import slopes
from bptt.derive.bounds import bounds
from bptt.derive.functions import FUNCTIONS, sigmoid
from bptt.derive.slopes import partials

A, F = sympy.symbols("a f")


def chain(equations):
    """A cell whose state goes through so many equations, one after the other."""
    values = ["h", *(f"v_{k}" for k in range(1, equations)), "h"]
    lines = (f"{values[k]} = tanh(W_{k} @ {values[k - 1]} + x + b_{k})" for k in range(1, equations + 1))
    return bptt.parse("\n".join(["x: input[n]", "h: state[n]", *lines]))


@pytest.fixture
def differentiated(monkeypatch):
    """What `sympy.diff` is called with, from an empty memory."""
    slopes._plain_partials.cache_clear()
    calls = []
    right = sympy.diff

    def noted(*args):
        calls.append(args)
        return right(*args)

    monkeypatch.setattr(slopes.sympy, "diff", noted)
    return calls


def everything(cell):
    derivation = bptt.derive(cell)
    assert derivation.recursion and derivation.gradients and derivation.tangents and bounds(derivation)
    for value, state in itertools.product(cell.states, repeat=2):
        derivation.jacobian(value, state)
    for name in cell.params:
        derivation.unrolled(name)
        derivation.truncated(name, 1, 5)


def test_derivatives_taken_grow_with_the_number_of_equations(differentiated):
    counts = []
    for equations in (2, 4, 8):
        slopes._plain_partials.cache_clear()
        differentiated.clear()
        everything(chain(equations))
        counts.append(len(differentiated))
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0]) > 0


def test_no_derivative_is_taken_twice(differentiated):
    cell = chain(3)
    everything(cell)
    assert differentiated
    differentiated.clear()
    everything(cell)
    held = [call for call in differentiated if not call[0].atoms(*FUNCTIONS.values())]
    assert differentiated == held  # the functions that `bounds` makes up are new ones each time


def test_a_rule_that_changes_is_seen(change_rule):
    assert partials(sigmoid(A), {sigmoid(A): F}) == [(A, F * (1 - F))]
    change_rule(sigmoid, slopes=(lambda x, y: 7 * y,))
    assert partials(sigmoid(A), {sigmoid(A): F}) == [(A, 7 * F)]


def test_slopes_that_are_zero_are_left_out():
    step = FUNCTIONS["step"]
    assert partials(step(A) + Symbol("b"), {}) == [(Symbol("b"), 1)]
