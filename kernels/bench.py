"""Kernels beside other frameworks: the same numbers first, then times, side by side in one process.

Each round runs every competitor once, so that a busy machine slows all of them; what counts is the median of the
rounds' ratios. All use the same number of threads, on the same cores.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from ..derive.cell import Cell
from ..derive.derivation import Derivation
from ..derive.errors import Error
from ..derive.program import step_counts
from . import peers
from .comparison import Row, row_text
from .counts import roofline, seconds_at_least
from .given import Array, check_sizes
from .kernel import Kernel
from .kernel import compile as compiled

ROUNDS = 7
SECONDS = 0.02  # of one competitor in one round, at least: shorter calls are repeated
LIMIT = 120.0  # seconds for a framework's first result at a size
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}  # relative to an array's largest entry
SIZES = {
    "full": [
        (h, b, t) for h in (16, 64, 128, 256, 512) for b in (1, 16, 64) for t in (50, 200) if h * b * t < 2_000_000
    ],
    "quick": [(16, 1, 50), (64, 16, 50), (100, 16, 50), (256, 16, 50)],
    "ragged": [(h, 16, 50) for h in (48, 50, 64, 96, 100, 104, 128, 130, 136)],
    "growth": [(128, b, t) for b, t in ((16, 25), (16, 50), (16, 100), (16, 200), (32, 50), (64, 50))],
}
SIDE = 768  # of the matrices that NumPy multiplies
DOT = 2 * SIDE**3  # additions and multiplications in their product
BANDWIDTH = 60e9  # bytes per second from the second-level cache of one core, roughly


def bench(
    cell: Cell,
    dtype: str,
    threads: int,
    sizes: Iterable[tuple[int, int, int]],
    wanted: Sequence[str] = ("torch", "jax"),
    progress: Callable[[str], None] = lambda text: None,
    limit: float = LIMIT,
) -> list[Row]:
    """Measure a cell's kernel beside what is installed.

    Args:
        cell: with vectors and numbers as states; every dimension gets the hidden size.
        dtype: "float32" or "float64".
        threads: of each competitor.
        sizes: (hidden, batch, steps) of each comparison.
        wanted: "torch" (its module where it has one, else a loop over steps), "compiled" (torch.compile of the step),
            "jax" (a jitted scan).
        progress: called with each row's text, and with what is left out and why.
        limit: seconds that another framework may take to compile and run for the first time.

    Raises:
        Error: for an unknown peer, where none of the wanted frameworks can run here, or where results differ.
    """
    if unknown := sorted(set(wanted) - {"torch", "compiled", "jax"}):
        raise Error(f"there is no peer called {', '.join(unknown)}; known: torch, compiled, jax")
    missing = {name: peers.missing(name) for name in wanted}
    present = [name for name in wanted if not missing[name]]
    reasons = [f"{name} is left out: it needs {what}" for name, what in missing.items() if what]
    if not present:
        raise Error("the bench compares with other frameworks, and there is none:\n" + "\n".join(reasons))
    for reason in reasons:
        progress(reason)
    rows = []
    with cores(threads), single_or_many(threads):
        kernel = compiled(cell, dtype, threads)
        for hidden, batch, steps in sizes:
            for row in _compare(kernel, hidden, batch, steps, present, limit, progress):
                progress(row_text(row))
                rows.append(row)
    return rows


@contextmanager
def cores(count: int) -> Iterator[None]:
    """Keep this process, and every thread it starts, on so many cores, where the system allows it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[:count]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def single_or_many(threads: int) -> Iterator[None]:
    """Give torch as many threads as our kernels have."""
    if not peers.installed("torch"):
        yield
        return
    torch = import_module("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what takes longer, where the system has such alarms: in a process's main thread."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _compare(
    kernel: Kernel,
    hidden: int,
    batch: int,
    steps: int,
    present: list[str],
    limit: float,
    progress: Callable[[str], None],
) -> Iterator[Row]:
    cell = kernel.cell
    sizes = dict.fromkeys(_dimensions(cell), hidden)
    params = kernel.init(sizes)
    random = np.random.default_rng(0)
    shapes = {name: (steps, batch, *(hidden for _ in dims)) for name, dims in cell.inputs.items()}
    inputs = {name: random.standard_normal(shape).astype(kernel.dtype) for name, shape in shapes.items()}
    first = next(iter(cell.states))
    weight = random.standard_normal((steps, batch, *(hidden for _ in cell.states[first]))).astype(kernel.dtype)

    def ours() -> tuple[Array, dict[str, Array]]:
        run = kernel.forward(params, inputs, steps=steps, batch=batch)
        grads = kernel.backward(run, {first: weight})
        return run.states[first], {**grads.params, **grads.inputs}

    competitors: dict[str, Callable[[], Any]] = {}
    expected = ours()
    for name in present:
        try:
            with at_most(limit):
                peer, run = _competitor(name, kernel.derivation, params, inputs, weight)
                _same(peer, expected, run(), kernel.dtype.name)
        except TimeoutError:
            progress(f"{name} is left out at H={hidden}, B={batch}, T={steps}: no result in {limit:g} s")
        else:
            competitors[peer] = run
    if not competitors:
        return
    times = measured({"ours": ours, "np.dot": _dot(kernel.dtype, kernel.threads), **competitors})
    operations = 3 * 2 * steps * batch * _multiply_adds(kernel, sizes)
    own, dot = np.array(times["ours"]), np.array(times["np.dot"])
    dot_rate = kernel.threads * DOT / float(np.median(dot))
    least = seconds_at_least(kernel.schedule, sizes, steps, batch, dot_rate, BANDWIDTH, kernel.dtype.name)
    for peer in competitors:
        low, ratio, high = np.quantile(np.array(times[peer]) / own, (0.25, 0.5, 0.75))
        seconds = float(np.median(own))
        rate = operations / seconds
        yield Row(
            cell.name,
            kernel.dtype.name,
            kernel.threads,
            hidden,
            batch,
            steps,
            peer,
            seconds,
            float(ratio),
            float(low),
            float(high),
            rate,
            rate / dot_rate,
            least / seconds,
        )


def _competitor(
    name: str, derivation: Derivation, params: peers.Arrays, inputs: peers.Arrays, weight: Array
) -> tuple[str, Callable[[], Any]]:
    """Return what a peer is called in the table, and its forward and backward pass."""
    if name == "jax":
        return "jax scan", peers.jax_scan(derivation, params, inputs, weight)
    if name == "compiled":
        return "torch.compile", peers.torch_loop(derivation, params, inputs, weight, compiled=True)
    module = peers.torch_module(derivation, params, inputs, weight)
    return ("torch module", module) if module else ("torch loop", peers.torch_loop(derivation, params, inputs, weight))


def measured(competitors: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Return the seconds of one call of each competitor, in each of some rounds.

    A call that isn't counted goes before each turn: the threads of whoever was there before are then at rest.
    """
    repeats = {}
    for name, run in competitors.items():
        run()
        start = time.perf_counter()
        run()
        repeats[name] = max(1, int(SECONDS / (time.perf_counter() - start)))
    times: dict[str, list[float]] = {name: [] for name in competitors}
    for _ in range(rounds):
        for name, run in competitors.items():
            run()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                run()
            times[name].append((time.perf_counter() - start) / repeats[name])
    return times


def roofline_here(kernel: Kernel, sizes: Mapping[str, int], steps: int, batch: int) -> str:
    """Return a kernel's roofline at given sizes, with the rate that NumPy's product reaches on one core here."""
    with cores(1):
        times = measured({"np.dot": _dot(kernel.dtype, 1)}, rounds=3)["np.dot"]
    rate = DOT / float(np.median(times))
    return roofline(kernel.schedule, check_sizes(kernel.cell, sizes), steps, batch, rate, BANDWIDTH, kernel.dtype.name)


def _dot(dtype: Any, threads: int) -> Callable[[], Any]:
    """Return a large product by NumPy; pinned to one core, so is its pool of threads."""
    left, right = (np.ones((SIDE, SIDE), dtype) for _ in range(2))
    out = np.empty((SIDE, SIDE), dtype)
    return lambda: np.dot(left, right, out=out)


def _same(peer: str, ours: Any, theirs: Any, dtype: str) -> None:
    """Refuse to time what computes something else."""
    pairs = {
        "states": (ours[0], theirs[0]),
        **{n: (ours[1][n], array) for n, array in theirs[1].items() if n in ours[1]},
    }
    for name, (left, right) in pairs.items():
        scale = max(np.abs(left).max(initial=0), 1e-30)
        error = np.abs(left - np.reshape(right, left.shape)).max(initial=0) / scale
        if not error <= TOLERANCE[dtype]:
            raise Error(f"{peer} gives other numbers for {name}: off by {error:.2g} of its largest entry")


def _multiply_adds(kernel: Kernel, sizes: Mapping[str, int]) -> int:
    return int(step_counts(kernel.derivation.forward, dict(sizes)))


def _dimensions(cell: Cell) -> list[str]:
    tables = (cell.inputs, cell.states, cell.params)
    return sorted({name for table in tables for dims in table.values() for name in dims if name.isidentifier()})
