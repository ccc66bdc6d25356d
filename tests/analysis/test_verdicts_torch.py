"""Backward passes written for PyTorch, and compiled code through a Python callable."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from bptt.analysis.verdicts.code import check_code
from bptt.analysis.verdicts.code_adapter import Adapter
from bptt.analysis.verdicts.code_finding import find
from bptt.analysis.verdicts.code_judging import judge

THEIRS = Path(__file__).parent / "theirs"


def judged(file, folder, was="", now=""):
    pytest.importorskip("torch")
    text = (THEIRS / file).read_text(encoding="utf-8")
    assert was in text
    text = text.replace(was, now, 1) if was else text
    path = folder / "theirs.py"
    path.write_text(text, encoding="utf-8")
    line = text[: text.index(now)].count("\n") + 1 if was else 0
    return judge(find(str(path), Adapter()), None, Adapter(), print), line


RIGHT = [
    ("torch/gru_function.py", "gru_reset_after", "Sequences are (T, B, features)."),
    ("torch/rnn_module.py", "rnn", "Sequences are (T, B, features)."),
    ("strangers/torch/gru_functions.py", "gru", "z and 1 − z have changed places against the usual gru."),
    ("strangers/torch/lstm_functions.py", "lstm", "b_ih and b_hh are added up."),
    ("strangers/torch/rnn_class.py", "rnn", "Sequences are (B, T, features)."),
    (
        "strangers/torch/token_model.py",
        "a cell of its own",
        "Sequences are (T, B). Inputs are indices, read as one-hot vectors.",
    ),
]


@pytest.mark.parametrize(("file", "cell", "said"), RIGHT)
def test_what_is_right_for_torch_is_called_right(file, cell, said, tmp_path):
    found, _ = judged(file, tmp_path)
    assert found.correct and found.cell == cell, str(found)
    assert said in found.conventions
    assert found.reference.startswith("complex steps"), found.reference


FAULTS = [
    ("torch/gru_function.py", "dr = dn * h_n *", "dr = dn * h *", "dr = dn * h_n * r * (1 - r)"),
    ("torch/rnn_module.py", "da = dy * (1 - y**2)", "da = dy * (1 - y)", "da = dy * (1 - y ** 2)"),
    ("strangers/torch/gru_functions.py", "(r * h).T @ dn", "h.T @ dn", 'gr["Un"] = gr["Un"] + (h * r).T @ dn'),
    ("strangers/torch/lstm_functions.py", "dc_next = dc * f", "dc_next = dc * i", "dc_next = dc * f"),
    ("strangers/torch/rnn_class.py", "self.hs[t + 1] ** 2", "self.hs[t] ** 2", "da = dh * (1 - self.hs[t + 1] ** 2)"),
    ("strangers/torch/token_model.py", "da.sum(0)", "da.mean(0)", 'g["b"] += da.sum(0)'),
    (
        "strangers/torch/step_function.py",
        "(f * h).t() @ dk",
        "h.t() @ dk",
        "return dx, dhp, x.t() @ df, h.t() @ df, df.sum(0), x.t() @ dk, (h * f).t() @ dk, dk.sum(0)",
    ),
    (
        "strangers/torch/sequence_function.py",
        "prev = out[:, t - 1] if t > 0 else h0",
        "prev = out[:, t]",
        "prev = out[:, t - 1] if t > 0 else h0",
    ),
    (
        "strangers/torch/sequence_function.py",
        "grad_a @ weight_hh\n",
        "grad_a @ weight_hh.t()\n",
        "grad_h = grad_a @ weight_hh",
    ),
]


@pytest.mark.parametrize(("file", "was", "now", "mended"), FAULTS)
def test_a_fault_in_torch_is_placed_and_mended(file, was, now, mended, tmp_path):
    found, line = judged(file, tmp_path, was, now)
    [fault] = found.faults
    assert (fault.line, fault.mended) == (line, mended)
    assert "agree with the reference" in fault.proof


def test_a_module_in_memory_is_judged():
    torch = pytest.importorskip("torch")

    class Leaky(torch.nn.Module):  # type: ignore[name-defined]  # torch may not be there
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.randn(5, 4))
            self.u = torch.nn.Parameter(torch.randn(5, 5))

        def forward(self, x, h0):
            h, out = h0, []
            for x_t in x:
                h = 0.5 * h + 0.5 * torch.tanh(x_t @ self.w.T + h @ self.u.T)
                out.append(h)
            return torch.stack(out)

    assert check_code(Leaky()).correct


def compiled_pair():
    """Return passes of an RNN whose tanh is the C library's, behind Python callables."""
    tanh = ctypes.CDLL(None).tanh
    tanh.restype, tanh.argtypes = ctypes.c_double, [ctypes.c_double]
    entrywise = np.vectorize(lambda a: tanh(float(a)))

    def forward(x, h0, W, U, b):
        h = [h0]
        for x_t in x:
            h.append(entrywise(x_t @ W + h[-1] @ U + b))
        return np.array(h[1:]), (x, h, W, U)

    def backward(dh, cache):
        x, h, W, U = cache
        dx, dW, dU, db, dh0 = np.zeros_like(x), 0, 0, 0, np.zeros_like(h[0])
        for t in reversed(range(len(x))):
            da = (dh[t] + dh0) * (1 - h[t + 1] ** 2)
            dx[t], dW, dU, db = da @ W.T, dW + x[t].T @ da, dU + h[t].T @ da, db + da.sum(0)
            dh0 = da @ U.T
        return dx, dh0, dW, dU, db

    return forward, backward


def test_a_compiled_function_behind_a_callable_is_judged():
    forward, backward = compiled_pair()
    found = check_code((forward, backward))
    assert found.correct and found.cell == "rnn"
    assert "extrapolated central differences" in found.reference
