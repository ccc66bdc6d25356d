"""Compiled code on disk: found again, shared by processes, rebuilt when damaged, done without when need be."""

import io
import os
import re
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import bptt
from bptt.derive import parse
from bptt.kernels import cache, compile

DOUBLE = '''"""Twice."""

from numba import njit


@njit(cache=True)
def double(x):
    return 2.0 * x
'''
# A cell that compiles fast, in a process of its own; prints a gradient, and cache hits and misses of each function.
SCRIPT = """
import numpy as np
from bptt.derive import parse
from bptt.kernels import compile

kernel = compile(parse("x: input\\nh: state\\nh = tanh(w * h + x)", "small"))
run = kernel.forward({"w": np.array(0.5)}, {"x": np.linspace(0, 1, 6).reshape(3, 2)})
grads = kernel.backward(run, {"h": np.ones((3, 2))})
print(repr(float(grads.params["w"])))
functions = [getattr(kernel.module, name) for name in ("forward", "backward", "sums")]
print(sum(sum(function.stats.cache_hits.values()) for function in functions))
print(sum(sum(function.stats.cache_misses.values()) for function in functions))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BPTT_CACHE", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache"
    forget()


def forget():
    """Forget the modules that these tests load, as a new process would; not those of real kernels."""
    cache._temporary.cache_clear()
    for name in [name for name in sys.modules if name.startswith("bptt_generated.") and "_float" not in name]:
        del sys.modules[name]


def file_of(module):
    return Path(module.__file__)


def start(**environment):
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)


def result(process):
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    number, hits, misses = out.split()
    return float(number), (int(hits), int(misses))


def expected_gradient():
    w, total = 0.5 + 1e-40j, 0
    for column in np.linspace(0, 1, 6).reshape(3, 2).T:
        h = 0
        for x in column:
            h = np.tanh(w * h + x)
            total += h
    return total.imag / 1e-40


def test_processes_share_a_folder_and_later_ones_do_not_compile(tmp_path):
    environment = {"BPTT_CACHE": str(tmp_path / "new")}
    found = [result(process) for process in [start(**environment) for _ in range(3)]]
    assert [number for number, _ in found] == pytest.approx([expected_gradient()] * 3, rel=1e-14)
    assert len(list((tmp_path / "new").glob("small_float64_*.py"))) == 1
    assert not list((tmp_path / "new").glob("*.tmp"))
    number, (hits, misses) = result(start(**environment))
    assert number == found[0][0]
    assert (hits, misses) == (3, 0)


def test_a_change_in_what_is_compiled_in_makes_another_file(folder, monkeypatch):
    before = file_of(cache.load_module(DOUBLE, "double"))
    monkeypatch.setattr(cache, "_support", lambda: "changed")
    forget()
    assert file_of(cache.load_module(DOUBLE, "double")) != before


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        ("numba", "__version__", "0.0"),
        ("llvmlite.binding", "get_host_cpu_name", lambda: "another"),
        ("bptt.kernels.cache", "_cpu_features", lambda: "-avx512f"),
        ("sys", "version_info", (3, 99, 0)),
    ],
)
def test_another_compiler_or_processor_makes_another_file(folder, monkeypatch, owner, name, value):
    before = cache._stem(DOUBLE, "double")
    assert cache._stem(DOUBLE, "double") == before
    monkeypatch.setattr(f"{owner}.{name}", value)
    assert cache._stem(DOUBLE, "double") != before


def test_another_source_or_dtype_makes_another_file():
    small = parse("x: input\nh: state\nh = tanh(w * h + x)", "small")
    other = parse("x: input\nh: state\nh = tanh(w * h - x)", "small")
    stems = {cache._stem(compile(cell, dtype).source, "small") for cell in (small, other) for dtype in ("f4", "f8")}
    assert len(stems) == 4


def test_the_key_holds_every_module_that_is_compiled_in():
    """What imports Numba's compiler, and what these modules take from each other."""
    here = Path(cache.__file__).parent
    texts = {path.stem: path.read_text("utf-8") for path in here.glob("*.py")}
    needed = {name for name, text in texts.items() if re.search(r"^(import|from) (numba|llvmlite)", text, re.M)} - {
        "cache"
    }
    while True:
        taken = {found for name in needed for found in re.findall(r"^from \.(\w+) import", texts[name], re.M)} - {
            "cache"
        }
        if taken <= needed:
            break
        needed |= taken
    generated = compile(bptt.load("lstm")).source
    needed |= set(re.findall(r"^from bptt\.kernels\.(\w+) import", generated, re.M))
    assert needed <= set(cache.COMPILED_IN)


def test_what_is_compiled_is_told(folder):
    told: list[str] = []
    for expected in (["double: double", ""], []):
        told.clear()
        forget()
        with cache.watched(told.append):
            assert cache.load_module(DOUBLE, "double").double(4.0) == 8.0
        assert told == expected


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_what_is_compiled(folder, monkeypatch, terminal):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    cache.load_module(DOUBLE, "double").double(4.0)
    assert screen.getvalue() == ("\r\x1b[KCompiling double: double\r\x1b[K" if terminal else "")


def test_a_module_is_loaded_once(folder):
    assert cache.load_module(DOUBLE, "double") is cache.load_module(DOUBLE, "double")
    with ThreadPoolExecutor(8) as pool:
        barrier = threading.Barrier(8)

        def load(_):
            barrier.wait()
            return cache.load_module(DOUBLE + "# threads\n", "double").double

        assert len(set(pool.map(load, range(8)))) == 1


def test_functions_can_be_traced_to_their_source(folder):
    module = cache.load_module(DOUBLE, "double")
    assert file_of(module).read_text() == DOUBLE
    assert module.double.py_func.__code__.co_filename == module.__file__
    assert module.__doc__ == "Twice."


@pytest.mark.parametrize("damage", [b"", b"\xff\x00 not Python", b"x = 1\n"])
def test_a_damaged_source_is_rebuilt(folder, damage):
    path = file_of(cache.load_module(DOUBLE, "double"))
    path.write_bytes(damage)
    forget()
    assert cache.load_module(DOUBLE, "double").double(4.0) == 8.0
    assert path.read_text() == DOUBLE


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: b"garbage", lambda data: data[: len(data) // 2]])
def test_damaged_machine_code_is_rebuilt(folder, suffix, damage):
    assert cache.load_module(DOUBLE, "double").double(4.0) == 8.0
    [path] = folder.glob(f"__pycache__/*.{suffix}")
    path.write_bytes(damage(path.read_bytes()))
    for misses in (1, 0):
        forget()
        module = cache.load_module(DOUBLE, "double")
        assert module.double(4.0) == 8.0
        assert sum(module.double.stats.cache_misses.values()) == misses


def test_machine_code_that_cannot_be_kept_is_still_run(folder):
    module = cache.load_module(DOUBLE, "double")
    (folder / "__pycache__").rmdir()
    (folder / "__pycache__").write_text("in the way")
    assert module.double(4.0) == 8.0


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path, monkeypatch, folder):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BPTT_CACHE", str(tmp_path / "file" / "below"))
    message = r"file.* can't be written \(.*\): kernels are compiled anew each time. Set BPTT_CACHE to a folder"
    with pytest.warns(UserWarning, match=message) as warned:
        module = cache.load_module(DOUBLE, "double")
        cache.load_module(DOUBLE + "# another\n", "double")
    assert len(warned) == 1, "said once for two kernels"
    assert module.double(4.0) == 8.0
    where = file_of(module).parent
    assert where.parent == Path(tempfile.gettempdir())
    assert where.stat().st_mode & 0o077 == 0, "code in it would be run: others must not write there"


def test_no_home(monkeypatch, tmp_path, folder):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("BPTT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.warns(UserWarning, match="^the folder for compiled kernels can't be written .Could not determine home"):
        assert cache.load_module(DOUBLE, "double").double(4.0) == 8.0


def test_which_folder(monkeypatch):
    monkeypatch.setenv("BPTT_CACHE", "/given")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache.folder() == Path("/given")
    monkeypatch.delenv("BPTT_CACHE")
    assert cache.folder() == Path("/xdg/bptt")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == Path.home() / ".cache" / "bptt"


@pytest.mark.parametrize("name", ["x" * 300, "../../up", "größe", ""])
def test_any_name_makes_a_file_name(folder, name):
    path = file_of(cache.load_module(DOUBLE, name))
    assert path.parent == folder
    assert path.stem.replace("_", "").isalnum() and path.name.isascii()


def test_a_source_that_fails_is_not_remembered(folder):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            cache.load_module("1 / 0", "broken")


def test_each_dtype_has_a_file_of_its_own(make_case):
    """Numba's index of a function that processes compile for two types at once can name the wrong code."""
    files = {make_case("lstm", dtype=dtype).kernel.module.__file__ for dtype in ("float32", "float64")}
    assert len(files) == 2


def test_the_folder_is_untouched_until_a_kernel_runs(folder):
    kernel = compile(parse("x: input\nh: state\nh = h + x"))
    kernel.init({})
    assert "def forward" in kernel.source
    assert not folder.exists()
    with pytest.raises(bptt.Error):
        kernel.forward({}, {})
    assert not folder.exists()
