"""Images of two digits -> their names in letters: from one vector, with soft attention, and with hard attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np
import xarray as xr

from ...derive.model import Model, parse_model
from ...kernels import ModelKernel
from ..data import random_stream
from ..learning.batches import Array, Batch, Task
from ..learning.trainer import Training
from .examples import open_sizes, proportion
from .extras import Images, digit_images
from .learn import gathered, learn, plan_of
from .system import Progress, Settings, system

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
START, END = "<", "."
LETTERS = START + END + " " + "".join(sorted(set("".join(NAMES))))
LONGEST = max(len(f"{one} {two}{END}") for one in NAMES for two in NAMES)
HIGH, WIDE = 10, 20  # pixels of an image, with a margin of 1
SIDE, STRIDE = 6, 2  # of a patch, and from patch to patch
ROWS, COLUMNS = (HIGH - SIDE) // STRIDE + 1, (WIDE - SIDE) // STRIDE + 1


@dataclass(frozen=True)
class Scenes:
    """Images of two digits side by side, with their captions.

    Attributes:
        pixels: (images, HIGH, WIDE).
        written: (LONGEST, images), numbers of letters; the mark of the end up to the longest.
        spaces: (images,), the place of the space between both names.
    """

    pixels: Array
    written: Array
    spaces: Array


def scenes(images: Images, chosen: Array, random: np.random.Generator) -> Scenes:
    """Return images of two digits, each a pixel or two away from where one expects it.

    Args:
        images: of digits.
        chosen: (2, images), numbers of the left and of the right digit.
        random: for the places.
    """
    many = chosen.shape[1]
    pixels = np.zeros((many, HIGH, WIDE), np.float32)
    rows, columns = random.integers(3, size=(2, 2, many))
    for side, left in enumerate((0, HIGH)):
        for place in range(many):
            row, column = rows[side, place], left + columns[side, place]
            pixels[place, row : row + 8, column : column + 8] = images.pixels[chosen[side, place]]
    names = [[NAMES[digit] for digit in images.digits[side]] for side in chosen]
    texts = [f"{one} {two}".ljust(LONGEST, END) for one, two in zip(*names, strict=True)]
    written = np.array([[LETTERS.index(letter) for letter in text] for text in texts]).T
    return Scenes(pixels, np.ascontiguousarray(written), np.array([len(one) for one in names[0]]))


def patches(pixels: Array) -> Array:
    """Cut images into overlapping patches; a product with these is a convolution.

    Args:
        pixels: (images, HIGH, WIDE).

    Returns:
        (images, L, p): the pixels of each patch, and its row and column between -1 and 1.
    """
    cut = np.lib.stride_tricks.sliding_window_view(pixels, (SIDE, SIDE), (1, 2))[:, ::STRIDE, ::STRIDE]
    flat = cut.reshape(len(pixels), ROWS * COLUMNS, SIDE * SIDE)
    places = np.stack(np.meshgrid(np.linspace(-1, 1, ROWS), np.linspace(-1, 1, COLUMNS), indexing="ij"), axis=-1)
    beside = np.broadcast_to(places.reshape(1, -1, 2), (len(pixels), ROWS * COLUMNS, 2))
    return np.concatenate([flat, beside], axis=2).astype(np.float32)


def batch_of(told: Scenes) -> Batch:
    """Return images with their captions as a batch: the right letter before is given."""
    before = np.concatenate([np.full((1, told.written.shape[1]), LETTERS.index(START)), told.written[:-1]])
    return Batch({"P": patches(told.pixels), "w": before, "y": told.written}, told.written.size)


def task(images: Images, batch: int, held_out: int, seed: int) -> tuple[Task, Scenes]:
    """Return the task of writing captions, and the images that are judged, of digits that are held out."""

    def drawn(of: Array, many: int, name: str) -> Scenes:
        random = random_stream(seed, name)
        return scenes(images, random.choice(of, (2, many)), random)

    judged = drawn(images.held_out, held_out, "images judged")
    sizes = {"p": SIDE**2 + 2, "K": len(LETTERS)}
    made = Task(
        "captions",
        sizes,
        lambda number: batch_of(drawn(images.learned, batch, f"images {number}")),
        lambda: [batch_of(judged)],
    )
    return made, judged


def draws_places(model: Model) -> bool:
    """Return whether a model looks at one place at a time, which is drawn."""
    return "s" in model.indices


def with_places(kernel: ModelKernel, params: Mapping[str, Array], batch: Batch, random: np.random.Generator) -> Batch:
    """Return a batch with a place drawn for each letter, and by how much its loss was above that of others.

    The baseline of a sample is the mean over the other samples, which doesn't depend on its own draws.

    Args:
        kernel, params: of a model with an index s and an input r at each step.
        batch: without these.
        random: of the draws.
    """
    drawn, losses = [], []
    state: dict[str, Array] = {}
    steps, many = batch.inputs["y"].shape
    for step in range(steps):
        one = {name: batch.inputs[name][step : step + 1] for name in ("w", "y")} | {"P": batch.inputs["P"]}
        one |= {"s": np.zeros((1, many), np.intp), "r": np.zeros((1, many), kernel.dtype)}
        logits = kernel.forward(params, one, state).value("e")[0]
        # the largest of logits plus Gumbel noise is a draw from their softmax (Gumbel 1954)
        one["s"] = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)[None]
        run = kernel.forward(params, one, state)
        state = run.last()
        drawn.append(one["s"][0])
        losses.append(run.losses["loss"][0])
    later = np.cumsum(np.array(losses)[::-1], axis=0)[::-1]
    others = (later.sum(axis=1, keepdims=True) - later) / max(many - 1, 1)
    return replace(batch, inputs={**batch.inputs, "s": np.array(drawn), "r": (later - others).astype(kernel.dtype)})


def captioned(kernel: ModelKernel, params: Mapping[str, Array], pixels: Array) -> tuple[Array, Array]:
    """Return what a model writes by itself, each time the likeliest letter and place, and where it looks.

    Args:
        kernel, params: of a model.
        pixels: (B, HIGH, WIDE).

    Returns:
        (T, B), and the attention (T, B, L); (T, B, 0) for a model without.
    """
    many = len(pixels)
    inputs = {"P": patches(pixels), **{name: np.zeros((LONGEST, many), np.intp) for name in ("w", "y")}}
    inputs["w"][0] = LETTERS.index(START)
    hard = draws_places(kernel.model)
    if hard:
        inputs |= {"s": np.zeros((LONGEST, many), np.intp), "r": np.zeros((LONGEST, many), kernel.dtype)}
    for step in range(LONGEST):
        run = kernel.forward(params, inputs)
        if hard:
            inputs["s"][step] = run.value("e")[step].argmax(axis=1)
            run = kernel.forward(params, inputs)
        if step + 1 < LONGEST:
            inputs["w"][step + 1] = run.value("u")[step].argmax(axis=1)
    looks = any("alpha" in one.values for one in run.runs)
    return run.value("u").argmax(axis=2), run.value("alpha") if looks else np.zeros((LONGEST, many, 0))


def over_image(attention: Array) -> Array:
    """Spread weights of places over the pixels that the patches there cover, (..., L) -> (..., HIGH, WIDE)."""
    cover = np.zeros((ROWS * COLUMNS, HIGH, WIDE))
    for place in range(ROWS * COLUMNS):
        row, column = STRIDE * (place // COLUMNS), STRIDE * (place % COLUMNS)
        cover[place, row : row + SIDE, column : column + SIDE] = 1 / SIDE**2
    return np.tensordot(attention, cover, 1)


def looks_right(attention: Array, spaces: Array) -> float:
    """Return how much of the attention lies on the half of the image whose digit is being written.

    Args:
        attention: (T, B, L).
        spaces: (B,), places of the spaces between both names.
    """
    # half of the places lie left of the middle; what is left when a name's first letter is written counts too
    is_left = np.tile(np.arange(COLUMNS) < COLUMNS / 2, ROWS)
    left = attention[..., is_left].sum(axis=2)
    steps = np.arange(len(attention))[:, None]
    return float(np.concatenate([left[steps < spaces], 1 - left[steps == spaces + 1]]).mean())


def load(name: str) -> Model:
    """Return a model that stands beside this module."""
    return parse_model((resources.files(__package__) / f"{name}.model").read_text(encoding="utf-8"), name)


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Train the models, and let them write captions by themselves."""
    images = digit_images()
    made, judged = task(images, settings["batch"], settings["held_out"], seed)
    learned, exact, looked, maps, shown = {}, {}, {}, {}, {}
    right = _read(judged.written)

    def complete(training: Training, number: int | None, batch: Batch) -> Batch:
        random = random_stream(seed, "places judged" if number is None else f"places {number}")
        whole = with_places(training.kernel, training.params, batch, random)
        if number is None:
            return replace(whole, inputs={**whole.inputs, "r": np.zeros_like(whole.inputs["r"])})
        return whole

    for label, told in settings["models"].items():
        model = load(told["model"])
        learned[label] = learn(
            model,
            made,
            plan_of(settings, seed, model),
            open_sizes(model, made, settings["hidden"], settings["sizes"]),
            told["steps"],
            complete=complete if draws_places(model) else None,
            label=label,
            progress=progress,
        )
        training = learned[label].training
        codes, attention = captioned(training.kernel, training.params, judged.pixels)
        written = _read(codes)
        exact[label] = np.array([one == other for one, other in zip(written, right, strict=True)])
        pairs = list(zip(right, written, strict=True))[: settings["shown"]]
        shown[label] = "\n".join(f"{one}  →  {other}" for one, other in pairs)
        looked[label] = looks_right(attention, judged.spaces) if attention.size else np.nan
        if attention.size:
            maps[label] = attention[:, 0]
    steps = ", ".join(f"{label} {told['steps']}" for label, told in settings["models"].items())
    method = (
        f"Images of {HIGH}×{WIDE} pixels with two digits of scikit-learn, each in one of 9 positions; features: "
        f"a convolution of {SIDE}×{SIDE} pixels at {ROWS}×{COLUMNS} places, learned, with the place as two more "
        f"channels. Judged on {len(right)} images of digits held out; letters written are fed back, always the "
        f"likeliest. Steps of {settings['batch']} images: {steps}; Wilson intervals of 95 %. Hard attention: places "
        "drawn, score-function gradients with the loss of later letters against the mean of the other samples; its "
        "training loss counts that term too, its held-out loss doesn't"
    )
    found = gathered(learned, method).merge(proportion("exact", "captions without a mistake", exact))
    title = "attention on the half whose digit is written"
    found["looked"] = ("model", list(looked.values()), {"long_name": title, "units": "1"})
    found["captions"] = ("model", list(shown.values()), {"long_name": "Unseen images: right → written"})
    said = [f"{label} {float(found.exact.sel(model=label)):.1%}" for label in learned]
    return found.merge(_maps(judged, maps)).assign_attrs(learned=f"Captions without a mistake: {', '.join(said)}.")


def _read(written: Array) -> list[str]:
    """Return texts without the marks of the end."""
    return ["".join(LETTERS[code] for code in column).rstrip(END) for column in written.T]


def _maps(judged: Scenes, maps: Mapping[str, Array]) -> xr.Dataset:
    """Return for the first image where each model looks at each letter, over the image."""
    letters = _read(judged.written[:, :1])[0]
    count = len(letters)
    pictures = [f"{place}: {letter if letter != ' ' else 'space'}" for place, letter in enumerate(letters, 1)]
    dims, axes = ("letter", "row", "column"), {"letter": pictures}
    image = np.repeat(judged.pixels[:1].astype(float), count, axis=0)
    found = {"image": (dims, image, {"show": "hidden", "long_name": "the image", "units": "1"})}
    for label, attention in maps.items():
        about = {"show": "images", "over": "image", "long_name": f"{label}: where it looks", "units": "1"}
        found[f"map {label}"] = (dims, over_image(attention[:count].astype(float)), about)
    return xr.Dataset(found, axes)


SYSTEM = system("captions", measure)
