"""Hello: a word as a sequence of one-hot vectors, learned by heart; every number of its forward and backward pass."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ...derive.model import load_model
from ...kernels import ModelKernel
from ..data import one_hot
from ..learning.batches import Array, Batch, Task
from .learn import MOMENTS, gathered, learn, plan_of, used
from .system import Progress, Settings, system


def task(word: str) -> tuple[Task, str]:
    """Return the task of predicting each next letter of a word, and its letters in order of appearance.

    >>> made, letters = task("hello")
    >>> letters, made.batch(0).inputs["y"].ravel().tolist()
    ('helo', [1, 2, 2, 3])
    """
    letters = "".join(dict.fromkeys(word))
    numbers = np.array([letters.index(letter) for letter in word])[:, None]
    inputs = {"x": one_hot(numbers[:-1], len(letters)), "y": numbers[1:]}
    batch = Batch(inputs, len(word) - 1)
    return Task("next letter", {}, lambda number: batch, lambda: [batch], {"letters": letters}), letters


def spelled(kernel: ModelKernel, params: Mapping[str, Array], letters: str, first: str, length: int) -> str:
    """Return what a model writes after its first letter, each time the likeliest next one, fed back."""
    written = first
    state: dict[str, Array] = {}
    for _ in range(length - 1):
        place = np.array([[letters.index(written[-1])]])
        run = kernel.forward(params, {"x": one_hot(place, len(letters)), "y": place}, state)
        state = run.last()
        written += letters[int(np.argmax(run.value("u")[-1, 0]))]
    return written


def every_number(kernel: ModelKernel, params: Mapping[str, Array], batch: Batch, letters: str) -> xr.Dataset:
    """Return all numbers of one forward and backward pass of the summed loss.

    Returns:
        `steps` over (entry, pair of letters): x, h, the logits u, the probabilities p, the loss, and its derivatives in
        u and in h: what comes from the output u, what from the next step, and their sum;
        `gradients` over (row, column): those of the parameters, a row of a matrix, or a vector, in each row.
    """
    run = kernel.forward(params, batch.inputs)
    grads = kernel.backward(run)
    logits = run.value("u")[:, 0]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    targets = batch.inputs["y"][:, 0]
    # the derivative of the cross-entropy in its logits: softmax less the one-hot target
    of_logits = p - one_hot(targets[:, None], len(letters))[:, 0]
    of_output, of_next = of_logits @ params["W_hy"], grads.states["h"][:, 0]
    parts = {
        "x": batch.inputs["x"][:, 0],
        "h": run.value("h")[:, 0],
        "u": logits,
        "p": p,
        "loss": sum(term[:, :1] for term in run.losses.values()),
        "dL/du": of_logits,
        "dL/dh by u": of_output,
        "dL/dh by t+1": of_next,
        "dL/dh": of_output + of_next,
    }
    entries = [name if name == "loss" else f"{name}[{k}]" for name, part in parts.items() for k in range(part.shape[1])]
    read = batch.inputs["x"][:, 0].argmax(axis=1)
    pairs = zip(read, targets, strict=True)
    steps = [f"t = {t}: {letters[x]} → {letters[y]}" for t, (x, y) in enumerate(pairs, 1)]
    rows = {
        f"{name}[{k}]" if array.ndim > 1 else name: row
        for name, array in grads.params.items()
        for k, row in enumerate(np.atleast_2d(array))
    }
    width = max(map(len, rows.values()))
    padded = [np.pad(row, (0, width - len(row)), constant_values=np.nan) for row in rows.values()]
    return xr.Dataset(
        {
            "steps": (("entry", "pair"), np.concatenate([part.T for part in parts.values()])),
            "gradients": (("row", "column"), np.array(padded)),
        },
        {"entry": entries, "pair": steps, "row": list(rows), "column": [f"[{k}]" for k in range(width)]},
    )


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Learn a word by heart, and return every number before and after."""
    word = str(settings["word"])
    made, letters = task(word)
    model = load_model(settings["model"])
    plan = plan_of(settings, seed, model)
    learned = learn(
        model, made, plan, settings["sizes"], settings["steps"], dtype="float64", label="hello", progress=progress
    )
    kernel, params = learned.training.kernel, used(learned.training)
    found = gathered(
        {model.name: learned}, f"one-hot letters, {settings['steps']} steps of {plan.optimiser}, all letters in each"
    )
    for moment, numbers in zip(MOMENTS, (learned.initial, params), strict=True):
        tables = every_number(kernel, numbers, made.batch(0), letters)
        place = MOMENTS.index(moment)
        for name, title in (("steps", "the pass through time"), ("gradients", "gradients of the parameters")):
            about = {"show": "table", "long_name": f"Every number of {title}, {moment}", "units": "1"}
            about |= {"only": "sheet"} if (place, name) == (0, "steps") else {}
            found[f"{name}_{place}"] = tables[name].assign_attrs(about)
    written = spelled(kernel, params, letters, word[0], len(word))
    found["written"] = ("model", [written], {"long_name": f"What it writes after '{word[0]}'"})
    loss = float(found.held_out.isel(model=0, step=-1))
    return found.assign_attrs(learned=f"The loss falls to {loss:.4f} nats a letter, and it writes '{written}'.")


SYSTEM = system("hello", measure)
