"""The certificate's numerical error is small where gradients are right, and large where they aren't."""

import math
from dataclasses import replace

import pytest
from sympy import Integer

import bptt
from bptt.derive.model import over_time
from bptt.derive.model_derivation import ModelDerivation
from bptt.derive.numerical import numerical_error
from bptt.derive.proof import model_sizes, prove


def error(derivation):
    if not isinstance(derivation, ModelDerivation):
        derivation = ModelDerivation(over_time(derivation.cell), (derivation,))
    return numerical_error(derivation, model_sizes(derivation.model))


@pytest.mark.parametrize("name", bptt.zoo())
def test_cells(name):
    assert error(bptt.derive(bptt.load(name))) < 1e-14


@pytest.mark.parametrize("name", bptt.models())
def test_models(name):
    assert error(bptt.derive(bptt.load_model(name))) < 1e-14


@pytest.mark.parametrize("target", ["delta_W_hh", "delta_h_prev", "delta_a_h", "delta_x"])
def test_a_wrong_line_shows(target):
    derivation = bptt.derive(bptt.load("rnn"))
    steps = tuple(
        replace(step, expr=Integer(0) if step.target.name == target else step.expr)
        for step in derivation.backward.steps
    )
    assert error(replace(derivation, backward=replace(derivation.backward, steps=steps))) > 1e-3


def test_what_is_undefined_has_no_error_to_speak_of():
    derivation = bptt.derive(bptt.parse("x: input[n]\nh: state[n]\nh = log(-exp(x)) * h"))
    assert math.isnan(error(derivation))


def test_a_proof_holds_it():
    assert prove(bptt.derive(bptt.load("gru"))).error < 1e-14
