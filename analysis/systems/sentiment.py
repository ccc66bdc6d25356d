"""Praise or blame: short texts in, one class out; what a model makes of negation, in templates that it never saw."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...derive.compose import compose
from ..learning.batches import Array, Batch, Task, examples
from . import opinions
from .examples import guesses, open_sizes, proportion
from .learn import gathered, learn, plan_of
from .opinions import Opinions
from .system import Progress, Settings, system

COUNTED = "words counted (least squares, no order)"


def task(learned: Opinions, held_out: Opinions, batch: int, seed: int) -> Task:
    """Return the task of telling praise from blame after the last word."""
    longest = max(learned.words.shape[1], held_out.words.shape[1])
    parts = (learned, held_out)
    words = np.concatenate([np.pad(p.words, ((0, 0), (0, longest - p.words.shape[1]))) for p in parts])
    lengths, classes = (np.concatenate([getattr(p, name) for p in parts]) for name in ("lengths", "classes"))
    first = len(learned.classes)

    def take(chosen: Array) -> Batch:
        many = lengths[chosen]
        x = np.ascontiguousarray(words[chosen, : many.max()].T)
        return Batch({"x": x, "y": classes[chosen]}, len(chosen), lengths={"T": many})

    numbers = np.arange(len(classes))
    sizes = {"V": len(opinions.vocabulary()), "k": len(opinions.CLASSES)}
    return examples("opinions", sizes, take, numbers[:first], numbers[first:], batch, seed)


def of_one_length(told: Opinions) -> Batch:
    """Return the sentences of the length that is most frequent: gradients at every lag are then of the same ones."""
    length = int(np.bincount(told.lengths).argmax())
    chosen = np.flatnonzero(told.lengths == length)
    return Batch({"x": np.ascontiguousarray(told.words[chosen, :length].T), "y": told.classes[chosen]}, len(chosen))


def by_count(learned: Opinions, held_out: Opinions) -> Array:
    """Return which sentences a linear function of the counts of words gets right, fitted by least squares."""

    def counts(told: Opinions) -> Array:
        found = np.zeros((len(told.classes), len(opinions.vocabulary())))
        np.add.at(found, (np.arange(len(found))[:, None], told.words), 1)
        found[:, 0] = 1  # an offset, in the place of what is past the end
        return found

    weights, *_ = np.linalg.lstsq(counts(learned), 2 * learned.classes - 1, rcond=None)
    return (counts(held_out) @ weights > 0) == held_out.classes.astype(bool)


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Train a reader around each cell, and judge it on templates that were held out."""
    known = opinions.opinions(opinions.LEARNED, settings["learned"], seed, "learned")
    unseen = opinions.opinions(opinions.HELD_OUT, settings["held_out"], seed, "held out")
    made = task(known, unseen, settings["batch"], seed)
    probe = of_one_length(unseen)
    learned, right = {}, {}
    for cell in settings["cells"]:
        model = compose(cell, shape="many-to-one", embedding=True)
        plan = plan_of(settings, seed, model)
        sizes = open_sizes(model, made, settings["hidden"], settings["sizes"])
        learned[cell] = learn(model, made, plan, sizes, settings["steps"], probe=probe, label=cell, progress=progress)
        guessed, expected = guesses(learned[cell].training)
        right[cell] = guessed == expected
    right[COUNTED] = by_count(known, unseen)
    method = (
        f"Sentences of a grammar written for this page, not of people: {len(opinions.LEARNED)} templates to learn from "
        f"({settings['learned']} sentences), {len(opinions.HELD_OUT)} others held out ({settings['held_out']} "
        f"sentences), among them negation and double negation; {settings['steps']} steps of {settings['batch']}; "
        "Wilson intervals of 95 %, which leave out that templates differ"
    )
    found = gathered(learned, method).reindex(model=list(right))
    found = found.merge(proportion("accuracy", "accuracy on unseen templates", right))
    found["by_template"] = _by_template(unseen, right)
    told = [f"{name} {float(found.accuracy.sel(model=name)):.1%}" for name in right]
    return found.assign_attrs(learned=f"Right on templates never seen: {', '.join(told)}; chance is 50 %.")


def _by_template(unseen: Opinions, right: dict[str, Array]) -> xr.DataArray:
    rows = [template.text.replace("{", "").replace("}", "") for template in opinions.HELD_OUT]
    values = [[told[unseen.templates == place].mean() for told in right.values()] for place in range(len(rows))]
    about = {"show": "table", "long_name": "Accuracy by unseen template", "units": "1"}
    axes = {"template": rows, "reader": list(right)}
    return xr.DataArray(np.array(values), axes, ("template", "reader"), attrs=about)


SYSTEM = system("sentiment", measure)
