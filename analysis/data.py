"""Characters of a text as input sequences, and noise with the text's own statistics."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..derive.errors import Error, unreadable

Indices = NDArray[np.intp]
TOPICS = "pydoc_data.topics"  # of Python: the text that is always there


@dataclass(frozen=True)
class Characters:
    """A text as numbers.

    Attributes:
        source: where the text comes from, for reports: a file's name without its folder.
        vocabulary: the characters that occur, each once, sorted by code point.
        indices: position in `vocabulary` of each character of the text, (length,), intp.
    """

    source: str
    vocabulary: str
    indices: Indices = field(repr=False)

    def __len__(self) -> int:
        return len(self.indices)


def characters(string: str, source: str = "text") -> Characters:
    """Return a string as numbers.

    Raises:
        Error: when the string is empty.

    >>> found = characters("abba")
    >>> found.vocabulary, found.indices.tolist()
    ('ab', [0, 1, 1, 0])
    """
    if not string:
        raise Error(f"{source}: the text is empty. Give a text with at least one character.")
    codes, indices = np.unique(np.frombuffer(string.encode("utf-32-le"), "<u4"), return_inverse=True)
    return Characters(source, "".join(map(chr, codes)), indices)


def text(path: str | os.PathLike[str] | None = None) -> Characters:
    """Read a text file in UTF-8, or by default the help topics that come with Python (`pydoc_data.topics`).

    The topics are joined in the order of their names. They change a little from one Python to the next:
    `source` states the version.

    Raises:
        Error: when the file can't be read, isn't text in UTF-8, or is empty.

    >>> set("abc \\n") <= set(text().vocabulary)
    True
    """
    if path is None:
        return characters(_topics(), f"{TOPICS} of Python {sys.version.split()[0]}")
    name = os.fspath(path)
    hint = "Give a plain text file in UTF-8."
    try:
        string = Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        found = f"byte {error.start} is 0x{error.object[error.start]:02x}"
        raise Error(f"{name}: not text in UTF-8 ({found}). {hint}") from None
    except OSError as error:
        raise unreadable(name, error, hint) from None
    if "\0" in string:
        raise Error(f"{name}: not text (character {string.index(chr(0))} is a zero byte). {hint}")
    return characters(string.removeprefix("\ufeff"), Path(name).name)


def _topics() -> str:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise Error("this Python came without its help topics (pydoc_data). Give a text file instead.") from None
    return "\n".join(topics[name] for name in sorted(topics))


def random_stream(seed: int, purpose: str) -> np.random.Generator:
    """Return the random numbers of one seed for one purpose, independent of those for any other purpose.

    Raises:
        Error: for a negative seed.

    >>> random_stream(0, "windows").random() == random_stream(0, "windows").random()
    True
    """
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise Error(f"the seed is {seed!r}: give a whole number from 0 on")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(purpose.encode())))


def windows(chars: Characters, length: int, batch: int, seed: int) -> Indices:
    """Cut random windows of consecutive characters; each possible start is as likely as any other.

    Args:
        chars: the text.
        length: steps T of a window, in characters.
        batch: number of windows B; they may overlap.
        seed: the same seed gives the same windows.

    Returns:
        Indices into the vocabulary, (T, B).

    Raises:
        Error: when the text is shorter than a window.

    >>> windows(characters("abcdef"), length=6, batch=2, seed=0).T
    array([[0, 1, 2, 3, 4, 5],
           [0, 1, 2, 3, 4, 5]])
    """
    if len(chars) < length:
        found = f"{chars.source}: the text has {len(chars)} characters and windows of {length} were asked for"
        raise Error(f"{found}. Give a longer text or fewer steps.")
    starts = random_stream(seed, "windows").integers(len(chars) - length + 1, size=batch)
    return chars.indices[np.arange(length)[:, None] + starts]


def shuffled(chars: Characters, length: int, batch: int, seed: int) -> Indices:
    """Draw characters independently of each other, with the text's own character frequencies.

    This is noise with the same statistics of single characters (unigrams) as the text, and no order at all.
    What differs between this and `windows` is due to the order of the characters.

    Args:
        chars: the text.
        length: steps T.
        batch: number of sequences B.
        seed: the same seed gives the same sequences.

    Returns:
        Indices into the vocabulary, (T, B).

    >>> round(float(shuffled(characters("abbb"), length=1000, batch=1000, seed=0).mean()), 2)
    0.75
    """
    return chars.indices[random_stream(seed, "shuffled").integers(len(chars), size=(length, batch))]


DATA: Mapping[str, Callable[[Characters, int, int, int], Indices]] = {"text": windows, "shuffled": shuffled}


def one_hot(indices: Indices, size: int, dtype: DTypeLike = "float64") -> NDArray[np.floating]:
    """Return vectors of zeros with a single one, at the place that each index names.

    Args:
        indices: (T, B), from 0 to size − 1.
        size: length m of each vector.
        dtype: of the result.

    Returns:
        (T, B, m).

    Raises:
        Error: for an index outside the vector.

    >>> one_hot(np.array([[0, 2]]), 3)
    array([[[1., 0., 0.],
            [0., 0., 1.]]])
    """
    if indices.size and not 0 <= indices.min() <= indices.max() < size:
        raise Error(f"indices run from {indices.min()} to {indices.max()}, and vectors of {size} were asked for")
    hot = np.zeros((*indices.shape, size), dtype)
    np.put_along_axis(hot, indices[..., None], 1, axis=-1)
    return hot
