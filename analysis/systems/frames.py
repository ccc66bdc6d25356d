"""Moving digits: a label for every frame, where one frame alone says too little."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...derive.compose import compose
from ..data import random_stream
from ..learning.batches import Array, Batch, Task
from ..learning.trainer import Training, runs
from .examples import guesses, open_sizes, proportion
from .extras import Images, digit_images
from .learn import gathered, learn, plan_of
from .system import Progress, Settings, system

WIDE = 10  # pixels of a frame's side; a digit has 8
JUDGED = 400  # films
SHOWN = 12  # frames that are drawn


def films(
    images: Images, chosen: Array, frames: int, hidden: float, seed: int, name: str
) -> tuple[Array, Array, Array]:
    """Return films of moving digits, each frame with much of it hidden.

    A digit moves in a straight line and comes back from the edges. With a chance of 1 in 10 per frame another digit
    takes its place and course. Of each frame most pixels, drawn anew, are hidden: they are 0.

    Args:
        images: of digits.
        chosen: (films,), the image that each film begins with; what comes later is drawn from these too.
        frames: of a film.
        hidden: share of a frame's pixels that are hidden.
        seed, name: of the draws.

    Returns:
        Frames (frames, films, WIDE * WIDE), float32; labels (frames, films); age (frames, films), frames since the
        digit came.
    """
    random = random_stream(seed, name)
    many = len(chosen)
    found = np.zeros((frames, many, WIDE, WIDE), np.float32)
    labels, ages = np.zeros((2, frames, many), np.intp)
    room = WIDE - 8
    now, age = np.array(chosen), np.zeros(many, np.intp)
    place, way = random.integers(room + 1, size=(2, many)), random.choice([-1, 1], size=(2, many))
    for frame in range(frames):
        new = (random.random(many) < 0.1) & (frame > 0)
        now = np.where(new, random.choice(chosen, many), now)
        age = np.where(new, 0, age)
        for film in range(many):
            row, column = place[:, film]
            found[frame, film, row : row + 8, column : column + 8] = images.pixels[now[film]]
        labels[frame], ages[frame] = images.digits[now], age
        way = np.where(place + way > room, -1, np.where(place + way < 0, 1, way))
        place, age = place + way, age + 1
    found *= random.random(found.shape) >= hidden
    return found.reshape(frames, many, -1), labels, ages


def task(images: Images, settings: Settings, seed: int) -> Task:
    """Return the task of naming the digit in each frame; the films that are judged show images of their own."""
    frames, batch, hidden = settings["frames"], settings["batch"], settings["hidden_share"]

    def drawn(chosen: Array, name: str) -> Batch:
        x, y, _ = films(images, chosen, frames, hidden, seed, name)
        return Batch({"x": x, "y": y}, y.size)

    def step(number: int) -> Batch:
        chosen = random_stream(seed, f"first images {number}").choice(images.learned, batch)
        return drawn(chosen, f"films {number}")

    judged = np.resize(images.held_out, JUDGED)
    return Task("frames", {"m": WIDE * WIDE, "k": 10}, step, lambda: [drawn(judged, "films judged")])


def alone(training: Training) -> Array:
    """Return which frames are named rightly when each is a film of its own: by a model that can't remember."""
    right = []
    for batch, _ in runs(training, training.task.held_out()):
        steps, many = batch.inputs["y"].shape
        single = {name: array.reshape(1, steps * many, *array.shape[2:]) for name, array in batch.inputs.items()}
        run = training.kernel.forward(training.params, single)
        right.append((run.value("u")[0].argmax(axis=1) == single["y"][0]).reshape(steps, many))
    return np.concatenate(right, axis=1)


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Train a labeller around each cell, and one that sees each frame alone."""
    images = digit_images()
    made = task(images, settings, seed)
    single = task(images, {**settings, "frames": 1, "batch": settings["batch"] * settings["frames"]}, seed)
    learned, right = {}, {}
    for place, cell in enumerate(settings["cells"]):
        model = compose(cell)
        plan = plan_of(settings, seed, model)
        sizes = open_sizes(model, made, settings["hidden"])
        learned[cell] = learn(model, made, plan, sizes, settings["steps"], label=cell, progress=progress)
        guessed, expected = guesses(learned[cell].training)
        right[cell] = guessed == expected
        if not place:
            name = f"{cell}, one frame at a time"
            one = learn(model, single, plan, sizes, settings["steps"], label=name, progress=progress)
            one.training.task = made
            learned[name] = one
            right[name] = alone(one.training)
    method = (
        f"Films of {settings['frames']} frames of {WIDE}×{WIDE} pixels: a digit of scikit-learn moves in straight "
        f"lines and is replaced by another with a chance of 10 % per frame; {settings['hidden_share']:.0%} of the "
        f"pixels of each frame are hidden. Judged on {JUDGED} films of images held out; {settings['steps']} steps of "
        f"{settings['batch']} films; intervals are Wilson's for so many films, as frames of one film depend"
    )
    found = gathered(learned, method)
    found = found.merge(_per_film(right)).merge(_by_age(images, settings, seed, right))
    found["film"] = _shown(made)
    told = [f"{name} {float(found.accuracy.sel(model=name)):.1%}" for name in right]
    return found.assign_attrs(learned=f"Frames of unseen digits named rightly: {', '.join(told)}; chance is 10 %.")


def _per_film(right: dict[str, Array]) -> xr.Dataset:
    """Return accuracy per frame, with the interval that as many films as there are would have with a frame each."""
    frame = {name: told.mean(axis=0) for name, told in right.items()}
    return proportion("accuracy", "accuracy per frame", frame)


def _by_age(images: Images, settings: Settings, seed: int, right: dict[str, Array]) -> xr.Dataset:
    judged = np.resize(images.held_out, JUDGED)
    *_, ages = films(images, judged, settings["frames"], settings["hidden_share"], seed, "films judged")
    oldest = min(10, settings["frames"])
    values = [[told[ages == age].mean() for age in range(oldest)] for told in right.values()]
    about = {"long_name": "accuracy by frames since the digit came", "units": "1"}
    seen = xr.Variable("seen", np.arange(1, oldest + 1), {"long_name": "frames of this digit seen", "units": "frames"})
    return xr.Dataset({"by_age": (("model", "seen"), np.array(values), about)}, {"model": list(right), "seen": seen})


def _shown(made: Task) -> xr.DataArray:
    """Return the first frames of a film as pictures."""
    [batch] = made.held_out()
    count = min(SHOWN, len(batch.inputs["y"]))
    pictures = batch.inputs["x"][:count, 0].reshape(count, WIDE, WIDE).astype(float)
    labels = [f"{place + 1}: {digit}" for place, digit in enumerate(batch.inputs["y"][:count, 0])]
    about = {"show": "images", "long_name": "A film, each frame with its label", "units": "1"}
    return xr.DataArray(pictures, {"picture": labels}, ("picture", "row", "column"), attrs=about)


SYSTEM = system("frames", measure)
