"""Initialisation rules on any cell; forget and input gates found in equations with strangers' names."""

import numpy as np
import pytest
from scipy import stats

from bptt import kernels
from bptt.analysis import gating
from bptt.analysis.gating import forget_biases, input_biases
from bptt.analysis.initialisation import initialise
from bptt.derive import Error, derive, load, parse

STRANGER = """
q: input[m]
y: state[n]
v: state[n]
erase = sigmoid(E @ y + F @ q + e)
write = sigmoid(G @ y + H @ q + w)
cand = tanh(K @ y + L @ q + k)
v = (1 - erase) * v + write * cand
y = tanh(v)
"""
DECAY = "q: input[m]\nv: state[n]\nv = sigmoid(d) * v + L @ q"
SIZES = {"m": 3, "n": 60}

FORGET = {
    "lstm": ({"b_f": 1}, {"b_i": "b_f"}),
    "lstm_peephole": ({"b_f": 1}, {"b_i": "b_f"}),
    "slstm": ({"b_f": 1}, {"b_i": "b_f"}),
    "gru": ({"b_z": -1}, {}),
    "gru_reset_after": ({"b_z": 1}, {}),
    "min_lstm": ({"b_f": 1, "b_i": -1}, {}),
    "janet": ({"b_f": 1}, {}),
    "rnn": ({}, {}),
    "leaky": ({}, {}),
    "indrnn": ({}, {}),
}


@pytest.mark.parametrize("name", FORGET)
def test_forget_and_input_biases(name):
    derivation = derive(load(name))
    assert (forget_biases(derivation), input_biases(derivation)) == FORGET[name]


def test_gates_of_strangers():
    derivation = derive(parse(STRANGER))
    assert (forget_biases(derivation), input_biases(derivation)) == ({"e": -1}, {"w": "e"})
    assert forget_biases(derive(parse(DECAY))) == {"d": 1}


@pytest.mark.parametrize("text, value", [(load("lstm").text, "f"), (load("gru_reset_after").text, "z")])
def test_a_forget_bias_is_what_the_gate_keeps(text, value):
    derivation = derive(parse(text))
    params = initialise(derivation, {"m": 3, "n": 4}, gain=0.0, forget_bias=2.0)
    run = kernels.compile(derivation).forward(params, {"x": np.ones((1, 1, 3))})
    assert np.allclose(run.values[value], 1 / (1 + np.exp(-2)))


def check_signs(derivation):
    params = initialise(derivation, SIZES, gain=0.0, forget_bias=3.0)
    assert np.allclose(params["e"], -3)


def test_the_sign_is_that_which_keeps_more(monkeypatch):
    derivation = derive(parse(STRANGER))
    check_signs(derivation)
    right = gating._kept
    monkeypatch.setattr(gating, "_kept", lambda *given: -right(*given))
    with pytest.raises(AssertionError):
        check_signs(derivation)


def test_chrono_draws_memories_uniformly():
    """ln U(1, T − 1) for forget gates (Tallec & Ollivier 2018, equation 16), the opposite for input gates."""
    text = "q: input[n]\nv: state[n]\nf = sigmoid(p * q + b)\ni = sigmoid(r * q + d)\nv = f * v + i * q"
    params = initialise(derive(parse(text)), {"n": 4000}, chrono=50)
    memories = np.exp(params["b"])
    assert stats.kstest(memories, stats.uniform(1, 48).cdf).pvalue > 1e-3
    assert np.array_equal(params["d"], -params["b"])
    stranger = initialise(derive(parse(STRANGER)), SIZES, chrono=50)
    assert (stranger["e"] <= 0).all() and np.array_equal(stranger["w"], stranger["e"])


def test_gaussian_is_what_the_kernel_draws():
    derivation = derive(load("lstm"))
    theirs = kernels.compile(derivation).init({"m": 3, "n": 4}, seed=5, gain=1.3)
    ours = initialise(derivation, {"m": 3, "n": 4}, gain=1.3, seed=5)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_orthogonal():
    params = initialise(derive(parse(STRANGER)), SIZES, "orthogonal", gain=1.5, seed=1)
    for name in ("E", "G", "K"):
        assert np.allclose(params[name] @ params[name].T, 2.25 * np.eye(60), atol=1e-12)
    assert abs(np.trace(params["E"])) < 10  # Haar: N(0, 1.5²)
    assert not np.allclose(params["E"], params["G"])
    gaussian = initialise(derive(parse(STRANGER)), SIZES, gain=1.5, seed=1)
    assert np.array_equal(params["F"], gaussian["F"])


def test_orthogonal_matrices_are_haar_distributed():
    """The eigenvalues of Haar matrices repel: without R's signs put right their phases would gather at 1."""
    derivation = derive(parse("s: state[n]\ns = tanh(A @ s)"))
    traces = [np.trace(initialise(derivation, {"n": 8}, "orthogonal", seed=seed)["A"]) for seed in range(400)]
    assert abs(np.mean(traces)) < 4.5 / np.sqrt(400)
    assert np.var(traces) == pytest.approx(1, abs=4.5 * np.sqrt(2 / 400))


def test_identity_and_pieces_of_one_matrix():
    params = initialise(derive(load("rnn_concat")), {"m": 3, "n": 4}, "identity", gain=0.5)
    assert np.array_equal(params["W"][:, :4], 0.5 * np.eye(4))
    assert (params["W"][:, 4:] != 0).all()
    params = initialise(derive(parse("q: input[m]\ns: state[n]\ns = relu(s @ A + B @ q)")), SIZES, "identity")
    assert np.array_equal(params["A"], np.eye(60))


def test_a_matrix_that_is_changed_once_before_it_multiplies():
    params = initialise(derive(load("antisymmetric")), {"m": 3, "n": 4}, "orthogonal")
    assert np.allclose(params["W_hh"] @ params["W_hh"].T, np.eye(4), atol=1e-12)


def test_xavier():
    params = initialise(derive(load("rnn")), {"m": 100, "n": 300}, "xavier", gain=2.0)
    for name, (rows, columns) in {"W_hh": (300, 300), "W_xh": (300, 100)}.items():
        bound = 2 * np.sqrt(6 / (rows + columns))
        assert abs(params[name]).max() <= bound
        assert np.var(params[name]) == pytest.approx(bound**2 / 3, rel=0.05)


def test_biases_by_name_dtype_and_repetition():
    derivation = derive(load("rnn"))
    params = initialise(derivation, {"m": 2, "n": 3}, "orthogonal", dtype="float32", biases={"b_h": [1, 2, 3]})
    assert params["b_h"].tolist() == [1, 2, 3] and params["W_hh"].dtype == np.float32
    again = initialise(derivation, {"m": 2, "n": 3}, "orthogonal", dtype="float32", biases={"b_h": [1, 2, 3]})
    assert all(np.array_equal(params[name], again[name]) for name in params)
    kernels.compile(derivation, "float32").forward(params, {"x": np.ones((2, 1, 2), np.float32)})


@pytest.mark.parametrize(
    "given, message",
    [
        ({"rule": "ortogonal"}, "no rule is called 'ortogonal'. Did you mean 'orthogonal'"),
        ({"gain": np.nan}, "gain is nan"),
        ({"biases": {"b_g": 1}}, "no parameter is called 'b_g'. Did you mean 'b_h'"),
        ({"biases": {"b_h": [1, 2]}}, r"shape \(2,\), and the parameter has \(60,\)"),
        ({"forget_bias": 1}, "rnn has no gate with a bias that multiplies a state's own .* as forget_bias needs"),
        ({"chrono": 100}, "as chrono needs"),
        ({"forget_bias": 1, "chrono": 100}, "give one of them"),
    ],
)
def test_messages(given, message):
    with pytest.raises(Error, match=message):
        initialise(derive(load("rnn")), SIZES, **given)


def test_messages_about_values():
    derivation = derive(load("lstm"))
    with pytest.raises(Error, match="chrono is 2"):
        initialise(derivation, SIZES, chrono=2)
    with pytest.raises(Error, match="forget_bias is inf"):
        initialise(derivation, SIZES, forget_bias=np.inf)
