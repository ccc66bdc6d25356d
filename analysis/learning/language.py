"""Language models: characters or words of a text as a task, what they are judged by, and text that they write."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sympy import Symbol

from ...derive.errors import Error
from ...derive.linear import cross_entropy, is_one_hot
from ...derive.model import Model
from ...kernels import ModelKernel
from ..data import Characters, Indices, random_stream
from .batches import Array, Batch, Task, streams

JUDGED_STREAMS = 8  # parallel streams of a text that is held out
MOST_NAMED = 100  # characters of a vocabulary, in a message
UNKNOWN = "<unk>"
WORD = re.compile(r"\w+|[^\w\s]|\n")


@dataclass(frozen=True)
class Tokens:
    """A text as numbers.

    Attributes:
        source: where it comes from.
        vocabulary: what is counted, most frequent first for words, by code point for characters.
        indices: position in the vocabulary of each token, (length,).
        joint: what stands between tokens in a text.
    """

    source: str
    vocabulary: tuple[str, ...]
    indices: Indices
    joint: str


def of_characters(chars: Characters) -> Tokens:
    """Return the characters of a text as tokens."""
    return Tokens(chars.source, tuple(chars.vocabulary), chars.indices, "")


def of_words(chars: Characters, at_least: int = 5) -> Tokens:
    """Return words, punctuation marks and ends of lines of a text as tokens; what is rare becomes `<unk>`.

    Args:
        chars: the text.
        at_least: how often a token must occur to have a number of its own.

    Raises:
        Error: where nothing occurs so often.

    >>> from ..data import characters
    >>> found = of_words(characters("a cat, a dog, a pig"), at_least=2)
    >>> found.vocabulary, [found.vocabulary[i] for i in found.indices][:4]
    (('<unk>', 'a', ','), ['a', '<unk>', ',', 'a'])
    """
    words = WORD.findall("".join(chars.vocabulary[i] for i in chars.indices))
    counts = Counter(words)
    kept = [word for word, count in counts.most_common() if count >= at_least]
    if not kept:
        raise Error(f"{chars.source}: no word occurs {at_least} times. Give a longer text or a smaller minimum.")
    places = {word: place for place, word in enumerate([UNKNOWN, *kept])}
    indices = np.array([places.get(word, 0) for word in words], dtype=np.intp)
    return Tokens(chars.source, tuple(places), indices, " ")


@dataclass(frozen=True)
class Roles:
    """What the parts of a language model do.

    Attributes:
        reads: the index that it reads at each step.
        predicts: the index that only its loss reads: the next token.
        logits: the value whose softmax is the probability of each next token.
    """

    reads: str
    predicts: str
    logits: str


def roles(model: Model) -> Roles:
    """Return what the parts of a language model do.

    Raises:
        Error: where the model isn't one that reads a token and predicts one at each step.

    >>> from ...derive.model import load_model
    >>> roles(load_model("character_language_model"))
    Roles(reads='w', predicts='y', logits='u')
    """
    losses = [
        node
        for block in model.blocks
        for line in block.cell.equations
        if line.target.name in block.losses
        for node in line.written.atoms(cross_entropy)
        if is_one_hot(node.args[1])
    ]
    predicted = [node.args[1].args[1].name for node in losses]
    read = [name for name in model.indices if name not in predicted]
    at_steps = all(len(dims) == 2 for dims in model.indices.values())
    if len(losses) != 1 or len(read) != 1 or model.inputs or not at_steps:
        found = ", ".join([*model.inputs, *model.indices]) or "nothing"
        raise Error(
            f"model {model.name} reads {found}: a language model reads one index[T, V] and its loss another, "
            "as in 'w: index[T, V]', 'y: index[T, V]', 'loss += cross_entropy(u, y[t])'. "
            "'bptt compose CELL --embedding' writes one around any cell"
        )
    if not isinstance(losses[0].args[0], Symbol):
        raise Error(f"model {model.name}: give the first argument of cross_entropy a name: 'u = ...' on a line before")
    return Roles(read[0], predicted[0], losses[0].args[0].name)


def next_token(
    model: Model,
    tokens: Tokens,
    *,
    window: int = 64,
    batch: int = 32,
    held_out: float = 0.1,
    noised: float = 0.0,
    seed: int = 0,
) -> Task:
    """Return the task of predicting the next token, with states carried from window to window (truncated BPTT).

    Args:
        model: a language model, as `roles` says.
        tokens: of a text; the last share of it is held out.
        window: steps T through which gradients go back.
        batch: parallel streams B.
        held_out: share of the text on which the model is judged, between 0 and 1.
        noised: share of the tokens read in training that are swapped, each time anew, for others of the text, which
            smooths a neural model as lower orders smooth counts: unigram noising of Xie, Z. et al. (2017). Data
            noising as smoothing in neural network language models. ICLR. What is predicted stays.
        seed: of the swaps.

    Raises:
        Error: where the model reads something else, or the text is too short.
    """
    parts = roles(model)
    learned, judged = split(tokens, held_out)
    laid, windows = streams(learned, batch, window)
    aside, judged_windows = streams(judged, min(batch, JUDGED_STREAMS), window)
    if not windows or not judged_windows:
        found = f"{tokens.source}: tokens in all: {len(tokens.indices)}, held out: {len(judged)}"
        raise Error(f"{found}. Too few for {batch} streams of {window} steps. Take a longer text, or fewer or shorter.")

    def learn(number: int) -> Batch:
        whole = cut(laid, number % windows)
        if not noised:
            return whole
        random, read = random_stream(seed, f"noised tokens {number}"), whole.inputs[parts.reads]
        others = learned[random.integers(len(learned), size=read.shape)]
        swapped = np.where(random.random(read.shape) < noised, others, read)
        return replace(whole, inputs={**whole.inputs, parts.reads: swapped})

    def cut(stream: Array, number: int) -> Batch:
        here = stream[number * window : (number + 1) * window + 1]
        return Batch({parts.reads: here[:-1], parts.predicts: here[1:]}, here[1:].size, continues=number > 0)

    return Task(
        "next token",
        dict.fromkeys([model.indices[name][-1] for name in (parts.reads, parts.predicts)], len(tokens.vocabulary)),
        learn,
        lambda: [cut(aside, number) for number in range(judged_windows)],
        {
            "vocabulary": list(tokens.vocabulary),
            "joint": tokens.joint,
            "source": tokens.source,
            "cut": {"window": window, "batch": batch, "held_out": held_out, "noised": noised, "seed": seed},
        },
    )


def split(tokens: Tokens, held_out: float) -> tuple[Indices, Indices]:
    """Return the first part of a text, to learn from, and the last, to be judged on.

    Raises:
        Error: for a share that isn't between 0 and 1.
    """
    if not 0 < held_out < 1:
        raise Error(f"held_out is {held_out}: give the share of the text to be held out, such as 0.1")
    cut = round(len(tokens.indices) * (1 - held_out))
    return tokens.indices[:cut], tokens.indices[cut:]


def numbered(text: str, vocabulary: Sequence[str], joint: str) -> Indices:
    """Return the numbers of the tokens of a text; rare words become `<unk>`, where the vocabulary has it.

    Raises:
        Error: for a token that the vocabulary doesn't have.

    >>> numbered("abba", "ab", "").tolist()
    [0, 1, 1, 0]
    """
    places = {token: place for place, token in enumerate(vocabulary)}
    found = list(text) if not joint else WORD.findall(text)
    if UNKNOWN not in places and (unknown := [token for token in found if token not in places]):
        known = "".join(token for token in vocabulary if token.isprintable())
        more = f" … ({len(known)} characters in all)" if len(known) > MOST_NAMED else ""
        raise Error(
            f"{unknown[0]!r} wasn't in the text that the model learned from. It knows: {known[:MOST_NAMED]}{more}"
        )
    return np.array([places.get(token, places.get(UNKNOWN, -1)) for token in found], dtype=np.intp)


def generate(
    kernel: ModelKernel,
    params: Mapping[str, Array],
    about: Mapping[str, Any],
    *,
    length: int,
    prime: str = "",
    temperature: float = 1.0,
    seed: int = 0,
) -> Iterator[str]:
    """Yield tokens that a language model writes, each drawn from its softmax.

    Args:
        kernel, params: of the model.
        about: what its task said of itself: the vocabulary.
        length: how many tokens.
        prime: what it reads first; without it, a token drawn at random.
        temperature: divides the logits: below 1 more of what is likely, above 1 more surprises; 0 takes the likeliest.
        seed: of the draws.

    Raises:
        Error: for a temperature below 0, or a prime with a token that the model doesn't know.
    """
    if not temperature >= 0:
        raise Error(f"temperature is {temperature}: give 0 (always the likeliest) or more")
    parts, vocabulary = roles(kernel.model), about["vocabulary"]
    random = random_stream(seed, "generation")
    read = numbered(prime, vocabulary, about["joint"])
    if not len(read):
        read = random.integers(len(vocabulary), size=1)
    state: dict[str, Array] = {}
    for _ in range(length):
        run = kernel.forward(params, {parts.reads: read[:, None], parts.predicts: 0 * read[:, None]}, state)
        state = run.last()
        read = np.array([_draw(run.value(parts.logits)[-1, 0].astype(float), temperature, random)])
        yield vocabulary[read[0]]


def _draw(logits: Array, temperature: float, random: np.random.Generator) -> int:
    if temperature == 0:
        return int(np.argmax(logits))
    # the largest of logits plus Gumbel noise is a draw from their softmax (Gumbel 1954)
    return int(np.argmax(logits / temperature + random.gumbel(size=len(logits))))


def joined(tokens: Iterable[str], joint: str) -> str:
    """Return tokens as a text: no spaces before punctuation, none around ends of lines.

    >>> joined(["the", "cat", ",", "the", "dog"], " ")
    'the cat, the dog'
    """
    text = joint.join(tokens)
    return re.sub(r" ?\n ?", "\n", re.sub(r" (?=[^\w\s<])", "", text)) if joint else text
