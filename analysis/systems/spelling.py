"""One to many: a number in, its English name out, letter by letter; with zero inputs, or with outputs fed back."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...derive.compose import compose
from ..data import random_stream
from ..learning.batches import Array, Batch, Task, examples
from ..learning.trainer import Training, runs
from .examples import open_sizes, proportion
from .learn import gathered, learn, plan_of
from .system import Progress, Settings, system

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
END = "."  # written after a name, up to the longest
COUNT = 1000  # numbers, from 0
WAYS = {"one-to-many": "zero inputs", "one-to-many fed back": "outputs fed back"}


def named(number: int) -> str:
    """Return the English name of a number below 1000.

    >>> named(0), named(42), named(815)
    ('zero', 'forty two', 'eight hundred fifteen')
    """
    hundreds, rest = divmod(number, 100)
    parts = [ONES[hundreds], "hundred"] if hundreds else []
    if rest >= 20:
        parts += [TENS[rest // 10 - 2], *([ONES[rest % 10]] if rest % 10 else [])]
    elif rest or not hundreds:
        parts.append(ONES[rest])
    return " ".join(parts)


def letters() -> str:
    """Return what names are written with, the mark of the end first."""
    return END + "".join(sorted(set("".join(map(named, range(COUNT))))))


def task(held_out: int, batch: int, seed: int) -> Task:
    """Return the task of writing the names of numbers, given by their digits, each as a vector with a single 1.

    Args:
        held_out: numbers that are judged and never learned from.
        batch, seed: as in `examples`.
    """
    known = letters()
    names = [named(number) for number in range(COUNT)]
    longest = max(map(len, names)) + 1
    written = np.array([[known.index(letter) for letter in name.ljust(longest, END)] for name in names])
    digits = np.array([[number // 100, number // 10 % 10, number % 10] for number in range(COUNT)])
    width = max(30, len(known))  # where outputs are fed back, they are as long as the first input
    vectors = np.zeros((COUNT, width), np.float32)
    for place in range(3):
        vectors[np.arange(COUNT), 10 * place + digits[:, place]] = 1

    def take(chosen: Array) -> Batch:
        y = np.ascontiguousarray(written[chosen].T)
        return Batch({"x": vectors[chosen], "y": y}, y.size)

    order = random_stream(0, "held-out numbers").permutation(COUNT)
    return examples("names", {"k": width}, take, order[held_out:], order[:held_out], batch, seed)


def spelled(training: Training) -> tuple[list[str], list[str]]:
    """Return what a model writes for each number that is held out, and the right names."""
    known = letters().ljust(training.task.sizes["k"], "?")

    def read(numbers: Array) -> list[str]:
        return ["".join(known[place] for place in column).rstrip(END) for column in numbers.T]

    found, right = [], []
    for batch, run in runs(training, training.task.held_out()):
        found += read(run.value("u").argmax(axis=2))
        right += read(batch.inputs["y"])
    return found, right


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Train a writer around each cell, both ways."""
    made = task(settings["held_out"], settings["batch"], seed)
    learned, exact, by_letter, shown = {}, {}, {}, {}
    for cell in settings["cells"]:
        for shape, way in WAYS.items():
            name = f"{cell}, {way}"
            model = compose(cell, shape=shape)
            plan = plan_of(settings, seed, model)
            sizes = open_sizes(model, made, settings["hidden"], {"m": made.sizes["k"]})
            learned[name] = learn(model, made, plan, sizes, settings["steps"], label=name, progress=progress)
            found, right = spelled(learned[name].training)
            pairs = list(zip(found, right, strict=True))
            exact[name] = np.array([one == other for one, other in pairs])
            by_letter[name] = np.mean([_share(one, other) for one, other in pairs])
            shown[name] = "\n".join(f"{other}  →  {one}" for one, other in pairs[: settings["shown"]])
    method = (
        f"The numbers from 0 to {COUNT - 1}, their three digits as one vector at the first step only; "
        f"{settings['held_out']} numbers held out; the loss counts every letter, and the mark of the end up to the "
        f"longest name; {settings['steps']} steps of {settings['batch']} numbers. Nothing is given to the model but "
        "the first vector: fed back is its own softmax, through which the gradient passes"
    )
    found_all = gathered(learned, method)
    found_all = found_all.merge(proportion("exact", "unseen numbers spelled without a mistake", exact))
    found_all["letters"] = (
        "model",
        list(by_letter.values()),
        {"long_name": "right letters in the right place", "units": "1"},
    )
    found_all["written"] = ("model", list(shown.values()), {"long_name": "Unseen numbers: right → written"})
    told = [f"{name} {float(found_all.exact.sel(model=name)):.1%}" for name in exact]
    return found_all.assign_attrs(learned=f"Unseen numbers spelled without a mistake: {', '.join(told)}.")


def _share(found: str, right: str) -> float:
    """Return the share of letters, and of the mark of the end, that stand in the right place."""
    whole = right + END
    return float(np.mean([one == other for one, other in zip(found.ljust(len(whole), END), whole, strict=False)]))


SYSTEM = system("spelling", measure)
