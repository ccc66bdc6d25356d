"""Optimisers against their formulas by hand, and against PyTorch's where it is installed."""

import numpy as np
import pytest

from bptt.analysis.learning.optimisers import OPTIMISERS, add_noise, clip, global_norm, optimiser, step, zeros
from bptt.derive.errors import Error


def trajectory(name, steps=7, rate=0.1, **settings):
    """Return a parameter after each step down the slope of (w0² + 10 w1²) / 2."""
    rule, params = OPTIMISERS[name], {"w": np.array([1.0, -2.0])}
    slots = zeros(rule, params)
    found = []
    for number in range(1, steps + 1):
        step(rule, params, {"w": params["w"] * [1, 10]}, slots, number, rate, settings)
        found.append(params["w"].copy())
    return np.array(found)


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("sgd", ("SGD", {}), {}),
        ("momentum", ("SGD", {"momentum": 0.8}), {"momentum": 0.8}),
        ("rmsprop", ("RMSprop", {"alpha": 0.9}), {"decay": 0.9}),
        ("adam", ("Adam", {"betas": (0.8, 0.95)}), {"beta1": 0.8, "beta2": 0.95}),
    ],
)
def test_the_steps_are_pytorch_s(name, theirs, ours):
    torch = pytest.importorskip("torch")
    w = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    peer = getattr(torch.optim, theirs[0])([w], lr=0.1, **theirs[1])
    found = trajectory(name, **ours)
    for expected in found:
        peer.zero_grad()
        ((w[0] ** 2 + 10 * w[1] ** 2) / 2).backward()
        peer.step()
        np.testing.assert_allclose(expected, w.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_adam_by_hand():
    # the first step of Adam is the rate, whatever the gradient's size (Kingma and Ba 2015, section 2.1)
    np.testing.assert_allclose(trajectory("adam", 1)[0], [0.9, -1.9], rtol=1e-7)
    mean, square = 0.1 * 1 * 0.9 + 0.1 * 0.9, 0.001 * 1 * 0.999 + 0.001 * 0.81
    second = 0.9 - 0.1 * (mean / (1 - 0.9**2)) / np.sqrt(square / (1 - 0.999**2))
    assert trajectory("adam", 2)[1][0] == pytest.approx(second, rel=1e-6)


def test_momentum_and_rmsprop_by_hand():
    assert trajectory("momentum", 2)[1][0] == pytest.approx(0.9 - 0.1 * (0.9 * 1 + 0.9))
    assert trajectory("rmsprop", 1)[0][0] == pytest.approx(1 - 0.1 / np.sqrt(0.01), abs=1e-6)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_they_go_down(name):
    found = trajectory(name, 300, 0.01)
    assert (found[-1] ** 2 @ [1, 10]) < (found[0] ** 2 @ [1, 10]) / 4


def test_clipping_keeps_the_direction():
    gradients = {"a": np.array([3.0]), "b": np.array([[4.0]])}
    assert clip(gradients, 2.5) == 5
    assert global_norm(gradients) == pytest.approx(2.5)
    assert gradients["b"][0, 0] / gradients["a"][0] == pytest.approx(4 / 3)
    assert clip(gradients, 2.6) == pytest.approx(2.5) and gradients["a"][0] == pytest.approx(1.5)


def test_noise_has_its_variance_and_keeps_the_dtype():
    gradients = {"a": np.zeros(100_000, np.float32)}
    add_noise(gradients, 0.3, 9, np.random.default_rng(0))
    assert gradients["a"].dtype == np.float32
    # the standard error of a variance over 1e5 draws is 0.45 %
    assert gradients["a"].var() == pytest.approx(0.3 / 10**0.55, rel=0.02)


def test_an_unknown_optimiser_leads_on():
    with pytest.raises(Error, match="no optimiser is called 'adan'. Did you mean 'adam'"):
        optimiser("adan")
