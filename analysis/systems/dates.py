"""Sequence to sequence: dates as they are written in several languages -> ISO 8601, with and without attention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ...derive.model import Model, load_model
from ...kernels import ModelKernel
from ..learning.batches import Array, Batch, Task, examples
from ..learning.trainer import Training
from .calendars import ISO, START, Dates, dates
from .examples import open_sizes, proportion
from .learn import MOMENTS, gathered, learn, plan_of
from .system import Progress, Settings, system

PROBED = 64  # dates on which gradients are measured
FAINTEST = -12.0  # of a log norm that is drawn


def task(told: Dates, learned: Array, held_out: Array, batch: int, seed: int) -> Task:
    """Return the task of writing each next character of a date in ISO 8601, given the right ones before it."""
    starts = np.full((1, told.iso.shape[1]), ISO.index(START))
    before = np.concatenate([starts, told.iso[:-1]])

    def take(chosen: Array) -> Batch:
        parts = {"w": told.read, "v": before, "y": told.iso}
        inputs = {name: np.ascontiguousarray(array[:, chosen]) for name, array in parts.items()}
        return Batch(inputs, inputs["y"].size)

    return examples("dates", {"V": len(told.alphabet), "K": len(ISO)}, take, learned, held_out, batch, seed)


def translated(kernel: ModelKernel, params: dict[str, Array], read: Array, steps: int) -> tuple[Array, Array]:
    """Return what a model writes by itself, each time the likeliest character, and where it looks.

    Args:
        kernel, params: of a model with an index w that is read, v that is given and y that is predicted.
        read: (S, B).
        steps: T.

    Returns:
        (T, B), and the attention (T, B, S); (T, B, 0) for a model without.
    """
    given = np.zeros((steps, read.shape[1]), np.intp)
    given[0] = ISO.index(START)
    run = kernel.forward(params, {"w": read, "v": given, "y": given})
    for step in range(steps - 1):
        given[step + 1] = run.value("u")[step].argmax(axis=1)
        run = kernel.forward(params, {"w": read, "v": given, "y": given})
    looks = any("alpha" in one.values for one in run.runs)
    attention = run.value("alpha") if looks else np.zeros((*given.shape, 0))
    return run.value("u").argmax(axis=2), attention


def sent_back(model: Model, training: Training, params: dict[str, Array], batch: Batch) -> Array:
    """Return how much of each written character's loss reaches each step of the encoder.

    Returns:
        (T, S): the norm of dL_t/dh_s, the mean over dates.
    """
    kernel = training.kernel
    run = kernel.forward(params, batch.inputs)
    encoder = model.blocks[0]
    state = next(name for name in encoder.cell.states if name in encoder.outputs)
    found = []
    for step in range(len(batch.inputs["y"])):
        weight = np.zeros((len(batch.inputs["y"]), run.batch))
        weight[step] = 1
        gradient = kernel.backward(run, {"loss": weight}).states[state]
        found.append(np.linalg.norm(gradient, axis=2).mean(axis=1))
    return np.array(found, float)


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Train the models, and let them write dates by themselves."""
    told, known, unseen = dates(settings["locales"], settings["learned"], settings["held_out"], seed)
    made = task(told, known, unseen, settings["batch"], seed)
    learned, exact, maps, reach, shown = {}, {}, {}, {}, {}
    drawn = np.flatnonzero(np.isin(told.locales[unseen], settings["shown_locales"]))
    parts = made.held_out()[0].inputs
    batch = Batch({name: np.ascontiguousarray(array[:, :PROBED]) for name, array in parts.items()}, 10 * PROBED)
    for label, name in settings["models"].items():
        model = load_model(name)
        plan = plan_of(settings, seed, model)
        sizes = open_sizes(model, made, settings["hidden"], settings["sizes"])
        learned[label] = learn(model, made, plan, sizes, settings["steps"], probe=batch, label=label, progress=progress)
        training = learned[label].training
        written, attention = translated(training.kernel, training.params, told.read[:, unseen], len(told.iso))
        right = told.iso[:, unseen]
        exact[label] = (written == right).all(axis=0)
        shown[label] = _listing(told, unseen, written, exact[label], drawn, settings["shown"])
        if attention.size:
            maps[label] = attention[:, drawn[0]]
        for moment, params in zip(MOMENTS, (learned[label].initial, training.params), strict=True):
            reach[f"{label}, {moment}"] = sent_back(model, training, params, batch)
    method = (
        f"Days from 1900 to 2099 as {', '.join(settings['locales'])} write them in their full, long and medium formats "
        f"(Babel, CLDR): {settings['learned']} dates to learn from; {settings['held_out']} of days never learned from, "
        f"in any format. Written characters are fed back, always the likeliest. {settings['steps']} steps of "
        f"{settings['batch']} dates; Wilson intervals of 95 %"
    )
    found = gathered(learned, method).merge(proportion("exact", "unseen dates without a mistake", exact))
    found["by_locale"] = _by_locale(told, unseen, exact)
    found["written"] = ("model", list(shown.values()), {"long_name": "Unseen dates, as they are written"})
    if maps:
        found["attention"] = _attention(told.written[unseen[drawn[0]]], told.iso[:, unseen[drawn[0]]], maps)
    found["sent_back"] = _sent_back(reach)
    told_exact = [f"{label} {float(found.exact.sel(model=label)):.1%}" for label in learned]
    return found.assign_attrs(learned=f"Unseen dates without a mistake: {', '.join(told_exact)}.")


def _listing(told: Dates, unseen: Array, written: Array, exact: Array, drawn: Array, count: int) -> str:
    """Return some dates that a model wrote, of those that may be drawn, those with a mistake first."""
    order = drawn[np.argsort(exact[drawn], kind="stable")[:count]]
    lines = []
    for place in order:
        iso = "".join(ISO[code] for code in written[:, place])
        lines.append(f"{told.written[unseen[place]]}  →  {iso}{'' if exact[place] else '  (wrong)'}")
    return "\n".join(lines)


def _by_locale(told: Dates, unseen: Array, exact: Mapping[str, Array]) -> xr.DataArray:
    locales = sorted(set(told.locales[unseen]))
    values = [[right[told.locales[unseen] == locale].mean() for right in exact.values()] for locale in locales]
    about = {"show": "table", "long_name": "Unseen dates without a mistake, by locale", "units": "1"}
    return xr.DataArray(values, {"locale": locales, "reader": list(exact)}, ("locale", "reader"), attrs=about)


def _attention(text: str, iso: Array, maps: Mapping[str, Array]) -> xr.DataArray:
    """Return where models look in a date, without the padding: rows are what is written, columns what is read."""
    values = np.array([weights[:, weights.shape[1] - len(text) :] for weights in maps.values()], float)
    axes = {"picture": list(maps), "writes": [ISO[code] for code in iso], "reads": list(text)}
    about = {"show": "images", "long_name": "Where it looks: down what is written, across what is read", "units": "1"}
    return xr.DataArray(values, axes, ("picture", "writes", "reads"), attrs=about)


def _sent_back(reach: Mapping[str, Array]) -> xr.DataArray:
    with np.errstate(divide="ignore"):
        values = np.log(np.array(list(reach.values())))
    least = values - values.max(axis=(1, 2), keepdims=True)
    title = (
        "Gradient of each written character (down) by step of the encoder (across): ln of its norm, less the largest"
    )
    about = {"show": "images", "long_name": title, "units": "nats"}
    return xr.DataArray(
        least.clip(FAINTEST), {"moment_of": list(reach)}, ("moment_of", "output", "step_read"), attrs=about
    )


SYSTEM = system("dates", measure)
