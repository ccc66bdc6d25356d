"""n-grams: probabilities that sum to one, values by hand, and the order of the orders."""

import math

import numpy as np
import pytest

from bptt.analysis.learning.ngrams import count, cross_entropy, probability
from bptt.derive.errors import Error

TEXT = [ord(c) - 97 for c in "abracadabraabracadabracadabra"]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("context", [[], [0], [0, 1], [3, 0, 1, 17], [25, 24, 23, 22]])
def test_probabilities_sum_to_one(order, context):
    model = count(TEXT, order, 26)
    assert math.fsum(probability(model, context, token) for token in range(26)) == pytest.approx(1, abs=1e-12)
    assert all(probability(model, context, token) > 0 for token in range(26))


def test_the_lower_order_counts_different_tokens_before():
    # "San Francisco": a token that comes often, but only ever after one other, is unlikely after a new context
    text = [0, 1] * 20 + [0, 2, 3, 2, 4, 2, 5, 2]
    model = count(text, 2, 7)
    assert probability(model, [6], 2) > probability(model, [6], 1)
    unigram = count(text, 1, 7)
    assert probability(unigram, [], 1) > probability(unigram, [], 2)


def test_a_bigram_by_hand():
    # counts: (0,1) 2, (1,0) 2, (0,0) 1, so one count of 1, two of 2, and none of 3, which is taken as one: y = 1/5,
    # D1 = 1 - 2/5 * 2 = 0.2, D2 = 2 - 3/5 * 1/2 = 1.7
    model = count([0, 1, 0, 1, 0, 0], 2, 2)
    bigram = model.levels[1]
    assert bigram.discounts[:2] == pytest.approx((0.2, 1.7))
    assert bigram.reserved[(0,)] == pytest.approx((0.2 + 1.7) / 3)
    below = probability(model, [], 1)
    assert probability(model, [0], 1) == pytest.approx((2 - 1.7) / 3 + bigram.reserved[(0,)] * below)


def test_higher_orders_know_a_regular_text_better():
    random = np.random.default_rng(0)
    text = np.concatenate([[0, 1, 2, 3] if random.random() < 0.7 else [0, 2, 1, 3] for _ in range(2000)])
    found = [cross_entropy(count(text[:6000], order, 4), text[6000:]) for order in (1, 2, 3)]
    assert found[0] > found[1] > found[2]
    # what the judged text's own frequency of one choice in every four tokens costs: the others are certain
    share = np.mean(text[6001::4] == 1)
    best = -(share * math.log(share) + (1 - share) * math.log(1 - share)) / 4
    assert best < found[2] < 1.15 * best


def test_too_short():
    with pytest.raises(Error, match="5-grams of a text of 2 tokens"):
        count([0, 1], 5, 2)
