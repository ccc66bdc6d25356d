import runpy
from functools import cache
from pathlib import Path

import pytest

import bptt
from bptt.derive import Check, Proof, derive
from bptt.reports import derivation_document

HOME_MADE = runpy.run_path(str(Path(__file__).parent / "cells.py"))["HOME_MADE"]


# Their pages have the parts of another cell's page and no more: they are proved and compiled by other tests.
ALIKE = {"indrnn", "janet", "leaky", "logistic_map", "lstm_1997", "lstm_coupled", "mgu", "min_gru", "minimal_rnn"}
ALIKE |= {"rnn_logistic", "sru"}


@cache
def derivation_of(name):
    return derive(bptt.parse(HOME_MADE[name], name) if name in HOME_MADE else bptt.load(name))


@pytest.fixture(params=[*(name for name in bptt.zoo() if name not in ALIKE), *HOME_MADE])
def derivation(request):
    return derivation_of(request.param)


@pytest.fixture
def document(derivation):
    names = [*derivation.cell.params, *(f"{state}_0" for state in derivation.cell.states), *derivation.cell.inputs]
    checks = tuple(Check(name, 6, True, "polynomial") for name in names)
    proof = Proof(derivation.cell.name, {"n": 2, "m": 3}, 3, (Check("tanh", 2, True),), checks, 1.0)
    return derivation_document(derivation, proof)
