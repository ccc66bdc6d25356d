"""Units over a text: a planted one is found and scored, noise isn't, and texts may be of any length."""

import numpy as np
import pytest
import xarray as xr

import bptt
from bptt.analysis import characters
from bptt.analysis.learning import language, trainer, units

TEXT = 'He said "no" (twice).\n    The cat [on the mat] sat.\n' * 12


def planted(noise, seed=0):
    random = np.random.default_rng(seed)
    values = random.standard_normal((len(TEXT), 20))
    feature = units.line_position(TEXT)
    values[:, 7] = -0.1 * feature + noise * random.standard_normal(len(TEXT))
    return xr.Dataset({"value": (("place", "unit"), values)}, {"unit": [f"h[{i}]" for i in range(20)]})


def test_a_planted_unit_is_found_with_its_share_of_the_variance():
    feature = units.line_position(TEXT)
    noise = 0.1 * feature.std()  # as much as the feature itself brings: half of the variance
    found = units.followers(planted(noise), {"position": feature})
    assert found.best.item() == "h[7]"
    assert found.score.item() == pytest.approx(0.5, abs=0.1)
    assert found.score.item() > found.chance.item()


def test_what_is_spread_over_units_is_found_by_the_probe():
    """Eight units that each hold a little of the feature: no one scores high, all together do."""
    random = np.random.default_rng(0)
    feature = random.standard_normal(5000)
    values = random.standard_normal((5000, 20))
    values[:, :8] += 0.4 * feature[:, None]
    dataset = xr.Dataset({"value": (("place", "unit"), values)}, {"unit": [f"h[{i}]" for i in range(20)]})
    found = units.followers(dataset, {"it": feature})
    # one unit: 0.16 / 1.16 of its variance; eight: 8 * 0.16 / (1 + 8 * 0.16)
    assert found.score.item() == pytest.approx(0.14, abs=0.06)
    assert found.probe.item() == pytest.approx(0.56, abs=0.06)
    assert found.probe.item() > found.probe_chance.item() + 0.3


def test_noise_scores_as_chance_does():
    random = np.random.default_rng(1)
    scores = []
    for seed in range(20):
        dataset = planted(1e6, seed)
        feature = random.standard_normal(len(TEXT))
        found = units.followers(dataset, {"noise": feature}, seed)
        scores.append(found.score.item() > found.chance.item())
    assert sum(scores) <= 4  # of 20 at 5 %: more than four has a probability of 0.3 %


def test_features_of_a_text():
    text = '"a(b)"\n  [c\n\n"d'
    assert units.in_quotes(text).tolist() == [1] * 5 + [0] * 8 + [1, 1]
    assert units.bracket_depth(text).tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert units.indentation(text).tolist() == [0] * 7 + [1, 2, 2, 2, 2, 2] + [0] * 2
    assert units.indentation("\t x\ny").tolist() == [8, 9, 9, 9, 0]
    assert units.line_position(text).tolist() == [*range(7), *range(5), 0, 0, 1]
    for feature in units.FEATURES.values():
        assert feature(text).shape == (len(text),)


@pytest.fixture(scope="module")
def training():
    model = bptt.load_model("character_language_model")
    task = language.next_token(model, language.of_characters(characters(TEXT)), window=8, batch=2)
    return trainer.begin(bptt.compile(model), task, trainer.Plan(), {"n": 5, "m": 3})


@pytest.mark.parametrize("length", [2, 3, units.WINDOW, units.WINDOW + 1, len(TEXT)])
def test_activations_do_not_depend_on_how_a_text_is_cut(training, length, monkeypatch):
    given = training.kernel, training.params, training.task.about, TEXT[:length]
    found = units.activations(*given)
    assert dict(found.sizes) == {"place": length, "unit": 10} and "".join(found.token.values) == TEXT[:length]
    monkeypatch.setattr(units, "WINDOW", 7)
    again = units.activations(*given)
    np.testing.assert_allclose(found.value, again.value, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.surprise, again.surprise, rtol=1e-12)
    assert np.isnan(found.surprise[0]) and np.all(found.surprise[1:] > 0)


def test_the_surprises_are_the_loss(training):
    found = units.activations(training.kernel, training.params, training.task.about, TEXT[:50])
    indices = language.numbered(TEXT[:50], training.task.about["vocabulary"], "")
    run = training.kernel.forward(training.params, {"w": indices[:-1, None], "y": indices[1:, None]})
    assert float(found.surprise[1:].sum()) == pytest.approx(run.loss[0], rel=1e-12)


def test_bad_input(training):
    given = training.kernel, training.params, training.task.about
    with pytest.raises(bptt.Error, match="at least two tokens"):
        units.activations(*given, "a")
    with pytest.raises(bptt.Error, match="'Q' wasn't in the text"):
        units.activations(*given, "aQ")
    with pytest.raises(bptt.Error, match="feature 'x' has 3 values, and the text 4 tokens"):
        units.followers(units.activations(*given, "a ca"), {"x": np.zeros(3)})
