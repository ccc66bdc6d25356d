"""The process that judges code is a copy of this one at times, and leaves alone what it finds there."""

import gc
import os
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
