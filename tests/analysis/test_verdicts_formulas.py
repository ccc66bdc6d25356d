"""Backward passes as formulas: what is right is said to be right, what is wrong is named and mended."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import bptt
from bptt.analysis.verdicts import judge as judging
from bptt.analysis.verdicts import repair as repairing
from bptt.cli import main
from bptt.testing import assert_gradients

LECTURE_LSTM = """
# backward step of an LSTM, loss on h
dh = dy + dh_next
do = dh * np.tanh(c)
dc = dc_next + dh * o * (1.0 - np.tanh(c)**2)
df = dc * c_prev
di = dc * g
dg = dc * i
da_i = di * i * (1 - i)
da_f = df * f * (1 - f)
da_o = do * o * (1 - o)
da_g = dg * (1 - np.square(g))
dW_xi += np.outer(da_i, x)
dW_xf += np.outer(da_f, x)
dW_xo += np.outer(da_o, x)
dW_xg += np.outer(da_g, x)
dW_hi += np.outer(da_i, h_prev)
dW_hf += np.outer(da_f, h_prev)
dW_ho += np.outer(da_o, h_prev)
dW_hg += np.outer(da_g, h_prev)
db_i += da_i
db_f += da_f
db_o += da_o
db_g += da_g
dh_prev = np.dot(W_hi.T, da_i) + np.dot(W_hf.T, da_f) + np.dot(W_ho.T, da_o) + np.dot(W_hg.T, da_g)
dc_prev = dc * f
"""
NUMBERED_GRU = """
x: input[m]
h: state[n]
z = sigmoid(W_z @ x + U_z @ h + b_z)
r = sigmoid(W_r @ x + U_r @ h + b_r)
k = tanh(W_k @ x + U_k @ (r * h) + b_k)
h = (1 - z) * h + z * k
delta0 = dh_out + dh_next
delta1 = (1 - z) * delta0
delta2 = delta0 * (k - h[t-1])
delta3 = delta0 * z * (1 - k**2)
delta4 = delta2 * z * (1 - z)
delta5 = U_k.T @ delta3
delta6 = delta5 * h[t-1] * r * (1 - r)
dW_z += outer(delta4, x)
dW_r += outer(delta6, x)
dW_k += outer(delta3, x)
dU_z += outer(delta4, h[t-1])
dU_r += outer(delta6, h[t-1])
dU_k += outer(delta3, r * h[t-1])
db_z += delta4
db_r += delta6
db_k += delta3
dh[t-1] = delta1 + delta5 * r + U_z.T @ delta4 + U_r.T @ delta6
"""
RESET_AFTER = """
dh = dh_out + dh_next
dz = dh * (h_prev - g)
dg = dh * (1 - z)
da_g = dg * (1 - g**2)
q = W_hg @ h_prev + b_hg
dr = da_g * q
da_r = dr * r * (1 - r)
da_z = dz * z * (1 - z)
dh_prev = dh * z + W_hz.T @ da_z + W_hr.T @ da_r + W_hg.T @ (da_g * r)
"""
ROW_RNN = """
h = tanh(x @ W_x + h_prev @ W_h + b)
dh = dh_out + dh_next
da = dh * (1 - h**2)
dW_x += x.T @ da
dW_h += h_prev.T @ da
db += da
dh_prev = da @ W_h.T
"""
RECURSION = """
delta_h[t] = dL_dh_loss[t] + W_hh.T @ delta_a[t+1]
delta_a[t] = delta_h[t] * (1 - h[t]**2)
grad_W_hh = sum_t(outer(delta_a[t], h[t-1]))
grad_W_xh = sum_t(outer(delta_a[t], x[t]))
grad_b_h = sum_t(delta_a[t])
"""
RIGHT = {
    "lecture": (LECTURE_LSTM, "lstm"),
    "numbered": (NUMBERED_GRU, None),
    "reset after": (RESET_AFTER, "gru_reset_after"),
    "rows": (ROW_RNN, None),
    "recursion": (RECURSION, "rnn"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_right(name):
    text, cell = RIGHT[name]
    verdict = bptt.check(text, cell=cell)
    assert verdict.correct, str(verdict)
    assert all(line.holds for line in verdict.lines)
    assert verdict.largest_error < 1e-12


# (text, right part, wrong part, kind, what the mended line holds)
FAULTS = [
    ("lecture", "df = dc * c_prev", "df = dc * c", "time", "c_prev"),
    ("lecture", "dc_next + dh * o", "dh * o", "dropped carry", "dc_next"),
    ("lecture", "dh = dy + dh_next", "dh = dy", "dropped carry", "dh_next"),
    ("lecture", "(1.0 - np.tanh(c)**2)", "(1.0 - c**2)", "missing activation", "tanh(c)"),
    ("lecture", "dg * (1 - np.square(g))", "dg * g * (1 - g)", "wrong derivative", "1 - g**2"),
    ("lecture", "di * i * (1 - i)", "di * i", "missing factor", "(1 - i)"),
    ("lecture", "di * i * (1 - i)", "di", "missing derivative", "(1 - i)"),
    ("lecture", "do * o * (1 - o)", "do * o * (1 - o) * o * (1 - o)", "derivative twice", "do * o * (1 - o)"),
    ("lecture", "np.dot(W_hf.T, da_f)", "np.dot(W_hf, da_f)", "transpose", "W_hf.T"),
    ("lecture", "np.dot(W_hf.T, da_f)", "np.dot(W_xf.T, da_f)", "wrong weight", "W_hf.T"),
    ("lecture", "np.outer(da_o, h_prev)", "np.outer(o, h_prev)", "value for adjoint", "da_o"),
    ("lecture", "dg = dc * i", "dg = dc * f", "mixed up", "i"),
    ("lecture", "db_f += da_f", "db_f = da_f", "overwritten", "+="),
    ("lecture", "db_f += da_f", "db_f += np.sum(da_f)", "wrong axis", "da_f"),
    ("lecture", "dc_prev = dc * f", "dc_prev = dc + f", "sum for product", "dc * f"),
    ("lecture", "+ np.dot(W_ho.T, da_o) ", "- np.dot(W_ho.T, da_o) ", "sign", "+ np.dot(W_ho.T, da_o)"),
    ("numbered", "delta1 = (1 - z) * delta0", "delta1 = z * delta0", "complement", "1 - z"),
    ("numbered", "delta2 = delta0 * (k - h[t-1])", "delta2 = delta0 * k - h[t-1]", "parentheses", "(k - h[t-1])"),
    ("numbered", "r * h[t-1])\n", "h[t-1])\n", "missing factor", "r"),
    ("rows", "dh_prev = da @ W_h.T", "dh_prev = da @ W_h", "transpose", "W_h.T"),
    ("recursion", "delta_a[t+1]", "delta_a[t]", "time", "delta_a[t+1]"),
]


@pytest.mark.parametrize("name, right, wrong, kind, mended", FAULTS)
def test_a_fault_is_named_and_mended(name, right, wrong, kind, mended):
    text, cell = RIGHT[name]
    assert right in text
    broken = text.replace(right, wrong, 1)
    number = next(i for i, (a, b) in enumerate(zip(broken.split("\n"), text.split("\n"), strict=True), 1) if a != b)
    verdict = bptt.check(broken, cell=cell)
    assert [(fault.line, fault.kind) for fault in verdict.faults] == [(number, kind)], str(verdict)
    assert mended in verdict.faults[0].mended
    assert verdict.faults[0].proof
    lines = broken.split("\n")
    lines[number - 1] = verdict.faults[0].mended
    assert bptt.check("\n".join(lines), cell=cell).correct


def test_nine_independent_faults_are_all_reported():
    changes = [fault[1:3] for fault in FAULTS if fault[0] == "lecture"]
    text, chosen = LECTURE_LSTM, [0, 1, 2, 4, 5, 7, 8, 10, 12]
    for number in chosen:
        assert changes[number][0] in text
        text = text.replace(*changes[number], 1)
    wrong = {i for i, (a, b) in enumerate(zip(text.split("\n"), LECTURE_LSTM.split("\n"), strict=True), 1) if a != b}
    verdict = bptt.check(text, cell="lstm")
    assert len(wrong) == 9
    assert {fault.line for fault in verdict.faults} == wrong


@pytest.mark.parametrize("line", ["dW_hf += np.outer(da_f, h_prev)", "dc_prev = dc * f", "db_g += da_g"])
def test_a_missing_line_is_a_fault_with_the_line_to_add(line):
    verdict = bptt.check(LECTURE_LSTM.replace(f"{line}\n", ""), cell="lstm")
    assert [fault.line for fault in verdict.faults] == [0]
    assert verdict.faults[0].mended == line.replace("np.", "")


def test_a_missing_gradient_is_given_by_the_name_that_holds_it():
    cell = bptt.parse(
        "x: input[m]\nh: state[n]\nb_z: param[n]\ns = W @ x + U @ h\nz = sigmoid(s + b_z)\nh = tanh(s) * z"
    )
    notes = """da_z = dh * tanh(s) * z * (1 - z)
ds = da_z + dh * z * (1 - tanh(s)**2)
dW = outer(ds, x)
dU = outer(ds, h_prev)"""
    verdict = bptt.check(notes, cell=cell)
    assert [(fault.line, fault.mended) for fault in verdict.faults] == [(0, "db_z = da_z")]


def test_each_of_several_formulas_in_a_row_has_its_own_fault():
    verdict = bptt.check("da = dh * (1 - h); dW_hh = outer(da, h); dx = W_xh.T @ da", cell="rnn")
    found = [(fault.line, fault.kind, fault.given) for fault in verdict.faults if fault.line]
    assert found == [(1, "power", "da = dh * (1 - h)"), (1, "time", "dW_hh = outer(da, h)")]
    assert [verdict.is_right(line) for line in verdict.lines] == [False, False, True]


def test_a_clamp_that_is_ignored_is_named():
    right = "dh = dh_out + dh_next\nda_h = dh * (h > 0)\ndh_prev = u * da_h"
    assert bptt.check(right, cell="indrnn").correct
    verdict = bptt.check(right.replace(" * (h > 0)", ""), cell="indrnn")
    assert [(f.line, f.kind) for f in verdict.faults] == [(2, "kink ignored")]


def test_a_draw_with_a_norm_of_nothing_is_left_out_without_a_warning():
    text = "x: input[m]\np: state[n]\nq: state\nu = W @ x + b\np = max(u, decay * p)\nq = 0.9 * q + norm(p - u)"
    assert bptt.check("db += du", cell=bptt.parse(text)).correct


def test_a_fault_in_a_name_of_their_own_is_found_there():
    text = "dh = dh_out + dh_next\ns = 1 - h\nda_h = dh * s\ndh_prev = W_hh.T @ da_h"
    verdict = bptt.check(text, cell="rnn")
    assert [(f.line, f.kind, f.mended) for f in verdict.faults] == [(2, "power", "s = 1 - h**2")]


def test_another_cell_is_said_and_judged_on_its_own():
    text = bptt.load("lstm").text.replace("h = o * tanh(c)", "h = o * c")
    back = LECTURE_LSTM.replace("np.tanh(c)\n", "c\n").replace(" * (1.0 - np.tanh(c)**2)", "")
    verdict = bptt.check(f"{text}\n{back}", cell="lstm")
    assert verdict.correct, str(verdict)
    assert "isn't that of lstm: h = o * c, there o * tanh(c)" in verdict.conventions[0]


def test_gradients_that_are_all_scaled_alike_are_a_convention():
    text = LECTURE_LSTM.replace("+= ", "+= -")
    verdict = bptt.check(text, cell="lstm")
    assert verdict.correct
    assert any("step of descent" in sentence for sentence in verdict.conventions)


def test_a_right_line_in_another_form_has_its_reason():
    verdict = bptt.check("da_o = dh * h * (1 - o)", cell="lstm")
    assert verdict.correct
    assert "h = o * tanh(c)" in verdict.lines[0].why


def test_a_repair_is_exact_where_it_can_be_and_says_so():
    fault = bptt.check("dh = dh_out + dh_next\nda_h = dh * h**2\ndh_prev = W_hh.T @ da_h", cell="rnn").faults[0]
    assert fault.proof == "proved: the mended line equals the derived one, in exact arithmetic at random points"


BAD = [
    ("da_f = dc * cprv * f", "lstm", r"line 1, column 13: 'cprv' is neither(.|\n)*c_prev"),
    ("da_f = dc * sgmoid(f)", "lstm", r"unknown function 'sgmoid'(.|\n)*sigmoid"),
    ("da_f = dc *", "lstm", r"line 1, column"),
    ("import os", "lstm", "this is not a formula"),
    ("da_f = __import__('os').system('x')", "lstm", "do not know the method|not a function"),
    ("da = dh * (1 - h**2)", None, "Which cell is this"),
    ("x: input[m]\nh: state[n]\nh = tanh(W @ x + U @ h)", None, "only the forward pass .* no line of a backward pass"),
    ("da_h = dh * h[t-2]", "rnn", "know t-1, t and t\\+1"),
    ("db_h += np.sum(da_h, axis=0)", "rnn", "no keywords such as axis="),
]


@pytest.mark.parametrize("text, cell, message", BAD)
def test_bad_input_is_refused_with_its_place(text, cell, message):
    with pytest.raises(bptt.Error, match=message):
        bptt.check(text + "\n", cell=cell)


def test_the_command_line(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text(LECTURE_LSTM)
    good = CliRunner().invoke(main, ["check", str(path), "--cell", "lstm"])
    assert (good.exit_code, "correct" in good.output) == (0, True)
    path.write_text(LECTURE_LSTM.replace("df = dc * c_prev", "df = dc * c"))
    bad = CliRunner().invoke(main, ["check", str(path), "--cell", "lstm", "--json"])
    found = json.loads(bad.output)
    assert (bad.exit_code, found["correct"], found["faults"][0]["mended"]) == (1, False, "df = dc * c_prev")
    text = CliRunner().invoke(main, ["check", str(path), "--cell", "lstm"], env={"NO_COLOR": "1"}).output
    assert "✗   6  df = dc * c" in text and "\x1b" not in text
    assert CliRunner().invoke(main, ["check", str(path)]).exit_code == 2
    assert CliRunner().invoke(main, ["check", str(tmp_path / "none.txt"), "--cell", "lstm"]).exit_code == 2


def test_the_fields_of_the_json_are_those_that_the_page_names():
    verdict = bptt.check("da_h = dh * (1 - h)", cell="rnn")
    found = json.loads(verdict.to_json())
    page = (Path(__file__).parents[2] / "docs" / "check.md").read_text("utf-8")
    table = page[page.index("| field |") : page.index("## What it compares")]
    named = set(re.findall(r"`(\w+)`", table))
    assert named == {*found, *found["lines"][0], *found["faults"][0]}


def test_a_mended_line_keeps_the_functions_of_its_author():
    text = "da_h = np.multiply(dh, 1 - h**2)\ndh_prev = np.dot(W_hh, da_h) + np.tanh(0 * h)"
    (fault,) = [fault for fault in bptt.check(text, cell="rnn").faults if fault.line == 2]
    assert fault.mended == "dh_prev = np.dot(W_hh.T, da_h) + np.tanh(0 * h)"


def test_the_message_of_the_assertion_is_the_diagnosis():
    with pytest.raises(AssertionError, match="mended  da_h = dh \\* \\(1 - h\\*\\*2\\)"):
        assert_gradients("dh = dh_out + dh_next\nda_h = dh * (1 - h)\ndh_prev = W_hh.T @ da_h", cell="rnn")


SUITE = """
from bptt.testing import assert_gradients

def test_formulas():
    assert_gradients("da_h = dh * (1 - h)\\ndh_prev = W_hh.T @ da_h", cell="rnn")

def test_latex():
    assert_gradients(r"\\delta a_t = \\delta h_t \\odot (1 - h_{t-1}^2)", cell="rnn")

def test_code():
    assert_gradients("backward.py")

def test_right():
    assert_gradients("da_h = dh * (1 - h**2)\\ndh_prev = W_hh.T @ da_h", cell="rnn")
"""
CODE = """
import numpy as np

def forward(x, h0, Wx, Wh, b):
    h, hs = h0, []
    for t in range(x.shape[0]):
        h = np.tanh(x[t] @ Wx + h @ Wh + b)
        hs.append(h)
    return np.stack(hs), (x, h0, Wx, Wh, b, np.stack(hs))

def backward(dh, cache):
    x, h0, Wx, Wh, b, hs = cache
    dx, dWx, dWh, db, dnext = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b), 0
    for t in reversed(range(x.shape[0])):
        da = (dh[t] + dnext) * (1 - hs[t])
        before = hs[t - 1] if t else h0
        dWx += x[t].T @ da
        dWh += before.T @ da
        db += da.sum(axis=0)
        dx[t] = da @ Wx.T
        dnext = da @ Wh.T
    return dx, dnext, dWx, dWh, db
"""


def test_pytest_prints_the_diagnosis(tmp_path):
    """What somebody sees whose test fails: the wrong line, what is wrong with it, and the mended line."""
    (tmp_path / "backward.py").write_text(CODE)
    (tmp_path / "test_mine.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "test_mine.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "3 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    for said in (
        "formulas: 1 fault (judged as rnn)",
        "mended  da_h = dh * (1 - h**2)",
        "h_{t-1} is taken at the wrong step; h_t belongs there",
        "mended  \\delta a_t = \\delta h_t \\odot (1 - h_t^2)",
        "backward.py",
        "1 - hs[t] ** 2",
    ):
        assert said in done.stdout, said
    assert "testing.py" not in done.stdout  # the helper's own frames are hidden


def test_a_verdict_becomes_a_page_in_every_format(tmp_path):
    verdict = bptt.check(LECTURE_LSTM.replace("df = dc * c_prev", "df = dc * c"), cell="lstm")
    for suffix in (".html", ".md", ".tex", ".typ", ".pdf"):
        bptt.save(verdict, tmp_path / f"page{suffix}")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert 'df = dc * </code><code class="bad">c</code>' in page
    assert '<code class="good">c_prev</code>' in page
    assert page.count("✓") == len(verdict.lines) - 1 and page.count("✗") == 2
    assert "Proved: the mended line equals the derived one" in page
    assert "condition number" in page and "<script" not in page and "http" not in page.split("</style>")[1]
    assert "c\\_prev" in (tmp_path / "page.tex").read_text("utf-8")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_the_page_of_a_right_pass_says_so(tmp_path):
    path, page = tmp_path / "mine.txt", tmp_path / "check.html"
    path.write_text("da_o = dh * h * (1 - o)\n")
    done = CliRunner().invoke(main, ["check", str(path), "--cell", "lstm", "-o", str(page)])
    assert done.exit_code == 0, done.output
    assert "mine.txt: correct" in page.read_text("utf-8")
    assert "equals ours by h = o * tanh(c)" in page.read_text("utf-8")
    assert CliRunner().invoke(main, ["check", str(path), "--cell", "lstm", "-o", "page.docx"]).exit_code == 2


def test_what_is_hostile_stays_text(tmp_path):
    """Names and comments of a file can't become markup."""
    path = tmp_path / "<b>mine.txt"
    path.write_text("da_h = dh * (1 - h)  # <script>alert(1)</script>\n")
    bptt.save(bptt.check(path, cell="rnn"), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<script" not in page and "<b>mine" not in page and "&lt;script" in page


def test_judging_loads_neither_numba_nor_xarray(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("da_h = dh * (1 - h**2)\n")
    source = f"import sys, bptt; bptt.check({str(path)!r}, cell='rnn'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"numba", "xarray", "pandas", "matplotlib", "typst", "bptt.kernels", "torch"}


def test_a_judge_that_compares_nothing_is_caught(monkeypatch):
    """With every comparison true, no fault is found: the tests above depend on the comparison."""
    from bptt.analysis.verdicts import reading

    monkeypatch.setattr(reading, "agree", lambda found, right: True)
    assert bptt.check(LECTURE_LSTM.replace("df = dc * c_prev", "df = dc * c"), cell="lstm").correct


def test_a_repair_that_only_fits_the_probes_is_not_shown(monkeypatch):
    """A repair found at some probes must hold at fresh ones."""
    monkeypatch.setattr(repairing, "agree", lambda found, right: True)
    verdict = bptt.check("dh = dh_out + dh_next\nda_h = dh * (1 - h)\ndh_prev = W_hh.T @ da_h", cell="rnn")
    assert not verdict.correct
    assert verdict.faults[0].proof == ""


def test_a_wrong_derivation_is_seen_by_the_reference():
    said = bptt.check(LECTURE_LSTM, cell="lstm").reference
    assert re.search(r"condition number \d+.* differs by \de-1[5-9] from a difference .* at 50 digits", said)
    assert judging.probes(judging.subject(bptt.load("gru"))).agreement < 1e-14


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_terms_and_factors_in_any_order_are_right(data):
    factors = data.draw(st.permutations(["dc", "c_prev", "f", "(1 - f)"]))
    terms = data.draw(st.permutations([f"W_h{k}.T @ da_{k}" for k in "ifog"]))
    text = f"da_f = {' * '.join(factors)}\ndh_prev = {' + '.join(terms)}\ndc_prev = f * dc\n"
    assert bptt.check(text, cell="lstm").correct


VARIANTS = {
    "pieces": (
        """dh = dh_out + dh_next
da_o = dh * tanh(c) * o * (1 - o)
dc = dc_next + dh * o * (1 - tanh(c)**2)
dc += da_o * p_o
da_f = dc * c_prev * f * (1 - f)
da_i = dc * g * i * (1 - i)
dc_prev = dc * f + da_f * p_f + da_i * p_i
dh_prev = W_hi.T @ da_i + W_hf.T @ da_f
dh_prev += W_ho.T @ da_o
dh_prev += W_hg.T @ (dc * i * (1 - g**2))""",
        "lstm_peephole",
    ),
    "given": ("da_h = dh * (1 - h*h)\ndh_prev = W_hh.T.dot(da_h)", "rnn"),
    "added": ("dh += dh_next\nda_h = (1 - h**2) * dh\ndh_prev = W_hh.T @ da_h", "rnn"),
    "shares": ("da_h = dh * (1 - h*h)\ndW_hh = da_h @ h_prev.T\ndW_xh = da_h @ x.T\ndb_h = da_h", "rnn"),
    "fragment": ("dh = dh_out + dh_next\ndz = dh * (h_tilde - h_prev)", "gru"),
    "rows": ("dh = dh_out + dh_next\nda = dh * (1 - h**2)\ndW_hh += outer(h_prev, da)\ndh_prev = da @ W_hh.T", "rnn"),
    "readout": (
        """x: input[m]
h: state[n]
V: param[k, n]
h = tanh(W_hh @ h + W_xh @ x + b_h)
y = V @ h + b_y
dV += outer(dy, h)
db_y += dy
dh = V.T @ dy + dh_next
dhraw = (1 - h * h) * dh
db_h += dhraw
dW_xh += outer(dhraw, x)
dW_hh += outer(dhraw, h_prev)
dh_prev = W_hh.T @ dhraw""",
        None,
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_other_ways_of_writing_raise_no_alarm(name):
    text, cell = VARIANTS[name]
    verdict = bptt.check(text, cell=cell)
    assert [f for f in verdict.faults if f.kind != "dropped carry"] == [], str(verdict)
    assert verdict.correct or name in ("shares",), str(verdict)


CARRIES = """dh = dh_out + W_hi.T @ da_i[t+1] + W_hf.T @ da_f[t+1] + W_ho.T @ da_o[t+1] + W_hg.T @ da_g[t+1]
dc = {}
da_i = dc * g * i * (1 - i)
da_f = dc * c_prev * f * (1 - f)
da_o = dh * tanh(c) * o * (1 - o)
da_g = dc * i * (1 - g**2)
"""
OF_C = [
    ("dh * o * (1 - tanh(c)**2) + dc_next * f_next", ""),
    ("dh * o * (1 - tanh(c)**2)", "dropped carry"),
    ("dh * o * (1 - tanh(c)**2) + dc_next", "missing factor"),
    ("dh * o * (1 - tanh(c)**2) + dc_next * f", "time"),
    ("dh * o * (1 - tanh(c)**2) + dc * f_next", "time"),
    ("dh * o * (1 - tanh(c)**2) + dc_next * i_next", "mixed up"),
    ("dh * o * (1 - c**2) + dc_next * f", "missing activation and time"),
    ("dh * tanh(c) * (1 - tanh(c)) + dc_next * f_next", "wrong derivative and missing factor"),
]


@pytest.mark.parametrize(("line", "kind"), OF_C)
def test_what_comes_back_is_written_out_and_two_edits_of_a_line_are_named(line, kind):
    faults = bptt.check(CARRIES.format(line), cell="lstm").faults
    assert [(fault.line, fault.kind) for fault in faults] == [(2, kind)] * bool(kind)
    assert all(fault.proof.startswith("proved") for fault in faults)
    for fault in faults:
        right = CARRIES.format(fault.mended.removeprefix("dc = "))
        assert bptt.check(right, cell="lstm").correct
