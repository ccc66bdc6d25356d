import runpy
from functools import cache
from pathlib import Path

import pytest

import bptt
from bptt.derive import Check, Proof, derive
from bptt.reports import derivation_document

HOME_MADE = runpy.run_path(str(Path(__file__).parent / "cells.py"))["HOME_MADE"]


@cache
def derivation_of(name):
    return derive(bptt.parse(HOME_MADE[name], name) if name in HOME_MADE else bptt.load(name))


@cache
def document_of(name):
    derivation = derivation_of(name)
    names = [*derivation.cell.params, *(f"{state}_0" for state in derivation.cell.states), *derivation.cell.inputs]
    checks = tuple(Check(name, 6, True, "polynomial") for name in names)
    proof = Proof(derivation.cell.name, {"n": 2, "m": 3}, 3, (Check("tanh", 2, True),), checks, 1.0)
    return derivation_document(derivation, proof)


@pytest.fixture(scope="session", params=[*bptt.zoo(), *HOME_MADE])
def name(request):
    return request.param


@pytest.fixture(scope="session")
def derivation(name):
    return derivation_of(name)


@pytest.fixture(scope="session")
def document(name):
    return document_of(name)
