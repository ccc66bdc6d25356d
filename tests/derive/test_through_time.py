"""Closed forms over time, evaluated as they stand, against the recursion, the complex step and known sums."""

import itertools
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import sympy
from sympy import Integer, MatrixSymbol, Rational, Symbol
from sympy.core.function import AppliedUndef

import bptt
from bptt.derive.adjoint import delta, incoming
from bptt.derive.cell import previous
from bptt.derive.errors import Error
from bptt.derive.interpret import evaluate, matrix, size
from bptt.derive.jacobian import Diagonal
from bptt.derive.tangent import tangent
from bptt.derive.through_time import BETWEEN, LENGTH, ORIGIN, TIME, At, TimeProduct, state_product, truncated, unrolled

STEPS = 4


class Evaluation:
    """The values of everything at every time, to evaluate closed forms with."""

    def __init__(self, numbers, apply):
        self.numbers, self.apply = numbers, apply
        self.products, self.contributions = {}, {}
        derivation = numbers.derivation
        steps, _ = numbers.forward()
        self.values = {symbol: steps[0][symbol] for symbol in derivation.fixed}
        for name in derivation.cell.states:
            self.values[Symbol(f"{name}@0")] = numbers.start[previous(name)]
        for time, values in enumerate(steps, 1):
            self.values |= {Symbol(f"{symbol}@{time}"): array for symbol, array in values.items()}

    def named(self, expr):
        """Replace f(3) by the symbol f@3, and a matrix at a time likewise."""
        at = {a: Symbol(f"{a.func.__name__}@{a.args[0]}") for a in expr.atoms(AppliedUndef)}
        return expr.xreplace(at | {a: MatrixSymbol(f"{a.args[0].name}@{a.args[1]}", *a.shape) for a in expr.atoms(At)})

    def entries(self, expr, more=None):
        values = {**self.values, **(more or {})}
        return np.asarray(evaluate(self.named(expr), values, self.numbers.sizes, self.apply, 1.0), dtype=complex)

    def product(self, closed, t, k):
        if (t, k) not in self.products:
            factors = closed.product.xreplace({TIME: Integer(t), ORIGIN: Integer(k)}).doit()
            found = matrix(self.named(factors), self.values, self.numbers.sizes, self.apply, 1.0)
            self.products[t, k] = np.asarray(found, dtype=complex)
        return self.products[t, k]

    def arriving(self, closed, t, k):
        """(∂L_t/∂s_t) ∏ ∂s_j/∂s_{j−1}, a piece for each state."""
        shapes = self.numbers.derivation.cell.shapes
        given = {Symbol(f"loss_{s}@{t}"): array[t - 1] for s, array in self.numbers.weights.items()}
        row = [np.ravel(self.entries(piece.xreplace({TIME: Integer(t)}), given)) for piece in closed.loss]
        row = np.concatenate(row) @ self.product(closed, t, k)
        pieces = {}
        for state in closed.states:
            shape = [size(part, self.numbers.sizes) for part in shapes[Symbol(state)]]
            pieces[incoming(Symbol(state))], row = row[: math.prod(shape)].reshape(shape), row[math.prod(shape) :]
        return pieces

    def pairs(self, closed):
        """The pairs (t, k) over which the sum runs."""
        t, first, last = closed.outer
        k, start, end = closed.inner
        length = {LENGTH: Integer(STEPS)}
        for time in range(int(first), int(last.xreplace(length)) + 1):
            low, high = (int(limit.xreplace({t: Integer(time), **length})) for limit in (start, end))
            yield from ((time, origin) for origin in range(low, high + 1))

    def total(self, closed):
        shape = [size(part, self.numbers.sizes) for part in self.numbers.derivation.cell.shapes[Symbol(closed.param)]]
        found = np.zeros(shape, dtype=complex)
        for t, k in self.pairs(closed):
            if (closed.transposed, t, k) not in self.contributions:
                share = closed.transposed.xreplace({ORIGIN: Integer(k)})
                self.contributions[closed.transposed, t, k] = self.entries(share, self.arriving(closed, t, k))
            found = found + self.contributions[closed.transposed, t, k]
        return found

    def along(self, closed, direction):
        """The sum with ∂⁺s_k/∂W applied to a change of W."""
        found = 0
        for t, k in self.pairs(closed):
            pieces = self.arriving(closed, t, k).values()
            for piece, change in zip(pieces, closed.immediate, strict=True):
                moved = self.entries(change.xreplace({ORIGIN: Integer(k)}), {tangent(Symbol(closed.param)): direction})
                found += np.sum(piece * moved)
        return found


@pytest.fixture
def evaluation(numbers, apply):
    return Evaluation(numbers, apply)


@pytest.fixture(scope="module")
def closed_forms(derivation):
    """The closed form of every parameter's gradient, none where a matrix is on the way."""
    try:
        return {Symbol(name): unrolled(derivation, name) for name in derivation.cell.params}
    except Error as error:
        assert "indices" in str(error) or "matrix form" in str(error)
        return {}


def test_the_closed_form_equals_the_recursion(numbers, evaluation, closed_forms):
    expected = numbers.gradients()
    for param, closed in closed_forms.items():
        scale = np.max(np.abs(expected[param]), initial=1)
        found = evaluation.total(closed)
        np.testing.assert_allclose(found, expected[param].astype(complex), rtol=0, atol=1e-12 * scale)


def test_the_immediate_partial_and_its_transpose_agree(numbers, evaluation, closed_forms):
    random = np.random.default_rng(8)
    for closed in closed_forms.values():
        gradient = evaluation.total(closed)
        direction = random.uniform(-1, 1, gradient.shape) + 0j
        scale = np.sum(np.abs(gradient * direction)) + 1
        assert abs(evaluation.along(closed, direction) - np.sum(gradient * direction)) <= 1e-12 * scale


def detached(numbers, k1, k2):
    """Truncated backpropagation as programs carry it out: from each update's last step back, k2 steps far."""
    derivation = numbers.derivation
    steps, _ = numbers.forward()
    sums = dict.fromkeys(derivation.fixed, 0)
    before = 0
    while before < STEPS:
        last = min(before + k1, STEPS)
        carried = dict.fromkeys(numbers.weights, 0)
        for time in range(last, max(0, last - k2), -1):
            loss = {name: numbers.weights[name][time - 1] if time > before else 0 for name in carried}
            arriving = {incoming(name): np.asarray(loss[name] + carried[name]) for name in carried}
            shapes = {incoming(name): np.shape(numbers.weights[name][0]) for name in carried}
            arriving = {name: np.broadcast_to(array, shapes[name]) for name, array in arriving.items()}
            values = numbers.run(derivation.backward, {**steps[time - 1], **arriving})
            carried = {name: values[delta(previous(name.name))] for name in carried}
            sums = {symbol: total + values[delta(symbol)] for symbol, total in sums.items()}
        before = last
    once = numbers.run(derivation.prologue, numbers.params)
    arriving = {
        incoming(value): np.broadcast_to(sums[value], once[value].shape) for value in derivation.prologue.outputs
    }
    last_values = numbers.run(derivation.epilogue, {**once, **arriving})
    return {symbol: sums[symbol] + last_values.get(delta(symbol), 0) for symbol in numbers.params}


WINDOWS = [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (3, 4), (1, 4), (4, 4), (2, 9), (5, 5)]


def test_truncation(numbers, evaluation, closed_forms):
    """What is kept equals the detached recursion, and with what is dropped it is the full gradient."""
    full = numbers.gradients()
    for k1, k2 in WINDOWS[:4]:
        expected = detached(numbers, k1, k2)
        for param in closed_forms:
            truncation = truncated(numbers.derivation, param.name, k1, k2)
            kept, dropped = evaluation.total(truncation.kept), evaluation.total(truncation.dropped)
            scale = np.max(np.abs(full[param]), initial=1)
            np.testing.assert_allclose(kept, np.asarray(expected[param], dtype=complex), rtol=0, atol=1e-12 * scale)
            np.testing.assert_allclose(kept + dropped, full[param].astype(complex), rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize(("k1", "k2"), WINDOWS)
@pytest.mark.parametrize("length", [1, 4, 7])
def test_each_pair_of_times_is_kept_or_dropped_once(k1, k2, length, monkeypatch):
    monkeypatch.setitem(globals(), "STEPS", length)
    derivation = bptt.derive(bptt.load("rnn"))
    truncation = truncated(derivation, "W_hh", k1, k2)
    pairs = Evaluation.__new__(Evaluation).pairs
    kept, dropped = list(pairs(truncation.kept)), list(pairs(truncation.dropped))
    assert sorted(kept + dropped) == sorted(pairs(unrolled(derivation, "W_hh")))
    for t, k in kept + dropped:
        update = min(length, k1 * math.ceil(t / k1))
        assert ((t, k) in kept) == (k > update - k2)


def test_truncation_in_symbols():
    k1, k2 = sympy.symbols("k_1 k_2", integer=True, positive=True)
    derivation = bptt.derive(bptt.load("rnn"))
    end = sympy.Min(LENGTH, k1 * sympy.ceiling(TIME / k1))
    found = derivation.truncated("W_hh", k1, k2)
    assert found.kept.inner == (ORIGIN, sympy.Max(1, end - k2 + 1), TIME)
    assert found.dropped.inner == (ORIGIN, 1, end - k2)
    assert derivation.truncated("W_hh", 1, k2).kept.inner == (ORIGIN, sympy.Max(1, TIME - k2 + 1), TIME)
    assert found.kept.product == found.dropped.product == derivation.product


# The scalar linear cell h' = a h + b with b = 1, where a K-step window should lose the share a^K of the gradient.

LINEAR = bptt.parse("h: state\nh = a * h + b")
a = Rational(9, 10)


def linear_sum(closed, length, weight, start, a):
    """A closed form of the linear cell in exact numbers: b = 1, h_0 = `start`, ∂L_t/∂h_t = weight(t)."""
    states = [start]
    for _ in range(length):
        states.append(a * states[-1] + 1)
    found = Integer(0)
    t, first, last = closed.outer
    for time in range(1, length + 1):
        at = {t: Integer(time), LENGTH: Integer(length)}
        for origin in range(int(closed.inner[1].xreplace(at)), int(closed.inner[2].xreplace(at)) + 1):
            if not weight(time):
                continue
            factors = closed.product.xreplace({TIME: Integer(time), ORIGIN: Integer(origin)}).doit()
            slope = factors.args[0] if isinstance(factors, Diagonal) else Integer(1)
            change = closed.immediate[0].xreplace({ORIGIN: Integer(origin)})
            change = change.xreplace({sympy.Function("h")(origin - 1): states[origin - 1]})
            names = {Symbol("a"): a, tangent(Symbol("a")): Integer(1), tangent(Symbol("b")): Integer(1)}
            found += weight(time) * slope.xreplace(names) * change.xreplace(names)
    return found


def relative_bias(param, length, window, weight, start, a=a):
    truncation = bptt.derive(LINEAR).truncated(param, 1, window)
    kept = linear_sum(truncation.kept, length, weight, start, a)
    dropped = linear_sum(truncation.dropped, length, weight, start, a)
    return dropped / (kept + dropped)


@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("length", [5, 12])
@pytest.mark.parametrize(("param", "start"), [("b", Integer(0)), ("b", Integer(3)), ("a", 1 / (1 - a))])
def test_relative_bias_of_the_linear_cell_with_a_loss_at_the_end(param, start, length, window):
    """(a^K − a^T)/(1 − a^T), exactly: for b from any start, for a from the fixed point. With T it goes to a^K."""
    found = relative_bias(param, length, window, lambda t: int(t == length), start)
    assert found == (a**window - a**length) / (1 - a**length)


@pytest.mark.parametrize("window", [1, 3])
def test_relative_bias_of_the_linear_cell_from_zero(window, length=9):
    """For a, from h_0 = 0: [a^K − a^T − (1 − a)(T − K) a^(T−1)] / [1 − a^T − (1 − a) T a^(T−1)]; its limit is a^K."""
    found = relative_bias("a", length, window, lambda t: int(t == length), Integer(0))
    tail = (1 - a) * a ** (length - 1)
    expected = (a**window - a**length - (length - window) * tail) / (1 - a**length - length * tail)
    assert found == expected


@pytest.mark.parametrize("window", [1, 3])
def test_relative_bias_of_the_linear_cell_with_a_loss_at_every_step(window, length=9):
    """[(T − K) a^K − (a^(K+1) − a^(T+1))/(1 − a)] / [T − a (1 − a^T)/(1 − a)], off from a^K by order 1/T."""
    found = relative_bias("b", length, window, lambda t: 1, Integer(0))
    above = (length - window) * a**window - (a ** (window + 1) - a ** (length + 1)) / (1 - a)
    assert found == above / (length - a * (1 - a**length) / (1 - a))


@pytest.mark.parametrize("window", [1, 5, 20])
def test_relative_bias_goes_to_the_power_of_the_window(window):
    """At T = 70, a^T/a^K is below 1e-15 for a = 1/2."""
    found = relative_bias("b", 70, window, lambda t: int(t == 70), Integer(0), Rational(1, 2))
    assert float(found) == pytest.approx(0.5**window, rel=1e-14)


def test_products_are_in_order():
    n = Symbol("n", integer=True, positive=True)
    product = TimeProduct(At(MatrixSymbol("J", n, n), BETWEEN), BETWEEN, ORIGIN + 1, TIME)
    assert product.shape == (n, n)
    assert product.doit() == product
    assert str(product.xreplace({ORIGIN: Integer(2), TIME: Integer(4)}).doit()) == "At(J, 4)*At(J, 3)"
    assert str(product.xreplace({ORIGIN: Integer(4), TIME: Integer(4)}).doit()) == "I"


def test_the_product_over_two_steps():
    lstm = bptt.derive(bptt.load("lstm"))
    assert lstm.product.args[0].blocks[1, 1] == Diagonal(
        sympy.Function("f")(BETWEEN), Symbol("n", integer=True, positive=True)
    )
    rnn = state_product(bptt.derive(bptt.load("rnn")), Integer(1), Integer(2)).doit()
    assert str(rnn) == "Diagonal(1 - h(2)**2, n)*W_hh*Diagonal(1 - h(1)**2, n)*W_hh"


def test_an_input_that_is_a_matrix_has_a_time():
    derivation = bptt.derive(bptt.parse("V: input[n, n]\nh: state[n]\nh = V @ (W @ h)"))
    assert str(state_product(derivation, Integer(1), Integer(2)).doit()) == "At(V, 2)*W*At(V, 1)*W"


def test_what_is_fixed_has_no_time():
    closed = bptt.derive(bptt.parse("x: input[n]\nh: state[n]\nA = W - W.T\nh = h + tanh(A @ h + x)")).unrolled("W")
    assert "A" in {symbol.name for symbol in closed.product.args[0].atoms(MatrixSymbol)}
    assert str(closed.immediate[0]) == ("(1 - tanh(a_h(k))**2)*product(tangent_W - transpose(tangent_W), h(k - 1))")


def test_closed_form_of_a_simple_cell():
    closed = bptt.derive(bptt.load("rnn")).unrolled("W_hh")
    assert (closed.outer, closed.inner) == ((TIME, 1, LENGTH), (ORIGIN, 1, TIME))
    assert str(closed.loss) == "(loss_h(t),)"
    assert str(closed.product) == "TimeProduct(Diagonal(1 - h(j)**2, n)*W_hh, j, k + 1, t)"
    assert str(closed.immediate) == "((1 - h(k)**2)*product(tangent_W_hh, h(k - 1)),)"
    assert str(closed.transposed) == "outer(incoming_h*(1 - h(k)**2), h(k - 1))"


@pytest.mark.parametrize(("k1", "k2"), [(0, 1), (2, 1), (-1, 3), (1.5, 3), (1, 2.5), (1, 0)])
def test_windows_that_are_none(k1, k2):
    with pytest.raises(Error, match="truncation takes whole numbers with 1 <= k1 <= k2, here k1 = "):
        truncated(bptt.derive(bptt.load("rnn")), "W_hh", k1, k2)


def test_messages():
    derivation = bptt.derive(bptt.load("rnn"))
    with pytest.raises(Error, match="'W_hhh' is not a parameter. Did you mean 'W_hh'?"):
        derivation.unrolled("W_hhh")
    matrix_state = bptt.derive(bptt.parse("h: state[n, n]\nh = a * h"))
    for refused in (lambda: matrix_state.product, lambda: matrix_state.unrolled("a")):
        with pytest.raises(Error, match="more than two indices"):
            refused()


def test_a_gradient_too_long_to_write_out():
    lines = [f"v{i} = tanh(W @ v{i - 1}) * sigmoid(U @ v{i - 1})" for i in range(1, 20)]
    derivation = bptt.derive(bptt.parse("\n".join(["x: input[n]", "h: state[n]", "v0 = W @ x", *lines, "h = v19 * p"])))
    with pytest.raises(Error, match="too long to be written out in one expression"):
        derivation.unrolled("W")


SCRIPT = """
import bptt
from bptt.derive.bounds import bounds
for name in ("lstm", "gru"):
    derivation = bptt.derive(bptt.load(name))
    print(derivation.tangent, derivation.product, bounds(derivation))
    print([str(derivation.unrolled(param)) for param in list(derivation.cell.params)[:3]])
    print([derivation.paths(a, b) for a in derivation.cell.states for b in derivation.cell.states])
"""


def test_hash_seeds_give_one_text():
    texts = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(texts) == 1


def test_all_pairs_are_different():
    closed = bptt.derive(bptt.load("rnn")).unrolled("b_h")
    pairs = list(Evaluation.__new__(Evaluation).pairs(closed))
    assert pairs == [(t, k) for t, k in itertools.product(range(1, STEPS + 1), repeat=2) if k <= t]
