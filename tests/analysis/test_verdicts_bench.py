"""A sample of the bench: mutants of cells of the zoo and of a stranger's cell, and right variants."""

import importlib.util
import random
import sys
from pathlib import Path

import pytest

import bptt

PATH = Path(__file__).parents[2] / "benchmarks" / "check.py"
SAMPLED = ("rnn", "gru", "qrnn", "min_lstm", "leaky", "rnn_concat", "slstm")


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_of_verdicts", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SAMPLED)
def test_mutants_are_found_named_and_mended(bench, name):
    made = list(bench.mutants(name))
    score = bench.Score()
    for mutant in random.Random(name).sample(made, 8):
        score.judge(mutant)
    assert score.counts["detected"] == score.counts["line"] == score.counts["repair"] == 8, score.misses
    assert score.counts["kind"] >= 6, score.misses


@pytest.mark.parametrize("name", SAMPLED)
def test_right_variants_raise_no_alarm(bench, name):
    for what, text in bench.variants(name):
        assert bptt.check(text, cell=name).correct, what


def test_nine_faults_in_one_pass(bench):
    text, wrong = bench.nine_faults()
    assert len(wrong) == 9
    assert {fault.line for fault in bptt.check(text, cell="lstm").faults} == wrong
