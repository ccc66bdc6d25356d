"""n-gram models with Kneser–Ney smoothing: what a recurrent language model has to beat."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...derive.errors import Error

Context = tuple[int, ...]


@dataclass(frozen=True)
class Level:
    """Counts of n-grams of one order, as smoothing needs them.

    Attributes:
        counts: n-gram -> its count; below the highest order, how many different tokens come before it.
        totals: context -> the sum over its n-grams.
        reserved: context -> the probability mass that goes to the order below.
        discounts: taken off counts of 1, 2, and 3 or more.
    """

    counts: dict[Context, int]
    totals: dict[Context, int]
    reserved: dict[Context, float]
    discounts: tuple[float, float, float]


@dataclass(frozen=True)
class Ngrams:
    """An n-gram model.

    Attributes:
        order: n.
        vocabulary: how many tokens there are.
        levels: from order 1 to n.
        seen: share of the possible n-grams of the highest order that occur: how sparse the counts are.
    """

    order: int
    vocabulary: int
    levels: tuple[Level, ...]
    seen: float


def count(tokens: Iterable[int], order: int, vocabulary: int) -> Ngrams:
    """Count the n-grams of a text and smooth them by interpolated modified Kneser–Ney.

    Kneser, R. and Ney, H. (1995). ICASSP; Chen, S. F. and Goodman, J. (1999). Computer Speech and Language 13,
    with their three discounts.

    Args:
        tokens: numbers from 0 to vocabulary - 1.
        order: n, from 1.
        vocabulary: how many tokens there are.

    Raises:
        Error: for an order below 1, or a text shorter than it.

    >>> model = count([0, 1, 0, 1, 0, 0], order=2, vocabulary=2)
    >>> round(sum(probability(model, [1], token) for token in (0, 1)), 12)
    1.0
    """
    tokens = [int(token) for token in tokens]
    if order < 1 or len(tokens) < order:
        raise Error(f"{order}-grams of a text of {len(tokens)} tokens can't be counted")
    highest = Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))
    tables: list[dict[Context, int]] = [dict(highest)]
    for _ in range(order - 1):
        # a token at the start of the text comes after nothing: those counts are one too small, as in Chen and Goodman
        tables.append(dict(Counter(gram[1:] for gram in tables[-1])))
    levels = tuple(_level(table) for table in reversed(tables))
    return Ngrams(order, vocabulary, levels, len(highest) / vocabulary**order)


def _level(counts: dict[Context, int]) -> Level:
    many = Counter(counts.values())
    one, two, three, four = (max(many[k], 1) for k in (1, 2, 3, 4))
    y = one / (one + 2 * two)
    # Chen and Goodman (1999), equation 26; kept between 0 and the count, for texts in which few counts occur
    found = (1 - 2 * y * two / one, 2 - 3 * y * three / two, 3 - 4 * y * four / three)
    discounts = tuple(min(max(d, 0.05), k - 0.05) for k, d in enumerate(found, 1))
    totals: defaultdict[Context, int] = defaultdict(int)
    taken: defaultdict[Context, float] = defaultdict(float)
    for gram, number in counts.items():
        totals[gram[:-1]] += number
        taken[gram[:-1]] += discounts[min(number, 3) - 1]
    reserved = {context: taken[context] / total for context, total in totals.items()}
    return Level(counts, dict(totals), reserved, (discounts[0], discounts[1], discounts[2]))


def probability(model: Ngrams, context: Sequence[int], token: int) -> float:
    """Return the probability of a token after a context, of which the last n - 1 tokens count."""
    found = 1 / model.vocabulary
    for length, level in enumerate(model.levels):
        before = tuple(context[len(context) - length :]) if length else ()
        if len(before) < length or before not in level.totals:
            break
        number = level.counts.get((*before, token), 0)
        kept = max(number - level.discounts[min(number, 3) - 1], 0) if number else 0.0
        found = kept / level.totals[before] + level.reserved[before] * found
    return found


def cross_entropy(model: Ngrams, tokens: Iterable[int]) -> float:
    """Return the mean of -ln p over the tokens of a text, each after all that come before it, in nats."""
    tokens = [int(token) for token in tokens]
    near = model.order - 1
    logs = (math.log(probability(model, tokens[max(0, i - near) : i], token)) for i, token in enumerate(tokens))
    return -sum(logs) / len(tokens)
