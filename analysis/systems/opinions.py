"""Short opinions of films, written by a grammar of templates: words of praise and blame, turned by negation.

The set is made here and is no sample of what people write. It asks one thing: whether a model reads a sentence as more
than the sum of its words. Some templates are held out: their words occur in others, in other orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data import random_stream

SUBJECTS = [
    "the film",
    "the movie",
    "the plot",
    "the acting",
    "the music",
    "the ending",
    "the story",
    "the script",
    "the dialogue",
    "the first half",
]
GOOD = [
    "good",
    "great",
    "wonderful",
    "clever",
    "moving",
    "funny",
    "brilliant",
    "charming",
    "gripping",
    "fresh",
    "subtle",
    "honest",
]
BAD = [
    "bad",
    "awful",
    "terrible",
    "stupid",
    "boring",
    "clumsy",
    "dreadful",
    "dull",
    "tedious",
    "stale",
    "crude",
    "fake",
]
CLASSES = ("blame", "praise")


@dataclass(frozen=True)
class Template:
    """A sentence with places for a subject `s` or `r`, and adjectives `a` (and `b`) of one kind and `z` of the other.

    Attributes:
        text: of the sentence.
        turns: whether it means the opposite of what `a` says.
    """

    text: str
    turns: bool = False


LEARNED = (
    Template("{s} was {a}"),
    Template("{s} was really {a}"),
    Template("{s} was {a} and {b}"),
    Template("{s} was so {a}"),
    Template("I think {s} was {a}"),
    Template("everybody said that {s} was {a}"),
    Template("I expected {s} to be {z} but it was {a}"),
    Template("{s} was {z} at first but then {r} was {a}"),
    Template("although {s} was {z} {r} was {a}"),
    Template("never have I seen anything so {a}"),
    Template("{s} was not {a}", turns=True),
    Template("{s} was never {a}", turns=True),
    Template("I do not think {s} was {a}", turns=True),
    Template("nobody said that {s} was {a}", turns=True),
    Template("{s} was not {z} but {a}"),
    Template("there was nothing {a} about {s}", turns=True),
    Template("nobody said that {s} was not {a}"),
)
HELD_OUT = (
    Template("I think {s} was really {a}"),
    Template("everybody said that {s} was so {a}"),
    Template("{s} was not really {a}", turns=True),
    Template("I do not think {s} was so {a}", turns=True),
    Template("{s} was never {z} but {a}"),
    Template("everybody said that {s} was not {a}", turns=True),
    Template("although {s} was not {a} {r} was {a}"),
    Template("I do not think {s} was not {a}"),
)


@dataclass(frozen=True)
class Opinions:
    """Sentences with what they mean.

    Attributes:
        words: (sentences, longest), numbers of words; 0 past the end.
        lengths: (sentences,).
        classes: (sentences,): 0 blame, 1 praise.
        templates: (sentences,): number of the template of each.
        sentences: as they are read.
    """

    words: np.ndarray
    lengths: np.ndarray
    classes: np.ndarray
    templates: np.ndarray
    sentences: tuple[str, ...]


def vocabulary() -> tuple[str, ...]:
    """Return all words of the grammar, first the mark of what is past the end."""
    texts = [template.text for template in (*LEARNED, *HELD_OUT)]
    words = " ".join([*texts, *SUBJECTS, *GOOD, *BAD]).split()
    return ("", *sorted({word for word in words if not word.startswith("{")}))


def opinions(templates: Sequence[Template], count: int, seed: int, name: str) -> Opinions:
    """Return sentences of templates, as many of praise as of blame on average, by the seed.

    >>> opinions([Template("{s} was not {a}", turns=True)], 1, 0, "example").sentences
    ('the acting was not bad',)
    """
    random = random_stream(seed, f"opinions {name}")
    places = {word: place for place, word in enumerate(vocabulary())}
    chosen = random.integers(len(templates), size=count)
    classes = random.integers(2, size=count)
    sentences = []
    for number, praise in zip(chosen, classes, strict=True):
        template = templates[number]
        same, other = (GOOD, BAD) if bool(praise) != template.turns else (BAD, GOOD)
        a, b = random.choice(same, 2, replace=False)
        s, r = random.choice(SUBJECTS, 2, replace=False)
        sentences.append(template.text.format(s=s, r=r, a=a, b=b, z=random.choice(other)))
    split = [sentence.split() for sentence in sentences]
    lengths = np.array([len(words) for words in split])
    numbers = np.zeros((count, lengths.max()), np.intp)
    for row, words in zip(numbers, split, strict=True):
        row[: len(words)] = [places[word] for word in words]
    return Opinions(numbers, lengths, classes, chosen, tuple(sentences))
