"""Depth: language models of one to four layers, and restoring letters with one direction of time or both."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import xarray as xr

from ...derive.compose import compose
from ...derive.model import Model, parse_model
from ..data import random_stream
from ..learning import language
from ..learning.batches import Array, Batch, Task, streams
from ..learning.language import Tokens
from .characters import first_part
from .learn import MOMENTS, gathered, learn, plan_of
from .system import Progress, Settings, system

LAYER = re.compile(r"    ([\w, ]+) = \w+\(")  # a cell that is called, and the states that it gives
LOOP = "for t in range(T):"
JUDGED = 16  # sequences that are judged


def layered(cell: str, layers: int) -> Model:
    """Return a language model of several layers, each in a loop of its own, so that states have all their readers.

    >>> print(layered("rnn", 2).text.partition("layer2: rnn")[2], end="")
    <BLANKLINE>
    for t in range(T):
        h__layer1 = layer1(E[x[t]])
    for t in range(T):
        h__layer2 = layer2(h__layer1[t])
    for t in range(T):
        u = W_hy @ h__layer2[t] + b_y
        loss += cross_entropy(u, y[t])
    """
    text = compose(cell, layers=layers, embedding=True).text
    head, _, body = text.partition(f"{LOOP}\n")
    loops: list[str] = []
    states: set[str] = set()
    for line in body.splitlines():
        calls = LAYER.match(line)
        if calls or (loops and LAYER.match(loops[-1])):
            loops.append(LOOP)
        earlier = re.compile(r"\b(" + "|".join(sorted(states) or [" "]) + r")\b")
        loops.append(earlier.sub(r"\1[t]", line))
        states |= set(re.findall(r"\w+", calls[1])) if calls else set()
    return parse_model("\n".join([head.rstrip(), *loops]), f"{cell}_{layers}")


def restoring(cell: str, both: bool) -> Model:
    """Return a model that reads tokens and says at each step which one stands there.

    >>> [len(restoring("rnn", both).blocks) for both in (False, True)]
    [1, 3]
    """
    name = f"{cell}_{'both_directions' if both else 'forwards'}"
    return parse_model(compose(cell, embedding=True, bidirectional=both).text, name)


def blanks_task(model: Model, tokens: Tokens, settings: Settings, seed: int) -> Task:
    """Return the task of restoring letters that were blanked, a share of them drawn at random."""
    learned, judged = language.split(tokens, settings["held_out"])
    window, batch, share = settings["window"], settings["batch"], settings["blanks"]
    blank = len(tokens.vocabulary)
    [term] = [name for block in model.blocks for name in block.losses]
    laid, windows = streams(learned, batch, window)
    aside, judged_windows = streams(judged, JUDGED, window)

    def cut(stream: Array, number: int, purpose: str) -> Batch:
        here = stream[number * window : (number + 1) * window]
        hidden = random_stream(seed, purpose).random(here.shape) < share
        hidden[window // 2] = True
        weight = {term: hidden.astype(float)}
        return Batch({"x": np.where(hidden, blank, here), "y": here}, int(hidden.sum()), weight)

    return Task(
        "restore blanks",
        {dims[-1]: blank + 1 for dims in model.indices.values()},
        lambda number: cut(laid, number % windows, f"blanks {number}"),
        lambda: [cut(aside, number, f"judged blanks {number}") for number in range(judged_windows)],
    )


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Train models of each depth on the next letter, and models of one and of both directions on blanked letters."""
    tokens = first_part(settings)
    cell = settings["cell"]
    told = {name: settings[name] for name in ("window", "batch", "held_out")}
    models: dict[str, tuple[Model, Task, dict[str, Any]]] = {}
    for layers in settings["layers"]:
        model = layered(cell, layers)
        sizes = {name: settings["sizes"][name[0]] for name in _free(model)}
        models[f"{layers} layer{'s' * (layers > 1)}"] = model, language.next_token(model, tokens, **told), sizes
    for both in (False, True):
        model = restoring(cell, both)
        sizes = {name: settings["sizes"][name[0]] for name in _free(model)}
        task = blanks_task(model, tokens, settings, seed)
        models["blanks, both directions" if both else "blanks, forwards"] = model, task, sizes
    learned = {
        label: learn(
            model,
            task,
            plan_of(settings, seed, model),
            sizes,
            settings["steps"],
            at=settings["window"] // 2 if label.startswith("blanks") else None,
            label=label,
            progress=progress,
        )
        for label, (model, task, sizes) in models.items()
    }
    deepest = max(settings["layers"])
    shown = [label for label in learned if label.startswith((f"{deepest} ", "blanks, both"))]
    texts = {label: learned[label].training.kernel.model.text for label in shown}
    method = (
        f"{tokens.source}, {len(tokens.indices):,} characters, the last {settings['held_out']:.0%} held out; "
        f"{settings['steps']} steps. With blanks, {settings['blanks']:.0%} of the letters are hidden and restored; a "
        "model of both directions may look at what follows; the gradient is that of the letter in the middle"
    )
    found = gathered(learned, method, texts)
    found["perplexity"] = np.exp(found.held_out.isel(step=-1, drop=True))
    found.perplexity.attrs.update(long_name="held-out perplexity", units="1")
    for moment, name in zip(MOMENTS, ("before", "after"), strict=True):
        rows = [_by_layer(one.measured.flow.sel(moment=moment), deepest) for one in learned.values()]
        rows = [
            row if not label.startswith("blanks") else np.full(deepest, np.nan)
            for row, label in zip(rows, learned, strict=True)
        ]
        about = {"long_name": moment, "figure": "ln of gradient norm, over that at the last layer", "units": "nats"}
        found[f"by_layer_{name}"] = (("model", "layer"), rows, about)
        first = [np.exp(row[0]) for row in rows]
        about = {"long_name": f"gradient that reaches the first layer, {moment}", "units": "1"}
        found[f"first_layer_{name}"] = ("model", first, about)
    found = found.assign_coords(layer=("layer", np.arange(1, deepest + 1), {"long_name": "layer, from the input"}))
    perplexity = {
        str(name): float(value) for name, value in zip(found.model.values, found.perplexity.values, strict=True)
    }
    last = f"{deepest} layers"
    share = [float(found[f"first_layer_{name}"].sel(model=last)) for name in ("before", "after")]
    says = (
        f"Of the gradient at the last of {deepest} layers, {share[0]:.2g} times its norm reaches the first before and "
        f"{share[1]:.2g} after training. Held-out perplexity: "
        + ", ".join(f"{name} {value:.2f}" for name, value in perplexity.items())
    )
    return found.assign_attrs(learned=f"{says}.")


def _free(model: Model) -> list[str]:
    """Return the dimensions that the data leave open: those of parameters, less the vocabulary."""
    vocabulary = {dims[-1] for dims in model.indices.values()}
    sizes = [part for dims in model.params.values() for part in re.findall(r"[A-Za-z_]\w*", " ".join(dims))]
    return [name for name in dict.fromkeys(sizes) if name not in vocabulary]


def _by_layer(flow: xr.DataArray, deepest: int) -> Array:
    """Return for each layer the ln of the gradient's norm at the step of the loss, over that at the last layer."""
    values = np.full(deepest, np.nan)
    outputs = [str(state) for state in flow.state.values if str(state).startswith(str(flow.state.values[0])[0])]
    for place, state in enumerate(outputs[:deepest]):
        values[place] = float(flow.sel(state=state).isel(lag=0))
    return values - values[len(outputs[:deepest]) - 1]


SYSTEM = system("depth", measure)
