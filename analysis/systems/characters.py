"""Character language models of several cells, beside a Kneser–Ney n-gram of the same text."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...derive.compose import compose
from ...derive.model import Model, parse_model
from ..data import text
from ..learning import language, ngrams
from ..learning.language import Tokens
from .learn import Learned, gathered, learn, plan_of, used
from .system import Progress, Settings, system


def language_model(cell: str) -> Model:
    """Return a language model around a cell, with learned vectors of the tokens.

    >>> language.roles(language_model("lstm")).logits
    'u'
    """
    return parse_model(compose(cell, embedding=True).text, cell)


def first_part(settings: Settings) -> Tokens:
    """Return the characters of Python's own help topics, or the first of them."""
    tokens = language.of_characters(text())
    kept = tokens.indices[: settings["characters"] or None]
    return Tokens(tokens.source, tokens.vocabulary, kept, tokens.joint)


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Train a language model around each cell, and count n-grams of the same text."""
    tokens = first_part(settings)
    told = {name: settings[name] for name in ("window", "batch", "held_out")}
    learned = {}
    for cell, own in settings["cells"].items():
        model = language_model(cell)
        task = language.next_token(model, tokens, **told, noised=own["noised"], seed=seed)
        plan = {**settings["plan"], "fall": own["steps"], "decay": own["decay"]}
        learned[cell] = learn(
            model,
            task,
            plan_of({"plan": plan}, seed, model),
            {**settings["sizes"], "n": own["n"]},
            own["steps"],
            judge_every=settings["judge_every"],
            label=cell,
            progress=progress,
        )
    found = beside_counts(learned, tokens, settings)
    temperatures = settings["temperatures"]
    found["written"] = (
        ("model", "temperature"),
        [[written_by(learned.get(str(name)), settings, seed, t) for t in temperatures] for name in found.model.values],
        {"long_name": "What it writes"},
    )
    return found.assign_coords(temperature=[f"temperature {t:g}" for t in temperatures])


def beside_counts(learned: dict[str, Learned], tokens: Tokens, settings: Settings) -> xr.Dataset:
    """Return what was measured of language models, with a row for the n-gram, and the perplexity of all."""
    order = settings["order"]
    counted, judged = language.split(tokens, settings["held_out"])
    grams = ngrams.count(counted, order, len(tokens.vocabulary))
    label = f"{order}-gram (Kneser–Ney)"
    method = (
        f"{tokens.source}, {len(tokens.indices):,} tokens of {len(tokens.vocabulary)} kinds, the last "
        f"{settings['held_out']:.0%} held out; windows of {settings['window']} with the state carried on (truncated "
        f"BPTT), {settings['batch']} streams; judged with averaged parameters; "
        + "; ".join(_how(cell, own) for cell, own in settings["cells"].items())
    )
    found = gathered(learned, method).reindex(model=[*learned, label])
    losses = [float(one.measured.held_out.isel(step=-1)) for one in learned.values()]
    perplexity = np.exp([*losses, ngrams.cross_entropy(grams, judged)])
    found["perplexity"] = ("model", perplexity, {"long_name": "held-out perplexity", "units": "1"})
    said = ", ".join(f"{name} {value:.3f}" for name, value in zip(found.model.values, perplexity, strict=True))
    sparse = f"of all possible {order}-grams the text has {grams.seen:.2g}"
    return found.assign_attrs(learned=f"Held-out perplexity: {said}; {sparse}.")


def _how(cell: str, own: Settings) -> str:
    """Return how a model of a cell was trained."""
    told = f"{cell}: {own['n']} units, {own['steps']} steps"
    noised = f", {own['noised']:.0%} of the tokens noised" if own["noised"] else ""
    return told + noised + (f", weights decay by {own['decay']:g} of the rate" if own["decay"] else "")


def written_by(learned: Learned | None, settings: Settings, seed: int, temperature: float) -> str:
    """Return what a language model writes; nothing for what isn't one that goes on from step to step."""
    if learned is None or not learned.training.kernel.model.axes:
        return ""
    training = learned.training
    tokens = language.generate(
        training.kernel,
        used(training),
        training.task.about,
        length=settings["written"],
        temperature=temperature,
        seed=seed,
    )
    return language.joined(tokens, training.task.about["joint"])


SYSTEM = system("characters", measure)
