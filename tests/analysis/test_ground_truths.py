"""Truths that nobody here made up, and wrong methods that must not pass: one table of both.

Each truth is measured with kernels whose passes go through Jacobians and LAPACK, so that these can be made wrong in one
way; unchanged they must pass, as must the kernels themselves.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pytest

from bptt import kernels
from bptt.analysis import flow, gaussian_exponents, half_life, lyapunov, phase, truncation
from bptt.analysis.phase import measure_phases
from bptt.analysis.truncation import measure_truncation
from bptt.derive import load, parse


def late(jacobians, kernel):
    return np.concatenate([jacobians[:1], jacobians[:-1]])


def one_state(jacobians, kernel):
    """Return Jacobians as if the first state were the only one."""
    place = next(iter(kernel.state_layout.values()))
    kept = np.zeros_like(jacobians)
    kept[:, :, place, place] = jacobians[:, :, place, place]
    return kept


@dataclass(frozen=True)
class Method:
    """How truths are measured, wrong in at most one way."""

    change: Any = lambda jacobians, kernel: jacobians
    transient: bool = True
    orthonormal: bool = True
    unit: float = 1.0  # of logs
    offset: int = 0  # of windows
    squared: bool = True  # the slope in mean-field theory

    def kernel(self, text):
        found = kernels.compile(load(text) if "\n" not in text else parse(text))
        return found if self is RIGHT else Slow(found, self)

    def after(self, steps):
        return steps if self.transient else 0


class Slow:
    """A kernel whose passes go through Jacobians."""

    def __init__(self, kernel, method):
        self.kernel, self.method = kernel, method

    def __getattr__(self, name):
        return getattr(self.kernel, name)

    def jacobians_of(self, run):
        return self.method.change(self.kernel.jacobians(run), self.kernel)

    def stretch(self, run, vectors):
        norms = []
        for jacobian in self.jacobians_of(run):
            moved = vectors @ jacobian.swapaxes(1, 2)
            if self.method.orthonormal:
                q, r = np.linalg.qr(moved.swapaxes(1, 2))
                norms.append(abs(np.einsum("bii->bi", r)))
                vectors = q.swapaxes(1, 2)
            else:
                norms.append(np.linalg.norm(moved, axis=2))
                vectors = moved / norms[-1][..., None]
        return np.stack(norms) ** (1 / self.method.unit), vectors

    def backward(self, run, cotangents, params=True):
        found = self.kernel.backward(run, cotangents, params=params)
        given = np.concatenate([c.reshape(*c.shape[:2], -1) for c in cotangents.values()], axis=2)
        arriving = np.concatenate([np.zeros_like(given[:1]), given])
        for t, jacobian in reversed(list(enumerate(self.jacobians_of(run)))):
            arriving[t] += np.einsum("bij,bi->bj", jacobian, arriving[t + 1])
        for name, place in self.kernel.state_layout.items():
            found.states[name][...] = arriving[1:, :, place].reshape(found.states[name].shape)
            found.state[name][...] = arriving[0][:, place].reshape(found.state[name].shape)
        return found


RIGHT = Method()
METHODS = {
    "right": RIGHT,
    "by hand": Method(change=lambda jacobians, kernel: jacobians + 0.0),
    "transposed": Method(change=lambda jacobians, kernel: jacobians.swapaxes(2, 3)),
    "late": Method(change=late, offset=1),
    "no transient": Method(transient=False),
    "one state": Method(change=one_state),
    "not orthonormal": Method(orthonormal=False),
    "base 2": Method(unit=np.log(2)),
    "float32": Method(change=lambda jacobians, kernel: jacobians.astype(np.float32).astype(float)),
    "not squared": Method(squared=False),
}


def near(found, expected, tolerance):
    return bool((abs(np.asarray(found) - expected) < tolerance).all())


def newman(method):
    """Newman (1986): products of independent Gaussian matrices."""
    size, steps, gain = 8, 1500, 0.7
    matrices = gain * np.random.default_rng(0).standard_normal((steps, 1, size, size)) / np.sqrt(size)
    kernel = method.kernel("A: input[n, n]\nh: state[n]\nh = A @ h")
    found = lyapunov(kernel, {}, {"A": matrices}, {"h": np.ones((1, size))}, transient=method.after(100), window=1)
    expected = gaussian_exponents(size, gain)
    error = 4.5 * np.sqrt(expected.variance / (steps - 100))
    spread = found.finite_time[0].var("window") / expected.variance
    return near(found.exponent[0], expected.exponent, error) and near(spread, 1, 0.15)


def orthogonal(method):
    W = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0]
    kernel = method.kernel("h: state[n]\nh = W @ h")
    found = lyapunov(kernel, {"W": W}, {}, {"h": np.ones((1, 16))}, steps=2000)
    return near(found.exponent, 0, 1e-14)


def chaotic(method):
    """Engelken, Wolf and Abbott (2023), at N = 512; less exact for fewer units."""
    W = 3 * np.random.default_rng(0).standard_normal((160, 160)) / np.sqrt(160)
    state = {"h": np.random.default_rng(1).standard_normal((1, 160))}
    kernel = method.kernel("h: state[n]\nh = tanh(W @ h)")
    found = lyapunov(kernel, {"W": W}, {}, state, steps=600, transient=method.after(200), exponents=1)
    return near(found.exponent, 0.3102, 0.03)


def henon(method):
    """Sprott (2003), Chaos and time-series analysis."""
    kernel = method.kernel("henon")
    found = lyapunov(kernel, {}, {}, {"x": np.array([0.1]), "y": np.array([0.1])}, steps=6000)
    return near(found.exponent, [0.4192, -1.6232], 0.02) and near(found.volume_error, 0, 1e-12)


def lorenz(method):
    kernel = method.kernel("lorenz")
    state = {"x": np.array([2.0]), "y": np.array([3.0]), "z": np.array([20.0])}
    found = lyapunov(kernel, {}, {}, state, steps=10_000)
    return near(found.exponent / 0.01, [0.9056, 0.0, -14.5723], 0.1) and near(found.volume_error, 0, 1e-12)


def attractor(method):
    """From far away a state first falls to h = (√0.5, 0), where the Jacobian is diag(0.6, 1/3)."""
    kernel = method.kernel("h: state[n]\na: param[n]\nh = a * h / (1 + sum(h * h))\n")
    start = {"h": np.array([[1e6, 1e6]])}
    found = lyapunov(kernel, {"a": np.array([1.5, 0.9])}, {}, start, steps=400, transient=method.after(200))
    return near(found.exponent, np.log([0.6, 1 / 3]), 1e-6)


def bias_only(method):
    """The cell path of an LSTM whose gates see their biases alone: half-lives ln 2 / −ln σ(b)."""
    kernel = method.kernel("lstm")
    sizes = {"m": 2, "n": 2}
    params = {name: np.zeros_like(values) for name, values in kernel.init(sizes).items()}
    for bias, expected in {0: 1, 1: 2.2127, 2: 5.4609, 3: 14.266}.items():
        found = flow(kernel, {**params, "b_f": params["b_f"] + bias}, {"x": np.zeros((60, 1, 2))})
        path = found.log_norm.isel(lag=slice(1, None)).assign_coords(lag=np.arange(60))
        if not near(half_life(path), expected, 5e-5 * expected):
            return False
    return True


def truncated(method):
    """Truncated backpropagation through h' = a h + 1: the relative bias is a to the power of the window."""
    kernel, a = method.kernel("h: state\nh = a * h + b"), 0.8
    right = truncation.lag_gradients
    with pytest.MonkeyPatch.context() as patch:
        if method.offset:
            patch.setattr(truncation, "lag_gradients", lambda *given: islice(right(*given), method.offset, None))
        params, start = {"a": np.array(a), "b": np.array(1.0)}, {"h": np.array([5.0])}
        found = measure_truncation(kernel, params, {}, start, steps=200, windows=[1, 2, 5], loss="last")
    return near(found.relative_bias / a**found.window, 1, 1e-11)


def mean_field(method):
    """A driven tanh network grows by ½ ln χ per step, with the right sign wherever that is clear."""
    kernel = method.kernel("rnn")
    right = phase.chi
    with pytest.MonkeyPatch.context() as patch:
        if not method.squared:
            patch.setattr(phase, "chi", lambda *given: right(*given) ** 0.5)
        warmup = method.after(20)
        found = measure_phases(
            kernel, {"m": 64, "n": 64}, [0.9, 1.8, 4.0], drives=[0.6], seeds=3, warmup=warmup, batch=2
        )
    clear = abs(found.theory) > 0.03
    signs = (np.sign(found["mean"]) == np.sign(found.theory)).where(clear, True).all()
    return bool(signs) and near(found["mean"], found.theory_at_width, 0.03)


TRUTHS = {  # each with wrong methods that it must tell from the right one
    newman: ["not orthonormal", "base 2"],
    orthogonal: ["float32"],
    chaotic: ["base 2"],
    henon: ["one state", "not orthonormal", "base 2", "float32"],
    lorenz: ["transposed", "late", "one state", "not orthonormal", "base 2", "float32"],
    attractor: ["no transient", "not orthonormal", "base 2"],
    bias_only: ["one state"],
    truncated: ["late"],
    mean_field: ["not squared"],
}


@pytest.mark.parametrize("name", ["right", "by hand"])
@pytest.mark.parametrize("truth", TRUTHS)
def test_the_right_method_passes(truth, name):
    assert truth(METHODS[name])


@pytest.mark.parametrize("truth, name", [(truth, name) for truth, wrong in TRUTHS.items() for name in wrong])
def test_a_wrong_method_fails(truth, name):
    assert not truth(METHODS[name])


def test_every_wrong_method_fails_a_truth_and_every_truth_fails_a_method():
    assert {name for wrong in TRUTHS.values() for name in wrong} == METHODS.keys() - {"right", "by hand"}
    assert all(TRUTHS.values())
