"""The page of a model's hidden units: scores, and a text coloured by the unit that a reader chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..derive.errors import Error
from ..derive.syntax import closest
from .document import Block, Coloured, Document, Heading, Listing, Paragraph, Table, Text
from .phrases import Phrases
from .plots import number

if TYPE_CHECKING:
    from xarray import Dataset

SHOWN = 2500  # tokens of the text that are coloured
OFFERED = 64  # units to choose from, beside those that are shown: those that vary most


def inspection_document(
    held: Dataset, scores: Dataset, model: str, units: Sequence[str] = (), command: str = "", language: str = "en"
) -> Document:
    """Return the page of the units of a language model.

    Args:
        held, scores: from `inspection.inspect`.
        model: its name.
        units: to be shown, such as "c[3]"; by default those that follow a feature best.
        command: how a reader makes the page again.
        language: of the sentences.

    Raises:
        Error: for a unit that the model doesn't have.
    """
    phrases = Phrases(language)
    names = [str(name) for name in held.unit.values]
    if unknown := [unit for unit in units if unit not in names]:
        raise Error(f"the model has no unit '{unknown[0]}'. {closest(unknown[0], names)}")
    follows: dict[str, list[str]] = {}
    for place, feature in enumerate(map(str, scores.feature.values)):
        score = float(scores.score[place])
        if score > float(scores.chance[place]):
            follows.setdefault(str(scores.best.values[place]), []).append(f"{feature} ({number(score)})")
    shown = list(units) or list(follows) or [str(scores.best.values[int(np.argmax(scores.score.values))])]
    spread = np.asarray(held.value.std("place"))
    offered = [names[k] for k in np.argsort(-spread)[:OFFERED]]
    series = list(dict.fromkeys([*shown, *follows, *sorted(offered, key=names.index)]))
    values = np.asarray(held.value)[:SHOWN, [names.index(name) for name in series]].T
    values = values / np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12)
    titles = tuple(f"{name}: {', '.join(follows[name])}" if name in follows else name for name in series)
    caption = phrases.text("inspection.caption", source=held.attrs["source"])
    pieces = tuple(map(str, held.shown.values[:SHOWN]))
    coloured = Coloured(pieces, values.tolist(), titles, tuple(range(len(shown))), caption)
    sizes = phrases.plain(
        "inspection.setup", units=len(names), tokens=f"{held.sizes['place']:,}", source=held.attrs["source"]
    )
    blocks: list[Block] = [Paragraph((sizes,)), _scores(scores, phrases), Heading(phrases.plain("inspection.text"))]
    blocks += [coloured, *([Listing((command,))] if command else [])]
    return Document(
        phrases.plain("inspection.title"), phrases.plain("inspection.kind"), ((model,),), tuple(blocks), language
    )


def _scores(scores: Dataset, phrases: Phrases) -> Table:
    columns = ("feature", "unit", "score", "chance", "f1", "probe", "probe_chance")
    header = tuple((phrases.plain(f"inspection.{name}"),) for name in columns)
    rows: list[tuple[Text, ...]] = []
    for place, feature in enumerate(map(str, scores.feature.values)):
        found = [float(scores[name][place]) for name in columns[2:]]
        cells = (feature, str(scores.best.values[place]), *("–" if np.isnan(one) else number(one) for one in found))
        rows.append(tuple((cell,) for cell in cells))
    return Table(header, tuple(rows), "llrrrrr", phrases.text("inspection.scored"))
