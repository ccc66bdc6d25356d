"""The bench: how a cell is written for other frameworks, what it says without them, and what it makes of times."""

import json
import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import bptt
from bptt.cli import main
from bptt.kernels import bench, comparison, peers

ROW = comparison.Row("mine", "float32", 1, 256, 16, 50, "other", 0.01, 2.0, 1.5, 2.5, 1e10, 0.5, 0.4)


def test_a_step_for_another_framework(make_case):
    """The text runs with NumPy in the framework's place, and gives our states."""
    case = make_case("peephole")
    source = peers.step_source(case.kernel.derivation, "torch")
    scope = {"torch": type("NumPy", (), {"tanh": np.tanh, "sigmoid": staticmethod(lambda x: 1 / (1 + np.exp(-x)))})}
    exec(source, scope)
    cell, now = case.cell, tuple(case.state.values())
    for t in range(case.steps):
        now = scope["step"](*(case.params[n] for n in cell.params), *(case.inputs[n][t] for n in cell.inputs), *now)
        for name, value in zip(cell.states, now, strict=True):
            np.testing.assert_allclose(case.run.states[name][t], value, rtol=1e-10)


@pytest.mark.parametrize("name", ["memory", "attention", "pieces"])
def test_cells_that_the_bench_cannot_write(make_case, name):
    with pytest.raises(bptt.Error, match="^the bench "):
        peers.step_source(make_case(name).kernel.derivation, "jax")


def test_blocks_of_a_module_are_tried_in_every_order():
    both, alone, other = ("W_x", "W_h", "b"), ("W_y", None, "c"), (None, "W_g", "d")
    assert list(peers._orders([both, alone, other], 2)) == [
        ((both, alone), (both, other)),
        ((alone, both), (other, both)),
    ]
    assert list(peers._orders([both, alone, other], 3)) == []


def test_nothing_to_compare_with(monkeypatch):
    monkeypatch.setattr(peers, "installed", lambda name: False)
    found = CliRunner().invoke(main, ["bench", "rnn"])
    assert found.exit_code == 2
    assert "torch is left out: it needs torch (pip install torch)" in found.output
    assert "jax is left out: it needs jax (pip install jax)" in found.output


def test_a_compiled_step_needs_a_compiler(monkeypatch):
    monkeypatch.setattr(peers, "installed", lambda name: True)
    monkeypatch.setattr(peers.shutil, "which", lambda name: None)
    assert (peers.missing("torch"), peers.missing("compiled")) == ("", "a C++ compiler, such as g++ or clang++")
    with pytest.raises(bptt.Error, match="compiled is left out: it needs a C\\+\\+ compiler"):
        bench.bench(bptt.load("rnn"), "float32", 1, [], ["compiled"])


class Pretended:
    """A framework that computes with our own kernel, and one that never ends."""

    def __init__(self, kernel, wrong=0.0):
        self.kernel, self.wrong = kernel, wrong

    def competitor(self, name, derivation, params, inputs, weight):
        def run():
            while name == "jax":
                time.sleep(0.01)
            run = self.kernel.forward(params, inputs)
            grads = self.kernel.backward(run, {"h": weight})
            return run.states["h"] + self.wrong, {**grads.params, **grads.inputs}

        return name, run


@pytest.fixture
def pretended(make_case, monkeypatch):
    case = make_case("two_inputs")
    assert case.grads, "compiled before any time is limited"
    made = Pretended(case.kernel)
    monkeypatch.setattr(bench, "_competitor", made.competitor)
    monkeypatch.setattr(peers, "missing", lambda name: "")
    monkeypatch.setattr(bench, "single_or_many", lambda threads: nullcontext())
    monkeypatch.setattr(bench, "SECONDS", 0.0005)
    return made


def test_a_stranger_s_cell_beside_one_that_never_ends(pretended):
    """Two inputs, a vector and a number as states; who takes too long is left out, and said so."""
    told: list[str] = []
    rows = bench.bench(
        pretended.kernel.cell, "float64", 2, [(4, 2, 3), (6, 2, 3)], ["torch", "jax"], told.append, limit=2
    )
    assert [(row.peer, row.hidden, row.threads) for row in rows] == [("torch", 4, 2), ("torch", 6, 2)]
    assert all(row.low <= row.ratio <= row.high and row.seconds > 0 for row in rows)
    assert "jax is left out at H=4, B=2, T=3: no result in 2 s" in told


def test_results_are_compared_before_time_is_taken(pretended, monkeypatch):
    pretended.wrong = 1e-3
    monkeypatch.setattr(bench, "measured", lambda *_: pytest.fail("timed"))
    with pytest.raises(bptt.Error, match="^torch gives other numbers for states: off by"):
        bench.bench(pretended.kernel.cell, "float64", 1, [(4, 2, 3)], ["torch"])


def test_growth_is_fitted():
    sizes = [(16, 25), (16, 50), (16, 100), (32, 50), (64, 50)]
    rows = [replace(ROW, batch=b, steps=t, seconds=1e-5 * b**0.5 * t) for b, t in sizes]
    along_steps, along_batch = comparison.growth(rows)
    assert along_steps.endswith("our time grows as T^1.00, T from 25 to 100, H = 256, B = 16")
    assert along_batch.endswith("our time grows as B^0.50, B from 16 to 64, H = 256, T = 50")
    assert comparison.growth([ROW]) == []


def test_an_unknown_peer():
    with pytest.raises(bptt.Error, match="^there is no peer called tensorflow; known: torch, compiled, jax$"):
        bench.bench(bptt.load("rnn"), "float32", 1, [], ["tensorflow"])


def test_competitors_take_turns(monkeypatch):
    monkeypatch.setattr(bench, "SECONDS", 0)
    calls: list[int] = []
    times = bench.measured({"one": lambda: calls.append(1), "two": lambda: calls.append(2)}, rounds=3)
    assert {name: len(found) for name, found in times.items()} == {"one": 3, "two": 3}
    assert calls == [1, 1, 2, 2] * 4, "each turn begins with a call that isn't counted"


def test_other_numbers_are_not_timed():
    ours = np.ones(3), {"W": np.ones(2)}
    bench._same("other", ours, (np.ones(3), {"W": np.ones(2) + 1e-12}), "float64")
    with pytest.raises(bptt.Error, match="^other gives other numbers for W: off by 0.5 of its largest entry$"):
        bench._same("other", ours, (np.ones(3), {"W": np.array([1, 1.5])}), "float64")
    with pytest.raises(bptt.Error, match="off by nan"):
        bench._same("other", ours, (np.full(3, np.nan), {}), "float64")


def test_summary_and_files(tmp_path):
    small = comparison.Row("mine", "float32", 1, 16, 1, 50, "other", 0.01, 8.0, 7.0, 9.0, 1e9, 0.1, 0.2)
    [line, rates] = comparison.summary([ROW, small])
    expected = "geometric mean 4.00, for H·B ≥ 2048 2.00, worst 2.00, of 2 sizes"
    assert line == f"mine float32 1 thread(s) against other: {expected}"
    assert rates == "    at H ≥ 256, B ≥ 16: 50% to 50% of the rate of np.dot"
    comparison.write([ROW, small], tmp_path / "table.json")
    assert json.loads((tmp_path / "table.json").read_text("utf-8"))["rows"][0]["ratio"] == 2.0
    comparison.write([ROW, small], tmp_path / "table.md")
    tables = (tmp_path / "table.md").read_text("utf-8")
    assert "| mine | float32 | 1 | other | 2 | 4.00 | 2.00 | 2.00 | 50% to 50% |" in tables
    assert "| 16 | 1 | 50 | mine | float32 | 1 | other | 8.00 (7.00 to 9.00) | 10% |" in tables
    comparison.write([ROW, replace(ROW, steps=100, seconds=0.02)], tmp_path / "growth.png")
    comparison.write([ROW, small], tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text("utf-8")
    with pytest.raises(bptt.Error, match=r"^the bench writes .json, .md, .png, .svg, .pdf; here 'table.txt'$"):
        comparison.write([ROW], tmp_path / "table.txt")
