"""Every line of the function table, from its definition: slopes, code, bounds."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import sympy
from sympy import Symbol

from bptt.derive.functions import FUNCTIONS, Elementwise, arity, function, slope_residues

RULES = [pytest.param(kind.rule, id=name) for name, kind in FUNCTIONS.items()]
UNARY = [pytest.param(kind.rule, id=name) for name, kind in FUNCTIONS.items() if arity(name) == 1]
KINKED_AT_0 = {"step", "sign", "relu", "abs"}


def exact(number):
    return sympy.Rational(number) if isinstance(number, float) else sympy.Float(str(number), 40)


def defined(rule, *numbers):
    """The definition's value: at 30 digits SymPy takes log(1 + exp(-100)) for 0, at 400 it does not."""
    names = sympy.symbols(f"a:{len(numbers)}", real=True)
    value = rule.definition(*names).subs(dict(zip(names, map(exact, numbers), strict=True)))
    return mpmath.mpf(str(sympy.N(value, 400)))


def stated(rule, index, *numbers):
    """The stated slope's value at 30 digits, with y from the definition."""
    slope = sympy.sympify(rule.slopes[index](*map(sympy.Float, numbers), sympy.Float(str(defined(rule, *numbers)), 30)))
    plain = slope.replace(lambda e: isinstance(e, Elementwise), lambda e: e.rule.definition(*e.args))
    return mpmath.mpf(str(sympy.N(plain, 30)))


def coded(rule, *numbers):
    names = ("x",) if len(numbers) == 1 else ("a", "b")
    return eval(rule.code, {"math": math}, dict(zip(names, numbers, strict=True)))


def samples(rule, count=7):
    """Points within the rule's interval, away from kinks."""
    low, high = rule.sampled
    points = [float(point) for point in np.linspace(low + 0.013, high - 0.029, count)]
    return [(point,) for point in points] if len(rule.slopes) == 1 else list(itertools.permutations(points[:5], 2))


@pytest.mark.parametrize("rule", RULES)
def test_slopes_follow_from_the_definition(rule):
    residues = slope_residues(rule)
    assert residues and set(residues) == {0}


@pytest.mark.parametrize("rule", RULES)
def test_slopes_agree_with_numerical_differentiation(rule):
    for at in samples(rule):
        for index in range(len(rule.slopes)):
            direction = tuple(int(place == index) for place in range(len(at)))
            with mpmath.workdps(30):
                plain = mpmath.diff(lambda *numbers: defined(rule, *numbers), at, direction, h=mpmath.mpf(10) ** -9)
                assert abs(stated(rule, index, *at) - plain) < 1e-7


@pytest.mark.parametrize("rule", RULES)
def test_code_agrees_with_the_definition(rule):
    for at in samples(rule, 15):
        assert coded(rule, *at) == pytest.approx(float(defined(rule, *at)), rel=1e-15, abs=1e-16)


@pytest.mark.parametrize("rule", UNARY)
@pytest.mark.parametrize("x", [0.0, -0.0, 1e-300, 100.0, -100.0, 700.0, 709.782712893])
def test_code_agrees_with_the_definition_at_extremes(rule, x):
    value = coded(rule, x)
    if rule.name in ("log", "sqrt") and x < 0:
        assert math.isnan(value)
    elif rule.name == "log" and x == 0:
        assert value == -math.inf
    else:
        assert value == pytest.approx(float(defined(rule, x)), rel=1e-15, abs=1e-300)


@pytest.mark.parametrize("rule", UNARY)
@pytest.mark.parametrize("x", [math.inf, -math.inf])
def test_code_takes_the_limit_at_infinity(rule, x):
    value = coded(rule, x)
    if rule.name in ("sin", "cos") or (x < 0 and rule.name in ("log", "sqrt")):
        assert math.isnan(value)
    elif rule.name == "silu" and x < 0:
        assert value == 0 or math.isnan(value)
    else:
        at = Symbol("x", real=True)
        assert value == float(sympy.limit(rule.definition(at), at, sympy.oo if x > 0 else -sympy.oo))


@pytest.mark.parametrize("rule", RULES)
def test_code_passes_nan_on(rule):
    count = len(rule.slopes)
    for place in range(count):
        assert math.isnan(coded(rule, *(math.nan if index == place else 1.0 for index in range(count))))


@pytest.mark.parametrize("rule", RULES)
def test_the_lipschitz_bound_holds_and_is_reached(rule):
    if rule.lipschitz is None:
        return
    low, high = rule.sampled
    grid = [float(point) for point in np.linspace(low, high, 61)]
    points = [(p,) for p in grid] if len(rule.slopes) == 1 else [(p, 0.5) for p in grid]
    slopes = [
        abs(float(stated(rule, index, *at))) for at in points if 0.0 not in at for index in range(len(rule.slopes))
    ]
    assert max(slopes) <= float(rule.lipschitz) + 1e-15
    assert max(slopes) > 0.94 * float(rule.lipschitz)


@pytest.mark.parametrize("rule", RULES)
def test_a_kink_is_documented(rule):
    assert bool(rule.kink) == (rule.name in KINKED_AT_0 | {"geq", "max", "min"})


@pytest.mark.parametrize("rule", RULES)
def test_nothing_is_evaluated_early(rule):
    zeros = [sympy.Integer(0)] * len(rule.slopes)
    assert isinstance(FUNCTIONS[rule.name](*zeros), FUNCTIONS[rule.name])


def test_a_second_rule_for_a_name_is_an_error():
    with pytest.raises(KeyError, match="already has a rule for 'tanh'"):
        function("tanh", sympy.tanh, lambda x, y: 1, lipschitz=1)


def test_exp_overflows_to_infinity():
    rule = FUNCTIONS["exp"].rule
    assert coded(rule, 709.782712893384) < math.inf
    assert [coded(rule, x) for x in (709.7827128933842, 709.785, 710.0, 1e300)] == [math.inf] * 4


def test_comparing_infinities():
    assert [coded(FUNCTIONS["geq"].rule, *at) for at in [(math.inf, math.inf), (-math.inf, math.inf)]] == [1, 0]
