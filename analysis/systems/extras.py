"""Data that come with packages of the extra `systems`: looked for when they are wanted, on this machine only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

import numpy as np

from ...derive.errors import Error
from ..data import random_stream
from ..learning.batches import Array


def package(module: str, distribution: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: as it is imported.
        distribution: as it is installed.
        purpose: what it is wanted for.

    Raises:
        Error: where it isn't installed, with the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError:
        raise Error(f"{purpose} come with {distribution}, which isn't installed: pip install 'bptt[systems]'") from None


@dataclass(frozen=True)
class Images:
    """Images of handwritten digits.

    Attributes:
        pixels: (images, 8, 8), from 0 to 1.
        digits: (images,), from 0 to 9.
        learned, held_out: which images are for learning, and which for judging.
    """

    pixels: Array
    digits: Array
    learned: Array
    held_out: Array


HELD_OUT = 360  # of 1797 images


@cache
def digit_images() -> Images:
    """Return the 1797 images that come with scikit-learn, 360 of them held out, always the same.

    Alpaydin, E., Kaynak, C. (1998). Optical recognition of handwritten digits. UCI Machine Learning Repository.

    Raises:
        Error: without scikit-learn.
    """
    data = package("sklearn.datasets", "scikit-learn", "The images of digits").load_digits()
    order = random_stream(0, "held-out digits").permutation(len(data.target))
    pixels = np.ascontiguousarray(data.images / 16, np.float32)
    return Images(pixels, data.target.astype(np.intp), order[HELD_OUT:], order[:HELD_OUT])


@cache
def sunspots() -> tuple[Array, Array]:
    """Return years from 1700 to 2008 and the mean number of sunspots in each (SIDC, Royal Observatory of Belgium).

    Raises:
        Error: without statsmodels.
    """
    data = package("statsmodels.datasets.sunspots", "statsmodels", "The numbers of sunspots").load_pandas().data
    return data.YEAR.to_numpy(int), data.SUNACTIVITY.to_numpy(float)
