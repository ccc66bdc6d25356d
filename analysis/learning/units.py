"""Hidden units over a text: what each one holds at each token, and which follow something that a reader can name.

Karpathy, A., Johnson, J. and Fei-Fei, L. (2016). Visualizing and understanding recurrent networks. ICLR workshop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from ...derive.errors import Error
from ...kernels import ModelKernel
from .batches import Array
from .language import numbered, roles

WINDOW = 256  # tokens that are run at a time, with the state carried on
SHIFTS = 200  # of a feature against the units, for what chance gives


def line_position(text: str) -> Array:
    """Return how many characters stand before each in its line.

    >>> line_position("ab\\ncd").tolist()
    [0.0, 1.0, 2.0, 0.0, 1.0]
    """
    starts = np.array([0, *(found.end() for found in re.finditer("\n", text))])
    places = np.arange(len(text))
    return (places - starts[np.searchsorted(starts, places, "right") - 1]).astype(float)


def in_quotes(text: str) -> Array:
    """Return 1 between double quotes, the first of them included, else 0; an empty line closes them.

    >>> in_quotes('a "b" c').tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    found, inside = np.zeros(len(text)), False
    for place, character in enumerate(text):
        if character == '"':
            inside = not inside
        elif text.startswith("\n\n", place):
            inside = False
        found[place] = inside
    return found


def bracket_depth(text: str) -> Array:
    """Return how many brackets of any kind are open at each character; an empty line closes them.

    >>> bracket_depth("f(x[0])").tolist()
    [0.0, 1.0, 1.0, 2.0, 2.0, 1.0, 0.0]
    """
    found, depth = np.zeros(len(text)), 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth < 0 or text.startswith("\n\n", place):
            depth = 0
        found[place] = depth
    return found


def indentation(text: str) -> Array:
    """Return by how many spaces the line of each character is indented.

    >>> indentation("a\\n  b").tolist()
    [0.0, 0.0, 2.0, 2.0, 2.0]
    """
    lines = text.splitlines(keepends=True)
    return np.concatenate([np.zeros(0), *(np.full(len(line), len(line) - len(line.lstrip(" "))) for line in lines)])


FEATURES: Mapping[str, Callable[[str], Array]] = {
    "position in line": line_position,
    "inside quotes": in_quotes,
    "open brackets": bracket_depth,
    "indentation": indentation,
}


def activations(kernel: ModelKernel, params: Mapping[str, Array], about: Mapping[str, Any], text: str) -> xr.Dataset:
    """Run a language model over a text and return what every unit holds.

    Args:
        kernel, params: of the model.
        about: what its task said of itself: the vocabulary.
        text: whose tokens the model knows.

    Returns:
        `value` over (token, unit), and `surprise` over token: -ln of the probability that the model gave to the token,
        in nats; nan for the first. Coordinates: `token` as text, and `unit`, such as "h[3]".

    Raises:
        Error: for a text of fewer than two tokens, or with one that the model doesn't know.
    """
    indices = numbered(text, about["vocabulary"], about["joint"])
    if len(indices) < 2:
        raise Error("a text of at least two tokens is needed")
    parts = roles(kernel.model)
    state: dict[str, Array] = {}
    pieces, losses = [], []
    for first in range(0, len(indices), WINDOW):
        here = indices[first : first + WINDOW]
        after = np.append(here[1:], indices[first + WINDOW] if first + WINDOW < len(indices) else 0)
        run = kernel.forward(params, {parts.reads: here[:, None], parts.predicts: after[:, None]}, state)
        state = run.last()
        held = {name: values for one in run.runs for name, values in one.states.items()}
        pieces.append({name: np.array(values.reshape(len(here), -1), float) for name, values in held.items()})
        losses.append(sum(term[:, 0] for term in run.losses.values()))
    names = [f"{name}[{place}]" for name, values in pieces[0].items() for place in range(values.shape[1])]
    values = np.concatenate([np.concatenate(list(piece.values()), axis=1) for piece in pieces])
    surprise = np.append(np.nan, np.concatenate(losses)[:-1].astype(float))
    tokens = [about["vocabulary"][i] for i in indices]
    return xr.Dataset(
        {
            "value": (("place", "unit"), values, {"long_name": "value of the unit after the token"}),
            "surprise": ("place", surprise, {"long_name": "-ln p of the token", "units": "nats"}),
        },
        {"token": ("place", tokens), "unit": names},
        {"method": f"states of model {kernel.model.name} after each token, carried through the whole text"},
    )


def followers(found: xr.Dataset, features: Mapping[str, Array], seed: int = 0) -> xr.Dataset:
    """Score how well single units follow features of a text.

    For each feature the unit with the largest squared correlation over the first half of the text is chosen; its score
    is the squared correlation over the second half, which had no part in the choice. What chance gives is found in the
    same way with the feature shifted around the text: its structure stays, what it has to do with the units goes.

    Args:
        found: from `activations`.
        features: name -> its value at each token.
        seed: of the shifts.

    Returns:
        Over feature: `unit`, `score` (share of the feature's variance over the second half that the unit gives by a
        straight line, from 0 to 1), `chance` (the score that 95 % of the shifts stay below).

    Raises:
        Error: where a feature has another length than the text.
    """
    values = np.asarray(found.value)
    half = len(values) // 2
    random = np.random.default_rng(seed)
    chosen, scores, chances = [], [], []
    for name, feature in features.items():
        if np.shape(feature) != (len(values),):
            raise Error(f"feature '{name}' has {len(feature)} values, and the text {len(values)} tokens")
        unit, score = _chosen(values, np.asarray(feature, float), half)
        shifts = random.integers(half // 4, len(values) - half // 4, size=SHIFTS)
        by_chance = [_chosen(values, np.roll(feature, shift), half)[1] for shift in shifts]
        chosen.append(str(found.unit.values[unit]))
        scores.append(score)
        chances.append(float(np.quantile(by_chance, 0.95)))
    about = {"long_name": "squared correlation over the second half of the text", "units": "1"}
    return xr.Dataset(
        {
            "best": ("feature", chosen),
            "score": ("feature", scores, about),
            "chance": ("feature", chances, about | {"long_name": "95 % of shifted features score less"}),
        },
        {"feature": list(features)},
        {"method": f"unit chosen on the first half, scored on the second; {SHIFTS} circular shifts for chance"},
    )


def _chosen(values: Array, feature: Array, half: int) -> tuple[int, float]:
    """Return the unit that follows a feature best over the first half, and how well it does over the second."""
    unit = int(np.argmax(_squared_correlations(values[:half], feature[:half])))
    return unit, float(_squared_correlations(values[half:, [unit]], feature[half:])[0])


def _squared_correlations(values: Array, feature: Array) -> Array:
    """Return the squared correlation of each column with a feature; 0 where either doesn't vary."""
    values, feature = values - values.mean(axis=0), feature - feature.mean()
    scale = (values**2).sum(axis=0) * (feature**2).sum()
    return np.divide((feature @ values) ** 2, scale, out=np.zeros(values.shape[1]), where=scale > 0)
