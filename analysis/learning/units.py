"""Hidden units over a text: what each one holds at each token, and which follow something that a reader can name.

Karpathy, A., Johnson, J. and Fei-Fei, L. (2016). Visualizing and understanding recurrent networks. ICLR workshop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.linalg import cho_factor, cho_solve

from ...derive.errors import Error
from ...kernels import ModelKernel
from .batches import Array
from .language import numbered, roles

WINDOW = 256  # tokens that are run at a time, with the state carried on
BLOCKS = 20  # of a text: on every other one units are chosen, on the rest they are scored
SHIFTS = 200  # of a feature against the units, for what chance gives
RIDGE = 1e-3  # of a linear probe, over the mean variance of the units


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
    """Return by how many columns each line is indented, as far as it was read: spaces so far, then all of them.

    A tab goes to the next column that is a multiple of 8, and an empty line keeps the indentation of the one before.

    >>> indentation("a\\n  b").tolist()
    [0.0, 0.0, 1.0, 2.0, 2.0]
    """
    found = np.zeros(len(text))
    kept, column, is_leading = 0, 0, True
    for place, character in enumerate(text):
        if character == "\n":
            found[place] = kept
            column, is_leading = 0, True
            continue
        is_leading = is_leading and character in " \t"
        if is_leading:
            column += 8 - column % 8 if character == "\t" else 1
        else:
            kept = column
        found[place] = column
    return found


FEATURES: Mapping[str, Callable[[str], Array]] = {
    "position in line": line_position,
    "inside quotes": in_quotes,
    "open brackets": bracket_depth,
    "inside brackets": lambda text: np.minimum(bracket_depth(text), 1),
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
    """Score how well single units, and all units together, follow features of a text.

    A text is cut into 20 blocks. For each feature the unit with the largest squared correlation over every other block
    is chosen; its score is the squared correlation over the rest, which had no part in the choice. What chance gives is
    found in the same way with the feature shifted around the text: its structure stays, what it has to do with the
    units goes. A linear probe, fitted to all units over the blocks for choice, is scored alike: what it knows more than
    the best unit is spread over units.

    Alain, G. and Bengio, Y. (2017). Understanding intermediate layers using linear classifier probes. ICLR workshop.

    Args:
        found: from `activations`.
        features: name -> its value at each token.
        seed: of the shifts.

    Returns:
        Over feature: `best`, the unit; `score` (share of the feature's variance over the rest that the unit gives by a
        straight line, from 0 to 1), `chance` (the score that 95 % of the shifts stay below), `probe` and
        `probe_chance`, the same of all units together, and for features that are 0 or 1 `f1` of the unit beyond a
        threshold, chosen on the same blocks.

    Raises:
        Error: where a feature has another length than the text.
    """
    values = np.asarray(found.value, float)
    choosing = np.arange(len(values)) * BLOCKS // len(values) % 2 == 0
    parts = [_centred(values[choosing]), _centred(values[~choosing])]
    weigh = _ridge(values[choosing])
    random = np.random.default_rng(seed)
    rows = []
    for name, feature in features.items():
        if np.shape(feature) != (len(values),):
            raise Error(f"feature '{name}' has {len(feature)} values, and the text {len(values)} tokens")
        shifts = random.integers(len(values) // 8, len(values) - len(values) // 8, size=SHIFTS)
        moved = np.stack([np.asarray(feature, float), *(np.roll(feature, shift) for shift in shifts)])
        first, second = _centred(moved[:, choosing].T).T, _centred(moved[:, ~choosing].T).T
        units = np.argmax((first @ parts[0]) ** 2, axis=1)
        scores = np.sum(second.T * parts[1][:, units], axis=0) ** 2
        told = _centred(values[~choosing] @ weigh(moved[:, choosing].T))
        probes = np.sum(second.T * told, axis=0) ** 2
        unit = int(units[0])
        f1 = _f1(values[:, unit], feature > 0, choosing) if set(np.unique(feature)) <= {0.0, 1.0} else np.nan
        by_chance = (float(np.quantile(several[1:], 0.95)) for several in (scores, probes))
        rows.append((str(found.unit.values[unit]), float(scores[0]), float(probes[0]), f1, *by_chance))
    best, *columns = zip(*rows, strict=True)
    titles = {
        "score": "squared correlation over the blocks for scores",
        "probe": "squared correlation of a linear probe of all units",
        "f1": "F1 over the blocks for scores",
        "chance": "95 % of shifted features score less",
        "probe_chance": "95 % of shifted features score less by a probe",
    }
    numbers = {
        name: ("feature", list(column), {"long_name": title, "units": "1"})
        for (name, title), column in zip(titles.items(), columns, strict=True)
    }
    return xr.Dataset(
        {"best": ("feature", list(best)), **numbers},
        {"feature": list(features)},
        {"method": f"unit and probe chosen on every other of {BLOCKS} blocks, scored on the rest; {SHIFTS} shifts"},
    )


def _ridge(values: Array) -> Callable[[Array], Array]:
    """Return a function that gives, for targets (place, target), the weights (unit, target) of a ridge regression.

    The ridge is a thousandth of the mean variance: enough for units that hold the same.
    """
    centred = values - values.mean(axis=0)
    square = centred.T @ centred
    square[np.diag_indices_from(square)] += RIDGE * max(float(np.trace(square)) / len(square), 1e-300)
    factor = cho_factor(square)
    return lambda targets: cho_solve(factor, centred.T @ (targets - targets.mean(axis=0)))


def _centred(columns: Array) -> Array:
    """Return columns of mean 0 and norm 1; zeros for one that doesn't vary."""
    columns = columns - columns.mean(axis=0)
    norms = np.linalg.norm(columns, axis=0)
    varies = norms > 1e-12 * max(1.0, float(norms.max(initial=0.0)))
    return np.divide(columns, norms, out=np.zeros_like(columns), where=varies)


def _f1(values: Array, truth: Array, choosing: Array) -> float:
    """Return F1, on the blocks for scores, of "the value lies beyond a threshold": the best one on the others."""
    best, rule = -1.0, (1.0, 0.0)
    for sign in (1.0, -1.0):
        for threshold in np.quantile(sign * values[choosing], np.linspace(0.01, 0.99, 99)):
            found = f1_score(sign * values[choosing] > threshold, truth[choosing])
            if found > best:
                best, rule = found, (sign, float(threshold))
    sign, threshold = rule
    return f1_score(sign * values[~choosing] > threshold, truth[~choosing])


def f1_score(said: Array, truth: Array) -> float:
    """Return the harmonic mean of precision and recall; 0 where nothing is found.

    >>> f1_score(np.array([True, True, False]), np.array([True, False, True]))
    0.5
    """
    both = int(np.sum(said & truth))
    return 2 * both / (int(said.sum()) + int(truth.sum())) if both else 0.0
