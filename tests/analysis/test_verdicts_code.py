"""A backward pass written as code: what is right is called right, what is wrong is named, placed and mended."""

import os
import runpy
import time
from pathlib import Path

import numpy as np
import pytest

import bptt
from bptt.analysis.verdicts.code import check_code
from bptt.analysis.verdicts.code_adapter import Adapter, length, pieces, stated
from bptt.analysis.verdicts.code_engine import BEFORE, NEXT, Engine, Probe
from bptt.analysis.verdicts.code_finding import find
from bptt.analysis.verdicts.code_judging import judge
from bptt.analysis.verdicts.code_mutants import mutants

HERE = Path(__file__).parent
THEIRS = HERE / "theirs"
CATALOGUE = runpy.run_path(str(HERE / "code_faults.py"))
SAID = {
    ("column_rnn.py", ""): ("rnn", "One sequence at a time. Inputs are indices, read as one-hot vectors."),
    ("course_layers.py", "rnn"): ("rnn", "Sequences are (B, T, features)."),
    ("course_layers.py", "lstm"): ("lstm", "The gates are stacked in the order i, f, o, g in Wx, Wh, b."),
    ("gru_class.py", ""): ("gru", "z and 1 − z have changed places against the usual gru."),
    ("fused_lstm.py", ""): ("lstm", "bias_hh and bias_ih are added up."),
    ("stacked_lstm.py", ""): ("lstm", "Wf, Wi, Wc and Wo multiply [h; x]."),
}


def verdict_on(text, name, folder, adapter=None):
    """Judge a text in this process: the tests' own code is known to be harmless."""
    path = folder / "theirs.py"
    path.write_text(text, encoding="utf-8")
    return judge(find(f"{path}:{name}" if name else str(path), adapter or Adapter()), None, adapter or Adapter(), print)


def one(case, was, now, count=1):
    """Return a case's text with one line changed, and the number of the line."""
    text = case.text
    assert text.count(was) >= count
    return text.replace(was, now, 1), text[: text.index(was)].count("\n") + 1


def case_of(file, name=""):
    return next(case for case in CATALOGUE["CASES"] if (case.file, case.name) == (file, name))


@pytest.mark.parametrize("case", CATALOGUE["CASES"], ids=lambda case: f"{case.file}:{case.name}")
def test_what_is_right_is_called_right(case, tmp_path):
    found = verdict_on(case.text, case.name, tmp_path)
    cell, sentence = SAID[case.file, case.name]
    assert found.correct and found.cell == cell
    assert sentence in found.conventions
    assert found.largest_error < 1e-12
    assert "complex steps" in found.reference


FAULTS = [
    ("column_rnn.py", "", "np.dot(Why.T, dy) + dhnext", "np.dot(Why.T, dy)", "dropped carry"),
    ("column_rnn.py", "", "np.dot(dhraw, hs[t - 1].T)", "np.dot(dhraw, hs[t].T)", "time"),
    ("course_layers.py", "lstm", "dc = dnext_c + dnext_h", "dc = dnext_h", "dropped carry"),
    ("course_layers.py", "lstm", "do * o * (1 - o)", "do * (1 - o)", "activation"),
    ("gru_class.py", "", "dh * z + drh * r + dar", "dh * z + dar", "missing path"),
    ("fused_lstm.py", "", "(1 - g**2)", "(1 - np.tanh(g)**2)", "activation"),
    ("stacked_lstm.py", "", "df = dc * c_old", "df = dc * c", "time"),
]


@pytest.mark.parametrize(("file", "name", "was", "now", "kind"), FAULTS, ids=lambda value: str(value)[:30])
def test_a_fault_is_named_placed_and_mended(file, name, was, now, kind, tmp_path):
    text, line = one(case_of(file, name), was, now)
    found = verdict_on(text, name, tmp_path)
    [fault] = found.faults
    assert (fault.kind, fault.line) == (kind, line)
    assert fault.given == text.splitlines()[line - 1].strip()
    lines = text.splitlines()
    indent = lines[line - 1][: len(lines[line - 1]) - len(fault.given)]
    mended = "\n".join([*lines[: line - 1], indent + fault.mended, *lines[line:]])
    assert verdict_on(mended, name, tmp_path).correct


def test_a_backward_pass_that_raises_is_mended_where_it_does(tmp_path):
    text, line = one(case_of("course_layers.py", "lstm"), "df = dc * prev_c", "df = dc @ prev_c")
    [fault] = verdict_on(text, "lstm", tmp_path).faults
    assert (fault.kind, fault.line) == ("raises", line)
    assert "ValueError" in fault.message and fault.mended == "df = dc * prev_c"


def test_two_faults_are_two(tmp_path):
    case = case_of("course_layers.py", "rnn")
    text, _ = one(case, "db += db_t", "db = db_t")
    text = text.replace("dWh += dWh_t", "dWh = dWh_t", 1)
    found = verdict_on(text, "rnn", tmp_path)
    assert [fault.kind for fault in found.faults] == ["accumulation", "accumulation"]
    assert {"∂L/∂b_h" in fault.message for fault in found.faults} == {True, False}


EDITED = [
    ("next_h = o * np.tanh(next_c)", "next_h = o * next_c", "no tanh: h = o * c"),
]


@pytest.mark.parametrize(("was", "now", "says"), EDITED)
def test_another_cell_is_said_to_be_one_and_judged_as_it_stands(was, now, says, tmp_path):
    text, _ = one(case_of("course_layers.py", "lstm"), was, now)
    found = verdict_on(text, "lstm", tmp_path)
    assert any(says in note for note in found.notes)
    assert not found.correct  # the backward pass is still that of the usual cell
    if now.endswith("next_c"):
        mended = text.replace("do = dnext_h * tanh_c", "do = dnext_h * next_c")
        mended = mended.replace("dc = dnext_c + dnext_h * o * (1 - tanh_c**2)", "dc = dnext_c + dnext_h * o")
        assert verdict_on(mended, "lstm", tmp_path).correct


NOTES = [
    ("return dx, dh0, dWx, dWh, db\n\n\ndef lstm", "return dx, dh0, dWx / N, dWh / N, db / N\n\n\ndef lstm", "over B"),
    (
        "return dx, dh0, dWx, dWh, db\n\n\ndef lstm",
        "return dx, dh0, *(np.clip(d, -1, 1) for d in (dWx, dWh, db))\n\n\ndef lstm",
        "clipped to ±1, entry by entry",
    ),
]


@pytest.mark.parametrize(("was", "now", "says"), NOTES)
def test_scaled_and_clipped_gradients_are_noted_not_faults(was, now, says, tmp_path):
    text, _ = one(case_of("course_layers.py", "rnn"), was, now)
    found = verdict_on(text, "rnn", tmp_path)
    assert found.correct and any(says in note for note in found.notes)


def test_float32_is_judged_as_float32(tmp_path):
    case = case_of("course_layers.py", "rnn")
    text = case.text.replace(
        "def rnn_forward(x, h0, Wx, Wh, b):\n",
        "def rnn_forward(x, h0, Wx, Wh, b):\n"
        "    x, h0, Wx, Wh, b = (a.astype(np.float32) for a in (x, h0, Wx, Wh, b))\n",
    )
    text = text.replace("np.zeros(H)\n    dprev_h", "np.zeros(H, np.float32)\n    dprev_h").replace(
        "dWh = np.zeros((H, H))", "dWh = np.zeros((H, H), np.float32)"
    )
    found = verdict_on(text, "rnn", tmp_path)
    assert found.correct and any("float32" in note for note in found.notes)
    assert 1e-9 < found.largest_error < 1e-4
    wrong = verdict_on(text.replace("db += db_t", "db = db_t", 1), "rnn", tmp_path)
    assert not wrong.correct


def test_writing_to_an_argument_and_differing_runs_are_noted(tmp_path):
    case = case_of("course_layers.py", "rnn")
    text = case.text.replace(
        "    N, T, H = dh.shape\n",
        "    N, T, H = dh.shape\n    dh *= 1.0\n    dh += 0 * dh + 0.0\n    dh[0, 0, 0] += 0.0\n",
        1,
    )
    assert verdict_on(text, "rnn", tmp_path).notes
    text = case.text.replace("    dh0 = dprev_h\n    return dx", "    dh0 = dprev_h\n    dh[:] = 0\n    return dx", 1)
    assert any("writes to its argument dh" in note for note in verdict_on(text, "rnn", tmp_path).notes)
    text = case.text.replace(
        "    dh0 = dprev_h\n    return dx",
        "    db = db * (1 + 1e-13 * np.random.rand())\n    dh0 = dprev_h\n    return dx",
        1,
    )
    assert any("different gradients" in note for note in verdict_on(text, "rnn", tmp_path).notes)


def test_nan_and_missing_gradients_are_faults(tmp_path):
    case = case_of("course_layers.py", "rnn")
    text = case.text.replace(
        "    dh0 = dprev_h\n    return dx", "    db = db * np.nan\n    dh0 = dprev_h\n    return dx", 1
    )
    assert "not finite" in [fault.kind for fault in verdict_on(text, "rnn", tmp_path).faults]
    text = case.text.replace(
        "return dx, dh0, dWx, dWh, db\n\n\ndef lstm", "return dx, dh0, dWx, dWh, db[:1]\n\n\ndef lstm", 1
    )
    [fault] = verdict_on(text, "rnn", tmp_path).faults
    assert fault.kind == "missing gradient" and "(5,)" in fault.message


HARMFUL = [
    ("while True: pass", "hangs", "the backward pass was still running"),
    ("import os; os._exit(3)", "exits", "exit code 3"),
]


@pytest.mark.parametrize(("line", "kind", "says"), HARMFUL)
def test_code_that_hangs_or_exits_takes_nothing_down(line, kind, says, tmp_path):
    case = case_of("course_layers.py", "rnn")
    path = tmp_path / "mine.py"
    path.write_text(case.text.replace("    N, T, H = dh.shape\n", f"    N, T, H = dh.shape\n    {line}\n", 1))
    [fault] = check_code(f"{path}:rnn", patience=0.3).faults
    assert fault.kind == kind and says in fault.message


def test_functions_are_judged_in_a_process_of_their_own(capfd):
    def forward(x, h0, W, U, b):
        print("I am noisy")
        os.write(1, b"I am noisy below Python")
        h = [h0]
        for x_t in x:
            h.append(np.tanh(x_t @ W + h[-1] @ U + b))
        return np.array(h[1:]), (x, h, W, U)

    def backward(dh, cache):
        x, h, W, U = cache
        dx, dW, dU, db, dh0 = np.zeros_like(x), 0, 0, 0, 0
        for t in reversed(range(len(x))):
            da = (dh[t] + dh0) * (1 - h[t + 1] ** 2)
            dx[t], dW, dU, db = da @ W.T, dW + x[t].T @ da, dU + h[t].T @ da, db + da.sum(0)
            dh0 = da @ U.T
        return dx, dh0, dW, dU, db

    began = time.perf_counter()
    found = check_code((forward, backward))
    assert found.correct and found.cell == "rnn"
    assert time.perf_counter() - began < 60
    assert "noisy" not in capfd.readouterr().out


BAD = [
    ("", "no pair such as forward and backward"),
    ("def forward(:\n", "line 1.*isn't Python"),
    ("1 / 0\n", "raises ZeroDivisionError"),
    (
        "def forward(x):\n    raise RuntimeError('no')\ndef backward(dh):\n    return dh\n",
        "no layout and shapes.*RuntimeError: no",
    ),
    ("def a_forward(x): pass\ndef a_backward(d): pass\ndef b_forward(x): pass\ndef b_backward(d): pass\n", "say which"),
]


@pytest.mark.parametrize(("text", "says"), BAD)
def test_what_cannot_be_judged_says_what_to_do(text, says, tmp_path):
    with pytest.raises(bptt.Error, match=f"(?s){says}"):
        verdict_on(text, "", tmp_path)


def test_there_is_no_such_file():
    with pytest.raises(bptt.Error, match="there is no such file"):
        find("nothing.py", Adapter())


def test_what_an_adapter_states_is_read():
    assert stated("xs", "list T, m, 1", "input").held == "list"
    assert length("4*n", {"n": 5}) == 20 and pieces("n+m") == ["n", "m"]
    with pytest.raises(bptt.Error, match="isn't an axis"):
        stated("x", "T, Q", "input")


def test_names_that_say_nothing_need_an_adapter_or_values(tmp_path):
    text = case_of("course_layers.py", "rnn").text
    adapter = Adapter(shapes={"x": "B, T, m", "Wx": "m, n"}, roles={"x": "input"})
    assert verdict_on(text, "rnn", tmp_path, adapter).correct


@pytest.mark.parametrize("name", bptt.zoo())
def test_mutants_differ_from_the_right_backward_pass(name):
    derivation = bptt.derive(bptt.load(name))
    found = list(mutants(derivation))
    right = {step.target: step.expr for step in derivation.backward.steps}
    known = {symbol.name for symbol in derivation.backward.shapes}
    for mutant in found:
        for target, expr in mutant.change.steps.items():
            assert expr != right[target]
            names = {s.name.removesuffix(NEXT).removesuffix(BEFORE) for s in expr.free_symbols if not s.is_integer}
            assert names <= known, mutant.says


def test_the_engine_is_the_oracle():
    from bptt.kernels.oracle import answer

    derivation = bptt.derive(bptt.load("gru"))
    rng = np.random.default_rng(0)
    shapes = {name: [{"n": 4, "m": 3}[s] for s in shape] for name, shape in derivation.cell.params.items()}
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    x, h, dh = rng.standard_normal((5, 2, 3)), rng.standard_normal((2, 4)), rng.standard_normal((5, 2, 4))
    engine, probe = Engine(derivation, {"n": 4, "m": 3}), Probe(params, {"x": x}, {"h": h}, {"h": dh})
    found = engine.backward(probe, engine.forward(probe))
    right = answer(derivation, params, {"x": x}, {"h": h}, {"h": dh}, digits=None)
    for name in params:
        np.testing.assert_allclose(found["params"][name], right.params[name].astype(float), rtol=1e-10)
    np.testing.assert_allclose(found["inputs"]["x"], right.inputs["x"].astype(float), rtol=1e-10)


def test_nine_faults_in_one_backward_pass_are_all_named():
    text = (HERE / "nine_faults.py").read_text("utf-8")
    marked = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("# fault")]
    found = judge(find(str(HERE / "nine_faults.py"), Adapter()), None, Adapter(), print)
    assert len(marked) == 9 and [fault.line for fault in found.faults] == marked
    assert all(fault.mended and "all 15 gradients agree" in fault.proof for fault in found.faults)
    kinds = [fault.kind for fault in found.faults]
    carried, repeated = ("dropped carry", "accumulation")
    assert kinds[0] == carried and repeated in kinds and "unknown" not in kinds


def test_what_can_be_mended_is_said_where_something_else_cannot(tmp_path):
    text = """
import numpy as np


def forward(x, h0, W, U, b):
    h, hs = h0, []
    for x_t in x:
        h = np.tanh(x_t @ W + h @ U + b)
        hs.append(h)
    return np.array(hs)


def backward(dhs, hs, x, h0, W, U, b):
    dW, dU, db, dx, dh_next = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b), np.zeros_like(x), 0 * dhs[0]
    for t in reversed(range(len(hs))):
        before = hs[t - 1] if t else h0
        da = (dhs[t] + dh_next) * (1 - hs[t] ** 2)
        dW += x[t].T @ da
        dU += hs[t].T @ da
        db += da.sum(axis=0)
        dx[t] = np.cos(da @ U @ U.T)[:, : x.shape[2]] * 3 + np.sign(x[t])
        dh_next = da @ U.T
    return dx, dh_next, dW, dU, db
"""
    found = verdict_on(text, "", tmp_path)
    named, rest = found.faults
    assert named.mended == "dU += before.T @ da" and named.line == text[: text.index("dU += hs")].count("\n") + 1
    assert (rest.kind, rest.where) == ("unknown", "elsewhere")
    assert "the gradients of x are still wrong" in rest.message


RUNS_AWAY = """
import numpy as np


def forward(steps, x0):
    x, xs, tape = x0, [], []
    for _ in range(steps):
        tape.append((x,))
        x = 4 * x * (1 - x)
        xs.append(x)
    return np.stack(xs), tape


def backward(dxs, tape):
    dx = np.zeros_like(dxs[0])
    for t in reversed(range(len(dxs))):
        (x,) = tape[t]
        dx = -(dxs[t] + dx)
        dx = 4 * dx * (1 - 2 * x)
    return dx
"""


def test_a_map_that_runs_away_is_judged_where_it_stays(tmp_path):
    """Started beyond 1 the logistic map's last gradient hides the signs of all others."""
    path = tmp_path / "map.py"
    path.write_text(RUNS_AWAY)
    [fault] = bptt.check(str(path)).faults
    assert (fault.kind, fault.line, fault.mended) == ("sign", 18, "dx = dxs[t] + dx")
    path.write_text(RUNS_AWAY.replace("-(dxs[t] + dx)", "dxs[t] + dx"))
    assert bptt.check(str(path)).correct
