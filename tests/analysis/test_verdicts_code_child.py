"""The process that judges code: a fresh one that runs no script, or a copy that leaves alone what it finds there."""

import gc
import os
import subprocess
import sys

import pytest

import bptt
from bptt.analysis.verdicts.code import check_code


class Left:
    """Garbage in a cycle; its finaliser writes down which process ran it."""

    def __init__(self, file):
        self.file, self.me = file, self

    def __del__(self):
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} ")


def test_garbage_of_the_parent_is_not_finalised_in_the_child(tmp_path):
    def forward(x, h0, W):
        gc.collect()
        os._exit(0)

    file = tmp_path / "finalised"
    collects = gc.isenabled()
    gc.disable()
    try:
        Left(file)
        with pytest.raises(bptt.Error, match="ended the process"):
            check_code((forward, lambda dh: dh))
    finally:
        gc.collect()
        if collects:
            gc.enable()
    assert file.read_text(encoding="utf-8").split() == [str(os.getpid())]


def test_hooks_of_the_parent_are_not_called_in_the_child(tmp_path, monkeypatch):
    class Raises:
        def __del__(self):
            raise RuntimeError("in a finaliser")

    def forward(x, h0, W):
        Raises()
        os._exit(0)

    file = tmp_path / "told"
    monkeypatch.setattr(sys, "unraisablehook", lambda _: file.touch())
    with pytest.raises(bptt.Error, match="ended the process"):
        check_code((forward, lambda dh: dh))
    assert not file.exists()


SCRIPT = """import bptt
import numpy as np


def forward(x, h0, W, U, b):
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


"""


@pytest.mark.parametrize("asked", ['"other.py"', "(forward, backward)"])
def test_a_script_without_a_guard_checks_code(asked, tmp_path):
    """Where it is copied, warnings of libraries with threads, such as JAX, don't alarm: the copy uses none of them."""
    threads = "import os, warnings\nos.register_at_fork(before=lambda: warnings.warn('threads'))\n"
    (tmp_path / "script.py").write_text(f"{SCRIPT}{threads}print(bptt.check({asked}).correct)\n")
    (tmp_path / "other.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
