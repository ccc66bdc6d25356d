"""What is found about code beside a wrong line: conventions that are no faults, and behaviour that is one."""

import pytest

from bptt.analysis.verdicts.code_adapter import Adapter
from bptt.analysis.verdicts.code_finding import find
from bptt.analysis.verdicts.code_judging import judge
from bptt.analysis.verdicts.code_reference import draw_seeds
from bptt.analysis.verdicts.code_returned import values_for
from bptt.analysis.verdicts.code_smooth import roughness
from bptt.analysis.verdicts.code_ways import called

RNN = """import numpy as np


def forward(x, h0, Wx, Wh, b):
    hs = [h0]
    for x_t in x:
        hs.append(np.tanh(x_t @ Wx + hs[-1] @ Wh + b))
    return np.array(hs[1:]), (x, hs, Wx, Wh)


def backward(dhs, cache):
    x, hs, Wx, Wh = cache
    dWx, dWh, db, dx = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(len(Wh)), np.zeros_like(x)
    dh = np.zeros_like(hs[0])
    for t in reversed(range(len(x))):
        da = (dhs[t] + dh) * (1 - hs[t + 1] ** 2)
        dWx += x[t].T @ da
        dWh += hs[t].T @ da
        db += da.sum(axis=0)
        dx[t] = da @ Wx.T
        dh = da @ Wh.T
    return dx, dh, dWx, dWh, db
"""


def judged(folder, *changes):
    text = RNN
    for was, now in changes:
        assert was in text
        text = text.replace(was, now, 1)
    path = folder / "theirs.py"
    path.write_text(text, encoding="utf-8")
    return judge(find(str(path), Adapter()), None, Adapter(), print)


def test_every_line_of_what_is_right_is_told(tmp_path):
    lines = {line.number: line for line in judged(tmp_path).lines}
    assert lines[16].quantity.startswith("∂L/∂(x_t @ Wx")
    assert lines[18].quantity == "∂L/∂Wh" and lines[18].text == "dWh += hs[t].T @ da"
    assert all(line.holds and line.why for line in lines.values())


def test_the_line_that_is_wrong_is_marked_among_all(tmp_path):
    found = judged(tmp_path, ("hs[t].T @ da", "hs[t + 1].T @ da"))
    assert [line.number for line in found.lines if not line.holds] == [18]
    assert [fault.line for fault in found.faults] == [18]


NOTED = [
    ((("return dx, dh, dWx, dWh, db", "return dx, dh, dWx / len(x), dWh / len(x), db / len(x)"),), "means over T"),
    ((("dhs[t] + dh)", "dhs[t] * (t == len(x) - 1) + dh)"),), "Only the last step's loss"),
    ((("da = (dhs", "if (len(x) - 1 - t) % 3 == 0:\n            dh = 0 * dh\n        da = (dhs"),), "truncated"),
    (
        (
            (
                "return dx, dh, dWx",
                "for g in (dWx, dWh, db):\n        g *= min(1, 0.1 / np.linalg.norm(g))\n    return dx, dh, dWx",
            ),
        ),
        "each for itself",
    ),
]


@pytest.mark.parametrize(("changes", "says"), NOTED, ids=[says for _, says in NOTED])
def test_a_convention_is_noted(changes, says, tmp_path):
    found = judged(tmp_path, *changes)
    assert found.correct, str(found)
    assert any(says in note for note in found.notes), found.notes


FAULTY = [
    ((("dx[t] = da @ Wx.T", "dx[t] = da @ Wx.T\n        dhs[t] = 0"),), "", "writes to its argument dhs"),
    ((("np.zeros_like(Wh), np.zeros(len(Wh))", "np.zeros_like(Wh), np.zeros((len(Wh), 1))"),), "raises", "broadcast"),
    ((("return dx, dh, dWx, dWh, db", "return dx, dh, dWx, dWh, db[:2]"),), "missing gradient", "shape (5,)"),
    ((("return dx, dh, dWx, dWh, db", "return dx, dh, dWx, np.log(-dWh**2), db"),), "not finite", "Wh"),
    ((("return dx", "raise KeyError('no')\n    return dx"),), "raises", "KeyError"),
    (
        (("    dh = np.zeros_like(hs[0])\n", "    dh = np.zeros_like(hs[0])\n    while True:\n        pass\n"),),
        "hangs",
        "",
    ),
]


@pytest.mark.parametrize(("changes", "kind", "says"), FAULTY, ids=[kind or says for _, kind, says in FAULTY])
def test_how_code_misbehaves_is_said(changes, kind, says, tmp_path):
    found = judged(tmp_path, *changes)
    assert kind in {"", *(fault.kind for fault in found.faults)}, str(found)
    assert says in str(found)


def test_a_forward_pass_that_jumps_is_said_to(tmp_path):
    step = "np.round(3 * np.tanh(x_t @ Wx + hs[-1] @ Wh + b))"
    found = judged(tmp_path, ("np.tanh(x_t @ Wx + hs[-1] @ Wh + b)", step))
    assert [fault.kind for fault in found.faults] == ["not differentiable"]
    assert "jumps" in found.faults[0].message


def test_a_kink_at_the_probe_is_seen(tmp_path):
    path = tmp_path / "theirs.py"
    path.write_text(RNN.replace("hs = [h0]", "hs = [np.abs(h0)]"), encoding="utf-8")
    subject = find(str(path), Adapter())
    calling, _, _ = called(subject, Adapter(), print, 1)
    values = values_for(calling, 1)
    seeds = draw_seeds(subject, calling, values)
    assert roughness(subject, calling, values, seeds) == ""
    assert "direction of h0 its slopes on both sides" in roughness(
        subject, calling, {**values, "h0": 0 * values["h0"]}, seeds
    )
