"""Tangent programs against adjoint programs and the complex step, and the forms that a textbook gives them."""

import numpy as np
import pytest
from sympy import Symbol

import bptt
from bptt.derive.adjoint import adjoint_program, delta, incoming
from bptt.derive.cell import previous
from bptt.derive.interpret import size
from bptt.derive.linear import shape_of
from bptt.derive.program import forward_program
from bptt.derive.tangent import tangent, tangent_program


def sources_of(cell):
    return [*map(previous, cell.states), *map(Symbol, cell.inputs), *map(Symbol, cell.params)]


@pytest.fixture
def given(numbers):
    """Values of all that a cell reads in its first step."""
    return {**numbers.params, **numbers.start, **{name: array[0] for name, array in numbers.inputs.items()}}


def draw(numbers, symbols, shapes, seed):
    random = np.random.default_rng(seed)
    size_of = {symbol: [size(part, numbers.sizes) for part in shapes[symbol]] for symbol in symbols}
    return {symbol: np.asarray(random.uniform(-1, 1, size_of[symbol]), dtype=complex) for symbol in symbols}


def test_the_tangent_is_the_transpose_of_the_adjoint(cell, numbers, given):
    """⟨v, J u⟩ = ⟨Jᵀ v, u⟩, both within rounding of the sum of the |terms|."""
    program, sources, states = forward_program(cell), sources_of(cell), [*map(Symbol, cell.states)]
    values = numbers.run(program, given)
    u, v = draw(numbers, sources, cell.shapes, 5), draw(numbers, states, cell.shapes, 6)
    forwards = tangent_program(program, sources)
    moved = numbers.run(forwards, {**values, **{tangent(symbol): array for symbol, array in u.items()}})
    backwards = adjoint_program(program, states, sources)
    pulled = numbers.run(backwards, {**values, **{incoming(symbol): array for symbol, array in v.items()}})
    left = [np.sum(v[state] * moved[tangent(state)]) for state in states]
    right = [np.sum(pulled[delta(source)] * u[source]) for source in sources]
    assert abs(sum(left) - sum(right)) <= 1e-12 * (sum(map(abs, left)) + sum(map(abs, right)))


def test_every_tangent_equals_the_complex_step(cell, numbers, given):
    program, sources = forward_program(cell), sources_of(cell)
    u = draw(numbers, sources, cell.shapes, 7)
    values = numbers.run(program, given)
    bent = numbers.run(program, {symbol: array + 1e-30j * u[symbol] for symbol, array in given.items()})
    forwards = tangent_program(program, sources)
    moved = numbers.run(forwards, {**values, **{tangent(symbol): array for symbol, array in u.items()}})
    for step in program.steps:
        slopes = np.asarray(bent[step.target], dtype=complex).imag / 1e-30
        found = np.asarray(moved.get(tangent(step.target), 0 * slopes), dtype=complex)
        scale = np.max(np.abs(slopes), initial=1)
        np.testing.assert_allclose(found, slopes, rtol=0, atol=1e-12 * scale, err_msg=str(step))


def test_every_term_has_its_reason(derivation):
    for step in derivation.tangent.steps:
        terms = step.expr.args if step.expr.is_Add else (step.expr,) if step.expr != 0 else ()
        assert len(terms) == len(step.reasons), step
        assert all(tangent(reason.through) == step.target for reason in step.reasons)


def test_textbook_form():
    assert str(bptt.derive(bptt.load("lstm")).tangent).splitlines() == [
        "tangent_a_i = W_xi @ tangent_x + W_hi @ tangent_h_prev",
        "tangent_i = i * (1 - i) * tangent_a_i",
        "tangent_a_f = W_xf @ tangent_x + W_hf @ tangent_h_prev",
        "tangent_f = f * (1 - f) * tangent_a_f",
        "tangent_a_o = W_xo @ tangent_x + W_ho @ tangent_h_prev",
        "tangent_o = o * (1 - o) * tangent_a_o",
        "tangent_a_g = W_xg @ tangent_x + W_hg @ tangent_h_prev",
        "tangent_g = (1 - g**2) * tangent_a_g",
        "tangent_c = c_prev * tangent_f + f * tangent_c_prev + g * tangent_i + i * tangent_g",
        "tangent_h = tanh(c) * tangent_o + o * (1 - tanh(c)**2) * tangent_c",
    ]


@pytest.mark.parametrize(
    ("equation", "form"),
    [
        ("h = concat(x, h)[0:n]", ["tangent_u_h = pad(tangent_h_prev, n, 2 * n)", "tangent_h = tangent_u_h[0:n]"]),
        ("h = softmax(h)", ["tangent_h = h * (tangent_h_prev - sum(h * tangent_h_prev))"]),
        ("h = x * step(h)", ["tangent_h = 0"]),
        ("h = W.T @ h", ["tangent_h = W.T @ tangent_h_prev"]),
        ("h = x + sum(h)", ["tangent_h = sum(tangent_h_prev) * ones(n)"]),
        ("h = x * sum(h)", ["tangent_u_h = sum(tangent_h_prev)", "tangent_h = x * tangent_u_h"]),
    ],
)
def test_small_forms(equation, form):
    cell = bptt.parse(f"x: input[n]\nh: state[n]\nW: param[n, n]\n{equation}")
    assert str(tangent_program(forward_program(cell), [Symbol("h_prev")])).splitlines() == form


def test_only_what_depends_on_the_sources_moves():
    program = forward_program(bptt.load("lstm"))
    found = tangent_program(program, [Symbol("W_xo")])
    assert str(found).splitlines() == [
        "tangent_a_o = tangent_W_xo @ x",
        "tangent_o = o * (1 - o) * tangent_a_o",
        "tangent_h = tanh(c) * tangent_o",
        "tangent_c = 0",
    ]


def test_the_prefix_is_reserved():
    with pytest.raises(bptt.Error, match="'tangent_h' is kept for what is derived"):
        bptt.parse("h: state[n]\ntangent_h = tanh(h)\nh = tangent_h")


@pytest.mark.parametrize("still", [0, 1, 2])
def test_tangents_of_the_maps_equal_the_complex_step(tensor_map, still, tensors):
    """With all arguments moving, without the first of two, and without the second."""
    shapes = dict(enumerate(tensors.arguments(tensor_map)))
    moving = {index: shape for index, shape in shapes.items() if index != still - 1 or len(shapes) == 1}
    names = {index: Symbol(f"tangent_{index}") for index in moving}
    directions = {index: tensors.draw(shape, 200 + index) for index, shape in moving.items()}
    known = {**tensors.shapes, **{names[index]: shape for index, shape in moving.items()}}
    terms = tensor_map.rule.tangent(tuple(map(names.get, shapes)), tensor_map, known) if moving else []
    assert all(shape_of(term, known) == shape_of(tensor_map, known) for term in terms)
    expected = tensors.pushed(tensor_map, directions)
    values = {names[index]: direction for index, direction in directions.items()}
    found = sum((tensors.value(term, values) for term in terms), 0 * expected)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)
