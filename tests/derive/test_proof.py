"""The proof holds for every cell, and no rule can be wrong without its failing."""

from dataclasses import replace

import pytest
from sympy import Integer, Symbol

import bptt
from bptt.derive.errors import Error
from bptt.derive.functions import FUNCTIONS, arity
from bptt.derive.linear import (
    NODES,
    broadcast,
    concat,
    entry,
    ones,
    outer,
    pad,
    part,
    product,
    scatter,
    shape_of,
    softmax,
    total,
    transpose,
    transposed,
)
from bptt.derive.proof import prove, small_sizes
from bptt.derive.written import multiplied, renamed

LINE = "x: input[n]\nh: state[n]\nh = "
SQUARE = "x: input[n]\nS: state[n, n]\nS = S + "
INDEXED = "w: index[k]\nh: state[n]\nE: param[k, n]\nh = "


def prove_text(equation):
    return prove(bptt.derive(bptt.parse(equation, "mine")))


def counterexamples(proof):
    return [check.counterexample for check in (*proof.functions, *proof.checks) if not check.holds]


def test_proof_holds_for_every_cell(proof):
    assert counterexamples(proof) == []
    assert proof.holds
    assert proof.entries == sum(check.entries for check in proof.checks) > 0


def test_proof_covers_every_parameter_input_and_initial_state(proof, cell):
    names = {check.name for check in proof.checks}
    assert names == {*cell.params, *cell.inputs, *(f"{name}_0" for name in cell.states)}


def test_proof_covers_the_slopes_of_every_function_of_the_cell(proof, cell):
    used = {f.rule.name for line in cell.equations for f in line.written.atoms(*FUNCTIONS.values())}
    assert used <= {check.name for check in proof.functions}


def test_proof_is_at_pairwise_different_sizes(proof):
    assert len(set(proof.sizes.values())) == len(proof.sizes)
    assert proof.steps == 3
    assert min(proof.sizes.values(), default=2) >= 2


def test_reciprocals_are_proved_in_the_field():
    proof = prove_text(LINE + "x / (1 + h**2)")
    assert proof.holds
    assert {check.method for check in proof.checks} <= {"polynomial", "field"}


def test_powers_that_are_fractions_are_proved():
    text = """
x: input[n]
h: state[n]
f = sigmoid(u * h + x)**(1/16)
g = sigmoid(v * x)**0.3
h = f * h + g * sigmoid(w * h)**0.5
"""
    assert bptt.derive(bptt.parse(text)).prove().holds


def test_progress_names_each_gradient():
    seen: list[str] = []
    prove(bptt.derive(bptt.load("rnn")), seen.append)
    assert seen == ["W_hh", "W_xh", "b_h", "h_0", "x"]


@pytest.mark.parametrize(
    ("equation", "least"),
    [("U @ h[0:3] + x", {"n": 3}), ("h[n - 4] * x", {"n": 4}), ("h * x[2]", {"n": 3})],
)
def test_sizes_fit_slices_and_indices(equation, least):
    assert small_sizes(bptt.parse(LINE + equation)) == least


def test_slices_that_fit_no_small_size_are_refused():
    with pytest.raises(Error, match="mine: no small sizes of n fit the slices and indices of its equations"):
        small_sizes(bptt.parse(LINE + "h * x[400]", "mine"))


def test_sizes_written_as_large_numbers_are_refused():
    with pytest.raises(Error, match="mine: a proof would expand 1680 entries, more than 1000; 'U' alone has 1600"):
        prove_text("h: state[40]\nU: param[40, 40]\nh = U @ h + b")


# Mutations: rules of elementwise functions ------------------------------------------------------------------------


def equation_with(name):
    return f"{name}(h * x, x)" if arity(name) == 2 else f"{name}(h * x)"


MUTATED_SLOPES = [(name, index) for name in FUNCTIONS for index in range(arity(name))]


@pytest.mark.parametrize(("name", "index"), MUTATED_SLOPES)
@pytest.mark.parametrize("mutation", [lambda s: 2 * s + 1, lambda s: -s - 1, lambda s: s + Integer(1) / 7])
def test_a_wrong_slope_is_found(name, index, mutation, change_rule):
    slopes = list(FUNCTIONS[name].rule.slopes)
    right = slopes[index]
    slopes[index] = lambda *args: mutation(right(*args))
    change_rule(FUNCTIONS[name], slopes=tuple(slopes))
    proof = prove_text(LINE + equation_with(name))
    assert not proof.holds
    (wrong,) = [check for check in proof.functions if check.name == name]
    assert not wrong.holds
    assert wrong.counterexample.startswith("slope off by ")


# Mutations: rules of tensor maps ----------------------------------------------------------------------------------


def wrong_product(bar, at, index, shapes):
    left, right = at.args
    return product(left, bar) if index == 1 else outer(bar, right)


def swapped_product(bar, at, index, shapes):
    left, right = at.args
    return product(transposed(left), bar) if index == 1 else outer(right, bar)


def first_piece(bar, at, index, shapes):
    return part(bar, Integer(0), shape_of(at.args[index], shapes)[0])


# map -> (a wrong transpose, a cell that uses it, an entry that comes out wrong)
MUTATIONS = [
    ("product", wrong_product, LINE + "tanh(U @ h)", "h_0["),
    ("product", swapped_product, LINE + "tanh(U @ h)", "U["),
    ("transpose", lambda bar, at, index, shapes: bar, LINE + "U.T @ h", "U["),
    (
        "outer",
        lambda bar, at, index, shapes: product((transposed(bar), bar)[index], at.args[1 - index]),
        SQUARE + "outer(U @ x, W @ x)",
        "W[",
    ),
    (
        "outer",
        lambda bar, at, index, shapes: product((bar, transposed(bar))[index], at.args[index]),
        SQUARE + "outer(U @ x, W @ x)",
        "W[",
    ),
    (
        "total",
        lambda bar, at, index, shapes: broadcast(2 * bar, *shape_of(at.args[0], shapes)),
        LINE + "h * sum(x * h)",
        "h_0[",
    ),
    ("concat", first_piece, LINE + "U @ concat(h, x)", "x["),
    (
        "part",
        lambda bar, at, index, shapes: pad(bar, Integer(0), shape_of(at.args[0], shapes)[0]),
        "x: input[n]\nh: state[4]\nh = concat(h[2:4], h[0:2]) * sum(x)",
        "h_0[",
    ),
    (
        "entry",
        lambda bar, at, index, shapes: pad(broadcast(bar, Integer(1)), Integer(0), shape_of(at.args[0], shapes)[0]),
        LINE + "x * h[1]",
        "h_0[",
    ),
    ("softmax", lambda bar, at, index, shapes: multiplied(at, bar), LINE + "softmax(h * x)", "h_0["),
    ("softmax", lambda bar, at, index, shapes: multiplied(at, bar - total(bar)), LINE + "softmax(h * x)", "h_0["),
    (
        "lookup",
        lambda bar, at, index, shapes: scatter(2 * bar, at.args[1], shape_of(at.args[0], shapes)[0]),
        INDEXED + "h * E[w]",
        "E[",
    ),
    (
        "lookup",
        lambda bar, at, index, shapes: outer(ones(shape_of(at.args[0], shapes)[0]), bar),
        INDEXED + "h * E[w]",
        "E[",
    ),
    (
        "cross_entropy",
        lambda bar, at, index, shapes: multiplied(bar, at.args[1] - softmax(at.args[0])),
        INDEXED + "h * cross_entropy(E @ h, w)",
        "E[",
    ),
    (
        "cross_entropy",
        lambda bar, at, index, shapes: multiplied(bar, softmax(at.args[0])),
        INDEXED + "h * cross_entropy(E @ h, w)",
        "E[",
    ),
]
# Maps that no cell's equations hold; they come from transposes, and test_linear tests them by <v, Ju> = <J'v, u>.
FROM_TRANSPOSES = {"broadcast", "pad", "scatter"}
CONSTANT = {"ones"}


@pytest.mark.parametrize(("name", "mutant", "text", "place"), MUTATIONS, ids=[line[0] for line in MUTATIONS])
def test_a_wrong_transpose_is_found(name, mutant, text, place, change_rule):
    assert prove_text(text).holds
    change_rule(NODES[name], transpose=mutant)
    proof = prove_text(text)
    assert not proof.holds
    assert any(place in found and "derived − sympy.diff = " in found for found in counterexamples(proof))


def test_every_rule_has_a_mutation():
    assert {name for name, _ in MUTATED_SLOPES} == set(FUNCTIONS)
    assert {line[0] for line in MUTATIONS} | FROM_TRANSPOSES | CONSTANT == set(NODES)
    assert {concat, entry, softmax, transpose} <= set(NODES.values())


# Mutations: the program -------------------------------------------------------------------------------------------


def with_line(derivation, target, change):
    """Change the right side of one line of the backward program."""
    steps = tuple(
        replace(step, expr=change(step.expr)) if step.target.name == target else step
        for step in derivation.backward.steps
    )
    assert steps != derivation.backward.steps
    return replace(derivation, backward=replace(derivation.backward, steps=steps))


@pytest.mark.parametrize("state", ["h", "c"])
def test_dropping_the_carried_adjoint_is_found(state):
    derivation = bptt.derive(
        bptt.parse("x: input[n]\nh: state[n]\nc: state[n]\nc = c * x + h\nh = tanh(c * w)", "mine")
    )
    assert prove(derivation).holds
    wrong = prove(with_line(derivation, f"delta_{state}_prev", lambda expr: Integer(0)))
    assert not wrong.holds
    assert any(f"{state}_0[0]: derived" in found for found in counterexamples(wrong))


@pytest.mark.parametrize(
    ("target", "change"),
    [
        ("delta_W_hh", lambda expr: renamed(expr, {Symbol("h_prev"): Symbol("h")})),  # off by one in time
        ("delta_W_hh", lambda expr: outer(expr.args[1], expr.args[0])),
        ("delta_h", lambda expr: 2 * expr),
        ("delta_a_h", lambda expr: expr.args[0]),
        ("delta_b_h", lambda expr: Integer(0)),
    ],
)
def test_a_wrong_line_is_found(target, change):
    derivation = bptt.derive(bptt.load("rnn"))
    wrong = prove(with_line(derivation, target, change))
    assert not wrong.holds
    assert counterexamples(wrong)


def test_a_wrong_epilogue_is_found():
    derivation = bptt.derive(bptt.parse("x: input[n]\nh: state[n]\nd = exp(-exp(s))\nh = d * h + x", "mine"))
    steps = tuple(replace(step, expr=2 * step.expr) for step in derivation.epilogue.steps)
    assert steps
    wrong = prove(replace(derivation, epilogue=replace(derivation.epilogue, steps=steps)))
    assert [check.name for check in wrong.checks if not check.holds] == ["s"]


def test_a_model_without_a_loop_has_no_steps_to_speak_of():
    proof = bptt.derive(bptt.load_model("fixed_window")).prove()
    assert proof.holds and "T = " not in str(proof)
    assert "S = 3" in str(bptt.derive(bptt.load_model("sequence_to_sequence")).prove())
