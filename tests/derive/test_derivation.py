"""Derived programs: as the textbooks have them, right in numbers, and the same whatever the hash seed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sympy
from sympy import Symbol

import bptt
from bptt.derive.errors import ProgramError
from bptt.derive.notation import spell
from bptt.derive.program import Program, Reason, Step, forward_program, split

CELLS = Path(__file__).parent / "cells"


def backward(name):
    return str(bptt.derive(bptt.load(name)).backward).splitlines()


def test_the_author_s_equations_and_the_forward_program_agree(numbers):
    _, loss = numbers.forward()
    assert loss == pytest.approx(numbers.written_loss(), rel=1e-14)


def test_gradients_equal_the_complex_step(numbers, differentiate):
    found = numbers.gradients()
    for symbol, array in {**numbers.params, **numbers.inputs, **numbers.start}.items():
        expected = np.reshape(differentiate(array, numbers.written_loss), array.shape)
        np.testing.assert_allclose(found[symbol], expected, rtol=1e-12, atol=1e-12, err_msg=str(symbol))


def test_every_line_has_its_reasons_and_is_spelled(derivation):
    for program in (derivation.prologue, derivation.forward, derivation.backward, derivation.epilogue):
        for step in program.steps:
            assert spell(step.expr)
            assert all(isinstance(reason, Reason) for reason in step.reasons)
    for step in derivation.backward.steps:
        terms = step.expr.args if step.expr.is_Add else (step.expr,) if step.expr != 0 else ()
        assert len(terms) == len(step.reasons) or len(step.reasons) == 1, step


def test_everything_derived_can_be_printed(derivation):
    assert set(derivation.gradients) == set(derivation.cell.params)
    assert set(derivation.recursion) == set(derivation.cell.states)
    assert len(derivation.adjoints) <= len(derivation.backward.steps)
    assert str(derivation.gradients) and str(derivation.recursion) and derivation.steps


LSTM = """
delta_h = incoming_h
delta_c = incoming_c + delta_h * o * (1 - tanh(c)**2)
delta_g = delta_c * i
delta_a_g = delta_g * (1 - g**2)
delta_o = delta_h * tanh(c)
delta_a_o = delta_o * o * (1 - o)
delta_f = delta_c * c_prev
delta_a_f = delta_f * f * (1 - f)
delta_i = delta_c * g
delta_a_i = delta_i * i * (1 - i)
delta_h_prev = W_hi.T @ delta_a_i + W_hf.T @ delta_a_f + W_ho.T @ delta_a_o + W_hg.T @ delta_a_g
delta_c_prev = delta_c * f
delta_x = W_xi.T @ delta_a_i + W_xf.T @ delta_a_f + W_xo.T @ delta_a_o + W_xg.T @ delta_a_g
"""
GRU = """
delta_h = incoming_h
delta_h_tilde = delta_h * z
delta_a_h_tilde = delta_h_tilde * (1 - h_tilde**2)
delta_u_h_tilde = W_hh.T @ delta_a_h_tilde
delta_r = delta_u_h_tilde * h_prev
delta_a_r = delta_r * r * (1 - r)
delta_z = delta_h * (h_tilde - h_prev)
delta_a_z = delta_z * z * (1 - z)
delta_h_prev = W_hz.T @ delta_a_z + W_hr.T @ delta_a_r + delta_u_h_tilde * r + delta_h * (1 - z)
delta_x = W_xz.T @ delta_a_z + W_xr.T @ delta_a_r + W_xh.T @ delta_a_h_tilde
"""
RNN = """
delta_h = incoming_h
delta_a_h = delta_h * (1 - h**2)
delta_h_prev = W_hh.T @ delta_a_h
delta_x = W_xh.T @ delta_a_h
"""


@pytest.mark.parametrize(("name", "lines"), [("rnn", RNN), ("lstm", LSTM), ("gru", GRU)])
def test_the_textbook_s_lines(name, lines):
    lines = lines.strip().splitlines()
    assert backward(name)[: len(lines)] == lines


@pytest.mark.parametrize(
    ("name", "param", "line"),
    [
        ("lstm", "W_hi", "delta_W_hi = outer(delta_a_i, h_prev)"),
        ("lstm", "b_f", "delta_b_f = delta_a_f"),
        ("gru", "W_hh", "delta_W_hh = outer(delta_a_h_tilde, u_h_tilde)"),
    ],
)
def test_shares_of_gradients(name, param, line):
    assert line in backward(name)
    assert spell(bptt.derive(bptt.load(name)).shares[param]) == line.partition(" = ")[2]


def test_gradients_are_sums_over_time():
    gradients = bptt.derive(bptt.load("lstm")).gradients
    assert str(gradients["W_hf"]) == "Sum(outer(delta_a_f(t), h(t - 1)), (t, 1, T))"
    assert str(gradients["b_o"]) == "Sum(delta_a_o(t), (t, 1, T))"


def test_gradients_through_a_prologue():
    cell = bptt.parse("x: input[n]\nh: state[n]\nA = W - W.T\nh = h + tanh(A @ h + x)")
    derivation = bptt.derive(cell)
    assert str(derivation.prologue) == "A = W - W.T"
    assert [str(step) for step in derivation.epilogue.steps][-1] == "delta_W = delta_A - delta_A.T"


def test_nothing_goes_back_through_a_prologue_that_no_parameter_decides():
    layer_norm = bptt.derive(bptt.load(str(CELLS / "layer_norm.cell")))
    assert str(layer_norm.prologue) == "u2_d = sum(ones(n))"
    assert not layer_norm.returned and not layer_norm.epilogue.steps
    cell = bptt.parse("x: input[n]\nh: state[n]\nA = W - W.T\nh = h + tanh(A @ h + U @ x + sum(h) / sum(ones(n)))")
    assert [str(step.target) for step in bptt.derive(cell).epilogue.steps] == ["delta_A", "delta_W"]


def test_numbers_in_a_sum_stay_as_written():
    cell = bptt.parse("h: state[n]\nh = h / sqrt(0.001 + h**2)")
    [first, *_] = [expr for symbol, expr in bptt.derive(cell).adjoints if str(symbol) == "delta_h_prev"]
    assert "1000 *" not in spell(first)


@pytest.mark.parametrize(
    "equations",
    ["h = tanh(h) * softmax(W @ x)", "h = h * sum(W @ x) + sum(W @ x)", "h = h / norm(W @ x)"],
)
def test_no_map_is_computed_inside_a_product(equations):
    program = bptt.derive(bptt.parse(f"x: input[m]\nh: state[n]\nW: param[n, m]\n{equations}")).forward
    assert sum(str(step).count("@") for step in program.steps) == 1


# Programs ---------------------------------------------------------------------------------------------------------

a, b, c = map(Symbol, "abc")
SHAPES: dict[Symbol, tuple[()]] = {a: (), b: (), c: ()}


def step(target, expr):
    return Step(target, expr, (Reason("definition"),))


@pytest.mark.parametrize(
    ("steps", "outputs", "message"),
    [
        ((step(b, c), step(c, a)), (), r"step 1 reads c before it is defined:\n>   1  b = c\n    2  c = a"),
        ((step(b, a), step(b, a)), (), "step 2 assigns b again"),
        ((step(Symbol("d"), a),), (), "step 1 has no shape for d"),
        ((step(b, a),), (c,), r"the program never defines c:\nb = a"),
    ],
)
def test_a_bad_program_says_where(steps, outputs, message):
    with pytest.raises(ProgramError, match=message):
        Program((a,), steps, outputs, SHAPES).check()


def test_split_takes_what_depends_on_constants_alone():
    program = forward_program(bptt.parse("x: input[n]\nh: state[n]\ng = exp(s)\nh = g * h + x * t"))
    once, always = split(program, [Symbol("s"), Symbol("t")])
    assert [str(step) for step in once.steps] == ["g = exp(s)"]
    assert [str(step) for step in always.steps] == ["h = g * h_prev + x * t"]


PRINT = f"""
import bptt
from pathlib import Path
for name in [*bptt.zoo(), *sorted(map(str, Path({str(CELLS)!r}).glob("*.cell")))[::4]]:
    derivation = bptt.derive(bptt.load(name))
    print(derivation.cell)
    for program in (derivation.prologue, derivation.forward, derivation.backward, derivation.epilogue):
        print(program, program.inputs, program.outputs)
    print(derivation.gradients, derivation.recursion)
    for state in derivation.cell.states:
        try:
            print(derivation.jacobian(state, state))
        except bptt.Error as error:
            print(error)
"""


def test_six_hash_seeds_give_one_text():
    command = [sys.executable, "-c", PRINT]
    around = {"PYTHONPATH": os.pathsep.join(sys.path)}
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env={**around, "PYTHONHASHSEED": str(seed)})
        for seed in range(6)
    ]
    texts = {run.communicate()[0] for run in runs}
    assert len(texts) == 1
    assert len(texts.pop()) > 10_000


def test_what_only_an_outer_value_reads_leaves_no_zero_in_a_gradient():
    cell = bptt.parse("""
x: input[m]
p: param[m]
q: param[k]
s: state[m]
a = exp(p)
d = outer(a, ones(k)) @ q
s = exp(-d) * s + x
""")
    found = bptt.derive(cell).gradients
    assert {name for name, gradient in found.items() if gradient == 0} == set()
    assert not any(0 in part.args for gradient in found.values() for part in gradient.atoms(sympy.Add))
