"""Direct paths and gates are found in the equations; cutting edges and switching adjoints changes nothing else."""

import numpy as np
import pytest
from sympy import Symbol

from bptt.derive import Error, derive, load, parse
from bptt.derive.arithmetic import apply_float
from bptt.derive.interpret import evaluate, run, size
from bptt.derive.lanes import factor, gates, lanes, only_along, switched

STRANGER = """
u: input[m]
s: state[k]
forget = sigmoid(A @ s + p * s + d)
old = forget * s
new = tanh(B @ s + C @ u)
s = old + (1 - forget) * new
"""

# cell -> the direct path of each state as text, and its gates
FOUND = {
    "lstm": ({"c": "f"}, ("i", "f", "o", "g")),
    "lstm_peephole": ({"c": "f"}, ("i", "f", "g", "o")),
    "gru": ({"h": "1 - z"}, ("z", "r", "h_tilde")),
    "janet": ({"c": "sigmoid(s)"}, ("s", "g")),
    "min_lstm": ({"h": "f/(f + i)"}, ()),
    "rnn": ({}, ("a_h",)),
    "leaky": ({"h": "4/5"}, ("a_h",)),
    "indrnn": ({"h": "u*step(h)"}, ()),
    "cornn": ({"y": "1", "v": "19/20"}, ("a_v",)),
    "lru": ({"a": "r*cos(theta)", "b": "r*cos(theta)"}, ()),
    "mlstm": ({"C": "f", "q": "f", "s": "geq(a_f, a_i)"}, ("i", "f", "a2_h")),
}


@pytest.mark.parametrize("name", FOUND)
def test_lanes_and_gates_of_known_cells(name):
    derivation = derive(load(name))
    found = {state: str(factor(derivation, lane)) for state, lane in lanes(derivation).items()}
    assert (found, gates(derivation)) == FOUND[name]


def test_lanes_and_gates_of_a_strangers_cell():
    derivation = derive(parse(STRANGER))
    assert {s: str(factor(derivation, lane)) for s, lane in lanes(derivation).items()} == {"s": "forget"}
    assert gates(derivation) == ("forget", "new")


def values_of(derivation, program, given, sizes):
    found = run(program, given, sizes, apply_float, 1.0)
    return {symbol: np.asarray(value, float) for symbol, value in found.items()}


def step_values(derivation, sizes, random):
    """Random parameters, inputs and states, and all values of one step."""
    shapes = derivation.forward.shapes
    given = {
        symbol: random.normal(size=tuple(size(part, sizes) for part in shapes[symbol]))
        for symbol in derivation.forward.inputs
        if symbol not in derivation.prologue.outputs
    }
    once = values_of(derivation, derivation.prologue, given, sizes)
    return {**once, **values_of(derivation, derivation.forward, {**given, **once}, sizes)}


@pytest.mark.parametrize("text", [STRANGER, load("cornn").text, load("slstm").text])
def test_only_along_sends_back_the_factor_alone(text):
    derivation = derive(parse(text))
    sizes = {"m": 2, "n": 3, "k": 3}
    values = step_values(derivation, sizes, np.random.default_rng(0))
    found = [lane for lane in lanes(derivation).values() if lane.linear]
    along = only_along(derivation, found)
    for lane in found:
        seeds = {Symbol(f"incoming_{s}"): np.full(3, float(s == lane.state)) for s in derivation.cell.states}
        back = values_of(along, along.backward, {**values, **seeds}, sizes)
        expected = np.asarray(evaluate(factor(derivation, lane), values, sizes, apply_float, 1.0), float)
        assert np.allclose(back[Symbol(f"delta_{lane.state}_prev")], np.broadcast_to(expected, 3), rtol=1e-14)


def test_switches_of_1_change_nothing_and_of_0_detach():
    derivation = derive(parse(STRANGER))
    sizes, random = {"m": 2, "k": 3}, np.random.default_rng(1)
    values = step_values(derivation, sizes, random)
    values[Symbol("incoming_s")] = random.normal(size=3)
    with_switch, names = switched(derivation, ["forget"])
    number = Symbol(names["forget"])
    plain = values_of(derivation, derivation.backward, values, sizes)
    kept = values_of(with_switch, with_switch.backward, {**values, number: np.array(1.0)}, sizes)
    cut = values_of(with_switch, with_switch.backward, {**values, number: np.array(0.0)}, sizes)
    for target in (Symbol("delta_s_prev"), Symbol("delta_A"), Symbol("delta_u")):
        assert np.array_equal(kept[target], plain[target])
    a, slope = values[Symbol("forget")], 1 - values[Symbol("new")] ** 2
    sent = values[Symbol("incoming_s")] * (1 - a) * slope
    expected = values[Symbol("B")].T @ sent + a * values[Symbol("incoming_s")]
    assert np.allclose(cut[Symbol("delta_s_prev")], expected, rtol=1e-13)
    assert not cut[Symbol("delta_A")].any() and plain[Symbol("delta_A")].any()


def test_messages():
    derivation = derive(load("lstm"))
    with pytest.raises(Error, match="'forget' is no value of a step of lstm .*'f'|Known"):
        switched(derivation, ["forget"])
    with pytest.raises(Error, match="'h' is a state"):
        switched(derivation, ["h"])
