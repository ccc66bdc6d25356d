"""What a study costs beside its tasks: 500 tasks of 20 ms on local processes, against one process and a bare pool.

    python benchmarks/study.py [--seeds 5] [--workers 2] [--rounds 3]

One round runs the same tasks four ways: in one process, whose time is divided by the number of workers; in as many
processes that perform a share each and send and write nothing; by `ProcessPoolExecutor` (spawned, one thread each, with
the plan in memory; nothing is written); and as a study with its store. The figure is the time of the last nine tenths
of the tasks, so that starting processes doesn't count; how long it takes until the first tenth is there is stated
beside it. Medians over rounds, of times and of ratios.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import bptt
from bptt.analysis.studies.plan import Plan, Point, Task
from bptt.analysis.studies.pool import SINGLE, cores
from bptt.analysis.studies.task import Outcome, perform

TASKS = 500
TARGET = 0.020  # seconds for each
TEXT = """
cells = "lstm"
hidden = {hidden}
lengths = {length}
seeds = {seeds}
data = "noise"
initialisation.gain = [{gains}]
measures = "flow"
"""

_plan: list[Plan] = []


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="tasks of each point")
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(SINGLE, "1"))
    with tempfile.TemporaryDirectory() as folder:
        study = _sized(Path(folder), options.seeds)
        tasks = [Task(point, seed) for point in study.plan.points(0) for seed in range(options.seeds)]
        ways: dict[str, Callable[[], tuple[float, float]]] = {
            "one process": lambda: _shared(_shares(study.plan, tasks, 1), options.workers),
            "shares": lambda: _shares(study.plan, tasks, options.workers),
            "bare pool": lambda: _pool(study.plan, tasks, options.workers),
            "study": lambda: _study(study, options.workers),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                found[name].append(way())
    medians = {
        name: [statistics.median(column) for column in zip(*times, strict=True)] for name, times in found.items()
    }
    each = medians["one process"][1] * options.workers / (0.9 * len(tasks))
    print(f"{len(tasks)} tasks of {1000 * each:.1f} ms, {options.seeds} a point, {options.workers} workers")
    for name in ways:
        start, rest = medians[name]
        over = [_over(found[name], found[best]) for best in ("one process", "shares")]
        print(
            f"{name:11} {rest:6.2f} s for the last nine tenths, {over[0]:+.1%} to one process, {over[1]:+.1%} to "
            f"shares; {start:.2f} s before"
        )


def _over(found: list[tuple[float, float]], best: list[tuple[float, float]]) -> float:
    return statistics.median(way[1] / other[1] for way, other in zip(found, best, strict=True)) - 1


def _shared(times: tuple[float, float], workers: int) -> tuple[float, float]:
    """Return times of one process as if many shared them without loss."""
    return times[0], times[1] / workers


def _sized(folder: Path, seeds: int) -> bptt.Study:
    """Return a study whose tasks take about as long as they should."""

    def written(length: int) -> bptt.Study:
        gains = ", ".join(str(0.5 + number / TASKS) for number in range(TASKS // seeds))
        path = folder / "study.toml"
        path.write_text(TEXT.format(hidden=16, length=length, seeds=seeds, gains=gains))
        return bptt.Study.load(path)

    length = 400
    for _ in range(3):
        study = written(length)
        perform(study.plan, Task(Point(0, 0, 0), 0))
        times = []
        for _ in range(15):
            start = time.perf_counter()
            perform(study.plan, Task(Point(0, 0, 0), 0))
            times.append(time.perf_counter() - start)
        length = max(10, round(length * TARGET / statistics.median(times)))
    return written(length)


def _split(ends: list[float], start: float) -> tuple[float, float]:
    """Return the time until the first tenth of tasks has ended, and from then on."""
    first = ends[len(ends) // 10 - 1]
    return first - start, ends[-1] - first


def _shares(plan: Plan, tasks: list[Task], workers: int) -> tuple[float, float]:
    context = multiprocessing.get_context("spawn")
    barrier, ends = context.Barrier(workers), context.SimpleQueue()
    shares = [tasks[number::workers] for number in range(workers)]
    team = [context.Process(target=_perform_all, args=(plan, share, barrier, ends)) for share in shares]
    start = time.perf_counter()
    for process in team:
        process.start()
    every = sorted(end for _ in team for end in ends.get())
    for process in team:
        process.join()
    return _split(every, start)


def _perform_all(plan: Plan, tasks: list[Task], barrier: Any, ends: Any) -> None:
    perform(plan, tasks[0])  # imports, and compiles
    barrier.wait()
    found = []
    for task in tasks:
        perform(plan, task)
        found.append(time.perf_counter())  # one clock for all processes
    ends.put(found)


def _keep(plan: Plan) -> None:
    _plan.append(plan)


def _perform(task: Task) -> Outcome:
    return perform(_plan[0], task)


def _pool(plan: Plan, tasks: list[Task], workers: int) -> tuple[float, float]:
    start, ends = time.perf_counter(), []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_keep, initargs=(plan,)) as pool:
        for done in as_completed([pool.submit(_perform, task) for task in tasks]):
            assert not done.result().message
            ends.append(time.perf_counter())
    return _split(ends, start)


def _study(study: bptt.Study, workers: int) -> tuple[float, float]:
    start, ends = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        fresh = bptt.Study.load(study.path, Path(folder) / "study.zarr")
        fresh.run(workers=workers, progress=lambda done, total, news: ends.append(time.perf_counter()))
        ends.append(time.perf_counter())
    return _split(ends, start)


if __name__ == "__main__":
    main()
