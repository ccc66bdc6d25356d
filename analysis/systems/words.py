"""Word language models: a recurrent one, a neural one of a fixed window, and n-grams of the same words."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...derive.errors import Error
from ...derive.model import Model, load_model
from ..data import random_stream, text
from ..learning import language, ngrams
from ..learning.batches import Array, Batch, Task
from ..learning.language import Tokens
from .characters import language_model, written_by
from .learn import gathered, learn, plan_of
from .system import Progress, Settings, system

JUDGED = 4096  # windows that are judged at a time


def windows_task(model: Model, tokens: Tokens, *, batch: int, held_out: float, seed: int) -> Task:
    """Return the task of predicting a word from the few before it, for a model without steps.

    Args:
        model: reads one index for each word of its window, in order, and last the word to be predicted.
        tokens: of a text; the end is held out, and each of its words is predicted.
        batch: windows in a batch, drawn at random.
        held_out: share of the text.
        seed: of the draws.

    Raises:
        Error: where the model has steps or other inputs.
    """
    if model.inputs or model.axes or len(model.indices) < 2:
        raise Error(f"model {model.name} isn't one of a fixed window: it must read indices alone, without steps")
    names = list(model.indices)
    near = len(names) - 1
    learned, judged = language.split(tokens, held_out)
    judged = np.concatenate([learned[-near:], judged])

    def cut(sequence: Array, starts: Array) -> Batch:
        return Batch({name: sequence[starts + place] for place, name in enumerate(names)}, len(starts))

    def drawn(number: int) -> Batch:
        random = random_stream(seed, f"windows {number}")
        return cut(learned, random.integers(len(learned) - near, size=batch))

    def aside() -> list[Batch]:
        starts = np.arange(len(judged) - near)
        return [cut(judged, part) for part in np.array_split(starts, -(-len(starts) // JUDGED))]

    [size] = {dims[-1] for dims in model.indices.values()}
    return Task("next token in a window", {size: len(tokens.vocabulary)}, drawn, aside)


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Train a recurrent model and one of a fixed window on words, and count n-grams of them."""
    chars = text()
    cut = settings["characters"] or len(chars)
    tokens = language.of_words(type(chars)(chars.source, chars.vocabulary, chars.indices[:cut]), settings["at_least"])
    recurrent, fixed = language_model(settings["cell"]), load_model(settings["window_model"])
    told = {name: settings[name] for name in ("batch", "held_out")}
    tasks = {
        settings["cell"]: (recurrent, language.next_token(recurrent, tokens, window=settings["window"], **told)),
        "fixed window": (
            fixed,
            windows_task(
                fixed,
                tokens,
                batch=settings["batch"] * settings["window"],
                held_out=settings["held_out"],
                seed=seed,
            ),
        ),
    }
    learned = {
        label: learn(
            model,
            task,
            plan_of(settings, seed, model),
            settings["sizes"],
            settings["steps"],
            judge_every=settings["judge_every"],
            label=label,
            progress=progress,
        )
        for label, (model, task) in tasks.items()
    }
    counted, judged = language.split(tokens, settings["held_out"])
    grams = {f"{order}-gram": ngrams.count(counted, order, len(tokens.vocabulary)) for order in settings["orders"]}
    unknown = float(np.mean(tokens.indices == tokens.vocabulary.index(language.UNKNOWN)))
    method = (
        f"{tokens.source}: {len(tokens.indices):,} words, marks and line ends; {len(tokens.vocabulary):,} that occur "
        f"{settings['at_least']} times are told apart, {unknown:.1%} are unknown; words have learned vectors; the last "
        f"{settings['held_out']:.0%} held out; n-grams smoothed by Kneser–Ney"
    )
    found = gathered(learned, method).reindex(model=[*learned, *grams])
    losses = [float(one.measured.held_out.isel(step=-1)) for one in learned.values()]
    losses += [ngrams.cross_entropy(one, judged) for one in grams.values()]
    perplexity = np.exp(losses)
    found["perplexity"] = ("model", perplexity, {"long_name": "held-out perplexity", "units": "1"})
    nothing = [np.nan] * len(learned)
    about = {"long_name": "share of possible n-grams that occur in the text", "units": "1"}
    found["seen"] = ("model", [*nothing, *(one.seen for one in grams.values())], about)
    unseen = [unseen_share(counted, judged, one.order) for one in grams.values()]
    about = {"long_name": "held-out n-grams that never occurred", "units": "1"}
    found["unseen"] = ("model", [*nothing, *unseen], about)
    found["written"] = (
        ("model", "temperature"),
        [
            [written_by(learned.get(name), settings, seed, t) for t in settings["temperatures"]]
            for name in map(str, found.model.values)
        ],
        {"long_name": "What it writes"},
    )
    found = found.assign_coords(temperature=[f"temperature {t:g}" for t in settings["temperatures"]])
    parts = [f"{name}: {value:.1f}" for name, value in zip(map(str, found.model.values), perplexity, strict=True)]
    last = list(grams)[-1]
    says = f"Held-out perplexity {', '.join(parts)}; {unseen[-1]:.0%} of the held-out {last}s never occurred before."
    return found.assign_attrs(learned=says)


def unseen_share(counted: Array, judged: Array, order: int) -> float:
    """Return the share of n-grams of one text that don't occur in another.

    >>> unseen_share(np.array([0, 1, 0, 1]), np.array([0, 1, 1]), 2)
    0.5
    """
    before, asked = (
        [tuple(text[i : i + order]) for i in range(len(text) - order + 1)]
        for text in (counted.tolist(), judged.tolist())
    )
    seen = set(before)
    return sum(gram not in seen for gram in asked) / len(asked)


SYSTEM = system("words", measure)
