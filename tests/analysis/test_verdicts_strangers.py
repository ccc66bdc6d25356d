"""Programs as strangers write them: every calling convention is found out and said, and a fault in it is mended."""

from pathlib import Path

import pytest

from bptt.analysis.verdicts.code_adapter import Adapter
from bptt.analysis.verdicts.code_finding import find
from bptt.analysis.verdicts.code_judging import judge

STRANGERS = Path(__file__).parent / "theirs" / "strangers"
OWN = "a cell of its own"
SAID = {
    "accumulators.py": (OWN, "Sequences are (T, B, features)."),
    "alias_tape.py": (OWN, "Sequences are (T, B, features)."),
    "closures.py": ("rnn", "Sequences are (T, B, features)."),
    "coupled_gate_own.py": (OWN, "Sequences are (B, T, features)."),
    "features_first_lstm.py": ("lstm", "Wf, Wi, Wg and Wo multiply [h; x]."),
    "function_static.py": ("rnn", "Weights are (outputs, inputs), as in W @ x."),
    "gru_after_two_biases.py": ("gru_reset_after", "b_ih and b_hh are added up."),
    "gru_one_minus.py": ("gru", "Sequences are lists over time of column vectors (features, 1)."),
    "inner_loop_class.py": ("rnn", "The loss is computed inside, from targets: the cross-entropy of a softmax."),
    "karpathy_loss.py": ("rnn", "One sequence at a time. Inputs are indices, read as one-hot vectors."),
    "last_output_class.py": ("rnn", "Loss gradients come in at the output."),
    "logistic_map.py": (OWN, "Loss gradients come in at every step."),
    "logistic_tape.py": (OWN, "Loss gradients come in at every step."),
    "lstm_class_attrs.py": ("lstm", "The gates are stacked in the order f, i, g, o in W, b."),
    "lstm_params_dict_full.py": ("lstm", "Sequences are (B, T, features)."),
    "mingru.py": ("min_gru", "Sequences are (T, B, features)."),
    "njit_rnn.py": (OWN, "One sequence at a time, (T, features)."),
    "of_gates.py": ("lstm", "Sequences are (T, B, features)."),
    "only_states.py": ("rnn", "Weights are (inputs, outputs), as in x @ W."),
    "own_cell.py": (OWN, "Sequences are (T, B, features)."),
    "params_object.py": ("gru", "z and 1 − z have changed places against the usual gru."),
    "peephole_columns.py": ("lstm_peephole", "Sequences are lists over time of column vectors (features, 1)."),
    "plain_rnn_caches.py": ("rnn", "Sequences are (T, B, features)."),
    "plain_rnn_dict.py": ("rnn", "Sequences are (T, B, features)."),
    "plain_rnn_list.py": ("rnn", "Sequences are (T, B, features)."),
    "rnn_mse_loss.py": ("rnn", "The loss is computed inside, from targets: a squared error."),
    "step_only.py": ("lstm", "A single step, (B, features)."),
    "tokens_global.py": ("rnn", "One sequence at a time. Inputs are indices, read as one-hot vectors."),
}
FAULTS = [
    ("accumulators.py", "dbx, dbh = np.zeros(len(bx)), np.zeros(len(bh))", "dbx = dbh = np.zeros(len(bx))", "aliasing"),
    ("alias_tape.py", "tape.append(h.copy())", "tape.append(h)", "aliasing"),
    ("closures.py", "hs[t].T @ da", "hs[t + 1].T @ da", "time"),
    ("coupled_gate_own.py", "(h - np.sin(u))", "h - np.sin(u)", "parentheses"),
    ("features_first_lstm.py", "dh * th * y", "dh * c_new * y", "activation"),
    ("gru_after_two_biases.py", "[g_r, g_z, g_n * r]", "[g_r, g_z, g_n]", "factor"),
    ("karpathy_loss.py", "np.dot(Why.T, dy) + dhnext", "np.dot(Why.T, dy)", "dropped carry"),
    ("logistic_map.py", "dxs[t] + dx", "dxs[t]", "accumulation"),
    ("logistic_tape.py", "(1 - 2 * xs[t])", "(1 - xs[t])", "factor"),
    ("lstm_class_attrs.py", "dh * o * (1 - tc * tc) + dc_next", "dh * o * (1 - tc * tc)", "dropped carry"),
    ("of_gates.py", "dc = dc * f", "dc = dc * i", "mix-up"),
    ("own_cell.py", "dq = -0.3 * dh", "dq = 0.3 * dh", "sign"),
    ("params_object.py", "np.outer(dan, r * hp)", "np.outer(dan, hp)", "mix-up"),
]


def judged(text, folder):
    path = folder / "theirs.py"
    path.write_text(text, encoding="utf-8")
    return judge(find(str(path), Adapter()), None, Adapter(), print)


@pytest.mark.parametrize("file", SAID)
def test_how_strangers_write_is_found_out(file, tmp_path):
    cell, sentence = SAID[file]
    found = judged((STRANGERS / file).read_text(encoding="utf-8"), tmp_path)
    assert found.correct, str(found)
    assert found.cell == cell and sentence in found.conventions, str(found)
    assert found.largest_error < 1e-9


def test_every_stranger_is_judged():
    assert SAID.keys() == {path.name for path in STRANGERS.glob("*.py")}


@pytest.mark.parametrize(("file", "was", "now", "kind"), FAULTS)
def test_a_strangers_fault_is_placed_named_and_mended(file, was, now, kind, tmp_path):
    text = (STRANGERS / file).read_text(encoding="utf-8")
    assert was in text
    broken = text.replace(was, now, 1)
    line = text[: text.index(was)].count("\n") + 1
    [fault] = judged(broken, tmp_path).faults
    assert (fault.line, fault.kind) == (line, kind), fault
    lines = broken.splitlines()
    indent = lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]
    mended = "\n".join([*lines[: line - 1], indent + fault.mended, *lines[line:]])
    assert judged(mended, tmp_path).correct
