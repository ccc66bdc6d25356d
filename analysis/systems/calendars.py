"""Dates as people in several countries write them, each with what it is in ISO 8601; from Babel's CLDR data."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ...derive.errors import Error
from ..data import random_stream
from ..learning.batches import Array
from .extras import package

FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
PADDING = ""  # stands before a written date, up to the longest
START = "<"  # what a writer reads before its first character
ISO = "0123456789-" + START
FORMATS = ("full", "long", "medium")  # the short one leaves the century out


@dataclass(frozen=True)
class Dates:
    """Written dates.

    Attributes:
        alphabet: characters that dates are written with, the padding first.
        read: (longest, dates), numbers of the characters of each, padded at the front.
        iso: (10, dates), numbers of the characters of ISO 8601.
        locales: (dates,), of each.
        written: as they are read.
    """

    alphabet: tuple[str, ...]
    read: Array
    iso: Array
    locales: Array
    written: tuple[str, ...]


@cache
def _patterns(locale: str) -> tuple[object, ...]:
    """Return the formats of a locale, each once.

    Raises:
        Error: without Babel, or for a locale that it doesn't know.
    """
    core = package("babel.core", "Babel", "Dates as they are written in several languages")
    try:
        formats = core.Locale.parse(locale).date_formats
    except (core.UnknownLocaleError, ValueError):
        raise Error(f"no locale is called '{locale}': give one of CLDR's, such as ko or en") from None
    return tuple({str(formats[name]): formats[name] for name in FORMATS}.values())


def written(day: datetime.date, locale: str, style: int) -> str:
    """Return a date in one of a locale's formats.

    >>> [written(datetime.date(1987, 3, 9), "ko", style) for style in range(3)]
    ['1987년 3월 9일 월요일', '1987년 3월 9일', '1987. 3. 9.']
    """
    return str(_patterns(locale)[style].apply(day, locale)).replace("\u202f", " ")  # type: ignore[attr-defined]  # Babel's


def dates(locales: Sequence[str], count: int, held_out: int, seed: int) -> tuple[Dates, Array, Array]:
    """Return dates drawn from two centuries, each written in a format of a locale, with days that are held out.

    A day that is held out is learned from in no format and no locale.

    Args:
        locales: of CLDR, such as 'ko'.
        count, held_out: how many dates to learn from, and to judge on.
        seed: of the draws.

    Returns:
        The dates, and the numbers of those learned from and of those held out.

    Raises:
        Error: without Babel, or for a locale that it doesn't know.
    """
    random = random_stream(seed, "dates")
    days = random.permutation((LAST - FIRST).days + 1)
    aside = max(1, len(days) // 10)
    drawn = np.concatenate([random.choice(days[aside:], count), random.choice(days[:aside], held_out, replace=False)])
    places = random.integers(len(locales), size=len(drawn))
    texts, iso = [], []
    for number, place in zip(drawn, places, strict=True):
        day = FIRST + datetime.timedelta(days=int(number))
        locale = locales[place]
        texts.append(written(day, locale, int(random.integers(len(_patterns(locale))))))
        iso.append(day.isoformat())
    alphabet = (PADDING, *sorted(set("".join(texts))))
    codes = {character: code for code, character in enumerate(alphabet)}
    longest = max(map(len, texts))
    read = np.zeros((longest, len(texts)), np.intp)
    for column, text in zip(read.T, texts, strict=True):
        column[longest - len(text) :] = [codes[character] for character in text]
    numbers = np.array([[ISO.index(character) for character in text] for text in iso]).T
    order = np.arange(len(texts))
    told = Dates(alphabet, read, np.ascontiguousarray(numbers), np.array(locales)[places], tuple(texts))
    return told, order[:count], order[count:]
