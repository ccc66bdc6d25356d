"""The bench: how a cell is written for other frameworks, what it says without them, and what it makes of times."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import bptt
from bptt.cli import main
from bptt.kernels import bench, peers

ROW = bench.Row("mine", "float32", 1, 256, 16, 50, "other", 0.01, 2.0, 1.5, 2.5, 1e10, 0.5, 0.4)


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
    assert "none of torch, jax is installed" in found.output


def test_an_unknown_peer():
    with pytest.raises(bptt.Error, match="^there is no peer called tensorflow; known: torch, compiled, jax$"):
        bench.bench(bptt.load("rnn"), "float32", 1, [], ["tensorflow"])


def test_competitors_take_turns(monkeypatch):
    monkeypatch.setattr(bench, "SECONDS", 0)
    calls: list[int] = []
    times = bench.measured({"one": lambda: calls.append(1), "two": lambda: calls.append(2)}, rounds=3)
    assert {name: len(found) for name, found in times.items()} == {"one": 3, "two": 3}
    assert calls == [1, 1, 2, 2, *[1, 2] * 3]


def test_other_numbers_are_not_timed():
    ours = np.ones(3), {"W": np.ones(2)}
    bench._same("other", ours, (np.ones(3), {"W": np.ones(2) + 1e-12}), "float64")
    with pytest.raises(bptt.Error, match="^other gives other numbers for W: off by 0.5 of its largest entry$"):
        bench._same("other", ours, (np.ones(3), {"W": np.array([1, 1.5])}), "float64")
    with pytest.raises(bptt.Error, match="off by nan"):
        bench._same("other", ours, (np.full(3, np.nan), {}), "float64")


def test_summary_and_files(tmp_path):
    small = bench.Row("mine", "float32", 1, 16, 1, 50, "other", 0.01, 8.0, 7.0, 9.0, 1e9, 0.1, 0.2)
    [line] = bench.summary([ROW, small])
    expected = "geometric mean 4.00, for H·B ≥ 2048 2.00, worst 2.00, of 2 sizes"
    assert line == f"mine float32 1 thread(s) against other: {expected}"
    bench.write([ROW, small], tmp_path / "table.json")
    assert json.loads((tmp_path / "table.json").read_text("utf-8"))["rows"][0]["ratio"] == 2.0
    bench.write([ROW, small], tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text("utf-8")
    with pytest.raises(bptt.Error, match=r"^the bench writes .json, .png, .svg, .pdf; here 'table.txt'$"):
        bench.write([ROW], tmp_path / "table.txt")
