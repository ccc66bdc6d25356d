"""Identity of expressions: by expansion, and in a finite field where expansion can't decide."""

import pytest
import sympy
from sympy import Rational

from bptt.derive.errors import Error
from bptt.derive.polynomials import PRIME, SQUARES, FiniteField, PolynomialRing, Terms, generators

x, y, z = sympy.symbols("x y z")
f = sympy.Function("f")(x)
TRUE = [
    ((x + y) ** 3, x**3 + 3 * x**2 * y + 3 * x * y**2 + y**3),
    (x * (y + z) - x * y, x * z),
    (f * (1 - f), f - f**2),
    (x / 2 + x / 3, 5 * x / 6),
    (sympy.Integer(0), x - x),
]
RATIONAL = [
    (x / (x + y) + y / (x + y), sympy.Integer(1)),
    (1 / x - 1 / y, (y - x) / (x * y)),
    (sympy.sqrt(x + y) ** 3, (x + y) * sympy.sqrt(x + y)),
    (1 / sympy.sqrt(x + 1), sympy.sqrt(x + 1) / (x + 1)),
    (x * x ** Rational(-15, 16), x ** Rational(1, 16)),
    (sympy.Mul(x + y, (x + y) ** Rational(-7, 10), evaluate=False), (x + y) ** Rational(3, 10)),
    (sympy.cbrt(x + y) * (x + y) ** Rational(1, 6), sympy.sqrt(x + y)),
]


def in_ring(one, other):
    ring = PolynomialRing(*generators([one, other]))
    return ring.convert(one) == ring.convert(other)


def in_field(one, other, seed=0):
    return FiniteField(seed).equal(one, other)


@pytest.mark.parametrize(("one", "other"), TRUE)
def test_true_polynomial_identities(one, other):
    assert in_ring(one, other)
    assert in_field(one, other)


@pytest.mark.parametrize(("one", "other"), RATIONAL)
def test_true_identities_with_reciprocals_and_roots(one, other):
    assert all(in_field(one, other, seed) for seed in range(5))


@pytest.mark.parametrize(("one", "other"), TRUE + RATIONAL)
@pytest.mark.parametrize("change", [x, y**2, Rational(1, 10**9), -sympy.Integer(PRIME + 1), f])
def test_false_identities(one, other, change):
    assert not in_ring(one, other + change)
    assert not in_field(one, other + change)


def test_the_prime_has_one_root_of_each_odd_degree():
    assert sympy.isprime(PRIME)
    assert sympy.isprime(SQUARES)
    assert 2 * SQUARES + 1 == PRIME


def test_many_roots_exist_at_one_point():
    names = sympy.symbols("a:40")
    sums = [sympy.sqrt(name + x) for name in names]
    field = FiniteField(seed=0)
    assert field.equal(sympy.Add(*(root**3 for root in sums)), sympy.Add(*(root * root.base for root in sums)))
    assert not field.equal(sympy.Add(*sums), sympy.Add(*sums[1:]))


def test_a_root_that_never_exists_is_said():
    with pytest.raises(Error, match="exists at none of"):
        FiniteField(seed=0).equal(sympy.sqrt(-(x**2)) + y, y)


def test_a_reciprocal_is_one_generator_and_its_product_is_left_to_the_field():
    assert in_ring(y / (x + 1), 1 / (1 + x) * y)
    assert not in_ring(x / x**2 * x**2, x) or in_field(x / x**2 * x**2, x)


@pytest.mark.parametrize("expr", [(x + y) ** 4 * (1 - z), x * y + z * (x + y), (x + 1) ** 2 * (x - 1) ** 2])
def test_the_bound_on_terms_holds(expr):
    assert Terms().bound(expr) >= len(sympy.expand(expr).args)


def test_what_is_left_is_shown_by_its_first_terms():
    ring = PolynomialRing([x, y], [])
    assert ring.shown(ring.convert(3 * x**2 * y + y / 2)) == "3·x^2·y + 1/2·y"
    assert ring.shown(ring.convert((x + y + 1) ** 3)).endswith(" + …")
