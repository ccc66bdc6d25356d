"""Each tensor map against its transpose: <v, J u> = <J'v, u>."""

import numpy as np
import pytest
from sympy import Symbol

from bptt.derive.linear import NODES, node, ones, outer, product, shape_of, tensor_arguments, transpose, transposed


def disagreement(at, index, tensors):
    """Return <v, J u> − <J'v, u> for the argument at `index`, with J by the complex step."""
    bar, shape = Symbol("bar"), tensors.arguments(at)[index]
    shapes = {**tensors.shapes, bar: shape_of(at, tensors.shapes)}
    given, direction = tensors.draw(shapes[bar], 100), tensors.draw(shape, 101)
    pulled = at.rule.transpose(bar, at, index, shapes)
    assert shape_of(pulled, shapes) == shape
    returned = tensors.value(pulled, {bar: given})
    assert returned.shape == direction.shape
    return np.sum(given * tensors.pushed(at, {index: direction})) - np.sum(returned * direction)


def test_transpose(tensor_map, tensors):
    for index in range(len(tensor_arguments(tensor_map))):
        # 1e-13: a few dozen products of numbers near 1 in float64
        assert abs(disagreement(tensor_map, index, tensors)) < 1e-13


def test_shape(tensor_map, tensors):
    shape = shape_of(tensor_map, tensors.shapes)
    assert tensors.value(tensor_map).shape == tensors.draw(shape, 0).shape


@pytest.mark.parametrize("name", sorted(set(NODES) - {"ones"}))
def test_a_wrong_transpose_disagrees(name, tensors, change_rule):
    right = NODES[name].rule.transpose
    change_rule(NODES[name], transpose=lambda bar, at, index, shapes: 2 * right(bar, at, index, shapes))
    at = next(at for at in tensors.maps if isinstance(at, NODES[name]))
    assert abs(disagreement(at, 0, tensors)) > 1e-3


def test_every_map_is_tested(tensors):
    assert {at.func.__name__ for at in tensors.maps} == set(NODES)


def test_ones(tensors):
    n, m = tensors.shapes[Symbol("A")]
    assert (tensors.value(ones(n, m)) == np.ones((5, 3))).all()
    assert tensor_arguments(ones(n, m)) == ()


A, B, u, v = map(Symbol, "ABuv")


@pytest.mark.parametrize("matrix", [A, transpose(A), outer(u, v), -2 * A, product(A, B)], ids=str)
def test_transposed_twice_is_the_same(matrix, tensors):
    once, twice = transposed(matrix), transposed(transposed(matrix))
    assert (tensors.value(once) == tensors.value(matrix).T).all()
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
