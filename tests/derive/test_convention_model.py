"""Models in rows: the same function and the same gradients, and proved again."""

import numpy as np
import pytest

import bptt
from bptt.derive.cell import previous
from bptt.derive.interpret import evaluate, run, size
from bptt.derive.proof import model_sizes
from bptt.derive.rollout import backward, forward
from bptt.derive.sizes import size_from

ROWS = bptt.Notation(layout="row")


def gradients(derivation, given, sizes, apply):
    """The loss and its gradients by the derivation's own equations and programs, in float64."""
    model = derivation.model

    def run_equations(number, values):
        known = dict(values)
        for equation in model.blocks[number].cell.equations:
            known[equation.target] = evaluate(equation.written, known, sizes, apply, 1.0)
        return known

    def execute(program, values):
        return run(program, values, sizes, apply, 1.0)

    def run_programs(number, values):
        part = derivation.parts[number]
        return execute(part.forward, execute(part.prologue, values))

    steps = forward(model, given, sizes, run_equations, 0.0)
    loss = sum(
        float(values[symbol].real)
        for block, trace in zip(model.blocks, steps, strict=True)
        for values in trace
        for symbol in values
        if symbol.name in block.losses
    )
    traces = forward(model, given, sizes, run_programs, 0.0)
    return loss, backward(derivation, traces, sizes, execute, zero=0j)


@pytest.mark.parametrize("name", bptt.models())
def test_rows_are_the_same_function_with_the_same_gradients(name, apply):
    column = bptt.derive(bptt.load_model(name))
    rows = bptt.restate(column, ROWS)
    model = column.model
    sizes = model_sizes(model)
    random = np.random.default_rng(0)
    given: dict[str, np.ndarray] = {}
    turned: dict[str, np.ndarray] = {}
    for one in (*model.params, *model.inputs):
        shape = [int(part.xreplace({s: sizes[s.name] for s in part.free_symbols})) for part in model.whole_shape(one)]
        given[one] = random.standard_normal(shape)
        turned[one] = given[one].T if one in rows.turned else given[one]
    for one, (*_, entries) in model.indices.items():
        shape = [sizes[part.name] for part in model.whole_shape(one)]
        given[one] = turned[one] = random.integers(size(size_from(entries), sizes), size=shape)
    loss, expected = gradients(column, given, sizes, apply)
    other, found = gradients(rows, turned, sizes, apply)
    assert rows.turned & set(model.params)
    assert other == pytest.approx(loss, rel=1e-13)
    for one, gradient in expected.items():
        shaped = found[one].T if one in rows.turned else found[one]
        one_side, other_side = (np.asarray(array, complex).real for array in (shaped, gradient))
        np.testing.assert_allclose(one_side, other_side, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["character_language_model", "sequence_to_sequence", "labels"])
def test_rows_are_proved_again(name):
    assert bptt.restate(bptt.derive(bptt.load_model(name)), ROWS).prove().holds


def test_initial_states_and_steps_are_where_they_were():
    rows = bptt.restate(bptt.derive(bptt.load_model("bidirectional")), ROWS)
    assert [block.reverse for block in rows.model.blocks] == [False, True, False]
    for block in rows.model.blocks:
        assert all(previous(state) in block.cell.shapes for state in block.starts)
