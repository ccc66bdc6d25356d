"""Digits read pixel by pixel: many steps in, one class out, and the gradient on its way back to the first pixel."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...derive.compose import compose
from ..learning.batches import Array, Batch, Task, examples
from .examples import guesses, open_sizes, proportion
from .extras import Images, digit_images
from .learn import gathered, learn, plan_of
from .system import Progress, Settings, system

TEMPLATES = "the nearest mean image (sees all pixels at once)"


def task(images: Images, at_a_time: int, batch: int, seed: int) -> Task:
    """Return the task of naming a digit after its pixels were read row by row.

    Args:
        images: of digits.
        at_a_time: pixels of a step, a divisor of 64: 1 for 64 steps.
        batch, seed: as in `examples`.
    """
    rows = images.pixels.reshape(len(images.pixels), -1, at_a_time)

    def take(chosen: Array) -> Batch:
        x = np.ascontiguousarray(rows[chosen].swapaxes(0, 1))
        return Batch({"x": x, "y": images.digits[chosen]}, len(chosen))

    return examples("digits", {"m": at_a_time, "k": 10}, take, images.learned, images.held_out, batch, seed)


def nearest_mean(images: Images) -> Array:
    """Return which of the held-out images lie nearest to the mean image of their own class."""
    flat = images.pixels.reshape(len(images.pixels), -1)
    known, digits = flat[images.learned], images.digits[images.learned]
    means = np.array([known[digits == digit].mean(axis=0) for digit in range(10)])
    distances = ((flat[images.held_out][:, None] - means) ** 2).sum(axis=2)
    return distances.argmin(axis=1) == images.digits[images.held_out]


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Train a classifier around each cell."""
    images = digit_images()
    made = task(images, settings["at_a_time"], settings["batch"], seed)
    learned, right = {}, {}
    for cell in settings["cells"]:
        model = compose(cell, shape="many-to-one")
        plan = plan_of(settings, seed, model)
        sizes = open_sizes(model, made, settings["hidden"])
        learned[cell] = learn(model, made, plan, sizes, settings["steps"], label=cell, progress=progress)
        guessed, expected = guesses(learned[cell].training)
        right[cell] = guessed == expected
    right[TEMPLATES] = nearest_mean(images)
    steps, count = 64 // settings["at_a_time"], len(images.held_out)
    method = (
        f"1797 handwritten digits of 8×8 pixels (scikit-learn), {settings['at_a_time']} at a time in {steps} steps; "
        f"{count} images held out; {settings['steps']} steps of {settings['batch']} images; Wilson intervals of 95 %"
    )
    found = gathered(learned, method).reindex(model=list(right))
    found = found.merge(proportion("accuracy", "accuracy on held-out images", right))
    told = [f"{cell} {float(found.accuracy.sel(model=cell)):.1%}" for cell in learned]
    sentence = f"Of {count} unseen digits, read in {steps} steps, are named rightly: {', '.join(told)}; chance is 10 %."
    return found.assign_attrs(learned=sentence)


SYSTEM = system("pixels", measure)
