"""Data of the sequence systems: what is drawn is what it is said to be."""

import datetime
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import bptt
from bptt.analysis.learning.batches import Batch, examples
from bptt.analysis.learning.trainer import Plan, begin
from bptt.analysis.systems import calendars, captions, extras, frames, long_range, opinions, series, spelling
from bptt.analysis.systems.examples import open_sizes, proportion
from bptt.cli import main


def test_a_missing_extra_says_how_it_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    extras.digit_images.cache_clear()
    said = r"The images of digits come with scikit-learn, which isn't installed: pip install 'bptt\[systems\]'"
    with pytest.raises(bptt.Error, match=said):
        extras.digit_images()


def test_a_missing_extra_ends_the_command_with_2(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    extras.digit_images.cache_clear()
    done = CliRunner().invoke(main, ["gallery", "pixels", "--small", "-o", str(tmp_path)])
    assert done.exit_code == 2
    assert "pip install 'bptt[systems]'" in done.output and "Traceback" not in done.output


def test_examples_come_once_in_each_epoch_and_none_that_is_held_out():
    def take(chosen):
        return Batch({"x": chosen}, len(chosen))

    def taken(number):
        return task.batch(number).inputs["x"]

    task = examples("numbers", {}, take, np.arange(20), np.arange(20, 25), batch=5)
    first, second = ([taken(4 * epoch + place) for place in range(4)] for epoch in range(2))
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(range(20))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(taken(5), second[1])
    assert task.held_out()[0].inputs["x"].tolist() == [20, 21, 22, 23, 24]
    with pytest.raises(bptt.Error, match="3 examples to learn from, too few for a batch of 5"):
        examples("numbers", {}, take, np.arange(3), np.arange(3), batch=5)


def test_a_proportion_has_wilsons_interval():
    # Wilson for 8 of 10, by hand: (0.8 + 1.92/10 ± 1.96 sqrt(0.016 + 0.0096)) / 1.384
    found = proportion("right", "right", {"one": np.arange(10) < 8})
    assert [float(found[name][0]) for name in ("right", "right_low", "right_high")] == pytest.approx(
        [0.8, 0.4902, 0.9433], abs=1e-4
    )


def test_the_images_held_out_are_others():
    images = extras.digit_images()
    assert images.pixels.shape == (1797, 8, 8) and images.pixels.min() == 0 and images.pixels.max() == 1
    assert len(images.held_out) == 360 and len({*images.held_out, *images.learned}) == 1797


# opinions


def test_an_opinion_means_what_its_words_and_its_negations_say():
    for templates in (opinions.LEARNED, opinions.HELD_OUT):
        told = opinions.opinions(templates, 300, 1, "test")
        for sentence, praise in zip(told.sentences, told.classes, strict=True):
            assert means_praise(sentence) == bool(praise), sentence
        assert 0.4 < told.classes.mean() < 0.6


def means_praise(sentence):
    """Read a sentence by rules of its own: the last clause counts, and each negation in it turns it round."""
    clause = sentence
    if clause.startswith("although"):
        subject = max(opinions.SUBJECTS, key=lambda s: clause.rfind(s))
        clause = clause[clause.rfind(subject) :]
    clause = clause.split(" but ")[-1]
    words = clause.split()
    [kind] = {word in opinions.GOOD for word in words if word in (*opinions.GOOD, *opinions.BAD)}
    turns = sum(word in ("not", "never", "nobody", "nothing") for word in words)
    intensifier = clause.startswith("never have I seen")  # nothing so good was seen: praise
    return kind != bool((turns - intensifier) % 2)


def test_templates_held_out_are_new_and_their_words_are_not():
    assert not {t.text for t in opinions.HELD_OUT} & {t.text for t in opinions.LEARNED}
    known = opinions.opinions(opinions.LEARNED, 3000, 0, "learned")
    unseen = opinions.opinions(opinions.HELD_OUT, 3000, 0, "held out")
    assert set(np.unique(unseen.words)) <= set(np.unique(known.words))
    assert not set(unseen.sentences) & set(known.sentences)


# series


def test_least_squares_find_an_autoregression():
    random = np.random.default_rng(0)
    values = [0.0, 0.0]
    for noise in 0.1 * random.standard_normal(4000):
        values.append(1.5 * values[-1] - 0.8 * values[-2] + noise)
    found = series.autoregressive(np.array(values), 2)
    # standard errors of the coefficients are sqrt((1 - 0.8²) / 4000) = 0.0095: four of them
    assert found.slopes(np.array(values), np.array([10]))[:3] == pytest.approx([1.5, 0.8, 0], abs=0.04)
    whole = np.array([1.0, 2.0, 9.0])
    two = found.forecast(whole, np.array([2]), 2)[0]
    a, b = found.slopes(whole, np.array([2]))[:2]
    assert two[1] == pytest.approx(a * two[0] - b * 2.0, abs=0.02)


def test_a_chain_forecasts_the_mean_of_what_follows():
    turns = np.array([0.0, 1.0] * 200)
    found = series.chain(turns, 2)
    # counts of pairs are 200 and 199 with one added to each: forecasts within 2 % of the other value
    assert found.forecast(turns, np.array([1, 2]), 1)[:, 0] == pytest.approx([1, 0], abs=0.02)
    assert series.naive().forecast(turns, np.array([1, 2]), 3).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_sunspots_are_those_of_the_records():
    years, numbers = extras.sunspots()
    assert (years[0], years[-1], len(years)) == (1700, 2008, 309)
    assert numbers[years == 1957] == 190.2  # the highest yearly mean of version 1 of the series (SIDC)


# copying and adding


def test_what_is_to_be_copied_comes_after_the_lag():
    batch = long_range.copying(3).task(7, 4, 0).batch(0)
    x, y = batch.inputs["x"], batch.inputs["y"]
    np.testing.assert_array_equal(y[7:], x[:3])
    assert (x[7] == long_range.ASK).all() and (y[:7] == long_range.BLANK).all()
    assert batch.weight is not None and batch.weight["loss"].sum() == batch.counted == 12


def test_the_sum_is_that_of_the_marked_numbers():
    batch = long_range.adding().task(20, 50, 0).batch(3)
    numbers, marks = batch.inputs["x"][..., 0], batch.inputs["x"][..., 1]
    assert (marks.sum(axis=0) == 2).all() and not marks[10:].any()
    np.testing.assert_allclose((numbers * marks).sum(axis=0), batch.inputs["y"][:, 0])


def test_chance_in_the_adding_problem_is_what_simulation_gives():
    y = np.concatenate([long_range.adding().task(10, 500, 0).batch(n).inputs["y"] for n in range(20)])
    share = (abs(y - 1) < long_range.TOLERANCE).mean()
    assert share == pytest.approx(long_range.adding().chance, abs=0.02)  # four standard errors of 10000 draws


# frames, spelling, dates


def test_a_film_shows_the_digit_that_its_label_says():
    images = extras.digit_images()
    chosen = images.held_out[:30]
    shown, labels, ages = frames.films(images, chosen, 15, 0.0, 0, "test")
    np.testing.assert_array_equal(labels[0], images.digits[chosen])
    sums = images.pixels[chosen].sum(axis=(1, 2))
    same = ages == np.arange(15)[:, None]
    np.testing.assert_allclose(shown.sum(axis=2)[same], np.broadcast_to(sums, labels.shape)[same], rtol=1e-5)
    assert (~same).any()
    half, *_ = frames.films(images, chosen, 15, 0.5, 0, "test")
    assert 0.4 < (half > 0).sum() / (shown > 0).sum() < 0.6


def test_every_number_has_a_name_of_its_own():
    names = [spelling.named(number) for number in range(spelling.COUNT)]
    assert len(set(names)) == spelling.COUNT
    assert [names[n] for n in (7, 13, 20, 100, 110, 999)] == [
        "seven",
        "thirteen",
        "twenty",
        "one hundred",
        "one hundred ten",
        "nine hundred ninety nine",
    ]


def test_dates_are_read_by_babels_own_parser():
    from babel.dates import parse_date

    for locale in ("ko", "de", "ja"):  # their medium formats are all numbers
        text = calendars.written(datetime.date(1987, 3, 9), locale, 2)
        assert parse_date(text, locale=locale, format="medium") == datetime.date(1987, 3, 9)


def test_a_day_that_is_held_out_is_never_learned_from():
    told, learned, held_out = calendars.dates(["ko", "en"], 500, 60, 0)
    days = ["".join(calendars.ISO[code] for code in column) for column in told.iso.T]
    assert not {days[place] for place in learned} & {days[place] for place in held_out}
    for place in held_out:
        read = "".join(told.alphabet[code] for code in told.read[:, place])
        assert read == told.written[place] and days[place][:4] in read


def test_an_unknown_locale_is_refused():
    with pytest.raises(bptt.Error, match="no locale is called 'xx'"):
        calendars.dates(["xx"], 5, 5, 0)


# captions


def test_patches_are_what_lies_under_a_window():
    pixels = np.random.default_rng(0).random((2, captions.HIGH, captions.WIDE))
    cut = captions.patches(pixels)
    side = captions.SIDE
    place = 1 * captions.COLUMNS + 5
    np.testing.assert_allclose(cut[1, place, : side**2].reshape(side, side), pixels[1, 2 : 2 + side, 10 : 10 + side])
    assert cut[0, place, side**2 :].tolist() == pytest.approx([0, 3 / 7])


def test_weights_over_an_image_keep_their_sum_and_their_side():
    weights = np.zeros(captions.ROWS * captions.COLUMNS)
    weights[0] = 1
    image = captions.over_image(weights)
    assert image.sum() == pytest.approx(1) and image[: captions.SIDE, : captions.SIDE].sum() == pytest.approx(1)
    attention = np.tile(weights, (8, 1, 1))
    # the left digit is written at 3 steps; then, after the space, the right one's first letter
    assert captions.looks_right(attention, np.array([3])) == pytest.approx(3 / 4)


def test_the_estimate_of_hard_attention_is_the_gradient_of_the_expected_loss():
    """The mean of its gradient over many draws, against central differences of the loss expected over all places."""
    model = captions.load("captions_hard")
    kernel = bptt.compile(model)
    sizes = {"p": 2, "K": 3, "D": 2, "m": 2, "d": 2, "n": 2}
    params = kernel.init(sizes, seed=1, gain=1.5)
    random = np.random.default_rng(0)
    patches, given, right = random.standard_normal((1, 2, 2)), [0, 1], [2, 1]

    def run(params, places, r):
        many = len(places)
        inputs = {
            "P": np.repeat(patches, many, axis=0),
            "w": np.tile(given, (many, 1)).T,
            "y": np.tile(right, (many, 1)).T,
            "s": np.array(places).T,
            "r": r,
        }
        return kernel.forward(params, {name: np.ascontiguousarray(array) for name, array in inputs.items()})

    ways = [(a, b) for a in range(2) for b in range(2)]

    def expected(params):
        done = run(params, ways, np.zeros((2, 4)))
        alpha = done.value("alpha")
        chance = np.array([alpha[0, k, a] * alpha[1, k, b] for k, (a, b) in enumerate(ways)])
        return chance, done.losses["loss"]

    chance, losses = expected(params)
    # the estimator's mean, exactly: each way by its chance, with the loss of this and later letters, and any baseline
    r = np.cumsum(losses[::-1], axis=0)[::-1] - np.array([[0.7], [0.3]])
    grads = kernel.backward(run(params, ways, np.ascontiguousarray(r)), {n: np.tile(chance, (2, 1)) for n in NAMES})
    for name, array in params.items():
        for place in np.ndindex(array.shape):
            both = []
            for sign in (1, -1):
                moved = {n: a.copy() for n, a in params.items()}
                moved[name][place] += sign * 1e-5
                chances, terms = expected(moved)
                both.append((chances * terms.sum(axis=0)).sum())
            # central differences of step 1e-5: errors near 1e-10
            assert grads.params[name][place] == pytest.approx((both[0] - both[1]) / 2e-5, abs=1e-8), name


NAMES = ("loss", "loss_2")


def test_the_advantage_of_a_sample_doesn_t_count_the_sample_in_its_baseline():
    images = extras.digit_images()
    task, _ = captions.task(images, 4, 4, 0)
    model = captions.load("captions_hard")
    sizes = open_sizes(model, task, 6)
    training = begin(bptt.compile(model, "float32"), task, Plan(), sizes)
    whole = captions.with_places(training.kernel, training.params, task.batch(0), np.random.default_rng(0))
    run = training.kernel.forward(training.params, whole.inputs)
    later = np.cumsum(run.losses["loss"][::-1], axis=0)[::-1]
    for sample in range(4):
        others = np.delete(later, sample, axis=1).mean(axis=1)
        np.testing.assert_allclose(whole.inputs["r"][:, sample], later[:, sample] - others, atol=1e-4)
