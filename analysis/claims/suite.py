"""All claims, by name, measured as a plan says."""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from ...derive.cell import Cell
from ...derive.errors import Error
from ...derive.syntax import closest
from .bench import Bench, functions_of
from .claim import Claim
from .gates import longer_memory, uninterrupted_path
from .reach import early_layers, truncation
from .recurrence import blows_up, holds_longer, repeated_product
from .training import clipping, matches

TESTS: Mapping[str, Callable[..., Claim]] = {
    "repeated_product": repeated_product,
    "holds_longer": holds_longer,
    "blows_up": blows_up,
    "uninterrupted_path": uninterrupted_path,
    "longer_memory": longer_memory,
    "matches": matches,
    "clipping": clipping,
    "truncation": truncation,
    "early_layers": early_layers,
}
ONE, MANY = ("cell", "first", "second"), ("cells", "beside")  # settings that name cells


def measure_claims(
    bench: Bench,
    plan: Mapping[str, Mapping[str, Any]],
    find: Callable[[str], Cell],
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
    workers: int = 1,
) -> list[Claim]:
    """Measure claims.

    Args:
        bench: sizes, data and seeds.
        plan: claim -> settings of its function in `TESTS`; cells stand there by name.
        find: name -> cell.
        progress: called as progress(claim, done, total), before each and after the last.
        workers: processes that share the claims; in more than one, a script needs `if __name__ == "__main__":` around
            its call. The numbers are the same, but for measured times.

    Raises:
        Error: for an unknown claim, or a setting that it doesn't have or lacks. A claim whose measurement is refused,
            as runs overflow or a cell can't be used for it, has no findings and says why.

    >>> from ...derive.cell import load
    >>> measure_claims(Bench(), {"blow_up": {}}, load)
    Traceback (most recent call last):
    bptt.derive.errors.Error: no claim is called 'blow_up'. Did you mean 'blows_up'?
    """
    for name, settings in plan.items():
        if name not in TESTS:
            raise Error(f"no claim is called '{name}'. {closest(name, TESTS)}")
        known = list(inspect.signature(TESTS[name]).parameters)[1:]
        for setting in settings:
            if setting not in known:
                raise Error(f"the claim '{name}' has no setting '{setting}'. {closest(setting, known)}")
        if missing := [setting for setting in known if setting not in settings]:
            raise Error(f"the claim '{name}' lacks its setting '{missing[0]}'")
    given = {}
    for name, settings in plan.items():
        cells = {key: find(settings[key]) for key in ONE if key in settings}
        lists = {key: [find(cell) for cell in settings[key]] for key in MANY if key in settings}
        given[name] = {**settings, **cells, **lists}
    found = []
    with _tested(bench, given, workers) as claims:
        for done, name in enumerate(given):
            progress(name, done, len(given))
            try:
                found.append(claims[name]())
            except Error as error:
                found.append(Claim(name, (), settings=bench.settings | _named(given[name]), missing=str(error)))
    progress("", len(given), len(given))
    return found


def _named(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a claim with cells by their names, and the functions that are in them."""
    found = dict(settings)
    for key in settings.keys() & {*ONE, *MANY}:
        is_one = key in ONE
        found[key] = settings[key].name if is_one else [cell.name for cell in settings[key]]
        if is_one:
            found["functions" if key == "cell" else f"{key}_functions"] = functions_of(settings[key])
    return found


@contextmanager
def _tested(
    bench: Bench, given: Mapping[str, Mapping[str, Any]], workers: int
) -> Iterator[dict[str, Callable[[], Claim]]]:
    """Give for each claim a function that returns it, when it has been measured here or in another process."""
    if workers < 2:
        yield {name: partial(TESTS[name], bench, **settings) for name, settings in given.items()}
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_follow) as pool:
        futures = {name: pool.submit(TESTS[name], bench, **settings) for name, settings in given.items()}
        try:
            yield {name: future.result for name, future in futures.items()}
        finally:
            pool.shutdown(cancel_futures=True)


def _follow() -> None:
    """End this process without a word at Ctrl-C, and when the one that started it is gone, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(0)
