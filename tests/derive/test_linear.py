"""Each tensor map against its transpose: <v, J u> = <J'v, u>."""

from dataclasses import replace

import numpy as np
import pytest
from sympy import Integer, Symbol

from bptt.derive.interpret import evaluate, size
from bptt.derive.linear import (
    NODES,
    broadcast,
    concat,
    cross_entropy,
    entry,
    lookup,
    node,
    one_hot,
    ones,
    outer,
    pad,
    part,
    product,
    scatter,
    shape_of,
    softmax,
    tensor_arguments,
    total,
    transpose,
    transposed,
)
from bptt.derive.shapes import dimension

n, m, k = map(dimension, "nmk")
SIZES = {"n": 5, "m": 3, "k": 4}
SHAPES = {
    Symbol("s"): (),
    Symbol("u"): (n,),
    Symbol("v"): (m,),
    Symbol("w"): (n,),
    Symbol("one"): (Integer(1),),
    Symbol("A"): (n, m),
    Symbol("B"): (m, k),
    Symbol("S"): (n, n),
}
s, u, v, w, one, A, B, S = SHAPES
INDEX = Symbol("i")
MAPS = [
    product(A, v),
    product(A, B),
    product(transpose(A), u),
    product(transpose(A), S),
    transpose(A),
    outer(u, v),
    outer(v, v + v),
    total(u),
    total(A),
    total(s),
    broadcast(s, n),
    broadcast(s, n, m),
    concat(u, v),
    concat(v, u, w),
    part(u, Integer(1), Integer(4)),
    part(u, Integer(0), m),
    pad(v, Integer(2), n),
    pad(v, Integer(0), n),
    entry(u, Integer(0)),
    entry(u, n - 1),
    softmax(u),
    lookup(A, INDEX),
    lookup(u, INDEX),
    scatter(v, INDEX, n),
    scatter(s, INDEX, n),
    cross_entropy(u, w),
    cross_entropy(u, one_hot(INDEX, n)),
]


def value(expr, values, apply):
    return np.asarray(evaluate(expr, values, SIZES, apply, 1.0), dtype=complex)


def draw(shape, seed):
    return np.random.default_rng(seed).standard_normal([size(part, SIZES) for part in shape]).astype(complex)


@pytest.fixture
def values():
    return {INDEX: np.asarray(2)} | {symbol: draw(SHAPES[symbol], number) for number, symbol in enumerate(SHAPES)}


def disagreement(at, index, values, apply):
    """Return <v, J u> − <J'v, u> for the argument at `index`, with J by the complex step."""
    argument = tensor_arguments(at)[index]
    bar, direction = Symbol("bar"), Symbol("direction")
    shape = shape_of(argument, SHAPES)
    shapes = {**SHAPES, bar: shape_of(at, SHAPES), direction: shape}
    values = {**values, bar: draw(shapes[bar], 100), direction: draw(shape, 101)}
    moved = list(at.args)
    moved[index] = Symbol("moved")
    values[Symbol("moved")] = value(argument, values, apply) + 1e-30j * values[direction]
    pushed = value(at.func(*moved), values, apply).imag / 1e-30
    pulled = at.rule.transpose(bar, at, index, shapes)
    assert shape_of(pulled, shapes) == shape
    returned = value(pulled, values, apply)
    assert returned.shape == values[direction].shape
    return np.sum(values[bar] * pushed) - np.sum(returned * values[direction])


@pytest.mark.parametrize("at", MAPS, ids=str)
def test_transpose(at, values, apply):
    for index in range(len(tensor_arguments(at))):
        # 1e-13: a few dozen products of numbers near 1 in float64
        assert abs(disagreement(at, index, values, apply)) < 1e-13


@pytest.mark.parametrize("at", MAPS, ids=str)
def test_shape(at, values, apply):
    assert value(at, values, apply).shape == tuple(size(part, SIZES) for part in shape_of(at, SHAPES))


@pytest.mark.parametrize("name", sorted(set(NODES) - {"ones"}))
def test_a_wrong_transpose_disagrees(name, values, apply, monkeypatch):
    rule = NODES[name].rule
    wrong = replace(rule, transpose=lambda bar, at, index, shapes: 2 * rule.transpose(bar, at, index, shapes))
    monkeypatch.setattr(NODES[name], "rule", wrong)
    at = next(at for at in MAPS if isinstance(at, NODES[name]))
    assert abs(disagreement(at, 0, values, apply)) > 1e-3


def test_every_map_is_tested():
    assert {at.func.__name__ for at in MAPS} | {"ones"} == set(NODES)


def test_ones(values, apply):
    assert (value(ones(n, m), values, apply) == np.ones((5, 3))).all()
    assert tensor_arguments(ones(n, m)) == ()


@pytest.mark.parametrize("matrix", [A, transpose(A), outer(u, v), -2 * A, product(A, B)], ids=str)
def test_transposed_twice_is_the_same(matrix, values, apply):
    once, twice = transposed(matrix), transposed(transposed(matrix))
    assert (value(once, values, apply) == value(matrix, values, apply).T).all()
    assert twice == matrix


@pytest.mark.parametrize("name", NODES)
def test_every_map_says_why(name):
    assert NODES[name].rule.why


def test_a_map_has_no_slope():
    with pytest.raises(TypeError, match="product is differentiated by its transpose, not entry by entry"):
        product(A, v).diff(v)


def test_a_second_rule_for_a_name_is_an_error():
    rule = NODES["total"].rule
    with pytest.raises(KeyError, match="already has a rule for 'total'"):
        node("total", rule.shape, rule.transpose, why="again")
