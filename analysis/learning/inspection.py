"""A trained language model looked into: what its hidden units hold over a text, and which follow its features."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ...derive.errors import Error
from ..data import TOPICS
from ..data import text as text_of
from .batches import Array
from .checkpoint import Checkpoint
from .language import WORD
from .units import FEATURES, activations, followers

MEASURED = 20_000  # tokens on which units are chosen and scored
LEAST = 100  # tokens that this takes
OWN_SHARE = 0.1  # of the help topics, their end, where no text is given


def inspect(found: Checkpoint, path: str | None = None, seed: int = 0) -> tuple[xr.Dataset, xr.Dataset]:
    """Run a language model over a text, and find the units that follow what a reader can name.

    Args:
        found: a checkpoint of a language model.
        path: of a text file; by default the end of the help topics that come with Python, for a model that learned
            from them.
        seed: of the shifts that say what chance gives.

    Returns:
        `units.activations` of the text's first 20,000 tokens, with `shown` over place: each token with what stands
        before it; and `units.followers` of the features that vary in it.

    Raises:
        Error: where the checkpoint isn't of a language model, or the text is missing, can't be read, is too short or
            has tokens that the model doesn't know.
    """
    about = found.task["about"]
    if "vocabulary" not in about:
        raise Error(f"{found.path}: learned '{found.task['name']}', and only the units of a language model are shown")
    if path is None and not about["source"].startswith(TOPICS):
        raise Error(f"{found.path}: learned from {about['source']}. Give a text for it to read: that one, or another.")
    chars = text_of(path)
    indices = chars.indices if path is not None else split_off(chars.indices)
    whole = "".join(chars.vocabulary[i] for i in indices)
    ends = np.array([match.end() for match in WORD.finditer(whole)]) if about["joint"] else np.arange(1, len(whole) + 1)
    ends = ends[:MEASURED]
    if len(ends) < LEAST:
        raise Error(f"{chars.source}: scores need at least {LEAST} tokens, and it has {len(ends)}. Give a longer text.")
    text = whole[: ends[-1]]
    try:
        held = activations(found.kernel(), found.judged, about, text)
    except Error as error:
        raise Error(f"{chars.source}: {error}") from None
    features = {name: of(text)[ends - 1] for name, of in FEATURES.items()}
    varying = {name: values for name, values in features.items() if np.ptp(values)}
    if not varying:
        raise Error(f"{chars.source}: neither lines, quotes, brackets nor indentation vary in it. Give another text.")
    pieces = [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    held = held.assign({"shown": ("place", pieces)}).assign_attrs(source=chars.source)
    return held, followers(held, varying, seed)


def split_off(indices: Array) -> Array:
    """Return the last tenth."""
    return indices[round(len(indices) * (1 - OWN_SHARE)) :]
