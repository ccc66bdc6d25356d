"""Bounds on Jacobians: their known forms, that they hold on random samples, are met where they can be, and can fail."""

import math

import numpy as np
import pytest
import sympy
from sympy import Symbol

import bptt
from bptt.derive import bounds as bounds_module
from bptt.derive.bounds import Slope, bounds, max_abs, sigma_max
from bptt.derive.cell import previous
from bptt.derive.errors import Error
from bptt.derive.functions import FUNCTIONS
from bptt.derive.interpret import evaluate, matrix, run, size

LOGISTIC = "x: input[m]\nh: state[n]\nh = sigmoid(W_hh @ h + W_xh @ x + b)"
ROUNDING = 1 + 1e-9  # of norms, relative


class Sample:
    """One step of a cell on random numbers, or on given ones."""

    def __init__(self, derivation, sizes, apply, seed=0, scale=1.0, **given):
        self.derivation, self.sizes, self.apply = derivation, sizes, apply
        random = np.random.default_rng(seed)
        cell = derivation.cell
        reads = [*map(Symbol, cell.inputs), *map(previous, cell.states), *map(Symbol, cell.params)]
        values = {
            symbol: scale * random.uniform(-1, 1, [size(part, sizes) for part in cell.shapes[symbol]]) + 0j
            for symbol in reads
        }
        values |= {Symbol(name): np.asarray(array, dtype=complex) for name, array in given.items()}
        for program in (derivation.prologue, derivation.forward):
            values = run(program, values, sizes, apply, 1.0)
        self.values = values

    def norm(self, block):
        found = matrix(block, self.values, self.sizes, self.apply, 1.0)
        return np.linalg.norm(np.asarray(found, dtype=complex).real, 2)

    def state_norm(self):
        states = self.derivation.cell.states
        blocks = [[self.block(a, b) for b in states] for a in states]
        return np.linalg.norm(np.block(blocks), 2)

    def block(self, value, state):
        found = matrix(self.derivation.jacobian(value, state), self.values, self.sizes, self.apply, 1.0)
        return np.asarray(found, dtype=complex).real

    def value(self, bound):
        """The number that a bound stands for."""
        if isinstance(bound, max_abs):
            return np.max(np.abs(evaluate(bound.args[0], self.values, self.sizes, self.apply, 1.0).astype(complex)))
        if isinstance(bound, sigma_max) and isinstance(bound.args[0], Symbol):
            return np.linalg.norm(self.values[bound.args[0]].astype(complex).real, 2)
        if isinstance(bound, sigma_max):
            rows = bound.args[0].tolist()
            return np.linalg.norm([[self.value(entry) for entry in row] for row in rows], 2)
        if isinstance(bound, Symbol):
            return float(self.sizes[bound.name])
        if not bound.args:
            return float(bound)
        numbers = [self.value(part) for part in bound.args]
        if isinstance(bound, sympy.Pow):
            return numbers[0] ** numbers[1]
        return sum(numbers) if isinstance(bound, sympy.Add) else math.prod(numbers)

    def violations(self, found):
        """The blocks whose norm is above their bound."""
        above = [k for k, bound in found.blocks.items() if np.linalg.norm(self.block(*k), 2) > self.limit(bound)]
        return above + ["state"] * bool(self.state_norm() > self.limit(found.state))

    def limit(self, bound):
        return self.value(bound) * ROUNDING + 1e-12


def bounds_or_none(derivation):
    try:
        return bounds(derivation)
    except Error as error:
        assert "indices" in str(error) or "matrix form" in str(error)
        return None


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # a norm of 0 or an overflow in a sample
def test_bounds_hold_on_random_samples(derivation, numbers, apply):
    if (found := bounds_or_none(derivation)) is None:
        return
    for seed in range(6):
        for scale in (0.1, 1.0, 4.0):
            sample = Sample(derivation, numbers.sizes, apply, seed, scale)
            assert not sample.violations(found), (seed, scale)
            for state, exact in found.direct.items():
                assert sample.value(exact) == pytest.approx(sample.norm(derivation.direct(state)), rel=1e-12)


def test_bounds_hold_no_slope_that_was_kept(derivation):
    if (found := bounds_or_none(derivation)) is None:
        return
    own = {function for step in derivation.forward.steps for function in step.expr.atoms(sympy.Function)}
    for bound in [*found.blocks.values(), found.state, *found.direct.values()]:
        assert not bound.atoms(Slope)
        assert {type(f) for f in bound.atoms(sympy.Function)} <= {
            sigma_max,
            max_abs,
            *FUNCTIONS.values(),
            *map(type, own),
        }


@pytest.mark.parametrize(
    ("text", "bound", "vanishing"),
    [
        ("h = tanh(W @ h + V @ x)", "sigma_max(W)", "sigma_max(W) < 1"),
        ("h = sigmoid(W @ h + V @ x)", "sigma_max(W)/4", "sigma_max(W) < 4"),
        ("h = relu(W @ h + V @ x)", "sigma_max(W)", "sigma_max(W) < 1"),
        ("h = tanh(W.T @ h + V @ x)", "sigma_max(W)", "sigma_max(W) < 1"),
        ("h = 0.5 * h + 0.5 * tanh(W @ h + V @ x)", "sigma_max(W)/2 + 1/2", "sigma_max(W)/2 + 1/2 < 1"),
        ("h = h + tanh(W @ h + V @ x)", "sigma_max(W) + 1", "False"),
        ("h = tanh(W @ concat(h, x) + b)", "sigma_max(W)", "sigma_max(W) < 1"),
        ("h = softmax(W @ h + V @ x)", "sigma_max(W)/2", "sigma_max(W) < 2"),
        ("h = exp(W @ h + V @ x)", "max_abs(h)*sigma_max(W)", "max_abs(h)*sigma_max(W) < 1"),
        ("h = tanh(V @ x)", "0", "True"),
        ("h = 0.9 * h + V @ x", "9/10", "True"),
        ("h = h * x[0]", "max_abs(u_h)", "max_abs(u_h) < 1"),
        ("h = 0.5 * h + 0.5 * sigmoid(V @ x) * h", "1", "False"),
        ("h = 0.5 * sum(h) * tanh(V @ x) + W @ h", "n/2 + sigma_max(W)", "n/2 + sigma_max(W) < 1"),
        ("h = sum(h) * tanh(V @ x) + W @ h", "n + sigma_max(W)", "False"),
    ],
)
def test_known_forms(text, bound, vanishing):
    found = bounds(bptt.derive(bptt.parse(f"x: input[m]\nh: state[n]\n{text}")))
    assert str(found.state) == str(found.blocks["h", "h"]) == bound
    assert str(found.vanishing) == vanishing


def test_forms_of_two_states():
    found = bounds(bptt.derive(bptt.load("lstm")))
    assert found.direct == {"h": 0, "c": max_abs(Symbol("f"))}
    assert found.blocks["c", "c"] == found.blocks["h", "c"] == 1
    assert str(found.blocks["c", "h"]) == "max_abs(c_prev)*sigma_max(W_hf)/4 + sigma_max(W_hg) + sigma_max(W_hi)/4"
    assert found.blocks["h", "h"] - found.blocks["c", "h"] == sigma_max(Symbol("W_ho")) / 4
    assert found.state == sigma_max(sympy.ImmutableMatrix(2, 2, list(found.blocks.values())))
    assert found.vanishing is sympy.false


@pytest.mark.parametrize(
    ("lines", "can_vanish"),
    [
        (
            "h = 0.6 * h + 0.6 * s\ns = 0.6 * s + 0.6 * g + tanh(W @ h)",
            False,
        ),
        ("h = 0.4 * h + 0.4 * s\ns = 0.4 * s + 0.4 * g + tanh(W @ h)", True),
        ("g = h + W @ s\nh = 0.5 * g\ns = s * x", True),
        ("g = h + W @ s\nh = g\ns = s * x", False),
    ],
)
def test_a_condition_that_no_weights_meet_is_false(lines, can_vanish):
    """Where all weights and values are 0, bounds are smallest; no block has to reach 1 for all of them to do so."""
    lines = lines if lines.startswith("g") else f"g = h\n{lines}"
    found = bounds(bptt.derive(bptt.parse(f"x: input[n]\nh: state[n]\ns: state[n]\n{lines}")))
    assert (found.vanishing is not sympy.false) == can_vanish


SIZES = {"n": 5, "m": 3}


@pytest.mark.parametrize(
    ("equation", "given"),
    [
        ("h = tanh(W @ h + V @ x)", {"x": np.zeros(3), "h_prev": np.zeros(5)}),
        ("h = sigmoid(W @ h + V @ x)", {"x": np.zeros(3), "h_prev": np.zeros(5)}),
        ("h = relu(W @ h + V @ x + b)", {"b": np.full(5, 20.0)}),
        ("h = softmax(W @ h + V @ x + b)", {"W": np.diag([1.0, -1, 0, 0, 0]), "b": np.array([40.0, 40, 0, 0, 0])}),
        ("h = sin(W @ h + V @ x)", {"x": np.zeros(3), "h_prev": np.zeros(5)}),
        ("h = 0.3 * h + 0.7 * tanh(W @ h + V @ x)", {"x": np.zeros(3), "h_prev": np.zeros(5), "W": 2 * np.eye(5)}),
    ],
)
def test_bounds_are_met(equation, given, apply):
    """Where slopes are largest, the norm is as large as the bound."""
    derivation = bptt.derive(bptt.parse(f"x: input[m]\nh: state[n]\n{equation}"))
    still = {"x": np.zeros(3), "h_prev": np.zeros(5)}
    sample = Sample(derivation, SIZES, apply, **{**still, **given})
    assert sample.state_norm() == pytest.approx(sample.value(bounds(derivation).state), rel=1e-12)


LIPSCHITZ = [name for name, function in FUNCTIONS.items() if function.rule.lipschitz]


@pytest.mark.parametrize("name", LIPSCHITZ)
@pytest.mark.parametrize("factor", [1, sympy.Rational(1, 2)])
def test_a_slope_constant_that_is_halved_is_caught(name, factor, apply, change_rule):
    rule = FUNCTIONS[name].rule
    change_rule(FUNCTIONS[name], lipschitz=rule.lipschitz * factor)
    call = f"{name}(W @ h + x)" if len(rule.slopes) == 1 else f"{name}(W @ h, U @ h + x)"
    derivation = bptt.derive(bptt.parse(f"x: input[n]\nh: state[n]\nh = {call}"))
    grid = {"x": np.linspace(-4, 4, 33), "W": np.eye(33), "U": 1e-3 * np.eye(33), "h_prev": np.zeros(33)}
    given = {key: array for key, array in grid.items() if key != "U" or len(rule.slopes) == 2}
    sample = Sample(derivation, {"n": 33}, apply, **given)
    assert bool(sample.violations(bounds(derivation))) == (factor != 1)


@pytest.mark.parametrize("name", [n for n, f in FUNCTIONS.items() if all(abs(e) < sympy.oo for e in f.rule.image)])
@pytest.mark.parametrize("factor", [1, sympy.Rational(1, 2)])
def test_an_image_that_is_halved_is_caught(name, factor, apply, change_rule):
    rule = FUNCTIONS[name].rule
    change_rule(FUNCTIONS[name], image=tuple(end * factor for end in rule.image))
    call = f"{name}(x)" if len(rule.slopes) == 1 else f"{name}(x, 0)"
    derivation = bptt.derive(bptt.parse(f"x: input[n]\nh: state[n]\nh = h * {call}"))
    sample = Sample(derivation, {"n": 33}, apply, x=np.linspace(-9, 9, 33))
    assert bool(sample.violations(bounds(derivation))) == (factor != 1)


def test_a_softmax_constant_that_is_halved_is_caught(apply, monkeypatch):
    derivation = bptt.derive(bptt.parse("h: state[n]\nh = softmax(h)"))
    sample = Sample(derivation, {"n": 2}, apply, h_prev=np.zeros(2))
    assert not sample.violations(bounds(derivation))
    monkeypatch.setattr(bounds_module, "SOFTMAX", sympy.Rational(1, 4))
    assert sample.violations(bounds(derivation)) == [("h", "h"), "state"]


def test_the_product_over_time_stays_below_the_power_of_the_bound(apply):
    """The vanishing condition at work: σ_max(W) = 3 < 4 in a logistic network."""
    derivation = bptt.derive(bptt.parse(LOGISTIC))
    found = bounds(derivation)
    assert str(found.vanishing) == "sigma_max(W_hh) < 4"
    random = np.random.default_rng(2)
    weights = random.standard_normal((5, 5))
    weights *= 3 / np.linalg.norm(weights, 2)
    product, state = np.eye(5), np.zeros(5)
    for step in range(1, 21):
        sample = Sample(derivation, SIZES, apply, seed=step, W_hh=weights, h_prev=state)
        product, state = sample.block("h", "h") @ product, sample.values[Symbol("h")]
        assert np.linalg.norm(product, 2) <= 0.75**step * ROUNDING


def test_matrix_states_are_refused():
    with pytest.raises(Error, match="more than two indices"):
        bounds(bptt.derive(bptt.parse("S: state[n, n]\nS = 0.5 * S")))
