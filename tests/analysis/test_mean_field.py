"""Mean-field theory against mpmath, closed forms, published exponents, and networks of finite width."""

import math

import mpmath
import numpy as np
import pytest
from scipy import special

from bptt import kernels
from bptt.analysis import phase
from bptt.analysis.activation import with_activation
from bptt.analysis.mean_field import (
    activation,
    chi,
    edge,
    fixed_variance,
    gaussian_mean,
    variance_map,
    width_correction,
)
from bptt.analysis.phase import measure_phases, network_function
from bptt.derive import Error, derive, load, parse
from bptt.derive.arithmetic import apply_mpmath
from bptt.derive.functions import FUNCTIONS, arity

UNARY = [name for name in FUNCTIONS if arity(name) == 1]


def by_mpmath(function, mean, variance):
    """⟨f²⟩ over a Gaussian, cut where f varies."""
    width = mpmath.sqrt(variance)
    cuts = [(sign * 2.0**power - mean) / width for power in range(-3, 12) for sign in (-1, 1)]
    cuts = sorted({-12.0, 12.0, *(float(cut) for cut in [*cuts, -mean / width, *range(-11, 12)] if -12 < cut < 12)})
    with mpmath.workdps(20):
        return float(mpmath.quad(lambda z: function(mean + width * z) ** 2 * mpmath.npdf(z), cuts))


@pytest.mark.parametrize("mean, variance", [(0.0, 0.3), (1.0, 1e3), (0.0, 1e6), (-30.0, 1e6)])
@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_quadrature_at_small_and_at_large_gain(name, mean, variance):
    value, slope = activation(name)
    exact = by_mpmath(lambda a: apply_mpmath(FUNCTIONS[name], a), mean, variance)
    assert gaussian_mean(lambda a: value(a) ** 2, mean, variance) == pytest.approx(exact, rel=1e-12)
    derivative = {"tanh": lambda a: mpmath.sech(a) ** 2, "relu": lambda a: mpmath.mpf(a > 0)}[name]
    exact = by_mpmath(derivative, mean, variance)
    assert gaussian_mean(lambda a: slope(a) ** 2, mean, variance) == pytest.approx(exact, rel=1e-12)


def test_a_fixed_rule_is_wrong_at_large_gain():
    """Gauss–Hermite with 20 nodes, as is often used: off by half at gain 20, where ours is right to 1e-12."""
    _, slope = activation("tanh")
    nodes, weights = special.roots_hermitenorm(20)
    variance = 400.0
    fixed = float((weights * slope(20 * nodes) ** 2).sum() / math.sqrt(2 * math.pi))
    exact = by_mpmath(lambda a: mpmath.sech(a) ** 2, 0.0, variance)
    assert abs(fixed / exact - 1) > 0.5
    assert gaussian_mean(lambda a: slope(a) ** 2, 0.0, variance) == pytest.approx(exact, rel=1e-12)


def test_oscillating_functions_are_resolved():
    # ⟨cos²⟩ = (1 + e^(−2q)) / 2
    for variance in (0.1, 1.0, 1e3):
        found = gaussian_mean(lambda a: np.cos(a) ** 2, 0.0, variance)
        assert found == pytest.approx((1 + math.exp(-2 * variance)) / 2, rel=1e-12)


@pytest.mark.parametrize("name", UNARY)
def test_slopes_are_those_of_the_definitions(name):
    points = np.array([0.3, 1.7]) if name in ("log", "sqrt") else np.array([-2.0, -0.3, 0.4, 1.7])
    _, slope = activation(name)
    with mpmath.workdps(30):
        exact = [float(mpmath.diff(lambda a: apply_mpmath(FUNCTIONS[name], a), mpmath.mpf(p))) for p in points]
    assert np.allclose(slope(points), exact, rtol=1e-12, atol=1e-15)


def test_closed_forms():
    for q in (0.1, 3.0, 1e4):
        assert variance_map("erf", q, 1.0) == pytest.approx(2 / math.pi * math.asin(2 * q / (1 + 2 * q)), rel=1e-12)
        assert variance_map("relu", q, 2.0, drive=0.5) == pytest.approx(2 * q + 0.25, rel=1e-12)
    q = fixed_variance("erf", 3.0, drive=0.2)
    assert chi("erf", 3.0, drive=0.2) == pytest.approx(9 * 4 / math.pi / math.sqrt(1 + 4 * q), rel=1e-12)
    assert fixed_variance("relu", 1.0, drive=1.0) == pytest.approx(2.0, rel=1e-12)
    assert fixed_variance("relu", 1.5, drive=1.0) == math.inf
    assert edge("relu", drive=1.0) == pytest.approx(math.sqrt(2), rel=1e-9)
    assert edge("tanh") == pytest.approx(1.0, rel=1e-9)
    assert edge("tanh", drive=0.1) > 1.1  # noise suppresses chaos
    assert math.isnan(edge("sigmoid", high=5.0)) and edge("sigmoid") > 10


def test_published_exponents_of_the_tanh_network():
    """λ₁ for W ~ N(0, g²/N), N → ∞ (Engelken et al. 2023): fields at different times are independent of each other."""
    assert math.log(chi("tanh", 2.0)) / 2 == pytest.approx(0.1547, abs=5e-5)
    assert math.log(chi("tanh", 3.0)) / 2 == pytest.approx(0.3102, abs=5e-5)


def test_correction_for_finite_width_of_a_linear_network_is_newmans():
    exact = (math.log(2 / 200) + special.digamma(100)) / 2
    relu = width_correction("relu", 1.0, drive=1.0, width=200)  # with half of the units off, as of 100 units and more
    assert relu == pytest.approx(-5 / 800, rel=1e-12)
    large_bias = width_correction("relu", 0.1, bias=50.0, width=200)  # all units on: linear
    assert large_bias == pytest.approx(exact, rel=0.01)


GAINS = [0.5, 0.9, 1.3, 1.8, 2.5, 4.0]


@pytest.fixture(scope="module")
def diagram():
    return measure_phases(kernels.compile(load("rnn")), {"m": 100, "n": 100}, GAINS, drives=[0.1, 0.6, 1.2], seeds=4)


def check_signs(diagram):
    clear = abs(diagram.theory) > 0.03
    assert int(clear.sum()) >= 14 and bool((diagram.theory > 0.03).any()) and bool((diagram.theory < -0.03).any())
    assert bool((np.sign(diagram["mean"]) == np.sign(diagram.theory)).where(clear, True).all())


def test_signs_are_right_where_theory_is_clear(diagram):
    check_signs(diagram)


def rms(z):
    return float(np.sqrt((z**2).mean()))


def test_measurement_agrees_with_theory_at_this_width(diagram):
    assert rms(diagram.z) < 3  # t-distributed with 3 degrees of freedom: 1.7 expected
    driven = diagram.sel(drive=[0.6, 1.2])  # a weakly driven network of 100 units follows its largest eigenvalues
    assert float(abs(driven["mean"] - driven.theory_at_width).max()) < 0.02


def test_the_edge_is_drawn_where_the_sign_changes(diagram):
    for drive in diagram.drive.values:
        at = float(diagram.edge.sel(drive=drive).squeeze())
        rates = diagram.theory.sel(drive=drive).squeeze()
        assert (rates.where(diagram.gain < at, -1) < 0).all() and (rates.where(diagram.gain > at, 1) > 0).all()


def test_a_slope_that_is_not_squared_is_noticed(diagram, monkeypatch):
    def wrong(name, gain, bias=0.0, drive=0.0):
        return gain * gaussian_mean(activation(name)[1], bias, fixed_variance(name, gain, bias, drive))

    monkeypatch.setattr(phase, "chi", wrong)
    theory = phase._theory(kernels.compile(load("rnn")), {"m": 100, "n": 100}, diagram)
    with pytest.raises(AssertionError):
        check_signs(diagram.assign(theory=theory.theory))


@pytest.mark.parametrize("old, new", [("tanh", "relu"), ("tanh", "sigmoid")])
def test_other_activations(old, new):
    kernel = kernels.compile(with_activation(load("rnn"), old, new))
    found = measure_phases(kernel, {"m": 256, "n": 256}, [0.7, 2.0], biases=[0.0, 0.5], drives=[0.5], seeds=4)
    assert found.attrs["activation"] == new
    assert rms(found.z) < 3
    assert (np.sign(found["mean"]) == np.sign(found.theory)).all()


def test_which_cells_the_theory_is_about():
    assert network_function(derive(parse("u: input[k]\ns: state[j]\ns = arctan(b + A.T @ s + B @ u)"))) == "arctan"
    for text in (
        "s: state[j]\ns = tanh(A @ tanh(s))",
        "s: state[j]\ns = tanh(A @ s) + s",
        "s: state[j]\ns = tanh(A @ s + B @ s)",
        "s: state[j]\ns = tanh(w * s)",
        "s: state[j]\ns = tanh((A - A.T) @ s)",
        "s: state[j]\nB: param[j, j]\nz = tanh(B @ s)\ns = tanh(A @ z)",
    ):
        assert network_function(derive(parse(text))) == ""


def test_where_gradients_vanish_altogether_or_explode():
    """At a gain of 10⁶ every unit of a small network is saturated; states overflow without a saturation."""
    found = measure_phases(kernels.compile(load("rnn")), {"m": 9, "n": 9}, [1.0, 1e6], seeds=2, batch=2)
    assert np.isneginf(found["mean"].values[1]).all() and np.isnan(found.z.values[1]).all()
    assert np.isfinite(found["mean"].values[0]).all() and np.isfinite(found.theory).all()
    assert np.isfinite(found.theory_at_width.values[0]).all() and np.isnan(found.theory_at_width.values[1]).all()
    linear = kernels.compile(with_activation(load("rnn"), "tanh", "relu"))
    found = measure_phases(linear, {"m": 9, "n": 9}, [1.0, 1e9], seeds=2, batch=2)
    assert np.isfinite(found["mean"].values[0]).all() and np.isposinf(found["mean"].values[1]).all()


def test_a_cell_without_a_theory_has_a_diagram_over_its_forget_bias():
    kernel = kernels.compile(load("gru"))
    found = measure_phases(kernel, {"m": 8, "n": 16}, [0.5], biases=[-4.0, 0.0], biased=["b_z"], seeds=2)
    assert np.isnan(found.theory).all() and np.isnan(found.z).all() and found.attrs["activation"] == ""
    rates = found["mean"].squeeze()
    assert float(rates.sel(bias=-4)) > float(rates.sel(bias=0)) + 0.2


def test_messages():
    kernel = kernels.compile(load("rnn"))
    sizes = {"m": 2, "n": 2}
    with pytest.raises(Error, match="no function of one argument is called 'max'"):
        activation("max")
    with pytest.raises(Error, match="isn't defined everywhere"):
        fixed_variance("log", 1.0)
    with pytest.raises(Error, match="gain, bias and drive are -1"):
        fixed_variance("tanh", -1.0)
    with pytest.raises(Error, match="a gain is 0"):
        measure_phases(kernel, sizes, [0])
    with pytest.raises(Error, match="a drive is -1"):
        measure_phases(kernel, sizes, [1], drives=[-1])
    with pytest.raises(Error, match="no parameter is called 'b_g'. Did you mean 'b_h'"):
        measure_phases(kernel, sizes, [1], biased=["b_g"])
    with pytest.raises(Error, match="warmup is 60"):
        measure_phases(kernel, sizes, [1], warmup=60)
    with pytest.raises(Error, match="seeds is 0"):
        measure_phases(kernel, sizes, [1], seeds=0)
