"""Intervals hold what they must, and the functions' images are right."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sympy import Integer, Rational, Symbol, oo

import bptt
from bptt.derive.functions import FUNCTIONS
from bptt.derive.intervals import ANY, Intervals, plus, power, times
from bptt.derive.linear import one_hot
from bptt.derive.program import forward_program

ENDS = st.one_of(st.fractions(-5, 5).map(lambda f: Rational(f.numerator, f.denominator)), st.sampled_from([-oo, oo]))


@st.composite
def intervals_with_points(draw):
    low, high = sorted([draw(ENDS), draw(ENDS)])
    low, high = (oo if low == oo else low), (-oo if high == -oo else high)
    if low == oo or high == -oo:
        low, high = -oo, oo
    ends = [float(max(low, Integer(-9))), float(min(high, Integer(9)))]
    point = draw(st.fractions(*map(str, map(math.floor, ends)))) if ends[0] != ends[1] else None
    value = Rational(point.numerator, point.denominator) if point is not None else max(low, Integer(-9))
    return (low, high), min(max(value, low), high)


def holds(interval, value):
    return interval[0] <= value <= interval[1]


@given(intervals_with_points(), intervals_with_points())
def test_sums_and_products(one, other):
    assert holds(plus(one[0], other[0]), one[1] + other[1])
    assert holds(times(one[0], other[0]), one[1] * other[1])


@given(intervals_with_points(), st.sampled_from([-3, -2, -1, 1, 2, 3, Rational(1, 2), Rational(-3, 2)]))
def test_powers(one, exponent):
    interval, value = one
    exponent = Integer(exponent) if isinstance(exponent, int) else exponent
    if (value == 0 and exponent < 0) or (value < 0 and exponent.q == 2):
        return
    assert holds(power(interval, exponent), value**exponent)


@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if function.rule.image != ANY])
def test_images(name, apply):
    rule = FUNCTIONS[name].rule
    low, high = rule.sampled
    grid = np.linspace(low, high, 201)
    arguments = [grid] if len(rule.slopes) == 1 else [grid, np.flip(grid) + 0.01]
    values = [apply(FUNCTIONS[name], *entries).real for entries in zip(*arguments, strict=True)]
    assert float(rule.image[0]) <= min(values) and max(values) <= float(rule.image[1])


@pytest.mark.parametrize(
    ("equation", "interval"),
    [
        ("h = 1 - sigmoid(x)", (0, 1)),
        ("h = x / (1 + norm(x))", ANY),
        ("h = ones(n) / (1 + norm(x))", (0, 1)),
        ("h = 2 * tanh(x)**2 - 3", (-3, -1)),
        ("h = softmax(x) - 1", (-1, 0)),
        ("h = concat(tanh(x), sigmoid(x))[0:n]", (-1, 1)),
        ("h = x * h", ANY),
        ("h = abs(x) + 1", (1, oo)),
        ("h = 1 / min(abs(x), 0)", ANY),
    ],
)
def test_intervals_of_values(equation, interval):
    program = forward_program(bptt.parse(f"x: input[n]\nh: state[n]\n{equation}"))
    assert Intervals(program).of(Symbol("h")) == interval


def test_what_an_index_picks():
    program = forward_program(bptt.parse("w: index[k]\nE: param[k, n]\nh: state[n]\nh = softmax(h) + tanh(E)[w]"))
    assert Intervals(program).of(Symbol("h")) == (-1, 2)
    assert Intervals(program).of(one_hot(Symbol("w"), Symbol("k"))) == (0, 1)
