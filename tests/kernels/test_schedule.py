"""What a schedule says that a kernel does, and what it says that costs."""

import pytest
from sympy import Integer, Symbol

import bptt
from bptt.derive import derive, parse
from bptt.derive.program import step_counts
from bptt.kernels import schedule as schedule_of
from bptt.kernels.counts import costs, linear_states, roofline, roofs, seconds_at_least
from bptt.kernels.instructions import Dot, Loop, OuterSum, reads

SIZES = {"n": 4, "m": 3}


def products(instructions):
    return [instruction for instruction in instructions if isinstance(instruction, Dot)]


@pytest.mark.parametrize(
    ("name", "before", "at_each_step", "back", "sums"),
    [("rnn", 1, 1, 1, 2), ("lstm", 1, 1, 1, 2), ("gru", 1, 2, 2, 3), ("gru_reset_after", 1, 1, 1, 2)],
)
def test_products_that_share_a_vector_are_one(make_case, name, before, at_each_step, back, sums):
    schedule = make_case(name).kernel.schedule
    assert len(products(schedule.before)) == before
    assert len(products(schedule.forward)) == at_each_step
    assert len(products(schedule.backward)) == back
    assert len([one for one in schedule.sums if isinstance(one, OuterSum)]) == sums


def test_function_values_that_the_way_back_needs_are_kept(make_case):
    schedule = make_case("lstm").kernel.schedule
    text = str(schedule)
    assert "tanh_c = tanh(c)" in text
    assert "tanh(" not in text.split("Backward, at each step")[1].replace("tanh_c", "")


@pytest.mark.parametrize(
    ("name", "linear"),
    [
        ("min_gru", ["h"]),
        ("min_lstm", ["h"]),
        ("lru", ["a", "b"]),
        ("qrnn", []),
        ("indrnn", []),
        ("sru", []),
        ("rnn", []),
        ("lstm", []),
        ("henon", []),
    ],
)
def test_linear_recurrences_are_seen(make_case, name, linear):
    schedule = make_case(name).kernel.schedule
    assert linear_states(schedule) == linear
    assert ("Linear in the last states, entry by entry" in str(schedule)) == bool(linear)


@pytest.mark.parametrize("name", ["min_gru", "min_lstm", "lru", "sru", "indrnn"])
def test_elementwise_recurrences_have_no_product_at_a_step(make_case, name):
    """Neither forwards nor backwards nor along tangents: what multiplies matrices is done for all steps at once."""
    case = make_case(name)
    schedule = case.kernel.schedule
    assert all(
        isinstance(one, Loop) for part in (schedule.forward, schedule.backward, schedule.tangent) for one in part
    )
    assert products(schedule.before) and any(isinstance(one, OuterSum) for one in schedule.sums)
    body = case.kernel.source.split("def forward(")[1].split("for t in range(T):")[-1].split("def ")[0]
    assert "multiply(" not in body


@pytest.mark.parametrize(
    ("text", "linear"),
    [
        ("h = a * h + b * k\nk = b * k - h", ["h", "k"]),
        ("h = a * h\nk = h * k", ["h"]),
        ("h = a * h + k\nk = k * k", []),
        ("h = a * h + k\nk = x", ["h"]),
        ("h = max(a * h, k)\nk = k + b", ["k"]),
        ("h = h / (1 + a)\nk = k / h", ["h"]),
        ("h = h * sum(h)\nk = a * k", []),
    ],
)
def test_linear_in_several_states(text, linear):
    cell = parse(f"x: input[n]\nh: state[n]\nk: state[n]\na: param[n]\nb: param[n]\n{text}\n")
    if "b" not in text:
        cell = parse(f"x: input[n]\nh: state[n]\nk: state[n]\na: param[n]\n{text}\n")
    assert linear_states(schedule_of(derive(cell))) == linear


def test_a_schedule_is_a_table(make_case):
    lines = str(make_case("lstm").kernel.schedule).split("\n")
    assert lines[3].split() == ["operations", "functions", "entries", "weights"]
    [product] = [line for line, after in zip(lines[1:], lines, strict=False) if "@ h_prev" in after][:1]
    assert product.split() == ["8n²", "-", "5n", "4n²"]
    assert max(map(len, lines)) <= 120


def test_a_roofline_is_worked_out_from_the_counts(make_case):
    """One product of 2·n·m operations for each of T·B samples, at a rate of 1: the time is their number."""
    schedule = make_case("rnn").kernel.schedule
    found = {roof.section: roof for roof in roofs(schedule, SIZES, 10, 7, 1.0, 1e30, "float64")}
    assert found["before"].operations == found["before"].computing == 2 * 4 * 3 * 10 * 7
    slow = {roof.section: roof for roof in roofs(schedule, SIZES, 10, 7, 1e30, 1.0, "float64")}
    assert slow["before"].moving == 8 * ((4 + 3) * 70 + 4 * 3), "a row in and a row out, and the matrix once"
    text = roofline(schedule, SIZES, 10, 7, 1.0, 1e30, "float64")
    assert "T = 10, B = 7, n = 4, m = 3, float64" in text and text.count("computing") == len(found)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "min_gru", "skew"])
def test_forward_products_cost_what_the_program_says(make_case, name):
    schedule = make_case(name).kernel.schedule
    forward = [cost for cost in costs(schedule) if cost.section in ("before", "forward") and "@" in cost.text]
    counted = sum((cost.operations for cost in forward), Integer(0))
    assert (counted - 2 * step_counts(schedule.derivation.forward)).expand() == 0


def test_the_least_time_grows_with_steps(make_case):
    schedule = make_case("lstm").kernel.schedule
    one, two = (seconds_at_least(schedule, SIZES, steps, 8, 1e11, 1e10, "float32") for steps in (100, 200))
    assert one < two < 2.1 * one


def test_outputs_must_be_values_of_each_step(make_case):
    from bptt.kernels import schedule

    with pytest.raises(bptt.Error, match="gradients can't come from x; values of each step are a_h, h|a_h, h"):
        schedule(make_case("rnn").kernel.derivation, outputs=["x"])


def test_nothing_reads_an_argument_whose_place_is_taken(case):
    derivation = case.kernel.derivation
    states = {Symbol(state) for state in derivation.cell.states}
    outputs = [step.target.name for step in derivation.forward.steps if step.target not in states]
    for made in (schedule_of(derivation), schedule_of(derivation, outputs)):
        later = (*made.backward, *made.after, *made.sums, *made.epilogue, *made.tangent)
        assert not {symbol for instruction in later for symbol in reads(instruction)} & set(made.spent)
