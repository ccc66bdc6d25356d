"""What a schedule says that a kernel does, and what it says that costs."""

import pytest
from sympy import Integer

import bptt
from bptt.derive.program import step_counts
from bptt.kernels.counts import costs, linear_states, seconds_at_least
from bptt.kernels.instructions import Dot, OuterSum

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
    [("min_gru", ["h"]), ("qrnn", []), ("indrnn", []), ("sru", []), ("rnn", []), ("lstm", [])],
)
def test_linear_recurrences_are_seen(make_case, name, linear):
    assert linear_states(make_case(name).kernel.schedule) == linear


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
