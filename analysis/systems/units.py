"""Units that can be read: a language model of Python source, and which of its units follow what a reader can name.

Karpathy, A., Johnson, J. and Fei-Fei, L. (2016). Visualizing and understanding recurrent networks. ICLR workshop.
"""

from __future__ import annotations

import io
import sys
import sysconfig
import tokenize
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from ...derive.errors import Error
from ..data import characters
from ..learning import language
from ..learning.batches import Array
from ..learning.units import activations, bracket_depth, followers, indentation, line_position
from ..statistics import log_interval, share_interval
from .characters import language_model
from .learn import MOMENTS, gathered, learn, plan_of, used
from .system import Progress, Settings, system

MEASURED = 40_000  # characters held out, on which units are chosen and scored
_PERPLEXITY = {"long_name": "held-out perplexity", "units": "1"}
_MOMENT = xr.Variable("moment", list(MOMENTS))


def library(least: int) -> list[str]:
    """Return the sources of modules of Python's standard library, in the order of their names.

    Args:
        least: how many characters they must have together.

    Returns:
        Texts in ASCII, each of a whole module.

    Raises:
        Error: where there are fewer.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    found: list[str] = []
    for path in sorted(folder.glob("[a-z]*.py")):
        text = path.read_bytes()
        if text.isascii() and b"\0" not in text:
            found.append(text.decode())
        if sum(map(len, found)) >= least:
            return found
    raise Error(f"{folder}: the modules here have fewer than {least} characters. Install Python's standard library.")


def inside(source: str, kind: int) -> Array:
    """Return 1 at the characters of tokens of one kind, else 0, as Python's own tokenizer finds them.

    Args:
        source: of a module.
        kind: such as `tokenize.STRING`.

    >>> inside("a = 'b'  # c", tokenize.STRING).tolist()
    [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    begins = np.cumsum([0, *(len(line) for line in source.splitlines(keepends=True))])
    found = np.zeros(len(source))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == kind:
            (first, column), (last, end) = token.start, token.end
            found[begins[first - 1] + column : begins[last - 1] + end] = 1
    return found


def features(sources: list[str]) -> Mapping[str, Array]:
    """Return what a reader can name, at each character of modules that stand one after another."""
    whole = "".join(sources)
    return {
        "position in line": line_position(whole),
        "indentation": indentation(whole),
        "inside a string": np.concatenate([inside(source, tokenize.STRING) for source in sources]),
        "inside a comment": np.concatenate([inside(source, tokenize.COMMENT) for source in sources]),
        "inside brackets": np.concatenate([np.minimum(bracket_depth(source), 1) for source in sources]),
        "open brackets": np.concatenate([bracket_depth(source) for source in sources]),
    }


def measure(settings: Settings, seed: int, progress: Progress) -> xr.Dataset:
    """Train language models on Python source, and score their units before and after."""
    sources = library(settings["characters"])
    whole = "".join(sources)
    chars = characters(whole, f"standard library of Python {sys.version.split()[0]}")
    model = language_model(settings["cell"])
    told = {name: settings[name] for name in ("window", "batch", "held_out")}
    task = language.next_token(model, language.of_characters(chars), **told)
    first = round(len(whole) * (1 - settings["held_out"]))
    part = slice(first, first + MEASURED)
    named = {name: values[part] for name, values in features(sources).items() if np.ptp(values[part])}
    learned, held, scored = [], [], []
    for number in range(settings["models"]):
        one = learn(
            model,
            task,
            plan_of(settings, seed + number, model),
            settings["sizes"],
            settings["steps"],
            judge_every=settings["judge_every"],
            label=f"{settings['cell']} {number + 1} of {settings['models']}",
            progress=progress,
        )
        kernel, about = one.training.kernel, one.training.task.about
        before, after = (
            activations(kernel, params, about, whole[part]) for params in (one.initial, used(one.training))
        )
        learned.append(one)
        held.append(after)
        scored.append(xr.concat([followers(each, named, seed) for each in (before, after)], _MOMENT))
    method = (
        f"Source of {len(sources)} modules of the {chars.source}: {len(whole):,} characters, the last "
        f"{settings['held_out']:.0%} held out; {settings['models']} models from different initial weights, "
        f"{settings['steps']} steps each with windows of {settings['window']} and the state carried on, "
        f"{settings['batch']} streams. Over {len(whole[part]):,} characters held out each feature's best "
        "unit is chosen, and a linear probe of all units fitted, on every other of 20 blocks; scored by the squared "
        "correlation on the rest; intervals of 95 % over the models. By chance: 95 % of 200 shifts of the feature "
        "score less. Curves and coloured text are of the first model"
    )
    found = gathered({settings["cell"]: learned[0]}, method)
    losses = xr.concat([one.measured.held_out.isel(step=-1, drop=True) for one in learned], "run")
    perplexity = log_interval(xr.apply_ufunc(np.exp, losses), "run")
    for name, suffix in {"mean": "", "low": "_low", "high": "_high"}.items():
        found[f"perplexity{suffix}"] = ("model", [float(perplexity[name])], _PERPLEXITY)
    scores = xr.concat(scored, "run")
    found = found.merge(_scored(scores)).merge(_coloured(held[0], scored[0].isel(moment=-1), settings["shown"]))
    after = scores.sel(moment=MOMENTS[-1])
    best, probe = (share_interval(after[name], "run") for name in ("score", "probe"))
    told_of = [
        f"{name} {best['mean'][place]:.2f} [{best['low'][place]:.2f}, {best['high'][place]:.2f}] "
        f"({probe['mean'][place]:.2f} by all)"
        for place, name in enumerate(map(str, after.feature.values))
    ]
    return found.assign_attrs(learned=f"Share of a feature that one unit tells: {'; '.join(told_of)}.")


def _scored(scores: xr.Dataset) -> xr.Dataset:
    """Return the table of scores, over run, moment and feature: of the best unit and of a probe of all units."""
    before, after = (scores.sel(moment=moment) for moment in MOMENTS)
    columns = {
        "best unit": share_interval(after.score, "run"),
        "by chance": _mean(after.chance),
        f"best unit, {MOMENTS[0]}": share_interval(before.score, "run"),
        "F1": _mean(after.f1),
        "all units": share_interval(after.probe, "run"),
        "by chance ": _mean(after.probe_chance),
        f"all units, {MOMENTS[0]}": share_interval(before.probe, "run"),
    }
    table = (
        xr.concat(columns.values(), xr.Variable("column", list(columns)))
        .rename(feature="named")
        .transpose("named", ...)
    )
    title = "Share of each feature that its best unit tells, and all units together, on text that had no part in it"
    about = {"show": "table", "only": "sheet", "long_name": title, "units": "1"}
    found = table.rename({"mean": "scores", "low": "scores_low", "high": "scores_high"})
    return found.assign({name: one.assign_attrs(about) for name, one in found.data_vars.items()})


def _mean(values: xr.DataArray) -> xr.Dataset:
    return xr.Dataset({"mean": values.mean("run")}).assign(low=np.nan, high=np.nan)


def _coloured(held: xr.Dataset, scores: xr.Dataset, count: int) -> xr.Dataset:
    """Return the best unit of each feature over the first lines, that of the highest score first."""
    order = np.argsort(-scores.score.values)
    units: dict[str, list[str]] = {}
    for place in order:
        title = f"{scores.feature.values[place]} ({float(scores.score[place]):.2f})"
        units.setdefault(str(scores.best.values[place]), []).append(title)
    values = held.value.sel(unit=list(units)).values[:count].T
    values = values / np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12)
    about = {
        "show": "coloured",
        "pieces": "letters",
        "long_name": "Text held out, each character coloured by the value of a unit after it",
        "units": "1",
    }
    names = [f"{unit}: {', '.join(titles)}" for unit, titles in units.items()]
    axes = {"series": names, "letters": ("letter", held.token.values[:count])}
    return xr.Dataset({"over_text": (("series", "letter"), values.round(3), about)}, axes)


SYSTEM = system("units", measure)
